//! PagerDuty's Events API: takes events, and remembers the alerts they opened.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Call, Created, Operation, Reply};
use super::hub::Refusal;
use super::ids::Ids;
use super::limits::{Charge, LimitSettings};
use crate::wire::Time;

/// Length of a routing key, in characters.
const KEY: usize = 32;

/// Longest deduplication key, in characters.
const DEDUP: usize = 255;

/// Longest summary, in characters.
const SUMMARY: usize = 1024;

/// Largest event, in bytes.
const BODY: usize = 512 * 1024;

/// One integration and its alerts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PagerDuty {
    ids: Ids,
    pub(super) routing_key: String,
    /// Every event that was taken, oldest first.
    events: Vec<Event>,
    /// By deduplication key.
    alerts: BTreeMap<String, Alert>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Event {
    at: Time,
    action: Action,
    dedup_key: String,
    payload: Value,
    /// Whether it changed an alert: follow-ups of what is not open are dropped without a word.
    applied: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Alert {
    status: Status,
    summary: String,
    /// Triggers that joined it, the first included.
    triggers: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Triggered,
    Acknowledged,
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

pub(super) fn operation(call: &Call) -> Operation {
    let action = call.json().map(|body| body["event_action"].clone()).unwrap_or_default();
    match (call.method.as_str(), call.segments().as_slice(), action.as_str()) {
        ("POST", ["v2", "enqueue"], Some("trigger")) => Operation::create("events.trigger"),
        ("POST", ["v2", "enqueue"], Some("acknowledge")) => Operation::update("events.acknowledge"),
        ("POST", ["v2", "enqueue"], Some("resolve")) => Operation::update("events.resolve"),
        _ => Operation::UNKNOWN,
    }
}

pub(super) fn charges(limits: &LimitSettings, call: &Call) -> Vec<Charge> {
    let body = call.json().unwrap_or_default();
    let key = body["routing_key"].as_str().unwrap_or_default();
    vec![Charge::new("events", key, limits.pagerduty_per_minute, Duration::from_secs(60))]
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    let (status, body) = match refusal {
        Refusal::Unauthorized | Refusal::Forbidden => return invalid(&["Invalid routing key".into()]),
        Refusal::Limited(_) => (
            429,
            json!({
                "status": "throttle exceeded",
                "message": "Requests for this service are arriving too quickly. Please retry later.",
                "errors": ["Event rate limit exceeded"],
            }),
        ),
        Refusal::Server(503) => (503, json!({"status": "unavailable", "message": "Service unavailable"})),
        Refusal::Server(status) => (*status, json!({"status": "internal error", "message": "Internal server error"})),
    };
    Reply::json(status, &body)
}

fn invalid(errors: &[String]) -> Reply {
    let body = json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors});
    Reply::json(400, &body)
}

impl PagerDuty {
    pub(super) fn new(seed: u64) -> Self {
        let mut ids = Ids::new(seed, "pagerduty");
        PagerDuty { routing_key: ids.hex(KEY), ids, events: Vec::new(), alerts: BTreeMap::new() }
    }

    pub(super) fn handle(&mut self, call: &Call, now: Time) -> Reply {
        match (call.method.as_str(), call.segments().as_slice()) {
            ("POST", ["v2", "enqueue"]) => self.enqueue(call, now).unwrap_or_else(|refused| refused),
            _ => Reply::html(404),
        }
    }

    fn enqueue(&mut self, call: &Call, now: Time) -> Result<Reply, Reply> {
        if call.body.len() > BODY {
            return Err(Reply::text(413, "Request Entity Too Large"));
        }
        let Some(body) = call.json().filter(Value::is_object) else {
            return Err(Reply::json(
                400,
                &json!({
                    "status": "Unrecognized object",
                    "message": "Event object format is unrecognized",
                    "errors": ["JSON parse error"],
                }),
            ));
        };
        let action = self.checked(&body).map_err(|errors| invalid(&errors))?;
        let dedup_key = body["dedup_key"].as_str().map_or_else(|| self.ids.hex(KEY), str::to_owned);
        let summary = body["payload"]["summary"].as_str().unwrap_or_default().to_owned();
        let applied = self.apply(action, &dedup_key, &summary);
        let payload = body["payload"].clone();
        self.events.push(Event { at: now, action, dedup_key: dedup_key.clone(), payload, applied });
        let answer = json!({"status": "success", "message": "Event processed", "dedup_key": dedup_key});
        let reply = Reply { ok: applied, ..Reply::json(202, &answer) };
        let opened = action == Action::Trigger && self.alerts.get(&dedup_key).is_some_and(|a| a.triggers == 1);
        Ok(if opened { reply.created(Created { name: summary, markers: vec![dedup_key] }) } else { reply })
    }

