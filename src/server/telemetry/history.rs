//! What was recorded between two moments, by hour or by day: actions, requests, what was measured, what happened.

use std::collections::BTreeMap;

use anyhow::Context as _;
use rusqlite::{Connection, params};

use super::cells::{ActionCell, DAY, HOUR, RequestCell, Series, SeriesCell, floor};
use super::metrics::{Metrics, Window, rows, sum};
use super::store::{Detail, Span, Store};
use crate::wire::{
    ActionPoint, Bucket, Measure, MetricHistory, Occurrence, OccurrencePoint, Platform, RequestPoint, SamplePoint, Time,
};

/// Adds to a stretch of a series.
pub(super) fn add_series(
    db: &Connection,
    step: i64,
    at: Time,
    series: Series,
    cell: &SeriesCell,
) -> rusqlite::Result<()> {
    let (name, platform) = match series {
        Series::Measure(measure) => (measure.as_str(), ""),
        Series::Occurrence(what, platform) => (what.as_str(), platform.map_or("", Platform::as_str)),
    };
    db.prepare_cached(
        "INSERT INTO series VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
            count = count + excluded.count, sum = sum + excluded.sum, peak = MAX(peak, excluded.peak)",
    )?
    .execute(params![step, at.0, name, platform, cell.count, cell.sum, cell.peak])?;
    Ok(())
}

/// The series of these words; `None` for words of another version's.
fn series_of(name: &str, platform: &str) -> Option<Series> {
    if let Ok(measure) = name.parse::<Measure>() {
        return Some(Series::Measure(measure));
    }
    let platform = if platform.is_empty() { None } else { Some(platform.parse().ok()?) };
    Some(Series::Occurrence(name.parse::<Occurrence>().ok()?, platform))
}

/// Cells of one kind by bucket.
type Points<K, V> = BTreeMap<(Time, K), V>;

impl Store {
    fn action_points(&self, spans: &[Span], bucket: i64) -> anyhow::Result<Points<Platform, ActionCell>> {
        let mut points: Points<Platform, ActionCell> = BTreeMap::new();
        let mut select = self.db.prepare_cached(
            "SELECT platform, at, ended, succeeded, retried, retries, fell_back, executed, execution_us, queued_us,
                    histogram
             FROM actions WHERE step = ?1 AND at >= ?2 AND at < ?3",
        )?;
        for span in spans {
            let mut found = select.query(params![span.step, span.from.0, span.to.0])?;
            while let Some(row) = found.next()? {
                let Ok(platform) = row.get_ref(0)?.as_str()?.parse() else { continue };
                let cell = points.entry((floor(Time(row.get(1)?), bucket), platform)).or_default();
                cell.ended += row.get::<_, u64>(2)?;
                cell.succeeded += row.get::<_, u64>(3)?;
                cell.retried += row.get::<_, u64>(4)?;
                cell.retries += row.get::<_, u64>(5)?;
                cell.fell_back += row.get::<_, u64>(6)?;
                cell.executed += row.get::<_, u64>(7)?;
                cell.execution_us = cell.execution_us.saturating_add(row.get(8)?);
                cell.queued_us = cell.queued_us.saturating_add(row.get(9)?);
                cell.histogram.merge_bytes(row.get_ref(10)?.as_blob()?);
            }
        }
        Ok(points)
    }

    fn request_points(&self, spans: &[Span], bucket: i64) -> anyhow::Result<Points<Platform, (RequestCell, u64)>> {
        let mut points: Points<Platform, (RequestCell, u64)> = BTreeMap::new();
        let mut select = self.db.prepare_cached(
            "SELECT platform, at, requests, rate_limited, failed, peak
             FROM requests WHERE step = ?1 AND at >= ?2 AND at < ?3",
        )?;
        for span in spans {
            let mut found = select.query(params![span.step, span.from.0, span.to.0])?;
            while let Some(row) = found.next()? {
                let Ok(platform) = row.get_ref(0)?.as_str()?.parse() else { continue };
                let (cell, peak) = points.entry((floor(Time(row.get(1)?), bucket), platform)).or_default();
                cell.merge(&RequestCell { requests: row.get(2)?, rate_limited: row.get(3)?, failed: row.get(4)? });
                *peak = row.get::<_, u64>(5)?.max(*peak);
            }
        }
        Ok(points)
    }

