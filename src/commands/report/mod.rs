//! `opsctl report`: what became of a month.

mod month;
mod pages;

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::month::MonthArg;
use crate::analysis::capacity::Limits;
use crate::analysis::monthly::{Input, Monthly, monthly};
use crate::app::{App, StaleArgs};
use crate::client::Orchestrator;
use crate::commands::analyze::capacity::limits;
use crate::commands::logs::left::{Left, left};
use crate::error::Outcome;
use crate::output::document::{Document, DocumentFile};
use crate::output::{Page, Report};
use crate::wire::{AuditRecord, Bucket, MetricHistory, Time};

/// Reports.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Monthly(MonthlyArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Monthly(args) => run(app, &args).await,
        }
    }
}

/// Report a month: success, latency, failures, incidents, capacity
///
/// The month beside the one before it, from what the service records by the hour for 100 days. With --file it becomes a
/// page with plots (.html, opens without a network) or Markdown (.md); an earlier one at that place is replaced.
///
/// Example: opsctl report monthly --month last --file october.html
#[derive(Args, Debug)]
pub struct MonthlyArgs {
    /// Which month, UTC: last, this, or like 2026-10
    #[arg(long, value_name = "MONTH", default_value = "last")]
    month: MonthArg,

    /// Page (.html) or Markdown (.md) to write (can be repeated)
    #[arg(long, value_name = "PATH")]
    file: Vec<DocumentFile>,

    #[command(flatten)]
    stale: StaleArgs,
}

/// Records of changes that are counted; beyond it the newest.
const CHANGES_MAX: u64 = 10_000;

async fn run(app: &App, args: &MonthlyArgs) -> anyhow::Result<Outcome> {
    let paths = args.file.iter().map(DocumentFile::checked).collect::<Result<Vec<_>, _>>()?;
    // First, because it moves the clock to the sandbox's.
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        Ok((orchestrator, limits(orchestrator).await?))
    };
    let asked = match asked.await {
        Ok(answered) => Ok(answered),
        Err(error) => Err(left(app, error).await?),
    };
    let now = app.now();
    let month = args.month.resolve(now)?;
    let kept = match &asked {
        Ok((orchestrator, limits)) => of_service(orchestrator, limits.clone(), &month, now).await?,
        Err(left) => of_left(left, &month, now)?,
    };
    if kept.audit.len() as u64 == CHANGES_MAX {
        app.output.warn(&format!("only the newest {CHANGES_MAX} changes of the month are counted"));
    }
    let name = month.name();
    let Kept { days, hours, before, audit, limits } = &kept;
    let report = monthly(&Input { month: &name, days, hours, before, audit, limits });
    let document = pages::document(&report, &month, now);
    for (file, path) in args.file.iter().zip(&paths) {
        file.write(path, &document)?;
        app.note(format!("wrote {}", path.display()));
    }
    app.emit(&Shown { report, document })?;
    Ok(match asked {
        Ok(_) => Outcome::Done,
        Err(left) => left.end(app, args.stale),
    })
}

/// What is kept of a month.
struct Kept {
    days: MetricHistory,
    hours: MetricHistory,
    before: MetricHistory,
    audit: Vec<AuditRecord>,
    limits: Limits,
}

async fn of_service(
    orchestrator: &Orchestrator,
    limits: Limits,
    month: &month::Month,
    now: Time,
) -> anyhow::Result<Kept> {
    let (from, to) = (month.from(), month.to().min(now));
    Ok(Kept {
        days: orchestrator.history(from, to, Bucket::Day).await?,
        hours: orchestrator.history(from, to, Bucket::Hour).await?,
        before: orchestrator.history(month.before().from(), from, Bucket::Day).await?,
        audit: orchestrator.audit(Some(from), Some(to), CHANGES_MAX).await?.records,
        limits,
    })
}

/// The same of a service that does not answer; what it is held by now is not known.
fn of_left(left: &Left, month: &month::Month, now: Time) -> anyhow::Result<Kept> {
    let (from, to) = (month.from(), month.to().min(now));
    Ok(Kept {
        days: left.recorded.history(from, to, Bucket::Day)?,
        hours: left.recorded.history(from, to, Bucket::Hour)?,
        before: left.recorded.history(month.before().from(), from, Bucket::Day)?,
        audit: left.changes(from, to, CHANGES_MAX)?,
        limits: Limits::default(),
    })
}

/// In JSON the figures; for people the document's tables.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown {
    report: Monthly,
    #[serde(skip)]
    document: Document,
}

impl Report for Shown {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        self.document.draw(page)
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.report.days.iter().map(serde_json::to_value).collect()
    }
}
