//! Idempotency keys: what they stand for, what collided with them, forgetting one.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::actions::status;
use super::rows::word;
use crate::engine::idempotency;
use crate::engine::queue::Seq;
use crate::wire::{ActionStatus, IdempotencyRecord, KeyCollision, KeyState, KeyView, Time};

/// Collisions shown with a key.
const COLLISIONS_SHOWN: u64 = 20;

/// What [`record`] reads. The outer table is walked in the order of an index, so that a page costs as much as it shows.
const RECORDS: &str = "SELECT i.key, i.fingerprint, i.created_at, i.expires_at, i.prevented, i.last_prevented_at, \
    i.collisions, i.last_collision_at, i.seq, a.id, a.status, q.state, a.type, a.platform, a.workflow_id, \
    a.correlation_id FROM idempotency i CROSS JOIN actions a ON a.seq = i.seq LEFT JOIN queue q ON q.seq = i.seq";

fn record(row: &Row<'_>, now: Time) -> rusqlite::Result<IdempotencyRecord> {
    let key: String = row.get(0)?;
    let (action_status, expires_at) = (status(row, 10, 11)?, Time(row.get(3)?));
    let state = match action_status {
        ActionStatus::Pending | ActionStatus::Executing => KeyState::InFlight,
        _ if expires_at <= now => KeyState::Expired,
        ActionStatus::InDoubt => KeyState::InDoubt,
        _ => KeyState::Done,
    };
    Ok(IdempotencyRecord {
        state,
        action_id: row.get(9)?,
        action_status,
        action_type: word(row, 12)?,
        platform: word(row, 13)?,
        workflow_id: row.get(14)?,
        correlation_id: row.get(15)?,
        fingerprint: row.get(1)?,
        created_at: Time(row.get(2)?),
        expires_at,
        prevented: row.get(4)?,
        last_prevented_at: row.get::<_, Option<i64>>(5)?.map(Time),
        collisions: row.get(6)?,
        last_collision_at: row.get::<_, Option<i64>>(7)?.map(Time),
        ends_in_timestamp: idempotency::ends_in_timestamp(&key),
        version: row.get::<_, i64>(8)?.unsigned_abs(),
        key,
    })
}

/// A page of keys, newest first, and whether there are more.
pub fn list(
    conn: &Connection,
    view: KeyView,
    limit: u64,
    now: Time,
) -> Result<(Vec<IdempotencyRecord>, bool), StoreError> {
    let order = match view {
        KeyView::All => "ORDER BY i.seq DESC",
        KeyView::Prevented => "WHERE i.prevented > 0 ORDER BY i.last_prevented_at DESC",
        KeyView::Collisions => "WHERE i.collisions > 0 ORDER BY i.last_collision_at DESC",
    };
    let mut query = conn.prepare_cached(&format!("{RECORDS} {order} LIMIT ?"))?;
    let rows = query.query_map([limit.saturating_add(1)], |row| record(row, now))?;
    super::page(rows.collect::<Result<_, _>>()?, limit)
}

/// One key.
pub fn get(conn: &Connection, key: &str, now: Time) -> Result<Option<IdempotencyRecord>, StoreError> {
    let found = conn.prepare_cached(&format!("{RECORDS} WHERE i.key = ?"))?.query_row([key], |row| record(row, now));
    Ok(found.optional()?)
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
        "SELECT at, key, action_id, fingerprint, offered, source, correlation_id, user_id FROM collisions \
         WHERE {of_key} AND at >= ?2 ORDER BY id DESC LIMIT ?3"
    );
    let mut query = conn.prepare_cached(&sql)?;
    let since = since.map_or(i64::MIN, |at| at.0);
    let rows = query.query_map(params![key, since, limit.saturating_add(1)], |row| {
        Ok(KeyCollision {
            at: Time(row.get(0)?),
            key: row.get(1)?,
            action_id: row.get(2)?,
            fingerprint: row.get(3)?,
            offered: row.get(4)?,
            source: row.get(5)?,
            correlation_id: row.get(6)?,
            user_id: row.get(7)?,
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
    conn.prepare_cached("UPDATE idempotency SET collisions = collisions + 1, last_collision_at = ? WHERE key = ?")?
        .execute(params![collision.at.0, collision.key])?;
    conn.prepare_cached(
        "INSERT INTO collisions (at, key, action_id, fingerprint, offered, source, correlation_id, user_id) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        collision.at.0,
        collision.key,
        collision.action_id,
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
    /// Its action is in flight, or another action has it by now.
    Refused(Box<IdempotencyRecord>),
}

/// Forgets a key, if its action is at rest and, when a version is given, still the one that was seen.
pub fn clear(conn: &Connection, key: &str, version: Option<u64>, now: Time) -> Result<Cleared, StoreError> {
    let Some(found) = get(conn, key, now)? else { return Ok(Cleared::NotFound) };
    if found.state == KeyState::InFlight || version.is_some_and(|seen| seen != found.version) {
        return Ok(Cleared::Refused(Box::new(found)));
    }
    conn.prepare_cached("DELETE FROM idempotency WHERE key = ?")?.execute([key])?;
    Ok(Cleared::Cleared(Box::new(found)))
}

/// Drops keys whose time is over, and collisions that are too old or too many. Gives whether there may be more.
pub fn prune(conn: &Connection, keep_from: Time, now: Time, step: i64) -> Result<bool, StoreError> {
    // A key holds while its action waits (0), runs (1) or is to be approved (4).
    let keys = conn.execute(
        "DELETE FROM idempotency WHERE seq IN (SELECT i.seq FROM idempotency i WHERE i.expires_at < ? AND NOT EXISTS \
         (SELECT 1 FROM queue q WHERE q.seq = i.seq AND q.state IN (0, 1, 4)) ORDER BY i.expires_at LIMIT ?)",
        params![now.0, step],
    )?;
    let newest: Seq = conn.query_row("SELECT coalesce(max(id), 0) FROM collisions", [], |row| row.get(0))?;
    let collisions = conn.execute(
        "DELETE FROM collisions WHERE id IN (SELECT id FROM collisions WHERE at < ? OR id <= ? ORDER BY id LIMIT ?)",
        params![keep_from.0, newest - KEEP_COLLISIONS, step],
    )?;
    Ok(keys as i64 == step || collisions as i64 == step)
}

/// Collisions kept at most, whatever their age.
const KEEP_COLLISIONS: i64 = 100_000;
