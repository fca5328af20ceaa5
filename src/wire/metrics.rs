//! Metrics over a window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{ActionType, ErrorCode, Platform, Time};

/// The totals of `GET /api/actions/metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricTotals {
    /// Actions that ended in the window.
    pub total_actions: u64,
    /// Succeeded over ended, 0 to 1; 0 when none ended.
    pub success_rate: f64,
    /// Mean call time, in milliseconds.
    pub avg_execution_time: f64,
    /// Mean time in the queue, in milliseconds.
    pub avg_queue_time: f64,
    /// Actions that needed a retry over ended, 0 to 1.
    pub retry_rate: f64,
    /// Actions done by a fallback over ended, 0 to 1.
    pub fallback_rate: f64,
}

/// One platform of `GET /api/actions/metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformMetrics {
    /// Actions that ended in the window.
    pub total: u64,
    /// Succeeded over ended, 0 to 1.
    pub success_rate: f64,
    /// Mean call time, in milliseconds.
    pub avg_execution_time: f64,
}

/// One point of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelinePoint {
    /// Start of the bucket.
    pub timestamp: Time,
    /// Actions that ended, a minute.
    pub actions_per_minute: f64,
    /// Succeeded over ended, 0 to 1; 1 when none ended.
    pub success_rate: f64,
}

/// `GET /api/actions/metrics` and `GET /metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionMetrics {
    /// The window asked for: `1h`, `6h`, `24h`, `7d`.
    pub time_window: String,
    /// The totals.
    pub metrics: MetricTotals,
    /// The same by platform.
    pub by_platform: BTreeMap<Platform, PlatformMetrics>,
    /// The window in buckets.
    pub timeline: Vec<TimelinePoint>,
}

/// One window of `metrics performance`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PerformanceWindow {
    /// Start.
    pub from: Time,
    /// End.
    pub to: Time,
    /// Actions that ended.
    pub total_actions: u64,
    /// Of those, succeeded.
    pub succeeded: u64,
    /// Of those, needed a retry.
    pub retried: u64,
    /// Of those, done by a fallback.
    pub fell_back: u64,
    /// Mean call time, in milliseconds; absent when none ended.
    pub avg_execution_time: Option<f64>,
    /// Half the calls took at most this, in milliseconds (error at most 5 %).
    pub p50: Option<f64>,
    /// 95 of 100 calls took at most this, in milliseconds (error at most 5 %).
    pub p95: Option<f64>,
    /// 99 of 100 calls took at most this, in milliseconds (error at most 5 %).
    pub p99: Option<f64>,
    /// Mean time in the queue, in milliseconds; absent when none ended.
    pub avg_queue_time: Option<f64>,
}

/// `metrics performance`: a window beside the one before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Performance {
    /// The window asked for.
    pub current: PerformanceWindow,
    /// The window of the same length before it.
    pub previous: PerformanceWindow,
    /// The current window by platform.
    pub by_platform: BTreeMap<Platform, PerformanceWindow>,
    /// The oldest moment metrics are kept for; a window that starts earlier is cut there.
    pub kept_since: Time,
}

/// `metrics requests`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestMetrics {
    /// The window, in milliseconds.
    pub window_ms: u64,
    /// One entry a platform.
    pub platforms: Vec<PlatformRequests>,
}

/// Requests really sent to one platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformRequests {
    /// The platform.
    pub platform: Platform,
    /// Requests in the window.
    pub requests: u64,
    /// Requests a minute over the window.
    pub per_minute: f64,
    /// The busiest minute of the window.
    pub peak_per_minute: u64,
    /// Answers 429 (and their like) in the window.
    pub rate_limited: u64,
    /// Requests that failed for another reason in the window.
    pub failed: u64,
    /// One count a minute, oldest first, at most 1440.
    pub per_minute_series: Vec<u64>,
}

/// `metrics actions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionBreakdown {
    /// Start of the window.
    pub from: Time,
    /// End of the window.
    pub to: Time,
    /// Most frequent first.
    pub rows: Vec<ActionBreakdownRow>,
}

/// One platform and type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionBreakdownRow {
    /// The platform.
    pub platform: Platform,
    /// The type.
    #[serde(rename = "type")]
    pub action_type: ActionType,
    /// Ended in the window.
    pub total: u64,
    /// Of those, succeeded.
    pub succeeded: u64,
    /// Of those, failed.
    pub failed: u64,
    /// Retries they needed.
    pub retries: u64,
    /// Mean call time, in milliseconds.
    pub avg_execution_time: f64,
    /// Failures by code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_error: BTreeMap<ErrorCode, u64>,
}

