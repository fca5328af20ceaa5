//! Rate limits that were hit: where, when, by what.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::attempts::{self, attempt};
use super::failures::Hour;
use super::lines::{Line, Question};
use crate::wire::{ErrorCode, Platform, Time};

/// Actions that are counted one by one.
const ACTIONS_MAX: usize = 100_000;

/// One platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limited {
    /// The platform.
    pub platform: Platform,
    /// Tries in the window.
    pub tries: u64,
    /// Of those, refused by the rate limit.
    pub limited: u64,
    /// Actions that this happened to.
    pub actions: u64,
    /// The busiest minute: its beginning.
    pub peak_at: Option<Time>,
    /// Tries in it.
    pub peak_per_minute: u64,
    /// The minute with the most refusals: its beginning.
    pub worst_at: Option<Time>,
    /// Refusals in it.
    pub worst_per_minute: u64,
    /// Refusals by type of action.
    pub by_type: BTreeMap<String, u64>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimits {
    /// Platforms that were called, most often refused first.
    pub platforms: Vec<Limited>,
    /// Hours that have refusals, in order.
    pub hours: Vec<Hour>,
}

#[derive(Default)]
struct On {
    tries: u64,
    limited: u64,
    actions: HashSet<String>,
    minutes: HashMap<i64, (u64, u64)>,
    by_type: BTreeMap<String, u64>,
}

/// Gathers tries.
#[derive(Default)]
pub struct Gather {
    platforms: BTreeMap<Platform, On>,
    hours: BTreeMap<Time, u64>,
}

const MINUTE: i64 = 60_000;

impl Question for Gather {
    const KEYS: &'static [&'static str] = attempts::KEYS;

    fn take(&mut self, line: &Line<'_>) {
        let Some(attempt) = attempt(line) else { return };
        let Some(platform) = attempt.platform else { return };
        let on = self.platforms.entry(platform).or_default();
        on.tries += 1;
        let minute = on.minutes.entry(attempt.at.0.div_euclid(MINUTE)).or_default();
        minute.0 += 1;
        if attempt.error != Some(ErrorCode::RateLimited) {
            return;
        }
        on.limited += 1;
        minute.1 += 1;
        *on.by_type.entry(attempt.kind.into_owned()).or_default() += 1;
        *self.hours.entry(Time(attempt.at.0.div_euclid(60 * MINUTE) * 60 * MINUTE)).or_default() += 1;
        if on.actions.len() < ACTIONS_MAX {
            on.actions.insert(attempt.action.into_owned());
        }
    }
}

impl Gather {
    /// The answer.
    pub fn finish(self) -> RateLimits {
        let most = |minutes: &HashMap<i64, (u64, u64)>, of: fn(&(u64, u64)) -> u64| {
            // The first of the busiest.
            let best = minutes.iter().map(|(at, counts)| (of(counts), std::cmp::Reverse(*at))).max();
            best.filter(|(count, _)| *count > 0).map(|(count, at)| (count, Time(at.0 * MINUTE)))
        };
        let mut platforms: Vec<Limited> = self
            .platforms
            .into_iter()
            .map(|(platform, on)| {
                let (peak, worst) = (most(&on.minutes, |m| m.0), most(&on.minutes, |m| m.1));
                Limited {
                    platform,
                    tries: on.tries,
                    limited: on.limited,
                    actions: on.actions.len() as u64,
                    peak_at: peak.map(|p| p.1),
                    peak_per_minute: peak.map_or(0, |p| p.0),
                    worst_at: worst.map(|p| p.1),
                    worst_per_minute: worst.map_or(0, |p| p.0),
                    by_type: on.by_type,
                }
            })
            .collect();
        platforms.sort_by_key(|on| (std::cmp::Reverse(on.limited), on.platform));
        RateLimits { platforms, hours: self.hours.into_iter().map(|(at, count)| Hour { at, count }).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::take_json;
    use serde_json::json;

    #[test]
    fn refusals_have_their_worst_minute() {
        let mut gather = Gather::default();
        for (second, code) in [
            (0, None),
            (1, Some("RATE_LIMITED")),
            (61, Some("RATE_LIMITED")),
            (62, Some("RATE_LIMITED")),
            (63, Some("AUTH_ERROR")),
        ] {
            let level = if code.is_some() { "error" } else { "info" };
            let line = json!({"timestamp": Time(second * 1000).to_string(), "component": "executor", "level": level,
                "message": "Action executed", "errorCode": code, "platform": "notion", "actionId": "a", "type": "create"});
            take_json(&mut gather, &line);
        }
        let answer = gather.finish();
        let [on] = &answer.platforms[..] else { panic!("{answer:?}") };
        assert_eq!((on.tries, on.limited, on.actions), (5, 3, 1));
        assert_eq!((on.peak_at, on.peak_per_minute), (Some(Time(MINUTE)), 3));
        assert_eq!((on.worst_at, on.worst_per_minute), (Some(Time(MINUTE)), 2));
        assert_eq!(answer.hours, [Hour { at: Time(0), count: 3 }]);
    }
}
