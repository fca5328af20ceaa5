//! `opsctl workflow mark-resolved|mark-completed|clear-failed|compensate`: a person's word, and a way to put it right.

use std::io;

use clap::Args;

use crate::app::App;
use crate::client::Orchestrator;
use crate::commands::args::already;
use crate::commands::text;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{Approval, ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::wire::{ChangeAnswer, EffectKind, ResolveRequest, StepStatus, Workflow, WorkflowAccepted, WorkflowStatus};

use super::WorkflowArg;
use super::rollback::held;

/// Say that a failed workflow was put right by hand
///
/// Nothing is sent to a platform. The comment stays with the workflow and in the audit log.
///
/// Example: opsctl workflow mark-resolved invoice-001 --comment "Manual cleanup completed"
#[derive(Args, Debug)]
pub struct MarkResolvedArgs {
    #[command(flatten)]
    workflow: WorkflowArg,

    /// What was done
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Say that a workflow is completed: what has not run will not
///
/// Steps that wait are withdrawn, so that nothing is executed again. Steps that are done stay done.
///
/// Example: opsctl workflow mark-completed invoice-001
#[derive(Args, Debug)]
pub struct MarkCompletedArgs {
    #[command(flatten)]
    workflow: WorkflowArg,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Take a resolved workflow off the list of failures
///
/// It has to be marked as resolved first. Its steps and its log stay.
///
/// Example: opsctl workflow clear-failed invoice-001
#[derive(Args, Debug)]
pub struct ClearFailedArgs {
    #[command(flatten)]
    workflow: WorkflowArg,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Make a workflow that undoes this one's executed steps
///
/// It is stored and not run: look at it with `opsctl workflow steps`, then run it with `opsctl workflow execute`.
///
/// Example: opsctl workflow compensate invoice-001
#[derive(Args, Debug)]
pub struct CompensateArgs {
    #[command(flatten)]
    workflow: WorkflowArg,

    #[command(flatten)]
    change: ChangeArgs,
}

/// A person's word cannot be unsaid; a new one can be added.
const SAID: &str = "what was said about a workflow stays in its log";

/// One change of a workflow's record: plan, ask, act.
async fn say(
    app: &App,
    id: &str,
    plan: Plan,
    act: impl AsyncFnOnce(&Orchestrator, &Approval) -> anyhow::Result<ChangeAnswer>,
) -> anyhow::Result<Outcome> {
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let answer = act(app.orchestrator().await?, &approval).await?;
    let item = ReceiptItem::applied(id, UndoAction::none(SAID));
    app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..item }])?;
    app.emit(&answer)?;
    Ok(Outcome::Done)
}

/// The workflow, if nobody else is at work on it.
async fn free(app: &App, what: &str, id: &str) -> anyhow::Result<Workflow> {
    let workflow = app.orchestrator().await?.workflow(id).await?;
    match &workflow.lease {
        Some(lease) => Err(held(what, id, lease).into()),
        None => Ok(workflow),
    }
}

fn wrong_status(what: &str, workflow: &Workflow, hint: String) -> anyhow::Error {
    Fault::new(Kind::Conflict, format!("cannot {what} workflow `{}`", workflow.workflow_id))
        .because(format!("it is {}", workflow.status))
        .hint(hint)
        .into()
}

pub(super) async fn mark_resolved(app: &App, args: MarkResolvedArgs) -> anyhow::Result<Outcome> {
    let id = args.workflow.id;
    let workflow = free(app, "resolve", &id).await?;
    match workflow.status {
        WorkflowStatus::Resolved => return already(app, format!("workflow {id} is already resolved")),
        WorkflowStatus::Failed | WorkflowStatus::RollbackFailed => {}
        _ => {
            let hint = format!("only failed workflows are resolved; see `opsctl workflow status {id}`");
            return Err(wrong_status("resolve", &workflow, hint));
        }
    }
    let evidence = format!("{} becomes resolved", workflow.status);
    let plan = Plan::new("workflow mark-resolved", format!("mark workflow {id} as resolved"), &args.change)
        .step(Step::new(format!("POST /admin/v1/workflows/{id}/resolve")).because(evidence));
    let request = ResolveRequest { comment: args.comment };
    say(app, &id, plan, async |api, approval| api.resolve_workflow(approval, &id, &request, workflow.version).await)
        .await
}

pub(super) async fn mark_completed(app: &App, args: MarkCompletedArgs) -> anyhow::Result<Outcome> {
    let id = args.workflow.id;
    let workflow = free(app, "complete", &id).await?;
    if workflow.status == WorkflowStatus::Completed {
        return already(app, format!("workflow {id} is already completed"));
    }
    let open = |s: &&_| matches!(s, StepStatus::Pending | StepStatus::Executing);
    let waiting = workflow.steps.iter().map(|s| s.status).filter(|s| open(&s)).count();
    let evidence = format!("{} becomes completed; steps that will not run: {waiting}", workflow.status);
    let plan = Plan::new("workflow mark-completed", format!("mark workflow {id} as completed"), &args.change)
        .step(Step::new(format!("POST /admin/v1/workflows/{id}/complete")).because(evidence));
    say(app, &id, plan, async |api, approval| api.complete_workflow(approval, &id, workflow.version).await).await
}

pub(super) async fn clear_failed(app: &App, args: ClearFailedArgs) -> anyhow::Result<Outcome> {
    let id = args.workflow.id;
    let workflow = free(app, "clear", &id).await?;
    match workflow.status {
        _ if workflow.cleared => return already(app, format!("workflow {id} is already off the list of failures")),
        WorkflowStatus::Resolved => {}
        WorkflowStatus::Failed | WorkflowStatus::RollbackFailed => {
            let hint = format!("put it right, then say so: opsctl workflow mark-resolved {id} --comment TEXT");
            return Err(wrong_status("clear", &workflow, hint));
        }
        _ => {
            let hint = "`opsctl workflow failed` lists what can be cleared".to_owned();
            return Err(wrong_status("clear", &workflow, hint));
        }
    }
    let plan = Plan::new("workflow clear-failed", format!("take workflow {id} off the list of failures"), &args.change)
        .step(Step::new(format!("POST /admin/v1/workflows/{id}/clear-failed")).because("its steps and its log stay"));
    say(app, &id, plan, async |api, approval| api.clear_failed_workflow(approval, &id, workflow.version).await).await
}

impl Report for WorkflowAccepted {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Workflow", &self.workflow_id)?;
        page.pair("Status", self.status)?;
        let next = match self.status {
            WorkflowStatus::Pending => format!("opsctl workflow execute {}", self.workflow_id),
            _ => format!("opsctl workflow status {}", self.workflow_id),
        };
        page.pair("Next", next)
    }
}

