//! One invocation as Restate's SQL shows it, and what it is to the verbs.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::contract::{BROKEN, HELD, platform_of};
use crate::http::clip;
use crate::wire::{
    ActionError, ActionRecord, ActionStatus, ActionType, ErrorCode, Platform, Priority, QueueItem, QueueView, Time,
};

/// The columns of an [`Invocation`].
pub const COLUMNS: &str = "id, target_service_name, target_handler_name, target_service_key, status, created_at, \
     modified_at, completed_at, running_at, last_start_at, scheduled_start_at, next_retry_at, retry_count, last_failure, \
     last_failure_related_command_name, completion_result, completion_failure, idempotency_key, completion_retention, \
     restarted_from, invoked_by_target";

/// Those of them that an item of the queue is made from: a query over everything takes longer with each column.
pub const OF_ITEM: &str = "id, target_service_name, target_handler_name, status, created_at, modified_at, completed_at, \
     running_at, scheduled_start_at, next_retry_at, retry_count, last_failure, completion_failure, invoked_by_target, \
    journal_size, journal_commands_size";

/// Taken out by an operator, in SQL: Restate's own words, and those of its SDKs.
pub const REMOVED: &str =
    "lower(coalesce(completion_failure, '')) in ('[409] cancelled','[409] canceled','[409] killed')";
/// A try that a closed gate is about to refuse: it waits, although Restate calls it running.
const AT_THE_GATE: &str = "at-the-gate";
/// Longest failure text that is shown.
const FAILURE_MAX: usize = 300;

/// Since when a gate has refused every try that began: those that began later wait, and none of them has an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held(pub Option<Time>);

impl Held {
    /// Waiting: for their time, a worker, the next try, inside a handler, or at the gate.
    pub fn waiting(self) -> String {
        let states = "status in ('scheduled','pending','ready','backing-off','suspended')";
        match self.at_the_gate() {
            Some(held) => format!("({states} or {held})"),
            None => states.to_owned(),
        }
    }

    /// Running, and not about to be refused.
    pub fn executing(self) -> String {
        match self.at_the_gate() {
            Some(held) => format!("status = 'running' and not ({held})"),
            None => "status = 'running'".to_owned(),
        }
    }

    /// The status, with what is at the gate told from what runs.
    pub fn status(self) -> String {
        match self.at_the_gate() {
            Some(held) => format!("case when {held} then '{AT_THE_GATE}' else status end"),
            None => "status".to_owned(),
        }
    }

    /// The columns of an [`Invocation`], with this status.
    pub fn columns(self) -> String {
        self.of(COLUMNS)
    }

    /// These columns, with this status.
    pub fn of(self, columns: &str) -> String {
        match self.0 {
            Some(_) => columns.replacen(" status,", &format!(" {} as status,", self.status()), 1),
            None => columns.to_owned(),
        }
    }

    /// Whether nothing that is tried from now on has an effect.
    pub fn is_closed(self, now: Time) -> bool {
        self.0.is_some_and(|since| since < now)
    }

    /// The status of what is being tried since a moment.
    pub fn trying(self, since: Option<Time>) -> &'static str {
        match self.0.zip(since) {
            Some((held, since)) if since > held => AT_THE_GATE,
            _ => "running",
        }
    }

    fn at_the_gate(self) -> Option<String> {
        // What never started has no such time, and is not running either.
        let since = self.0?;
        Some(format!("(status = 'running' and coalesce(last_start_at > to_timestamp_millis({}), false))", since.0))
    }
}

/// A row of `sys_invocation`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[allow(missing_docs, reason = "Restate's own names")]
pub struct Invocation {
    pub id: String,
    pub target_service_name: String,
    pub target_handler_name: String,
    #[serde(default)]
    pub target_service_key: Option<String>,
    pub status: String,
    pub created_at: Time,
    #[serde(default)]
    pub modified_at: Option<Time>,
    #[serde(default)]
    pub completed_at: Option<Time>,
    #[serde(default)]
    pub running_at: Option<Time>,
    #[serde(default)]
    pub last_start_at: Option<Time>,
    #[serde(default)]
    pub scheduled_start_at: Option<Time>,
    #[serde(default)]
    pub next_retry_at: Option<Time>,
    #[serde(default)]
    pub retry_count: Option<u32>,
    #[serde(default)]
    pub last_failure: Option<String>,
    #[serde(default)]
    pub last_failure_related_command_name: Option<String>,
    #[serde(default)]
    pub completion_result: Option<String>,
    #[serde(default)]
    pub completion_failure: Option<String>,
    #[serde(default)]
    pub idempotency_key: Option<String>,
    #[serde(default)]
    pub completion_retention: Option<String>,
    #[serde(default)]
    pub restarted_from: Option<String>,
    #[serde(default)]
    pub invoked_by_target: Option<String>,
    #[serde(default)]
    pub journal_size: Option<u64>,
    #[serde(default)]
    pub journal_commands_size: Option<u64>,
}

