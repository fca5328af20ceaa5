//! Errors as the log files and `/recent-errors` show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ErrorCode, Platform, Time};

/// One line of an error log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorEntry {
    /// When.
    pub timestamp: Time,
    /// Always `error` here.
    pub level: String,
    /// What happened, secrets taken out.
    pub message: String,
    /// The platform concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The part of the service that said so: `executor`, `queue`, `store`, `http`, `circuit`, `state-manager`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The documented code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    /// The action concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
    /// The try it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The platform's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Which errors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorFilter {
    /// At most this many, the newest.
    pub limit: u64,
    /// Only this platform.
    pub platform: Option<Platform>,
    /// Only this component.
    pub component: Option<String>,
    /// Not before.
    pub since: Option<Time>,
}

/// `GET /recent-errors` and `GET /admin/v1/logs/errors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorLog {
    /// Newest first.
    pub errors: Vec<ErrorEntry>,
    /// Counts by code over all that match, not only those returned.
    pub by_code: BTreeMap<ErrorCode, u64>,
    /// How many match.
    pub total: u64,
    /// How far back the log reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Time>,
}
