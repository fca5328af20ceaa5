//! `metrics.db`: counters by minute for two days and by hour for a hundred.
//!
//! Every write goes to the minute and to its hour in the same transaction, so rolling up is nothing but forgetting
//! minutes, and a question about a month reads hours and no more than an hour of minutes at either end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Url;
use rusqlite::{Connection, ErrorCode as SqliteCode, OpenFlags, OptionalExtension as _, Row, params};

use crate::wire::{ActionType, ErrorCode, Platform, Time};

use super::cells::{ActionCell, ActionKey, HOUR, MINUTE, Pending, RequestCell, floor};
use super::history::add_series;

/// The file in the data folder.
pub(super) const FILE: &str = "metrics.db";
/// How long minutes are kept.
pub(super) const KEEP_MINUTES: Duration = Duration::from_secs(48 * 3600);
/// How long hours are kept: on the last day of a month, the month before and the one to compare it with.
pub(super) const KEEP_HOURS: Duration = Duration::from_secs(100 * 24 * 3600);

/// Each entry takes a file from its index to the next version.
const MIGRATIONS: [&str; 2] = [FIRST, SERIES];
const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// `step` is the length of the stretch that starts at `at`, both in milliseconds. Times summed up are microseconds.
const FIRST: &str = "
    CREATE TABLE actions (
        step INTEGER, at INTEGER, platform TEXT, type TEXT,
        ended INTEGER, succeeded INTEGER, retried INTEGER, retries INTEGER, fell_back INTEGER,
        executed INTEGER, execution_us INTEGER, queued_us INTEGER, histogram BLOB,
        PRIMARY KEY (step, at, platform, type)) WITHOUT ROWID, STRICT;
    CREATE TABLE failures (
        step INTEGER, at INTEGER, platform TEXT, type TEXT, code TEXT, count INTEGER,
        PRIMARY KEY (step, at, platform, type, code)) WITHOUT ROWID, STRICT;
    CREATE TABLE requests (
        step INTEGER, at INTEGER, platform TEXT,
        requests INTEGER, rate_limited INTEGER, failed INTEGER, peak INTEGER,
        PRIMARY KEY (step, at, platform)) WITHOUT ROWID, STRICT;
    CREATE TABLE kept (since INTEGER) STRICT;
";

/// Measures and occurrences; `platform` is empty for what is about none.
const SERIES: &str = "
    CREATE TABLE series (
        step INTEGER, at INTEGER, name TEXT, platform TEXT, count INTEGER, sum REAL, peak REAL,
        PRIMARY KEY (step, at, name, platform)) WITHOUT ROWID, STRICT;
";

/// A stretch of time to read: rows of one step from `from` up to but not including `to`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) step: i64,
    pub(super) from: Time,
    pub(super) to: Time,
}

impl Span {
    /// Minutes only.
    pub(super) fn minutes(from: Time, to: Time) -> Span {
        Span { step: MINUTE, from, to }
    }
}

/// What to read so that `from..to` is covered exactly once. Hours are read where whole hours fit; both ends have to be
/// whole hours when `from` is older than minutes are kept.
pub(super) fn spans(from: Time, to: Time, by_hour: bool) -> Vec<Span> {
    let first_hour = floor(Time(from.0.saturating_add(HOUR - 1)), HOUR);
    let last_hour = floor(to, HOUR);
    let all = if by_hour {
        vec![Span { step: HOUR, from, to }]
    } else if first_hour >= last_hour {
        vec![Span::minutes(from, to)]
    } else {
        vec![
            Span::minutes(from, first_hour),
            Span { step: HOUR, from: first_hour, to: last_hour },
            Span::minutes(last_hour, to),
        ]
    };
    all.into_iter().filter(|span| span.from < span.to).collect()
}

/// How much of the actions to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Detail {
    /// Counts and times.
    Sums,
    /// Failures by code too.
    Failures,
    /// Histograms too; they are most of what there is to read.
    Histograms,
}

/// The open database.
pub(super) struct Store {
    pub(super) db: Connection,
    /// When metrics began to be kept.
    pub(super) since: Time,
    version: i64,
    /// The hour that old rows were last looked for.
    pruned: Time,
}

