//! `opsctl wait`: look until something holds, fails, or the time is over.

use std::io;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::arriving;
use crate::analysis::conditions::{Condition, Judgement, Wait};
use crate::analysis::span;
use crate::app::App;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{Page, Report, Tone, flatten};
use crate::platforms::status;
use crate::settings::parse_duration;
use crate::wire::{Component, ComponentState, Platform, Time};

use super::args::PlatformArg;

/// How long is waited unless `--timeout` or its like says otherwise.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);
/// The vendors' feeds are not asked more often.
const FEED_EVERY: Duration = Duration::from_secs(30);
/// The longest that one look may take, so that a server that hangs is only a gap.
const LOOK: Duration = Duration::from_secs(10);

/// Wait until something is in a state
///
/// Looks every second (at a circuit that is OPEN less often, at a vendor's feed every 30s). Ends with 0 when every --for holds (for --stable without
/// a break), 3 as soon as one --fail-on holds, 7 when --timeout (5m) is over, 5 when there is no such thing and --for
/// does not say exists. No answer is a gap, not an end. Conditions are fields of the verb's -o json: =, !=, >, >=, <, <=,
/// with a dot into objects. Without --for: circuit state=CLOSED, queue totalQueued=0, executor state=running, restart
/// state=up, workflow and action status=completed, auth authenticated=true, platform status=OK, health overall=healthy,
/// backup exists; a workflow or action that ended otherwise has failed. The last thing seen is printed in every case.
///
/// Example: opsctl wait circuit notion --for state=CLOSED --fail-on 'failureCount>=10' --timeout 5m
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// queue, circuit, executor, workflow, action, restart, backup, auth, platform or health
    #[arg(value_name = "WHAT", value_enum, hide_possible_values = true)]
    what: What,

    /// Which one: a platform, an id, a part, a backup
    name: Option<String>,

    /// What has to hold: state=CLOSED (can be repeated; all of them)
    #[arg(long = "for", value_name = "CONDITION", value_delimiter = ',')]
    met: Vec<Condition>,

    /// What ends the wait as failed (can be repeated; any of them)
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    fail_on: Vec<Condition>,

    /// How long it has to hold: 10s
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true, value_parser = parse_duration)]
    stable: Duration,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Queue,
    Circuit,
    Executor,
    Workflow,
    Action,
    Restart,
    Backup,
    Auth,
    Platform,
    Health,
}

impl What {
    const fn word(self) -> &'static str {
        match self {
            What::Queue => "queue",
            What::Circuit => "circuit",
            What::Executor => "executor",
            What::Workflow => "workflow",
            What::Action => "action",
            What::Restart => "restart",
            What::Backup => "backup",
            What::Auth => "auth",
            What::Platform => "platform",
            What::Health => "health",
        }
    }

    /// What is waited for when nothing is said.
    const fn met(self) -> &'static str {
        match self {
            What::Queue => "totalQueued=0",
            What::Circuit => "state=CLOSED",
            What::Executor => "state=running",
            What::Workflow | What::Action => "status=completed",
            What::Restart => "state=up",
            What::Backup => "exists",
            What::Auth => "authenticated=true",
            What::Platform => "status=OK",
            What::Health => "overall=healthy",
        }
    }

    /// Ends from which nothing leads to what is waited for by default.
    const fn failed(self) -> &'static [&'static str] {
        match self {
            What::Workflow => &["status=rolled_back", "status=rollback_failed", "status=failed", "status=resolved"],
            What::Action => &["status=failed", "status=removed"],
            _ => &[],
        }
    }

    const fn every(self) -> Duration {
        match self {
            What::Platform => FEED_EVERY,
            _ => EVERY,
        }
    }
}

/// What is looked at, understood.
enum Subject {
    Queue,
    Health,
    Circuit(Platform),
    Executor(Platform),
    Auth(Platform),
    Platform(Platform),
    Workflow(String),
    Action(String),
    /// A part, or the worst of all.
    Restart(Option<Component>),
    /// A backup, or the newest.
    Backup(Option<String>),
}

impl Subject {
    fn of(what: What, name: Option<&str>) -> Result<Subject, Fault> {
        let needed = |which: &str| {
            let word = what.word();
            name.ok_or_else(|| {
                Fault::usage(format!("`wait {word}` needs {which}")).hint(format!("opsctl wait {word} …"))
            })
        };
        let platform = || Ok::<_, Fault>(needed("a platform")?.parse::<PlatformArg>()?.0);
        Ok(match what {
            What::Queue | What::Health if name.is_some() => {
                return Err(Fault::usage(format!("`wait {}` takes no name", what.word()))
                    .because("there is only one")
                    .hint(format!("opsctl wait {}", what.word())));
            }
            What::Queue => Subject::Queue,
            What::Health => Subject::Health,
            What::Circuit => Subject::Circuit(platform()?),
            What::Executor => Subject::Executor(platform()?),
            What::Auth => Subject::Auth(platform()?),
            What::Platform => Subject::Platform(platform()?),
            What::Workflow => Subject::Workflow(needed("a workflow's id")?.to_owned()),
            What::Action => Subject::Action(needed("an action's id")?.to_owned()),
            What::Restart => Subject::Restart(match name {
                None | Some("all") => None,
                Some(part) => Some(part.parse().map_err(|why: String| {
                    Fault::usage(format!("there is no part `{part}`"))
                        .because(why)
                        .hint("or `all`, for the worst of them")
                })?),
            }),
            What::Backup => Subject::Backup(name.filter(|name| *name != "latest").map(str::to_owned)),
        })
    }

