//! `opsctl logs errors`.

use std::io;

use clap::Args;
use serde::Serialize;

use super::place::StaleArgs;
use super::stale;
use crate::analysis::errors::{Cause, causes};
use crate::app::{App, WatchArgs};
use crate::commands::args::{PlatformArg, SinceArgs};
use crate::commands::text;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::wire::{ErrorFilter, ErrorLog};

/// Most that one call gives.
const MOST: u64 = 1000;

/// Show the last errors, their causes, and what to do about them
///
/// The newest are last, as in a log. Below them stand the counts by cause over everything that matches, not only over
/// what is shown, and the next command for the causes the runbook knows: invalid key, rate limit, platform down,
/// network.
///
/// Example: opsctl logs errors --platform notion --since 1h --limit 10
#[derive(Args, Debug)]
pub struct ErrorsArgs {
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value = "20", value_parser = parse_limit, allow_negative_numbers = true)]
    limit: u64,

    /// Only this platform
    #[arg(long, visible_alias = "executor", value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    /// Only this part: executor, queue, store, http, circuit, state-manager
    #[arg(long, value_name = "PART")]
    component: Option<String>,

    #[command(flatten)]
    since: SinceArgs,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

fn parse_limit(text: &str) -> Result<u64, Fault> {
    let refuse =
        |why: &str| Fault::usage(format!("`{text}` is not a number of lines")).because(why).hint("write --limit 20");
    match text.parse::<i64>() {
        Ok(n) if n < 1 => Err(refuse("it has to be at least 1")),
        Ok(n) if n > MOST as i64 => Err(refuse("one call gives at most 1000; narrow it with --since or --platform")),
        Ok(n) => Ok(n as u64),
        Err(_) => Err(refuse("it is not a whole number")),
    }
}

pub(super) async fn errors(app: &App, args: ErrorsArgs) -> anyhow::Result<Outcome> {
    let filter = ErrorFilter {
        limit: args.limit,
        platform: args.platform.map(|p| p.0),
        component: args.component,
        since: args.since.resolve(app)?,
    };
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        app.watch(&args.watch, || async { Ok((Errors(orchestrator.errors(&filter).await?), Outcome::Done)) }).await
    };
    let error = match asked.await {
        Err(error) if Explained::from_error(&error).kind == Kind::Unreachable => error,
        answered => return answered,
    };
    // Whoever is down wrote files before.
    let Some((log, source)) = stale::errors(app, &filter).await? else { return Err(error) };
    app.emit(&Errors(log))?;
    Ok(args.stale.silent(app, &Explained::from_error(&error).message, &source))
}

/// In JSON the API's own answer; lines are oldest first, as in a log.
#[derive(Serialize)]
#[serde(transparent)]
struct Errors(ErrorLog);

impl Report for Errors {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let log = &self.0;
        if log.errors.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["TIME", "PLATFORM", "PART", "CAUSE", "ACTION", ">TRY", "MESSAGE"]);
        for entry in log.errors.iter().rev() {
            table.row([
                page.time(entry.timestamp),
                entry.platform.map(|p| p.to_string()).unwrap_or_default(),
                entry.component.clone().unwrap_or_default(),
                entry.error_code.map(|c| c.to_string()).unwrap_or_default(),
                entry.action_id.clone().unwrap_or_default(),
                entry.attempt.map(|n| n.to_string()).unwrap_or_default(),
                entry.message.clone(),
            ]);
        }
        page.table(&table)?;
        page.blank()?;
        page.line(self.counts())?;
        draw_causes(page, &causes(&log.errors))
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.0.errors.iter().rev().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        let back = self.0.oldest.map(|t| format!(" The log reaches back to {t}.")).unwrap_or_default();
        self.0.errors.is_empty().then(|| format!("No errors.{back}"))
    }
}

impl Errors {
    /// `57 errors match, 20 shown: 52 AUTH_ERROR, 5 RATE_LIMITED`; the counts cover all that match.
    fn counts(&self) -> String {
        let log = &self.0;
        let shown = log.errors.len() as u64;
        let of = if log.total > shown { format!(", {} shown", text::count(shown)) } else { String::new() };
        let mut codes: Vec<_> = log.by_code.iter().collect();
        codes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let codes: Vec<String> = codes.iter().map(|(code, count)| format!("{} {code}", text::count(**count))).collect();
        format!("{}{of}: {}", text::counted(log.total, "error matches", "errors match"), codes.join(", "))
    }
}

fn draw_causes(page: &mut Page<'_>, causes: &[Cause]) -> io::Result<()> {
    let mut table = Table::new(&["CAUSE", "PLATFORM", ">SHOWN", "MEANS", "NEXT"]);
    for cause in causes {
        table.row([
            cause.cause.clone(),
            cause.platform.map(|p| p.to_string()).unwrap_or_default(),
            text::count(cause.count),
            cause.meaning.clone(),
            cause.next.clone().unwrap_or_default(),
        ]);
    }
    page.table(&table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Style, draw};
    use crate::wire::{ErrorCode, ErrorEntry, Platform, Time};
    use std::collections::BTreeMap;

    fn entry(ms: i64, message: &str) -> ErrorEntry {
        ErrorEntry {
            timestamp: Time(ms),
            level: "error".into(),
            message: message.into(),
            platform: Some(Platform::Notion),
            component: Some("executor".into()),
            error_code: Some(ErrorCode::RateLimited),
            action_id: Some("act-1".into()),
            attempt: Some(2),
            request_id: None,
        }
    }

    #[test]
    fn the_newest_is_last_and_counts_cover_more_than_what_is_shown() {
        let log = Errors(ErrorLog {
            errors: vec![entry(2000, "newer"), entry(1000, "older")],
            by_code: BTreeMap::from([(ErrorCode::RateLimited, 5), (ErrorCode::AuthError, 52)]),
            total: 57,
            oldest: None,
        });
        let text = draw(&log, Style::plain()).unwrap();
        assert!(text.find("older").unwrap() < text.find("newer").unwrap(), "{text}");
        assert!(text.contains("57 errors match, 2 shown: 52 AUTH_ERROR, 5 RATE_LIMITED\n"), "{text}");
        assert_eq!(log.records().unwrap()[0]["message"], "older");
    }

    #[test]
    fn limits_that_make_no_sense_say_why() {
        assert_eq!(parse_limit("20").unwrap(), 20);
        for (text, why) in [("-1", "at least 1"), ("0", "at least 1"), ("1001", "at most 1000"), ("x", "whole number")]
        {
            let fault = parse_limit(text).unwrap_err();
            assert!(fault.causes[0].contains(why) && fault.hint.is_some(), "{text}");
        }
    }
}
