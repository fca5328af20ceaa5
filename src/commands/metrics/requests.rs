//! `opsctl metrics requests`.

use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::analysis::span;
use crate::app::{App, StaleArgs, WatchArgs};
use crate::commands::args::PlatformArg;
use crate::commands::logs::left::left;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::wire::RequestMetrics;

/// Count the requests really sent to each platform
///
/// Requests, not actions: an action can need several, and a retry is one more. RATE LIMITED counts answers 429 and
/// their like. LAST MINUTES shows the newest minute last.
///
/// Example: opsctl metrics requests --platform notion --window 5m
#[derive(Args, Debug)]
pub struct RequestsArgs {
    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    /// Length of the window
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = super::parse_window)]
    window: Duration,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

pub(super) async fn requests(app: &App, args: RequestsArgs) -> anyhow::Result<Outcome> {
    let platform = args.platform.map(|p| p.0);
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        app.watch(&args.watch, || async {
            Ok((Requests(orchestrator.requests(args.window, platform).await?), Outcome::Done))
        })
        .await
    };
    let left = match asked.await {
        Err(error) => left(app, error).await?,
        answered => return answered,
    };
    app.emit(&Requests(left.recorded.requests(args.window, platform)?))?;
    Ok(left.end(app, args.stale))
}

/// Minutes of the series that fit beside the counts.
const SHOWN_MINUTES: usize = 10;

#[derive(Serialize)]
#[serde(transparent)]
struct Requests(RequestMetrics);

impl Report for Requests {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&[
            "PLATFORM",
            ">REQUESTS",
            ">A MINUTE",
            ">PEAK MINUTE",
            ">RATE LIMITED",
            ">FAILED",
            "LAST MINUTES",
        ]);
        for row in &self.0.platforms {
            let series = &row.per_minute_series;
            let last = &series[series.len().saturating_sub(SHOWN_MINUTES)..];
            table.row([
                row.platform.to_string(),
                text::count(row.requests),
                format!("{:.1}", row.per_minute),
                text::count(row.peak_per_minute),
                text::rate(row.rate_limited, row.requests),
                text::rate(row.failed, row.requests),
                last.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
            ]);
        }
        let window = span(Duration::from_millis(self.0.window_ms));
        page.line(format_args!("Requests sent in the last {window}"))?;
        page.table(&table)
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.0.platforms.iter().map(serde_json::to_value).collect()
    }
}
