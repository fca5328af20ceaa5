//! `opsctl restart` and `opsctl executor restart`: parts of the orchestrator, drained and started again.

use std::io;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, UndoAction};
use crate::output::{Page, Report, Table};
use crate::server::config;
use crate::settings::format_duration;
use crate::wire::{Component, ComponentState, ComponentStatus, ConfigEntry, Platform, RestartAnswer};

/// The runbook's order for a full restart (Procedure 1): what others lean on comes first.
const ORDER: [Component; 5] =
    [Component::Database, Component::Eventbus, Component::Queue, Component::Executors, Component::Workers];

/// Restart parts of the orchestrator
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Restart every part, in order
    ///
    /// Store, event bus, queue, executors, workers, each once the one before is ready; it stops at the first that does
    /// not come back. Actions in flight get the drain time to finish; what is left is handed back to the queue.
    /// Settings that wait take effect; those that differ in your shell are named.
    ///
    /// Example: opsctl restart all --drain 30s
    All(RestartArgs),
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
        match self {
            Self::All(args) => components(app, "restart all", &ORDER, args).await,
            Self::Database(args) => components(app, "restart database", &[Component::Database], args).await,
            Self::Eventbus(args) => components(app, "restart eventbus", &[Component::Eventbus], args).await,
            Self::Queue(args) => components(app, "restart queue", &[Component::Queue], args).await,
            Self::Executors(args) => components(app, "restart executors", &[Component::Executors], args).await,
            Self::Workers(args) => components(app, "restart workers", &[Component::Workers], args).await,
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

/// What restarted, in order.
#[derive(Serialize)]
#[serde(transparent)]
struct Restarted(Vec<RestartAnswer>);

impl Report for Restarted {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PART", "STATE", ">TOOK", ">DRAINED", ">HANDED BACK", "NOW IN FORCE"]);
        for answer in &self.0 {
            table.row([
                part_name(answer),
                answer.state.to_string(),
                format!("{}ms", answer.took_ms),
                answer.drained.to_string(),
                answer.handed_back.to_string(),
                answer.applied.join(", "),
            ]);
        }
        page.table(&table)
    }
}

async fn components(app: &App, verb: &'static str, parts: &[Component], args: RestartArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let status = orchestrator.components().await?;
    let settings = orchestrator.config().await?.settings;
    warn_of_exports(app, &settings);
    let title = match parts {
        [one] => format!("restart the {one}"),
        many => format!("restart all {} parts", many.len()),
    };
    let mut plan = Plan::new(verb, title, &args.change);
    for part in parts {
        plan = plan.step(
            Step::new(format!("POST /admin/v1/components/{part}/restart"))
                .because(describe(*part, &status, &settings, args.drain)),
        );
    }
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let mut done = Vec::new();
    for part in parts {
        let answer = orchestrator.restart_component(&approval, *part, args.drain).await;
        let up = match answer {
            Ok(answer) => {
                let up = answer.state == ComponentState::Up;
                done.push(answer);
                if up { Ok(()) } else { wait_until_up(&orchestrator, *part, args.drain).await }
            }
            Err(error) => Err(error),
        };
        if let Err(error) = up {
            app.receipt(&approval, restarted(&done))?;
            return Err(stopped_at(error, *part, parts, &done));
        }
    }
    app.receipt(&approval, restarted(&done))?;
    app.emit(&Restarted(done))?;
    Ok(Outcome::Done)
}

fn restarted(answers: &[RestartAnswer]) -> Vec<ReceiptItem> {
    let why = "a restart leaves nothing to take back";
    answers.iter().map(|a| ReceiptItem::applied(part_name(a), UndoAction::none(why))).collect()
}

fn part_name(answer: &RestartAnswer) -> String {
    match answer.platform {
        Some(platform) => format!("{platform} executor"),
        None => answer.component.to_string(),
    }
}

/// What a restart of this part will do, with the settings that wait for it.
fn describe(part: Component, status: &[ComponentStatus], settings: &[ConfigEntry], drain: Duration) -> String {
    let now = status
        .iter()
        .find(|s| s.component == part)
        .map_or("state unknown".to_owned(), |s| format!("{}, {}", s.state, s.detail));
    let pending: Vec<String> = settings
        .iter()
        .filter(|s| s.restart.as_str() == part.as_str())
        .filter_map(|s| {
            Some(format!("{} {} -> {}", s.name, s.value.as_deref().unwrap_or("unset"), s.pending.as_ref()?))
        })
        .collect();
    let mut text = format!("{part}: {now}; drain up to {}", format_duration(drain));
    if !pending.is_empty() {
        text.push_str(&format!("; takes effect: {}", pending.join(", ")));
    }
    text
}

/// Variables in the caller's shell that differ from the service's: an export here changes nothing there.
fn warn_of_exports(app: &App, settings: &[ConfigEntry]) {
    for difference in export_differences(settings, |name| app.settings.env.get(name).map(str::to_owned)) {
        app.output.warn(&difference);
    }
}

