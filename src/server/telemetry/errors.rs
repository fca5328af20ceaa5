//! The newest errors in memory, and how often each kind came.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use crate::wire::{ErrorCode, ErrorCount, ErrorEntry, ErrorFilter, ErrorLog, Platform, Time};

use super::cells::{MINUTE, floor};
use super::files;

/// Errors that are remembered one by one.
pub(super) const KEEP: usize = 10_000;

/// Minutes that errors are counted for: a day.
const KEEP_MINUTES: usize = 24 * 60;

/// Most bytes of the files that are read back at start.
const READ_BACK: u64 = 6 * 1024 * 1024;

type Cause = (ErrorCode, Option<Platform>);

/// Errors of one cause in one minute.
#[derive(Debug)]
struct Count {
    count: u64,
    last_message: String,
    last_at: Time,
}

/// Errors, oldest first, and their counts by minute: counts go on when the ring has forgotten.
#[derive(Debug, Default)]
pub(super) struct ErrorBook {
    ring: VecDeque<ErrorEntry>,
    minutes: BTreeMap<Time, HashMap<Cause, Count>>,
}

impl ErrorBook {
    pub(super) fn add(&mut self, entry: ErrorEntry) {
        self.count(&entry);
        self.ring.push_back(entry);
        if self.ring.len() > KEEP {
            self.ring.pop_front();
        }
    }

    /// Puts what earlier runs wrote before what this one has.
    pub(super) fn add_history(&mut self, history: Vec<ErrorEntry>) {
        let room = KEEP - self.ring.len();
        for entry in history.into_iter().rev().take(room) {
            self.count(&entry);
            self.ring.push_front(entry);
        }
    }

    fn count(&mut self, entry: &ErrorEntry) {
        let minute = self.minutes.entry(floor(entry.timestamp, MINUTE)).or_default();
        let count = minute.entry((code(entry), entry.platform)).or_insert_with(|| Count {
            count: 0,
            last_message: String::new(),
            last_at: entry.timestamp,
        });
        count.count += 1;
        if entry.timestamp >= count.last_at {
            count.last_at = entry.timestamp;
            count.last_message.clone_from(&entry.message);
        }
        while self.minutes.len() > KEEP_MINUTES {
            self.minutes.pop_first();
        }
    }

    pub(super) fn query(&self, filter: &ErrorFilter) -> ErrorLog {
        let mut log = ErrorLog {
            errors: Vec::new(),
            by_code: BTreeMap::new(),
            total: 0,
            oldest: self.ring.front().map(|entry| entry.timestamp),
        };
        for entry in self.ring.iter().rev() {
            let wanted = filter.platform.is_none_or(|p| entry.platform == Some(p))
                && filter.component.as_ref().is_none_or(|c| entry.component.as_ref() == Some(c))
                && filter.since.is_none_or(|since| entry.timestamp >= since);
            if wanted {
                log.total += 1;
                *log.by_code.entry(code(entry)).or_default() += 1;
                if log.total <= filter.limit {
                    log.errors.push(entry.clone());
                }
            }
        }
        log
    }

    /// The `n` most frequent causes of the window, which starts on a whole minute.
    pub(super) fn top(&self, n: usize, window: Duration, now: Time) -> Vec<ErrorCount> {
        let mut causes: HashMap<Cause, ErrorCount> = HashMap::new();
        for ((code, platform), count) in self.minutes.range(floor(now.minus(window), MINUTE)..).flat_map(|(_, m)| m) {
            let cause = causes.entry((*code, *platform)).or_insert_with(|| ErrorCount {
                code: *code,
                platform: *platform,
                count: 0,
                last_message: String::new(),
                last_at: Time(i64::MIN),
            });
            cause.count += count.count;
            if count.last_at >= cause.last_at {
                cause.last_at = count.last_at;
                cause.last_message.clone_from(&count.last_message);
            }
        }
        let mut causes: Vec<ErrorCount> = causes.into_values().collect();
        causes.sort_by_key(|cause| (std::cmp::Reverse((cause.count, cause.last_at)), cause.code, cause.platform));
        causes.truncate(n);
        causes
    }
}

fn code(entry: &ErrorEntry) -> ErrorCode {
    entry.error_code.unwrap_or(ErrorCode::UnknownError)
}

