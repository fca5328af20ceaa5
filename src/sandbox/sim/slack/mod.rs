//! Slack's Web API: channels and messages of one workspace. Failures have status 200 and `ok: false`.

mod chat;
mod oauth;
mod seed;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::api::{Api, Call, Operation, Reply};
use super::hub::Refusal;
use super::ids::Ids;
use super::keys::{Caller, Keys, find};
use super::limits::{Charge, LimitSettings};
use crate::wire::Time;

/// Most channels or messages in one answer.
const LIMIT: usize = 999;

/// The window of a channel's one message a second, in milliseconds: a little under a second, so that a client that
/// paces itself by the second is not refused for the jitter of its timer.
const POST_WINDOW_MS: u64 = 950;

/// The workspace.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Slack {
    pub(super) ids: Ids,
    team: String,
    user: String,
    bot: String,
    app: String,
    channels: BTreeMap<String, Channel>,
    users: Vec<User>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Channel {
    name: String,
    purpose: String,
    private: bool,
    archived: bool,
    /// Whether the bot is in it.
    member: bool,
    created: Time,
    /// By `ts`, which sorts by time.
    messages: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct User {
    id: String,
    name: String,
    real_name: String,
    email: String,
}

/// A method: its operation, tier (0 for none of the tiers) and the scopes of which it needs one.
const METHODS: [(Operation, u8, &[&str]); 15] = [
    (Operation::read("api.test"), 4, &[]),
    (Operation::read("auth.test"), 0, &[]),
    (Operation::delete("auth.revoke"), 3, &[]),
    (Operation::create("chat.postMessage"), 0, &["chat:write"]),
    (Operation::update("chat.update"), 3, &["chat:write"]),
    (Operation::delete("chat.delete"), 3, &["chat:write"]),
    (Operation::read("conversations.list"), 2, &["channels:read", "groups:read", "im:read", "mpim:read"]),
    (Operation::read("conversations.info"), 3, &["channels:read", "groups:read", "im:read", "mpim:read"]),
    (Operation::update("conversations.join"), 3, &["channels:join"]),
    (Operation::read("conversations.history"), 3, &["channels:history", "groups:history"]),
    (Operation::read("conversations.replies"), 3, &["channels:history", "groups:history"]),
    (Operation::read("users.lookupByEmail"), 3, &["users:read.email"]),
    (Operation::read("users.info"), 4, &["users:read"]),
    (Operation::create("oauth.v2.access"), 4, &[]),
    (Operation::update("oauth.v2.exchange"), 4, &[]),
];

fn method(call: &Call) -> Option<&'static (Operation, u8, &'static [&'static str])> {
    match call.segments().as_slice() {
        ["api", name] => METHODS.iter().find(|(op, _, _)| op.name == *name),
        _ => None,
    }
}

pub(super) fn operation(call: &Call) -> Operation {
    method(call).map_or(Operation::UNKNOWN, |(operation, _, _)| *operation)
}

fn ok(mut body: Value) -> Reply {
    body["ok"] = json!(true);
    Reply::ok(&body)
}

/// A failure as Slack says it.
fn failed(error: &str) -> Reply {
    Reply { ok: false, ..Reply::ok(&json!({"ok": false, "error": error})) }
}

pub(super) fn authorize(call: &Call, keys: &Keys, now: Time) -> Result<Caller, Reply> {
    let args = arguments(call);
    let token = call.bearer().map(str::to_owned).or_else(|| string(&args, "token"));
    let Some((operation, _, needed)) = method(call) else { return Err(failed("unknown_method")) };
    if ["api.test", "oauth.v2.access", "oauth.v2.exchange"].contains(&operation.name) {
        return Ok(Caller::nobody());
    }
    let Some(token) = token.filter(|t| !t.is_empty()) else { return Err(failed("not_authed")) };
    let Some(key) = find(&keys.slack, &token) else { return Err(failed("invalid_auth")) };
    if key.revoked {
        return Err(failed("token_revoked"));
    }
    if key.expires.is_some_and(|at| at <= now) {
        return Err(failed("token_expired"));
    }
    if !needed.is_empty() && !needed.iter().any(|scope| key.scopes.iter().any(|s| s == scope)) {
        let body = json!({
            "ok": false, "error": "missing_scope", "needed": needed[0], "provided": key.scopes.join(","),
        });
        return Err(Reply { ok: false, ..Reply::ok(&body) }.header("x-oauth-scopes", key.scopes.join(",")));
    }
    Ok(Caller { subject: key.value.clone(), scopes: key.scopes.clone() })
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Unauthorized => failed("invalid_auth"),
        Refusal::Forbidden => failed("restricted_action"),
        Refusal::Limited(over) => Reply::json(429, &json!({"ok": false, "error": "ratelimited"}))
            .header("retry-after", over.retry_after_secs.to_string()),
        Refusal::Server(status) => {
            let error = if *status == 503 { "service_unavailable" } else { "internal_error" };
            Reply::json(*status, &json!({"ok": false, "error": error}))
        }
    }
}

