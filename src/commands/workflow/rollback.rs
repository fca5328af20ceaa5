//! `opsctl workflow rollback`, `opsctl rollback retry` and `opsctl rollback force`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::analysis::workflows::{is_left, next_command};
use crate::app::App;
use crate::commands::args::already;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report, Table};
use crate::wire::{
    EffectKind, Lease, PlannedUndo, Platform, Reversibility, RollbackMode, RollbackPlan, StepUndo, UndoStatus,
    Workflow, WorkflowStatus,
};

use super::WorkflowArg;
use super::follow::{Until, WaitArgs, follow};

/// Arguments of a rollback.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    #[command(flatten)]
    workflow: WorkflowArg,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    change: ChangeArgs,
}

/// How one step came out of a rollback.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepOutcome {
    step_id: String,
    platform: Platform,
    #[serde(flatten)]
    undo: StepUndo,
}

/// How a rollback went, in the order in which it was tried.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RollbackOutcome {
    workflow_id: String,
    status: WorkflowStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    steps: Vec<StepOutcome>,
    /// What forcing did not get undone either.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gave_up_on: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl RollbackOutcome {
    fn of(workflow: Workflow, plan: &RollbackPlan) -> Self {
        let next = next_command(&workflow);
        let mut steps = Vec::new();
        for planned in &plan.steps {
            let Some(step) = workflow.steps.iter().find(|s| s.step_id == planned.step_id) else { continue };
            if let Some(undo) = step.undo.clone() {
                steps.push(StepOutcome { step_id: step.step_id.clone(), platform: planned.platform, undo });
            }
        }
        let left = steps.iter().filter(|s| is_left(s.undo.status)).map(|s| s.step_id.clone());
        let gave_up_on = if plan.mode == RollbackMode::Force { left.collect() } else { Vec::new() };
        RollbackOutcome {
            workflow_id: workflow.workflow_id,
            status: workflow.status,
            detail: workflow.detail,
            error: workflow.error,
            steps,
            gave_up_on,
            next,
        }
    }

    /// 8 while something still stands.
    fn outcome(&self) -> Outcome {
        match self.status {
            WorkflowStatus::RolledBack | WorkflowStatus::Resolved => Outcome::Done,
            WorkflowStatus::RollingBack => Outcome::Unreachable,
            _ => Outcome::SomeFailed,
        }
    }
}

impl Report for RollbackOutcome {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["STEP", "RESULT", "PLATFORM", "WHAT", "SEEN"]);
        for step in &self.steps {
            let undo = &step.undo;
            let seen = undo.failure.clone().filter(|_| undo.status == UndoStatus::Failed);
            table.row([
                step.step_id.clone(),
                undo.status.to_string(),
                step.platform.to_string(),
                undo.what.clone(),
                seen.or_else(|| undo.evidence.clone()).unwrap_or_default(),
            ]);
        }
        if !table.is_empty() {
            page.table(&table)?;
        }
        for step in self.steps.iter().filter(|s| is_left(s.undo.status) && !s.undo.manual.is_empty()) {
            page.line(format_args!("{}: by hand:", step.step_id))?;
            for command in &step.undo.manual {
                page.line(format_args!("  {command}"))?;
            }
        }
        if !self.gave_up_on.is_empty() {
            page.line(format_args!("gave up on: {}", self.gave_up_on.join(", ")))?;
        }
        let detail = self.detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default();
        page.line(format_args!("{}: {}{detail}", self.workflow_id, page.state(self.status.as_str())))?;
        match &self.next {
            Some(next) => page.line(format_args!("next: {next}")),
            None => Ok(()),
        }
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.steps.iter().map(serde_json::to_value).collect()
    }
}

/// Somebody else is at work on it.
pub(super) fn held(what: &str, id: &str, lease: &Lease) -> Fault {
    Fault::new(Kind::Conflict, format!("cannot {what} workflow `{id}`"))
        .because(format!("{} by {} is under way since {}", lease.operation, lease.owner, lease.since))
        .hint(format!("follow it with `opsctl workflow status {id} --watch`"))
}

