//! `opsctl state`: what is stored, and what of it is kept in backups.

mod backups;
mod check;
mod export;
mod import;
pub(super) mod moved;
mod rebuild;
mod restore;

use std::collections::BTreeMap;
use std::io;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Table};

/// Items with the same reason that a table names.
const SHOWN: usize = 10;

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

/// Items of a move with why each was left behind, those with the same reason together.
fn reasons(page: &mut Page<'_>, items: &BTreeMap<String, String>) -> io::Result<()> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (item, why) in items {
        groups.entry(why).or_default().push(item);
    }
    let mut table = Table::new(&["ITEM", "WHY"]);
    for (why, items) in groups {
        for item in items.iter().take(SHOWN) {
            table.row([(*item).to_owned(), why.to_owned()]);
        }
        if let Some(more) = items.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            table.row([format!("and {more} more"), "for the same reason; -o json names them".to_owned()]);
        }
    }
    if table.is_empty() { Ok(()) } else { page.table(&table) }
}
