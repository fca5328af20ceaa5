//! `opsctl report`: what became of a month.

mod month;
mod pages;

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::month::MonthArg;
use crate::analysis::monthly::{Input, Monthly, monthly};
use crate::app::App;
use crate::commands::analyze::capacity::limits;
use crate::error::Outcome;
use crate::output::document::{Document, DocumentFile};
use crate::output::{Page, Report};
use crate::wire::Bucket;

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
}

/// Records of changes that are counted; beyond it the newest.
const CHANGES_MAX: u64 = 10_000;

async fn run(app: &App, args: &MonthlyArgs) -> anyhow::Result<Outcome> {
    let paths = args.file.iter().map(DocumentFile::checked).collect::<Result<Vec<_>, _>>()?;
    let orchestrator = app.orchestrator().await?;
    // Not earlier: finding the orchestrator moves the clock to the sandbox's.
    let now = app.now();
    let month = args.month.resolve(now)?;
    let limits = limits(orchestrator).await?;
    let (from, to) = (month.from(), month.to().min(now));
    let days = orchestrator.history(from, to, Bucket::Day).await?;
    let hours = orchestrator.history(from, to, Bucket::Hour).await?;
    let before = orchestrator.history(month.before().from(), from, Bucket::Day).await?;
    let audit = orchestrator.audit(Some(from), Some(to), CHANGES_MAX).await?.records;
    if audit.len() as u64 == CHANGES_MAX {
        app.output.warn(&format!("only the newest {CHANGES_MAX} changes of the month are counted"));
    }
    let name = month.name();
    let report =
        monthly(&Input { month: &name, days: &days, hours: &hours, before: &before, audit: &audit, limits: &limits });
    let document = pages::document(&report, &month, now);
    for (file, path) in args.file.iter().zip(&paths) {
        file.write(path, &document)?;
        app.note(format!("wrote {}", path.display()));
    }
    app.emit(&Shown { report, document })?;
    Ok(Outcome::Done)
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
