//! `opsctl metrics actions`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::analysis::span;
use crate::app::{App, StaleArgs, WatchArgs};
use crate::commands::args::PlatformArg;
use crate::commands::logs::own::figures;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::settings::Since;
use crate::wire::{ActionBreakdown, ActionBreakdownRow, Platform};

/// Count actions by platform and type
///
/// One row for each platform; with --breakdown one for each platform and type, with the failures by cause. Actions
/// count when they end.
///
/// Example: opsctl metrics actions --platform notion --breakdown
#[derive(Args, Debug)]
pub struct ActionsArgs {
    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: Since,

    /// One row for each type
    #[arg(long)]
    breakdown: bool,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

pub(super) async fn actions(app: &App, args: ActionsArgs) -> anyhow::Result<Outcome> {
    let (platform, by_type) = (args.platform.map(|p| p.0), args.breakdown);
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        app.watch(&args.watch, || async {
            let window = super::window_since(&args.since, app.now())?;
            let counts = orchestrator.breakdown(window, platform).await?;
            Ok((Counts { counts, window, by_type }, Outcome::Done))
        })
        .await
    };
    let error = match asked.await {
        Err(error) => error,
        answered => return answered,
    };
    let (left, window) = figures(app, error, |now| super::window_since(&args.since, now)).await?;
    app.emit(&Counts { counts: left.breakdown(window, platform)?, window, by_type })?;
    Ok(left.end(app, args.stale))
}

/// In JSON always the API's rows by platform and type; the text sums them up unless told.
#[derive(Serialize)]
#[serde(transparent)]
struct Counts {
    counts: ActionBreakdown,
    #[serde(skip)]
    window: Duration,
    #[serde(skip)]
    by_type: bool,
}

impl Report for Counts {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.counts.rows.is_empty() {
            return Ok(());
        }
        page.line(format_args!("Actions that ended in the last {}", span(self.window)))?;
        let mut table;
        if self.by_type {
            table =
                Table::new(&["PLATFORM", "TYPE", ">ENDED", ">SUCCEEDED", ">RETRIES", ">MEAN CALL", "FAILED BY CAUSE"]);
            for row in &self.counts.rows {
                table.row([
                    row.platform.to_string(),
                    row.action_type.to_string(),
                    text::count(row.total),
                    text::rate(row.succeeded, row.total),
                    text::count(row.retries),
                    text::millis(row.avg_execution_time),
                    causes(row),
                ]);
            }
        } else {
            table = Table::new(&["PLATFORM", ">ENDED", ">SUCCEEDED", ">FAILED", ">RETRIES", ">MEAN CALL"]);
            for (platform, sum) in by_platform(&self.counts.rows) {
                table.row([
                    platform.to_string(),
                    text::count(sum.total),
                    text::rate(sum.succeeded, sum.total),
                    text::count(sum.failed),
                    text::count(sum.retries),
                    sum.mean().map(text::millis).unwrap_or_default(),
                ]);
            }
        }
        page.table(&table)
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.counts.rows.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        let window = span(self.window);
        self.counts.rows.is_empty().then(|| format!("No action ended in the last {window}."))
    }
}

fn causes(row: &ActionBreakdownRow) -> String {
    let mut causes: Vec<_> = row.by_error.iter().collect();
    causes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    causes.iter().map(|(code, count)| format!("{count} {code}")).collect::<Vec<_>>().join(", ")
}

/// The types of one platform together.
#[derive(Default)]
struct Sum {
    total: u64,
    succeeded: u64,
    failed: u64,
    retries: u64,
    /// Call time of all of them, in milliseconds.
    time: f64,
}

impl Sum {
    fn mean(&self) -> Option<f64> {
        (self.total > 0).then(|| self.time / self.total as f64)
    }
}

fn by_platform(rows: &[ActionBreakdownRow]) -> BTreeMap<Platform, Sum> {
    let mut sums: BTreeMap<Platform, Sum> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(row.platform).or_default();
        sum.total += row.total;
        sum.succeeded += row.succeeded;
        sum.failed += row.failed;
        sum.retries += row.retries;
        sum.time += row.avg_execution_time * row.total as f64;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ActionType, ErrorCode};

    #[test]
    fn types_add_up_and_the_mean_is_weighted() {
        let row = |action_type, total, avg_execution_time| ActionBreakdownRow {
            platform: Platform::Notion,
            action_type,
            total,
            succeeded: total - 1,
            failed: 1,
            retries: 2,
            avg_execution_time,
            by_error: BTreeMap::from([(ErrorCode::RateLimited, 1), (ErrorCode::AuthError, 3)]),
        };
        let rows = [row(ActionType::Create, 30, 100.0), row(ActionType::Query, 10, 20.0)];
        let sums = by_platform(&rows);
        let sum = &sums[&Platform::Notion];
        assert_eq!((sum.total, sum.succeeded, sum.failed, sum.retries), (40, 38, 2, 4));
        assert_eq!(sum.mean(), Some(80.0));
        assert_eq!(causes(&rows[0]), "3 AUTH_ERROR, 1 RATE_LIMITED");
    }
}
