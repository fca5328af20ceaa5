//! `opsctl workflow failed|list`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::analysis::workflow_lines::Gather;
use crate::analysis::workflows::{Group, GroupBy, groups};
use crate::app::{App, StaleArgs};
use crate::commands::args::{OneOrAll, SinceArgs, count};
use crate::commands::logs::place::{self, Place};
use crate::commands::text;
use crate::error::{Explained, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::wire::{LineFilter, LogName, WorkflowFilter, WorkflowList, WorkflowStatus};

/// Most workflows that one call gives, and that are grouped.
const MOST: u64 = 10_000;

/// List workflows that failed and wait for somebody
///
/// Failed ones, failed rollbacks, and resolved ones that were not taken off the list yet. With --group-by they are
/// counted by what they have in common.
///
/// Example: opsctl workflow failed --since 7d --group-by reason
#[derive(Args, Debug)]
pub struct FailedArgs {
    #[command(flatten)]
    since: SinceArgs,

    /// Count by `reason`, `code` or `step` instead of listing
    #[arg(long, value_name = "WHAT")]
    group_by: Option<GroupBy>,

    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = count(1..=MOST))]
    #[arg(conflicts_with = "group_by")]
    limit: u64,

    #[command(flatten)]
    stale: StaleArgs,
}

/// List workflows, the newest first
///
/// Example: opsctl workflow list --status executing --since 1h
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only this status (can be repeated)
    #[arg(long, value_name = "STATUS")]
    status: Vec<WorkflowStatus>,

    #[command(flatten)]
    since: SinceArgs,

    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true, value_parser = count(1..=MOST))]
    limit: u64,
}

/// A page of workflows.
#[derive(Serialize)]
#[serde(transparent)]
struct Listing {
    list: WorkflowList,
    #[serde(skip)]
    none: &'static str,
}

impl Report for Listing {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.list.workflows.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["WORKFLOW", "STATUS", ">STEPS", "FAILED STEP", "MOVED", "NAME", "ERROR"]);
        for workflow in &self.list.workflows {
            table.row([
                workflow.workflow_id.clone(),
                workflow.status.to_string(),
                workflow.steps.to_string(),
                workflow.failed_step.clone().unwrap_or_default(),
                page.time(workflow.updated_at),
                workflow.name.clone(),
                workflow.error.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table)?;
        let shown = self.list.workflows.len() as u64;
        if shown < self.list.total {
            page.line(format_args!("{shown} of {} shown; raise --limit to see more", text::count(self.list.total)))?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.list.workflows.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        self.list.workflows.is_empty().then(|| self.none.to_owned())
    }
}

/// Failed workflows by what they have in common.
#[derive(Serialize)]
#[serde(transparent)]
struct Groups(Vec<Group>);

impl Report for Groups {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&[">COUNT", "GROUP", "NEWEST", "WORKFLOW"]);
        for group in &self.0 {
            table.row([
                text::count(group.count),
                group.group.clone(),
                page.time(group.newest),
                group.workflow_id.clone(),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No failed workflows.".to_owned())
    }
}

pub(super) async fn failed(app: &App, args: FailedArgs) -> anyhow::Result<Outcome> {
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        // Not earlier: finding the orchestrator moves the clock to the sandbox's.
        let filter = WorkflowFilter {
            statuses: vec![WorkflowStatus::Failed, WorkflowStatus::RollbackFailed, WorkflowStatus::Resolved],
            since: args.since.resolve(app)?,
            hide_cleared: true,
            limit: if args.group_by.is_some() { MOST } else { args.limit },
            offset: 0,
        };
        orchestrator.workflows(&filter).await
    };
    let (list, outcome) = match asked.await {
        Ok(list) => (list, Outcome::Done),
        Err(error) => of_files(app, error, &args).await?,
    };
    let (shown, total) = (list.workflows.len() as u64, list.total);
    let report = match args.group_by {
        Some(by) => OneOrAll::One(Groups(groups(&list.workflows, by))),
        None => OneOrAll::All(Listing { list, none: "No failed workflows." }),
    };
    app.emit(&report)?;
    if args.group_by.is_some() && shown < total {
        app.output.warn(&format!("only the newest {shown} of {total} are counted; narrow it with --since"));
    }
    Ok(outcome)
}

/// What the log files tell of a service that does not answer, and how that ends; every other error stays one.
async fn of_files(app: &App, error: anyhow::Error, args: &FailedArgs) -> anyhow::Result<(WorkflowList, Outcome)> {
    let explained = Explained::from_error(&error);
    if explained.kind != Kind::Unreachable {
        return Err(error);
    }
    let Some(log) = place::events(app).await.ok().flatten() else { return Err(error) };
    let filter = LineFilter { filters: vec!["event:/./".to_owned()], ..LineFilter::default() };
    let place = Place::Files(log);
    let (gather, source) = place::ask_all(app, &place, LogName::Workflows, &filter, Gather::default()).await?;
    if gather.is_cut {
        app.output.warn("there are more workflows in the log than are told apart; some are missing");
    }
    app.note(place::told(&source, &place, &filter, app.now()));
    let since = args.since.resolve(app)?;
    let mut workflows = gather.failed();
    workflows.retain(|workflow| since.is_none_or(|since| workflow.updated_at >= since));
    let total = workflows.len() as u64;
    workflows.truncate(usize::try_from(if args.group_by.is_some() { MOST } else { args.limit }).unwrap_or(usize::MAX));
    Ok((WorkflowList { workflows, total }, args.stale.silent(app, &explained.message, &source)))
}

pub(super) async fn list(app: &App, args: ListArgs) -> anyhow::Result<Outcome> {
    let filter = WorkflowFilter {
        statuses: args.status,
        since: args.since.resolve(app)?,
        hide_cleared: false,
        limit: args.limit,
        offset: 0,
    };
    let list = app.orchestrator().await?.workflows(&filter).await?;
    app.emit(&Listing { list, none: "No workflows." })?;
    Ok(Outcome::Done)
}
