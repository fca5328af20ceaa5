//! Errors as the log files and `/recent-errors` show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
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

words! {
    /// A log of the service, by its name in the runbook's layout.
    LogName {
        /// Everything.
        Application = "application",
        /// Errors alone.
        Errors = "errors",
        /// What is about Notion.
        Notion = "executors/notion",
        /// What is about Trello.
        Trello = "executors/trello",
        /// What is about Slack.
        Slack = "executors/slack",
        /// What is about Drive.
        Drive = "executors/drive",
        /// What is about Sheets.
        Sheets = "executors/sheets",
        /// Workflows and their steps.
        Workflows = "workflows/executions",
        /// Rollbacks.
        Rollbacks = "rollbacks",
        /// Circuit breakers.
        Circuits = "circuit-breakers",
        /// Credentials, roles, approvals.
        Security = "security",
    }
}

impl From<Platform> for LogName {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Notion => LogName::Notion,
            Platform::Trello => LogName::Trello,
            Platform::Slack => LogName::Slack,
            Platform::Drive => LogName::Drive,
            Platform::Sheets => LogName::Sheets,
        }
    }
}

/// Which lines of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineFilter {
    /// At most this many, the newest.
    pub limit: u64,
    /// Not before.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
    /// Only about this platform.
    pub platform: Option<Platform>,
    /// A text that occurs in the line, or `/regex/`.
    pub grep: Option<String>,
    /// Conditions on keys: `level:error`, `errorCode:!TIMEOUT`, `durationMs:>500`, `attempt:2..4`, `message:/regex/`.
    pub filters: Vec<String>,
}

/// Lines of a log, and how they were found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    /// Oldest first; each as the service wrote it.
    #[schema(value_type = Vec<Object>)]
    pub lines: Vec<serde_json::Value>,
    /// Where they come from.
    pub source: LogSource,
}

/// Where an answer from logs comes from, and what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogSource {
    /// Files that were looked into, newest first.
    pub files: Vec<String>,
    /// Files that could not be, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread_files: BTreeMap<String, String>,
    /// Lines that were looked at closely and are not JSON, or too long.
    pub unreadable: u64,
    /// Lines that were looked at closely and have no time, when a window was asked for.
    pub undated: u64,
    /// Whether the lines are out of order in time, so that all of them were looked through.
    pub disorder: bool,
    /// True when older lines were left out.
    pub truncated: bool,
    /// How far back the log reaches: its oldest line's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Time>,
    /// How recent it is: its newest line's time, whatever was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Time>,
}

/// One record of a log that is streamed: its lines, then where they come from. Without that end it broke off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum LogRecord {
    /// A line.
    Line {
        /// As the service wrote it.
        #[schema(value_type = Object)]
        line: serde_json::Value,
    },
    /// The end.
    End {
        /// Where the lines come from.
        source: LogSource,
    },
}
