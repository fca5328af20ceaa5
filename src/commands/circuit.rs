//! `opsctl circuit`: the platforms' circuit breakers.

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::{App, Kept, StaleArgs, WatchArgs};
use crate::error::Outcome;
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, UndoAction};
use crate::output::{Page, Report, Table};
use crate::wire::{Circuit, CircuitState, CircuitStatus, CircuitTransition, EffectKind};

use super::args::{OneOrAll, PlatformArg, SinceArgs, already, count, outcome_of};
use super::outage::{self, Question};

/// Circuit breakers: state, history, reset
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Status(StatusArgs),
    History(HistoryArgs),
    Reset(ResetArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Status(args) => status(app, args).await,
            Self::History(args) => history(app, args).await,
            Self::Reset(args) => reset(app, args).await,
        }
    }
}

/// Show the state of one circuit, or of all
///
/// A circuit opens after five failures in 60 seconds, stays OPEN for 30 seconds, lets one probe at a time through
/// while HALF_OPEN, and closes after two good ones. Rate limits and authentication failures do not count.
/// With --all it ends with 3 when one is not CLOSED.
///
/// Example: opsctl circuit status notion --watch=5s
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Platform whose circuit to show; all of them without it
    platform: Option<PlatformArg>,

    /// All circuits, and exit code 3 when one is not CLOSED
    #[arg(long, conflicts_with = "platform")]
    all: bool,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

/// All circuits.
#[derive(Serialize)]
#[serde(transparent)]
struct Circuits(Vec<CircuitStatus>);

impl Report for Circuits {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PLATFORM", "STATE", ">FAILURES", "LAST FAILURE", "TRIES AGAIN"]);
        for circuit in &self.0 {
            table.row([
                circuit.platform.to_string(),
                circuit.state.to_string(),
                circuit.failure_count.to_string(),
                circuit.last_failure.map(|t| page.time(t)).unwrap_or_default(),
                circuit.will_reset_at.map(|t| page.time(t)).unwrap_or_default(),
            ]);
        }
        page.table(&table)
    }
}

impl Report for CircuitStatus {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Platform", self.platform)?;
        page.pair("State", self.state)?;
        page.pair("Failures", self.failure_count)?;
        if let Some(at) = self.last_failure {
            page.pair_time("Last failure", at)?;
        }
        if let Some(at) = self.opened_at {
            page.pair_time("Opened", at)?;
        }
        if let Some(at) = self.will_reset_at {
            page.pair_time("Tries again", at)?;
        }
        Ok(())
    }
}

async fn status(app: &App, args: StatusArgs) -> anyhow::Result<Outcome> {
    let platform = args.platform.map(|p| p.0);
    let question = Question::new(Kept::Circuits, args.stale).only(platform);
    let report = |mut circuits: Vec<CircuitStatus>| {
        if let Some(platform) = platform {
            circuits.retain(|c| c.platform == platform);
            if let [one] = &circuits[..] {
                return (OneOrAll::One(one.clone()), Outcome::Done);
            }
        }
        let problem = args.all && circuits.iter().any(|c| c.state != CircuitState::Closed);
        (OneOrAll::All(Circuits(circuits)), if problem { Outcome::Problem } else { Outcome::Done })
    };
    app.watch(&args.watch, || outage::look(app, &question, async |api| api.circuit_statuses().await, report)).await
}

/// Show when circuits opened and closed, and why
///
/// Newest last. Every transition is kept with its reason and the failures counted at that moment.
///
/// Example: opsctl circuit history notion --since 24h
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// Platform whose history to show; all of them without it
    platform: Option<PlatformArg>,

    #[command(flatten)]
    since: SinceArgs,

    /// At most this many transitions, the newest
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true, value_parser = count(1..=1000))]
    limit: u64,
}

/// Transitions, oldest first.
#[derive(Serialize)]
#[serde(transparent)]
struct History(Vec<CircuitTransition>);

impl Report for History {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["TIME", "PLATFORM", "FROM", "TO", "WHY"]);
        for step in &self.0 {
            table.row([
                page.time(step.at),
                step.platform.to_string(),
                step.from.to_string(),
                step.to.to_string(),
                step.reason.clone(),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No circuit opened or closed in this window.".into())
    }
}

async fn history(app: &App, args: HistoryArgs) -> anyhow::Result<Outcome> {
    let since = args.since.resolve(app)?;
    let platform = args.platform.map(|p| p.0);
    let mut steps = app.orchestrator().await?.circuit_history(platform, since, args.limit).await?;
    steps.reverse();
    app.emit(&History(steps))?;
    Ok(Outcome::Done)
}

/// Close an open circuit
///
/// The next action for the platform is attempted at once. Check `opsctl check health PLATFORM --external` and
/// `opsctl test auth PLATFORM` first: a circuit that opened because the platform was down opens again after five
/// failures. History and counters are kept. Without a platform every circuit that is not CLOSED is reset.
///
/// Example: opsctl circuit reset notion --dry-run
#[derive(Args, Debug)]
pub struct ResetArgs {
    /// Platform whose circuit to close; every one that is not CLOSED without it
    platform: Option<PlatformArg>,

    #[command(flatten)]
    change: ChangeArgs,
}

async fn reset(app: &App, args: ResetArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    let circuits = match &args.platform {
        Some(PlatformArg(platform)) => vec![orchestrator.circuit(*platform).await?],
        None => orchestrator.circuits().await?,
    };
    let open: Vec<Circuit> = circuits.into_iter().filter(|c| c.status.state != CircuitState::Closed).collect();
    if open.is_empty() {
        let what = args.platform.map_or("every circuit".to_owned(), |p| format!("the {} circuit", p.0));
        return already(app, format!("{what} is already CLOSED"));
    }
    let title = match &open[..] {
        [one] => format!("reset the {} circuit", one.status.platform),
        many => format!("reset {} circuits", many.len()),
    };
    let mut plan = Plan::new("circuit reset", title, &args.change);
    for circuit in &open {
        let status = &circuit.status;
        plan = plan.step(
            Step::new(format!("POST /admin/v1/circuits/{}/reset", status.platform))
                .because(format!("{} with {} failures becomes CLOSED", status.state, status.failure_count)),
        );
    }
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let orchestrator = app.orchestrator().await?.clone();
    let (mut items, mut outcome) = (Vec::new(), Outcome::Done);
    for circuit in &open {
        let platform = circuit.status.platform;
        let answer = orchestrator.reset_circuit(&approval, platform, circuit.version).await?;
        let undo = UndoAction::none("a circuit opens by itself when calls fail");
        let item = ReceiptItem::applied(platform.as_str(), undo);
        items.push(ReceiptItem { effect: answer.effect, ..item });
        if answer.effect == EffectKind::Accepted {
            app.note(&answer.message);
            outcome = outcome_of(&answer);
        }
    }
    app.receipt(&approval, items)?;
    let now = orchestrator.circuit_statuses().await?;
    let now = now.into_iter().filter(|c| open.iter().any(|o| o.status.platform == c.platform)).collect();
    app.emit(&Circuits(now))?;
    Ok(outcome)
}
