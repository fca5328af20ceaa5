//! `opsctl escalate`: whom to call, why now, and calling them.

use std::io;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::logs::place;
use super::notify::{News, Sent};
use crate::analysis::span;
use crate::analysis::system::next_command;
use crate::app::App;
use crate::commands::args::count;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, Step, Undo, operator};
use crate::notify::{Channel, DedupKey, EventAction, Severity};
use crate::output::{self, Page, Report, Tone};
use crate::runbook::SectionId;
use crate::runbook::escalation::{Facts, Judged, LEVELS, Level, Verdict};
use crate::runbook::record::{RunState, Runs};
use crate::wire::{self, CircuitState, ExecutorHealth, HealthReport, Platform, Time};

/// Circuit transitions that are looked through for the beginning of the trouble.
const TRANSITIONS: u64 = 200;

/// Whom to call, and which of the conditions for it hold now
///
/// Without --level it only shows: the three levels, how they are reached, how soon they answer, and each condition with
/// what shows it. It works with the orchestrator down. With --level N it tells level N, on the channels among its contacts
/// (`slack:#channel`, `pagerduty`), after you agree; one alert for each context and level, however often it is sent.
/// Contacts are the context's: `[contexts.NAME.contacts] level-2 = "Ana Lead, +49 30 1234, slack:#eng-leads"`.
///
/// Example: opsctl escalate --level 2 --message "Notion fails since 03:10, fallback is on"
#[derive(Args, Debug)]
pub struct EscalateArgs {
    /// Level to tell: 1, 2 or 3
    #[arg(long, value_name = "N", value_parser = count(1..=3))]
    level: Option<u64>,

    /// What to say beside what is found
    #[arg(long, value_name = "TEXT", requires = "level")]
    message: Option<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// A level as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    level: u8,
    who: &'static str,
    hours: &'static str,
    responds_within_ms: u64,
    handles: &'static str,
    /// How they are reached, as the context says.
    contacts: Vec<String>,
    conditions: Vec<Judged>,
}

impl Shown {
    fn holds(&self) -> bool {
        self.conditions.iter().any(|judged| judged.verdict == Verdict::Holds)
    }

    fn channels(&self) -> Vec<Channel> {
        self.contacts.iter().filter_map(|contact| contact.parse().ok()).collect()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// The highest level with a condition that holds; 1 without one.
    recommended: u8,
    levels: Vec<Shown>,
}

impl Report for Answer {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for shown in &self.levels {
            let within = span(Duration::from_millis(shown.responds_within_ms));
            page.heading(&format!("Level {}: {}, {}, answers within {within}", shown.level, shown.who, shown.hours))?;
            page.line(format_args!("  for {}", shown.handles))?;
            match shown.contacts.as_slice() {
                [] => page.line(format_args!("  no contact: `level-{}` in config.toml", shown.level))?,
                contacts => contacts.iter().try_for_each(|contact| page.line(format_args!("  {contact}")))?,
            }
            for judged in &shown.conditions {
                let tone = match judged.verdict {
                    Verdict::Holds => Tone::Bad,
                    Verdict::Unknown => Tone::Unknown,
                    Verdict::No | Verdict::Judge => Tone::Dim,
                };
                let word = page.paint(judged.verdict.as_str(), tone);
                page.line(format_args!("    {word}: {}", judged.condition))?;
                page.line(format_args!("      {}", output::shown(&judged.evidence)))?;
            }
            page.blank()?;
        }
        page.line(format_args!("now: level {}", self.recommended))
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.levels.iter().map(serde_json::to_value).collect()
    }
}

impl EscalateArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let facts = look(app).await;
        let answer = judge(app, &facts)?;
        let Some(number) = self.level else {
            let next = answer.recommended;
            app.emit(&answer)?;
            if next > 1 {
                app.note(format!("next: opsctl escalate --level {next}"));
            }
            return Ok(Outcome::Done);
        };
        let Some(level) = answer.levels.into_iter().find(|level| u64::from(level.level) == number) else {
            return Err(Fault::usage(format!("there is no level {number}")).into());
        };
        self.tell(app, &level).await
    }

    async fn tell(&self, app: &App, level: &Shown) -> anyhow::Result<Outcome> {
        let number = level.level;
        let channels = level.channels();
        let context = app.settings.context()?.name.clone();
        if channels.is_empty() {
            let reached = match level.contacts.as_slice() {
                [] => "the context has no contact for it".to_owned(),
                contacts => format!("none of its contacts is a channel: call {}", contacts.join(", ")),
            };
            return Err(Fault::new(Kind::NotFound, format!("level {number} cannot be told from here"))
                .because(reached)
                .hint(format!("[contexts.{context}.contacts] level-{number} = \"slack:#channel, pagerduty\""))
                .into());
        }
        let text = self.text(app, level, &context);
        let step =
            |channel: &Channel| Step::new(format!("a message to {channel}")).because(text.clone()).undo(Undo::None);
        let plan = Plan::new("escalate", format!("tell level {number}"), &self.change)
            .direct()
            .subject(format!("escalation {number}"))
            .note("people are notified at once; it cannot be unsaid")
            .urgent()
            .steps(channels.iter().map(step));
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let news = News {
            mark: DedupKey::of(&context, "escalate", &text).to_string(),
            line: text,
            below: "Next: `opsctl escalate` shows what holds now".into(),
            action: EventAction::Trigger,
            key: DedupKey::of(&context, "escalate", &format!("level-{number}")),
            severity: if number == 3 { Severity::Critical } else { Severity::Error },
            source: context,
            details: json!({"level": number, "conditions": level.conditions}),
        };
        let delivered = news.tell(&app.notifier().await?, &channels, app.now()).await;
        app.receipt(&approval, delivered.receipt())?;
        let outcome = delivered.outcome(&format!("level {number} was"));
        let call = level.contacts.iter().filter(|contact| contact.parse::<Channel>().is_err()).cloned().collect();
        app.emit(&Told { level: number, channels: delivered.sent, call })?;
        Ok(outcome?)
    }

    /// What is said: who says it, about what, what holds, what they typed.
    fn text(&self, app: &App, level: &Shown, context: &str) -> String {
        let who = operator(&app.settings.env);
        let mut text = format!("Escalation to level {} ({}) by {who} for {context}", level.level, level.who);
        if let Some(message) = &self.message {
            text.push_str(&format!(": {message}"));
        }
        let holds = level.conditions.iter().filter(|judged| judged.verdict == Verdict::Holds);
        for judged in holds {
            text.push_str(&format!("; {} ({})", judged.condition, judged.evidence));
        }
        app.output.redactor.redact(&text).into_owned()
    }
}

