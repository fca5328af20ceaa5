//! How long a workflow may take. The time in which the gate is closed does not count.

use serde::{Deserialize, Serialize};

use crate::wire::Time;

/// Until when a workflow has to be done. It is kept in the journal, so that it stays the same whoever goes on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Limit {
    /// The whole time, in milliseconds.
    pub ms: u64,
    /// When it began to run.
    since: Time,
    /// How long the gate had been closed in all by then, in milliseconds.
    held_ms: i64,
}

impl Limit {
    /// A time that begins to run at a moment at which the gate had been closed for so long in all.
    pub fn new(ms: u64, since: Time, held_ms: i64) -> Limit {
        Limit { ms, since, held_ms }
    }

    /// Whether it is over at a moment at which the gate has been closed for so long in all.
    pub fn is_over(&self, at: Time, held_ms: i64) -> bool {
        let held = u64::try_from(held_ms.saturating_sub(self.held_ms)).unwrap_or(0);
        u64::try_from(at.since(self.since).as_millis()).unwrap_or(u64::MAX).saturating_sub(held) >= self.ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_at_a_closed_gate_does_not_count() {
        let limit = Limit::new(60_000, Time(1_000_000), 5_000);
        assert!(!limit.is_over(Time(1_059_999), 5_000));
        assert!(limit.is_over(Time(1_060_000), 5_000));
        assert!(!limit.is_over(Time(1_060_000), 5_001), "a pause in between");
        assert!(limit.is_over(Time(4_660_000), 3_605_000), "an hour of it");
        assert!(limit.is_over(Time(1_060_000), 0), "a gate that keeps no count");
        assert!(!limit.is_over(Time(0), 0), "a clock that is behind");
    }
}
