//! `opsctl analyze retries|fallbacks|rate-limits`: what became of the tries of actions.

use std::io;

use clap::Args;

use super::failures::bars;
use super::{Drawn, LogArgs, counts, values};
use crate::analysis::attempts::FILTER;
use crate::analysis::fallbacks::{self, Fallbacks};
use crate::analysis::limited::{self, RateLimits};
use crate::analysis::retries::{self, Retries};
use crate::app::App;
use crate::commands::args::PlatformArg;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Table, percent};
use crate::settings::Since;
use crate::wire::LogName;

/// Tell what retries are worth, and what to change
///
/// Success by the number of the try: a try that hardly ever succeeds is a call for nothing, and a last try that often
/// does says that one more would help. With fewer than 20 retries nothing is advised.
///
/// Example: opsctl analyze retries --since 30d
#[derive(Args, Debug)]
pub struct RetriesArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: Since,

    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn retries(app: &App, args: RetriesArgs) -> anyhow::Result<Outcome> {
    let asked = args.log.find(app, LogName::Application, &args.since).await?;
    let filter = asked.filter(args.platform.map(|p| p.0), &[FILTER]);
    let max = max_retries(app).await;
    asked.answer(app, &filter, retries::Gather::default(), |gather| gather.finish(max)).await
}

/// The setting in force. A service that does not answer leaves it unknown; the logs are read all the same.
async fn max_retries(app: &App) -> Option<u32> {
    let entry = app.orchestrator().await.ok()?.config_entry("MAX_RETRY_ATTEMPTS").await.ok()?;
    entry.value?.parse().ok()
}

impl Drawn for Retries {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if let Some(max) = self.max_retries {
            page.line(format_args!("MAX_RETRY_ATTEMPTS is {max}: up to {} tries an action", max + 1))?;
            page.blank()?;
        }
        let mut table = Table::new(&[">TRY", ">TRIES", ">SUCCEEDED", "FAILED BY CAUSE"]);
        for row in &self.attempts {
            table.row([
                row.attempt.to_string(),
                text::count(row.tries),
                text::rate(row.succeeded, row.tries),
                counts(&row.by_error),
            ]);
        }
        page.table(&table)?;
        page.blank()?;
        let mut table = Table::new(&["PLATFORM", ">FIRST TRY SUCCEEDED", ">RETRY SUCCEEDED"]);
        for on in &self.platforms {
            let first = text::rate(on.first_succeeded, on.first);
            table.row([on.platform.to_string(), first, text::rate(on.retries_succeeded, on.retries)]);
        }
        page.table(&table)?;
        page.blank()?;
        for advice in &self.advice {
            page.folded(&advice.text, 0)?;
            if let Some(command) = &advice.command {
                page.line(format_args!("  {command}"))?;
            }
        }
        Ok(())
    }

    fn rows(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        values(&self.attempts)
    }

    fn nothing(&self) -> Option<&'static str> {
        self.attempts.is_empty().then_some("No tries of actions in the window.")
    }
}

/// Tell where another platform stood in, and whether it worked
///
/// Example: opsctl analyze fallbacks --since 7d
#[derive(Args, Debug)]
pub struct FallbacksArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: Since,

    /// Only from this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn fallbacks(app: &App, args: FallbacksArgs) -> anyhow::Result<Outcome> {
    let asked = args.log.find(app, LogName::Application, &args.since).await?;
    // The lines of the one that stood in are looked at too.
    let (gather, filter) = (fallbacks::Gather::of(args.platform.map(|p| p.0)), asked.filter(None, &[FILTER]));
    asked.answer(app, &filter, gather, fallbacks::Gather::finish).await
}

/// The runbook's alert: more than this share of what was done.
const SHARE_LIMIT: f64 = 0.20;

impl Drawn for Fallbacks {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let share = self.share.map(percent).unwrap_or_default();
        let done = text::counted(self.executed, "action", "actions");
        let fallbacks = text::counted(self.total, "fallback", "fallbacks");
        let alert = if self.share.is_some_and(|share| share > SHARE_LIMIT) { "WARN  " } else { "" };
        let line = format!("{alert}{fallbacks}; {share} of {done} that were done (alert above 20% in an hour)");
        page.folded(&line, 0)?;
        page.blank()?;
        let mut table = Table::new(&["FROM", "TO", ">TIMES", ">SUCCEEDED", "CAUSES", "FIRST", "LAST"]);
        for pair in &self.pairs {
            table.row([
                pair.from.to_string(),
                pair.to.to_string(),
                text::count(pair.count),
                text::rate(pair.succeeded, pair.count),
                counts(&pair.causes),
                page.time(pair.first_at),
                page.time(pair.last_at),
            ]);
        }
        page.table(&table)
    }

    fn rows(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        values(&self.pairs)
    }

    fn nothing(&self) -> Option<&'static str> {
        self.pairs.is_empty().then_some("No platform stood in for another in the window.")
    }
}

/// Tell when rate limits were hit, and by what
///
/// Tries are counted by the minute in which they ended. Below stands a bar for every hour with refusals.
///
/// Example: opsctl analyze rate-limits --since 7d
#[derive(Args, Debug)]
pub struct RateLimitsArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: Since,

    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn rate_limits(app: &App, args: RateLimitsArgs) -> anyhow::Result<Outcome> {
    let asked = args.log.find(app, LogName::Application, &args.since).await?;
    let filter = asked.filter(args.platform.map(|p| p.0), &[FILTER]);
    let (gather, source) = asked.put(app, &filter, limited::Gather::default()).await?;
    asked.told(app, &source, &filter);
    let answer = Refused { limits: gather.finish(), window: (asked.since, asked.until) };
    let answer = super::Answer { answer, since: asked.since, until: asked.until, source };
    app.emit(&answer)?;
    Ok(asked.outcome(app, &answer.source).await)
}

#[derive(serde::Serialize)]
struct Refused {
    #[serde(flatten)]
    limits: RateLimits,
    #[serde(skip)]
    window: (crate::wire::Time, crate::wire::Time),
}

impl Drawn for Refused {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&[
            "PLATFORM",
            ">REFUSED",
            ">ACTIONS HIT",
            ">BUSIEST MINUTE",
            "AT",
            ">WORST MINUTE",
            "AT",
            "REFUSED BY TYPE",
            "NEXT",
        ]);
        for on in &self.limits.platforms {
            let time = |at: Option<crate::wire::Time>| at.map(|at| page.time(at)).unwrap_or_default();
            let next = (on.limited > 0).then(|| format!("opsctl rate-limits status {}", on.platform));
            table.row([
                on.platform.to_string(),
                text::rate(on.limited, on.tries),
                text::count(on.actions),
                format!("{} tries", text::count(on.peak_per_minute)),
                time(on.peak_at),
                format!("{} refused", text::count(on.worst_per_minute)),
                time(on.worst_at),
                counts(&on.by_type),
                next.unwrap_or_default(),
            ]);
        }
        page.table(&table)?;
        if self.limits.hours.is_empty() {
            return Ok(());
        }
        page.blank()?;
        page.line("Refusals an hour, UTC")?;
        bars(&self.limits.hours, self.window.0, self.window.1).iter().try_for_each(|line| page.line(line))
    }

    fn rows(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        values(&self.limits.platforms)
    }

    fn nothing(&self) -> Option<&'static str> {
        self.limits.platforms.is_empty().then_some("No tries of actions in the window.")
    }
}
