//! `opsctl logs search|executor|actions|state|fallback|workers|member2`: lines of one log, from its files where the
//! context says where they are, else over the admin API.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::follow::{self, Followed};
use super::place::{self, Place};
use super::{flow, grouped};
use crate::app::{App, StaleArgs};
use crate::commands::args::{PlatformArg, SinceArgs, UntilArgs, count};
use crate::error::{Fault, Kind, Outcome};
use crate::logs::page;
use crate::logs::query::{BadFilter, Filter, Query, about};
use crate::logs::time::moment_of;
use crate::output::{Format, Page, Report, Table};
use crate::redact::masked_line;
use crate::settings::ContextKind;
use crate::wire::{LineFilter, LogName, LogPage, LogSource, Platform, Time};

/// Lines shown unless told.
const LIMIT: u64 = 100;
/// Most that one call gives.
const MOST: u64 = 10_000;

/// What is asked of a log, the same for every log verb.
#[derive(Args, Clone, Debug)]
pub struct LineArgs {
    /// Only about this platform
    #[arg(long, visible_alias = "executor", value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    since: SinceArgs,

    #[command(flatten)]
    until: UntilArgs,

    /// At most this many, the newest [with -o jsonl all]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count(1..=MOST))]
    limit: Option<u64>,

    /// Only this level: error, warn, info, verbose, debug
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,

    /// Only this part: executor, queue, store, circuit
    #[arg(long, value_name = "PART", hide_short_help = true)]
    component: Option<String>,

    /// Only this workflow
    #[arg(long, value_name = "WORKFLOW", hide_short_help = true)]
    workflow: Option<String>,

    /// Only lines with this text, or /regex/
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,

    /// Only where a key has a value, as in level:error
    ///
    /// KEY:VALUE, KEY:!VALUE, KEY:>N, KEY:>=N, KEY:<N, KEY:<=N, KEY:A..B, KEY:/regex/; dots go into nested objects:
    /// error.code:429. Numbers are compared by their amount. Several of them all have to hold (can be repeated).
    #[arg(long = "filter", value_name = "KEY:VALUE")]
    filters: Vec<String>,

    /// Read this file and what was rotated; - for stdin
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,

    /// Count the lines by the value of a key
    ///
    /// --limit is then how many values are shown, those with most lines; dots go into nested objects.
    #[arg(long, value_name = "KEY", conflicts_with = "follow", hide_short_help = true)]
    group_by: Option<String>,

    /// Go on with new lines as they are written
    #[arg(long, short = 'f')]
    follow: bool,

    #[command(flatten)]
    stale: StaleArgs,
}

impl LineArgs {
    /// The file that was named.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether a silent orchestrator is accepted.
    pub(super) fn stale(&self) -> StaleArgs {
        self.stale
    }

    /// What a route that knows more than lines can be asked; `None` when something else is asked as well, for which the
    /// lines of the log have to be looked at.
    pub(super) fn simple(&self) -> Option<Simple<'_>> {
        let others = self.until.is_given() || self.level.is_some() || self.file.is_some();
        let others = others || self.group_by.is_some() || self.follow || !self.filters.is_empty();
        let expression = self.grep.as_ref().is_some_and(|text| text.starts_with('/'));
        (!others && !expression).then(|| Simple {
            platform: self.platform.map(|p| p.0),
            component: self.component.as_deref(),
            workflow: self.workflow.as_deref(),
            grep: self.grep.as_deref(),
            since: &self.since,
            limit: self.limit,
        })
    }

    /// Whether lines are to be shown as they are, or counted: what only the log itself can answer.
    pub(super) fn wants_lines(&self) -> bool {
        self.follow || self.group_by.is_some()
    }

    /// The same for one workflow.
    pub(super) fn of_workflow(mut self, id: Option<String>) -> Self {
        self.workflow = id.or(self.workflow);
        self
    }
}

