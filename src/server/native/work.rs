//! A worker's round: record the intent, call the platform, settle what came of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::batch;
use super::calls::needs_preparing;
use super::core::Job;
use super::outcome::Tried;
use super::runtime::Runtime;
use super::store::actions::{self, Intent, Prepared, Requeue};
use super::store::workflows::UndoOrder;
use super::store::{Role, StoreError, Trouble};
use crate::engine::queue::{Item, Seq, Wait};
use crate::engine::{fallback, retry};
use crate::platforms::undo::{self, Undone};
use crate::platforms::{Call, CallOutcome, Delivery, Lookup, Platform, PlatformError};
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{ActionType, ErrorCode};

use super::cache::Cache;

/// Wait before an item is taken again whose intent could not be written.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// An item with what is needed to run it.
#[derive(Debug)]
pub(super) struct Task {
    pub item: Item,
    pub prepared: Prepared,
}

/// Whether what a call overwrites is kept: only a workflow undoes it.
fn keeps_before(call: &Call, task: &Task) -> bool {
    task.prepared.role == Role::Step && undo::overwrites(call.platform, call.action_type)
}

impl Runtime {
    /// Works until nothing is left to take.
    pub(super) async fn work(self: Arc<Self>, mut job: Job) {
        loop {
            let crashed = AssertUnwindSafe(self.run(&job)).catch_unwind().await.is_err();
            if crashed {
                self.executor_crashed(&job);
            }
            let (next, moved) = {
                let mut core = self.core();
                core.worker_free();
                (core.take(self.now()), std::mem::take(&mut core.moved))
            };
            self.note_circuits(moved);
            self.settled.notify_waiters();
            match next {
                Some(next) => job = next,
                None => return self.pump(),
            }
        }
    }

    async fn run(&self, job: &Job) {
        let mut recall = self.recall[job.platform as usize].subscribe();
        let tasks = match self.begin(job).await {
            Ok(tasks) => tasks,
            Err(error) => return self.intent_not_kept(job, &error),
        };
        if tasks.is_empty() {
            // Taken out meanwhile: nothing was called.
            self.core().not_called(job, self.now());
            return;
        }
        if job.stands_in {
            tasks.iter().for_each(|task| self.note_stand_in(task, job.platform, ErrorCode::CircuitOpen));
        }
        let outcome = tokio::select! {
            biased;
            tried = self.attempt(job.platform, &tasks) => Some(tried),
            _ = recall.changed() => None,
        };
        match outcome {
            Some((tried, took)) => self.settle(job, tasks, tried, took),
            None => {
                self.core().post_mut(job.platform).circuit.released(job.permit);
                for task in tasks {
                    self.hand_back(task);
                }
            }
        }
    }

    /// Records the intents and reads what is needed; an item that is no longer there is left out.
    async fn begin(&self, job: &Job) -> Result<Vec<Task>, StoreError> {
        let at = self.now();
        let intents: Vec<Intent> = job.items.iter().map(|i| Intent { seq: i.seq, via: i.via, at }).collect();
        let begun = self
            .store
            .write(move |conn| intents.iter().map(|intent| actions::begin(conn, intent)).collect::<Result<Vec<_>, _>>())
            .await?;
        let mut tasks = Vec::with_capacity(begun.len());
        for (item, prepared) in job.items.iter().zip(begun) {
            match prepared {
                Some(prepared) => tasks.push(Task { item: *item, prepared }),
                None => self.core().no_longer_running(item.seq),
            }
        }
        Ok(tasks)
    }

    /// The disk refused the intent: nothing was sent, the items wait a moment.
    fn intent_not_kept(&self, job: &Job, error: &StoreError) {
        let due = self.now() + STORE_WAIT;
        let mut core = self.core();
        core.not_called(job, self.now());
        for item in &job.items {
            core.no_longer_running(item.seq);
            core.queue.push(Item { due: Some(due), wait: Wait::Retry, ..*item });
        }
        drop(core);
        let Trouble { message, .. } =
            self.store.trouble().unwrap_or(Trouble { since: self.now(), message: error.to_string() });
        self.telemetry.log(LogLine::error(Part::Store, message).platform(job.platform));
    }

