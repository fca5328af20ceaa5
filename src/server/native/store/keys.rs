//! Idempotency keys: what they stand for, what collided with them, forgetting one.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::actions::status;
use super::rows::word;
use crate::engine::idempotency;
use crate::engine::queue::Seq;
use crate::wire::{ActionStatus, IdempotencyRecord, KeyCollision, KeyOwner, KeyState, KeyView, Time, WorkflowStatus};

/// Collisions shown with a key.
const COLLISIONS_SHOWN: u64 = 20;

/// What [`of_action`] reads. The outer table is walked in the order of an index, so that a page costs as much as it shows.
const ACTIONS: &str = "SELECT i.key, i.fingerprint, i.created_at, i.expires_at, i.prevented, i.last_prevented_at, \
    i.collisions, i.last_collision_at, i.seq, a.id, a.status, q.state, a.type, a.platform, a.workflow_id, \
    a.correlation_id FROM idempotency i CROSS JOIN actions a ON a.seq = i.seq LEFT JOIN queue q ON q.seq = i.seq";

/// What [`of_workflow`] reads.
pub const WORKFLOWS: &str = "SELECT idempotency_key, fingerprint, created_at, key_expires_at, prevented, last_prevented_at, \
    collisions, last_collision_at, seq, id, status, name, steps FROM workflows WHERE idempotency_key";

fn of_action(row: &Row<'_>, now: Time) -> rusqlite::Result<IdempotencyRecord> {
    let action_status = status(row, 10, 11)?;
    let state = match action_status {
        ActionStatus::Pending | ActionStatus::Executing => KeyState::InFlight,
        ActionStatus::InDoubt => KeyState::InDoubt,
        _ => KeyState::Done,
    };
    let owner = KeyOwner::Action {
        action_id: row.get(9)?,
        action_status,
        action_type: word(row, 12)?,
        platform: word(row, 13)?,
        workflow_id: row.get(14)?,
        correlation_id: row.get(15)?,
    };
    record(row, owner, state, now)
}

fn of_workflow(row: &Row<'_>, now: Time) -> rusqlite::Result<IdempotencyRecord> {
    use WorkflowStatus as Status;
    let workflow_status = word(row, 10)?;
    let state = match workflow_status {
        Status::Pending | Status::Executing | Status::RollingBack => KeyState::InFlight,
        Status::Failed | Status::RolledBack | Status::Resolved => KeyState::Released,
        Status::RollbackFailed | Status::Unknown => KeyState::InDoubt,
        Status::Completed => KeyState::Done,
    };
    let owner =
        KeyOwner::Workflow { workflow_id: row.get(9)?, workflow_status, name: row.get(11)?, steps: row.get(12)? };
    record(row, owner, state, now)
}

/// A key with its owner. What is in flight holds longer than its time.
fn record(row: &Row<'_>, owner: KeyOwner, state: KeyState, now: Time) -> rusqlite::Result<IdempotencyRecord> {
    let key: String = row.get(0)?;
    let expires_at = Time(row.get(3)?);
    let expired = expires_at <= now && state != KeyState::InFlight;
    // Places of actions and of workflows are counted apart: a version says of which it is.
    let place = row.get::<_, i64>(8)?.unsigned_abs() * 2 + u64::from(matches!(owner, KeyOwner::Workflow { .. }));
    Ok(IdempotencyRecord {
        state: if expired { KeyState::Expired } else { state },
        owner,
        fingerprint: row.get(1)?,
        created_at: Time(row.get(2)?),
        expires_at,
        prevented: Some(row.get(4)?),
        last_prevented_at: row.get::<_, Option<i64>>(5)?.map(Time),
        collisions: Some(row.get(6)?),
        last_collision_at: row.get::<_, Option<i64>>(7)?.map(Time),
        ends_in_timestamp: idempotency::ends_in_timestamp(&key),
        version: place,
        key,
    })
}

