//! The daily check: the runbook's seven lines, in its order, against its thresholds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::{CircuitState, CircuitStatus, HealthReport, HostStatus, OverallHealth, QueueStatus, Time};

use super::{Verdict, percent, span};

/// Succeeded over ended has to be above this.
pub const SUCCESS_TARGET: f64 = 0.95;
/// Failed over ended has to be below this.
pub const ERROR_TARGET: f64 = 0.05;
/// Items waiting have to be fewer than this.
pub const QUEUE_TARGET: u64 = 50;
/// A disk fuller than this is a warning.
pub const DISK_WARNING: f64 = 0.80;
/// A disk fuller than this fails: the runbook's `Disk > 90 %` alert.
pub const DISK_FAILURE: f64 = 0.90;
/// Memory fuller than this is a warning.
pub const MEMORY_WARNING: f64 = 0.80;

/// The lines about the orchestrator's host.
const DISK: &str = "Disk Space";
const MEMORY: &str = "Memory Usage";

/// How many actions succeeded of those that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Succeeded.
    pub succeeded: u64,
    /// Ended, succeeded or failed.
    pub ended: u64,
    /// In how long.
    pub window: Duration,
}

/// What was looked at: `Err` says why nobody could look.
pub type Look<T> = Result<T, String>;

/// Everything the daily check judges.
#[derive(Clone, Debug, PartialEq)]
pub struct DailyInput {
    /// Health of the whole.
    pub health: Look<HealthReport>,
    /// What became of actions lately.
    pub success: Look<Ended>,
    /// The queue.
    pub queue: Look<QueueStatus>,
    /// All circuits.
    pub circuits: Look<Vec<CircuitStatus>>,
    /// The orchestrator's host.
    pub host: Look<HostStatus>,
    /// Decisions that have waited longer than an hour; 0 where the orchestrator knows no approvals.
    pub overdue: Look<u64>,
}

/// One line of the check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The runbook's name of it: `Success Rate`.
    pub name: String,
    /// What was found.
    pub verdict: Verdict,
    /// The value for people: `97.3%`, `HEALTHY`, `23`; `-` when there is none.
    pub value: String,
    /// The value for programs, where it is a number: rates from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// The threshold for people: `target: >95%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<String>,
    /// Actions a rate is taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u64>,
    /// Milliseconds a rate is taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    /// What else a person wants to know: sample and window of a rate, which circuits, why nobody could look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The check's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Daily {
    /// The seven lines, and one about approvals on a day when some are overdue.
    pub rows: Vec<Row>,
    /// Whether a line is beyond its threshold.
    pub beyond: bool,
    /// Whether a line is UNKNOWN because nobody could look, rather than because nothing happened.
    pub blind: bool,
}

/// The daily check.
pub fn daily(input: &DailyInput) -> Daily {
    let mut rows = vec![
        health(&input.health),
        success_rate(&input.success),
        queue_depth(&input.queue),
        circuits(&input.circuits),
        error_rate(&input.success),
        disk(&input.host),
        memory(&input.host),
    ];
    rows.extend(approvals(&input.overdue));
    let nothing_ended = matches!(input.success, Ok(Ended { ended: 0, .. }));
    let unknown = rows.iter().filter(|row| row.verdict == Verdict::Unknown).count();
    Daily {
        beyond: rows.iter().any(|row| row.verdict.is_beyond()),
        blind: unknown > if nothing_ended { 2 } else { 0 },
        rows,
    }
}

impl Row {
    fn new(name: &str, verdict: Verdict, value: impl Into<String>) -> Row {
        Row {
            name: name.to_owned(),
            verdict,
            value: value.into(),
            measured: None,
            threshold: None,
            sample: None,
            window_ms: None,
            detail: None,
        }
    }

    /// Whether it is about the orchestrator's host.
    pub fn is_of_host(&self) -> bool {
        self.name == DISK || self.name == MEMORY
    }

    /// The line as it was: nobody can tell how it is now.
    pub fn earlier(self, at: Time, now: Time) -> Row {
        let was = match self.verdict {
            Verdict::Unknown => self.detail.unwrap_or_default(),
            _ => format!("was {} ({}) at {at}, {} ago", self.value, self.verdict.as_str(), span(now.since(at))),
        };
        Row { measured: None, threshold: self.threshold, ..Row::unknown(&self.name, was) }
    }

