//! The monthly report as a document.

use std::collections::BTreeMap;

use super::month::Month;
use crate::analysis::maintenance::SUCCESS_TARGET;
use crate::analysis::monthly::{Day, INCIDENT_SAMPLE, INCIDENT_SUCCESS, Monthly};
use crate::analysis::performance::{P95_LIMIT, Unit};
use crate::analysis::{Verdict, percent};
use crate::commands::analyze::{capacity, counts};
use crate::commands::metrics::performance::{change, figure};
use crate::commands::text;
use crate::output::document::{Document, Kind, Plot, Section, Series};
use crate::output::percent as rounded;
use crate::wire::{Occurrence, Platform, Time};

/// Rows of a table that may be long; JSON has all of them.
const SHOWN: usize = 20;

/// Milliseconds in a day.
const DAY: i64 = 86_400_000;

/// The document.
pub(super) fn document(report: &Monthly, month: &Month, now: Time) -> Document {
    let (from, to) = (month.from(), month.to().min(now));
    let title = format!("Monthly report {}", report.month);
    let mut lead = vec![format!("{} to {}, UTC. {}", moment(from), moment(to), headline(report))];
    if report.kept_since > month.from() {
        lead.push(format!("Nothing is recorded before {}: what was earlier is missing.", moment(report.kept_since)));
    }
    if month.to() > now {
        lead.push("The month is not over: figures are those so far.".into());
    }
    if report.kept_since >= to {
        // Tables of zeros would look like a quiet month.
        return Document { title, lead, sections: Vec::new() };
    }
    let days = Days::of(report, month, now);
    Document {
        title,
        lead,
        sections: vec![
            summary(report, month),
            by_day(report, &days),
            platforms(report, &days),
            failures(report),
            occurrences(report),
            incidents(report),
            resources(report, &days),
            changes(report),
        ],
    }
}

/// `97.3% of 1,238 actions succeeded (target above 95%): OK`.
fn headline(report: &Monthly) -> String {
    let (succeeded, total) = (report.total.succeeded, report.total.total_actions);
    let Some(rate) = text::share(succeeded, total) else { return "No action ended.".into() };
    let actions = text::counted(total, "action", "actions");
    format!("{} of {actions} succeeded (target above 95%): {}", percent(rate, SUCCESS_TARGET), success_verdict(report))
}

fn success_verdict(report: &Monthly) -> Verdict {
    match text::share(report.total.succeeded, report.total.total_actions) {
        None => Verdict::Unknown,
        Some(rate) if rate > SUCCESS_TARGET => Verdict::Ok,
        Some(_) => Verdict::Warn,
    }
}

fn summary(report: &Monthly, month: &Month) -> Section {
    let mut rows = Vec::new();
    for row in &report.trend.rows {
        let success = row.name == "Success rate";
        let judged = row.threshold.as_ref().map(|_| row.verdict).or(success.then(|| success_verdict(report)));
        rows.push(vec![
            judged.map(|verdict| verdict.to_string()).unwrap_or_default(),
            row.name.clone(),
            match (row.unit, row.current) {
                // Never rounded onto the target it fails to reach.
                (Unit::Rate, Some(rate)) if success => percent(rate, SUCCESS_TARGET),
                _ => figure(row.current, row.unit),
            },
            figure(row.previous, row.unit),
            change(row),
            row.threshold.clone().or(success.then(|| "target >95%".to_owned())).unwrap_or_default(),
        ]);
    }
    // What is judged comes first.
    rows.sort_by_key(|row| row[0].is_empty());
    let mut section =
        Section::table("Summary", &["STATUS", "MEASURE", ">MONTH", ">BEFORE", ">CHANGE", "THRESHOLD"], rows);
    if report.kept_since > month.before().from() {
        section = section
            .saying(format!("The month before is not whole: metrics are kept since {}.", moment(report.kept_since)));
    }
    section
}

/// All days of the month that have begun, with what is known of each.
struct Days<'r> {
    starts: Vec<Time>,
    known: BTreeMap<Time, &'r Day>,
}

impl<'r> Days<'r> {
    fn of(report: &'r Monthly, month: &Month, now: Time) -> Self {
        let starts = (month.from().0..month.to().min(now).0).step_by(DAY as usize).map(Time).collect();
        Days { starts, known: report.days.iter().map(|day| (day.at, day)).collect() }
    }

