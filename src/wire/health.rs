//! Health of the whole and of each executor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{CircuitState, Platform, Time};

words! {
    /// Health of the whole.
    OverallHealth {
        /// Everything works.
        Healthy = "healthy",
        /// Something does not.
        Degraded = "degraded",
        /// Three or more executors are down, or the store is.
        Critical = "critical",
    }
}

words! {
    /// Health of one executor.
    ExecutorHealth {
        /// It works.
        Healthy = "healthy",
        /// It works in part, or its circuit probes.
        Degraded = "degraded",
        /// It does not work: crashed, circuit open, or authentication refused.
        Down = "down",
    }
}

/// The circuit part of an executor's health.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitHealth {
    /// The state.
    pub state: CircuitState,
    /// Failures counted.
    pub failure_count: u64,
    /// The last counted failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Time>,
}

/// The limit part of an executor's health.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitHealth {
    /// Requests in the current window.
    pub current: u64,
    /// Requests the window admits.
    pub limit: u64,
    /// When the window ends.
    pub reset_at: Time,
}

/// One executor in `GET /api/actions/health`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorHealthReport {
    /// The verdict.
    pub status: ExecutorHealth,
    /// Its circuit.
    pub circuit_breaker: CircuitHealth,
    /// Its limit; absent where nothing counts its calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<LimitHealth>,
    /// Last successful call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Time>,
    /// Mean of the last 100 calls, in milliseconds.
    pub avg_response_time: u64,
    /// Failed over finished actions in the last hour, 0 to 1; absent when none finished (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<f64>,
    /// Actions that finished in the last hour (ours).
    pub sample: u64,
    /// Why it is not healthy (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The queue part of `GET /api/actions/health`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueHealth {
    /// Items waiting.
    pub depth: u64,
    /// When the oldest waiting item was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_action: Option<Time>,
    /// Busy workers over all workers, 0 to 1; absent where the engine does not say how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_utilization: Option<f64>,
}

/// `GET /api/actions/health` and `GET /health`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthReport {
    /// The verdict.
    pub overall: OverallHealth,
    /// One entry a platform.
    pub executors: BTreeMap<Platform, ExecutorHealthReport>,
    /// The queue.
    pub queue: QueueHealth,
}

words! {
    /// What an executor is doing.
    ExecutorState {
        /// Ready for work.
        Running = "running",
        /// Crashed; comes back after a backoff.
        Restarting = "restarting",
        /// Finishing what is in flight before a restart.
        Draining = "draining",
        /// Not taking work: no credential is configured.
        Unconfigured = "unconfigured",
    }
}

/// `executor status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorStatus {
    /// The platform.
    pub platform: Platform,
    /// What it is doing.
    pub state: ExecutorState,
    /// The health verdict.
    pub health: ExecutorHealth,
    /// Actions in flight.
    pub in_flight: u64,
    /// Since when it runs without a restart.
    pub started_at: Time,
    /// Crashes since the service started.
    pub crashes: u64,
    /// Restarts asked for since the service started.
    pub restarts: u64,
    /// Its circuit.
    pub circuit: CircuitState,
    /// Last successful call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Time>,
    /// Last failed call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When the last failed call ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<Time>,
    /// Mean of the last 100 calls, in milliseconds.
    pub avg_response_time: u64,
}

/// `test auth`: exactly the runbook's fields, with what the platform says of the identity when it worked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthStatus {
    /// The platform.
    pub platform: Platform,
    /// Whether the platform accepts the credential.
    pub authenticated: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it last did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_auth: Option<Time>,
    /// Who the platform says we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}
