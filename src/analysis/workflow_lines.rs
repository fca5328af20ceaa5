//! Workflows as the log tells of them, for when nobody can be asked.

use std::collections::HashMap;

use super::lines::{Line, Question};
use crate::wire::{ErrorCode, Time, WorkflowEventKind, WorkflowStatus, WorkflowSummary};

/// Workflows that are told apart; of more it is not known what became of them.
const KEPT_MAX: usize = 100_000;

/// Gathers what became of each workflow.
#[derive(Default)]
pub struct Gather {
    /// Each with when its status was last decided: workflows and rollbacks are in files of their own, so lines do not
    /// come in order.
    workflows: HashMap<String, (WorkflowSummary, Time)>,
    /// Whether there were too many.
    pub is_cut: bool,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = &["workflowId", "event", "stepId", "message", "errorCode", "level"];

    fn take(&mut self, line: &Line<'_>) {
        let event = line.get("event").and_then(|event| event.parse::<WorkflowEventKind>().ok());
        let (Some(event), Some(id), Some(at)) = (event, line.get("workflowId"), line.at) else { return };
        if self.workflows.len() >= KEPT_MAX && !self.workflows.contains_key(id.as_ref()) {
            self.is_cut = true;
            return;
        }
        let id = id.into_owned();
        let (workflow, decided_at) = self.workflows.entry(id.clone()).or_insert_with(|| (unknown(id, at), at));
        workflow.created_at = workflow.created_at.min(at);
        workflow.updated_at = workflow.updated_at.max(at);
        let message = line.get("message").unwrap_or_default();
        let said = || message.split_once(": ").map(|(_, said)| said.to_owned());
        match event {
            // `Workflow accepted: Invoice INV-001, 3 steps`
            WorkflowEventKind::Accepted => {
                let told = said().unwrap_or_default();
                let (name, steps) = told.rsplit_once(", ").unwrap_or((&told, ""));
                workflow.name = name.to_owned();
                workflow.steps = steps.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            }
            WorkflowEventKind::StepFailed if workflow.failed_step.is_none() => {
                workflow.failed_step = line.get("stepId").map(|step| step.into_owned());
                workflow.code = line.get("errorCode").and_then(|code| ErrorCode::from_wire(&code));
            }
            WorkflowEventKind::Failed if workflow.error.is_none() => workflow.error = said(),
            WorkflowEventKind::UndoFailed => workflow.error = Some(undo_error(&message)),
            _ => {}
        }
        let failed = line.get("level").as_deref() == Some("error");
        if let Some(status) = decided(event, failed).filter(|_| at >= *decided_at) {
            (workflow.status, *decided_at) = (status, at);
        }
    }
}

fn unknown(workflow_id: String, at: Time) -> WorkflowSummary {
    WorkflowSummary {
        workflow_id,
        name: String::new(),
        status: WorkflowStatus::Executing,
        steps: 0,
        failed_step: None,
        code: None,
        error: None,
        created_at: at,
        updated_at: at,
    }
}

/// Where an event leaves its workflow. One that was taken off the list of failures is as good as completed here.
fn decided(event: WorkflowEventKind, failed: bool) -> Option<WorkflowStatus> {
    Some(match event {
        WorkflowEventKind::Failed => WorkflowStatus::Failed,
        WorkflowEventKind::RollbackStarted => WorkflowStatus::RollingBack,
        WorkflowEventKind::RollbackEnded if failed => WorkflowStatus::RollbackFailed,
        WorkflowEventKind::RollbackEnded => WorkflowStatus::RolledBack,
        WorkflowEventKind::Resolved => WorkflowStatus::Resolved,
        WorkflowEventKind::Completed | WorkflowEventKind::MarkedCompleted | WorkflowEventKind::Cleared => {
            WorkflowStatus::Completed
        }
        _ => return None,
    })
}

/// `File deletion failed: permission denied (Permission denied: …)` in the runbook's words alone.
fn undo_error(message: &str) -> String {
    message.split_once(" (").map_or(message, |(words, _)| words).to_owned()
}

impl Gather {
    /// Those that failed and wait for somebody, the newest first.
    pub fn failed(self) -> Vec<WorkflowSummary> {
        let waits = |workflow: &WorkflowSummary| {
            matches!(
                workflow.status,
                WorkflowStatus::Failed | WorkflowStatus::RollbackFailed | WorkflowStatus::Resolved
            )
        };
        let all = self.workflows.into_values().map(|(workflow, _)| workflow);
        let mut failed: Vec<WorkflowSummary> = all.filter(waits).collect();
        failed.sort_by(|a, b| b.updated_at.cmp(&a.updated_at).then_with(|| a.workflow_id.cmp(&b.workflow_id)));
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::feed;

    #[test]
    fn what_became_of_each_is_told_by_its_events() {
        let mut gather = Gather::default();
        feed(
            &mut gather,
            r#"{"timestamp":"2026-11-20T10:00:00.000Z","workflowId":"a","event":"accepted","message":"Workflow accepted: Invoice 1, 3 steps","level":"info"}
               {"timestamp":"2026-11-20T10:00:01.000Z","workflowId":"a","event":"step_failed","stepId":"notify","errorCode":"NOT_FOUND","message":"Step failed: channel_not_found (NOT_FOUND)","level":"warn"}
               {"timestamp":"2026-11-20T10:00:02.000Z","workflowId":"a","event":"failed","message":"Workflow failed: step notify failed: channel_not_found","level":"warn"}
               {"timestamp":"2026-11-20T10:00:03.000Z","workflowId":"b","event":"accepted","message":"Workflow accepted: Bug, 1 step","level":"info"}
               {"timestamp":"2026-11-20T10:00:04.000Z","workflowId":"b","event":"completed","message":"Workflow completed","level":"info"}
               {"timestamp":"2026-11-20T10:00:05.000Z","workflowId":"c","event":"failed","message":"Workflow failed: its time is over","level":"warn"}
               {"timestamp":"2026-11-20T10:00:06.000Z","workflowId":"c","event":"rollback_started","message":"Rollback started","level":"info"}
               {"timestamp":"2026-11-20T10:00:07.000Z","workflowId":"c","event":"undo_failed","message":"File deletion failed: permission denied (Permission denied: x)","level":"warn"}
               {"timestamp":"2026-11-20T10:00:08.000Z","workflowId":"c","event":"rollback_ended","message":"Rollback ended: rollback_failed","level":"error"}
               {"timestamp":"2026-11-20T10:00:09.000Z","workflowId":"e","event":"resolved","message":"Resolved","level":"info"}
               {"timestamp":"2026-11-20T10:00:08.000Z","workflowId":"e","event":"rollback_ended","message":"Rollback ended: rollback_failed","level":"error"}
               {"timestamp":"2026-11-20T10:00:09.000Z","workflowId":"d","event":"cleared","message":"Cleared","level":"info"}"#,
        );
        let told: Vec<_> =
            gather.failed().into_iter().map(|w| (w.workflow_id, w.status, w.steps, w.failed_step, w.error)).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                ("e".into(), WorkflowStatus::Resolved, 0, None, None),
                ("c".into(), WorkflowStatus::RollbackFailed, 0, None, text("File deletion failed: permission denied")),
                ("a".into(), WorkflowStatus::Failed, 3, text("notify"), text("step notify failed: channel_not_found")),
            ]
        );
    }
}
