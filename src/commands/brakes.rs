//! `opsctl pause` and `opsctl resume`.

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

use super::queue::{PauseAllArgs, ResumeAllArgs, pause_all, resume_all};

/// Stop processing
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Pause {
    All(PauseAllArgs),
}

/// Go on processing
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Resume {
    All(ResumeAllArgs),
}

impl Pause {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::All(args) => pause_all(app, args).await,
        }
    }
}

impl Resume {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::All(args) => resume_all(app, args).await,
        }
    }
}
