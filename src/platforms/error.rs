//! What a platform call fails with: one shape for all five.

use std::time::Duration;

use crate::error::{Fault, Kind};
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

impl PlatformError {
    /// A failure that happened before anything was sent, or that cannot have had an effect.
    pub fn new(platform: Platform, code: ErrorCode, message: impl Into<String>) -> Self {
        PlatformError {
            platform,
            code,
            message: message.into(),
            http_status: None,
            request_id: None,
            retry_after: None,
            delivery: Delivery::NotDelivered,
        }
    }

    /// The action's data cannot be sent as it is.
    pub fn invalid(platform: Platform, message: impl Into<String>) -> Self {
        PlatformError::new(platform, ErrorCode::ValidationError, message)
    }
}

/// The words `test auth` shows for a failed sign-in: `Invalid API key` and its like; the whole message for what is not
/// about the credential.
pub fn auth_error_text(error: &PlatformError) -> String {
    if error.code != ErrorCode::AuthError || error.http_status.is_none() {
        return error.message.clone();
    }
    let message = error.message.to_ascii_lowercase();
    let says = |words: &str| message.contains(words);
    let text = match error.platform {
        Platform::Notion => "Invalid API key",
        Platform::Trello if says("expired") => "Token expired",
        Platform::Trello if says("missing scopes") => "Token lacks scopes",
        Platform::Trello if says("token") => "Invalid token",
        Platform::Trello => "Invalid API key",
        Platform::Slack if says("token_expired") => "Token expired",
        Platform::Slack if says("token_revoked") => "Token revoked",
        Platform::Slack if says("account_inactive") => "Account inactive",
        Platform::Slack => "Invalid token",
        Platform::Drive | Platform::Sheets if says("clock") => {
            "Clock skew: Google refuses the time in the key's signature"
        }
        Platform::Drive | Platform::Sheets if says("signature") => "Invalid service account key",
        Platform::Drive | Platform::Sheets if says("expired or revoked") => "Token expired or revoked",
        Platform::Drive | Platform::Sheets => "Invalid credentials",
    };
    text.to_string()
}

impl PlatformError {
    /// The failure of a command: `what` it could not do, why, and what to try.
    pub fn fault(&self, what: impl Into<String>) -> Fault {
        let kind = match self.code {
            ErrorCode::AuthError | ErrorCode::PermissionDenied => Kind::NotAuthenticated,
            ErrorCode::NotFound => Kind::NotFound,
            ErrorCode::DuplicateError => Kind::Conflict,
            ErrorCode::NetworkError | ErrorCode::TimeoutError | ErrorCode::ServiceDown => Kind::Unreachable,
            _ => Kind::Failed,
        };
        let platform = self.platform;
        let fault = Fault::new(kind, what).because(self.to_string()).code(self.code);
        match self.code {
            ErrorCode::AuthError if self.http_status.is_none() => {
                fault.hint("see what is set with `opsctl validate env`")
            }
            ErrorCode::AuthError => fault.hint(format!("`opsctl check key-expiration {platform}`, then put a good key in")),
            ErrorCode::PermissionDenied => fault.hint(format!("`opsctl check key-permissions {platform}`")),
            ErrorCode::NetworkError | ErrorCode::TimeoutError => {
                fault.hint(format!("`opsctl test connectivity {platform}`"))
            }
            ErrorCode::ServiceDown => fault.hint(format!("`opsctl check platform-status {platform}`")),
            ErrorCode::RateLimited => fault.hint("wait, or run it again later: the platform's limit is used up"),
            ErrorCode::QuotaExceeded => fault.hint(match platform {
                Platform::Drive | Platform::Sheets => {
                    "not a matter of waiting a moment: free storage, or raise the project's quota in the Google console"
                }
                Platform::Notion => "not a matter of waiting: the workspace's plan has no room for more",
                _ => "not a matter of waiting: ask for less, or make room",
            }),
            ErrorCode::NotFound if platform == Platform::Notion => fault.hint(
                "two readings: it does not exist, or it is not shared with this connection (in Notion: ... > Connections)",
            ),
            ErrorCode::NotFound if platform == Platform::Trello => fault.hint(
                "two readings: it does not exist, or the member whose token it is cannot see it; `opsctl test auth trello` \
                 names the member",
            ),
            ErrorCode::NotFound if matches!(platform, Platform::Drive | Platform::Sheets) => fault.hint(format!(
                "two readings: it does not exist, or it is not shared with the account that `opsctl test auth {platform}` \
                 names",
            )),
            _ => fault,
        }
    }
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
