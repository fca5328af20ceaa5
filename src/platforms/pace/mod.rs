//! Pacing: one limiter for each credential, shared by all workers and by all processes of this machine.
//!
//! The provider's published rate is only where it starts; what its answers say decides (see [`bucket`]). Requests wait
//! in the order in which they came; one that was refused goes back to its place at the head, and a refusal holds
//! everybody. What is known of a credential's limit is kept in the state directory.

mod bucket;
mod shared;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedMutexGuard};

use crate::clock::Clock;
use crate::wire::Platform;
pub use bucket::Bucket;
use shared::Shared;

/// Requests a second that a platform is known to bear, from its documentation. Where it starts.
pub const fn published_rate(platform: Platform) -> f64 {
    match platform {
        // 180 in 60 s.
        Platform::Notion => 3.0,
        // 100 in 10 s for one token, with a margin for everybody else who uses it.
        Platform::Trello => 8.0,
        // One message a second; the lists are slower still.
        Platform::Slack => 1.0,
        // 325,000 units a minute.
        Platform::Drive => 20.0,
        // 60 reads and 60 writes a minute for one user.
        Platform::Sheets => 1.0,
    }
}

/// How the requests of a set of clients are paced.
#[derive(Debug)]
pub struct Pacing {
    /// Where what is known of each limit is kept; `None`: in memory.
    directory: Option<PathBuf>,
    /// Requests a second, where the operator knows better than the documentation.
    rates: HashMap<Platform, f64>,
    clock: Clock,
    paces: Mutex<HashMap<String, Arc<Pace>>>,
}

impl Pacing {
    /// Pacing by limits that are kept in this directory, and so shared with other processes.
    pub fn new(directory: Option<PathBuf>, clock: Clock) -> Self {
        Pacing { directory, rates: HashMap::new(), clock, paces: Mutex::default() }
    }

    /// With these rates instead of the published ones.
    #[must_use]
    pub fn rates(mut self, rates: impl IntoIterator<Item = (Platform, f64)>) -> Self {
        self.rates.extend(rates);
        self
    }

    /// Requests a second to begin with.
    pub fn rate(&self, platform: Platform) -> f64 {
        self.rates.get(&platform).copied().unwrap_or_else(|| published_rate(platform))
    }

    /// The limiter of a credential, named by its fingerprint.
    pub fn of(&self, platform: Platform, credential: &str) -> Arc<Pace> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{platform}-{credential}");
        let make = || {
            let path = self.directory.as_ref().map(|directory| directory.join(format!("{name}.json")));
            Arc::new(Pace::new(platform, self.rate(platform), path, self.clock.clone()))
        };
        paces.entry(name.clone()).or_insert_with(make).clone()
    }
}

/// The limiter of one credential.
#[derive(Debug)]
pub struct Pace {
    platform: Platform,
    rate: f64,
    clock: Clock,
    shared: Shared,
    /// This process's own part of the rate, when it takes only a share.
    part: Mutex<Option<Bucket>>,
    queue: Mutex<Queue>,
    changed: Notify,
    /// Held by the write that is about to leave.
    leaving: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiting: BTreeSet<u64>,
    in_flight: usize,
}

/// What decides how fast it goes now.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Requests a second that are let through.
    pub rate: f64,
    /// Requests that may be in flight.
    pub width: usize,
    /// The limit, for people: `notion's 3/s`.
    pub limit: String,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Place<'a> {
    pace: &'a Pace,
    number: u64,
}

/// The right to have one request in flight, until it is dropped.
#[derive(Debug)]
pub struct Slot<'a> {
    pace: &'a Pace,
}

impl Pace {
    fn new(platform: Platform, rate: f64, path: Option<PathBuf>, clock: Clock) -> Self {
        let shared = Shared::new(path, rate);
        let (part, queue, changed, leaving) = Default::default();
        Pace { platform, rate, clock, shared, part, queue, changed, leaving }
    }

    /// Takes only this part of the rate from now on.
    pub fn take_share(&self, share: f64) {
        let mut part = Bucket::new(self.rate * share, self.clock.now());
        part.without_burst();
        *self.part.lock().unwrap_or_else(PoisonError::into_inner) = Some(part);
    }

    /// Whether it takes only a part.
    pub fn is_shared(&self) -> bool {
        self.part.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// A place at the end of the queue.
    pub fn queue_up(&self) -> Place<'_> {
        let mut queue = self.queue();
        queue.next += 1;
        let number = queue.next;
        queue.waiting.insert(number);
        Place { pace: self, number }
    }

    /// Waits until the write before this one has left: writes reach the platform in the order of their turns, however
    /// long a new connection takes. Held until this one leaves.
    pub async fn leave(&self) -> OwnedMutexGuard<()> {
        self.leaving.clone().lock_owned().await
    }

