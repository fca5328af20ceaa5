//! The store a restore puts in place: a backup, blended with what must not be forgotten since.
//!
//! Going back in the store does not go back on the platforms. So what was under way when the backup was made, and has
//! moved since, is taken as it is now; an action of which nothing is known now is looked for before it is sent; and the
//! keys of what was accepted and ran since stay known. All of it is SQL between files, before anything live is touched.

use std::path::Path;

use rusqlite::Connection;

use super::super::store::workflows::Moment;
use super::super::store::{StoreError, open_reader};
use super::{flows, snapshot};
use crate::wire::{ActionStatus, ActionType, Platform, RestoreEffects, RestoreScope};

/// Tables whose rows belong to an action, by its place.
const OF_ACTIONS: [&str; 4] = ["payloads", "queue", "idempotency", "approvals"];

/// The names of the two stores on a connection that has both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    /// The backup's.
    pub then: &'static str,
    /// The one that is replaced.
    pub now: &'static str,
}

/// Makes `then`, the backup's store with today's schema, what replaces `now`. What waits in an untouched one was not sent
/// since.
pub(super) fn everything(
    then: &Path,
    now: &Path,
    untouched: bool,
    moment: &Moment,
) -> Result<RestoreEffects, StoreError> {
    let names = Names { then: "main", now: "now" };
    let mut conn = Connection::open(then)?;
    attach(&conn, now, names.now)?;
    let readable = open_reader(now)?;
    let tx = conn.transaction()?;
    let mut effects = compare(&tx, names, RestoreScope::Everything)?;
    let moved = flows::merge(&tx, names, &readable)?;
    pair(
        &tx,
        "SELECT m.seq AS here, n.seq AS there FROM main.actions m JOIN now.actions n ON n.id = m.id WHERE m.status <> 2",
    )?;
    take_over(&tx, names.now, true)?;
    effects.looked_for = if untouched { 0 } else { look_first(&tx, "seq NOT IN (SELECT here FROM temp.pair)")? };
    // Behind everything that is there, so that no place is taken twice.
    let behind = "n.seq + (SELECT coalesce(max(seq), 0) FROM main.actions) AS here, n.seq AS there";
    let is_new = "NOT EXISTS (SELECT 1 FROM main.actions m WHERE m.id = n.id)";
    pair(
        &tx,
        &format!(
            "SELECT {behind} FROM now.actions n WHERE {is_new} AND (n.role > 0 AND n.workflow_id IN \
             (SELECT id FROM temp.moved) OR n.role = 0 AND n.status IN (2, 4) AND EXISTS (SELECT 1 FROM \
             now.idempotency k WHERE k.seq = n.seq AND k.key NOT IN (SELECT key FROM main.idempotency)))"
        ),
    )?;
    take_over(&tx, names.now, false)?;
    tx.execute_batch("DELETE FROM main.pauses; INSERT INTO main.pauses SELECT * FROM now.pauses;")?;
    flows::rebuild(&tx, &moved, moment)?;
    tx.commit()?;
    drop(readable);
    conn.execute_batch("DETACH now")?;
    snapshot::single_file(&conn)?;
    Ok(effects)
}

/// Puts the workflows of `then` into `next`, a copy of the store that is replaced.
pub(super) fn workflows(
    then: &Path,
    now: &Path,
    next: &Path,
    untouched: bool,
    moment: &Moment,
) -> Result<RestoreEffects, StoreError> {
    let names = Names { then: "backup", now: "main" };
    let mut conn = Connection::open(next)?;
    attach(&conn, then, names.then)?;
    let readable = open_reader(now)?;
    let tx = conn.transaction()?;
    let mut effects = compare(&tx, names, RestoreScope::Workflows)?;
    let moved = flows::merge(&tx, names, &readable)?;
    flows::withdraw(&tx, moment.now)?;
    pair(
        &tx,
        &format!(
            "SELECT n.seq + (SELECT coalesce(max(seq), 0) FROM main.actions) AS here, n.seq AS there FROM backup.actions n \
             WHERE n.role > 0 AND n.workflow_id IN (SELECT id FROM main.workflows WHERE status IN ({})) \
             AND NOT EXISTS (SELECT 1 FROM main.actions m WHERE m.id = n.id)",
            flows::UNDER_WAY
        ),
    )?;
    take_over(&tx, names.then, false)?;
    effects.looked_for = if untouched { 0 } else { look_first(&tx, "seq IN (SELECT here FROM temp.pair)")? };
    flows::rebuild(&tx, &moved, moment)?;
    tx.commit()?;
    drop(readable);
    conn.execute_batch("DETACH backup")?;
    snapshot::single_file(&conn)?;
    Ok(effects)
}

