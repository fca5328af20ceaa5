//! `opsctl state`: what is stored, and what of it is kept in backups.

mod backups;
mod check;
mod export;
mod import;
mod rebuild;
mod restore;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// Stored state
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Backups(backups::BackupsArgs),
    Check(check::CheckArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Rebuild(rebuild::RebuildArgs),
    Restore(restore::RestoreArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Backups(args) => backups::run(app, args).await,
            Self::Check(args) => check::run(app, args).await,
            Self::Export(args) => export::run(app, args).await,
            Self::Import(args) => import::run(app, args).await,
            Self::Rebuild(args) => rebuild::run(app, args).await,
            Self::Restore(args) => restore::run(app, args).await,
        }
    }
}