    fn unknown(name: &str, why: impl Into<String>) -> Row {
        Row::new(name, Verdict::Unknown, "-").detail(why)
    }

    fn measured(mut self, value: f64) -> Row {
        self.measured = Some(value);
        self
    }

    fn threshold(mut self, text: &str) -> Row {
        self.threshold = Some(text.to_owned());
        self
    }

    fn detail(mut self, text: impl Into<String>) -> Row {
        self.detail = Some(text.into());
        self
    }
}

fn health(look: &Look<HealthReport>) -> Row {
    const NAME: &str = "System Health";
    let report = match look {
        Ok(report) => report,
        Err(why) => return Row::unknown(NAME, why),
    };
    let verdict = match report.overall {
        OverallHealth::Healthy => Verdict::Ok,
        OverallHealth::Degraded => Verdict::Warn,
        OverallHealth::Critical => Verdict::Fail,
    };
    let row = Row::new(NAME, verdict, report.overall.as_str().to_uppercase());
    let sick: Vec<String> = report
        .executors
        .iter()
        .filter(|(_, executor)| executor.status != crate::wire::ExecutorHealth::Healthy)
        .map(|(platform, executor)| match &executor.reason {
            Some(reason) => format!("{platform} {} ({reason})", executor.status),
            None => format!("{platform} {}", executor.status),
        })
        .collect();
    if sick.is_empty() { row } else { row.detail(sick.join(", ")) }
}

/// A row about a part of what ended; `Ok` and `Err` are the two rows of the same look.
fn share(name: &str, threshold: &str, look: &Look<Ended>, judge: impl Fn(&Ended) -> (u64, Limit)) -> Row {
    let row = match look {
        Err(why) => Row::unknown(name, why),
        Ok(counts) => {
            let window = span(counts.window);
            let mut row = if counts.ended == 0 {
                Row::unknown(name, format!("no action ended in {window}"))
            } else {
                let (part, limit) = judge(counts);
                let rate = part as f64 / counts.ended as f64;
                let (target, good) = match limit {
                    Limit::Above(target) => (target, rate > target),
                    Limit::Below(target) => (target, rate < target),
                };
                let verdict = if good { Verdict::Ok } else { Verdict::Fail };
                let actions = if counts.ended == 1 { "action" } else { "actions" };
                let detail = format!("{part} of {} {actions} in {window}", counts.ended);
                Row::new(name, verdict, percent(rate, target)).measured(rate).detail(detail)
            };
            row.sample = Some(counts.ended);
            row.window_ms = u64::try_from(counts.window.as_millis()).ok();
            row
        }
    };
    row.threshold(threshold)
}

/// On which side of it a rate has to be.
enum Limit {
    Above(f64),
    Below(f64),
}

fn success_rate(look: &Look<Ended>) -> Row {
    share("Success Rate", "target: >95%", look, |counts| (counts.succeeded, Limit::Above(SUCCESS_TARGET)))
}

fn error_rate(look: &Look<Ended>) -> Row {
    let failed = |counts: &Ended| counts.ended.saturating_sub(counts.succeeded);
    share("Error Rate", "target: <5%", look, |counts| (failed(counts), Limit::Below(ERROR_TARGET)))
}

fn queue_depth(look: &Look<QueueStatus>) -> Row {
    const NAME: &str = "Queue Depth";
    let row = match look {
        Err(why) => Row::unknown(NAME, why),
        Ok(queue) => {
            let verdict = if queue.total_queued < QUEUE_TARGET { Verdict::Ok } else { Verdict::Warn };
            Row::new(NAME, verdict, queue.total_queued.to_string()).measured(queue.total_queued as f64)
        }
    };
    row.threshold("target: <50")
}

fn circuits(look: &Look<Vec<CircuitStatus>>) -> Row {
    const NAME: &str = "Circuit Breakers";
    let circuits = match look {
        Err(why) => return Row::unknown(NAME, why),
        Ok(circuits) if circuits.is_empty() => return Row::unknown(NAME, "the orchestrator reports no circuit"),
        Ok(circuits) => circuits,
    };
    let open = circuits.iter().filter(|c| c.state == CircuitState::Open).count();
    let not_closed: Vec<String> = circuits
        .iter()
        .filter(|circuit| circuit.state != CircuitState::Closed)
        .map(|circuit| format!("{} {}", circuit.platform, circuit.state))
        .collect();
    match (open, not_closed.is_empty()) {
        (_, true) => Row::new(NAME, Verdict::Ok, "All CLOSED"),
        (0, _) => Row::new(NAME, Verdict::Warn, not_closed.join(", ")),
        _ => Row::new(NAME, Verdict::Fail, not_closed.join(", ")),
    }
}

