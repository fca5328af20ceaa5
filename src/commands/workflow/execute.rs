//! `opsctl workflow execute`: a workflow from a file, or a stored one that waits.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::analysis::workflows::next_command;
use crate::app::App;
use crate::client::Orchestrator;
use crate::commands::args::{already, read_text};
use crate::commands::text;
use crate::engine::workflow::check;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::platforms::undo::reversibility;
use crate::wire::{
    EffectKind, Reversibility, StepRequest, StepStatus, Workflow, WorkflowRequest, WorkflowStatus, WorkflowStep,
};

use super::follow::{Until, WaitArgs, follow};
use super::look::Steps;
use super::rollback::held;

/// Execute a workflow from a file, or a stored one that waits
///
/// It waits for the end and shows each step. Ends with 1 when a step failed, also when everything was rolled back;
/// `opsctl workflow status` says which. A file is JSON; what is wrong in it is named with line and column, or with the
/// step's id.
///
/// Example: opsctl workflow execute --file invoice.json
#[derive(Args, Debug)]
pub struct ExecuteArgs {
    /// A stored workflow that waits, such as one made by `workflow compensate`
    #[arg(value_name = "WORKFLOW", required_unless_present = "file", conflicts_with = "file")]
    id: Option<String>,

    /// Definition to submit: JSON; - for stdin
    #[arg(long, value_name = "FILE")]
    file: Option<String>,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    change: ChangeArgs,
}

/// How it ended; in JSON the whole workflow.
#[derive(Serialize)]
#[serde(transparent)]
struct Ended(Workflow);

impl Report for Ended {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        Steps::of(self.0.clone()).draw(page)?;
        let detail = self.0.detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default();
        page.line(format_args!("{}: {}{detail}", self.0.workflow_id, page.state(self.0.status.as_str())))
    }
}

pub(super) async fn run(app: &App, args: ExecuteArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let begun = match (&args.id, &args.file) {
        (Some(id), _) => begin_stored(app, &orchestrator, id, &args).await?,
        (None, file) => submit(app, &orchestrator, file.as_deref().unwrap_or("-"), &args).await?,
    };
    match begun {
        Some(id) => finish(app, &orchestrator, &id, &args.wait).await,
        None => Ok(Outcome::Done),
    }
}

/// Starts a workflow that waits; its id when there is something to wait for.
async fn begin_stored(
    app: &App,
    orchestrator: &Orchestrator,
    id: &str,
    args: &ExecuteArgs,
) -> anyhow::Result<Option<String>> {
    let workflow = orchestrator.workflow(id).await?;
    if let Some(lease) = &workflow.lease {
        return Err(held("execute", id, lease).into());
    }
    match workflow.status {
        WorkflowStatus::Pending => {}
        WorkflowStatus::Completed => {
            already(app, format!("workflow {id} is already completed"))?;
            return Ok(None);
        }
        status => {
            let hint = next_command(&workflow).unwrap_or_else(|| format!("opsctl workflow status {id}"));
            return Err(Fault::new(Kind::Conflict, format!("cannot execute workflow `{id}`"))
                .because(format!("it is {status}; only a workflow that waits can be executed"))
                .hint(hint)
                .into());
        }
    }
    let request = format!("POST /admin/v1/workflows/{id}/execute");
    let undoes = workflow.compensates.as_deref();
    let title = match undoes {
        Some(original) => format!("undo workflow {original} by executing {id}"),
        None => format!("execute workflow {id}"),
    };
    let lines = workflow.steps.iter().map(|step| {
        let what = if step.name == step.step_id { step.action_type.to_string() } else { step.name.clone() };
        let undo = match undoes {
            Some(_) => Undo::Reverse("execute the original again".into()),
            None => undo_of(reversibility(step.platform, step.action_type), id),
        };
        Step::new(&request).on(&step.step_id).because(format!("{} on {}", what, step.platform)).undo(undo)
    });
    let plan = Plan::new("workflow execute", title, &args.change).steps(lines);
    let Some(approval) = app.approve(&plan).await? else { return Ok(None) };
    let answer = orchestrator.execute_workflow(&approval, id, workflow.version).await?;
    let why = format!("roll it back with `opsctl workflow rollback {id}`");
    let item = ReceiptItem::applied(id, UndoAction::none(why));
    app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..item }])?;
    if args.wait.no_wait {
        app.emit(&answer)?;
        return Ok(None);
    }
    Ok(Some(id.to_owned()))
}

