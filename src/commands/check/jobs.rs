//! `opsctl check jobs`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::analysis::jobs::Run;
use crate::analysis::{Verdict, alerts};
use crate::app::App;
use crate::commands::monitoring::{Checked, Item, MonitoringArgs};
use crate::commands::text;
use crate::cron::Ledger;
use crate::error::Outcome;
use crate::output::{Page, Report, Table};

/// Find scheduled jobs that are late, fail, or succeed and change nothing
///
/// From what `opsctl cron run` remembers on this machine. Late is a job that did not start within its --every and a
/// tenth; idle is one of a verb that changes something and changed nothing in 7 runs. A check that found something did
/// its work. Ends with 3 when there is any.
///
/// Example: opsctl check jobs
#[derive(Args, Debug)]
pub struct JobsArgs {
    #[command(flatten)]
    monitoring: MonitoringArgs,
}

/// One job.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    job: String,
    state: Verdict,
    detail: String,
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Run>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Jobs(Vec<Row>);

impl Report for Jobs {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["STATE", "JOB", "DETAIL", "COMMAND"]);
        for row in &self.0 {
            table.row([row.state.as_str(), &row.job, &row.detail, &row.command]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No jobs: put them into a schedule with `opsctl cron install`.".to_owned())
    }
}

pub(super) async fn jobs(app: &App, args: JobsArgs) -> anyhow::Result<Outcome> {
    let begun = args.monitoring.begin(app).await;
    let now = app.now();
    let mut rows = Vec::new();
    for (name, job) in Ledger::of(app).all()? {
        rows.push(match job {
            Ok(job) => {
                let (state, detail) = job.judge(now);
                let last = job.runs.last().cloned();
                Row { job: name, state, detail, command: format!("opsctl {}", job.line), every_ms: job.every_ms, last }
            }
            Err(why) => {
                Row { job: name, state: Verdict::Unknown, detail: why, command: "-".into(), every_ms: None, last: None }
            }
        });
    }
    rows.sort_by(|a, b| (std::cmp::Reverse(a.state), &a.job).cmp(&(std::cmp::Reverse(b.state), &b.job)));
    let verdict = rows.iter().map(|row| row.state).max().unwrap_or(Verdict::Ok);
    let odd: Vec<String> = rows
        .iter()
        .filter(|row| row.state != Verdict::Ok)
        .map(|row| format!("{} {}: {}", row.job, row.state, row.detail))
        .collect();
    let fine = || format!("{} as scheduled", text::counted(rows.len() as u64, "job", "jobs"));
    let checked = Checked {
        name: "jobs",
        verdict,
        told: verdict,
        said: if odd.is_empty() { fine() } else { odd.join(", ") },
        measures: Vec::new(),
        items: rows
            .iter()
            .map(|row| Item { name: row.job.clone(), subject: String::new(), verdict: row.state })
            .collect(),
        rule: alerts::rule("jobs"),
    };
    let outcome = if verdict == Verdict::Ok { Outcome::Done } else { Outcome::Problem };
    begun.end(app, &checked, Some(&Jobs(rows)), Ok(outcome)).await
}