/// The queries of a listing: for the keys of actions, and for those of workflows.
pub fn listing(view: KeyView) -> (String, String) {
    let (actions, workflows) = match view {
        KeyView::All => ("ORDER BY i.seq DESC", "IS NOT NULL ORDER BY created_at DESC"),
        KeyView::Prevented => (
            "WHERE i.prevented > 0 ORDER BY i.last_prevented_at DESC",
            "IS NOT NULL AND prevented > 0 ORDER BY last_prevented_at DESC",
        ),
        KeyView::Collisions => (
            "WHERE i.collisions > 0 ORDER BY i.last_collision_at DESC",
            "IS NOT NULL AND collisions > 0 ORDER BY last_collision_at DESC",
        ),
    };
    (format!("{ACTIONS} {actions} LIMIT ?"), format!("{WORKFLOWS} {workflows} LIMIT ?"))
}

/// A page of keys, newest first, and whether there are more.
pub fn list(
    conn: &Connection,
    view: KeyView,
    limit: u64,
    now: Time,
) -> Result<(Vec<IdempotencyRecord>, bool), StoreError> {
    let (actions, workflows) = listing(view);
    let mut found: Vec<IdempotencyRecord> = conn
        .prepare_cached(&actions)?
        .query_map([limit.saturating_add(1)], |row| of_action(row, now))?
        .collect::<Result<_, _>>()?;
    let mut query = conn.prepare_cached(&workflows)?;
    for record in query.query_map([limit.saturating_add(1)], |row| of_workflow(row, now))? {
        found.push(record?);
    }
    found.sort_by_key(|record| {
        std::cmp::Reverse(match view {
            KeyView::All => Some(record.created_at),
            KeyView::Prevented => record.last_prevented_at,
            KeyView::Collisions => record.last_collision_at,
        })
    });
    super::page(found, limit)
}

/// One key.
pub fn get(conn: &Connection, key: &str, now: Time) -> Result<Option<IdempotencyRecord>, StoreError> {
    let mut query = conn.prepare_cached(&format!("{ACTIONS} WHERE i.key = ?"))?;
    match query.query_row([key], |row| of_action(row, now)).optional()? {
        Some(found) => Ok(Some(found)),
        None => get_of_workflow(conn, key, now),
    }
}

/// One key, if a workflow has it.
pub fn get_of_workflow(conn: &Connection, key: &str, now: Time) -> Result<Option<IdempotencyRecord>, StoreError> {
    let mut query = conn.prepare_cached(&format!("{WORKFLOWS} = ? ORDER BY seq DESC LIMIT 1"))?;
    Ok(query.query_row([key], |row| of_workflow(row, now)).optional()?)
}

/// Refused collisions, newest first, and whether there are more.
pub fn collisions(
    conn: &Connection,
    key: Option<&str>,
    since: Option<Time>,
    limit: u64,
) -> Result<(Vec<KeyCollision>, bool), StoreError> {
    let of_key = if key.is_some() { "key = ?1" } else { "?1 IS NULL" };
    let sql = format!(
        "SELECT at, key, owner_id, of_workflow, fingerprint, offered, source, correlation_id, user_id FROM collisions \
         WHERE {of_key} AND at >= ?2 ORDER BY id DESC LIMIT ?3"
    );
    let mut query = conn.prepare_cached(&sql)?;
    let since = since.map_or(i64::MIN, |at| at.0);
    let rows = query.query_map(params![key, since, limit.saturating_add(1)], |row| {
        let owner: String = row.get(2)?;
        let (action_id, workflow_id) = if row.get(3)? { (None, Some(owner)) } else { (Some(owner), None) };
        Ok(KeyCollision {
            at: Time(row.get(0)?),
            key: row.get(1)?,
            action_id,
            workflow_id,
            fingerprint: row.get(4)?,
            offered: row.get(5)?,
            source: row.get(6)?,
            correlation_id: row.get(7)?,
            user_id: row.get(8)?,
        })
    })?;
    super::page(rows.collect::<Result<_, _>>()?, limit)
}

/// The newest collisions of one key.
pub fn collided(conn: &Connection, key: &str) -> Result<Vec<KeyCollision>, StoreError> {
    Ok(collisions(conn, Some(key), None, COLLISIONS_SHOWN)?.0)
}

