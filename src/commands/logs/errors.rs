//! `opsctl logs errors`.

use std::io;

use clap::Args;
use serde::Serialize;

use super::lines::{self, About, LineArgs, Simple};
use super::place::{self, Place};
use super::stale;
use crate::analysis::errors::{Cause, causes};
use crate::app::{App, WatchArgs};
use crate::commands::text;
use crate::error::{Explained, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::wire::{ErrorFilter, ErrorLog, LogName, Time};

/// Most that one call of the service gives; for more its log is read.
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
    #[command(flatten)]
    lines: LineArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

/// The errors' log, where lines are asked for.
const ERRORS: About = About::of(LogName::Errors, &["level:error"]).showing(20);

pub(super) async fn errors(app: &App, args: ErrorsArgs) -> anyhow::Result<Outcome> {
    let ErrorsArgs { lines, watch } = args;
    if lines.wants_lines() {
        return lines::show(app, ERRORS, lines).await;
    }
    let simple = lines.simple().filter(|simple| simple.workflow.is_none() && simple.grep.is_none());
    match simple.filter(|simple| simple.limit.is_none_or(|limit| limit <= MOST)) {
        Some(simple) => of_service(app, &simple, &watch, &lines).await,
        None => of_log(app, &watch, &lines).await,
    }
}

async fn of_service(app: &App, simple: &Simple<'_>, watch: &WatchArgs, lines: &LineArgs) -> anyhow::Result<Outcome> {
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        // Not earlier: finding the orchestrator moves the clock to the sandbox's.
        let filter = ErrorFilter {
            limit: simple.limit.unwrap_or(ERRORS.limit),
            platform: simple.platform,
            component: simple.component.map(str::to_owned),
            since: simple.since.resolve(app)?,
        };
        app.watch(watch, || async {
            let log = orchestrator.errors(&filter).await?;
            if watch.watch.is_none() && !log.errors.is_empty() {
                app.note(told(&log, filter.since));
            }
            Ok((Errors(log), Outcome::Done))
        })
        .await
    };
    let error = match asked.await {
        Err(error) if Explained::from_error(&error).kind == Kind::Unreachable => error,
        answered => return answered,
    };
    // Whoever is down wrote files before.
    let Ok(place @ Place::Files(_)) = place::find(app, LogName::Errors, None).await else { return Err(error) };
    let (log, source) = stale::errors(app, &place, &lines::filter(app, &ERRORS, lines)?).await?;
    app.emit(&Errors(log))?;
    Ok(lines.stale().silent(app, &Explained::from_error(&error).message, &source))
}

/// Where the service's own answer comes from.
fn told(log: &ErrorLog, since: Option<Time>) -> String {
    let window = since.map(|since| format!(", since {since}")).unwrap_or_default();
    let begin = match (log.oldest, since) {
        (Some(oldest), Some(since)) if since >= oldest => String::new(),
        (Some(oldest), _) => format!("; they begin at {oldest}"),
        (None, _) => String::new(),
    };
    format!("from the errors that the service keeps{window}{begin}")
}

async fn of_log(app: &App, watch: &WatchArgs, lines: &LineArgs) -> anyhow::Result<Outcome> {
    // First, because it moves the clock to the sandbox's.
    let place = place::find(app, LogName::Errors, lines.file()).await;
    let filter = lines::filter(app, &ERRORS, lines)?;
    let place = place?;
    app.watch(watch, || async {
        let (log, source) = stale::errors(app, &place, &filter).await?;
        app.note(place::told(&source, &place, &filter, app.now()));
        Ok((Errors(log), lines.stale().outcome(app, &place, &source).await))
    })
    .await
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
                // Exact on a terminal too, as in every log.
                entry.timestamp.to_string(),
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
        page.folded(&self.counts(), 2)?;
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
}
