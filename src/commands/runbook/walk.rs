//! Walking a procedure: show, ask, run, judge, write down.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::run::One;
use crate::aliases::Class;
use crate::app::App;
use crate::cli::{self, Ran};
use crate::error::{Fault, Kind};
use crate::guard::{Lease, operator};
use crate::output::Tone;
use crate::runbook::live::{self, Live};
use crate::runbook::record::{LineRecord, Run, RunState, Runs, StepRecord, StepState, kept};
use crate::runbook::text::{placeholders, verb_of, words};
use crate::runbook::{Section, Step};

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its last step is over.
    Last,
    /// Somebody stopped it.
    Stopped,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spent {
    /// In the steps' commands, their questions included.
    pub(super) commands_ms: u64,
    /// In the run's own questions.
    pub(super) answers_ms: u64,
    /// All of it.
    pub(super) total_ms: u64,
}

/// What somebody answered.
enum Choice {
    Run,
    Verify,
    Skip,
    Why,
    Stop,
}

/// A run under way.
pub(super) struct Walk<'a> {
    app: &'a App,
    section: &'a Section,
    steps: Vec<&'a Step>,
    runs: Runs,
    run: Run,
    lease: Option<Lease>,
    commands: Duration,
    answers: Duration,
    started: Instant,
    /// Whether the way to go on has been said, or does not need to be.
    said: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(app: &'a App, section: &'a Section, runs: Runs, run: Run, lease: Option<Lease>) -> Self {
        Walk {
            app,
            section,
            steps: section.steps().collect(),
            runs,
            run,
            lease,
            commands: Duration::ZERO,
            answers: Duration::ZERO,
            started: Instant::now(),
            said: false,
        }
    }

    /// What is left of it when it is over.
    pub(super) fn done(mut self) -> (Run, Spent, Runs) {
        self.said = true;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let total_ms = ms(self.started.elapsed());
        let spent = Spent { commands_ms: ms(self.commands), answers_ms: ms(self.answers), total_ms };
        (self.run.clone(), spent, Runs::new(&self.app.settings.places))
    }

    /// Every step that is not over, in order.
    pub(super) async fn remaining(&mut self) -> anyhow::Result<End> {
        self.run.state = RunState::Open;
        self.run.ended_at = None;
        if self.run.over() > 0 {
            self.app.note(format!(
                "{} goes on: {} of {} steps are over",
                self.run.id,
                self.run.over(),
                self.steps.len()
            ));
        }
        while let Some(at) = self.run.next() {
            if let Some(lease) = &self.lease {
                lease.at(&format!("step {} of {}: {}", at + 1, self.steps.len(), self.steps[at].title));
            }
            let one = One { section: self.section, at };
            self.app.output.say(&crate::output::draw(&one, self.app.output.stderr)?);
            if let End::Stopped = self.step(at).await? {
                self.close(RunState::Stopped);
                return Ok(End::Stopped);
            }
        }
        self.close(RunState::Finished);
        Ok(End::Last)
    }

    fn close(&mut self, state: RunState) {
        self.run.state = state;
        self.run.ended_at = Some(self.app.now());
        self.save();
    }

    /// One step until it is over, or until somebody stops.
    async fn step(&mut self, at: usize) -> anyhow::Result<End> {
        let step = self.steps[at];
        let in_doubt = self.run.steps[at].state == StepState::Begun;
        if in_doubt {
            let last = self.run.steps[at].lines.iter().rev().find(|line| line.code.is_none());
            let which = last.map(|line| format!("`opsctl {}` has no recorded end", line.line));
            self.app.note(which.unwrap_or_else(|| "this step was begun and not ended".to_owned()));
        }
        let mut bad = false;
        loop {
            match self.choice(step, in_doubt).await? {
                Choice::Stop => return Ok(End::Stopped),
                Choice::Why => self.why(step)?,
                Choice::Verify => {
                    if let Some(line) = &step.verify {
                        self.line(at, line, &[0]).await;
                    }
                }
                Choice::Skip => {
                    let note = self.text("Why? (Enter for nothing)").await?;
                    // A step that went wrong is not one that nobody tried.
                    self.over(at, if bad { StepState::Failed } else { StepState::Skipped }, None, note);
                    return Ok(End::Last);
                }
                Choice::Run if step.lines.is_empty() => {
                    let me = operator(&self.app.settings.env);
                    let by = self.text(&format!("Who did it? (Enter for {me})")).await?;
                    let note = self.text("What came of it? (Enter for nothing)").await?;
                    self.over(at, StepState::Done, by, note);
                    return Ok(End::Last);
                }
                Choice::Run => {
                    if self.lines(at).await? {
                        self.over(at, StepState::Done, None, None);
                        return Ok(End::Last);
                    }
                    bad = true;
                }
            }
        }
    }

    /// The commands of a step, in order; whether all ended as they should. What went well is not run again.
    async fn lines(&mut self, at: usize) -> anyhow::Result<bool> {
        let step = self.steps[at];
        self.run.steps[at].state = StepState::Begun;
        let went_well = |line: &String| {
            let line = live::fill(line, &self.run.values);
            self.run.steps[at].lines.iter().any(|record| record.ok && record.line == line)
        };
        let from = step.lines.iter().position(|line| !went_well(line)).unwrap_or(0);
        for line in &step.lines[from..] {
            let Some(line) = self.filled(line).await? else { return Ok(false) };
            if !self.line(at, &line, &step.ok).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs a line, judges it, writes it down.
    async fn line(&mut self, at: usize, line: &str, ok: &[u8]) -> bool {
        let output = &self.app.output;
        output.say(&format!("{}\n", output.stderr.paint(&format!("$ opsctl {line}"), Tone::Strong)));
        let begun = LineRecord {
            line: line.to_owned(),
            at: self.app.now(),
            code: None,
            ok: false,
            took_ms: 0,
            answer: String::new(),
        };
        self.run.steps[at].lines.push(begun);
        self.save();
        let Ran { code, text, took } = cli::run_inside(self.app, words(line)).await;
        self.commands += took;
        let good = ok.contains(&code);
        if let Some(record) = self.run.steps[at].lines.last_mut() {
            record.code = Some(code);
            record.ok = good;
            record.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            record.answer = kept(&text);
        }
        self.save();
        let meaning = Kind::ALL.iter().find(|kind| kind.exit_code() == code);
        let meaning = meaning.map(|kind| format!(" ({})", kind.word().replace('_', " "))).unwrap_or_default();
        let judged = match (good, code) {
            (true, 0) => "OK",
            (true, _) => "noted, the run goes on",
            (false, _) => "not as it should be",
        };
        output.note(&format!("ended with {code}{meaning} after {}: {judged}", crate::analysis::span(took)));
        good
    }

    /// The line with a value for every placeholder; `None` when somebody gave none.
    async fn filled(&mut self, line: &str) -> anyhow::Result<Option<String>> {
        let missing: Vec<String> = placeholders(line)
            .into_iter()
            .filter(|name| !self.run.values.contains_key(*name))
            .map(str::to_owned)
            .collect();
        let known = match missing.is_empty() {
            true => Live::default(),
            // Without an answer nothing is proposed.
            false => Live::look(self.app).await.unwrap_or_default(),
        };
        for name in missing {
            let proposed = known.values.get(&name);
            let enter = proposed.map(|value| format!(" (Enter for {value})")).unwrap_or_default();
            let typed = self.text(&format!("Value for <{name}>{enter}:")).await?;
            let Some(value) = typed.or_else(|| proposed.cloned()) else {
                self.app.note(format!("<{name}> has no value; nothing was run"));
                return Ok(None);
            };
            self.run.values.insert(name, value);
        }
        Ok(Some(live::fill(line, &self.run.values)))
    }

    async fn choice(&mut self, step: &Step, in_doubt: bool) -> anyhow::Result<Choice> {
        let verify = step.verify.as_deref().filter(|_| in_doubt);
        let run = if step.lines.is_empty() { "it is done" } else { "run it" };
        let look = verify.map(|line| format!(", v look (opsctl {line})")).unwrap_or_default();
        let question = format!("y {run}, s skip, w why{look}, a abort:");
        loop {
            // End of input is nobody's yes.
            let Some(typed) = self.asked(&question).await? else { return Ok(Choice::Stop) };
            match typed.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(Choice::Run),
                "s" | "skip" => return Ok(Choice::Skip),
                "w" | "why" => return Ok(Choice::Why),
                "v" | "look" if verify.is_some() => return Ok(Choice::Verify),
                "a" | "abort" => return Ok(Choice::Stop),
                _ => self.app.note("answer with one of the letters"),
            }
        }
    }

    /// A line of text; `None` when it is empty.
    async fn text(&mut self, question: &str) -> anyhow::Result<Option<String>> {
        let typed = self.asked(question).await?.unwrap_or_default();
        Ok(Some(typed.trim().to_owned()).filter(|typed| !typed.is_empty()))
    }

    async fn asked(&mut self, question: &str) -> anyhow::Result<Option<String>> {
        let asked = Instant::now();
        let typed = self.app.prompt.text(question).await;
        self.answers += asked.elapsed();
        typed.map_err(|error| match error.kind() {
            std::io::ErrorKind::Interrupted => Fault::new(Kind::Interrupted, "interrupted").into(),
            _ => error.into(),
        })
    }

    /// More than the step's own reason: what its commands do, and how they are judged.
    fn why(&self, step: &Step) -> anyhow::Result<()> {
        let output = &self.app.output;
        output.note(&step.why);
        for line in &step.lines {
            let Some(verb) = verb_of(line) else { continue };
            output.note(&format!("  opsctl {line}: {}", verb.class.effect()));
            if verb.class != Class::R && verb.class != Class::Rx {
                output.note(&format!("    its plan: opsctl {line} --dry-run"));
            }
        }
        if step.ok != [0] {
            let codes: Vec<String> = step.ok.iter().map(u8::to_string).collect();
            output.note(&format!("  the run goes on with exit {}", codes.join(", ")));
        }
        output.note(&format!("  more: {}", self.section.id.command()));
        Ok(())
    }

    fn over(&mut self, at: usize, state: StepState, by: Option<String>, note: Option<String>) {
        let by = by.unwrap_or_else(|| operator(&self.app.settings.env));
        let record: &mut StepRecord = &mut self.run.steps[at];
        record.state = state;
        record.by = Some(by);
        record.note = note;
        record.at = Some(self.app.now());
        self.save();
    }

    /// Writes the run down. A disk that is full must not end it: then nothing could be resumed, and that is said.
    fn save(&self) {
        if let Err(error) = self.runs.save(&self.run) {
            self.app.output.warn(&format!("this run is not written down and cannot be resumed: {error:#}"));
        }
    }
}

impl Drop for Walk<'_> {
    /// However it is left, the way to go on is said.
    fn drop(&mut self) {
        if !self.said {
            let id = self.section.id;
            self.app.output.warn(&format!("stopped in the middle; go on with `opsctl runbook run {id} --resume`"));
        }
    }
}