    /// What an event asks for, or all that is wrong with it.
    fn checked(&self, body: &Value) -> Result<Action, Vec<String>> {
        let mut errors = Vec::new();
        let key = body["routing_key"].as_str().unwrap_or_default();
        if key.len() != KEY {
            errors.push(format!("Length of 'routing_key' is incorrect (should be {KEY} characters)"));
        } else if key != self.routing_key {
            errors.push("Invalid routing key".into());
        }
        let action = serde_json::from_value::<Action>(body["event_action"].clone());
        if action.is_err() {
            errors.push("'event_action' must be one of trigger, acknowledge, resolve".into());
        }
        let missing = |name: &str, value: &Value| {
            let blank = value.as_str().is_none_or(|text| text.trim().is_empty());
            blank.then(|| format!("'{name}' is missing or blank"))
        };
        match action {
            Ok(Action::Trigger) => {
                let payload = &body["payload"];
                for name in ["summary", "source", "severity"] {
                    errors.extend(missing(&format!("payload.{name}"), &payload[name]));
                }
                let severity = payload["severity"].as_str().unwrap_or_default();
                if !severity.is_empty() && !["critical", "error", "warning", "info"].contains(&severity) {
                    errors.push("'payload.severity' is invalid (must be one of critical, warning, error, info)".into());
                }
                if payload["summary"].as_str().is_some_and(|text| text.chars().count() > SUMMARY) {
                    errors.push(format!("'payload.summary' is too long (maximum is {SUMMARY} characters)"));
                }
            }
            _ => errors.extend(missing("dedup_key", &body["dedup_key"])),
        }
        if body["dedup_key"].as_str().is_some_and(|text| text.chars().count() > DEDUP) {
            errors.push(format!("'dedup_key' is too long (maximum is {DEDUP} characters)"));
        }
        match action {
            Ok(action) if errors.is_empty() => Ok(action),
            _ => Err(errors),
        }
    }

    /// A trigger joins the alert that is open or opens a new one; a follow-up needs one that is open.
    fn apply(&mut self, action: Action, dedup_key: &str, summary: &str) -> bool {
        let open = self.alerts.get_mut(dedup_key).filter(|alert| alert.status != Status::Resolved);
        match (action, open) {
            (Action::Trigger, Some(alert)) => alert.triggers += 1,
            (Action::Trigger, None) => {
                let alert = Alert { status: Status::Triggered, summary: summary.to_owned(), triggers: 1 };
                self.alerts.insert(dedup_key.to_owned(), alert);
            }
            (Action::Acknowledge, Some(alert)) => alert.status = Status::Acknowledged,
            (Action::Resolve, Some(alert)) => alert.status = Status::Resolved,
            (_, None) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};

    use super::*;

    fn send(pager: &mut PagerDuty, body: &Value) -> (u16, Value, bool) {
        let uri = "/v2/enqueue".parse().unwrap();
        let call = Call::new(Method::POST, &uri, HeaderMap::new(), body.to_string().into());
        let reply = pager.handle(&call, Time(0));
        (reply.status, serde_json::from_str(&reply.body).unwrap(), reply.ok)
    }

    fn trigger(key: &str) -> Value {
        json!({
            "routing_key": key, "event_action": "trigger", "dedup_key": "d",
            "payload": {"summary": "Circuit open", "source": "opsctl", "severity": "critical"},
        })
    }

    #[test]
    fn a_trigger_joins_the_open_alert_and_follow_ups_need_one() {
        let mut pager = PagerDuty::new(1);
        let key = pager.routing_key.clone();
        let follow = |action: &str| json!({"routing_key": key, "event_action": action, "dedup_key": "d"});
        assert_eq!((send(&mut pager, &follow("resolve")).0, pager.alerts.len()), (202, 0));
        for _ in 0..2 {
            assert_eq!(send(&mut pager, &trigger(&key)).1["dedup_key"], "d");
        }
        assert_eq!((pager.alerts["d"].status, pager.alerts["d"].triggers), (Status::Triggered, 2));
        send(&mut pager, &follow("acknowledge"));
        assert_eq!(pager.alerts["d"].status, Status::Acknowledged);
        send(&mut pager, &follow("resolve"));
        assert!(!send(&mut pager, &follow("acknowledge")).2);
        send(&mut pager, &trigger(&key));
        assert_eq!((pager.alerts["d"].status, pager.alerts["d"].triggers), (Status::Triggered, 1));
        let applied: Vec<bool> = pager.events.iter().map(|event| event.applied).collect();
        assert_eq!(applied, [false, true, true, true, true, false, true]);
    }

    #[test]
    fn all_that_is_wrong_with_an_event_is_said() {
        let mut pager = PagerDuty::new(1);
        let (status, body, _) = send(&mut pager, &json!({"routing_key": "x", "event_action": "trigger"}));
        assert_eq!((status, body["errors"].as_array().unwrap().len()), (400, 4));
        let mut long = trigger(&pager.routing_key.clone());
        long["payload"]["summary"] = json!("x".repeat(SUMMARY + 1));
        assert_eq!(send(&mut pager, &long).0, 400);
        assert_eq!(send(&mut pager, &json!("text")).1["errors"][0], "JSON parse error");
        assert_eq!(send(&mut pager, &trigger(&"0".repeat(KEY))).1["errors"][0], "Invalid routing key");
        assert!(pager.events.is_empty());
    }
}
