//! `opsctl maintenance`: the routine checks of the runbook.

mod daily;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// The routine checks.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
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
