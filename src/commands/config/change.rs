//! `opsctl config set|unset`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Fault, Outcome};
use crate::guard::{Approval, ChangeArgs, Plan, Step};
use crate::secret::Secret;
use crate::server::config;
use crate::settings::parse_duration;
use crate::wire::{ConfigEntry, ConfigSource};

use super::restart_command;
use super::show::entry_of;
use super::written::{Change, Done, current, undo_word, write};

/// Longest value that is read from a file, in bytes; the service takes no longer one.
const LONGEST: u64 = 65_536;

/// Set settings of the running service
///
/// A value holds at once or after the restart that the plan names. A secret's value is never taken from the command
/// line: `config set NAME` asks for it without echo, --value-file reads it (- is stdin). --expires brings the old value
/// back by itself; switching off a circuit breaker needs it.
///
/// Example: opsctl config set QUEUE_WORKERS=10
#[derive(Args, Debug)]
pub struct SetArgs {
    /// NAME=VALUE, (can be repeated); NAME alone asks for the value
    #[arg(value_name = "NAME=VALUE", required = true)]
    settings: Vec<String>,

    /// Read the value from this file
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,

    /// Go back to the value before after this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<Duration>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// A setting with the value it is to get.
struct Wanted {
    name: String,
    value: Secret,
}

impl SetArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let wanted = self.wanted(app).await?;
        let orchestrator = app.orchestrator().await?;
        let mut changes = Vec::new();
        for Wanted { name, value } in wanted {
            let entry = entry_of(orchestrator, &name).await?;
            if entry.secret && self.value_file.is_none() && self.typed_value() {
                return Err(secret_on_command_line(&entry.name).into());
            }
            changes.extend(Change::of(app, entry, value, self.expires));
        }
        if changes.is_empty() {
            return Ok(Outcome::Done);
        }
        let plan = self.plan(&changes);
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        write(app, &approval, &changes, self.expires).await
    }

    /// Whether a value was typed on the command line.
    fn typed_value(&self) -> bool {
        self.settings.iter().any(|text| text.contains('='))
    }

    /// Takes the arguments apart and checks what can be checked without asking anybody.
    async fn wanted(&self, app: &App) -> Result<Vec<Wanted>, Fault> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for text in &self.settings {
            let (name, value) = match text.split_once('=') {
                Some((name, _)) if is_secret(name) => return Err(secret_on_command_line(name)),
                Some((name, _)) if self.value_file.is_some() => {
                    return Err(Fault::usage(format!("{name} has a value and --value-file too"))
                        .because("the value comes from one of them")
                        .hint(format!("write `opsctl config set {name} --value-file FILE`")));
                }
                Some((name, value)) => (name, Secret::new(value)),
                None if self.settings.len() > 1 => {
                    return Err(Fault::usage(format!("`{text}` has no value"))
                        .because("several settings at once are written NAME=VALUE")
                        .hint(format!("write {text}=VALUE, or set it in a command of its own")));
                }
                None => (text.as_str(), self.asked_value(app, text).await?),
            };
            if wanted.iter().any(|w| w.name == name) {
                return Err(Fault::usage(format!("{name} is set twice"))
                    .because("one command gives a setting one value")
                    .hint("leave one of them out"));
            }
            wanted.push(Wanted { name: name.to_owned(), value: self.checked(name, value)? });
        }
        Ok(wanted)
    }

    /// The value of a name that stands alone.
    async fn asked_value(&self, app: &App, name: &str) -> Result<Secret, Fault> {
        if let Some(file) = &self.value_file {
            return read_value(file).map_err(|error| {
                Fault::usage(format!("cannot read the value of {name}"))
                    .because(format!("{}: {error:#}", file.display()))
                    .hint("write --value-file FILE, or --value-file - for stdin")
            });
        }
        let secret = is_secret(name);
        if !app.prompt.can_ask() {
            let write = if secret { "--value-file FILE, or - for stdin".to_owned() } else { format!("{name}=VALUE") };
            return Err(Fault::usage(format!("{name} has no value"))
                .because("there is nobody to ask: stdin and stderr are not both terminals")
                .hint(format!("write {write}")));
        }
        let question = format!("Value of {name}:");
        let typed = match secret {
            true => app.prompt.secret(&question).await.map(Some),
            false => app.prompt.text(&question).await.map(|text| text.map(Secret::new)),
        };
        match typed {
            Ok(Some(value)) if !value.expose().trim().is_empty() => Ok(value),
            _ => Err(Fault::usage(format!("{name} has no value"))
                .because("nothing was typed")
                .hint("repeat the command")),
        }
    }

    /// The value in its normal spelling, or why it cannot be one. A variable this build does not know is left to the
    /// service.
    fn checked(&self, name: &str, value: Secret) -> Result<Secret, Fault> {
        let Some(def) = config::find(name) else { return Ok(value) };
        let normal = def.kind.normalise(value.expose()).map_err(|why| {
            Fault::usage(format!("cannot set {}", def.name))
                .because(format!("it {why}"))
                .hint(format!("see what it takes with `opsctl config get {}`", def.name))
        })?;
        if def.needs_expiry(&normal) && self.expires.is_none() {
            return Err(Fault::usage(format!("{} can be false only for a time", def.name))
                .because("without its breaker a platform that is down takes every worker with it")
                .hint(format!("opsctl config set {}=false --expires 30m", def.name)));
        }
        Ok(Secret::new(normal))
    }

    fn plan(&self, changes: &[Change]) -> Plan {
        let title = match changes {
            [one] => format!("set {}", one.entry.name),
            many => format!("set {} settings", many.len()),
        };
        Plan::new("config set", title, &self.change).steps(changes.iter().map(|change| change.step(self.expires)))
    }
}

