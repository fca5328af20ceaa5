//! A context: one orchestrator and everything around it that an operator needs to reach.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::{Env, Services};
use crate::error::{Fault, Kind};
use crate::http::is_loopback;
use crate::platforms::Endpoints;
use crate::redact::masked;
use crate::secret::Secret;
use crate::wire::Platform;

/// How long a credential command may take; a keyring without a session would hang for ever.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// What changes a context allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Changes ask, in proportion to the damage.
    #[default]
    Confirm,
    /// No changes.
    ReadOnly,
}

impl Protection {
    /// The word in `config.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protection::Confirm => "confirm",
            Protection::ReadOnly => "read-only",
        }
    }
}

impl std::str::FromStr for Protection {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "confirm" => Ok(Protection::Confirm),
            "read-only" => Ok(Protection::ReadOnly),
            other => Err(format!("`{other}` is not one of confirm, read-only")),
        }
    }
}

/// What kind of target a context names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextKind {
    /// `opsctl serve` on this machine.
    Local,
    /// The practice ground; where it listens is known once it runs.
    Sandbox,
    /// From `config.toml`.
    Configured,
}

/// A shell line, or a program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    /// Run by `sh -c`.
    Shell(String),
    /// Run as it is.
    Program(Vec<String>),
}

impl CommandLine {
    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        match self {
            CommandLine::Shell(line) => line.trim().is_empty(),
            CommandLine::Program(words) => words.first().is_none_or(String::is_empty),
        }
    }

    /// The first word: what has to be there for it to run.
    pub fn program(&self) -> &str {
        match self {
            CommandLine::Shell(line) => line.split_whitespace().next().unwrap_or_default(),
            CommandLine::Program(words) => words.first().map_or("", String::as_str),
        }
    }

    /// A process to start; nothing is read from this one's input.
    pub fn to_command(&self) -> tokio::process::Command {
        let mut command = match self {
            CommandLine::Shell(line) => {
                let mut command = tokio::process::Command::new("sh");
                command.arg("-c").arg(line);
                command
            }
            CommandLine::Program(words) => {
                let mut command = tokio::process::Command::new(words.first().map_or("", String::as_str));
                command.args(words.iter().skip(1));
                command
            }
        };
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    }
}

/// As one would type it; what looks like a password is hidden.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            CommandLine::Shell(line) => line.clone(),
            CommandLine::Program(words) => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        };
        f.write_str(&masked(&text))
    }
}

fn quoted(word: &str) -> String {
    const PLAIN: &str = "-_./:=@%+,";
    match !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || PLAIN.contains(c)) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Where a secret comes from: the first source that is named wins, in the order command, file, environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CredentialSource {
    /// A command that prints it.
    #[serde(default)]
    pub command: Option<CommandLine>,
    /// A file that holds it, mode 0600.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// An environment variable that holds it.
    #[serde(default)]
    pub env: Option<String>,
    /// Whether it is fine when there is none: a built-in context before its first start.
    #[serde(skip)]
    pub optional: bool,
}

impl CredentialSource {
    /// Where it looks first, for people.
    pub fn describe(&self) -> String {
        match (&self.command, &self.file, &self.env) {
            (Some(command), ..) => format!("command `{}`", command.program()),
            (None, Some(file), _) => format!("file {}", file.display()),
            (None, None, Some(name)) => format!("environment {name}"),
            (None, None, None) => "none".into(),
        }
    }

    /// Gets the secret. `None` when no source is named, or an optional one has none.
    pub async fn resolve(&self, env: &Env) -> anyhow::Result<Option<Secret>> {
        let found = if let Some(command) = &self.command {
            Some(run_command(command).await?)
        } else if let Some(file) = &self.file {
            match read_secret_file(&expand_home(file, env)) {
                Ok(secret) => Some(secret),
                Err(error) if self.optional && is_missing(&error) => self.of_env(env)?,
                Err(error) => return Err(error),
            }
        } else {
            self.of_env(env)?
        };
        Ok(found)
    }

    /// The file that it is read from, where a file is the source: a new secret goes there.
    pub fn file_in_use(&self, env: &Env) -> Option<PathBuf> {
        let file = self.file.as_ref().filter(|_| self.command.is_none())?;
        Some(expand_home(file, env))
    }

    fn of_env(&self, env: &Env) -> anyhow::Result<Option<Secret>> {
        let Some(name) = &self.env else { return Ok(None) };
        match env.non_empty(name) {
            Some(value) => Ok(Some(Secret::new(value))),
            None if self.optional => Ok(None),
            None => Err(no_credential(format!("the environment variable {name} is not set"))
                .hint(format!("export {name}, or name another source in config.toml"))
                .into()),
        }
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound))
}

fn no_credential(why: String) -> Fault {
    Fault::new(Kind::NotAuthenticated, "cannot get the context's credential").because(why)
}

async fn run_command(command: &CommandLine) -> anyhow::Result<Secret> {
    if command.is_empty() {
        return Err(no_credential("its command is empty".into()).into());
    }
    let mut process = command.to_command();
    process.stderr(std::process::Stdio::inherit());
    let hint = "run the command by hand; it has to print the secret and end with 0";
    let failed = |why: String| no_credential(why).hint(hint);
    let output = tokio::time::timeout(COMMAND_LIMIT, process.output())
        .await
        .map_err(|_| failed(format!("its command did not end within {} s", COMMAND_LIMIT.as_secs())))?
        .map_err(|e| failed(format!("its command cannot be started: {e}")))?;
    if !output.status.success() {
        return Err(failed(format!("its command ended with {}", output.status)).into());
    }
    let text = String::from_utf8(output.stdout).map_err(|_| failed("its command printed no text".into()))?;
    match text.trim() {
        "" => Err(failed("its command printed nothing".into()).into()),
        secret => Ok(Secret::new(secret)),
    }
}

