//! `opsctl issues`: what the runbook should learn from the last weeks.

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::analyze::LogArgs;
use super::text;
use crate::analysis::failures::{Failures, Gather, Group, GroupBy};
use crate::app::{App, StaleArgs};
use crate::client::Orchestrator;
use crate::error::{Explained, Kind, Outcome};
use crate::output::document::{Document, DocumentFile, Section};
use crate::output::{Page, Report, Style, percent};
use crate::settings::Since;
use crate::wire::{AuditRecord, ErrorCode, LogName, LogSource, Time, WorkflowFilter, WorkflowStatus, WorkflowSummary};

/// Export what went wrong.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Export(ExportArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Export(args) => export(app, args).await,
        }
    }
}

/// Export error patterns, and what was done about them
///
/// For the runbook's monthly review: errors grouped by what they have in common, new ones first; workflows that a person
/// resolved, with the comment; and every change that was made with a reason. With --file it becomes Markdown (.md) or a
/// page (.html); -o csv and -o jsonl give the patterns.
///
/// Example: opsctl issues export --since 30d --file issues.md
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: Since,

    /// Before this; written as --since
    #[arg(long, value_name = "TIME")]
    until: Option<Since>,

    /// Markdown (.md) or page (.html) to write (can be repeated)
    #[arg(long, value_name = "PATH")]
    file: Vec<DocumentFile>,

    #[command(flatten)]
    stale: StaleArgs,
}

/// Workflows and changes that are looked at.
const MOST: u64 = 1000;
/// Resolved workflows whose comments are asked for, one by one.
const RESOLVED_MOST: usize = 200;

/// A workflow that a person resolved.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resolved {
    workflow_id: String,
    name: String,
    code: Option<ErrorCode>,
    error: Option<String>,
    by: String,
    at: Time,
    comment: Option<String>,
}

/// What is exported.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issues {
    since: Time,
    until: Time,
    /// New ones first, then by how many.
    patterns: Vec<Group>,
    /// How many errors they are.
    errors: u64,
    /// Absent when the orchestrator does not answer.
    resolutions: Option<Vec<Resolved>>,
    /// Changes with a reason, newest first; absent when the orchestrator does not answer.
    changes: Option<Vec<AuditRecord>>,
    source: LogSource,
}

async fn export(app: &App, args: ExportArgs) -> anyhow::Result<Outcome> {
    let paths = args.file.iter().map(DocumentFile::checked).collect::<Result<Vec<_>, _>>()?;
    // The context's log, or the service's.
    let asked = LogArgs { until: args.until, stale: args.stale, ..LogArgs::default() }
        .find(app, LogName::Errors, &args.since)
        .await?;
    let gather = Gather::new(asked.since, asked.until, GroupBy::Error);
    let mut filter = asked.filter(None, &["level:error"]);
    // The window before tells what is new.
    filter.since = Some(gather.begin());
    let (gather, source) = asked.put(app, &filter, gather).await?;
    let Failures { mut groups, total, .. } = gather.finish(source.oldest);
    groups.sort_by_key(|group| group.new != Some(true));
    asked.told(app, &source, &asked.filter(None, &[]));

    let told = what_was_done(app, asked.since, asked.until).await;
    let (resolutions, changes) = match told {
        Ok((resolutions, changes)) => (Some(resolutions), Some(changes)),
        Err(error) if Explained::from_error(&error).kind == Kind::Unreachable => {
            let why = Explained::from_error(&error).message;
            app.output.warn(&format!("resolutions and changes are unknown: {why}"));
            (None, None)
        }
        Err(error) => return Err(error),
    };
    let issues = Issues {
        since: asked.since,
        until: asked.until,
        patterns: groups,
        errors: total,
        resolutions,
        changes,
        source,
    };
    for (file, path) in args.file.iter().zip(&paths) {
        file.write(path, &issues.document(&Style::plain()))?;
        app.note(format!("wrote {}", path.display()));
    }
    app.emit(&issues)?;
    Ok(asked.outcome(app, &issues.source).await)
}

