//! What follows a try: done, tried again, given to the fallback, given up, or in doubt. Every end and every return to the
//! queue is on disk before it counts.

use std::sync::PoisonError;
use std::time::Duration;

use serde_json::Value;

use super::core::Job;
use super::runtime::{Runtime, hold};
use super::store::actions::{self, Outcome, Requeue};
use super::store::{Role, StoreError, workflows};
use super::work::Task;
use crate::engine::circuit::Permit;
use crate::engine::queue::{Item, Wait};
use crate::engine::retry::{Failure, Next};
use crate::engine::{fallback, idempotency, retry};
use crate::platforms::{CallOutcome, Delivery, Platform, PlatformError};
use crate::server::telemetry::{EndRecord, Level, LogLine, Part};
use crate::wire::{ActionError, ActionStatus, ActionType, ErrorCode};

/// What came of one try of one task.
#[derive(Debug)]
pub(super) enum Tried {
    /// The platform did it, now or before.
    Done(CallOutcome),
    /// The answer was known; nothing was called.
    Cached(Value),
    /// The platform failed it.
    Failed(PlatformError),
    /// It is not known whether an earlier try happened, and the platform could not be asked.
    LookFailed(PlatformError),
    /// It is not known whether an earlier try happened, and the platform cannot tell.
    Unclear(String),
    /// An earlier try did not happen, and no tries are left.
    Exhausted,
    /// It cannot share a call: it is tried by itself.
    Separately,
}

/// An end or a return that the disk refused; it is written again until it succeeds.
#[derive(Debug)]
pub(super) enum Unsaved {
    /// An action ended; an undo counts in no metric of actions.
    End(Box<Outcome>, Option<Box<EndRecord>>),
    /// An action waits again.
    Back(Box<Requeue>),
}

impl Runtime {
    /// Settles a job: what the call says about the platform once, then each task.
    pub(super) fn settle(&self, job: &Job, tasks: Vec<Task>, tried: Vec<Tried>, took: Duration) {
        let tried: Vec<Tried> = tried.into_iter().map(|tried| self.without_secrets(tried)).collect();
        match tried.first() {
            Some(Tried::Done(_) | Tried::Unclear(_) | Tried::Exhausted) => self.call_went(job, None, took),
            Some(Tried::Failed(error) | Tried::LookFailed(error)) => self.call_went(job, Some(error), took),
            Some(Tried::Cached(_) | Tried::Separately) | None => {
                self.core().not_called(job, self.now());
            }
        }
        for (task, tried) in tasks.into_iter().zip(tried) {
            self.settle_one(job.platform, task, tried, took);
        }
    }

    /// A platform may say back what it was sent, and what it says is kept and shown.
    pub(super) fn hide(&self, text: &str) -> String {
        self.telemetry.redactor().redact(text).into_owned()
    }

    fn without_secrets(&self, tried: Tried) -> Tried {
        let hidden = |error: PlatformError| PlatformError {
            message: self.hide(&error.message),
            request_id: error.request_id.map(|id| self.hide(&id)),
            ..error
        };
        match tried {
            Tried::Failed(error) => Tried::Failed(hidden(error)),
            Tried::LookFailed(error) => Tried::LookFailed(hidden(error)),
            Tried::Unclear(why) => Tried::Unclear(self.hide(&why)),
            other => other,
        }
    }

    fn settle_one(&self, platform: Platform, task: Task, tried: Tried, took: Duration) {
        match tried {
            Tried::Done(outcome) => self.succeeded(platform, task, outcome.result, Some(took)),
            Tried::Cached(answer) => self.succeeded(platform, task, answer, None),
            Tried::Failed(error) => self.failed(platform, task, error, took),
            Tried::LookFailed(error) => self.look_failed(platform, task, error, took),
            Tried::Unclear(why) => {
                let error = action_error(&PlatformError::new(platform, ErrorCode::UnknownError, why));
                self.ended(platform, &task, ActionStatus::InDoubt, None, Some(error), Some(took));
            }
            Tried::Exhausted => {
                let error = task.prepared.error.clone().unwrap_or_else(|| ActionError {
                    code: ErrorCode::TimeoutError,
                    message: "no answer to the last try; it did not happen".into(),
                    http_status: None,
                    request_id: None,
                });
                self.give_up(platform, task, error, took);
            }
            Tried::Separately => {
                let item = Item { batch: 0, due: None, wait: Wait::No, ..task.item };
                self.put_back(Requeue { item, keep_intent: false, error: None });
            }
        }
    }

