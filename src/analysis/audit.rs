//! Who changed what, who was refused, and what of it somebody should look at, by rules that are named with the answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::platforms::is_credential;
use crate::wire::{AuditRecord, ErrorCode, Time};

/// Refused changes of one credential from which they are a finding.
const REFUSED_MANY: u64 = 3;

/// A rule over the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRule {
    /// Its name.
    pub id: &'static str,
    /// What it looks for.
    pub describes: &'static str,
    /// The next command.
    pub next: &'static str,
}

/// Every rule that is applied.
pub const RULES: [AuditRule; 5] = [
    AuditRule {
        id: "break-glass-change",
        describes: "a change made with the break-glass token",
        next: "opsctl history --since 7d",
    },
    AuditRule { id: "token-made", describes: "a token that was made or revoked", next: "opsctl token list" },
    AuditRule { id: "key-replaced", describes: "a platform's key that was set or unset", next: "opsctl validate env" },
    AuditRule {
        id: "changes-refused",
        describes: "3 or more changes that one credential was refused",
        next: "opsctl logs security --suspicious",
    },
    AuditRule {
        id: "nobody-named",
        describes: "a change by a client that names no person: not opsctl, or one that hides it",
        next: "opsctl token list",
    },
];

/// What a rule found of one credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditFinding {
    /// The rule.
    pub rule: String,
    /// The credential: token id and name.
    pub actor: String,
    /// Records that the rule is about.
    pub count: u64,
    /// The last.
    pub last_at: Time,
    /// What the last one asked for.
    pub example: String,
    /// The next command.
    pub next: String,
}

/// What one credential did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The credential: token id and name.
    pub actor: String,
    /// The people it was used for, as claimed.
    pub operators: BTreeSet<String>,
    /// Changes that were let through.
    pub changes: u64,
    /// Changes that were refused.
    pub refused: u64,
    /// Changes without a reason.
    pub without_reason: u64,
    /// The last record.
    pub last_at: Time,
}

/// What was asked for, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deed {
    /// What was asked: `POST /admin/v1/queue/clear`.
    pub action: String,
    /// By whom.
    pub actor: String,
    /// What became of it: an effect, or an error code.
    pub outcome: String,
    /// How often.
    pub count: u64,
    /// The last time.
    pub last_at: Time,
}

/// The audit log, summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audited {
    /// Records that were looked at.
    pub records: u64,
    /// By credential, the busiest first.
    pub actors: Vec<Actor>,
    /// By what was asked, the latest first.
    pub deeds: Vec<Deed>,
    /// What the rules found, the latest first.
    pub findings: Vec<AuditFinding>,
}

/// Sums up records, newest first as the server gives them.
pub fn audited(records: &[AuditRecord]) -> Audited {
    let mut actors: BTreeMap<&str, Actor> = BTreeMap::new();
    let mut deeds: BTreeMap<(&str, &str, &str), Deed> = BTreeMap::new();
    let mut findings: BTreeMap<(usize, &str), AuditFinding> = BTreeMap::new();
    for record in records {
        let refused = is_refused(record);
        let actor = actors.entry(&record.actor).or_insert_with(|| Actor {
            actor: record.actor.clone(),
            last_at: record.at,
            ..Actor::default()
        });
        actor.operators.extend(record.operator.clone());
        actor.changes += u64::from(!refused);
        actor.refused += u64::from(refused);
        actor.without_reason += u64::from(!refused && record.reason.is_none());
        let deed = deeds.entry((&record.action, &record.actor, &record.outcome)).or_insert_with(|| Deed {
            action: record.action.clone(),
            actor: record.actor.clone(),
            outcome: record.outcome.clone(),
            count: 0,
            last_at: record.at,
        });
        deed.count += 1;
        for (number, rule) in RULES.iter().enumerate().filter(|(_, rule)| fits(rule.id, record, refused)) {
            let finding = findings.entry((number, &record.actor)).or_insert_with(|| AuditFinding {
                rule: rule.id.to_owned(),
                actor: record.actor.clone(),
                count: 0,
                last_at: record.at,
                example: format!("{} {}", record.action, record.outcome),
                next: rule.next.to_owned(),
            });
            finding.count += 1;
        }
    }
    let mut audited = Audited {
        records: records.len() as u64,
        actors: actors.into_values().collect(),
        deeds: deeds.into_values().collect(),
        findings: findings.into_values().filter(|f| f.rule != "changes-refused" || f.count >= REFUSED_MANY).collect(),
    };
    audited.actors.sort_by_key(|a| std::cmp::Reverse(a.changes + a.refused));
    audited.deeds.sort_by_key(|d| std::cmp::Reverse(d.last_at));
    audited.findings.sort_by_key(|f| std::cmp::Reverse(f.last_at));
    audited
}

