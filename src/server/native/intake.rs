//! Accepting actions: checked, keyed, and on disk before anybody is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::approvals::ask;
use super::bus::Event;
use super::core::{self, Halt};
use super::runtime::Runtime;
use super::store::actions::{self, NewAction, Stored};
use super::store::approvals::{self, Ask};
use super::store::{StoreError, keys, substitutable};
use crate::engine::idempotency;
use crate::engine::queue::{Item, Wait, subject_hash};
use crate::platforms;
use crate::server::backend::Refusal;
use crate::server::config::Effective;
use crate::server::telemetry::{Level, LogLine, Part};
use crate::wire::{
    ActionRequest, ActionStatus, ActionType, ErrorCode, KeyCollision, Occurrence, PauseScope, Platform, SubmitAnswer,
    Submitted, Time,
};

/// Actions accepted in one submission at most.
pub(super) const SUBMIT_MAX: usize = 1000;
/// Longest wait a retry setting may name.
const DELAY_MAX: u64 = 3_600_000;

impl Runtime {
    /// Accepts one or several actions, all or none.
    pub(super) async fn accept(&self, requests: Vec<ActionRequest>) -> Result<SubmitAnswer, Refusal> {
        if requests.is_empty() || requests.len() > SUBMIT_MAX {
            return Err(invalid(format!(
                "a submission has 1 to {SUBMIT_MAX} actions, this one has {}",
                requests.len()
            )));
        }
        let settings = self.config.effective();
        let now = self.now();
        let many = requests.len() > 1;
        let mut changes = [0; Platform::ALL.len()];
        for request in requests.iter().filter(|request| request.action_type != ActionType::Query) {
            changes[request.platform as usize] += 1;
        }
        let mut new = Vec::with_capacity(requests.len());
        for (place, request) in requests.into_iter().enumerate() {
            let together = changes[request.platform as usize];
            let action = check(&request)
                .and_then(|()| ask(&request, together, &settings, now))
                .map(|approval| make(request, approval, &settings, now));
            new.push(action.map_err(|mut refusal| {
                if many {
                    refusal.message = format!("action {} of the list: {}", place + 1, refusal.message);
                }
                refusal
            })?);
        }
        for key in new.iter().filter_map(|action| action.request.idempotency_key.as_deref()) {
            if idempotency::ends_in_timestamp(key) {
                let words = "An idempotency key ends in a moment: it is new every time and prevents nothing";
                self.telemetry.log(LogLine::warn(Part::Idempotency, words).field("key", key));
            }
        }
        let count = new.len() as u64;
        self.make_room(count, &settings)?;
        let keys: Vec<Option<String>> = new.iter().map(|action| action.key.clone()).collect();
        let stored = self.store_new(new, count, now).await;
        match stored {
            Ok(actions) => {
                let actions = actions.into_iter().zip(keys).map(|((submitted, duplicate), key)| Submitted {
                    duplicate,
                    idempotency_key: key,
                    ..submitted
                });
                Ok(SubmitAnswer { actions: actions.collect() })
            }
            Err(error) => {
                self.note_refusal(&error);
                Err(error.into())
            }
        }
    }

    /// Refuses while paused or stopping.
    pub(super) fn ensure_open(&self) -> Result<(), Refusal> {
        let core = self.core();
        if let Some(pause) = core.intake_paused() {
            let mut refusal = Refusal::new(
                ErrorCode::Unavailable,
                format!("everything is paused by {} since {}: nothing is accepted", pause.owner, pause.since),
            );
            refusal.details = serde_json::to_value(pause).ok();
            return Err(refusal);
        }
        if core.halt == Some(Halt::Stop) {
            return Err(Refusal::new(ErrorCode::Unavailable, "the service is stopping and accepts nothing more"));
        }
        Ok(())
    }

    /// What was on its way to the disk has arrived, or never will.
    pub(super) fn no_longer_arriving(&self, count: u64) {
        let mut core = self.core();
        core.arriving = core.arriving.saturating_sub(count);
    }

    /// Refuses while paused, stopping or full; otherwise counts the newcomers until they are stored.
    pub(super) fn make_room(&self, count: u64, settings: &Effective) -> Result<(), Refusal> {
        self.ensure_open()?;
        let mut core = self.core();
        let (waiting, max) = (core.queue.len() + core.arriving, settings.queue_max_size as u64);
        if waiting + count > max {
            let mut refusal = Refusal::new(
                ErrorCode::QueueFull,
                format!("the queue holds {waiting} of at most {max} items (QUEUE_MAX_SIZE), {count} more do not fit"),
            );
            refusal.retry_after = Some(5);
            return Err(refusal);
        }
        core.arriving += count;
        Ok(())
    }

