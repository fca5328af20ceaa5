//! `opsctl maintenance`: the routine checks of the runbook.

mod daily;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// The routine checks.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run the morning check: seven lines against their thresholds
    Daily(daily::DailyArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Daily(args) => daily::daily(app, args).await,
        }
    }
}
