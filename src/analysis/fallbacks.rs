//! Where another platform stood in, why, and what became of it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::attempts::{self, attempt};
use super::lines::{Line, Question};
use crate::wire::{ErrorCode, Platform, Time};

/// Actions whose end is waited for; of more it is not known.
const WAITING_MAX: usize = 100_000;

/// One platform standing in for another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoodIn {
    /// Whose action it was.
    pub from: Platform,
    /// Who stood in.
    pub to: Platform,
    /// How often.
    pub count: u64,
    /// Of those, done by the one that stood in.
    pub succeeded: u64,
    /// Why, by code.
    pub causes: BTreeMap<ErrorCode, u64>,
    /// The first time.
    pub first_at: Time,
    /// The last.
    pub last_at: Time,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallbacks {
    /// Fallbacks, most frequent first.
    pub pairs: Vec<StoodIn>,
    /// All of them.
    pub total: u64,
    /// Actions that were done in the window, by whomever.
    pub executed: u64,
    /// Fallbacks that did it over all that was done, 0 to 1; absent when nothing was.
    pub share: Option<f64>,
}

/// Gathers fallbacks and how they ended.
#[derive(Default)]
pub struct Gather {
    /// Only actions of this platform.
    of: Option<Platform>,
    pairs: BTreeMap<(Platform, Platform), StoodIn>,
    waiting: HashMap<String, (Platform, Platform)>,
    executed: u64,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = attempts::KEYS;

    fn take(&mut self, line: &Line<'_>) {
        if line.get("component").as_deref() == Some("fallback") {
            self.stood_in(line);
        } else if let Some(attempt) = attempt(line).filter(|attempt| attempt.error.is_none()) {
            // Who did it tells whether it was the one that stood in.
            let pair =
                self.waiting.get(attempt.action.as_ref()).filter(|pair| attempt.platform == Some(pair.1)).copied();
            let whose = pair.map_or(attempt.platform, |pair| Some(pair.0));
            self.executed += u64::from(self.of.is_none_or(|of| whose == Some(of)));
            if let Some(pair) = pair {
                self.waiting.remove(attempt.action.as_ref());
                if let Some(stood_in) = self.pairs.get_mut(&pair) {
                    stood_in.succeeded += 1;
                }
            }
        }
    }
}

impl Gather {
    /// Gathers what became of one platform's actions, or of all.
    pub fn of(platform: Option<Platform>) -> Gather {
        Gather { of: platform, ..Gather::default() }
    }

    fn stood_in(&mut self, line: &Line<'_>) {
        let message = line.get("message").unwrap_or_default();
        // `notion is away (SERVICE_DOWN); trello stands in`
        let named = || message.rsplit_once("; ")?.1.split(' ').next()?.parse().ok();
        let to = line.get("to").and_then(|to| to.parse().ok()).or_else(named);
        let (Some(from), Some(to), Some(at)) = (line.platform(), to, line.at) else { return };
        let coded = || ErrorCode::from_wire(message.split_once('(')?.1.split_once(')')?.0);
        let code = line.get("errorCode").and_then(|code| ErrorCode::from_wire(&code)).or_else(coded);
        let pair = self.pairs.entry((from, to)).or_insert_with(|| StoodIn {
            from,
            to,
            count: 0,
            succeeded: 0,
            causes: BTreeMap::new(),
            first_at: at,
            last_at: at,
        });
        pair.count += 1;
        pair.first_at = pair.first_at.min(at);
        pair.last_at = pair.last_at.max(at);
        *pair.causes.entry(code.unwrap_or(ErrorCode::UnknownError)).or_default() += 1;
        if let Some(action) = line.get("actionId").filter(|_| self.waiting.len() < WAITING_MAX) {
            self.waiting.insert(action.into_owned(), (from, to));
        }
    }

    /// The answer.
    pub fn finish(self) -> Fallbacks {
        let mut pairs: Vec<StoodIn> = self.pairs.into_values().collect();
        pairs.retain(|pair| self.of.is_none_or(|of| pair.from == of));
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.count));
        let done: u64 = pairs.iter().map(|pair| pair.succeeded).sum();
        Fallbacks {
            total: pairs.iter().map(|pair| pair.count).sum(),
            pairs,
            executed: self.executed,
            share: (self.executed > 0).then(|| done as f64 / self.executed as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::feed;

    const LINES: &str = r#"{"timestamp":"2026-11-20T10:00:00.000Z","component":"fallback","level":"warn","message":"notion is away (SERVICE_DOWN); trello stands in","platform":"notion","actionId":"a"}
        {"timestamp":"2026-11-20T10:00:01.000Z","component":"executor","level":"info","message":"Action executed","platform":"trello","actionId":"a"}
        {"timestamp":"2026-11-20T10:00:02.000Z","component":"executor","level":"info","message":"Action executed","platform":"notion","actionId":"b"}
        {"timestamp":"2026-11-20T10:05:00.000Z","component":"fallback","level":"warn","message":"x","errorCode":"CIRCUIT_OPEN","to":"trello","platform":"notion","actionId":"c"}"#;

    #[test]
    fn who_stood_in_why_and_whether_it_worked() {
        for of in [None, Some(Platform::Notion)] {
            let mut gather = Gather::of(of);
            feed(&mut gather, LINES);
            let answer = gather.finish();
            assert_eq!((answer.total, answer.executed, answer.share), (2, 2, Some(0.5)));
            let [pair] = &answer.pairs[..] else { panic!("{answer:?}") };
            assert_eq!((pair.from, pair.to, pair.count, pair.succeeded), (Platform::Notion, Platform::Trello, 2, 1));
            assert_eq!(pair.causes, BTreeMap::from([(ErrorCode::ServiceDown, 1), (ErrorCode::CircuitOpen, 1)]));
        }
        // What the one that stood in did was not its own.
        let mut gather = Gather::of(Some(Platform::Trello));
        feed(&mut gather, LINES);
        let answer = gather.finish();
        assert_eq!((answer.pairs.len(), answer.executed, answer.share), (0, 0, None));
    }
}
