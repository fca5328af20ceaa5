//! `opsctl logs workflow|rollback`: the execution log, one line per event with the objects it was about.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::lines::{self, About, LineArgs, Simple};
use super::place::{self, Place};
use crate::app::{App, WatchArgs};
use crate::error::{Explained, Kind, Outcome};
use crate::logs::layout::Log;
use crate::logs::page;
use crate::logs::query::{Filter, Query};
use crate::logs::time::moment_of;
use crate::output::{Page, Report, Table};
use crate::wire::{EventFilter, LogName, LogSource, Time, WorkflowEvent, WorkflowEventKind, WorkflowEvents};

/// Show what happened in a workflow, event by event
///
/// Every line names the objects: files, pages, cards, ranges, messages. With -o json an event comes with all its data.
/// With --level, --filter, --until, --follow, --group-by or --file the lines of its log are shown as they are.
///
/// Example: opsctl logs workflow invoice-001 --grep create_file
#[derive(Args, Debug)]
#[command(mut_arg("workflow", |arg| arg.hide(true)))]
pub struct WorkflowLogArgs {
    /// The workflow's id
    #[arg(value_name = "WORKFLOW", conflicts_with = "workflow")]
    id: String,

    #[command(flatten)]
    lines: LineArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Show what happened in rollbacks, event by event
///
/// With --level, --filter, --until, --follow, --group-by or --file the lines of their log are shown as they are.
///
/// Example: opsctl logs rollback --workflow invoice-001
#[derive(Args, Debug)]
#[command(mut_arg("workflow", |arg| arg.hide_short_help(false)))]
pub struct RollbackLogArgs {
    #[command(flatten)]
    lines: LineArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Events shown unless told.
const LIMIT: u64 = 1000;
/// The logs, where lines are asked for.
const WORKFLOW: About = About::of(LogName::Workflows, &[]).showing(LIMIT);
const ROLLBACK: About = About::of(LogName::Rollbacks, &[]).showing(LIMIT);

/// One event; of one that was read from a log file not everything is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    timestamp: Time,
    workflow_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_id: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

impl From<WorkflowEvent> for Event {
    fn from(told: WorkflowEvent) -> Self {
        Event {
            seq: Some(told.seq),
            timestamp: told.timestamp,
            workflow_id: told.workflow_id,
            event: Some(told.event.to_string()),
            step_id: told.step_id,
            message: told.message,
            data: told.data,
            by: told.by,
        }
    }
}

/// Events, oldest first; `truncated` when older ones were left out.
#[derive(Serialize)]
struct Events {
    events: Vec<Event>,
    truncated: bool,
    /// Whether more than one workflow may be in it.
    #[serde(skip)]
    of_many: bool,
}

impl Report for Events {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.events.is_empty() {
            return Ok(());
        }
        let mut headings = vec!["TIME", "EVENT", "STEP", "WHAT", "OBJECTS", "BY"];
        if self.of_many {
            headings.insert(1, "WORKFLOW");
        }
        let mut table = Table::new(&headings);
        for event in &self.events {
            let mut row = vec![
                // Exact on a terminal too, as in every log.
                event.timestamp.to_string(),
                event.event.clone().unwrap_or_default(),
                event.step_id.clone().unwrap_or_default(),
                event.message.clone(),
                objects(event),
                event.by.clone().unwrap_or_default(),
            ];
            if self.of_many {
                row.insert(1, event.workflow_id.clone());
            }
            table.row(row);
        }
        page.table(&table)?;
        if self.truncated {
            page.line("older events were left out; raise --limit or narrow it with --since")?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.events.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        self.events.is_empty().then(|| "No events.".to_owned())
    }
}

/// The ids an event is about: `fileId=1AbC`, wherever in its data they stand.
fn objects(event: &Event) -> String {
    let mut found = Vec::new();
    if let Some(data) = &event.data {
        collect(data, &mut found);
    }
    found.join(" ")
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if is_object(name) => {
                        let pair = format!("{name}={text}");
                        if !found.contains(&pair) {
                            found.push(pair);
                        }
                    }
                    _ => collect(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// Whether a member names an object on a platform, and not one of the orchestrator's own.
fn is_object(name: &str) -> bool {
    const OURS: [&str; 7] = ["actionId", "approvalId", "correlationId", "requestId", "stepId", "userId", "workflowId"];
    matches!(name, "channel" | "ts" | "updatedRange") || (name.ends_with("Id") && !OURS.contains(&name))
}

/// Whether a line of the log holds a text.
fn holds(event: &Event, text: &str) -> bool {
    let whole = serde_json::to_string(event).unwrap_or_default();
    whole.contains(text) || objects(event).contains(text) || event.message.contains(text)
}

pub(super) async fn workflow(app: &App, args: WorkflowLogArgs) -> anyhow::Result<Outcome> {
    show(app, WORKFLOW, args.lines.of_workflow(Some(args.id)), &args.watch).await
}

pub(super) async fn rollback(app: &App, args: RollbackLogArgs) -> anyhow::Result<Outcome> {
    show(app, ROLLBACK, args.lines, &args.watch).await
}

async fn show(app: &App, about: About, args: LineArgs, watch: &WatchArgs) -> anyhow::Result<Outcome> {
    match args.simple().filter(|simple| simple.platform.is_none() && simple.component.is_none()) {
        Some(simple) => of_service(app, &about, &simple, &args, watch).await,
        None => lines::show(app, about, args).await,
    }
}

async fn of_service(
    app: &App,
    about: &About,
    simple: &Simple<'_>,
    args: &LineArgs,
    watch: &WatchArgs,
) -> anyhow::Result<Outcome> {
    let rollback_only = about.log == LogName::Rollbacks;
    let of_many = simple.workflow.is_none();
    let limit = simple.limit.unwrap_or(LIMIT);
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        // Not earlier: finding the orchestrator moves the clock to the sandbox's.
        let since = simple.since.resolve(app)?;
        let filter = EventFilter { workflow_id: simple.workflow.map(str::to_owned), rollback_only, since, limit };
        app.watch(watch, || async {
            let WorkflowEvents { events, truncated } = orchestrator.workflow_events(&filter).await?;
            let mut events: Vec<Event> = events.into_iter().map(Event::from).collect();
            if let Some(text) = simple.grep {
                events.retain(|event| holds(event, text));
            }
            Ok((Events { events, truncated, of_many }, Outcome::Done))
        })
        .await
    };
    let error = match asked.await {
        Err(error) if Explained::from_error(&error).kind == Kind::Unreachable => error,
        answered => return answered,
    };
    // Whoever is down wrote files before.
    let Some(log) = place::events(app).await.ok().flatten() else { return Err(error) };
    let query = Query { since: simple.since.resolve(app)?, ..Query::default() };
    let kept = Kept { rollback_only, workflow: simple.workflow, grep: simple.grep };
    let (events, source) = kept.read(&log, query, usize::try_from(limit).unwrap_or(usize::MAX));
    place::ensure_read(app, &source)?;
    let filter = lines::filter(app, about, args)?;
    app.note(place::told(&source, &Place::Files(log), &filter, app.now()));
    app.emit(&Events { truncated: source.truncated, events, of_many })?;
    Ok(args.stale().silent(app, &Explained::from_error(&error).message, &source))
}

/// Which lines of the log files are events that are asked for.
struct Kept<'a> {
    rollback_only: bool,
    workflow: Option<&'a str>,
    grep: Option<&'a str>,
}

impl Kept<'_> {
    /// The newest events, oldest of them first.
    fn read(&self, log: &Log, mut query: Query, limit: usize) -> (Vec<Event>, LogSource) {
        query.filters.extend(self.workflow.map(|id| Filter::Contains(id.to_owned())));
        let mut events: VecDeque<Event> = VecDeque::new();
        let mut truncated = false;
        let mut source = page::each(log, &query, &mut |line| {
            events.extend(serde_json::from_slice(line).ok().and_then(|line| self.event(line)));
            // The parts of a log come one after the other, so they are put in order before the oldest go.
            if events.len() >= limit.saturating_mul(2).saturating_add(1) {
                truncated |= newest(&mut events, limit);
            }
            ControlFlow::Continue(())
        });
        truncated |= newest(&mut events, limit);
        source.truncated = truncated;
        (events.into(), source)
    }

