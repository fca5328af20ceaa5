//! `opsctl logs workflow|rollback`: the execution log, one line per event with the objects it was about.

use std::io;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::app::{App, WatchArgs};
use crate::commands::args::{SinceArgs, count};
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::wire::{EventFilter, WorkflowEvent, WorkflowEvents};

/// Flags that both share.
#[derive(Args, Debug)]
struct EventArgs {
    /// Only lines that hold this text, ids and parameters included
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,

    #[command(flatten)]
    since: SinceArgs,

    /// At most this many events, the newest
    #[arg(long, value_name = "N", default_value_t = 1000, allow_negative_numbers = true, value_parser = count(1..=10_000))]
    limit: u64,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Show what happened in a workflow, event by event
///
/// Every line names the objects: files, pages, cards, ranges, messages. With -o json an event comes with all its data.
///
/// Example: opsctl logs workflow invoice-001 --grep create_file
#[derive(Args, Debug)]
pub struct WorkflowLogArgs {
    /// The workflow's id
    #[arg(value_name = "WORKFLOW")]
    id: String,

    #[command(flatten)]
    events: EventArgs,
}

/// Show what happened in rollbacks, event by event
///
/// Example: opsctl logs rollback --workflow invoice-001
#[derive(Args, Debug)]
pub struct RollbackLogArgs {
    /// Only this workflow; all of them without it
    #[arg(long, value_name = "WORKFLOW")]
    workflow: Option<String>,

    #[command(flatten)]
    events: EventArgs,
}

/// Events, oldest first; `truncated` when older ones were left out.
#[derive(Serialize)]
#[serde(transparent)]
struct Events {
    log: WorkflowEvents,
    /// Whether more than one workflow may be in it.
    #[serde(skip)]
    of_many: bool,
}

impl Report for Events {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.log.events.is_empty() {
            return Ok(());
        }
        let mut headings = vec!["TIME", "EVENT", "STEP", "WHAT", "OBJECTS", "BY"];
        if self.of_many {
            headings.insert(1, "WORKFLOW");
        }
        let mut table = Table::new(&headings);
        for event in &self.log.events {
            let mut row = vec![
                page.time(event.timestamp),
                event.event.to_string(),
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
        if self.log.truncated {
            page.line("older events were left out; raise --limit or narrow it with --since")?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.log.events.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        self.log.events.is_empty().then(|| "No events.".to_owned())
    }
}

/// The ids an event is about: `fileId=1AbC`, wherever in its data they stand.
fn objects(event: &WorkflowEvent) -> String {
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
fn holds(event: &WorkflowEvent, text: &str) -> bool {
    let whole = serde_json::to_string(event).unwrap_or_default();
    whole.contains(text) || objects(event).contains(text) || event.message.contains(text)
}

async fn show(app: &App, workflow_id: Option<String>, rollback_only: bool, args: EventArgs) -> anyhow::Result<Outcome> {
    let of_many = workflow_id.is_none();
    let filter = EventFilter { workflow_id, rollback_only, since: args.since.resolve(app)?, limit: args.limit };
    let orchestrator = app.orchestrator().await?;
    app.watch(&args.watch, || async {
        let mut log = orchestrator.workflow_events(&filter).await?;
        if let Some(text) = &args.grep {
            log.events.retain(|event| holds(event, text));
        }
        Ok((Events { log, of_many }, Outcome::Done))
    })
    .await
}

pub(super) async fn workflow(app: &App, args: WorkflowLogArgs) -> anyhow::Result<Outcome> {
    show(app, Some(args.id), false, args.events).await
}

pub(super) async fn rollback(app: &App, args: RollbackLogArgs) -> anyhow::Result<Outcome> {
    show(app, args.workflow, true, args.events).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Style, draw};
    use crate::wire::{Time, WorkflowEventKind};
    use serde_json::json;

    fn event(step: &str, data: Value) -> WorkflowEvent {
        WorkflowEvent {
            seq: 1,
            timestamp: Time(0),
            workflow_id: "invoice-001".into(),
            event: WorkflowEventKind::StepCompleted,
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
            draw(&Events { log: WorkflowEvents { events, truncated: true }, of_many }, Style::plain()).unwrap()
        };
        assert!(log(true).contains("invoice-001") && !log(false).contains("invoice-001"));
        assert!(log(false).contains("older events were left out"));
    }
}