    fn series_points(&self, spans: &[Span], bucket: i64) -> anyhow::Result<Points<Series, SeriesCell>> {
        let mut points: Points<Series, SeriesCell> = BTreeMap::new();
        let mut select = self.db.prepare_cached(
            "SELECT name, platform, at, count, sum, peak FROM series WHERE step = ?1 AND at >= ?2 AND at < ?3",
        )?;
        for span in spans {
            let mut found = select.query(params![span.step, span.from.0, span.to.0])?;
            while let Some(row) = found.next()? {
                let series = series_of(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
                let Some(series) = series else { continue };
                let cell = SeriesCell { count: row.get(3)?, sum: row.get(4)?, peak: row.get(5)? };
                points.entry((floor(Time(row.get(2)?), bucket), series)).or_default().merge(&cell);
            }
        }
        Ok(points)
    }
}

impl Metrics {
    pub(super) fn history(&self, from: Time, to: Time, bucket: Bucket, now: Time) -> anyhow::Result<MetricHistory> {
        let kept_since = self.kept_since(now);
        let window = Window::hours(from.max(floor(kept_since, HOUR)), to.min(now));
        let length = match bucket {
            Bucket::Hour => HOUR,
            Bucket::Day => DAY,
        };
        let rows = rows(self.cells(window, None, Detail::Failures)?);

        let unreadable = "cannot read metrics.db";
        let (store, spans) = (self.store(), window.spans());
        let mut actions = store.action_points(&spans, length).context(unreadable)?;
        let mut requests = store.request_points(&spans, length).context(unreadable)?;
        let mut series = store.series_points(&spans, length).context(unreadable)?;
        {
            let pending = self.pending();
            for ((at, platform, _), cell) in pending.actions.iter().filter(|((at, ..), _)| window.holds(*at)) {
                actions.entry((floor(*at, length), *platform)).or_default().merge(cell);
            }
            for ((at, platform), cell) in pending.requests.iter().filter(|((at, _), _)| window.holds(*at)) {
                let (known, peak) = requests.entry((floor(*at, length), *platform)).or_default();
                known.merge(cell);
                *peak = cell.requests.max(*peak);
            }
            for ((at, name), cell) in pending.series.iter().filter(|((at, _), _)| window.holds(*at)) {
                series.entry((floor(*at, length), *name)).or_default().merge(cell);
            }
        }
        drop(store);

        let mut platforms: BTreeMap<Platform, ActionCell> = BTreeMap::new();
        for ((_, platform), cell) in actions.iter().filter(|(_, cell)| cell.ended > 0) {
            platforms.entry(*platform).or_default().merge(cell);
        }
        let described = |cell: &ActionCell| window.described(cell, kept_since, now);
        let (mut samples, mut occurrences) = (Vec::new(), Vec::new());
        for ((at, name), cell) in series {
            let SeriesCell { count, peak, .. } = cell;
            match name {
                Series::Measure(measure) => {
                    samples.push(SamplePoint { at, measure, samples: count, mean: cell.mean(), peak });
                }
                Series::Occurrence(occurrence, platform) => {
                    occurrences.push(OccurrencePoint { at, occurrence, platform, count });
                }
            }
        }
        Ok(MetricHistory {
            from: window.from,
            to: window.to.min(now).max(window.from),
            kept_since,
            bucket,
            total: described(&sum(platforms.values())),
            platforms: platforms.iter().map(|(platform, cell)| (*platform, described(cell))).collect(),
            rows,
            actions: actions.into_iter().map(action_point).collect(),
            requests: requests.into_iter().map(request_point).collect(),
            samples,
            occurrences,
        })
    }
}

fn action_point(((at, platform), cell): ((Time, Platform), ActionCell)) -> ActionPoint {
    ActionPoint {
        at,
        platform,
        ended: cell.ended,
        succeeded: cell.succeeded,
        avg_execution_time: cell.avg_execution(),
        p95: cell.histogram.quantile(0.95),
    }
}

fn request_point(((at, platform), (cell, peak)): ((Time, Platform), (RequestCell, u64))) -> RequestPoint {
    let RequestCell { requests, rate_limited, failed } = cell;
    RequestPoint { at, platform, requests, rate_limited, failed, peak_per_minute: peak }
}
