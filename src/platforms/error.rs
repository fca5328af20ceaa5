//! What a platform call fails with: one shape for all five.

use std::time::Duration;

use crate::wire::{ErrorCode, Platform};

/// Whether a failed write can have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The request never left, or the platform refused it: it did not happen.
    NotDelivered,
    /// It was sent and the answer was lost or is a 5xx: it may have happened.
    Unknown,
}

/// A failed platform call.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformError {
    /// The platform.
    pub platform: Platform,
    /// The documented code.
    pub code: ErrorCode,
    /// The platform's words, secrets taken out.
    pub message: String,
    /// HTTP status, when one came.
    pub http_status: Option<u16>,
    /// The platform's id of the request.
    pub request_id: Option<String>,
    /// How long the platform asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether a write can have happened.
    pub delivery: Delivery,
}

impl std::fmt::Display for PlatformError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", self.message, self.platform)?;
        if let Some(status) = self.http_status {
            write!(f, ", HTTP {status}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for PlatformError {}