/// Submits a definition; the id of what runs when there is something to wait for.
async fn submit(
    app: &App,
    orchestrator: &Orchestrator,
    file: &str,
    args: &ExecuteArgs,
) -> anyhow::Result<Option<String>> {
    let workflow = read(file)?;
    ensure_sound(&workflow, file, most_steps(orchestrator).await)?;
    let id = workflow.id.as_deref().unwrap_or("ID");
    let count = text::counted(workflow.steps.len() as u64, "step", "steps");
    let lines = workflow.steps.iter().map(|step| {
        Step::new("POST /admin/v1/workflows")
            .on(&step.id)
            .because(evidence(step))
            .undo(undo_of(reversibility(step.platform, step.action_type), id))
    });
    let title = format!("execute the workflow {:?} of {count}", workflow.name);
    let mut plan = Plan::new("workflow execute", title, &args.change).steps(lines);
    plan = plan.note(match workflow.transactional {
        true => "a step that fails rolls the earlier ones back",
        false => "a step that fails leaves the earlier ones as they are",
    });
    let Some(approval) = app.approve(&plan).await? else { return Ok(None) };
    let accepted = orchestrator.submit_workflow(&approval, &workflow).await?;
    let id = accepted.workflow_id.clone();
    let why = format!("roll it back with `opsctl workflow rollback {id}`");
    let effect = if accepted.duplicate { EffectKind::AlreadySo } else { EffectKind::Accepted };
    app.receipt(&approval, vec![ReceiptItem { effect, ..ReceiptItem::applied(&id, UndoAction::none(why)) }])?;
    if accepted.duplicate {
        app.note(format!("already submitted: workflow {id} with the same content stands in for it"));
    }
    if args.wait.no_wait {
        app.emit(&accepted)?;
        return Ok(None);
    }
    Ok(Some(id))
}

/// A definition; what is wrong in it is named with line and column.
fn read(file: &str) -> Result<WorkflowRequest, Fault> {
    let (place, text) = read_text(file)?;
    serde_json::from_str(&text).map_err(|error| {
        Fault::usage(format!("{place} is not a workflow"))
            .because(error.to_string())
            .hint("the fields are in the OpenAPI document: `opsctl api spec`, WorkflowRequest")
    })
}

/// How many steps the service accepts; where it does not say, it judges alone.
async fn most_steps(orchestrator: &Orchestrator) -> usize {
    let setting = orchestrator.config_entry("MAX_WORKFLOW_STEPS").await.ok();
    setting.and_then(|entry| entry.value?.parse().ok()).unwrap_or(usize::MAX)
}

/// Refuses before anything is shown what the service would refuse afterwards: a plan is of something that can be done.
fn ensure_sound(workflow: &WorkflowRequest, file: &str, most_steps: usize) -> Result<(), Fault> {
    let problems = check(workflow, most_steps);
    if problems.is_empty() {
        return Ok(());
    }
    let fault = Fault::usage(format!("the workflow {:?} cannot be executed", workflow.name));
    let fault = problems.into_iter().fold(fault, Fault::because);
    Err(fault.hint(format!("correct it; `opsctl workflow execute --file {file} --dry-run` looks at it again")))
}

/// `create on notion, after a, b, optional`.
fn evidence(step: &StepRequest) -> String {
    let after = match step.depends_on.as_deref() {
        Some([]) => ", at once".to_owned(),
        Some(ids) => format!(", after {}", ids.join(", ")),
        None => String::new(),
    };
    let optional = if step.optional { ", optional" } else { "" };
    format!("{} on {}{after}{optional}", step.action_type, step.platform)
}

/// How a step that is done can be taken back.
fn undo_of(reversibility: Reversibility, id: &str) -> Undo {
    match reversibility {
        Reversibility::NonReversible => Undo::None,
        Reversibility::NothingToUndo => Undo::Reverse("nothing to undo".into()),
        Reversibility::Reversible | Reversibility::PartiallyReversible => {
            Undo::Reverse(format!("opsctl workflow rollback {id}"))
        }
    }
}