/// Whether the service has, or will have after a restart, another value than this one.
pub(super) fn differs(setting: &ConfigEntry, here: &str) -> bool {
    if setting.secret {
        return setting.fingerprint.as_deref() != Some(&crate::secret::Secret::new(here).fingerprint());
    }
    let here = config::find(&setting.name).and_then(|def| def.kind.normalise(here).ok()).unwrap_or_else(|| here.into());
    setting.pending.as_deref().or(setting.value.as_deref()) != Some(&here)
}

/// One sentence for each exported variable whose value the service does not use.
pub(super) fn export_differences(settings: &[ConfigEntry], exported: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut lines = Vec::new();
    for setting in settings {
        let Some(here) = exported(&setting.name).filter(|v| !v.is_empty()) else { continue };
        if !differs(setting, &here) {
            continue;
        }
        if setting.secret {
            lines.push(format!(
                "{} in your shell (sha256 {}) is not the service's ({}); to use it there: opsctl config set {} --value-file FILE",
                setting.name,
                crate::secret::Secret::new(here).fingerprint(),
                setting.fingerprint.as_deref().map_or("unset".to_owned(), |f| format!("sha256 {f}")),
                setting.name,
            ));
            continue;
        }
        let there = setting.pending.as_deref().or(setting.value.as_deref());
        lines.push(format!(
            "{name}={here} in your shell changes nothing on the service, which has {there}; to set it there: opsctl config set {name}={here}",
            name = setting.name,
            there = there.unwrap_or("it unset"),
        ));
    }
    lines
}

/// Waits until a part reports that it is up; the restart itself may answer before.
async fn wait_until_up(orchestrator: &Orchestrator, part: Component, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit.max(Duration::from_secs(5));
    loop {
        let all = orchestrator.components().await?;
        if all.iter().any(|s| s.component == part && s.state == ComponentState::Up) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Fault::new(Kind::Failed, format!("the {part} did not come back")).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn stopped_at(error: anyhow::Error, part: Component, parts: &[Component], done: &[RestartAnswer]) -> anyhow::Error {
    if parts.len() == 1 {
        return error;
    }
    let up: Vec<_> = done.iter().filter(|a| a.component != part).map(|a| a.component.to_string()).collect();
    let left: Vec<_> = parts.iter().skip_while(|p| **p != part).skip(1).map(|p| p.to_string()).collect();
    error.context(format!(
        "the restart stopped at the {part}; restarted: {}; not touched: {}",
        if up.is_empty() { "none".into() } else { up.join(", ") },
        if left.is_empty() { "none".into() } else { left.join(", ") },
    ))
}

/// Restarts one platform's executor.
pub(super) async fn executor(app: &App, platform: Platform, args: RestartArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let executors = orchestrator.executors().await?;
    let now = executors.iter().find(|e| e.platform == platform);
    let seen = now.map_or("state unknown".to_owned(), |e| {
        format!("{}, {} in flight, circuit {}", e.state, e.in_flight, e.circuit)
    });
    warn_of_exports(app, &orchestrator.config().await?.settings);
    let plan = Plan::new("executor restart", format!("restart the {platform} executor"), &args.change).step(
        Step::new(format!("POST /admin/v1/executors/{platform}/restart"))
            .because(format!("{seen}; drain up to {}", format_duration(args.drain))),
    );
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let answer = orchestrator.restart_executor(&approval, platform, args.drain).await?;
    let answer = vec![answer];
    app.receipt(&approval, restarted(&answer))?;
    app.emit(&Restarted(answer))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ConfigSource, RestartPart};

    fn setting(name: &str, value: &str, secret: bool) -> ConfigEntry {
        ConfigEntry {
            name: name.into(),
            value: Some(value.into()),
            pending: None,
            source: ConfigSource::Default,
            restart: RestartPart::Workers,
            secret,
            fingerprint: secret.then(|| crate::secret::Secret::new(value).fingerprint()),
            pending_fingerprint: None,
            description: String::new(),
            expires_at: None,
            version: 1,
        }
    }

    #[test]
    fn an_export_that_differs_is_named_with_the_line_that_makes_it_real() {
        let settings = [setting("QUEUE_WORKERS", "5", false), setting("MAX_RETRY_ATTEMPTS", "3", false)];
        let lines = export_differences(&settings, |name| (name == "QUEUE_WORKERS").then(|| "10".into()));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("opsctl config set QUEUE_WORKERS=10"), "{}", lines[0]);
    }

    #[test]
    fn an_export_that_is_the_same_or_already_pending_is_not_named() {
        let mut pending = setting("QUEUE_WORKERS", "5", false);
        pending.pending = Some("10".into());
        assert!(export_differences(&[pending], |_| Some("10".into())).is_empty());
        assert!(export_differences(&[setting("QUEUE_WORKERS", "5", false)], |_| Some("5".into())).is_empty());
    }

    #[test]
    fn a_secret_is_compared_by_fingerprint_and_never_printed() {
        let settings = [setting("NOTION_API_KEY", "ntn_the_services_value", true)];
        let lines = export_differences(&settings, |_| Some("ntn_the_shells_value".into()));
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains("ntn_the"), "{}", lines[0]);
        assert!(export_differences(&settings, |_| Some("ntn_the_services_value".into())).is_empty());
    }
}
