//! `opsctl metrics performance`.

use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::analysis::performance::{Comparison, Unit, compare};
use crate::analysis::span;
use crate::app::{App, StaleArgs, WatchArgs};
use crate::commands::args::PlatformArg;
use crate::commands::logs::own::figures;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report, Table, percent};
use crate::settings::Since;
use crate::wire::Performance;

/// Compare success, call times and waits with the window before
///
/// The current window stands beside the one of the same length before it, then the platforms. The runbook's three
/// signs of degradation are judged: mean call time up more than 20 %, P95 above 5s, wait in the queue above 30s.
/// Percentiles are exact to 5 %.
///
/// Example: opsctl metrics performance --since 7d
#[derive(Args, Debug)]
pub struct PerformanceArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: Since,

    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

pub(super) async fn performance(app: &App, args: PerformanceArgs) -> anyhow::Result<Outcome> {
    let platform = args.platform.map(|p| p.0);
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        app.watch(&args.watch, || async {
            let window = super::window_since(&args.since, app.now())?;
            let performance = orchestrator.performance(window, platform).await?;
            Ok((Beside { performance, window }, Outcome::Done))
        })
        .await
    };
    let error = match asked.await {
        Err(error) => error,
        answered => return answered,
    };
    let (left, window) = figures(app, error, |now| super::window_since(&args.since, now)).await?;
    app.emit(&Beside { performance: left.performance(window, platform)?, window })?;
    Ok(left.end(app, args.stale))
}

/// In JSON the API's own answer.
#[derive(Serialize)]
#[serde(transparent)]
struct Beside {
    performance: Performance,
    #[serde(skip)]
    window: Duration,
}

impl Report for Beside {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let window = span(self.window);
        let (now, before) = (self.performance.current.total_actions, self.performance.previous.total_actions);
        page.line(format_args!(
            "NOW is the last {window} ({}), BEFORE the {window} before it ({})",
            text::counted(now, "action", "actions"),
            text::counted(before, "action", "actions")
        ))?;
        page.blank()?;
        let trend = compare(&self.performance);
        let mut table = Table::new(&["STATUS", "MEASURE", ">NOW", ">BEFORE", ">CHANGE", "THRESHOLD"]);
        for row in &trend.rows {
            table.row([
                // What has no threshold is not judged.
                row.threshold.as_ref().map(|_| row.verdict.as_str().to_owned()).unwrap_or_default(),
                row.name.clone(),
                figure(row.current, row.unit),
                figure(row.previous, row.unit),
                change(row),
                row.threshold.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table)?;
        self.platforms(page)?;
        if trend.previous_is_cut {
            page.blank()?;
            let since = page.time(self.performance.kept_since);
            page.line(format_args!("BEFORE is cut: metrics are kept since {since}"))?;
        }
        Ok(())
    }
}

impl Beside {
    fn platforms(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.performance.by_platform.is_empty() {
            return Ok(());
        }
        page.blank()?;
        let mut table = Table::new(&["PLATFORM", ">SUCCEEDED", ">AVERAGE", ">P50", ">P95", ">P99", ">QUEUE TIME"]);
        for (platform, w) in &self.performance.by_platform {
            let times = [w.avg_execution_time, w.p50, w.p95, w.p99, w.avg_queue_time];
            let times = times.map(|ms| ms.map(text::millis).unwrap_or_default());
            table.row([platform.to_string(), text::rate(w.succeeded, w.total_actions)].into_iter().chain(times));
        }
        page.table(&table)
    }
}

/// A figure in its unit; nothing where it is not known.
pub(in crate::commands) fn figure(value: Option<f64>, unit: Unit) -> String {
    match (value, unit) {
        (None, _) => String::new(),
        (Some(ms), Unit::Ms) => text::millis(ms),
        (Some(rate), Unit::Rate) => percent(rate),
        (Some(count), Unit::Count) => text::count(count as u64),
    }
}

/// `+12%`, and points for a rate: a success rate that falls from 98 % to 97 % did not fall by a hundredth of itself.
pub(in crate::commands) fn change(row: &Comparison) -> String {
    match (row.unit, row.current.zip(row.previous), row.change) {
        (Unit::Rate, Some((now, before)), _) => format!("{:+.1} points", (now - before) * 100.0),
        (Unit::Ms | Unit::Count, _, Some(change)) => format!("{:+.0}%", change * 100.0),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Style, draw};
    use crate::wire::{PerformanceWindow, Time};
    use std::collections::BTreeMap;

    fn drawn(current: PerformanceWindow, previous: PerformanceWindow) -> String {
        let performance = Performance { current, previous, by_platform: BTreeMap::new(), kept_since: Time(0) };
        draw(&Beside { performance, window: Duration::from_secs(7 * 86_400) }, Style::plain()).unwrap()
    }

    #[test]
    fn an_empty_window_has_no_rates() {
        let text = drawn(PerformanceWindow::default(), PerformanceWindow::default());
        assert!(text.contains("the last 7d (0 actions)") && !text.contains("0.0%"), "{text}");
    }

    #[test]
    fn rates_change_by_points_and_times_by_per_cent() {
        let window = |succeeded, avg| PerformanceWindow {
            total_actions: 100,
            succeeded,
            avg_execution_time: Some(avg),
            ..PerformanceWindow::default()
        };
        let text = drawn(window(97, 150.0), window(98, 100.0));
        let line = |name: &str| text.lines().find(|l| l.contains(name)).unwrap().to_owned();
        assert!(line("Average execution time").contains("+50%") && line("Average execution time").starts_with("WARN"));
        assert!(line("Success rate").contains("97.0%") && line("Success rate").contains("-1.0 points"), "{text}");
    }
}
