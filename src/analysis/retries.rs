//! What retries are worth: success by the number of the try, and what to change in the retry settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attempts::{self, attempt};
use super::lines::{Line, Question};
use crate::wire::{ErrorCode, Platform};

/// Tries with the same number below which nothing is advised.
const SAMPLE: u64 = 20;
/// A try that succeeds less often than this is not worth its call.
const WORTHLESS: f64 = 0.05;
/// A last try that succeeds this often says that one more would help.
const WORTHWHILE: f64 = 0.25;
/// Tries are told apart up to this number.
const NUMBERS: u32 = 12;

/// All tries with the same number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ByNumber {
    /// Which try of their actions they were, from 1.
    pub attempt: u32,
    /// How many there were.
    pub tries: u64,
    /// Of those, succeeded.
    pub succeeded: u64,
    /// Succeeded over all of them, 0 to 1.
    pub rate: f64,
    /// Failures by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_error: BTreeMap<ErrorCode, u64>,
}

/// All tries on one platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnPlatform {
    /// The platform.
    pub platform: Platform,
    /// First tries.
    pub first: u64,
    /// Of those, succeeded.
    pub first_succeeded: u64,
    /// Later tries.
    pub retries: u64,
    /// Of those, succeeded.
    pub retries_succeeded: u64,
}

/// What to change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// What was seen, and what follows from it.
    pub text: String,
    /// The command that changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// By number of the try; the last stands for all above it too.
    pub attempts: Vec<ByNumber>,
    /// By platform.
    pub platforms: Vec<OnPlatform>,
    /// The setting in force, when the service told: retries after the first try.
    pub max_retries: Option<u32>,
    /// What to change.
    pub advice: Vec<Advice>,
}

/// Gathers tries.
#[derive(Default)]
pub struct Gather {
    numbers: BTreeMap<u32, ByNumber>,
    platforms: BTreeMap<Platform, OnPlatform>,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = attempts::KEYS;

    fn take(&mut self, line: &Line<'_>) {
        let Some(attempt) = attempt(line) else { return };
        let number = attempt.number.min(NUMBERS);
        let row = self.numbers.entry(number).or_default();
        row.attempt = number;
        row.tries += 1;
        let succeeded = u64::from(attempt.error.is_none());
        row.succeeded += succeeded;
        if let Some(code) = attempt.error {
            *row.by_error.entry(code).or_default() += 1;
        }
        let Some(platform) = attempt.platform else { return };
        let empty = OnPlatform { platform, first: 0, first_succeeded: 0, retries: 0, retries_succeeded: 0 };
        let on = self.platforms.entry(platform).or_insert(empty);
        if number == 1 {
            on.first += 1;
            on.first_succeeded += succeeded;
        } else {
            on.retries += 1;
            on.retries_succeeded += succeeded;
        }
    }
}

impl Gather {
    /// The answer; `max_retries` is the setting in force, when it is known.
    pub fn finish(self, max_retries: Option<u32>) -> Retries {
        let mut attempts: Vec<ByNumber> = self.numbers.into_values().collect();
        for row in &mut attempts {
            row.rate = row.succeeded as f64 / row.tries as f64;
        }
        let advice = advise(&attempts, max_retries);
        Retries { attempts, platforms: self.platforms.into_values().collect(), max_retries, advice }
    }
}

