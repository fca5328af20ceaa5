//! Messages: posted, changed, deleted, read back.

use serde_json::{Map, Value, json};

use super::{Channel, Slack, cursor, encode_cursor, ok, size, string, yes};
use crate::sandbox::sim::api::{Created, Reply};
use crate::wire::Time;

/// Longest text, in characters.
const TEXT: usize = 40_000;

impl Slack {
    /// The channel to write to: an id, or a name with or without `#`.
    fn target(&mut self, args: &Map<String, Value>) -> Result<(String, &mut Channel), String> {
        let wanted = string(args, "channel").ok_or("invalid_arguments")?;
        let name = wanted.trim_start_matches('#');
        let (id, channel) =
            self.channels.iter_mut().find(|(id, c)| **id == wanted || c.name == name).ok_or("channel_not_found")?;
        match channel {
            c if c.archived => Err("is_archived".into()),
            c if !c.member => Err("not_in_channel".into()),
            c => Ok((id.clone(), c)),
        }
    }

    pub(super) fn post(&mut self, args: &Map<String, Value>, now: Time) -> Result<Reply, String> {
        let text = string(args, "text").unwrap_or_default();
        let has_more = ["blocks", "attachments"].iter().any(|n| args.get(*n).is_some_and(|v| !is_empty(v)));
        if text.is_empty() && !has_more {
            return Err("no_text".into());
        }
        ensure_content(args, &text)?;
        let (user, bot, app, team) = (self.user.clone(), self.bot.clone(), self.app.clone(), self.team.clone());
        let (id, channel) = self.target(args)?;
        let thread = string(args, "thread_ts");
        if thread.as_ref().is_some_and(|ts| !channel.messages.contains_key(ts)) {
            return Err("thread_not_found".into());
        }
        let ts = next_ts(channel, now);
        let mut message = json!({
            "type": "message", "user": user, "bot_id": bot, "app_id": app, "team": team, "text": text, "ts": ts,
        });
        for name in ["blocks", "attachments", "metadata"] {
            if let Some(value) = args.get(name).filter(|v| !is_empty(v)) {
                message[name] = value.clone();
            }
        }
        if let Some(parent) = thread {
            message["thread_ts"] = json!(parent);
        }
        channel.messages.insert(ts.clone(), message.clone());
        let created = Created { name: text, markers: markers(&message["metadata"]) };
        Ok(ok(json!({"channel": id, "ts": ts, "message": message})).created(created))
    }

    /// A message of our own, and the channel it is in.
    fn own(&mut self, args: &Map<String, Value>, refusal: &str) -> Result<(String, String, &mut Channel), String> {
        let ts = string(args, "ts").ok_or("invalid_arguments")?;
        let bot = self.bot.clone();
        let id = string(args, "channel").ok_or("invalid_arguments")?;
        let channel = self.channels.get_mut(&id).ok_or("channel_not_found")?;
        let message = channel.messages.get(&ts).ok_or("message_not_found")?;
        if message["bot_id"] != bot.as_str() { Err(refusal.into()) } else { Ok((id, ts, channel)) }
    }

    pub(super) fn update(&mut self, args: &Map<String, Value>, now: Time) -> Result<Reply, String> {
        let text = string(args, "text");
        ensure_content(args, text.as_deref().unwrap_or_default())?;
        let user = self.user.clone();
        let (id, ts, channel) = self.own(args, "cant_update_message")?;
        let edited = next_ts(channel, now);
        let Some(message) = channel.messages.get_mut(&ts) else { return Err("message_not_found".into()) };
        if text.is_none() && args.get("blocks").is_none() && args.get("attachments").is_none() {
            return Err("no_text".into());
        }
        if let Some(text) = text {
            message["text"] = json!(text);
            // New text without blocks takes the old blocks away, as Slack does.
            if args.get("blocks").is_none()
                && let Some(map) = message.as_object_mut()
            {
                map.remove("blocks");
            }
        }
        for name in ["blocks", "attachments", "metadata"] {
            if let Some(value) = args.get(name) {
                message[name] = value.clone();
            }
        }
        message["edited"] = json!({"user": user, "ts": edited});
        Ok(ok(json!({"channel": id, "ts": ts, "text": message["text"], "message": message})))
    }

    pub(super) fn delete(&mut self, args: &Map<String, Value>) -> Result<Reply, String> {
        let (id, ts, channel) = self.own(args, "cant_delete_message")?;
        channel.messages.remove(&ts);
        Ok(ok(json!({"channel": id, "ts": ts})))
    }

