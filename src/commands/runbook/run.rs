//! `opsctl runbook run`: a procedure, walked from its first step to its last.

use std::io;
use std::path::PathBuf;

use clap::Args;
use serde::{Serialize, Serializer};

use super::draw;
use super::walk::{End, Spent, Walk};
use crate::app::App;
use crate::error::{Fault, Kind, Outcome};
use crate::files::write_whole;
use crate::guard::{Lease, operator};
use crate::output::{Format, Page, Report, Table};
use crate::runbook::record::{Run, RunState, Runs, StepRecord};
use crate::runbook::text::verb_of;
use crate::runbook::{Section, SectionId, Step, transcript};

/// Walk an emergency procedure step by step
///
/// Each step is shown with its reason before anything happens: y runs its commands, s skips it, w says more, a stops the
/// run. The commands are those that you would type, and ask what they always ask; how each ends is judged. After every
/// step the run is written down, so that `--resume` goes on where it was, and at the end there is a transcript for the
/// post-mortem. What only a person can do is recorded with who did it. `--dry-run` shows the whole path and asks nobody.
///
/// Example: opsctl runbook run outage
#[derive(Args, Debug)]
pub struct RunArgs {
    /// outage, corruption or security
    #[arg(value_name = "PROCEDURE", value_parser = procedure)]
    procedure: SectionId,

    /// Show every step and send nothing
    #[arg(long)]
    dry_run: bool,

    /// Go on with the run that was interrupted or stopped
    #[arg(long, conflicts_with = "dry_run")]
    resume: bool,
}

fn procedure(typed: &str) -> Result<SectionId, Fault> {
    let id: SectionId = typed.parse()?;
    if id.is_procedure() {
        return Ok(id);
    }
    Err(Fault::usage(format!("{id} is no procedure"))
        .because("an issue has ways to help, each under its condition, and not one path")
        .hint(id.command()))
}

impl RunArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let section = Section::read(self.procedure)?;
        if self.dry_run {
            app.emit(&Path::of(&section))?;
            app.note("nothing was sent (--dry-run)");
            return Ok(Outcome::Done);
        }
        let context = app.settings.context()?.name.clone();
        // The outage may be that it is not reachable.
        let place = app.address().await.map_or_else(|_| "not reachable".to_owned(), |(_, url)| url);
        let runs = Runs::new(&app.settings.places);
        let run = match self.resume {
            true => {
                let run = runs.to_resume(section.id, &context)?;
                if run.steps.len() != section.steps().count() {
                    return Err(Fault::new(Kind::Conflict, format!("{} cannot go on", run.id))
                        .because("it was begun by a version with other steps")
                        .hint(format!("opsctl runbook transcript {}, then begin anew", run.id))
                        .into());
                }
                run
            }
            false => Run::begin(&section, &context, place, operator(&app.settings.env), app.now()),
        };
        if !app.prompt.can_ask() {
            let at = run.next().unwrap_or(0);
            app.output.say(&crate::output::draw(&One { section: &section, at }, app.output.stderr)?);
            return Err(Fault::new(Kind::Declined, format!("{} needs somebody to answer", section.id))
                .because("stdin and stderr are not both terminals; nothing was run")
                .hint(format!("opsctl runbook run {} --dry-run shows the whole path", section.id))
                .into());
        }
        let subject = format!("runbook {} in {context}", section.id);
        let doing = format!("runbook run {}", section.id);
        let lease = match Lease::take(&app.settings.places, &subject, &doing, &operator(&app.settings.env), app.now()) {
            Ok(lease) => Some(lease),
            Err(error) if error.is::<Fault>() => return Err(error),
            // A full disk must not keep anybody from an outage.
            Err(error) => {
                app.output.warn(&format!("a second run could not be kept out: {error:#}"));
                None
            }
        };
        let mut walk = Walk::new(app, &section, runs, run, lease);
        let end = walk.remaining().await?;
        let (run, spent, runs) = walk.done();
        finish(app, &section, &runs, run, spent, end)
    }
}

/// Writes the transcript and answers.
fn finish(app: &App, section: &Section, runs: &Runs, run: Run, spent: Spent, end: End) -> anyhow::Result<Outcome> {
    let path = runs.transcript(&run.id);
    let text = app.output.redactor.redact(&transcript::markdown(section, &run)).into_owned();
    let written = match write_whole(&path, text.as_bytes(), true) {
        Ok(()) => Some(path),
        Err(error) => {
            app.output.warn(&format!("no transcript: {error:#}"));
            None
        }
    };
    let failed = run.has_failed();
    let (over, all, id) = (run.over(), run.steps.len(), run.id.clone());
    app.emit(&Answer { run, spent, transcript: written })?;
    match end {
        End::Stopped => Err(Fault::new(Kind::Declined, format!("{} was stopped", section.id))
            .because(format!("{over} of its {all} steps are over"))
            .hint(format!("opsctl runbook run {} --resume goes on with {id}", section.id))
            .into()),
        End::Last if failed => Ok(Outcome::SomeFailed),
        End::Last => Ok(Outcome::Done),
    }
}

/// The whole path, for `--dry-run`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Path<'a> {
    procedure: SectionId,
    title: &'a str,
    steps: Vec<PathStep<'a>>,
}

#[derive(Serialize)]
struct PathStep<'a> {
    #[serde(flatten)]
    step: &'a Step,
    /// What each command does to the world.
    effects: Vec<&'static str>,
}

impl<'a> Path<'a> {
    fn of(section: &'a Section) -> Self {
        let effect = |line: &String| verb_of(line).map_or("unknown", |verb| verb.class.effect());
        let step = |step: &'a Step| PathStep { step, effects: step.lines.iter().map(effect).collect() };
        Path { procedure: section.id, title: &section.title, steps: section.steps().map(step).collect() }
    }
}

