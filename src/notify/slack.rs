//! Messages on Slack, through the same client that the other commands use.

use serde_json::json;

use super::{Channel, LIMIT, NotSent, Notifier};
use crate::error::Explained;
use crate::platforms::{Call, CallOutcome, Lookup, Platform, PlatformError};
use crate::wire::{ActionType, Time};

/// A message for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `#name`, or the channel's id.
    pub channel: String,
    /// The text, in Slack's own markup.
    pub text: String,
    /// The message it answers, by its `ts`.
    pub thread: Option<String>,
    /// What the message is recognised by later. It travels in the message's metadata and is not shown.
    pub marker: String,
}

/// A message that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The channel's id.
    pub channel: String,
    /// Its id within the channel.
    pub ts: String,
}

impl Message {
    fn call(&self) -> Call {
        let mut data = json!({"channel": self.channel, "text": self.text});
        if let Some(ts) = &self.thread {
            data["thread_ts"] = ts.clone().into();
        }
        let marker = Some(self.marker.clone());
        Call { marker, timeout: LIMIT, ..Call::new(Platform::Slack, ActionType::Notify, data) }
    }

    fn not_sent(&self, error: &PlatformError) -> NotSent {
        let explained = Explained::from_error(&error.fault("").into());
        let to = Channel::Slack(self.channel.clone());
        NotSent {
            delivery: error.delivery,
            retryable: error.code.is_retriable(),
            retry_after: error.retry_after,
            hint: explained.hint,
            ..NotSent::new(to, explained.kind, error.to_string())
        }
    }
}

impl Notifier {
    /// Posts a message.
    pub async fn slack(&self, message: &Message) -> Result<Posted, NotSent> {
        self.clients.execute(&message.call()).await.map(posted).map_err(|error| message.not_sent(&error))
    }

    /// Posts a message unless one with its marker was posted since then: for what may have been sent before.
    pub async fn slack_once(&self, message: &Message, since: Time) -> Result<Posted, NotSent> {
        match self.clients.find_written(&message.call(), since).await {
            Ok(Lookup::Found(outcome)) => Ok(posted(outcome)),
            // Two messages are better than none.
            Ok(Lookup::Absent | Lookup::Unclear(_)) => self.slack(message).await,
            Err(error) => Err(message.not_sent(&error)),
        }
    }
}

fn posted(outcome: CallOutcome) -> Posted {
    let text = |name: &str| outcome.result[name].as_str().unwrap_or_default().to_owned();
    Posted { channel: text("channel"), ts: text("ts") }
}
