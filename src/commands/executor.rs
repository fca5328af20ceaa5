//! `opsctl executor`: the parts that talk to the platforms.

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::{App, Kept, StaleArgs, WatchArgs};
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::wire::{ExecutorHealth, ExecutorState, ExecutorStatus};

use super::args::{OneOrAll, PlatformArg};
use super::outage::{self, Question};
use super::restart::{self, RestartArgs};

/// Executors: state, crashes, restart
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Status(StatusArgs),
    Restart(RestartOneArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Status(args) => status(app, args).await,
            Self::Restart(args) => restart::executor(app, args.platform.0, args.restart).await,
        }
    }
}

/// Show what one executor, or all of them, are doing
///
/// With --all it ends with 3 when one is down.
///
/// Example: opsctl executor status notion
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Platform whose executor to show; all of them without it
    platform: Option<PlatformArg>,

    /// All executors, and exit code 3 when one is down
    #[arg(long, conflicts_with = "platform")]
    all: bool,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Restart one platform's executor
///
/// New credentials, limits and timeouts of this platform take effect.
///
/// Example: opsctl executor restart notion --dry-run
#[derive(Args, Debug)]
pub struct RestartOneArgs {
    /// Platform whose executor to restart
    platform: PlatformArg,

    #[command(flatten)]
    restart: RestartArgs,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Executors(Vec<ExecutorStatus>);

impl Report for Executors {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table =
            Table::new(&["PLATFORM", "HEALTH", "STATE", ">IN FLIGHT", ">CRASHES", "CIRCUIT", ">MEAN", "LAST SUCCESS"]);
        for executor in &self.0 {
            table.row([
                executor.platform.to_string(),
                executor.health.to_string(),
                executor.state.to_string(),
                executor.in_flight.to_string(),
                executor.crashes.to_string(),
                executor.circuit.to_string(),
                format!("{}ms", executor.avg_response_time),
                executor.last_success.map_or("never".into(), |t| page.time(t)),
            ]);
        }
        page.table(&table)
    }
}

impl Report for ExecutorStatus {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Platform", self.platform)?;
        page.pair("Health", self.health)?;
        page.pair("State", self.state)?;
        page.pair("Circuit", self.circuit)?;
        page.pair("In flight", self.in_flight)?;
        page.pair_time("Running since", self.started_at)?;
        page.pair("Crashes", self.crashes)?;
        page.pair("Restarts", self.restarts)?;
        page.pair("Mean call", format_args!("{}ms", self.avg_response_time))?;
        match self.last_success {
            Some(at) => page.pair_time("Last success", at)?,
            None => page.pair("Last success", "never")?,
        }
        if let Some(error) = &self.last_error {
            page.pair("Last error", error)?;
        }
        if let Some(at) = self.last_error_at {
            page.pair_time("Last error at", at)?;
        }
        Ok(())
    }
}

fn is_down(executor: &ExecutorStatus) -> bool {
    // An executor without a credential is not broken: nobody asked it to work.
    executor.health == ExecutorHealth::Down && executor.state != ExecutorState::Unconfigured
}

async fn status(app: &App, args: StatusArgs) -> anyhow::Result<Outcome> {
    let platform = args.platform.map(|p| p.0);
    let question = Question::new(Kept::Executors, args.stale).only(platform);
    let report = |mut executors: Vec<ExecutorStatus>| {
        if let Some(platform) = platform {
            executors.retain(|e| e.platform == platform);
            if let [one] = &executors[..] {
                return (OneOrAll::One(one.clone()), Outcome::Done);
            }
        }
        let problem = args.all && executors.iter().any(is_down);
        (OneOrAll::All(Executors(executors)), if problem { Outcome::Problem } else { Outcome::Done })
    };
    app.watch(&args.watch, || outage::look(app, &question, async |api| api.executors().await, report)).await
}
