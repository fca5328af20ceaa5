//! `opsctl google`: Google's access tokens.

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Report};
use crate::platforms::{Clients, Platform};
use crate::wire::Time;

/// Google's access tokens
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    RefreshToken(RefreshArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::RefreshToken(args) => refresh(app, args).await,
        }
    }
}

/// Get a fresh access token, and show what it is good for
///
/// Asks Google with this environment's credential, by signed request or refresh token, as every call does. The token
/// itself is not shown and not kept: the orchestrator gets its own whenever Google refuses the one it has.
///
/// Example: opsctl google refresh-token
#[derive(Args, Debug)]
pub struct RefreshArgs {}

/// What the new token is good for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fresh {
    account: String,
    /// The variable the credential came from.
    credential: String,
    expires_at: Time,
    scopes: Vec<String>,
}

impl Report for Fresh {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Account", &self.account)?;
        page.pair("Credential", &self.credential)?;
        page.pair_time("Token ends", self.expires_at)?;
        for (index, scope) in self.scopes.iter().enumerate() {
            page.pair(if index == 0 { "Scopes" } else { "" }, scope)?;
        }
        Ok(())
    }
}

async fn refresh(app: &App, _args: RefreshArgs) -> anyhow::Result<Outcome> {
    let clients: Clients = app.platforms().await?;
    let fresh = clients
        .renew_google(app.settings.timeout.value)
        .await
        .map_err(|error| error.fault("cannot get a Google access token"))?;
    let credential = clients.credentials().names(Platform::Drive);
    app.emit(&Fresh { account: fresh.account, credential, expires_at: fresh.ends, scopes: fresh.scopes })?;
    Ok(Outcome::Done)
}
