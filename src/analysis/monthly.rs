//! A month of the service beside the one before it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::capacity::{Capacity, Limits, capacity};
use super::performance::{Trend, compare};
use crate::wire::{
    ActionBreakdownRow, AuditRecord, ErrorCode, Measure, MetricHistory, Occurrence, Performance, PerformanceWindow,
    Platform, Time,
};

/// An hour in which fewer of a platform's actions succeed is part of an incident: the runbook's alert.
pub const INCIDENT_SUCCESS: f64 = 0.90;
/// Actions an hour needs for that.
pub const INCIDENT_SAMPLE: u64 = 10;

const HOUR: i64 = 3_600_000;

/// What a month is told from.
pub struct Input<'i> {
    /// The month's name: `2026-10`.
    pub month: &'i str,
    /// The month by the day.
    pub days: &'i MetricHistory,
    /// The same by the hour.
    pub hours: &'i MetricHistory,
    /// The month before, by the day.
    pub before: &'i MetricHistory,
    /// Changes that were asked for in the month, in any order.
    pub audit: &'i [AuditRecord],
    /// The limits in force now.
    pub limits: &'i Limits,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Monthly {
    /// The month's name: `2026-10`.
    pub month: String,
    /// What was watched of it: from here.
    pub from: Time,
    /// To here, not included.
    pub to: Time,
    /// The oldest moment metrics are kept for.
    pub kept_since: Time,
    /// The month beside the one before.
    pub trend: Trend,
    /// The month's figures.
    pub total: PerformanceWindow,
    /// The month before.
    pub before: PerformanceWindow,
    /// Days that anything was recorded of, in order, UTC.
    pub days: Vec<Day>,
    /// Each platform that was used.
    pub platforms: Vec<PlatformMonth>,
    /// Failed actions by code, most frequent first.
    pub failures: Vec<FailureCount>,
    /// Actions by platform and type, most frequent first.
    pub types: Vec<ActionBreakdownRow>,
    /// What happened: workflows, rollbacks, approvals, duplicates that were prevented.
    pub occurrences: Vec<OccurrenceCount>,
    /// Stretches of hours in which a platform failed or its circuit opened.
    pub incidents: Vec<Incident>,
    /// How far the limits were at the month's end.
    pub capacity: Capacity,
    /// Changes that were asked for, most frequent first.
    pub changes: Vec<ChangeCount>,
}

/// One day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Day {
    /// Its beginning.
    pub at: Time,
    /// Actions that ended.
    pub ended: u64,
    /// Of those, succeeded.
    pub succeeded: u64,
    /// Requests sent.
    pub requests: u64,
    /// Of those, answered 429.
    pub rate_limited: u64,
    /// Times a circuit opened.
    pub circuits_opened: u64,
    /// P95 of the calls, in milliseconds, by platform.
    pub p95: BTreeMap<Platform, f64>,
    /// Mean number of items that waited.
    pub queue_mean: Option<f64>,
    /// Most items that waited.
    pub queue_peak: Option<f64>,
}

/// One platform's month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformMonth {
    /// The platform.
    pub platform: Platform,
    /// Its figures; without actions that ended there are none.
    pub figures: Option<PerformanceWindow>,
    /// Requests sent.
    pub requests: u64,
    /// Of those, answered 429.
    pub rate_limited: u64,
    /// Of those, failed for another reason.
    pub failed_requests: u64,
    /// Times its circuit opened.
    pub circuit_opened: u64,
}

/// Failed actions of one code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureCount {
    /// The code.
    pub code: ErrorCode,
    /// How many.
    pub count: u64,
    /// By platform.
    pub platforms: BTreeMap<Platform, u64>,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OccurrenceCount {
    /// What.
    pub occurrence: Occurrence,
    /// In the month.
    pub count: u64,
    /// In the month before.
    pub before: u64,
}

/// A stretch of hours in which a platform failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// The platform.
    pub platform: Platform,
    /// Start of its first hour.
    pub from: Time,
    /// End of its last hour.
    pub to: Time,
    /// Actions that ended in it.
    pub ended: u64,
    /// Of those, failed.
    pub failed: u64,
    /// Times the circuit opened in it.
    pub circuit_opened: u64,
}

