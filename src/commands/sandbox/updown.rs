//! `sandbox up` and `sandbox down`.

use std::io;

use clap::Args;
use serde::Serialize;

use super::place;
use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Report};
use crate::sandbox::lifecycle::{self, Down};
use crate::wire::Time;

/// Start what is missing of the sandbox
///
/// It is ready when the first 50 actions have really run. Nobody's keys are used: the platforms are simulated on this
/// machine. A sandbox that nobody uses for 30 minutes stops by itself and keeps its state.
///
/// Example: opsctl sandbox up
#[derive(Args, Debug)]
pub struct UpArgs {}

/// Stop the sandbox and keep its state
///
/// What is being executed may finish. No process is left behind.
///
/// Example: opsctl sandbox down
#[derive(Args, Debug)]
pub struct DownArgs {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UpReport {
    state: &'static str,
    already: bool,
    started: Vec<&'static str>,
    url: String,
    started_at: Time,
}

impl Report for UpReport {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.already {
            page.line(format_args!("the sandbox is already up at {}", self.url))?;
        } else {
            page.line(format_args!("the sandbox is up at {} (started: {})", self.url, self.started.join(", ")))?;
        }
        page.line("use it with `--context sandbox`; `opsctl sandbox status` shows what to fill into runbook lines")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DownReport {
    state: &'static str,
    already: bool,
    /// Whether something of it had been killed before.
    was_broken: bool,
}

impl Report for DownReport {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(match (self.already, self.was_broken) {
            (true, _) => "the sandbox is already down",
            (false, true) => "the sandbox is down; something of it had been killed before",
            (false, false) => "the sandbox is down; its state is kept",
        })
    }
}

impl UpArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let up = lifecycle::up(&place(app), &app.settings.env).await?;
        app.clock.set_offset_ms(up.record.clock_offset_ms);
        app.emit(&UpReport {
            state: "up",
            already: up.started.is_empty(),
            started: up.started,
            url: up.record.url,
            started_at: up.record.started_at,
        })?;
        Ok(Outcome::Done)
    }
}

impl DownArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let down = lifecycle::down(&place(app)).await?;
        app.emit(&DownReport { state: "down", already: down == Down::AlreadySo, was_broken: down == Down::CleanedUp })?;
        Ok(Outcome::Done)
    }
}
