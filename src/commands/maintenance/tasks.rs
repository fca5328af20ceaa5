//! `opsctl maintenance weekly|monthly|quarterly|done|status`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aliases;
use crate::analysis::Verdict;
use crate::analysis::tasks::{Cadence, TASKS, Task, Who, task, watch};
use crate::app::App;
use crate::child;
use crate::commands::monitoring::{Checked, Item, MonitoringArgs};
use crate::error::{Fault, Kind, Outcome};
use crate::files::{read_if_there, write_whole};
use crate::guard::operator;
use crate::output::{Page, Report, Table, Tone};
use crate::wire::Time;

/// The longest that one task may take.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Run the weekly tasks, and list what a person has to do
///
/// What can be looked at is run and judged: failed actions, fallback usage, performance, a recovery drill on a scratch
/// copy. What a person has to do is due from Monday until `opsctl maintenance done TASK`. Nothing is changed. Ends with 3
/// while there is a finding or a task is due.
///
/// Example: opsctl maintenance weekly --notify 'slack:#ops-alerts'
#[derive(Args, Debug)]
pub struct WeeklyArgs {
    #[command(flatten)]
    monitoring: MonitoringArgs,
}

/// Run the monthly tasks, and list what a person has to do
///
/// Performance trends, retry policies, new issues, capacity and the last backup are run and judged. Updating the runbook
/// and the service's dependencies and rotating keys are a person's: due from the first Monday of the month until `opsctl
/// maintenance done TASK`. No key is rotated. Ends with 3 while there is a finding or a task is due.
///
/// Example: opsctl maintenance monthly
#[derive(Args, Debug)]
pub struct MonthlyArgs {
    #[command(flatten)]
    monitoring: MonitoringArgs,
}

/// Run the quarterly tasks, and list what a person has to do
///
/// Access, settings and state are audited and response times measured; audit, load test, penetration test, documentation
/// and training are signed off by a person: due from the first Monday of the quarter until `opsctl maintenance done
/// TASK`. Ends with 3 while there is a finding or a task is due.
///
/// Example: opsctl maintenance quarterly
#[derive(Args, Debug)]
pub struct QuarterlyArgs {
    #[command(flatten)]
    monitoring: MonitoringArgs,
}

/// Write down that a person's task is done
///
/// It is due again in the next period. On this machine, where the schedule runs.
///
/// Example: opsctl maintenance done rotate-keys --note "all five, INC-311"
#[derive(Args, Debug)]
pub struct DoneArgs {
    /// The task, as `maintenance status` names it
    task: String,

    /// What was done
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Show what is due of the weekly, monthly and quarterly tasks
///
/// Nothing is run. A task of the program's is due when it has not run since its period began. Ends with 3 when any is.
///
/// Example: opsctl maintenance status
#[derive(Args, Debug)]
pub struct StatusArgs {}

/// What is remembered of the tasks of a context, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Record(BTreeMap<String, Past>);

/// The last time.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Past {
    at: Time,
    /// The person, or the machine's user for what ran by itself.
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    /// What was done or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Record {
    fn file(app: &App) -> PathBuf {
        app.settings.places.maintenance().join(format!("{}.json", app.settings.context_name.value))
    }

    fn read(app: &App) -> anyhow::Result<Self> {
        let path = Record::file(app);
        let Some(text) = read_if_there(&path)? else { return Ok(Record::default()) };
        // What was signed off must not be forgotten without a word.
        serde_json::from_str(&text).with_context(|| {
            Fault::new(Kind::Failed, format!("{} is damaged", path.display()))
                .hint("move it away; every task is due again then")
        })
    }

    fn keep(&self, app: &App) -> anyhow::Result<()> {
        write_whole(&Record::file(app), &serde_json::to_vec_pretty(self)?, true)
    }

    /// The last time, if that was in the period of today.
    fn this_period(&self, task: &Task, now: Time) -> Option<&Past> {
        self.0.get(task.name).filter(|past| day(past.at) >= task.cadence.began(day(now)))
    }
}

/// The day here.
fn day(at: Time) -> Date {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    TimeZone::system().to_datetime(at).date()
}

/// One task as it stands.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    task: &'static str,
    title: &'static str,
    cadence: Cadence,
    /// `OK`, `WARN`, `FAIL`, `UNKNOWN`, `DUE`, `DONE`.
    state: &'static str,
    /// Whether a person does it.
    by_hand: bool,
    command: String,
    /// What was found, or done.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// When it was last done.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by: Option<String>,
    #[serde(skip)]
    verdict: Verdict,
}

