//! Accepting workflows: the same again is a prevented duplicate, other content under the same id or key a collision.

use rusqlite::{Connection, OptionalExtension, params};

use super::changes::{disagree, refused};
use super::ground::Ground;
use super::rows::{self, Record, Stored};
use super::{Moment, Moved};
use crate::engine::workflow::{self, Change, Event, State};
use crate::server::backend::Refusal;
use crate::server::native::store::rows::word;
use crate::server::native::store::{StoreError, keys};
use crate::wire::{ErrorCode, KeyCollision, KeyOwner, Time, WorkflowRequest, WorkflowStatus};

/// A workflow to accept.
#[derive(Clone, Debug)]
pub struct NewWorkflow {
    /// Its id.
    pub id: String,
    /// What was submitted.
    pub request: WorkflowRequest,
    /// The idempotency key in force.
    pub key: Option<String>,
    /// Whose credential, with the operator's claim.
    pub by: String,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id, or the earlier one's.
    pub id: String,
    /// Its status now.
    pub status: WorkflowStatus,
    /// Whether an earlier one stands in for it.
    pub duplicate: bool,
}

/// Accepts a workflow and starts it.
pub fn submit(conn: &Connection, new: &NewWorkflow, moment: &Moment) -> Result<(Accepted, Moved), StoreError> {
    let fingerprint = workflow::fingerprint(&new.request);
    if let Some(key) = &new.key
        && let Some(known) = known_key(conn, key, new, &fingerprint, moment.now)?
    {
        return Ok((known, Moved::default()));
    }
    if let Some(known) = known_id(conn, new, &fingerprint, moment.now)? {
        return Ok((known, Moved::default()));
    }
    if let Some(key) = &new.key {
        keys::forget(conn, key)?;
    }
    let stored = accept(conn, &new.id, &new.request, None, new.key.as_deref(), &new.by, moment)?;
    let mut state = stored.state.clone();
    let mut ground = Ground::new(conn, moment);
    let events = workflow::advance(&mut state, moment.rules(), &mut ground).map_err(disagree)?;
    let mut moved = ground.store(&stored, &state, events, moment)?;
    moved.told.splice(..0, super::ground::tell_all(&state, rows::log(conn, &new.id)?.into_iter().take(1)));
    Ok((Accepted { id: new.id.clone(), status: state.status, duplicate: false }, moved))
}

/// Stores a workflow that waits.
pub(super) fn accept(
    conn: &Connection,
    id: &str,
    request: &WorkflowRequest,
    compensates: Option<String>,
    key: Option<&str>,
    by: &str,
    moment: &Moment,
) -> Result<Stored, StoreError> {
    let definition = Box::new(WorkflowRequest { id: Some(id.to_owned()), ..request.clone() });
    let change = Change::Accepted { definition, compensates };
    let event = Event { at: moment.now, step: None, change, by: Some(by.to_owned()) };
    let state = State::accepted(id, &event).map_err(disagree)?;
    rows::append(conn, id, std::slice::from_ref(&event))?;
    rows::insert(conn, &state, &record(&state, key, moment))
}

/// What is kept beside a state.
pub(super) fn record(state: &State, key: Option<&str>, moment: &Moment) -> Record {
    let limit = state.definition.timeout.map_or(moment.settings.workflow_timeout, std::time::Duration::from_millis);
    let definition = WorkflowRequest {
        steps: state.steps.iter().map(|step| step.definition.clone()).collect(),
        ..state.definition.clone()
    };
    Record {
        fingerprint: workflow::fingerprint(&definition),
        key: key.map(|key| (key.to_owned(), state.created_at + moment.settings.idempotency_ttl)),
        time_limit: i64::try_from(limit.as_millis()).unwrap_or(i64::MAX),
    }
}

/// An id that is known: the same again, or a refusal.
fn known_id(
    conn: &Connection,
    new: &NewWorkflow,
    fingerprint: &str,
    now: Time,
) -> Result<Option<Accepted>, StoreError> {
    let found: Option<(String, WorkflowStatus)> = conn
        .prepare_cached("SELECT fingerprint, status FROM workflows WHERE id = ?")?
        .query_row([&new.id], |row| Ok((row.get(0)?, word(row, 1)?)))
        .optional()?;
    match found {
        Some((known, status)) if known == fingerprint => {
            note_prevented(conn, &new.id, now)?;
            Ok(Some(Accepted { id: new.id.clone(), status, duplicate: true }))
        }
        Some(_) => {
            let message = format!("the id `{}` belongs to another workflow, with other content", new.id);
            Err(refused(collision(message, None)))
        }
        None if conn.prepare_cached("SELECT 1 FROM workflow_events WHERE workflow = ?")?.exists([&new.id])? => {
            let hint = format!("rebuild it with `opsctl state rebuild {}`", new.id);
            let message = format!("the id `{}` belongs to a workflow whose state is lost; {hint}", new.id);
            Err(refused(collision(message, None)))
        }
        None => Ok(None),
    }
}

/// A key that is known: a prevented duplicate, a refusal, or one that may be used anew because its time is over or what
/// it was used for failed or was undone.
fn known_key(
    conn: &Connection,
    key: &str,
    new: &NewWorkflow,
    fingerprint: &str,
    now: Time,
) -> Result<Option<Accepted>, StoreError> {
    let Some(known) = keys::get(conn, key, now)?.filter(|known| known.state.holds()) else { return Ok(None) };
    let (action_id, workflow_id, message) = match known.owner {
        KeyOwner::Workflow { workflow_id: id, workflow_status: status, .. } if known.fingerprint == fingerprint => {
            note_prevented(conn, &id, now)?;
            return Ok(Some(Accepted { id, status, duplicate: true }));
        }
        KeyOwner::Workflow { workflow_id: id, .. } => {
            let message = format!("the idempotency key `{key}` was used for workflow {id} with other content");
            (None, Some(id), message)
        }
        KeyOwner::Action { action_id: id, .. } => {
            let message = format!("the idempotency key `{key}` was used for action {id}");
            (Some(id), None, message)
        }
    };
    let collided = KeyCollision {
        at: now,
        key: known.key,
        action_id,
        workflow_id,
        fingerprint: known.fingerprint,
        offered: fingerprint.to_owned(),
        source: None,
        correlation_id: new.request.correlation_id.clone(),
        user_id: new.request.user_id.clone(),
    };
    Err(refused(collision(message, Some(&collided))))
}

fn note_prevented(conn: &Connection, id: &str, now: Time) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE workflows SET prevented = prevented + 1, last_prevented_at = ? WHERE id = ?")?
        .execute(params![now.0, id])?;
    Ok(())
}

/// The refusal of a collision; its details are enough to keep it, if it is a key's.
fn collision(message: String, collided: Option<&KeyCollision>) -> Refusal {
    let mut refusal = Refusal::new(ErrorCode::DuplicateError, message);
    let mut details = serde_json::json!({ "collision": true });
    if let (Some(details), Some(serde_json::Value::Object(collided))) =
        (details.as_object_mut(), collided.and_then(|collided| serde_json::to_value(collided).ok()))
    {
        details.extend(collided);
    }
    refusal.details = Some(details);
    refusal
}
