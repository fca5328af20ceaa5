//! Metrics: recorded in memory, written once a second, asked over any window.
//!
//! A window of length `W` is the last `W` worth of whole minutes, the current one included (whole hours, when it
//! reaches back further than minutes are kept): nothing older than `W` is ever counted, and up to one minute at its far
//! end is not. A question reads the database and adds what is not written yet, so it never waits for a write.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::wire::{
    ActionBreakdown, ActionBreakdownRow, ActionMetrics, MetricTotals, Performance, PerformanceWindow, Platform,
    PlatformMetrics, PlatformRequests, RequestMetrics, Time, TimelinePoint,
};

use super::cells::{ActionCell, ActionKey, HOUR, MINUTE, Pending, RequestCell, Series, floor};
use super::records::{CallRecord, EndRecord};
use super::store::{Detail, FILE, KEEP_HOURS, KEEP_MINUTES, Span, Store, spans};

/// Most minutes in the series of `requests`.
const SERIES: u64 = 1440;

/// The windows of `GET /api/actions/metrics` and how long each point of their timeline is.
const TIMELINES: [(&str, i64, i64); 4] =
    [("1h", HOUR, MINUTE), ("6h", 6 * HOUR, 5 * MINUTE), ("24h", 24 * HOUR, 15 * MINUTE), ("7d", 7 * 24 * HOUR, HOUR)];

pub(super) type Cells = BTreeMap<ActionKey, ActionCell>;

/// Counters and the database they end up in.
pub(super) struct Metrics {
    pending: Mutex<Pending>,
    store: Mutex<Store>,
}

/// A part of time, `from` included and `to` not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Time,
    pub(super) to: Time,
    by_hour: bool,
}

impl Window {
    /// The last `length`, in minutes if they are kept for `reach`.
    fn last(length: Duration, reach: Duration, now: Time) -> Window {
        let by_hour = reach > KEEP_MINUTES;
        let unit = if by_hour { HOUR } else { MINUTE };
        let to = Time(floor(now, unit).0 + unit);
        let units = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).div_euclid(unit).max(1);
        Window { from: Time(to.0.saturating_sub(units.saturating_mul(unit))), to, by_hour }
    }

    /// Whole hours from the one of `from` to before the one of `to`.
    pub(super) fn hours(from: Time, to: Time) -> Window {
        Window { from: floor(from, HOUR), to: floor(Time(to.0.saturating_add(HOUR - 1)), HOUR), by_hour: true }
    }

    fn before(self) -> Window {
        Window { from: Time(self.from.0 - (self.to.0 - self.from.0)), to: self.from, by_hour: self.by_hour }
    }

    pub(super) fn spans(self) -> Vec<Span> {
        spans(self.from, self.to, self.by_hour)
    }

    pub(super) fn holds(self, at: Time) -> bool {
        self.from <= at && at < self.to
    }

    /// Its figures, cut to what was watched.
    pub(super) fn described(self, cell: &ActionCell, kept_since: Time, now: Time) -> PerformanceWindow {
        PerformanceWindow {
            from: self.from.max(kept_since).min(now),
            to: self.to.max(kept_since).min(now),
            total_actions: cell.ended,
            succeeded: cell.succeeded,
            retried: cell.retried,
            fell_back: cell.fell_back,
            avg_execution_time: cell.avg_execution(),
            p50: cell.histogram.quantile(0.50),
            p95: cell.histogram.quantile(0.95),
            p99: cell.histogram.quantile(0.99),
            avg_queue_time: cell.avg_queued(),
        }
    }

    fn minutes(self) -> f64 {
        (self.to.0 - self.from.0) as f64 / MINUTE as f64
    }
}

impl Metrics {
    /// Opens `metrics.db`; the name a damaged one was set aside under comes with it.
    pub(super) fn open(data_dir: &Path, now: Time) -> anyhow::Result<(Metrics, Option<String>)> {
        let (store, aside) = Store::open(&data_dir.join(FILE), now)?;
        Ok((Metrics { pending: Mutex::default(), store: Mutex::new(store) }, aside))
    }

    /// Metrics without a file, kept since a moment.
    pub(super) fn in_memory(since: Time) -> anyhow::Result<Metrics> {
        let (store, _) = Store::open(Path::new(":memory:"), since)?;
        Ok(Metrics { pending: Mutex::default(), store: Mutex::new(store) })
    }

    /// Opens `metrics.db` only to look.
    pub(super) fn look(data_dir: &Path) -> anyhow::Result<Metrics> {
        let store = Store::look(&data_dir.join(FILE))?;
        Ok(Metrics { pending: Mutex::default(), store: Mutex::new(store) })
    }