/// Changes of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeCount {
    /// What was asked: `POST /admin/v1/queue/clear`, ids left out.
    pub action: String,
    /// How often.
    pub count: u64,
    /// Of those, refused or failed.
    pub refused: u64,
    /// Who: operators as claimed, else credentials.
    pub by: BTreeSet<String>,
    /// The last one.
    pub last_at: Time,
}

/// Tells a month.
pub fn monthly(input: &Input<'_>) -> Monthly {
    let (days, before) = (input.days, input.before);
    let performance = Performance {
        current: days.total.clone(),
        previous: before.total.clone(),
        by_platform: days.platforms.clone(),
        kept_since: days.kept_since,
    };
    let (total, previous) = (performance.current.clone(), performance.previous.clone());
    Monthly {
        month: input.month.to_owned(),
        from: total.from,
        to: total.to,
        kept_since: days.kept_since,
        trend: compare(&performance),
        total,
        before: previous,
        days: by_day(days),
        platforms: by_platform(days),
        failures: failures(&days.rows),
        types: days.rows.clone(),
        occurrences: occurrences(days, before),
        incidents: incidents(input.hours),
        capacity: capacity(input.hours, input.limits),
        changes: changes(input.audit),
    }
}

fn by_day(history: &MetricHistory) -> Vec<Day> {
    let mut days: BTreeMap<Time, Day> = BTreeMap::new();
    for point in &history.actions {
        let day = days.entry(point.at).or_default();
        day.ended += point.ended;
        day.succeeded += point.succeeded;
        if let Some(p95) = point.p95 {
            day.p95.insert(point.platform, p95);
        }
    }
    for point in &history.requests {
        let day = days.entry(point.at).or_default();
        day.requests += point.requests;
        day.rate_limited += point.rate_limited;
    }
    for point in history.occurrences.iter().filter(|point| point.occurrence == Occurrence::CircuitOpened) {
        days.entry(point.at).or_default().circuits_opened += point.count;
    }
    for point in history.samples.iter().filter(|point| point.measure == Measure::QueueDepth) {
        let day = days.entry(point.at).or_default();
        (day.queue_mean, day.queue_peak) = (Some(point.mean), Some(point.peak));
    }
    days.into_iter().map(|(at, day)| Day { at, ..day }).collect()
}

fn by_platform(history: &MetricHistory) -> Vec<PlatformMonth> {
    let month = |platform: &Platform| {
        let sent = || history.requests.iter().filter(|point| point.platform == *platform);
        let opened = history.occurrences.iter().filter(|point| point.platform == Some(*platform));
        PlatformMonth {
            platform: *platform,
            figures: history.platforms.get(platform).cloned(),
            requests: sent().map(|point| point.requests).sum(),
            rate_limited: sent().map(|point| point.rate_limited).sum(),
            failed_requests: sent().map(|point| point.failed).sum(),
            circuit_opened: opened
                .filter(|point| point.occurrence == Occurrence::CircuitOpened)
                .map(|point| point.count)
                .sum(),
        }
    };
    let used = |month: &PlatformMonth| month.figures.is_some() || month.requests > 0 || month.circuit_opened > 0;
    Platform::ALL.iter().map(month).filter(used).collect()
}

fn failures(rows: &[ActionBreakdownRow]) -> Vec<FailureCount> {
    let mut codes: BTreeMap<ErrorCode, BTreeMap<Platform, u64>> = BTreeMap::new();
    for row in rows {
        for (code, count) in &row.by_error {
            *codes.entry(*code).or_default().entry(row.platform).or_default() += count;
        }
    }
    let mut failures: Vec<FailureCount> = codes
        .into_iter()
        .map(|(code, platforms)| FailureCount { code, count: platforms.values().sum(), platforms })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    failures
}

