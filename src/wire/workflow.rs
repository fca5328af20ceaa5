//! Workflows: what is submitted, what became of each step, and how a rollback went.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::action::words;
use super::{ActionError, ActionType, ErrorCode, Platform, Priority, Time};

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

/// One step of a workflow to execute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepRequest {
    /// Its id, unique in the workflow.
    #[schema(min_length = 1, max_length = 64)]
    pub id: String,
    /// For people; the id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub name: Option<String>,
    /// What to do.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// The platform's parameters. A text that is `$step.path` stands for that value of an earlier step's result,
    /// `$name` for a value of the workflow's `metadata`.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    /// Ids of earlier steps it waits for; a single id may be a plain string. Without it a step waits for the one
    /// before it; an empty list starts it at once.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "one_or_many")]
    pub depends_on: Option<Vec<String>>,
    /// Whether the workflow goes on when it fails.
    #[serde(default)]
    pub optional: bool,
    /// Limit for one try, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 600_000)]
    pub timeout: Option<u64>,
    /// Retries after the first try, other than the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 20)]
    pub retries: Option<u32>,
    /// Whether a person must approve it first.
    #[serde(default)]
    pub requires_approval: bool,
}

/// A list, or one entry as a plain string.
fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Either>::deserialize(from)?.map(|either| match either {
        Either::One(id) => vec![id],
        Either::Many(ids) => ids,
    }))
}

/// A workflow to execute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowRequest {
    /// The caller's id; one is made when absent. A repeated id with the same content is a prevented duplicate.
    #[serde(default, alias = "workflowId", skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub id: Option<String>,
    /// For people.
    #[schema(min_length = 1, max_length = 256)]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub description: Option<String>,
    /// The steps; at least one, at most `MAX_WORKFLOW_STEPS`.
    #[schema(min_items = 1, max_items = 1000)]
    pub steps: Vec<StepRequest>,
    /// Whether a failed step undoes the earlier ones.
    #[serde(default = "yes", alias = "rollbackOnFailure")]
    pub transactional: bool,
    /// How urgent its actions are.
    #[serde(default = "normal")]
    pub priority: Priority,
    /// The same key with the same content is executed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 256)]
    pub idempotency_key: Option<String>,
    /// The signal it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub correlation_id: Option<String>,
    /// On whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub user_id: Option<String>,
    /// Values that steps refer to as `$name`.
    #[serde(default, alias = "context", skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Limit for all steps together, in milliseconds, other than `WORKFLOW_TIMEOUT_MS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86_400_000)]
    pub timeout: Option<u64>,
}

fn yes() -> bool {
    true
}

fn normal() -> Priority {
    Priority::Normal
}

/// The answer to a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowAccepted {
    /// The workflow's id: of the earlier one when this is a prevented duplicate.
    pub workflow_id: String,
    /// Its status now.
    pub status: WorkflowStatus,
    /// True when an earlier one with the same id or key and content stands in for it.
    pub duplicate: bool,
    /// Id in the server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
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

/// A comment on what was done by hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveRequest {
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub comment: Option<String>,
}

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
