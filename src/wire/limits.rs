//! Rate limits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Platform, Time};

/// `rate-limits status`: exactly the runbook's fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitStatus {
    /// The platform.
    pub platform: Platform,
    /// Requests in the current window.
    pub current: u64,
    /// Requests the window admits.
    pub limit: u64,
    /// The window's length: `1s`, `10s`, `100s`.
    pub window: String,
    /// `current` over `limit`, 0 to 100.
    pub percentage: u64,
    /// When the window ends, or when a 429's `Retry-After` is over if that is later.
    pub reset_at: Time,
}
