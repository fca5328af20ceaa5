//! `opsctl queue`: what waits, what is stuck, what failed, and taking it out or driving it again.

mod clear;
mod items;
mod pause;
mod status;

pub use pause::{PauseAllArgs, ResumeAllArgs, pause_all, resume_all};

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

use super::component::{self, CheckArgs};
use crate::wire::Component;

/// The queue: status, stuck and failed items, pause, clear
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Status(status::StatusArgs),
    Stuck(items::StuckArgs),
    Failed(items::FailedArgs),
    Show(items::ShowArgs),
    /// Check that the queue and its workers are sound
    ///
    /// What is in memory is counted against the store; then the oldest item, the workers and pauses. Ends with 3 when a
    /// line fails.
    ///
    /// Example: opsctl queue check
    Check(CheckArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Remove(clear::RemoveArgs),
    Clear(clear::ClearArgs),
    Retry(clear::RetryArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Status(args) => status::run(app, args).await,
            Self::Stuck(args) => items::stuck(app, args).await,
            Self::Failed(args) => items::failed(app, args).await,
            Self::Show(args) => items::show(app, args).await,
            Self::Check(args) => component::check(app, Component::Queue, args).await,
            Self::Pause(args) => pause::pause_queue(app, args).await,
            Self::Resume(args) => pause::resume_queue(app, args).await,
            Self::Remove(args) => clear::remove(app, args).await,
            Self::Clear(args) => clear::clear(app, args).await,
            Self::Retry(args) => clear::retry(app, args).await,
        }
    }
}
