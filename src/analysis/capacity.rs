//! How far what the service needs is from its limits, where that goes, and when a limit is reached.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::maintenance::{DISK_FAILURE, DISK_WARNING, MEMORY_WARNING, QUEUE_TARGET};
use super::trend::{Course, Trend, trend};
use crate::wire::{Measure, MetricHistory, Platform, Time};

/// Workers busier than this are a warning.
pub const WORKERS_WARNING: f64 = 0.90;
/// A larger part of a rate limit used is a warning.
pub const RATE_LIMIT_WARNING: f64 = 0.80;
/// A limit that is reached within this is a warning.
pub const NOTICE: Duration = Duration::from_secs(30 * 86_400);

const HOUR: i64 = 3_600_000;

/// What the figures are held against; absent where nobody told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Items the queue takes.
    pub queue: Option<f64>,
    /// Bytes the store can still grow by.
    pub disk_free: Option<f64>,
    /// Requests an hour that each platform admits.
    pub requests: BTreeMap<Platform, f64>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// From 0 to 1.
    Share,
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
}

/// One thing that can run out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// For people: `Queue depth`, `Rate limit of notion`.
    pub name: String,
    /// WARN beyond its threshold or when the limit is reached within 30 days, FAIL at the limit, UNKNOWN when nothing
    /// was recorded.
    pub verdict: Verdict,
    /// What its figures count.
    pub unit: Unit,
    /// Hours that were recorded.
    pub hours: u64,
    /// Mean over the window.
    pub mean: Option<f64>,
    /// Mean of its newest 24 hours.
    pub last_day: Option<f64>,
    /// The highest that was seen.
    pub peak: Option<f64>,
    /// Where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Where it goes.
    #[serde(flatten)]
    pub trend: Trend,
    /// When the limit is reached if it goes on like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached_at: Option<Time>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Start of what was looked at.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// The oldest moment anything is known of.
    pub kept_since: Time,
    /// What can run out, in the order of the runbook's list.
    pub resources: Vec<Resource>,
    /// Whether one is beyond its threshold, or will be soon.
    pub beyond: bool,
}

/// One value an hour, with the highest of each hour.
#[derive(Default)]
struct Hours {
    means: Vec<(Time, f64)>,
    peak: Option<f64>,
}

impl Hours {
    fn add(&mut self, at: Time, mean: f64, peak: f64) {
        self.means.push((at, mean));
        self.peak = Some(self.peak.map_or(peak, |highest| highest.max(peak)));
    }
}

/// Beyond which a resource is a warning, and at which it is used up.
#[derive(Clone, Copy, Default)]
struct Bounds {
    warning: Option<f64>,
    limit: Option<f64>,
}

/// Judges a history by the hour.
pub fn capacity(history: &MetricHistory, limits: &Limits) -> Capacity {
    let measured = |measure: Measure| {
        let mut hours = Hours::default();
        let points = history.samples.iter().filter(|point| point.measure == measure);
        points.for_each(|point| hours.add(point.at, point.mean, point.peak));
        hours
    };
    let until = history.to;
    let share = |warning, limit| Bounds { warning: Some(warning), limit: Some(limit) };
    let store = measured(Measure::StoreBytes);
    let store_limit = store.means.last().zip(limits.disk_free).map(|((_, size), free)| size + free);

    let mut resources = vec![
        resource("Workers busy", Unit::Share, measured(Measure::WorkersBusy), share(WORKERS_WARNING, 1.0), until),
        resource(
            "Queue depth",
            Unit::Count,
            measured(Measure::QueueDepth),
            Bounds { warning: Some(QUEUE_TARGET as f64), limit: limits.queue },
            until,
        ),
        resource("Actions an hour", Unit::Count, actions(history), Bounds::default(), until),
    ];
    for platform in Platform::ALL {
        let Some(limit) = limits.requests.get(platform).filter(|limit| **limit > 0.0) else { continue };
        let hours = requests(history, *platform, *limit);
        if hours.peak.is_some_and(|peak| peak > 0.0) {
            let name = format!("Rate limit of {platform}");
            resources.push(resource(&name, Unit::Share, hours, share(RATE_LIMIT_WARNING, 1.0), until));
        }
    }
    resources.extend([
        resource("Store size", Unit::Bytes, store, Bounds { warning: None, limit: store_limit }, until),
        resource("Disk used", Unit::Share, measured(Measure::DiskUsed), share(DISK_WARNING, DISK_FAILURE), until),
        resource("Host memory used", Unit::Share, measured(Measure::MemoryUsed), share(MEMORY_WARNING, 1.0), until),
        resource("Service memory", Unit::Bytes, measured(Measure::ServiceBytes), Bounds::default(), until),
    ]);
    Capacity {
        from: history.from,
        to: history.to,
        kept_since: history.kept_since,
        beyond: resources.iter().any(|resource| resource.verdict.is_beyond()),
        resources,
    }
}

