//! What is asked when the orchestrator is silent and no earlier answer is kept: its log files, and whatever runs it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::analysis::lines::{Line, Question};
use crate::analysis::span;
use crate::app::{App, Kept};
use crate::commands::logs::errors_of_files;
use crate::commands::logs::place::{self, Place};
use crate::services::{self, State};
use crate::settings::ServiceName;
use crate::wire::{ErrorCode, ErrorCount, ErrorLog, LineFilter, LogName, LogSource, Platform, Time};

use super::partial::{Columns, Partial};

/// A manager that takes longer is not waited for.
const LOOK: Duration = Duration::from_secs(2);
/// How far back errors are looked for, and how many at most.
const ERRORS_SINCE: Duration = Duration::from_secs(24 * 3600);
const ERRORS: u64 = 10_000;
/// `system status` counts the errors of an hour, and shows three causes.
const HOUR: Duration = Duration::from_secs(3600);
const TOP: usize = 3;

const CIRCUITS: Columns = Columns {
    known: &[("platform", "PLATFORM"), ("state", "STATE"), ("failureCount", ">FAILURES"), ("openedAt", "OPENED")],
    unknown: &["lastFailure", "willResetAt"],
};
const EXECUTORS: Columns = Columns {
    known: &[("platform", "PLATFORM"), ("lastErrorAt", "LAST ERROR AT"), ("lastError", "LAST ERROR")],
    unknown: &[
        "health",
        "state",
        "startedAt",
        "crashes",
        "restarts",
        "inFlight",
        "circuit",
        "avgResponseTime",
        "lastSuccess",
    ],
};
const SYSTEM: Columns = Columns {
    known: &[],
    unknown: &[
        "service",
        "overall",
        "pauses",
        "lockedDown",
        "openCircuits",
        "overrides",
        "pendingSettings",
        "queue",
        "workersBusy",
        "workers",
        "stuck",
        "failed",
        "host",
    ],
};

/// How the orchestrator's process is, by what runs it.
pub(super) async fn process(app: &App) -> Option<String> {
    let service = app.settings.context().ok()?.services.get(ServiceName::Orchestrator)?;
    let seen = services::look(service, LOOK).await;
    (seen.state != State::Unknown || seen.is_over).then(|| format!("its process: {}", seen.detail))
}

/// When the newest line of its log is from.
pub(super) async fn last_line(app: &App) -> Option<String> {
    let filter = LineFilter { since: Some(app.now()), ..LineFilter::default() };
    let (_, source) = of_files(app, LogName::Application, &filter, Nothing).await?;
    let newest = source.newest?;
    Some(format!("the last line of {} is of {newest}, {} ago", first(&source), span(app.now().since(newest))))
}

/// What others know of it; `None` when that is nothing.
pub(super) async fn others(app: &App, kept: &Kept, platform: Option<Platform>) -> Option<Partial> {
    match kept {
        Kept::Circuits => {
            let filter = LineFilter { platform, filters: vec!["component:circuit".into()], ..LineFilter::default() };
            let (moves, source) = of_files(app, LogName::Circuits, &filter, Moves::default()).await?;
            let rows: Vec<Value> = moves.0.into_values().collect();
            one_or_all(rows, platform, &source, &CIRCUITS)
        }
        Kept::Executors => {
            let (log, source) = errors(app, platform).await?;
            one_or_all(last_errors(&log), platform, &source, &EXECUTORS)
        }
        Kept::System => system(app).await,
        _ => None,
    }
}

/// `None` when nobody knows anything.
fn one_or_all(
    mut rows: Vec<Value>,
    platform: Option<Platform>,
    source: &LogSource,
    columns: &'static Columns,
) -> Option<Partial> {
    let value = match (rows.len(), platform) {
        (0, _) => return None,
        (1, Some(_)) => rows.remove(0),
        _ => Value::Array(rows),
    };
    Some(Partial::new(value, format!("its log {}", first(source)), source.newest, columns))
}

fn first(source: &LogSource) -> &str {
    source.files.first().map_or("files", String::as_str)
}

/// Puts a question to the context's log files on this machine.
async fn of_files<Q: Question + Send + 'static>(
    app: &App,
    log: LogName,
    filter: &LineFilter,
    question: Q,
) -> Option<(Q, LogSource)> {
    let place = place::find(app, log, None).await.ok().filter(|place| matches!(place, Place::Files(_)))?;
    place::ask_all(app, &place, log, filter, question).await.ok()
}

/// Wants to know nothing but what was read.
struct Nothing;

impl Question for Nothing {
    const KEYS: &'static [&'static str] = &[];

    fn take(&mut self, _: &Line<'_>) {}
}

/// The last move of each circuit.
#[derive(Default)]
struct Moves(BTreeMap<Platform, Value>);

impl Question for Moves {
    const KEYS: &'static [&'static str] =
        &["platform", "target", "executorName", "executor", "component", "to", "failureCount"];

    fn take(&mut self, line: &Line<'_>) {
        let (Some(at), Some(platform), Some(state)) = (line.at, line.platform(), line.get("to")) else { return };
        let mut row = json!({ "platform": platform, "state": state });
        if let Some(count) = line.number(&["failureCount"]) {
            row["failureCount"] = count.into();
        }
        if state == "OPEN" {
            row["openedAt"] = json!(at);
        }
        self.0.insert(platform, row);
    }
}

