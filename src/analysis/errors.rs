//! Errors by cause, and the next command to type for each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::{ErrorCode, ErrorEntry, Platform, Time};

/// Errors of one cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The runbook's words for the four patterns it names, and words like them for the others: `Rate limited`.
    pub cause: String,
    /// The documented code.
    pub code: ErrorCode,
    /// The platform, when one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// How many.
    pub count: u64,
    /// When the last one was.
    pub last_at: Time,
    /// What it most likely means.
    pub meaning: String,
    /// The next command to type, when there is one that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Counts by cause and platform, most frequent first.
pub fn causes<'e>(errors: impl IntoIterator<Item = &'e ErrorEntry>) -> Vec<Cause> {
    let mut causes: BTreeMap<(ErrorCode, Option<Platform>), (u64, Time)> = BTreeMap::new();
    for error in errors {
        let code = error.error_code.unwrap_or_else(|| code_of(&error.message));
        let (count, last_at) = causes.entry((code, error.platform)).or_insert((0, error.timestamp));
        *count += 1;
        *last_at = error.timestamp.max(*last_at);
    }
    let mut causes: Vec<Cause> = causes
        .into_iter()
        .map(|((code, platform), (count, last_at))| {
            let (cause, meaning) = words(code);
            Cause {
                cause: cause.to_owned(),
                code,
                platform,
                count,
                last_at,
                meaning: meaning.to_owned(),
                next: next_command(code, platform),
            }
        })
        .collect();
    causes.sort_by_key(|cause| (std::cmp::Reverse((cause.count, cause.last_at)), cause.code, cause.platform));
    causes
}

/// The code of an error that came without one, by the phrases the runbook tells operators to look for. An orchestrator
/// of somebody else's may log nothing else.
pub fn code_of(message: &str) -> ErrorCode {
    const PHRASES: [(&str, ErrorCode); 11] = [
        ("circuit breaker is open", ErrorCode::CircuitOpen),
        ("permission denied", ErrorCode::PermissionDenied),
        ("authentication failed", ErrorCode::AuthError),
        ("rate limited", ErrorCode::RateLimited),
        ("rate_limited", ErrorCode::RateLimited),
        ("too many requests", ErrorCode::RateLimited),
        ("service unavailable", ErrorCode::ServiceDown),
        ("network timeout", ErrorCode::TimeoutError),
        ("network error", ErrorCode::NetworkError),
        ("timed out", ErrorCode::TimeoutError),
        ("queue is full", ErrorCode::QueueFull),
    ];
    let message = message.to_ascii_lowercase();
    let found = PHRASES.into_iter().find(|(phrase, _)| message.contains(phrase));
    found.map_or(ErrorCode::UnknownError, |(_, code)| code)
}

/// The runbook's pattern (or words like it) and what it most likely means.
fn words(code: ErrorCode) -> (&'static str, &'static str) {
    match code {
        ErrorCode::AuthError => ("Authentication failed", "the API key is invalid or expired"),
        ErrorCode::PermissionDenied => {
            ("Permission denied", "the key may not do this, or the object is not shared with it")
        }
        ErrorCode::RateLimited => ("Rate limited", "too many requests"),
        ErrorCode::QuotaExceeded => ("Quota exceeded", "a storage or daily quota is used up"),
        ErrorCode::NotFound => ("Not found", "the object is gone, or not shared with the key"),
        ErrorCode::ValidationError => ("Validation failed", "the request is malformed; a retry will not help"),
        ErrorCode::DuplicateError => ("Duplicate", "it exists already"),
        ErrorCode::NetworkError => ("Network error", "the network between here and the platform"),
        ErrorCode::TimeoutError => ("Network timeout", "no answer in time; a write may have happened"),
        ErrorCode::ServiceDown => ("Service unavailable", "the platform's API is down"),
        ErrorCode::CircuitOpen => ("Circuit breaker is OPEN", "the platform kept failing and is left alone for now"),
        ErrorCode::QueueFull => ("Queue full", "more was submitted than is worked off"),
        ErrorCode::Unavailable => ("Unavailable", "the service is paused, draining or restarting"),
        ErrorCode::Conflict => ("Conflict", "the state moved since it was read"),
        ErrorCode::LockedDown => ("Locked down", "the service is locked down"),
        ErrorCode::Unsupported => ("Unsupported", "this orchestrator cannot do it"),
        ErrorCode::UnknownError => ("Unknown error", "read the message"),
    }
}

