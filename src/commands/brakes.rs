//! `opsctl pause` and `opsctl resume`.

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

use super::queue::{PauseAllArgs, ResumeAllArgs, pause_all, resume_all};

/// Stop processing
#[derive(Subcommand, Debug)]
pub enum Pause {
    /// Stop everything: the queue, intake, schedulers
    All(PauseAllArgs),
}

/// Go on processing
#[derive(Subcommand, Debug)]
pub enum Resume {
    /// End every pause
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
