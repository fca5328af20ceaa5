//! Idempotency keys: what each stands for, what it prevented, what collided with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{ActionStatus, ActionType, Platform, Time};

words! {
    /// Where the work of a key is.
    KeyState {
        /// Its action waits or runs: a second submission is told so and does not run.
        InFlight = "in_flight",
        /// Its action is done: a second submission gets that action's id.
        Done = "done",
        /// Nobody knows whether its action happened: a second submission does not run either.
        InDoubt = "in_doubt",
        /// Remembered longer than `IDEMPOTENCY_TTL`: a second submission runs.
        Expired = "expired",
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
    /// The action that has it.
    pub action_id: String,
    /// That action's status.
    pub action_status: ActionStatus,
    /// What it does.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// The workflow it is a step of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// The signal or workflow it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What the key stands for: type, platform, and the first 16 hex digits of the SHA-256 over the parameters.
    pub fingerprint: String,
    /// When the key was taken.
    pub created_at: Time,
    /// When it is forgotten; while its action is in flight it holds longer.
    pub expires_at: Time,
    /// Submissions that were the same again and did not run.
    pub prevented: u64,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_prevented_at: Option<Time>,
    /// Submissions with other parameters that were refused.
    pub collisions: u64,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_collision_at: Option<Time>,
    /// Whether the key ends in a moment: such a key is new every time and prevents nothing.
    pub ends_in_timestamp: bool,
    /// Moves when another action takes the key; send it back in `If-Match`.
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
    pub action_id: String,
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
    /// Newest action first; `prevented` by the last prevented duplicate.
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
