//! Google: the token endpoint, access tokens, service account keys, error bodies, and what Drive and Sheets have in
//! common.

mod iam;
pub(super) mod mask;
mod token;

use serde_json::{Value, json};

use super::api::{Call, Operation, Reply};
use super::hub::Refusal;
use super::keys::{Caller, Keys};
use crate::wire::Time;

/// Signs nothing outside the simulators. Shipped because ring cannot generate RSA keys.
pub(super) const SIMULATOR_ONLY_KEY: &str = include_str!("simulator-only.pem");

/// A service account's key file.
pub(super) fn key_file(keys: &Keys, key_id: &str, token_uri: &str) -> String {
    let file = json!({
        "type": "service_account",
        "project_id": keys.google_project,
        "private_key_id": key_id,
        "private_key": SIMULATOR_ONLY_KEY,
        "client_email": keys.google_email,
        "client_id": token::CLIENT_ID,
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    });
    format!("{file:#}\n")
}

pub(super) fn operation(call: &Call) -> Operation {
    match (call.method.as_str(), call.segments().as_slice()) {
        ("POST", ["token"]) => Operation::read("oauth2.token"),
        ("GET" | "POST", ["tokeninfo"]) => Operation::read("oauth2.tokeninfo"),
        ("POST", ["revoke"]) => Operation::delete("oauth2.revoke"),
        _ => iam::operation(call).unwrap_or(Operation::UNKNOWN),
    }
}

/// IAM wants a token; the token endpoint looks at what it is given itself.
pub(super) fn admit(call: &Call, keys: &Keys, now: Time) -> Result<Caller, Reply> {
    if iam::operation(call).is_some() { iam::authorize(call, keys, now) } else { Ok(Caller::nobody()) }
}

pub(super) fn handle(keys: &mut Keys, call: &Call, now: Time) -> Reply {
    match iam::operation(call) {
        Some(_) => iam::handle(keys, call, now).unwrap_or_else(|refused| refused),
        None => token::handle(keys, call, now),
    }
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    let (status, error, description) = match refusal {
        Refusal::Unauthorized => (401, "invalid_client", "The OAuth client was not found."),
        Refusal::Forbidden => (403, "access_denied", "Account restricted"),
        Refusal::Limited(_) => (429, "rate_limit_exceeded", "Rate limit exceeded"),
        Refusal::Server(status) => (*status, "internal_failure", "Internal error"),
    };
    Reply::json(status, &json!({"error": error, "error_description": description}))
}

/// Why an access token is not accepted.
pub(super) enum Denied {
    Missing,
    Invalid,
    Scope,
}

/// Checks the access token of a call to Drive or Sheets; it needs one of `scopes`.
pub(super) fn authorize(call: &Call, keys: &Keys, scopes: &[&str], now: Time) -> Result<Caller, Denied> {
    let token = call.bearer().ok_or(Denied::Missing)?;
    let access = keys.google_access.get(token).filter(|a| a.expires > now).ok_or(Denied::Invalid)?;
    let granted: Vec<String> = access.scope.split_whitespace().map(str::to_owned).collect();
    let fits = granted.iter().any(|g| g.strip_prefix(SCOPE).is_some_and(|short| scopes.contains(&short)));
    if fits { Ok(Caller { subject: keys.google_email.clone(), scopes: granted }) } else { Err(Denied::Scope) }
}

/// What every scope of Drive and Sheets starts with.
const SCOPE: &str = "https://www.googleapis.com/auth/";

/// An error in the older shape, with a list of reasons: Drive's.
pub(super) fn legacy_error(
    code: u16,
    message: &str,
    domain: &str,
    reason: &str,
    location: Option<(&str, &str)>,
) -> Reply {
    let mut entry = json!({"message": message, "domain": domain, "reason": reason});
    if let Some((kind, location)) = location {
        entry["locationType"] = json!(kind);
        entry["location"] = json!(location);
    }
    let mut error = json!({"code": code, "message": message, "errors": [entry]});
    if code == 401 {
        error["status"] = json!("UNAUTHENTICATED");
    }
    Reply::json(code, &json!({"error": error}))
}

/// An error in the newer shape, with a status word: Sheets'.
pub(super) fn status_error(code: u16, status: &str, message: &str, reason: Option<(&str, Value)>) -> Reply {
    let mut error = json!({"code": code, "message": message, "status": status});
    if let Some((reason, metadata)) = reason {
        error["details"] = json!([{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": metadata,
        }]);
    }
    Reply::json(code, &json!({"error": error}))
}