async fn errors(app: &App, platform: Option<Platform>) -> Option<(ErrorLog, LogSource)> {
    let place = place::find(app, LogName::Errors, None).await.ok().filter(|place| matches!(place, Place::Files(_)))?;
    let since = Some(app.now().minus(ERRORS_SINCE));
    let filters = vec!["level:error".to_owned()];
    let lines = LineFilter { limit: ERRORS, since, platform, filters, ..LineFilter::default() };
    errors_of_files(app, &place, &lines).await.ok()
}

/// The last error of each executor. The log has the newest first.
fn last_errors(log: &ErrorLog) -> Vec<Value> {
    let mut rows = BTreeMap::new();
    for error in &log.errors {
        if let Some(platform) = error.platform {
            let row = || json!({ "platform": platform, "lastErrorAt": error.timestamp, "lastError": error.message });
            rows.entry(platform).or_insert_with(row);
        }
    }
    rows.into_values().collect()
}

/// The most frequent errors of the hour before the log ends.
fn top_errors(log: &ErrorLog, newest: Time) -> Vec<ErrorCount> {
    let mut counts: BTreeMap<(ErrorCode, Option<Platform>), ErrorCount> = BTreeMap::new();
    for error in log.errors.iter().filter(|error| error.timestamp >= newest.minus(HOUR)) {
        let code = error.error_code.unwrap_or(ErrorCode::UnknownError);
        let count = counts.entry((code, error.platform)).or_insert_with(|| ErrorCount {
            code,
            platform: error.platform,
            count: 0,
            last_message: error.message.clone(),
            last_at: error.timestamp,
        });
        count.count += 1;
    }
    let mut counts: Vec<ErrorCount> = counts.into_values().collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.count));
    counts.truncate(TOP);
    counts
}

/// What the log's end and the services' managers say of the whole.
async fn system(app: &App) -> Option<Partial> {
    let services = &app.settings.context().ok()?.services;
    let parts = services.iter().map(|service| async move {
        let seen = services::look(service, LOOK).await;
        json!({ "component": service.name.to_string(), "state": seen.state, "detail": seen.detail })
    });
    let (parts, errors) = tokio::join!(join_all(parts), errors(app, None));
    let mut value = serde_json::Map::new();
    let mut from = Vec::new();
    let newest = errors.as_ref().and_then(|(_, source)| source.newest);
    if let Some((log, source)) = &errors {
        from.push(format!("its log {}", first(source)));
        value.insert("topErrors".into(), json!(top_errors(log, newest.unwrap_or_default())));
    }
    if !parts.is_empty() {
        from.push("what runs its services".into());
        value.insert("components".into(), Value::Array(parts));
    }
    (!from.is_empty()).then(|| Partial::new(Value::Object(value), from.join(" and "), newest, &SYSTEM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::feed;
    use crate::wire::ErrorEntry;

    #[test]
    fn a_circuit_is_where_its_last_move_took_it() {
        let mut moves = Moves::default();
        feed(
            &mut moves,
            r#"{"timestamp":"2026-01-01T00:00:00.000Z","component":"circuit","platform":"notion","to":"OPEN","failureCount":5}
               {"timestamp":"2026-01-01T00:00:30.000Z","component":"circuit","platform":"notion","to":"HALF_OPEN"}
               {"timestamp":"2026-01-01T00:00:31.000Z","component":"circuit","platform":"slack","to":"OPEN","failureCount":6}
               {"timestamp":"2026-01-01T00:00:32.000Z","component":"queue","platform":"slack"}"#,
        );
        assert_eq!(
            json!(moves.0.into_values().collect::<Vec<_>>()),
            json!([
                { "platform": "notion", "state": "HALF_OPEN" },
                { "platform": "slack", "state": "OPEN", "failureCount": 6, "openedAt": "2026-01-01T00:00:31.000Z" }
            ])
        );
    }

    #[test]
    fn the_last_hour_of_a_log_is_counted_by_cause() {
        let entry = |minutes: i64, code, platform| ErrorEntry {
            timestamp: Time(minutes * 60_000),
            level: "error".into(),
            message: format!("at {minutes}"),
            platform,
            component: None,
            error_code: Some(code),
            action_id: None,
            attempt: None,
            request_id: None,
        };
        let notion = Some(Platform::Notion);
        let errors = vec![
            entry(100, ErrorCode::RateLimited, notion),
            entry(90, ErrorCode::ServiceDown, notion),
            entry(80, ErrorCode::RateLimited, notion),
            entry(10, ErrorCode::ServiceDown, None),
        ];
        let log = ErrorLog { total: 4, by_code: BTreeMap::new(), oldest: None, errors };
        let top = top_errors(&log, Time(100 * 60_000));
        assert_eq!(
            top.iter().map(|t| (t.code, t.count)).collect::<Vec<_>>(),
            [(ErrorCode::RateLimited, 2), (ErrorCode::ServiceDown, 1)]
        );
        assert_eq!(top[0].last_message, "at 100");
        assert_eq!(last_errors(&log).len(), 1);
    }
}
