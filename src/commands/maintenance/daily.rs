//! `opsctl maintenance daily`.

use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::analysis::maintenance::{self, Daily, DailyInput, Ended, Look, Row};
use crate::analysis::{Verdict, alerts};
use crate::app::{App, Kept, Snapshot, StaleArgs};
use crate::commands::monitoring::{Checked, Item, Looks, Measure, MonitoringArgs};
use crate::commands::{approvals, outage, text};
use crate::error::{Explained, Kind, Outcome};
use crate::output::{Page, Report, Tone};
use crate::server::host;
use crate::wire::{HostStatus, Performance, Time};

/// Success and error rates cover this long (runbook, Daily Tasks).
const WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Decisions that wait longer are worth a line (runbook, Review Approval Queue).
const OVERDUE: Duration = Duration::from_secs(3600);

/// Run the morning check: seven lines against their thresholds
///
/// System health, success rate (target >95%), queue depth (target <50), circuit breakers, error rate (target <5%),
/// disk (warning at >80%) and memory of the orchestrator's host, rates over the last 24 hours. An eighth line says when
/// decisions have waited for more than an hour. Ends with 3 when a line is beyond its threshold or could not be looked
/// at, with 7 when nothing could be: the lines say what they were when the orchestrator last answered, then, and those of
/// this machine's disk and memory are looked at from here.
///
/// Example: opsctl maintenance daily --exit-style check
#[derive(Args, Debug)]
pub struct DailyArgs {
    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    monitoring: MonitoringArgs,
}

pub(super) async fn daily(app: &App, args: DailyArgs) -> anyhow::Result<Outcome> {
    let begun = args.monitoring.begin(app).await;
    let (input, failure) = look(app).await;
    let mut daily = maintenance::daily(&input);
    let mut outcome = if daily.beyond || daily.blind { Outcome::Problem } else { Outcome::Done };
    let is_down = failure.is_some();
    let mut failure = failure;
    if let Some(error) = failure.take_if(|error| Explained::from_error(error).kind == Kind::Unreachable) {
        app.killed_sandbox();
        let earlier = Earlier::read(app, &why(&error));
        daily = earlier.judged(app, args.stale);
        outcome = args.stale.ends(if daily.beyond || daily.blind { Outcome::Problem } else { Outcome::Done });
        match earlier.oldest {
            Some(at) => app.output.warn(&format!("{}: this is {}", why(&error), outage::age(app, at))),
            None => failure = Some(error),
        }
    }
    let item = |row: &Row| Item { name: row.name.clone(), subject: String::new(), verdict: row.verdict };
    let verdict = daily.rows.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Unknown);
    let checked = Checked {
        name: "daily",
        verdict,
        told: if is_down { Verdict::Fail } else { verdict },
        said: said(&daily),
        measures: measures(&daily),
        items: daily.rows.iter().map(item).collect(),
        rule: alerts::rule("daily"),
    };
    let outcome = match failure {
        // Nothing could be read: the lines say UNKNOWN, the error says why, and its kind is the exit code.
        Some(error) => Err(error.context("cannot look at the orchestrator")),
        None => Ok(outcome),
    };
    begun.end(app, &checked, Some(&Checks { checks: daily.rows }), outcome).await
}

/// What the orchestrator said last, and what can be seen without it.
struct Earlier {
    input: DailyInput,
    /// The oldest of its answers.
    oldest: Option<Time>,
    /// Whether disk and memory are this machine's, as they are now.
    host_is_here: bool,
}

impl Earlier {
    fn read(app: &App, why: &str) -> Self {
        let mut oldest = None::<Time>;
        let input = DailyInput {
            health: kept(app, &Kept::Health, why, &mut oldest),
            success: kept(app, &Kept::Performance, why, &mut oldest).map(ended),
            queue: kept(app, &Kept::Queue, why, &mut oldest),
            circuits: kept(app, &Kept::Circuits, why, &mut oldest),
            host: kept(app, &Kept::Host, why, &mut oldest),
            // How many decisions wait now is not known; one line less to say the same.
            overdue: Ok(0),
        };
        let here = app.settings.context().ok().filter(|context| context.is_here());
        match here {
            Some(_) => {
                let now = host::status(&app.settings.places.data);
                let host = Ok(HostStatus { process_rss_bytes: None, ..now });
                Earlier { input: DailyInput { host, ..input }, oldest, host_is_here: true }
            }
            None => Earlier { input, oldest, host_is_here: false },
        }
    }

    /// The lines: as they were where that is accepted, and without a verdict otherwise.
    fn judged(&self, app: &App, stale: StaleArgs) -> Daily {
        let mut daily = maintenance::daily(&self.input);
        let Some(at) = self.oldest.filter(|_| !stale.accept_stale) else { return daily };
        let earlier = |row: Row| match self.host_is_here && row.is_of_host() {
            true => row,
            false => row.earlier(at, app.now()),
        };
        daily.rows = daily.rows.into_iter().map(earlier).collect();
        daily
    }
}

fn kept<T: DeserializeOwned>(app: &App, kind: &Kept, why: &str, oldest: &mut Option<Time>) -> Look<T> {
    let snapshot: Snapshot<T> = app.kept(kind).ok_or_else(|| why.to_owned())?;
    *oldest = Some(oldest.map_or(snapshot.as_of, |oldest| oldest.min(snapshot.as_of)));
    Ok(snapshot.answer)
}