    fn values(&self, of: impl Fn(&Day) -> Option<f64>) -> Vec<Option<f64>> {
        self.starts.iter().map(|at| self.known.get(at).and_then(|day| of(day))).collect()
    }

    fn plot(&self, title: &str, kind: Kind, written: fn(f64) -> String, series: Vec<Series>) -> Plot {
        let places = self.starts.iter().map(|at| written_at(*at, "%b %-d")).collect();
        Plot { title: title.into(), kind, places, series, mark: None, range: (0.0, 0.0), written }
    }

    fn series(&self, name: &str, of: impl Fn(&Day) -> Option<f64>) -> Series {
        Series { name: name.into(), values: self.values(of) }
    }
}

fn by_day(report: &Monthly, days: &Days<'_>) -> Section {
    let rows = report.days.iter().map(|day| {
        vec![
            written_at(day.at, "%Y-%m-%d"),
            text::count(day.ended),
            text::share(day.succeeded, day.ended).map(|rate| percent(rate, SUCCESS_TARGET)).unwrap_or_default(),
            text::count(day.requests),
            text::count(day.rate_limited),
            text::count(day.circuits_opened),
            day.queue_peak.map(|depth| text::count(depth as u64)).unwrap_or_default(),
        ]
    });
    let headings = &["DAY", ">ENDED", ">SUCCEEDED", ">REQUESTS", ">RATE LIMITED", ">CIRCUITS OPENED", ">QUEUE PEAK"];
    let success = |day: &Day| text::share(day.succeeded, day.ended);
    let lowest = report.days.iter().filter_map(success).fold(0.9, f64::min);
    let mut rate = days.plot(
        "Success rate",
        Kind::Lines,
        |rate| format!("{:.0}%", rate * 100.0),
        vec![days.series("Success rate", success)],
    );
    rate.mark = Some((SUCCESS_TARGET, "Target 95%".into()));
    rate.range = (lowest, 1.0);
    let volume = days.plot(
        "Actions a day",
        Kind::Stacks,
        short,
        vec![
            days.series("Succeeded", |day| Some(day.succeeded as f64)),
            days.series("Failed", |day| Some((day.ended - day.succeeded) as f64)),
        ],
    );
    let requests = days.plot(
        "Requests a day",
        Kind::Stacks,
        short,
        vec![
            days.series("Answered", |day| Some((day.requests - day.rate_limited) as f64)),
            days.series("Rate limited", |day| Some(day.rate_limited as f64)),
        ],
    );
    let section = Section::table("Days", headings, rows.collect());
    match report.days.is_empty() {
        true => section.saying("Nothing was recorded."),
        false => section.plotting([rate, volume, requests]),
    }
}

fn platforms(report: &Monthly, days: &Days<'_>) -> Section {
    let rows = report.platforms.iter().map(|month| {
        let figures = month.figures.as_ref();
        let ms = |of: fn(&crate::wire::PerformanceWindow) -> Option<f64>| {
            figures.and_then(of).map(text::millis).unwrap_or_default()
        };
        vec![
            month.platform.to_string(),
            text::count(figures.map_or(0, |f| f.total_actions)),
            figures.and_then(|f| text::share(f.succeeded, f.total_actions)).map(rounded).unwrap_or_default(),
            ms(|f| f.p50),
            ms(|f| f.p95),
            ms(|f| f.p99),
            ms(|f| f.avg_queue_time),
            text::count(month.requests),
            text::count(month.rate_limited),
            text::count(month.circuit_opened),
        ]
    });
    let headings = &[
        "PLATFORM",
        ">ENDED",
        ">SUCCEEDED",
        ">P50",
        ">P95",
        ">P99",
        ">QUEUED",
        ">REQUESTS",
        ">RATE LIMITED",
        ">CIRCUIT OPENED",
    ];
    let used: Vec<Platform> = report.platforms.iter().filter(|p| p.figures.is_some()).map(|p| p.platform).collect();
    let latency = used.iter().map(|platform| days.series(platform.as_str(), |day| day.p95.get(platform).copied()));
    let mut latency = days.plot("P95 of the calls", Kind::Lines, axis_ms, latency.collect());
    latency.mark = Some((P95_LIMIT, "Alert above 5s".into()))
        .filter(|_| latency.series.iter().any(|series| series.values.iter().flatten().any(|ms| *ms > P95_LIMIT / 2.0)));
    let section = Section::table("Platforms", headings, rows.collect());
    match used.is_empty() {
        true => section.saying("No action ended."),
        false => section.saying("Percentiles of the calls are exact to 5 %.").plotting([latency]),
    }
}