/// How an invocation ended, or that it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes on.
    None,
    /// Done.
    Success,
    /// Failed for good.
    Failure,
    /// Cancelled or killed by an operator.
    Removed,
}

impl Invocation {
    /// How it ended.
    pub fn end(&self) -> End {
        match (self.status.as_str(), self.completion_failure.as_deref()) {
            ("completed", None) => End::Success,
            ("completed", Some(failure)) => {
                let failure = failure.to_ascii_lowercase();
                // Restate's own words for both; a handler's failure with the same code has others.
                match failure.as_str() {
                    "[409] cancelled" | "[409] canceled" | "[409] killed" => End::Removed,
                    _ => End::Failure,
                }
            }
            _ => End::None,
        }
    }

    /// What its journal has beside commands: that a `run` ended, that it is cancelled. `None` where nothing says so.
    pub fn notifications(&self) -> Option<u64> {
        let (all, commands) = (self.journal_size?, self.journal_commands_size?);
        (commands > 0).then(|| all.saturating_sub(commands))
    }

    /// Whether it waits for its next try, on its own, and cannot have sent anything.
    pub fn waits_unsent(&self) -> bool {
        self.status == "backing-off" && self.invoked_by_target.is_none() && self.notifications() == Some(0)
    }

    /// Which view it belongs to; `None` when it succeeded.
    pub fn view(&self) -> Option<QueueView> {
        match (self.end(), self.status.as_str()) {
            (End::Success, _) => None,
            (End::Removed, _) => Some(QueueView::Removed),
            // Restate pauses what has used up its tries.
            (End::Failure, _) | (_, "paused") => Some(QueueView::Failed),
            (_, "running") => Some(QueueView::Executing),
            _ => Some(QueueView::Queued),
        }
    }

    /// The platform, for an invocation of one of the contract's services.
    pub fn platform(&self) -> Option<Platform> {
        platform_of(&self.target_service_name)
    }

    /// What it does; `None` for a handler the contract does not have.
    pub fn action_type(&self) -> Option<ActionType> {
        self.target_handler_name.parse().ok()
    }

    /// Moves with every change.
    pub fn version(&self) -> u64 {
        u64::try_from(self.modified_at.unwrap_or(self.created_at).0).unwrap_or_default()
    }

    /// What it failed with last, without the stack.
    pub fn failure(&self) -> Option<ActionError> {
        let text = self.completion_failure.as_deref().or(self.last_failure.as_deref())?;
        Some(failure(text))
    }

    /// Why it waits, for a person.
    fn waiting_for(&self, now: Time) -> Option<String> {
        let due = |at: Time| crate::analysis::span(at.since(now));
        match self.status.as_str() {
            AT_THE_GATE => Some("paused".into()),
            "scheduled" => self.scheduled_start_at.map(|at| format!("its time, {at}")),
            "backing-off" if self.last_failure.as_deref().is_some_and(|words| words.contains(HELD)) => {
                Some("paused".into())
            }
            "backing-off" if self.last_failure.as_deref().is_some_and(|words| words.contains(BROKEN)) => {
                Some(BROKEN.into())
            }
            "backing-off" => Some(match self.next_retry_at {
                Some(at) if at > now => format!("retry in {}", due(at)),
                _ => "retry".to_owned(),
            }),
            "suspended" => Some("an answer inside its handler".into()),
            "pending" | "ready" => Some("no free worker".into()),
            _ => None,
        }
    }

    /// As an item of the queue; `None` for a success or a handler the contract does not have.
    pub fn item(&self, now: Time) -> Option<QueueItem> {
        let state = self.view()?;
        let ended_at = match state {
            QueueView::Removed | QueueView::Failed => self.completed_at.or(self.modified_at),
            _ => None,
        };
        Some(QueueItem {
            action_id: self.id.clone(),
            action_type: self.action_type()?,
            platform: self.platform()?,
            priority: Priority::Normal,
            state,
            queued_at: self.created_at,
            attempts: self.retry_count.unwrap_or_else(|| u32::from(self.running_at.is_some())),
            next_attempt_at: self.next_retry_at.or(self.scheduled_start_at),
            last_error: self.failure().filter(|_| state != QueueView::Removed),
            waiting_for: self.waiting_for(now),
            correlation_id: self.invoked_by_target.as_deref().and_then(workflow_of).map(str::to_owned),
            // Who removed it is in our audit log; Restate does not keep it.
            removed_by: None,
            ended_at,
            version: self.version(),
        })
    }

