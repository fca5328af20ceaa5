//! Checks of one part of the orchestrator: `db check`, `eventbus check`, `queue check`.

use std::io;

use clap::{Args, Subcommand};

use super::text::millis;
use crate::app::{App, WatchArgs};
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::wire::{CheckLine, Component, ComponentCheck};

/// The store
#[derive(Subcommand, Debug)]
pub enum Db {
    /// Check that the store works
    ///
    /// Its file is checked page by page, a row is written and read back, and what is in memory is counted against it.
    /// Ends with 3 when a line fails.
    ///
    /// Example: opsctl db check
    Check(CheckArgs),
}

/// The event bus
#[derive(Subcommand, Debug)]
pub enum Eventbus {
    /// Check that the event bus works
    ///
    /// An event is really sent and received. Ends with 3 when a line fails.
    ///
    /// Example: opsctl eventbus check
    Check(CheckArgs),
}

impl Db {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Check(args) => check(app, Component::Database, args).await,
        }
    }
}

impl Eventbus {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Check(args) => check(app, Component::Eventbus, args).await,
        }
    }
}

/// Check that a part of the orchestrator works
///
/// The orchestrator really tries it: a write and a read, a round trip, a count against the store. Ends with 3 when a
/// line fails.
///
/// Example: opsctl db check
#[derive(Args, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    watch: WatchArgs,
}

impl Report for ComponentCheck {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.table(&table(&self.checks))
    }
}

/// The lines of a check, with what each took.
pub(super) fn table(lines: &[CheckLine]) -> Table {
    let mut table = Table::new(&["STATE", "CHECK", ">TOOK", "SEEN"]);
    for line in lines {
        table.row([
            if line.ok { "OK" } else { "FAIL" }.to_owned(),
            line.name.clone(),
            millis(line.took_ms),
            line.detail.clone(),
        ]);
    }
    table
}

/// Checks one part; 3 when something is not as it should be.
pub(super) async fn check(app: &App, component: Component, args: CheckArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    app.watch(&args.watch, || async {
        let check = orchestrator.check_component(component).await?;
        let outcome = if check.ok { Outcome::Done } else { Outcome::Problem };
        Ok((check, outcome))
    })
    .await
}
