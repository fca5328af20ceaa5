//! `opsctl notify`: tell people, on Slack and through PagerDuty.

use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction, operator};
use crate::http::clip;
use crate::notify::{Channel, DedupKey, Event, EventAction, Message, NotSent, Notifier, ROUTING_KEY, Severity};
use crate::output::{Page, Report, Table};
use crate::platforms::{Credentials, Delivery};
use crate::wire::{EffectKind, Time};

/// Name of the context's contact that says where the team is reached.
const CONTACT: &str = "security-team";
/// How long a message about the same incident counts as the same message.
const SAME_FOR: Duration = Duration::from_secs(86_400);
/// Pauses before a receiver that may work in a moment is tried again.
const AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Longest incident that is sent, in characters; a report belongs where it can be edited.
const LONGEST: usize = 4000;

/// Tell people
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    SecurityTeam(SecurityTeamArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::SecurityTeam(args) => args.run(app).await,
        }
    }
}

/// Tell the security team of an incident, on Slack and through PagerDuty
///
/// To where the context's contact `security-team` says ("slack:#security, pagerduty"); without one, to the notification
/// channel and PagerDuty as far as there are keys. Works while the orchestrator is down or locked. The same incident told
/// twice is one message and one alert; --resolve closes both. 8 when it reached some, 7 when it reached nobody.
///
/// Example: opsctl notify security-team --incident "INC-311: a Slack token was seen in public"
#[derive(Args, Debug)]
pub struct SecurityTeamArgs {
    /// What happened, in a sentence
    #[arg(long, value_name = "TEXT")]
    incident: String,

    /// How bad: critical unless told error, warning, info
    #[arg(long, value_name = "WORD", default_value = "critical", hide_default_value = true)]
    severity: Severity,

    /// Where to, instead of the contact: slack:#ops or pagerduty (can be repeated)
    #[arg(long = "to", value_name = "CHANNEL")]
    to: Vec<Channel>,

    /// What makes it one incident, up to 255 characters; made from the text unless given
    #[arg(long, value_name = "KEY")]
    dedup_key: Option<DedupKey>,

    /// Say that it is over
    #[arg(long)]
    resolve: bool,

    #[command(flatten)]
    change: ChangeArgs,
}

impl SecurityTeamArgs {
    async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let incident = self.incident(app)?;
        let context = app.settings.context()?;
        let env = app.platform_env().await?;
        let default_channel = Credentials::from_env(&env).defaults.slack_channel;
        let has_routing_key = env.get(ROUTING_KEY).is_some_and(|key| !key.is_empty());
        let contact = context.contacts.get(CONTACT).map(String::as_str);
        let channels = channels(&self.to, &context.name, contact, default_channel.as_deref(), has_routing_key)?;
        let key = self.dedup_key.clone().unwrap_or_else(|| {
            let same = incident.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            DedupKey::of(&context.name, "security-incident", &same)
        });
        let news = News {
            text: incident,
            key,
            severity: self.severity,
            over: self.resolve,
            context: context.name.clone(),
            environment: context.environment.clone(),
            place: context.place(),
            by: operator(&app.settings.env),
        };
        let plan = self.plan(&news, &channels);
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let notifier = app.notifier().await?;
        let now = app.now();
        let sent = futures_util::future::join_all(channels.iter().map(|to| news.send(&notifier, to, now))).await;
        let (sent, failures): (Vec<Sent>, Vec<Option<NotSent>>) = sent.into_iter().unzip();
        app.receipt(&approval, sent.iter().map(Sent::receipt).collect())?;
        let reached = failures.iter().filter(|failure| failure.is_none()).count();
        app.emit(&Told { dedup_key: news.key, channels: sent })?;
        let failures: Vec<NotSent> = failures.into_iter().flatten().collect();
        match failures.first() {
            None => Ok(Outcome::Done),
            Some(_) if reached > 0 => Ok(Outcome::SomeFailed),
            Some(first) => Err(nobody(first, &failures).into()),
        }
    }

    /// The text, without any secret that this process knows.
    fn incident(&self, app: &App) -> Result<String, Fault> {
        let text = app.output.redactor.redact(self.incident.trim()).into_owned();
        let length = text.chars().count();
        match length {
            0 => Err(Fault::usage("the incident is empty").hint("say what happened: --incident TEXT")),
            _ if length > LONGEST => Err(Fault::usage(format!("the incident has {length} characters"))
                .because(format!("at most {LONGEST} are sent"))
                .hint("send the first sentences, and a link to the rest")),
            _ => Ok(text),
        }
    }

    fn plan(&self, news: &News, channels: &[Channel]) -> Plan {
        let action = if self.resolve { "resolve" } else { "trigger" };
        let steps = channels.iter().map(|to| match to {
            Channel::Slack(channel) => Step::new("POST chat.postMessage").on(channel).because(clip(&news.line(), 120)),
            Channel::PagerDuty => Step::new(format!("POST /v2/enqueue {action}"))
                .on("pagerduty")
                .because(format!("severity {}, key {}", self.severity.as_str(), news.key))
                .undo(match self.resolve {
                    true => Undo::None,
                    false => Undo::Reverse("opsctl notify security-team --resolve".into()),
                }),
        });
        let title = if self.resolve { "tell the security team that it is over" } else { "tell the security team" };
        Plan::new("notify security-team", title, &self.change)
            .steps(steps)
            .subject(format!("incident {}", news.key))
            .note("people are notified at once")
            .direct()
            .urgent()
    }
}