impl Store {
    /// Opens the file; one that is damaged is set aside as `metrics.db.damaged-…` and its new name returned.
    pub(super) fn open(path: &Path, now: Time) -> anyhow::Result<(Store, Option<String>)> {
        match Store::try_open(path, now) {
            Ok(store) if store.version > SCHEMA_VERSION => {
                bail!("{} was written by a newer version of opsctl (schema {})", path.display(), store.version)
            }
            Ok(store) => Ok((store, None)),
            Err(error) if is_damage(&error) => {
                let aside =
                    set_aside(path, now).with_context(|| format!("cannot set the damaged {} aside", path.display()))?;
                let store = Store::try_open(path, now).with_context(|| format!("cannot create {}", path.display()))?;
                Ok((store, Some(aside)))
            }
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    /// Opens the file only to look: whether its service runs or was killed, nothing is written, not even beside it.
    pub(super) fn look(path: &Path) -> anyhow::Result<Store> {
        let cannot = || format!("cannot read {}", path.display());
        let place = std::path::absolute(path).with_context(cannot)?;
        let mut uri = Url::from_file_path(&place).map_err(|()| anyhow::anyhow!(cannot()))?;
        // After a clean stop all is in the file itself; else the log beside it has the newest.
        let log = place.with_extension("db-wal");
        let unwritten = std::fs::metadata(&log).is_ok_and(|meta| meta.len() > 0);
        uri.set_query(Some(if unwritten { "mode=ro&readonly_shm=1" } else { "immutable=1" }));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(uri.as_str(), flags).with_context(cannot)?;
        db.busy_timeout(Duration::from_secs(2))?;
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).with_context(cannot)?;
        if version != SCHEMA_VERSION {
            bail!("{} was written by another version of opsctl (schema {version})", path.display());
        }
        let since = Time(db.query_row("SELECT since FROM kept", [], |row| row.get(0)).with_context(cannot)?);
        Ok(Store { db, since, version, pruned: Time(0) })
    }

    fn try_open(path: &Path, now: Time) -> rusqlite::Result<Store> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(Duration::from_secs(2))?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "normal")?;
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let missing = usize::try_from(version).ok().and_then(|seen| MIGRATIONS.get(seen..)).unwrap_or_default();
        if !missing.is_empty() {
            let tx = db.transaction()?;
            missing.iter().try_for_each(|step| tx.execute_batch(step))?;
            if version == 0 {
                tx.execute("INSERT INTO kept VALUES (?1)", [now.0])?;
            }
            tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            tx.commit()?;
        }
        let since = Time(db.query_row("SELECT since FROM kept", [], |row| row.get(0))?);
        Ok(Store { db, since, version: version.max(SCHEMA_VERSION), pruned: Time(0) })
    }

    /// Adds what was recorded, all or nothing.
    pub(super) fn write(&mut self, pending: &Pending, now: Time) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        for ((at, platform, action_type), cell) in &pending.actions {
            for step in [MINUTE, HOUR] {
                add_actions(&tx, step, floor(*at, step), (*platform, *action_type), cell)?;
            }
        }
        for ((at, platform), cell) in &pending.requests {
            let minute = add_requests(&tx, MINUTE, *at, *platform, cell, None)?;
            add_requests(&tx, HOUR, floor(*at, HOUR), *platform, cell, Some(minute))?;
        }
        for ((at, series), cell) in &pending.series {
            for step in [MINUTE, HOUR] {
                add_series(&tx, step, floor(*at, step), *series, cell)?;
            }
        }
        let hour = floor(now, HOUR);
        if hour != self.pruned {
            for table in ["actions", "failures", "requests", "series"] {
                let sql = format!("DELETE FROM {table} WHERE step = ?1 AND at < ?2");
                tx.execute(&sql, [MINUTE, hour.minus(KEEP_MINUTES).0])?;
                tx.execute(&sql, [HOUR, hour.minus(KEEP_HOURS).0])?;
            }
        }
        tx.commit()?;
        self.pruned = hour;
        Ok(())
    }

    /// Actions by platform and type.
    pub(super) fn actions(&self, spans: &[Span], detail: Detail) -> anyhow::Result<BTreeMap<ActionKey, ActionCell>> {
        let mut cells: BTreeMap<ActionKey, ActionCell> = BTreeMap::new();
        let mut sums = self.db.prepare_cached(
            "SELECT platform, type, SUM(ended), SUM(succeeded), SUM(retried), SUM(retries), SUM(fell_back),
                    SUM(executed), SUM(execution_us), SUM(queued_us)
             FROM actions WHERE step = ?1 AND at >= ?2 AND at < ?3 GROUP BY platform, type",
        )?;
        let mut failures = self.db.prepare_cached(
            "SELECT platform, type, code, SUM(count)
             FROM failures WHERE step = ?1 AND at >= ?2 AND at < ?3 GROUP BY platform, type, code",
        )?;
        let mut blobs = self
            .db
            .prepare_cached("SELECT platform, type, histogram FROM actions WHERE step = ?1 AND at >= ?2 AND at < ?3")?;
        for span in spans {
            let bounds = params![span.step, span.from.0, span.to.0];
            let mut rows = sums.query(bounds)?;
            while let Some(row) = rows.next()? {
                let Some(key) = action_key(row)? else { continue };
                cells.entry(key).or_default().merge(&ActionCell {
                    ended: row.get(2)?,
                    succeeded: row.get(3)?,
                    retried: row.get(4)?,
                    retries: row.get(5)?,
                    fell_back: row.get(6)?,
                    executed: row.get(7)?,
                    execution_us: row.get(8)?,
                    queued_us: row.get(9)?,
                    ..ActionCell::default()
                });
            }
            if detail == Detail::Failures {
                let mut rows = failures.query(bounds)?;
                while let Some(row) = rows.next()? {
                    let code = ErrorCode::from_wire(row.get_ref(2)?.as_str()?);
                    let (Some(key), Some(code)) = (action_key(row)?, code) else { continue };
                    *cells.entry(key).or_default().failures.entry(code).or_default() += row.get::<_, u64>(3)?;
                }
            }
            if detail == Detail::Histograms {
                let mut rows = blobs.query(bounds)?;
                while let Some(row) = rows.next()? {
                    let Some(key) = action_key(row)? else { continue };
                    cells.entry(key).or_default().histogram.merge_bytes(row.get_ref(2)?.as_blob()?);
                }
            }
        }
        Ok(cells)
    }

    /// Ended and succeeded actions in stretches of `bucket` milliseconds, by start.
    pub(super) fn timeline(
        &self,
        spans: &[Span],
        bucket: i64,
        platform: Option<Platform>,
    ) -> anyhow::Result<BTreeMap<Time, (u64, u64)>> {
        let mut points: BTreeMap<Time, (u64, u64)> = BTreeMap::new();
        let mut sums = self.db.prepare_cached(
            "SELECT at / ?4 * ?4, SUM(ended), SUM(succeeded) FROM actions
             WHERE step = ?1 AND at >= ?2 AND at < ?3 AND (?5 IS NULL OR platform = ?5) GROUP BY 1",
        )?;
        for span in spans {
            let platform = platform.map(Platform::as_str);
            let mut rows = sums.query(params![span.step, span.from.0, span.to.0, bucket, platform])?;
            while let Some(row) = rows.next()? {
                let point = points.entry(Time(row.get(0)?)).or_default();
                point.0 += row.get::<_, u64>(1)?;
                point.1 += row.get::<_, u64>(2)?;
            }
        }
        Ok(points)
    }

    /// Requests by platform, and the busiest minute of each.
    pub(super) fn requests(&self, spans: &[Span]) -> anyhow::Result<BTreeMap<Platform, (RequestCell, u64)>> {
        let mut cells: BTreeMap<Platform, (RequestCell, u64)> = BTreeMap::new();
        let mut sums = self.db.prepare_cached(
            "SELECT platform, SUM(requests), SUM(rate_limited), SUM(failed), MAX(peak)
             FROM requests WHERE step = ?1 AND at >= ?2 AND at < ?3 GROUP BY platform",
        )?;
        for span in spans {
            let mut rows = sums.query(params![span.step, span.from.0, span.to.0])?;
            while let Some(row) = rows.next()? {
                let Ok(platform) = row.get_ref(0)?.as_str()?.parse() else { continue };
                let (cell, peak) = cells.entry(platform).or_default();
                cell.merge(&RequestCell { requests: row.get(1)?, rate_limited: row.get(2)?, failed: row.get(3)? });
                *peak = row.get::<_, u64>(4)?.max(*peak);
            }
        }
        Ok(cells)
    }

    /// Requests minute by minute, as far as minutes are kept.
    pub(super) fn request_minutes(&self, from: Time, to: Time) -> anyhow::Result<BTreeMap<(Time, Platform), u64>> {
        let mut minutes = BTreeMap::new();
        let mut select = self
            .db
            .prepare_cached("SELECT at, platform, requests FROM requests WHERE step = ?1 AND at >= ?2 AND at < ?3")?;
        let mut rows = select.query(params![MINUTE, from.0, to.0])?;
        while let Some(row) = rows.next()? {
            let Ok(platform) = row.get_ref(1)?.as_str()?.parse() else { continue };
            minutes.insert((Time(row.get(0)?), platform), row.get(2)?);
        }
        Ok(minutes)
    }
}

