//! What is asked of workflows from outside, each in one transaction.

use rusqlite::{Connection, OptionalExtension, params};

use super::accept::{Accepted, accept, record};
use super::ground::Ground;
use super::query::from_log;
use super::rows::{self, Stored};
use super::{Moment, Moved, ends};
use crate::engine::workflow::{self, Change, Event, Illegal, Refused, State};
use crate::platforms::undo;
use crate::server::backend::Refusal;
use crate::server::native::store::StoreError;
use crate::wire::{EffectKind, ErrorCode, RollbackMode, WorkflowStatus};

/// Who changes what, and which version they saw.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The workflow.
    pub id: String,
    /// Whose credential, with the operator's claim.
    pub by: String,
    /// The version the caller saw.
    pub if_version: Option<u64>,
}

/// What a change came to: its effect in words, the state it left, and what has to be done after the commit.
#[derive(Debug)]
pub struct Changed {
    /// Whether it was made, or was so already.
    pub effect: EffectKind,
    /// For people, when nothing was changed.
    pub words: String,
    /// The state after it.
    pub state: Option<State>,
    /// What follows after the commit.
    pub moved: Moved,
}

/// Begins a rollback.
pub fn roll_back(conn: &Connection, asked: &Asked, mode: RollbackMode, moment: &Moment) -> Result<Changed, StoreError> {
    change(conn, asked, moment, |state, ground| {
        workflow::may_roll_back(state, mode)?;
        Ok(workflow::roll_back(state, mode, &asked.by, moment.rules(), ground)?)
    })
}

/// Takes a person's word that it was put right.
pub fn resolve(
    conn: &Connection,
    asked: &Asked,
    comment: Option<String>,
    moment: &Moment,
) -> Result<Changed, StoreError> {
    change(conn, asked, moment, |state, _| Ok(workflow::resolve(state, comment, &asked.by, moment.rules())?))
}

/// Takes it off the list of failures.
pub fn clear(conn: &Connection, asked: &Asked, moment: &Moment) -> Result<Changed, StoreError> {
    change(conn, asked, moment, |state, _| Ok(workflow::clear(state, &asked.by, moment.rules())?))
}

/// Takes a person's word that it is completed. One whose state is lost is rebuilt first.
pub fn complete(
    conn: &Connection,
    asked: &Asked,
    comment: Option<String>,
    moment: &Moment,
) -> Result<Changed, StoreError> {
    if rows::load(conn, &asked.id)?.is_none() && from_log(conn, &asked.id)?.is_some() {
        rebuild(conn, &Asked { if_version: None, ..asked.clone() }, moment)?;
    }
    change(conn, asked, moment, |state, ground| {
        let mut events = Vec::new();
        if matches!(state.status, WorkflowStatus::Pending | WorkflowStatus::Executing) {
            let reason = "the workflow was marked as completed";
            events = workflow::stop_steps(state, moment.rules(), reason, ground)?;
        }
        events.extend(workflow::complete(state, comment, &asked.by, moment.rules())?);
        Ok(events)
    })
}

/// Starts a stored workflow that waits.
pub fn execute(conn: &Connection, asked: &Asked, moment: &Moment) -> Result<Changed, StoreError> {
    change(conn, asked, moment, |state, ground| {
        let id = &state.id;
        match state.status {
            WorkflowStatus::Pending => {}
            WorkflowStatus::Executing => {
                return Err(Refused::AlreadySo(format!("workflow {id} is executing already")).into());
            }
            status => {
                let words = format!("workflow {id} is {status}; only one that waits can be executed");
                return Err(Refused::Conflict(words).into());
            }
        }
        if let Some(of) = &state.compensates {
            let original = rows::load(conn, of)?.map(|stored| stored.state);
            if !original.is_some_and(|original| workflow::still_fits(state, &original)) {
                let words = format!(
                    "workflow {of} moved since its compensation {id} was made; look with `opsctl workflow status {of}`, \
                     then `opsctl workflow compensate {of}` again"
                );
                return Err(Refused::Conflict(words).into());
            }
        }
        let mut events = workflow::advance(state, moment.rules(), ground)?;
        if let Some(first) = events.first_mut() {
            first.by = Some(asked.by.clone());
        }
        Ok(events)
    })
}

