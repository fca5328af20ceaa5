//! Workflows in a restored store: those at rest go back to the backup, those under way then are taken as they are now, so
//! that no step of theirs runs twice.

use rusqlite::{Connection, params};

use super::super::store::StoreError;
use super::super::store::workflows::{self, Asked, Moment};
use super::blend::Names;
use crate::wire::{ActionStatus, Time, WorkflowStatus};

/// Places of pending, executing and rolling_back in `WorkflowStatus::ALL`.
pub(super) const UNDER_WAY: &str = "0, 1, 4";

/// Which workflows `n` were accepted since: the backup's log does not know them.
pub(super) fn is_since(then: &str, has_workflows: bool) -> String {
    match has_workflows {
        true => format!("NOT EXISTS (SELECT 1 FROM {then}.workflow_events e WHERE e.workflow = n.id)"),
        false => "TRUE".to_owned(),
    }
}

/// Which of those are kept: with a key, and what they were for is done, or part of it. Without them a repeat would not be
/// recognised and would do it again.
pub(super) fn is_kept(then: &str, has_workflows: bool) -> String {
    let (done, in_part) = (WorkflowStatus::Completed as i64, WorkflowStatus::RollbackFailed as i64);
    let since = is_since(then, has_workflows);
    format!("n.idempotency_key IS NOT NULL AND n.status IN ({done}, {in_part}) AND {since}")
}

/// Replaces the workflows of `main` by the blend of both stores. Gives the ids of those whose state is lost now: their log
/// is there, and [`rebuild`] makes the state from it. `now` reads the replaced store; `temp.moved` has the ids of all that
/// were not taken from the backup.
pub(super) fn merge(conn: &Connection, names: Names, now: &Connection) -> Result<Vec<String>, StoreError> {
    let Names { then, now: current } = names;
    conn.execute_batch(
        "DROP TABLE IF EXISTS temp.moved; CREATE TEMP TABLE moved (id TEXT PRIMARY KEY, lost INTEGER NOT NULL)",
    )?;
    let mut lost = Vec::new();
    let candidates: Vec<String> = conn
        .prepare(&format!(
            "SELECT t.id FROM {then}.workflows t LEFT JOIN {current}.workflows n USING (id) WHERE t.status IN ({UNDER_WAY}) \
             AND n.version IS NOT t.version ORDER BY t.seq"
        ))?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in candidates {
        let is_lost = match workflows::query::state(now, &id) {
            Ok(Some(state)) => {
                // Its own end was entered in the one that it compensates.
                if let Some(of) = state.compensates {
                    keep(conn, &of, false)?;
                }
                false
            }
            // Nothing that can be read is known of it now: it stays as the backup has it.
            _ if !matches!(workflows::query::get(now, &id), Ok(Some(_))) => continue,
            _ => true,
        };
        keep(conn, &id, is_lost)?;
        if is_lost {
            lost.push(id);
        }
    }
    conn.execute(
        &format!(
            "INSERT OR IGNORE INTO temp.moved SELECT n.id, 0 FROM {current}.workflows n WHERE {}",
            is_kept(then, true)
        ),
        [],
    )?;
    // Both in the order of time: places are given anew, since both stores gave the same ones.
    let taken = "id IN (SELECT id FROM temp.moved)";
    conn.execute_batch(&format!(
        "CREATE TEMP TABLE place (seq INTEGER PRIMARY KEY, source TEXT, old INTEGER); \
         INSERT INTO place (source, old) \
             SELECT 'then', seq FROM (SELECT created_at, seq FROM {then}.workflows WHERE NOT {taken}) UNION ALL \
             SELECT 'now', seq FROM (SELECT created_at, seq FROM {current}.workflows WHERE {taken} \
                 AND id NOT IN (SELECT id FROM temp.moved WHERE lost)) ORDER BY 1 DESC, 2; \
         CREATE TEMP TABLE w AS SELECT p.seq AS place, x.* FROM place p JOIN {then}.workflows x ON x.seq = p.old \
             AND p.source = 'then' UNION ALL SELECT p.seq, x.* FROM place p JOIN {current}.workflows x ON x.seq = p.old \
             AND p.source = 'now'; \
         CREATE TEMP TABLE s AS SELECT p.seq AS home, x.* FROM place p JOIN {then}.workflow_steps x ON x.workflow = p.old \
             AND p.source = 'then' UNION ALL SELECT p.seq, x.* FROM place p JOIN {current}.workflow_steps x \
             ON x.workflow = p.old AND p.source = 'now'; \
         CREATE TEMP TABLE e AS SELECT * FROM {then}.workflow_events WHERE workflow NOT IN (SELECT id FROM temp.moved) \
             UNION ALL SELECT * FROM {current}.workflow_events WHERE workflow IN (SELECT id FROM temp.moved); \
         DELETE FROM main.workflows; DELETE FROM main.workflow_steps; DELETE FROM main.workflow_events;"
    ))?;
    refill(conn, "workflows", "seq", "place", "w", "ORDER BY created_at, place")?;
    refill(conn, "workflow_steps", "workflow", "home", "s", "")?;
    refill(conn, "workflow_events", "seq", "NULL", "e", "ORDER BY at, seq")?;
    conn.execute_batch("DROP TABLE temp.place; DROP TABLE temp.w; DROP TABLE temp.s; DROP TABLE temp.e")?;
    Ok(lost)
}

