//! A window beside the one before it, against the runbook's weekly alerts.

use serde::{Deserialize, Serialize};

use crate::wire::{Performance, PerformanceWindow};

use super::Verdict;

/// Mean execution time may grow by this part of itself.
pub const GROWTH_LIMIT: f64 = 0.20;
/// Longest P95 of a platform call, in milliseconds.
pub const P95_LIMIT: f64 = 5_000.0;
/// Longest mean time in the queue, in milliseconds.
pub const QUEUE_LIMIT: f64 = 30_000.0;

/// One figure in both windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// What it is: `Average execution time`.
    pub name: String,
    /// What was found; figures without an alert are OK when they are known.
    pub verdict: Verdict,
    /// In the current window: milliseconds, a rate from 0 to 1, or a count.
    pub current: Option<f64>,
    /// In the window before.
    pub previous: Option<f64>,
    /// Growth over the window before: 0.2 is 20 % more. Absent when either is unknown or the earlier is 0.
    pub change: Option<f64>,
    /// What the figure is.
    pub unit: Unit,
    /// The alert for people: `alert at +20%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<String>,
}

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// From 0 to 1.
    Rate,
    /// A number of actions.
    Count,
}

/// All figures, those with an alert first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// The figures.
    pub rows: Vec<Comparison>,
    /// Whether one is beyond its alert.
    pub beyond: bool,
    /// Whether the window before is only partly covered: metrics began, or were forgotten, within it.
    pub previous_is_cut: bool,
}

/// Judges the current window by itself and beside the one before.
pub fn compare(performance: &Performance) -> Trend {
    let (current, previous) = (&performance.current, &performance.previous);
    let figure = |name: &str, unit: Unit, of: &dyn Fn(&PerformanceWindow) -> Option<f64>| {
        let (now, before) = (of(current), of(previous));
        Comparison {
            name: name.to_owned(),
            verdict: if now.is_some() { Verdict::Ok } else { Verdict::Unknown },
            current: now,
            previous: before,
            change: now.zip(before.filter(|b| *b > 0.0)).map(|(now, before)| now / before - 1.0),
            unit,
            threshold: None,
        }
    };
    let share = |window: &PerformanceWindow, part: u64| {
        (window.total_actions > 0).then(|| part as f64 / window.total_actions as f64)
    };

    let mut average = figure("Average execution time", Unit::Ms, &|w| w.avg_execution_time);
    average.threshold = Some("alert at +20%".to_owned());
    // Growth from nothing known is not known to be within its limit.
    average.verdict = average.change.map_or(Verdict::Unknown, |change| judge(change, GROWTH_LIMIT));
    let mut p95 = figure("P95 execution time", Unit::Ms, &|w| w.p95);
    p95.threshold = Some("alert at >5s".to_owned());
    p95.verdict = p95.current.map_or(Verdict::Unknown, |ms| judge(ms, P95_LIMIT));
    let mut queue = figure("Average queue time", Unit::Ms, &|w| w.avg_queue_time);
    queue.threshold = Some("alert at >30s".to_owned());
    queue.verdict = queue.current.map_or(Verdict::Unknown, |ms| judge(ms, QUEUE_LIMIT));

    let rows = vec![
        average,
        p95,
        queue,
        figure("P50 execution time", Unit::Ms, &|w| w.p50),
        figure("P99 execution time", Unit::Ms, &|w| w.p99),
        // Of a window that nobody recorded it is not known that nothing ended in it.
        figure("Actions", Unit::Count, &|w| (w.from < w.to).then_some(w.total_actions as f64)),
        figure("Success rate", Unit::Rate, &|w| share(w, w.succeeded)),
        figure("Retry rate", Unit::Rate, &|w| share(w, w.retried)),
        figure("Fallback rate", Unit::Rate, &|w| share(w, w.fell_back)),
    ];
    let length = |window: &PerformanceWindow| window.to.since(window.from);
    Trend {
        beyond: rows.iter().any(|row| row.verdict.is_beyond()),
        // The server cuts a window where its metrics begin; the current one may lack its last, unfinished minute.
        previous_is_cut: previous.from == performance.kept_since && length(previous) < length(current),
        rows,
    }
}

fn judge(value: f64, limit: f64) -> Verdict {
    if value > limit { Verdict::Warn } else { Verdict::Ok }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::wire::Time;

    const HOUR: i64 = 3_600_000;

    fn window(from: i64, average: f64, p95: f64, queued: f64) -> PerformanceWindow {
        PerformanceWindow {
            from: Time(from),
            to: Time(from + HOUR),
            total_actions: 200,
            succeeded: 190,
            retried: 20,
            fell_back: 2,
            avg_execution_time: Some(average),
            p50: Some(average),
            p95: Some(p95),
            p99: Some(p95),
            avg_queue_time: Some(queued),
        }
    }

    fn performance(current: PerformanceWindow, previous: PerformanceWindow) -> Performance {
        Performance { current, previous, by_platform: BTreeMap::new(), kept_since: Time(0) }
    }

    fn verdicts(trend: &Trend) -> Vec<Verdict> {
        trend.rows.iter().take(3).map(|row| row.verdict).collect()
    }

    #[test]
    fn figures_at_their_alert_are_fine_and_beyond_it_are_not() {
        let before = window(HOUR, 1000.0, 900.0, 10.0);
        let at = compare(&performance(window(2 * HOUR, 1200.0, 5000.0, 30_000.0), before.clone()));
        assert_eq!(verdicts(&at), [Verdict::Ok; 3]);
        assert!(!at.beyond && !at.previous_is_cut);
        let over = compare(&performance(window(2 * HOUR, 1201.0, 5001.0, 30_001.0), before));
        assert_eq!(verdicts(&over), [Verdict::Warn; 3]);
        assert!(over.beyond);
        assert_eq!(over.rows[6].current, Some(0.95));
        assert_eq!(over.rows[5].change, Some(0.0));
    }

    #[test]
    fn nothing_to_compare_with_is_unknown_not_fine() {
        let empty = PerformanceWindow { from: Time(0), to: Time(HOUR / 2), ..PerformanceWindow::default() };
        let first = compare(&performance(window(HOUR / 2, 9.0, 9.0, 9.0), empty.clone()));
        assert_eq!(verdicts(&first), [Verdict::Unknown, Verdict::Ok, Verdict::Ok]);
        assert!(first.previous_is_cut && !first.beyond);
        let idle = compare(&performance(empty.clone(), empty));
        assert_eq!(verdicts(&idle), [Verdict::Unknown; 3]);
        assert_eq!(idle.rows[6].verdict, Verdict::Unknown);
        let unrecorded = PerformanceWindow { from: Time(HOUR), to: Time(HOUR), ..PerformanceWindow::default() };
        let alone = compare(&performance(window(HOUR, 9.0, 9.0, 9.0), unrecorded));
        assert_eq!((alone.rows[5].current, alone.rows[5].previous), (Some(200.0), None));
    }
}
