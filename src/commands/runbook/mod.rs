//! `opsctl runbook`: the runbook at the prompt.

mod draw;
mod lint;
mod run;
mod show;
mod walk;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// The runbook at the prompt.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    List(show::ListArgs),
    Show(show::ShowArgs),
    Run(run::RunArgs),
    Transcript(run::TranscriptArgs),
    Lint(lint::LintArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::List(args) => args.run(app),
            Self::Show(args) => args.run(app).await,
            Self::Run(args) => args.run(app).await,
            Self::Transcript(args) => args.run(app),
            Self::Lint(args) => args.run(app),
        }
    }
}
