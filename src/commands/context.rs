//! `opsctl context`: which orchestrator to talk to.

mod check;
mod edit;
mod show;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;

/// The verbs of `context`.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Add a context to config.toml
    ///
    /// A token never stands on the command line: name its source.
    ///
    ///     opsctl context add prod-eu --url https://ops.example --token-file ~/.ops-token --environment production
    #[command(verbatim_doc_comment)]
    Add(edit::AddArgs),
    /// Test a context: URL, token and role, clock, environment, state folder
    Check(check::CheckArgs),
    /// List contexts
    List(show::ListArgs),
    /// Remove a context from config.toml
    Remove(edit::RemoveArgs),
    /// Show a context and where each value comes from
    Show(show::ShowArgs),
    /// Make a context the default
    Use(edit::UseArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Verb::Add(args) => args.run(app),
            Verb::Check(args) => args.run(app).await,
            Verb::List(args) => args.run(app),
            Verb::Remove(args) => args.run(app),
            Verb::Show(args) => args.run(app),
            Verb::Use(args) => args.run(app),
        }
    }
}