    /// One call for one task, or for several that share it. Gives each task's outcome and how long the call took.
    async fn attempt(&self, platform: Platform, tasks: &[Task]) -> (Vec<Tried>, Duration) {
        if let [task] = tasks {
            let mut took = Duration::ZERO;
            let tried = self.attempt_one(platform, task, &mut took).await;
            return (vec![tried], took);
        }
        let parameters: Vec<_> = tasks.iter().map(|task| &task.prepared.data).collect();
        let Some((merged, counts)) = batch::merge(&parameters) else {
            return (tasks.iter().map(|_| Tried::Separately).collect(), Duration::ZERO);
        };
        let first = &tasks[0];
        let mut call = Call::new(platform, first.prepared.action_type, merged);
        call.timeout = self.timeout(platform, first);
        let seqs: Vec<_> = tasks.iter().map(|task| task.item.seq).collect();
        let mut took = Duration::ZERO;
        let sent = match self.prepare(&mut call, seqs).await {
            Ok(()) => self.send(&call, &mut took).await,
            Err(failed) => Err(failed),
        };
        let tried = match sent {
            Ok(outcome) => batch::split(&outcome.result, &counts)
                .into_iter()
                .map(|result| Tried::Done(CallOutcome { result, served_by_marker: false }))
                .collect(),
            // One member can spoil a call for all: each is tried by itself.
            Err(error) if error.code == ErrorCode::ValidationError => tasks.iter().map(|_| Tried::Separately).collect(),
            Err(error) => tasks.iter().map(|_| Tried::Failed(error.clone())).collect(),
        };
        (tried, took)
    }

    async fn attempt_one(&self, platform: Platform, task: &Task, took: &mut Duration) -> Tried {
        if task.prepared.role == Role::Undo {
            return self.attempt_undo(platform, task, took).await;
        }
        let mut call = match self.call(platform, task) {
            Ok(call) => call,
            Err(why) => return Tried::Failed(PlatformError::invalid(platform, why)),
        };
        let settings = self.config.effective();
        let cached = (settings.caching.enabled && call.action_type == ActionType::Query)
            .then(|| Cache::key(platform, &call.data));
        if let Some(answer) = cached.as_ref().and_then(|key| self.cache.get(key, self.now(), settings.caching.ttl)) {
            return Tried::Cached(answer);
        }
        let kept_first = needs_preparing(platform, call.action_type) || keeps_before(&call, task);
        let never_left = kept_first && task.prepared.prepared.is_none();
        if task.item.in_doubt && !never_left {
            let since = task.prepared.intent_at;
            match self.timed(took, self.calls.find_written(&call, since)).await {
                Ok(Lookup::Found(outcome)) => return Tried::Done(outcome),
                Ok(Lookup::Unclear(why)) => return Tried::Unclear(why),
                Ok(Lookup::Absent) => {}
                Err(error) => return Tried::LookFailed(error),
            }
        }
        if task.item.in_doubt && task.item.tries > self.policy(platform, task).max_retries {
            return Tried::Exhausted;
        }
        if let Err(error) = self.prepare(&mut call, vec![task.item.seq]).await {
            return Tried::Failed(error);
        }
        if let Err(error) = self.keep_before(&call, task).await {
            return Tried::Failed(error);
        }
        match self.send(&call, took).await {
            Ok(outcome) => {
                if let Some(key) = cached {
                    self.cache.put(key, self.now(), outcome.result.clone());
                }
                Tried::Done(outcome)
            }
            Err(error) => Tried::Failed(error),
        }
    }

    /// Learns what has to be known to recognise the write later, and keeps it before the write is sent.
    async fn prepare(&self, call: &mut Call, seqs: Vec<Seq>) -> Result<(), PlatformError> {
        if call.prepared.is_some() || !needs_preparing(call.platform, call.action_type) {
            return Ok(());
        }
        call.prepared = self.calls.prepare(call).await?;
        match call.prepared.clone() {
            Some(prepared) => self.keep(call.platform, seqs, prepared).await,
            None => Ok(()),
        }
    }

    /// Reads what a step is about to overwrite, and keeps it before the write is sent.
    async fn keep_before(&self, call: &Call, task: &Task) -> Result<(), PlatformError> {
        if !keeps_before(call, task) || task.prepared.prepared.is_some() {
            return Ok(());
        }
        let before = self.calls.before(call).await.map_err(|error| PlatformError {
            // Only a read was tried.
            delivery: Delivery::NotDelivered,
            ..error
        })?;
        self.keep(call.platform, vec![task.item.seq], json!({ "before": before })).await
    }