    /// As an action.
    pub fn record(&self, input: Option<&Value>, result: Option<Value>) -> Option<ActionRecord> {
        let status = match (self.end(), self.status.as_str()) {
            (End::Success, _) => ActionStatus::Success,
            (End::Failure, _) | (_, "paused") => ActionStatus::Failed,
            (End::Removed, _) => ActionStatus::Removed,
            (_, "running") => ActionStatus::Executing,
            _ => ActionStatus::Pending,
        };
        let text = |name: &str| Some(input?.get(name)?.as_str()?.to_owned());
        let tags = input.and_then(|input| serde_json::from_value(input.get("tags")?.clone()).ok());
        Some(ActionRecord {
            id: self.id.clone(),
            action_type: self.action_type()?,
            platform: self.platform()?,
            priority: Priority::Normal,
            status,
            result,
            error: self.failure().filter(|_| status != ActionStatus::Success && status != ActionStatus::Removed),
            execution_time: None,
            queue_time: None,
            retries: self.retry_count.unwrap_or_default().saturating_sub(1),
            timestamp: self.completed_at.unwrap_or(self.created_at),
            queued_at: self.created_at,
            next_attempt_at: self.next_retry_at.or(self.scheduled_start_at),
            fallback_platform: None,
            correlation_id: text("correlationId"),
            user_id: text("userId"),
            source: text("source"),
            tags: tags.unwrap_or_default(),
            version: self.version(),
        })
    }

    /// How long its end is remembered.
    pub fn retention(&self) -> Duration {
        self.completion_retention.as_deref().and_then(seconds).unwrap_or_default()
    }
}

/// The workflow that called something: `Workflow/invoice-001/run`.
pub(super) fn workflow_of(target: &str) -> Option<&str> {
    target.strip_prefix(super::contract::WORKFLOW)?.strip_prefix('/')?.strip_suffix("/run")
}

