//! `opsctl logs`: what the orchestrator and its parts wrote.

mod errors;
mod flow;
mod follow;
mod grouped;
mod idempotency;
pub(super) mod left;
pub(super) mod lines;
pub(super) mod own;
pub(super) mod place;
mod security;
mod stale;
mod workflow;

pub(super) use security::suspicious;
pub(super) use stale::errors as errors_of_files;

use clap::Subcommand;

use super::analyze::repeats::{self, LogDuplicatesArgs};
use crate::app::App;
use crate::error::Outcome;

/// What the orchestrator and its parts wrote.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Errors(errors::ErrorsArgs),
    Idempotency(idempotency::IdempotencyArgs),
    Workflow(workflow::WorkflowLogArgs),
    Rollback(workflow::RollbackLogArgs),
    Duplicates(LogDuplicatesArgs),
    Search(lines::SearchArgs),
    Executor(lines::ExecutorArgs),
    Actions(lines::ActionsArgs),
    State(lines::StateArgs),
    Fallback(lines::FallbackArgs),
    Workers(lines::WorkersArgs),
    Security(security::SecurityArgs),
    Member2(lines::Member2Args),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Errors(args) => errors::errors(app, args).await,
            Self::Idempotency(args) => idempotency::idempotency(app, args).await,
            Self::Workflow(args) => workflow::workflow(app, args).await,
            Self::Rollback(args) => workflow::rollback(app, args).await,
            Self::Duplicates(args) => repeats::listed(app, args).await,
            Self::Search(args) => lines::search(app, args).await,
            Self::Executor(args) => lines::executor(app, args).await,
            Self::Actions(args) => lines::actions(app, args).await,
            Self::State(args) => lines::state(app, args).await,
            Self::Fallback(args) => lines::fallback(app, args).await,
            Self::Workers(args) => lines::workers(app, args).await,
            Self::Security(args) => security::security(app, args).await,
            Self::Member2(args) => lines::member2(app, args).await,
        }
    }
}