fn resource(name: &str, unit: Unit, hours: Hours, bounds: Bounds, now: Time) -> Resource {
    let Hours { means, peak } = hours;
    let mean = |points: &[(Time, f64)]| {
        (!points.is_empty()).then(|| points.iter().map(|(_, value)| value).sum::<f64>() / points.len() as f64)
    };
    let last_day = mean(&means[means.len().saturating_sub(24)..]);
    let trend = trend(&means);
    let reached_at = bounds.limit.and_then(|limit| trend.reaches(limit));
    let soon = reached_at.is_some_and(|at| at <= now + NOTICE);
    let verdict = match last_day {
        None => Verdict::Unknown,
        Some(level) if bounds.limit.is_some_and(|limit| level >= limit) => Verdict::Fail,
        Some(level) if soon || bounds.warning.is_some_and(|warning| level > warning) => Verdict::Warn,
        Some(_) => Verdict::Ok,
    };
    Resource {
        name: name.to_owned(),
        verdict,
        unit,
        hours: means.len() as u64,
        mean: mean(&means),
        last_day,
        peak,
        limit: bounds.limit,
        trend,
        reached_at,
    }
}

/// The whole hours that were watched: a broken one at either end would look like a fall.
fn watched(history: &MetricHistory) -> impl Iterator<Item = Time> {
    let first = history.from.0.max(history.kept_since.0).div_euclid(HOUR) * HOUR;
    let first = if first < history.kept_since.0 { first + HOUR } else { first };
    let last = history.to.0.div_euclid(HOUR) * HOUR;
    (first..last).step_by(HOUR as usize).map(Time)
}

/// Hours in which nothing ended are hours with none.
fn actions(history: &MetricHistory) -> Hours {
    let mut ended: BTreeMap<Time, u64> = BTreeMap::new();
    history.actions.iter().for_each(|point| *ended.entry(point.at).or_default() += point.ended);
    let mut hours = Hours::default();
    for at in watched(history) {
        let count = ended.get(&at).copied().unwrap_or(0) as f64;
        hours.add(at, count, count);
    }
    hours
}

/// The part of its limit that a platform's requests took; the peak is that of the busiest minute.
fn requests(history: &MetricHistory, platform: Platform, an_hour: f64) -> Hours {
    let sent: BTreeMap<Time, (u64, u64)> = history
        .requests
        .iter()
        .filter(|point| point.platform == platform)
        .map(|point| (point.at, (point.requests, point.peak_per_minute)))
        .collect();
    let mut hours = Hours::default();
    for at in watched(history) {
        let (requests, peak) = sent.get(&at).copied().unwrap_or_default();
        hours.add(at, requests as f64 / an_hour, peak as f64 * 60.0 / an_hour);
    }
    hours
}

impl Resource {
    /// Whether it has too little history for a trend.
    pub fn is_short(&self) -> bool {
        self.trend.course == Course::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ActionPoint, Bucket, PerformanceWindow, RequestPoint, SamplePoint};

