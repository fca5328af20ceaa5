//! `opsctl security`: shut everybody out, change the keys, see who did what, and open again.

mod audit;
mod lockdown;
mod restore;
pub mod rotate;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// Lockdown, keys, audit.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Audit(audit::AuditArgs),
    Lockdown(lockdown::LockdownArgs),
    Restore(restore::RestoreArgs),
    RotateKeys(rotate::RotateArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Audit(args) => args.run(app).await,
            Self::Lockdown(args) => args.run(app).await,
            Self::Restore(args) => args.run(app).await,
            Self::RotateKeys(args) => args.run(app).await,
        }
    }
}
