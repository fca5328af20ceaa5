//! `opsctl dashboard`: the Grafana dashboard of the orchestrator's metrics.

mod configure;
mod refresh;

use clap::Subcommand;

use crate::app::App;
use crate::dashboard::{PANELS, Panel};
use crate::error::Outcome;

/// Dashboards.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Refresh(refresh::RefreshArgs),
    Configure(configure::ConfigureArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Refresh(args) => args.run(app).await,
            Self::Configure(args) => args.run(app).await,
        }
    }
}

/// The panels that were chosen, in the dashboard's order; the standard ones where nobody chose.
fn chosen(app: &App) -> Vec<&'static Panel> {
    match &app.settings.dashboard.panels {
        Some(names) => PANELS.iter().filter(|panel| names.iter().any(|name| name == panel.name)).collect(),
        None => PANELS.iter().filter(|panel| panel.standard).collect(),
    }
}
