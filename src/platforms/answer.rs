//! What an answer means: the body first, the status second, as `PLATFORMS` section 1 has it for each platform.

use std::time::Duration;

use serde_json::Value;

use crate::http::Reply;
use crate::wire::{ErrorCode, Platform, Time};

/// A refusal or a failure that a platform put into an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    /// The documented code.
    pub code: ErrorCode,
    /// The platform's words, untouched.
    pub words: String,
    /// Its id of the request.
    pub request_id: Option<String>,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// The body, when it was JSON: some failures say what was written all the same.
    pub body: Option<Value>,
}

/// The JSON of a success, or what was refused.
pub(super) fn read(platform: Platform, reply: &Reply, now: Time) -> Result<Value, Box<Refused>> {
    let body = reply.json();
    let succeeded = match (platform, &body) {
        (Platform::Slack, Some(body)) => reply.status == 200 && body["ok"] == true,
        (_, Some(body)) => reply.is_success() && (body.is_object() || body.is_array()),
        (_, None) => reply.status == 204,
    };
    if succeeded {
        return Ok(body.unwrap_or(Value::Null));
    }
    let (code, words) = match (platform, &body) {
        (Platform::Notion, Some(body)) if body["code"].is_string() => notion(reply.status, body),
        (Platform::Trello, body) if !is_page(reply) => trello(reply, body.as_ref()),
        (Platform::Slack, Some(body)) if body["error"].is_string() => slack(body),
        (Platform::Drive | Platform::Sheets, Some(body)) if !body["error"].is_null() => google(reply.status, body),
        _ => undocumented(reply),
    };
    let request_id =
        ["x-notion-request-id", "x-slack-req-id", "x-request-id", "x-trello-request-id", "x-guploader-uploadid"]
            .iter()
            .find_map(|name| reply.header(name))
            .map(str::to_string)
            .or_else(|| Some(body.as_ref()?["request_id"].as_str()?.to_string()));
    let mut retry_after = reply.retry_after(now);
    if retry_after.is_none() && code == ErrorCode::RateLimited {
        retry_after = match platform {
            // The header's value again, as text.
            Platform::Notion => body.as_ref().and_then(|b| b["additional_data"]["retry_after"].as_str()?.parse().ok()),
            // Trello documents no header; its window is 10 s.
            Platform::Trello => Some(10),
            _ => None,
        }
        .map(Duration::from_secs);
    }
    Err(Box::new(Refused { code, words, request_id, retry_after, body }))
}

fn is_page(reply: &Reply) -> bool {
    reply.content_type().is_some_and(|t| t == "text/html") || reply.body.trim_ascii_start().starts_with(b"<")
}

/// An answer in a shape the platform does not document: a proxy's or an edge's page.
fn undocumented(reply: &Reply) -> (ErrorCode, String) {
    let line = reply.first_line();
    if (300..400).contains(&reply.status) {
        // Only the host: the rest of the address may carry what must not be shown.
        let to = reply.header("location").and_then(|l| reply.url.join(l).ok());
        let to = to.as_ref().and_then(|u| u.host_str()).unwrap_or("another address").to_string();
        return (ErrorCode::UnknownError, format!("redirected to {to}, which is not followed"));
    }
    let words = match (reply.is_success(), line.is_empty()) {
        (true, _) => format!("the answer is not the platform's JSON: {line}"),
        (false, true) => format!("HTTP {} without a text", reply.status),
        (false, false) => line,
    };
    let code = if reply.is_success() { ErrorCode::UnknownError } else { by_status(reply.status) };
    (code, words)
}

