//! What the service remembers beside actions: circuits and their history, pauses, authentication, old rows to drop.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::word;
use super::{StoreError, keys};
use crate::engine::circuit::Saved;
use crate::engine::queue::Seq;
use crate::wire::{CircuitTransition, Pause, PauseScope, Platform, Time};

/// How long finished actions and dead letters are kept.
pub const KEEP_ACTIONS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long circuit transitions are kept.
pub const KEEP_TRANSITIONS: Duration = Duration::from_secs(90 * 24 * 3600);
/// Actions kept at most, whatever their age.
const KEEP_ROWS: i64 = 1_000_000;
/// Rows dropped per transaction, so that work never waits for housekeeping.
const PRUNE_STEP: i64 = 2000;

/// Keeps a circuit's state, and the transition that led there.
pub fn save_circuit(
    conn: &Connection,
    platform: Platform,
    saved: &Saved,
    moved: &[CircuitTransition],
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO circuits (platform, opened_at, failure_count, last_failure, version) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (platform) DO UPDATE SET opened_at = excluded.opened_at, failure_count = excluded.failure_count, \
         last_failure = excluded.last_failure, version = excluded.version WHERE excluded.version >= version",
    )?
    .execute(params![
        platform as i64,
        saved.opened_at.map(|at| at.0),
        saved.failure_count,
        saved.last_failure.map(|at| at.0),
        saved.version,
    ])?;
    for step in moved {
        conn.prepare_cached(
            "INSERT INTO circuit_transitions (at, platform, from_state, to_state, reason, failure_count) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            step.at.0,
            step.platform as i64,
            step.from as i64,
            step.to as i64,
            step.reason,
            step.failure_count,
        ])?;
    }
    Ok(())
}

/// Circuits as they were kept.
pub fn circuits(conn: &Connection) -> Result<Vec<(Platform, Saved)>, StoreError> {
    let mut query = conn.prepare("SELECT platform, opened_at, failure_count, last_failure, version FROM circuits")?;
    let rows = query.query_map([], |row| {
        let saved = Saved {
            opened_at: row.get::<_, Option<i64>>(1)?.map(Time),
            failure_count: row.get(2)?,
            last_failure: row.get::<_, Option<i64>>(3)?.map(Time),
            version: row.get(4)?,
        };
        Ok((word(row, 0)?, saved))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Transitions, newest first.
pub fn transitions(
    conn: &Connection,
    platform: Option<Platform>,
    since: Option<Time>,
    limit: u64,
) -> Result<Vec<CircuitTransition>, StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT at, platform, from_state, to_state, reason, failure_count FROM circuit_transitions \
         WHERE (?1 IS NULL OR platform = ?1) AND (?2 IS NULL OR at >= ?2) ORDER BY id DESC LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query.query_map(params![platform.map(|p| p as i64), since.map(|at| at.0), limit], |row| {
        Ok(CircuitTransition {
            at: Time(row.get(0)?),
            platform: word(row, 1)?,
            from: word(row, 2)?,
            to: word(row, 3)?,
            reason: row.get(4)?,
            failure_count: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Pauses in force, oldest first.
pub fn pauses(conn: &Connection) -> Result<Vec<Pause>, StoreError> {
    let mut query = conn.prepare("SELECT scope, owner, reason, since FROM pauses ORDER BY since")?;
    let rows = query.query_map([], |row| {
        Ok(Pause { scope: word(row, 0)?, owner: row.get(1)?, reason: row.get(2)?, since: Time(row.get(3)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keeps a pause.
pub fn pause(conn: &Connection, pause: &Pause) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO pauses (scope, owner, reason, since) VALUES (?, ?, ?, ?)")?
        .execute(params![pause.scope as i64, pause.owner, pause.reason, pause.since.0])?;
    Ok(())
}

/// Ends pauses.
pub fn resume(conn: &Connection, scopes: &[PauseScope]) -> Result<(), StoreError> {
    for scope in scopes {
        conn.prepare_cached("DELETE FROM pauses WHERE scope = ?")?.execute([*scope as i64])?;
    }
    Ok(())
}

/// What is remembered of a platform's authentication.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedAuth {
    /// The last time a credential was accepted.
    pub last_success: Option<Time>,
    /// Who the platform said we are.
    pub identity: Option<String>,
    /// Why the last look was refused; `None` when it was not.
    pub refusal: Option<String>,
}

/// Remembers a platform's answer to who we are.
pub fn save_auth(conn: &Connection, platform: Platform, auth: &SavedAuth) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO auth (platform, last_success_at, identity, refusal) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![platform as i64, auth.last_success.map(|at| at.0), auth.identity, auth.refusal])?;
    Ok(())
}

/// What is remembered of all of them.
pub fn auths(conn: &Connection) -> Result<Vec<(Platform, SavedAuth)>, StoreError> {
    let mut query = conn.prepare("SELECT platform, last_success_at, identity, refusal FROM auth")?;
    let rows = query.query_map([], |row| {
        let auth = SavedAuth {
            last_success: row.get::<_, Option<i64>>(1)?.map(Time),
            identity: row.get(2)?,
            refusal: row.get(3)?,
        };
        Ok((word(row, 0)?, auth))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Drops a bounded number of rows that are too old. Gives how many actions went and where to go on, if there is more.
pub fn prune(conn: &Connection, from: Seq, now: Time) -> Result<(u64, Option<Seq>), StoreError> {
    conn.execute("DELETE FROM circuit_transitions WHERE at < ?", [now.minus(KEEP_TRANSITIONS).0])?;
    let more_keys = keys::prune(conn, now.minus(KEEP_ACTIONS), now, PRUNE_STEP)?;
    let newest: Seq = conn.query_row("SELECT coalesce(max(seq), 0) FROM actions", [], |row| row.get(0))?;
    let oldest_allowed = now.minus(KEEP_ACTIONS).0;
    let mut query = conn.prepare_cached("SELECT seq, ended_at FROM actions WHERE seq > ? ORDER BY seq LIMIT ?")?;
    let looked: Vec<(Seq, Option<i64>)> =
        query.query_map([from, PRUNE_STEP], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut dropped = 0;
    let (mut next, mut young) = (from, false);
    for (seq, ended_at) in looked {
        next = seq;
        // What waits or runs is kept, however old.
        let Some(ended_at) = ended_at else { continue };
        // Actions are in the order of acceptance: behind the first young one nothing is old enough.
        young = ended_at >= oldest_allowed && seq > newest - KEEP_ROWS;
        if young {
            break;
        }
        conn.prepare_cached("DELETE FROM payloads WHERE seq = ?")?.execute([seq])?;
        conn.prepare_cached("DELETE FROM queue WHERE seq = ? AND state IN (2, 3)")?.execute([seq])?;
        conn.prepare_cached("DELETE FROM approvals WHERE seq = ?")?.execute([seq])?;
        conn.prepare_cached("DELETE FROM actions WHERE seq = ?")?.execute([seq])?;
        dropped += 1;
    }
    let more = (next > from && !young) || more_keys;
    Ok((dropped, more.then_some(next)))
}

/// Writes a probe row and reads it back.
pub fn probe(conn: &Connection, value: &str) -> Result<bool, StoreError> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES ('probe', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute([value])?;
    let read: Option<String> = conn
        .prepare_cached("SELECT value FROM meta WHERE key = 'probe'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(read.as_deref() == Some(value))
}
