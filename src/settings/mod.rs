//! Flags, environment and file folded into one [`Settings`] that remembers where each value came from.
//!
//! The order is flags, environment (`OPSCTL_*`), `config.toml`, defaults. There is no per-directory file.

mod context;
mod duration;
mod env;
mod file;
mod places;
mod services;
mod since;

pub use context::{
    CommandLine, Context, ContextKind, CredentialSource, LogPlaces, Protection, parse_url, read_secret_file,
};
pub use duration::{format_duration, parse_duration};
pub use env::{Env, SECRET_VARIABLES};
pub use file::{Dashboard, edit};
pub use places::Places;
pub use services::{Manager, Service, ServiceName, Services};
pub use since::Since;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Fault, Kind};
use crate::output::{ColorChoice, Format};

/// Name of the built-in context for `opsctl serve` on this machine.
pub const LOCAL: &str = "local";
/// Name of the built-in context for the practice ground.
pub const SANDBOX: &str = "sandbox";
/// Where `local` points.
pub const LOCAL_URL: &str = "http://localhost:3000/";
/// The environment variable that holds a token where a context names no other source.
pub const TOKEN_VARIABLE: &str = "OPSCTL_TOKEN";
/// How long a whole call may take unless told.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Env(&'static str),
    /// `config.toml`.
    File,
    /// Built in.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("command line"),
            Source::Env(name) => f.write_str(name),
            Source::File => f.write_str("config.toml"),
            Source::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

/// What the command line said about settings.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `-o`.
    pub output: Option<Format>,
    /// `--context`.
    pub context: Option<String>,
    /// `--color`.
    pub color: Option<ColorChoice>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `-q`.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbosity: u8,
}

/// Everything that was set, with its source.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where files are kept.
    pub places: Places,
    /// The environment.
    pub env: Env,
    /// How answers are written.
    pub output: Sourced<Format>,
    /// Whether they get colour.
    pub color: Sourced<ColorChoice>,
    /// Limit for a whole call to the orchestrator.
    pub timeout: Sourced<Duration>,
    /// Name of the context in use; it need not exist.
    pub context_name: Sourced<String>,
    /// `-q`.
    pub quiet: bool,
    /// How often `-v` or `--verbose` was given.
    pub verbosity: u8,
    /// The dashboard that `dashboard refresh` writes.
    pub dashboard: Dashboard,
    contexts: BTreeMap<String, Context>,
}

impl Settings {
    /// Folds everything.
    pub fn load(flags: Flags, env: Env) -> anyhow::Result<Self> {
        let places = Places::find(&env)?;
        let file = file::read(&places.config_file())?;
        Self::fold(flags, env, places, file)
    }

    /// Folds everything but the file, for what has to work without it.
    pub fn without_file(flags: Flags, env: Env) -> anyhow::Result<Self> {
        let places = Places::find(&env).unwrap_or_else(|_| Places::under(std::path::Path::new(".opsctl")));
        Self::fold(flags, env, places, file::ConfigFile::default())
    }

    fn fold(flags: Flags, env: Env, places: Places, file: file::ConfigFile) -> anyhow::Result<Self> {
        let path = places.config_file();
        let of_file = |name: &str, text: &str, why: String| {
            anyhow::Error::from(file::cannot_read(&path, format!("`{name} = \"{text}\"`: {why}")))
        };
        let output = match file.output {
            Some(text) => Some(text.parse::<Format>().map_err(|why| of_file("output", &text, why))?),
            None => None,
        };
        let color = match file.color {
            Some(text) => Some(text.parse::<ColorChoice>().map_err(|why| of_file("color", &text, why))?),
            None => None,
        };
        let timeout = match file.timeout {
            Some(text) => {
                Some(parse_duration(&text).map_err(|fault| of_file("timeout", &text, fault.causes.join(", ")))?)
            }
            None => None,
        };
        let mut contexts = builtin_contexts(&places);
        for (name, table) in file.contexts {
            let wrong =
                |fault: Fault| file::cannot_read(&path, [vec![fault.message], fault.causes].concat().join(": "));
            if name == SANDBOX {
                return Err(wrong(Fault::usage("[contexts.sandbox]: the name belongs to the practice ground")).into());
            }
            let base = contexts.remove(&name);
            let context = table.into_context(&name, base).map_err(|mut fault| {
                fault.message = format!("[contexts.{name}]: {}", fault.message);
                wrong(fault)
            })?;
            contexts.insert(name, context);
        }
        let context_variable = env_value(&env, "OPSCTL_CONTEXT", |v| Ok::<_, Fault>(v.to_owned()))?;
        Ok(Settings {
            output: pick(flags.output, env_value(&env, "OPSCTL_OUTPUT", str::parse)?, output, Format::Table),
            color: pick(flags.color, env_value(&env, "OPSCTL_COLOR", str::parse)?, color, ColorChoice::Auto),
            timeout: pick(flags.timeout, env_value(&env, "OPSCTL_TIMEOUT", parse_duration)?, timeout, DEFAULT_TIMEOUT),
            context_name: pick(flags.context, context_variable, file.context, LOCAL.to_owned()),
            quiet: flags.quiet,
            verbosity: flags.verbosity,
            places,
            env,
            dashboard: file.dashboard,
            contexts,
        })
    }

