//! What is to be sent about alerts: on change only, in order, until it has arrived.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Book, Status};
use crate::analysis::alerts::{Priority, State};
use crate::app::App;
use crate::error::Explained;
use crate::notify::{Channel, DedupKey, Event, EventAction, Message, NotSent, Notifier, Severity};
use crate::wire::Time;

/// Most events that wait. Of more the oldest are dropped, which is said.
const MOST: usize = 500;

/// How far back a Slack message that may have arrived is looked for.
const LOOK_BACK: Duration = Duration::from_secs(86_400);

/// What a channel knows of an alert that fires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    /// Whether it knows that somebody is at it.
    acknowledged: bool,
    /// The message that the others answer, on Slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts: Option<String>,
}

/// One event for one channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outgoing {
    channel: String,
    /// The alert: `circuit-open/notion`.
    alert: String,
    action: EventAction,
    key: DedupKey,
    at: Time,
    summary: String,
    source: String,
    severity: Severity,
    details: Value,
    /// Whether it may have arrived already.
    tried: bool,
    /// The message that it answers, on Slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread: Option<String>,
}

/// Queues what changed for these channels. In a book that cannot be kept everything looks new each time, so one event a
/// day is made of it, and looked for before it is sent.
pub(super) fn queue(app: &App, book: &mut Book, statuses: &[Status], channels: &[Channel], now: Time, lasting: bool) {
    let day = i64::try_from(LOOK_BACK.as_millis()).unwrap_or(1);
    let at = if lasting { now } else { Time(now.0 - now.0.rem_euclid(day)) };
    let context = &app.settings.context_name.value;
    let source = app.settings.context().map(|context| context.place()).unwrap_or_default();
    for status in statuses {
        for channel in channels {
            let Some(seen) = book.seen.get_mut(&status.name()) else { continue };
            let to = channel.to_string();
            let firing = status.state == State::Firing;
            let told = seen.told.get_mut(&to);
            let mut thread = None;
            let action = match told {
                None if firing && status.silenced.is_none() => {
                    seen.told.insert(to.clone(), Told::default());
                    EventAction::Trigger
                }
                Some(told) if firing && status.acknowledged.is_some() && !told.acknowledged => {
                    told.acknowledged = true;
                    thread.clone_from(&told.ts);
                    EventAction::Acknowledge
                }
                Some(told) if !firing && seen.track.firing.is_none() => {
                    thread.clone_from(&told.ts);
                    seen.told.remove(&to);
                    EventAction::Resolve
                }
                _ => continue,
            };
            book.outbox.push(Outgoing {
                channel: to,
                alert: status.name(),
                action,
                key: DedupKey::of(context, status.alert, &status.subject),
                at,
                summary: summary(context, status, action),
                source: source.clone(),
                severity: severity(status.priority),
                details: details(status),
                tried: !lasting,
                thread,
            });
        }
    }
    if let Some(more) = book.outbox.len().checked_sub(MOST).filter(|more| *more > 0) {
        app.output.warn(&format!("{more} notifications that could not be sent for long are given up"));
        book.outbox.drain(..more);
    }
}

/// Sends what waits for these channels. One that does not take an event gets no other after it: order matters.
pub(super) async fn deliver(app: &App, book: &mut Book, channels: &[Channel]) {
    if book.outbox.is_empty() {
        return;
    }
    let notifier = match app.notifier().await {
        Ok(notifier) => notifier,
        Err(error) => {
            let why = Explained::from_error(&error).message;
            return app.output.warn(&format!("nobody was notified; it is kept and sent next time: {why}"));
        }
    };
    for channel in channels {
        let to = channel.to_string();
        while let Some(at) = book.outbox.iter().position(|event| event.channel == to) {
            let event = &mut book.outbox[at];
            // Its alert may have been answered on Slack since it was queued.
            let ts = book.seen.get(&event.alert).and_then(|seen| seen.told.get(&to)?.ts.clone());
            event.thread = event.thread.take().or(ts);
            let tried = std::mem::replace(&mut event.tried, true);
            match send(&notifier, channel, event, tried).await {
                Ok(ts) => {
                    let event = book.outbox.remove(at);
                    let told = book.seen.get_mut(&event.alert).and_then(|seen| seen.told.get_mut(&to));
                    if let Some(told) = told.filter(|_| event.action == EventAction::Trigger) {
                        told.ts = ts.clone();
                    }
                    if event.action == EventAction::Trigger {
                        answer(book, &event, &to, ts);
                    }
                }
                Err(error) => {
                    app.output.warn(&format!("not notified; it is kept and sent next time: {error}"));
                    break;
                }
            }
        }
    }
}

/// What follows a message is put under it.
fn answer(book: &mut Book, trigger: &Outgoing, to: &str, ts: Option<String>) {
    let follows = |event: &&mut Outgoing| event.channel == to && event.alert == trigger.alert && event.thread.is_none();
    for event in book.outbox.iter_mut().filter(follows) {
        event.thread.clone_from(&ts);
    }
}

/// Sends one; gives the message's id on Slack.
async fn send(
    notifier: &Notifier,
    channel: &Channel,
    event: &Outgoing,
    tried: bool,
) -> Result<Option<String>, NotSent> {
    match channel {
        Channel::PagerDuty => {
            let event = Event {
                action: event.action,
                dedup_key: event.key.clone(),
                summary: event.summary.clone(),
                source: event.source.clone(),
                severity: event.severity,
                details: event.details.clone(),
            };
            notifier.pagerduty(&event).await.map(|()| None)
        }
        Channel::Slack(name) => {
            let what = match event.action {
                EventAction::Trigger => "trigger",
                EventAction::Acknowledge => "acknowledge",
                EventAction::Resolve => "resolve",
            };
            let message = Message {
                channel: name.clone(),
                text: event.summary.clone(),
                thread: event.thread.clone(),
                marker: format!("{}-{what}-{}", event.key, event.at.0),
            };
            let posted = match tried {
                true => notifier.slack_once(&message, event.at.minus(LOOK_BACK)).await?,
                false => notifier.slack(&message).await?,
            };
            Ok(Some(posted.ts))
        }
    }
}

fn summary(context: &str, status: &Status, action: EventAction) -> String {
    let subject = if status.subject.is_empty() { String::new() } else { format!(" ({})", status.subject) };
    let what = format!("{}{subject} in {context}", status.title);
    match action {
        EventAction::Trigger => format!(
            "FIRING {what}: {}; {}. Respond {}: {}. Next: {}",
            status.seen, status.threshold, status.response, status.action, status.next
        ),
        EventAction::Acknowledge => {
            let by = status.acknowledged.as_ref().map(|ack| ack.by.as_str()).unwrap_or_default();
            format!("ACKNOWLEDGED {what} by {by}")
        }
        EventAction::Resolve => format!("RESOLVED {what}: {}", status.seen),
    }
}

fn details(status: &Status) -> Value {
    json!({
        "alert": status.name(),
        "seen": status.seen,
        "threshold": status.threshold,
        "response": status.response,
        "action": status.action,
        "next": status.next,
        "runbook": status.runbook.map(|section| section.command()),
    })
}

const fn severity(priority: Priority) -> Severity {
    match priority {
        Priority::Medium => Severity::Warning,
        Priority::High => Severity::Error,
        Priority::Critical => Severity::Critical,
    }
}
