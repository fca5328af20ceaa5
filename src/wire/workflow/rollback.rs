//! Rolling back: how the undo of a step stands, what a rollback would do, what cannot be undone.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Lease, WorkflowStatus};
use crate::wire::words;
use crate::wire::{ActionError, ActionType, Platform, Time};

words! {
    /// How far an action of a kind can be undone.
    Reversibility {
        /// Back to what was before.
        Reversible = "reversible",
        /// Back to what was before as long as nobody touched it since.
        PartiallyReversible = "partially_reversible",
        /// Not by a machine.
        NonReversible = "non_reversible",
        /// Nothing was changed, or the change is meant to stay.
        NothingToUndo = "nothing_to_undo",
    }
}

words! {
    /// How the undo of one step stands.
    UndoStatus {
        /// Its turn has not come.
        Pending = "pending",
        /// Sent or waiting to be sent.
        InProgress = "in_progress",
        /// The platform shows that it is undone.
        RolledBack = "rolled_back",
        /// The platform refused it, or shows that it still stands.
        Failed = "failed",
        /// Not tried: a later step that builds on it still stands.
        Blocked = "blocked",
        /// Only a person can.
        Manual = "manual",
        /// Nothing to undo: a read, or an audit entry that is meant to stay.
        Kept = "kept",
    }
}

words! {
    /// What a rollback goes for.
    RollbackMode {
        /// The first rollback of a workflow.
        First = "first",
        /// Only what failed or was blocked.
        Retry = "retry",
        /// What is not undone yet, past failures, later steps that still stand, and changes made since.
        Force = "force",
    }
}

/// How the undo of a step stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepUndo {
    /// Where it is.
    pub status: UndoStatus,
    /// How far a step of this kind can be undone.
    pub reversibility: Reversibility,
    /// What undoing means here, with the object: `move file 1AbC to the trash`.
    pub what: String,
    /// Times it was tried.
    pub attempts: u32,
    /// When its last try ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// What the platform showed afterwards: the evidence that it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// In the runbook's words, when it failed: `File deletion failed: permission denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What the platform failed it with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ActionError>,
    /// What a person does instead, command by command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manual: Vec<String>,
}

/// A rollback to make.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackRequest {
    /// What it goes for.
    pub mode: RollbackMode,
}

/// One line of a rollback's plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedUndo {
    /// The step.
    pub step_id: String,
    /// Where.
    pub platform: Platform,
    /// What undoing means here, with the object.
    pub what: String,
    /// How far a step of this kind can be undone.
    pub reversibility: Reversibility,
    /// How it stands now.
    pub status: UndoStatus,
    /// Whether a request will be sent for it.
    pub sends: bool,
    /// What a person does instead, command by command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manual: Vec<String>,
}

/// What a rollback would do, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackPlan {
    /// The workflow.
    pub workflow_id: String,
    /// Its status now.
    pub status: WorkflowStatus,
    /// What it would go for.
    pub mode: RollbackMode,
    /// Why it cannot be done now, if so; a workflow that is rolled back already has no steps to undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Who is at work on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The undos, in the order in which they are tried.
    pub steps: Vec<PlannedUndo>,
    /// The workflow's version; send it back in `If-Match`.
    pub version: u64,
}

/// A kind of action and how far it can be undone, for `docs generate --rollback-limitations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollbackLimitation {
    /// Where.
    pub platform: Platform,
    /// What is done.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// How far it can be undone.
    pub reversibility: Reversibility,
    /// How it is undone.
    pub undo: String,
    /// What stays, or what has to hold.
    pub limitation: String,
}
