//! What a change would do, before anybody is asked.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::aliases::Class;
use crate::output::{Page, Report, Tone, folded, shown};

use super::consent::{Ask, question};
use super::saved::{SavedPlan, WholePlan};
use crate::wire::Time;

/// At most this many steps are shown without `--all`.
const SHOWN: usize = 15;

/// Spaces before what goes on from the line above.
const HANG: usize = 6;

/// Flags of every verb that changes something.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ChangeArgs {
    /// Show the plan and stop
    #[arg(long)]
    pub dry_run: bool,

    /// Answer the question for what can be undone
    #[arg(long)]
    pub yes: bool,

    /// The same; with the context's name also for what cannot be undone
    #[arg(long, value_name = "CONTEXT", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub confirm: Option<String>,

    /// Why, for the audit trail
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Ticket it belongs to
    #[arg(long, value_name = "REF")]
    pub ticket: Option<String>,

    /// Keep the plan for `opsctl apply FILE`, and stop
    #[arg(long, value_name = "FILE")]
    pub save_plan: Option<PathBuf>,

    /// Show every line of the plan
    #[arg(long = "all", id = "plan_all")]
    pub all: bool,
}

impl ChangeArgs {
    /// Whether `--yes` or `--confirm` in any form was given.
    pub fn says_yes(&self) -> bool {
        self.yes || self.confirm.is_some()
    }

    /// The flags as words of a command line, but for --save-plan.
    pub fn words(&self) -> Vec<String> {
        let flags = [(self.dry_run, "--dry-run"), (self.yes, "--yes"), (self.all, "--all")];
        let mut words: Vec<String> = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()).collect();
        words.extend(self.confirm.as_deref().map(|name| match name {
            "" => "--confirm".to_owned(),
            name => format!("--confirm={name}"),
        }));
        let texts = [("--reason", &self.reason), ("--ticket", &self.ticket)];
        words.extend(texts.iter().filter_map(|(flag, text)| Some(format!("{flag}={}", text.as_deref()?))));
        words
    }

    /// The name in `--confirm=CONTEXT`.
    pub fn confirmed_name(&self) -> Option<&str> {
        self.confirm.as_deref().filter(|name| !name.is_empty())
    }
}

/// How a step can be taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Undo {
    /// The thing is put back as it was: trash, archive, dead letters.
    Restore,
    /// The old content is written again.
    Rewrite,
    /// It was seen by people; a correction can be sent.
    Correct,
    /// The opposite command: `opsctl queue resume`.
    Reverse(String),
    /// Not at all.
    #[default]
    None,
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undo::Restore => f.write_str("restore"),
            Undo::Rewrite => f.write_str("rewrite"),
            Undo::Correct => f.write_str("correct"),
            Undo::Reverse(command) => f.write_str(command),
            Undo::None => f.write_str("none"),
        }
    }
}

impl Serialize for Undo {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Undo {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(d)?.as_str() {
            "restore" => Undo::Restore,
            "rewrite" => Undo::Rewrite,
            "correct" => Undo::Correct,
            "none" => Undo::None,
            command => Undo::Reverse(command.to_owned()),
        })
    }
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Method and path that would be sent: `POST /admin/v1/queue/clear`. A command, where one is run.
    pub send: String,
    /// Whether it is a command that is run on this machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub run: bool,
    /// To what: an item, a platform, a setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What is there now and what it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// How it can be taken back.
    pub undo: Undo,
}

impl Step {
    /// A step that would send this.
    pub fn new(send: impl Into<String>) -> Self {
        Step { send: send.into(), run: false, target: None, evidence: None, undo: Undo::None }
    }

    /// A step that would run this command here.
    pub fn run(command: impl Into<String>) -> Self {
        Step { run: true, ..Step::new(command) }
    }

    /// To what.
    #[must_use]
    pub fn on(mut self, target: impl ToString) -> Self {
        self.target = Some(target.to_string());
        self
    }