/// All of them, also those that did not happen: a zero is an answer.
fn occurrences(month: &MetricHistory, before: &MetricHistory) -> Vec<OccurrenceCount> {
    let count = |history: &MetricHistory, what: Occurrence| {
        history.occurrences.iter().filter(|point| point.occurrence == what).map(|point| point.count).sum()
    };
    Occurrence::ALL
        .iter()
        .map(|what| OccurrenceCount { occurrence: *what, count: count(month, *what), before: count(before, *what) })
        .collect()
}

fn incidents(history: &MetricHistory) -> Vec<Incident> {
    #[derive(Default)]
    struct Hour {
        ended: u64,
        failed: u64,
        opened: u64,
    }
    let mut hours: BTreeMap<(Platform, Time), Hour> = BTreeMap::new();
    for point in &history.actions {
        let hour = hours.entry((point.platform, point.at)).or_default();
        (hour.ended, hour.failed) = (point.ended, point.ended - point.succeeded);
    }
    for point in history.occurrences.iter().filter(|point| point.occurrence == Occurrence::CircuitOpened) {
        if let Some(platform) = point.platform {
            hours.entry((platform, point.at)).or_default().opened += point.count;
        }
    }
    let mut incidents: Vec<Incident> = Vec::new();
    for ((platform, at), hour) in hours {
        let success = 1.0 - hour.failed as f64 / hour.ended.max(1) as f64;
        if hour.opened == 0 && (hour.ended < INCIDENT_SAMPLE || success >= INCIDENT_SUCCESS) {
            continue;
        }
        let end = Time(at.0 + HOUR);
        match incidents.last_mut().filter(|last| last.platform == platform && last.to == at) {
            Some(last) => {
                last.to = end;
                last.ended += hour.ended;
                last.failed += hour.failed;
                last.circuit_opened += hour.opened;
            }
            None => incidents.push(Incident {
                platform,
                from: at,
                to: end,
                ended: hour.ended,
                failed: hour.failed,
                circuit_opened: hour.opened,
            }),
        }
    }
    incidents.sort_by_key(|incident| (incident.from, incident.platform));
    incidents
}

fn changes(audit: &[AuditRecord]) -> Vec<ChangeCount> {
    let mut kinds: BTreeMap<String, ChangeCount> = BTreeMap::new();
    for record in audit {
        let action = without_ids(&record.action);
        let kind = kinds.entry(action.clone()).or_insert_with(|| ChangeCount {
            action,
            count: 0,
            refused: 0,
            by: BTreeSet::new(),
            last_at: record.at,
        });
        kind.count += 1;
        // An outcome is an effect's word, or an error's code.
        kind.refused += u64::from(ErrorCode::from_wire(&record.outcome).is_some());
        kind.by.insert(record.operator.clone().unwrap_or_else(|| record.actor.clone()));
        kind.last_at = kind.last_at.max(record.at);
    }
    let mut changes: Vec<ChangeCount> = kinds.into_values().collect();
    changes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.action.cmp(&b.action)));
    changes
}

