//! What fails: groups of error lines, whether they are new, and when.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::errors::next_command;
use super::lines::{Line, Question};
use super::texts::normalise;
use crate::wire::{ErrorCode, Platform, Time};

/// Different groups that are counted one by one; lines of others are counted together.
pub const GROUPS_MAX: usize = 100_000;

/// Milliseconds in an hour.
const HOUR: i64 = 3_600_000;

/// What puts two error lines into the same group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// The text, ids, numbers, quoted parts and times left out.
    Error,
    /// The platform.
    Platform,
    /// What the action does: `create`, `query`, `create_task`.
    Type,
    /// The hour.
    Hour,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What its lines have in common.
    pub key: String,
    /// The documented code of its first line in the window.
    pub code: ErrorCode,
    /// Lines in the window.
    pub count: u64,
    /// Of all error lines in the window, 0 to 1.
    pub share: f64,
    /// Lines in the window of the same length before.
    pub before: u64,
    /// Whether the window before had none of it. Absent when the log does not reach back over that window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<bool>,
    /// The first in the window.
    pub first_at: Time,
    /// The last.
    pub last_at: Time,
    /// Lines by platform, where they name one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<Platform, u64>,
    /// One of its texts as it was written.
    pub example: String,
    /// The next command to type, when there is one that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Error lines of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hour {
    /// Its beginning.
    pub at: Time,
    /// Error lines.
    pub count: u64,
}

/// What fails in a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// Begin of the window.
    pub since: Time,
    /// Its end.
    pub until: Time,
    /// What makes a group.
    pub group_by: GroupBy,
    /// Error lines in the window.
    pub total: u64,
    /// In the window of the same length before.
    pub before: u64,
    /// Whether the log reaches back over the whole window before.
    pub before_is_whole: bool,
    /// Groups, most frequent first; those of the window before that are gone are not among them.
    pub groups: Vec<Group>,
    /// Lines whose group came when there were too many different ones.
    pub other: u64,
    /// Error lines in the window that do not say when they were written.
    pub undated: u64,
    /// Hours of the window that have any, in order.
    pub hours: Vec<Hour>,
}

struct Seen {
    code: ErrorCode,
    count: u64,
    before: u64,
    first_at: Time,
    last_at: Time,
    platforms: BTreeMap<Platform, u64>,
    example: String,
}

/// Gathers error lines into groups.
pub struct Gather {
    since: Time,
    until: Time,
    by: GroupBy,
    groups: HashMap<String, Seen>,
    hours: BTreeMap<Time, u64>,
    total: u64,
    before: u64,
    other: u64,
    undated: u64,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = &[
        "platform",
        "target",
        "executorName",
        "executor",
        "message",
        "error",
        "errorCode",
        "code",
        "type",
        "action",
        "actionType",
    ];

    fn take(&mut self, line: &Line<'_>) {
        let Some(at) = line.at else {
            self.undated += 1;
            return;
        };
        if at >= self.until || at < self.begin() {
            return;
        }
        let current = at >= self.since;
        *if current { &mut self.total } else { &mut self.before } += 1;
        if current {
            *self.hours.entry(hour_of(at)).or_default() += 1;
        }
        let platform = line.platform();
        let text = line.error_text();
        let key = match self.by {
            GroupBy::Error => normalise(&text),
            GroupBy::Platform => platform.map_or_else(|| "no platform".to_owned(), |p| p.to_string()),
            GroupBy::Type => line
                .first(&["type", "actionType", "action"])
                .map_or_else(|| "no action".to_owned(), std::borrow::Cow::into_owned),
            GroupBy::Hour => hour_of(at).to_string(),
        };
        if !self.groups.contains_key(&key) && self.groups.len() >= GROUPS_MAX {
            self.other += u64::from(current);
            return;
        }
        let code = line.code();
        let seen = self.groups.entry(key).or_insert_with(|| Seen {
            code,
            count: 0,
            before: 0,
            first_at: at,
            last_at: at,
            platforms: BTreeMap::new(),
            example: String::new(),
        });
        if !current {
            seen.before += 1;
            return;
        }
        if seen.count == 0 {
            (seen.first_at, seen.last_at, seen.code) = (at, at, code);
            seen.example = text.chars().take(400).collect();
        }
        seen.count += 1;
        seen.first_at = seen.first_at.min(at);
        seen.last_at = seen.last_at.max(at);
        if let Some(platform) = platform {
            *seen.platforms.entry(platform).or_default() += 1;
        }
    }
}

fn hour_of(at: Time) -> Time {
    Time(at.0.div_euclid(HOUR) * HOUR)
}

impl Gather {
    /// A window and what makes a group.
    pub fn new(since: Time, until: Time, by: GroupBy) -> Self {
        let (groups, hours) = (HashMap::new(), BTreeMap::new());
        Gather { since, until, by, groups, hours, total: 0, before: 0, other: 0, undated: 0 }
    }

    /// Begin of the window before: lines from here on are asked for.
    pub fn begin(&self) -> Time {
        Time(self.since.0.saturating_sub(self.until.0.saturating_sub(self.since.0)))
    }

