//! How long something has been beyond its threshold, whatever the wall clock does meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::State;
use super::judge::Sample;
use super::rules::Hold;
use crate::wire::Time;

/// What nobody looked at for longer than this is not known to have held.
pub const GAP: Duration = Duration::from_secs(15 * 60);

/// A moment by every clock there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// By the wall clock, which somebody may set.
    pub wall: Time,
    /// The start of the machine that `up_ms` counts from; empty where the system does not say.
    pub boot: String,
    /// Milliseconds since the machine started.
    pub up_ms: u64,
    /// How far the sandbox's clock is ahead, in milliseconds.
    pub offset_ms: i64,
}

impl Moment {
    /// The time that has passed: the machine's own count where both moments are of one start of it, and never negative.
    pub fn since(&self, earlier: &Moment) -> Duration {
        if self.boot.is_empty() || self.boot != earlier.boot {
            return self.wall.since(earlier.wall);
        }
        let moved = u64::try_from(self.offset_ms.saturating_sub(earlier.offset_ms)).unwrap_or(0);
        Duration::from_millis(self.up_ms.saturating_sub(earlier.up_ms).saturating_add(moved))
    }
}

/// What became of an alert at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It fires from now on.
    Fired,
    /// It is over.
    Resolved,
}

/// What is remembered of one alert about one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// Milliseconds it has been beyond its threshold, as far as was seen.
    pub held_ms: u64,
    /// Looks in a row that saw it so.
    pub looks: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Moment>,
    /// Since when it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<Time>,
}

impl Track {
    /// Takes what was seen now. Without a memory that lasts nothing can be waited for: it fires at once.
    pub fn see(&mut self, sample: &Sample, hold: Hold, now: &Moment, lasting: bool) -> Option<Change> {
        match sample {
            // Nothing is known: what held may hold, what fires may fire.
            Sample::Unknown { .. } => None,
            Sample::Within(_) => {
                let fired = self.firing.is_some();
                *self = Track::default();
                fired.then_some(Change::Resolved)
            }
            Sample::Beyond(_) => {
                let passed = self.seen.as_ref().map(|seen| now.since(seen));
                self.held_ms = match passed {
                    Some(passed) if passed <= GAP => self.held_ms.saturating_add(millis(passed)),
                    _ => 0,
                };
                self.looks = self.looks.saturating_add(1);
                self.seen = Some(now.clone());
                let long_enough = match hold {
                    Hold::Looks(looks) => self.looks >= looks,
                    Hold::For(length) => self.held_ms >= millis(length),
                };
                if self.firing.is_some() || (!long_enough && lasting) {
                    return None;
                }
                self.firing = Some(now.wall);
                Some(Change::Fired)
            }
        }
    }

    /// Where it stands after that look.
    pub fn state(&self, sample: &Sample) -> State {
        match sample {
            _ if self.firing.is_some() => State::Firing,
            Sample::Unknown { .. } => State::Unknown,
            Sample::Within(_) => State::Ok,
            Sample::Beyond(_) => State::Pending,
        }
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn at(minutes: u64, wall_ms: i64) -> Moment {
        Moment { wall: Time(wall_ms), boot: "b".into(), up_ms: minutes * MINUTE, offset_ms: 0 }
    }

    fn beyond() -> Sample {
        Sample::Beyond("130".into())
    }

    fn within() -> Sample {
        Sample::Within("3".into())
    }

    const TEN: Hold = Hold::For(Duration::from_secs(600));

    #[test]
    fn it_fires_once_when_it_held_and_is_resolved_once() {
        let mut track = Track::default();
        for minute in 0..10 {
            assert_eq!(track.see(&beyond(), TEN, &at(minute, 0), true), None, "{minute}");
            assert_eq!(track.state(&beyond()), State::Pending);
        }
        assert_eq!(track.see(&beyond(), TEN, &at(10, 0), true), Some(Change::Fired));
        assert_eq!(track.see(&beyond(), TEN, &at(11, 0), true), None);
        let unknown = Sample::blind("nobody answers");
        assert_eq!((track.see(&unknown, TEN, &at(12, 0), true), track.state(&unknown)), (None, State::Firing));
        assert_eq!(track.see(&within(), TEN, &at(13, 0), true), Some(Change::Resolved));
        assert_eq!(track.see(&within(), TEN, &at(14, 0), true), None);
    }

    #[test]
    fn a_clock_that_jumps_neither_hastens_nor_repeats_it() {
        let mut track = Track::default();
        let day = 86_400_000;
        // Forward a day, back two, forward again: by the machine's own count eleven minutes pass.
        let walls = [0, day, -day, 0, day, -day, 0, day, -day, 0, day, 0];
        let changes: Vec<_> =
            walls.iter().zip(0..).map(|(wall, minute)| track.see(&beyond(), TEN, &at(minute, *wall), true)).collect();
        assert_eq!(changes.iter().flatten().collect::<Vec<_>>(), [&Change::Fired]);
        assert_eq!(changes[10], Some(Change::Fired));

        // After a restart of the machine there is only the wall clock, and it went back.
        let other = Moment { boot: "c".into(), ..at(1, -day) };
        assert_eq!(track.see(&beyond(), TEN, &other, true), None);
        let mut fresh = Track::default();
        fresh.see(&beyond(), TEN, &at(5, 0), true);
        fresh.see(&beyond(), TEN, &other, true);
        assert_eq!(fresh.held_ms, 0);
    }

    #[test]
    fn the_sandboxs_clock_counts() {
        let mut track = Track::default();
        track.see(&beyond(), TEN, &at(0, 0), true);
        let later = Moment { offset_ms: 11 * 60_000, ..at(0, 0) };
        assert_eq!(track.see(&beyond(), TEN, &later, true), Some(Change::Fired));
    }

    #[test]
    fn what_nobody_looked_at_is_not_known_to_have_held() {
        let mut track = Track::default();
        track.see(&beyond(), TEN, &at(0, 0), true);
        assert_eq!(track.see(&beyond(), TEN, &at(60, 0), true), None);
        assert_eq!(track.see(&beyond(), TEN, &at(70, 0), true), Some(Change::Fired));
        let mut blinking = Track::default();
        blinking.see(&beyond(), TEN, &at(0, 0), true);
        blinking.see(&within(), TEN, &at(5, 0), true);
        assert_eq!(blinking.see(&beyond(), TEN, &at(10, 0), true), None);
    }

    #[test]
    fn failures_are_counted_and_without_a_memory_nothing_is_waited_for() {
        let mut track = Track::default();
        let see = |track: &mut Track, minute| track.see(&beyond(), Hold::Looks(3), &at(minute, 0), true);
        assert_eq!([see(&mut track, 0), see(&mut track, 30), see(&mut track, 60)], [None, None, Some(Change::Fired)]);
        assert_eq!(Track::default().see(&beyond(), TEN, &at(0, 0), false), Some(Change::Fired));
    }
}
