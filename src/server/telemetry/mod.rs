//! What the service remembers about itself: metrics, errors, log files.
//!
//! Recording never waits for the disk: counters are added up in memory and written once a second, log lines go through
//! a bounded channel to one writer. A `kill -9` loses at most about the last second of both; nothing that an action's
//! outcome depends on is kept here.

mod cells;
mod errors;
mod exposition;
mod files;
mod history;
mod log;
mod metrics;
mod recorded;
mod records;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::redact::Redactor;
use crate::wire::{
    ActionBreakdown, ActionMetrics, Bucket, ErrorCount, ErrorEntry, ErrorFilter, ErrorLog, Measure, MetricHistory,
    Occurrence, Performance, Platform, RequestMetrics, Time,
};

use cells::Series;
use errors::ErrorBook;
use exposition::Totals;
use files::{Dropped, Order, Writer};
use metrics::Metrics;

pub use crate::analysis::histogram::{Histogram, MAX_RELATIVE_ERROR};
pub use log::{Level, LogLine, Part};
pub use recorded::{Gathered, Recorded};
pub use records::{CallRecord, EndRecord, Gauges};

/// How often metrics are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// How long a question waits for the errors of earlier runs to be read back.
const READ_BACK_LIMIT: Duration = Duration::from_secs(5);

/// Metrics, errors and log files of one service. Questions read SQLite for up to some tens of milliseconds; ask them
/// where blocking is fine.
pub struct Telemetry {
    clock: Clock,
    metrics: Arc<Metrics>,
    totals: Mutex<Totals>,
    book: Arc<Book>,
    level: AtomicU8,
    redactor: Redactor,
    dropped: Dropped,
    /// Taken when it is dropped: the writers end when nobody can send any more.
    senders: Option<Senders>,
    writers: Vec<JoinHandle<()>>,
}

struct Senders {
    log: SyncSender<Order>,
    /// Its end is all that is ever said on it.
    _stop: SyncSender<()>,
}

/// The error book, and whether earlier runs' errors are in it yet.
#[derive(Default)]
struct Book {
    errors: Mutex<(ErrorBook, bool)>,
    complete: Condvar,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, (ErrorBook, bool)> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_history(&self, history: Vec<ErrorEntry>) {
        let mut book = self.lock();
        book.0.add_history(history);
        book.1 = true;
        self.complete.notify_all();
    }

