//! The store a restore puts in place: a backup, blended with what must not be forgotten since.
//!
//! Going back in the store does not go back on the platforms. So an action that waited when the backup was made and has
//! run since is taken as it is now; one of which nothing is known now is looked for before it is sent; and the keys of
//! what was accepted and ran since stay known. All of it is SQL between files, done before anything live is touched.

use std::path::Path;

use rusqlite::Connection;

use super::super::store::StoreError;
use super::snapshot;
use crate::wire::{RestoreEffects, RestoreScope};

/// Tables whose rows belong to an action, by its place.
const OF_ACTIONS: [&str; 4] = ["payloads", "queue", "idempotency", "approvals"];

/// The restored store of a backup: `then` is the backup's store with today's schema and becomes the result, `now` the
/// store that is replaced, if it can be read.
pub(super) fn everything(then: &Path, now: Option<&Path>) -> Result<RestoreEffects, StoreError> {
    let mut conn = Connection::open(then)?;
    let effects = match now {
        None => {
            let tx = conn.transaction()?;
            let looked_for = look_first(&tx, "1")?;
            tx.commit()?;
            RestoreEffects { looked_for, ..RestoreEffects::default() }
        }
        Some(now) => {
            attach(&conn, now, "now")?;
            let tx = conn.transaction()?;
            let mut effects = compare(&tx, RestoreScope::Everything)?;
            pair(
                &tx,
                "SELECT m.seq AS here, n.seq AS there FROM main.queue q JOIN main.actions m USING (seq) \
                 JOIN now.actions n ON n.id = m.id",
            )?;
            take_over(&tx, true)?;
            effects.looked_for = look_first(&tx, "seq NOT IN (SELECT here FROM pair)")?;
            // Behind everything that is there, so that no place is taken twice.
            pair(
                &tx,
                "SELECT n.seq + (SELECT coalesce(max(seq), 0) FROM main.actions) AS here, n.seq AS there \
                 FROM now.actions n WHERE n.status IN (2, 4) AND n.seq IN (SELECT seq FROM now.idempotency) \
                 AND NOT EXISTS (SELECT 1 FROM main.actions m WHERE m.id = n.id) \
                 AND NOT EXISTS (SELECT 1 FROM main.idempotency i JOIN now.idempotency k USING (key) WHERE k.seq = n.seq)",
            )?;
            take_over(&tx, false)?;
            tx.execute_batch("DELETE FROM main.pauses; INSERT INTO main.pauses SELECT * FROM now.pauses;")?;
            tx.commit()?;
            conn.execute_batch("DETACH now")?;
            effects
        }
    };
    snapshot::single_file(&conn)?;
    Ok(effects)
}

/// Counts what going back from `now` (attached or main, named by the schema `now`) to the other would change.
pub(super) fn compare(conn: &Connection, scope: RestoreScope) -> Result<RestoreEffects, StoreError> {
    let count = |sql: &str| -> Result<u64, StoreError> { Ok(conn.query_row(sql, [], |row| row.get(0))?) };
    let mut effects = RestoreEffects::default();
    if has_table(conn, "main", "workflows")? && has_table(conn, "now", "workflows")? {
        effects.workflows_gone = count(
            "SELECT count(*) FROM now.workflows n WHERE NOT EXISTS (SELECT 1 FROM main.workflows m WHERE m.id = n.id)",
        )?;
        effects.workflows_back = count(
            "SELECT count(*) FROM now.workflows n JOIN main.workflows m USING (id) \
             WHERE m.version <> n.version OR m.updated_at <> n.updated_at",
        )?;
    }
    if scope == RestoreScope::Workflows {
        return Ok(effects);
    }
    let gone = "FROM now.actions n WHERE NOT EXISTS (SELECT 1 FROM main.actions m WHERE m.id = n.id)";
    effects.waiting_gone = count(&format!("SELECT count(*) {gone} AND n.ended_at IS NULL"))?;
    effects.ended_gone = count(&format!("SELECT count(*) {gone} AND n.ended_at IS NOT NULL"))?;
    effects.keys_kept =
        count(&format!("SELECT count(*) {gone} AND n.status IN (2, 4) AND n.seq IN (SELECT seq FROM now.idempotency)"))?;
    let waited = "FROM main.queue q JOIN main.actions m USING (seq)";
    effects.kept_as_they_are = count(&format!(
        "SELECT count(*) {waited} JOIN now.actions n ON n.id = m.id LEFT JOIN now.queue w ON w.seq = n.seq \
         WHERE w.seq IS NULL OR w.state <> q.state OR w.version <> q.version"
    ))?;
    effects.looked_for = count(&format!(
        "SELECT count(*) {waited} WHERE q.state < 2 AND NOT EXISTS (SELECT 1 FROM now.actions n WHERE n.id = m.id)"
    ))?;
    Ok(effects)
}

