//! What a listing has just shown to be held by a closed gate. A clear mostly names what was listed a moment before, so that
//! its plan could be read: that need not be looked at a second time before it is killed. While the gate stays closed none of
//! it can be given leave to write; what else becomes of it shows when it is looked at afterwards, as with every kill.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::invocation::Held;
use crate::wire::Time;

/// As long as somebody reads a plan.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// The last listing, until something is taken out.
#[derive(Default)]
pub(super) struct Listed(Mutex<Listing>);

#[derive(Default)]
struct Listing {
    /// The gate as it was then.
    held: Held,
    at: Time,
    ids: HashSet<String>,
}

impl Listed {
    /// Keeps what was held at a moment, instead of what was listed before.
    pub fn keep(&self, held: Held, at: Time, ids: HashSet<String>) {
        *self.listing() = Listing { held, at, ids };
    }

    /// What was listed, if it is recent and the gate has not been opened since. It counts once: afterwards it may be out.
    pub fn take(&self, held: Held, now: Time) -> HashSet<String> {
        let Listing { held: then, at, ids } = std::mem::take(&mut *self.listing());
        if then == held && now.since(at) < COUNTS_FOR { ids } else { HashSet::new() }
    }

    fn listing(&self) -> std::sync::MutexGuard<'_, Listing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_counts_once_for_a_minute_and_for_the_same_pause() {
        let (closed, now) = (Held(Some(Time(5_000))), Time(100_000));
        let after = |at: i64, held: Held| {
            let listed = Listed::default();
            listed.keep(closed, now, HashSet::from(["inv_1".to_owned()]));
            (listed.take(held, Time(at)).len(), listed.take(held, Time(at)).len())
        };
        assert_eq!(after(159_999, closed), (1, 0));
        assert_eq!(after(160_000, closed), (0, 0), "too long ago");
        assert_eq!(after(100_001, Held(Some(Time(99_000)))), (0, 0), "opened and closed again");
        assert_eq!(after(100_001, Held(None)), (0, 0), "opened");
    }
}
