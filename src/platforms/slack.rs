//! Slack: messages in channels.

use serde_json::{Value, json};

use super::fields::Data;
use super::session::{Ask, Payload, Session};
use super::{CALL_TIMEOUT, Call, CallOutcome, Clients, Lookup, Platform, PlatformError, unsupported};
use crate::http::{HeaderMap, Method};
use crate::wire::{ActionType, ErrorCode, Time};
use std::time::Duration;

/// The type of the metadata that carries a marker.
const EVENT: &str = "opsctl_action";

/// Pages of history that a lookup reads, 200 messages each.
const LOOKUP_PAGES: usize = 10;

/// How far a lookup reaches back before the intent: Slack's clock is not ours.
const LOOKUP_SLACK: Duration = Duration::from_secs(60);

pub(super) async fn execute(session: &Session, call: &Call) -> Result<CallOutcome, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match call.action_type {
        ActionType::Notify => post(session, call, &data).await,
        ActionType::Update => {
            let mut body = message(&data);
            body["channel"] = Value::from(channel_id(session, &channel(session, &data)?).await?);
            body["ts"] = Value::from(data.text("ts"));
            write(session, "chat.update", body).await
        }
        ActionType::Delete => {
            let channel = channel_id(session, &channel(session, &data)?).await?;
            write(session, "chat.delete", json!({"channel": channel, "ts": data.text("ts")})).await
        }
        ActionType::Query => query(session, &data).await,
        _ => Err(unsupported(call)),
    }
}

fn channel(session: &Session, data: &Data<'_>) -> Result<String, PlatformError> {
    data.text_or("channel", &session.credentials.defaults.slack_channel).map_err(|why| session.invalid(why))
}

fn message(data: &Data<'_>) -> Value {
    let mut body = json!({});
    for name in ["text", "blocks", "thread_ts"] {
        if let Some(value) = data.get(name) {
            body[name] = value.clone();
        }
    }
    body
}

async fn post(session: &Session, call: &Call, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let mut body = message(data);
    body["channel"] = Value::from(channel(session, data)?);
    if let Some(marker) = &call.marker {
        body["metadata"] = json!({"event_type": EVENT, "event_payload": {"marker": marker}});
    }
    write(session, "chat.postMessage", body).await
}

pub(super) async fn write(session: &Session, method: &'static str, body: Value) -> Result<CallOutcome, PlatformError> {
    let answer = session.ask(Ask::write(method, Method::POST, session.at(&[method]), body)).await?;
    Ok(CallOutcome::done(json!({"channel": answer["channel"], "ts": answer["ts"]})))
}

pub(super) async fn read(
    session: &Session,
    method: &'static str,
    query: &[(&str, &str)],
) -> Result<Value, PlatformError> {
    Ok(session.ask(Ask::get(method, session.at_with(&[method], query))).await?)
}

async fn query(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let channel = channel_id(session, &channel(session, data)?).await?;
    let limit = data.count("limit").unwrap_or(100).min(999).to_string();
    let mut query = vec![("channel", channel.as_str()), ("limit", &limit)];
    query.extend(["oldest", "latest"].into_iter().filter_map(|name| Some((name, data.text(name)?))));
    let answer = read(session, "conversations.history", &query).await?;
    let messages = answer["messages"].as_array().into_iter().flatten();
    let short = |m: &Value| json!({"ts": m["ts"], "user": m["user"], "text": m["text"]});
    let messages: Vec<Value> = messages.map(short).collect();
    let has_more = answer["has_more"] == true;
    Ok(CallOutcome::done(
        json!({"channel": channel, "count": messages.len(), "messages": messages, "hasMore": has_more}),
    ))
}

/// Longest text of a message, in characters.
pub const TEXT_LIMIT: usize = 40_000;

/// A channel as Slack shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: String,
    /// Its name, without `#`.
    pub name: String,
    /// Whether the bot is in it.
    pub is_member: bool,
    /// Whether only invited people see it.
    pub is_private: bool,
    /// Whether it is closed for messages.
    pub is_archived: bool,
}

impl Clients {
    /// A channel by its name, with or without `#`, or by its id.
    pub async fn slack_channel(&self, channel: &str) -> Result<Channel, PlatformError> {
        let session = self.session(Platform::Slack, CALL_TIMEOUT);
        let id = channel_id(&session, channel).await?;
        let answer = read(&session, "conversations.info", &[("channel", &id)]).await?;
        let found = &answer["channel"];
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_string();
        Ok(Channel {
            id: text("id"),
            name: text("name"),
            is_member: found["is_member"] == true,
            is_private: found["is_private"] == true,
            is_archived: found["is_archived"] == true,
        })
    }
}

