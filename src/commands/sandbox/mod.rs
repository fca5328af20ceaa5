//! `opsctl sandbox`: a practice ground with faults on demand.

mod clock;
mod fault;
mod host;
mod scenario;
mod status;
mod traffic;
mod updown;

use clap::Subcommand;

use crate::app::App;
use crate::error::Outcome;
use crate::sandbox::Place;

/// A practice ground with faults on demand
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Start what is missing of the sandbox
    Up(updown::UpArgs),
    /// Stop the sandbox and keep its state
    Down(updown::DownArgs),
    /// Show what runs, where, and what to fill into the runbook's lines
    Status(status::StatusArgs),
    /// Break a platform, or mend it
    Fault(fault::FaultArgs),
    /// Bring about one of the runbook's issues
    Scenario(scenario::ScenarioArgs),
    /// Change how much goes on by itself
    Traffic(traffic::TrafficArgs),
    /// Move the sandbox's clock forward
    Clock(clock::ClockArgs),
    /// Run the simulators and what belongs to them
    #[command(hide = true)]
    Host(host::HostArgs),
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
        }
    }
}

fn place(app: &App) -> Place {
    Place::of(&app.settings.places)
}