/// Resolutions with their comments, and changes with their reasons.
async fn what_was_done(app: &App, since: Time, until: Time) -> anyhow::Result<(Vec<Resolved>, Vec<AuditRecord>)> {
    let orchestrator = app.orchestrator().await?;
    let filter = WorkflowFilter {
        statuses: vec![WorkflowStatus::Resolved],
        since: Some(since),
        hide_cleared: false,
        limit: MOST,
        offset: 0,
    };
    let resolved = orchestrator.workflows(&filter).await?.workflows;
    if resolved.len() > RESOLVED_MOST {
        app.output.warn(&format!("only the newest {RESOLVED_MOST} of {} resolved workflows are in it", resolved.len()));
    }
    let mut resolutions = Vec::new();
    for summary in resolved.into_iter().take(RESOLVED_MOST) {
        resolutions.extend(resolution(orchestrator, summary).await?);
    }
    resolutions.retain(|resolved| (since..until).contains(&resolved.at));
    let mut changes = orchestrator.audit(Some(since), Some(until), MOST).await?.records;
    if changes.len() as u64 == MOST {
        app.output.warn(&format!("only the newest {MOST} changes were looked through"));
    }
    changes.retain(|change| change.reason.is_some() || change.ticket.is_some());
    Ok((resolutions, changes))
}

async fn resolution(orchestrator: &Orchestrator, summary: WorkflowSummary) -> anyhow::Result<Option<Resolved>> {
    let resolution = orchestrator.workflow(&summary.workflow_id).await?.resolution;
    Ok(resolution.map(|resolution| Resolved {
        workflow_id: summary.workflow_id,
        name: summary.name,
        code: summary.code,
        error: summary.error,
        by: resolution.by,
        at: resolution.at,
        comment: resolution.comment,
    }))
}

impl Issues {
    fn document(&self, style: &Style) -> Document {
        let errors = text::counted(self.errors, "error", "errors");
        let patterns = text::counted(self.patterns.len() as u64, "pattern", "patterns");
        let new = self.patterns.iter().filter(|pattern| pattern.new == Some(true)).count();
        let told_new = match self.patterns.iter().any(|pattern| pattern.new.is_some()) {
            true => format!(", {} of them new", text::count(new as u64)),
            false if self.patterns.is_empty() => String::new(),
            false => "; the log does not reach back far enough to tell which are new".to_owned(),
        };
        Document {
            title: "Issues".into(),
            lead: vec![format!("{} to {}: {errors} in {patterns}{told_new}.", self.since, self.until)],
            sections: vec![self.patterns(style), self.resolutions(style), self.changes(style)],
        }
    }

    fn patterns(&self, style: &Style) -> Section {
        let rows = self.patterns.iter().map(|group| {
            let platforms: Vec<_> = group.platforms.keys().map(ToString::to_string).collect();
            vec![
                if group.new == Some(true) { "NEW" } else { " " }.to_owned(),
                group.key.clone(),
                group.code.to_string(),
                text::count(group.count),
                percent(group.share),
                style.time(group.first_at),
                style.time(group.last_at),
                platforms.join(" "),
                group.next.clone().unwrap_or_default(),
            ]
        });
        let headings = &["", "PATTERN", "CODE", ">COUNT", ">SHARE", "FIRST", "LAST", "PLATFORMS", "NEXT"];
        let section = Section::table("Error patterns", headings, rows.collect());
        if self.patterns.is_empty() { section.saying("No errors in the window.") } else { section }
    }

    fn resolutions(&self, style: &Style) -> Section {
        let rows = self.resolutions.iter().flatten().map(|resolved| {
            vec![
                resolved.workflow_id.clone(),
                resolved.error.clone().unwrap_or_default(),
                resolved.comment.clone().unwrap_or_default(),
                resolved.by.clone(),
                style.time(resolved.at),
            ]
        });
        let headings = &["WORKFLOW", "WHAT WAS WRONG", "WHAT WAS DONE", "BY", "WHEN"];
        said(Section::table("Resolved by a person", headings, rows.collect()), self.resolutions.as_ref().map(Vec::len))
    }

    fn changes(&self, style: &Style) -> Section {
        let rows = self.changes.iter().flatten().map(|change| {
            let why = [change.reason.as_deref(), change.ticket.as_deref()];
            vec![
                style.time(change.at),
                change.action.clone(),
                change.subject.clone().unwrap_or_default(),
                change.outcome.clone(),
                why.into_iter().flatten().collect::<Vec<_>>().join(", "),
                change.operator.clone().unwrap_or_else(|| change.actor.clone()),
            ]
        });
        let headings = &["WHEN", "REQUEST", "OF", "OUTCOME", "WHY", "BY"];
        said(Section::table("Changes with a reason", headings, rows.collect()), self.changes.as_ref().map(Vec::len))
    }
}

/// Says why a table is empty.
fn said(section: Section, rows: Option<usize>) -> Section {
    match rows {
        None => section.saying("Unknown: the orchestrator does not answer."),
        Some(0) => section.saying("None."),
        Some(_) => section,
    }
}

impl Report for Issues {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let style = **page;
        self.document(&style).draw(page)
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.patterns.iter().map(serde_json::to_value).collect()
    }
}
