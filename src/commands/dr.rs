//! `opsctl dr`: disaster recovery, rehearsed while nothing is wrong.

use std::io;

use clap::{Args, Subcommand};

use super::component;
use super::text::{counted, millis};
use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Report};
use crate::wire::{DrillReport, DrillRequest, DrillScenario};

/// Disaster recovery tests
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Test(TestArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Test(args) => test(app, args).await,
        }
    }
}

/// Rehearse a recovery on a scratch copy
///
/// A second service is opened beside the running one, which is only read: nothing is sent, nothing live changes. Shows
/// the time to recover and what would be lost; ends with 3 when it fails. The store gone (database-failure) or damaged
/// (database-corruption) comes back from a backup; after a service-crash the store is still there.
///
/// Example: opsctl dr test --scenario database-failure
#[derive(Args, Debug)]
pub struct TestArgs {
    /// What to rehearse: database-failure, database-corruption, service-crash
    #[arg(long, value_name = "SCENARIO", default_value = "database-failure", hide_default_value = true)]
    scenario: DrillScenario,

    /// Backup to recover from; the newest unless told
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
}

impl Report for DrillReport {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.table(&component::table(&self.steps))?;
        if let Some(recovery) = self.recovery_ms {
            page.pair("Time to recover", millis(recovery as f64))?;
        }
        if let Some(loss) = &self.loss {
            let waiting = counted(loss.waiting, "waiting action", "waiting actions");
            let ended = counted(loss.ended, "ended one's record", "ended ones' records");
            let workflows = counted(loss.workflows, "workflow", "workflows");
            page.pair("Back to", page.time(loss.back_to))?;
            page.pair("Would be lost", format_args!("{waiting}, {ended}, {workflows}"))?;
        }
        let verdict = if self.ok { "the service can be recovered" } else { "the service could not be recovered" };
        page.line(format_args!("{}: {verdict}", self.scenario))
    }
}

async fn test(app: &App, args: TestArgs) -> anyhow::Result<Outcome> {
    let request = DrillRequest { scenario: args.scenario, backup: args.backup };
    let report = app.orchestrator().await?.drill(&request, app.follow()).await?;
    app.emit(&report)?;
    if report.ok {
        return Ok(Outcome::Done);
    }
    let try_this = match report.backup {
        Some(id) => {
            format!("look at it with `opsctl backup verify {id}`, and make a new one with `opsctl backup create`")
        }
        None => "make a backup with `opsctl backup create`".to_owned(),
    };
    app.note(try_this);
    Ok(Outcome::Problem)
}
