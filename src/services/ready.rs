//! Waiting until a service is ready, and stays so.

use std::time::{Duration, Instant};

use super::{Seen, State};
use crate::settings::format_duration;

/// The first pause between two looks; it grows.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A service that went down so often after it had come up does not stay up.
const FALLS: u32 = 3;

/// Why a service is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// The time is over, and it never was.
    Never {
        /// How long it had.
        limit: Duration,
        /// What was seen last.
        seen: Seen,
    },
    /// It came up and went down again.
    Flaps {
        /// How often.
        falls: u32,
        /// What was seen last.
        seen: Seen,
    },
    /// It will not come up by itself any more, or cannot be looked at.
    Over(Seen),
}

/// How long a service has been up without a break.
#[derive(Debug)]
pub struct Steady {
    stable: Duration,
    since: Option<Instant>,
    life: Option<String>,
    falls: u32,
}

impl Steady {
    /// For a service that has to stay up this long.
    pub fn new(stable: Duration) -> Self {
        Steady { stable, since: None, life: None, falls: 0 }
    }

    /// Takes in a look: how much longer it has to stay up, or `None` while it is not up.
    pub fn see(&mut self, seen: &Seen, now: Instant) -> Option<Duration> {
        if seen.state != State::Up {
            self.falls += u32::from(self.since.take().is_some());
            return None;
        }
        // Started anew between two looks: it was down, though nobody saw it.
        if self.since.is_some() && self.life != seen.life {
            self.falls += 1;
            self.since = None;
        }
        self.life.clone_from(&seen.life);
        let since = *self.since.get_or_insert(now);
        Some(self.stable.saturating_sub(now.duration_since(since)))
    }

    /// How often it went down after it had come up.
    pub fn falls(&self) -> u32 {
        self.falls
    }
}

/// Looks until the service has been up for `stable`; gives what was seen last.
pub async fn until_ready<F>(stable: Duration, limit: Duration, mut look: impl FnMut() -> F) -> Result<Seen, NotReady>
where
    F: Future<Output = Seen>,
{
    let deadline = Instant::now() + limit;
    let mut steady = Steady::new(stable);
    let mut pause = FIRST_PAUSE;
    let mut last = Seen::unknown(format!("no look ended within {}", format_duration(limit)));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(seen) = tokio::time::timeout(left, look()).await else { return Err(given_up(&steady, limit, last)) };
        last = seen;
        let remaining = steady.see(&last, Instant::now());
        if remaining == Some(Duration::ZERO) {
            return Ok(last);
        }
        if steady.falls() >= FALLS {
            return Err(NotReady::Flaps { falls: steady.falls(), seen: last });
        }
        if last.is_over {
            return Err(NotReady::Over(last));
        }
        pause = remaining.map_or(pause, |remaining| remaining.min(pause));
        if Instant::now() + pause >= deadline {
            return Err(given_up(&steady, limit, last));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }
}

fn given_up(steady: &Steady, limit: Duration, seen: Seen) -> NotReady {
    match steady.falls() {
        0 => NotReady::Never { limit, seen },
        falls => NotReady::Flaps { falls, seen },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn alive(life: &str) -> Seen {
        Seen { life: Some(life.into()), ..Seen::up("") }
    }

    #[test]
    fn ready_has_to_hold_without_a_break() {
        let start = Instant::now();
        let mut steady = Steady::new(Duration::from_secs(5));
        assert_eq!(steady.see(&Seen::down(""), start), None);
        assert_eq!(steady.see(&alive("a"), at(start, 1)), Some(Duration::from_secs(5)));
        assert_eq!(steady.see(&alive("a"), at(start, 4)), Some(Duration::from_secs(2)));
        assert_eq!(steady.see(&Seen::unknown(""), at(start, 5)), None);
        assert_eq!(steady.see(&alive("a"), at(start, 6)), Some(Duration::from_secs(5)));
        assert_eq!(steady.see(&alive("a"), at(start, 11)), Some(Duration::ZERO));
        assert_eq!(steady.falls(), 1);
    }

    #[test]
    fn a_new_life_between_two_looks_is_a_fall() {
        let start = Instant::now();
        let mut steady = Steady::new(Duration::from_secs(5));
        steady.see(&alive("a"), start);
        assert_eq!(steady.see(&alive("b"), at(start, 4)), Some(Duration::from_secs(5)));
        assert_eq!(steady.falls(), 1);
    }

    #[tokio::test]
    async fn what_is_over_is_not_waited_for() {
        let over = || async { Seen { is_over: true, ..Seen::down("it is failed") } };
        let end = until_ready(Duration::from_secs(1), Duration::from_secs(3600), over).await.unwrap_err();
        assert!(matches!(end, NotReady::Over(seen) if seen.detail == "it is failed"));
    }

    #[tokio::test]
    async fn one_that_keeps_falling_flaps_and_one_that_never_rises_times_out() {
        let mut count = 0;
        let flapping = || {
            count += 1;
            let seen = if count % 2 == 0 { Seen::up("") } else { Seen::down("gone again") };
            std::future::ready(seen)
        };
        let end = until_ready(Duration::from_secs(50), Duration::from_secs(60), flapping).await.unwrap_err();
        assert!(matches!(end, NotReady::Flaps { falls: 3, .. }), "{end:?}");
        let never = || async { Seen::down("no") };
        let end = until_ready(Duration::ZERO, Duration::from_millis(200), never).await.unwrap_err();
        assert!(matches!(end, NotReady::Never { .. }), "{end:?}");
    }
}
