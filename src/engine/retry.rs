//! Whether and when a failed action is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::platforms::Delivery;
use crate::wire::{ActionType, ErrorCode, Platform, RetryConfig, Time};

/// The part of a wait that is random, each way.
pub const JITTER: f64 = 0.1;

/// How an action is retried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Retries after the first try.
    pub max_retries: u32,
    /// Wait before the first retry.
    pub initial: Duration,
    /// Factor between waits.
    pub multiplier: f64,
    /// Longest wait of ours; a platform's `Retry-After` may be longer.
    pub cap: Duration,
}

impl Policy {
    /// The action's own settings.
    pub fn from_request(config: &RetryConfig) -> Self {
        Policy {
            max_retries: config.max_retries,
            initial: Duration::from_millis(config.initial_delay),
            multiplier: config.backoff_multiplier,
            cap: Duration::from_millis(config.max_delay),
        }
    }

    /// The wait before retry `n` (1 for the first), with `random` from 0 to 1 for the jitter.
    pub fn delay(&self, n: u32, random: f64) -> Duration {
        let exponent = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
        let cap = self.cap.as_secs_f64();
        let plain = (self.initial.as_secs_f64() * self.multiplier.powi(exponent)).min(cap);
        let jittered = plain * (1.0 + JITTER * (2.0 * random.clamp(0.0, 1.0) - 1.0));
        Duration::from_millis((jittered * 1000.0).round().max(0.0) as u64)
    }
}

/// The longest wait of ours between tries, by platform.
pub const fn cap(platform: Platform) -> Duration {
    Duration::from_secs(match platform {
        Platform::Notion | Platform::Trello => 4,
        Platform::Slack => 5,
        Platform::Drive | Platform::Sheets => 32,
    })
}

/// The time limit of one try, by platform, when neither the action nor a setting says otherwise.
pub const fn timeout(platform: Platform) -> Duration {
    Duration::from_secs(match platform {
        Platform::Notion | Platform::Trello => 10,
        Platform::Slack => 15,
        Platform::Sheets => 20,
        Platform::Drive => 30,
    })
}

/// Whether an action changes something at the platform.
pub const fn is_write(action_type: ActionType) -> bool {
    !matches!(action_type, ActionType::Query)
}

/// A failed try.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Its code.
    pub code: ErrorCode,
    /// Whether a write can have happened.
    pub delivery: Delivery,
    /// How long the platform asks to wait.
    pub retry_after: Option<Duration>,
}

/// What follows a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Next {
    /// Try again then. With `look_first` the platform is asked whether the write happened before it is sent again.
    Retry {
        /// When.
        at: Time,
        /// Whether to look for the write first.
        look_first: bool,
    },
    /// No more tries, but the write may have happened: look for it then, and decide.
    Look {
        /// When.
        at: Time,
    },
    /// Given up; it did not happen.
    GiveUp,
}

/// Decides after a failed try; `retries` is how many retries the action had before it.
pub fn decide(
    policy: &Policy,
    action_type: ActionType,
    retries: u32,
    failure: Failure,
    now: Time,
    random: f64,
) -> Next {
    let doubt = is_write(action_type) && failure.delivery == Delivery::Unknown;
    // A read that failed for an unknown reason is harmless to repeat; so is a write that is looked for first.
    let retriable =
        failure.code.is_retriable() || (failure.code == ErrorCode::UnknownError && (doubt || !is_write(action_type)));
    let wait = policy.delay(retries + 1, random).max(failure.retry_after.unwrap_or_default());
    if retriable && retries < policy.max_retries {
        Next::Retry { at: now + wait, look_first: doubt }
    } else if doubt {
        Next::Look { at: now + wait }
    } else {
        Next::GiveUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { max_retries: 3, initial: Duration::from_secs(1), multiplier: 2.0, cap: Duration::from_secs(30) };

    fn failure(code: ErrorCode, delivery: Delivery) -> Failure {
        Failure { code, delivery, retry_after: None }
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<_> = (1..=6).map(|n| POLICY.delay(n, 0.5).as_millis()).collect();
        assert_eq!(waits, [1000, 2000, 4000, 8000, 16_000, 30_000]);
        let triple = Policy { multiplier: 3.0, ..POLICY };
        let waits: Vec<_> = (1..=5).map(|n| triple.delay(n, 0.5).as_millis()).collect();
        assert_eq!(waits, [1000, 3000, 9000, 27_000, 30_000]);
        let sheets = Policy { initial: Duration::from_secs(2), cap: cap(Platform::Sheets), ..POLICY };
        let waits: Vec<_> = (1..=4).map(|n| sheets.delay(n, 0.5).as_millis()).collect();
        assert_eq!(waits, [2000, 4000, 8000, 16_000]);
    }

    #[test]
    fn jitter_is_ten_percent_each_way() {
        assert_eq!(POLICY.delay(1, 0.0).as_millis(), 900);
        assert_eq!(POLICY.delay(1, 1.0).as_millis(), 1100);
        assert_eq!(POLICY.delay(u32::MAX, 1.0).as_millis(), 33_000);
    }

    #[test]
    fn three_retries_are_four_tries() {
        let down = failure(ErrorCode::ServiceDown, Delivery::NotDelivered);
        let next = |retries| decide(&POLICY, ActionType::Create, retries, down, Time(0), 0.5);
        assert_eq!(next(0), Next::Retry { at: Time(1000), look_first: false });
        assert_eq!(next(2), Next::Retry { at: Time(4000), look_first: false });
        assert_eq!(next(3), Next::GiveUp);
    }

    #[test]
    fn retry_after_beats_the_cap() {
        let limited = Failure {
            code: ErrorCode::RateLimited,
            delivery: Delivery::NotDelivered,
            retry_after: Some(Duration::from_secs(90)),
        };
        let next = decide(&POLICY, ActionType::Notify, 0, limited, Time(0), 0.5);
        assert_eq!(next, Next::Retry { at: Time(90_000), look_first: false });
    }

    #[test]
    fn what_cannot_succeed_is_not_repeated() {
        for code in [ErrorCode::ValidationError, ErrorCode::AuthError, ErrorCode::NotFound, ErrorCode::QuotaExceeded] {
            let next = decide(&POLICY, ActionType::Create, 0, failure(code, Delivery::NotDelivered), Time(0), 0.5);
            assert_eq!(next, Next::GiveUp, "{code}");
        }
    }

    #[test]
    fn a_write_in_doubt_is_looked_for_before_it_is_sent_again() {
        for code in [ErrorCode::TimeoutError, ErrorCode::UnknownError, ErrorCode::ServiceDown] {
            let lost = failure(code, Delivery::Unknown);
            assert_eq!(
                decide(&POLICY, ActionType::Create, 0, lost, Time(0), 0.5),
                Next::Retry { at: Time(1000), look_first: true }
            );
            assert_eq!(decide(&POLICY, ActionType::Create, 3, lost, Time(0), 0.5), Next::Look { at: Time(8000) });
            assert_eq!(
                decide(&POLICY, ActionType::Query, 0, lost, Time(0), 0.5),
                Next::Retry { at: Time(1000), look_first: false }
            );
        }
        let refused = failure(ErrorCode::UnknownError, Delivery::NotDelivered);
        assert_eq!(decide(&POLICY, ActionType::Create, 0, refused, Time(0), 0.5), Next::GiveUp);
    }
}