pub(super) async fn compensate(app: &App, args: CompensateArgs) -> anyhow::Result<Outcome> {
    let id = args.workflow.id;
    let workflow = free(app, "compensate", &id).await?;
    let done = workflow.steps.iter().filter(|s| s.status == StepStatus::Completed).count();
    if done == 0 {
        return Err(Fault::new(Kind::Conflict, format!("cannot compensate workflow `{id}`"))
            .because(format!("it is {}, and none of its steps stands", workflow.status))
            .hint(format!("see its steps with `opsctl workflow steps {id}`"))
            .into());
    }
    let evidence = format!(
        "stores a workflow that undoes {}; nothing is sent to a platform",
        text::counted(done as u64, "executed step", "executed steps")
    );
    let plan = Plan::new("workflow compensate", format!("compensate workflow {id}"), &args.change).step(
        Step::new(format!("POST /admin/v1/workflows/{id}/compensate"))
            .because(evidence)
            .undo(Undo::Reverse("opsctl workflow mark-completed, while it waits".into())),
    );
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let orchestrator = app.orchestrator().await?;
    let made = orchestrator.compensate_workflow(&approval, &id, workflow.version).await?;
    let why = format!("run it, or end it with `opsctl workflow mark-completed {}`", made.workflow_id);
    let effect = if made.duplicate { EffectKind::AlreadySo } else { EffectKind::Applied };
    let item = ReceiptItem::applied(&made.workflow_id, UndoAction::none(why));
    app.receipt(&approval, vec![ReceiptItem { effect, ..item }])?;
    if made.duplicate {
        app.note(format!("already made: {} waits to be executed", made.workflow_id));
    }
    app.emit(&made)?;
    Ok(Outcome::Done)
}