/// Rolls a workflow back.
pub async fn rollback(
    app: &App,
    verb: &'static str,
    mode: RollbackMode,
    args: RollbackArgs,
) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let id = &args.workflow.id;
    let plan = orchestrator.rollback_plan(id, mode).await?;
    if plan.status == WorkflowStatus::RolledBack {
        return already(app, format!("workflow {id} is already rolled back"));
    }
    if let Some(lease) = &plan.lease {
        return Err(held("roll back", id, lease).into());
    }
    if let Some(why) = &plan.refused {
        return Err(Fault::new(Kind::Conflict, format!("cannot roll back workflow `{id}`"))
            .because(why.clone())
            .hint(format!("see how it stands with `opsctl workflow status {id}`"))
            .into());
    }
    if mode == RollbackMode::Retry && !plan.steps.iter().any(|s| s.sends) {
        return Err(Fault::new(Kind::Conflict, format!("nothing of workflow `{id}` can be retried"))
            .because("what still stands needs a person")
            .hint(format!("see what to type with `opsctl workflow rollback-failures {id}`"))
            .into());
    }
    let Some(approval) = app.approve(&change_plan(verb, &plan, &args.change)).await? else {
        return Ok(Outcome::Done);
    };
    // A workflow that is executing moves all the time: what was seen of it cannot hold.
    let seen = (plan.status != WorkflowStatus::Executing).then_some(plan.version);
    let answer = orchestrator.roll_back(&approval, id, mode, seen).await?;
    let why = "what a rollback took back is brought back by executing the workflow again";
    let items = plan
        .steps
        .iter()
        .filter(|s| s.sends)
        .map(|s| ReceiptItem { effect: answer.effect, ..ReceiptItem::applied(&s.step_id, UndoAction::none(why)) });
    app.receipt(&approval, items.collect())?;
    if args.wait.no_wait || answer.effect == EffectKind::AlreadySo {
        app.emit(&answer)?;
        return Ok(Outcome::Done);
    }
    let (workflow, _) = follow(app, &orchestrator, id, &args.wait, Until::RolledBack).await?;
    let report = RollbackOutcome::of(workflow, &plan);
    app.emit(&report)?;
    Ok(report.outcome())
}

/// The undos that are sent as lines, the others as notes.
fn change_plan(verb: &'static str, plan: &RollbackPlan, change: &ChangeArgs) -> Plan {
    let id = &plan.workflow_id;
    let sent: Vec<&PlannedUndo> = plan.steps.iter().filter(|s| s.sends).collect();
    let title = match plan.mode {
        RollbackMode::First => format!("roll back workflow {id}"),
        RollbackMode::Retry => format!("roll back what failed of workflow {id}"),
        RollbackMode::Force => format!("roll back workflow {id} past failures and changes made since"),
    };
    let request = format!("POST /admin/v1/workflows/{id}/rollback");
    let mut out = Plan::new(verb, title, change);
    for undo in &sent {
        let guarded = undo.reversibility == Reversibility::PartiallyReversible && plan.mode != RollbackMode::Force;
        let guard = if guarded { ", unless somebody changed it since" } else { "" };
        let evidence = format!("{}: {}{guard}", undo.platform, undo.what);
        out = out.step(Step::new(&request).on(&undo.step_id).because(evidence).undo(way_back(undo, plan.mode)));
    }
    if sent.is_empty() {
        let evidence = format!("{}; nothing is sent to a platform", plan.status);
        out = out.step(Step::new(&request).because(evidence).undo(Undo::Reverse("nothing to take back".into())));
    }
    for undo in plan.steps.iter().filter(|s| !s.sends) {
        out = out.note(format!("{} ({}): {}", undo.step_id, undo.platform, not_sent(undo)));
    }
    out
}

/// How an undo can itself be taken back. Forcing one that writes old content overwrites what somebody wrote since.
fn way_back(undo: &PlannedUndo, mode: RollbackMode) -> Undo {
    match (undo.reversibility, mode) {
        (Reversibility::Reversible, _) => Undo::Reverse(format!("from {}'s trash or archive", undo.platform)),
        (Reversibility::PartiallyReversible, RollbackMode::Force) => Undo::None,
        _ => Undo::Reverse("execute the workflow again".into()),
    }
}