/// The simple part of what is asked.
pub(super) struct Simple<'a> {
    pub(super) platform: Option<Platform>,
    pub(super) component: Option<&'a str>,
    pub(super) workflow: Option<&'a str>,
    pub(super) grep: Option<&'a str>,
    pub(super) since: &'a SinceArgs,
    pub(super) limit: Option<u64>,
}

/// Search the log of everything
///
/// Conditions on keys compare values as they read: numbers by their amount, escapes undone. --filter takes KEY:VALUE,
/// KEY:!VALUE, KEY:>N, KEY:A..B and KEY:/regex/, and can be repeated: all of them have to hold.
///
/// Example: opsctl logs search --filter "userId:user-123" --since 24h
#[derive(Args, Debug)]
pub struct SearchArgs {
    #[command(flatten)]
    lines: LineArgs,
}

/// Show what a platform's executor wrote
///
/// With -v every line comes with its whole stack.
///
/// Example: opsctl logs executor notion --since 10m -v
#[derive(Args, Debug)]
pub struct ExecutorArgs {
    /// The platform
    #[arg(value_name = "PLATFORM", conflicts_with = "platform")]
    of: PlatformArg,

    #[command(flatten)]
    lines: LineArgs,
}

/// Show actions as they were executed
///
/// Example: opsctl logs actions --platform notion --since 5m --limit 100
#[derive(Args, Debug)]
pub struct ActionsArgs {
    #[command(flatten)]
    lines: LineArgs,
}

/// Show what the state manager and the store wrote
///
/// Example: opsctl logs state --since 1h
#[derive(Args, Debug)]
pub struct StateArgs {
    #[command(flatten)]
    lines: LineArgs,
}

/// Show where another platform stood in
///
/// Example: opsctl logs fallback --since 5m
#[derive(Args, Debug)]
pub struct FallbackArgs {
    #[command(flatten)]
    lines: LineArgs,
}

/// Show what failed in workers and executors, labelled crash, timeout or network
///
/// Example: opsctl logs workers --since 10m
#[derive(Args, Debug)]
pub struct WorkersArgs {
    #[command(flatten)]
    lines: LineArgs,
}

/// Show what the reasoning engine wrote
///
/// It is another program: the context says where its log is (`logs.member2`).
///
/// Example: opsctl logs member2 --grep "action:ready"
#[derive(Args, Debug)]
pub struct Member2Args {
    #[command(flatten)]
    lines: LineArgs,
}

/// Which lines a verb is about, before anything else is asked.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) log: LogName,
    filters: &'static [&'static str],
    platform: Option<Platform>,
    /// Whether each line gets the label of its trouble.
    labels: bool,
    /// Lines shown unless told.
    pub(super) limit: u64,
}

impl About {
    pub(super) const fn of(log: LogName, filters: &'static [&'static str]) -> Self {
        About { log, filters, platform: None, labels: false, limit: LIMIT }
    }

    /// The same with another number of lines.
    pub(super) const fn showing(self, limit: u64) -> Self {
        About { limit, ..self }
    }
}

pub(super) async fn search(app: &App, args: SearchArgs) -> anyhow::Result<Outcome> {
    show(app, About::of(LogName::Application, &[]), args.lines).await
}

pub(super) async fn executor(app: &App, args: ExecutorArgs) -> anyhow::Result<Outcome> {
    let platform = args.of.0;
    show(app, About { platform: Some(platform), ..About::of(platform.into(), &[]) }, args.lines).await
}

pub(super) async fn actions(app: &App, args: ActionsArgs) -> anyhow::Result<Outcome> {
    show(app, About::of(LogName::Application, &["actionId:/./"]), args.lines).await
}

/// The security log.
const SECURITY: About = About::of(LogName::Security, &["component:security"]);

pub(super) async fn security(app: &App, lines: LineArgs) -> anyhow::Result<Outcome> {
    show(app, SECURITY, lines).await
}

/// What is asked of the security log.
pub(super) fn security_filter(app: &App, lines: &LineArgs) -> anyhow::Result<LineFilter> {
    filter(app, &SECURITY, lines)
}

