//! Tables and how they came to be: `user_version` counts the migrations a file has seen.
//!
//! `actions` has one row per action in whatever state and is small; the parameters are in `payloads`, read when an action
//! runs; `queue` has a row only for what waits, runs, was removed or is in doubt, so that a start reads little.

use std::io::Read;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::StoreError;

/// Each entry takes a file from its index to the next version.
const MIGRATIONS: [&str; 4] = [FIRST, APPROVALS, WORKFLOWS, KEYS];

const FIRST: &str = "
CREATE TABLE actions (
    seq             INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    type            INTEGER NOT NULL,
    platform        INTEGER NOT NULL,
    priority        INTEGER NOT NULL,
    status          INTEGER NOT NULL,
    queued_at       INTEGER NOT NULL,
    ended_at        INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,
    execution_ms    INTEGER,
    queue_ms        INTEGER,
    fallback        INTEGER,
    correlation_id  TEXT,
    user_id         TEXT,
    source          TEXT,
    workflow_id     TEXT,
    tags            TEXT,
    idempotency_key TEXT,
    result          TEXT,
    error           TEXT,
    removed_by      TEXT,
    version         INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX actions_dead ON actions (status, ended_at) WHERE status >= 3;
CREATE TABLE payloads (
    seq     INTEGER PRIMARY KEY,
    data    TEXT NOT NULL,
    options TEXT
);
CREATE TABLE queue (
    seq         INTEGER PRIMARY KEY,
    state       INTEGER NOT NULL DEFAULT 0,
    type        INTEGER NOT NULL,
    platform    INTEGER NOT NULL,
    via         INTEGER,
    priority    INTEGER NOT NULL,
    queued_at   INTEGER NOT NULL,
    due         INTEGER,
    wait        INTEGER NOT NULL DEFAULT 0,
    tries       INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    first_at    INTEGER,
    in_doubt    INTEGER NOT NULL DEFAULT 0,
    intent_at   INTEGER,
    user        INTEGER NOT NULL DEFAULT 0,
    workflow    INTEGER NOT NULL DEFAULT 0,
    batch       INTEGER NOT NULL DEFAULT 0,
    prepared    TEXT,
    error       TEXT,
    version     INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE idempotency (
    seq               INTEGER PRIMARY KEY,
    key               TEXT    NOT NULL UNIQUE,
    fingerprint       TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    prevented         INTEGER NOT NULL DEFAULT 0,
    last_prevented_at INTEGER,
    collisions        INTEGER NOT NULL DEFAULT 0,
    last_collision_at INTEGER
);
CREATE TABLE circuits (
    platform      INTEGER PRIMARY KEY,
    opened_at     INTEGER,
    failure_count INTEGER NOT NULL,
    last_failure  INTEGER,
    version       INTEGER NOT NULL
);
CREATE TABLE circuit_transitions (
    id            INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    platform      INTEGER NOT NULL,
    from_state    INTEGER NOT NULL,
    to_state      INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    failure_count INTEGER NOT NULL
);
CREATE TABLE pauses (
    scope  INTEGER PRIMARY KEY,
    owner  TEXT    NOT NULL,
    reason TEXT,
    since  INTEGER NOT NULL
);
CREATE TABLE auth (
    platform        INTEGER PRIMARY KEY,
    last_success_at INTEGER,
    identity        TEXT,
    refusal         TEXT
);
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
";

/// Approvals, and what collided with idempotency keys.
const APPROVALS: &str = "
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
CREATE INDEX idempotency_prevented ON idempotency (last_prevented_at) WHERE prevented > 0;
CREATE INDEX idempotency_collided ON idempotency (last_collision_at) WHERE collisions > 0;
CREATE TABLE collisions (
    id             INTEGER PRIMARY KEY,
    at             INTEGER NOT NULL,
    key            TEXT    NOT NULL,
    action_id      TEXT    NOT NULL,
    fingerprint    TEXT    NOT NULL,
    offered        TEXT    NOT NULL,
    source         TEXT,
    correlation_id TEXT,
    user_id        TEXT
);
CREATE INDEX collisions_key ON collisions (key, id);
CREATE TABLE approvals (
    seq        INTEGER PRIMARY KEY,
    status     INTEGER NOT NULL DEFAULT 0,
    causes     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    reason     TEXT
);
CREATE INDEX approvals_pending ON approvals (expires_at) WHERE status = 0;
CREATE INDEX approvals_decided ON approvals (status, decided_at) WHERE status > 0;
";

/// Workflows: `body` has what is not a column, a listing reads columns alone. `role` says whose a queue item is: nobody's,
/// a step's, or an undo's. Numbers of kinds are places in `WorkflowEventKind::ALL`; 7 to 12 belong to rollbacks.
const WORKFLOWS: &str = "
ALTER TABLE actions ADD COLUMN role INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN role INTEGER NOT NULL DEFAULT 0;
DROP INDEX actions_dead;
CREATE INDEX actions_dead ON actions (status, ended_at) WHERE status >= 3 AND role = 0;
CREATE TABLE workflows (
    seq               INTEGER PRIMARY KEY,
    id                TEXT    NOT NULL UNIQUE,
    status            INTEGER NOT NULL,
    cleared           INTEGER NOT NULL DEFAULT 0,
    version           INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    time_limit        INTEGER NOT NULL,
    deadline          INTEGER,
    name              TEXT    NOT NULL,
    steps             INTEGER NOT NULL,
    failed_step       TEXT,
    code              TEXT,
    error             TEXT,
    compensates       TEXT,
    idempotency_key   TEXT,
    fingerprint       TEXT    NOT NULL,
    key_expires_at    INTEGER,
    prevented         INTEGER NOT NULL DEFAULT 0,
    last_prevented_at INTEGER,
    collisions        INTEGER NOT NULL DEFAULT 0,
    last_collision_at INTEGER,
    body              TEXT    NOT NULL
);
CREATE INDEX workflows_status ON workflows (status, cleared, updated_at);
CREATE INDEX workflows_moved ON workflows (updated_at);
CREATE INDEX workflows_deadline ON workflows (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX workflows_key ON workflows (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX workflows_compensates ON workflows (compensates) WHERE compensates IS NOT NULL;
CREATE TABLE workflow_steps (
    workflow INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    status   INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    PRIMARY KEY (workflow, place)
) WITHOUT ROWID;
CREATE TABLE workflow_events (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    workflow TEXT    NOT NULL,
    kind     INTEGER NOT NULL,
    step     TEXT,
    data     TEXT,
    by       TEXT
);
CREATE INDEX workflow_events_of ON workflow_events (workflow, seq);
CREATE INDEX workflow_events_at ON workflow_events (at);
CREATE INDEX workflow_events_rollback ON workflow_events (seq) WHERE kind BETWEEN 7 AND 12;
";

/// Keys of workflows are listed like those of actions: one owner a key, a listing by index.
const KEYS: &str = "
ALTER TABLE collisions RENAME COLUMN action_id TO owner_id;
ALTER TABLE collisions ADD COLUMN of_workflow INTEGER NOT NULL DEFAULT 0;
UPDATE workflows SET idempotency_key = NULL, key_expires_at = NULL WHERE idempotency_key IS NOT NULL AND seq NOT IN
    (SELECT max(seq) FROM workflows WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key);
CREATE INDEX workflows_key_expiry ON workflows (key_expires_at) WHERE idempotency_key IS NOT NULL;
CREATE INDEX workflows_keyed ON workflows (created_at) WHERE idempotency_key IS NOT NULL;
CREATE INDEX workflows_prevented ON workflows (last_prevented_at) WHERE idempotency_key IS NOT NULL AND prevented > 0;
CREATE INDEX workflows_collided ON workflows (last_collision_at) WHERE idempotency_key IS NOT NULL AND collisions > 0;
";

/// Pages in the log at which a commit brings them into the file.
pub const CHECKPOINT_PAGES: i64 = 4000;

/// The version this program writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// Sets up a writing connection and brings the schema up to date.
pub fn prepare(conn: &mut Connection) -> Result<(), StoreError> {
    conn.set_prepared_statement_cache_capacity(64);
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: the WAL is synced at every commit, so an acknowledged action survives a power cut.
    conn.pragma_update(None, "synchronous", "FULL")?;
    set_checkpoints(conn, true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    migrate(conn)?;
    // Now that the log is whole again, the file has all of it: a start begins with one file.
    checkpoint(conn)
}

/// Whether commits bring the log into the file when it is long.
pub fn set_checkpoints(conn: &Connection, on: bool) -> Result<(), StoreError> {
    Ok(conn.pragma_update(None, "wal_autocheckpoint", if on { CHECKPOINT_PAGES } else { 0 })?)
}

/// Brings the log into the file.
pub fn checkpoint(conn: &Connection) -> Result<(), StoreError> {
    Ok(conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}

/// Makes a database be one file again, without a log beside it.
pub fn single_file(conn: &Connection) -> Result<(), StoreError> {
    let mode: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    match mode.as_str() {
        "delete" => Ok(()),
        other => Err(StoreError::Other(format!("the file stays in journal mode {other}"))),
    }
}

/// Refuses a file that ends before its last page, as after a copy that broke off. To be asked before the file is opened:
/// SQLite rounds half a page up to a whole one, and the first checkpoint would fill it with zeros. A file with a log beside
/// it may be shorter than it says, since the rest is in the log.
pub fn ensure_whole(path: &Path) -> Result<(), StoreError> {
    let failed = |e: std::io::Error| StoreError::io("read", path, &e);
    let log = path.with_extension("db-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    let mut file = match std::fs::File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    let there = file.metadata().map_err(failed)?.len();
    let mut head = [0; 32];
    if there < head.len() as u64 {
        // Empty, or no database at all: SQLite says so.
        return Ok(());
    }
    file.read_exact(&mut head).map_err(failed)?;
    // Bytes 16 and 17 are the page size, where 1 stands for 65536; bytes 28 to 31 the size in pages.
    let page = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let whole = u64::from(u32::from_be_bytes([head[28], head[29], head[30], head[31]])) * page;
    if head.starts_with(b"SQLite format 3\0") && there < whole {
        return Err(StoreError::Corrupt(format!("the file has {there} of {whole} bytes")));
    }
    Ok(())
}

/// A connection that only reads.
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.set_prepared_statement_cache_capacity(32);
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(conn)
}

fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(StoreError::TooNew(format!(
            "the database has schema version {found}, this program knows up to {VERSION}"
        )));
    }
    for step in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", VERSION)?;
    // A row that changes with every start: a file that cannot be written is refused here, not at the first action.
    tx.execute(
        "INSERT INTO meta VALUES ('starts', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
        [],
    )?;
    tx.commit()?;
    Ok(())
}
