//! `opsctl test`: whether the platforms let us in, and how far the way there works.

mod auth;
mod connectivity;
mod probe;
mod sdk;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// Whether the platforms let us in.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Auth(auth::AuthArgs),
    Connectivity(connectivity::ConnectivityArgs),
    Sdk(sdk::SdkArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Auth(args) => auth::auth(app, args).await,
            Self::Connectivity(args) => connectivity::connectivity(app, args).await,
            Self::Sdk(args) => sdk::sdk(app, args).await,
        }
    }
}
