//! `opsctl cron`: jobs for a schedule.

mod install;
mod run;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// Run jobs from a schedule, put them into one.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Run(run::RunArgs),
    Install(install::InstallArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Run(args) => args.run(app).await,
            Self::Install(args) => args.run(app).await,
        }
    }
}
