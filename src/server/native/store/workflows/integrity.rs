//! What a comparison of states, logs and objects asks the store, page by page.

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::super::StoreError;
use super::super::rows::{Role, word};
use super::query::{from_log, state};
use crate::engine::workflow::State;
use crate::wire::{ActionStatus, ActionType, Time, UndoStatus};

/// A state as a log gives it; for a log that cannot be replayed, why.
pub type Replayed = Result<Option<State>, String>;

/// A workflow's state as it is stored, and as its log gives it.
pub fn both(conn: &Connection, id: &str) -> Result<(Option<State>, Replayed), StoreError> {
    let replayed = match from_log(conn, id) {
        Ok(found) => Ok(found.map(|(state, _)| state)),
        Err(StoreError::Corrupt(why)) => Err(why),
        Err(error) => return Err(error),
    };
    Ok((state(conn, id)?, replayed))
}

/// How many workflows are stored that moved since.
pub fn count_since(conn: &Connection, since: Option<Time>) -> Result<u64, StoreError> {
    let mut query = conn.prepare_cached("SELECT count(*) FROM workflows WHERE updated_at >= ?")?;
    Ok(query.query_row([since_or_ever(since)], |row| row.get(0))?)
}

/// A page of the workflows that moved since and were accepted before this place, newest first, with their places.
pub fn accepted_before(
    conn: &Connection,
    place: i64,
    since: Option<Time>,
    limit: u64,
) -> Result<Vec<(i64, String)>, StoreError> {
    let mut query = conn
        .prepare_cached("SELECT seq, id FROM workflows WHERE seq < ? AND updated_at >= ? ORDER BY seq DESC LIMIT ?")?;
    let rows = query.query_map((place, since_or_ever(since), limit), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A page of the workflows that only the log knows and that moved since, by id, from after this one.
pub fn lost_after(conn: &Connection, id: &str, since: Option<Time>, limit: u64) -> Result<Vec<String>, StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT DISTINCT workflow FROM workflow_events WHERE workflow > ? AND at >= ? AND NOT EXISTS \
         (SELECT 1 FROM workflows w WHERE w.id = workflow) ORDER BY workflow LIMIT ?",
    )?;
    let rows = query.query_map((id, since_or_ever(since), limit), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn since_or_ever(since: Option<Time>) -> i64 {
    since.map_or(i64::MIN, |at| at.0)
}

/// A row that belongs to something that is not stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Stranded {
    /// A queue item of a workflow that is not there: its action, and the workflow.
    Item(String, String),
    /// An idempotency key without its action.
    Key(String),
    /// A queue item without its action: its number.
    Place(String),
}

/// Rows that belong to something that is not stored, at most this many.
pub fn stranded(conn: &Connection, limit: u64) -> Result<Vec<Stranded>, StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT 0, a.id, coalesce(a.workflow_id, '') FROM queue q JOIN actions a ON a.seq = q.seq WHERE q.role > 0 \
         AND NOT EXISTS (SELECT 1 FROM workflows w WHERE w.id = a.workflow_id) \
         UNION ALL SELECT 1, key, '' FROM idempotency i WHERE NOT EXISTS (SELECT 1 FROM actions a WHERE a.seq = i.seq) \
         UNION ALL SELECT 2, cast(seq AS TEXT), '' FROM queue q \
         WHERE NOT EXISTS (SELECT 1 FROM actions a WHERE a.seq = q.seq) LIMIT ?",
    )?;
    let rows = query.query_map([limit], |row| {
        let name: String = row.get(1)?;
        Ok(match row.get(0)? {
            0 => Stranded::Item(name, row.get(2)?),
            1 => Stranded::Key(name),
            _ => Stranded::Place(name),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// An action that wrote to an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Writer {
    /// The action.
    pub action: String,
    /// What it did.
    pub action_type: ActionType,
    /// Whether it is a step of another workflow, and stands: then that one answers for the object.
    pub answers: bool,
    /// When.
    pub at: Time,
}

/// Who wrote to an object after a step of a workflow did, by the ids in the results: the last other workflow's step, or
/// else the last action.
pub fn writer_after(
    conn: &Connection,
    own: &str,
    action: &str,
    object: &[String],
) -> Result<Option<Writer>, StoreError> {
    let named: String = object.iter().map(|_| " AND instr(result, ?) > 0").collect();
    let mut query = conn.prepare_cached(&format!(
        "SELECT id, type, ended_at, iif(role = {} AND workflow_id <> ?, workflow_id, NULL) AS other FROM actions \
         WHERE seq > (SELECT seq FROM actions WHERE id = ?) AND status = {}{named} \
         ORDER BY other IS NOT NULL DESC, seq DESC LIMIT 1",
        Role::Step as i64,
        ActionStatus::Success as i64
    ))?;
    let quoted = object.iter().map(|id| format!("\"{id}\""));
    let values = [own.to_owned(), action.to_owned()].into_iter().chain(quoted);
    let found = query.query_row(params_from_iter(values), |row| {
        let (action, other): (String, Option<String>) = (row.get(0)?, row.get(3)?);
        let at: Option<i64> = row.get(2)?;
        let writer = Writer { action, action_type: word(row, 1)?, answers: false, at: Time(at.unwrap_or_default()) };
        Ok((writer, other))
    });
    let Some((mut writer, other)) = found.optional()? else { return Ok(None) };
    if let Some(state) = other.map(|id| state(conn, &id)).transpose()?.flatten() {
        let step = state.place_of_action(&writer.action).map(|place| &state.steps[place]);
        writer.answers = step.is_some_and(|step| step.undo_status() != Some(UndoStatus::RolledBack));
    }
    Ok(Some(writer))
}
