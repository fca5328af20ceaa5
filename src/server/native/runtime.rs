//! The parts together: what is shared, how work is handed to workers, and what happens with time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::backup::Backups;
use super::bus::{Bus, Event};
use super::cache::Cache;
use super::calls::{Calls, credentials};
use super::core::{Core, Halt};
use super::outcome::Unsaved;
use super::restart::Parts;
use super::sampling::SAMPLE_EVERY;
use super::store::{Store, StoreError, journal, workflows};
use crate::clock::Clock;
use crate::engine::queue::Seq;
use crate::platforms::CallEvent;
use crate::server::config::{ConfigRegistry, Effective};
use crate::server::telemetry::{CallRecord, LogLine, Part, Telemetry};
use crate::wire::{CircuitTransition, ErrorCode, Platform, Time};

/// Longest the timekeeper sleeps: the sandbox's clock may jump, and settings may expire.
const TICK: Duration = Duration::from_secs(1);
/// Between two writes of when each platform last accepted us.
const KEEP_AUTH_EVERY: Duration = Duration::from_secs(60);
/// Between two rounds of dropping old rows.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// The running orchestrator.
pub(super) struct Runtime {
    pub data_dir: PathBuf,
    pub clock: Clock,
    pub store: Store,
    pub config: Arc<ConfigRegistry>,
    pub telemetry: Arc<Telemetry>,
    pub calls: Arc<dyn Calls>,
    pub bus: Bus,
    pub cache: Cache,
    pub backups: Backups,
    pub parts: Mutex<Parts>,
    /// Ends and returns that could not be written yet.
    pub unsaved: Mutex<Vec<Unsaved>>,
    /// A job ended or an item was written back.
    pub settled: Notify,
    /// Hands back what is in flight, by platform.
    pub recall: Vec<watch::Sender<u64>>,
    /// One restart at a time.
    pub restarting: tokio::sync::Mutex<()>,
    core: Mutex<Core>,
    timekeeper: Arc<Notify>,
    /// When the timekeeper wakes, in milliseconds.
    planned: AtomicI64,
    /// When the next approval may expire, in milliseconds; at first it is not known.
    pub next_expiry: AtomicI64,
    /// When the next workflow's time is over, in milliseconds; in the past when that is not known.
    pub next_deadline: AtomicI64,
    handle: OnceLock<Handle>,
    this: Weak<Runtime>,
}

/// What a runtime is made from.
pub(super) struct Makings {
    pub backups: Backups,
    pub data_dir: PathBuf,
    pub clock: Clock,
    pub store: Store,
    pub config: Arc<ConfigRegistry>,
    pub telemetry: Arc<Telemetry>,
}

impl Runtime {
    /// Puts the parts together. `calls` is made with a way back, for counting requests.
    pub(super) fn new(
        makings: Makings,
        core: Core,
        calls: impl FnOnce(Weak<Runtime>) -> Arc<dyn Calls>,
    ) -> Arc<Runtime> {
        let now = makings.clock.now();
        Arc::new_cyclic(|this| Runtime {
            data_dir: makings.data_dir,
            clock: makings.clock,
            store: makings.store,
            config: makings.config,
            bus: Bus::new(Arc::clone(&makings.telemetry)),
            telemetry: makings.telemetry,
            calls: calls(Weak::clone(this)),
            cache: Cache::default(),
            backups: makings.backups,
            parts: Mutex::new(Parts::new(now)),
            unsaved: Mutex::default(),
            settled: Notify::new(),
            recall: Platform::ALL.iter().map(|_| watch::Sender::new(0)).collect(),
            restarting: tokio::sync::Mutex::new(()),
            core: Mutex::new(core),
            timekeeper: Arc::default(),
            planned: AtomicI64::new(i64::MAX),
            next_expiry: AtomicI64::new(i64::MIN),
            next_deadline: AtomicI64::new(i64::MIN),
            handle: OnceLock::new(),
            this: Weak::clone(this),
        })
    }

