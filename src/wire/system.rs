//! The service itself: what it is, how its parts are, its host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{ErrorCode, OverallHealth, Pause, Platform, Time};

words! {
    /// How far a capability reaches.
    Support {
        /// The engine has it.
        Native = "native",
        /// We make it from what the engine has; the caveat says where it differs.
        Emulated = "emulated",
        /// Services on the engine have to keep to a documented contract.
        Contract = "contract",
        /// It does not exist here.
        Unavailable = "unavailable",
    }
}

/// One capability group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Capability {
    /// How far it reaches.
    pub support: Support,
    /// Where it differs, or why it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caveat: Option<String>,
}

/// `GET /admin/v1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInfo {
    /// `opsctl serve`.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// Lowest admin API version served.
    pub api_min: u32,
    /// Highest admin API version served.
    pub api_max: u32,
    /// The environment word: `production`, `staging`, `sandbox`.
    pub environment: String,
    /// The engine behind it.
    pub engine: String,
    /// Capability groups: `queues`, `circuits`, `limits`, `executors`, `pauses`, `metrics`, `config`, `logs`, `workflows`, ...
    pub capabilities: BTreeMap<String, Capability>,
    /// The server's clock now.
    pub now: Time,
    /// When it started.
    pub started_at: Time,
    /// Role of the credential that asked; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<super::Role>,
}

words! {
    /// A part that can be restarted and checked on its own.
    Component {
        /// The store.
        Database = "database",
        /// The event bus.
        Eventbus = "eventbus",
        /// The queue.
        Queue = "queue",
        /// The executors.
        Executors = "executors",
        /// The worker pool.
        Workers = "workers",
    }
}

words! {
    /// State of a part.
    ComponentState {
        /// Works.
        Up = "up",
        /// Finishing what is in flight, or starting.
        Restarting = "restarting",
        /// Does not work.
        Down = "down",
    }
}

/// A part and its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// The part.
    pub component: Component,
    /// Its state.
    pub state: ComponentState,
    /// Since when it runs without a restart.
    pub started_at: Time,
    /// Restarts since the service started.
    pub restarts: u64,
    /// What a person wants to know of it.
    pub detail: String,
}

/// One line of `db check`, `eventbus check`, `queue check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckLine {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// How long the look took, in milliseconds.
    pub took_ms: f64,
}

/// A check of one part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentCheck {
    /// The part.
    pub component: Component,
    /// Whether all lines are as they should be.
    pub ok: bool,
    /// The lines.
    pub checks: Vec<CheckLine>,
}

/// A restart to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestartRequest {
    /// How long to let in-flight actions finish, in milliseconds; what is left is handed back. 10000 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 600_000)]
    pub drain_timeout: Option<u64>,
}

/// What a restart did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestartAnswer {
    /// The part.
    pub component: Component,
    /// Only this platform's executor, when one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// In-flight actions that finished while draining.
    pub drained: u64,
    /// In-flight actions handed back to the queue.
    pub handed_back: u64,
    /// How long it took until ready, in milliseconds.
    pub took_ms: u64,
    /// Settings that became effective: `QUEUE_WORKERS 5 -> 10`.
    pub applied: Vec<String>,
    /// Its state now.
    pub state: ComponentState,
    /// Id in the server's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<String>,
}

/// A setting that should not last: a breaker bypass, a fallback, backup credentials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// The variable and its value.
    pub setting: String,
    /// What it means.
    pub meaning: String,
    /// When it goes back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// Errors of one cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorCount {
    /// The code.
    pub code: ErrorCode,
    /// The platform, when one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// How often in the last hour.
    pub count: u64,
    /// The last one's text.
    pub last_message: String,
    /// When the last one was.
    pub last_at: Time,
}

/// The orchestrator's host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// Host name.
    pub hostname: String,
    /// Used part of the disk that holds the data folder, 0 to 1; absent when it cannot be read.
    pub disk_used: Option<f64>,
    /// Free bytes on it.
    pub disk_free_bytes: Option<u64>,
    /// Used part of memory, 0 to 1; absent when it cannot be read.
    pub memory_used: Option<f64>,
    /// Resident bytes of the service.
    pub process_rss_bytes: Option<u64>,
}

/// `system status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemStatus {
    /// The service.
    pub service: ServiceInfo,
    /// The verdict.
    pub overall: OverallHealth,
    /// Pauses in force.
    pub pauses: Vec<Pause>,
    /// Whether the service is locked down.
    pub locked_down: bool,
    /// Circuits that are not CLOSED.
    pub open_circuits: Vec<super::Circuit>,
    /// Settings that should not last.
    pub overrides: Vec<Override>,
    /// Settings that wait for a restart: `QUEUE_WORKERS 5 -> 10 (workers)`.
    pub pending_settings: Vec<String>,
    /// The queue.
    pub queue: super::QueueStatus,
    /// Workers: busy and all.
    pub workers_busy: u64,
    /// All workers; absent where the engine does not say how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u64>,
    /// When the oldest waiting item was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_queued: Option<Time>,
    /// Items waiting longer than 10 minutes.
    pub stuck: u64,
    /// Items whose retries are exhausted.
    pub failed: u64,
    /// Most frequent errors of the last hour, at most three.
    pub top_errors: Vec<ErrorCount>,
    /// The parts.
    pub components: Vec<ComponentStatus>,
    /// The host.
    pub host: HostStatus,
}

/// Caches that were emptied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CacheCleared {
    /// Entries dropped, by cache.
    pub caches: BTreeMap<String, u64>,
}

/// Sandbox only: how far to move the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClockRequest {
    /// The offset from the host's clock, in milliseconds. It can only grow.
    #[schema(minimum = 0)]
    pub offset_ms: i64,
}