/// What was told to whom.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    level: u8,
    channels: Vec<Sent>,
    /// People that no message reaches.
    call: Vec<String>,
}

impl Report for Told {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.table(&Sent::table(&self.channels))?;
        self.call.iter().try_for_each(|who| page.line(format_args!("call {who}")))
    }
}

fn judge(app: &App, facts: &Facts) -> anyhow::Result<Answer> {
    let contacts = &app.settings.context()?.contacts;
    let shown = |level: &Level| {
        let own = contacts.get(&format!("level-{}", level.number));
        let split = own.map(|text| text.split(',').map(|one| one.trim().to_owned()).collect());
        Shown {
            level: level.number,
            who: level.who,
            hours: level.hours,
            responds_within_ms: u64::try_from(level.responds_within.as_millis()).unwrap_or(u64::MAX),
            handles: level.handles,
            contacts: split.unwrap_or_default(),
            conditions: level.judge(facts, app.now()),
        }
    };
    let levels: Vec<Shown> = LEVELS.iter().map(shown).collect();
    let recommended = levels.iter().rev().find(|level| level.holds()).map_or(1, |level| level.level);
    Ok(Answer { recommended, levels })
}

/// What can be known right now, from the orchestrator, else from what this machine has.
async fn look(app: &App) -> Facts {
    let context = app.settings.context_name.value.clone();
    let runs = Runs::new(&app.settings.places).all().unwrap_or_default();
    let mut open = runs.iter().filter(|run| run.context == context && run.state != RunState::Finished);
    let corruption_run = open.find(|run| run.section == SectionId::Corruption).map(|run| run.started_at);
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        let status = orchestrator.system().await?;
        let health = orchestrator.health().await?;
        let turns = orchestrator.circuit_history(None, None, TRANSITIONS).await.unwrap_or_default();
        anyhow::Ok((status, health, turns))
    };
    let (status, health, turns) = match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            let why = Explained::from_error(&error).message;
            app.note(format!("note: what holds now is partly unknown: {why}"));
            let silent = last_sign(app).await.map(Some);
            return Facts { silent, corruption_run, ..Facts::default() };
        }
    };
    // Since when: the turn that left CLOSED and was not followed by one back. History is newest first.
    let mut since: Option<(Time, String)> = None;
    let mut earlier = |at: Time, what: String| {
        if since.as_ref().is_none_or(|(first, _)| at < *first) {
            since = Some((at, what));
        }
    };
    for circuit in &status.open_circuits {
        let platform = circuit.status.platform;
        let of_it = turns.iter().filter(|turn| turn.platform == platform);
        let left = of_it.take_while(|turn| turn.to != CircuitState::Closed).last().map(|turn| turn.at);
        if let Some(at) = left.or(circuit.status.opened_at) {
            earlier(at, format!("the {platform} circuit is not closed"));
        }
    }
    for pause in &status.pauses {
        earlier(pause.since, format!("{} is paused", pause.scope));
    }
    let found = next_command(&status, status.service.now).findings;
    let trouble = match (since, found.iter().find(|finding| finding.severity == wire::Severity::Error)) {
        (Some(since), _) => Some(Some(since)),
        (None, Some(finding)) => {
            app.note(format!("note: since when is not known: {}", finding.text));
            None
        }
        (None, None) => Some(None),
    };
    let down = Some(down(&health));
    Facts { trouble, down, silent: Some(None), locked_down: Some(status.locked_down), corruption_run }
}

fn down(health: &HealthReport) -> Vec<Platform> {
    let down = health.executors.iter().filter(|(_, report)| report.status == ExecutorHealth::Down);
    down.map(|(platform, _)| *platform).collect()
}

/// When the orchestrator last wrote a line, where its logs are on this machine.
async fn last_sign(app: &App) -> Option<Time> {
    let folder = place::folder(app).await.ok()??;
    let modified = std::fs::metadata(folder.join("application.log")).ok()?.modified().ok()?;
    // By this machine's clock, as files are; the sandbox has its own.
    Some(app.now().minus(SystemTime::now().duration_since(modified).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_from_people() {
        let level = Shown {
            level: 2,
            who: "x",
            hours: "x",
            responds_within_ms: 0,
            handles: "x",
            contacts: vec!["Ana Lead".into(), "slack:#eng".into(), "pagerduty".into(), "+49 30 1".into()],
            conditions: Vec::new(),
        };
        assert_eq!(level.channels(), [Channel::Slack("#eng".into()), Channel::PagerDuty]);
        assert!(!level.holds());
    }
}
