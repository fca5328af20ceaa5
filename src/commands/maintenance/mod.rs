//! `opsctl maintenance`: the routine checks of the runbook, and the tasks of a person that stay due until done.

mod daily;
mod tasks;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// The routine checks.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Daily(daily::DailyArgs),
    Weekly(tasks::WeeklyArgs),
    Monthly(tasks::MonthlyArgs),
    Quarterly(tasks::QuarterlyArgs),
    Status(tasks::StatusArgs),
    Done(tasks::DoneArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Daily(args) => daily::daily(app, args).await,
            Self::Weekly(args) => args.run(app).await,
            Self::Monthly(args) => args.run(app).await,
            Self::Quarterly(args) => args.run(app).await,
            Self::Status(args) => args.run(app).await,
            Self::Done(args) => args.run(app).await,
        }
    }
}