/// Take a setting back to the environment's value or the default
///
/// Example: opsctl config unset QUEUE_WORKERS
#[derive(Args, Debug)]
pub struct UnsetArgs {
    /// The variable
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    change: ChangeArgs,
}

impl UnsetArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let orchestrator = app.orchestrator().await?;
        let entry = entry_of(orchestrator, &self.name).await?;
        if !is_set(&entry) {
            app.note(format!("{} is already not set: its value is {}", entry.name, current(&entry)));
            return Ok(Outcome::Done);
        }
        let holds = restart_command(entry.restart).map_or("at once".to_owned(), |c| format!("after `{c}`"));
        let evidence = format!("{} goes back to the environment's value or the default, {holds}", current(&entry));
        let step =
            Step::new(format!("DELETE /admin/v1/config/{}", entry.name)).because(evidence).undo(undo_word(&entry));
        let plan = Plan::new("config unset", format!("unset {}", entry.name), &self.change).step(step);
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let mut done = Done::default();
        done.take(&entry, unset(orchestrator, &approval, &entry).await);
        done.finish(app, &approval)
    }
}

async fn unset(orchestrator: &Orchestrator, approval: &Approval, entry: &ConfigEntry) -> anyhow::Result<ConfigEntry> {
    orchestrator.unset_config(approval, &entry.name, Some(entry.version)).await
}

fn is_secret(name: &str) -> bool {
    config::find(name).is_some_and(|def| def.kind.is_secret())
}

/// Whether there is something to take back. After an earlier `unset` the default waits for the restart.
fn is_set(entry: &ConfigEntry) -> bool {
    let default = config::find(&entry.name).and_then(|def| def.default.as_deref());
    match &entry.pending {
        Some(pending) => entry.source != ConfigSource::Set || Some(pending.as_str()) != default,
        None => entry.source == ConfigSource::Set,
    }
}

/// Never repeats the value.
fn secret_on_command_line(name: &str) -> Fault {
    Fault::usage(format!("the value of {name} cannot be taken from the command line"))
        .because("it is a secret, and command lines can be read by everybody on the machine and stay in the history")
        .hint(format!("`opsctl config set {name}` asks for it without echo; or pass --value-file FILE"))
}

fn read_value(file: &Path) -> anyhow::Result<Secret> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(LONGEST + 1).read_to_string(&mut text))
    };
    read.context("it is no text that can be read")?;
    anyhow::ensure!(text.len() as u64 <= LONGEST, "it is longer than {LONGEST} bytes");
    anyhow::ensure!(!text.trim().is_empty(), "it is empty");
    Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_on_the_command_line_is_refused_without_repeating_it() {
        let fault = secret_on_command_line("NOTION_API_KEY");
        assert_eq!(fault.kind.exit_code(), 2);
        assert!(fault.hint.unwrap().contains("--value-file"));
    }
}