impl Report for Path<'_> {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.heading(&format!("{}: {}", self.procedure.label(), self.title))?;
        for (number, PathStep { step, effects }) in self.steps.iter().enumerate() {
            page.blank()?;
            draw::step(page, &(number + 1).to_string(), step, &[])?;
            let mut effects = effects.clone();
            effects.dedup();
            page.line(format_args!(
                "    {}",
                if effects.is_empty() { "done by a person" } else { effects.last().copied().unwrap_or_default() }
            ))?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.steps.iter().map(serde_json::to_value).collect()
    }
}

/// One step, as it is shown before its question.
pub(super) struct One<'a> {
    pub(super) section: &'a Section,
    pub(super) at: usize,
}

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.section.steps().nth(self.at).serialize(serializer)
    }
}

impl Report for One<'_> {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let all = self.section.steps().count();
        page.blank()?;
        page.heading(&format!("{}, step {} of {all}", self.section.heading(), self.at + 1))?;
        match self.section.steps().nth(self.at) {
            Some(step) => draw::step(page, "", step, &[]),
            None => Ok(()),
        }
    }
}

/// What became of a run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(flatten)]
    run: Run,
    #[serde(flatten)]
    spent: Spent,
    transcript: Option<PathBuf>,
}

impl Report for Answer {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        draw_run(page, &self.run)?;
        page.blank()?;
        let span = |ms: u64| crate::analysis::span(std::time::Duration::from_millis(ms));
        page.pair("Run", &self.run.id)?;
        page.pair("In commands", span(self.spent.commands_ms))?;
        page.pair("In questions", span(self.spent.answers_ms))?;
        match &self.transcript {
            Some(path) => page.pair("Transcript", path.display()),
            None => Ok(()),
        }
    }
}

pub(super) fn draw_run(page: &mut Page<'_>, run: &Run) -> io::Result<()> {
    let mut table = Table::new(&[">#", "STEP", "STATE", "COMMANDS", "BY"]);
    for (number, step) in run.steps.iter().enumerate() {
        let by = step.by.clone().unwrap_or_default();
        table.row([(number + 1).to_string(), step.title.clone(), step.state.as_str().to_owned(), ends(step), by]);
    }
    page.table(&table)
}

/// How the commands of a step ended: `0 0 3`.
fn ends(step: &StepRecord) -> String {
    let codes = step.lines.iter().map(|line| line.code.map_or("?".to_owned(), |code| code.to_string()));
    codes.collect::<Vec<_>>().join(" ")
}

/// Print the transcript of a run
///
/// Markdown for the post-mortem: every step with its commands and what they answered, how each was judged, who decided
/// what and when. Without RUN it is the newest one. Secrets are not in it.
///
/// Example: opsctl runbook transcript --file post-mortem.md
#[derive(Args, Debug)]
pub struct TranscriptArgs {
    /// Which run; the newest one unless told
    #[arg(value_name = "RUN")]
    run: Option<String>,

    /// List the runs of this machine
    #[arg(long, conflicts_with_all = ["run", "file"])]
    list: bool,

    /// File to write
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(Vec<Run>);

impl Report for Listed {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["RUN", "CONTEXT", "BEGUN", "BY", "STATE", "STEPS"]);
        for run in &self.0 {
            let state = match run.state {
                RunState::Open => "open",
                RunState::Stopped => "stopped",
                RunState::Finished => "finished",
            };
            table.row([
                run.id.clone(),
                run.context.clone(),
                page.time(run.started_at),
                run.operator.clone(),
                state.to_owned(),
                format!("{} of {}", run.over(), run.steps.len()),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No procedure was run from here.".into())
    }
}

/// A run with its page.
#[derive(Serialize)]
struct Transcript {
    #[serde(flatten)]
    run: Run,
    markdown: String,
}

impl Report for Transcript {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(self.markdown.trim_end())
    }
}

impl TranscriptArgs {
    pub(super) fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let runs = Runs::new(&app.settings.places);
        if self.list {
            app.emit(&Listed(runs.all()?))?;
            return Ok(Outcome::Done);
        }
        let run = match &self.run {
            Some(id) => runs.read(id)?,
            None => runs.all()?.into_iter().next().ok_or_else(|| {
                Fault::new(Kind::NotFound, "there is no run to tell of")
                    .because("no procedure was run from here")
                    .hint("opsctl runbook run outage --dry-run")
            })?,
        };
        let markdown = transcript::markdown(&Section::read(run.section)?, &run);
        if let Some(file) = &self.file {
            let file = std::path::absolute(file)?;
            write_whole(&file, app.output.redactor.redact(&markdown).as_bytes(), true)?;
            app.note(format!("wrote {}", file.display()));
            return Ok(Outcome::Done);
        }
        if app.output.format == Format::Table {
            app.output.write(&markdown)?;
        } else {
            app.emit(&Transcript { run, markdown })?;
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_procedure_is_walked() {
        assert_eq!(procedure("outage").unwrap(), SectionId::Outage);
        assert_eq!(procedure("issue 2").unwrap_err().hint.as_deref(), Some("opsctl runbook show 2"));
    }

    #[test]
    fn the_path_says_what_each_command_does() {
        let section = Section::read(SectionId::Corruption).unwrap();
        let path = serde_json::to_value(Path::of(&section)).unwrap();
        assert_eq!(path["steps"][0]["effects"][0], "disrupts service or state, recoverable (M2)");
        assert_eq!(path["steps"].as_array().unwrap().len(), section.steps().count());
    }
}
