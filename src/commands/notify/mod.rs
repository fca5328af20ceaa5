//! `opsctl notify`: tell people, on Slack and through PagerDuty.

mod news;

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::error::{Fault, Outcome};
use crate::guard::{ChangeArgs, Plan, Step, Undo, operator};
use crate::http::clip;
use crate::notify::{Channel, DedupKey, EventAction, ROUTING_KEY, Severity};
use crate::output::{Page, Report};
use crate::platforms::Credentials;
use crate::settings::Context;

pub(crate) use news::{News, Sent};

/// Name of the context's contact that says where the team is reached.
const CONTACT: &str = "security-team";
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
        let news = self.news(&incident, key, context, &operator(&app.settings.env));
        let plan = self.plan(&news, &channels);
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let delivered = news.tell(&app.notifier().await?, &channels, app.now()).await;
        app.receipt(&approval, delivered.receipt())?;
        let outcome = delivered.outcome("the security team was");
        app.emit(&Told { dedup_key: news.key, channels: delivered.sent })?;
        Ok(outcome?)
    }

    fn news(&self, incident: &str, key: DedupKey, context: &Context, by: &str) -> News {
        let environment = context.environment.as_deref().map(|word| format!(" ({word})")).unwrap_or_default();
        let severity = self.severity.as_str();
        let (what, below, action, part) = match self.resolve {
            true => ("Security incident over", format!("Said by {by}."), EventAction::Resolve, "over"),
            false => (
                "Security incident",
                format!("Severity {severity}, said by {by}. Next: `opsctl runbook show security`"),
                EventAction::Trigger,
                "told",
            ),
        };
        News {
            line: format!("{what} in {}{environment}: {incident}", context.name),
            below,
            action,
            mark: format!("{key} {part}"),
            key,
            severity: self.severity,
            source: context.place(),
            details: json!({
                "incident": incident,
                "saidBy": by,
                "context": context.name,
                "next": "opsctl runbook show security",
            }),
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
            Channel::Slack(channel) => Step::new("POST chat.postMessage").on(channel).because(clip(&news.line, 120)),
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

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    dedup_key: DedupKey,
    channels: Vec<Sent>,
}

impl Report for Told {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.table(&Sent::table(&self.channels))?;
        page.line(format_args!("one incident by its key: {}", self.dedup_key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Env, Flags, Settings};

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
        let settings = Settings::without_file(Flags::default(), Env::fixed([])).unwrap();
        let context = &settings.contexts()["sandbox"];
        let args = SecurityTeamArgs {
            incident: String::new(),
            severity: Severity::Critical,
            to: Vec::new(),
            dedup_key: None,
            resolve: false,
            change: ChangeArgs::default(),
        };
        let key = DedupKey::of("prod", "security-incident", "x");
        let news = args.news("<!channel> & co", key, context, "ana@bastion");
        let text = news.message("#security").text;
        assert!(text.starts_with("Security incident in sandbox (sandbox): &lt;!channel&gt; &amp; co\n"), "{text}");
        assert_eq!(news.event().summary, news.line);
    }
}
