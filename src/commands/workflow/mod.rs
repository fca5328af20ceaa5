//! `opsctl workflow`: what became of a workflow, rolling it back, putting it right, executing one.

mod execute;
mod failures;
mod follow;
mod list;
mod look;
mod resolve;
mod rollback;

pub use rollback::{RollbackArgs, rollback};

use clap::{Args, Subcommand};

use crate::app::App;
use crate::error::Outcome;
use crate::wire::RollbackMode;

/// Workflows: status, steps, rollbacks
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Status(look::StatusArgs),
    Steps(look::StepsArgs),
    State(look::StateArgs),
    RollbackFailures(failures::FailuresArgs),
    Failed(list::FailedArgs),
    List(list::ListArgs),
    /// Undo the steps of a workflow, the last one first
    ///
    /// One undo at a time, each read back from the platform. What cannot be undone is named with what to type instead.
    /// Ends with 8 while something still stands.
    ///
    /// Example: opsctl workflow rollback invoice-001 --dry-run
    Rollback(RollbackArgs),
    MarkResolved(resolve::MarkResolvedArgs),
    MarkCompleted(resolve::MarkCompletedArgs),
    ClearFailed(resolve::ClearFailedArgs),
    Compensate(resolve::CompensateArgs),
    Execute(execute::ExecuteArgs),
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
            Self::Rollback(args) => rollback(app, "workflow rollback", RollbackMode::First, args).await,
            Self::MarkResolved(args) => resolve::mark_resolved(app, args).await,
            Self::MarkCompleted(args) => resolve::mark_completed(app, args).await,
            Self::ClearFailed(args) => resolve::clear_failed(app, args).await,
            Self::Compensate(args) => resolve::compensate(app, args).await,
            Self::Execute(args) => execute::run(app, args).await,
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
