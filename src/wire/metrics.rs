//! Metrics over a window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
