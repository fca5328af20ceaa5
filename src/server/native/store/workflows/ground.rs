//! The rules' hands: ids, withdrawing, and the queue items that their events call for.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::rows::{self, Stored};
use super::{Moment, Moved, Told};
use crate::engine::approval::{self, Asked};
use crate::engine::queue::{Item, Seq, Wait, subject_hash};
use crate::engine::retry;
use crate::engine::workflow::{Change, Event, Hands, State, Step};
use crate::platforms::undo::{self, Done, UndoPlan};
use crate::server::native::store::StoreError;
use crate::server::native::store::actions::{self, NewAction, Stored as StoredAction};
use crate::server::native::store::approvals::{self, Ask};
use crate::server::native::store::rows::{Role, substitutable};
use crate::wire::{ActionRequest, ActionStatus, ApprovalCause, RetryConfig, RollbackMode, Time};

/// Longest id of an action.
const ID_MAX: usize = 128;

/// What an undo's payload has.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct UndoOrder {
    /// What was done.
    pub done: Done,
    /// Whether changes made since are passed over.
    pub force: bool,
}

/// The store as the rules see it.
pub(super) struct Ground<'a> {
    conn: &'a Connection,
    now: Time,
    withdrawn: Vec<Seq>,
    failed: Option<StoreError>,
}

impl<'a> Ground<'a> {
    pub(super) fn new(conn: &'a Connection, moment: &Moment) -> Self {
        Ground { conn, now: moment.now, withdrawn: Vec::new(), failed: None }
    }

    fn is_free(&self, id: &str) -> Result<bool, StoreError> {
        let taken = self.conn.prepare_cached("SELECT 1 FROM actions WHERE id = ?")?.exists([id])?;
        Ok(!taken && id.chars().count() <= ID_MAX)
    }

    fn take_out(&self, action_id: &str) -> Result<Option<Seq>, StoreError> {
        let seq: Option<Seq> = self
            .conn
            .prepare_cached(
                "DELETE FROM queue WHERE seq = (SELECT seq FROM actions WHERE id = ?) AND state IN (0, 4) \
                 AND in_doubt = 0 AND intent_at IS NULL RETURNING seq",
            )?
            .query_row([action_id], |row| row.get(0))
            .optional()?;
        if let Some(seq) = seq {
            self.conn
                .prepare_cached("UPDATE actions SET status = ?, ended_at = ?, removed_by = ? WHERE seq = ?")?
                .execute(params![ActionStatus::Removed as i64, self.now.0, "its workflow", seq])?;
            approvals::withdraw(self.conn, seq, self.now)?;
        }
        Ok(seq)
    }

    fn kept<T: Default>(&mut self, outcome: Result<T, StoreError>) -> T {
        outcome.unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            T::default()
        })
    }

    /// Stores what was decided: the log, the queue's items, the state.
    pub(super) fn store(
        self,
        before: &Stored,
        state: &State,
        events: Vec<Event>,
        moment: &Moment,
    ) -> Result<Moved, StoreError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut moved = Moved { withdrawn: self.withdrawn, ..Moved::default() };
        rows::append(self.conn, &state.id, &events)?;
        for event in &events {
            let Some(place) = event.step.as_deref().and_then(|id| state.place(id)) else { continue };
            let step = &state.steps[place];
            let new = match &event.change {
                Change::StepStarted { action_id, .. } => step_action(state, step, action_id, moment),
                Change::UndoStarted { action_id, .. } if state.rolling.is_some() => {
                    (undo_action(state, step, action_id, &step.done(), moment)?, Role::Undo)
                }
                _ => continue,
            };
            let (new, role) = new;
            match actions::insert(self.conn, &new, role, moment.now)? {
                StoredAction::New(item) => moved.items.push(item),
                StoredAction::Held(until) => moved.held = moved.held.into_iter().chain([until]).min(),
                StoredAction::Duplicate { .. } => {}
            }
        }
        moved.deadline = rows::save(self.conn, before, state)?;
        moved.told.extend(tell_all(state, events));
        Ok(moved)
    }
}

impl Hands for Ground<'_> {
    fn free_id(&mut self, wanted: String) -> String {
        let tries = (2..100).map(|n| format!("{wanted}-{n}"));
        for id in std::iter::once(wanted.clone()).chain(tries) {
            if id.chars().count() > ID_MAX {
                break;
            }
            let free = self.is_free(&id);
            if self.kept(free) {
                return id;
            }
        }
        uuid::Uuid::now_v7().to_string()
    }

    fn withdraw(&mut self, action_id: &str) -> bool {
        let taken = self.take_out(action_id);
        let seq = self.kept(taken);
        self.withdrawn.extend(seq);
        seq.is_some()
    }

    fn undo_plan(&self, done: &Done) -> UndoPlan {
        undo::plan(done)
    }
}

