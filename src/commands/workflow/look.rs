//! `opsctl workflow status|steps|state`: one workflow, from afar to close by.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use futures_util::StreamExt;
use serde::Serialize;

use crate::analysis::workflows::{next_command, object};
use crate::app::{App, Kept, StaleArgs, WatchArgs};
use crate::commands::outage::{self, Question};
use crate::error::{Explained, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::wire::{
    ActionError, StepStatus, StepUndo, UndoStatus, Workflow, WorkflowReport, WorkflowStatus, WorkflowStep,
};

use super::WorkflowArg;

/// Requests for actions under way at once.
const AT_ONCE: usize = 8;

/// Show how a workflow stands
///
/// With -o json it is exactly the runbook's object. The last line is the command to type next. Ends with 3 when the
/// stored state is lost (status `unknown`): `opsctl state rebuild` makes it anew from the execution log.
///
/// Example: opsctl workflow status invoice-001 --watch=2s
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    workflow: WorkflowArg,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Show what each step did, with the objects it touched
///
/// OBJECT is the file, page, card, range or message on the platform. With -o json a step comes with its parameters and
/// the platform's answer.
///
/// Example: opsctl workflow steps invoice-001
#[derive(Args, Debug)]
pub struct StepsArgs {
    #[command(flatten)]
    workflow: WorkflowArg,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Show everything that is stored about a workflow
///
/// Key, tries, who is at work on it, what a person said about it. Ends with 3 when the stored state is lost.
///
/// Example: opsctl workflow state invoice-001 -o json
#[derive(Args, Debug)]
pub struct StateArgs {
    #[command(flatten)]
    workflow: WorkflowArg,
}

/// In JSON exactly the runbook's fields.
#[derive(Serialize)]
#[serde(transparent)]
struct Status {
    report: WorkflowReport,
    #[serde(skip)]
    workflow: Workflow,
}

impl Report for Status {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let (report, workflow) = (&self.report, &self.workflow);
        page.pair("Workflow", format_args!("{} ({})", report.workflow_id, workflow.name))?;
        page.pair("Status", report.status)?;
        for (label, text) in [("Detail", &workflow.detail), ("Error", &report.error)] {
            if let Some(text) = text {
                page.pair(label, text)?;
            }
        }
        page.pair("Completed steps", listed(&report.completed_steps))?;
        page.pair("Rolled back", listed(&report.rolled_back_steps))?;
        page.pair("Failed rollbacks", listed(&report.failed_rollbacks))?;
        let open: Vec<_> = workflow.steps.iter().filter(|s| s.status == StepStatus::Executing).collect();
        if !open.is_empty() {
            page.pair("Executing", open.iter().map(|s| s.step_id.as_str()).collect::<Vec<_>>().join(", "))?;
        }
        if let Some(lease) = &workflow.lease {
            page.pair(
                "In work",
                format_args!("{} by {}, since {}", lease.operation, lease.owner, page.time(lease.since)),
            )?;
        }
        page.pair_time("Moved", workflow.updated_at)?;
        match next_command(workflow) {
            Some(next) => page.pair("Next", next),
            None => Ok(()),
        }
    }
}

fn listed(ids: &[String]) -> String {
    if ids.is_empty() { "none".into() } else { ids.join(", ") }
}

/// 3 when there is nothing to show but that it is lost.
fn outcome(workflow: &Workflow) -> Outcome {
    if workflow.status == WorkflowStatus::Unknown { Outcome::Problem } else { Outcome::Done }
}

pub(super) async fn status(app: &App, args: StatusArgs) -> anyhow::Result<Outcome> {
    let id = &args.workflow.id;
    let question = Question::new(Kept::Workflow(id.clone()), args.stale);
    let report = |workflow: Workflow| {
        let outcome = outcome(&workflow);
        (Status { report: WorkflowReport::from(&workflow), workflow }, outcome)
    };
    app.watch(&args.watch, || outage::look(app, &question, async |api| api.workflow(id).await, report)).await
}

/// The steps, in the order of the definition.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Steps {
    steps: Vec<WorkflowStep>,
    /// Whether they are undos of another workflow's steps.
    #[serde(skip)]
    undo: bool,
}

impl Steps {
    pub(super) fn of(workflow: Workflow) -> Steps {
        Steps { undo: workflow.compensates.is_some(), steps: workflow.steps }
    }
}

impl Report for Steps {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["STEP", "STATUS", "PLATFORM", "DOES", "OBJECT", "ENDED", "UNDO"]);
        for step in &self.steps {
            table.row([
                step.step_id.clone(),
                step.status.to_string(),
                step.fallback_platform.unwrap_or(step.platform).to_string(),
                if self.undo { format!("undo {}", step.action_type) } else { step.action_type.to_string() },
                object(step).unwrap_or_default(),
                step.ended_at.map(|t| page.time(t)).unwrap_or_default(),
                step.undo.as_ref().map(undo_words).unwrap_or_default(),
            ]);
        }
        page.table(&table)?;
        for step in &self.steps {
            if let Some(error) = &step.error {
                page.line(format_args!("{}: {}", step.step_id, error_words(error)))?;
            }
        }
        Ok(())
    }

    fn empty_note(&self) -> Option<String> {
        self.steps.is_empty().then(|| "No steps are stored; `opsctl logs workflow ID` shows what ran.".to_owned())
    }
}

/// `rolled_back`, or `failed: File deletion failed: permission denied`.
pub(super) fn undo_words(undo: &StepUndo) -> String {
    match (&undo.failure, undo.status) {
        (Some(failure), UndoStatus::Failed) => format!("{}: {failure}", undo.status),
        _ => undo.status.to_string(),
    }
}

fn error_words(error: &ActionError) -> String {
    format!("{}: {}", error.code, error.message)
}