    async fn keep(&self, platform: Platform, seqs: Vec<Seq>, prepared: Value) -> Result<(), PlatformError> {
        let kept = self
            .store
            .write(move |conn| seqs.iter().try_for_each(|seq| actions::keep_prepared(conn, *seq, &prepared)))
            .await;
        kept.map_err(|error| PlatformError::new(platform, ErrorCode::Unavailable, error.to_string()))
    }

    /// Undoes what a step did. It looks first, so one whose answer was lost is simply tried again.
    async fn attempt_undo(&self, platform: Platform, task: &Task, took: &mut Duration) -> Tried {
        let order: UndoOrder = match serde_json::from_value(task.prepared.data.clone()) {
            Ok(order) => order,
            Err(error) => return Tried::Failed(PlatformError::invalid(platform, format!("no undo: {error}"))),
        };
        // It looks, sends and reads back: three calls.
        let limit = self.timeout(platform, task) * 3;
        let refused = |code, why| Tried::Failed(PlatformError::new(platform, code, why));
        let done = |evidence: String, already: bool| {
            let result = json!({ "evidence": evidence, "already": already });
            Tried::Done(CallOutcome { result, served_by_marker: already })
        };
        match self.timed(took, self.calls.undo(&order.done, order.force, limit)).await {
            Ok(Undone::Confirmed(evidence)) => done(evidence, false),
            Ok(Undone::Already(evidence)) => done(evidence, true),
            Ok(Undone::ChangedSince(how)) => refused(ErrorCode::Conflict, format!("somebody changed it since: {how}")),
            Ok(Undone::StillStands(how)) => {
                refused(ErrorCode::UnknownError, format!("sent, but it still stands: {how}"))
            }
            Err(error) => Tried::Failed(error),
        }
    }

    async fn send(&self, call: &Call, took: &mut Duration) -> Result<CallOutcome, PlatformError> {
        self.timed(took, self.calls.execute(call)).await
    }

    async fn timed<T>(&self, took: &mut Duration, call: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let answer = call.await;
        *took = started.elapsed();
        answer
    }

    /// The call of a task, translated when another platform stands in.
    fn call(&self, platform: Platform, task: &Task) -> Result<Call, String> {
        let own = task.item.platform;
        let data = match platform == own {
            true => task.prepared.data.clone(),
            false => fallback::translate(own, platform, &task.prepared.data)?,
        };
        let mut call = Call::new(platform, task.prepared.action_type, data);
        call.marker = Some(task.prepared.id.clone());
        call.prepared = task.prepared.prepared.clone().filter(|_| needs_preparing(platform, call.action_type));
        call.timeout = self.timeout(platform, task);
        Ok(call)
    }

    fn timeout(&self, platform: Platform, task: &Task) -> Duration {
        let own = task.prepared.options.timeout.map(Duration::from_millis);
        own.unwrap_or_else(|| self.config.effective().platform(platform).timeout)
    }

    pub(super) fn policy(&self, platform: Platform, task: &Task) -> retry::Policy {
        let settings = self.config.effective();
        match &task.prepared.options.retry {
            Some(own) => retry::Policy::from_request(own),
            None => retry::Policy {
                max_retries: settings.max_retry_attempts,
                initial: settings.retry_initial_delay,
                multiplier: settings.retry_backoff_multiplier,
                cap: retry::cap(platform),
            },
        }
    }

    /// The worker had to let go: the write may have been sent.
    pub(super) fn hand_back(&self, task: Task) {
        let in_doubt = task.item.in_doubt || retry::is_write(task.prepared.action_type);
        let item = Item { in_doubt, due: None, wait: Wait::No, ..task.item };
        self.put_back(Requeue { item, keep_intent: in_doubt, error: None });
    }

    /// A panic inside the executor: it restarts after a backoff, what it had waits again, and is looked for first.
    fn executor_crashed(&self, job: &Job) {
        let now = self.now();
        let mut core = self.core();
        let post = core.post_mut(job.platform);
        post.circuit.released(job.permit);
        post.executor.crashed(now, "the executor crashed".into());
        // Only what was not settled before the crash is still there.
        let left: Vec<Item> = job.items.iter().filter(|i| core.running.contains_key(&i.seq)).copied().collect();
        drop(core);
        for item in left {
            let item = Item { in_doubt: true, due: None, wait: Wait::No, ..item };
            self.put_back(Requeue { item, keep_intent: true, error: None });
        }
        self.telemetry.log(LogLine::error(Part::Executor, "The executor crashed and restarts").platform(job.platform));
    }
}