/// `PT86400S`, `PT1.5S`: how Restate's SQL writes durations.
fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.strip_prefix("PT")?.strip_suffix('S')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// `[500 Internal] 429 rate_limited` and a stack, as code and words. A number at the front is a status only when it is one.
pub fn failure(text: &str) -> ActionError {
    let first = text.lines().next().unwrap_or_default();
    let (status, words) = match first.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((code, words)) => (code.split(' ').next().and_then(|n| n.parse::<u16>().ok()), words),
        None => (None, first),
    };
    let own = words.split(' ').next().and_then(|n| n.parse::<u16>().ok()).filter(|n| (400..600).contains(n));
    // 500 is Restate's own for anything thrown; the words may know better.
    let http_status = own.or(status.filter(|code| *code != 500));
    let code = match http_status {
        _ if words.contains("onnection refused") || words.contains("onnection reset") => ErrorCode::NetworkError,
        Some(400 | 422) => ErrorCode::ValidationError,
        // Trello answers so when the key is good and the object is not for it.
        Some(401) if words.contains("permission") => ErrorCode::PermissionDenied,
        Some(401) => ErrorCode::AuthError,
        Some(403) => ErrorCode::PermissionDenied,
        Some(404) => ErrorCode::NotFound,
        Some(408 | 504) => ErrorCode::TimeoutError,
        Some(409) => ErrorCode::DuplicateError,
        Some(429) => ErrorCode::RateLimited,
        Some(501..=599) => ErrorCode::ServiceDown,
        _ => ErrorCode::UnknownError,
    };
    ActionError { code, message: clip(words, FAILURE_MAX), http_status, request_id: None }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// One that runs, with these columns instead or beside.
    pub fn row(extra: Value) -> Invocation {
        let mut row = json!({
            "id": "inv_1", "target_service_name": "Notion", "target_handler_name": "create", "status": "running",
            "created_at": "2026-11-30T01:51:57.482Z",
        });
        row.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn each_state_of_restate_has_its_view() {
        for (extra, view) in [
            (json!({"status": "scheduled"}), Some(QueueView::Queued)),
            (json!({"status": "pending"}), Some(QueueView::Queued)),
            (json!({"status": "ready"}), Some(QueueView::Queued)),
            (json!({"status": "backing-off"}), Some(QueueView::Queued)),
            (json!({"status": "suspended"}), Some(QueueView::Queued)),
            (json!({"status": "running"}), Some(QueueView::Executing)),
            (json!({"status": "paused"}), Some(QueueView::Failed)),
            (json!({"status": "completed", "completion_result": "success"}), None),
            (json!({"status": "completed", "completion_failure": "[400] invalid page"}), Some(QueueView::Failed)),
            (json!({"status": "completed", "completion_failure": "[409] Cancelled"}), Some(QueueView::Removed)),
            (json!({"status": "completed", "completion_failure": "[409] killed"}), Some(QueueView::Removed)),
            (json!({"status": "completed", "completion_failure": "[409] page exists"}), Some(QueueView::Failed)),
        ] {
            assert_eq!(row(extra.clone()).view(), view, "{extra}");
        }
    }

    #[test]
    fn what_a_gate_is_about_to_refuse_waits() {
        let open = Held::default();
        assert_eq!((open.executing().as_str(), open.columns().as_str()), ("status = 'running'", COLUMNS));
        let held = Held(Some(Time(5000)));
        assert!(held.waiting().contains("last_start_at > to_timestamp_millis(5000)"), "{}", held.waiting());
        let columns = held.of(OF_ITEM);
        assert!(columns.contains(", case when (status = 'running' and "), "{columns}");
        assert!(columns.contains("else status end as status, created_at"), "{columns}");
        assert_eq!((held.trying(Some(Time(5001))), held.trying(Some(Time(5000)))), (AT_THE_GATE, "running"));
        assert_eq!(open.trying(Some(Time(9000))), "running");
        let item = row(json!({"status": AT_THE_GATE})).item(Time(0)).unwrap();
        assert_eq!((item.state, item.waiting_for.as_deref()), (QueueView::Queued, Some("paused")));
    }

    #[test]
    fn leave_is_seen_in_the_length_of_the_journal() {
        let of = |all, commands| row(json!({"journal_size": all, "journal_commands_size": commands}));
        assert_eq!((of(3, 2).notifications(), of(2, 2).notifications()), (Some(1), Some(0)));
        // A journal that is not kept, or in which commands are not counted, says nothing.
        assert_eq!(
            (of(0, 0).notifications(), of(2, 0).notifications(), row(json!({})).notifications()),
            (None, None, None)
        );
    }

    #[test]
    fn an_item_says_what_it_waits_for_and_failed_with() {
        let backing_off = row(json!({
            "status": "backing-off", "retry_count": 4, "next_retry_at": "2026-11-30T01:52:07.016Z",
            "last_failure": "[500 Internal] 429 rate_limited\nError: 429 rate_limited\n    at file:///sample.mjs:33",
            "invoked_by_target": "Workflow/invoice-001/run",
        }));
        let item = backing_off.item("2026-11-30T01:52:03Z".parse().unwrap()).unwrap();
        assert_eq!((item.attempts, item.waiting_for.as_deref()), (4, Some("retry in 4s")));
        let held =
            row(json!({"status": "backing-off", "last_failure": "[500 Internal] held by the gate: incident 42"}));
        assert_eq!(held.item(Time(0)).unwrap().waiting_for.as_deref(), Some("paused"));
        assert_eq!(item.correlation_id.as_deref(), Some("invoice-001"));
        let error = item.last_error.unwrap();
        assert_eq!((error.code, error.http_status), (ErrorCode::RateLimited, Some(429)));
        assert_eq!(error.message, "429 rate_limited");
        assert_eq!(row(json!({"target_handler_name": "mine"})).item(Time(0)), None);
    }

    #[test]
    fn dead_workers_are_a_network_error() {
        let text = "[500 Internal] error when trying to connect to the server: Connection refused (os error 111)";
        assert_eq!(failure(text).code, ErrorCode::NetworkError);
        assert_eq!(failure("[400] invalid page").code, ErrorCode::ValidationError);
        assert_eq!(failure("[401] 401 unauthorized permission requested").code, ErrorCode::PermissionDenied);
        assert_eq!(failure("[401] 401 invalid key").code, ErrorCode::AuthError);
        assert_eq!(failure("boom").code, ErrorCode::UnknownError);
    }

    #[test]
    fn durations_of_sql() {
        assert_eq!(seconds("PT86400S"), Some(Duration::from_secs(86_400)));
        assert_eq!(seconds("PT0S"), Some(Duration::ZERO));
        assert_eq!(seconds("1d"), None);
    }
}