/// Where it goes: as asked, else where the contact says, else wherever there is a key for.
fn channels(
    asked: &[Channel],
    context: &str,
    contact: Option<&str>,
    default_channel: Option<&str>,
    has_routing_key: bool,
) -> Result<Vec<Channel>, Fault> {
    let mut wanted = asked.to_vec();
    if let (true, Some(contact)) = (wanted.is_empty(), contact) {
        let words = contact.split([',', ' ']).filter(|word| !word.is_empty());
        wanted = words.map(str::parse).collect::<Result<_, Fault>>().map_err(|fault| {
            Fault::usage(format!("[contexts.{context}.contacts] {CONTACT} says where nobody can be told"))
                .because(fault.message)
                .hint(format!(
                    "write {CONTACT} = \"slack:#security, pagerduty\"; whom to call can stand under another name"
                ))
        })?;
    }
    if wanted.is_empty() {
        wanted.extend(default_channel.map(|channel| Channel::Slack(channel.to_owned())));
        wanted.extend(has_routing_key.then_some(Channel::PagerDuty));
    }
    let mut once = Vec::new();
    for channel in wanted {
        if !once.contains(&channel) {
            once.push(channel);
        }
    }
    if once.is_empty() {
        return Err(Fault::usage("nobody is named who could be told")
            .because(format!(
                "the context `{context}` has no contact `{CONTACT}`, no Slack channel and no {ROUTING_KEY}"
            ))
            .hint(format!("[contexts.{context}.contacts] {CONTACT} = \"slack:#security, pagerduty\", or pass --to")));
    }
    Ok(once)
}

/// Nobody was reached.
fn nobody(first: &NotSent, all: &[NotSent]) -> Fault {
    let cause = first.fault();
    let kind = if all.iter().any(|failure| failure.retryable) { Kind::Unreachable } else { cause.kind };
    let fault = all.iter().fold(Fault::new(kind, "the security team was not reached"), |fault, failure| {
        fault.because(failure.to_string())
    });
    fault.hint(cause.hint.unwrap_or_else(|| "call them; then repeat the command".into()))
}

/// What is told.
struct News {
    text: String,
    key: DedupKey,
    severity: Severity,
    over: bool,
    context: String,
    environment: Option<String>,
    place: String,
    by: String,
}

impl News {
    /// One line for whoever is woken up.
    fn line(&self) -> String {
        let what = if self.over { "Security incident over" } else { "Security incident" };
        let environment = self.environment.as_deref().map(|word| format!(" ({word})")).unwrap_or_default();
        format!("{what} in {}{environment}: {}", self.context, self.text)
    }

    fn message(&self, channel: &str) -> Message {
        // Slack's markup begins with these three; an incident is plain text.
        let line = self.line().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let severity = self.severity.as_str();
        let text = match self.over {
            true => format!("{line}\nSaid by {}.", self.by),
            false => format!("{line}\nSeverity {severity}, said by {}. Next: `opsctl runbook show security`", self.by),
        };
        let part = if self.over { "over" } else { "told" };
        Message { channel: channel.to_owned(), text, thread: None, marker: format!("{} {part}", self.key) }
    }

    fn event(&self) -> Event {
        Event {
            action: if self.over { EventAction::Resolve } else { EventAction::Trigger },
            dedup_key: self.key.clone(),
            summary: self.line(),
            source: self.place.clone(),
            severity: self.severity,
            details: json!({
                "incident": self.text,
                "saidBy": self.by,
                "context": self.context,
                "next": "opsctl runbook show security",
            }),
        }
    }

