//! Dead letters: taking items out, putting them back, driving failed ones again.

use rusqlite::{Connection, OptionalExtension, params};

use super::actions::insert_queue;
use super::rows::{EXECUTING, ITEM_COLUMNS, Role, item, substitutable, word};
use super::{StoreError, approvals};
use crate::engine::idempotency;
use crate::engine::queue::{Item, Seq, Wait};
use crate::wire::{ActionStatus, ActionType, Platform, Priority, Time};

/// What became of an item to put back or drive again.
#[derive(Clone, Debug, PartialEq)]
pub enum Restored {
    /// It waits again.
    Back(Box<Item>),
    /// It waits or runs already.
    AlreadySo,
    /// There is no such action.
    NotFound,
    /// Its state forbids it: why.
    Conflict(String),
}

/// Moves waiting items to the dead letters; the queue's row stays so that it can go back as it was. Gives the ids.
pub fn remove(conn: &Connection, seqs: &[Seq], by: &str, now: Time) -> Result<Vec<Option<String>>, StoreError> {
    let mut ids = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let moved = conn
            .prepare_cached("UPDATE queue SET state = 2, version = version + 1 WHERE seq = ? AND state = 0")?
            .execute([seq])?;
        if moved == 0 {
            ids.push(None);
            continue;
        }
        conn.prepare_cached("DELETE FROM idempotency WHERE seq = ?")?.execute([seq])?;
        let id = conn
            .prepare_cached("UPDATE actions SET status = ?, ended_at = ?, removed_by = ? WHERE seq = ? RETURNING id")?
            .query_row(params![ActionStatus::Removed as i64, now.0, by, seq], |row| row.get(0))?;
        ids.push(Some(id));
    }
    Ok(ids)
}

/// Puts a removed item back where it was.
pub fn restore(conn: &Connection, id: &str, key_expires_at: Time, now: Time) -> Result<Restored, StoreError> {
    let Some(found) = find(conn, id)? else { return Ok(Restored::NotFound) };
    if let Some(refused) = found.ensure_free() {
        return Ok(refused);
    }
    match found.status {
        ActionStatus::Removed => {}
        ActionStatus::Pending | ActionStatus::Executing => return Ok(Restored::AlreadySo),
        other => return Ok(Restored::Conflict(format!("it is {other}, not removed"))),
    }
    if let Some(conflict) = reclaim_key(conn, &found, key_expires_at, now)? {
        return Ok(conflict);
    }
    let moved = conn
        .prepare_cached("UPDATE queue SET state = 0, version = version + 1 WHERE seq = ? AND state = 2")?
        .execute([found.seq])?;
    if moved == 0 {
        return Ok(Restored::Conflict("its place in the queue is no longer known".into()));
    }
    reopen(conn, found.seq)?;
    let back = conn
        .prepare_cached(&format!("SELECT {ITEM_COLUMNS} FROM queue q WHERE q.seq = ?"))?
        .query_row([found.seq], item)?;
    Ok(Restored::Back(Box::new(back)))
}

