//! The rows of a workflow, its steps and its log.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::StoreError;
use super::super::rows::{json, text, word};
use crate::engine::workflow::{Change, Event, State, Step};
use crate::wire::{ErrorCode, Time, WorkflowStatus};

/// A stored workflow.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub seq: i64,
    pub state: State,
}

/// Reads a workflow with its steps; `None` when there is none, or when its rows cannot be read: then its state is lost,
/// and only the log knows it.
pub(super) fn load(conn: &Connection, id: &str) -> Result<Option<Stored>, StoreError> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match read(conn, id) {
        Err(FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)) => Ok(None),
        read => Ok(read?),
    }
}

/// Columns are the truth where the body has the same.
fn read(conn: &Connection, id: &str) -> rusqlite::Result<Option<Stored>> {
    let found = conn
        .prepare_cached("SELECT seq, body, status, cleared, version, updated_at FROM workflows WHERE id = ?")?
        .query_row([id], |row| {
            let mut state: State = body(row, 1)?;
            state.status = word(row, 2)?;
            (state.cleared, state.version, state.updated_at) = (row.get(3)?, row.get(4)?, Time(row.get(5)?));
            Ok(Stored { seq: row.get(0)?, state })
        })
        .optional()?;
    let Some(mut stored) = found else { return Ok(None) };
    let mut query = conn.prepare_cached("SELECT body, status FROM workflow_steps WHERE workflow = ? ORDER BY place")?;
    let steps = query.query_map([stored.seq], |row| {
        let mut step: Step = body(row, 0)?;
        step.status = word(row, 1)?;
        Ok(step)
    })?;
    stored.state.steps = steps.collect::<Result<_, _>>()?;
    Ok(Some(stored))
}

fn body<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T> {
    let missing = || rusqlite::Error::InvalidColumnType(column, "body".into(), rusqlite::types::Type::Null);
    json(row, column)?.ok_or_else(missing)
}

/// What a workflow's row has beside its state.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub fingerprint: String,
    pub key: Option<(String, Time)>,
    pub time_limit: i64,
}

/// Writes a workflow that is new here. Its deadline comes with [`save`].
pub(super) fn insert(conn: &Connection, state: &State, record: &Record) -> Result<Stored, StoreError> {
    conn.prepare_cached(
        "INSERT INTO workflows (id, status, version, created_at, updated_at, time_limit, name, steps, compensates, \
         idempotency_key, fingerprint, key_expires_at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        state.id,
        state.status as i64,
        state.version,
        state.created_at.0,
        state.updated_at.0,
        record.time_limit,
        state.definition.name,
        state.steps.len(),
        state.compensates,
        record.key.as_ref().map(|(key, _)| key),
        record.fingerprint,
        record.key.as_ref().map(|(_, at)| at.0),
        text(state)?,
    ])?;
    let stored = Stored { seq: conn.last_insert_rowid(), state: state.clone() };
    for place in 0..state.steps.len() {
        save_step(conn, stored.seq, place, &state.steps[place])?;
    }
    Ok(stored)
}

/// Writes what changed. Gives when the workflow has to be done, while its time runs.
pub(super) fn save(conn: &Connection, before: &Stored, state: &State) -> Result<Option<Time>, StoreError> {
    let running = state.status == WorkflowStatus::Executing && !state.failing;
    let deadline: Option<i64> = conn
        .prepare_cached(
            "UPDATE workflows SET status = ?1, cleared = ?2, version = ?3, updated_at = ?4, failed_step = ?5, code = ?6, \
             error = ?7, body = ?8, deadline = iif(?9, coalesce(deadline, ?4 + time_limit), NULL) WHERE seq = ?10 \
             RETURNING deadline",
        )?
        .query_row(
            params![
                state.status as i64,
                state.cleared,
                state.version,
                state.updated_at.0,
                state.failed_step,
                code_of(state).map(ErrorCode::as_str),
                state.error,
                text(state)?,
                running,
                before.seq,
            ],
            |row| row.get(0),
        )?;
    for place in 0..state.steps.len() {
        if before.state.steps.get(place) != Some(&state.steps[place]) {
            save_step(conn, before.seq, place, &state.steps[place])?;
        }
    }
    Ok(deadline.map(Time))
}

fn save_step(conn: &Connection, workflow: i64, place: usize, step: &Step) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO workflow_steps (workflow, place, id, status, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE \
         SET id = excluded.id, status = excluded.status, body = excluded.body",
    )?
    .execute(params![workflow, place, step.definition.id, step.status as i64, text(step)?])?;
    Ok(())
}

/// The failure's code, for grouping: the failed undo's when a rollback is what failed.
fn code_of(state: &State) -> Option<ErrorCode> {
    let undo = || {
        let undos = state.steps.iter().filter_map(|step| step.undo.as_ref());
        undos.filter_map(|undo| undo.error.as_ref().map(|error| (undo.at, error.code))).max_by_key(|(at, _)| *at)
    };
    let failed_undo = (state.status == WorkflowStatus::RollbackFailed).then(undo).flatten();
    failed_undo.map(|(_, code)| code).or(state.code)
}

/// Drops the rows of a workflow's state; its log stays.
pub(super) fn forget_state(conn: &Connection, id: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM workflow_steps WHERE workflow = (SELECT seq FROM workflows WHERE id = ?)")?
        .execute([id])?;
    conn.prepare_cached("DELETE FROM workflows WHERE id = ?")?.execute([id])?;
    Ok(())
}

/// Enters events in the execution log.
pub(super) fn append(conn: &Connection, workflow: &str, events: &[Event]) -> Result<(), StoreError> {
    for event in events {
        conn.prepare_cached(
            "INSERT INTO workflow_events (at, workflow, kind, step, data, by) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            event.at.0,
            workflow,
            event.change.kind() as i64,
            event.step,
            event.change.data().as_ref().map(text).transpose()?,
            event.by,
        ])?;
    }
    Ok(())
}

/// The log of one workflow, oldest first.
pub(super) fn log(conn: &Connection, workflow: &str) -> Result<Vec<Event>, StoreError> {
    let mut query =
        conn.prepare_cached("SELECT at, kind, step, data, by FROM workflow_events WHERE workflow = ? ORDER BY seq")?;
    let rows = query
        .query_map([workflow], |row| Ok((Time(row.get(0)?), word(row, 1)?, row.get(2)?, json(row, 3)?, row.get(4)?)))?;
    let mut events = Vec::new();
    for row in rows {
        let (at, kind, step, data, by) = row?;
        let change = Change::read(kind, data)
            .map_err(|e| StoreError::Corrupt(format!("the execution log of workflow {workflow}: {e}")))?;
        events.push(Event { at, step, change, by });
    }
    Ok(events)
}