    /// Looks once; `None` is something that is not there.
    async fn look(&self, app: &App) -> anyhow::Result<Option<Value>> {
        let api = || app.orchestrator();
        Ok(Some(match self {
            Subject::Platform(platform) => feed(app, *platform).await?,
            Subject::Queue => serde_json::to_value(api().await?.queue_status().await?)?,
            Subject::Health => serde_json::to_value(api().await?.health().await?)?,
            Subject::Auth(platform) => serde_json::to_value(api().await?.auth(*platform).await?)?,
            Subject::Workflow(id) => serde_json::to_value(api().await?.workflow(id).await?)?,
            Subject::Action(id) => serde_json::to_value(api().await?.action(id).await?)?,
            Subject::Circuit(platform) => {
                return one(api().await?.circuit_statuses().await?, |circuit| circuit.platform == *platform);
            }
            Subject::Executor(platform) => {
                return one(api().await?.executors().await?, |executor| executor.platform == *platform);
            }
            Subject::Restart(part) => {
                let mut parts = api().await?.components().await?;
                // The first that is not up stands for all.
                parts.sort_by_key(|part| part.state == ComponentState::Up);
                return one(parts, |status| part.is_none_or(|part| status.component == part));
            }
            Subject::Backup(id) => {
                let backups = api().await?.backups().await?.backups;
                return one(backups, |backup| id.as_ref().is_none_or(|id| backup.id == *id));
            }
        }))
    }
}

fn one<T: Serialize>(all: Vec<T>, is_it: impl Fn(&T) -> bool) -> anyhow::Result<Option<Value>> {
    Ok(all.iter().find(|each| is_it(each)).map(serde_json::to_value).transpose()?)
}

async fn feed(app: &App, platform: Platform) -> anyhow::Result<Value> {
    let endpoints = app.endpoints().await?;
    let (status, detail) = status::fetch(&endpoints, platform, LOOK).await.words();
    Ok(serde_json::json!({ "platform": platform, "status": status, "detail": detail }))
}

/// What came of it, with the last thing seen.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Waited {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `met`, `failed`, `timeout`.
    result: &'static str,
    /// What held, or what did not.
    conditions: Vec<String>,
    took_ms: u64,
    /// `null` when it was not there, or nobody ever answered.
    seen: Option<Value>,
    /// Fields that the conditions name.
    #[serde(skip)]
    fields: Vec<String>,
}

impl Report for Waited {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let (word, tone) = match self.result {
            "met" => ("MET", Tone::Good),
            "failed" => ("FAILED", Tone::Bad),
            _ => ("TIMEOUT", Tone::Unknown),
        };
        let word = page.paint(word, tone);
        let what = [Some(self.what), self.name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let took = span(Duration::from_millis(self.took_ms));
        page.line(format_args!("{word}  {what}: {} after {took}", self.conditions.join(", ")))?;
        match &self.seen {
            None => page.pair("Seen", "nothing"),
            Some(seen) => {
                for (name, value) in flatten(seen).iter().filter(|(name, _)| self.tells(name)) {
                    page.pair(name, value)?;
                }
                Ok(())
            }
        }
    }
}

impl Waited {
    /// Whether a person wants to read this field: the ones asked for, and those that are about the state.
    fn tells(&self, field: &str) -> bool {
        const ALWAYS: [&str; 6] = ["state", "status", "overall", "error", "detail", "willResetAt"];
        self.fields.iter().any(|f| f == field) || ALWAYS.contains(&field)
    }
}

fn fields(conditions: &[Condition]) -> impl Iterator<Item = &String> {
    conditions.iter().filter_map(|condition| match condition {
        Condition::Field(comparison) => Some(&comparison.field),
        Condition::Exists | Condition::Gone => None,
    })
}

/// The wait's conditions: those that were given, or what is meant without any.
fn asked(args: &WaitArgs) -> Result<Wait, Fault> {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse()).collect::<Result<Vec<Condition>, Fault>>();
    let (met, mut failed) = match args.met.is_empty() {
        true => (parse(&[args.what.met()])?, parse(args.what.failed())?),
        false => (args.met.clone(), Vec::new()),
    };
    failed.extend(args.fail_on.iter().cloned());
    Ok(Wait::new(met, failed, args.stable))
}

