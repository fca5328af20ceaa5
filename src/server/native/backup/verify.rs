//! Whether a backup can be relied on: its files against its manifest, then a real restore into a scratch folder.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::checks::Lines;
use super::super::store::{self, StoreError};
use super::folder::{Kept, copy_file, measure, no_room, unwritten_io};
use super::snapshot;
use crate::server::backend::Refusal;
use crate::server::jobs::Progress;

/// What a look gave: its lines, and the restored store when all of them are good. That one has today's schema.
pub(super) struct Looked {
    pub lines: Lines,
    pub store: Option<PathBuf>,
}

/// Looks at a backup; the restored store is left in `scratch`. A scratch folder without room says nothing of the backup.
pub(super) fn look(backup: &Kept, scratch: &Path, progress: &Progress) -> Result<Looked, Refusal> {
    let mut lines = Lines::new();
    let store = check(backup, scratch, progress, &mut lines)?;
    Ok(Looked { store: store.filter(|_| lines.all_ok()), lines })
}

/// Adds lines until one is bad enough that the next cannot be.
fn check(backup: &Kept, scratch: &Path, progress: &Progress, lines: &mut Lines) -> Result<Option<PathBuf>, Refusal> {
    let manifest = &backup.manifest;
    let known = store::query::schema_version();
    let made_by = format!("schema {}, made by opsctl {}", manifest.schema_version, manifest.version);
    if manifest.schema_version > known {
        lines.add("version", false, format!("{made_by}: newer than this program, which knows schema {known}"));
        return Ok(None);
    }
    lines.add("version", true, made_by);
    if !compare_files(backup, progress, lines) {
        return Ok(None);
    }

    let restored = scratch.join(store::FILE);
    progress.at("restore", 0, 0);
    let copied = copy_file(&backup.path.join(store::FILE), &restored);
    let copied = copied.map_err(|error| unwritten_io(scratch, &error))?;
    lines.add("scratch restore", true, format!("{copied} bytes"));
    let opened = store::ensure_whole(&restored).and_then(|()| Ok(Connection::open(&restored)?));
    let mut conn = match roomy(opened, scratch)? {
        Ok(conn) => conn,
        Err(error) => {
            lines.add("integrity", false, error.to_string());
            return Ok(None);
        }
    };
    progress.at("integrity", 0, 0);
    let verdict = roomy(integrity(&conn), scratch)?;
    lines.add_result("integrity", verdict.map(|verdict| (verdict == "ok", format!("integrity_check: {verdict}"))));
    progress.at("rows", 0, 0);
    let rows = roomy(snapshot::rows(&conn), scratch)?;
    lines.add_result("rows", rows.map(|rows| differences(&manifest.rows, &rows)));
    if !lines.all_ok() {
        return Ok(None);
    }
    let migrated = store::prepare(&mut conn).and_then(|()| snapshot::single_file(&conn));
    let migrated = roomy(migrated, scratch)?;
    let words = match manifest.schema_version == known {
        true => format!("opens, schema {known}"),
        false => format!("opens, schema {} becomes {known}", manifest.schema_version),
    };
    lines.add_result("start", migrated.map(|()| (true, words)));
    Ok(Some(restored))
}

/// What a step on the restored store gave; that the scratch folder has no room ends the look.
fn roomy<T>(given: Result<T, StoreError>, scratch: &Path) -> Result<Result<T, StoreError>, Refusal> {
    match given {
        Err(StoreError::Full(why)) => Err(no_room(scratch, &why)),
        given => Ok(given),
    }
}

/// Every file the manifest names, with its size and hash.
fn compare_files(backup: &Kept, progress: &Progress, lines: &mut Lines) -> bool {
    let files = &backup.manifest.files;
    let total = files.iter().map(|file| file.bytes).sum();
    let mut before = 0;
    let mut bad = Vec::new();
    if !files.iter().any(|file| file.name == store::FILE) {
        bad.push(format!("{} is not in it", store::FILE));
    }
    for file in files {
        let told = |bytes| progress.at("hash", before + bytes, total);
        match measure(&backup.path.join(&file.name), &file.name, told) {
            Err(error) => bad.push(format!("{}: {error}", file.name)),
            Ok(found) if found.bytes < file.bytes => {
                bad.push(format!("{} is cut off: {} of {} bytes", file.name, found.bytes, file.bytes));
            }
            Ok(found) if found != *file => bad.push(format!("{} was changed: its hash is another", file.name)),
            Ok(_) => {}
        }
        before += file.bytes;
    }
    let detail = match bad.is_empty() {
        true => format!("{0} of {0} as in the manifest, {total} bytes", files.len()),
        false => bad.join("; "),
    };
    lines.add("files", bad.is_empty(), detail);
    bad.is_empty()
}

fn integrity(conn: &Connection) -> Result<String, StoreError> {
    let mut query = conn.prepare("PRAGMA integrity_check(5)")?;
    let lines: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines.join("; "))
}

type Rows = std::collections::BTreeMap<String, u64>;

fn differences(expected: &Rows, found: &Rows) -> (bool, String) {
    let tables = expected.iter().filter(|(table, rows)| found.get(*table) != Some(rows));
    let differences: Vec<String> = tables
        .map(|(table, rows)| match found.get(table) {
            Some(other) => format!("{table}: {other} rows, the manifest says {rows}"),
            None => format!("{table} cannot be read, the manifest says {rows} rows"),
        })
        .collect();
    match differences.is_empty() {
        true => (true, format!("{} rows in {} tables, as in the manifest", found.values().sum::<u64>(), found.len())),
        false => (false, differences.join("; ")),
    }
}