fn failures(report: &Monthly) -> Section {
    let total: u64 = report.failures.iter().map(|failure| failure.count).sum();
    let rows = report.types.iter().filter(|row| row.failed > 0).map(|row| {
        vec![
            row.platform.to_string(),
            row.action_type.to_string(),
            text::count(row.failed),
            text::share(row.succeeded, row.total).map(rounded).unwrap_or_default(),
            counts(&row.by_error),
        ]
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row[2].replace(',', "").parse::<u64>().unwrap_or(0)));
    let section = Section::table("Failures", &["PLATFORM", "TYPE", ">FAILED", ">SUCCEEDED", "BY CAUSE"], rows);
    if total == 0 {
        return section.saying("No action failed.");
    }
    let causes = Plot {
        title: "Failed actions by cause".into(),
        kind: Kind::Bars,
        places: report.failures.iter().map(|failure| failure.code.to_string()).collect(),
        series: vec![Series {
            name: "Failed".into(),
            values: report.failures.iter().map(|failure| Some(failure.count as f64)).collect(),
        }],
        mark: None,
        range: (0.0, 0.0),
        written: |count| text::count(count as u64),
    };
    let most = &report.failures[0];
    let share = text::share(most.count, total).map(rounded).unwrap_or_default();
    let failed = text::counted(total, "action", "actions");
    section.saying(format!("{failed} failed; {share} of them with {}.", most.code)).plotting([causes])
}

fn occurrences(report: &Monthly) -> Section {
    // Of a month that nobody recorded it is not known that nothing happened in it.
    let before = |count: u64| if report.before.from < report.before.to { text::count(count) } else { String::new() };
    let rows = report
        .occurrences
        .iter()
        .map(|row| vec![words(row.occurrence).to_owned(), text::count(row.count), before(row.before)]);
    Section::table("Workflows, approvals, duplicates", &["WHAT", ">MONTH", ">BEFORE"], rows.collect())
}

fn words(occurrence: Occurrence) -> &'static str {
    match occurrence {
        Occurrence::CircuitOpened => "Circuits opened",
        Occurrence::WorkflowAccepted => "Workflows accepted",
        Occurrence::WorkflowCompleted => "Workflows completed",
        Occurrence::WorkflowFailed => "Workflows failed",
        Occurrence::RolledBack => "Rollbacks with everything undone",
        Occurrence::RollbackFailed => "Rollbacks with something left",
        Occurrence::ApprovalAsked => "Approvals asked for",
        Occurrence::ApprovalApproved => "Approved",
        Occurrence::ApprovalRejected => "Rejected",
        Occurrence::ApprovalExpired => "Expired without a decision",
        Occurrence::DuplicatePrevented => "Duplicates prevented",
        Occurrence::KeyCollision => "Key collisions refused",
    }
}

fn incidents(report: &Monthly) -> Section {
    let rows = report.incidents.iter().take(SHOWN).map(|incident| {
        vec![
            moment(incident.from),
            moment(incident.to),
            incident.platform.to_string(),
            text::count(incident.failed),
            text::count(incident.ended),
            text::count(incident.circuit_opened),
        ]
    });
    let headings = &["FROM", "TO", "PLATFORM", ">FAILED", ">ENDED", ">CIRCUIT OPENED"];
    let section = Section::table("Incidents", headings, rows.collect()).saying(format!(
        "Hours in which less than {} of at least {INCIDENT_SAMPLE} actions of a platform succeeded, or its circuit opened.",
        rounded(INCIDENT_SUCCESS)
    ));
    match report.incidents.len() {
        0 => section.saying("None."),
        n if n > SHOWN => section.saying(format!("The first {SHOWN} of {n}; -o json has all of them.")),
        _ => section,
    }
}

