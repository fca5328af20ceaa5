//! A workflow from three sources: its invocation, the state its code keeps by contract, and what it was sent with.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::platforms::undo::reversibility;
use crate::server::restate::contract::{STEPS, State, StepState, UNDO};
use crate::server::restate::invocation::{End, Invocation};
use crate::wire::*;

/// Where a workflow is, from what Restate and its own state say.
pub(super) fn status(row: Option<&Invocation>, state: &State) -> WorkflowStatus {
    let own = state.text("status").and_then(|word| word.parse::<WorkflowStatus>().ok());
    if own == Some(WorkflowStatus::Resolved) {
        return WorkflowStatus::Resolved;
    }
    let Some(row) = row else { return WorkflowStatus::Unknown };
    match (row.end(), own) {
        (End::None, Some(WorkflowStatus::RollingBack)) if failing_undo(row, state).is_some() => {
            WorkflowStatus::RollbackFailed
        }
        (End::None, Some(WorkflowStatus::RollingBack)) => WorkflowStatus::RollingBack,
        (End::None, _) => WorkflowStatus::Executing,
        (End::Success, _) => WorkflowStatus::Completed,
        (_, Some(WorkflowStatus::RolledBack)) => WorkflowStatus::RolledBack,
        // Ended in the middle of it: killed, or its code gave up.
        (_, Some(WorkflowStatus::RollingBack | WorkflowStatus::RollbackFailed)) => WorkflowStatus::RollbackFailed,
        _ => WorkflowStatus::Failed,
    }
}

/// The step whose undo failed and did not work since: it waits for its next try, is being tried, or has no tries left.
fn failing_undo<'a>(row: &'a Invocation, state: &State) -> Option<&'a str> {
    let step = row.last_failure_related_command_name.as_deref()?.strip_prefix(UNDO)?;
    (row.end() == End::None && !state.texts("rolledBackSteps").iter().any(|done| done == step)).then_some(step)
}

/// What a step was defined with; lenient, because other languages write it too.
struct Defined {
    id: String,
    action_type: ActionType,
    platform: Platform,
    value: Value,
}

fn defined(input: Option<&Value>) -> (Vec<Defined>, usize) {
    let steps = input.and_then(|input| input.get("steps")?.as_array().cloned()).unwrap_or_default();
    let all = steps.len();
    let known: Vec<Defined> = steps
        .into_iter()
        .filter_map(|value| {
            let word = |name: &str| value.get(name).and_then(Value::as_str);
            let (id, kind, platform) =
                (word("id")?.to_owned(), word("type")?.parse().ok()?, word("platform")?.parse().ok()?);
            Some(Defined { id, action_type: kind, platform, value })
        })
        .collect();
    let unknown = all - known.len();
    (known, unknown)
}

/// The whole workflow. `input` is absent once Restate dropped the journal.
pub(super) fn workflow(
    id: &str,
    row: Option<&Invocation>,
    state: &State,
    input: Option<&Value>,
    now: Time,
) -> Workflow {
    let status = status(row, state);
    let (steps, unknown) = defined(input);
    let seen = Seen::of(row, state, status);
    let text = |name: &str| Some(input?.get(name)?.as_str()?.to_owned());
    let error = match row.and_then(|row| seen.failing_undo.as_ref().and(row.failure())) {
        Some(error) => Some(error.message),
        None => state.text("error").map(str::to_owned).or_else(|| {
            let row = row.filter(|row| row.end() == End::Failure)?;
            Some(row.failure()?.message)
        }),
    };
    let missing = match (input, unknown) {
        (None, _) if row.is_some() => Some("Restate keeps its definition no more: steps are not shown".to_owned()),
        (_, 1..) => Some(format!("{unknown} steps without a type or platform of ours are not shown")),
        _ => None,
    };
    let resolution = state.0.get("resolution").and_then(|value| serde_json::from_value(value.clone()).ok());
    Workflow {
        workflow_id: id.to_owned(),
        name: text("name").unwrap_or_else(|| id.to_owned()),
        description: text("description"),
        status,
        detail: missing,
        transactional: input.and_then(|input| input.get("transactional")?.as_bool()).unwrap_or(true),
        priority: Priority::Normal,
        steps: steps.into_iter().map(|step| seen.step(step, row)).collect(),
        failed_step: seen.failed_step.clone(),
        error,
        idempotency_key: None,
        correlation_id: text("correlationId"),
        user_id: text("userId"),
        compensates: None,
        resolution,
        cleared: state.0.get("cleared").and_then(Value::as_bool).unwrap_or(false),
        lease: None,
        created_at: row.map_or(now, |row| row.created_at),
        started_at: row.and_then(|row| row.running_at),
        ended_at: row.and_then(|row| row.completed_at),
        updated_at: row.map_or(now, |row| row.completed_at.or(row.modified_at).unwrap_or(row.created_at)),
        version: row.map_or(0, Invocation::version) ^ state.version(),
    }
}