pub(super) async fn state(app: &App, args: StateArgs) -> anyhow::Result<Outcome> {
    show(app, About::of(LogName::Application, &["component:/^(state-manager|store)$/"]), args.lines).await
}

pub(super) async fn fallback(app: &App, args: FallbackArgs) -> anyhow::Result<Outcome> {
    show(app, About::of(LogName::Application, &["component:fallback"]), args.lines).await
}

pub(super) async fn workers(app: &App, args: WorkersArgs) -> anyhow::Result<Outcome> {
    let about = About::of(LogName::Application, &["component:/^(executor|worker)$/", "level:/^(error|warn)$/"]);
    show(app, About { labels: true, ..about }, args.lines).await
}

pub(super) async fn member2(app: &App, args: Member2Args) -> anyhow::Result<Outcome> {
    let mut lines = args.lines;
    if lines.file.is_none() {
        lines.file = Some(member2_log(app).await?);
    }
    show(app, About::of(LogName::Application, &[]), lines).await
}

/// Where the context says the reasoning engine's log is.
async fn member2_log(app: &App) -> anyhow::Result<PathBuf> {
    let context = app.settings.context()?;
    if context.kind == ContextKind::Sandbox {
        // Its lines have the sandbox's clock.
        place::folder(app).await?;
        return Ok(crate::sandbox::Place::of(&app.settings.places).member2_log());
    }
    context.logs.member2.clone().ok_or_else(|| {
        Fault::new(
            Kind::Failed,
            format!("where the reasoning engine's log is, the context `{}` does not say", context.name),
        )
        .because("it is another program's file, and the orchestrator does not have it")
        .hint(format!(
            "add to config.toml: [contexts.{}.logs] member2 = \"/path/to/its.log\", or name it with --file",
            context.name
        ))
        .into()
    })
}

/// Lines with where they come from.
#[derive(Serialize)]
struct Lines {
    #[serde(flatten)]
    page: LogPage,
    /// Whether stacks are shown whole.
    #[serde(skip)]
    whole: bool,
}

/// What stands in columns of its own.
const COLUMNS: [&str; 5] = ["timestamp", "level", "platform", "component", "message"];

impl Report for Lines {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.page.lines.is_empty() {
            return Ok(());
        }
        let labelled = self.page.lines.iter().any(|line| line.get("label").is_some());
        let mut headings = vec!["TIME", "LEVEL", "PLATFORM", "PART", "MESSAGE", "MORE"];
        if labelled {
            headings.insert(2, "LABEL");
        }
        let mut table = Table::new(&headings);
        for line in &self.page.lines {
            let mut row = row(line, self.whole);
            if labelled {
                row.insert(2, text(line, "label"));
            }
            table.row(row);
        }
        page.table(&table)
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        Ok(self.page.lines.clone())
    }

    fn empty_note(&self) -> Option<String> {
        self.page.lines.is_empty().then(|| "No lines.".to_owned())
    }
}

/// A line's cells: time, level, platform, part, message, and the rest. The time is exact on a terminal too: lines are
/// held against each other and against other logs.
pub(super) fn row(line: &Value, whole: bool) -> Vec<String> {
    let at = line.get("timestamp").and_then(moment_of);
    let platform = about(|key| line.get(key).and_then(Value::as_str).map(Cow::Borrowed));
    vec![
        at.map_or_else(|| text(line, "timestamp"), |at| at.to_string()),
        text(line, "level"),
        platform.map_or_else(|| text(line, "platform"), |platform| platform.to_string()),
        text(line, "component"),
        message(line),
        more(line, whole),
    ]
}

/// What a line says; of one without a message what it is about: `create_task failed: rate_limited`.
fn message(line: &Value) -> String {
    let first =
        |keys: &[&str]| keys.iter().map(|key| text(line, key)).find(|text| !text.is_empty()).unwrap_or_default();
    let message = text(line, "message");
    if !message.is_empty() {
        return message;
    }
    let what = [first(&["action", "actionType", "type"]), text(line, "status")].join(" ");
    let error = first(&["error", "lastError"]);
    if error.is_empty() { what.trim().to_owned() } else { format!("{}: {error}", what.trim()) }
}