    /// Stores the newcomers and makes them wait. All of it happens on the writing thread, so that a caller who goes away
    /// early changes nothing.
    async fn store_new(
        &self,
        new: Vec<NewAction>,
        count: u64,
        now: Time,
    ) -> Result<Vec<(Submitted, bool)>, StoreError> {
        let (done, result) = oneshot::channel();
        let weak = self.weak();
        let ids: Vec<String> = new.iter().map(|action| action.id.clone()).collect();
        self.store.writer().send(
            move |conn| actions::submit(conn, &new, now),
            move |stored| {
                let Some(this) = weak.upgrade() else { return };
                let answer = this.arrived(stored, ids, count);
                let _ = done.send(answer);
                this.pump();
            },
        );
        result.await.unwrap_or(Err(StoreError::Closed))
    }

    fn arrived(
        &self,
        stored: Result<Vec<Stored>, StoreError>,
        ids: Vec<String>,
        count: u64,
    ) -> Result<Vec<(Submitted, bool)>, StoreError> {
        let mut core = self.core();
        core.arriving = core.arriving.saturating_sub(count);
        let size = core.settings.batching.size;
        let mut answers = Vec::with_capacity(ids.len());
        for (stored, id) in stored?.into_iter().zip(ids) {
            let mut answer = Submitted {
                id,
                status: ActionStatus::Pending,
                duplicate: false,
                queue_position: None,
                idempotency_key: None,
                approval_id: None,
            };
            match stored {
                Stored::New(item) => {
                    answer.queue_position = Some(core.queue.ahead_of_new(item.priority));
                    core.queue.push(item);
                    if item.batch != 0 && core.queue.batch_len(item.batch) >= size {
                        core.queue.release_batch(item.batch);
                    }
                    answers.push((answer, false));
                }
                Stored::Held(until) => {
                    self.watch_approval(until);
                    self.bus.publish(Event::ApprovalAsked(answer.id.clone(), until));
                    answer.approval_id = Some(approvals::id_of(&answer.id));
                    answers.push((answer, false));
                }
                Stored::Duplicate { id, status } => answers.push((Submitted { id, status, ..answer }, true)),
            }
        }
        drop(core);
        for _ in answers.iter().filter(|(_, duplicate)| *duplicate) {
            self.telemetry.happened(Occurrence::DuplicatePrevented, None);
        }
        if self.telemetry.shows(Level::Info) {
            for (answer, duplicate) in &answers {
                let line = match duplicate {
                    true => LogLine::info(Part::Idempotency, "Duplicate prevented"),
                    false => LogLine::verbose(Part::Queue, "Action enqueued"),
                };
                self.telemetry.log(line.action(answer.id.clone()));
            }
        }
        Ok(answers)
    }

    fn note_refusal(&self, error: &StoreError) {
        match error {
            StoreError::Refused(refusal) => self.note_collision(refusal),
            _ => self.telemetry.log(LogLine::error(Part::Store, format!("{error}; {}", error.advice()))),
        }
    }