/// One line of a listing.
pub(super) fn summary(row: &Invocation, state: &State) -> WorkflowSummary {
    let status = status(Some(row), state);
    let seen = Seen::of(Some(row), state, status);
    let error = row.failure().filter(|_| status != WorkflowStatus::Executing);
    WorkflowSummary {
        workflow_id: row.target_service_key.clone().unwrap_or_default(),
        name: state.text("name").or(row.target_service_key.as_deref()).unwrap_or_default().to_owned(),
        status,
        steps: seen.completed.len() as u64,
        failed_step: seen.failed_step,
        code: error.as_ref().map(|error| error.code),
        error: state.text("error").map(str::to_owned).or(error.map(|error| error.message)),
        created_at: row.created_at,
        updated_at: row.completed_at.or(row.modified_at).unwrap_or(row.created_at),
    }
}

/// What became of its steps.
struct Seen {
    status: WorkflowStatus,
    completed: Vec<String>,
    rolled_back: Vec<String>,
    failed_rollbacks: Vec<String>,
    failed_step: Option<String>,
    failing_undo: Option<String>,
    /// The step that is being tried again.
    trying: Option<String>,
    /// What its code says of single steps, if it does.
    told: BTreeMap<String, StepState>,
}

impl Seen {
    fn of(row: Option<&Invocation>, state: &State, status: WorkflowStatus) -> Seen {
        let failing_undo = row.and_then(|row| failing_undo(row, state)).map(str::to_owned);
        let mut failed_rollbacks = state.texts("failedRollbacks");
        failed_rollbacks.extend(failing_undo.clone().filter(|step| !state.texts("failedRollbacks").contains(step)));
        let trying =
            row.filter(|row| row.end() == End::None).and_then(|row| row.last_failure_related_command_name.clone());
        Seen {
            status,
            completed: state.texts("completedSteps"),
            rolled_back: state.texts("rolledBackSteps"),
            failed_rollbacks,
            failed_step: state.text("failedStep").map(str::to_owned),
            failing_undo,
            trying: trying.filter(|name| !name.starts_with(UNDO)),
            told: told(state),
        }
    }

    fn step(&self, step: Defined, row: Option<&Invocation>) -> WorkflowStep {
        let mut told = self.told.get(&step.id).cloned().unwrap_or_default();
        let is_in = |list: &[String]| list.contains(&step.id);
        let status = if is_in(&self.rolled_back) {
            StepStatus::RolledBack
        } else if is_in(&self.completed) {
            StepStatus::Completed
        } else if self.failed_step.as_deref() == Some(&step.id) {
            StepStatus::Failed
        } else if self.trying.as_deref() == Some(&step.id) {
            StepStatus::Executing
        } else {
            // Of one that is over nothing is under way, whatever was said of it last.
            let running = self.status == WorkflowStatus::Executing;
            let under_way = |status: &StepStatus| matches!(status, StepStatus::Pending | StepStatus::Executing);
            let own = told.status.filter(|status| running || !under_way(status));
            own.unwrap_or(if running { StepStatus::Pending } else { StepStatus::Skipped })
        };
        let tried = self.trying.as_deref() == Some(&step.id);
        let error = row.and_then(Invocation::failure).filter(|_| tried).or(told.error.take());
        let list = |name: &str| {
            let list = step.value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
            list.iter().filter_map(|value| Some(value.as_str()?.to_owned())).collect()
        };
        let text = |name: &str| Some(step.value.get(name)?.as_str()?.to_owned());
        WorkflowStep {
            name: text("name").unwrap_or_else(|| step.id.clone()),
            action_type: step.action_type,
            platform: step.platform,
            status,
            depends_on: list("dependsOn"),
            optional: step.value.get("optional").and_then(Value::as_bool).unwrap_or(false),
            data: step.value.get("data").cloned().unwrap_or(Value::Object(serde_json::Map::new())),
            action_id: None,
            fallback_platform: None,
            result: told.result,
            error,
            started_at: told.started_at,
            ended_at: told.ended_at,
            before_image: false,
            undo: self.undo(&step, status, row, told.undo),
            step_id: step.id,
        }
    }

