//! PagerDuty's Events API, version 2: <https://developer.pagerduty.com/docs/events-api-v2-overview>.
//!
//! An event is idempotent by its deduplication key: a repeated trigger joins the open alert, and a resolve of nothing
//! open is dropped. So one whose answer was lost may be sent again.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Channel, DedupKey, NotSent, Notifier};
use crate::error::{Fault, Kind};
use crate::http::{Method, Reply, clip};

/// The variable that holds the integration's key.
pub const ROUTING_KEY: &str = "PAGERDUTY_ROUTING_KEY";

/// Length of a routing key, in characters.
const ROUTING_KEY_LENGTH: usize = 32;

/// Longest summary, in characters.
const SUMMARY: usize = 1024;

/// What an event does to the alert of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventAction {
    /// Opens it, or joins it.
    Trigger,
    /// Says that somebody is at it.
    Acknowledge,
    /// Closes it.
    Resolve,
}

/// How bad it is, in PagerDuty's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// It can wait an hour.
    Warning,
    /// It can wait a quarter of an hour.
    Error,
    /// It cannot wait.
    Critical,
}

impl Severity {
    /// Every one, mildest first.
    const ALL: [Severity; 4] = [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];

    /// PagerDuty's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

impl FromStr for Severity {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        let known = Severity::ALL.into_iter().find(|severity| severity.as_str() == text);
        known.ok_or_else(|| {
            Fault::usage(format!("`{text}` is no severity")).hint("one of info, warning, error, critical")
        })
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it does.
    pub action: EventAction,
    /// To which alert.
    pub dedup_key: DedupKey,
    /// One line for the person who is woken up; cut at 1024 characters.
    pub summary: String,
    /// Where: the orchestrator's address, or this host.
    pub source: String,
    /// How bad.
    pub severity: Severity,
    /// What else helps: threshold, next command, section of the runbook. No secrets.
    pub details: Value,
}

impl Event {
    fn body(&self, routing_key: &str) -> Value {
        let mut body = json!({
            "routing_key": routing_key,
            "event_action": self.action,
            "dedup_key": self.dedup_key,
        });
        if self.action == EventAction::Trigger {
            body["client"] = "opsctl".into();
            body["payload"] = json!({
                "summary": clip(&self.summary, SUMMARY - 3),
                "source": self.source,
                "severity": self.severity,
                "custom_details": self.details,
            });
        }
        body
    }
}

impl Notifier {
    /// Sends one event. PagerDuty tells nothing about what it did with a follow-up to an alert that is not open.
    pub async fn pagerduty(&self, event: &Event) -> Result<(), NotSent> {
        let key = self.routing_key()?;
        let address = format!("{}/enqueue", self.clients.endpoints().pagerduty.trim_end_matches('/'));
        let url = address.parse().map_err(|_| not_sent(Kind::Usage, "its endpoint is not a URL"))?;
        let request = self.http.request(Method::POST, &url).map(|request| request.json(&event.body(key)));
        let answer = match request {
            Ok(request) => self.http.send(request, None).await,
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(reply) if reply.is_success() => Ok(()),
            Ok(reply) => Err(refused(&reply)),
            Err(failure) => Err(NotSent { delivery: failure.delivery, ..not_sent(Kind::Unreachable, failure.cause) }),
        }
    }

    fn routing_key(&self) -> Result<&str, NotSent> {
        let missing = |why: String| {
            let hint = format!("put the 32 characters of the Events API v2 integration into {ROUTING_KEY}");
            NotSent { hint: Some(hint), ..not_sent(Kind::NotAuthenticated, why) }
        };
        match &self.routing_key {
            None => Err(missing(format!("{ROUTING_KEY} is not set"))),
            // No call tests a key without waking somebody up, so its length is what can be told before.
            Some(key) if key.expose().chars().count() != ROUTING_KEY_LENGTH => {
                Err(missing(format!("{ROUTING_KEY} does not have {ROUTING_KEY_LENGTH} characters")))
            }
            Some(key) => Ok(key.expose()),
        }
    }
}

fn not_sent(kind: Kind, why: impl Into<String>) -> NotSent {
    NotSent::new(Channel::PagerDuty, kind, why)
}

/// What an answer that is no success means: 429 and 5xx pass, 400 does not.
fn refused(reply: &Reply) -> NotSent {
    let said = reply.json().and_then(|body| {
        let errors: Vec<&str> = body["errors"].as_array()?.iter().filter_map(Value::as_str).collect();
        Some(errors.join("; "))
    });
    let said = said.filter(|text| !text.is_empty()).unwrap_or_else(|| reply.first_line());
    let why = format!("HTTP {}: {}", reply.status, clip(&said, 300));
    match reply.status {
        429 | 500.. => not_sent(Kind::Unreachable, why),
        _ if said.contains("outing key") || said.contains("routing_key") => {
            let hint = format!("check {ROUTING_KEY} against the integration's page in PagerDuty");
            NotSent { hint: Some(hint), ..not_sent(Kind::NotAuthenticated, why) }
        }
        _ => not_sent(Kind::Failed, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trigger_says_what_it_is_about() {
        let mut event = Event {
            action: EventAction::Trigger,
            dedup_key: DedupKey::new("d").unwrap(),
            summary: "x".repeat(2000),
            source: "http://localhost:3000".into(),
            severity: Severity::Error,
            details: json!({"section": "issue 2"}),
        };
        let body = event.body("k");
        assert_eq!(body["payload"]["severity"], "error");
        assert!(body["payload"]["summary"].as_str().unwrap().chars().count() <= SUMMARY);
        event.action = EventAction::Resolve;
        assert_eq!(event.body("k"), json!({"routing_key": "k", "event_action": "resolve", "dedup_key": "d"}));
    }
}
