//! `opsctl slack`: messages, straight at Slack.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::App;
use crate::bulk::{Deed, Item, Job};
use crate::commands::text;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Undo};
use crate::http::clip;
use crate::platforms::Platform;
use crate::platforms::slack::{Channel, TEXT_LIMIT};
use crate::wire::{ActionType, ErrorCode};

/// Longest name of a channel, in characters.
const NAME_LIMIT: usize = 80;

/// Messages of Slack
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Send(SendArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Send(args) => send(app, args).await,
        }
    }
}

/// Send a message to a channel
///
/// The channel is looked up and shown first. What was read cannot be unread: `opsctl undo RECEIPT` strikes the message
/// out and says that it was in error, or answers so in its thread where it can no longer be edited.
///
/// Example: opsctl slack send --channel "#ops" --text "Previous notification was in error, please disregard"
#[derive(Args, Debug)]
pub struct SendArgs {
    /// Channel: #name, or its id
    #[arg(long, value_name = "CHANNEL", value_parser = channel)]
    channel: String,

    /// What to say
    #[arg(long, value_name = "TEXT")]
    text: String,

    #[command(flatten)]
    change: ChangeArgs,
}

async fn send(app: &App, args: SendArgs) -> anyhow::Result<Outcome> {
    ensure_sendable(&args.text)?;
    let clients = app.paced().await?;
    if app.output.redactor.redact(&args.text) != args.text {
        return Err(Fault::usage("the message holds a secret of this context")
            .because("everybody in the channel could use it")
            .hint("write it without the secret")
            .into());
    }
    let channel = clients.slack_channel(&args.channel).await.map_err(|error| {
        let fault = error.fault(format!("cannot find the Slack channel {}", args.channel));
        match error.code {
            ErrorCode::NotFound => fault.hint("is it private? then the bot has to be invited before it sees it"),
            _ => fault,
        }
    })?;
    ensure_open(&channel)?;
    let data = json!({"channel": channel.id, "text": args.text});
    let item = Item::new(&channel.id, Deed::act(Platform::Slack, ActionType::Notify, data))
        .named(format!("#{}", channel.name))
        .sends(format!("POST chat.postMessage channel={}", channel.id))
        .because(clip(&args.text, 200))
        .undo(Undo::Correct);
    let kind = if channel.is_private { "private channel" } else { "channel" };
    Job::new("slack send", format!("send 1 message to the {kind} #{} ({})", channel.name, channel.id), &args.change)
        .subject(format!("slack channel {}", channel.id))
        .note("people are notified at once; undo can only correct it")
        .items(vec![item])
        .run(app)
        .await
}

/// What can be a channel's name or id.
fn channel(text: &str) -> Result<String, Fault> {
    let name = text.strip_prefix('#').unwrap_or(text);
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().count() <= NAME_LIMIT && name.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err(Fault::usage(format!("`{text}` is not a channel of Slack"))
        .because("it should be its name (letters, digits, `-` and `_`) or its id, as in C0GV0MRYYDS")
        .hint("copy it from the channel's details in Slack"))
}

fn ensure_sendable(message: &str) -> Result<(), Fault> {
    let length = message.chars().count();
    if message.trim().is_empty() {
        return Err(Fault::usage("the message is empty")
            .because("Slack takes no message without a text")
            .hint("say something: --text TEXT"));
    }
    if length > TEXT_LIMIT {
        let length = text::count(length as u64);
        return Err(Fault::usage(format!("the message has {length} characters"))
            .because(format!("Slack takes {} at most", text::count(TEXT_LIMIT as u64)))
            .hint("send it in parts"));
    }
    Ok(())
}

fn ensure_open(channel: &Channel) -> Result<(), Fault> {
    let name = &channel.name;
    if channel.is_archived {
        return Err(Fault::new(Kind::Conflict, format!("#{name} is archived"))
            .because("Slack takes no message for it")
            .hint("name another channel, or take this one out of the archive in Slack"));
    }
    if !channel.is_member {
        return Err(Fault::new(Kind::NotAuthenticated, format!("the bot is not in #{name}"))
            .because("Slack takes its messages only where it is a member")
            .hint(format!("somebody in #{name} types: /invite @BOT"))
            .code(ErrorCode::PermissionDenied));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_has_a_name_or_an_id() {
        for good in ["#operations", "operations", "C0GV0MRYYDS", "#büro_2-a"] {
            assert_eq!(channel(good).as_deref().ok(), Some(good));
        }
        for bad in ["", "#", "Ops Room!", "https://acme.slack.com/archives/C0GV0MRYYDS", &"x".repeat(81)] {
            assert_eq!(channel(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_said_before_anybody_is_asked() {
        assert!(ensure_sendable("hello").is_ok());
        assert_eq!(ensure_sendable(" ").unwrap_err().kind, Kind::Usage);
        let long = "é".repeat(TEXT_LIMIT + 1);
        assert_eq!(ensure_sendable(&long).unwrap_err().message, "the message has 40,001 characters");
        let channel = |is_member, is_archived| Channel {
            id: "C1".into(),
            name: "ops".into(),
            is_member,
            is_private: false,
            is_archived,
        };
        assert!(ensure_open(&channel(true, false)).is_ok());
        assert_eq!(ensure_open(&channel(false, false)).unwrap_err().kind, Kind::NotAuthenticated);
        assert_eq!(ensure_open(&channel(true, true)).unwrap_err().kind, Kind::Conflict);
    }
}