    /// How its undo stands, once a rollback was begun.
    fn undo(
        &self,
        step: &Defined,
        now: StepStatus,
        row: Option<&Invocation>,
        told: Option<StepUndo>,
    ) -> Option<StepUndo> {
        use WorkflowStatus::{Resolved, RollbackFailed, RolledBack, RollingBack};
        let failing = self.failing_undo.as_deref() == Some(&step.id);
        let is_over = |undo: &StepUndo| !matches!(undo.status, UndoStatus::Pending | UndoStatus::InProgress);
        if let Some(undo) = told.filter(|undo| !failing && is_over(undo)) {
            return Some(undo);
        }
        let done = matches!(now, StepStatus::Completed | StepStatus::RolledBack);
        if !done || !matches!(self.status, RollingBack | RolledBack | RollbackFailed | Resolved) {
            return None;
        }
        let status = match now {
            StepStatus::RolledBack => UndoStatus::RolledBack,
            _ if failing || self.failed_rollbacks.contains(&step.id) => UndoStatus::Failed,
            _ if self.status == RollbackFailed => UndoStatus::Blocked,
            _ if self.status == RollingBack => UndoStatus::Pending,
            _ => return None,
        };
        let error = row.filter(|_| failing).and_then(Invocation::failure);
        Some(StepUndo {
            status,
            reversibility: reversibility(step.platform, step.action_type),
            what: what(step.platform, step.action_type),
            attempts: row.filter(|_| failing).and_then(|row| row.retry_count).unwrap_or(0),
            at: row.filter(|_| failing).and_then(|row| row.last_start_at),
            evidence: (now == StepStatus::RolledBack).then(|| "its workflow says so".to_owned()),
            failure: error.as_ref().map(|error| error.message.clone()),
            error,
            manual: Vec::new(),
        })
    }
}

/// What a workflow's state says of its steps. What cannot be read is left out.
fn told(state: &State) -> BTreeMap<String, StepState> {
    let steps = state.0.get(STEPS).and_then(Value::as_object).into_iter().flatten();
    steps.filter_map(|(id, step)| Some((id.clone(), serde_json::from_value(step.clone()).ok()?))).collect()
}

