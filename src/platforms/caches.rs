//! What the platforms said about their own structure, believed for a few minutes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::wire::Time;

/// How long columns, labels and channel ids are believed.
const FRESH: Duration = Duration::from_secs(300);

/// Entries one cache holds at most.
const ENTRIES: usize = 1000;

/// What the platforms said about their own structure.
#[derive(Default)]
pub(super) struct Caches {
    /// Database or data source id to its columns.
    pub notion_schemas: Cache<Arc<super::notion::Source>>,
    /// Our bot's user id.
    pub notion_bots: Cache<String>,
    /// List id to board id.
    pub trello_boards: Cache<String>,
    /// Board id to its labels by lower-case name.
    pub trello_labels: Cache<Arc<HashMap<String, String>>>,
    /// `#name` to channel id.
    pub slack_channels: Cache<String>,
    /// Unused ids that Drive made for files to come.
    pub drive_ids: Mutex<Vec<String>>,
    /// Spreadsheet and tab to a row that is known to be filled, 1-based.
    pub sheets_rows: Cache<u64>,
}

impl Caches {
    /// Empties all of them: entries dropped, by cache.
    pub(super) fn clear(&self) -> BTreeMap<String, u64> {
        let drive_ids = std::mem::take(&mut *lock(&self.drive_ids)).len() as u64;
        [
            ("notion schemas", self.notion_schemas.clear() + self.notion_bots.clear()),
            ("trello lists", self.trello_boards.clear()),
            ("trello labels", self.trello_labels.clear()),
            ("slack channels", self.slack_channels.clear()),
            ("drive ids", drive_ids),
            ("sheets rows", self.sheets_rows.clear()),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_string(), count))
        .collect()
    }
}

/// Answers kept for a while, by name.
pub(super) struct Cache<V>(Mutex<HashMap<String, (Time, V)>>);

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Cache(Mutex::new(HashMap::new()))
    }
}

impl<V: Clone> Cache<V> {
    /// The value, while it is fresh.
    pub(super) fn get(&self, key: &str, now: Time) -> Option<V> {
        let map = lock(&self.0);
        map.get(key).filter(|(at, _)| now.since(*at) < FRESH).map(|(_, value)| value.clone())
    }

    /// Keeps a value.
    pub(super) fn put(&self, key: &str, now: Time, value: V) {
        let mut map = lock(&self.0);
        if map.len() >= ENTRIES {
            map.retain(|_, (at, _)| now.since(*at) < FRESH);
            if map.len() >= ENTRIES {
                map.clear();
            }
        }
        map.insert(key.to_string(), (now, value));
    }

    /// Forgets a value.
    pub(super) fn forget(&self, key: &str) {
        lock(&self.0).remove(key);
    }

    fn clear(&self) -> u64 {
        let mut map = lock(&self.0);
        let count = map.len() as u64;
        map.clear();
        count
    }
}

/// A lock whose holder panicked still guards plain data; going on with it is right.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_forgets_in_time() {
        let cache = Cache::default();
        cache.put("a", Time(0), 1);
        assert_eq!(cache.get("a", Time(299_999)), Some(1));
        assert_eq!(cache.get("a", Time(300_000)), None);
    }
}
