//! The queue: counts, items, dead letters, pauses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{ActionError, ActionRequest, ActionType, Platform, Priority, Time};

/// Items waiting, by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ByPriority {
    /// Critical items.
    pub critical: u64,
    /// High items.
    pub high: u64,
    /// Normal items.
    pub normal: u64,
    /// Low items.
    pub low: u64,
}

impl ByPriority {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.critical + self.high + self.normal + self.low
    }
}

/// `GET /queue`: exactly the runbook's fields.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// Items waiting, those waiting for a retry included; executing items are not.
    pub total_queued: u64,
    /// The same by priority.
    pub by_priority: ByPriority,
    /// Mean age of what waits now, in milliseconds.
    pub avg_wait_time: u64,
    /// Busy workers over all workers, 0 to 1; absent where the engine does not say how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_utilization: Option<f64>,
}

/// One waiting item in `GET /api/actions/queue`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueuedAction {
    /// The action's id.
    pub action_id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// When it was accepted.
    pub queued_at: Time,
    /// Milliseconds until it is likely to run.
    pub estimated_wait: u64,
}

/// Waiting items by priority, at most 1000 each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queues {
    /// Critical items, oldest first.
    pub critical: Vec<QueuedAction>,
    /// High items, oldest first.
    pub high: Vec<QueuedAction>,
    /// Normal items, oldest first.
    pub normal: Vec<QueuedAction>,
    /// Low items, oldest first.
    pub low: Vec<QueuedAction>,
}

/// The counts beside the lists of `GET /api/actions/queue`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStats {
    /// Items waiting.
    pub total_queued: u64,
    /// Mean age of what waits now, in milliseconds.
    pub avg_wait_time: u64,
    /// Busy workers over all workers, 0 to 1; absent where the engine does not say how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_utilization: Option<f64>,
}

/// `GET /api/actions/queue`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueListing {
    /// The items.
    pub queues: Queues,
    /// The counts.
    pub stats: QueueStats,
}

words! {
    /// Which items a listing wants.
    QueueView {
        /// Waiting for a worker or for their next try.
        Queued = "queued",
        /// A worker has them.
        Executing = "executing",
        /// Waiting longer than the stuck age (10 minutes unless told).
        Stuck = "stuck",
        /// Retries exhausted; can be driven again.
        Failed = "failed",
        /// Removed or cleared by an operator; can be restored.
        Removed = "removed",
    }
}

/// One item of the queue, in whatever state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueItem {
    /// The action's id.
    pub action_id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// How urgent.
    pub priority: Priority,
    /// Which view it belongs to; never `stuck`, which is `queued` with an age.
    pub state: QueueView,
    /// When it was accepted.
    pub queued_at: Time,
    /// Tries so far.
    pub attempts: u32,
    /// When the next try is due, while it waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ActionError>,
    /// Why it waits, for a person: `paused`, `circuit OPEN`, `rate limit`, `retry in 4s`, `no free worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// The signal or workflow it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Who took it out, when it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_by: Option<String>,
    /// When it failed for good or was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Moves with every change; send it back in `If-Match`.
    pub version: u64,
}

/// A page of items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueItems {
    /// Oldest first.
    pub items: Vec<QueueItem>,
    /// How many match, all pages together.
    pub total: u64,
    /// True when there are more than were returned.
    pub truncated: bool,
}

/// Which items a listing or a bulk change is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueueFilter {
    /// The view.
    pub view: QueueView,
    /// Only this platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Ended (failed, removed) or accepted (others) not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// For `stuck`: the age in milliseconds; 600000 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<u64>,
    /// At most this many, 1 to 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub limit: Option<u64>,
}

/// What a queue clear removes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClearRequest {
    /// Only items older than the stuck age.
    #[serde(default)]
    pub stuck_only: bool,
    /// The stuck age in milliseconds; 600000 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<u64>,
    /// Only these ids, the ones the plan listed: what arrived or moved since is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
}

/// Ids to restore from the dead letters, or to drive again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdsRequest {
    /// The items.
    #[schema(min_items = 1, max_items = 10_000)]
    pub ids: Vec<String>,
    /// For a retry: items a second, so that a recovered platform is not flooded; the platform's rate limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub per_second: Option<u32>,
}

/// Waiting actions as they were submitted, so that another orchestrator can have them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingRequests {
    /// The oldest first.
    pub requests: Vec<WaitingRequest>,
    /// Everything that waits, with what cannot be moved: steps of workflows, what may have been sent, what is scheduled.
    pub waiting: u64,
}

/// One waiting action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingRequest {
    /// Its id here.
    pub action_id: String,
    /// What it was submitted with; the key in force with it.
    pub request: ActionRequest,
}

/// Waiting actions of another orchestrator, to be put into this queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The actions, with their ids where they come from.
    #[schema(min_items = 1, max_items = 1000)]
    pub requests: Vec<WaitingRequest>,
}

words! {
    /// What became of an action of another orchestrator.
    Put {
        /// It waits here now.
        Imported = "imported",
        /// It was taken out here before, and waits again.
        Restored = "restored",
        /// It was here already, and waits or is executed.
        AlreadyThere = "already_there",
        /// It was done here already, by its key.
        Done = "done",
        /// It does not wait here; why is said.
        Failed = "failed",
    }
}

/// What became of one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportedItem {
    /// Its id where it comes from.
    pub action_id: String,
    /// What became of it.
    pub put: Put,
    /// Its id here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why, or what else is to be known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportAnswer {
    /// What became of the whole: `refused` when one failed, `already_so` when none was new.
    pub effect: EffectKind,
    /// Each of them.
    pub items: Vec<ImportedItem>,
    /// Id in the server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
}

words! {
    /// What became of one item of a change.
    EffectKind {
        /// Done, and read back.
        Applied = "applied",
        /// Taken on; it will happen, and can be checked.
        Accepted = "accepted",
        /// It was so already.
        AlreadySo = "already_so",
        /// There is no such thing.
        NotFound = "not_found",
        /// It moved meanwhile, or its state forbids the change.
        Conflict = "conflict",
        /// Refused for another reason.
        Refused = "refused",
        /// This orchestrator cannot.
        Unsupported = "unsupported",
    }
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemEffect {
    /// The item.
    pub id: String,
    /// What became of it.
    pub effect: EffectKind,
    /// Why, or what it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The answer to every change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeAnswer {
    /// What became of the whole: the worst of the items, or of the change itself when it has none.
    pub effect: EffectKind,
    /// One sentence for people.
    pub message: String,
    /// Items of a bulk change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemEffect>,
    /// Id in the server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
}

words! {
    /// What a pause stops.
    PauseScope {
        /// Queue, intake, schedulers and the executor of approved actions.
        All = "all",
        /// Only taking items from the queue.
        Queue = "queue",
    }
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pause {
    /// What it stops.
    pub scope: PauseScope,
    /// Whose credential set it, with the operator's claim.
    pub owner: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Time,
}

/// A pause or resume to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PauseRequest {
    /// What to stop or start. Resuming `all` ends both pauses.
    pub scope: PauseScope,
    /// For a resume: start with one worker and add one every `slowStartStepMs`.
    #[serde(default)]
    pub slow_start: bool,
}
