//! `sandbox clock`.

use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::place;
use crate::app::App;
use crate::error::{Fault, Outcome};
use crate::output::{Page, Report};
use crate::sandbox::ground::Ground;
use crate::settings::{format_duration, parse_duration};
use crate::wire::Time;

/// Move the sandbox's clock forward
///
/// Simulators, orchestrator and commands move together. It never goes back. Without `advance` it is only shown.
///
/// Example: opsctl sandbox clock advance 11m
#[derive(Args, Debug)]
pub struct ClockArgs {
    /// `advance`, or nothing to look
    #[arg(value_name = "advance", value_parser = ["advance"], hide_possible_values = true, requires = "by")]
    what: Option<String>,

    /// How far: 30s, 11m, 2h
    #[arg(value_name = "DURATION", value_parser = parse_duration)]
    by: Option<Duration>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClockReport {
    now: Time,
    offset_ms: i64,
}

impl Report for ClockReport {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let ahead = Duration::from_millis(u64::try_from(self.offset_ms).unwrap_or(0));
        page.pair("Sandbox time", self.now)?;
        page.pair("Ahead of this machine", format_duration(ahead))
    }
}

impl ClockArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        if self.by.is_some_and(|by| by.is_zero()) {
            return Err(Fault::usage("a clock that moves by nothing").hint("write 30s, 11m or 2h").into());
        }
        let ground = Ground::enter(&place(app))?;
        let offset_ms = match self.by {
            Some(by) => ground.advance(by).await?,
            None => ground.record.clock_offset_ms,
        };
        app.clock.set_offset_ms(offset_ms);
        app.emit(&ClockReport { now: app.now(), offset_ms })?;
        Ok(Outcome::Done)
    }
}