/// Reads a secret from a file that nobody else can read.
pub fn read_secret_file(path: &Path) -> anyhow::Result<Secret> {
    let shown = path.display();
    let fault = || Fault::new(Kind::NotAuthenticated, format!("cannot read the secret in {shown}"));
    let not_read = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "the server makes its token file when it first starts; is the path right?",
            _ => "check that the file is yours and has mode 0600",
        };
        anyhow::Error::from(error).context(fault().hint(hint))
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(not_read)?.permissions().mode();
        if mode & 0o077 != 0 {
            let because = format!("others can read it (mode {:04o})", mode & 0o7777);
            return Err(fault().because(because).hint(format!("chmod 600 {shown}")).into());
        }
    }
    let text = std::fs::read_to_string(path).map_err(not_read)?;
    match text.trim() {
        "" => Err(fault().because("it is empty").hint("write the token into it").into()),
        secret => Ok(Secret::new(secret)),
    }
}

/// Replaces a leading `~/` by the home directory.
fn expand_home(path: &Path, env: &Env) -> PathBuf {
    match (path.strip_prefix("~"), env.non_empty("HOME")) {
        (Ok(rest), Some(home)) => Path::new(home).join(rest),
        _ => path.to_owned(),
    }
}

/// Where the logs of this context's orchestrator are, when they are on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LogPlaces {
    /// The orchestrator's log directory.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// The reasoning engine's log file.
    #[serde(default)]
    pub member2: Option<PathBuf>,
}

/// One target.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ContextKind,
    /// Base URL of the admin API; absent for the sandbox until it runs.
    pub url: Option<Url>,
    /// The environment word the server has to answer with: `production`, `staging`. Absent: any.
    pub environment: Option<String>,
    /// What changes it allows.
    pub protection: Protection,
    /// Where the token comes from.
    pub credential: CredentialSource,
    /// Where the break-glass token comes from.
    pub break_glass: CredentialSource,
    /// Base URLs of the platforms' APIs; the vendors' unless told.
    pub platforms: Endpoints,
    /// Where the platforms' credentials come from, by the runbook's variable; the environment for those left out.
    pub keys: BTreeMap<String, CredentialSource>,
    /// Requests a second that a platform bears, where the operator knows better than its documentation.
    pub pace: BTreeMap<Platform, f64>,
    /// Log locations.
    pub logs: LogPlaces,
    /// What restarts its services beside the admin API.
    pub services: Services,
    /// Named links: dashboards, consoles.
    pub links: BTreeMap<String, String>,
    /// Who to call.
    pub contacts: BTreeMap<String, String>,
}

impl Context {
    /// Whether the orchestrator is known to run on this machine; a forwarded port only looks so.
    pub fn is_here(&self) -> bool {
        match self.kind {
            ContextKind::Sandbox => true,
            ContextKind::Local => self.url.as_ref().is_some_and(is_loopback),
            ContextKind::Configured => false,
        }
    }

    /// The secrets of it that are in the environment already.
    pub fn secrets_in(&self, env: &Env) -> Vec<Secret> {
        let sources = [&self.credential, &self.break_glass].into_iter().chain(self.keys.values());
        sources.filter_map(|source| env.non_empty(source.env.as_deref()?)).map(Secret::new).collect()
    }

    /// Where it points, for people.
    pub fn place(&self) -> String {
        match (&self.url, self.kind) {
            (Some(url), _) => url.as_str().trim_end_matches('/').to_owned(),
            (None, ContextKind::Sandbox) => "not running".into(),
            (None, _) => "no url".into(),
        }
    }
}

/// Checks a base URL: http or https, no user or password, nothing after the path.
pub fn parse_url(text: &str) -> Result<Url, Fault> {
    let refuse = |why: &str| Fault::usage("that is not a usable URL").because(why.to_owned());
    let mut url = Url::parse(text)
        .map_err(|e| refuse(&e.to_string()).hint("write it whole: https://ops.example.com or http://localhost:3000"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it holds a user name or password")
            .hint("leave the secret out; name its source: --token-file, --token-command or --token-env"));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse("only http and https are spoken").hint("write it whole: https://ops.example.com"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a base URL has no query and no fragment").hint("leave out what follows `?` or `#`"));
    }
    // Paths are joined to it, which would replace a last segment without a slash.
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        assert_eq!(parse_url("https://ops.example/x").unwrap().as_str(), "https://ops.example/x/");
        for bad in ["localhost:3000", "ftp://x", "https://u:p@x", "https://x?a=1", "nonsense"] {
            let fault = parse_url(bad).unwrap_err();
            assert!(fault.hint.is_some() && !fault.message.contains("p@x"), "{bad}");
        }
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let words = |words: &[&str]| CommandLine::Program(words.iter().map(ToString::to_string).collect()).to_string();
        assert_eq!(
            words(&["docker", "compose", "-f", "/srv/a.yml", "restart"]),
            "docker compose -f /srv/a.yml restart"
        );
        assert_eq!(words(&["sh", "-c", "a && b", "", "it's"]), "sh -c 'a && b' '' 'it'\\''s'");
        assert!(CommandLine::Shell("  ".into()).is_empty() && CommandLine::Program(vec![]).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("opsctl-secret-{}", uuid::Uuid::now_v7()));
        std::fs::write(&path, "s3cret-value\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_secret_file(&path).unwrap_err();
        assert!(crate::error::Explained::from_error(&error).to_text().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_secret_file(&path).unwrap().expose(), "s3cret-value");
        std::fs::remove_file(&path).unwrap();
    }
}