impl WaitArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let subject = Subject::of(self.what, self.name.as_deref())?;
        let mut wait = asked(&self)?;
        let limit = arriving::limit(app, PATIENCE);
        if wait.stable > limit {
            let stable = crate::settings::format_duration(wait.stable);
            return Err(Fault::usage(format!("--stable {stable} is longer than the wait"))
                .because(format!("it ends after {}", crate::settings::format_duration(limit)))
                .hint("give a longer --timeout")
                .into());
        }
        let may_be_absent =
            wait.met.iter().chain(&wait.failed).any(|c| matches!(c, Condition::Exists | Condition::Gone));
        let bar = app.output.progress(0, &format!("waiting for {}", words(&wait.met)));
        let started = Instant::now();
        let deadline = started + limit;
        let (mut last, mut silent, mut said) = (None, None, false);
        let (result, conditions) = loop {
            let end = deadline.min(Instant::now() + LOOK);
            let mut pause = self.what.every();
            match tokio::time::timeout_at(end, subject.look(app)).await {
                Ok(Ok(seen)) => {
                    if seen.is_none() && !may_be_absent {
                        return Err(absent(self.what, self.name.as_deref()));
                    }
                    self.ensure_fields(app, &wait, seen.as_ref(), &mut said);
                    (last, silent) = (seen, None);
                    match wait.see(last.as_ref(), app.now()) {
                        Judgement::Met => break ("met", words_of(&wait.met)),
                        Judgement::Failed(condition) => break ("failed", vec![condition.to_string()]),
                        Judgement::Waiting { holds_for } => {
                            pause = holds_for.map_or(pause, |left| left.min(pause)).max(Duration::from_millis(20));
                            pause = pause.max(until_reset(last.as_ref(), app.now()));
                        }
                    }
                }
                Ok(Err(error)) => {
                    let explained = Explained::from_error(&error);
                    match explained.kind {
                        Kind::Unreachable => {}
                        Kind::NotFound if may_be_absent => match wait.see(None, app.now()) {
                            Judgement::Met => break ("met", words_of(&wait.met)),
                            Judgement::Failed(condition) => break ("failed", vec![condition.to_string()]),
                            Judgement::Waiting { .. } => {}
                        },
                        _ => return Err(error),
                    }
                    wait.unseen();
                    silent = (explained.kind == Kind::Unreachable).then_some(explained.message);
                }
                // The look took too long; the next one may not.
                Err(_) => {
                    wait.unseen();
                    silent = Some(format!("no answer within {}", span(LOOK)));
                }
            }
            if Instant::now() + pause >= deadline {
                tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
                if Instant::now() >= deadline {
                    break ("timeout", words_of(&wait.met));
                }
            } else {
                tokio::time::sleep(pause).await;
            }
        };
        drop(bar);
        let waited = Waited {
            what: self.what.word(),
            name: self.name.clone(),
            result,
            conditions,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            seen: last,
            fields: fields(&wait.met).chain(fields(&wait.failed)).cloned().collect(),
        };
        app.emit(&waited)?;
        if let Some(why) = silent {
            app.output.warn(&format!("the last look got no answer: {why}"));
        }
        Ok(match result {
            "met" => Outcome::Done,
            "failed" => Outcome::Problem,
            _ => Outcome::Unreachable,
        })
    }

    /// Says once when a condition names something that the answer does not have: it may come, or be a slip.
    fn ensure_fields(&self, app: &App, wait: &Wait, seen: Option<&Value>, said: &mut bool) {
        let Some(seen) = seen.filter(|_| !*said) else { return };
        let lacks = |field: &&String| field.split('.').try_fold(seen, |v, name| v.get(name)).is_none();
        if let Some(field) = fields(&wait.met).chain(fields(&wait.failed)).find(lacks) {
            *said = true;
            let names: Vec<_> = flatten(seen).into_iter().map(|(name, _)| name).take(12).collect();
            app.output.warn(&format!("there is no `{field}` in it now; there is {}", names.join(", ")));
        }
    }
}

/// How long a circuit that is OPEN says that nothing will change.
fn until_reset(seen: Option<&Value>, now: Time) -> Duration {
    let open = seen.filter(|seen| seen.get("state").and_then(Value::as_str) == Some("OPEN"));
    let at = open.and_then(|seen| seen.get("willResetAt")?.as_str()?.parse::<Time>().ok());
    // Somebody may reset it by hand before, so it is looked at now and then all the same.
    at.map_or(Duration::ZERO, |at| at.since(now).min(Duration::from_secs(5)))
}

fn absent(what: What, name: Option<&str>) -> anyhow::Error {
    let (word, name) = (what.word(), name.unwrap_or("any"));
    Fault::new(Kind::NotFound, format!("there is no {word} `{name}`"))
        .because("there was nothing to compare")
        .hint(format!("to wait until there is: opsctl wait {word} {name} --for exists"))
        .into()
}

fn words_of(conditions: &[Condition]) -> Vec<String> {
    conditions.iter().map(ToString::to_string).collect()
}

fn words(conditions: &[Condition]) -> String {
    words_of(conditions).join(", ")
}
