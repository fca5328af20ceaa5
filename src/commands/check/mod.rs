//! `opsctl check`: is it healthy, as the orchestrator sees it or as the vendors say.

mod external;
mod health;
mod keys;

use clap::Subcommand;

pub use health::overall_word;

use crate::app::App;
use crate::error::Outcome;

/// Is it healthy.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Health(health::HealthArgs),
    KeyExpiration(keys::ExpirationArgs),
    KeyPermissions(keys::PermissionsArgs),
    PlatformStatus(external::StatusArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Health(args) => health::health(app, args).await,
            Self::KeyExpiration(args) => keys::expiration(app, args).await,
            Self::KeyPermissions(args) => keys::permissions(app, args).await,
            Self::PlatformStatus(args) => external::status(app, args).await,
        }
    }
}
