//! Coming back gently: after a pause the workers start one by one.

use std::time::Duration;

use crate::wire::Time;

/// A ramp from one worker to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowStart {
    since: Time,
    step: Duration,
}

impl SlowStart {
    /// Starts with one worker and adds one every `step`.
    pub fn new(since: Time, step: Duration) -> Self {
        SlowStart { since, step }
    }

    /// How many of `workers` may be busy.
    pub fn allowed(&self, workers: usize, now: Time) -> usize {
        let steps = now.since(self.since).as_millis() / self.step.as_millis().max(1);
        usize::try_from(steps).unwrap_or(usize::MAX).saturating_add(1).min(workers)
    }

    /// When the next worker joins; `None` when all have.
    pub fn next_step(&self, workers: usize, now: Time) -> Option<Time> {
        let allowed = self.allowed(workers, now);
        let step = u32::try_from(allowed).unwrap_or(u32::MAX);
        (allowed < workers).then(|| self.since + self.step.saturating_mul(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_worker_every_step() {
        let ramp = SlowStart::new(Time(0), Duration::from_secs(5));
        let allowed: Vec<_> = [0, 4999, 5000, 10_000, 90_000].map(|ms| ramp.allowed(3, Time(ms))).into();
        assert_eq!(allowed, [1, 1, 2, 3, 3]);
        assert_eq!(ramp.next_step(3, Time(4999)), Some(Time(5000)));
        assert_eq!(ramp.next_step(3, Time(10_000)), None);
        assert_eq!(ramp.allowed(0, Time(0)), 0);
    }
}
