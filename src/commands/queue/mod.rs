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
pub enum Verb {
    /// Show how much waits and how busy the workers are
    Status(status::StatusArgs),
    /// List items that wait longer than ten minutes
    Stuck(items::StuckArgs),
    /// List items whose retries are exhausted
    Failed(items::FailedArgs),
    /// Show one item
    Show(items::ShowArgs),
    /// Check that the queue and its workers are sound
    Check(CheckArgs),
    /// Stop taking items from the queue
    Pause(pause::PauseArgs),
    /// Go on taking items from the queue
    Resume(pause::ResumeArgs),
    /// Take one waiting item out of the queue
    Remove(clear::RemoveArgs),
    /// Take all waiting items, or the stuck ones, out of the queue
    Clear(clear::ClearArgs),
    /// Drive failed items again
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