    pub(super) fn end(&self, record: &EndRecord) {
        self.pending().end(record);
    }

    pub(super) fn call(&self, record: &CallRecord) {
        self.pending().call(record);
    }

    /// Writes what was recorded; it stays in memory when that fails.
    pub(super) fn flush(&self, now: Time) -> anyhow::Result<()> {
        let mut store = self.store();
        let taken = std::mem::take(&mut *self.pending());
        if taken.is_empty() {
            return Ok(());
        }
        let written = store.write(&taken, now);
        if written.is_err() {
            self.pending().put_back(taken);
        }
        written.context("cannot write metrics.db")
    }

    pub(super) fn value(&self, at: Time, series: Series, value: f64) {
        self.pending().value(at, series, value);
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locked before `pending`, always: whoever holds it sees each record either in the database or pending.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cells(&self, window: Window, platform: Option<Platform>, detail: Detail) -> anyhow::Result<Cells> {
        let store = self.store();
        let mut cells = store.actions(&window.spans(), detail).context("cannot read metrics.db")?;
        for ((at, platform, action_type), cell) in &self.pending().actions {
            if window.holds(*at) {
                cells.entry((*platform, *action_type)).or_default().merge(cell);
            }
        }
        cells.retain(|key, _| platform.is_none_or(|wanted| wanted == key.0));
        Ok(cells)
    }

    /// Succeeded and ended actions by platform; platforms where none ended are left out.
    pub(super) fn success(&self, length: Duration, now: Time) -> anyhow::Result<BTreeMap<Platform, (u64, u64)>> {
        let cells = self.cells(Window::last(length, length, now), None, Detail::Sums)?;
        Ok(by_platform(&cells).into_iter().map(|(p, cell)| (p, (cell.succeeded, cell.ended))).collect())
    }

    pub(super) fn action_metrics(
        &self,
        window: &str,
        platform: Option<Platform>,
        now: Time,
    ) -> anyhow::Result<ActionMetrics> {
        let Some((name, length, bucket)) = TIMELINES.into_iter().find(|(name, ..)| *name == window) else {
            bail!("`{window}` is not one of {}", TIMELINES.map(|(name, ..)| name).join(", "));
        };
        let length = Duration::from_millis(length.unsigned_abs());
        let window = Window::last(length, length, now);
        let cells = self.cells(window, platform, Detail::Sums)?;
        let total = sum(cells.values());
        let share = |part: u64| if total.ended == 0 { 0.0 } else { part as f64 / total.ended as f64 };
        let by_platform = by_platform(&cells)
            .into_iter()
            .map(|(platform, cell)| {
                let metrics = PlatformMetrics {
                    total: cell.ended,
                    success_rate: cell.succeeded as f64 / cell.ended.max(1) as f64,
                    avg_execution_time: cell.avg_execution().unwrap_or(0.0),
                };
                (platform, metrics)
            })
            .collect();
        Ok(ActionMetrics {
            time_window: name.to_owned(),
            metrics: MetricTotals {
                total_actions: total.ended,
                success_rate: share(total.succeeded),
                avg_execution_time: total.avg_execution().unwrap_or(0.0),
                avg_queue_time: total.avg_queued().unwrap_or(0.0),
                retry_rate: share(total.retried),
                fallback_rate: share(total.fell_back),
            },
            by_platform,
            timeline: self.timeline(window, bucket, platform, now)?,
        })
    }

    /// One point a bucket, the empty ones too. The first and the last may be cut by the window and by now.
    fn timeline(
        &self,
        window: Window,
        bucket: i64,
        platform: Option<Platform>,
        now: Time,
    ) -> anyhow::Result<Vec<TimelinePoint>> {
        // Buckets that are not whole hours need minutes all the way.
        let fine = bucket < HOUR;
        let reads = if fine { vec![Span::minutes(window.from, window.to)] } else { window.spans() };
        let store = self.store();
        let mut points = store.timeline(&reads, bucket, platform).context("cannot read metrics.db")?;
        for ((at, of, _), cell) in &self.pending().actions {
            if window.holds(*at) && platform.is_none_or(|wanted| wanted == *of) {
                let point = points.entry(floor(*at, bucket)).or_default();
                point.0 += cell.ended;
                point.1 += cell.succeeded;
            }
        }
        let starts = (floor(window.from, bucket).0..window.to.0).step_by(usize::try_from(bucket)?);
        Ok(starts
            .map(|start| {
                let (ended, succeeded) = points.get(&Time(start)).copied().unwrap_or_default();
                let covered = (start + bucket).min(now.0) - start.max(window.from.0);
                let minutes = covered.max(MINUTE) as f64 / MINUTE as f64;
                TimelinePoint {
                    timestamp: Time(start),
                    actions_per_minute: ended as f64 / minutes,
                    success_rate: if ended == 0 { 1.0 } else { succeeded as f64 / ended as f64 },
                }
            })
            .collect())
    }

    pub(super) fn performance(
        &self,
        length: Duration,
        platform: Option<Platform>,
        now: Time,
    ) -> anyhow::Result<Performance> {
        let kept_since = self.kept_since(now);
        let window = Window::last(length, length * 2, now);
        let describe = |window: Window, cell: &ActionCell| window.described(cell, kept_since, now);
        let current = self.cells(window, platform, Detail::Histograms)?;
        let previous = self.cells(window.before(), platform, Detail::Histograms)?;
        Ok(Performance {
            current: describe(window, &sum(current.values())),
            previous: describe(window.before(), &sum(previous.values())),
            by_platform: by_platform(&current).iter().map(|(p, cell)| (*p, describe(window, cell))).collect(),
            kept_since,
        })
    }

    pub(super) fn kept_since(&self, now: Time) -> Time {
        self.store().since.max(now.minus(KEEP_HOURS))
    }

    pub(super) fn requests(
        &self,
        length: Duration,
        platform: Option<Platform>,
        now: Time,
    ) -> anyhow::Result<RequestMetrics> {
        let window = Window::last(length, length, now);
        let series_length = (window.minutes() as u64).min(SERIES);
        let series_from = Time(floor(now, MINUTE).0 + MINUTE - MINUTE * series_length.cast_signed());
        let store = self.store();
        let mut cells = store.requests(&window.spans()).context("cannot read metrics.db")?;
        let mut minutes = store.request_minutes(series_from, window.to).context("cannot read metrics.db")?;
        for ((at, platform), cell) in &self.pending().requests {
            if window.holds(*at) {
                cells.entry(*platform).or_default().0.merge(cell);
                *minutes.entry((*at, *platform)).or_default() += cell.requests;
            }
        }
        drop(store);
        let elapsed = now.since(window.from).as_secs_f64().max(60.0) / 60.0;
        let platforms = Platform::ALL.iter().copied().filter(|p| platform.is_none_or(|wanted| wanted == *p));
        let platforms = platforms.map(|platform| {
            let (cell, peak): (RequestCell, u64) = cells.get(&platform).copied().unwrap_or_default();
            let series: Vec<u64> = (0..series_length.cast_signed())
                .map(|i| minutes.get(&(Time(series_from.0 + i * MINUTE), platform)).copied().unwrap_or(0))
                .collect();
            PlatformRequests {
                platform,
                requests: cell.requests,
                per_minute: cell.requests as f64 / elapsed,
                peak_per_minute: series.iter().copied().max().unwrap_or(0).max(peak),
                rate_limited: cell.rate_limited,
                failed: cell.failed,
                per_minute_series: series,
            }
        });
        Ok(RequestMetrics {
            window_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
            platforms: platforms.collect(),
        })
    }

    pub(super) fn breakdown(
        &self,
        length: Duration,
        platform: Option<Platform>,
        now: Time,
    ) -> anyhow::Result<ActionBreakdown> {
        let window = Window::last(length, length, now);
        let rows = rows(self.cells(window, platform, Detail::Failures)?);
        Ok(ActionBreakdown { from: window.from.max(self.kept_since(now)), to: now, rows })
    }
}

/// One row a platform and type, most frequent first.
pub(super) fn rows(cells: Cells) -> Vec<ActionBreakdownRow> {
    let mut rows: Vec<ActionBreakdownRow> = cells
        .into_iter()
        .filter(|(_, cell)| cell.ended > 0)
        .map(|((platform, action_type), cell)| ActionBreakdownRow {
            platform,
            action_type,
            total: cell.ended,
            succeeded: cell.succeeded,
            failed: cell.failed(),
            retries: cell.retries,
            avg_execution_time: cell.avg_execution().unwrap_or(0.0),
            by_error: cell.failures,
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.total));
    rows
}

pub(super) fn sum<'c>(cells: impl IntoIterator<Item = &'c ActionCell>) -> ActionCell {
    cells.into_iter().fold(ActionCell::default(), |mut total, cell| {
        total.merge(cell);
        total
    })
}

fn by_platform(cells: &Cells) -> BTreeMap<Platform, ActionCell> {
    let mut platforms: BTreeMap<Platform, ActionCell> = BTreeMap::new();
    for ((platform, _), cell) in cells {
        platforms.entry(*platform).or_default().merge(cell);
    }
    platforms.retain(|_, cell| cell.ended > 0);
    platforms
}