fn text(line: &Value, key: &str) -> String {
    line.get(key).map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The keys that have no column of their own: `actionId=… attempt=2`.
fn more(line: &Value, whole: bool) -> String {
    let empty = Map::new();
    let pairs = line.as_object().unwrap_or(&empty).iter().filter(|(key, _)| {
        !COLUMNS.contains(&key.as_str()) && key.as_str() != "label" && (whole || key.as_str() != "stack")
    });
    pairs.map(|(key, value)| format!("{key}={}", plain(value))).collect::<Vec<_>>().join(" ")
}

/// `crash`, `timeout`, `network`, or nothing.
pub(super) fn label(line: &Value) -> Option<&'static str> {
    let code = text(line, "errorCode");
    let said = format!("{} {}", text(line, "message"), text(line, "error")).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if line.get("stack").is_some() && code.is_empty() || says(&["crash", "panic", "uncaught", "unhandled"]) {
        Some("crash")
    } else if code == "NETWORK_ERROR" || says(&["network", "econn", "enotfound", "connection", "connect"]) {
        // Before the timeouts, as the runbook reads `Network timeout`.
        Some("network")
    } else if code == "TIMEOUT_ERROR" || says(&["timeout", "timed out"]) {
        Some("timeout")
    } else {
        None
    }
}

pub(super) async fn show(app: &App, about: About, args: LineArgs) -> anyhow::Result<Outcome> {
    // First, because it moves the clock to the sandbox's.
    let found = place::find(app, about.log, args.file.as_deref()).await;
    let filter = filter(app, &about, &args)?;
    let query = Query::try_from(&filter).map_err(|bad| unreadable(&bad, &args.filters, args.grep.as_deref()))?;
    let found = found?;
    if let Some(key) = args.group_by {
        let grouped = grouped::count(app, &found, about.log, &filter, &query, key).await?;
        place::ensure_read(app, &grouped.source)?;
        app.emit(&grouped)?;
        return end(app, &grouped.source, &found, &filter, args.stale).await;
    }
    if app.output.format == Format::Jsonl && args.limit.is_none() && !args.follow {
        let source = flow::write(app, &found, about.log, &filter, &query, about.labels).await?;
        place::ensure_read(app, &source)?;
        return end(app, &source, &found, &filter, args.stale).await;
    }
    // Before the page is read, so that nothing falls in between.
    let followed = match &found {
        Place::Files(log) | Place::Named(log) if args.follow => {
            let files = log.growing().filter_map(|family| family.files.first());
            Some(files.cloned().map(Followed::begin).collect::<io::Result<Vec<_>>>()?)
        }
        _ => None,
    };
    let mut page = match &found {
        Place::Files(log) | Place::Named(log) => {
            let (log, query, limit) = (log.clone(), query.clone(), filter.limit);
            tokio::task::spawn_blocking(move || page::page(&log, &query, limit)).await?
        }
        Place::Input => {
            let query = query.clone();
            tokio::task::spawn_blocking(move || page::stream(io::stdin(), "standard input", &query, filter.limit))
                .await??
        }
        Place::Api => {
            if args.follow {
                return Err(follow_needs_files(app));
            }
            let orchestrator = app.orchestrator().await?;
            orchestrator.log_lines(about.log, &filter).await.map_err(|error| place::no_files(app, error))?
        }
    };
    page.lines.iter_mut().for_each(hide);
    if about.labels {
        for line in &mut page.lines {
            if let (Some(label), Some(object)) = (label(line), line.as_object_mut()) {
                object.insert("label".into(), label.into());
            }
        }
    }
    let report = Lines { page, whole: app.is_verbose() };
    place::ensure_read(app, &report.page.source)?;
    app.emit(&report)?;
    let outcome = end(app, &report.page.source, &found, &filter, args.stale).await;
    if let Some(followed) = followed {
        return follow::follow(app, followed, &query, &report.page.lines).await;
    }
    outcome
}

