//! What the end of an action means for its workflow, and the workflows' clocks.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::ground::Ground;
use super::rows::{self, Stored};
use super::{Moment, Moved};
use crate::engine::workflow::{self, Change, Event, State};
use crate::platforms::undo;
use crate::server::native::store::StoreError;
use crate::server::native::store::actions::{self, Ended, Outcome};
use crate::server::native::store::rows::{Role, json, word};
use crate::wire::{ActionError, ActionStatus, ErrorCode, Platform, StepStatus, Time, UndoStatus, WorkflowStatus};

/// How an action of a workflow ended, whatever it was.
#[derive(Debug)]
struct End {
    role: Role,
    id: String,
    status: ActionStatus,
    at: Time,
    result: Option<Value>,
    error: Option<ActionError>,
    fallback: Option<Platform>,
    before: Option<Value>,
    attempts: u32,
}

/// Records how an action ended, and in the same transaction what that means for its workflow, if it has one.
pub fn finish(conn: &Connection, outcome: &Outcome, moment: &Moment) -> Result<Moved, StoreError> {
    match actions::finish(conn, outcome)? {
        Some(ended) => action_ended(conn, ended, outcome, moment),
        None => Ok(Moved::default()),
    }
}

fn action_ended(conn: &Connection, ended: Ended, outcome: &Outcome, moment: &Moment) -> Result<Moved, StoreError> {
    let end = End {
        role: ended.role,
        id: ended.id,
        status: outcome.status,
        at: outcome.at,
        result: outcome.result.clone(),
        error: outcome.error.clone(),
        fallback: outcome.fallback,
        before: ended.prepared.and_then(|mut kept| kept.get_mut("before").map(Value::take)),
        attempts: ended.attempts,
    };
    apply_end(conn, &ended.workflow, end, moment)
}

fn apply_end(conn: &Connection, workflow: &str, end: End, moment: &Moment) -> Result<Moved, StoreError> {
    let at = end.at;
    let Some(stored) = rows::load(conn, workflow)? else {
        // Its state is lost. The log keeps what became of the step, so that the state can be rebuilt.
        let rebuilt = super::query::from_log(conn, workflow)?.map(|(state, _)| state);
        let Some(state) = rebuilt else { return Ok(Moved::default()) };
        if let Some((place, change)) = change_of(&state, &end) {
            let step = Some(state.steps[place].definition.id.clone());
            rows::append(conn, workflow, &[Event { at, step, change, by: None }])?;
        }
        return Ok(Moved::default());
    };
    let mut state = stored.state.clone();
    let Some((place, change)) = change_of(&state, &end) else { return Ok(Moved::default()) };
    let step = Some(state.steps[place].definition.id.clone());
    let event = Event { at, step, change, by: None };
    let mut ground = Ground::new(conn, moment);
    let decided = state.apply(&event).and_then(|()| workflow::advance(&mut state, moment.rules(), &mut ground));
    let Ok(next) = decided else {
        // Somebody altered the rows. The end is entered all the same; rebuilding puts the state right.
        rows::append(conn, workflow, &[event])?;
        return Ok(Moved::default());
    };
    let events = std::iter::once(event).chain(next).collect();
    store_and_mirror(conn, ground, &stored, &state, events, end.attempts, moment)
}

/// The event that an action's end is for its step.
fn change_of(state: &State, end: &End) -> Option<(usize, Change)> {
    let place = state.place_of_action(&end.id)?;
    let step = &state.steps[place];
    let unknown = || ActionError {
        code: ErrorCode::UnknownError,
        message: "it ended without a word".into(),
        http_status: None,
        request_id: None,
    };
    let error = end.error.clone().unwrap_or_else(unknown);
    let is_undo = end.role == Role::Undo && state.compensates.is_none();
    let change = match (is_undo, end.status) {
        (false, ActionStatus::Success) => Change::StepCompleted {
            result: end.result.clone().unwrap_or(Value::Null),
            before: end.before.clone(),
            fallback_platform: end.fallback,
        },
        (false, status) => {
            Change::StepFailed { error, in_doubt: status == ActionStatus::InDoubt, before: end.before.clone() }
        }
        (true, ActionStatus::Success) => {
            let evidence = end.result.as_ref().and_then(|result| result["evidence"].as_str());
            Change::UndoCompleted { evidence: evidence.unwrap_or_default().to_owned(), attempts: end.attempts }
        }
        (true, _) => {
            let label = undo::plan(&step.done()).label;
            let failure = workflow::failure_words(label, error.code);
            Change::UndoFailed { failure, error, attempts: end.attempts }
        }
    };
    Some((place, change))
}

/// Stores what was decided, and what it means for the workflow that this one compensates.
pub(super) fn store_and_mirror(
    conn: &Connection,
    ground: Ground<'_>,
    before: &Stored,
    state: &State,
    events: Vec<Event>,
    attempts: u32,
    moment: &Moment,
) -> Result<Moved, StoreError> {
    let original = match &state.compensates {
        Some(of) => rows::load(conn, of)?,
        None => None,
    };
    let Some(original) = original else { return ground.store(before, state, events, moment) };
    let mut moved = ground.store(before, state, events.clone(), moment)?;
    let (mut mirrored, mut ground) = (original.state.clone(), Ground::new(conn, moment));
    let meant = workflow::mirror(&mut mirrored, state, &events, attempts, moment.rules(), &mut ground);
    if let Ok(meant) = meant
        && !meant.is_empty()
    {
        moved.add(ground.store(&original, &mirrored, meant, moment)?);
    }
    Ok(moved)
}

