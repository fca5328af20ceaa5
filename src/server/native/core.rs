//! What the workers share, under one lock held for moments: the queue's index, and per platform circuit, limit and
//! executor. Decides which item is taken next; knows no I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::executor::Executor;
use super::store::journal::SavedAuth;
use crate::engine::circuit::{Circuit, Limits, Permit, Saved};
use crate::engine::limit::{Limiter, Rate};
use crate::engine::queue::{Item, Lane, Queue, Seq, Wait};
use crate::engine::slow_start::SlowStart;
use crate::engine::throttle::Throttle;
use crate::server::config::Effective;
use crate::wire::{ActionType, CircuitState, CircuitTransition, ExecutorState, Pause, PauseScope, Platform, Time};

/// One platform's share of the state.
#[derive(Debug)]
pub(super) struct Post {
    pub circuit: Circuit,
    pub limiter: Limiter,
    pub executor: Executor,
    /// Requests counted at dequeue that have not been seen leaving yet.
    pub reserved: u64,
}

/// An action a worker has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub item: Item,
    pub platform: Platform,
}

/// Work for one worker: one item, or several that share a call.
#[derive(Debug)]
pub(super) struct Job {
    pub items: Vec<Item>,
    /// Whose executor runs it.
    pub platform: Platform,
    /// Whether that one stands in, since the circuit of the one it was for is open.
    pub stands_in: bool,
    pub permit: Permit,
}

/// What the store has of all this.
pub(super) struct Kept {
    pub queue: Vec<Item>,
    pub circuits: Vec<(Platform, Saved)>,
    pub auths: Vec<(Platform, SavedAuth)>,
    pub pauses: Vec<Pause>,
}

/// Why nothing is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// A part restarts.
    Restart,
    /// The service ends.
    Stop,
}

pub(super) struct Core {
    pub queue: Queue,
    pub posts: Vec<Post>,
    pub users: Throttle,
    pub workflows: Throttle,
    pub running: HashMap<Seq, Running>,
    /// Jobs being worked on.
    pub busy: usize,
    /// Submissions on their way to the disk, counted against the queue's size.
    pub arriving: u64,
    pub pauses: Vec<Pause>,
    pub slow_start: Option<SlowStart>,
    pub halt: Option<Halt>,
    pub settings: Arc<Effective>,
    /// Transitions to be stored.
    pub moved: Vec<CircuitTransition>,
}

impl Core {
    pub(super) fn new(settings: Arc<Effective>, now: Time) -> Self {
        let post = |platform: &Platform| Post {
            circuit: Circuit::new(*platform, limits(&settings)),
            limiter: Limiter::new(*platform, Rate::documented(*platform)),
            executor: Executor::new(now, SavedAuth::default()),
            reserved: 0,
        };
        let mut core = Core {
            queue: Queue::new(),
            posts: Platform::ALL.iter().map(post).collect(),
            users: Throttle::default(),
            workflows: Throttle::default(),
            running: HashMap::new(),
            busy: 0,
            arriving: 0,
            pauses: Vec::new(),
            slow_start: None,
            halt: None,
            settings: Arc::clone(&settings),
            moved: Vec::new(),
        };
        core.refresh(settings);
        core
    }

    /// Makes settings hold.
    pub(super) fn refresh(&mut self, settings: Arc<Effective>) {
        for platform in Platform::ALL {
            let own = settings.platform(*platform);
            let post = &mut self.posts[*platform as usize];
            post.circuit.set_limits(limits(&settings));
            post.circuit.set_enabled(own.circuit_enabled);
            post.limiter.set_rate(Rate { requests: u64::from(own.rate_limit.limit), window: own.rate_limit.window });
            post.executor.configured = settings.has_credentials(*platform);
        }
        self.users.set_limit(settings.throttle_per_user.map(u64::from));
        self.workflows.set_limit(settings.throttle_per_workflow.map(u64::from));
        self.settings = settings;
    }

