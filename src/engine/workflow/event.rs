//! What happens to a workflow: the entries of the execution log, with everything that is needed to replay them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::wire::{
    ActionError, ErrorCode, Platform, Reversibility, RollbackMode, Time, UndoStatus, WorkflowEvent, WorkflowEventKind,
    WorkflowRequest, WorkflowStatus,
};

/// An entry of the execution log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// Which step.
    pub step: Option<String>,
    /// What.
    pub change: Change,
    /// Who, when a person did it.
    pub by: Option<String>,
}

/// A step that a rollback goes for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// The step.
    pub step_id: String,
    /// How far a step of this kind can be undone.
    pub reversibility: Reversibility,
    /// What undoing means here.
    pub what: String,
}

/// What happened. On the wire and in the store the variant is `event` and its content `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Change {
    /// Accepted.
    Accepted {
        /// What was submitted.
        definition: Box<WorkflowRequest>,
        /// The workflow whose steps it undoes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compensates: Option<String>,
    },
    /// A step's action was queued.
    StepStarted {
        /// The action.
        action_id: String,
        /// The parameters as they will be sent.
        parameters: Value,
    },
    /// A step is done.
    StepCompleted {
        /// What the platform answered.
        result: Value,
        /// What it overwrote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Value>,
        /// The platform that stood in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fallback_platform: Option<Platform>,
    },
    /// A step was given up.
    StepFailed {
        /// Why.
        error: ActionError,
        /// Whether it may have happened.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        in_doubt: bool,
        /// What it may have overwritten.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Value>,
    },
    /// A step is not needed any more.
    StepSkipped {
        /// Why.
        reason: String,
    },
    /// Every step it needed is done.
    Completed,
    /// A step it needed failed, or its time is over.
    Failed {
        /// Why.
        error: String,
        /// Code of the failure.
        code: ErrorCode,
    },
    /// A rollback began.
    RollbackStarted {
        /// What it goes for; none when a compensating workflow drives it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<RollbackMode>,
        /// In words, for the lease.
        operation: String,
        /// The steps it goes for, in its order.
        steps: Vec<PlannedStep>,
    },
    /// An undo was queued.
    UndoStarted {
        /// Its action.
        action_id: String,
        /// How far a step of this kind can be undone.
        reversibility: Reversibility,
        /// What undoing means here.
        what: String,
    },
    /// The platform shows that it is undone.
    UndoCompleted {
        /// What it showed.
        evidence: String,
        /// Times it was tried.
        attempts: u32,
    },
    /// An undo failed.
    UndoFailed {
        /// In the runbook's words.
        failure: String,
        /// What the platform failed it with.
        error: ActionError,
        /// Times it was tried.
        attempts: u32,
    },
    /// An undo was left out.
    UndoSkipped {
        /// Manual, blocked or kept.
        status: UndoStatus,
        /// Why.
        reason: String,
        /// How far a step of this kind can be undone.
        reversibility: Reversibility,
        /// What undoing means here.
        what: String,
        /// What a person does instead.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        manual: Vec<String>,
    },
    /// A rollback came to rest.
    RollbackEnded {
        /// How.
        status: WorkflowStatus,
        /// More than the status says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// What is wrong now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A person said it is resolved.
    Resolved {
        /// What was done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// A person took it off the list of failures.
    Cleared,
    /// A person said it is completed.
    MarkedCompleted {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// Its state was rebuilt from this log.
    Rebuilt,
}

impl Change {
    /// Which kind it is on the wire.
    pub fn kind(&self) -> WorkflowEventKind {
        use WorkflowEventKind as Kind;
        match self {
            Change::Accepted { .. } => Kind::Accepted,
            Change::StepStarted { .. } => Kind::StepStarted,
            Change::StepCompleted { .. } => Kind::StepCompleted,
            Change::StepFailed { .. } => Kind::StepFailed,
            Change::StepSkipped { .. } => Kind::StepSkipped,
            Change::Completed => Kind::Completed,
            Change::Failed { .. } => Kind::Failed,
            Change::RollbackStarted { .. } => Kind::RollbackStarted,
            Change::UndoStarted { .. } => Kind::UndoStarted,
            Change::UndoCompleted { .. } => Kind::UndoCompleted,
            Change::UndoFailed { .. } => Kind::UndoFailed,
            Change::UndoSkipped { .. } => Kind::UndoSkipped,
            Change::RollbackEnded { .. } => Kind::RollbackEnded,
            Change::Resolved { .. } => Kind::Resolved,
            Change::Cleared => Kind::Cleared,
            Change::MarkedCompleted { .. } => Kind::MarkedCompleted,
            Change::Rebuilt => Kind::Rebuilt,
        }
    }

    /// What belongs to it, for the log.
    pub fn data(&self) -> Option<Value> {
        // A value of this type is always JSON: its keys are texts.
        serde_json::to_value(self).ok()?.get_mut("data").map(Value::take)
    }

    /// Reads back what [`Change::kind`] and [`Change::data`] gave.
    pub fn read(kind: WorkflowEventKind, data: Option<Value>) -> Result<Change, serde_json::Error> {
        serde_json::from_value(match data {
            Some(data) => json!({ "event": kind, "data": data }),
            None => json!({ "event": kind }),
        })
    }

    /// One sentence for people.
    pub fn message(&self) -> String {
        match self {
            Change::Accepted { definition, compensates: None } => {
                format!("Workflow accepted: {}, {}", definition.name, counted(definition.steps.len()))
            }
            Change::Accepted { definition, compensates: Some(of) } => {
                format!("Compensation of {of} prepared: {} to undo", counted(definition.steps.len()))
            }
            Change::StepStarted { action_id, .. } => format!("Step queued as action {action_id}"),
            Change::StepCompleted { fallback_platform: Some(to), .. } => format!("Step completed; {to} stood in"),
            Change::StepCompleted { .. } => "Step completed".into(),
            Change::StepFailed { error, in_doubt: true, .. } => format!("Step in doubt: {}", error.message),
            Change::StepFailed { error, .. } => format!("Step failed: {} ({})", error.message, error.code),
            Change::StepSkipped { reason } => format!("Step skipped: {reason}"),
            Change::Completed => "Workflow completed".into(),
            Change::Failed { error, .. } => format!("Workflow failed: {error}"),
            Change::RollbackStarted { operation, steps, .. } => {
                format!("Rollback started ({operation}): {} to undo", counted(steps.len()))
            }
            Change::UndoStarted { what, .. } => format!("Undo queued: {what}"),
            Change::UndoCompleted { evidence, .. } => format!("Undone: {evidence}"),
            Change::UndoFailed { failure, error, .. } => format!("{failure} ({})", error.message),
            Change::UndoSkipped { status, reason, .. } => format!("Not undone ({status}): {reason}"),
            Change::RollbackEnded { status, detail: Some(detail), .. } => format!("Rollback ended: {status}, {detail}"),
            Change::RollbackEnded { status, .. } => format!("Rollback ended: {status}"),
            Change::Resolved { comment: Some(comment) } => format!("Marked as resolved: {comment}"),
            Change::Resolved { .. } => "Marked as resolved".into(),
            Change::Cleared => "Taken off the list of failures".into(),
            Change::MarkedCompleted { comment: Some(comment) } => format!("Marked as completed: {comment}"),
            Change::MarkedCompleted { .. } => "Marked as completed".into(),
            Change::Rebuilt => "State rebuilt from the execution log".into(),
        }
    }
}

/// `1 step`, `3 steps`.
pub(super) fn counted(steps: usize) -> String {
    format!("{steps} {}", if steps == 1 { "step" } else { "steps" })
}

impl Event {
    /// The entry as it is shown; `seq` is its place in the log.
    pub fn wire(&self, workflow_id: &str, seq: i64) -> WorkflowEvent {
        WorkflowEvent {
            seq,
            timestamp: self.at,
            workflow_id: workflow_id.to_owned(),
            event: self.change.kind(),
            step_id: self.step.clone(),
            message: self.change.message(),
            data: self.change.data(),
            by: self.by.clone(),
        }
    }
}

impl TryFrom<WorkflowEvent> for Event {
    type Error = serde_json::Error;

    fn try_from(entry: WorkflowEvent) -> Result<Event, serde_json::Error> {
        let change = Change::read(entry.event, entry.data)?;
        Ok(Event { at: entry.timestamp, step: entry.step_id, change, by: entry.by })
    }
}