    fn wait(&self) -> MutexGuard<'_, (ErrorBook, bool)> {
        let waited = self.complete.wait_timeout_while(self.lock(), READ_BACK_LIMIT, |book| !book.1);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Telemetry {
    /// Opens or creates `metrics.db` and `logs/` in the data folder. One service at a time may have them open.
    pub fn open(data_dir: &Path, clock: Clock) -> anyhow::Result<Arc<Telemetry>> {
        let logs = data_dir.join("logs");
        files::create_folders(&logs).with_context(|| format!("cannot create the log folder {}", logs.display()))?;
        let (metrics, damaged) = Metrics::open(data_dir, clock.now())?;
        let metrics = Arc::new(metrics);
        let book = Arc::new(Book::default());
        let redactor = Redactor::default();
        let dropped = Dropped::default();

        let (log, orders) = mpsc::sync_channel(files::CHANNEL);
        let writer = Writer::new(&logs, redactor.clone(), clock.clone(), dropped.clone());
        let log_writer = thread::Builder::new().name("log-writer".into()).spawn({
            let book = book.clone();
            move || {
                // Before anything is written, or it would be read back as an earlier run's.
                book.add_history(errors::read_back(&files::errors_log(&logs)));
                writer.run(&orders);
            }
        })?;

        let (stop, stopped) = mpsc::sync_channel::<()>(1);
        let metrics_writer = thread::Builder::new().name("metrics-writer".into()).spawn({
            let (metrics, clock, log) = (metrics.clone(), clock.clone(), log.clone());
            move || {
                let mut failing = false;
                while stopped.recv_timeout(WRITE_EVERY) == Err(RecvTimeoutError::Timeout) {
                    failing = write_metrics(&metrics, &clock, &log, failing);
                }
                write_metrics(&metrics, &clock, &log, failing);
            }
        })?;

        let telemetry = Telemetry {
            clock,
            metrics,
            totals: Mutex::default(),
            book,
            level: AtomicU8::new(Level::Info as u8),
            redactor,
            dropped,
            senders: Some(Senders { log, _stop: stop }),
            writers: vec![metrics_writer, log_writer],
        };
        if let Some(aside) = damaged {
            let text = format!("metrics.db was damaged and is now {aside}; metrics start anew");
            telemetry.log(LogLine::error(Part::Telemetry, text));
        }
        Ok(Arc::new(telemetry))
    }

    /// The filter that log lines pass; teach it every secret that is loaded, before it is used.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Counts a request really sent. Never waits for the disk.
    pub fn call_finished(&self, record: &CallRecord) {
        self.metrics.call(record);
        self.totals().call(record);
    }

    /// Counts an action that ended for good. Never waits for the disk.
    pub fn action_ended(&self, record: &EndRecord) {
        self.metrics.end(record);
        self.totals().end(record);
    }

    /// Keeps what was seen of a measure now. Never waits for the disk.
    pub fn measured(&self, measure: Measure, value: f64) {
        self.metrics.value(self.clock.now(), Series::Measure(measure), value);
    }

    /// Counts something that happened now. Never waits for the disk.
    pub fn happened(&self, what: Occurrence, platform: Option<Platform>) {
        self.metrics.value(self.clock.now(), Series::Occurrence(what, platform), 1.0);
    }

    /// Writes a line to the files it belongs to, if `LOG_LEVEL` shows its level. Never waits for the disk.
    pub fn log(&self, mut line: LogLine) {
        if !self.shows(line.level) {
            return;
        }
        let at = *line.at.get_or_insert_with(|| self.clock.now());
        if line.level == Level::Error {
            let entry = ErrorEntry {
                timestamp: at,
                level: line.level.as_str().to_owned(),
                message: self.redactor.redact(&line.message).into_owned(),
                platform: line.platform,
                component: Some(line.part.as_str().to_owned()),
                error_code: line.code,
                action_id: line.action_id.clone(),
                attempt: line.attempt,
                request_id: line.request_id.clone(),
            };
            self.book.lock().0.add(entry);
        }
        let sent = self.senders.as_ref().is_some_and(|s| s.log.try_send(Order::Line(Box::new(line))).is_ok());
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a line of this level would be written: to spare the work of making it.
    pub fn shows(&self, level: Level) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    /// Sets `LOG_LEVEL`; holds at once. `info` until then.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Writes everything recorded so far and waits for it: when the service stops, and before a backup.
    pub fn flush(&self) -> anyhow::Result<()> {
        let written = self.metrics.flush(self.clock.now());
        if let Some(senders) = &self.senders {
            let (done, wait) = mpsc::sync_channel(1);
            let sent = senders.log.send(Order::Flush(done)).is_ok();
            let told = sent && wait.recv().is_ok();
            anyhow::ensure!(told, "the log writer has ended");
        }
        written
    }

    /// The documented metrics: window `1h`, `6h`, `24h` or `7d`.
    pub fn action_metrics(&self, window: &str, platform: Option<Platform>) -> anyhow::Result<ActionMetrics> {
        self.metrics.action_metrics(window, platform, self.clock.now())
    }

    /// A window beside the one before it.
    pub fn performance(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<Performance> {
        self.metrics.performance(window, platform, self.clock.now())
    }

    /// Requests really sent.
    pub fn requests(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<RequestMetrics> {
        self.metrics.requests(window, platform, self.clock.now())
    }

    /// Actions by platform and type.
    pub fn breakdown(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<ActionBreakdown> {
        self.metrics.breakdown(window, platform, self.clock.now())
    }

    /// What was recorded between two moments.
    pub fn history(&self, from: Time, to: Time, bucket: Bucket) -> anyhow::Result<MetricHistory> {
        self.metrics.history(from, to, bucket, self.clock.now())
    }

    /// Failed over ended actions (0 to 1) and how many ended, by platform; without those where none did, and empty
    /// when nobody can tell.
    pub fn error_rates(&self, window: Duration) -> BTreeMap<Platform, (f64, u64)> {
        let counts = self.metrics.success(window, self.clock.now()).unwrap_or_else(|error| {
            self.log(LogLine::error(Part::Telemetry, format!("cannot tell the error rates: {error:#}")));
            BTreeMap::new()
        });
        let rate = |(succeeded, ended): (u64, u64)| ((ended - succeeded) as f64 / ended as f64, ended);
        counts.into_iter().map(|(platform, counts)| (platform, rate(counts))).collect()
    }

    /// One platform's entry of [`Telemetry::error_rates`].
    pub fn error_rate(&self, platform: Platform, window: Duration) -> Option<(f64, u64)> {
        self.error_rates(window).remove(&platform)
    }

    /// How many actions succeeded, of how many that ended.
    pub fn success(&self, window: Duration) -> anyhow::Result<(u64, u64)> {
        let counts = self.metrics.success(window, self.clock.now())?;
        Ok(counts.values().fold((0, 0), |sum, (succeeded, ended)| (sum.0 + succeeded, sum.1 + ended)))
    }

    /// Errors, newest first, among the newest 10,000.
    pub fn errors(&self, filter: &ErrorFilter) -> ErrorLog {
        self.book.wait().0.query(filter)
    }

    /// The most frequent errors by code and platform; a day back at most.
    pub fn top_errors(&self, n: usize, window: Duration) -> Vec<ErrorCount> {
        self.book.wait().0.top(n, window, self.clock.now())
    }

    /// The OpenMetrics text, ending with `# EOF`. Serve it as
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    pub fn open_metrics(&self, gauges: &Gauges) -> String {
        // A copy, so that writing the text holds up no worker.
        let totals = self.totals().clone();
        totals.expose(gauges, self.dropped.load(Ordering::Relaxed))
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.senders = None;
        for writer in self.writers.drain(..) {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

/// Writes what was recorded; says so once when that begins to fail and once when it works again. Gives whether it fails.
fn write_metrics(metrics: &Metrics, clock: &Clock, log: &SyncSender<Order>, failing: bool) -> bool {
    let written = metrics.flush(clock.now());
    let line = match (&written, failing) {
        (Err(error), false) => {
            let text = format!("metrics are kept in memory only: {error:#}");
            Some(LogLine::error(Part::Telemetry, text))
        }
        (Ok(()), true) => Some(LogLine::info(Part::Telemetry, "metrics are written again")),
        _ => None,
    };
    if let Some(line) = line {
        // A full channel means that there is worse to read about.
        let _ = log.try_send(Order::Line(Box::new(line.at(clock.now()))));
    }
    written.is_err()
}