/// Counts what going back from one store to the other changes. The backup may have an older schema.
pub(super) fn compare(conn: &Connection, names: Names, scope: RestoreScope) -> Result<RestoreEffects, StoreError> {
    let Names { then, now } = names;
    let count = |sql: String| -> Result<u64, StoreError> { Ok(conn.query_row(&sql, [], |row| row.get(0))?) };
    let mut effects = RestoreEffects::default();
    let of_now = |which: &str| count(format!("SELECT count(*) FROM {now}.workflows n WHERE {which}"));
    let has_workflows = has_workflows(conn, then)?;
    let kept = flows::is_kept(then, has_workflows);
    effects.workflows_kept = of_now(&kept)?;
    effects.workflows_gone = of_now(&format!("{} AND NOT ({kept})", flows::is_since(then, has_workflows)))?;
    if has_workflows {
        effects.workflows_lost = of_now(&format!(
            "NOT EXISTS (SELECT 1 FROM {then}.workflows m WHERE m.id = n.id) \
             AND NOT ({})",
            flows::is_since(then, true)
        ))?;
        effects.workflows_back = count(format!(
            "SELECT count(*) FROM {now}.workflows n JOIN {then}.workflows m USING (id) \
             WHERE m.version <> n.version AND m.status NOT IN ({})",
            flows::UNDER_WAY
        ))?;
    }
    if scope == RestoreScope::Workflows {
        return Ok(effects);
    }
    let gone = format!(
        "FROM {now}.actions n WHERE n.role = 0 AND NOT EXISTS (SELECT 1 FROM {then}.actions m WHERE m.id = n.id)"
    );
    effects.waiting_gone = count(format!("SELECT count(*) {gone} AND n.ended_at IS NULL"))?;
    effects.ended_gone = count(format!("SELECT count(*) {gone} AND n.ended_at IS NOT NULL"))?;
    effects.keys_kept = count(format!(
        "SELECT count(*) {gone} AND n.status IN (2, 4) AND n.seq IN (SELECT seq FROM {now}.idempotency)"
    ))?;
    effects.kept_as_they_are = count(format!(
        "SELECT count(*) FROM {then}.actions m JOIN {now}.actions n ON n.id = m.id \
         LEFT JOIN {then}.queue q ON q.seq = m.seq LEFT JOIN {now}.queue w ON w.seq = n.seq \
         WHERE m.status <> 2 AND (m.status <> n.status OR q.version IS NOT w.version)"
    ))?;
    effects.looked_for = count(format!(
        "SELECT count(*) FROM {then}.queue q JOIN {then}.actions m USING (seq) \
         WHERE q.state < 2 AND NOT EXISTS (SELECT 1 FROM {now}.actions n WHERE n.id = m.id)"
    ))?;
    Ok(effects)
}

/// Notes which action of `main` is which one of another store.
fn pair(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.execute_batch(&format!(
        "DROP TABLE IF EXISTS temp.pair; CREATE TEMP TABLE pair (here INTEGER PRIMARY KEY, there INTEGER); \
         INSERT INTO temp.pair {sql};"
    ))?;
    Ok(())
}

/// Brings the paired actions over, in place of those that are there or beside them.
fn take_over(conn: &Connection, from: &str, replace: bool) -> Result<(), StoreError> {
    for table in std::iter::once("actions").chain(OF_ACTIONS) {
        if replace {
            conn.execute(&format!("DELETE FROM main.{table} WHERE seq IN (SELECT here FROM temp.pair)"), [])?;
        }
        let columns = columns(conn, table)?;
        let theirs: Vec<String> = columns.iter().map(|column| format!("t.{column}")).collect();
        // A key that another action holds by now stays with that one.
        conn.execute(
            &format!(
                "INSERT OR IGNORE INTO main.{table} (seq, {}) SELECT p.here, {} \
                 FROM temp.pair p JOIN {from}.{table} t ON t.seq = p.there ORDER BY p.here",
                columns.join(", "),
                theirs.join(", ")
            ),
            [],
        )?;
    }
    Ok(())
}

/// Marks what waits and may have been sent since: it is looked for first. What cannot be recognised without having been
/// prepared (a file's id, a sheet's range) is left to a person.
pub(super) fn look_first(conn: &Connection, which: &str) -> Result<u64, StoreError> {
    let kinds = |platform: Platform, kinds: [ActionType; 2]| {
        format!("platform = {} AND type IN ({}, {})", platform as i64, kinds[0] as i64, kinds[1] as i64)
    };
    let (files, rows) = (
        kinds(Platform::Drive, [ActionType::Create, ActionType::File]),
        kinds(Platform::Sheets, [ActionType::Create, ActionType::Log]),
    );
    let unknowable = format!("role = 0 AND prepared IS NULL AND ({files} OR {rows})");
    let left = conn.execute(
        &format!(
            "UPDATE main.queue SET state = 3, in_doubt = 1, due = NULL WHERE state < 2 AND {which} AND {unknowable}"
        ),
        [],
    )?;
    conn.execute(
        "UPDATE main.actions SET status = ?, ended_at = queued_at, version = version + 1 \
         WHERE status = 0 AND seq IN (SELECT seq FROM main.queue WHERE state = 3)",
        [ActionStatus::InDoubt as i64],
    )?;
    let looked = conn.execute(
        &format!(
            "UPDATE main.queue SET in_doubt = 1, intent_at = coalesce(intent_at, queued_at), version = version + 1 \
             WHERE state < 2 AND {which}"
        ),
        [],
    )?;
    Ok((left + looked) as u64)
}

/// A table's columns, without its key.
fn columns(conn: &Connection, table: &str) -> Result<Vec<String>, StoreError> {
    let mut query = conn.prepare("SELECT name FROM pragma_table_info(?, 'main') WHERE name <> 'seq'")?;
    let rows = query.query_map([table], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn has_workflows(conn: &Connection, schema: &str) -> Result<bool, StoreError> {
    let sql = format!("SELECT count(*) FROM {schema}.sqlite_schema WHERE type = 'table' AND name = 'workflows'");
    Ok(conn.query_row(&sql, [], |row| row.get::<_, i64>(0))? > 0)
}

/// Makes another store's tables visible under a name.
pub(super) fn attach(conn: &Connection, path: &Path, name: &str) -> Result<(), StoreError> {
    let path = path.to_str().ok_or_else(|| StoreError::Other(format!("{} is not UTF-8", path.display())))?;
    conn.execute(&format!("ATTACH ? AS {name}"), [path])?;
    Ok(())
}