fn disk(look: &Look<HostStatus>) -> Row {
    let row = fill(DISK, look, |host| host.disk_used, DISK_WARNING, DISK_FAILURE);
    row.threshold("warning at >80%")
}

fn memory(look: &Look<HostStatus>) -> Row {
    let row = fill(MEMORY, look, |host| host.memory_used, MEMORY_WARNING, f64::INFINITY);
    row.threshold("warning at >80%")
}

/// The runbook's list has seven lines; this is its remark below them.
fn approvals(look: &Look<u64>) -> Option<Row> {
    const NAME: &str = "Approvals";
    let row = match look {
        Ok(0) => return None,
        Ok(overdue) => Row::new(NAME, Verdict::Warn, format!("{overdue} overdue")).measured(*overdue as f64),
        Err(why) => Row::unknown(NAME, why),
    };
    Some(row.threshold("alert if any >1 hour old"))
}

fn fill(name: &str, look: &Look<HostStatus>, used: fn(&HostStatus) -> Option<f64>, warn: f64, fail: f64) -> Row {
    let host = match look {
        Ok(host) => host,
        Err(why) => return Row::unknown(name, why),
    };
    let Some(used) = used(host) else {
        return Row::unknown(name, format!("{} cannot tell", host.hostname));
    };
    let verdict = match used {
        used if used > fail => Verdict::Fail,
        used if used > warn => Verdict::Warn,
        _ => Verdict::Ok,
    };
    let row = Row::new(name, verdict, percent(used, warn)).measured(used);
    if host.hostname.is_empty() { row } else { row.detail(format!("on {}", host.hostname)) }
}

#[cfg(test)]
pub(crate) mod fixtures {
    use std::collections::BTreeMap;

    use super::*;
    use crate::wire::{ByPriority, Platform, QueueHealth};

    pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

    pub(super) fn circuit(platform: Platform, state: CircuitState) -> CircuitStatus {
        CircuitStatus { platform, state, failure_count: 0, last_failure: None, opened_at: None, will_reset_at: None }
    }