impl Row {
    fn new(task: &'static Task, state: &'static str, verdict: Verdict, past: Option<&Past>) -> Self {
        Row {
            task: task.name,
            title: task.title,
            cadence: task.cadence,
            state,
            by_hand: matches!(task.who, Who::Person(_)),
            command: task.command(),
            found: past.and_then(|past| past.note.clone()),
            last: past.map(|past| past.at),
            last_by: past.map(|past| past.by.clone()),
            verdict,
        }
    }

    /// A task of a person's, and one that was not run just now.
    fn standing(task: &'static Task, record: &Record, now: Time) -> Self {
        match record.this_period(task, now) {
            Some(past) => {
                let verdict = past.verdict.unwrap_or(Verdict::Ok);
                let state = if past.verdict.is_some() { verdict.as_str() } else { "DONE" };
                Row::new(task, state, verdict, Some(past))
            }
            None => Row { found: None, ..Row::new(task, "DUE", Verdict::Warn, record.0.get(task.name)) },
        }
    }
}

impl WeeklyArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        run(app, Cadence::Weekly, self.monitoring).await
    }
}

impl MonthlyArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        run(app, Cadence::Monthly, self.monitoring).await
    }
}

impl QuarterlyArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        run(app, Cadence::Quarterly, self.monitoring).await
    }
}

async fn run(app: &App, cadence: Cadence, monitoring: MonitoringArgs) -> anyhow::Result<Outcome> {
    let begun = monitoring.begin(app).await;
    // It moves the clock to the sandbox's; who does not answer is a finding of each task.
    let _ = app.target().await;
    let mut record = Record::read(app)?;
    let tasks: Vec<&'static Task> = TASKS.iter().filter(|task| task.cadence == cadence).collect();
    let bar = app.output.progress(tasks.len() as u64, "start");
    let mut rows = Vec::new();
    let (mut runs, mut silent) = (0, 0);
    for (n, task) in tasks.iter().copied().enumerate() {
        let Who::Program(line, _) = task.who else {
            rows.push(Row::standing(task, &record, app.now()));
            continue;
        };
        bar.at(line, n as u64, tasks.len() as u64);
        let (verdict, found, code) = look(app, task, line).await?;
        runs += 1;
        silent += u32::from(code == Some(Kind::Unreachable.exit_code()));
        let by = operator(&app.settings.env);
        let past = Past { at: app.now(), by, verdict: Some(verdict), note: Some(found) };
        rows.push(Row::new(task, verdict.as_str(), verdict, Some(&past)));
        record.0.insert(task.name.to_owned(), past);
    }
    drop(bar);
    if let Err(error) = record.keep(app) {
        app.output.warn(&format!("that they ran is not remembered: {error:#}"));
    }
    let bad = rows.iter().any(|row| row.verdict != Verdict::Ok);
    let outcome = match bad {
        _ if silent > 0 && silent == runs => Outcome::Unreachable,
        true => Outcome::Problem,
        false => Outcome::Done,
    };
    let verdict = rows.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Unknown);
    let item = |row: &Row| Item { name: row.task.into(), subject: String::new(), verdict: row.verdict };
    let checked = Checked {
        name: cadence.as_str(),
        verdict,
        told: if outcome == Outcome::Unreachable { Verdict::Fail } else { verdict },
        said: said(&rows),
        measures: Vec::new(),
        items: rows.iter().map(item).collect(),
        rule: watch(cadence),
    };
    begun.end(app, &checked, Some(&Rows { rows, all: false }), Ok(outcome)).await
}

/// Runs the task's command as anybody would, and judges its answer.
async fn look(app: &App, task: &Task, line: &str) -> anyhow::Result<(Verdict, String, Option<u8>)> {
    let own = ["--context", &app.settings.context_name.value, "-o", "json", "--quiet"];
    let words: Vec<OsString> = line.split_whitespace().chain(own).map(OsString::from).collect();
    let ended = child::run(&words, &[], LIMIT).await.with_context(|| format!("cannot run opsctl {line}"))?;
    if ended.timed_out {
        let minutes = LIMIT.as_secs() / 60;
        return Ok((Verdict::Unknown, format!("it was ended after {minutes} minutes"), None));
    }
    let answer = serde_json::from_str::<Value>(&ended.stdout).ok();
    // Notes and warnings may stand before it.
    let error = ended.stderr.lines().rev().find_map(|line| {
        let error = serde_json::from_str::<Value>(line).ok()?;
        Some(error["error"].as_str()?.to_owned())
    });
    let (verdict, found) = task.judge(ended.code, answer.as_ref(), &error.unwrap_or_default());
    Ok((verdict, found, ended.code))
}