    /// Takes what the store kept.
    pub(super) fn take_kept(&mut self, kept: Kept) {
        self.queue = Queue::load(kept.queue);
        for (platform, saved) in kept.circuits {
            self.restore_circuit(platform, saved);
        }
        for (platform, auth) in kept.auths {
            self.post_mut(platform).executor.auth = auth;
        }
        self.pauses = kept.pauses;
    }

    fn restore_circuit(&mut self, platform: Platform, saved: Saved) {
        let post = &mut self.posts[platform as usize];
        let enabled = post.circuit.is_enabled();
        post.circuit = Circuit::restore(platform, post.circuit.limits(), saved);
        post.circuit.set_enabled(enabled);
    }

    pub(super) fn post(&self, platform: Platform) -> &Post {
        &self.posts[platform as usize]
    }

    pub(super) fn post_mut(&mut self, platform: Platform) -> &mut Post {
        &mut self.posts[platform as usize]
    }

    /// The pause that stops dequeueing, if one does.
    pub(super) fn paused(&self) -> Option<&Pause> {
        self.pauses.first()
    }

    /// The pause that stops intake, if one does.
    pub(super) fn intake_paused(&self) -> Option<&Pause> {
        self.pauses.iter().find(|pause| pause.scope == PauseScope::All)
    }

    /// How many jobs may run at once now.
    pub(super) fn allowed(&self, now: Time) -> usize {
        let workers = self.settings.queue_workers;
        self.slow_start.map_or(workers, |ramp| ramp.allowed(workers, now))
    }

    /// Busy workers over all workers, 0 to 1.
    pub(super) fn utilization(&self) -> f64 {
        (self.busy as f64 / self.settings.queue_workers.max(1) as f64).min(1.0)
    }

    /// The next work, if there is some and a worker may take it.
    pub(super) fn take(&mut self, now: Time) -> Option<Job> {
        if self.halt.is_some() || self.paused().is_some() || self.busy >= self.allowed(now) {
            return None;
        }
        let Core { queue, posts, users, workflows, settings, .. } = self;
        let gate = |lane: Lane| {
            let open = |platform: Platform| {
                let post = &posts[platform as usize];
                post.executor.takes_work(now) && post.circuit.admits(now) && post.limiter.blocked_until(now).is_none()
            };
            if open(lane.platform) {
                return Some(lane.platform);
            }
            let away = posts[lane.platform as usize].circuit.state(now) == CircuitState::Open;
            let fallback = settings.platform(lane.platform).fallback().filter(|_| lane.substitutable && away);
            fallback.filter(|to| open(*to))
        };
        let hold = |item: &Item| {
            let user = (item.user != 0).then(|| users.blocked_until(item.user, now)).flatten();
            let workflow = (item.workflow != 0).then(|| workflows.blocked_until(item.workflow, now)).flatten();
            user.max(workflow)
        };
        let (item, platform) = queue.take(now, gate, hold)?;
        let mut items = vec![item];
        if item.batch != 0 && item.tries == 0 && !item.in_doubt {
            items.extend(queue.take_batch(item.batch, settings.batching.size.saturating_sub(1)));
        }
        Some(self.started(items, platform, now))
    }

    fn started(&mut self, mut items: Vec<Item>, platform: Platform, now: Time) -> Job {
        let stands_in = items.iter().any(|item| item.target() != platform);
        for item in &mut items {
            if platform != item.target() {
                item.via = Some(platform);
            }
            if item.user != 0 {
                self.users.count(item.user, now);
            }
            if item.workflow != 0 {
                self.workflows.count(item.workflow, now);
            }
            self.running.insert(item.seq, Running { item: *item, platform });
        }
        self.busy += 1;
        let post = &mut self.posts[platform as usize];
        post.limiter.count(now);
        post.reserved += 1;
        post.executor.in_flight += items.len() as u64;
        let (permit, moved) = post.circuit.acquire(now);
        self.moved.extend(moved);
        Job { items, platform, stands_in, permit: permit.unwrap_or(Permit { probe: false }) }
    }

