//! `opsctl sandbox`: a practice ground with faults on demand.

mod clock;
mod fault;
mod host;
mod scenario;
mod sims;
mod status;
mod traffic;
mod updown;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;
use crate::sandbox::Place;

/// A practice ground with faults on demand
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Up(updown::UpArgs),
    Down(updown::DownArgs),
    Status(status::StatusArgs),
    Fault(fault::FaultArgs),
    Scenario(scenario::ScenarioArgs),
    Traffic(traffic::TrafficArgs),
    Clock(clock::ClockArgs),
    /// Run the simulators and what belongs to them
    #[command(hide = true)]
    Host(host::HostArgs),
    /// Run the simulators alone
    #[command(hide = true)]
    Sims(sims::SimsArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Up(args) => args.run(app).await,
            Self::Down(args) => args.run(app).await,
            Self::Status(args) => args.run(app).await,
            Self::Fault(args) => args.run(app).await,
            Self::Scenario(args) => args.run(app).await,
            Self::Traffic(args) => args.run(app).await,
            Self::Clock(args) => args.run(app).await,
            Self::Host(args) => args.run(app).await,
            Self::Sims(args) => args.run(app).await,
        }
    }
}

fn place(app: &App) -> Place {
    Place::of(&app.settings.places)
}
