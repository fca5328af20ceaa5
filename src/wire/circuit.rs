//! Circuit breakers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{Platform, Time};

words! {
    /// State of a circuit.
    CircuitState {
        /// Calls go through.
        Closed = "CLOSED",
        /// Calls are refused at once.
        Open = "OPEN",
        /// One probe at a time goes through.
        HalfOpen = "HALF_OPEN",
    }
}

/// `circuit status`: exactly the runbook's fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitStatus {
    /// The platform.
    pub platform: Platform,
    /// The state.
    pub state: CircuitState,
    /// Failures counted when it opened and since (in-flight ones land after opening), or in the current window.
    pub failure_count: u64,
    /// The last counted failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Time>,
    /// When it opened; absent when CLOSED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Time>,
    /// When the next probe is let through; only when OPEN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub will_reset_at: Option<Time>,
}

/// A circuit with what the runbook's shape leaves out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Circuit {
    /// The runbook's fields.
    #[serde(flatten)]
    pub status: CircuitStatus,
    /// Whether it guards calls at all (`<P>_CIRCUIT_BREAKER_ENABLED`).
    pub enabled: bool,
    /// Failures within the window that open it.
    pub threshold: u32,
    /// The window, in milliseconds.
    pub window_ms: u64,
    /// How long it stays OPEN, in milliseconds.
    pub open_ms: u64,
    /// Successful probes so far, while HALF_OPEN.
    pub probe_successes: u32,
    /// Successful probes needed to close.
    pub probes_needed: u32,
    /// Moves with every transition; send it back in `If-Match`.
    pub version: u64,
}

/// One transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitTransition {
    /// When.
    pub at: Time,
    /// Whose circuit.
    pub platform: Platform,
    /// From.
    pub from: CircuitState,
    /// To.
    pub to: CircuitState,
    /// Why: `5 failures in 60s, last SERVICE_DOWN`, `30s over`, `2 of 2 probes`, `probe failed: ...`, `reset by ...`.
    pub reason: String,
    /// Failures counted at that moment.
    pub failure_count: u64,
}
