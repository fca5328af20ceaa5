//! `opsctl rate-limits`: how much of each platform's limit is used.

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::{App, Kept, StaleArgs, WatchArgs};
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::wire::{Platform, RateLimitStatus, Time};

use super::args::{OneOrAll, PlatformArg};
use super::outage::{self, Question};

/// Share of a limit from which on it is worth a warning (runbook, Issue 5, Prevention).
const WARN_PERCENT: u64 = 80;

/// Rate limits of the platforms
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Status(StatusArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Status(args) => status(app, args).await,
        }
    }
}

/// Show how much of each limit is used
///
/// Counted are the requests the orchestrator really sent in the current window. A platform that answered 429 is held
/// back until its Retry-After is over; RESETS shows that moment.
///
/// Example: opsctl rate-limits status notion --reset-time
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Platform whose limit to show; all of them without it
    platform: Option<PlatformArg>,

    /// Only when the window resets
    #[arg(long)]
    reset_time: bool,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Limits(Vec<RateLimitStatus>);

fn word(percentage: u64) -> &'static str {
    match percentage {
        100.. => "FULL",
        WARN_PERCENT.. => "WARN",
        _ => "OK",
    }
}

impl Report for Limits {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PLATFORM", "STATE", ">USED", ">LIMIT", ">WINDOW", ">SHARE", "RESETS"]);
        for limit in &self.0 {
            table.row([
                limit.platform.to_string(),
                word(limit.percentage).to_owned(),
                limit.current.to_string(),
                limit.limit.to_string(),
                limit.window.clone(),
                format!("{}%", limit.percentage),
                page.time(limit.reset_at),
            ]);
        }
        page.table(&table)
    }
}

impl Report for RateLimitStatus {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Platform", self.platform)?;
        page.pair("Used", format_args!("{} of {} in {}", self.current, self.limit, self.window))?;
        page.pair("Share", format_args!("{}%", self.percentage))?;
        page.pair_time("Resets", self.reset_at)
    }
}

/// `--reset-time`: when the window resets, and nothing else.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResetTime {
    platform: Platform,
    reset_at: Time,
}

/// One object for one platform, a list for all.
#[derive(Serialize)]
#[serde(untagged)]
enum ResetTimes {
    One(ResetTime),
    All(Vec<ResetTime>),
}

impl Report for ResetTimes {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let times = match self {
            ResetTimes::One(one) => std::slice::from_ref(one),
            ResetTimes::All(all) => all,
        };
        for reset in times {
            page.pair_time(reset.platform.as_str(), reset.reset_at)?;
        }
        Ok(())
    }
}

async fn status(app: &App, args: StatusArgs) -> anyhow::Result<Outcome> {
    let question = Question::new(Kept::RateLimits, args.stale);
    let report = |mut limits: Vec<RateLimitStatus>| {
        if let Some(PlatformArg(platform)) = args.platform {
            limits.retain(|l| l.platform == platform);
        }
        let one = args.platform.is_some() && limits.len() == 1;
        let report = match (args.reset_time, one) {
            (true, one) => {
                let times = limits.iter().map(|l| ResetTime { platform: l.platform, reset_at: l.reset_at });
                let mut times: Vec<_> = times.collect();
                OneOrAll::One(if one { ResetTimes::One(times.remove(0)) } else { ResetTimes::All(times) })
            }
            (false, true) => OneOrAll::All(OneOrAll::One(limits.remove(0))),
            (false, false) => OneOrAll::All(OneOrAll::All(Limits(limits))),
        };
        (report, Outcome::Done)
    };
    app.watch(&args.watch, || outage::look(app, &question, async |api| api.rate_limits().await, report)).await
}
