//! `opsctl state`: what is stored, and what of it is kept in backups.

mod backups;
mod rebuild;
mod restore;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// Stored state
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// List the backups
    Backups(backups::BackupsArgs),
    /// Rebuild a workflow's state from its execution log
    Rebuild(rebuild::RebuildArgs),
    /// Put workflow state back as it was in a backup
    Restore(restore::RestoreArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Backups(args) => backups::run(app, args).await,
            Self::Rebuild(args) => rebuild::run(app, args).await,
            Self::Restore(args) => restore::run(app, args).await,
        }
    }
}
