//! The hidden verb that `sandbox up` starts in the background.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::app::App;
use crate::error::Outcome;
use crate::sandbox::host::{self, HostOptions};
use crate::sandbox::{Place, lifecycle};
use crate::settings::parse_duration;

/// Run the simulators and what belongs to them
///
/// `opsctl sandbox up` starts it in the background.
///
/// Example: opsctl sandbox host --dir /tmp/sandbox
#[derive(Args, Debug)]
pub struct HostArgs {
    /// The sandbox's folder
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,

    /// How long nobody uses it before it stops
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    idle: Option<Duration>,
}

impl HostArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let options = HostOptions {
            place: Place::at(self.dir),
            idle: self.idle.unwrap_or(lifecycle::IDLE),
            program: std::env::current_exe().context("cannot tell where this program is")?,
        };
        host::run(options, |text| app.note(format!("{} {text}", app.now()))).await?;
        Ok(Outcome::Done)
    }
}