    /// What a call says about the platform: circuit, limit, executor, authentication.
    fn call_went(&self, job: &Job, error: Option<&PlatformError>, took: Duration) {
        let now = self.now();
        let mut core = self.core();
        let post = core.post_mut(job.platform);
        let permit: Permit = job.permit;
        let moved = match error {
            None => {
                post.executor.succeeded(now, took);
                post.circuit.succeeded(permit, now)
            }
            Some(error) => {
                post.executor.failed(now, error.to_string(), took);
                match error.code {
                    code if code.counts_for_circuit() => post.circuit.failed(permit, code, now),
                    ErrorCode::RateLimited | ErrorCode::UnknownError | ErrorCode::Unavailable => {
                        post.circuit.released(permit);
                        None
                    }
                    ErrorCode::AuthError => {
                        post.executor.auth.refusal = Some(crate::platforms::auth_error_text(error));
                        post.circuit.released(permit);
                        None
                    }
                    // The platform answered: it is there.
                    _ => post.circuit.succeeded(permit, now),
                }
            }
        };
        core.moved.extend(moved);
        if let Some(error) = error.filter(|error| error.code == ErrorCode::RateLimited) {
            hold(&mut core, job.platform, error.retry_after, now);
        }
        let moved = std::mem::take(&mut core.moved);
        drop(core);
        self.note_circuits(moved);
    }

    fn succeeded(&self, platform: Platform, task: Task, result: Value, took: Option<Duration>) {
        if self.telemetry.shows(Level::Info) {
            let words = if task.prepared.role == Role::Undo { "Undo executed" } else { "Action executed" };
            let line = self.line(LogLine::info(Part::Executor, words), platform, &task);
            self.telemetry.log(line.duration(took.unwrap_or_default()));
        }
        self.ended(platform, &task, ActionStatus::Success, Some(result), None, took);
    }

    fn failed(&self, platform: Platform, task: Task, error: PlatformError, took: Duration) {
        self.log_failure(platform, &task, &error, took);
        let now = self.now();
        let failure = Failure { code: error.code, delivery: error.delivery, retry_after: error.retry_after };
        let policy = self.policy(platform, &task);
        let random = fastrand::f64();
        // An undo looks before it sends, so it is repeated like a read.
        let kind = if task.prepared.role == Role::Undo { ActionType::Query } else { task.prepared.action_type };
        let next = retry::decide(&policy, kind, task.item.tries, failure, now, random);
        let tries = task.item.tries.saturating_add(1);
        match next {
            Next::Retry { at, look_first } => {
                let item = Item { due: Some(at), wait: Wait::Retry, tries, in_doubt: look_first, ..task.item };
                self.put_back(Requeue { item, keep_intent: look_first, error: Some(action_error(&error)) });
            }
            Next::Look { at } => {
                let tries = tries.max(policy.max_retries.saturating_add(1));
                let item = Item { due: Some(at), wait: Wait::Retry, tries, in_doubt: true, ..task.item };
                self.put_back(Requeue { item, keep_intent: true, error: Some(action_error(&error)) });
            }
            Next::GiveUp => self.give_up(platform, task, action_error(&error), took),
        }
    }

    /// Whether an earlier try happened could not be asked: asked again later, or left to a person.
    fn look_failed(&self, platform: Platform, task: Task, error: PlatformError, took: Duration) {
        self.log_failure(platform, &task, &error, took);
        let policy = self.policy(platform, &task);
        if error.code.is_retriable() || error.code == ErrorCode::UnknownError {
            let wait = policy.cap.max(error.retry_after.unwrap_or_default());
            let item = Item { due: Some(self.now() + wait), wait: Wait::Retry, in_doubt: true, ..task.item };
            return self.put_back(Requeue { item, keep_intent: true, error: Some(action_error(&error)) });
        }
        let mut error = action_error(&error);
        error.message = format!("whether it happened could not be asked: {}", error.message);
        self.ended(platform, &task, ActionStatus::InDoubt, None, Some(error), Some(took));
    }

    /// No tries are left and it certainly did not happen: the fallback, if there is one for this, or the end.
    fn give_up(&self, platform: Platform, task: Task, error: ActionError, took: Duration) {
        let own = task.item.platform;
        let settings = self.config.effective();
        let to = settings.platform(own).fallback().filter(|to| {
            platform == own
                && task.prepared.role != Role::Undo
                && fallback::is_cause(error.code)
                && fallback::is_substitutable(own, task.prepared.action_type, *to)
        });
        match to {
            Some(to) => {
                self.note_stand_in(&task, to, error.code);
                let item =
                    Item { via: Some(to), due: None, wait: Wait::No, tries: 0, in_doubt: false, batch: 0, ..task.item };
                self.put_back(Requeue { item, keep_intent: false, error: Some(error) });
            }
            None => self.ended(platform, &task, ActionStatus::Failed, None, Some(error), Some(took)),
        }
    }

    /// Says that another platform does a task, and why.
    pub(super) fn note_stand_in(&self, task: &Task, to: Platform, why: ErrorCode) {
        let own = task.item.platform;
        let words = format!("{own} is away ({why}); {to} stands in");
        let line = LogLine::warn(Part::Fallback, words).code(why).field("to", to.as_str());
        self.telemetry.log(self.line(line, own, task));
    }

