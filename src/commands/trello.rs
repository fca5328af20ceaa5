//! `opsctl trello`: cards and boards, straight at Trello.

mod archive;
mod duplicates;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// Cards and boards of Trello
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    FindDuplicates(duplicates::FindArgs),
    ArchiveDuplicates(duplicates::ArchiveArgs),
    Archive(archive::ArchiveArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::FindDuplicates(args) => duplicates::find(app, args).await,
            Self::ArchiveDuplicates(args) => duplicates::archive(app, args).await,
            Self::Archive(args) => archive::archive(app, args).await,
        }
    }
}
