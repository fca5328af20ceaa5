//! `opsctl check`: is it healthy, as the orchestrator sees it or as the vendors say.

mod alerts;
mod external;
mod health;
mod jobs;
mod keys;

use clap::Subcommand;

pub use health::overall_word;

use crate::app::App;
use crate::error::Outcome;

/// Is it healthy.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Alerts(alerts::AlertsArgs),
    Health(health::HealthArgs),
    Jobs(jobs::JobsArgs),
    KeyExpiration(keys::ExpirationArgs),
    KeyPermissions(keys::PermissionsArgs),
    PlatformStatus(external::StatusArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Alerts(args) => alerts::alerts(app, args).await,
            Self::Health(args) => health::health(app, args).await,
            Self::Jobs(args) => jobs::jobs(app, args).await,
            Self::KeyExpiration(args) => keys::expiration(app, args).await,
            Self::KeyPermissions(args) => keys::permissions(app, args).await,
            Self::PlatformStatus(args) => external::status(app, args).await,
        }
    }
}