    /// What decides how fast it goes now.
    pub fn standing(&self) -> Standing {
        let now = self.clock.now();
        let (held, width) = self.shared.with(now, |bucket| (bucket.held(now), bucket.width()));
        let own = self.part.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Bucket::rate);
        let rate = own.unwrap_or(self.rate);
        let name = format!("{}'s {}/s", self.platform, decimal(self.rate));
        let limit = match (held, own) {
            (Some(wait), _) => format!("{} asks to wait {}s", self.platform, wait.as_secs_f64().ceil()),
            (None, Some(own)) => format!("{}/s of {name}", decimal(own)),
            (None, None) => name,
        };
        Standing { rate, width, limit }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request go, or says how long to wait; `None`: until something changes here.
    fn admit(&self, number: u64) -> Result<(), Option<Duration>> {
        let mut queue = self.queue();
        if queue.waiting.first() != Some(&number) {
            return Err(None);
        }
        let now = self.clock.now();
        let mut part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = part.as_mut().and_then(|part| part.wait(now)) {
            return Err(Some(wait));
        }
        let in_flight = queue.in_flight;
        self.shared.with(now, |bucket| match bucket.width() {
            width if in_flight >= width => Err(None),
            _ => bucket.take(now).map_err(Some),
        })?;
        if let Some(part) = part.as_mut() {
            let _ = part.take(now);
        }
        queue.waiting.remove(&number);
        queue.in_flight += 1;
        Ok(())
    }
}

impl<'a> Place<'a> {
    /// Waits for its turn.
    pub async fn turn(&self) -> Slot<'a> {
        // A refused request is still the first of those that wait.
        self.pace.queue().waiting.insert(self.number);
        loop {
            let changed = self.pace.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.pace.admit(self.number) {
                Ok(()) => {
                    self.pace.changed.notify_waiters();
                    return Slot { pace: self.pace };
                }
                Err(None) => changed.await,
                Err(Some(wait)) => {
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = changed => {}
                    }
                }
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pace.queue().waiting.remove(&self.number);
        self.pace.changed.notify_waiters();
    }
}

impl Slot<'_> {
    /// The request was let through by the platform.
    pub fn let_through(self) {
        self.pace.shared.with(self.pace.clock.now(), Bucket::let_through);
    }

    /// The request was refused for its rate: everybody waits for this long.
    pub fn refused(self, retry_after: Option<Duration>) {
        let now = self.pace.clock.now();
        self.pace.shared.with(now, |bucket| bucket.refused(now, retry_after));
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.pace.queue().in_flight -= 1;
        self.pace.changed.notify_waiters();
    }
}

/// A rate without needless digits: `3`, `2.5`.
fn decimal(rate: f64) -> String {
    let text = format!("{rate:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::scratch;

    #[tokio::test]
    async fn they_go_in_order_and_a_refused_one_goes_first() {
        let pacing = Pacing::new(None, Clock::system());
        let pace = pacing.of(Platform::Notion, "a");
        let (first, second) = (pace.queue_up(), pace.queue_up());
        assert_eq!(pace.admit(second.number), Err(None), "not its turn");
        let slot = first.turn().await;
        let other = second.turn().await;
        slot.refused(Some(Duration::from_millis(20)));
        other.let_through();
        let third = pace.queue_up();
        pace.queue().waiting.insert(first.number);
        assert_eq!(pace.admit(third.number), Err(None), "the refused one is before it");
        assert!(matches!(pace.admit(first.number), Err(Some(_))), "held");
        first.turn().await.let_through();
        drop(first);
        third.turn().await.let_through();
    }

    #[tokio::test]
    async fn two_processes_share_what_a_credential_may_do() {
        let dir = scratch("pace");
        let pacing = || Pacing::new(Some(dir.path().to_owned()), Clock::system());
        // Each has its own memory, as two processes have.
        let (one, two) = (pacing(), pacing());
        let (a, b) = (one.of(Platform::Notion, "key"), two.of(Platform::Notion, "key"));
        let place = a.queue_up();
        place.turn().await.refused(Some(Duration::from_secs(5)));
        drop(place);
        assert!(b.standing().limit.contains("asks to wait 5s"), "{:?}", b.standing());
        let other = two.of(Platform::Notion, "another key");
        assert_eq!(other.standing().limit, "notion's 3/s");
    }

    #[tokio::test]
    async fn what_one_process_has_used_the_other_has_not() {
        let dir = scratch("pace");
        let pacing = || Pacing::new(Some(dir.path().to_owned()), Clock::system()).rates([(Platform::Notion, 0.1)]);
        let (one, two) = (pacing().of(Platform::Notion, "key"), pacing().of(Platform::Notion, "key"));
        // A minute's worth at once, three by each.
        for pace in [&one, &two, &one, &two, &one, &two] {
            pace.queue_up().turn().await.let_through();
        }
        for pace in [&one, &two] {
            let place = pace.queue_up();
            assert!(matches!(pace.admit(place.number), Err(Some(wait)) if wait > Duration::from_secs(5)));
        }
    }

    #[tokio::test]
    async fn writes_leave_one_after_the_other() {
        let pace = Pacing::new(None, Clock::system()).of(Platform::Notion, "key");
        let first = pace.leave().await;
        let mut second = std::pin::pin!(pace.leave());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn a_share_is_a_part_of_the_rate_and_nothing_of_the_burst() {
        let pace = Pacing::new(None, Clock::system()).of(Platform::Notion, "a");
        pace.take_share(0.5);
        assert_eq!(pace.standing().limit, "1.5/s of notion's 3/s");
        let (first, second) = (pace.queue_up(), pace.queue_up());
        let slot = first.turn().await;
        assert!(matches!(pace.admit(second.number), Err(Some(wait)) if wait > Duration::from_millis(500)));
        slot.let_through();
    }
}