/// Why nothing is sent for a step.
fn not_sent(undo: &PlannedUndo) -> String {
    match (undo.status, undo.reversibility) {
        (UndoStatus::RolledBack, _) => "rolled back already".into(),
        (_, Reversibility::NothingToUndo) => "nothing to undo".into(),
        (UndoStatus::Blocked, _) => "a later step that builds on it still stands".into(),
        _ => match undo.manual.first() {
            Some(first) => format!("only a person can undo it: {first}"),
            None => "only a person can undo it".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::workflows::tests::{step, workflow};
    use crate::guard::{Ask, question};
    use crate::output::{Style, draw};

    fn planned(id: &str, reversibility: Reversibility, sends: bool) -> PlannedUndo {
        PlannedUndo {
            step_id: id.into(),
            platform: Platform::Drive,
            what: format!("move the file of {id} to the trash"),
            reversibility,
            status: if sends { UndoStatus::Pending } else { UndoStatus::Manual },
            sends,
            manual: if sends { vec![] } else { vec!["opsctl slack send --channel C1 --text x".into()] },
        }
    }

    fn plan(mode: RollbackMode, steps: Vec<PlannedUndo>) -> RollbackPlan {
        RollbackPlan {
            workflow_id: "invoice-001".into(),
            status: WorkflowStatus::RollbackFailed,
            mode,
            refused: None,
            lease: None,
            steps,
            version: 12,
        }
    }

    #[test]
    fn only_what_may_overwrite_somebodys_work_asks_for_the_name() {
        let ask = |mode, reversibility| {
            let plan = plan(mode, vec![planned("a", reversibility, true)]);
            question(&change_plan("rollback force", &plan, &ChangeArgs::default()))
        };
        assert_eq!(ask(RollbackMode::Force, Reversibility::PartiallyReversible), Ask::Name);
        assert_eq!(ask(RollbackMode::Force, Reversibility::Reversible), Ask::YesNo);
        assert_eq!(ask(RollbackMode::Retry, Reversibility::PartiallyReversible), Ask::YesNo);
    }

    #[test]
    fn the_plan_says_what_is_sent_and_what_only_a_person_can_do() {
        let steps = vec![
            planned("notify", Reversibility::NonReversible, false),
            planned("create_file", Reversibility::Reversible, true),
        ];
        let drawn = change_plan("workflow rollback", &plan(RollbackMode::First, steps), &ChangeArgs::default());
        let text = draw(&drawn, Style::plain()).unwrap();
        assert!(text.contains("create_file  (drive: move the file of create_file to the trash"), "{text}");
        assert!(text.contains("note: notify (drive): only a person can undo it: opsctl slack send"), "{text}");
        assert!(text.contains("1 change, class M3, can be undone, asks y/N"), "{text}");
    }

    #[test]
    fn the_outcome_names_what_stands_and_what_was_given_up() {
        let steps = vec![
            step("create_file", 10, Some(UndoStatus::Failed)),
            step("update_sheet", 20, Some(UndoStatus::RolledBack)),
        ];
        let tried = || {
            vec![
                planned("update_sheet", Reversibility::Reversible, true),
                planned("create_file", Reversibility::Reversible, true),
            ]
        };
        let workflow = workflow(WorkflowStatus::RollbackFailed, steps);
        let report = RollbackOutcome::of(workflow.clone(), &plan(RollbackMode::Force, tried()));
        assert_eq!((report.gave_up_on.join(" ").as_str(), report.outcome()), ("create_file", Outcome::SomeFailed));
        let text = draw(&report, Style::plain()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("update_sheet  rolled_back"), "in the order of the undos: {text}");
        assert!(lines[1].ends_with("trashed: true") && lines[2].contains("File deletion failed"), "{text}");
        assert!(text.ends_with("next: opsctl workflow rollback-failures invoice-001\n"), "{text}");
        let done = Workflow { status: WorkflowStatus::RolledBack, ..workflow };
        assert_eq!(RollbackOutcome::of(done, &plan(RollbackMode::Retry, tried())).outcome(), Outcome::Done);
    }
}