/// The command that tells more about errors of this code, or mends them.
pub fn next_command(code: ErrorCode, platform: Option<Platform>) -> Option<String> {
    let on = |command: &str| platform.map_or_else(|| command.to_owned(), |p| format!("{command} {p}"));
    let command = match code {
        ErrorCode::AuthError | ErrorCode::PermissionDenied => match platform {
            Some(platform) => format!("opsctl test auth {platform}"),
            None => "opsctl test auth --all".to_owned(),
        },
        ErrorCode::RateLimited => on("opsctl rate-limits status"),
        ErrorCode::ServiceDown => format!("{} --external", on("opsctl check health")),
        // Whether it is one platform or our own network shows when all are asked.
        ErrorCode::NetworkError | ErrorCode::TimeoutError => "opsctl check health --all --external".to_owned(),
        ErrorCode::CircuitOpen => on("opsctl circuit status"),
        ErrorCode::QueueFull => "opsctl queue status".to_owned(),
        ErrorCode::Unavailable | ErrorCode::LockedDown => "opsctl system status".to_owned(),
        ErrorCode::QuotaExceeded | ErrorCode::NotFound | ErrorCode::ValidationError | ErrorCode::DuplicateError => {
            "opsctl queue failed".to_owned()
        }
        ErrorCode::Conflict | ErrorCode::Unsupported | ErrorCode::UnknownError => return None,
    };
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(at: i64, code: Option<ErrorCode>, platform: Option<Platform>, message: &str) -> ErrorEntry {
        ErrorEntry {
            timestamp: Time(at),
            level: "error".into(),
            message: message.into(),
            platform,
            component: None,
            error_code: code,
            action_id: None,
            attempt: None,
            request_id: None,
        }
    }

    #[test]
    fn the_runbooks_four_patterns_have_their_next_command() {
        let notion = Some(Platform::Notion);
        let errors = [
            error(1, None, notion, "Authentication failed for notion"),
            error(2, None, notion, "Rate limited: retry later"),
            error(3, None, notion, "503 Service Unavailable"),
            error(4, None, notion, "Network timeout"),
        ];
        let mut shown: Vec<_> = causes(&errors).into_iter().map(|c| (c.cause, c.next.unwrap())).collect();
        shown.sort();
        let want = [
            ("Authentication failed", "opsctl test auth notion"),
            ("Network timeout", "opsctl check health --all --external"),
            ("Rate limited", "opsctl rate-limits status notion"),
            ("Service unavailable", "opsctl check health notion --external"),
        ];
        assert_eq!(shown, want.map(|(cause, next)| (cause.to_owned(), next.to_owned())));
    }

    #[test]
    fn causes_are_counted_by_platform_most_frequent_first() {
        let errors = [
            error(5, Some(ErrorCode::AuthError), Some(Platform::Slack), "x"),
            error(1, Some(ErrorCode::RateLimited), Some(Platform::Notion), "authentication failed"),
            error(9, Some(ErrorCode::RateLimited), Some(Platform::Notion), "y"),
            error(2, Some(ErrorCode::RateLimited), None, "z"),
        ];
        let shown: Vec<_> = causes(&errors).into_iter().map(|c| (c.code, c.platform, c.count, c.last_at.0)).collect();
        assert_eq!(
            shown,
            [
                (ErrorCode::RateLimited, Some(Platform::Notion), 2, 9),
                (ErrorCode::AuthError, Some(Platform::Slack), 1, 5),
                (ErrorCode::RateLimited, None, 1, 2),
            ]
        );
        assert_eq!(causes(&[]), []);
    }

    #[test]
    fn phrases_are_read_whatever_their_case() {
        assert_eq!(code_of("Circuit breaker is open for notion. Next attempt at ..."), ErrorCode::CircuitOpen);
        assert_eq!(code_of("rate_limited"), ErrorCode::RateLimited);
        assert_eq!(code_of("something else"), ErrorCode::UnknownError);
        assert_eq!(next_command(ErrorCode::AuthError, None).unwrap(), "opsctl test auth --all");
    }
}