/// Events for the log files.
pub(super) fn tell_all(state: &State, events: impl IntoIterator<Item = Event>) -> impl Iterator<Item = Told> {
    events.into_iter().map(|event| {
        let place = event.step.as_deref().and_then(|id| state.place(id));
        let platform = place.map(|place| &state.steps[place]).map(|s| s.fallback.unwrap_or(s.definition.platform));
        Told { workflow: state.id.clone(), event, platform }
    })
}

/// The action that runs a step; a compensating workflow's steps are undos.
fn step_action(state: &State, step: &Step, id: &str, moment: &Moment) -> (NewAction, Role) {
    let sent = step.sent.clone().unwrap_or_default();
    let own = &step.definition;
    let mut request = request(state, step, id);
    request.timeout = own.timeout;
    request.requires_approval = own.requires_approval;
    request.retry_config = own.retries.map(|retries| RetryConfig {
        max_retries: retries,
        initial_delay: millis(moment.settings.retry_initial_delay),
        backoff_multiplier: moment.settings.retry_backoff_multiplier,
        max_delay: millis(retry::cap(own.platform)),
    });
    if state.compensates.is_some() {
        request.data = json!({ "done": sent, "force": false });
        request.timeout = None;
        request.tags = vec!["undo".into()];
        return (owned(request, None, moment.now, Role::Undo), Role::Undo);
    }
    request.data = sent;
    let ask = ask(&request, moment);
    (owned(request, ask, moment.now, Role::Step), Role::Step)
}

/// The decision that a step has to wait for. One that requires it waits even while approvals are off: it must not run
/// without.
fn ask(request: &ActionRequest, moment: &Moment) -> Option<Ask> {
    let approving = &moment.settings.approvals;
    let asked = Asked {
        action_type: request.action_type,
        platform: request.platform,
        data: &request.data,
        requested: request.requires_approval,
        together: 1,
    };
    let causes = match approving.enabled {
        true => approval::causes(asked, &approving.rules, &approving.border),
        false => request.requires_approval.then_some(ApprovalCause::Requested).into_iter().collect(),
    };
    let expires_at = moment.now + approving.timeout;
    (!causes.is_empty()).then_some(Ask { causes, expires_at })
}

/// The action that undoes a step.
fn undo_action(state: &State, step: &Step, id: &str, done: &Done, moment: &Moment) -> Result<NewAction, StoreError> {
    let order = UndoOrder { done: done.clone(), force: state.rolling == Some(RollbackMode::Force) };
    let mut request = request(state, step, id);
    request.platform = done.platform;
    request.source = Some("rollback".into());
    request.tags = vec!["undo".into()];
    request.data =
        serde_json::to_value(order).map_err(|e| StoreError::Other(format!("cannot write an undo as JSON: {e}")))?;
    Ok(owned(request, None, moment.now, Role::Undo))
}

fn request(state: &State, step: &Step, id: &str) -> ActionRequest {
    let cut = |text: String| text.chars().take(256).collect::<String>();
    ActionRequest {
        id: Some(id.to_owned()),
        action_type: step.definition.action_type,
        platform: step.definition.platform,
        priority: state.definition.priority,
        data: serde_json::Value::Null,
        correlation_id: Some(cut(format!("{}-{}", state.id, step.definition.id))),
        user_id: state.definition.user_id.clone(),
        source: Some("workflow".into()),
        workflow_id: Some(state.id.clone()),
        timeout: None,
        retry_config: None,
        idempotency_key: None,
        requires_approval: false,
        approval_timeout: None,
        tags: Vec::new(),
    }
}

/// Steps count against their user's and workflow's share of a minute, undos do not: they must not wait. That a step runs
/// once is its workflow's state, so it needs no idempotency key.
fn owned(request: ActionRequest, approval: Option<Ask>, now: Time, role: Role) -> NewAction {
    let hash = |text: &Option<String>| match role {
        Role::Undo => 0,
        _ => text.as_deref().map_or(0, subject_hash),
    };
    NewAction {
        id: request.id.clone().unwrap_or_default(),
        own_id: false,
        key: None,
        fingerprint: String::new(),
        key_expires_at: now,
        item: Item {
            seq: 0,
            platform: request.platform,
            via: None,
            priority: request.priority,
            substitutable: role != Role::Undo && substitutable(request.platform, request.action_type),
            queued_at: now,
            due: None,
            wait: Wait::No,
            tries: 0,
            in_doubt: false,
            user: hash(&request.user_id),
            workflow: hash(&request.workflow_id),
            batch: 0,
            owned: true,
        },
        request,
        approval,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
