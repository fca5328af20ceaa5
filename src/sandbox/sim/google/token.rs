//! The token endpoint: service accounts' signed requests, refresh tokens, what a token is worth.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::SIMULATOR_ONLY_KEY;
use crate::sandbox::sim::api::{Call, Reply};
use crate::sandbox::sim::keys::{Keys, find};
use crate::wire::Time;

/// The service account's numeric id.
pub(super) const CLIENT_ID: &str = "112233445566778899001";

/// How long an access token is good for, in seconds, less the one Google leaves out.
const LIFE_SECS: u64 = 3599;

/// How far a signed request's clock may be off, in seconds.
const SKEW_SECS: i64 = 300;

pub(super) fn handle(keys: &mut Keys, call: &Call, now: Time) -> Reply {
    match (call.method.as_str(), call.segments().as_slice()) {
        ("POST", ["token"]) => token(keys, call, now).unwrap_or_else(|refused| refused),
        ("GET" | "POST", ["tokeninfo"]) => tokeninfo(keys, call, now),
        ("POST", ["revoke"]) => revoke(keys, call),
        _ => Reply::html(404),
    }
}

fn error(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, &json!({"error": error, "error_description": description}))
}

/// A parameter of the form, or of the query.
fn param(call: &Call, name: &str) -> Option<String> {
    call.form().into_iter().chain(call.query.clone()).find(|(k, _)| k == name).map(|(_, v)| v)
}

fn token(keys: &mut Keys, call: &Call, now: Time) -> Result<Reply, Reply> {
    match param(call, "grant_type").unwrap_or_default().as_str() {
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            let (key, scope) = check_assertion(keys, &param(call, "assertion").unwrap_or_default(), now)?;
            let token = keys.grant(&key, &scope, now + Duration::from_secs(LIFE_SECS), now);
            Ok(Reply::ok(&json!({"access_token": token, "expires_in": LIFE_SECS, "token_type": "Bearer"})))
        }
        "refresh_token" => {
            if param(call, "client_id").as_deref() != Some(&keys.google_client_id) {
                return Err(error(401, "invalid_client", "The OAuth client was not found."));
            }
            if param(call, "client_secret").as_deref() != Some(&keys.google_client_secret) {
                return Err(error(401, "invalid_client", "Unauthorized"));
            }
            let refresh = param(call, "refresh_token").unwrap_or_default();
            if find(&keys.google_refresh, &refresh).is_none_or(|k| k.revoked) {
                return Err(error(400, "invalid_grant", "Token has been expired or revoked."));
            }
            let scope = "https://www.googleapis.com/auth/drive https://www.googleapis.com/auth/spreadsheets";
            let token = keys.grant(&refresh, scope, now + Duration::from_secs(LIFE_SECS), now);
            let body = json!({"access_token": token, "expires_in": LIFE_SECS, "scope": scope, "token_type": "Bearer"});
            Ok(Reply::ok(&body))
        }
        other => Err(error(400, "unsupported_grant_type", &format!("Invalid grant_type: {other}"))),
    }
}

/// Checks a service account's signed request; tells the key it was signed with and the scope it asks for.
fn check_assertion(keys: &Keys, assertion: &str, now: Time) -> Result<(String, String), Reply> {
    let denied = |why: &str| error(400, "invalid_grant", why);
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return Err(denied("Bad Request")) };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| denied("Bad Request"));
    let parsed = |part: &str| {
        let bytes = decoded(part)?;
        serde_json::from_slice::<Value>(&bytes).map_err(|_| denied("Bad Request"))
    };
    let (head, body) = (parsed(header)?, parsed(claims)?);
    if body["iss"] != keys.google_email.as_str() {
        return Err(denied("Invalid grant: account not found"));
    }
    let key = match head["kid"].as_str() {
        Some(id) => find(&keys.google_keys, id).filter(|k| !k.revoked),
        None => keys.google_keys.iter().rev().find(|k| !k.revoked),
    };
    let signed = format!("{header}.{claims}");
    let genuine = head["alg"] == "RS256" && is_signed(signed.as_bytes(), &decoded(signature)?);
    let Some(key) = key.filter(|_| genuine) else { return Err(denied("Invalid JWT Signature.")) };
    let (issued, expires) = (body["iat"].as_i64().unwrap_or(0), body["exp"].as_i64().unwrap_or(0));
    let seconds = now.0.div_euclid(1000);
    if expires - issued > 3600 || issued > seconds + SKEW_SECS || expires + SKEW_SECS < seconds {
        return Err(denied(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your \
             iat and exp values in the JWT claim.",
        ));
    }
    if !body["aud"].as_str().is_some_and(|aud| aud.ends_with("/token")) {
        return Err(denied("Invalid JWT: Failed audience check. The right audience is the token endpoint."));
    }
    match body["scope"].as_str() {
        Some(scope) if !scope.trim().is_empty() => Ok((key.value.clone(), scope.to_owned())),
        _ => Err(error(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")),
    }
}

/// Whether the simulator-only key signed this.
fn is_signed(message: &[u8], signature: &[u8]) -> bool {
    let body: String = SIMULATOR_ONLY_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let Some(pair) = STANDARD.decode(body).ok().and_then(|der| RsaKeyPair::from_pkcs8(&der).ok()) else { return false };
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    public.verify(message, signature).is_ok()
}

fn tokeninfo(keys: &Keys, call: &Call, now: Time) -> Reply {
    let token = param(call, "access_token").or_else(|| call.bearer().map(str::to_owned)).unwrap_or_default();
    let Some(access) = keys.google_access.get(&token).filter(|a| a.expires > now) else {
        return error(400, "invalid_token", "Invalid Value");
    };
    let is_user = find(&keys.google_refresh, &access.from).is_some();
    let audience = if is_user { keys.google_client_id.as_str() } else { CLIENT_ID };
    Reply::ok(&json!({
        "azp": audience,
        "aud": audience,
        "scope": access.scope,
        "exp": access.expires.0.div_euclid(1000).to_string(),
        "expires_in": (access.expires - now).as_secs().to_string(),
        "access_type": if is_user { "offline" } else { "online" },
    }))
}

/// Ends an access token, or a refresh token and what came from it.
fn revoke(keys: &mut Keys, call: &Call) -> Reply {
    let token = param(call, "token").unwrap_or_default();
    let refresh = keys.google_refresh.iter_mut().find(|k| k.value == token && !k.revoked);
    let was_refresh = refresh.map(|key| key.revoked = true).is_some();
    let before = keys.google_access.len();
    keys.google_access.retain(|value, access| *value != token && access.from != token);
    if was_refresh || keys.google_access.len() < before {
        Reply::ok(&json!({}))
    } else {
        error(400, "invalid_token", "Token expired or revoked")
    }
}
