//! Token rotation: a long-lived token becomes a pair, and a pair the next one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Slack, ok, string};
use crate::sandbox::sim::api::{Call, Reply};
use crate::sandbox::sim::keys::{Key, Keys, find};
use crate::wire::Time;

/// How long a rotating access token is good for, in seconds.
const LIFE_SECS: u64 = 43_200;

impl Slack {
    /// `oauth.v2.access` with a refresh token, which is used up by it.
    pub(super) fn refresh(
        &self,
        keys: &mut Keys,
        call: &Call,
        args: &Map<String, Value>,
        now: Time,
    ) -> Result<Reply, String> {
        ensure_app(keys, call, args)?;
        match string(args, "grant_type").as_deref() {
            Some("refresh_token") => {}
            // A code comes from a person's consent, which nobody gives here.
            None | Some("authorization_code") => return Err("invalid_code".into()),
            Some(_) => return Err("invalid_grant_type".into()),
        }
        let given = string(args, "refresh_token").unwrap_or_default();
        let known = keys.slack_refresh.iter_mut().find(|key| key.value == given && !key.revoked);
        known.ok_or("invalid_refresh_token")?.revoked = true;
        Ok(self.pair(keys, now))
    }

    /// `oauth.v2.exchange`: the long-lived token dies.
    pub(super) fn exchange(
        &self,
        keys: &mut Keys,
        call: &Call,
        args: &Map<String, Value>,
        now: Time,
    ) -> Result<Reply, String> {
        ensure_app(keys, call, args)?;
        let given = string(args, "token").or_else(|| call.bearer().map(str::to_owned)).unwrap_or_default();
        let token = keys.slack.iter_mut().find(|key| key.value == given).ok_or("invalid_token")?;
        match token {
            token if token.expires.is_some() => return Err("token_already_exchanged".into()),
            token if token.revoked => return Err("token_revoked".into()),
            token => token.revoked = true,
        }
        Ok(self.pair(keys, now))
    }

    fn pair(&self, keys: &mut Keys, now: Time) -> Reply {
        let (access, refresh) = keys.rotate_slack(now + Duration::from_secs(LIFE_SECS));
        let scopes = find(&keys.slack, &access).map(|key| key.scopes.join(",")).unwrap_or_default();
        ok(json!({
            "access_token": access,
            "expires_in": LIFE_SECS,
            "refresh_token": refresh,
            "token_type": "bot",
            "scope": scopes,
            "bot_user_id": self.user,
            "app_id": self.app,
            "team": {"id": self.team, "name": "Example Ops"},
            "is_enterprise_install": false,
            "authed_user": {"id": self.users.first().map(|user| user.id.as_str())},
        }))
    }
}

/// Checks the app's own credentials: arguments, or HTTP Basic.
fn ensure_app(keys: &Keys, call: &Call, args: &Map<String, Value>) -> Result<(), String> {
    let basic = call.header("authorization").and_then(|header| header.strip_prefix("Basic "));
    let basic = basic.and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let (id, secret) = match basic.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((id, secret)) => (id.to_owned(), secret.to_owned()),
        None => (string(args, "client_id").unwrap_or_default(), string(args, "client_secret").unwrap_or_default()),
    };
    match (id == keys.slack_client_id, secret == keys.slack_client_secret) {
        (false, _) => Err("invalid_client_id".into()),
        (_, false) => Err("bad_client_secret".into()),
        _ => Ok(()),
    }
}

impl Keys {
    /// Makes a rotating access token that ends at `expires`, and the refresh token for the next one.
    fn rotate_slack(&mut self, expires: Time) -> (String, String) {
        let scopes = self.slack.first().map(|key| key.scopes.clone()).unwrap_or_default();
        let (access, refresh) = self.rotating_pair();
        let key = |value: &str| Key { value: value.to_owned(), scopes: scopes.clone(), ..Key::default() };
        self.slack.push(Key { expires: Some(expires), ..key(&access) });
        self.slack_refresh.push(key(&refresh));
        (access, refresh)
    }
}
