//! Idempotency keys: what each stands for, what it prevented, what collided with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{ActionStatus, ActionType, Platform, Time, WorkflowStatus};

words! {
    /// Where the work of a key is.
    KeyState {
        /// Its work waits or runs: a second submission is told so and does not run.
        InFlight = "in_flight",
        /// Its work is done: a second submission gets the id of what did it.
        Done = "done",
        /// Nobody knows whether its work happened, or how much of it stands: a second submission does not run either.
        InDoubt = "in_doubt",
        /// Its workflow failed, was undone or was put right by a person: a second submission runs.
        Released = "released",
        /// Remembered longer than `IDEMPOTENCY_TTL`: a second submission runs.
        Expired = "expired",
    }
}

impl KeyState {
    /// Whether a second submission does not run.
    pub const fn holds(self) -> bool {
        matches!(self, KeyState::InFlight | KeyState::Done | KeyState::InDoubt)
    }
}

/// What has a key. A key stands for one of them, never for both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "owner", rename_all = "snake_case")]
pub enum KeyOwner {
    /// An action.
    #[serde(rename_all = "camelCase")]
    Action {
        /// Its id.
        action_id: String,
        /// Its status.
        action_status: ActionStatus,
        /// What it does.
        #[serde(rename = "type")]
        action_type: ActionType,
        /// Where.
        platform: Platform,
        /// The workflow it belongs to, as its caller says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workflow_id: Option<String>,
        /// The signal or workflow it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        correlation_id: Option<String>,
    },
    /// A workflow, with all its steps.
    #[serde(rename_all = "camelCase")]
    Workflow {
        /// Its id.
        workflow_id: String,
        /// Its status.
        workflow_status: WorkflowStatus,
        /// Its name.
        name: String,
        /// How many steps it has.
        steps: u64,
    },
}

impl KeyOwner {
    /// The id of the action or workflow.
    pub fn id(&self) -> &str {
        match self {
            KeyOwner::Action { action_id, .. } => action_id,
            KeyOwner::Workflow { workflow_id, .. } => workflow_id,
        }
    }

    /// What it is.
    pub const fn kind(&self) -> &'static str {
        match self {
            KeyOwner::Action { .. } => "action",
            KeyOwner::Workflow { .. } => "workflow",
        }
    }

    /// Its status.
    pub const fn status(&self) -> &'static str {
        match self {
            KeyOwner::Action { action_status, .. } => action_status.as_str(),
            KeyOwner::Workflow { workflow_status, .. } => workflow_status.as_str(),
        }
    }
}

/// One idempotency key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyRecord {
    /// The key.
    pub key: String,
    /// Where its work is.
    pub state: KeyState,
    /// What has it.
    #[serde(flatten)]
    pub owner: KeyOwner,
    /// What the key stands for: an action's type, platform, and the first 16 hex digits of the SHA-256 over its parameters;
    /// of a workflow the first 32 over its content.
    pub fingerprint: String,
    /// When the key was taken.
    pub created_at: Time,
    /// When it is forgotten; while its work is in flight it holds longer.
    pub expires_at: Time,
    /// Submissions that were the same again and did not run; absent where nobody counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prevented: Option<u64>,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_prevented_at: Option<Time>,
    /// Submissions with other parameters that were refused; absent where nobody counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collisions: Option<u64>,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_collision_at: Option<Time>,
    /// Whether the key ends in a moment: such a key is new every time and prevents nothing.
    pub ends_in_timestamp: bool,
    /// Moves when something else takes the key; send it back in `If-Match`.
    pub version: u64,
}

/// A submission that was refused because its key stood for something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyCollision {
    /// When.
    pub at: Time,
    /// The key.
    pub key: String,
    /// The action that had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
    /// The workflow that had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// What the key stood for.
    pub fingerprint: String,
    /// What was offered under it.
    pub offered: String,
    /// The program that offered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The signal or workflow it belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// On whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

impl KeyCollision {
    /// The id of what had the key.
    pub fn held_by(&self) -> &str {
        self.action_id.as_deref().or(self.workflow_id.as_deref()).unwrap_or_default()
    }
}

/// One key with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyKey {
    /// The key.
    #[serde(flatten)]
    pub record: IdempotencyRecord,
    /// What collided with it, newest first, twenty at most.
    pub collided: Vec<KeyCollision>,
}

words! {
    /// Which keys a listing wants.
    KeyView {
        /// All of them.
        All = "all",
        /// Those that prevented a duplicate.
        Prevented = "prevented",
        /// Those that something collided with.
        Collisions = "collisions",
    }
}

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyKeys {
    /// Newest first; `prevented` by the last prevented duplicate.
    pub keys: Vec<IdempotencyRecord>,
    /// True when there are more than were returned.
    pub truncated: bool,
}

/// A page of refused collisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyCollisions {
    /// Newest first.
    pub collisions: Vec<KeyCollision>,
    /// True when there are more than were returned.
    pub truncated: bool,
}