/// Waits for the end and says how it was.
async fn finish(app: &App, orchestrator: &Orchestrator, id: &str, wait: &WaitArgs) -> anyhow::Result<Outcome> {
    let (workflow, rests) = follow(app, orchestrator, id, wait, Until::Executed).await?;
    let ended = Ended(workflow);
    app.emit(&ended)?;
    let workflow = ended.0;
    match workflow.status {
        WorkflowStatus::Completed => Ok(Outcome::Done),
        _ if !rests => Ok(Outcome::Unreachable),
        _ => Err(failed(&workflow).into()),
    }
}

fn failed(workflow: &Workflow) -> Fault {
    let id = &workflow.workflow_id;
    let what = match workflow.status {
        WorkflowStatus::RolledBack => "failed and was rolled back",
        WorkflowStatus::RollbackFailed => "failed, and not all of it was rolled back",
        _ => "failed",
    };
    let mut fault = Fault::new(Kind::Failed, format!("workflow `{id}` {what}"));
    for step in workflow.steps.iter().filter(|s| s.status == StepStatus::Failed) {
        fault = fault.because(step_failure(step));
    }
    // Of a failed step it says the same again.
    let told = workflow.status != WorkflowStatus::RollbackFailed && !fault.causes.is_empty();
    if let Some(error) = workflow.error.as_ref().filter(|_| !told) {
        fault = fault.because(error.clone());
    }
    match next_command(workflow) {
        Some(next) => fault.hint(format!("`{next}`")),
        None => fault.hint(format!("see what happened with `opsctl logs workflow {id}`")),
    }
}

fn step_failure(step: &WorkflowStep) -> String {
    let error = step.error.as_ref().map(|e| format!("{}: {}", e.code, e.message));
    format!("step `{}` on {}: {}", step.step_id, step.platform, error.as_deref().unwrap_or("no reason was kept"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::workflows::tests::{step, workflow};
    use crate::error::Explained;

    fn written(text: &str) -> String {
        let path = std::env::temp_dir().join(format!("opsctl-workflow-{}.json", uuid::Uuid::now_v7()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_with_its_place() {
        for (text, place) in [
            ("{\"name\": \"x\",\n \"steps\": [],\n}", "line 3 column 1"),
            ("{\"name\": \"x\",\n \"steps\": [{\"id\": 7}]}", "line 2 column"),
            ("{\"name\": \"x\", \"colour\": 1, \"steps\": []}", "unknown field `colour`"),
        ] {
            let fault = read(&written(text)).unwrap_err();
            assert!(fault.kind == Kind::Usage && fault.causes[0].contains(place), "{:?}", fault.causes);
        }
        assert_eq!(read("/does/not/exist").unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn what_would_be_refused_is_refused_before_the_plan() {
        let step = |id: &str, after: &str| serde_json::json!({"id": id, "type": "query", "platform": "drive", "data": {}, "dependsOn": after});
        let bad = serde_json::json!({"name": "x", "steps": [step("a", "b"), step("b", "a")]});
        let fault = ensure_sound(&serde_json::from_value(bad).unwrap(), "wf.json", 1).unwrap_err();
        assert_eq!(fault.kind, Kind::Usage);
        let text = Explained::from_error(&fault.into()).to_text();
        for part in ["MAX_WORKFLOW_STEPS=1", "a cycle, a -> b -> a", "--file wf.json --dry-run"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_failure_names_its_steps_and_what_to_type() {
        let mut notify = step("notify", 30, None);
        notify.status = StepStatus::Failed;
        notify.error = Some(crate::wire::ActionError {
            code: crate::wire::ErrorCode::ServiceDown,
            message: "service unavailable".into(),
            http_status: None,
            request_id: None,
        });
        let text = |status| {
            let fault = failed(&workflow(status, vec![notify.clone()]));
            Explained::from_error(&fault.into()).to_text()
        };
        let failed = text(WorkflowStatus::RollbackFailed);
        assert!(failed.contains("step `notify` on drive: SERVICE_DOWN: service unavailable"), "{failed}");
        assert!(failed.contains("hint: `opsctl workflow rollback-failures invoice-001`"), "{failed}");
        assert!(text(WorkflowStatus::RolledBack).contains("hint: see what happened with `opsctl logs workflow"));
    }

    #[test]
    fn what_reaches_people_cannot_be_undone() {
        use crate::wire::{ActionType, Platform};
        assert_eq!(undo_of(reversibility(Platform::Slack, ActionType::Notify), "w"), Undo::None);
        assert_ne!(undo_of(reversibility(Platform::Drive, ActionType::File), "w"), Undo::None);
    }
}