/// Keeps a refused collision; the submission itself left nothing.
pub fn note_collision(conn: &Connection, collision: &KeyCollision) -> Result<(), StoreError> {
    let of_workflow = collision.workflow_id.is_some();
    let counted = match of_workflow {
        false => "UPDATE idempotency SET collisions = collisions + 1, last_collision_at = ? WHERE key = ?",
        true => "UPDATE workflows SET collisions = collisions + 1, last_collision_at = ? WHERE idempotency_key = ?",
    };
    conn.prepare_cached(counted)?.execute(params![collision.at.0, collision.key])?;
    conn.prepare_cached(
        "INSERT INTO collisions (at, key, owner_id, of_workflow, fingerprint, offered, source, correlation_id, user_id) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        collision.at.0,
        collision.key,
        collision.held_by(),
        of_workflow,
        collision.fingerprint,
        collision.offered,
        collision.source,
        collision.correlation_id,
        collision.user_id,
    ])?;
    Ok(())
}

/// What became of a key to forget.
#[derive(Clone, Debug, PartialEq)]
pub enum Cleared {
    /// It is forgotten; this is what it was.
    Cleared(Box<IdempotencyRecord>),
    /// There is no such key.
    NotFound,
    /// Its work is in flight, or something else has it by now.
    Refused(Box<IdempotencyRecord>),
}

/// Forgets a key, if its work is at rest and, when a version is given, still the one that was seen.
pub fn clear(conn: &Connection, key: &str, version: Option<u64>, now: Time) -> Result<Cleared, StoreError> {
    let Some(found) = get(conn, key, now)? else { return Ok(Cleared::NotFound) };
    if found.state == KeyState::InFlight || version.is_some_and(|seen| seen != found.version) {
        return Ok(Cleared::Refused(Box::new(found)));
    }
    forget(conn, key)?;
    Ok(Cleared::Cleared(Box::new(found)))
}

/// Takes a key from whatever has it.
pub fn forget(conn: &Connection, key: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM idempotency WHERE key = ?")?.execute([key])?;
    conn.prepare_cached(
        "UPDATE workflows SET idempotency_key = NULL, key_expires_at = NULL WHERE idempotency_key = ?",
    )?
    .execute([key])?;
    Ok(())
}

/// Drops keys whose time is over, and collisions that are too old or too many. Gives whether there may be more.
pub fn prune(conn: &Connection, keep_from: Time, now: Time, step: i64) -> Result<bool, StoreError> {
    // A key holds while its action waits (0), runs (1) or is to be approved (4).
    let keys = conn.execute(
        "DELETE FROM idempotency WHERE seq IN (SELECT i.seq FROM idempotency i WHERE i.expires_at < ? AND NOT EXISTS \
         (SELECT 1 FROM queue q WHERE q.seq = i.seq AND q.state IN (0, 1, 4)) ORDER BY i.expires_at LIMIT ?)",
        params![now.0, step],
    )?;
    let in_flight = [WorkflowStatus::Pending, WorkflowStatus::Executing, WorkflowStatus::RollingBack];
    let [a, b, c] = in_flight.map(|status| status as i64);
    let of_workflows = conn.execute(
        "UPDATE workflows SET idempotency_key = NULL, key_expires_at = NULL WHERE seq IN (SELECT seq FROM workflows \
         WHERE idempotency_key IS NOT NULL AND key_expires_at < ? AND status NOT IN (?, ?, ?) \
         ORDER BY key_expires_at LIMIT ?)",
        params![now.0, a, b, c, step],
    )?;
    let newest: Seq = conn.query_row("SELECT coalesce(max(id), 0) FROM collisions", [], |row| row.get(0))?;
    let collisions = conn.execute(
        "DELETE FROM collisions WHERE id IN (SELECT id FROM collisions WHERE at < ? OR id <= ? ORDER BY id LIMIT ?)",
        params![keep_from.0, newest - KEEP_COLLISIONS, step],
    )?;
    Ok([keys, of_workflows, collisions].contains(&usize::try_from(step).unwrap_or(usize::MAX)))
}

/// Collisions kept at most, whatever their age.
const KEEP_COLLISIONS: i64 = 100_000;
