//! `opsctl logs`: what the orchestrator and its parts wrote.

mod errors;
mod workflow;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// What the orchestrator and its parts wrote.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Show the last errors, their causes, and what to do about them
    Errors(errors::ErrorsArgs),
    /// Show what happened in a workflow, event by event
    Workflow(workflow::WorkflowLogArgs),
    /// Show what happened in rollbacks, event by event
    Rollback(workflow::RollbackLogArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Errors(args) => errors::errors(app, args).await,
            Self::Workflow(args) => workflow::workflow(app, args).await,
            Self::Rollback(args) => workflow::rollback(app, args).await,
        }
    }
}
