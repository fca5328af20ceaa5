//! Checks of one part of the orchestrator: `db check`, `eventbus check`, `queue check`.
//!
//! The orchestrator's own look, and before it that of whatever config.toml says runs the part: that answers also while
//! the orchestrator does not.

use std::io;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::args::OneOrAll;
use super::restart::how_to_configure;
use super::text::millis;
use crate::app::{App, WatchArgs};
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::services::{self, State};
use crate::settings::{ContextKind, Service, ServiceName};
use crate::wire::{CheckLine, Component, ComponentCheck};

/// Columns of a check.
const HEADINGS: [&str; 4] = ["STATE", "CHECK", ">TOOK", "SEEN"];

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
/// The orchestrator really tries it: a write and a read, a round trip, a count against the store. Where config.toml says
/// what runs the part, that is asked too, whether the orchestrator answers or not. Ends with 3 when a line fails.
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
    let mut table = Table::new(&HEADINGS);
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

/// What was seen of a part that something else than the orchestrator runs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Looked {
    component: Component,
    /// Absent when nobody could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    checks: Vec<LookedLine>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LookedLine {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    detail: String,
    took_ms: f64,
}

impl From<CheckLine> for LookedLine {
    fn from(line: CheckLine) -> Self {
        LookedLine { name: line.name, ok: Some(line.ok), detail: line.detail, took_ms: line.took_ms }
    }
}

impl Report for Looked {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let word = |ok: Option<bool>| ok.map_or("UNKNOWN", |ok| if ok { "OK" } else { "FAIL" }).to_owned();
        let mut table = Table::new(&HEADINGS);
        for line in &self.checks {
            table.row([word(line.ok), line.name.clone(), millis(line.took_ms), line.detail.clone()]);
        }
        page.table(&table)
    }
}

/// Checks one part; 3 when something is not as it should be, 7 when nobody could tell.
pub(super) async fn check(app: &App, component: Component, args: CheckArgs) -> anyhow::Result<Outcome> {
    let name = ServiceName::Part(component);
    let service = app.settings.context()?.services.get(name);
    app.watch(&args.watch, || async {
        let answer = async { app.orchestrator().await?.check_component(component).await };
        let Some(service) = service else {
            let check = answer.await.map_err(|error| unmanaged(app, name, error))?;
            let outcome = if check.ok { Outcome::Done } else { Outcome::Problem };
            return Ok((OneOrAll::One(check), outcome));
        };
        let (line, answer) = tokio::join!(managed(service), answer);
        let mut checks = vec![line];
        match answer {
            Ok(check) => checks.extend(check.checks.into_iter().map(LookedLine::from)),
            // Its own look is one more; what runs the part has been asked.
            Err(error) => {
                let why = Explained::from_error(&error).message;
                app.output.warn(&format!("only {} was asked: {why}", service.manager));
            }
        }
        let fails = checks.iter().any(|line| line.ok == Some(false));
        let unknown = checks.iter().any(|line| line.ok.is_none());
        let (ok, outcome) = match (fails, unknown) {
            (true, _) => (Some(false), Outcome::Problem),
            (false, true) => (None, Outcome::Unreachable),
            (false, false) => (Some(true), Outcome::Done),
        };
        Ok((OneOrAll::All(Looked { component, ok, checks }), outcome))
    })
    .await
}

async fn managed(service: &Service) -> LookedLine {
    let started = Instant::now();
    let seen = services::look(service, services::LOOK).await;
    let ok = match seen.state {
        State::Up => Some(true),
        State::Down => Some(false),
        State::Unknown => None,
    };
    let took_ms = started.elapsed().as_secs_f64() * 1000.0;
    LookedLine { name: service.manager.to_string(), ok, detail: seen.detail, took_ms }
}

/// The orchestrator does not answer and nothing else can be asked: with what to write so that it can.
fn unmanaged(app: &App, name: ServiceName, error: anyhow::Error) -> anyhow::Error {
    let sandbox = app.settings.context().is_ok_and(|context| context.kind == ContextKind::Sandbox);
    if Explained::from_error(&error).kind != Kind::Unreachable || sandbox {
        return error;
    }
    let Ok(how) = how_to_configure(app, name) else { return error };
    match error.downcast::<Fault>() {
        Ok(fault) => fault.because(format!("and nothing says what else runs the {name}")).hint(how).into(),
        Err(error) => error,
    }
}