fn advise(attempts: &[ByNumber], max_retries: Option<u32>) -> Vec<Advice> {
    let retries: Vec<&ByNumber> = attempts.iter().filter(|row| row.attempt > 1).collect();
    let tried: u64 = retries.iter().map(|row| row.tries).sum();
    let plain = |text: String| Advice { text, command: None };
    if tried < SAMPLE {
        return vec![plain(format!("{tried} retries are too few to advise on; {SAMPLE} are needed"))];
    }
    let mut advice = Vec::new();
    let set = |n: u32| Some(format!("opsctl config set MAX_RETRY_ATTEMPTS={n}"));
    let rate = |row: &ByNumber| format!("{:.0}% of {}", row.rate * 100.0, row.tries);
    // Retry number n is try number n + 1.
    let useless = retries.iter().find(|row| row.tries >= SAMPLE && row.rate < WORTHLESS);
    let last = retries.last().filter(|row| row.tries >= SAMPLE);
    if let Some(row) = useless {
        let keep = row.attempt - 2;
        let text = format!("try {} succeeds in {}: {keep} retries do as much with fewer calls", row.attempt, rate(row));
        advice.push(Advice { text, command: set(keep) });
    } else if let Some(row) = last.filter(|row| row.rate >= WORTHWHILE) {
        // The last number seen has to be the last that is allowed.
        if max_retries.is_none_or(|max| max + 1 == row.attempt) {
            let text = format!("try {}, the last, still succeeds in {}: one more would help", row.attempt, rate(row));
            advice.push(Advice { text, command: set(row.attempt) });
        }
    }
    let failures: BTreeMap<ErrorCode, u64> =
        retries.iter().flat_map(|row| &row.by_error).fold(BTreeMap::new(), |mut sums, (code, count)| {
            *sums.entry(*code).or_default() += count;
            sums
        });
    let all: u64 = failures.values().sum();
    if let Some(limited) = failures.get(&ErrorCode::RateLimited).filter(|count| **count * 2 > all) {
        advice.push(Advice {
            text: format!("{limited} of {all} retries failed at the rate limit: send less, rather than again"),
            command: Some("opsctl analyze rate-limits".into()),
        });
    }
    if let Some(timeouts) = failures.get(&ErrorCode::TimeoutError).filter(|count| **count * 2 > all) {
        let text = format!("{timeouts} of {all} retries ran out of time: look at the platform before waiting longer");
        advice.push(Advice { text, command: Some("opsctl check health --all --external".into()) });
    }
    if advice.is_empty() {
        advice.push(plain("every retry earns its call: nothing to change".into()));
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(attempt: u32, tries: u64, succeeded: u64) -> ByNumber {
        let failed = tries - succeeded;
        ByNumber {
            attempt,
            tries,
            succeeded,
            rate: succeeded as f64 / tries as f64,
            by_error: BTreeMap::from([(ErrorCode::ServiceDown, failed)]),
        }
    }

    fn commands(rows: &[ByNumber], max: Option<u32>) -> Vec<Option<String>> {
        advise(rows, max).into_iter().map(|advice| advice.command).collect()
    }

    #[test]
    fn a_try_that_never_helps_is_taken_away_and_one_that_does_gets_another() {
        let set = |n: u32| vec![Some(format!("opsctl config set MAX_RETRY_ATTEMPTS={n}"))];
        let [first, second] = [row(1, 1000, 800), row(2, 200, 100)];
        assert_eq!(commands(&[first.clone(), second.clone(), row(3, 100, 2)], Some(3)), set(1));
        assert_eq!(commands(&[first.clone(), second.clone(), row(3, 100, 40)], Some(2)), set(3));
        // More were allowed and none was needed.
        assert_eq!(commands(&[first.clone(), second.clone(), row(3, 100, 40)], Some(5)), [None]);
        assert_eq!(commands(&[first.clone(), second, row(3, 100, 15)], Some(2)), [None]);
        assert!(advise(&[first, row(2, 5, 0)], None)[0].text.contains("too few"));
    }

    #[test]
    fn retries_that_hit_the_limit_are_no_question_of_retrying() {
        let mut limited = row(2, 100, 30);
        limited.by_error = BTreeMap::from([(ErrorCode::RateLimited, 60), (ErrorCode::ServiceDown, 10)]);
        let advice = commands(&[row(1, 500, 400), limited], Some(4));
        assert_eq!(advice, [Some("opsctl analyze rate-limits".to_owned())]);
    }
}
