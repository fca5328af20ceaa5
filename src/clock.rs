//! The one place that reads the wall clock.
//!
//! Engine and analysis are handed `now`; everything else asks a [`Clock`]. In the sandbox the clock can be moved
//! forward (`opsctl sandbox clock advance`), and serve, simulators and commands move together.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::wire::Time;

/// A wall clock with an offset that only the sandbox changes.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The current time, with the offset.
    pub fn now(&self) -> Time {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Time(ms.saturating_add(self.offset_ms()))
    }

    /// How far this clock is ahead of the system's, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Sets the offset. Only the sandbox calls this.
    pub fn set_offset_ms(&self, ms: i64) {
        self.offset_ms.store(ms, Ordering::Relaxed);
    }
}