/// Drives a failed item again, with fresh retries, not before `due`. One in doubt is looked for first.
pub fn retry(
    conn: &Connection,
    id: &str,
    due: Option<Time>,
    key_expires_at: Time,
    now: Time,
) -> Result<Restored, StoreError> {
    let Some(found) = find(conn, id)? else { return Ok(Restored::NotFound) };
    if let Some(refused) = found.ensure_free() {
        return Ok(refused);
    }
    match found.status {
        ActionStatus::Failed | ActionStatus::InDoubt => {}
        ActionStatus::Pending | ActionStatus::Executing => return Ok(Restored::AlreadySo),
        other => return Ok(Restored::Conflict(format!("it is {other}, not failed"))),
    }
    if let Some(why) = approvals::forbids(conn, found.seq)? {
        return Ok(Restored::Conflict(why));
    }
    if let Some(conflict) = reclaim_key(conn, &found, key_expires_at, now)? {
        return Ok(conflict);
    }
    let wait = if due.is_some() { Wait::Pace } else { Wait::No };
    let kept = conn
        .prepare_cached(
            "UPDATE queue SET state = 0, queued_at = ?, due = ?, wait = ?, tries = 0, version = version + 1 \
             WHERE seq = ? AND state = 3",
        )?
        .execute(params![now.0, due.map(|due| due.0), wait as i64, found.seq])?;
    if kept == 0 {
        let fresh = Item {
            seq: found.seq,
            platform: found.platform,
            via: None,
            priority: found.priority,
            substitutable: substitutable(found.platform, found.action_type),
            // It waits from now on; when it was accepted stays in its record.
            queued_at: now,
            due,
            wait,
            tries: 0,
            in_doubt: false,
            user: 0,
            workflow: 0,
            batch: 0,
            owned: false,
        };
        insert_queue(conn, &fresh, found.action_type, found.attempts, found.version + 1, Role::Plain)?;
    }
    reopen(conn, found.seq)?;
    let back = conn
        .prepare_cached(&format!("SELECT {ITEM_COLUMNS} FROM queue q WHERE q.seq = ?"))?
        .query_row([found.seq], item)?;
    Ok(Restored::Back(Box::new(back)))
}

struct Found {
    seq: Seq,
    status: ActionStatus,
    action_type: ActionType,
    platform: Platform,
    priority: Priority,
    attempts: u32,
    version: u64,
    key: Option<String>,
    data: Option<String>,
    /// The workflow it belongs to.
    owner: Option<String>,
}

impl Found {
    /// What belongs to a workflow goes on only through it.
    fn ensure_free(&self) -> Option<Restored> {
        let id = self.owner.as_ref()?;
        let words = format!("it belongs to workflow {id}; see `opsctl workflow status {id}`");
        Some(Restored::Conflict(words))
    }
}

fn find(conn: &Connection, id: &str) -> Result<Option<Found>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT a.seq, a.status, a.type, a.platform, a.priority, a.attempts, a.version, a.idempotency_key, \
             p.data, q.state, iif(a.role = 0, NULL, a.workflow_id) FROM actions a LEFT JOIN payloads p USING (seq) \
             LEFT JOIN queue q USING (seq) WHERE a.id = ?",
        )?
        .query_row([id], |row| {
            let executing = row.get::<_, Option<i64>>(9)? == Some(EXECUTING);
            Ok(Found {
                seq: row.get(0)?,
                status: if executing { ActionStatus::Executing } else { word(row, 1)? },
                action_type: word(row, 2)?,
                platform: word(row, 3)?,
                priority: word(row, 4)?,
                attempts: row.get(5)?,
                version: row.get(6)?,
                key: row.get(7)?,
                data: row.get(8)?,
                owner: row.get(10)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// Takes the idempotency key again. `Some` when a later action has it: running both would do the work twice.
fn reclaim_key(conn: &Connection, found: &Found, expires_at: Time, now: Time) -> Result<Option<Restored>, StoreError> {
    let Some(key) = &found.key else { return Ok(None) };
    let holder: Option<(Seq, String)> = conn
        .prepare_cached("SELECT i.seq, a.id FROM idempotency i JOIN actions a USING (seq) WHERE i.key = ?")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match holder {
        Some((seq, _)) if seq == found.seq => Ok(None),
        Some((_, id)) => Ok(Some(Restored::Conflict(format!("action {id} was submitted since with the same key")))),
        None => {
            let data: serde_json::Value =
                found.data.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let fingerprint =
                idempotency::action_fingerprint(found.action_type.as_str(), found.platform.as_str(), &data);
            conn.prepare_cached(
                "INSERT OR REPLACE INTO idempotency (seq, key, fingerprint, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![found.seq, key, fingerprint, now.0, expires_at.0])?;
            Ok(None)
        }
    }
}

fn reopen(conn: &Connection, seq: Seq) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE actions SET status = 0, ended_at = NULL, removed_by = NULL, version = version + 1 WHERE seq = ?",
    )?
    .execute([seq])?;
    Ok(())
}
