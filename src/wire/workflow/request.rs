//! What is submitted, and what a person says of a workflow.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::WorkflowStatus;
use crate::wire::{ActionType, Platform, Priority};

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

/// A comment on what was done by hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveRequest {
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    pub comment: Option<String>,
}