/// Makes the workflow that undoes another one's executed steps. Asked twice, the one that waits stands in.
pub fn compensate(conn: &Connection, asked: &Asked, moment: &Moment) -> Result<(Accepted, Moved), StoreError> {
    let stored = load(conn, asked)?;
    let of = stored.state.id.clone();
    let waiting: Option<String> = conn
        .prepare_cached("SELECT id FROM workflows WHERE compensates = ? AND status = ? ORDER BY seq DESC LIMIT 1")?
        .query_row(params![of, WorkflowStatus::Pending as i64], |row| row.get(0))
        .optional()?;
    if let Some(id) = waiting {
        let fits = rows::load(conn, &id)?.is_some_and(|made| workflow::still_fits(&made.state, &stored.state));
        if fits {
            return Ok((Accepted { id, status: WorkflowStatus::Pending, duplicate: true }, Moved::default()));
        }
    }
    let made: u32 = conn
        .prepare_cached("SELECT count(*) FROM workflows WHERE compensates = ?")?
        .query_row([&of], |row| row.get(0))?;
    let id = match made {
        0 => format!("{of}-compensation"),
        n => format!("{of}-compensation-{}", n + 1),
    };
    let request = workflow::compensation(&stored.state, id.clone(), &undo::plan).map_err(|refused| {
        let (Refused::AlreadySo(words) | Refused::Conflict(words)) = refused;
        self::refused(Refusal::new(ErrorCode::Conflict, words))
    })?;
    let made = accept(conn, &id, &request, Some(of), None, &asked.by, moment)?;
    let told = super::ground::tell_all(&made.state, rows::log(conn, &id)?).collect();
    let accepted = Accepted { id, status: made.state.status, duplicate: false };
    Ok((accepted, Moved { told, ..Moved::default() }))
}

