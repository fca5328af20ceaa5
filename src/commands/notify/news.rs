//! News for people: one text, put on Slack and through PagerDuty, told once however often it is sent.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ReceiptItem, UndoAction};
use crate::notify::{Channel, DedupKey, Event, EventAction, Message, NotSent, Notifier, Severity};
use crate::output::Table;
use crate::platforms::Delivery;
use crate::wire::{EffectKind, Time};

/// How long the same message counts as said.
const SAME_FOR: Duration = Duration::from_secs(86_400);
/// Pauses before a receiver that may work in a moment is tried again.
const AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// How often a receiver is tried again that has too many requests, of the orchestrator for one, and asks for a pause.
const LIMITED: usize = 8;
/// The longest such pause that is waited for.
const LONGEST: Duration = Duration::from_secs(10);

/// What is told.
pub(crate) struct News {
    /// One line for whoever is woken up.
    pub line: String,
    /// What stands below it where there is room.
    pub below: String,
    /// Open it, or say that it is over.
    pub action: EventAction,
    /// What makes it one alert.
    pub key: DedupKey,
    /// What makes it one message; a second one with the same mark is not posted for a day.
    pub mark: String,
    /// How bad.
    pub severity: Severity,
    /// Where it comes from.
    pub source: String,
    /// More for a machine.
    pub details: serde_json::Value,
}

impl News {
    /// Sends it everywhere at once.
    pub async fn tell(&self, notifier: &Notifier, channels: &[Channel], now: Time) -> Delivered {
        let told = channels.iter().map(|to| self.send(notifier, to, now));
        let (sent, failures): (Vec<Sent>, Vec<_>) = futures_util::future::join_all(told).await.into_iter().unzip();
        Delivered { sent, failures: failures.into_iter().flatten().collect() }
    }

    pub(super) fn message(&self, channel: &str) -> Message {
        // Slack's markup begins with these three; news are plain text.
        let line = self.line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let text = format!("{line}\n{}", self.below);
        Message { channel: channel.to_owned(), text, thread: None, marker: self.mark.clone() }
    }

    pub(super) fn event(&self) -> Event {
        Event {
            action: self.action,
            dedup_key: self.key.clone(),
            summary: self.line.clone(),
            source: self.source.clone(),
            severity: self.severity,
            details: self.details.clone(),
        }
    }

    /// Sends it to one place, again when that may help. Both kinds of receiver take the same news twice as once.
    async fn send(&self, notifier: &Notifier, to: &Channel, now: Time) -> (Sent, Option<NotSent>) {
        let mut tried = 0;
        loop {
            let failure = match to {
                Channel::PagerDuty => notifier.pagerduty(&self.event()).await.err(),
                Channel::Slack(channel) => self.post(notifier, channel, now).await.err(),
            };
            let Some(pause) = failure.as_ref().and_then(|failure| pause(failure, tried)) else {
                return (Sent::new(to, failure.as_ref()), failure);
            };
            tried += 1;
            tokio::time::sleep(pause).await;
        }
    }

    async fn post(&self, notifier: &Notifier, channel: &str, now: Time) -> Result<(), NotSent> {
        let message = self.message(channel);
        match notifier.slack_once(&message, now.minus(SAME_FOR)).await {
            // Whether it was told before cannot be seen without the right to read; told twice is better than not at all.
            Err(failure) if !failure.retryable => notifier.slack(&message).await.map(drop),
            other => other.map(drop),
        }
    }
}

/// How long to wait before one more try; `None` when none is made.
fn pause(failure: &NotSent, tried: usize) -> Option<Duration> {
    match failure.retry_after {
        _ if !failure.retryable => None,
        // At another moment of the receiver's window each time: whoever else sends is let in at its beginning.
        Some(asked) => (tried < LIMITED && asked <= LONGEST).then(|| asked.mul_f64(1.0 + fastrand::f64())),
        None => AGAIN.get(tried).copied(),
    }
}

/// What became of news.
pub(crate) struct Delivered {
    /// A line for each place.
    pub sent: Vec<Sent>,
    failures: Vec<NotSent>,
}

impl Delivered {
    /// What the receipt keeps.
    pub fn receipt(&self) -> Vec<ReceiptItem> {
        self.sent.iter().map(Sent::receipt).collect()
    }

    /// Reached all, some, or nobody: then `nobody` says who was meant.
    pub fn outcome(&self, nobody: &str) -> Result<Outcome, Fault> {
        let Some(first) = self.failures.first() else { return Ok(Outcome::Done) };
        if self.failures.len() < self.sent.len() {
            return Ok(Outcome::SomeFailed);
        }
        let cause = first.fault();
        let kind = if self.failures.iter().any(|failure| failure.retryable) { Kind::Unreachable } else { cause.kind };
        let fault = Fault::new(kind, format!("{nobody} not reached"));
        let fault = self.failures.iter().fold(fault, |fault, failure| fault.because(failure.to_string()));
        Err(fault.hint(cause.hint.unwrap_or_else(|| "call them; then repeat the command".into())))
    }
}

/// What became of it at one place.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    to: String,
    /// `ARRIVED`, `NOT SENT`, or `UNKNOWN` when it may have arrived.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Sent {
    fn new(to: &Channel, failure: Option<&NotSent>) -> Self {
        let state = match failure {
            None => "ARRIVED",
            Some(failure) if failure.delivery == Delivery::Unknown => "UNKNOWN",
            Some(_) => "NOT SENT",
        };
        Sent { to: to.to_string(), state, detail: failure.map(|failure| failure.why.clone()) }
    }

    fn receipt(&self) -> ReceiptItem {
        let effect = match self.state {
            "ARRIVED" => EffectKind::Applied,
            "UNKNOWN" => EffectKind::Accepted,
            _ => EffectKind::Refused,
        };
        let undo = UndoAction::none("what people have read stays read");
        ReceiptItem { effect, detail: self.detail.clone(), ..ReceiptItem::applied(&self.to, undo) }
    }

    /// All of them, as people read them.
    pub fn table(all: &[Sent]) -> Table {
        let mut table = Table::new(&["TO", "STATE", "DETAIL"]);
        for one in all {
            table.row([one.to.as_str(), one.state, one.detail.as_deref().unwrap_or_default()]);
        }
        table
    }
}