    /// Newest first, replies in threads left out.
    pub(super) fn history(&self, args: &Map<String, Value>) -> Result<Reply, String> {
        let (_, channel) = self.channel(args)?;
        if !channel.member {
            return Err("not_in_channel".into());
        }
        let size = size(args)?;
        let span = Span::of(args)?;
        let start = cursor(args)?;
        let mut rest = channel.messages.iter().rev().filter(|(ts, message)| {
            let is_reply = message["thread_ts"].as_str().is_some_and(|parent| parent != ts.as_str());
            !is_reply && span.has(ts) && start.as_ref().is_none_or(|s| *ts <= s)
        });
        let with_metadata = yes(args, "include_all_metadata");
        let messages: Vec<Value> = rest.by_ref().take(size).map(|(_, m)| shown(m, with_metadata)).collect();
        let body = json!({"messages": messages, "has_more": false, "pin_count": 0});
        Ok(ok(with_cursor(body, rest.next().map(|(ts, _)| ts))))
    }

    /// A message and the replies to it, oldest first; `oldest` and `latest` apply to the replies.
    pub(super) fn replies(&self, args: &Map<String, Value>) -> Result<Reply, String> {
        let (_, channel) = self.channel(args)?;
        let parent = string(args, "ts").ok_or("invalid_arguments")?;
        if !channel.messages.contains_key(&parent) {
            return Err("thread_not_found".into());
        }
        let size = size(args)?;
        let span = Span::of(args)?;
        let start = cursor(args)?;
        let mut rest = channel.messages.iter().filter(|(ts, message)| {
            (**ts == parent || (message["thread_ts"] == parent.as_str() && span.has(ts)))
                && start.as_ref().is_none_or(|s| *ts >= s)
        });
        let with_metadata = yes(args, "include_all_metadata");
        let messages: Vec<Value> = rest.by_ref().take(size).map(|(_, m)| shown(m, with_metadata)).collect();
        Ok(ok(with_cursor(json!({"messages": messages, "has_more": false}), rest.next().map(|(ts, _)| ts))))
    }
}

/// The time between two message ids.
struct Span {
    oldest: Option<i64>,
    latest: Option<i64>,
    inclusive: bool,
}

impl Span {
    fn of(args: &Map<String, Value>) -> Result<Self, String> {
        Ok(Span {
            oldest: bound(args, "oldest", "invalid_ts_oldest")?,
            latest: bound(args, "latest", "invalid_ts_latest")?,
            inclusive: yes(args, "inclusive"),
        })
    }

    fn has(&self, ts: &str) -> bool {
        let at = micros(ts).unwrap_or_default();
        self.oldest.is_none_or(|o| at > o || (self.inclusive && at == o))
            && self.latest.is_none_or(|l| at < l || (self.inclusive && at == l))
    }
}

fn with_cursor(mut body: Value, next: Option<&String>) -> Value {
    if let Some(ts) = next {
        body["has_more"] = json!(true);
        body["response_metadata"] = json!({"next_cursor": encode_cursor(ts)});
    }
    body
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_str() == Some("")
}

fn ensure_content(args: &Map<String, Value>, text: &str) -> Result<(), String> {
    if text.chars().count() > TEXT {
        return Err("msg_too_long".into());
    }
    if args.get("blocks").is_some_and(|b| !b.is_array() && !is_empty(b)) {
        return Err("invalid_blocks_format".into());
    }
    match args.get("metadata").filter(|m| !is_empty(m)) {
        Some(m) if !m["event_type"].is_string() || !m["event_payload"].is_object() => {
            Err("invalid_metadata_format".into())
        }
        _ => Ok(()),
    }
}

/// A message's id: the time in seconds and six digits that make it the channel's own, always after the last one.
fn next_ts(channel: &Channel, now: Time) -> String {
    let last = channel.messages.last_key_value().and_then(|(ts, _)| micros(ts)).unwrap_or_default();
    let at = (now.0 * 1000).max(last + 100);
    format!("{}.{:06}", at / 1_000_000, at % 1_000_000)
}

fn micros(ts: &str) -> Option<i64> {
    let (seconds, rest) = ts.split_once('.').unwrap_or((ts, ""));
    let digits: String = rest.chars().chain(std::iter::repeat('0')).take(6).collect();
    Some(seconds.parse::<i64>().ok()? * 1_000_000 + digits.parse::<i64>().ok()?)
}

fn bound(args: &Map<String, Value>, name: &str, error: &str) -> Result<Option<i64>, String> {
    match string(args, name).filter(|t| !t.is_empty() && t != "0" && t != "now") {
        None => Ok(None),
        Some(text) => micros(&text).map(Some).ok_or_else(|| error.to_owned()),
    }
}

fn shown(message: &Value, with_metadata: bool) -> Value {
    let mut message = message.clone();
    if let (false, Some(map)) = (with_metadata, message.as_object_mut()) {
        map.remove("metadata");
    }
    message
}

/// Texts in the metadata's payload whose name says that they recognise the message.
fn markers(metadata: &Value) -> Vec<String> {
    let payload = metadata["event_payload"].as_object();
    payload
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name == "marker" || name.to_lowercase().contains("key"))
        .filter_map(|(_, value)| value.as_str().map(str::to_owned))
        .collect()
}
