//! Answers to reads, kept for a while (`ENABLE_CACHING`, `CACHE_TTL`). Writes are never answered from here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::engine::canonical::canonical_json;
use crate::wire::{Platform, Time};

/// Answers kept at most.
const KEEP: usize = 1000;

/// The response cache.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<String, (Time, Value)>>);

impl Cache {
    /// The name of a read.
    pub(super) fn key(platform: Platform, data: &Value) -> String {
        format!("{platform}:{}", canonical_json(data))
    }

    /// An answer that is younger than `ttl`.
    pub(super) fn get(&self, key: &str, now: Time, ttl: Duration) -> Option<Value> {
        self.entries().get(key).filter(|(at, _)| now.since(*at) < ttl).map(|(_, answer)| answer.clone())
    }

    /// Keeps an answer; the oldest goes when there are too many.
    pub(super) fn put(&self, key: String, now: Time, answer: Value) {
        let mut entries = self.entries();
        if entries.len() >= KEEP
            && let Some(oldest) = entries.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone())
        {
            entries.remove(&oldest);
        }
        entries.insert(key, (now, answer));
    }

    /// Forgets everything; gives how many there were.
    pub(super) fn clear(&self) -> u64 {
        let mut entries = self.entries();
        let count = entries.len() as u64;
        entries.clear();
        count
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, (Time, Value)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_used_until_its_time_is_over() {
        let cache = Cache::default();
        let key = || Cache::key(Platform::Notion, &json!({"b": 1, "a": 2}));
        assert_eq!(key(), Cache::key(Platform::Notion, &json!({"a": 2, "b": 1})));
        cache.put(key(), Time(0), json!(7));
        assert_eq!(cache.get(&key(), Time(299), Duration::from_millis(300)), Some(json!(7)));
        assert_eq!(cache.get(&key(), Time(300), Duration::from_millis(300)), None);
        assert_eq!((cache.clear(), cache.clear()), (1, 0));
    }
}