    /// Starts work. Called inside the async runtime, once.
    pub(super) fn start(&self) {
        let _ = self.handle.set(Handle::current());
        self.bus.listen();
        tokio::spawn(keep_time(Weak::clone(&self.this), Arc::clone(&self.timekeeper)));
        tokio::spawn(follow_settings(Weak::clone(&self.this), self.config.subscribe()));
        self.pump();
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives every free worker work, as long as there is some. Works from any thread.
    pub(super) fn pump(&self) {
        let Some(handle) = self.handle.get() else { return };
        let now = self.now();
        let mut moved = Vec::new();
        {
            let mut core = self.core();
            while let Some(job) = core.take(now) {
                let Some(this) = self.this.upgrade() else { break };
                handle.spawn(this.work(job));
            }
            moved.append(&mut core.moved);
            self.plan(core.next_moment(now));
        }
        self.note_circuits(moved);
    }

    /// Wakes the timekeeper when something is due before it would wake by itself.
    pub(super) fn plan(&self, next: Option<Time>) {
        if next.is_some_and(|at| at.0 < self.planned.load(Ordering::Relaxed)) {
            self.timekeeper.notify_one();
        }
    }

    /// Keeps what circuits did, and tells.
    pub(super) fn note_circuits(&self, moved: Vec<CircuitTransition>) {
        let mut platforms: Vec<Platform> = moved.iter().map(|step| step.platform).collect();
        platforms.dedup();
        for platform in platforms {
            let saved = self.core().post(platform).circuit.saved();
            let steps: Vec<_> = moved.iter().filter(|step| step.platform == platform).cloned().collect();
            self.later(move |conn| journal::save_circuit(conn, platform, &saved, &steps));
        }
        for step in moved {
            self.bus.publish(Event::Circuit(step));
        }
    }

    /// Writes without waiting; a failure shows in the store's state and in the log.
    pub(super) fn later(&self, op: impl FnOnce(&rusqlite::Connection) -> Result<(), StoreError> + Send + 'static) {
        let telemetry = Arc::clone(&self.telemetry);
        self.store.writer().send(op, move |outcome| {
            if let Err(error) = outcome {
                telemetry.log(LogLine::error(Part::Store, format!("{error}; {}", error.advice())));
            }
        });
    }

    /// A way back for what runs on the writing thread.
    pub(super) fn weak(&self) -> Weak<Runtime> {
        Weak::clone(&self.this)
    }

    /// Reads waiting and formerly executing items into the index.
    pub(super) async fn load_queue(&self) -> Result<u64, StoreError> {
        let recovered = self.store.write(super::store::actions::recover).await?;
        let items = self.store.read(super::store::query::load_queue).await?;
        self.core().queue = crate::engine::queue::Queue::load(items);
        Ok(recovered)
    }

    /// Stops handing out work, waits until nothing is in flight or the time is over, then has the rest handed back. Gives
    /// how many finished and how many came back. The caller lifts the halt.
    pub(super) async fn drain(&self, platform: Option<Platform>, limit: Duration) -> (u64, u64) {
        let in_flight = || {
            let core = self.core();
            let ours = |seq: &&Seq| platform.is_none_or(|p| core.running.get(seq).is_some_and(|r| r.platform == p));
            core.running.keys().filter(ours).count() as u64
        };
        let at_first = in_flight();
        let quiet = async {
            loop {
                let settled = self.settled.notified();
                if in_flight() == 0 {
                    return;
                }
                // A lost wake-up costs a moment, not the drain.
                let _ = tokio::time::timeout(Duration::from_millis(50), settled).await;
            }
        };
        if tokio::time::timeout(limit, quiet).await.is_ok() {
            return (at_first, 0);
        }
        let left = in_flight();
        for target in Platform::ALL.iter().filter(|p| platform.is_none_or(|only| only == **p)) {
            self.recall[*target as usize].send_modify(|generation| *generation += 1);
        }
        let back = async {
            while in_flight() > 0 {
                let _ = tokio::time::timeout(Duration::from_millis(20), self.settled.notified()).await;
            }
        };
        // Handing back is one write; if the disk refuses it, the rows stay marked and are looked at after the restart.
        let _ = tokio::time::timeout(Duration::from_secs(5), back).await;
        (at_first.saturating_sub(left), left)
    }

    /// Ends the service: what is in flight finishes or is handed back, everything is written.
    pub(super) async fn shutdown(&self, limit: Duration) {
        self.core().halt = Some(Halt::Stop);
        let (finished, back) = self.drain(None, limit).await;
        self.keep_auth();
        self.telemetry
            .log(LogLine::info(Part::Service, "Stopped").field("finished", finished).field("handedBack", back));
        self.store.close().await;
    }

    /// A request really left.
    pub(super) fn request_made(&self, event: &CallEvent) {
        let now = self.now();
        // Signing in is on another limit of Google's.
        if !event.request.starts_with("oauth2.") {
            let mut core = self.core();
            core.request_left(event.platform, now);
            if event.code == Some(ErrorCode::RateLimited) {
                hold(&mut core, event.platform, event.retry_after, now);
            }
        }
        self.telemetry.call_finished(&CallRecord { at: now, platform: event.platform, error: event.code });
    }

    /// Keeps what changed of the platforms' last answers to who we are.
    fn keep_auth(&self) {
        let auths: Vec<_> = {
            let core = self.core();
            Platform::ALL.iter().map(|p| (*p, core.post(*p).executor.auth.clone())).collect()
        };
        let changed = {
            let mut parts = self.parts();
            let changed: Vec<_> = auths.iter().filter(|auth| !parts.kept_auths.contains(auth)).cloned().collect();
            parts.kept_auths = auths;
            changed
        };
        if !changed.is_empty() {
            self.later(move |conn| changed.iter().try_for_each(|(p, auth)| journal::save_auth(conn, *p, auth)));
        }
    }

    fn housekeeping(&self, now: Time) {
        let (auth_due, sample_due) = {
            let mut parts = self.parts();
            let due = |at: &mut Time, every: Duration| {
                let due = now >= *at;
                if due {
                    *at = now + every;
                }
                due
            };
            (due(&mut parts.keep_auth_at, KEEP_AUTH_EVERY), due(&mut parts.sample_at, SAMPLE_EVERY))
        };
        if auth_due {
            self.keep_auth();
        }
        if sample_due {
            self.sample();
        }
        match self.config.expire(now) {
            Ok(expired) => {
                for over in expired {
                    self.telemetry.log(LogLine::warn(Part::Config, format!("{}: its time is over", over.change)));
                }
            }
            Err(error) => self.telemetry.log(LogLine::error(Part::Config, format!("{error:#}"))),
        }
        let due = {
            let mut parts = self.parts();
            let due = now >= parts.prune_at;
            if due {
                parts.prune_at = now + PRUNE_EVERY;
            }
            due.then_some(parts.prune_from)
        };
        if let Some(from) = due {
            let weak = self.weak();
            self.store.writer().send(
                move |conn| Ok((journal::prune(conn, from, now)?.1, workflows::prune(conn, now)?)),
                move |outcome| {
                    let (Some(this), Ok((next, more))) = (weak.upgrade(), outcome) else { return };
                    let mut parts = this.parts();
                    parts.prune_from = next.unwrap_or(0);
                    if next.is_some() || more {
                        // More to look at: in the next tick, so that work comes between.
                        parts.prune_at = now;
                    }
                },
            );
        }
    }

    /// Calls go out with these credentials and default places from now on.
    pub(super) async fn use_credentials(&self, settings: Arc<Effective>) {
        let calls = Arc::clone(&self.calls);
        // Reading key files blocks. A reader that fails keeps what it had, and the platform's refusal says the rest.
        let _ = tokio::task::spawn_blocking(move || calls.set_credentials(credentials(&settings))).await;
    }

    pub(super) fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a platform's requests as it asked, or for one window when it did not say how long.
pub(super) fn hold(core: &mut Core, platform: Platform, retry_after: Option<Duration>, now: Time) {
    let window = core.settings.platform(platform).rate_limit.window;
    core.post_mut(platform).limiter.hold(now + retry_after.unwrap_or(window));
}

/// Wakes at the next moment that matters, at least once a second, and lets time have its effects.
async fn keep_time(runtime: Weak<Runtime>, wake: Arc<Notify>) {
    let mut swept = Time(i64::MIN);
    loop {
        let wait = {
            let Some(this) = runtime.upgrade() else { return };
            let now = this.now();
            this.planned.store(i64::MIN, Ordering::Relaxed);
            this.core().tick(now);
            this.retry_unsaved();
            if now.since(swept) >= TICK {
                swept = now;
                this.expire_approvals(now);
                this.end_overdue_workflows(now);
                this.housekeeping(now);
            }
            this.pump();
            // From here on a moment that somebody plans wakes this task; what was planned before is in the answer.
            this.planned.store((now + TICK).0, Ordering::Relaxed);
            let next = this.core().next_moment(now);
            let wait = next.map_or(TICK, |at| at.since(now)).clamp(Duration::from_millis(1), TICK);
            this.planned.store((now + wait).0, Ordering::Relaxed);
            wait
        };
        let _ = tokio::time::timeout(wait, wake.notified()).await;
    }
}

/// Makes settings hold as soon as they are in force.
async fn follow_settings(runtime: Weak<Runtime>, mut settings: watch::Receiver<Arc<Effective>>) {
    while settings.changed().await.is_ok() {
        let Some(this) = runtime.upgrade() else { return };
        let held = settings.borrow_and_update().clone();
        let before = this.core().settings.clone();
        this.core().refresh(held.clone());
        this.pump();
        if before.credentials != held.credentials || before.ids != held.ids {
            this.use_credentials(held).await;
        }
    }
}
