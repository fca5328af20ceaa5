//! The same done twice, and what kept it from being done twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::attempts::{self, attempt};
use super::lines::{Line, Question};
use crate::wire::{Platform, Time};

/// Different contents that are told apart; of more it is not known whether they repeat.
const KEPT_MAX: usize = 100_000;
/// Actions that are named for each.
const NAMED: usize = 5;

/// What was done more than once with the same parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Duplicate {
    /// Where.
    pub platform: Platform,
    /// What: `create`, `notify`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What stands for the parameters.
    pub fingerprint: String,
    /// How often it succeeded.
    pub count: u64,
    /// The first time.
    pub first_at: Time,
    /// The last.
    pub last_at: Time,
    /// The actions, at most five. The same action twice means that one action ran again.
    pub actions: Vec<String>,
    /// Whether one action succeeded more than once.
    pub same_action: bool,
}

/// Writes on one platform of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The platform.
    pub platform: Platform,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Writes that succeeded.
    pub succeeded: u64,
    /// Of those, the second and later with the same parameters.
    pub duplicates: u64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Duplicates {
    /// What was done more than once, most often first.
    pub duplicates: Vec<Duplicate>,
    /// All writes by platform and type.
    pub rows: Vec<Row>,
    /// What keys did; it is not known of one platform, since the lines about keys name none.
    #[serde(flatten)]
    pub keys: Option<Keys>,
    /// Writes that do not say what their parameters are: whether they repeat is not known.
    pub unknown: u64,
}

/// What idempotency keys did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    /// Submissions that were the same again and did not run.
    pub prevented: u64,
    /// Submissions whose key stood for something else.
    pub collisions: u64,
    /// Submissions whose key ends in a moment: such a key prevents nothing.
    pub useless_keys: u64,
}

struct Done {
    count: u64,
    first_at: Time,
    last_at: Time,
    actions: Vec<String>,
    same_action: bool,
}

/// Gathers writes.
#[derive(Default)]
pub struct Gather {
    /// Only writes to this platform.
    on: Option<Platform>,
    done: HashMap<(Platform, String, String), Done>,
    rows: BTreeMap<(Platform, String), (u64, u64)>,
    keys: Keys,
    unknown: u64,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = attempts::KEYS;

    fn take(&mut self, line: &Line<'_>) {
        if line.get("component").as_deref() == Some("idempotency") {
            let message = line.get("message").unwrap_or_default();
            self.keys.prevented += u64::from(message.starts_with("Duplicate prevented"));
            self.keys.collisions += u64::from(message.starts_with("Collision"));
            self.keys.useless_keys += u64::from(message.contains("ends in a moment"));
            return;
        }
        let Some(attempt) = attempt(line).filter(|a| a.error.is_none() && a.kind != "query") else { return };
        let on = |platform: &Platform| self.on.is_none_or(|on| on == *platform);
        let Some(platform) = attempt.platform.filter(on) else { return };
        let kind = attempt.kind.into_owned();
        let row = self.rows.entry((platform, kind.clone())).or_default();
        row.0 += 1;
        let Some(fingerprint) = attempt.fingerprint else {
            self.unknown += 1;
            return;
        };
        let key = (platform, kind, fingerprint.into_owned());
        let at = attempt.at;
        if let Some(done) = self.done.get_mut(&key) {
            row.1 += 1;
            done.count += 1;
            done.first_at = done.first_at.min(at);
            done.last_at = done.last_at.max(at);
            done.same_action |= done.actions.iter().any(|known| *known == attempt.action);
            if done.actions.len() < NAMED {
                done.actions.push(attempt.action.into_owned());
            }
        } else if self.done.len() < KEPT_MAX {
            let actions = vec![attempt.action.into_owned()];
            self.done.insert(key, Done { count: 1, first_at: at, last_at: at, actions, same_action: false });
        } else {
            self.unknown += 1;
        }
    }
}

impl Gather {
    /// Gathers writes to one platform, or to all.
    pub fn on(platform: Option<Platform>) -> Gather {
        Gather { on: platform, ..Gather::default() }
    }

    /// The answer.
    pub fn finish(self) -> Duplicates {
        let mut duplicates: Vec<Duplicate> = self
            .done
            .into_iter()
            .filter(|(_, done)| done.count > 1)
            .map(|((platform, kind, fingerprint), done)| Duplicate {
                platform,
                kind,
                fingerprint,
                count: done.count,
                first_at: done.first_at,
                last_at: done.last_at,
                actions: done.actions.into_iter().collect::<HashSet<_>>().into_iter().collect::<Vec<_>>(),
                same_action: done.same_action,
            })
            .collect();
        duplicates.iter_mut().for_each(|duplicate| duplicate.actions.sort());
        duplicates.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.fingerprint.cmp(&b.fingerprint)));
        let rows = self.rows.into_iter();
        let rows =
            rows.map(|((platform, kind), (succeeded, duplicates))| Row { platform, kind, succeeded, duplicates });
        Duplicates {
            duplicates,
            rows: rows.collect(),
            keys: self.on.is_none().then_some(self.keys),
            unknown: self.unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::take_json;
    use serde_json::json;

    #[test]
    fn the_same_write_twice_is_a_duplicate_and_a_retry_that_failed_is_not() {
        let mut gather = Gather::default();
        let mut wrote = |action: &str, print: Option<&str>, code: Option<&str>| {
            let line = json!({"timestamp": "2026-11-20T10:00:00.000Z", "component": "executor",
                "level": if code.is_some() { "error" } else { "info" }, "message": "Action executed", "errorCode": code,
                "platform": "trello", "actionId": action, "type": "create", "fingerprint": print});
            take_json(&mut gather, &line);
        };
        wrote("a", Some("x"), Some("TIMEOUT_ERROR"));
        wrote("a", Some("x"), None);
        wrote("b", Some("x"), None);
        wrote("b", Some("x"), None);
        wrote("c", Some("y"), None);
        wrote("d", None, None);
        for message in
            ["Duplicate prevented", "Collision: the key stands for something else", "Idempotency key cleared"]
        {
            take_json(&mut gather, &json!({"component": "idempotency", "message": message}));
        }
        let answer = gather.finish();
        let [found] = &answer.duplicates[..] else { panic!("{answer:?}") };
        assert_eq!(
            (found.count, found.same_action, found.actions.as_slice()),
            (3, true, &["a".to_owned(), "b".into()][..])
        );
        assert_eq!((answer.rows[0].succeeded, answer.rows[0].duplicates, answer.unknown), (5, 2, 1));
        assert_eq!(answer.keys, Some(Keys { prevented: 1, collisions: 1, useless_keys: 0 }));
    }

    #[test]
    fn of_one_platform_it_is_not_known_what_keys_did() {
        let mut gather = Gather::on(Some(Platform::Notion));
        for platform in ["notion", "trello"] {
            let line = json!({"timestamp": "2026-11-20T10:00:00.000Z", "component": "executor", "level": "info",
                "message": "Action executed", "platform": platform, "actionId": "a", "type": "create"});
            take_json(&mut gather, &line);
        }
        let answer = gather.finish();
        assert_eq!((answer.rows.len(), answer.rows[0].platform, answer.keys), (1, Platform::Notion, None));
    }
}
