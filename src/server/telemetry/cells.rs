//! Counters of one stretch of time, and how they are added up in memory until they are written.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wire::{ActionType, ErrorCode, Measure, Occurrence, Platform, Time};

use super::records::{CallRecord, EndRecord};
use crate::analysis::histogram::Histogram;

/// Milliseconds in the smallest stretch that is kept.
pub(super) const MINUTE: i64 = 60_000;
/// Milliseconds in the stretch that minutes are rolled up to.
pub(super) const HOUR: i64 = 60 * MINUTE;
/// Milliseconds in a day.
pub(super) const DAY: i64 = 24 * HOUR;

/// Start of the stretch of `unit` milliseconds that holds `at`.
pub(super) fn floor(at: Time, unit: i64) -> Time {
    Time(at.0.div_euclid(unit) * unit)
}

/// Which actions a cell counts.
pub(super) type ActionKey = (Platform, ActionType);

/// Actions of one platform and type that ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ActionCell {
    pub(super) ended: u64,
    pub(super) succeeded: u64,
    pub(super) retried: u64,
    pub(super) retries: u64,
    pub(super) fell_back: u64,
    /// Of those that ended, the ones that reached their platform; the histogram and the execution time are theirs.
    pub(super) executed: u64,
    pub(super) execution_us: u64,
    pub(super) queued_us: u64,
    pub(super) failures: BTreeMap<ErrorCode, u64>,
    pub(super) histogram: Histogram,
}

impl ActionCell {
    pub(super) fn add(&mut self, record: &EndRecord) {
        self.ended += 1;
        self.retried += u64::from(record.retries > 0);
        self.retries += u64::from(record.retries);
        self.fell_back += u64::from(record.fell_back);
        self.queued_us = self.queued_us.saturating_add(micros(record.queued));
        match record.error {
            None => self.succeeded += 1,
            Some(code) => *self.failures.entry(code).or_default() += 1,
        }
        if let Some(execution) = record.execution {
            self.executed += 1;
            self.execution_us = self.execution_us.saturating_add(micros(execution));
            self.histogram.add(execution);
        }
    }

    pub(super) fn merge(&mut self, other: &ActionCell) {
        self.ended += other.ended;
        self.succeeded += other.succeeded;
        self.retried += other.retried;
        self.retries += other.retries;
        self.fell_back += other.fell_back;
        self.executed += other.executed;
        self.execution_us = self.execution_us.saturating_add(other.execution_us);
        self.queued_us = self.queued_us.saturating_add(other.queued_us);
        self.histogram.merge(&other.histogram);
        other.failures.iter().for_each(|(code, count)| *self.failures.entry(*code).or_default() += count);
    }

    pub(super) fn failed(&self) -> u64 {
        self.ended - self.succeeded
    }

    /// Mean time in the platform call, in milliseconds.
    pub(super) fn avg_execution(&self) -> Option<f64> {
        (self.executed > 0).then(|| self.execution_us as f64 / 1000.0 / self.executed as f64)
    }

    /// Mean time in the queue, in milliseconds.
    pub(super) fn avg_queued(&self) -> Option<f64> {
        (self.ended > 0).then(|| self.queued_us as f64 / 1000.0 / self.ended as f64)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Requests sent to one platform.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RequestCell {
    pub(super) requests: u64,
    pub(super) rate_limited: u64,
    pub(super) failed: u64,
}

impl RequestCell {
    pub(super) fn add(&mut self, record: &CallRecord) {
        self.requests += 1;
        match record.error {
            None => {}
            Some(ErrorCode::RateLimited) => self.rate_limited += 1,
            Some(_) => self.failed += 1,
        }
    }

    pub(super) fn merge(&mut self, other: &RequestCell) {
        self.requests += other.requests;
        self.rate_limited += other.rate_limited;
        self.failed += other.failed;
    }
}

/// What else is kept over time: a measure's name, or an occurrence's with its platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Series {
    Measure(Measure),
    Occurrence(Occurrence, Option<Platform>),
}

/// Values of a series in one stretch. An occurrence is a 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SeriesCell {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) peak: f64,
}

impl SeriesCell {
    /// One value; none is below zero.
    pub(super) fn of(value: f64) -> SeriesCell {
        SeriesCell { count: 1, sum: value, peak: value }
    }

    pub(super) fn merge(&mut self, other: &SeriesCell) {
        self.count += other.count;
        self.sum += other.sum;
        self.peak = self.peak.max(other.peak);
    }

    pub(super) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

/// Most cells that wait in memory while the disk takes none: over a day of five busy platforms.
const MAX_PENDING: usize = 20_000;

/// What was recorded since the last write, by minute.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pending {
    pub(super) actions: BTreeMap<(Time, Platform, ActionType), ActionCell>,
    pub(super) requests: BTreeMap<(Time, Platform), RequestCell>,
    pub(super) series: BTreeMap<(Time, Series), SeriesCell>,
}

impl Pending {
    pub(super) fn end(&mut self, record: &EndRecord) {
        let key = (floor(record.at, MINUTE), record.platform, record.action_type);
        self.actions.entry(key).or_default().add(record);
    }

    pub(super) fn call(&mut self, record: &CallRecord) {
        self.requests.entry((floor(record.at, MINUTE), record.platform)).or_default().add(record);
    }

    pub(super) fn value(&mut self, at: Time, series: Series, value: f64) {
        self.series.entry((floor(at, MINUTE), series)).or_default().merge(&SeriesCell::of(value));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.requests.is_empty() && self.series.is_empty()
    }

    /// Takes back what could not be written. The oldest go when it has been too much for too long.
    pub(super) fn put_back(&mut self, unwritten: Pending) {
        for (key, cell) in &unwritten.actions {
            self.actions.entry(*key).or_default().merge(cell);
        }
        for (key, cell) in &unwritten.requests {
            self.requests.entry(*key).or_default().merge(cell);
        }
        for (key, cell) in &unwritten.series {
            self.series.entry(*key).or_default().merge(cell);
        }
        forget_oldest(&mut self.actions);
        forget_oldest(&mut self.requests);
        forget_oldest(&mut self.series);
    }
}

/// Keeps the newest [`MAX_PENDING`].
fn forget_oldest<K: Ord, V>(cells: &mut BTreeMap<K, V>) {
    while cells.len() > MAX_PENDING {
        cells.pop_first();
    }
}