    /// Keeps what collided; what was submitted left nothing.
    pub(super) fn note_collision(&self, refusal: &Refusal) {
        let details = refusal.details.clone().unwrap_or_default();
        let mut line = LogLine::warn(Part::Idempotency, format!("Collision: {}", refusal.message));
        for name in ["key", "actionId", "workflowId", "fingerprint", "offered", "source", "correlationId", "userId"] {
            if let Some(value) = details.get(name).filter(|value| value.is_string()) {
                line = line.field(name, value.clone());
            }
        }
        self.telemetry.log(line);
        self.telemetry.happened(Occurrence::KeyCollision, None);
        if let Ok(collision) = serde_json::from_value::<KeyCollision>(details) {
            self.later(move |conn| keys::note_collision(conn, &collision));
        }
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(ErrorCode::ValidationError, message)
}

/// Refuses what could never run.
pub(in crate::server) fn check(request: &ActionRequest) -> Result<(), Refusal> {
    let on_platform = |mut refusal: Refusal| {
        refusal.platform = Some(request.platform);
        refusal
    };
    if request.action_type == ActionType::Approve {
        let why = "approving is no action of a platform: set `requiresApproval` on the action that needs it";
        return Err(on_platform(Refusal::new(ErrorCode::Unsupported, why)));
    }
    let length = |name: &str, value: &Option<String>, min: usize, max: usize| match value {
        Some(text) if !(min..=max).contains(&text.chars().count()) => {
            Err(invalid(format!("{name}: must have {min} to {max} characters")))
        }
        _ => Ok(()),
    };
    length("id", &request.id, 1, 128)?;
    length("correlationId", &request.correlation_id, 0, 256)?;
    length("userId", &request.user_id, 0, 256)?;
    length("source", &request.source, 0, 256)?;
    length("workflowId", &request.workflow_id, 0, 256)?;
    length("idempotencyKey", &request.idempotency_key, 1, 256)?;
    if request.tags.len() > 32 {
        return Err(invalid(format!("tags: at most 32, these are {}", request.tags.len())));
    }
    if request.timeout.is_some_and(|ms| !(1..=600_000).contains(&ms)) {
        return Err(invalid("timeout: must be 1 to 600000 milliseconds".into()));
    }
    if request.approval_timeout.is_some_and(|ms| !(1000..=604_800_000).contains(&ms)) {
        return Err(invalid("approvalTimeout: must be 1000 to 604800000 milliseconds".into()));
    }
    if let Some(retry) = &request.retry_config {
        let sound = retry.max_retries <= 20
            && retry.initial_delay <= DELAY_MAX
            && retry.max_delay <= DELAY_MAX
            && (1.0..=100.0).contains(&retry.backoff_multiplier);
        if !sound {
            let limits = "at most 20 retries, delays up to 3600000 milliseconds, a multiplier from 1 to 100";
            return Err(invalid(format!("retryConfig: {limits}")));
        }
    }
    platforms::validate(request.platform, request.action_type, &request.data).map_err(|why| on_platform(invalid(why)))
}

/// What will be stored.
fn make(request: ActionRequest, approval: Option<Ask>, settings: &Arc<Effective>, now: Time) -> NewAction {
    let (action, target) = (request.action_type.as_str(), request.platform.as_str());
    // A read has nothing to do twice; it is keyed only when the caller wants it.
    let derived = || {
        let keyed = settings.enable_idempotency && request.action_type != ActionType::Query;
        let signal = request.correlation_id.as_deref();
        keyed.then(|| idempotency::derive_key(signal, action, target, &request.data))
    };
    let key = request.idempotency_key.clone().filter(|_| settings.enable_idempotency).or_else(derived);
    let (batch, due) = match &approval {
        // Others do not wait for a person.
        Some(_) => (0, None),
        None => core::batching(settings, request.platform, request.action_type, &request.data, now),
    };
    let hash = |text: &Option<String>| text.as_deref().map_or(0, subject_hash);
    NewAction {
        own_id: request.id.is_some(),
        id: request.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
        fingerprint: idempotency::action_fingerprint(action, target, &request.data),
        key_expires_at: now + settings.idempotency_ttl.max(Duration::from_secs(1)),
        item: Item {
            seq: 0,
            platform: request.platform,
            via: None,
            priority: request.priority,
            substitutable: substitutable(request.platform, request.action_type),
            queued_at: now,
            due,
            wait: if due.is_some() { Wait::Batch } else { Wait::No },
            tries: 0,
            in_doubt: false,
            user: hash(&request.user_id),
            workflow: hash(&request.workflow_id),
            batch,
            owned: false,
        },
        key,
        request,
        approval,
    }
}

/// Which words a pause stops, for messages.
pub(super) const fn stops(scope: PauseScope) -> &'static str {
    match scope {
        PauseScope::All => "queue and intake",
        PauseScope::Queue => "queue",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(extra: serde_json::Value) -> ActionRequest {
        let mut request = json!({"type": "create", "platform": "notion", "data": {"database_id": "d", "title": "x"}});
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(request).unwrap()
    }

    #[test]
    fn what_could_never_run_is_refused() {
        assert_eq!(check(&request(json!({}))), Ok(()));
        for (extra, code, words) in [
            (json!({"approvalTimeout": 1}), ErrorCode::ValidationError, "approvalTimeout"),
            (json!({"type": "approve"}), ErrorCode::Unsupported, "requiresApproval"),
            (json!({"type": "file"}), ErrorCode::ValidationError, "cannot do `file`"),
            (json!({"data": {"titel": "x"}}), ErrorCode::ValidationError, "data.titel"),
            (json!({"id": ""}), ErrorCode::ValidationError, "id: must have 1 to 128"),
            (json!({"timeout": 0}), ErrorCode::ValidationError, "timeout"),
            (json!({"retryConfig": {"backoffMultiplier": 0.5}}), ErrorCode::ValidationError, "multiplier from 1"),
        ] {
            let refusal = check(&request(extra)).unwrap_err();
            assert_eq!(refusal.code, code);
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
    }

    #[test]
    fn keys_are_derived_unless_given_or_switched_off() {
        let mut settings = Effective::default();
        let key = |settings: &Effective, extra| make(request(extra), None, &Arc::new(settings.clone()), Time(0)).key;
        let derived = key(&settings, json!({"correlationId": "sig-1"})).unwrap();
        assert!(derived.starts_with("sig-1:create:notion:") && derived.len() == 20 + 16, "{derived}");
        assert_eq!(key(&settings, json!({"idempotencyKey": "mine"})).as_deref(), Some("mine"));
        assert_eq!(key(&settings, json!({"type": "query", "data": {"database_id": "d"}})), None);
        settings.enable_idempotency = false;
        assert_eq!(key(&settings, json!({"idempotencyKey": "mine"})), None);
    }
}
