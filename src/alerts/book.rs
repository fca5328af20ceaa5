//! The book: one small file for each context, replaced whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Status;
use super::outbox::{Outgoing, Told};
use crate::analysis::alerts::{Moment, Observed, State, Track, rule};
use crate::analysis::keys::KeyEnd;
use crate::app::App;
use crate::files::{read_if_there, write_whole};
use crate::platforms::Platform;
use crate::wire::Time;

/// Everything that is remembered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Book {
    /// By `alert` or `alert/subject`.
    pub seen: BTreeMap<String, Seen>,
    /// Who silenced what, by the same names.
    pub silences: BTreeMap<String, Ack>,
    /// Who is at what.
    pub acks: BTreeMap<String, Ack>,
    /// What is still to be sent, oldest first.
    pub(super) outbox: Vec<Outgoing>,
    /// What was last known of the platforms' keys.
    pub keys: BTreeMap<Platform, KeyLook>,
}

/// One alert about one subject.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// How long it has held.
    #[serde(flatten)]
    pub track: Track,
    /// What was last seen.
    pub text: String,
    /// Its last state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Who was told that it fires.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) told: BTreeMap<String, Told>,
}

/// What somebody said about an alert, for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// Who.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Moment,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

impl Ack {
    fn left(&self, now: &Moment) -> Option<Duration> {
        Duration::from_millis(self.for_ms).checked_sub(now.since(&self.at)).filter(|left| !left.is_zero())
    }

    /// For people.
    pub fn quiet(&self) -> Quiet {
        let until = self.at.wall + Duration::from_millis(self.for_ms);
        Quiet { by: self.by.clone(), reason: self.reason.clone(), until }
    }
}

/// The same for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quiet {
    /// Who.
    pub by: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when.
    pub until: Time,
}

/// What was last known of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyLook {
    /// Which key.
    pub fingerprint: String,
    /// When this machine first saw it.
    pub first_seen: Time,
    /// When the platform was asked.
    pub asked: Moment,
    /// What was said.
    pub end: KeyEnd,
}

impl Book {
    /// Reads the book of the context in use. A damaged one is said and begun anew.
    pub fn read(app: &App) -> anyhow::Result<Self> {
        let path = file(app);
        let Some(text) = read_if_there(&path)? else { return Ok(Book::default()) };
        Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
            app.output.warn(&format!("{} is damaged and begun anew: {error}", path.display()));
            Book::default()
        }))
    }

    /// Writes it, durably.
    pub fn keep(&self, app: &App) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self).context("cannot write down what is known of alerts")?;
        write_whole(&file(app), &text, true)
    }

    /// Drops silences and acknowledgements whose time is over.
    pub fn forget_quiet(&mut self, now: &Moment) {
        self.silences.retain(|_, ack| ack.left(now).is_some());
        self.acks.retain(|_, ack| ack.left(now).is_some());
    }

    pub(super) fn silence_of(&self, alert: &str, subject: &str) -> Option<Quiet> {
        of(&self.silences, alert, subject)
    }

    pub(super) fn ack_of(&self, alert: &str, subject: &str) -> Option<Quiet> {
        of(&self.acks, alert, subject)
    }

    /// Alerts of these rules that fire about subjects nobody named this time; of the others such subjects are dropped.
    pub(super) fn unseen(&mut self, looked: &BTreeSet<&str>, observed: &[Observed]) -> Vec<Status> {
        let named: BTreeSet<String> = observed.iter().map(|o| subject_key(o.rule.name, &o.subject)).collect();
        let is_unseen = |key: &String| looked.contains(splits(key).0) && !named.contains(key);
        self.seen.retain(|key, seen| !is_unseen(key) || seen.track.firing.is_some());
        let mut all = self.list();
        all.retain(|status| status.state == State::Firing && is_unseen(&status.name()));
        all
    }

    /// Every alert that was ever seen, as it last stood.
    pub fn list(&self) -> Vec<Status> {
        let status = |(key, seen): (&String, &Seen)| {
            let (alert, subject) = splits(key);
            let state = seen.state.unwrap_or(State::Unknown);
            let mut status = Status::new(rule(alert)?, subject, seen.text.clone(), state);
            status.held_ms = seen.track.held_ms;
            status.firing_since = seen.track.firing;
            status.silenced = self.silence_of(alert, subject);
            status.acknowledged = self.ack_of(alert, subject);
            Some(status)
        };
        self.seen.iter().filter_map(status).collect()
    }
}

fn of(quiet: &BTreeMap<String, Ack>, alert: &str, subject: &str) -> Option<Quiet> {
    quiet.get(&subject_key(alert, subject)).or_else(|| quiet.get(alert)).map(Ack::quiet)
}

/// `circuit-open/notion`, or the alert's name alone.
pub fn subject_key(alert: &str, subject: &str) -> String {
    if subject.is_empty() { alert.to_owned() } else { format!("{alert}/{subject}") }
}

/// The two halves of such a name.
pub fn splits(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or((key, ""))
}

/// Now, by every clock of this machine.
pub fn moment(app: &App) -> Moment {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let uptime = read("/proc/uptime").split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    let up = uptime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Moment {
        wall: app.now(),
        // Without a count of its own the machine's start says nothing.
        boot: up.map(|_| read("/proc/sys/kernel/random/boot_id").trim().to_owned()).unwrap_or_default(),
        up_ms: up.and_then(|up| u64::try_from(up.as_millis()).ok()).unwrap_or(0),
        offset_ms: app.clock.offset_ms(),
    }
}

fn file(app: &App) -> PathBuf {
    app.settings.places.alerts().join(format!("{}.json", app.settings.context_name.value))
}