fn keep(conn: &Connection, id: &str, lost: bool) -> Result<(), StoreError> {
    conn.execute("INSERT OR IGNORE INTO temp.moved VALUES (?, ?)", params![id, lost])?;
    Ok(())
}

/// Copies rows from a temporary table, with another value for one column.
fn refill(
    conn: &Connection,
    table: &str,
    column: &str,
    value: &str,
    from: &str,
    order: &str,
) -> Result<(), StoreError> {
    let mut query = conn.prepare("SELECT name FROM pragma_table_info(?, 'main') WHERE name <> ?")?;
    let others: Vec<String> = query.query_map([table, column], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let others = others.join(", ");
    conn.execute(
        &format!("INSERT INTO main.{table} ({column}, {others}) SELECT {value}, {others} FROM temp.{from} {order}"),
        [],
    )?;
    Ok(())
}

/// Takes out what waits for workflows that are not there any more, or are at rest.
pub(super) fn withdraw(conn: &Connection, now: Time) -> Result<(), StoreError> {
    let idle = format!(
        "SELECT seq FROM main.actions WHERE role > 0 AND workflow_id NOT IN \
         (SELECT id FROM main.workflows WHERE status IN ({UNDER_WAY}) UNION SELECT id FROM temp.moved)"
    );
    conn.execute(
        &format!(
            "UPDATE main.actions SET status = ?, ended_at = ?, removed_by = 'a restore' \
             WHERE seq IN (SELECT seq FROM main.queue WHERE role > 0) AND seq IN ({idle})"
        ),
        params![ActionStatus::Removed as i64, now.0],
    )?;
    conn.execute(
        &format!("DELETE FROM main.approvals WHERE seq IN (SELECT seq FROM main.queue) AND seq IN ({idle})"),
        [],
    )?;
    conn.execute(&format!("DELETE FROM main.queue WHERE role > 0 AND seq IN ({idle})"), [])?;
    Ok(())
}

/// Makes lost states from their logs.
pub(super) fn rebuild(conn: &Connection, lost: &[String], moment: &Moment) -> Result<(), StoreError> {
    for id in lost {
        let asked = Asked { id: id.clone(), by: "a restore".to_owned(), if_version: None };
        // The memory is loaded anew afterwards, so nobody has to be told of what moved.
        workflows::rebuild(conn, &asked, moment)?;
    }
    Ok(())
}