fn said(rows: &[Row]) -> String {
    let odd: Vec<String> = rows
        .iter()
        .filter(|row| row.verdict != Verdict::Ok)
        .map(|row| match (row.state, &row.found) {
            ("DUE", _) | (_, None) => format!("{} {}", row.task, row.state),
            (state, Some(found)) => format!("{} {state} ({found})", row.task),
        })
        .collect();
    if odd.is_empty() { format!("{} tasks, none due", rows.len()) } else { odd.join(", ") }
}

/// The tasks.
#[derive(Serialize)]
#[serde(transparent)]
struct Rows {
    rows: Vec<Row>,
    /// Of every cadence.
    #[serde(skip)]
    all: bool,
}

impl Report for Rows {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.all {
            let mut table = Table::new(&["STATE", "TASK", "CADENCE", "BY", "LAST", "COMMAND"]);
            for row in &self.rows {
                let last = row.last.map(|at| page.time(at)).unwrap_or_default();
                let by = if row.by_hand { "a person" } else { "opsctl" };
                table.row([row.state, row.task, row.cadence.as_str(), by, &last, &row.command]);
            }
            return page.table(&table);
        }
        for row in &self.rows {
            let word = format!("{:<7}", row.state);
            let tone = if row.state == "DUE" { Some(Tone::Warn) } else { Tone::of_word(row.state) };
            let word = tone.map_or(word.clone(), |tone| page.paint(&word, tone));
            page.line(format_args!("{word}  {}: {}", row.task, row.title))?;
            if let Some(found) = &row.found {
                page.line(format_args!("         {found}"))?;
            }
            match (row.by_hand, row.state, row.last) {
                (true, "DUE", _) => page.line(format_args!("         {}", row.command))?,
                (true, _, Some(at)) => {
                    let by = row.last_by.as_deref().unwrap_or("somebody");
                    page.line(format_args!("         done by {by}, {}", page.time(at)))?;
                }
                (false, "OK", _) => {}
                _ => page.line(format_args!("         {}", row.command))?,
            }
        }
        match self.rows.iter().find(|row| row.state == "DUE") {
            Some(due) => page.line(format_args!("when done: opsctl maintenance done {} --note TEXT", due.task)),
            None => Ok(()),
        }
    }
}

impl DoneArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let _ = app.target().await;
        let Some(task) = task(&self.task) else {
            let fault = Fault::new(Kind::NotFound, format!("there is no task `{}`", self.task))
                .because(format!("there are {} tasks of maintenance, and none is called so", TASKS.len()));
            return Err(match aliases::nearest(&self.task, TASKS.iter().map(|task| task.name)) {
                Some(near) => fault.hint(format!("did you mean `{near}`? `opsctl maintenance status` has them all")),
                None => fault.hint("opsctl maintenance status"),
            }
            .into());
        };
        if matches!(task.who, Who::Program(..)) {
            let cadence = task.cadence.as_str();
            return Err(Fault::new(Kind::Conflict, format!("`{}` is not a person's task", task.name))
                .because("it is done when it has run")
                .hint(format!("opsctl maintenance {cadence}"))
                .into());
        }
        let mut record = Record::read(app)?;
        let already = record.this_period(task, app.now()).is_some();
        let past = Past { at: app.now(), by: operator(&app.settings.env), verdict: None, note: self.note };
        let row = Row::new(task, "DONE", Verdict::Ok, Some(&past));
        record.0.insert(task.name.to_owned(), past);
        record.keep(app)?;
        if already {
            app.note(format!("{} was already done in this period; this replaces it", task.name));
        }
        app.emit(&Rows { rows: vec![row], all: false })?;
        Ok(Outcome::Done)
    }
}

impl StatusArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let _ = app.target().await;
        let record = Record::read(app)?;
        let rows: Vec<Row> = TASKS.iter().map(|task| Row::standing(task, &record, app.now())).collect();
        let due = rows.iter().any(|row| row.state == "DUE");
        app.emit(&Rows { rows, all: true })?;
        Ok(if due { Outcome::Problem } else { Outcome::Done })
    }
}