fn ended(performance: Performance) -> Ended {
    let current = performance.current;
    Ended { succeeded: current.succeeded, ended: current.total_actions, window: WINDOW }
}

/// Asks everything at once. The error is there only when every question failed.
async fn look(app: &App) -> (DailyInput, Option<anyhow::Error>) {
    let (health, performance, queue, circuits, host, overdue) = tokio::join!(
        outage::fresh(app, &Kept::Health, async |api| api.health().await),
        outage::fresh(app, &Kept::Performance, async |api| api.performance(WINDOW, None).await),
        outage::fresh(app, &Kept::Queue, async |api| api.queue_status().await),
        outage::fresh(app, &Kept::Circuits, async |api| api.circuit_statuses().await),
        outage::fresh(app, &Kept::Host, async |api| api.host().await),
        approvals::overdue_count(app, OVERDUE),
    );
    let mut looks = Looks::default();
    let input = DailyInput {
        health: looks.keep(health),
        success: looks.keep(performance).map(ended),
        queue: looks.keep(queue),
        circuits: looks.keep(circuits),
        host: looks.keep(host),
        overdue: looks.keep(overdue),
    };
    (input, looks.failure())
}

fn why(error: &anyhow::Error) -> String {
    Explained::from_error(error).message
}

/// The lines.
#[derive(Serialize)]
struct Checks {
    checks: Vec<Row>,
}

impl Report for Checks {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for row in &self.checks {
            let word = format!("{:<7}", row.verdict.as_str());
            let word = Tone::of_word(row.verdict.as_str()).map_or(word.clone(), |tone| page.paint(&word, tone));
            page.line(format_args!("{word}  {}", words(row)))?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.checks.iter().map(serde_json::to_value).collect()
    }
}

/// `Success Rate: 97.3% (target: >95%) · 973 of 1000 actions in 24h`.
fn words(row: &Row) -> String {
    let threshold = row.threshold.as_ref().map(|t| format!(" ({t})")).unwrap_or_default();
    let detail = row.detail.as_ref().map(|d| format!(" · {d}")).unwrap_or_default();
    format!("{}: {}{threshold}{detail}", row.name, row.value)
}

/// What a monitoring system shows a person: the lines that are not OK, or that all are.
fn said(daily: &Daily) -> String {
    let odd: Vec<String> = daily.rows.iter().filter(|row| row.verdict != Verdict::Ok).map(words).collect();
    match odd.is_empty() {
        true => format!("{} within their thresholds", text::counted(daily.rows.len() as u64, "check", "checks")),
        false => odd.join(", "),
    }
}

/// The measured lines with their thresholds, in the runbook's units.
fn measures(daily: &Daily) -> Vec<Measure> {
    let measure = |row: &Row| {
        let value = row.measured?;
        let rate = |label, warn, critical| Measure { label, value: value * 100.0, unit: "%", warn, critical };
        Some(match row.name.as_str() {
            "Success Rate" => rate("success_rate", "", "95:"),
            "Error Rate" => rate("error_rate", "", "5"),
            "Disk Space" => rate("disk", "80", "90"),
            "Memory Usage" => rate("memory", "80", ""),
            "Queue Depth" => Measure { label: "queue_depth", value, unit: "", warn: "50", critical: "" },
            _ => return None,
        })
    };
    daily.rows.iter().filter_map(measure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::maintenance::fixtures::example;
    use crate::output::{Style, draw};
    use crate::wire::HostStatus;

    /// Nobody could look at anything.
    fn blind(why: &str) -> DailyInput {
        let why = || why.to_owned();
        DailyInput {
            health: Err(why()),
            success: Err(why()),
            queue: Err(why()),
            circuits: Err(why()),
            host: Err(why()),
            overdue: Ok(0),
        }
    }

    /// The runbook's example, of a host without a name.
    fn morning() -> DailyInput {
        let host = HostStatus { disk_used: Some(0.82), memory_used: Some(0.65), ..HostStatus::default() };
        DailyInput { host: Ok(host), ..example() }
    }

    #[test]
    fn the_runbooks_morning() {
        let daily = maintenance::daily(&morning());
        let (line, data) = (said(&daily), measures(&daily));
        let text = draw(&Checks { checks: daily.rows }, Style::plain()).unwrap();
        let expected = [
            "OK       System Health: HEALTHY",
            "OK       Success Rate: 97.3% (target: >95%)",
            "OK       Queue Depth: 23 (target: <50)",
            "OK       Circuit Breakers: All CLOSED",
            "OK       Error Rate: 2.7% (target: <5%)",
            "WARN     Disk Space: 82.0% (warning at >80%)",
            "OK       Memory Usage: 65.0%",
        ];
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), expected.len());
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line} is not {expected}");
        }
        assert!(line.starts_with("Disk Space: 82.0%"), "{line}");
        assert_eq!(data.len(), 5);
    }

    #[test]
    fn blindness_is_unknown_on_every_line() {
        let daily = maintenance::daily(&blind("nobody answers"));
        assert!(daily.blind && !daily.beyond);
        assert_eq!(said(&daily).matches("nobody answers").count(), 7);
        assert!(measures(&daily).is_empty());
    }
}
