//! The hidden verb that runs the simulators for other programs to talk to: official SDKs, benchmarks, kill loops.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::error::Outcome;
use crate::sandbox::sim::{SimOptions, Sims};

/// Run the simulators alone
///
/// No orchestrator, no traffic. It says in `simulators.json` where they are and what they accept, and runs until it is
/// interrupted or the control API's /shutdown is called.
///
/// Example: opsctl sandbox sims --dir /tmp/sims
#[derive(Args, Debug)]
pub struct SimsArgs {
    /// Existing folder for `simulators.json` and the key file
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,

    /// Enforce the platforms' rate limits
    #[arg(long)]
    limits: bool,
}

impl SimsArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let (mut stop, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let sims = Sims::start(SimOptions { limits: self.limits, ..SimOptions::default() }).await?;
        let file = self.dir.join("simulators.json");
        sims.introduce(&file).with_context(|| format!("cannot write {}", file.display()))?;
        app.note(format!("the simulators are described in {}", file.display()));
        tokio::select! {
            () = sims.stopped() => {}
            _ = stop.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(Outcome::Done)
    }
}
