//! `opsctl validate`: what this environment says, without showing it.

mod env;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// Look at keys without showing them
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Env(env::EnvArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Env(args) => env::env(app, args).await,
        }
    }
}
