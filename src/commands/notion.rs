//! `opsctl notion`: pages and databases, straight at Notion.

mod delete;
mod duplicates;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// Pages and databases of Notion
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    FindDuplicates(duplicates::FindArgs),
    RemoveDuplicates(duplicates::RemoveArgs),
    Delete(delete::DeleteArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::FindDuplicates(args) => duplicates::find(app, args).await,
            Self::RemoveDuplicates(args) => duplicates::remove(app, args).await,
            Self::Delete(args) => delete::delete(app, args).await,
        }
    }
}
