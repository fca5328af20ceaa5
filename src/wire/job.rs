//! Work that takes longer than an answer may: a backup, a restore, a scan. It is started, then asked about.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{ErrorDetail, Time};

words! {
    /// Where a job is in its life.
    JobState {
        /// At work.
        Running = "running",
        /// It has a result.
        Done = "done",
        /// It ended with an error.
        Failed = "failed",
    }
}

/// Work that goes on while others are answered. The service forgets it when it stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What it does: `backup create`.
    pub what: String,
    /// Where it is in its life.
    pub state: JobState,
    /// When it began.
    pub started_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// What it is at: `copy`, `hash`.
    pub step: String,
    /// How much of this step is done.
    pub done: u64,
    /// How much there is to do; 0 when nobody can tell.
    pub total: u64,
    /// What came of it; its type depends on what the job does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<serde_json::Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDetail>,
    /// Id in the server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
}
