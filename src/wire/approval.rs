//! Approvals: actions that wait for a person's decision.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{ActionType, Platform, Priority, Time};

words! {
    /// Where an approval is in its life.
    ApprovalStatus {
        /// Waits for a decision.
        Pending = "pending",
        /// Approved: the action went to the queue.
        Approved = "approved",
        /// Rejected: the action failed without being sent.
        Rejected = "rejected",
        /// Nobody decided in time: the action failed without being sent.
        Expired = "expired",
        /// Its workflow no longer needs the action: nothing is left to decide.
        Withdrawn = "withdrawn",
    }
}

words! {
    /// How much harm a wrong decision does.
    RiskLevel {
        /// The caller asked for a decision, no rule did.
        Low = "low",
        /// Many items at once.
        Medium = "medium",
        /// Something is taken away, or people's access changes.
        High = "high",
        /// People outside are reached.
        Critical = "critical",
    }
}

words! {
    /// Why an action needs a decision.
    ApprovalCause {
        /// The request says `requiresApproval`.
        Requested = "requested",
        /// It deletes.
        Deletes = "deletes",
        /// It is one of more than ten items for one platform in one request.
        Bulk = "bulk",
        /// It changes who may see or edit something.
        Permissions = "permissions",
        /// It gives somebody outside access, or tells them something.
        External = "external",
    }
}

/// An action that needs, or needed, a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRecord {
    /// The approval's id.
    pub id: String,
    /// What is to be decided, in words: `delete on notion: page_id p-7`.
    pub action: String,
    /// How urgent the action is.
    pub priority: Priority,
    /// How much harm a wrong decision does.
    pub risk_level: RiskLevel,
    /// When the decision was asked for.
    pub created_at: Time,
    /// When it is too late: the action then fails without being sent.
    pub expires_at: Time,
    /// Milliseconds until then; 0 when it is decided or expired.
    pub time_remaining: u64,
    /// Where it is in its life.
    pub status: ApprovalStatus,
    /// Why it needs a decision.
    pub causes: Vec<ApprovalCause>,
    /// The action's id.
    pub action_id: String,
    /// What the action does.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// Its parameters.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    /// The workflow it is a step of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// The signal or workflow it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// On whose behalf it was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The program that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whose credential decided, with the person it claims to act for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When it was decided or expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Time>,
    /// Why it was decided so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A page of approvals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Approvals {
    /// Pending ones: what expires first comes first. Decided ones: newest first.
    pub approvals: Vec<ApprovalRecord>,
    /// True when there are more than were returned.
    pub truncated: bool,
}

/// Which approvals a listing wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// Only these.
    pub status: ApprovalStatus,
    /// Decided or expired not before this; for pending ones asked for not before this.
    pub since: Option<Time>,
    /// At most this many.
    pub limit: u64,
}

/// `POST /api/approvals/{id}/approve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApproveRequest {
    /// Who decides: a claim, recorded beside the credential that is used.
    #[schema(min_length = 1, max_length = 256)]
    pub user_id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub reason: Option<String>,
}

/// `POST /api/approvals/{id}/reject`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RejectRequest {
    /// Who decides: a claim, recorded beside the credential that is used.
    #[schema(min_length = 1, max_length = 256)]
    pub user_id: String,
    /// Why; the action fails with these words.
    #[schema(min_length = 1, max_length = 1024)]
    pub reason: String,
}

/// The answer to an approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// `approved`.
    pub status: ApprovalStatus,
    /// The approval's id.
    pub approval_id: String,
    /// The action that goes to the queue.
    pub action_id: String,
    /// Whose credential decided, with the person it claims to act for.
    pub approved_by: String,
    /// When: the first time, when it was approved by the same before.
    pub timestamp: Time,
}

/// The answer to a rejection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// `rejected`.
    pub status: ApprovalStatus,
    /// The approval's id.
    pub approval_id: String,
    /// The action that failed without being sent.
    pub action_id: String,
    /// Whose credential decided, with the person it claims to act for.
    pub rejected_by: String,
    /// Why.
    pub reason: String,
    /// When: the first time, when it was rejected by the same before.
    pub timestamp: Time,
}

impl From<ApprovalRecord> for Approved {
    fn from(record: ApprovalRecord) -> Self {
        Approved {
            status: record.status,
            approval_id: record.id,
            action_id: record.action_id,
            approved_by: record.decided_by.unwrap_or_default(),
            timestamp: record.decided_at.unwrap_or(record.created_at),
        }
    }
}

impl From<ApprovalRecord> for Rejected {
    fn from(record: ApprovalRecord) -> Self {
        Rejected {
            status: record.status,
            approval_id: record.id,
            action_id: record.action_id,
            rejected_by: record.decided_by.unwrap_or_default(),
            reason: record.reason.unwrap_or_default(),
            timestamp: record.decided_at.unwrap_or(record.created_at),
        }
    }
}