/// Ends what has run for too long, a bounded number at once. A step that waits for a person stops the clock.
pub fn overdue(conn: &Connection, moment: &Moment) -> Result<Moved, StoreError> {
    conn.prepare_cached(
        "UPDATE workflows SET deadline = ?1 + time_limit WHERE deadline <= ?1 AND EXISTS (SELECT 1 FROM queue q \
         JOIN actions a USING (seq) WHERE q.state = 4 AND q.role = 1 AND a.workflow_id = workflows.id)",
    )?
    .execute([moment.now.0])?;
    let late: Vec<(String, u64)> = conn
        .prepare_cached("SELECT id, time_limit FROM workflows WHERE deadline <= ? ORDER BY deadline LIMIT 100")?
        .query_map([moment.now.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut all = Moved::default();
    for (id, limit) in late {
        let Some(stored) = rows::load(conn, &id)? else { continue };
        let (mut state, mut ground) = (stored.state.clone(), Ground::new(conn, moment));
        let decided = match workflow::overdue(&state) {
            true => workflow::time_over(&mut state, limit, moment.rules(), &mut ground).ok(),
            false => None,
        };
        match decided {
            Some(events) => all.add(ends::store_and_mirror(conn, ground, &stored, &state, events, 0, moment)?),
            // Its rows do not allow it: looked at by a person, not again every second.
            None => {
                conn.prepare_cached("UPDATE workflows SET deadline = NULL WHERE id = ?")?.execute([&id])?;
            }
        }
    }
    Ok(all)
}

/// Rebuilds a workflow's state from the log, and lets it go on where the log ends.
pub fn rebuild(conn: &Connection, asked: &Asked, moment: &Moment) -> Result<Changed, StoreError> {
    let id = &asked.id;
    let stored = rows::load(conn, id)?;
    ensure_version(asked, stored.as_ref().map_or(0, |stored| stored.state.version))?;
    let Some((mut state, events)) = from_log(conn, id)? else {
        return Err(refused(Refusal::not_found(format!("workflow `{id}` in the execution log"))));
    };
    let differences = workflow::differences(stored.as_ref().map(|stored| &stored.state), &state);
    if stored.is_some() && differences.is_empty() {
        let words = format!("state and execution log of workflow {id} agree already ({events} entries)");
        return Ok(Changed::already(words, Some(state)));
    }
    if let Some(lease) = stored.as_ref().and_then(|stored| stored.state.lease.as_ref())
        && state.lease.as_ref() == Some(lease)
    {
        return Err(leased(id, lease));
    }
    let key = state.definition.idempotency_key.clone();
    let record = record(&state, key.as_deref(), moment);
    rows::forget_state(conn, id)?;
    let inserted = rows::insert(conn, &state, &record)?;
    let event = Event { at: moment.now, step: None, change: Change::Rebuilt, by: Some(asked.by.clone()) };
    state.apply(&event).map_err(disagree)?;
    let mut moved = Ground::new(conn, moment).store(&inserted, &state, vec![event], moment)?;
    moved.add(ends::catch_up(conn, id, moment)?);
    let state = rows::load(conn, id)?.map(|stored| stored.state);
    Ok(Changed { effect: EffectKind::Applied, words: String::new(), state, moved })
}

/// Why a change was not made, or could not be.
enum Stop {
    Refused(Refused),
    Illegal(Illegal),
    Store(StoreError),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Stop::Refused(refused)
    }
}

impl From<Illegal> for Stop {
    fn from(illegal: Illegal) -> Self {
        Stop::Illegal(illegal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Store(error)
    }
}

impl Changed {
    fn already(words: String, state: Option<State>) -> Changed {
        Changed { effect: EffectKind::AlreadySo, words, state, moved: Moved::default() }
    }
}

/// Changes a workflow that nobody else is at work on.
fn change(
    conn: &Connection,
    asked: &Asked,
    moment: &Moment,
    decide: impl FnOnce(&mut State, &mut Ground<'_>) -> Result<Vec<Event>, Stop>,
) -> Result<Changed, StoreError> {
    let stored = load(conn, asked)?;
    let mut state = stored.state.clone();
    let mut ground = Ground::new(conn, moment);
    let events = match decide(&mut state, &mut ground) {
        Ok(events) => events,
        Err(Stop::Refused(Refused::AlreadySo(words))) => return Ok(Changed::already(words, Some(stored.state))),
        Err(Stop::Refused(Refused::Conflict(words))) => return Err(refused(Refusal::new(ErrorCode::Conflict, words))),
        Err(Stop::Illegal(illegal)) => return Err(disagree(illegal)),
        Err(Stop::Store(error)) => return Err(error),
    };
    let moved = ends::store_and_mirror(conn, ground, &stored, &state, events, 0, moment)?;
    Ok(Changed { effect: EffectKind::Applied, words: String::new(), state: Some(state), moved })
}

/// Reads a workflow for a change: refuses one that somebody is at work on, or that moved since the caller looked.
fn load(conn: &Connection, asked: &Asked) -> Result<Stored, StoreError> {
    let id = &asked.id;
    let Some(stored) = rows::load(conn, id)? else {
        let in_log = conn.prepare_cached("SELECT 1 FROM workflow_events WHERE workflow = ?")?.exists([id])?;
        return Err(refused(match in_log {
            true => Refusal::new(
                ErrorCode::Conflict,
                format!("the state of workflow {id} is lost; rebuild it with `opsctl state rebuild {id}`"),
            ),
            false => Refusal::not_found(format!("workflow `{id}`")),
        }));
    };
    if let Some(lease) = &stored.state.lease {
        return Err(leased(id, lease));
    }
    ensure_version(asked, stored.state.version)?;
    Ok(stored)
}

fn ensure_version(asked: &Asked, version: u64) -> Result<(), StoreError> {
    if asked.if_version.is_some_and(|seen| seen != version) {
        let words = format!("workflow {} moved meanwhile: it is at version {version}", asked.id);
        return Err(refused(Refusal::new(ErrorCode::Conflict, words)));
    }
    Ok(())
}

/// Who is at work on a workflow, as a refusal.
fn leased(id: &str, lease: &crate::wire::Lease) -> StoreError {
    let mut refusal = Refusal::new(
        ErrorCode::Conflict,
        format!(
            "{} of workflow {id} is under way, by {} since {}; follow it with `opsctl workflow status {id}`",
            lease.operation, lease.owner, lease.since
        ),
    );
    refusal.details = Some(serde_json::json!({ "lease": lease }));
    refused(refusal)
}

pub(super) fn refused(refusal: Refusal) -> StoreError {
    StoreError::Refused(Box::new(refusal))
}

/// A stored state that does not allow what the log says: for a person.
pub(super) fn disagree(illegal: Illegal) -> StoreError {
    let words = format!("state and execution log disagree: {illegal}; see `opsctl workflow check-state`");
    refused(Refusal::new(ErrorCode::Conflict, words))
}
