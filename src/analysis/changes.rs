//! What changed, by whom or by itself, in one line of time.

use serde::Serialize;

use crate::wire::{AuditRecord, CircuitTransition, ErrorCode, Time};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// When.
    pub at: Time,
    /// What kind of thing changed: `circuit`, `config`, `pause`, `service`.
    pub what: String,
    /// Which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How: `set`, `CLOSED -> OPEN`, `started`.
    pub change: String,
    /// What came of it, unless that is plain: the code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The person or job; absent for what happened by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<AuditRecord> for Change {
    fn from(record: AuditRecord) -> Change {
        let (what, change) = asked(&record.action, record.subject.as_deref());
        let refused = ErrorCode::from_wire(&record.outcome).is_some();
        let outcome = (refused || record.outcome == "unknown").then_some(record.outcome);
        let why = [record.reason, record.ticket].into_iter().flatten().collect::<Vec<_>>().join(", ");
        Change {
            at: record.at,
            what,
            subject: record.subject,
            change,
            outcome,
            by: Some(record.operator.unwrap_or(record.actor)),
            why: (!why.is_empty()).then_some(why),
        }
    }
}

impl From<CircuitTransition> for Change {
    fn from(step: CircuitTransition) -> Change {
        Change {
            at: step.at,
            what: "circuit".into(),
            subject: Some(step.platform.to_string()),
            change: format!("{} -> {}", step.from, step.to),
            outcome: None,
            by: None,
            why: Some(step.reason),
        }
    }
}

/// `POST /admin/v1/components/workers/restart` of `workers` as `component`, `restart`: the noun of the route, and its last
/// word, or what the method means where that is the noun or the thing itself.
fn asked(action: &str, subject: Option<&str>) -> (String, String) {
    let (method, path) = action.split_once(' ').unwrap_or(("", action));
    let mut words = path.trim_start_matches("/admin/v1/").trim_start_matches("/api/").split('/');
    let noun = words.next().unwrap_or_default();
    let verb = words.next_back().filter(|word| Some(*word) != subject && !word.bytes().any(|b| b.is_ascii_digit()));
    let change = verb.unwrap_or(match (noun, method) {
        ("pauses", _) => "pause",
        ("config", "PUT") => "set",
        ("config", "DELETE") => "unset",
        ("tokens", "DELETE") => "revoke",
        (_, "DELETE") => "remove",
        (_, "PUT") => "change",
        ("actions" | "workflows", _) => "submit",
        _ => "create",
    });
    let noun = match noun {
        "config" | "queue" => noun,
        "idempotency" => "key",
        plural => plural.strip_suffix('s').unwrap_or(plural),
    };
    (noun.replace('-', " "), change.replace('-', " "))
}

/// All of them in the order in which they happened.
pub fn in_order(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by_key(|change| change.at);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CircuitState, Platform};

    fn record(at: i64, action: &str, subject: Option<&str>, outcome: &str) -> AuditRecord {
        AuditRecord {
            id: format!("a{at}"),
            at: Time(at),
            actor: "tok_1 cron".into(),
            operator: Some("ana@bastion".into()),
            action: action.into(),
            subject: subject.map(str::to_owned),
            outcome: outcome.into(),
            reason: None,
            ticket: None,
            journal: None,
        }
    }

    #[test]
    fn requests_read_as_noun_and_verb() {
        for (action, subject, what, change) in [
            ("PUT /admin/v1/config/QUEUE_WORKERS", Some("QUEUE_WORKERS"), "config", "set"),
            ("DELETE /admin/v1/config/QUEUE_WORKERS", Some("QUEUE_WORKERS"), "config", "unset"),
            ("POST /admin/v1/pauses", Some("all"), "pause", "pause"),
            ("POST /admin/v1/pauses/resume", Some("all"), "pause", "resume"),
            ("POST /admin/v1/components/workers/restart", Some("workers"), "component", "restart"),
            ("POST /admin/v1/circuits/notion/reset", Some("notion"), "circuit", "reset"),
            ("POST /admin/v1/queue/clear", None, "queue", "clear"),
            ("POST /admin/v1/workflows/invoice-7/mark-resolved", Some("invoice-7"), "workflow", "mark resolved"),
            ("POST /admin/v1/workflows", Some("invoice-7"), "workflow", "submit"),
            ("DELETE /admin/v1/tokens/tok_1", Some("tok_1"), "token", "revoke"),
            ("DELETE /admin/v1/caches", None, "cache", "remove"),
            ("POST /admin/v1/backups", None, "backup", "create"),
        ] {
            assert_eq!(asked(action, subject), (what.into(), change.into()), "{action}");
        }
    }

    #[test]
    fn people_and_circuits_share_one_line_of_time() {
        let opened = CircuitTransition {
            at: Time(20),
            platform: Platform::Notion,
            from: CircuitState::Closed,
            to: CircuitState::Open,
            reason: "5 failures in 60s, last SERVICE_DOWN".into(),
            failure_count: 5,
        };
        let asked = [
            AuditRecord {
                reason: Some("deploy".into()),
                ..record(30, "POST /admin/v1/pauses", Some("all"), "applied")
            },
            record(10, "PUT /admin/v1/config/X", Some("X"), "CONFLICT"),
        ];
        let all = in_order(asked.into_iter().map(Change::from).chain([opened.into()]).collect());
        let told: Vec<_> =
            all.iter().map(|c| (c.at.0, c.change.as_str(), c.outcome.as_deref(), c.by.is_some())).collect();
        assert_eq!(
            told,
            [(10, "set", Some("CONFLICT"), true), (20, "CLOSED -> OPEN", None, false), (30, "pause", None, true)]
        );
        assert_eq!(all[2].why.as_deref(), Some("deploy"));
    }
}
