//! `metrics.db` only looked at: what a service recorded that does not run any more, or does not answer. And the same
//! figures gathered in memory, from what a service of somebody else's logged about its actions.

use std::path::Path;
use std::time::Duration;

use super::cells::{HOUR, floor};
use super::metrics::Metrics;
use super::records::EndRecord;
use super::store::{FILE, KEEP_MINUTES};
use crate::wire::{ActionBreakdown, Bucket, MetricHistory, Performance, Platform, RequestMetrics, Time};

/// What was recorded, as the service itself would tell it at a moment. The last second before a kill may be missing.
pub struct Recorded {
    metrics: Metrics,
    now: Time,
}

impl Recorded {
    /// Looks into a data folder; `None` when nothing was recorded there. Nothing is written.
    pub fn look(data_dir: &Path, now: Time) -> anyhow::Result<Option<Recorded>> {
        if !data_dir.join(FILE).exists() {
            return Ok(None);
        }
        Ok(Some(Recorded { metrics: Metrics::look(data_dir)?, now }))
    }

    /// A window beside the one before it.
    pub fn performance(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<Performance> {
        self.metrics.performance(window, platform, self.now)
    }

    /// Requests really sent.
    pub fn requests(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<RequestMetrics> {
        self.metrics.requests(window, platform, self.now)
    }

    /// Actions by platform and type.
    pub fn breakdown(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<ActionBreakdown> {
        self.metrics.breakdown(window, platform, self.now)
    }

    /// What was recorded between two moments.
    pub fn history(&self, from: Time, to: Time, bucket: Bucket) -> anyhow::Result<MetricHistory> {
        self.metrics.history(from, to, bucket, self.now)
    }
}

/// Figures of actions that ended, by the minute and the hour as a service records them, in memory.
pub struct Gathered {
    metrics: Metrics,
    now: Time,
}

impl Gathered {
    /// Nothing yet; `since` is when what is gathered begins.
    pub fn new(since: Time, now: Time) -> anyhow::Result<Gathered> {
        Ok(Gathered { metrics: Metrics::in_memory(since)?, now })
    }

    /// Counts an action that ended.
    pub fn end(&mut self, mut record: EndRecord) -> anyhow::Result<()> {
        /// Cells that are added up before they are written.
        const CELLS: usize = 1000;
        // Older ones are told by the hour only.
        if record.at < self.now.minus(KEEP_MINUTES) {
            record.at = floor(record.at, HOUR);
        }
        self.metrics.end(&record);
        if self.metrics.pending().actions.len() >= CELLS {
            self.metrics.flush(self.now)?;
        }
        Ok(())
    }

    /// A window beside the one before it. How long actions waited is not known.
    pub fn performance(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<Performance> {
        let mut found = self.metrics.performance(window, platform, self.now)?;
        let windows = [&mut found.current, &mut found.previous].into_iter().chain(found.by_platform.values_mut());
        windows.for_each(|window| window.avg_queue_time = None);
        Ok(found)
    }

    /// Actions by platform and type.
    pub fn breakdown(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<ActionBreakdown> {
        self.metrics.breakdown(window, platform, self.now)
    }
}