/// The platform and type in the first two columns; `None` for words of another version's.
pub(super) fn action_key(row: &Row<'_>) -> anyhow::Result<Option<ActionKey>> {
    let platform = row.get_ref(0)?.as_str()?.parse::<Platform>();
    let action_type = row.get_ref(1)?.as_str()?.parse::<ActionType>();
    Ok(platform.ok().zip(action_type.ok()))
}

fn add_actions(db: &Connection, step: i64, at: Time, key: ActionKey, cell: &ActionCell) -> rusqlite::Result<()> {
    let (platform, action_type) = (key.0.as_str(), key.1.as_str());
    let mut histogram = cell.histogram.clone();
    let stored: Option<Vec<u8>> = db
        .prepare_cached("SELECT histogram FROM actions WHERE step = ?1 AND at = ?2 AND platform = ?3 AND type = ?4")?
        .query_row(params![step, at.0, platform, action_type], |row| row.get(0))
        .optional()?;
    histogram.merge_bytes(&stored.unwrap_or_default());
    db.prepare_cached(
        "INSERT INTO actions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT DO UPDATE SET
            ended = ended + excluded.ended, succeeded = succeeded + excluded.succeeded,
            retried = retried + excluded.retried, retries = retries + excluded.retries,
            fell_back = fell_back + excluded.fell_back, executed = executed + excluded.executed,
            execution_us = execution_us + excluded.execution_us, queued_us = queued_us + excluded.queued_us,
            histogram = excluded.histogram",
    )?
    .execute(params![
        step,
        at.0,
        platform,
        action_type,
        cell.ended,
        cell.succeeded,
        cell.retried,
        cell.retries,
        cell.fell_back,
        cell.executed,
        cell.execution_us,
        cell.queued_us,
        histogram.to_bytes(),
    ])?;
    for (code, count) in &cell.failures {
        db.prepare_cached(
            "INSERT INTO failures VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?
        .execute(params![step, at.0, platform, action_type, code.as_str(), count])?;
    }
    Ok(())
}

/// Adds to a stretch and gives its requests now. The busiest minute of an hour is the busiest it has been told of; of
/// a minute it is the minute itself.
fn add_requests(
    db: &Connection,
    step: i64,
    at: Time,
    platform: Platform,
    cell: &RequestCell,
    minute: Option<u64>,
) -> rusqlite::Result<u64> {
    let peak = minute.unwrap_or(cell.requests);
    let grown = if minute.is_some() { "MAX(peak, excluded.peak)" } else { "requests + excluded.requests" };
    db.prepare_cached(&format!(
        "INSERT INTO requests VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET peak = {grown},
            requests = requests + excluded.requests, rate_limited = rate_limited + excluded.rate_limited,
            failed = failed + excluded.failed RETURNING requests"
    ))?
    .query_row(params![step, at.0, platform.as_str(), cell.requests, cell.rate_limited, cell.failed, peak], |row| {
        row.get(0)
    })
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(SqliteCode::DatabaseCorrupt | SqliteCode::NotADatabase))
        // Somebody else's tables, or none, under a version of ours.
        || matches!(error, rusqlite::Error::SqlInputError { .. } | rusqlite::Error::QueryReturnedNoRows)
}