/// Notes which action of `main` is which one of `now`.
fn pair(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.execute_batch(&format!(
        "DROP TABLE IF EXISTS temp.pair; CREATE TEMP TABLE pair (here INTEGER PRIMARY KEY, there INTEGER); \
         INSERT INTO temp.pair {sql};"
    ))?;
    Ok(())
}

/// Brings the paired actions over from `now`, whether they are there already or not.
fn take_over(conn: &Connection, replace: bool) -> Result<(), StoreError> {
    for table in std::iter::once("actions").chain(OF_ACTIONS) {
        if replace {
            conn.execute(&format!("DELETE FROM main.{table} WHERE seq IN (SELECT here FROM temp.pair)"), [])?;
        }
        let columns = columns(conn, table)?;
        let of_now: Vec<String> = columns.iter().map(|column| format!("t.{column}")).collect();
        // A key that another action holds by now stays with that one.
        conn.execute(
            &format!(
                "INSERT OR IGNORE INTO main.{table} (seq, {}) SELECT p.here, {} \
                 FROM temp.pair p JOIN now.{table} t ON t.seq = p.there ORDER BY p.here",
                columns.join(", "),
                of_now.join(", ")
            ),
            [],
        )?;
    }
    Ok(())
}

/// Marks what waits and may have been sent since: it is looked for first. What cannot be recognised without having been
/// prepared (a file's id, a sheet's range) is left to a person.
fn look_first(conn: &Connection, which: &str) -> Result<u64, StoreError> {
    let (drive, sheets) = (crate::wire::Platform::Drive as i64, crate::wire::Platform::Sheets as i64);
    let types = |types: [crate::wire::ActionType; 2]| types.map(|t| (t as i64).to_string()).join(", ");
    let prepared = format!(
        "prepared IS NULL AND ((platform = {drive} AND type IN ({})) OR (platform = {sheets} AND type IN ({})))",
        types([crate::wire::ActionType::Create, crate::wire::ActionType::File]),
        types([crate::wire::ActionType::Create, crate::wire::ActionType::Log]),
    );
    let doubtful = crate::wire::ActionStatus::InDoubt as i64;
    let left = conn.execute(
        &format!("UPDATE main.queue SET state = 3, in_doubt = 1, due = NULL WHERE state < 2 AND {which} AND {prepared}"),
        [],
    )?;
    if left > 0 {
        let sql = "UPDATE main.actions SET status = ?, ended_at = queued_at, version = version + 1 \
                   WHERE status = 0 AND seq IN (SELECT seq FROM main.queue WHERE state = 3)";
        conn.execute(sql, [doubtful])?;
    }
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

fn has_table(conn: &Connection, schema: &str, table: &str) -> Result<bool, StoreError> {
    let sql = format!("SELECT count(*) FROM {schema}.sqlite_schema WHERE type = 'table' AND name = ?");
    Ok(conn.query_row(&sql, [table], |row| row.get::<_, i64>(0))? > 0)
}

/// Makes another store's tables visible under a name.
pub(super) fn attach(conn: &Connection, path: &Path, name: &str) -> Result<(), StoreError> {
    let path = path.to_str().ok_or_else(|| StoreError::Other(format!("{} is not UTF-8", path.display())))?;
    conn.execute(&format!("ATTACH ? AS {name}"), [path])?;
    Ok(())
}