fn resources(report: &Monthly, days: &Days<'_>) -> Section {
    let rows = report.capacity.resources.iter().map(|resource| capacity::cells(resource, report.to).to_vec());
    let headings = &["STATUS", "RESOURCE", ">LAST DAY", ">PEAK", ">LIMIT", ">A DAY", "LIMIT REACHED"];
    let queue = days.plot(
        "Items waiting",
        Kind::Lines,
        short,
        vec![days.series("Mean", |day| day.queue_mean), days.series("Peak", |day| day.queue_peak)],
    );
    let section = Section::table("Capacity", headings, rows.collect()).saying(
        "As of the month's end, against the limits in force now. A trend needs 24 hours over at least two days.",
    );
    if report.days.iter().any(|day| day.queue_peak.is_some()) { section.plotting([queue]) } else { section }
}

fn changes(report: &Monthly) -> Section {
    let rows = report.changes.iter().take(SHOWN).map(|change| {
        vec![
            change.action.clone(),
            text::count(change.count),
            text::count(change.refused),
            change.by.iter().cloned().collect::<Vec<_>>().join(", "),
            moment(change.last_at),
        ]
    });
    let section = Section::table("Changes", &["REQUEST", ">TIMES", ">REFUSED", "BY", "LAST"], rows.collect());
    match report.changes.len() {
        0 => section.saying("None was asked for."),
        n if n > SHOWN => section.saying(format!("The {SHOWN} most frequent of {n} kinds.")),
        _ => section.saying("From the audit log, refused ones included."),
    }
}

/// `2026-10-03 14:00`, UTC.
fn moment(at: Time) -> String {
    written_at(at, "%Y-%m-%d %H:%M")
}

fn written_at(at: Time, format: &str) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|at| at.strftime(format).to_string()).unwrap_or_default()
}

/// `0`, `200ms`, `1.5s`: a time on an axis.
fn axis_ms(ms: f64) -> String {
    match ms {
        0.0 => "0".into(),
        1000.0.. => format!("{}s", short(ms / 1000.0)),
        _ => format!("{}ms", short(ms)),
    }
}

