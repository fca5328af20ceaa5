//! `metrics.db` only looked at: what a service recorded that does not run any more, or does not answer.

use std::path::Path;
use std::time::Duration;

use super::metrics::Metrics;
use super::store::FILE;
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
