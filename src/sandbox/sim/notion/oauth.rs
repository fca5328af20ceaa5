//! Tokens of an OAuth connection: the next pair for a refresh token, and the end of a token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Notion, Version, error, invalid};
use crate::sandbox::sim::api::{Api, Call, Reply};
use crate::sandbox::sim::keys::Keys;
use crate::wire::Time;

/// Whether a request is the connection's own, with its id and secret and no token.
pub(super) fn is_one(call: &Call) -> bool {
    matches!(call.segments().as_slice(), ["v1", "oauth", "token" | "revoke"])
}

impl Notion {
    pub(super) fn oauth(&self, keys: &mut Keys, call: &Call, now: Time) -> Result<Reply, Reply> {
        Version::of(call)?;
        ensure_app(keys, call)?;
        let body = call.json().ok_or_else(|| error(400, "invalid_json", "Error parsing JSON body."))?;
        match call.segments().as_slice() {
            ["v1", "oauth", "token"] => self.next_pair(keys, &body, now),
            _ => {
                let token = body["token"].as_str().ok_or_else(|| invalid("body failed validation: body.token"))?;
                // Ending one that has ended is answered the same.
                keys.revoke(Api::Notion, Some(token));
                Ok(Reply::ok(&json!({"request_id": uuid::Uuid::now_v7().to_string()})))
            }
        }
    }

    fn next_pair(&self, keys: &mut Keys, body: &Value, now: Time) -> Result<Reply, Reply> {
        if body["grant_type"] != "refresh_token" {
            // A code comes from a person's consent, which nobody gives here.
            return Err(error(400, "invalid_grant", "Invalid code."));
        }
        let given = body["refresh_token"].as_str().unwrap_or_default();
        let known = keys.notion_refresh.iter_mut().find(|key| key.value == given && !key.revoked);
        known.ok_or_else(|| error(400, "invalid_grant", "Invalid refresh token."))?.revoked = true;
        let access = keys.mint(Api::Notion, now).unwrap_or_default();
        let refresh = keys.add_notion_refresh();
        let me = self.me();
        Ok(Reply::ok(&json!({
            "access_token": access,
            "token_type": "bearer",
            "refresh_token": refresh,
            "bot_id": me["id"],
            "workspace_icon": null,
            "workspace_name": "Example Ops",
            "workspace_id": self.workspace,
            "owner": {"type": "workspace", "workspace": true},
            "duplicated_template_id": null,
        })))
    }
}

/// Checks the connection's own credentials.
fn ensure_app(keys: &Keys, call: &Call) -> Result<(), Reply> {
    let basic = call.header("authorization").and_then(|header| header.strip_prefix("Basic "));
    let pair = basic.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let good = format!("{}:{}", keys.notion_client_id, keys.notion_client_secret);
    if pair.as_deref() == Some(&good) {
        return Ok(());
    }
    Err(error(401, "invalid_client", "Client authentication failed."))
}
