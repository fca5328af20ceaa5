//! A run of a procedure on disk: what was done, by whom, and what came of it. Written after every step, so that an
//! interrupted run goes on where it was.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Section, SectionId, Step};
use crate::error::{Fault, Kind};
use crate::files::{read_if_there, write_whole};
use crate::settings::Places;
use crate::wire::Time;

/// Longest answer of a line that is kept, in bytes: its beginning and its end.
const ANSWER: usize = 64 * 1024;

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Somebody walks it, or its process died.
    Open,
    /// Somebody stopped it; it can go on.
    Stopped,
    /// Its last step is over.
    Finished,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not reached.
    Waiting,
    /// Begun; its end is not known.
    Begun,
    /// Done, and as it should be.
    Done,
    /// Left out.
    Skipped,
    /// It did not go well, and somebody decided to go on.
    Failed,
}

impl StepState {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            StepState::Waiting => "waiting",
            StepState::Begun => "begun",
            StepState::Done => "done",
            StepState::Skipped => "skipped",
            StepState::Failed => "failed",
        }
    }

    /// Whether nothing more is to be done about it.
    pub const fn is_over(self) -> bool {
        matches!(self, StepState::Done | StepState::Skipped | StepState::Failed)
    }
}

/// A command that was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineRecord {
    /// With its values, without `opsctl`.
    pub line: String,
    /// When it was begun.
    pub at: Time,
    /// How it ended; absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// Whether the step goes on with that.
    pub ok: bool,
    /// How long it took.
    pub took_ms: u64,
    /// What it answered, without secrets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// What is done.
    pub title: String,
    /// What became of it.
    pub state: StepState,
    /// Who did it, skipped it, or did it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Every command, repeated ones too.
    #[serde(default)]
    pub lines: Vec<LineRecord>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// `outage-20261130-015600`.
    pub id: String,
    /// Of which procedure.
    pub section: SectionId,
    /// In which context.
    pub context: String,
    /// Where that pointed.
    pub url: String,
    /// Who began it.
    pub operator: String,
    /// When.
    pub started_at: Time,
    /// When it was finished or stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Where it is.
    pub state: RunState,
    /// What was given for the placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// One for each of the procedure's.
    pub steps: Vec<StepRecord>,
}

impl Run {
    /// A run of which nothing is done.
    pub fn begin(section: &Section, context: &str, url: String, operator: String, now: Time) -> Run {
        let waiting = |step: &Step| StepRecord {
            title: step.title.clone(),
            state: StepState::Waiting,
            by: None,
            at: None,
            note: None,
            lines: Vec::new(),
        };
        let digits: String = now.to_string().chars().filter(char::is_ascii_digit).take(17).collect();
        Run {
            // To the millisecond: two of them never share a name.
            id: format!("{}-{}-{}", section.id, &digits[..8], &digits[8..]),
            section: section.id,
            context: context.to_owned(),
            url,
            operator,
            started_at: now,
            ended_at: None,
            state: RunState::Open,
            values: BTreeMap::new(),
            steps: section.steps().map(waiting).collect(),
        }
    }

    /// The first step that is not over.
    pub fn next(&self) -> Option<usize> {
        self.steps.iter().position(|step| !step.state.is_over())
    }

    /// How many steps are over.
    pub fn over(&self) -> usize {
        self.steps.iter().filter(|step| step.state.is_over()).count()
    }

    /// Whether a step did not go well.
    pub fn has_failed(&self) -> bool {
        self.steps.iter().any(|step| step.state == StepState::Failed)
    }
}

/// An answer as it is kept.
pub fn kept(answer: &str) -> String {
    if answer.len() <= ANSWER {
        return answer.to_owned();
    }
    let half = ANSWER / 2;
    let boundary = |at: &usize| answer.is_char_boundary(*at);
    let head = (0..=half).rev().find(boundary).unwrap_or(0);
    let tail = (answer.len() - half..answer.len()).find(boundary).unwrap_or(answer.len());
    format!("{}\n... {} bytes left out ...\n{}", &answer[..head], tail - head, &answer[tail..])
}

/// The runs of this machine.
pub struct Runs {
    directory: PathBuf,
}