    /// The runbook's own example.
    pub(crate) fn example() -> DailyInput {
        DailyInput {
            health: Ok(HealthReport {
                overall: OverallHealth::Healthy,
                executors: BTreeMap::new(),
                queue: QueueHealth { depth: 23, oldest_action: None, worker_utilization: Some(0.4) },
            }),
            success: Ok(Ended { succeeded: 973, ended: 1000, window: DAY }),
            queue: Ok(QueueStatus {
                total_queued: 23,
                by_priority: ByPriority::default(),
                avg_wait_time: 0,
                worker_utilization: Some(0.4),
            }),
            circuits: Ok(Platform::ALL.iter().map(|p| circuit(*p, CircuitState::Closed)).collect()),
            host: Ok(HostStatus {
                hostname: "ops-1".into(),
                disk_used: Some(0.82),
                memory_used: Some(0.65),
                ..HostStatus::default()
            }),
            overdue: Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{DAY, example};
    use super::*;

    fn verdicts(daily: &Daily) -> Vec<Verdict> {
        daily.rows.iter().map(|row| row.verdict).collect()
    }

    #[test]
    fn an_earlier_line_says_what_it_was_and_judges_nothing() {
        let row = daily(&example()).rows.remove(2).earlier(Time(0), Time(180_000));
        assert_eq!((row.verdict, row.value.as_str(), row.measured), (Verdict::Unknown, "-", None));
        assert_eq!(row.detail.as_deref(), Some("was 23 (OK) at 1970-01-01T00:00:00.000Z, 3m ago"));
        assert_eq!(row.threshold.as_deref(), Some("target: <50"));
    }

    #[test]
    fn the_runbooks_example_reads_as_in_the_runbook() {
        let daily = daily(&example());
        let lines: Vec<String> = daily
            .rows
            .iter()
            .map(|row| match &row.threshold {
                Some(threshold) => format!("{} {}: {} ({threshold})", row.verdict, row.name, row.value),
                None => format!("{} {}: {}", row.verdict, row.name, row.value),
            })
            .collect();
        assert_eq!(
            lines,
            [
                "OK System Health: HEALTHY",
                "OK Success Rate: 97.3% (target: >95%)",
                "OK Queue Depth: 23 (target: <50)",
                "OK Circuit Breakers: All CLOSED",
                "OK Error Rate: 2.7% (target: <5%)",
                "WARN Disk Space: 82.0% (warning at >80%)",
                "OK Memory Usage: 65.0% (warning at >80%)",
            ]
        );
        assert_eq!(daily.rows[1].detail.as_deref(), Some("973 of 1000 actions in 24h"));
        assert_eq!((daily.rows[4].sample, daily.rows[4].window_ms), (Some(1000), Some(86_400_000)));
        assert!(daily.beyond && !daily.blind);
    }

    #[test]
    fn a_value_at_its_limit_is_on_the_side_the_runbook_says() {
        let mut input = example();
        input.success = Ok(Ended { succeeded: 95, ended: 100, window: DAY });
        input.queue.as_mut().unwrap().total_queued = 50;
        input.host.as_mut().unwrap().disk_used = Some(0.80);
        let at_limit = daily(&input);
        assert_eq!(at_limit.rows[1].verdict, Verdict::Fail, "above 95 is the target");
        assert_eq!(at_limit.rows[2].verdict, Verdict::Warn, "below 50 is the target");
        assert_eq!(at_limit.rows[4].verdict, Verdict::Fail, "below 5 is the target");
        assert_eq!(at_limit.rows[5].verdict, Verdict::Ok, "a warning is above 80");
        input.host.as_mut().unwrap().disk_used = Some(0.95);
        input.host.as_mut().unwrap().memory_used = Some(0.95);
        assert_eq!(verdicts(&daily(&input))[5..], [Verdict::Fail, Verdict::Warn]);
    }

    #[test]
    fn what_nobody_could_look_at_is_unknown_and_says_why() {
        let why = || "connection refused".to_owned();
        let blind = daily(&DailyInput {
            health: Err(why()),
            success: Err(why()),
            queue: Err(why()),
            circuits: Err(why()),
            host: Err(why()),
            overdue: Ok(0),
        });
        assert_eq!(verdicts(&blind), [Verdict::Unknown; 7]);
        assert!(blind.rows.iter().all(|row| row.detail.as_deref() == Some("connection refused")));
        assert!(blind.blind && !blind.beyond);

        let mut input = example();
        input.host.as_mut().unwrap().memory_used = None;
        let partly = daily(&input);
        assert_eq!(partly.rows[6].verdict, Verdict::Unknown);
        assert!(partly.blind && partly.beyond);
        input.circuits = Ok(Vec::new());
        assert_eq!(daily(&input).rows[3].verdict, Verdict::Unknown, "no circuit is not all circuits");
    }

    #[test]
    fn decisions_that_wait_too_long_are_a_line_of_their_own() {
        let late = daily(&DailyInput { overdue: Ok(2), ..example() });
        let row = late.rows.last().unwrap();
        assert_eq!((late.rows.len(), row.verdict, row.value.as_str()), (8, Verdict::Warn, "2 overdue"));
    }

    #[test]
    fn a_quiet_day_is_unknown_but_not_blind() {
        let mut input = example();
        input.success = Ok(Ended { succeeded: 0, ended: 0, window: DAY });
        input.host.as_mut().unwrap().disk_used = Some(0.1);
        let quiet = daily(&input);
        assert_eq!(quiet.rows[1].verdict, Verdict::Unknown);
        assert_eq!(quiet.rows[1].detail.as_deref(), Some("no action ended in 24h"));
        assert!(!quiet.blind && !quiet.beyond);
    }

    #[test]
    fn circuits_that_are_not_closed_are_named() {
        let mut input = example();
        let circuits = input.circuits.as_mut().unwrap();
        circuits[0].state = CircuitState::HalfOpen;
        assert_eq!(daily(&input).rows[3].verdict, Verdict::Warn);
        input.circuits.as_mut().unwrap()[2].state = CircuitState::Open;
        let row = &daily(&input).rows[3];
        assert_eq!((row.verdict, row.value.as_str()), (Verdict::Fail, "notion HALF_OPEN, slack OPEN"));
    }
}
