//! Telling people and their machines: messages on Slack, events for PagerDuty, pings for a heartbeat service.
//!
//! [`Notifier`] is made by `App::notifier`. It sends one thing once and says whether it arrived; when to send what, and
//! asking first, is the callers' business. `--notify` on a check is a standing consent that somebody gave when they
//! wrote the line into a schedule; a verb that notifies because a person typed it goes through the guard first.
//!
//! What can be sent twice without harm is made so: a PagerDuty event by its [`DedupKey`], a Slack message by its
//! marker, which [`Notifier::slack_once`] looks for before it sends again.

mod dedup;
mod pagerduty;
pub mod ping;
mod slack;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use dedup::DedupKey;
pub use pagerduty::{Event, EventAction, ROUTING_KEY, Severity};
pub use ping::Ping;
pub use slack::{Message, Posted};

use crate::error::{Fault, Kind};
use crate::http::{Http, Options};
use crate::platforms::{Clients, Delivery};
use crate::secret::Secret;

/// Longest wait for one answer of a receiver: a check that runs each minute must not hang on a dead one.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Where notifications go: `slack:#ops-alerts` or `pagerduty`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// A channel of Slack's, by `#name` or id.
    Slack(String),
    /// The PagerDuty service that the routing key belongs to.
    PagerDuty,
}

impl FromStr for Channel {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        match text.split_once(':') {
            Some(("slack", channel)) if !channel.trim_start_matches('#').is_empty() => {
                Ok(Channel::Slack(channel.to_owned()))
            }
            None if text == "pagerduty" => Ok(Channel::PagerDuty),
            _ => Err(Fault::usage(format!("`{text}` is nowhere to notify"))
                .hint("write slack:#ops-alerts (the quotes keep the shell from it: 'slack:#ops-alerts') or pagerduty")),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Slack(channel) => write!(f, "slack:{channel}"),
            Channel::PagerDuty => f.write_str("pagerduty"),
        }
    }
}

/// Why something was not sent, or may not have been.
#[derive(Clone, Debug, PartialEq)]
pub struct NotSent {
    /// To whom: `slack:#ops-alerts`.
    pub to: String,
    /// Why, for people.
    pub why: String,
    /// Whether it can have arrived all the same.
    pub delivery: Delivery,
    /// Whether the same may work later, without anybody changing anything.
    pub retryable: bool,
    /// How long the receiver asked to wait, when it had too many requests.
    pub retry_after: Option<Duration>,
    kind: Kind,
    hint: Option<String>,
}

impl NotSent {
    fn new(to: impl ToString, kind: Kind, why: impl Into<String>) -> Self {
        let retryable = kind == Kind::Unreachable;
        NotSent {
            to: to.to_string(),
            why: why.into(),
            delivery: Delivery::NotDelivered,
            retryable,
            retry_after: None,
            kind,
            hint: None,
        }
    }

    /// The failure of a command that had nothing else to do.
    pub fn fault(&self) -> Fault {
        let fault = Fault::new(self.kind, format!("cannot notify {}", self.to)).because(&self.why);
        match &self.hint {
            Some(hint) => fault.hint(hint),
            None => fault.hint("repeat the command; what arrived already is not sent twice"),
        }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.to, self.why)
    }
}

/// Sends notifications.
pub struct Notifier {
    clients: Clients,
    http: Http,
    routing_key: Option<Secret>,
}

impl Notifier {
    /// One that speaks to Slack and PagerDuty where these clients' endpoints say.
    pub fn new(clients: Clients, routing_key: Option<Secret>) -> Self {
        let http = Http::new(Options { timeout: LIMIT, ..Options::default() });
        Notifier { clients, http, routing_key }
    }
}