impl Runs {
    /// Those in the state directory.
    pub fn new(places: &Places) -> Runs {
        Runs { directory: places.runs() }
    }

    /// Where a run's transcript is.
    pub fn transcript(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.md"))
    }

    /// Writes a run down, for its owner only and durably.
    pub fn save(&self, run: &Run) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(run)?;
        text.push(b'\n');
        write_whole(&self.file(&run.id), &text, true)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    /// A run by its id.
    pub fn read(&self, id: &str) -> anyhow::Result<Run> {
        let plain = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let text = if plain { read_if_there(&self.file(id))? } else { None };
        let Some(text) = text else {
            return Err(Fault::new(Kind::NotFound, format!("there is no run `{id}`"))
                .because("this machine has no record of it")
                .hint("opsctl runbook transcript --list")
                .into());
        };
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", self.file(id).display()))
    }

    /// All of them, newest first; a damaged record is left out.
    pub fn all(&self) -> anyhow::Result<Vec<Run>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.directory.display())),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let ids =
            names.filter(|name| !name.starts_with('.')).filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
        let mut runs: Vec<Run> = ids.filter_map(|id| self.read(&id).ok()).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.started_at));
        Ok(runs)
    }

    /// The newest run of a procedure that is not finished, which this context may go on with.
    pub fn to_resume(&self, section: SectionId, context: &str) -> anyhow::Result<Run> {
        let mut open: Vec<Run> = self.all()?;
        open.retain(|run| run.section == section && run.state != RunState::Finished);
        if let Some(at) = open.iter().position(|run| run.context == context) {
            return Ok(open.swap_remove(at));
        }
        Err(match open.first() {
            Some(run) => Fault::new(Kind::Conflict, format!("{} belongs to another context", run.id))
                .because(format!("it was begun in `{}`, and `{context}` is in use", run.context))
                .hint(format!("opsctl runbook run {section} --resume --context {}", run.context)),
            None => Fault::new(Kind::NotFound, format!("no run of {section} is waiting to go on"))
                .because("each one that was begun here is finished")
                .hint(format!("opsctl runbook run {section}")),
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Time = Time(1_795_000_000_123);

    fn run(context: &str, now: Time) -> Run {
        let section = Section::read(SectionId::Outage).unwrap();
        Run::begin(&section, context, "http://x".into(), "ana@bastion".into(), now)
    }

    #[test]
    fn a_run_is_private_and_found_again() {
        let scratch = crate::server::testing::scratch("runs");
        let runs = Runs::new(&Places::under(scratch.path()));
        assert!(runs.all().unwrap().is_empty());
        let first = run("eu", NOW);
        let mut second = run("eu", NOW + std::time::Duration::from_millis(1));
        assert_ne!(first.id, second.id);
        runs.save(&first).unwrap();
        second.steps[0].state = StepState::Done;
        second.state = RunState::Stopped;
        runs.save(&second).unwrap();
        let mode = std::fs::metadata(runs.file(&first.id)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = runs.to_resume(SectionId::Outage, "eu").unwrap();
        assert_eq!((found.id.as_str(), found.next(), found.over()), (second.id.as_str(), Some(1), 1));
    }

    #[test]
    fn another_contexts_run_is_not_gone_on_with() {
        let scratch = crate::server::testing::scratch("runs");
        let runs = Runs::new(&Places::under(scratch.path()));
        let code = |context: &str| {
            let error = runs.to_resume(SectionId::Outage, context).unwrap_err();
            crate::error::Explained::from_error(&error).kind.exit_code()
        };
        assert_eq!(code("eu"), 5);
        runs.save(&run("us", NOW)).unwrap();
        assert_eq!(code("eu"), 6);
        runs.save(&Run { state: RunState::Finished, ..run("us", NOW) }).unwrap();
        assert_eq!(code("us"), 5);
        assert_eq!(crate::error::Explained::from_error(&runs.read("../x").unwrap_err()).kind.exit_code(), 5);
    }

    #[test]
    fn of_a_long_answer_both_ends_are_kept() {
        let long = format!("begin{}end", "é".repeat(ANSWER));
        let text = kept(&long);
        assert!(text.starts_with("begin") && text.ends_with("end") && text.len() < ANSWER + 100);
        assert_eq!(kept("short"), "short");
    }
}
