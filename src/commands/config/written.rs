//! What becomes of settings that are changed: the plan's line, the answer, the receipt.

use std::io;
use std::time::Duration;

use serde::Serialize;

use crate::app::App;
use crate::error::{Explained, Outcome};
use crate::guard::{Approval, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::secret::Secret;
use crate::settings::format_duration;
use crate::wire::{ConfigEntry, ConfigSet, ConfigSource, EffectKind, ItemEffect};

use super::restart_command;
use super::show::after;

/// A setting as it is, and the value it is to get.
pub(super) struct Change {
    /// As it is.
    pub(super) entry: ConfigEntry,
    /// In its normal spelling.
    pub(super) value: Secret,
}

impl Change {
    /// A change, unless the setting is so already for good, which is said.
    pub(super) fn of(app: &App, entry: ConfigEntry, value: Secret, expires: Option<Duration>) -> Option<Change> {
        if expires.is_none() && holds_already(&entry, &value) {
            app.note(format!("{} is already {}", entry.name, shown(&entry, &value)));
            return None;
        }
        Some(Change { entry, value })
    }

    /// The line of a plan.
    pub(super) fn step(&self, expires: Option<Duration>) -> Step {
        let Change { entry, value } = self;
        let mut evidence = format!("{} -> {}", current(entry), shown(entry, value));
        match restart_command(entry.restart) {
            Some(command) => evidence.push_str(&format!(", holds after `{command}`")),
            None => evidence.push_str(", holds at once"),
        }
        if let Some(time) = expires {
            evidence.push_str(&format!(", goes back after {}", format_duration(time)));
        }
        Step::new(format!("PUT /admin/v1/config/{}", entry.name)).because(evidence).undo(undo_word(entry))
    }
}

/// Makes the approved changes, one after the other, and answers.
pub(super) async fn write(
    app: &App,
    approval: &Approval,
    changes: &[Change],
    expires: Option<Duration>,
) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    let expires_in = expires.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let mut done = Done::default();
    for Change { entry, value } in changes {
        let set = ConfigSet { value: value.expose().to_owned(), expires_in };
        let answer = orchestrator.set_config(approval, &entry.name, &set, Some(entry.version)).await;
        done.take(entry, answer);
    }
    done.finish(app, approval)
}

/// What became of the settings, one after the other.
#[derive(Default)]
pub(super) struct Done {
    now: Vec<ConfigEntry>,
    items: Vec<ReceiptItem>,
    errors: Vec<(String, anyhow::Error)>,
}

impl Done {
    pub(super) fn take(&mut self, before: &ConfigEntry, answer: anyhow::Result<ConfigEntry>) {
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
    pub(super) fn finish(mut self, app: &App, approval: &Approval) -> anyhow::Result<Outcome> {
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

/// The value that holds, or will after a restart.
pub(super) fn desired(entry: &ConfigEntry) -> Option<&str> {
    entry.pending.as_deref().or(entry.value.as_deref())
}

/// What is there, for a plan: both values when they differ.
pub(super) fn current(entry: &ConfigEntry) -> String {
    let value = entry.value.as_deref().unwrap_or("(unset)");
    match &entry.pending {
        Some(pending) => format!("{value} (pending {pending})"),
        None => value.to_owned(),
    }
}

/// A new value, for a plan; a secret by its fingerprint.
pub(super) fn shown(entry: &ConfigEntry, value: &Secret) -> String {
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

pub(super) fn undo_word(before: &ConfigEntry) -> Undo {
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
}