    /// Sends it to one place, again when that may help. Both kinds of receiver take the same news twice as once.
    async fn send(&self, notifier: &Notifier, to: &Channel, now: Time) -> (Sent, Option<NotSent>) {
        let mut pauses = AGAIN.iter();
        loop {
            let failure = match to {
                Channel::PagerDuty => notifier.pagerduty(&self.event()).await.err(),
                Channel::Slack(channel) => self.post(notifier, channel, now).await.err(),
            };
            let retry = failure.as_ref().is_some_and(|failure| failure.retryable);
            match (retry, pauses.next()) {
                (true, Some(pause)) => tokio::time::sleep(*pause).await,
                _ => return (Sent::new(to, failure.as_ref()), failure),
            }
        }
    }

    async fn post(&self, notifier: &Notifier, channel: &str, now: Time) -> Result<(), NotSent> {
        let message = self.message(channel);
        match notifier.slack_once(&message, now.minus(SAME_FOR)).await {
            // Whether it was told before cannot be seen without the right to read; told twice is better than not at all.
            Err(failure) if !failure.retryable => notifier.slack(&message).await.map(drop),
            other => other.map(drop),
        }
    }
}

/// What became of it at one place.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    to: String,
    /// `ARRIVED`, `NOT SENT`, or `UNKNOWN` when it may have arrived.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Sent {
    fn new(to: &Channel, failure: Option<&NotSent>) -> Self {
        let state = match failure {
            None => "ARRIVED",
            Some(failure) if failure.delivery == Delivery::Unknown => "UNKNOWN",
            Some(_) => "NOT SENT",
        };
        Sent { to: to.to_string(), state, detail: failure.map(|failure| failure.why.clone()) }
    }

    fn receipt(&self) -> ReceiptItem {
        let effect = match self.state {
            "ARRIVED" => EffectKind::Applied,
            "UNKNOWN" => EffectKind::Accepted,
            _ => EffectKind::Refused,
        };
        let undo = UndoAction::none("what people have read stays read; `--resolve` says that it is over");
        ReceiptItem { effect, detail: self.detail.clone(), ..ReceiptItem::applied(&self.to, undo) }
    }
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    dedup_key: DedupKey,
    channels: Vec<Sent>,
}

impl Report for Told {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["TO", "STATE", "DETAIL"]);
        for one in &self.channels {
            table.row([one.to.as_str(), one.state, one.detail.as_deref().unwrap_or_default()]);
        }
        page.table(&table)?;
        page.line(format_args!("one incident by its key: {}", self.dedup_key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(channels: Result<Vec<Channel>, Fault>) -> String {
        match channels {
            Ok(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(fault) => format!("{:?}: {}", fault.kind, fault.message),
        }
    }

    #[test]
    fn the_contact_says_where_and_without_one_the_keys_do() {
        let of = |asked: &[Channel], contact: Option<&str>, channel: Option<&str>, key: bool| {
            words(channels(asked, "prod", contact, channel, key))
        };
        let contact = Some("slack:#security, pagerduty slack:#security");
        assert_eq!(of(&[], contact, Some("#ops"), true), "slack:#security pagerduty");
        assert_eq!(of(&[Channel::PagerDuty], contact, None, false), "pagerduty");
        assert_eq!(of(&[], None, Some("#ops"), true), "slack:#ops pagerduty");
        assert_eq!(of(&[], None, None, true), "pagerduty");
        let person = of(&[], Some("+49 30 1234"), Some("#ops"), true);
        assert!(person.starts_with("Usage: [contexts.prod.contacts] security-team says"), "{person}");
        assert!(of(&[], None, None, false).contains("nobody is named"));
    }

    #[test]
    fn an_incident_cannot_ping_a_channel_by_its_text() {
        let news = News {
            text: "<!channel> & co".into(),
            key: DedupKey::of("prod", "security-incident", "x"),
            severity: Severity::Critical,
            over: false,
            context: "prod".into(),
            environment: Some("production".into()),
            place: "https://ops.example".into(),
            by: "ana@bastion".into(),
        };
        let text = news.message("#security").text;
        assert!(text.starts_with("Security incident in prod (production): &lt;!channel&gt; &amp; co\n"), "{text}");
        assert_eq!(news.event().summary, news.line());
    }
}