    /// The answer; `oldest` is how far back the log reaches.
    pub fn finish(self, oldest: Option<Time>) -> Failures {
        let before_is_whole = oldest.is_some_and(|oldest| oldest <= self.begin());
        // Hours are new by their nature.
        let tells_new = before_is_whole && self.by != GroupBy::Hour;
        let total = self.total;
        let mut groups: Vec<Group> = self
            .groups
            .into_iter()
            .filter(|(_, seen)| seen.count > 0)
            .map(|(key, seen)| {
                let only = (seen.platforms.len() == 1).then(|| seen.platforms.keys().next().copied()).flatten();
                let next = match self.by {
                    GroupBy::Error if key.starts_with("Rollback ended") => Some("opsctl workflow failed".to_owned()),
                    GroupBy::Error => next_command(seen.code, only),
                    GroupBy::Platform => only.map(|p| format!("opsctl logs errors --platform {p}")),
                    GroupBy::Type | GroupBy::Hour => None,
                };
                Group {
                    key,
                    code: seen.code,
                    count: seen.count,
                    share: seen.count as f64 / total as f64,
                    before: seen.before,
                    new: tells_new.then_some(seen.before == 0),
                    first_at: seen.first_at,
                    last_at: seen.last_at,
                    platforms: seen.platforms,
                    example: seen.example,
                    next,
                }
            })
            .collect();
        match self.by {
            GroupBy::Hour => groups.sort_by(|a, b| a.key.cmp(&b.key)),
            _ => groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key))),
        }
        Failures {
            since: self.since,
            until: self.until,
            group_by: self.by,
            total,
            before: self.before,
            before_is_whole,
            groups,
            other: self.other,
            undated: self.undated,
            hours: self.hours.into_iter().map(|(at, count)| Hour { at, count }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::feed;

    const LINES: &str = r#"
        {"timestamp":"1970-01-01T10:30:00.000Z","message":"Rate limited: wait 3s","platform":"notion"}
        {"timestamp":"1970-01-01T12:05:00.000Z","message":"Rate limited: wait 17s","platform":"notion","type":"create"}
        {"timestamp":"1970-01-01T12:30:00.000Z","message":"Rate limited: wait 9s","platform":"trello","type":"query"}
        {"timestamp":"1970-01-01T13:30:00.000Z","message":"page act-7 is archived","platform":"notion","type":"create"}
        {"timestamp":"1970-01-01T15:00:00.000Z","message":"too late"}
        {"message":"no time"}"#;

    fn asked(by: GroupBy, oldest: i64) -> Failures {
        let mut gather = Gather::new(Time(12 * HOUR), Time(14 * HOUR), by);
        feed(&mut gather, LINES);
        gather.finish(Some(Time(oldest)))
    }

    #[test]
    fn texts_that_differ_in_what_changes_are_one_group_and_new_ones_are_named() {
        let failures = asked(GroupBy::Error, 0);
        assert_eq!((failures.total, failures.before, failures.undated), (3, 1, 1));
        let [limited, archived] = &failures.groups[..] else { panic!("{failures:?}") };
        assert_eq!((limited.key.as_str(), limited.count, limited.before), ("Rate limited: wait <n>s", 2, 1));
        assert_eq!((limited.new, archived.new), (Some(false), Some(true)));
        assert_eq!((limited.first_at, limited.last_at), (Time(12 * HOUR + 300_000), Time(12 * HOUR + 1_800_000)));
        assert_eq!(limited.platforms.len(), 2);
        assert_eq!(limited.next.as_deref(), Some("opsctl rate-limits status"), "two platforms: none is named");
        assert!((limited.share - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(failures.hours, [Hour { at: Time(12 * HOUR), count: 2 }, Hour { at: Time(13 * HOUR), count: 1 }]);
    }

    #[test]
    fn a_rollback_that_left_something_leads_to_its_workflow() {
        let mut gather = Gather::new(Time(12 * HOUR), Time(14 * HOUR), GroupBy::Error);
        let line = r#"{"timestamp":"1970-01-01T12:30:00.000Z","message":"Rollback ended: rollback_failed, partially rolled back: 1 of 2 steps"}"#;
        feed(&mut gather, line);
        assert_eq!(gather.finish(None).groups[0].next.as_deref(), Some("opsctl workflow failed"));
    }

    #[test]
    fn nothing_is_called_new_where_the_log_does_not_reach_back() {
        let failures = asked(GroupBy::Error, 10 * HOUR + 1);
        assert!(!failures.before_is_whole && failures.groups.iter().all(|group| group.new.is_none()));
    }

    #[test]
    fn other_groupings_count_the_same_lines() {
        let keys = |by| asked(by, 0).groups.iter().map(|g| (g.key.clone(), g.count)).collect::<Vec<_>>();
        assert_eq!(keys(GroupBy::Platform), [("notion".into(), 2), ("trello".into(), 1)]);
        assert_eq!(keys(GroupBy::Type), [("create".into(), 2), ("query".into(), 1)]);
        assert_eq!(keys(GroupBy::Hour).iter().map(|(_, n)| *n).collect::<Vec<_>>(), [2, 1]);
    }
}