/// Renames the file and drops the journal that belonged to it.
fn set_aside(path: &Path, now: Time) -> std::io::Result<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let aside = format!("{name}.damaged-{}", now.0);
    std::fs::rename(path, path.with_file_name(&aside))?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(path.with_file_name(format!("{name}{suffix}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(step: i64, from: i64, to: i64) -> Span {
        Span { step, from: Time(from), to: Time(to) }
    }

    #[test]
    fn hours_are_read_only_where_whole_hours_fit() {
        let (from, to) = (10 * HOUR + 5 * MINUTE, 13 * HOUR + MINUTE);
        assert_eq!(
            spans(Time(from), Time(to), false),
            [span(MINUTE, from, 11 * HOUR), span(HOUR, 11 * HOUR, 13 * HOUR), span(MINUTE, 13 * HOUR, to),]
        );
        assert_eq!(spans(Time(from), Time(11 * HOUR), false), [span(MINUTE, from, 11 * HOUR)]);
        assert_eq!(spans(Time(HOUR), Time(3 * HOUR), false), [span(HOUR, HOUR, 3 * HOUR)]);
        assert_eq!(spans(Time(HOUR), Time(9 * HOUR), true), [span(HOUR, HOUR, 9 * HOUR)]);
        assert_eq!(spans(Time(from), Time(from), false), []);
    }
}
