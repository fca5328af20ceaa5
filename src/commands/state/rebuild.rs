//! `opsctl state rebuild`.

use clap::Args;

use crate::app::App;
use crate::commands::args::already;
use crate::commands::workflow::WorkflowArg;
use crate::error::Outcome;
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, UndoAction};
use crate::wire::{EffectKind, RebuildPlan, StateDifference};

/// Rebuild a workflow's state from its execution log
///
/// Shows first what differs, field by field. Only the stored state is written, nothing is sent to a platform; a
/// workflow that was at work goes on where its log ends.
///
/// Example: opsctl state rebuild invoice-001 --dry-run
#[derive(Args, Debug)]
pub struct RebuildArgs {
    #[command(flatten)]
    workflow: WorkflowArg,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(app: &App, args: RebuildArgs) -> anyhow::Result<Outcome> {
    let id = args.workflow.id;
    let orchestrator = app.orchestrator().await?.clone();
    let found = orchestrator.rebuild_plan(&id).await?;
    if found.differences.is_empty() {
        let words = format!("state and execution log of workflow {id} already agree ({} entries)", found.events);
        return already(app, words);
    }
    let Some(approval) = app.approve(&plan(&found, &args.change)).await? else { return Ok(Outcome::Done) };
    let answer = orchestrator.rebuild_workflow(&approval, &id, found.version).await?;
    let item = ReceiptItem::applied(&id, UndoAction::none("what was stored disagreed with the execution log"));
    app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..item }])?;
    app.emit(&answer)?;
    if answer.effect != EffectKind::AlreadySo {
        app.note(format!("see how it stands with `opsctl workflow status {id}`"));
    }
    Ok(Outcome::Done)
}

/// A line for every field that differs; they are written together.
fn plan(found: &RebuildPlan, change: &ChangeArgs) -> Plan {
    let id = &found.workflow_id;
    let request = format!("POST /admin/v1/workflows/{id}/rebuild");
    let lines = found.differences.iter().map(|d| Step::new(&request).on(&d.field).because(words(d)));
    Plan::new("state rebuild", format!("rebuild workflow {id} from {} log entries", found.events), change)
        .items(1)
        .steps(lines)
}

fn words(difference: &StateDifference) -> String {
    let side = |value: &Option<String>, nothing: &str| value.clone().unwrap_or_else(|| nothing.to_owned());
    let stored = side(&difference.stored, "nothing");
    format!("stored: {stored}; the log says: {}", side(&difference.rebuilt, "nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Ask, question};
    use crate::output::{Style, draw};

    #[test]
    fn every_difference_is_shown_and_one_workflow_is_changed() {
        let differs = |field: &str, stored: Option<&str>| StateDifference {
            field: field.into(),
            stored: stored.map(str::to_owned),
            rebuilt: Some("completed".into()),
        };
        let mut differences = vec![differs("status", None)];
        differences.extend((0..30).map(|n| differs(&format!("steps.s{n}.status"), Some("pending"))));
        let found = RebuildPlan { workflow_id: "w".into(), events: 9, differences, version: 3 };
        let plan = plan(&found, &ChangeArgs::default());
        assert_eq!(question(&plan), Ask::YesNo);
        let text = draw(&plan, Style::plain()).unwrap();
        assert!(text.contains("status  (stored: nothing; the log says: completed)"), "{text}");
        assert!(text.contains("steps.s0.status  (stored: pending; the log says: completed)"), "{text}");
        assert!(text.contains("1 change, class M2"), "{text}");
    }
}