/// Arguments of a method: query, then form or JSON. In forms, structures are JSON text.
fn arguments(call: &Call) -> Map<String, Value> {
    let mut args = Map::new();
    let texts = if call.is_form() { call.form() } else { Vec::new() };
    for (name, text) in call.query.iter().cloned().chain(texts) {
        let structured = ["metadata", "blocks", "attachments"].contains(&name.as_str());
        let value = if structured { serde_json::from_str(&text).unwrap_or(Value::Null) } else { Value::String(text) };
        args.insert(name, value);
    }
    if let (false, Some(Value::Object(body))) = (call.is_form(), call.json()) {
        args.extend(body);
    }
    args
}

fn string(args: &Map<String, Value>, name: &str) -> Option<String> {
    match args.get(name)? {
        Value::String(s) => Some(s.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn yes(args: &Map<String, Value>, name: &str) -> bool {
    string(args, name).is_some_and(|v| v == "true" || v == "1")
}

/// Answers one request. `auth` and `oauth` reach into the credentials.
pub(super) fn handle(slack: &mut Slack, keys: &mut Keys, call: &Call, caller: &Caller, now: Time) -> Reply {
    let args = arguments(call);
    let reply = match operation(call).name {
        "auth.revoke" => {
            let revoked = !yes(&args, "test") && keys.revoke(Api::Slack, Some(&caller.subject)) > 0;
            Ok(ok(json!({"revoked": revoked})))
        }
        "auth.test" => Ok(slack.who(find(&keys.slack, &caller.subject).and_then(|key| key.expires), now)),
        "oauth.v2.access" => slack.refresh(keys, call, &args, now),
        "oauth.v2.exchange" => slack.exchange(keys, call, &args, now),
        name => slack.route(name, &args, now),
    };
    let needed = method(call).map(|(_, _, needed)| needed.join(",")).unwrap_or_default();
    reply
        .unwrap_or_else(|error| failed(&error))
        .header("x-oauth-scopes", caller.scopes.join(","))
        .header("x-accepted-oauth-scopes", needed)
        .header("x-slack-req-id", uuid::Uuid::now_v7().simple().to_string())
}

impl Slack {
    pub(super) fn new(seed: u64) -> Self {
        let mut ids = Ids::new(seed, "slack");
        let (team, user, bot, app) = (ids.slack('T'), ids.slack('U'), ids.slack('B'), ids.slack('A'));
        let users = [("ana", "Ana Petrova"), ("ben", "Ben Okafor"), ("chen", "Chen Li")].map(|(name, real)| User {
            id: ids.slack('U'),
            name: name.into(),
            real_name: real.into(),
            email: format!("{name}@example.com"),
        });
        Slack { ids, team, user, bot, app, channels: BTreeMap::new(), users: users.into() }
    }

    /// A channel has one window, whether it is named or given by its id.
    pub(super) fn charges(
        &self,
        limits: &LimitSettings,
        call: &Call,
        operation: Operation,
        caller: &Caller,
    ) -> Vec<Charge> {
        let minute = Duration::from_secs(60);
        let whose = format!("{} {}", operation.name, caller.subject);
        let tier = |admits| vec![Charge::new("tier", &whose, admits, minute)];
        match method(call) {
            Some((op, _, _)) if op.name == "chat.postMessage" => {
                let wanted = string(&arguments(call), "channel").unwrap_or_default();
                let name = wanted.trim_start_matches('#');
                let channel = self.channels.iter().find(|(_, c)| c.name == name).map_or(name, |(id, _)| id);
                let whose = format!("{} {}", caller.subject, channel);
                let window = Duration::from_millis(POST_WINDOW_MS);
                vec![Charge::new("channel", &whose, limits.slack_posts_per_second, window)]
            }
            Some((_, 2, _)) => tier(limits.slack_tier2_per_minute),
            Some((_, 3, _)) => tier(limits.slack_tier3_per_minute),
            Some((_, 4, _)) => tier(limits.slack_tier4_per_minute),
            _ => Vec::new(),
        }
    }

    fn route(&mut self, name: &str, args: &Map<String, Value>, now: Time) -> Result<Reply, String> {
        match name {
            "api.test" => Ok(ok(json!({"args": args}))),
            "chat.postMessage" => self.post(args, now),
            "chat.update" => self.update(args, now),
            "chat.delete" => self.delete(args),
            "conversations.list" => self.list(args),
            "conversations.info" => {
                let (id, channel) = self.channel(args)?;
                Ok(ok(json!({"channel": channel_json(id, channel, &self.user)})))
            }
            "conversations.join" => self.join(args),
            "conversations.history" => self.history(args),
            "conversations.replies" => self.replies(args),
            "users.lookupByEmail" => {
                let email = string(args, "email").unwrap_or_default();
                let user = self.users.iter().find(|u| u.email == email).ok_or("users_not_found")?;
                Ok(ok(json!({"user": self.user(user)})))
            }
            "users.info" => {
                let id = string(args, "user").unwrap_or_default();
                let user = self.users.iter().find(|u| u.id == id).ok_or("user_not_found")?;
                Ok(ok(json!({"user": self.user(user)})))
            }
            _ => Err("unknown_method".into()),
        }
    }

    /// Whose token it is, and for how long where it ends by itself.
    fn who(&self, expires: Option<Time>, now: Time) -> Reply {
        let mut who = json!({
            "url": "https://example-ops.slack.com/",
            "team": "Example Ops",
            "user": "orchestrator",
            "team_id": self.team,
            "user_id": self.user,
            "bot_id": self.bot,
            "is_enterprise_install": false,
        });
        if let Some(expires) = expires {
            who["expires_in"] = json!((expires - now).as_secs());
        }
        ok(who)
    }

    /// A private channel has to be invited to.
    fn join(&mut self, args: &Map<String, Value>) -> Result<Reply, String> {
        let (id, channel) = self.channel(args)?;
        match channel {
            c if c.archived => return Err("is_archived".into()),
            c if c.private => return Err("method_not_supported_for_channel_type".into()),
            _ => {}
        }
        let (id, was_member) = (id.to_owned(), channel.member);
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.member = true;
        }
        let mut answer = json!({"channel": channel_json(&id, &self.channels[&id], &self.user)});
        if was_member {
            answer["warning"] = json!("already_in_channel");
            answer["response_metadata"] = json!({"warnings": ["already_in_channel"]});
        }
        Ok(ok(answer))
    }

    fn user(&self, user: &User) -> Value {
        json!({
            "id": user.id, "team_id": self.team, "name": user.name, "real_name": user.real_name, "deleted": false,
            "is_bot": false, "profile": {"real_name": user.real_name, "email": user.email},
        })
    }

    /// The channel an argument names by id.
    fn channel(&self, args: &Map<String, Value>) -> Result<(&str, &Channel), String> {
        let id = string(args, "channel").ok_or("invalid_arguments")?;
        self.channels.get_key_value(&id).map(|(id, c)| (id.as_str(), c)).ok_or_else(|| "channel_not_found".into())
    }

    fn list(&self, args: &Map<String, Value>) -> Result<Reply, String> {
        let types = string(args, "types").unwrap_or_else(|| "public_channel".into());
        let types: Vec<&str> = types.split(',').map(str::trim).collect();
        if types.iter().any(|t| !["public_channel", "private_channel", "mpim", "im"].contains(t)) {
            return Err("invalid_types".into());
        }
        let size = size(args)?;
        let start = cursor(args)?;
        let wanted = |channel: &Channel| {
            types.contains(if channel.private { &"private_channel" } else { &"public_channel" })
                && !(channel.archived && yes(args, "exclude_archived"))
        };
        let mut rest = self.channels.iter().filter(|(id, c)| wanted(c) && start.as_ref().is_none_or(|s| *id >= s));
        let channels: Vec<Value> = rest.by_ref().take(size).map(|(id, c)| channel_json(id, c, &self.user)).collect();
        let next = rest.next().map(|(id, _)| encode_cursor(id)).unwrap_or_default();
        Ok(ok(json!({"channels": channels, "response_metadata": {"next_cursor": next}})))
    }
}

fn size(args: &Map<String, Value>) -> Result<usize, String> {
    match string(args, "limit") {
        None => Ok(100),
        Some(text) => text.parse().ok().filter(|n| (1..=LIMIT).contains(n)).ok_or_else(|| "invalid_limit".into()),
    }
}

/// Where a page of results starts; cursors are the key of its first entry in base64.
fn cursor(args: &Map<String, Value>) -> Result<Option<String>, String> {
    use base64::Engine as _;
    let Some(text) = string(args, "cursor").filter(|c| !c.is_empty()) else { return Ok(None) };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| "invalid_cursor")?;
    let key = String::from_utf8(bytes).map_err(|_| "invalid_cursor")?;
    key.strip_prefix("next:").map(|key| Some(key.to_owned())).ok_or_else(|| "invalid_cursor".into())
}

fn encode_cursor(key: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("next:{key}"))
}