    /// What is there now and what it becomes.
    #[must_use]
    pub fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = Some(evidence.into());
        self
    }

    /// How it can be taken back.
    #[must_use]
    pub fn undo(mut self, undo: Undo) -> Self {
        self.undo = undo;
        self
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.send)?;
        if let Some(target) = &self.target {
            write!(f, "  {target}")?;
        }
        if let Some(evidence) = &self.evidence {
            write!(f, "  ({evidence})")?;
        }
        Ok(())
    }
}

/// The context a plan is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanContext {
    /// Its name.
    pub name: String,
    /// Where it points.
    pub url: String,
    /// Its environment word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// A change, described whole.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The context; the guard fills it in.
    pub(super) context: PlanContext,
    /// What happens, as a command says it: `reset the notion circuit`.
    pub(super) title: String,
    /// The verb: `circuit reset`.
    pub(super) verb: &'static str,
    /// Effect class: `M1`, `M2`, `M3`.
    #[serde(serialize_with = "class_word")]
    pub(super) class: Class,
    /// How many things are changed.
    pub(super) items: u64,
    /// Whether everything can be taken back.
    pub(super) undoable: bool,
    /// What to know before answering.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
    pub(super) steps: Vec<Step>,
    /// Pausing stops damage; it never asks.
    #[serde(skip)]
    pub(super) brake: bool,
    /// Not writing it down must not hold it up.
    #[serde(skip)]
    pub(super) urgent: bool,
    #[serde(skip)]
    pub(super) change: ChangeArgs,
    #[serde(skip)]
    pub(super) subject: Option<String>,
    #[serde(skip)]
    direct: bool,
    #[serde(skip)]
    pub(super) local: bool,
    #[serde(skip)]
    counted: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn class_word<S: serde::Serializer>(class: &Class, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(class.as_str())
}

impl Plan {
    /// An empty plan of a verb in the table, with the flags it was called with. Its effect class is the table's.
    pub fn new(verb: &'static str, title: impl Into<String>, change: &ChangeArgs) -> Self {
        let class = crate::aliases::find(verb).map_or(Class::M3, |v| v.class);
        Plan {
            context: PlanContext::default(),
            title: title.into(),
            verb,
            class,
            items: 0,
            undoable: true,
            notes: Vec::new(),
            steps: Vec::new(),
            brake: false,
            urgent: false,
            change: change.clone(),
            subject: None,
            direct: false,
            local: false,
            counted: false,
        }
    }

