//! A copy of a SQLite file that is in use.
//!
//! The copying connection holds one read transaction from its first page to its last, so the copy is of one moment and
//! never has to start again, however much is written meanwhile; writers go on in the log. Pages are handed to the disk
//! in portions, so that a commit's own sync never waits behind the whole copy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

pub(super) use super::super::store::single_file;
use super::super::store::{StoreError, open_reader};
use super::folder::private_file;

/// Pages copied at once; 1 MiB of SQLite's usual pages.
const STEP: i32 = 256;
/// Steps between two syncs of the copy.
const SYNC_EVERY: u32 = 8;

/// Copies the file at `source` to `target`, which must not exist. `told` hears of pages: done and all.
pub(super) fn copy(source: &Path, target: &Path, mut told: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    let written = |e: &std::io::Error| StoreError::io("write", target, e);
    let file = private_file(target).map_err(|e| written(&e))?;
    let from = open_reader(source)?;
    let view = from.unchecked_transaction()?;
    // A transaction sees nothing before its first read.
    view.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut to = Connection::open(target)?;
    // Half a copy is thrown away, so it needs no journal; it is synced below.
    to.pragma_update(None, "journal_mode", "OFF")?;
    to.pragma_update(None, "synchronous", "OFF")?;
    {
        let backup = Backup::new(&view, &mut to)?;
        let mut steps = 0;
        loop {
            let step = backup.step(STEP)?;
            let progress = backup.progress();
            let all = u64::try_from(progress.pagecount).unwrap_or(0);
            told(all - u64::try_from(progress.remaining).unwrap_or(0).min(all), all);
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
            steps += 1;
            if steps % SYNC_EVERY == 0 {
                file.sync_data().map_err(|e| written(&e))?;
            }
        }
    }
    single_file(&to)?;
    to.close().map_err(|(_, error)| StoreError::from(error))?;
    file.sync_all().map_err(|e| written(&e))
}

/// Rows of each table. A table that cannot be counted is left out: a damaged store can still be kept.
pub(super) fn rows(conn: &Connection) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut query = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let tables: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let count = |table: &String| {
        let sql = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
        conn.query_row(&sql, [], |row| row.get(0)).ok()
    };
    Ok(tables.iter().filter_map(|table| Some((table.clone(), count(table)?))).collect())
}

/// Brings the live file's log into it on a connection of its own, so that no commit has to.
pub(super) fn bring_in_log(source: &Path) -> Result<(), StoreError> {
    let conn = Connection::open(source)?;
    for _ in 0..4 {
        let (pages, done): (i64, i64) =
            conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
        // What came meanwhile is little, and the next commits deal with it as always.
        if pages - done < super::super::store::CHECKPOINT_PAGES {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::scratch;

    #[test]
    fn a_copy_is_of_one_moment_however_much_is_written_meanwhile() {
        let dir = scratch("snapshot");
        let (source, target) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let live = Connection::open(&source).unwrap();
        live.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB);
             WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < 4000)
             INSERT INTO t SELECT n, zeroblob(2000) FROM c;",
        )
        .unwrap();
        let mut steps = 0;
        copy(&source, &target, |_, _| {
            steps += 1;
            // A row goes and another comes between any two steps.
            live.execute_batch("DELETE FROM t WHERE n = (SELECT min(n) FROM t); INSERT INTO t VALUES (NULL, x'01')")
                .unwrap();
        })
        .unwrap();
        assert!(steps > 4, "too small to show anything: {steps} steps");
        let copied = Connection::open(&target).unwrap();
        let (least, rows): (i64, i64) =
            copied.query_row("SELECT min(n), count(*) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!((least, rows), (1, 4000));
        assert_eq!(super::rows(&copied).unwrap()["t"], 4000);
        drop(copied);
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(!names.iter().any(|n| n.to_string_lossy().starts_with("b.db-")), "{names:?}");
    }
}
