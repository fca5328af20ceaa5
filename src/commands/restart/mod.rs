//! `opsctl restart` and `opsctl executor restart`: the orchestrator's parts and its process, drained, restarted, and
//! waited for; over the admin API, or through what runs them.

mod exports;
mod legs;
mod report;
mod run;

pub(in crate::commands) use exports::differs;
pub(in crate::commands) use legs::how_to_configure;

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan};
use crate::settings::ServiceName;
use crate::wire::{Component, Platform};

use legs::{Known, Leg};

/// The runbook's order for a full restart (Procedure 1): what others lean on comes first.
const ORDER: [ServiceName; 5] = [
    ServiceName::Part(Component::Database),
    ServiceName::Part(Component::Eventbus),
    ServiceName::Part(Component::Queue),
    ServiceName::Part(Component::Executors),
    ServiceName::Part(Component::Workers),
];

/// Restart parts of the orchestrator
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Restart every part, in order
    ///
    /// Store, event bus, queue, executors, workers, each once the one before is ready; it stops at the first that does
    /// not come back and says which are up. Actions in flight get the drain time to finish; what is left is handed back
    /// to the queue. When the orchestrator does not answer and config.toml says what runs it, its process is started
    /// too. Settings that wait take effect; those that differ in your shell are named.
    ///
    /// Example: opsctl restart all --drain 30s
    All(RestartArgs),
    /// Restart the orchestrator's process
    ///
    /// For when it does not answer. config.toml says what runs it, as it can for
    /// every part (database, eventbus, queue, executors, workers,
    /// executor-PLATFORM): a systemd `unit` (`user = true` for one of yours), or a
    /// `restart` command with a `check` that ends with 0 while it works; `drain`,
    /// `timeout` and `stable` are optional.
    ///
    ///     [contexts.prod-eu.services.orchestrator]
    ///     unit = "opsctl.service"
    ///
    ///     [contexts.prod-eu.services.database]
    ///     restart = ["docker", "compose", "restart", "db"]
    ///     check = ["docker", "compose", "exec", "-T", "db", "pg_isready"]
    ///
    /// Example: opsctl restart orchestrator --reason INC-204
    #[command(verbatim_doc_comment)]
    Orchestrator(RestartArgs),
    /// Reopen the store
    ///
    /// Actions in flight get the drain time to finish; what is left is handed back to the queue. Settings that wait
    /// for this part take effect; those that differ in your shell are named.
    ///
    /// Example: opsctl restart database
    Database(RestartArgs),
    /// Restart the event bus
    ///
    /// Actions in flight get the drain time to finish; what is left is handed back to the queue. Settings that wait
    /// for this part take effect; those that differ in your shell are named.
    ///
    /// Example: opsctl restart eventbus
    Eventbus(RestartArgs),
    /// Reload the queue from the store
    ///
    /// Actions in flight get the drain time to finish; what is left is handed back to the queue. Settings that wait
    /// for this part take effect; those that differ in your shell are named.
    ///
    /// Example: opsctl restart queue
    Queue(RestartArgs),
    /// Restart the executors of all platforms
    ///
    /// Actions in flight get the drain time to finish; what is left is handed back to the queue. Settings that wait
    /// for this part take effect; those that differ in your shell are named.
    ///
    /// Example: opsctl restart executors
    Executors(RestartArgs),
    /// Restart the worker pool
    ///
    /// Actions in flight get the drain time to finish; what is left is handed back to the queue. Settings that wait
    /// for this part take effect; those that differ in your shell are named.
    ///
    /// Example: opsctl restart workers --drain 30s
    Workers(RestartArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let part = |part| [ServiceName::Part(part)];
        match self {
            Self::All(args) => restart(app, "restart all", &ORDER, args).await,
            Self::Orchestrator(args) => restart(app, "restart orchestrator", &[ServiceName::Orchestrator], args).await,
            Self::Database(args) => restart(app, "restart database", &part(Component::Database), args).await,
            Self::Eventbus(args) => restart(app, "restart eventbus", &part(Component::Eventbus), args).await,
            Self::Queue(args) => restart(app, "restart queue", &part(Component::Queue), args).await,
            Self::Executors(args) => restart(app, "restart executors", &part(Component::Executors), args).await,
            Self::Workers(args) => restart(app, "restart workers", &part(Component::Workers), args).await,
        }
    }
}

/// Arguments of a restart.
///
/// Actions in flight get the drain time to finish; what is left is handed back to the queue. Settings that wait for
/// this part take effect. Variables exported in your shell change nothing on the service: each difference is named.
///
/// Example: opsctl restart workers --drain 30s
#[derive(Args, Debug)]
pub struct RestartArgs {
    /// How long actions in flight may take to finish
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = crate::settings::parse_duration)]
    drain: Duration,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Restarts one platform's executor.
pub(super) async fn executor(app: &App, platform: Platform, args: RestartArgs) -> anyhow::Result<Outcome> {
    restart(app, "executor restart", &[ServiceName::Executor(platform)], args).await
}

async fn restart(app: &App, verb: &'static str, names: &[ServiceName], args: RestartArgs) -> anyhow::Result<Outcome> {
    let context = app.settings.context()?;
    if names == [ServiceName::Orchestrator] && context.services.get(ServiceName::Orchestrator).is_none() {
        return Err(not_configured(app)?.into());
    }
    let known = Known::ask(app, names).await;
    let silent = known.as_ref().is_err_and(|error| Explained::from_error(error).kind == Kind::Unreachable);
    let legs = legs::of(&context.services, names, silent);
    let needs_api = legs.iter().any(Leg::is_api);
    let known = match known {
        Ok(known) => Some(known),
        Err(error) if needs_api => return Err(legs::unreachable(app, error, &legs)?),
        Err(_) => None,
    };
    if let Some(known) = &known {
        exports::warn_of_exports(app, &known.settings);
    }
    let mut plan = Plan::new(verb, title(&legs), &args.change)
        .subject("services")
        .items(legs.iter().filter(|leg| !leg.comes()).count() as u64);
    if legs.iter().any(|leg| leg.service().is_some()) {
        plan = plan.direct();
    }
    for leg in &legs {
        plan = plan.steps(leg.steps(known.as_ref(), args.drain).await);
    }
    let come: Vec<String> = legs.iter().filter(|leg| leg.comes()).map(|leg| leg.name.to_string()).collect();
    if !come.is_empty() {
        plan = plan.note(format!("{} come up with the orchestrator and are waited for", come.join(", ")));
    }
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let (rows, failure) = run::all(app, &approval, &legs, args.drain).await?;
    app.receipt(&approval, rows.receipt())?;
    app.emit(&rows)?;
    match failure {
        None => Ok(Outcome::Done),
        Some(error) if legs.len() == 1 => Err(error),
        Some(error) => Err(error.context(rows.stopped())),
    }
}

fn title(legs: &[Leg<'_>]) -> String {
    match legs {
        [one] => format!("restart the {}", report::name(one.name)),
        many => format!("restart all {} services", many.len()),
    }
}

/// Nothing says what runs the orchestrator's process here.
fn not_configured(app: &App) -> anyhow::Result<Fault> {
    let context = app.settings.context()?;
    let fault =
        Fault::new(Kind::NotFound, format!("the context `{}` does not say what runs the orchestrator", context.name));
    Ok(match context.kind {
        crate::settings::ContextKind::Sandbox => fault
            .because("the practice ground runs its own")
            .hint("bring back what is missing with `opsctl sandbox up`"),
        _ => fault.hint(how_to_configure(app, ServiceName::Orchestrator)?),
    })
}