    /// A worker is free again; what it had has been put back or has ended before.
    pub(super) fn worker_free(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }

    /// A worker no longer has an item.
    pub(super) fn no_longer_running(&mut self, seq: Seq) {
        if let Some(was) = self.running.remove(&seq) {
            let executor = &mut self.posts[was.platform as usize].executor;
            executor.in_flight = executor.in_flight.saturating_sub(1);
        }
    }

    /// A job ended without a call: probe and place in the window are free again.
    pub(super) fn not_called(&mut self, job: &Job, now: Time) {
        let post = &mut self.posts[job.platform as usize];
        post.circuit.released(job.permit);
        if post.reserved > 0 {
            post.reserved -= 1;
            post.limiter.give_back(now);
        }
    }

    /// A request really left: counted, unless the dequeue counted it already.
    pub(super) fn request_left(&mut self, platform: Platform, now: Time) {
        let post = &mut self.posts[platform as usize];
        if post.reserved > 0 {
            post.reserved -= 1;
        } else {
            post.limiter.count(now);
        }
    }

    /// Opens or moves circuits whose time has come.
    pub(super) fn tick(&mut self, now: Time) {
        for post in &mut self.posts {
            self.moved.extend(post.circuit.tick(now));
        }
        let workers = self.settings.queue_workers;
        if self.slow_start.is_some_and(|ramp| ramp.next_step(workers, now).is_none()) {
            self.slow_start = None;
        }
    }

    /// The next moment at which something may become possible that is not now.
    pub(super) fn next_moment(&self, now: Time) -> Option<Time> {
        let waiting = Platform::ALL.iter().filter(|platform| self.queue.has_ready(**platform)).flat_map(|platform| {
            let post = self.post(*platform);
            [post.limiter.blocked_until(now), post.circuit.will_reset_at(), post.executor.back_at(now)]
        });
        let ramp = self.slow_start.and_then(|ramp| ramp.next_step(self.settings.queue_workers, now));
        waiting.chain([self.queue.next_due(), ramp]).flatten().filter(|at| *at > now).min()
    }

    /// Why an item waits, for a person.
    pub(super) fn waiting_for(&self, item: &Item, now: Time) -> String {
        let post = self.post(item.target());
        if let Some(pause) = self.paused() {
            return format!("paused by {}", pause.owner);
        }
        if let Some(due) = item.due.filter(|due| *due > now) {
            let seconds = due.since(now).as_millis().div_ceil(1000);
            return match item.wait {
                Wait::Throttle => format!("its user's or workflow's share of a minute, {seconds}s"),
                Wait::Batch => format!("others for its batch, {seconds}s"),
                Wait::Pace => format!("its turn in a paced retry, {seconds}s"),
                Wait::Retry | Wait::No => format!("retry in {seconds}s"),
            };
        }
        if !post.executor.takes_work(now) {
            return match post.executor.state(now) {
                ExecutorState::Unconfigured => format!("a credential for {}", item.target()),
                state => format!("executor {state}"),
            };
        }
        if !post.circuit.admits(now) {
            return format!("circuit {}", post.circuit.state(now));
        }
        if post.limiter.blocked_until(now).is_some() {
            return "rate limit".into();
        }
        "no free worker".into()
    }
}

fn limits(settings: &Effective) -> Limits {
    Limits {
        failures: settings.circuit.threshold,
        window: settings.circuit.window,
        open_for: settings.circuit.open_for,
        successes: settings.circuit.successes,
    }
}

/// Until when an item waits for others to share its call, and what it can share it with (0 for nothing).
pub(super) fn batching(
    settings: &Effective,
    platform: Platform,
    action_type: ActionType,
    data: &serde_json::Value,
    now: Time,
) -> (u64, Option<Time>) {
    if !settings.batching.enabled {
        return (0, None);
    }
    match super::batch::key(platform, action_type, data) {
        0 => (0, None),
        key => (key, Some(now + settings.batching.window.max(Duration::from_millis(1)))),
    }
}
