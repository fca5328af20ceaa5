//! `opsctl analyze uptime`.

use std::io;
use std::time::Duration;

use clap::Args;

use super::{Drawn, LogArgs, values};
use crate::analysis::span;
use crate::analysis::uptime::{Gather, Uptime};
use crate::app::App;
use crate::commands::args::PlatformArg;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Table};
use crate::settings::Since;

/// Outages shown to a person; JSON has all of them.
const SHOWN: usize = 20;

/// Tell how much of the time a platform worked
///
/// By the minute, from what the logs saw: a minute is up when something worked in it, down when all that was tried failed
/// at the platform or its circuit was open. Minutes in which nothing was tried are neither, and are counted apart.
///
/// Example: opsctl analyze uptime --platform notion --since 30d
#[derive(Args, Debug)]
pub struct UptimeArgs {
    /// The platform
    #[arg(long, value_name = "PLATFORM", required = true)]
    platform: PlatformArg,

    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: Since,

    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn uptime(app: &App, args: UptimeArgs) -> anyhow::Result<Outcome> {
    let platform = args.platform.0;
    let asked = args.log.find(app, platform.into(), &args.since).await?;
    let filter = asked.filter(Some(platform), &[]);
    let gather = Gather::new(platform, asked.since, asked.until);
    asked.answer(app, &filter, gather, Gather::finish).await
}

impl Drawn for Uptime {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let minutes = |n: u64| span(Duration::from_secs(n * 60));
        // A share of few minutes is not rounded up to 100 %.
        let rate = self.uptime.map(|rate| format!("{:.2}%", (rate * 10_000.0).floor() / 100.0)).unwrap_or_default();
        page.pair("Platform", self.platform)?;
        page.pair("Uptime", format_args!("{rate} of what was seen"))?;
        page.pair("Seen", format_args!("{} ({})", minutes(self.seen), text::rate(self.seen, self.minutes)))?;
        page.pair("Not recorded", minutes(self.minutes.saturating_sub(self.seen)))?;
        page.pair("Down", minutes(self.down))?;
        let open = span(Duration::from_millis(self.circuit_open_ms));
        let times = text::counted(self.circuit_opened, "time", "times");
        page.pair("Circuit opened", format_args!("{times}, {open} in all"))?;
        if self.outages.is_empty() {
            return Ok(());
        }
        page.blank()?;
        let mut table = Table::new(&["FROM", "TO", ">DOWN", ">FAILED TRIES", "CIRCUIT"]);
        for outage in self.outages.iter().rev().take(SHOWN).rev() {
            table.row([
                outage.from.to_string(),
                outage.to.to_string(),
                minutes(outage.minutes),
                text::count(outage.failed),
                if outage.circuit_open { "OPEN".to_owned() } else { String::new() },
            ]);
        }
        page.table(&table)?;
        let left = self.outages.len().saturating_sub(SHOWN);
        if left > 0 {
            page.line(format_args!("and {} earlier", text::count(left as u64)))?;
        }
        Ok(())
    }

    fn rows(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        values(&self.outages)
    }

    fn nothing(&self) -> Option<&'static str> {
        (self.seen == 0)
            .then_some("Nothing about this platform was recorded in the window: whether it worked is not known.")
    }
}