/// `POST /admin/v1/workflows/{id}/rollback`: segments with a digit in them name one thing, `v1` apart.
fn without_ids(action: &str) -> String {
    let part = |part: &str| {
        let is_id = part.bytes().any(|byte| byte.is_ascii_digit()) && part != "v1";
        if is_id { "{id}".to_owned() } else { part.to_owned() }
    };
    action.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ActionPoint, Bucket, OccurrencePoint};

    fn empty(bucket: Bucket) -> MetricHistory {
        MetricHistory {
            from: Time(0),
            to: Time(30 * 24 * HOUR),
            kept_since: Time(0),
            bucket,
            total: PerformanceWindow::default(),
            platforms: BTreeMap::new(),
            rows: Vec::new(),
            actions: Vec::new(),
            requests: Vec::new(),
            samples: Vec::new(),
            occurrences: Vec::new(),
        }
    }

    fn point(hour: i64, platform: Platform, ended: u64, succeeded: u64) -> ActionPoint {
        ActionPoint { at: Time(hour * HOUR), platform, ended, succeeded, avg_execution_time: None, p95: Some(9.0) }
    }

    fn opened(hour: i64, platform: Platform) -> OccurrencePoint {
        let occurrence = Occurrence::CircuitOpened;
        OccurrencePoint { at: Time(hour * HOUR), occurrence, platform: Some(platform), count: 1 }
    }

    #[test]
    fn hours_that_fail_one_after_the_other_are_one_incident() {
        use Platform::{Notion, Slack};
        let mut hours = empty(Bucket::Hour);
        hours.actions = vec![
            point(1, Notion, 20, 18),
            point(2, Notion, 20, 17),
            point(2, Slack, 9, 0),
            point(3, Notion, 30, 0),
            point(5, Notion, 10, 0),
        ];
        hours.occurrences = vec![opened(3, Notion), opened(9, Slack)];
        let found: Vec<_> = incidents(&hours)
            .into_iter()
            .map(|i| (i.platform, i.from.0 / HOUR, i.to.0 / HOUR, i.ended, i.failed, i.circuit_opened))
            .collect();
        // 90 % is enough, nine actions are too few, and a circuit that opens needs no sample.
        assert_eq!(found, [(Notion, 2, 4, 50, 33, 1), (Notion, 5, 6, 10, 10, 0), (Slack, 9, 10, 0, 0, 1)]);
    }

    #[test]
    fn changes_are_counted_by_kind_and_refusals_apart() {
        let record = |at: i64, action: &str, outcome: &str, operator: Option<&str>| AuditRecord {
            id: format!("a{at}"),
            at: Time(at),
            actor: "t-1 cron".into(),
            operator: operator.map(str::to_owned),
            action: action.into(),
            subject: None,
            outcome: outcome.into(),
            reason: None,
            ticket: None,
            journal: None,
        };
        let found = changes(&[
            record(3, "POST /admin/v1/workflows/01a2-b3/rollback", "accepted", Some("ana")),
            record(9, "POST /admin/v1/workflows/invoice-7/rollback", "CONFLICT", None),
            record(5, "POST /admin/v1/pauses", "applied", Some("ana")),
        ]);
        let [rollbacks, pauses] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(rollbacks.action, "POST /admin/v1/workflows/{id}/rollback");
        assert_eq!((rollbacks.count, rollbacks.refused, rollbacks.last_at), (2, 1, Time(9)));
        assert!(rollbacks.by.iter().eq(["ana", "t-1 cron"]));
        assert_eq!((pauses.count, pauses.refused), (1, 0));
    }

    #[test]
    fn days_and_platforms_add_up() {
        let mut days = empty(Bucket::Day);
        days.actions = vec![point(0, Platform::Notion, 5, 4), point(0, Platform::Slack, 3, 3)];
        days.occurrences = vec![opened(24, Platform::Drive)];
        let by_error = BTreeMap::from([(ErrorCode::ServiceDown, 1)]);
        days.rows = vec![ActionBreakdownRow {
            platform: Platform::Notion,
            action_type: crate::wire::ActionType::Create,
            total: 5,
            succeeded: 4,
            failed: 1,
            retries: 0,
            avg_execution_time: 1.0,
            by_error,
        }];
        let (hours, before) = (empty(Bucket::Hour), empty(Bucket::Day));
        let limits = Limits::default();
        let input =
            Input { month: "1970-01", days: &days, hours: &hours, before: &before, audit: &[], limits: &limits };
        let report = monthly(&input);
        assert_eq!(report.days.len(), 2);
        assert_eq!((report.days[0].ended, report.days[0].succeeded, report.days[0].p95.len()), (8, 7, 2));
        assert_eq!(report.days[1].circuits_opened, 1);
        assert_eq!(report.platforms.iter().map(|p| p.platform).collect::<Vec<_>>(), [Platform::Drive]);
        assert_eq!((report.failures[0].code, report.failures[0].count), (ErrorCode::ServiceDown, 1));
        assert_eq!((report.occurrences.len(), report.occurrences[0].count), (Occurrence::ALL.len(), 1));
    }
}
