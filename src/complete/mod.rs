//! What a shell offers for an argument: live values, each with its state, so that nobody types an id.
//!
//! A Tab must never be in the way: everything is known within [`BUDGET`], no question is asked, no command is run for a
//! credential, no sandbox is started, and when the orchestrator does not answer in time what it said last is offered
//! with its age. Which argument gets which values is [`Values::of`], one table by verb and value name.

mod cache;
mod remote;

use std::ffi::OsString;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::builder::StyledStr;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::aliases;
use crate::dashboard::PANELS;
use crate::guard::{Receipt, Receipts};
use crate::redact::Redactor;
use crate::runbook::record::Runs;
use crate::runbook::{Section, SectionId};
use crate::server::config;
use crate::settings::{Env, Flags, Settings};
use crate::wire::Platform;

/// How long a Tab may take, all of it.
pub const BUDGET: Duration = Duration::from_millis(150);
/// What of it is kept for starting, reading files and writing the answer.
const OWN: Duration = Duration::from_millis(40);
/// Most values of a kind: a screen of them helps, a thousand do not.
const MOST: u64 = 50;

/// What an argument is a value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Platforms with their circuits.
    Platforms,
    /// Items of the queue.
    QueueItems,
    /// Items that were given up.
    GivenUp,
    /// Workflows.
    Workflows,
    /// Workflows that wait to be executed.
    ReadyWorkflows,
    /// Approvals that wait for a decision.
    Approvals,
    /// Idempotency keys.
    Keys,
    /// Backups.
    Backups,
    /// Tokens that work.
    Tokens,
    /// Receipts of changes made from here.
    Receipts,
    /// Contexts.
    Contexts,
    /// Settings of the service.
    Settings,
    /// Links of the context.
    Links,
    /// Sections of the runbook.
    Sections,
    /// Its procedures.
    Procedures,
    /// Runs of them.
    Runs,
    /// Panels of the dashboard.
    Panels,
}

impl Values {
    /// What the argument of a verb takes: by the verb's words and the argument's value name.
    fn of(verb: &str, value_name: &str) -> Option<Values> {
        let noun = verb.split(' ').next().unwrap_or_default();
        Some(match (noun, verb, value_name) {
            (_, _, "PLATFORM") => Values::Platforms,
            (_, "workflow execute", "WORKFLOW") => Values::ReadyWorkflows,
            (_, _, "WORKFLOW") => Values::Workflows,
            (_, _, "RECEIPT") => Values::Receipts,
            (_, "idempotency check" | "idempotency clear", "KEY") => Values::Keys,
            (_, "queue retry", "ID") => Values::GivenUp,
            ("queue", _, "ID") => Values::QueueItems,
            ("approvals", _, "ID") => Values::Approvals,
            (_, "state restore" | "backup verify", "ID") => Values::Backups,
            ("restore", _, "MOMENT" | "TIME" | "TIMESTAMP") => Values::Backups,
            (_, "token revoke", "ID") => Values::Tokens,
            (_, "context use" | "context show" | "context check" | "context remove", "NAME") => Values::Contexts,
            ("config", _, "NAME" | "NAME=VALUE") => Values::Settings,
            (_, "links", "NAME") => Values::Links,
            (_, "runbook show", "WHAT") => Values::Sections,
            (_, "runbook run", "PROCEDURE") => Values::Procedures,
            (_, "runbook transcript", "RUN") => Values::Runs,
            (_, "dashboard configure", "PANEL") => Values::Panels,
            _ => return None,
        })
    }