    /// The event that a line tells of, if it is asked for.
    fn event(&self, line: Value) -> Option<Event> {
        let Value::Object(mut line) = line else { return None };
        let timestamp = moment_of(&line.remove("timestamp")?)?;
        let mut take = |key: &str| match line.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (own, correlation) = (take("workflowId"), take("correlationId"));
        // Without an id of its own a step's action is its workflow's by the id that it goes with.
        let id = |asked: &str| {
            let step = |id: &String| id == asked || id.strip_prefix(asked).is_some_and(|rest| rest.starts_with('-'));
            own.as_deref() == Some(asked) || own.is_none() && correlation.as_ref().is_some_and(step)
        };
        let workflow_id = match self.workflow {
            Some(asked) if id(asked) => asked.to_owned(),
            Some(_) => return None,
            None => own?,
        };
        let event = Event {
            seq: None,
            timestamp,
            workflow_id,
            event: take("event"),
            step_id: take("stepId"),
            message: take("message").unwrap_or_default(),
            by: take("by"),
            data: {
                ["level", "component"].iter().for_each(|key| _ = take(key));
                (!line.is_empty()).then(|| Value::Object(std::mem::take(&mut line)))
            },
        };
        let kind = event.event.as_ref().and_then(|event| event.parse::<WorkflowEventKind>().ok());
        let of_rollback = kind.map_or_else(|| event.message.contains("ollback"), WorkflowEventKind::is_rollback);
        let asked = self.grep.is_none_or(|text| holds(&event, text));
        (asked && (of_rollback || !self.rollback_only)).then_some(event)
    }
}

/// Puts events in order and leaves the newest; whether there were others.
fn newest(events: &mut VecDeque<Event>, limit: usize) -> bool {
    events.make_contiguous().sort_by_key(|event| event.timestamp);
    let others = events.len().saturating_sub(limit);
    events.drain(..others);
    others > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Style, draw};
    use serde_json::json;

