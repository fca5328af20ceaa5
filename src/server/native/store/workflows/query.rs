//! Questions about workflows: one, a page of them, a page of their log.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::super::StoreError;
use super::super::rows::{json, word};
use super::rows;
use crate::engine::workflow::{self, Change, State};
use crate::wire::{
    ErrorCode, EventFilter, RebuildPlan, Time, Workflow, WorkflowEvent, WorkflowEvents, WorkflowFilter, WorkflowList,
    WorkflowStatus, WorkflowSummary,
};

/// Entries of a page of the log at most.
const EVENTS_MAX: u64 = 10_000;
/// Entries by which one may be out of the order of time: what one commit holds at most, and room to spare.
const OUT_OF_ORDER: i64 = 2000;

/// A workflow's state as it is stored.
pub fn state(conn: &Connection, id: &str) -> Result<Option<State>, StoreError> {
    Ok(rows::load(conn, id)?.map(|stored| stored.state))
}

/// A workflow; of one whose state is lost, what the log says of it.
pub fn get(conn: &Connection, id: &str) -> Result<Option<Workflow>, StoreError> {
    if let Some(stored) = rows::load(conn, id)? {
        return Ok(Some(stored.state.wire()));
    }
    let lost = from_log(conn, id)?.map(|(state, _)| Workflow { status: WorkflowStatus::Unknown, ..state.wire() });
    Ok(lost)
}

/// The state that the log of a workflow gives, and how many entries that took.
pub(super) fn from_log(conn: &Connection, id: &str) -> Result<Option<(State, u64)>, StoreError> {
    let events = rows::log(conn, id)?;
    let count = events.len() as u64;
    let state = workflow::replay(id, events)
        .map_err(|illegal| StoreError::Corrupt(format!("the execution log cannot be replayed: {illegal}")))?;
    Ok(state.map(|state| (state, count)))
}

/// What rebuilding would change; `None` when neither state nor log know the workflow.
pub fn rebuild_plan(conn: &Connection, id: &str) -> Result<Option<RebuildPlan>, StoreError> {
    let stored = state(conn, id)?;
    let Some((rebuilt, events)) = from_log(conn, id)? else { return Ok(None) };
    Ok(Some(RebuildPlan {
        workflow_id: id.to_owned(),
        events,
        differences: workflow::differences(stored.as_ref(), &rebuilt),
        version: stored.map_or(0, |state| state.version),
    }))
}

/// A page of workflows, newest first by when they moved last.
pub fn list(conn: &Connection, filter: &WorkflowFilter) -> Result<WorkflowList, StoreError> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    if !filter.statuses.is_empty() {
        let places: Vec<String> = filter.statuses.iter().map(|status| (*status as i64).to_string()).collect();
        // Naming both values of `cleared` keeps the index on status, cleared and time in use.
        let cleared = if filter.hide_cleared { "0" } else { "0, 1" };
        conditions.push(format!("status IN ({}) AND cleared IN ({cleared})", places.join(", ")));
    } else if filter.hide_cleared {
        conditions.push("cleared = 0".into());
    }
    if let Some(since) = filter.since {
        conditions.push("updated_at >= ?".into());
        values.push(Value::Integer(since.0));
    }
    let condition = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let total = conn
        .prepare_cached(&format!("SELECT count(*) FROM workflows {condition}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let number = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    values.extend([number(filter.limit), number(filter.offset)]);
    let mut query = conn.prepare_cached(&format!(
        "SELECT id, name, status, steps, failed_step, code, error, created_at, updated_at FROM workflows {condition} \
         ORDER BY updated_at DESC, seq DESC LIMIT ? OFFSET ?"
    ))?;
    let page = query.query_map(params_from_iter(&values), |row| {
        let code: Option<String> = row.get(5)?;
        Ok(WorkflowSummary {
            workflow_id: row.get(0)?,
            name: row.get(1)?,
            status: word(row, 2)?,
            steps: row.get(3)?,
            failed_step: row.get(4)?,
            code: code.as_deref().and_then(ErrorCode::from_wire),
            error: row.get(6)?,
            created_at: Time(row.get(7)?),
            updated_at: Time(row.get(8)?),
        })
    })?;
    Ok(WorkflowList { workflows: page.collect::<Result<_, _>>()?, total })
}

/// The newest entries of the log that fit, oldest first; `None` when a workflow is named that it does not know.
pub fn events(conn: &Connection, filter: &EventFilter) -> Result<Option<WorkflowEvents>, StoreError> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    if let Some(id) = &filter.workflow_id {
        let known = conn
            .prepare_cached("SELECT 1 FROM workflow_events WHERE workflow = ? LIMIT 1")?
            .query_row([id], |_| Ok(()))
            .optional()?;
        if known.is_none() {
            return Ok(None);
        }
        conditions.push("workflow = ?");
        values.push(Value::Text(id.clone()));
    }
    if filter.rollback_only {
        conditions.push("kind BETWEEN 7 AND 12");
    }
    if let Some(since) = filter.since {
        // Entries are nearly in the order of what happened: what ends together is entered in any order.
        let first: Option<i64> = conn
            .prepare_cached("SELECT seq FROM workflow_events WHERE at >= ? ORDER BY at, seq LIMIT 1")?
            .query_row([since.0], |row| row.get(0))
            .optional()?;
        conditions.push("seq >= ? AND at >= ?");
        let first = first.map_or(i64::MAX, |seq| seq.saturating_sub(OUT_OF_ORDER));
        values.extend([Value::Integer(first), Value::Integer(since.0)]);
    }
    let condition = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let limit = filter.limit.clamp(1, EVENTS_MAX);
    values.push(Value::Integer(i64::try_from(limit + 1).unwrap_or(i64::MAX)));
    let mut query = conn.prepare_cached(&format!(
        "SELECT seq, at, workflow, kind, step, data, by FROM workflow_events {condition} ORDER BY seq DESC LIMIT ?"
    ))?;
    let rows = query.query_map(params_from_iter(&values), |row| {
        Ok(WorkflowEvent {
            seq: row.get(0)?,
            timestamp: Time(row.get(1)?),
            workflow_id: row.get(2)?,
            event: word(row, 3)?,
            step_id: row.get(4)?,
            message: String::new(),
            data: json(row, 5)?,
            by: row.get(6)?,
        })
    })?;
    let mut events: Vec<WorkflowEvent> = rows.collect::<Result<_, _>>()?;
    let truncated = events.len() as u64 > limit;
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    events.reverse();
    for event in &mut events {
        event.message = Change::read(event.event, event.data.clone())
            .map_or_else(|e| format!("cannot be read: {e}"), |change| change.message());
    }
    Ok(Some(WorkflowEvents { events, truncated }))
}
