//! Actions a minute per user and per workflow.

use std::collections::HashMap;
use std::time::Duration;

use crate::wire::Time;

const WINDOW: Duration = Duration::from_secs(60);
/// Subjects kept before those whose minute is over are forgotten.
const SWEEP_AT: usize = 4096;

/// A fixed minute window per subject.
#[derive(Debug, Default)]
pub struct Throttle {
    per_minute: Option<u64>,
    windows: HashMap<u64, (Time, u64)>,
}

impl Throttle {
    /// A new limit; `None` admits everything.
    pub fn set_limit(&mut self, per_minute: Option<u64>) {
        self.per_minute = per_minute;
    }

    /// Until when a subject has to wait; `None` when it may go now.
    pub fn blocked_until(&self, subject: u64, now: Time) -> Option<Time> {
        let limit = self.per_minute?;
        let (started, used) = self.windows.get(&subject)?;
        let ends = *started + WINDOW;
        (*used >= limit && now < ends && now >= *started).then_some(ends)
    }

    /// Counts an action of a subject.
    pub fn count(&mut self, subject: u64, now: Time) {
        if self.per_minute.is_none() {
            return;
        }
        if self.windows.len() >= SWEEP_AT {
            self.windows.retain(|_, (started, _)| now.since(*started) < WINDOW);
        }
        let window = self.windows.entry(subject).or_insert((now, 0));
        if now >= window.0 + WINDOW || now < window.0 {
            *window = (now, 0);
        }
        window.1 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_action_of_a_minute_waits() {
        let mut throttle = Throttle::default();
        throttle.set_limit(Some(5));
        for _ in 0..5 {
            assert_eq!(throttle.blocked_until(7, Time(1000)), None);
            throttle.count(7, Time(1000));
        }
        assert_eq!(throttle.blocked_until(7, Time(2000)), Some(Time(61_000)));
        assert_eq!(throttle.blocked_until(8, Time(2000)), None);
        assert_eq!(throttle.blocked_until(7, Time(61_000)), None);
        throttle.set_limit(None);
        assert_eq!(throttle.blocked_until(7, Time(2000)), None);
    }
}
