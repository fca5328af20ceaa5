//! A workflow's execution log, and what a replay of it would change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::Time;
use crate::wire::words;

words! {
    /// What happened to a workflow.
    WorkflowEventKind {
        /// Accepted; the data is its definition.
        Accepted = "accepted",
        /// A step's action was queued; the data is what will be sent.
        StepStarted = "step_started",
        /// A step is done; the data is its result.
        StepCompleted = "step_completed",
        /// A step was given up; the data is its error.
        StepFailed = "step_failed",
        /// A step is not needed any more.
        StepSkipped = "step_skipped",
        /// Every step it needed is done.
        Completed = "completed",
        /// A step it needed failed, or its time is over.
        Failed = "failed",
        /// A rollback began.
        RollbackStarted = "rollback_started",
        /// An undo was queued.
        UndoStarted = "undo_started",
        /// An undo was confirmed by the platform.
        UndoCompleted = "undo_completed",
        /// An undo failed.
        UndoFailed = "undo_failed",
        /// An undo was left out: manual, blocked, or nothing to undo.
        UndoSkipped = "undo_skipped",
        /// A rollback came to rest.
        RollbackEnded = "rollback_ended",
        /// A person said it is resolved.
        Resolved = "resolved",
        /// A person took it off the list of failures.
        Cleared = "cleared",
        /// A person said it is completed.
        MarkedCompleted = "marked_completed",
        /// Its state was rebuilt from this log.
        Rebuilt = "rebuilt",
    }
}

impl WorkflowEventKind {
    /// Whether it belongs to a rollback.
    pub const fn is_rollback(self) -> bool {
        use WorkflowEventKind::{RollbackEnded, RollbackStarted, UndoCompleted, UndoFailed, UndoSkipped, UndoStarted};
        matches!(self, RollbackStarted | UndoStarted | UndoCompleted | UndoFailed | UndoSkipped | RollbackEnded)
    }
}

/// One entry of the execution log, in the order of what happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowEvent {
    /// Its place in the log.
    pub seq: i64,
    /// When.
    pub timestamp: Time,
    /// Which workflow.
    pub workflow_id: String,
    /// What.
    pub event: WorkflowEventKind,
    /// Which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
    /// For people.
    pub message: String,
    /// What belongs to it: parameters, ids, links, an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<serde_json::Value>,
    /// Who, when a person did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Which entries of the execution log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// Only this workflow.
    pub workflow_id: Option<String>,
    /// Only those of rollbacks.
    pub rollback_only: bool,
    /// Not before.
    pub since: Option<Time>,
    /// At most this many, the newest.
    pub limit: u64,
}

/// A page of the execution log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowEvents {
    /// Oldest first.
    pub events: Vec<WorkflowEvent>,
    /// True when older ones were left out.
    pub truncated: bool,
}

/// One difference between what is stored and what the execution log says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateDifference {
    /// What differs: `status`, `steps.create_file.status`, `steps.create_file.result`.
    pub field: String,
    /// What is stored; absent when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// What the log says; absent when it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<String>,
}

/// What rebuilding a workflow's state from the execution log would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebuildPlan {
    /// The workflow.
    pub workflow_id: String,
    /// Log entries it was made from.
    pub events: u64,
    /// The differences; empty when state and log agree.
    pub differences: Vec<StateDifference>,
    /// The stored version, 0 when nothing is stored; send it back in `If-Match`.
    pub version: u64,
}