/// `950`, `1.5k`, `12M`: a number on an axis.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    if scaled.fract().abs() < 1e-9 { format!("{scaled:.0}{unit}") } else { format!("{scaled:.1}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::capacity::Limits;
    use crate::analysis::monthly::{Input, monthly};
    use crate::commands::report::month::MonthArg;
    use crate::wire::{
        ActionBreakdownRow, ActionPoint, ActionType, Bucket, ErrorCode, Measure, MetricHistory, OccurrencePoint,
        PerformanceWindow, RequestPoint, SamplePoint,
    };

    /// A month with a bad week.
    pub(super) fn october() -> (Monthly, Month) {
        let now: Time = "2026-11-24T03:00:00Z".parse().unwrap();
        let month = "2026-10".parse::<MonthArg>().unwrap().resolve(now).unwrap();
        let by = |bucket, step: i64| {
            let mut history = MetricHistory {
                from: month.from(),
                to: month.to(),
                kept_since: month.before().from(),
                bucket,
                total: PerformanceWindow::default(),
                platforms: BTreeMap::new(),
                rows: Vec::new(),
                actions: Vec::new(),
                requests: Vec::new(),
                samples: Vec::new(),
                occurrences: Vec::new(),
            };
            for (n, at) in (month.from().0..month.to().0).step_by(step as usize).map(Time).enumerate() {
                let day = (at.0 - month.from().0) / DAY;
                let scale = (step / 3_600_000) as u64;
                // Nothing on the 20th, when the service was off.
                if day == 19 {
                    continue;
                }
                for (index, platform) in Platform::ALL.iter().enumerate() {
                    let ended = scale * (20 + (n as u64 * 7 + index as u64 * 13) % 9);
                    let failed =
                        if (8..12).contains(&day) && *platform == Platform::Notion { ended / 4 } else { ended / 90 };
                    let p95 = 180.0
                        + 60.0 * index as f64
                        + if (8..12).contains(&day) { 900.0 } else { (n % 5) as f64 * 12.0 };
                    history.actions.push(ActionPoint {
                        at,
                        platform: *platform,
                        ended,
                        succeeded: ended - failed,
                        avg_execution_time: Some(p95 / 2.0),
                        p95: Some(p95),
                    });
                    history.requests.push(RequestPoint {
                        at,
                        platform: *platform,
                        requests: ended * 2,
                        rate_limited: failed,
                        failed: 0,
                        peak_per_minute: 9,
                    });
                    let figures = history.platforms.entry(*platform).or_default();
                    figures.total_actions += ended;
                    figures.succeeded += ended - failed;
                    (figures.p50, figures.p95, figures.p99) = (Some(120.0), Some(p95), Some(2.0 * p95));
                    (figures.avg_queue_time, figures.avg_execution_time) = (Some(40.0), Some(130.0));
                    history.total.total_actions += ended;
                    history.total.succeeded += ended - failed;
                }
                for (measure, mean) in [
                    (Measure::QueueDepth, 3.0 + (n % 6) as f64),
                    (Measure::WorkersBusy, 0.3),
                    (Measure::StoreBytes, 2e8 + 1e6 * day as f64),
                    (Measure::DiskUsed, 0.6 + 0.006 * day as f64),
                    (Measure::MemoryUsed, 0.55),
                ] {
                    history.samples.push(SamplePoint { at, measure, samples: 360, mean, peak: mean * 1.4 });
                }
            }
            (history.total.from, history.total.to) = (month.from(), month.to());
            (history.total.p95, history.total.avg_execution_time) = (Some(412.0), Some(133.0));
            history.occurrences.push(OccurrencePoint {
                at: Time(month.from().0 + 9 * DAY),
                occurrence: Occurrence::CircuitOpened,
                platform: Some(Platform::Notion),
                count: 3,
            });
            history
        };
        let mut days = by(Bucket::Day, DAY);
        let failed = [(ErrorCode::ServiceDown, 812), (ErrorCode::RateLimited, 120), (ErrorCode::TimeoutError, 41)];
        days.rows = vec![ActionBreakdownRow {
            platform: Platform::Notion,
            action_type: ActionType::Create,
            total: 9000,
            succeeded: 8027,
            failed: 973,
            retries: 40,
            avg_execution_time: 130.0,
            by_error: BTreeMap::from(failed),
        }];
        let hours = by(Bucket::Hour, 3_600_000);
        let mut before = by(Bucket::Day, DAY);
        (before.total.from, before.total.to) = (month.before().from(), month.from());
        let limits = Limits {
            queue: Some(1000.0),
            disk_free: Some(4e10),
            requests: BTreeMap::from([(Platform::Notion, 10_800.0)]),
        };
        let report = monthly(&Input {
            month: "2026-10",
            days: &days,
            hours: &hours,
            before: &before,
            audit: &[],
            limits: &limits,
        });
        (report, month)
    }

    #[test]
    fn every_part_is_in_the_page_with_its_plots() {
        let (report, month) = october();
        let document = document(&report, &month, "2026-11-24T03:00:00Z".parse().unwrap());
        let page = document.html();
        for part in ["Summary", "Days", "Platforms", "Failures", "Incidents", "Capacity", "Changes"] {
            assert!(page.contains(&format!("<h2>{part}</h2>")), "{part}");
        }
        assert_eq!(page.matches("<figure>").count(), 6);
        assert!(page.contains("Oct 1") && !page.contains("NaN"));
        // Kept for whoever wants to look at it.
        if let Some(path) = std::env::var_os("OPSCTL_KEEP_PAGE") {
            std::fs::write(path, &page).unwrap();
        }
        let markdown = document.markdown();
        assert!(markdown.contains("| 2026-10-01 |") && markdown.contains("812 SERVICE_DOWN, 120 RATE_LIMITED"));
        assert!(report.incidents.iter().any(|incident| incident.circuit_opened == 3), "{:?}", report.incidents);
    }

    #[test]
    fn a_rate_never_reads_as_the_target_it_misses() {
        let (mut report, _) = october();
        (report.total.total_actions, report.total.succeeded) = (10_000, 9_497);
        assert_eq!(headline(&report), "94.9% of 10,000 actions succeeded (target above 95%): WARN");
        report.total.total_actions = 0;
        assert_eq!(headline(&report), "No action ended.");
    }

    #[test]
    fn axis_numbers_are_short() {
        assert_eq!([0.0, 950.0, 1500.0, 2e6].map(short), ["0", "950", "1.5k", "2M"]);
        assert_eq!([0.0, 200.0, 1500.0].map(axis_ms), ["0", "200ms", "1.5s"]);
    }
}