    fn event(step: &str, data: Value) -> Event {
        Event {
            seq: Some(1),
            timestamp: Time(0),
            workflow_id: "invoice-001".into(),
            event: Some("step_completed".into()),
            step_id: Some(step.into()),
            message: format!("{step} is done"),
            data: Some(data),
            by: None,
        }
    }

    #[test]
    fn a_line_names_the_objects_wherever_they_stand() {
        let result = json!({"result": {"fileId": "1AbC", "webViewLink": "https://x"}, "error": {"requestId": "r"}});
        assert_eq!(objects(&event("create_file", result)), "fileId=1AbC");
        let message = json!({"channel": "C1", "ts": "17.4", "count": 2});
        assert_eq!(objects(&event("notify", message)), "channel=C1 ts=17.4");
    }

    #[test]
    fn what_is_grepped_may_be_a_step_an_id_or_a_parameter() {
        let event = event("create_file", json!({"fileId": "1AbC", "name": "invoice.pdf"}));
        for text in ["create_file", "1AbC", "fileId=1AbC", "invoice.pdf", "is done"] {
            assert!(holds(&event, text), "{text}");
        }
        assert!(!holds(&event, "update_sheet"));
    }

    #[test]
    fn the_workflow_is_a_column_only_where_there_are_several() {
        let log = |of_many| {
            let events = vec![event("create_file", json!({"fileId": "1AbC"}))];
            draw(&Events { events, truncated: true, of_many }, Style::plain()).unwrap()
        };
        assert!(log(true).contains("invoice-001") && !log(false).contains("invoice-001"));
        assert!(log(false).contains("older events were left out"));
    }

    #[test]
    fn a_line_of_a_file_is_an_event_as_far_as_it_tells() {
        let read =
            |rollback_only, line: Value| Kept { rollback_only, workflow: Some("invoice-001"), grep: None }.event(line);
        let ours = json!({"timestamp": "1970-01-01T00:00:00.000Z", "level": "info", "message": "create_file is done",
            "component": "workflow", "workflowId": "invoice-001", "event": "step_completed", "stepId": "create_file",
            "fileId": "1AbC"});
        let told = read(false, ours.clone()).unwrap();
        assert_eq!(told, Event { seq: None, ..event("create_file", json!({"fileId": "1AbC"})) });
        assert_eq!(read(true, ours), None, "it is not about a rollback");
        // The application's own line knows its workflow only by the id that its action goes with.
        let line =
            |id: &str| json!({"timestamp": 1_760_697_045_123_i64, "correlationId": id, "message": "Action failed"});
        assert_eq!(read(false, line("invoice-001-update-sheet")).unwrap().timestamp, Time(1_760_697_045_123));
        assert_eq!((read(false, line("invoice-0012")), read(false, line("other"))), (None, None));
    }
}