/// The newest errors that `errors.log` and its predecessors hold, oldest first. A line that cannot be read is left out.
pub(super) fn read_back(errors_log: &Path) -> Vec<ErrorEntry> {
    let mut newest_first = Vec::new();
    let mut budget = READ_BACK;
    for path in files::generations(errors_log) {
        let Ok(text) = tail(&path, budget) else { continue };
        budget = budget.saturating_sub(text.len() as u64);
        newest_first.extend(text.lines().rev().filter_map(|line| serde_json::from_str::<ErrorEntry>(line).ok()));
        if newest_first.len() >= KEEP || budget == 0 {
            break;
        }
    }
    newest_first.truncate(KEEP);
    newest_first.reverse();
    newest_first
}

/// The last `limit` bytes of a file.
fn tail(path: &Path, limit: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64, code: ErrorCode, platform: Platform, message: &str) -> ErrorEntry {
        ErrorEntry {
            timestamp: Time(at),
            level: "error".into(),
            message: message.into(),
            platform: Some(platform),
            component: Some("executor".into()),
            error_code: Some(code),
            action_id: None,
            attempt: None,
            request_id: None,
        }
    }

    #[test]
    fn a_query_counts_all_that_match_and_returns_the_newest() {
        let mut book = ErrorBook::default();
        book.add(entry(1, ErrorCode::AuthError, Platform::Notion, "old"));
        book.add(entry(2, ErrorCode::RateLimited, Platform::Slack, "slack"));
        book.add(entry(3, ErrorCode::AuthError, Platform::Notion, "new"));
        let filter = ErrorFilter { limit: 1, platform: Some(Platform::Notion), ..ErrorFilter::default() };
        let log = book.query(&filter);
        assert_eq!(log.errors.iter().map(|e| e.message.as_str()).collect::<Vec<_>>(), ["new"]);
        assert_eq!((log.total, log.oldest), (2, Some(Time(1))));
        assert_eq!(log.by_code, BTreeMap::from([(ErrorCode::AuthError, 2)]));
        let log = book.query(&ErrorFilter { limit: 9, since: Some(Time(2)), ..ErrorFilter::default() });
        assert_eq!(log.total, 2);
        let log = book.query(&ErrorFilter { limit: 9, component: Some("queue".into()), ..ErrorFilter::default() });
        assert_eq!((log.total, log.errors.len()), (0, 0));
    }

    #[test]
    fn counts_go_on_when_the_ring_is_full() {
        let mut book = ErrorBook::default();
        for i in 0..KEEP as i64 + 500 {
            book.add(entry(i, ErrorCode::ServiceDown, Platform::Trello, &format!("number {i}")));
        }
        book.add(entry(5 * MINUTE, ErrorCode::AuthError, Platform::Notion, "once"));
        assert_eq!(book.query(&ErrorFilter::default()).total, KEEP as u64);
        let top = book.top(2, Duration::from_secs(3600), Time(10 * MINUTE));
        assert_eq!(top[0].count, KEEP as u64 + 500);
        assert_eq!(top[0].last_message, format!("number {}", KEEP + 499));
        assert_eq!((top[1].code, top[1].platform), (ErrorCode::AuthError, Some(Platform::Notion)));
        let recent = book.top(2, Duration::from_secs(60), Time(6 * MINUTE));
        assert_eq!(recent.len(), 1, "only the window counts");
    }

    #[test]
    fn history_goes_before_what_is_new() {
        let mut book = ErrorBook::default();
        book.add(entry(10, ErrorCode::AuthError, Platform::Notion, "new"));
        book.add_history(vec![
            entry(1, ErrorCode::AuthError, Platform::Notion, "older"),
            entry(2, ErrorCode::AuthError, Platform::Notion, "old"),
        ]);
        let messages: Vec<_> = book.query(&ErrorFilter { limit: 9, ..ErrorFilter::default() }).errors;
        assert_eq!(messages.iter().map(|e| e.message.as_str()).collect::<Vec<_>>(), ["new", "old", "older"]);
        assert_eq!(book.top(1, Duration::from_secs(60), Time(10))[0].last_message, "new");
    }
}
