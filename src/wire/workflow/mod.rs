//! Workflows: where one is in its life, and what became of each step.

mod events;
mod request;
mod rollback;

pub use events::*;
pub use request::*;
pub use rollback::*;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::words;
use crate::wire::{ActionError, ActionType, ErrorCode, Platform, Priority, Time};

words! {
    /// Where a workflow is in its life.
    WorkflowStatus {
        /// Stored, not started: a compensating workflow waits for `workflow execute`.
        Pending = "pending",
        /// Steps are running or waiting to run.
        Executing = "executing",
        /// Every step it needed is done, or a person said so.
        Completed = "completed",
        /// A step failed and nothing was rolled back, because it is not transactional or rollbacks are off.
        Failed = "failed",
        /// Undos are running or waiting to run.
        RollingBack = "rolling_back",
        /// Everything that could be undone was, and every undo was read back.
        RolledBack = "rolled_back",
        /// At least one step still stands although it should not.
        RollbackFailed = "rollback_failed",
        /// A person put it right and said so.
        Resolved = "resolved",
        /// The execution log knows it, its state is lost.
        Unknown = "unknown",
    }
}

impl WorkflowStatus {
    /// Whether nothing of it moves by itself.
    pub const fn rests(self) -> bool {
        !matches!(self, WorkflowStatus::Executing | WorkflowStatus::RollingBack)
    }
}

words! {
    /// Where a step is in its life.
    StepStatus {
        /// Waits for the steps it depends on.
        Pending = "pending",
        /// Its action waits, runs, or waits for approval.
        Executing = "executing",
        /// Done.
        Completed = "completed",
        /// Given up, rejected, or in doubt.
        Failed = "failed",
        /// Not needed any more: never sent.
        Skipped = "skipped",
        /// Done, and undone again.
        RolledBack = "rolled_back",
    }
}

/// One step, with what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStep {
    /// Its id in the workflow.
    pub step_id: String,
    /// For people.
    pub name: String,
    /// What it does.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// Where it is in its life.
    pub status: StepStatus,
    /// Steps it waits for.
    pub depends_on: Vec<String>,
    /// Whether the workflow goes on when it fails.
    pub optional: bool,
    /// The parameters: as sent once it was started, with its references before.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    /// The action that runs it, once it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
    /// The platform that really did it, when a fallback did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_platform: Option<Platform>,
    /// What the platform answered, reduced to ids and links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<serde_json::Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ActionError>,
    /// When its action was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Whether what it overwrites was kept before it was sent.
    #[serde(default)]
    pub before_image: bool,
    /// Its undo, once a rollback was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<StepUndo>,
}

/// Who is at work on a workflow; others are refused meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// What is being done: `rollback`, `rollback retry`, `rollback force`.
    pub operation: String,
    /// Whose credential, with the operator's claim.
    pub owner: String,
    /// Since when.
    pub since: Time,
}

/// A person's word about a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// Whose credential, with the operator's claim.
    pub by: String,
    /// When.
    pub at: Time,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A workflow with everything that is kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    /// Its id.
    pub workflow_id: String,
    /// For people.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it is in its life.
    pub status: WorkflowStatus,
    /// More than the status says: `partially rolled back: 1 of 2 steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether a failed step undoes the earlier ones.
    pub transactional: bool,
    /// How urgent its actions are.
    pub priority: Priority,
    /// The steps, in the order of the definition.
    pub steps: Vec<WorkflowStep>,
    /// The step that failed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<String>,
    /// What is wrong now: the last failed undo, or why the workflow failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The signal it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// On whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The workflow whose effects this one compensates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensates: Option<String>,
    /// A person's word about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Whether it was taken off the list of failures.
    #[serde(default)]
    pub cleared: bool,
    /// Who is at work on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// When it was accepted.
    pub created_at: Time,
    /// When its first step was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it came to rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// When anything of it moved last.
    pub updated_at: Time,
    /// Moves with every change; send it back in `If-Match`.
    pub version: u64,
}

/// `workflow status`: exactly the runbook's fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowReport {
    /// Its id.
    pub workflow_id: String,
    /// Where it is in its life.
    pub status: WorkflowStatus,
    /// Steps that were executed, in the order of the definition, undone ones included.
    pub completed_steps: Vec<String>,
    /// Steps whose undo the platform confirmed.
    pub rolled_back_steps: Vec<String>,
    /// Steps that still stand although they should not.
    pub failed_rollbacks: Vec<String>,
    /// What is wrong now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl From<&Workflow> for WorkflowReport {
    fn from(workflow: &Workflow) -> Self {
        let ids = |fits: &dyn Fn(&WorkflowStep) -> bool| {
            workflow.steps.iter().filter(|step| fits(step)).map(|step| step.step_id.clone()).collect()
        };
        WorkflowReport {
            workflow_id: workflow.workflow_id.clone(),
            status: workflow.status,
            completed_steps: ids(&|step| matches!(step.status, StepStatus::Completed | StepStatus::RolledBack)),
            rolled_back_steps: ids(&|step| step.status == StepStatus::RolledBack),
            failed_rollbacks: ids(&|step| {
                let undo = step.undo.as_ref().map(|undo| undo.status);
                matches!(undo, Some(UndoStatus::Failed | UndoStatus::Blocked | UndoStatus::Manual))
            }),
            error: workflow.error.clone(),
        }
    }
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowSummary {
    /// Its id.
    pub workflow_id: String,
    /// For people.
    pub name: String,
    /// Where it is in its life.
    pub status: WorkflowStatus,
    /// Number of steps.
    pub steps: u64,
    /// The step that failed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<String>,
    /// Code of the failure, for grouping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// What is wrong now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: Time,
    /// When anything of it moved last.
    pub updated_at: Time,
}

/// A page of workflows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowList {
    /// Newest first.
    pub workflows: Vec<WorkflowSummary>,
    /// How many match, all pages together.
    pub total: u64,
}

/// Which workflows a listing returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkflowFilter {
    /// Only these; all when empty.
    pub statuses: Vec<WorkflowStatus>,
    /// Moved not before this.
    pub since: Option<Time>,
    /// Whether those taken off the list of failures are left out.
    pub hide_cleared: bool,
    /// At most this many.
    pub limit: u64,
    /// Where the page starts.
    pub offset: u64,
}