/// Whether this is an id (`C0123ABCD`) and not a name.
fn is_id(channel: &str) -> bool {
    let rest = channel.strip_prefix(['C', 'D', 'G', 'U']).unwrap_or_default();
    rest.len() >= 7 && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// The id of a channel given by name or id. Posting takes both; everything else needs the id.
async fn channel_id(session: &Session, channel: &str) -> Result<String, PlatformError> {
    if is_id(channel) {
        return Ok(channel.to_string());
    }
    let name = channel.trim_start_matches('#');
    if let Some(known) = session.caches().slack_channels.get(name, session.now()) {
        return Ok(known);
    }
    let mut types = "public_channel,private_channel";
    let mut cursor = String::new();
    loop {
        let mut query = vec![("limit", "999"), ("exclude_archived", "true"), ("types", types)];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let answer = match read(session, "conversations.list", &query).await {
            // Private channels need a scope of their own.
            Err(error) if error.code == ErrorCode::PermissionDenied && types.contains("private") => {
                types = "public_channel";
                continue;
            }
            other => other?,
        };
        for found in answer["channels"].as_array().into_iter().flatten() {
            if let (Some(name), Some(id)) = (found["name"].as_str(), found["id"].as_str()) {
                session.caches().slack_channels.put(name, session.now(), id.to_string());
            }
        }
        if let Some(id) = session.caches().slack_channels.get(name, session.now()) {
            return Ok(id);
        }
        cursor = answer["response_metadata"]["next_cursor"].as_str().unwrap_or_default().to_string();
        if cursor.is_empty() {
            return Err(session.fail(ErrorCode::NotFound, format!("channel_not_found: #{name}")));
        }
    }
}

pub(super) async fn find_written(session: &Session, call: &Call, since: Time) -> Result<Lookup, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match call.action_type {
        ActionType::Notify => find_message(session, call, &data, since).await,
        ActionType::Delete => find_deleted(session, &data).await,
        _ => Ok(Lookup::Absent),
    }
}

async fn find_message(session: &Session, call: &Call, data: &Data<'_>, since: Time) -> Result<Lookup, PlatformError> {
    let channel = channel_id(session, &channel(session, data)?).await?;
    let since = since.minus(LOOKUP_SLACK);
    let oldest = format!("{}.{:06}", since.0.div_euclid(1000), since.0.rem_euclid(1000) * 1000);
    let thread = data.text("thread_ts");
    let method = if thread.is_some() { "conversations.replies" } else { "conversations.history" };
    let (mut same, mut cursor) = (Vec::new(), String::new());
    for _ in 0..LOOKUP_PAGES {
        let mut query = vec![
            ("channel", channel.as_str()),
            ("oldest", &oldest),
            ("limit", "200"),
            ("include_all_metadata", "true"),
        ];
        query.extend(thread.map(|ts| ("ts", ts)));
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let answer = read(session, method, &query).await?;
        for message in answer["messages"].as_array().into_iter().flatten() {
            let result = || Lookup::Found(CallOutcome::found(json!({"channel": channel, "ts": message["ts"]})));
            match &call.marker {
                Some(marker) if message["metadata"]["event_payload"]["marker"] == marker.as_str() => {
                    return Ok(result());
                }
                None if message["text"].as_str() == data.text("text") => same.push((message["user"].clone(), result())),
                _ => {}
            }
        }
        cursor = answer["response_metadata"]["next_cursor"].as_str().unwrap_or_default().to_string();
        if cursor.is_empty() {
            return only_ours(session, same).await;
        }
    }
    Ok(Lookup::Unclear(format!("more than {} messages were posted since then", LOOKUP_PAGES * 200)))
}

/// Of messages with the right text, the one this bot posted.
async fn only_ours(session: &Session, same: Vec<(Value, Lookup)>) -> Result<Lookup, PlatformError> {
    if same.is_empty() {
        return Ok(Lookup::Absent);
    }
    let me = auth_test(session).await?["user_id"].clone();
    let mut ours: Vec<Lookup> = same.into_iter().filter(|(user, _)| *user == me).map(|(_, found)| found).collect();
    Ok(match ours.len() {
        0 => Lookup::Absent,
        1 => ours.remove(0),
        n => Lookup::Unclear(format!("this bot posted {n} messages with this text since then")),
    })
}

/// Whether a message that was to be deleted is gone.
async fn find_deleted(session: &Session, data: &Data<'_>) -> Result<Lookup, PlatformError> {
    let channel = channel_id(session, &channel(session, data)?).await?;
    let ts = data.text("ts").unwrap_or_default();
    Ok(match at(session, &channel, ts).await? {
        Some(_) => Lookup::Absent,
        None => Lookup::Found(CallOutcome::found(json!({"channel": channel, "ts": ts}))),
    })
}

/// The message with this id. Replies are not in a channel's history, so the thread is asked.
pub(super) async fn at(session: &Session, channel: &str, ts: &str) -> Result<Option<Value>, PlatformError> {
    let query = [("channel", channel), ("ts", ts), ("oldest", ts), ("latest", ts), ("inclusive", "true")];
    match read(session, "conversations.replies", &query).await {
        Ok(answer) => Ok(answer["messages"].as_array().into_iter().flatten().find(|m| m["ts"] == ts).cloned()),
        Err(error) if ["message_not_found", "thread_not_found"].contains(&error.message.as_str()) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn auth_test(session: &Session) -> Result<Value, PlatformError> {
    Ok(auth_test_whole(session).await?.0)
}

/// `auth.test` with its headers, which carry the scopes.
pub(super) async fn auth_test_whole(session: &Session) -> Result<(Value, HeaderMap), PlatformError> {
    let mut ask = Ask::get("auth.test", session.at(&["auth.test"]));
    (ask.method, ask.payload) = (Method::POST, Payload::Form(Vec::new()));
    Ok(session.ask_whole(ask).await?)
}

pub(super) async fn who_am_i(session: &Session) -> Result<String, PlatformError> {
    let answer = auth_test(session).await?;
    let user = answer["user"].as_str().or(answer["user_id"].as_str()).unwrap_or("bot");
    Ok(match answer["team"].as_str() {
        Some(team) => format!("{user} in {team}"),
        None => user.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names() {
        assert!(is_id("C0123ABCD") && is_id("D0123ABCDEF"));
        assert!(!is_id("#ops") && !is_id("general") && !is_id("Critical") && !is_id("CHAT"));
    }
}
