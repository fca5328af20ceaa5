//! `opsctl logs`: what the orchestrator and its parts wrote.

mod errors;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// What the orchestrator and its parts wrote.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Show the last errors, their causes, and what to do about them
    Errors(errors::ErrorsArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Errors(args) => errors::errors(app, args).await,
        }
    }
}