/// The outcome of a change that was let through is an effect; of another one it is an error code.
fn is_refused(record: &AuditRecord) -> bool {
    ErrorCode::ALL.iter().any(|code| code.to_string() == record.outcome)
}

fn fits(rule: &str, record: &AuditRecord, refused: bool) -> bool {
    match rule {
        "changes-refused" => refused,
        _ if refused => false,
        "break-glass-change" => record.actor.ends_with(" break-glass"),
        "token-made" => record.action.contains(" /admin/v1/tokens"),
        "key-replaced" => record.action.rsplit_once("/admin/v1/config/").is_some_and(|(_, name)| is_credential(name)),
        "nobody-named" => record.operator.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: i64, actor: &str, action: &str, outcome: &str) -> AuditRecord {
        AuditRecord {
            id: at.to_string(),
            at: Time(at),
            actor: actor.into(),
            operator: Some("ana@bastion".into()),
            action: action.into(),
            subject: None,
            outcome: outcome.into(),
            reason: None,
            ticket: None,
            journal: None,
        }
    }

    #[test]
    fn who_did_what_and_who_was_refused() {
        let clear = "POST /admin/v1/queue/clear";
        let records = [
            record(9, "t1 ci", clear, "PERMISSION_DENIED"),
            record(8, "t1 ci", clear, "PERMISSION_DENIED"),
            record(7, "t2 admin", clear, "applied"),
        ];
        let seen = audited(&records);
        let actors: Vec<_> = seen.actors.iter().map(|a| (a.actor.as_str(), a.changes, a.refused)).collect();
        assert_eq!(actors, [("t1 ci", 0, 2), ("t2 admin", 1, 0)]);
        assert_eq!((seen.deeds[0].count, seen.deeds[0].last_at), (2, Time(9)));
        assert_eq!(seen.findings, []);
    }

    #[test]
    fn every_rule_finds_what_it_is_for_and_nothing_else() {
        let found =
            |record: AuditRecord| -> Vec<String> { audited(&[record]).findings.into_iter().map(|f| f.rule).collect() };
        assert_eq!(found(record(1, "t9 break-glass", "POST /admin/v1/pauses", "applied")), ["break-glass-change"]);
        assert_eq!(found(record(1, "t1 admin", "POST /admin/v1/tokens", "applied")), ["token-made"]);
        assert_eq!(found(record(1, "t1 admin", "PUT /admin/v1/config/NOTION_API_KEY", "applied")), ["key-replaced"]);
        assert!(found(record(1, "t1 admin", "PUT /admin/v1/config/QUEUE_WORKERS", "applied")).is_empty());
        let nobody = AuditRecord { operator: None, ..record(1, "t1 admin", "POST /admin/v1/pauses", "applied") };
        assert_eq!(found(nobody), ["nobody-named"]);
        let refused: Vec<_> = (0..3).map(|at| record(at, "t1 ci", "POST /admin/v1/tokens", "LOCKED_DOWN")).collect();
        assert_eq!(audited(&refused).findings[0].rule, "changes-refused");
    }
}