/// Hides what looks like a secret in a line.
pub(super) fn hide(line: &mut Value) {
    let text = line.to_string();
    if let Cow::Owned(masked) = masked_line(&text)
        && let Ok(masked) = serde_json::from_str(&masked)
    {
        *line = masked;
    }
}

/// After the lines: where they come from, and how that makes the command end.
async fn end(
    app: &App,
    source: &LogSource,
    found: &Place,
    filter: &LineFilter,
    stale: StaleArgs,
) -> anyhow::Result<Outcome> {
    app.note(place::told(source, found, filter, app.now()));
    Ok(stale.outcome(app, found, source).await)
}

fn follow_needs_files(app: &App) -> anyhow::Error {
    let name = &app.settings.context_name.value;
    Fault::usage("only files can be followed")
        .because(format!("the context `{name}` does not say where the orchestrator's logs are on this machine"))
        .hint("repeat the command with --since, or name a file with --file")
        .into()
}

/// What is asked of a log in all; a condition that cannot be read is refused with its place.
pub(super) fn filter(app: &App, about: &About, args: &LineArgs) -> anyhow::Result<LineFilter> {
    let mut filters: Vec<String> = about.filters.iter().map(ToString::to_string).collect();
    filters.extend(conditions(args.level.as_deref(), args.component.as_deref(), args.workflow.as_deref()));
    filters.extend(args.filters.iter().cloned());
    let filter = LineFilter {
        limit: args.limit.unwrap_or(about.limit),
        since: args.since.resolve(app)?,
        until: args.until.resolve(app)?,
        platform: about.platform.or(args.platform.map(|p| p.0)),
        grep: args.grep.clone(),
        filters,
    };
    Query::try_from(&filter).map_err(|bad| unreadable(&bad, &args.filters, args.grep.as_deref()))?;
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && since >= until
    {
        return Err(empty_window(since, until, "--since 1h"));
    }
    Ok(filter)
}

/// The fault of a window that ends before it begins.
pub(in crate::commands) fn empty_window(since: Time, until: Time, usual: &str) -> anyhow::Error {
    Fault::usage("the window is empty")
        .because(format!("it begins at {since} and ends at {until}"))
        .hint(format!("write {usual}, or an --until that is later"))
        .into()
}

/// The conditions behind `--level`, `--component` and `--workflow`.
pub(in crate::commands) fn conditions<'a>(
    level: Option<&'a str>,
    component: Option<&'a str>,
    workflow: Option<&'a str>,
) -> impl Iterator<Item = String> + use<'a> {
    let level = level.map(|level| format!("level:{}", level.to_lowercase()));
    let component = component.map(|part| format!("component:{part}"));
    level.into_iter().chain(component).chain(workflow.map(|id| format!("workflowId:{id}")))
}

/// The fault of a filter that cannot be read, with the text and the place in it.
pub(in crate::commands) fn unreadable(bad: &BadFilter, filters: &[String], grep: Option<&str>) -> anyhow::Error {
    let own = filters.iter().find(|text| text.parse::<Filter>().is_err());
    let text = own.map(String::as_str).or(grep).unwrap_or_default();
    Fault::usage(format!("`{text}` cannot be read as a condition"))
        .because(bad.to_string())
        .hint("write KEY:VALUE, KEY:!VALUE, KEY:>N, KEY:A..B, KEY:/regex/; or a text or /regex/ after --grep")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn troubles_are_labelled_as_the_runbook_reads_them() {
        for (line, expected) in [
            (json!({"message": "Network timeout"}), Some("network")),
            (json!({"message": "Action failed", "errorCode": "TIMEOUT_ERROR"}), Some("timeout")),
            (json!({"message": "The executor crashed and restarts"}), Some("crash")),
            (json!({"message": "x", "stack": "Error: y"}), Some("crash")),
            (json!({"message": "Rate limited", "errorCode": "RATE_LIMITED", "stack": "s"}), None),
        ] {
            assert_eq!(label(&line), expected, "{line}");
        }
    }
}
