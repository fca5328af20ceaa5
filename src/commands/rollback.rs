//! `opsctl rollback`: going on with a rollback that did not get through.

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;
use crate::wire::RollbackMode;

use super::workflow::{RollbackArgs, rollback};

/// Roll back again, or past refusals
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Try again what failed, and what that blocked
    ///
    /// What is rolled back stays so: nothing is undone twice. Ends with 8 while something still stands.
    ///
    /// Example: opsctl rollback retry invoice-001
    Retry(RollbackArgs),
    /// Roll back past failures, and past changes made since
    ///
    /// Goes on where a later step still stands, and writes old content over what somebody changed since. What is
    /// rolled back is not undone again; what it gave up on is named. Ends with 8 while something still stands.
    ///
    /// Example: opsctl rollback force invoice-001 --dry-run
    Force(RollbackArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Retry(args) => rollback(app, "rollback retry", RollbackMode::Retry, args).await,
            Self::Force(args) => rollback(app, "rollback force", RollbackMode::Force, args).await,
        }
    }
}