pub(super) async fn steps(app: &App, args: StepsArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    app.watch(&args.watch, || async {
        let workflow = orchestrator.workflow(&args.workflow.id).await?;
        let outcome = outcome(&workflow);
        Ok((Steps::of(workflow), outcome))
    })
    .await
}

/// What is stored, with the tries of each step's action.
#[derive(Serialize)]
struct State {
    #[serde(flatten)]
    workflow: Workflow,
    /// Tries by step, for those whose action is still kept.
    attempts: BTreeMap<String, u32>,
}

impl Report for State {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let workflow = &self.workflow;
        page.pair("Workflow", &workflow.workflow_id)?;
        page.pair("Name", &workflow.name)?;
        page.pair("Status", workflow.status)?;
        for (label, text) in [
            ("Detail", &workflow.detail),
            ("Error", &workflow.error),
            ("Failed step", &workflow.failed_step),
            ("Idempotency key", &workflow.idempotency_key),
            ("Belongs to", &workflow.correlation_id),
            ("Compensates", &workflow.compensates),
        ] {
            if let Some(text) = text {
                page.pair(label, text)?;
            }
        }
        page.pair("Rolls back", if workflow.transactional { "when a step fails" } else { "only when told" })?;
        if let Some(lease) = &workflow.lease {
            page.pair(
                "In work",
                format_args!("{} by {}, since {}", lease.operation, lease.owner, page.time(lease.since)),
            )?;
        }
        if let Some(word) = &workflow.resolution {
            let comment = word.comment.as_deref().map(|c| format!(": {c}")).unwrap_or_default();
            page.pair("Resolved", format_args!("{} by {}{comment}", page.time(word.at), word.by))?;
        }
        let times = [
            ("Accepted", Some(workflow.created_at)),
            ("Started", workflow.started_at),
            ("Ended", workflow.ended_at),
            ("Moved", Some(workflow.updated_at)),
        ];
        for (label, time) in times {
            if let Some(time) = time {
                page.pair_time(label, time)?;
            }
        }
        page.pair("Version", workflow.version)?;
        let mut table = Table::new(&["STEP", "STATUS", "ACTION", ">TRIES", "BEFORE-IMAGE", "UNDO", ">UNDO TRIES"]);
        for step in &workflow.steps {
            table.row([
                step.step_id.clone(),
                step.status.to_string(),
                step.action_id.clone().unwrap_or_default(),
                self.attempts.get(&step.step_id).map(ToString::to_string).unwrap_or_default(),
                if step.before_image { "kept" } else { "" }.to_owned(),
                step.undo.as_ref().map(|u| u.status.to_string()).unwrap_or_default(),
                step.undo.as_ref().map(|u| u.attempts.to_string()).unwrap_or_default(),
            ]);
        }
        if !table.is_empty() {
            page.table(&table)?;
        }
        match next_command(workflow) {
            Some(next) => page.pair("Next", next),
            None => Ok(()),
        }
    }
}

pub(super) async fn state(app: &App, args: StateArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    let workflow = orchestrator.workflow(&args.workflow.id).await?;
    let started = workflow.steps.iter().filter_map(|s| Some((s.step_id.clone(), s.action_id.clone()?)));
    let tries = futures_util::stream::iter(started)
        .map(|(step, action)| async move {
            match orchestrator.action(&action).await {
                Ok(action) => Ok(Some((step, action.retries + 1))),
                // Actions that ended long ago are not kept as long as workflows are.
                Err(error) if Explained::from_error(&error).kind == Kind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let tries = tries.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let outcome = outcome(&workflow);
    app.emit(&State { workflow, attempts: tries.into_iter().flatten().collect() })?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::workflows::tests::{step, workflow};
    use crate::output::{Style, draw};

    #[test]
    fn the_status_is_the_runbooks_object_and_a_page_for_people() {
        let steps = vec![
            step("create_file", 10, Some(UndoStatus::Failed)),
            step("update_sheet", 20, Some(UndoStatus::RolledBack)),
        ];
        let workflow = workflow(WorkflowStatus::RollbackFailed, steps);
        let status = Status { report: WorkflowReport::from(&workflow), workflow };
        assert_eq!(
            serde_json::to_value(&status).unwrap(),
            serde_json::json!({
                "workflowId": "invoice-001",
                "status": "rollback_failed",
                "completedSteps": ["create_file", "update_sheet"],
                "rolledBackSteps": ["update_sheet"],
                "failedRollbacks": ["create_file"],
                "error": "File deletion failed: permission denied",
            })
        );
        let text = draw(&status, Style::plain()).unwrap();
        assert!(text.contains("Rolled back       update_sheet\n"), "{text}");
        assert!(text.ends_with("Next              opsctl workflow rollback-failures invoice-001\n"), "{text}");
    }

    #[test]
    fn a_lost_state_is_a_problem() {
        assert_eq!(outcome(&workflow(WorkflowStatus::Unknown, vec![])), Outcome::Problem);
        assert_eq!(outcome(&workflow(WorkflowStatus::RollbackFailed, vec![])), Outcome::Done);
    }

    #[test]
    fn each_step_names_its_object_and_how_its_undo_stands() {
        let mut workflow =
            workflow(WorkflowStatus::RollbackFailed, vec![step("create_file", 10, Some(UndoStatus::Failed))]);
        let text = draw(&Steps::of(workflow.clone()), Style::plain()).unwrap();
        assert!(text.contains("f-1"), "{text}");
        assert!(text.contains("failed: File deletion failed: permission denied"), "{text}");
        workflow.compensates = Some("another".into());
        let text = draw(&Steps::of(workflow), Style::plain()).unwrap();
        assert!(text.contains("undo file"), "{text}");
    }
}
