//! `opsctl workflow`: what became of a workflow, rolling it back, putting it right, executing one.

mod failures;
mod list;
mod look;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::error::Outcome;

/// Workflows: status, steps, rollbacks
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Show how a workflow stands
    Status(look::StatusArgs),
    /// Show what each step did, with the objects it touched
    Steps(look::StepsArgs),
    /// Show everything that is stored about a workflow
    State(look::StateArgs),
    /// Show the steps that still stand, and what to type about each
    RollbackFailures(failures::FailuresArgs),
    /// List workflows that failed and wait for somebody
    Failed(list::FailedArgs),
    /// List workflows, the newest first
    List(list::ListArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Status(args) => look::status(app, args).await,
            Self::Steps(args) => look::steps(app, args).await,
            Self::State(args) => look::state(app, args).await,
            Self::RollbackFailures(args) => failures::run(app, args).await,
            Self::Failed(args) => list::failed(app, args).await,
            Self::List(args) => list::list(app, args).await,
        }
    }
}

/// The workflow a verb is about.
#[derive(Args, Debug)]
pub struct WorkflowArg {
    /// The workflow's id
    #[arg(value_name = "WORKFLOW")]
    pub id: String,
}