    /// Adds a step. Each counts as one item unless [`Plan::items`] says otherwise.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.undoable &= step.undo != Undo::None;
        if !self.counted {
            self.items += 1;
        }
        self.steps.push(step);
        self
    }

    /// Adds steps.
    #[must_use]
    pub fn steps(self, steps: impl IntoIterator<Item = Step>) -> Self {
        steps.into_iter().fold(self, Plan::step)
    }

    /// How many things are changed, when that is not the number of steps.
    #[must_use]
    pub fn items(mut self, items: u64) -> Self {
        self.items = items;
        self.counted = true;
        self
    }

    /// Another class than the verb's: a single call can be milder or harsher than its verb.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Marks what cannot be taken back although each of its steps can.
    #[must_use]
    pub fn irreversible(mut self) -> Self {
        self.undoable = false;
        self
    }

    /// Marks the brake: `pause all`, `queue pause`.
    #[must_use]
    pub fn brake(mut self) -> Self {
        self.brake = true;
        self
    }

    /// Marks what stops damage and asks all the same: a full disk holds it up as little as the brake.
    #[must_use]
    pub fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    /// Marks a change that goes straight to the platforms: it works with the orchestrator down.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    /// Where it is to be kept instead of being executed.
    pub fn kept_in(&self) -> Option<&Path> {
        self.change.save_plan.as_deref()
    }

    /// It as it is kept in a file, for a command that does it as a whole.
    pub fn saved(&self, command: Vec<String>, (context, url): (String, String), now: Time) -> SavedPlan<WholePlan> {
        SavedPlan {
            verb: self.verb.to_owned(),
            title: self.title.clone(),
            context,
            url,
            created_at: now,
            expires_at: SavedPlan::<WholePlan>::expiry(now),
            plan: WholePlan { command, steps: self.steps.clone() },
        }
    }

    /// Its steps.
    pub fn steps_in_order(&self) -> &[Step] {
        &self.steps
    }

    /// Marks a change of this machine's own files: no orchestrator is asked about it, and no context forbids it.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// Whether it only changes this machine's own files.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// How many things are changed.
    pub fn count(&self) -> u64 {
        self.items
    }

    /// The same, to be shown and not executed.
    #[must_use]
    pub fn dry(mut self) -> Self {
        self.change.dry_run = true;
        self.change.save_plan = None;
        self
    }

    /// Whether it goes straight to the platforms.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// What is changed, for the lease: `notion database 1f0c`. By default the one target, or the noun of the verb.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The subject that nobody else may be changing at the same time; `None` for what never gets in anybody's way.
    pub(super) fn held(&self) -> Option<String> {
        if self.brake || self.urgent || !matches!(self.class, Class::M2 | Class::M3) {
            return None;
        }
        let subject = self.subject.clone().unwrap_or_else(|| {
            let noun = self.verb.split(' ').next().unwrap_or_default();
            match self.steps.as_slice() {
                [Step { target: Some(target), .. }] => format!("{noun} {target}"),
                _ => noun.to_owned(),
            }
        });
        Some(format!("{subject} in {}", self.context.name))
    }

    /// Adds what to know before answering.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Report for Plan {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let environment = self.context.environment.as_deref().unwrap_or("unknown environment");
        let production = is_production(environment);
        let word = if production { environment.to_uppercase() } else { environment.to_owned() };
        let (title, place) = (shown(&self.title), &self.context);
        let head = format!("plan: {title} in {} ({word}) {}", place.name, place.url);
        for line in page.width.map_or_else(|| vec![head.clone()], |width| folded(&head, width, HANG)) {
            let painted = if production { page.paint(&word, Tone::Bad) } else { word.clone() };
            page.line(line.replacen(&format!("({word})"), &format!("({painted})"), 1))?;
        }
        let shown = if self.change.all { self.steps.len() } else { SHOWN.min(self.steps.len()) };
        for step in &self.steps[..shown] {
            let would = match (step.run, self.local) {
                (true, _) => "would run",
                (false, true) => "would",
                (false, false) => "would send",
            };
            let undo = match &step.undo {
                // To be pasted: it stays in one piece.
                Undo::Reverse(command) if command.starts_with("opsctl ") => format!("`{command}`"),
                how => how.to_string(),
            };
            page.folded(&format!("  {would} {step}  undo: {undo}"), HANG)?;
        }
        if shown < self.steps.len() {
            page.line(format_args!("  ... and {} more (--all)", self.steps.len() - shown))?;
        }
        for note in &self.notes {
            page.folded(&format!("  note: {note}"), HANG)?;
        }
        let plural = if self.items == 1 { "" } else { "s" };
        let undo = match self.undoable {
            false => "cannot be undone",
            true if self.steps.iter().any(|step| step.undo == Undo::Correct) => "can only be corrected",
            true => "can be undone",
        };
        let asks = match question(self) {
            Ask::Nothing => "no question",
            Ask::YesNo => "asks y/N",
            Ask::Count => "asks for the count",
            Ask::Name => "asks for the context's name",
        };
        page.line(format_args!("{} change{plural}, class {}, {undo}, {asks}", self.items, self.class.as_str()))
    }
}

/// Whether an environment word means production.
pub fn is_production(environment: &str) -> bool {
    matches!(environment.to_ascii_lowercase().as_str(), "production" | "prod" | "live")
}