words! {
    /// What is looked at every few seconds and kept as a mean and a peak.
    Measure {
        /// Items waiting.
        QueueDepth = "queueDepth",
        /// Busy workers over all workers, 0 to 1.
        WorkersBusy = "workersBusy",
        /// Size of the store's files, in bytes.
        StoreBytes = "storeBytes",
        /// Disk used where the store is, 0 to 1.
        DiskUsed = "diskUsed",
        /// Memory of the host used, 0 to 1.
        MemoryUsed = "memoryUsed",
        /// Memory of the service, in bytes.
        ServiceBytes = "serviceBytes",
    }
}

words! {
    /// What happens now and then and is counted.
    Occurrence {
        /// A platform's circuit opened.
        CircuitOpened = "circuitOpened",
        /// A workflow was accepted.
        WorkflowAccepted = "workflowAccepted",
        /// A workflow completed.
        WorkflowCompleted = "workflowCompleted",
        /// A workflow failed.
        WorkflowFailed = "workflowFailed",
        /// A rollback ended with everything undone.
        RolledBack = "rolledBack",
        /// A rollback came to rest with something left.
        RollbackFailed = "rollbackFailed",
        /// An action waits for a decision.
        ApprovalAsked = "approvalAsked",
        /// Somebody approved one.
        ApprovalApproved = "approvalApproved",
        /// Somebody rejected one.
        ApprovalRejected = "approvalRejected",
        /// Nobody decided in time.
        ApprovalExpired = "approvalExpired",
        /// Something sent again with its idempotency key was not done again.
        DuplicatePrevented = "duplicatePrevented",
        /// An idempotency key came with other content and was refused.
        KeyCollision = "keyCollision",
    }
}

words! {
    /// How long each point of a history is.
    Bucket {
        /// A whole hour.
        Hour = "hour",
        /// A whole day, UTC.
        Day = "day",
    }
}

/// `GET /admin/v1/metrics/history`: what was recorded between two moments, on whole hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricHistory {
    /// Start: the one asked for, down to the whole hour.
    pub from: Time,
    /// End, not included: the one asked for, up to the whole hour, or now.
    pub to: Time,
    /// The oldest moment metrics are kept for; nothing is known of what was before it.
    pub kept_since: Time,
    /// Length of the points below.
    pub bucket: Bucket,
    /// All platforms together.
    pub total: PerformanceWindow,
    /// Each platform that had any.
    pub platforms: BTreeMap<Platform, PerformanceWindow>,
    /// By platform and type, most frequent first, with the failures by code.
    pub rows: Vec<ActionBreakdownRow>,
    /// Actions in order of time, one entry for each bucket and platform that had any.
    pub actions: Vec<ActionPoint>,
    /// Requests, likewise.
    pub requests: Vec<RequestPoint>,
    /// What was measured, likewise.
    pub samples: Vec<SamplePoint>,
    /// What happened, likewise.
    pub occurrences: Vec<OccurrencePoint>,
}

/// Actions of one platform that ended in one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionPoint {
    /// Start of the bucket.
    pub at: Time,
    /// The platform.
    pub platform: Platform,
    /// Ended.
    pub ended: u64,
    /// Of those, succeeded.
    pub succeeded: u64,
    /// Mean call time, in milliseconds; absent when none was called.
    pub avg_execution_time: Option<f64>,
    /// 95 of 100 calls took at most this, in milliseconds (error at most 5 %).
    pub p95: Option<f64>,
}

/// Requests really sent to one platform in one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestPoint {
    /// Start of the bucket.
    pub at: Time,
    /// The platform.
    pub platform: Platform,
    /// Requests.
    pub requests: u64,
    /// Answers 429 and their like.
    pub rate_limited: u64,
    /// Failed for another reason.
    pub failed: u64,
    /// The busiest minute.
    pub peak_per_minute: u64,
}

/// What was measured in one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SamplePoint {
    /// Start of the bucket.
    pub at: Time,
    /// What.
    pub measure: Measure,
    /// How often it was looked at.
    pub samples: u64,
    /// The mean of what was seen.
    pub mean: f64,
    /// The highest of it.
    pub peak: f64,
}

/// What happened in one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OccurrencePoint {
    /// Start of the bucket.
    pub at: Time,
    /// What.
    pub occurrence: Occurrence,
    /// The platform concerned, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// How often.
    pub count: u64,
}
