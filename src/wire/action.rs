//! Actions: what is submitted, what became of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ErrorCode, Time, words};

words! {
    /// The five platforms.
    Platform {
        /// Notion.
        Notion = "notion",
        /// Trello.
        Trello = "trello",
        /// Slack.
        Slack = "slack",
        /// Google Drive.
        Drive = "drive",
        /// Google Sheets.
        Sheets = "sheets",
    }
}

words! {
    /// Queue priorities, most urgent first.
    Priority {
        /// Within 5 seconds.
        Critical = "critical",
        /// Within 30 seconds.
        High = "high",
        /// Within 2 minutes.
        Normal = "normal",
        /// Whenever there is room.
        Low = "low",
    }
}

words! {
    /// The documented action types.
    ActionType {
        /// Create an object.
        Create = "create",
        /// Change an object; a Trello move is an update of `listId`.
        Update = "update",
        /// Trash or archive an object.
        Delete = "delete",
        /// Send a message.
        Notify = "notify",
        /// Store a file.
        File = "file",
        /// Append a row or a log entry.
        Log = "log",
        /// Read.
        Query = "query",
        /// Ask for approval.
        Approve = "approve",
    }
}

words! {
    /// Where an action is in its life.
    ActionStatus {
        /// Accepted, waiting for a worker or for its next try.
        Pending = "pending",
        /// A worker has it.
        Executing = "executing",
        /// Done.
        Success = "success",
        /// Given up.
        Failed = "failed",
        /// Sent, the answer was lost, and the platform cannot tell whether it happened: for a person to decide.
        InDoubt = "in_doubt",
        /// Taken out of the queue by an operator; restorable.
        Removed = "removed",
    }
}

/// How an action is retried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryConfig {
    /// Retries after the first try.
    #[serde(default = "defaults::max_retries")]
    #[schema(maximum = 20)]
    pub max_retries: u32,
    /// Wait before the first retry, in milliseconds.
    #[serde(default = "defaults::initial_delay")]
    #[schema(maximum = 3_600_000)]
    pub initial_delay: u64,
    /// Factor between waits.
    #[serde(default = "defaults::multiplier")]
    #[schema(minimum = 1, maximum = 100)]
    pub backoff_multiplier: f64,
    /// Longest wait, in milliseconds.
    #[serde(default = "defaults::max_delay")]
    #[schema(maximum = 3_600_000)]
    pub max_delay: u64,
}

mod defaults {
    pub(super) fn max_retries() -> u32 {
        3
    }
    pub(super) fn initial_delay() -> u64 {
        1000
    }
    pub(super) fn multiplier() -> f64 {
        2.0
    }
    pub(super) fn max_delay() -> u64 {
        30_000
    }
}

/// An action to execute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionRequest {
    /// The caller's id; one is made when absent. A repeated id with the same content is a prevented duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub id: Option<String>,
    /// What to do.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// How urgent.
    #[serde(default = "normal_priority")]
    pub priority: Priority,
    /// The platform's parameters: the documented data schema of the platform and type.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    /// The signal or workflow this belongs to; part of the idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub correlation_id: Option<String>,
    /// On whose behalf; `THROTTLE_PER_USER` counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub user_id: Option<String>,
    /// The program that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub source: Option<String>,
    /// The workflow it is a step of; `THROTTLE_PER_WORKFLOW` counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    pub workflow_id: Option<String>,
    /// Limit for one try, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 600_000)]
    pub timeout: Option<u64>,
    /// Retry settings other than the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_config: Option<RetryConfig>,
    /// An idempotency key of the caller's instead of the derived one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 256)]
    pub idempotency_key: Option<String>,
    /// Whether a person must approve it first.
    #[serde(default)]
    pub requires_approval: bool,
    /// How long the decision may take, in milliseconds, other than `APPROVAL_TIMEOUT`. Undecided, it never runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000, maximum = 604_800_000)]
    pub approval_timeout: Option<u64>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    pub tags: Vec<String>,
}

fn normal_priority() -> Priority {
    Priority::Normal
}

/// What became of one submitted action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// The action's id: of the earlier action when this one is a prevented duplicate.
    pub id: String,
    /// Its status now.
    pub status: ActionStatus,
    /// True when an earlier action with the same key and parameters stands in for it.
    pub duplicate: bool,
    /// Items ahead of it, when it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
    /// The idempotency key in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The approval it waits for, when a person has to decide first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
}

/// The answer to a submission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SubmitAnswer {
    /// One entry an action, in the order of the request.
    pub actions: Vec<Submitted>,
}

/// What a platform call failed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionError {
    /// The documented code.
    pub code: ErrorCode,
    /// The platform's words, secrets taken out.
    pub message: String,
    /// HTTP status, when one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The platform's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// An executed or waiting action, as `GET /api/actions/recent` documents it, with a few fields of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionRecord {
    /// The action's id.
    pub id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// How urgent.
    pub priority: Priority,
    /// Where it is in its life.
    pub status: ActionStatus,
    /// What the platform answered, reduced to ids and links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<serde_json::Value>,
    /// The last failure, while it has not succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ActionError>,
    /// Milliseconds in the platform call that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_time: Option<u64>,
    /// Milliseconds in the queue, execution and retries left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_time: Option<u64>,
    /// Retries so far.
    pub retries: u32,
    /// When it was accepted, or ended.
    pub timestamp: Time,
    /// When it was accepted.
    pub queued_at: Time,
    /// When the next try is due, while it waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// The platform that really did it, when a fallback did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_platform: Option<Platform>,
    /// The signal or workflow it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// On whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The program that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Moves with every change of this record; send it back in `If-Match`.
    pub version: u64,
}

/// `GET /api/actions/recent`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecentActions {
    /// Newest first.
    pub actions: Vec<ActionRecord>,
    /// How many match, all pages together.
    pub total: u64,
    /// The page's size.
    pub limit: u64,
    /// Where the page starts.
    pub offset: u64,
}

/// `GET /api/context/actions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContextActions {
    /// Newest first.
    pub actions: Vec<ContextAction>,
    /// What the matching actions have in common.
    pub patterns: ActionPatterns,
}

/// One action in `GET /api/context/actions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContextAction {
    /// The action's id.
    pub id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// Where it is in its life.
    pub status: ActionStatus,
    /// When it was accepted, or ended.
    pub timestamp: Time,
    /// On whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The program that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What a set of actions has in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionPatterns {
    /// The type that occurs most often.
    pub most_frequent_type: Option<ActionType>,
    /// The platform that occurs most often.
    pub most_frequent_platform: Option<Platform>,
    /// Busiest hours of the day, UTC, 0 to 23, busiest first, three at most.
    pub peak_hours: Vec<u8>,
    /// Actions a day over the days that had any.
    pub avg_actions_per_day: f64,
}

/// Which actions `GET /api/actions/recent` and its relatives return.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActionFilter {
    /// Page size.
    pub limit: u64,
    /// Where the page starts.
    pub offset: u64,
    /// Only this platform.
    pub platform: Option<Platform>,
    /// Only this status; `pending` includes `executing`.
    pub status: Option<ActionStatus>,
    /// Not before.
    pub start: Option<Time>,
    /// Before.
    pub end: Option<Time>,
    /// Only this user.
    pub user_id: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// Only with all of these tags.
    pub tags: Vec<String>,
}
