//! Reads from platforms: how many, how fast, and how many asked the same again.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::attempts::{self, attempt};
use super::histogram::Histogram;
use super::lines::{Line, Question};
use crate::wire::{Platform, Time};

/// Different questions that are told apart.
const QUESTIONS_MAX: usize = 100_000;
/// Most repeated questions that are named.
const NAMED: usize = 10;

/// Reads from one platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnPlatform {
    /// The platform.
    pub platform: Platform,
    /// Tries to read.
    pub count: u64,
    /// Of those, failed.
    pub failed: u64,
    /// Half took at most this, in milliseconds (error at most 5 %).
    pub p50: Option<f64>,
    /// 95 of 100 took at most this, in milliseconds (error at most 5 %).
    pub p95: Option<f64>,
    /// The busiest minute.
    pub peak_per_minute: u64,
    /// Successful reads that asked what was asked before in the window.
    pub repeated: u64,
    /// Of those, within the time that a cache keeps an answer.
    pub cacheable: u64,
    /// Whether reads say what they ask; without that, repeats are not known.
    pub fingerprinted: bool,
}

/// One question that was asked again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repeated {
    /// The platform.
    pub platform: Platform,
    /// What stands for its parameters.
    pub fingerprint: String,
    /// How often it was asked.
    pub count: u64,
    /// The last action that asked it.
    pub action_id: String,
    /// When.
    pub last_at: Time,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queries {
    /// By platform.
    pub platforms: Vec<OnPlatform>,
    /// The questions asked most often.
    pub most_repeated: Vec<Repeated>,
    /// How long a cache keeps an answer, in milliseconds.
    pub cache_ttl_ms: u64,
    /// Reads whose question came when there were too many different ones.
    pub other: u64,
}

#[derive(Default)]
struct Reads {
    count: u64,
    failed: u64,
    times: Histogram,
    minutes: HashMap<i64, u64>,
    repeated: u64,
    cacheable: u64,
    fingerprinted: bool,
}

struct Asked {
    count: u64,
    last_at: Time,
    action: String,
}

/// Gathers reads.
pub struct Gather {
    ttl_ms: i64,
    reads: BTreeMap<Platform, Reads>,
    asked: HashMap<(Platform, String), Asked>,
    other: u64,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = attempts::KEYS;

    fn take(&mut self, line: &Line<'_>) {
        let Some(attempt) = attempt(line).filter(|a| is_read(&a.kind)) else { return };
        let Some(platform) = attempt.platform else { return };
        let reads = self.reads.entry(platform).or_default();
        reads.count += 1;
        reads.failed += u64::from(attempt.error.is_some());
        if let Some(took) = attempt.took {
            reads.times.add(took);
        }
        *reads.minutes.entry(attempt.at.0.div_euclid(60_000)).or_default() += 1;
        let Some(fingerprint) = attempt.fingerprint else { return };
        reads.fingerprinted = true;
        if attempt.error.is_some() {
            return;
        }
        let key = (platform, fingerprint.into_owned());
        if let Some(asked) = self.asked.get_mut(&key) {
            reads.repeated += 1;
            reads.cacheable += u64::from((attempt.at.0 - asked.last_at.0).abs() <= self.ttl_ms);
            asked.count += 1;
            if attempt.at >= asked.last_at {
                (asked.last_at, asked.action) = (attempt.at, attempt.action.into_owned());
            }
        } else if self.asked.len() < QUESTIONS_MAX {
            self.asked.insert(key, Asked { count: 1, last_at: attempt.at, action: attempt.action.into_owned() });
        } else {
            self.other += 1;
        }
    }
}

/// Whether a type of action reads: `query`, and the application's `search_emails`, `get_boards`, `list_files`.
fn is_read(kind: &str) -> bool {
    matches!(kind.split('_').next().unwrap_or(kind), "query" | "search" | "get" | "list" | "read" | "find" | "fetch")
}

impl Gather {
    /// For a cache that keeps an answer this long, in milliseconds.
    pub fn new(ttl_ms: u64) -> Self {
        let ttl_ms = i64::try_from(ttl_ms).unwrap_or(i64::MAX);
        Gather { ttl_ms, reads: BTreeMap::new(), asked: HashMap::new(), other: 0 }
    }

    /// The answer.
    pub fn finish(self) -> Queries {
        let platforms = self.reads.into_iter().map(|(platform, reads)| OnPlatform {
            platform,
            count: reads.count,
            failed: reads.failed,
            p50: reads.times.quantile(0.5),
            p95: reads.times.quantile(0.95),
            peak_per_minute: reads.minutes.values().copied().max().unwrap_or(0),
            repeated: reads.repeated,
            cacheable: reads.cacheable,
            fingerprinted: reads.fingerprinted,
        });
        let mut most: Vec<Repeated> = self
            .asked
            .into_iter()
            .filter(|(_, asked)| asked.count > 1)
            .map(|((platform, fingerprint), asked)| Repeated {
                platform,
                fingerprint,
                count: asked.count,
                action_id: asked.action,
                last_at: asked.last_at,
            })
            .collect();
        most.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.fingerprint.cmp(&b.fingerprint)));
        most.truncate(NAMED);
        Queries {
            platforms: platforms.collect(),
            most_repeated: most,
            cache_ttl_ms: self.ttl_ms.unsigned_abs(),
            other: self.other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::take_json;
    use serde_json::json;

    #[test]
    fn the_same_question_soon_again_could_have_come_from_a_cache() {
        let mut gather = Gather::new(300_000);
        let mut read = |second: i64, print: &str, took: u64, code: Option<&str>| {
            let level = if code.is_some() { "error" } else { "info" };
            let line = json!({"timestamp": Time(second * 1000).to_string(), "component": "executor", "level": level,
                "message": "Action executed", "errorCode": code, "platform": "notion", "actionId": format!("a{second}"),
                "type": "query", "fingerprint": print, "durationMs": took});
            take_json(&mut gather, &line);
        };
        read(0, "x", 100, None);
        read(10, "x", 100, None);
        read(11, "x", 900, Some("TIMEOUT_ERROR"));
        read(1000, "x", 100, None);
        read(1001, "y", 100, None);
        let answer = gather.finish();
        let [row] = &answer.platforms[..] else { panic!("{answer:?}") };
        assert_eq!((row.count, row.failed, row.repeated, row.cacheable, row.peak_per_minute), (5, 1, 2, 1, 3));
        assert!((row.p50.unwrap() - 100.0).abs() <= 5.0 && (row.p95.unwrap() - 900.0).abs() <= 45.0);
        assert_eq!(answer.most_repeated.len(), 1);
        assert_eq!((answer.most_repeated[0].count, answer.most_repeated[0].action_id.as_str()), (3, "a1000"));
        assert!(is_read("search_emails") && !is_read("create_task"));
    }
}
