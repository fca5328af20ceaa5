//! `opsctl analyze queries|duplicates`: what is asked or done again.

use std::io;

use clap::Args;
use serde::Serialize;

use super::{Drawn, LogArgs, values};
use crate::analysis::attempts::FILTER;
use crate::analysis::duplicates::{self, Duplicates, Keys};
use crate::analysis::queries::{Gather, Queries};
use crate::app::App;
use crate::commands::args::PlatformArg;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Table};
use crate::settings::Since;
use crate::wire::LogName;

/// How long a cache keeps an answer where the service does not say, in seconds: the default of `CACHE_TTL`.
const CACHE_TTL: u64 = 300;

/// Tell how reads go, and which ask the same again
///
/// CACHEABLE counts reads that asked what was asked within CACHE_TTL before: with ENABLE_CACHING they need no call.
///
/// Example: opsctl analyze queries --platform notion
#[derive(Args, Debug)]
pub struct QueriesArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: Since,

    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn queries(app: &App, args: QueriesArgs) -> anyhow::Result<Outcome> {
    let asked = args.log.find(app, LogName::Application, &args.since).await?;
    let filter = asked.filter(args.platform.map(|p| p.0), &[FILTER]);
    let gather = Gather::new(cache_ttl(app).await.unwrap_or(CACHE_TTL) * 1000);
    asked.answer(app, &filter, gather, Gather::finish).await
}

async fn cache_ttl(app: &App) -> Option<u64> {
    app.orchestrator().await.ok()?.config_entry("CACHE_TTL").await.ok()?.value?.parse().ok()
}

impl Drawn for Queries {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let headings =
            ["PLATFORM", ">READS", ">FAILED", ">P50", ">P95", ">BUSIEST MINUTE", ">REPEATED", ">CACHEABLE", "NEXT"];
        let mut table = Table::new(&headings);
        for on in &self.platforms {
            let time = |ms: Option<f64>| ms.map(text::millis).unwrap_or_default();
            let repeats = |n: u64| if on.fingerprinted { text::count(n) } else { "not recorded".to_owned() };
            // A tenth fewer calls is worth a setting.
            let next = (on.cacheable * 10 > on.count).then_some("opsctl config set ENABLE_CACHING=true");
            table.row([
                on.platform.to_string(),
                text::count(on.count),
                text::rate(on.failed, on.count),
                time(on.p50),
                time(on.p95),
                text::count(on.peak_per_minute),
                repeats(on.repeated),
                repeats(on.cacheable),
                next.unwrap_or_default().to_owned(),
            ]);
        }
        page.table(&table)?;
        if self.most_repeated.is_empty() {
            return Ok(());
        }
        page.blank()?;
        let mut table = Table::new(&["PLATFORM", "QUESTION", ">ASKED", "LAST BY", "LAST"]);
        for again in &self.most_repeated {
            table.row([
                again.platform.to_string(),
                again.fingerprint.clone(),
                text::count(again.count),
                again.action_id.clone(),
                page.time(again.last_at),
            ]);
        }
        page.table(&table)
    }

    fn rows(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        values(&self.platforms)
    }

    fn nothing(&self) -> Option<&'static str> {
        self.platforms.is_empty().then_some("Nothing was read from a platform in the window.")
    }
}

/// Count what was done twice, and what kept it from being
///
/// Writes with the same parameters that succeeded more than once, by platform and type; submissions that were the same
/// again and did not run; keys that stood for something else. `opsctl logs duplicates` names each.
///
/// Example: opsctl analyze duplicates --since 7d
#[derive(Args, Debug)]
pub struct DuplicatesArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: Since,

    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn duplicates(app: &App, args: DuplicatesArgs) -> anyhow::Result<Outcome> {
    let asked = args.log.find(app, LogName::Application, &args.since).await?;
    let (gather, filter) = (duplicates::Gather::on(args.platform.map(|p| p.0)), asked.filter(None, &[]));
    asked.answer(app, &filter, gather, |gather| Counted(gather.finish())).await
}

/// List what was done twice
///
/// Writes with the same parameters that succeeded more than once. The same may be meant: two people may say the same. One
/// action that ran twice is never meant.
///
/// Example: opsctl logs duplicates --since 24h
#[derive(Args, Debug)]
pub struct LogDuplicatesArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: Since,

    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    log: LogArgs,
}

/// `opsctl logs duplicates`: the same question, each named.
pub(in crate::commands) async fn listed(app: &App, args: LogDuplicatesArgs) -> anyhow::Result<Outcome> {
    let asked = args.log.find(app, LogName::Application, &args.since).await?;
    let (gather, filter) = (duplicates::Gather::on(args.platform.map(|p| p.0)), asked.filter(None, &[]));
    asked.answer(app, &filter, gather, |gather| Listed(gather.finish())).await
}

/// Counts by platform and type.
#[derive(Serialize)]
#[serde(transparent)]
struct Counted(Duplicates);

impl Drawn for Counted {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let found = &self.0;
        let mut table = Table::new(&["PLATFORM", "TYPE", ">WRITTEN", ">AGAIN"]);
        for row in &found.rows {
            table.row([
                row.platform.to_string(),
                row.kind.clone(),
                text::count(row.succeeded),
                text::rate(row.duplicates, row.succeeded),
            ]);
        }
        page.table(&table)?;
        page.blank()?;
        prevented(found, page)?;
        if !found.duplicates.is_empty() {
            page.line("each of them: opsctl logs duplicates")?;
        }
        Ok(())
    }

    fn rows(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        values(&self.0.rows)
    }

    fn nothing(&self) -> Option<&'static str> {
        nothing(&self.0)
    }
}

/// Each of them.
#[derive(Serialize)]
#[serde(transparent)]
struct Listed(Duplicates);

impl Drawn for Listed {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let found = &self.0;
        if found.duplicates.is_empty() {
            page.line("Nothing was done twice.")?;
        } else {
            let mut table = Table::new(&["", "PLATFORM", "TYPE", ">TIMES", "PARAMETERS", "FIRST", "LAST", "ACTIONS"]);
            for twice in &found.duplicates {
                table.row([
                    if twice.same_action { "RAN TWICE" } else { " " }.to_owned(),
                    twice.platform.to_string(),
                    twice.kind.clone(),
                    text::count(twice.count),
                    twice.fingerprint.clone(),
                    page.time(twice.first_at),
                    page.time(twice.last_at),
                    twice.actions.join(" "),
                ]);
            }
            page.table(&table)?;
        }
        page.blank()?;
        prevented(found, page)
    }

    fn rows(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        values(&self.0.duplicates)
    }

    fn nothing(&self) -> Option<&'static str> {
        nothing(&self.0)
    }
}

fn nothing(found: &Duplicates) -> Option<&'static str> {
    let idle = found.keys.is_none_or(|keys| keys == Keys::default());
    (found.rows.is_empty() && idle).then_some("Nothing was written to a platform in the window.")
}

/// What idempotency keys did.
fn prevented(found: &Duplicates, page: &mut Page<'_>) -> io::Result<()> {
    match found.keys {
        Some(keys) => {
            page.pair("Prevented", text::count(keys.prevented))?;
            page.pair("Collisions", text::count(keys.collisions))?;
            page.pair("Keys that prevent nothing", text::count(keys.useless_keys))?;
        }
        None => page.line("What keys prevented is told of all platforms only: leave out --platform.")?,
    }
    if found.unknown > 0 {
        page.pair("Writes whose parameters are not recorded", text::count(found.unknown))?;
    }
    Ok(())
}
