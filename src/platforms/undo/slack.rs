//! Slack: what was read cannot be unread. A workflow's rollback leaves the correction to a person; who sent a message by
//! hand and takes it back has it corrected.

use serde_json::{Value, json};

use super::super::Delivery;
use super::super::session::Session;
use super::super::slack::{at, read, write};
use super::guard::shown;
use super::{Done, PlatformError, Seen, UndoPlan, Undone, Way};
use crate::wire::{ActionType, ErrorCode};

/// What a correction says, in the runbook's words.
const CORRECTION: &str = "Previous notification was in error, please disregard";

pub fn plan(done: &Done) -> UndoPlan {
    let data = done.data();
    let channel = done.id("channel").or_else(|| data.text("channel")).unwrap_or("CHANNEL").to_string();
    let ts = done.id("ts").or_else(|| data.text("ts"));
    let message = match ts {
        Some(ts) => format!("message {ts} in channel {channel}"),
        None => format!("the message in channel {channel}"),
    };
    let text = shown(data.get("text").unwrap_or(&Value::Null));
    let send = |text: &str| format!("opsctl slack send --channel {} --text \"{text}\"", word(&channel));
    let (label, what, lines) = match done.action_type {
        ActionType::Notify if done.in_doubt() => (
            "Message correction",
            format!("look for {message} and correct it"),
            vec![
                format!("It is not known whether the message was sent. Look in channel {channel} for {text}."),
                format!("If it is there: {}", send(CORRECTION)),
            ],
        ),
        ActionType::Notify => ("Message correction", format!("correct {message}"), vec![send(CORRECTION)]),
        ActionType::Update => (
            "Message correction",
            format!("correct {message}"),
            vec![
                format!("The text of {message} was changed to {text}; the earlier text was not kept."),
                send(CORRECTION),
            ],
        ),
        _ => (
            "Message restore",
            format!("post {message} again"),
            vec![
                format!("Slack deletes for good. Ask whoever knows what {message} said."),
                format!("Post it again: {}", send("TEXT")),
            ],
        ),
    };
    UndoPlan::new(done, label, what, Way::Manual(lines))
}

/// Says on a message that it was in error: in the message itself, or in its thread where Slack does not let it be
/// edited any more. Whoever has read it sees the correction where they read it.
pub async fn correct(session: &Session, done: &Done) -> Result<Undone, PlatformError> {
    let (channel, ts) = (done.id("channel").unwrap_or_default(), done.id("ts").unwrap_or_default());
    let Some(message) = at(session, channel, ts).await? else {
        return Ok(Undone::Already(format!("channel {channel} has no message {ts}")));
    };
    let text = message["text"].as_str().unwrap_or_default();
    if is_corrected(text) {
        return Ok(Undone::Already(format!("message {ts} says that it was in error")));
    }
    if let Some(answer) = in_thread(session, channel, ts).await? {
        return Ok(Undone::Already(format!("message {answer} in its thread says that it was in error")));
    }
    if let Seen::Altered(how) = compare(&message, done.data().text("text"), false) {
        return Ok(Undone::ChangedSince(format!("message {ts} was changed since: {how}")));
    }
    let struck: Vec<String> =
        text.lines().map(|line| if line.is_empty() { String::new() } else { format!("~{line}~") }).collect();
    let body = json!({"channel": channel, "ts": ts, "text": format!("{}\n_{CORRECTION}_", struck.join("\n"))});
    let refused = |error: &PlatformError| {
        matches!(error.code, ErrorCode::PermissionDenied | ErrorCode::ValidationError | ErrorCode::UnknownError)
            && error.delivery == Delivery::NotDelivered
    };
    match write(session, "chat.update", body).await {
        Ok(_) => {}
        Err(error) if refused(&error) => {
            write(session, "chat.postMessage", json!({"channel": channel, "thread_ts": ts, "text": CORRECTION}))
                .await?;
        }
        Err(error) => return Err(error),
    }
    let now = at(session, channel, ts).await?;
    if now.is_some_and(|m| m["text"].as_str().is_some_and(is_corrected)) {
        return Ok(Undone::Confirmed(format!("message {ts} says now that it was in error")));
    }
    Ok(match in_thread(session, channel, ts).await? {
        Some(answer) => Undone::Confirmed(format!("message {answer} in its thread says that it was in error")),
        None => Undone::StillStands(format!("message {ts} stands without a correction")),
    })
}

/// Whether a message ends with its correction. One that is an apology itself does not.
fn is_corrected(text: &str) -> bool {
    text.ends_with(&format!("\n_{CORRECTION}_"))
}

/// The correction in a message's thread, if one is there.
async fn in_thread(session: &Session, channel: &str, ts: &str) -> Result<Option<String>, PlatformError> {
    let query = [("channel", channel), ("ts", ts), ("limit", "200")];
    let answer = read(session, "conversations.replies", &query).await?;
    let replies = answer["messages"].as_array().into_iter().flatten().filter(|m| m["ts"] != ts);
    let mut corrections = replies.filter(|m| m["text"].as_str().is_some_and(|text| text.contains(CORRECTION)));
    Ok(corrections.next().and_then(|m| Some(m["ts"].as_str()?.to_string())))
}

/// A word of a command line: `#` would begin a comment.
fn word(channel: &str) -> String {
    let plain = channel.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if plain { channel.to_string() } else { format!("\"{channel}\"") }
}

pub async fn inspect(session: &Session, done: &Done) -> Result<Seen, PlatformError> {
    let data = done.data();
    let channel = done.id("channel").unwrap_or_default();
    let ts = done.id("ts").or_else(|| data.text("ts")).unwrap_or_default();
    let message = at(session, channel, ts).await?;
    Ok(match (done.action_type, message) {
        (ActionType::Delete, None) => Seen::Present,
        (ActionType::Delete, Some(_)) => Seen::Altered(format!("message {ts} is there")),
        (_, None) => Seen::Missing(format!("channel {channel} has no message {ts}")),
        (_, Some(message)) => compare(&message, data.text("text"), done.action_type == ActionType::Update),
    })
}

/// A message that nobody edited is as it was sent; Slack writes texts in its own way, so an edited one is compared
/// without that.
fn compare(message: &Value, sent: Option<&str>, edited_by_us: bool) -> Seen {
    let edited = message.get("edited").is_some();
    let text = message["text"].as_str().unwrap_or_default();
    match sent {
        Some(sent) if edited && plain(text) != plain(sent) => {
            Seen::Altered(format!("its text is {}", shown(&message["text"])))
        }
        None if edited && !edited_by_us => Seen::Altered("it was edited".into()),
        _ => Seen::Present,
    }
}

/// A text without what Slack adds: escapes, and angle brackets around links.
fn plain(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    text.chars().filter(|c| !"<>".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_by_name_are_quoted_on_command_lines() {
        assert_eq!((word("C0123ABCD"), word("#ops")), ("C0123ABCD".into(), "\"#ops\"".into()));
    }

    #[test]
    fn slacks_own_writing_is_no_change() {
        let message = json!({"text": "see &lt;this&gt; at <https://example.com>", "edited": {}});
        assert_eq!(compare(&message, Some("see <this> at https://example.com"), true), Seen::Present);
        let other = json!({"text": "other", "edited": {}});
        assert_eq!(compare(&other, Some("this"), true), Seen::Altered("its text is `other`".into()));
        assert_eq!(compare(&json!({"text": "shortened by Slack"}), Some("this"), false), Seen::Present);
    }
}
