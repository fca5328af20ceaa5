//! `opsctl runbook`: the runbook at the prompt.

mod draw;
mod show;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// The runbook at the prompt.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    List(show::ListArgs),
    Show(show::ShowArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::List(args) => args.run(app),
            Self::Show(args) => args.run(app).await,
        }
    }
}