    /// Where the dashboard is written unless told.
    pub fn dashboard_file(&self) -> PathBuf {
        self.dashboard.file.clone().unwrap_or_else(|| self.places.data.join("grafana/opsctl.json"))
    }

    /// All contexts by name, the built-in ones included.
    pub fn contexts(&self) -> &BTreeMap<String, Context> {
        &self.contexts
    }

    /// The context in use.
    pub fn context(&self) -> anyhow::Result<&Context> {
        self.named_context(&self.context_name.value)
    }

    /// A context by name.
    pub fn named_context(&self, name: &str) -> anyhow::Result<&Context> {
        self.contexts.get(name).ok_or_else(|| {
            let fault = Fault::new(Kind::NotFound, format!("there is no context `{name}`"));
            let known = self.contexts.keys().map(String::as_str);
            let fault = match crate::aliases::nearest(name, known.clone()) {
                Some(near) => fault.because(format!("did you mean `{near}`?")),
                None => fault.because(format!("there are {}", known.collect::<Vec<_>>().join(", "))),
            };
            fault.hint(format!("list them with `opsctl context list`, or `opsctl context add {name} --url URL`")).into()
        })
    }
}

fn pick<T>(flag: Option<T>, env: Option<(T, &'static str)>, file: Option<T>, default: T) -> Sourced<T> {
    match (flag, env, file) {
        (Some(value), ..) => Sourced { value, source: Source::Flag },
        (None, Some((value, name)), _) => Sourced { value, source: Source::Env(name) },
        (None, None, Some(value)) => Sourced { value, source: Source::File },
        (None, None, None) => Sourced { value: default, source: Source::Default },
    }
}

/// Why a variable's value was not taken: a word list's text, or a whole fault.
trait Why {
    fn why(self) -> String;
}
impl Why for String {
    fn why(self) -> String {
        self
    }
}
impl Why for Fault {
    fn why(self) -> String {
        [vec![self.message], self.causes].concat().join(": ")
    }
}

fn env_value<T, E: Why>(
    env: &Env,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<(T, &'static str)>, Fault> {
    let Some(text) = env.non_empty(name) else { return Ok(None) };
    match parse(text) {
        Ok(value) => Ok(Some((value, name))),
        Err(error) => Err(Fault::usage(format!("the environment variable {name} cannot be used"))
            .because(error.why())
            .hint(format!("correct it, or `unset {name}`"))),
    }
}

/// Where a token comes from when a context names no source.
fn token_variable() -> CredentialSource {
    CredentialSource { env: Some(TOKEN_VARIABLE.into()), optional: true, ..CredentialSource::default() }
}

fn builtin_contexts(places: &Places) -> BTreeMap<String, Context> {
    let token_file = |name: &str| CredentialSource { file: Some(places.serve().join(name)), ..token_variable() };
    let empty = |name: &str, kind| Context {
        name: name.to_owned(),
        kind,
        url: None,
        environment: None,
        protection: Protection::Confirm,
        credential: CredentialSource::default(),
        break_glass: CredentialSource::default(),
        platforms: crate::platforms::Endpoints::default(),
        keys: BTreeMap::new(),
        pace: BTreeMap::new(),
        logs: LogPlaces::default(),
        services: Services::default(),
        links: BTreeMap::new(),
        contacts: BTreeMap::new(),
    };
    let local = Context {
        url: reqwest::Url::parse(LOCAL_URL).ok(),
        credential: token_file("admin.token"),
        break_glass: CredentialSource { env: None, ..token_file("break-glass.token") },
        logs: LogPlaces { directory: Some(places.serve().join("logs")), member2: None },
        ..empty(LOCAL, ContextKind::Local)
    };
    let sandbox = Context { environment: Some(SANDBOX.into()), ..empty(SANDBOX, ContextKind::Sandbox) };
    BTreeMap::from([(LOCAL.to_owned(), local), (SANDBOX.to_owned(), sandbox)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, pairs: &[(&str, &str)], flags: Flags) -> anyhow::Result<Settings> {
        let root = std::env::temp_dir().join(format!("opsctl-settings-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("config.toml"), text).unwrap();
        let dir = root.to_str().unwrap();
        let mut all: Vec<_> = ["OPSCTL_CONFIG_DIR", "OPSCTL_DATA_DIR", "OPSCTL_STATE_DIR", "OPSCTL_CACHE_DIR"]
            .into_iter()
            .map(|name| (name, dir))
            .collect();
        all.extend(pairs);
        let settings = Settings::load(flags, Env::fixed(all));
        std::fs::remove_dir_all(&root).unwrap();
        settings
    }

    fn why(error: anyhow::Error) -> String {
        crate::error::Explained::from_error(&error).to_text()
    }

    #[test]
    fn each_value_remembers_its_source() {
        let text =
            "output = \"csv\"\ntimeout = \"5s\"\ncontext = \"eu\"\n[contexts.eu]\nurl = \"https://ops.example\"\n";
        let flags = Flags { color: Some(ColorChoice::Never), ..Flags::default() };
        let settings = load(text, &[("OPSCTL_OUTPUT", "json"), ("OPSCTL_COLOR", "always")], flags).unwrap();
        assert_eq!(settings.output, Sourced { value: Format::Json, source: Source::Env("OPSCTL_OUTPUT") });
        assert_eq!(settings.color, Sourced { value: ColorChoice::Never, source: Source::Flag });
        assert_eq!(settings.timeout, Sourced { value: Duration::from_secs(5), source: Source::File });
        assert_eq!(settings.context().unwrap().place(), "https://ops.example");
        let default = load("", &[], Flags::default()).unwrap();
        assert_eq!(default.context_name, Sourced { value: LOCAL.to_owned(), source: Source::Default });
        assert_eq!(default.context().unwrap().place(), "http://localhost:3000");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let text = "# mine\n[contexts.eu]\nurl = \"https://x\"\nenviroment = \"production\"\n";
        let text = why(load(text, &[], Flags::default()).unwrap_err());
        assert!(text.contains("line 4: unknown field `enviroment`"), "{text}");
        let text = why(load("\n\ncolour = \"red\"\n", &[], Flags::default()).unwrap_err());
        assert!(text.contains("line 3: unknown field `colour`"), "{text}");
        let text = why(load("output = \"xml\"\n", &[], Flags::default()).unwrap_err());
        assert!(text.contains("`xml` is not one of table, json"), "{text}");
        let text = why(load("[contexts.eu]\nurl = \"nowhere\"\n", &[], Flags::default()).unwrap_err());
        assert!(text.contains("[contexts.eu]"), "{text}");
    }

    #[test]
    fn a_wrong_variable_and_an_unknown_context() {
        let text = why(load("", &[("OPSCTL_TIMEOUT", "10")], Flags::default()).unwrap_err());
        assert!(text.contains("OPSCTL_TIMEOUT") && text.contains("no unit"), "{text}");
        let settings = load("", &[("OPSCTL_CONTEXT", "sandbx")], Flags::default()).unwrap();
        let error = settings.context().unwrap_err();
        assert!(why(error).contains("did you mean `sandbox`?"));
    }

    #[test]
    fn local_can_be_moved_and_keeps_its_token_file() {
        let settings = load("[contexts.local]\nurl = \"http://localhost:4000\"\n", &[], Flags::default()).unwrap();
        let local = settings.named_context(LOCAL).unwrap();
        assert_eq!(local.place(), "http://localhost:4000");
        assert!(local.credential.describe().ends_with("serve/admin.token"));
    }
}