/// Enters ends that a workflow does not know of, as after a restored or rebuilt state, and lets it go on.
pub(super) fn catch_up(conn: &Connection, id: &str, moment: &Moment) -> Result<Moved, StoreError> {
    let mut all = Moved::default();
    let Some(stored) = rows::load(conn, id)? else { return Ok(all) };
    for step in &stored.state.steps {
        let undoing = step.undo.as_ref().is_some_and(|undo| undo.status == UndoStatus::InProgress);
        let (role, action) = match (step.status, undoing) {
            (StepStatus::Executing, _) => (Role::Step, &step.action_id),
            (_, true) => (Role::Undo, &step.undo_action),
            _ => continue,
        };
        let Some(action) = action else { continue };
        let role = if stored.state.compensates.is_some() { Role::Undo } else { role };
        if let Some(end) = known_end(conn, action, role, moment.now)? {
            all.add(apply_end(conn, id, end, moment)?);
        }
    }
    // What waits for nothing goes on.
    let Some(stored) = rows::load(conn, id)? else { return Ok(all) };
    if matches!(stored.state.status, WorkflowStatus::Executing | WorkflowStatus::RollingBack) {
        let (mut state, mut ground) = (stored.state.clone(), Ground::new(conn, moment));
        if let Ok(events) = workflow::advance(&mut state, moment.rules(), &mut ground)
            && !events.is_empty()
        {
            all.add(store_and_mirror(conn, ground, &stored, &state, events, 0, moment)?);
        }
    }
    Ok(all)
}

/// How an action ended that is no longer in the queue; `None` while it is.
fn known_end(conn: &Connection, action: &str, role: Role, now: Time) -> Result<Option<End>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT a.status, a.ended_at, a.result, a.error, a.fallback, a.attempts, q.seq IS NOT NULL FROM actions a \
             LEFT JOIN queue q USING (seq) WHERE a.id = ?",
        )?
        .query_row([action], |row| {
            let end = End {
                role,
                id: action.to_owned(),
                status: word(row, 0)?,
                at: row.get::<_, Option<i64>>(1)?.map_or(now, Time),
                result: json(row, 2)?,
                error: json(row, 3)?,
                fallback: crate::server::native::store::rows::optional_word(row, 4)?,
                before: None,
                attempts: row.get(5)?,
            };
            Ok((end, row.get::<_, bool>(6)?))
        })
        .optional()?;
    Ok(match found {
        Some((_, true)) => None,
        Some((end, false)) => Some(end),
        None => Some(End {
            role,
            id: action.to_owned(),
            status: ActionStatus::InDoubt,
            at: now,
            result: None,
            error: Some(ActionError {
                code: ErrorCode::UnknownError,
                message: "its action is no longer known, so it may have happened".into(),
                http_status: None,
                request_id: None,
            }),
            fallback: None,
            before: None,
            attempts: 0,
        }),
    })
}

/// Enters in every workflow that goes on what it does not know of. For a start, and after a restored state.
pub fn reconcile(conn: &Connection, moment: &Moment) -> Result<Moved, StoreError> {
    let ids: Vec<String> = conn
        .prepare_cached("SELECT id FROM workflows WHERE status IN (?, ?) ORDER BY seq")?
        .query_map([WorkflowStatus::Executing as i64, WorkflowStatus::RollingBack as i64], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut all = Moved::default();
    for id in ids {
        all.add(catch_up(conn, &id, moment)?);
    }
    Ok(all)
}

/// The earliest moment at which some workflow has to be done.
pub fn next_deadline(conn: &Connection) -> Result<Option<Time>, StoreError> {
    let at: Option<i64> = conn
        .prepare_cached("SELECT min(deadline) FROM workflows WHERE deadline IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(at.map(Time))
}

/// Time in which the service did not run does not count: what goes on has its whole time again.
pub fn restart_clocks(conn: &Connection, now: Time) -> Result<(), StoreError> {
    conn.execute("UPDATE workflows SET deadline = ? + time_limit WHERE deadline IS NOT NULL", [now.0])?;
    Ok(())
}

/// Time in which the queue was paused does not count either.
pub fn shift_clocks(conn: &Connection, since: Time, now: Time) -> Result<(), StoreError> {
    conn.execute(
        "UPDATE workflows SET deadline = deadline + ?2 - max(?1, deadline - time_limit) WHERE deadline IS NOT NULL",
        [since.0, now.0],
    )?;
    Ok(())
}

/// How long a workflow that needs nobody is kept after it moved last.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// Workflows dropped per transaction, so that work never waits for housekeeping.
const PRUNE_STEP: usize = 200;

/// Drops a bounded number of old workflows with their log; what failed stays until a person has dealt with it. Gives
/// whether there may be more.
pub fn prune(conn: &Connection, now: Time) -> Result<bool, StoreError> {
    let done = [WorkflowStatus::Completed, WorkflowStatus::RolledBack, WorkflowStatus::Resolved];
    let [a, b, c] = done.map(|status| status as i64);
    let old: Vec<String> = conn
        .prepare_cached(
            "SELECT id FROM workflows WHERE status IN (?1, ?2, ?3) AND cleared IN (0, 1) AND updated_at < ?4 LIMIT ?5",
        )?
        .query_map(params![a, b, c, now.minus(KEEP).0, PRUNE_STEP], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &old {
        rows::forget_state(conn, id)?;
        conn.prepare_cached("DELETE FROM workflow_events WHERE workflow = ?")?.execute([id])?;
    }
    Ok(old.len() == PRUNE_STEP)
}