/// The code of a status when the body says nothing.
fn by_status(status: u16) -> ErrorCode {
    match status {
        400 | 405 | 411 | 413 | 414 | 415 | 422 => ErrorCode::ValidationError,
        401 => ErrorCode::AuthError,
        403 => ErrorCode::PermissionDenied,
        404 | 410 => ErrorCode::NotFound,
        408 | 504 => ErrorCode::TimeoutError,
        409 | 412 => ErrorCode::DuplicateError,
        429 => ErrorCode::RateLimited,
        507 => ErrorCode::QuotaExceeded,
        500..=599 => ErrorCode::ServiceDown,
        _ => ErrorCode::UnknownError,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn notion(status: u16, body: &Value) -> (ErrorCode, String) {
    let mut words = text(&body["message"]);
    let code = match body["code"].as_str().unwrap_or_default() {
        "unauthorized" | "invalid_grant" | "invalid_client" => ErrorCode::AuthError,
        "restricted_resource" if words.to_ascii_lowercase().contains("limit") => ErrorCode::QuotaExceeded,
        "restricted_resource" => ErrorCode::PermissionDenied,
        "object_not_found" => ErrorCode::NotFound,
        "validation_error" | "invalid_json" | "invalid_request" | "invalid_request_url" | "missing_version" => {
            ErrorCode::ValidationError
        }
        "rate_limited" if body["additional_data"]["rate_limit_reason"] == "public_api_request_blocked" => {
            ErrorCode::PermissionDenied
        }
        "rate_limited" | "service_overload" => ErrorCode::RateLimited,
        "conflict_error" => ErrorCode::DuplicateError,
        "internal_server_error" | "service_unavailable" | "database_connection_unavailable" => ErrorCode::ServiceDown,
        "gateway_timeout" => ErrorCode::TimeoutError,
        _ => by_status(status),
    };
    if code == ErrorCode::NotFound && !words.contains("shared") {
        words.push_str(" It does not exist, or it is not shared with this connection.");
    }
    (code, words)
}

fn trello(reply: &Reply, body: Option<&Value>) -> (ErrorCode, String) {
    if (300..400).contains(&reply.status) || reply.is_success() {
        return undocumented(reply);
    }
    let message = body.and_then(|b| b["message"].as_str()).filter(|m| !m.is_empty());
    let name = body.and_then(|b| b["error"].as_str()).filter(|e| *e != "ERROR").unwrap_or_default();
    let said = message.map_or_else(|| reply.first_line(), str::to_string);
    let words = if name.is_empty() { said } else { format!("{said} ({name})") };
    let lower = words.to_ascii_lowercase();
    let code = match reply.status {
        401 if lower.contains("permission requested") => ErrorCode::PermissionDenied,
        403 if lower.contains("limit") || lower.contains("exceed") => ErrorCode::QuotaExceeded,
        429 if name == "API_TOO_MANY_CARDS_REQUESTED" => ErrorCode::QuotaExceeded,
        status => by_status(status),
    };
    (code, words)
}

fn slack(body: &Value) -> (ErrorCode, String) {
    let error = body["error"].as_str().unwrap_or_default();
    let code = match error {
        "not_authed"
        | "invalid_auth"
        | "token_revoked"
        | "token_expired"
        | "account_inactive"
        | "invalid_refresh_token"
        | "bad_client_secret"
        | "invalid_client_id" => ErrorCode::AuthError,
        "missing_scope"
        | "no_permission"
        | "not_allowed_token_type"
        | "restricted_action"
        | "not_in_channel"
        | "cant_delete_message"
        | "cant_update_message"
        | "ekm_access_denied"
        | "access_denied" => ErrorCode::PermissionDenied,
        "channel_not_found" | "message_not_found" | "user_not_found" | "thread_not_found" => ErrorCode::NotFound,
        "ratelimited" | "rate_limited" => ErrorCode::RateLimited,
        "token_already_exchanged" | "code_already_used" => ErrorCode::DuplicateError,
        "internal_error" | "fatal_error" | "service_unavailable" => ErrorCode::ServiceDown,
        "request_timeout" => ErrorCode::TimeoutError,
        "no_text" | "msg_too_long" | "is_archived" | "edit_window_closed" => ErrorCode::ValidationError,
        other if other.starts_with("invalid_") => ErrorCode::ValidationError,
        _ => ErrorCode::UnknownError,
    };
    let mut words = error.to_string();
    if let Some(needed) = body["needed"].as_str() {
        words.push_str(&format!(": needs {needed}, has {}", body["provided"].as_str().unwrap_or("nothing")));
    }
    if let Some(first) = body["response_metadata"]["messages"][0].as_str() {
        words.push_str(&format!(": {first}"));
    }
    (code, words)
}

fn google(status: u16, body: &Value) -> (ErrorCode, String) {
    let error = &body["error"];
    if let Some(name) = error.as_str() {
        return google_oauth(status, name, &text(&body["error_description"]));
    }
    let reason = error["errors"][0]["reason"].as_str().unwrap_or_default();
    let detail = error["details"].as_array().and_then(|d| d.iter().find_map(|d| d["reason"].as_str()));
    let words = match detail.or_else(|| (!reason.is_empty()).then_some(reason)) {
        Some(reason) => format!("{} ({reason})", text(&error["message"])),
        None => text(&error["message"]),
    };
    let by_reason = match reason {
        "authError" => Some(ErrorCode::AuthError),
        "required" if status == 401 => Some(ErrorCode::AuthError),
        "userRateLimitExceeded" | "rateLimitExceeded" | "sharingRateLimitExceeded" => Some(ErrorCode::RateLimited),
        "storageQuotaExceeded" | "dailyLimitExceeded" | "quotaExceeded" => Some(ErrorCode::QuotaExceeded),
        "notFound" => Some(ErrorCode::NotFound),
        "badRequest" | "invalid" | "required" => Some(ErrorCode::ValidationError),
        "backendError" => Some(ErrorCode::ServiceDown),
        _ => None,
    };
    let code = by_reason.unwrap_or(match error["status"].as_str().unwrap_or_default() {
        "UNAUTHENTICATED" => ErrorCode::AuthError,
        "PERMISSION_DENIED" => ErrorCode::PermissionDenied,
        "NOT_FOUND" => ErrorCode::NotFound,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => ErrorCode::ValidationError,
        "RESOURCE_EXHAUSTED" => ErrorCode::RateLimited,
        "ALREADY_EXISTS" | "ABORTED" => ErrorCode::DuplicateError,
        "DEADLINE_EXCEEDED" => ErrorCode::TimeoutError,
        "INTERNAL" | "UNAVAILABLE" => ErrorCode::ServiceDown,
        _ => by_status(status),
    });
    (code, words)
}

fn google_oauth(status: u16, name: &str, description: &str) -> (ErrorCode, String) {
    let mut words = if description.is_empty() { name.to_string() } else { format!("{name}: {description}") };
    if name == "invalid_grant" && (description.contains("reasonable timeframe") || description.contains("short-lived"))
    {
        words.push_str(" (this machine's clock is wrong: Google refuses the times in the request)");
    }
    let code = match name {
        "invalid_grant" | "invalid_client" | "invalid_token" | "unauthorized_client" | "deleted_client" => {
            ErrorCode::AuthError
        }
        "access_denied" | "admin_policy_enforced" | "org_internal" => ErrorCode::PermissionDenied,
        "invalid_request" | "invalid_scope" | "unsupported_grant_type" => ErrorCode::ValidationError,
        "rate_limit_exceeded" => ErrorCode::RateLimited,
        "internal_failure" | "server_error" | "temporarily_unavailable" => ErrorCode::ServiceDown,
        _ => by_status(status),
    };
    (code, words)
}

/// The words a person greps for, as the runbook writes them, before the platform's own.
pub(super) fn phrase(code: ErrorCode, words: &str) -> String {
    let lead = match code {
        ErrorCode::AuthError => "Authentication failed",
        ErrorCode::PermissionDenied => "Permission denied",
        ErrorCode::RateLimited => "Rate limited",
        ErrorCode::QuotaExceeded => "Quota exceeded",
        ErrorCode::ServiceDown => "Service unavailable",
        ErrorCode::TimeoutError => "Network timeout",
        ErrorCode::NetworkError => "Network error",
        _ => return words.to_string(),
    };
    if words.is_empty() { lead.to_string() } else { format!("{lead}: {words}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderMap;

    fn reply(status: u16, content_type: &str, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        Reply {
            status,
            headers,
            url: "http://127.0.0.1/".parse().unwrap(),
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn code(platform: Platform, status: u16, body: &str) -> ErrorCode {
        let content_type = if body.starts_with('{') { "application/json" } else { "text/plain" };
        read(platform, &reply(status, content_type, body), Time(0)).unwrap_err().code
    }

    #[test]
    fn the_table_of_codes() {
        use ErrorCode::*;
        use Platform::*;
        let google = |status: u16, reason: &str| {
            format!(r#"{{"error":{{"code":{status},"message":"m","errors":[{{"reason":"{reason}"}}]}}}}"#)
        };
        let sheets = |status: &str| format!(r#"{{"error":{{"message":"m","status":"{status}"}}}}"#);
        let rows: Vec<(Platform, u16, String, ErrorCode)> = vec![
            (Notion, 401, r#"{"object":"error","code":"unauthorized","message":"m"}"#.into(), AuthError),
            (Notion, 403, r#"{"object":"error","code":"restricted_resource","message":"m"}"#.into(), PermissionDenied),
            (
                Notion,
                429,
                r#"{"code":"rate_limited","message":"m","additional_data":{"rate_limit_reason":"public_api_request_blocked"}}"#
                    .into(),
                PermissionDenied,
            ),
            (Notion, 529, r#"{"code":"service_overload","message":"m"}"#.into(), RateLimited),
            (Notion, 409, r#"{"code":"conflict_error","message":"m"}"#.into(), DuplicateError),
            (Notion, 504, r#"{"code":"gateway_timeout","message":"m"}"#.into(), TimeoutError),
            (Notion, 503, "<html>down</html>".into(), ServiceDown),
            (Trello, 401, "invalid token".into(), AuthError),
            (Trello, 401, r#"{"message":"missing scopes"}"#.into(), AuthError),
            (Trello, 401, "unauthorized card permission requested".into(), PermissionDenied),
            (Trello, 400, "invalid value for idList".into(), ValidationError),
            (Trello, 429, r#"{"error":"API_TOKEN_LIMIT_EXCEEDED","message":"Rate limit exceeded"}"#.into(), RateLimited),
            (Trello, 429, r#"{"error":"API_TOO_MANY_CARDS_REQUESTED","message":"m"}"#.into(), QuotaExceeded),
            (Trello, 504, "Gateway Timeout".into(), TimeoutError),
            (Slack, 200, r#"{"ok":false,"error":"invalid_auth"}"#.into(), AuthError),
            (Slack, 200, r#"{"ok":false,"error":"missing_scope","needed":"a","provided":"b"}"#.into(), PermissionDenied),
            (Slack, 200, r#"{"ok":false,"error":"channel_not_found"}"#.into(), NotFound),
            (Slack, 200, r#"{"ok":false,"error":"ratelimited"}"#.into(), RateLimited),
            (Slack, 200, r#"{"ok":false,"error":"invalid_blocks"}"#.into(), ValidationError),
            (Slack, 200, r#"{"ok":false,"error":"fatal_error"}"#.into(), ServiceDown),
            (Slack, 429, "".into(), RateLimited),
            (Drive, 403, google(403, "userRateLimitExceeded"), RateLimited),
            (Drive, 403, google(403, "storageQuotaExceeded"), QuotaExceeded),
            (Drive, 403, google(403, "insufficientFilePermissions"), PermissionDenied),
            (Drive, 404, google(404, "notFound"), NotFound),
            (Drive, 401, google(401, "required"), AuthError),
            (Drive, 400, google(400, "required"), ValidationError),
            (Drive, 409, google(409, "fileIdInUse"), DuplicateError),
            (Sheets, 429, sheets("RESOURCE_EXHAUSTED"), RateLimited),
            (Sheets, 400, sheets("INVALID_ARGUMENT"), ValidationError),
            (Sheets, 503, sheets("UNAVAILABLE"), ServiceDown),
            (Sheets, 400, r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#.into(), AuthError),
        ];
        for (platform, status, body, expected) in rows {
            assert_eq!(code(platform, status, &body), expected, "{platform} {status} {body}");
        }
    }

    #[test]
    fn a_page_is_never_a_success() {
        for platform in Platform::ALL {
            let refused =
                read(*platform, &reply(200, "text/html", "<p>Sign in to the hotel</p>"), Time(0)).unwrap_err();
            assert_eq!(refused.code, ErrorCode::UnknownError, "{platform}");
            assert_eq!(refused.words, "the answer is not the platform's JSON: Sign in to the hotel");
            assert!(read(*platform, &reply(200, "application/json", "{\"cut"), Time(0)).is_err());
        }
    }

    #[test]
    fn a_redirect_names_the_host_alone() {
        let mut moved = reply(302, "text/html", "");
        moved.headers.insert("location", "https://login.example.com/?token=secret".parse().unwrap());
        let refused = read(Platform::Notion, &moved, Time(0)).unwrap_err();
        assert_eq!(refused.words, "redirected to login.example.com, which is not followed");
    }

    #[test]
    fn how_long_to_wait() {
        let notion = r#"{"code":"rate_limited","message":"m","additional_data":{"retry_after":"7"}}"#;
        let wait =
            |platform, body| read(platform, &reply(429, "application/json", body), Time(0)).unwrap_err().retry_after;
        assert_eq!(wait(Platform::Notion, notion), Some(Duration::from_secs(7)));
        assert_eq!(wait(Platform::Trello, r#"{"error":"API_KEY_LIMIT_EXCEEDED"}"#), Some(Duration::from_secs(10)));
        assert_eq!(wait(Platform::Sheets, r#"{"error":{"status":"RESOURCE_EXHAUSTED"}}"#), None);
    }

    #[test]
    fn a_wrong_clock_is_named() {
        let body = r#"{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}"#;
        let refused = read(Platform::Drive, &reply(400, "application/json", body), Time(0)).unwrap_err();
        assert!(refused.words.contains("this machine's clock is wrong"), "{}", refused.words);
    }
}