    fn ended(
        &self,
        platform: Platform,
        task: &Task,
        status: ActionStatus,
        result: Option<Value>,
        error: Option<ActionError>,
        took: Option<Duration>,
    ) {
        let (now, own) = (self.now(), task.item.platform);
        let queued = task.prepared.first_at.since(task.item.queued_at);
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let fell_back = platform != own;
        let record = EndRecord {
            at: now,
            platform: own,
            action_type: task.prepared.action_type,
            error: error.as_ref().map(|error| error.code),
            retries: task.prepared.attempts.saturating_sub(1),
            fell_back,
            execution: took,
            queued,
        };
        if status == ActionStatus::InDoubt {
            let words = "In doubt: it may have happened, and the platform cannot tell; a person has to look";
            self.telemetry.log(self.line(LogLine::error(Part::Executor, words), platform, task));
        }
        let outcome = Outcome {
            seq: task.item.seq,
            status,
            at: now,
            result,
            error,
            execution_ms: took.map_or(0, millis),
            queue_ms: millis(queued),
            fallback: fell_back.then_some(platform),
        };
        let counted = (task.prepared.role != Role::Undo).then(|| Box::new(record));
        self.end(Box::new(outcome), counted);
    }

    fn end(&self, outcome: Box<Outcome>, record: Option<Box<EndRecord>>) {
        let (weak, moment) = (self.weak(), self.moment());
        let kept = outcome.clone();
        self.store.writer().send(
            move |conn| workflows::finish(conn, &outcome, &moment),
            move |written| {
                let Some(this) = weak.upgrade() else { return };
                match written {
                    Ok(moved) => {
                        this.core().no_longer_running(kept.seq);
                        this.moved(moved);
                        if let Some(record) = &record {
                            this.telemetry.action_ended(record);
                        }
                        this.settled.notify_waiters();
                    }
                    Err(error) => this.not_saved(Unsaved::End(kept, record), &error),
                }
            },
        );
    }

    /// Puts an item back into the queue, on disk first.
    pub(super) fn put_back(&self, back: Requeue) {
        let weak = self.weak();
        let kept = back.clone();
        self.store.writer().send(
            move |conn| actions::requeue(conn, &back),
            move |written| {
                let Some(this) = weak.upgrade() else { return };
                match written {
                    Ok(()) => {
                        {
                            let mut core = this.core();
                            core.no_longer_running(kept.item.seq);
                            core.queue.push(kept.item);
                        }
                        this.settled.notify_waiters();
                        this.pump();
                    }
                    Err(error) => this.not_saved(Unsaved::Back(Box::new(kept)), &error),
                }
            },
        );
    }

    fn not_saved(&self, what: Unsaved, error: &StoreError) {
        // A store that was closed has nothing more to say; the rows are looked at after the next start.
        if matches!(error, StoreError::Closed) {
            return;
        }
        self.telemetry.log(LogLine::error(Part::Store, format!("{error}; {}", error.advice())));
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Writes again what the disk refused before.
    pub(super) fn retry_unsaved(&self) {
        let waiting = std::mem::take(&mut *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner));
        for what in waiting {
            match what {
                Unsaved::End(outcome, record) => self.end(outcome, record),
                Unsaved::Back(back) => self.put_back(*back),
            }
        }
    }

    fn log_failure(&self, platform: Platform, task: &Task, error: &PlatformError, took: Duration) {
        let line = LogLine::error(Part::Executor, error.message.clone())
            .code(error.code)
            .duration(took)
            .request(error.request_id.clone());
        let line = match error.delivery {
            Delivery::Unknown => line.field("mayHaveHappened", true),
            Delivery::NotDelivered => line,
        };
        self.telemetry.log(self.line(line, platform, task));
    }

    fn line(&self, line: LogLine, platform: Platform, task: &Task) -> LogLine {
        let prepared = &task.prepared;
        let mut line = line
            .at(self.now())
            .platform(platform)
            .action(prepared.id.clone())
            .attempt(prepared.attempts)
            .field("type", prepared.action_type.as_str())
            // What it asks for without saying it: the same again is seen by it.
            .field("fingerprint", idempotency::fingerprint(&prepared.data));
        if let Some(correlation) = &prepared.correlation_id {
            line = line.field("correlationId", correlation.as_str());
        }
        if let Some(user) = &prepared.user_id {
            line = line.field("userId", user.as_str());
        }
        line
    }
}

fn action_error(error: &PlatformError) -> ActionError {
    ActionError {
        code: error.code,
        message: error.message.clone(),
        http_status: error.http_status,
        request_id: error.request_id.clone(),
    }
}
