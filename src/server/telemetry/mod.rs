//! What the service remembers about itself: metrics, error log, log files.
//!
//! Recording never waits: counters are added in memory and written once a second, log lines go through a bounded
//! channel to one writer. A `kill -9` loses at most about the last second of both; nothing that an action's outcome
//! depends on is kept here.

mod log;
mod records;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;

use crate::clock::Clock;
use crate::redact::Redactor;
use crate::wire::{
    ActionBreakdown, ActionMetrics, ErrorCount, ErrorFilter, ErrorLog, Performance, Platform, RequestMetrics,
};

pub use log::{Level, LogLine, Part};
pub use records::{CallRecord, EndRecord, Gauges};

/// Metrics, errors and log files of one service.
pub struct Telemetry {
    redactor: Redactor,
}

impl Telemetry {
    /// Opens or creates `metrics.db` and `logs/` in the data folder.
    pub fn open(_data_dir: &Path, _clock: Clock) -> anyhow::Result<Arc<Telemetry>> {
        Ok(Arc::new(Telemetry { redactor: Redactor::default() }))
    }

    /// The filter log lines pass; teach it every secret that is loaded.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Counts a request really sent. Never waits for the disk.
    pub fn call_finished(&self, _record: &CallRecord) {}

    /// Counts an action that ended for good. Never waits for the disk.
    pub fn action_ended(&self, _record: &EndRecord) {}

    /// Writes a line to the files it belongs to, if `LOG_LEVEL` shows its level. Never waits for the disk.
    pub fn log(&self, _line: LogLine) {}

    /// Whether a line of this level would be written: to spare the work of making it.
    pub fn shows(&self, _level: Level) -> bool {
        false
    }

    /// Sets `LOG_LEVEL`; holds at once.
    pub fn set_level(&self, _level: Level) {}

    /// Writes everything recorded so far to disk and waits for it.
    pub fn flush(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// The documented metrics: window `1h`, `6h`, `24h` or `7d`.
    pub fn action_metrics(&self, _window: &str, _platform: Option<Platform>) -> anyhow::Result<ActionMetrics> {
        bail!("metrics are not kept yet")
    }

    /// A window beside the one before it.
    pub fn performance(&self, _window: Duration, _platform: Option<Platform>) -> anyhow::Result<Performance> {
        bail!("metrics are not kept yet")
    }

    /// Requests really sent.
    pub fn requests(&self, _window: Duration, _platform: Option<Platform>) -> anyhow::Result<RequestMetrics> {
        bail!("metrics are not kept yet")
    }

    /// Actions by platform and type.
    pub fn breakdown(&self, _window: Duration, _platform: Option<Platform>) -> anyhow::Result<ActionBreakdown> {
        bail!("metrics are not kept yet")
    }

    /// Failed over ended actions and how many ended; `None` when none did.
    pub fn error_rate(&self, _platform: Option<Platform>, _window: Duration) -> Option<(f64, u64)> {
        None
    }

    /// How many actions succeeded, of how many that ended.
    pub fn success(&self, _window: Duration) -> anyhow::Result<(u64, u64)> {
        bail!("metrics are not kept yet")
    }

    /// Errors, newest first.
    pub fn errors(&self, filter: &ErrorFilter) -> ErrorLog {
        let _ = filter;
        ErrorLog { errors: Vec::new(), by_code: Default::default(), total: 0, oldest: None }
    }

    /// The most frequent errors by code and platform.
    pub fn top_errors(&self, _n: usize, _window: Duration) -> Vec<ErrorCount> {
        Vec::new()
    }

    /// The OpenMetrics text, ending with `# EOF`.
    pub fn open_metrics(&self, _gauges: &Gauges) -> String {
        "# EOF\n".to_owned()
    }
}