    /// So many hours of a history that ends in the middle of an hour.
    fn history(hours: i64, queue: impl Fn(i64) -> f64) -> MetricHistory {
        let at = |hour: i64| Time(hour * HOUR);
        let sample =
            |measure, hour: i64, mean: f64| SamplePoint { at: at(hour), measure, samples: 360, mean, peak: mean * 2.0 };
        let samples = (0..hours).flat_map(|hour| {
            [
                sample(Measure::QueueDepth, hour, queue(hour)),
                sample(Measure::StoreBytes, hour, 1000.0 + 10.0 * hour as f64),
            ]
        });
        let acted = |hour: i64| ActionPoint {
            at: at(hour),
            platform: Platform::Notion,
            ended: 30,
            succeeded: 30,
            avg_execution_time: None,
            p95: None,
        };
        let sent = |hour: i64| RequestPoint {
            at: at(hour),
            platform: Platform::Notion,
            requests: 900,
            rate_limited: 0,
            failed: 0,
            peak_per_minute: 120,
        };
        MetricHistory {
            from: Time(0),
            to: Time(hours * HOUR - HOUR / 2),
            kept_since: Time(0),
            bucket: Bucket::Hour,
            total: PerformanceWindow::default(),
            platforms: BTreeMap::new(),
            rows: Vec::new(),
            samples: samples.collect(),
            // Every second hour, so that the others count as none.
            actions: (0..hours).step_by(2).map(acted).collect(),
            requests: (0..hours).map(sent).collect(),
            occurrences: Vec::new(),
        }
    }

    /// The nearest hour.
    fn hour_of(at: Time) -> i64 {
        (at.0 + HOUR / 2) / HOUR
    }

    fn of<'c>(capacity: &'c Capacity, name: &str) -> &'c Resource {
        capacity.resources.iter().find(|resource| resource.name == name).unwrap()
    }

    fn limits() -> Limits {
        Limits {
            queue: Some(1000.0),
            disk_free: Some(24_000.0),
            requests: BTreeMap::from([(Platform::Notion, 9000.0), (Platform::Slack, 100.0)]),
        }
    }

    #[test]
    fn a_rising_resource_says_when_it_ends() {
        let found = capacity(&history(240, |hour| hour as f64), &limits());
        let queue = of(&found, "Queue depth");
        // One an hour from 0: 1000 at hour 1000, which is 32 days after the end.
        assert_eq!(queue.reached_at.map(hour_of), Some(1000));
        assert_eq!((queue.verdict, queue.trend.course), (Verdict::Warn, Course::Rising), "227 on its last day");
        assert_eq!((queue.mean, queue.peak), (Some(119.5), Some(478.0)));
        // 10 bytes an hour and 24,000 free: 100 days.
        let store = of(&found, "Store size");
        assert_eq!((store.verdict, store.reached_at.map(hour_of)), (Verdict::Ok, Some(2639)));
        let soon = capacity(&history(240, |hour| hour as f64 / 10.0), &Limits { queue: Some(30.0), ..limits() });
        assert_eq!(of(&soon, "Queue depth").verdict, Verdict::Warn);
        let full = capacity(&history(240, |_| 40.0), &Limits { queue: Some(30.0), ..limits() });
        assert_eq!(of(&full, "Queue depth").verdict, Verdict::Fail);
        assert!(full.beyond);
    }

    #[test]
    fn limits_are_taken_by_the_hour_and_idle_hours_count() {
        let found = capacity(&history(241, |_| 1.0), &limits());
        let notion = of(&found, "Rate limit of notion");
        assert_eq!((notion.mean.map(|m| (m * 1e6).round()), notion.peak), (Some(1e5), Some(0.8)));
        assert_eq!(notion.hours, 240, "the broken hour is out");
        assert!(found.resources.iter().all(|resource| resource.name != "Rate limit of slack"), "it sent nothing");
        assert_eq!(of(&found, "Actions an hour").mean, Some(15.0));
        assert!(!found.beyond);
    }

    #[test]
    fn what_nobody_recorded_is_unknown_and_little_history_has_no_trend() {
        let found = capacity(&history(12, |hour| hour as f64), &limits());
        let queue = of(&found, "Queue depth");
        assert!(queue.is_short() && queue.reached_at.is_none() && queue.verdict == Verdict::Ok, "{queue:?}");
        assert_eq!(of(&found, "Disk used").verdict, Verdict::Unknown);
    }
}