/// What undoing a step means; the object is the workflow's.
pub(super) fn what(platform: Platform, action_type: ActionType) -> String {
    format!("undo {action_type} on {platform}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(extra: Value) -> Invocation {
        let mut row = json!({
            "id": "inv_1", "target_service_name": "Workflow", "target_handler_name": "run", "status": "running",
            "target_service_key": "wf-1", "created_at": "2026-11-30T01:52:55.840Z",
        });
        row.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    fn state(value: Value) -> State {
        State(value.as_object().unwrap().clone())
    }

    fn failing() -> (Invocation, State, Value) {
        let row = row(json!({
            "status": "backing-off", "retry_count": 4, "last_failure_related_command_name": "undo:create_file",
            "last_failure": "[500 Internal] File deletion failed: permission denied\nError: ...",
        }));
        let state = state(json!({
            "status": "rolling_back", "error": "notify refused", "completedSteps": ["create_file", "update_sheet"],
            "rolledBackSteps": ["update_sheet"], "failedStep": "notify",
        }));
        let input = json!({"name": "Invoice", "steps": [
            {"id": "create_file", "type": "file", "platform": "drive", "data": {}},
            {"id": "update_sheet", "type": "update", "platform": "sheets", "data": {}},
            {"id": "notify", "type": "notify", "platform": "slack", "data": {}},
        ]});
        (row, state, input)
    }

    #[test]
    fn an_undo_that_fails_is_a_failed_rollback_and_says_so_in_the_runbooks_words() {
        let (row, state, input) = failing();
        let workflow = workflow("wf-1", Some(&row), &state, Some(&input), Time(0));
        let report = WorkflowReport::from(&workflow);
        assert_eq!(report.status, WorkflowStatus::RollbackFailed);
        assert_eq!(report.completed_steps, ["create_file", "update_sheet"]);
        assert_eq!(report.rolled_back_steps, ["update_sheet"]);
        assert_eq!(report.failed_rollbacks, ["create_file"]);
        assert_eq!(report.error.as_deref(), Some("File deletion failed: permission denied"));
        assert_eq!(workflow.steps[2].status, StepStatus::Failed);
    }

    #[test]
    fn a_failed_undo_stays_failed_while_it_is_tried_again_and_until_it_worked() {
        let (mut row, mut state, _) = failing();
        row.status = "running".into();
        assert_eq!(status(Some(&row), &state), WorkflowStatus::RollbackFailed);
        state.0.insert("rolledBackSteps".into(), json!(["update_sheet", "create_file"]));
        assert_eq!(status(Some(&row), &state), WorkflowStatus::RollingBack);
    }

    #[test]
    fn each_end_has_its_status() {
        let done = |extra| row(extra);
        for (row, own, expected) in [
            (Some(row(json!({}))), json!({"status": "executing"}), WorkflowStatus::Executing),
            (Some(row(json!({}))), json!({"status": "rolling_back"}), WorkflowStatus::RollingBack),
            (Some(done(json!({"status": "completed"}))), json!({"status": "completed"}), WorkflowStatus::Completed),
            (
                Some(done(json!({"status": "completed", "completion_failure": "[409] Cancelled"}))),
                json!({"status": "rolled_back"}),
                WorkflowStatus::RolledBack,
            ),
            (
                Some(done(json!({"status": "completed", "completion_failure": "[409] killed"}))),
                json!({"status": "rolling_back"}),
                WorkflowStatus::RollbackFailed,
            ),
            (
                Some(done(json!({"status": "completed", "completion_failure": "[500] no"}))),
                json!({"status": "executing"}),
                WorkflowStatus::Failed,
            ),
            (None, json!({"status": "executing"}), WorkflowStatus::Unknown),
            (None, json!({"status": "resolved"}), WorkflowStatus::Resolved),
        ] {
            assert_eq!(status(row.as_ref(), &state(own.clone())), expected, "{own}");
        }
    }

    #[test]
    fn what_its_code_says_of_a_step_is_shown() {
        let (row, mut state, input) = failing();
        state.0.insert(STEPS.into(), json!({
            "create_file": {"startedAt": "2026-11-30T01:52:56Z", "endedAt": "2026-11-30T01:52:57Z",
                "result": {"fileId": "f-1"}},
            "update_sheet": {"undo": {"status": "rolled_back", "reversibility": "reversible", "what": "restore A1:B2",
                "attempts": 1, "at": "2026-11-30T01:53:00Z", "evidence": "the cells are as before"}},
            "notify": {"status": "executing", "error": {"code": "SERVICE_DOWN", "message": "503 away"},
                "undo": {"status": "manual", "reversibility": "reversible", "what": "look for it", "attempts": 0,
                    "manual": ["look for what step notify may have done"]}},
            "later": "nothing that could be read",
        }));
        let steps = workflow("wf-1", Some(&row), &state, Some(&input), Time(0)).steps;
        assert_eq!(steps[0].result, Some(json!({"fileId": "f-1"})));
        assert!(steps[0].started_at < steps[0].ended_at && steps[0].started_at.is_some());
        assert_eq!(steps[0].undo.as_ref().unwrap().status, UndoStatus::Failed, "it fails now");
        assert_eq!(steps[1].undo.as_ref().unwrap().evidence.as_deref(), Some("the cells are as before"));
        assert_eq!(steps[2].status, StepStatus::Failed, "the lists of the state come first");
        assert_eq!(steps[2].error.as_ref().unwrap().code, ErrorCode::ServiceDown);
        let undo = steps[2].undo.as_ref().unwrap();
        assert_eq!(
            (undo.status, undo.manual.len()),
            (UndoStatus::Manual, 1),
            "it may have happened although it failed"
        );
    }

    #[test]
    fn nothing_is_under_way_in_a_workflow_that_is_over() {
        let input = json!({"name": "w", "steps": [{"id": "a", "type": "create", "platform": "trello", "data": {}}]});
        let state = state(json!({"status": "executing", "steps": {"a": {"status": "executing"}}}));
        let status = |row: &Invocation| workflow("wf-1", Some(row), &state, Some(&input), Time(0)).steps[0].status;
        assert_eq!(status(&row(json!({}))), StepStatus::Executing);
        let killed = row(json!({"status": "completed", "completion_failure": "[409] killed"}));
        assert_eq!(status(&killed), StepStatus::Skipped);
    }

    #[test]
    fn what_is_not_known_of_the_steps_is_said() {
        let (row, state, mut input) = failing();
        input["steps"][0].as_object_mut().unwrap().remove("type");
        let partly = workflow("wf-1", Some(&row), &state, Some(&input), Time(0));
        assert_eq!(partly.steps.len(), 2);
        assert!(partly.detail.unwrap().starts_with("1 steps without"));
        let bare = workflow("wf-1", Some(&row), &state, None, Time(0));
        assert!(bare.steps.is_empty() && bare.detail.unwrap().contains("definition no more"));
    }
}