fn channel_json(id: &str, channel: &Channel, creator: &str) -> Value {
    json!({
        "id": id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": !channel.private,
        "is_group": channel.private,
        "is_im": false,
        "is_mpim": false,
        "is_private": channel.private,
        "created": channel.created.0 / 1000,
        "creator": creator,
        "is_archived": channel.archived,
        "is_general": channel.name == "general",
        "is_member": channel.member,
        "is_shared": false,
        "is_ext_shared": false,
        "is_org_shared": false,
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": channel.purpose, "creator": "", "last_set": 0},
        "previous_names": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_has_one_window_by_name_and_id() {
        let mut slack = Slack::new(1);
        slack.furnish(Time(1_790_000_000_000));
        let caller = Caller { subject: "token".into(), scopes: Vec::new() };
        let charge = |channel: &str| {
            let uri = "/api/chat.postMessage".parse().unwrap();
            let body = json!({"channel": channel}).to_string();
            let call = Call::new(axum::http::Method::POST, &uri, axum::http::HeaderMap::new(), body.into());
            slack.charges(&LimitSettings::default(), &call, operation(&call), &caller).remove(0).key
        };
        let id = slack.channels.iter().find(|(_, c)| c.name == "general").unwrap().0;
        assert_eq!((charge("#general"), charge("general")), (charge(id), charge(id)));
        assert_ne!(charge("#general"), charge("#errors"));
    }
}
