//! The documented error envelope and its codes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Platform;

/// The documented error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The credential is missing, wrong, expired or revoked.
    AuthError,
    /// The credential is valid but may not do this.
    PermissionDenied,
    /// Too many requests; `Retry-After` says when to come back.
    RateLimited,
    /// A storage or daily quota is used up; waiting does not help.
    QuotaExceeded,
    /// The object does not exist, or is not shared with the credential.
    NotFound,
    /// The request is malformed.
    ValidationError,
    /// It exists already, or somebody else wrote at the same time.
    DuplicateError,
    /// DNS, connect, reset or TLS.
    NetworkError,
    /// No answer in time; a write may have happened.
    TimeoutError,
    /// The platform answers 5xx.
    ServiceDown,
    /// Anything else.
    UnknownError,
    /// The platform's circuit is open and the action was not tried (ours).
    CircuitOpen,
    /// The queue holds `QUEUE_MAX_SIZE` items and takes no more (ours).
    QueueFull,
    /// The service is paused, draining or restarting and refuses this for now (ours).
    Unavailable,
    /// The state moved since it was read, or does not allow the change (ours).
    Conflict,
    /// The service is locked down (ours).
    LockedDown,
    /// This orchestrator cannot serve the request (ours).
    Unsupported,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [ErrorCode; 17] = [
        ErrorCode::AuthError,
        ErrorCode::PermissionDenied,
        ErrorCode::RateLimited,
        ErrorCode::QuotaExceeded,
        ErrorCode::NotFound,
        ErrorCode::ValidationError,
        ErrorCode::DuplicateError,
        ErrorCode::NetworkError,
        ErrorCode::TimeoutError,
        ErrorCode::ServiceDown,
        ErrorCode::UnknownError,
        ErrorCode::CircuitOpen,
        ErrorCode::QueueFull,
        ErrorCode::Unavailable,
        ErrorCode::Conflict,
        ErrorCode::LockedDown,
        ErrorCode::Unsupported,
    ];

    /// The spelling on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::AuthError => "AUTH_ERROR",
            ErrorCode::PermissionDenied => "PERMISSION_DENIED",
            ErrorCode::RateLimited => "RATE_LIMITED",
            ErrorCode::QuotaExceeded => "QUOTA_EXCEEDED",
            ErrorCode::NotFound => "NOT_FOUND",
            ErrorCode::ValidationError => "VALIDATION_ERROR",
            ErrorCode::DuplicateError => "DUPLICATE_ERROR",
            ErrorCode::NetworkError => "NETWORK_ERROR",
            ErrorCode::TimeoutError => "TIMEOUT_ERROR",
            ErrorCode::ServiceDown => "SERVICE_DOWN",
            ErrorCode::UnknownError => "UNKNOWN_ERROR",
            ErrorCode::CircuitOpen => "CIRCUIT_OPEN",
            ErrorCode::QueueFull => "QUEUE_FULL",
            ErrorCode::Unavailable => "UNAVAILABLE",
            ErrorCode::Conflict => "CONFLICT",
            ErrorCode::LockedDown => "LOCKED_DOWN",
            ErrorCode::Unsupported => "UNSUPPORTED",
        }
    }

    /// The code with this spelling.
    pub fn from_wire(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == s)
    }

    /// Whether a later try can succeed without anybody changing anything.
    pub const fn is_retriable(self) -> bool {
        matches!(
            self,
            ErrorCode::RateLimited
                | ErrorCode::NetworkError
                | ErrorCode::TimeoutError
                | ErrorCode::ServiceDown
                | ErrorCode::CircuitOpen
                | ErrorCode::QueueFull
                | ErrorCode::Unavailable
        )
    }

    /// Whether a failure of this kind counts towards opening the platform's circuit. Rate limits and authentication
    /// failures do not: waiting for the platform to recover would not help.
    pub const fn counts_for_circuit(self) -> bool {
        matches!(self, ErrorCode::NetworkError | ErrorCode::TimeoutError | ErrorCode::ServiceDown)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The documented error envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What the envelope holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// The documented code.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Whether a later try can succeed without anybody changing anything.
    #[serde(default)]
    pub retriable: bool,
    /// The platform concerned, if one is.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Seconds to wait, with `RATE_LIMITED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Anything else worth knowing; shape depends on the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub details: Option<serde_json::Value>,
}