    /// Its word in the cache.
    const fn as_str(self) -> &'static str {
        match self {
            Values::Platforms => "platforms",
            Values::QueueItems => "queue-items",
            Values::GivenUp => "given-up",
            Values::Workflows => "workflows",
            Values::ReadyWorkflows => "ready-workflows",
            Values::Approvals => "approvals",
            Values::Keys => "keys",
            Values::Backups => "backups",
            Values::Tokens => "tokens",
            Values::Receipts => "receipts",
            Values::Contexts => "contexts",
            Values::Settings => "settings",
            Values::Links => "links",
            Values::Sections => "sections",
            Values::Procedures => "procedures",
            Values::Runs => "runs",
            Values::Panels => "panels",
        }
    }

    fn candidates(self) -> Vec<CompletionCandidate> {
        let started = Instant::now();
        let offered = settings().and_then(|settings| self.offered(&settings, started)).unwrap_or_default();
        let ordered = offered.into_iter().enumerate().map(|(place, one)| {
            let help = Some(one.help).filter(|help| !help.is_empty()).map(StyledStr::from);
            CompletionCandidate::new(one.value).help(help).display_order(Some(place))
        });
        ordered.collect()
    }

    /// What is offered; an error offers nothing, since nobody is there to read it.
    fn offered(self, settings: &Settings, started: Instant) -> anyhow::Result<Vec<Offer>> {
        let offer = |value: &str, help: &str| Offer { value: value.to_owned(), help: first_line(help) };
        Ok(match self {
            Values::Contexts => {
                settings.contexts().values().map(|context| offer(&context.name, &context.place())).collect()
            }
            Values::Settings => config::all().iter().map(|def| offer(&def.name, &def.about)).collect(),
            Values::Links => settings.context()?.links.iter().map(|(name, url)| offer(name, url)).collect(),
            Values::Sections => Section::all()?.iter().map(|s| offer(&s.id.to_string(), &s.title)).collect(),
            Values::Procedures => {
                let procedures = Section::all()?.into_iter().filter(|section| SectionId::is_procedure(section.id));
                procedures.map(|section| offer(&section.id.to_string(), &section.title)).collect()
            }
            Values::Runs => Runs::new(&settings.places)
                .all()?
                .iter()
                .map(|run| offer(&run.id, &format!("{} of {} steps, {}", run.over(), run.steps.len(), run.context)))
                .collect(),
            Values::Receipts => {
                let receipts = Receipts::new(&settings.places, Redactor::default()).since(None)?;
                let of = |receipt: Receipt| offer(&receipt.id, &format!("{} in {}", receipt.title, receipt.context));
                receipts.take(MOST as usize).map(|receipt| receipt.map(of)).collect::<anyhow::Result<_>>()?
            }
            Values::Panels => PANELS.iter().map(|panel| offer(panel.name, panel.title)).collect(),
            _ => self.asked(settings, started)?,
        })
    }

    /// What the orchestrator says, or said last.
    fn asked(self, settings: &Settings, started: Instant) -> anyhow::Result<Vec<Offer>> {
        let cache = cache::Cache::of(settings, self.as_str());
        let left = BUDGET.saturating_sub(OWN).saturating_sub(started.elapsed());
        let offered = match remote::ask(self, settings, left) {
            Some(offered) => {
                cache.keep(&offered);
                offered
            }
            None => cache.last(),
        };
        // Which platforms there are is no secret of the orchestrator's.
        if offered.is_empty() && self == Values::Platforms {
            return Ok(Platform::ALL.iter().map(|p| Offer { value: p.to_string(), help: String::new() }).collect());
        }
        Ok(offered)
    }
}

/// A value and what is known of it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Offer {
    value: String,
    help: String,
}

/// The first line, short enough for a screen.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    crate::http::clip(&crate::output::shown(line), 60)
}

/// The settings that the command line being completed would have.
fn settings() -> anyhow::Result<Settings> {
    let args: Vec<_> = std::env::args_os().skip_while(|arg| arg != "--").skip(1).collect();
    let context = aliases::early_value(&args, "context").map(str::to_owned);
    Settings::load(Flags { context, ..Flags::default() }, Env::process())
}

/// The words of this start, for the completions: they take any word that is a command's for that command, also the name
/// of a context (`--context sandbox`), which is put out of their way here.
pub(crate) fn words() -> Vec<OsString> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let is_noun = |word: &OsString| aliases::VERBS.iter().any(|verb| verb.name.split(' ').next() == word.to_str());
    // The last word is the one that is asked about.
    for at in 1..words.len().saturating_sub(1) {
        if words[at - 1] == "--context" && is_noun(&words[at]) {
            words[at] = "_".into();
        }
    }
    words
}

/// Whether this start answers a shell.
static ASKED: OnceLock<bool> = OnceLock::new();

/// Notes whether a shell asks. To be called before the completions are tried, which take the variable away before they
/// build the command line.
pub(crate) fn notice() {
    ASKED.get_or_init(|| std::env::var_os(crate::cli::COMPLETE_VARIABLE).is_some());
}

fn is_asked() -> bool {
    ASKED.get().is_some_and(|asked| *asked)
}

/// Gives every argument of a verb its values, when a shell asks; in any other start nothing is added.
pub(crate) fn attach(command: clap::Command, verb: &str) -> clap::Command {
    if !is_asked() {
        return command;
    }
    let verb = verb.to_owned();
    command.mut_args(move |arg| {
        let name = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        let values = name.and_then(|name| Values::of(&verb, &name));
        match values {
            Some(values) => arg.add(ArgValueCandidates::new(move || values.candidates())),
            None => arg,
        }
    })
}

/// The same for `--context`.
pub(crate) fn attach_contexts(command: clap::Command) -> clap::Command {
    if !is_asked() {
        return command;
    }
    command.mut_arg("context", |arg| arg.add(ArgValueCandidates::new(|| Values::Contexts.candidates())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_name_of_a_verb_that_is_an_id_has_its_values() {
        for (verb, name, values) in [
            ("circuit reset", "PLATFORM", Values::Platforms),
            ("queue remove", "ID", Values::QueueItems),
            ("queue retry", "ID", Values::GivenUp),
            ("approvals approve", "ID", Values::Approvals),
            ("rollback force", "WORKFLOW", Values::Workflows),
            ("undo", "RECEIPT", Values::Receipts),
            ("config set", "NAME=VALUE", Values::Settings),
        ] {
            assert_eq!(Values::of(verb, name), Some(values), "{verb} {name}");
        }
        assert_eq!(Values::of("notion delete", "ID"), None, "a platform is not asked at a Tab");
    }

    #[test]
    fn what_commands_a_terminal_is_not_offered() {
        assert_eq!(first_line("a\u{1b}[31m\nb"), "a\\u{1b}[31m");
    }
}
