//! `sandbox traffic`.

use std::io;

use clap::Args;
use serde::Serialize;

use super::place;
use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Report};
use crate::sandbox::ground::Ground;
use crate::sandbox::record::Traffic;

/// Change how much goes on by itself
///
/// A program submits plausible actions over all platforms, and writes what it decides to member2.log in the sandbox's
/// folder. Without arguments it is only shown.
///
/// Example: opsctl sandbox traffic on --rate 120
#[derive(Args, Debug)]
pub struct TrafficArgs {
    /// on or off
    #[arg(value_name = "on|off", value_parser = ["on", "off"], hide_possible_values = true)]
    switch: Option<String>,

    /// Actions a minute, 1 to 600; up to about 300 no queue builds up
    #[arg(long, value_name = "PER_MINUTE", value_parser = clap::value_parser!(u32).range(1..=600))]
    rate: Option<u32>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct TrafficReport(Traffic);

impl Report for TrafficReport {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Traffic", if self.0.on { "on" } else { "off" })?;
        page.pair("Actions a minute", self.0.per_minute)
    }
}

impl TrafficArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let ground = Ground::enter(&place(app))?;
        let on = self.switch.map(|word| word == "on");
        let traffic = match (on, self.rate) {
            (None, None) => ground.record.traffic,
            (on, rate) => ground.traffic(on, rate).await?,
        };
        app.emit(&TrafficReport(traffic))?;
        Ok(Outcome::Done)
    }
}
