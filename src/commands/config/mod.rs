//! `opsctl config`: the settings of the running service.

mod change;
mod fallback;
mod show;
mod validate;
mod written;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;
use crate::wire::RestartPart;

/// Settings of the running service.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Get(show::GetArgs),
    List(show::ListArgs),
    Set(change::SetArgs),
    Unset(change::UnsetArgs),
    UpdateFallback(fallback::UpdateFallbackArgs),
    Validate(validate::ValidateArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Get(args) => show::get(app, args).await,
            Self::List(args) => show::list(app, args).await,
            Self::Set(args) => args.run(app).await,
            Self::Unset(args) => args.run(app).await,
            Self::UpdateFallback(args) => args.run(app).await,
            Self::Validate(args) => validate::validate(app, args).await,
        }
    }
}

/// What makes a pending value hold; `None` when it holds at once.
fn restart_command(part: RestartPart) -> Option<String> {
    (part != RestartPart::None).then(|| format!("opsctl restart {part}"))
}
