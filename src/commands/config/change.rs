//! `opsctl config set|unset`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Explained, Fault, Outcome};
use crate::guard::{Approval, ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::secret::Secret;
use crate::server::config;
use crate::settings::{format_duration, parse_duration};
use crate::wire::{ConfigEntry, ConfigSet, ConfigSource, EffectKind, ItemEffect};

use super::restart_command;
use super::show::{after, entry_of};

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

/// A setting as it is, and the value it is to get.
struct Change {
    entry: ConfigEntry,
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
            if self.expires.is_none() && holds_already(&entry, &value) {
                app.note(format!("{} is already {}", entry.name, shown(&entry, &value)));
                continue;
            }
            changes.push(Change { entry, value });
        }
        if changes.is_empty() {
            return Ok(Outcome::Done);
        }
        let plan = self.plan(&changes);
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let expires_in = self.expires.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        let mut done = Done::default();
        for Change { entry, value } in &changes {
            let set = ConfigSet { value: value.expose().to_owned(), expires_in };
            let answer = orchestrator.set_config(&approval, &entry.name, &set, Some(entry.version)).await;
            done.take(entry, answer);
        }
        done.finish(app, &approval)
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
        if normal == "false" && def.name.ends_with("_CIRCUIT_BREAKER_ENABLED") && self.expires.is_none() {
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
        let steps = changes.iter().map(|Change { entry, value }| {
            let mut evidence = format!("{} -> {}", current(entry), shown(entry, value));
            match restart_command(entry.restart) {
                Some(command) => evidence.push_str(&format!(", holds after `{command}`")),
                None => evidence.push_str(", holds at once"),
            }
            if let Some(time) = self.expires {
                evidence.push_str(&format!(", goes back after {}", format_duration(time)));
            }
            Step::new(format!("PUT /admin/v1/config/{}", entry.name)).because(evidence).undo(undo_word(entry))
        });
        Plan::new("config set", title, &self.change).steps(steps)
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

/// What became of the settings, one after the other.
#[derive(Default)]
struct Done {
    now: Vec<ConfigEntry>,
    items: Vec<ReceiptItem>,
    errors: Vec<(String, anyhow::Error)>,
}

impl Done {
    fn take(&mut self, before: &ConfigEntry, answer: anyhow::Result<ConfigEntry>) {
        match answer {
            Ok(entry) => {
                self.items.push(ReceiptItem::applied(&entry.name, undo_action(before, desired(&entry))));
                self.now.push(entry);
            }
            Err(error) => {
                let detail = Some(Explained::from_error(&error).message);
                let effect = ItemEffect { id: before.name.clone(), effect: EffectKind::Refused, detail };
                self.items.push(ReceiptItem::from_effect(&effect, UndoAction::none("it was not changed")));
                self.errors.push((before.name.clone(), error));
            }
        }
    }

    /// The answer, the receipt, and what to type next. One setting that failed is the command's failure; of several
    /// each is named.
    fn finish(mut self, app: &App, approval: &Approval) -> anyhow::Result<Outcome> {
        if self.now.is_empty() && self.errors.len() == 1 {
            let (name, error) = self.errors.remove(0);
            return Err(error.context(format!("cannot change {name}")));
        }
        app.receipt(approval, self.items)?;
        for (name, error) in &self.errors {
            app.output.warn(&format!("{name} was not changed: {error:#}"));
        }
        let mut next: Vec<String> =
            self.now.iter().filter(|e| e.pending.is_some()).filter_map(|e| restart_command(e.restart)).collect();
        next.sort();
        next.dedup();
        if !self.now.is_empty() {
            app.emit(&Changed(self.now))?;
        }
        for command in next {
            app.note(format!("next: {command}"));
        }
        Ok(if self.errors.is_empty() { Outcome::Done } else { Outcome::SomeFailed })
    }
}

/// The settings as they are now: one object for one, a list for several.
struct Changed(Vec<ConfigEntry>);

impl Serialize for Changed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl Report for Changed {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for entry in &self.0 {
            let value = entry.value.as_deref().unwrap_or("(unset)");
            let back = entry.expires_at.map(|t| format!(", goes back {}", page.time(t))).unwrap_or_default();
            match &entry.pending {
                Some(pending) => {
                    page.pair(&entry.name, format_args!("{value} in force, {pending}{}{back}", after(entry)))?
                }
                None => page.pair(&entry.name, format_args!("{value} in force{back}"))?,
            }
        }
        Ok(())
    }
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

/// The value that holds, or will after a restart.
fn desired(entry: &ConfigEntry) -> Option<&str> {
    entry.pending.as_deref().or(entry.value.as_deref())
}

/// What is there, for a plan: both values when they differ.
fn current(entry: &ConfigEntry) -> String {
    let value = entry.value.as_deref().unwrap_or("(unset)");
    match &entry.pending {
        Some(pending) => format!("{value} (pending {pending})"),
        None => value.to_owned(),
    }
}

/// A new value, for a plan; a secret by its fingerprint.
fn shown(entry: &ConfigEntry, value: &Secret) -> String {
    if entry.secret { format!("sha256:{}", value.fingerprint()) } else { value.expose().to_owned() }
}

fn holds_already(entry: &ConfigEntry, value: &Secret) -> bool {
    if entry.expires_at.is_some() {
        return false;
    }
    match entry.secret {
        true => entry.pending.is_none() && entry.fingerprint.as_deref() == Some(value.fingerprint().as_str()),
        false => desired(entry) == Some(value.expose()),
    }
}

/// What an undo writes back: the value that was set before, `None` when it came from elsewhere. `now` is what holds
/// after the change, or will: an undo leaves alone what has become something else by then.
fn undo_action(before: &ConfigEntry, now: Option<&str>) -> UndoAction {
    let was_set = before.source == ConfigSource::Set || before.pending.is_some();
    if before.secret && was_set {
        return UndoAction::none("the old value of a secret is kept nowhere");
    }
    let value = desired(before).filter(|_| was_set).map(str::to_owned);
    UndoAction::SetConfig { name: before.name.clone(), value, set: now.map(str::to_owned) }
}

fn undo_word(before: &ConfigEntry) -> Undo {
    match undo_action(before, None) {
        UndoAction::None { .. } => Undo::None,
        _ => Undo::Rewrite,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RestartPart;

    fn entry(value: Option<&str>, pending: Option<&str>, source: ConfigSource, secret: bool) -> ConfigEntry {
        ConfigEntry {
            name: "X".into(),
            value: value.map(str::to_owned),
            pending: pending.map(str::to_owned),
            source,
            restart: RestartPart::Workers,
            secret,
            fingerprint: secret.then(|| Secret::new("old-secret").fingerprint()),
            pending_fingerprint: None,
            description: String::new(),
            expires_at: None,
            version: 1,
        }
    }

    #[test]
    fn an_undo_writes_back_what_was_set_and_nothing_else() {
        let set = |value: Option<&str>| UndoAction::SetConfig {
            name: "X".into(),
            value: value.map(str::to_owned),
            set: Some("9".into()),
        };
        let undo_action = |before: &ConfigEntry| undo_action(before, Some("9"));
        assert_eq!(undo_action(&entry(Some("5"), None, ConfigSource::Default, false)), set(None));
        assert_eq!(undo_action(&entry(Some("5"), None, ConfigSource::Set, false)), set(Some("5")));
        assert_eq!(undo_action(&entry(Some("5"), Some("7"), ConfigSource::Default, false)), set(Some("7")));
        assert_eq!(undo_action(&entry(None, None, ConfigSource::Default, true)), set(None));
        assert_eq!(undo_word(&entry(Some("..."), None, ConfigSource::Set, true)), Undo::None);
    }

    #[test]
    fn what_holds_already_is_recognised() {
        let value = |text: &str| Secret::new(text);
        assert!(holds_already(&entry(Some("5"), None, ConfigSource::Default, false), &value("5")));
        assert!(!holds_already(&entry(Some("5"), Some("7"), ConfigSource::Default, false), &value("5")));
        assert!(holds_already(&entry(Some("5"), Some("7"), ConfigSource::Default, false), &value("7")));
        let secret = entry(Some("set"), None, ConfigSource::Set, true);
        assert!(holds_already(&secret, &value("old-secret")) && !holds_already(&secret, &value("other")));
    }

    #[test]
    fn a_plan_shows_a_secret_by_its_fingerprint() {
        let value = Secret::new("s3cret-value-1234");
        let text = shown(&entry(None, None, ConfigSource::Default, true), &value);
        assert!(text.starts_with("sha256:") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn a_secret_on_the_command_line_is_refused_without_repeating_it() {
        let fault = secret_on_command_line("NOTION_API_KEY");
        assert_eq!(fault.kind.exit_code(), 2);
        assert!(fault.hint.unwrap().contains("--value-file"));
    }
}
