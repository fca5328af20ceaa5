//! A refusal as the documented envelope, with its HTTP status.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::backend::Refusal;
use crate::wire::{ErrorBody, ErrorCode, ErrorDetail};

/// Seconds to wait that are advised when the refusal itself names none.
const RETRY_AFTER_DEFAULT: u64 = 5;

/// The HTTP status of a code.
pub const fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::AuthError => StatusCode::UNAUTHORIZED,
        ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::ValidationError => StatusCode::BAD_REQUEST,
        ErrorCode::DuplicateError | ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::NetworkError | ErrorCode::ServiceDown => StatusCode::BAD_GATEWAY,
        ErrorCode::TimeoutError => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::UnknownError => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::CircuitOpen | ErrorCode::QueueFull | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::LockedDown => StatusCode::LOCKED,
        ErrorCode::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorCode::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// What the refusal was, kept beside the response for the audit log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefusedWith(pub ErrorCode);

/// A refusal under another status than its code's usual one.
pub fn refuse_as(status: StatusCode, refusal: Refusal) -> Response {
    let Refusal { code, message, platform, retry_after, details } = refusal;
    let waits = matches!(code, ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::QueueFull);
    let wait = retry_after.or(waits.then_some(RETRY_AFTER_DEFAULT));
    let retriable = code.is_retriable();
    let body = ErrorBody { error: ErrorDetail { code, message, retriable, platform, retry_after: wait, details } };
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if code == ErrorCode::AuthError {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response.extensions_mut().insert(RefusedWith(code));
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refuse_as(status_of(self.code), self)
    }
}

/// The request is malformed.
pub fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::ValidationError, message)
}

/// This orchestrator has no such group.
pub fn unsupported(what: &str) -> Refusal {
    Refusal::new(ErrorCode::Unsupported, format!("this orchestrator cannot serve {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_failing_status_and_waiting_ones_say_how_long() {
        for code in ErrorCode::ALL {
            let response = Refusal::new(code, "no").into_response();
            let status = response.status();
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
            let waits = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(waits, matches!(status.as_u16(), 429 | 503) && code != ErrorCode::CircuitOpen, "{code}");
        }
    }
}
