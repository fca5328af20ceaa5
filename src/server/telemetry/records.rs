//! What the workers tell telemetry.

use std::time::Duration;

use crate::wire::{ActionType, ByPriority, CircuitState, ErrorCode, PauseScope, Platform, RateLimitStatus, Time};

/// One request really sent to a platform, a try of an action or anything else that uses up its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// When it ended.
    pub at: Time,
    /// The platform.
    pub platform: Platform,
    /// What it failed with.
    pub error: Option<ErrorCode>,
}

/// One action that ended for good, done or given up; a try that will be repeated is not an end.
#[derive(Clone, Debug, PartialEq)]
pub struct EndRecord {
    /// When it ended.
    pub at: Time,
    /// The platform it was for, also when a fallback did it.
    pub platform: Platform,
    /// Its type.
    pub action_type: ActionType,
    /// What it failed with; `None` when it succeeded.
    pub error: Option<ErrorCode>,
    /// Retries it needed.
    pub retries: u32,
    /// Whether a fallback did it.
    pub fell_back: bool,
    /// Time in the platform call that ended it; `None` when it was never called.
    pub execution: Option<Duration>,
    /// Time in the queue, execution and retries left out.
    pub queued: Duration,
}

/// What the backend knows at the moment of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Items waiting.
    pub queue: ByPriority,
    /// Age of the oldest of them.
    pub oldest_age: Option<Duration>,
    /// Items waiting longer than the stuck age.
    pub stuck: u64,
    /// Items whose retries are exhausted.
    pub dead_letters: u64,
    /// All workers.
    pub workers: u64,
    /// Busy workers.
    pub workers_busy: u64,
    /// Circuits.
    pub circuits: Vec<(Platform, CircuitState)>,
    /// Pauses in force.
    pub pauses: Vec<PauseScope>,
    /// Use of the limits.
    pub limits: Vec<RateLimitStatus>,
}
