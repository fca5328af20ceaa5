//! What a workflow's records say: the objects its steps touched, what is left to put right, what to type next.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

use crate::wire::{
    ErrorCode, Platform, StepStatus, StepUndo, Time, UndoStatus, Workflow, WorkflowStatus, WorkflowStep,
    WorkflowSummary,
};

/// Members of a result that name an object, the most telling first.
const OBJECTS: [&str; 6] = ["blockId", "commentId", "fileId", "pageId", "cardId", "updatedRange"];

/// The object a step made or changed: a file, a page, a card, a range, a message.
pub fn object(step: &WorkflowStep) -> Option<String> {
    let result = step.result.as_ref()?;
    let text = |name: &str| result.get(name).and_then(Value::as_str).map(str::to_owned);
    let message = || text("ts").map(|ts| text("channel").map_or(ts.clone(), |channel| format!("{channel} {ts}")));
    OBJECTS.iter().find_map(|name| text(name)).or_else(message)
}

/// The command that goes on from here, if one does.
pub fn next_command(workflow: &Workflow) -> Option<String> {
    let id = &workflow.workflow_id;
    let stands = workflow.steps.iter().any(|step| step.status == StepStatus::Completed);
    Some(match workflow.status {
        WorkflowStatus::Pending => format!("opsctl workflow execute {id}"),
        WorkflowStatus::Executing | WorkflowStatus::RollingBack => format!("opsctl workflow status {id} --watch"),
        WorkflowStatus::Failed if stands => format!("opsctl workflow rollback {id} --dry-run"),
        WorkflowStatus::Failed => format!("opsctl workflow mark-resolved {id} --comment TEXT"),
        WorkflowStatus::RollbackFailed => format!("opsctl workflow rollback-failures {id}"),
        WorkflowStatus::Resolved if !workflow.cleared => format!("opsctl workflow clear-failed {id}"),
        WorkflowStatus::Unknown => format!("opsctl state rebuild {id} --dry-run"),
        WorkflowStatus::Completed | WorkflowStatus::RolledBack | WorkflowStatus::Resolved => return None,
    })
}

/// A step that still stands although it should not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// The step.
    pub step_id: String,
    /// Where.
    pub platform: Platform,
    /// `failed`, `blocked` or `manual`.
    pub status: UndoStatus,
    /// What undoing means here, with the object.
    pub what: String,
    /// Times it was tried.
    pub attempts: u32,
    /// When its last try ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// In the runbook's words: `File deletion failed: permission denied`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The platform's own words, with code, HTTP status and request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about it.
    pub advice: String,
    /// What to type, in order.
    pub commands: Vec<String>,
}

/// Whether a step still stands although it should not.
pub fn is_left(status: UndoStatus) -> bool {
    matches!(status, UndoStatus::Failed | UndoStatus::Blocked | UndoStatus::Manual)
}

/// The steps that still stand although they should not, in the order in which they were to be undone.
pub fn leftovers(workflow: &Workflow) -> Vec<Leftover> {
    let mut left: Vec<&WorkflowStep> =
        workflow.steps.iter().filter(|s| s.undo.as_ref().is_some_and(|u| is_left(u.status))).collect();
    left.sort_by_key(|step| std::cmp::Reverse(step.ended_at));
    left.into_iter().filter_map(|step| Some(leftover(&workflow.workflow_id, step, step.undo.as_ref()?))).collect()
}

fn leftover(id: &str, step: &WorkflowStep, undo: &StepUndo) -> Leftover {
    let platform = step.fallback_platform.unwrap_or(step.platform);
    let (advice, mut commands) = match undo.status {
        UndoStatus::Manual => ("only a person can undo it".to_owned(), Vec::new()),
        UndoStatus::Blocked => (
            "a later step that builds on it still stands: undo that one first".to_owned(),
            vec![format!("opsctl rollback retry {id}")],
        ),
        _ => advice(id, platform, undo.error.as_ref().map(|e| e.code)),
    };
    commands.extend(undo.manual.iter().cloned());
    let error = undo.error.as_ref().map(|e| {
        let status = e.http_status.map(|s| format!(", HTTP {s}")).unwrap_or_default();
        let request = e.request_id.as_deref().map(|r| format!(", request {r}")).unwrap_or_default();
        format!("{} ({}{status}{request})", e.message, e.code)
    });
    Leftover {
        step_id: step.step_id.clone(),
        platform,
        status: undo.status,
        what: undo.what.clone(),
        attempts: undo.attempts,
        at: undo.at,
        failure: undo.failure.clone(),
        error,
        advice,
        commands,
    }
}

/// What to do about an undo that failed, by what it failed with.
fn advice(id: &str, platform: Platform, code: Option<ErrorCode>) -> (String, Vec<String>) {
    let retry = format!("opsctl rollback retry {id}");
    let force = format!("opsctl rollback force {id} --dry-run");
    match code {
        Some(ErrorCode::PermissionDenied) => (
            format!("give the service's account on {platform} the right to do it, then retry"),
            vec![format!("opsctl test auth {platform}"), retry],
        ),
        Some(ErrorCode::AuthError) => (
            format!("the key for {platform} is not accepted: replace it, then retry"),
            vec![format!("opsctl test auth {platform}"), retry],
        ),
        Some(ErrorCode::Conflict) => {
            ("somebody changed it since: look at it; forcing overwrites their change".to_owned(), vec![force])
        }
        Some(
            ErrorCode::ServiceDown
            | ErrorCode::NetworkError
            | ErrorCode::TimeoutError
            | ErrorCode::RateLimited
            | ErrorCode::CircuitOpen,
        ) => (
            format!("{platform} did not take it: wait until it is well, then retry"),
            vec![format!("opsctl check health {platform}"), retry],
        ),
        _ => ("look at the object, then retry, or undo it by hand".to_owned(), vec![retry]),
    }
}

/// What failed workflows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The error, in words.
    Reason,
    /// The error's code.
    Code,
    /// The step that failed first.
    Step,
}

impl FromStr for GroupBy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "reason" => Ok(GroupBy::Reason),
            "code" => Ok(GroupBy::Code),
            "step" => Ok(GroupBy::Step),
            other => Err(format!("`{other}` is not one of reason, code, step")),
        }
    }
}

/// Failed workflows that have something in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What they have in common.
    pub group: String,
    /// How many.
    pub count: u64,
    /// When the newest moved last.
    pub newest: Time,
    /// The newest.
    pub workflow_id: String,
}

/// Groups, the largest first. `workflows` are newest first.
pub fn groups(workflows: &[WorkflowSummary], by: GroupBy) -> Vec<Group> {
    let mut found: BTreeMap<String, Group> = BTreeMap::new();
    for workflow in workflows {
        let name = match by {
            GroupBy::Reason => workflow.error.as_deref().map(general),
            GroupBy::Code => workflow.code.map(|code| code.to_string()),
            GroupBy::Step => workflow.failed_step.clone(),
        };
        let name = name.unwrap_or_else(|| "not reported".to_owned());
        let group = found.entry(name.clone()).or_insert_with(|| Group {
            group: name,
            count: 0,
            newest: workflow.updated_at,
            workflow_id: workflow.workflow_id.clone(),
        });
        group.count += 1;
    }
    let mut groups: Vec<Group> = found.into_values().collect();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then(b.newest.cmp(&a.newest)));
    groups
}

/// A reason without what differs from one workflow to the next: ids and numbers become `…`.
fn general(reason: &str) -> String {
    let is_id = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        digits > 3 || (digits > 0 && word.len() > 8)
    };
    reason.split(' ').map(|word| if is_id(word) { "…" } else { word }).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::{ActionError, ActionType, Priority, Reversibility};
    use serde_json::json;

    /// A completed step on Drive.
    pub(crate) fn step(id: &str, ended: i64, undo: Option<UndoStatus>) -> WorkflowStep {
        let error = ActionError {
            code: ErrorCode::PermissionDenied,
            message: "The user does not have sufficient permissions".into(),
            http_status: Some(403),
            request_id: Some("7f3a".into()),
        };
        let failed = undo == Some(UndoStatus::Failed);
        let undo = undo.map(|status| StepUndo {
            status,
            reversibility: Reversibility::Reversible,
            what: "move file f-1 to the trash".into(),
            attempts: 2,
            at: Some(Time(ended + 10)),
            evidence: (status == UndoStatus::RolledBack).then(|| "trashed: true".into()),
            failure: failed.then(|| "File deletion failed: permission denied".into()),
            error: failed.then_some(error),
            manual: Vec::new(),
        });
        let undone = undo.as_ref().is_some_and(|u| u.status == UndoStatus::RolledBack);
        WorkflowStep {
            step_id: id.into(),
            name: id.into(),
            action_type: ActionType::File,
            platform: Platform::Drive,
            status: if undone { StepStatus::RolledBack } else { StepStatus::Completed },
            depends_on: Vec::new(),
            optional: false,
            data: json!({"name": "invoice.pdf"}),
            action_id: Some(format!("invoice-001-{id}")),
            fallback_platform: None,
            result: Some(json!({"fileId": "f-1", "webViewLink": "https://drive.example/f-1"})),
            error: None,
            started_at: Some(Time(ended - 5)),
            ended_at: Some(Time(ended)),
            before_image: false,
            undo,
        }
    }

    /// A workflow with these steps.
    pub(crate) fn workflow(status: WorkflowStatus, steps: Vec<WorkflowStep>) -> Workflow {
        Workflow {
            workflow_id: "invoice-001".into(),
            name: "Invoice".into(),
            description: None,
            status,
            detail: None,
            transactional: true,
            priority: Priority::Normal,
            steps,
            failed_step: Some("notify".into()),
            error: Some("File deletion failed: permission denied".into()),
            idempotency_key: None,
            correlation_id: None,
            user_id: None,
            compensates: None,
            resolution: None,
            cleared: false,
            lease: None,
            created_at: Time(0),
            started_at: Some(Time(0)),
            ended_at: Some(Time(900)),
            updated_at: Time(900),
            version: 12,
        }
    }

    #[test]
    fn every_status_leads_on_or_is_the_end() {
        let next = |status, steps| next_command(&workflow(status, steps));
        let ends = [WorkflowStatus::Completed, WorkflowStatus::RolledBack];
        for status in WorkflowStatus::ALL {
            assert_eq!(next(*status, vec![]).is_none(), ends.contains(status), "{status}");
        }
        assert!(next(WorkflowStatus::Failed, vec![]).unwrap().contains("mark-resolved"), "nothing stands");
        assert!(next(WorkflowStatus::Failed, vec![step("a", 1, None)]).unwrap().contains("workflow rollback "));
        let cleared = Workflow { cleared: true, ..workflow(WorkflowStatus::Resolved, vec![]) };
        assert_eq!(next_command(&cleared), None);
    }

    #[test]
    fn what_is_left_comes_with_what_to_type() {
        let mut message = step("notify", 30, Some(UndoStatus::Manual));
        message.undo.as_mut().unwrap().manual = vec!["opsctl slack send --channel C1 --text x".into()];
        let steps = vec![
            step("create_file", 10, Some(UndoStatus::Failed)),
            step("update_sheet", 20, Some(UndoStatus::RolledBack)),
            message,
        ];
        let left = leftovers(&workflow(WorkflowStatus::RollbackFailed, steps));
        let ids: Vec<&str> = left.iter().map(|l| l.step_id.as_str()).collect();
        assert_eq!(ids, ["notify", "create_file"], "the last done comes first");
        assert_eq!(left[0].commands, ["opsctl slack send --channel C1 --text x"]);
        assert_eq!(left[1].commands, ["opsctl test auth drive", "opsctl rollback retry invoice-001"]);
        assert!(left[1].error.as_ref().unwrap().ends_with("(PERMISSION_DENIED, HTTP 403, request 7f3a)"));
    }

    #[test]
    fn objects_are_named_by_the_most_telling_member() {
        let of = |result| object(&WorkflowStep { result, ..step("a", 1, None) });
        assert_eq!(of(Some(json!({"pageId": "p", "blockId": "b"}))), Some("b".into()));
        assert_eq!(of(Some(json!({"channel": "C1", "ts": "1.2"}))), Some("C1 1.2".into()));
        assert_eq!(of(Some(json!({"spreadsheetId": "s", "updatedRange": "A!A2:C2"}))), Some("A!A2:C2".into()));
        assert_eq!(of(Some(json!({"count": 3}))), None);
    }

    #[test]
    fn reasons_that_differ_in_an_id_alone_are_one_group() {
        let failed = |id: &str, error: &str, at| WorkflowSummary {
            workflow_id: id.into(),
            name: "Invoice".into(),
            status: WorkflowStatus::Failed,
            steps: 3,
            failed_step: Some("notify".into()),
            code: None,
            error: Some(error.into()),
            created_at: Time(at),
            updated_at: Time(at),
        };
        let all = [
            failed("w-3", "there is no page 0198f2a17c1e", 3),
            failed("w-2", "permission denied", 2),
            failed("w-1", "there is no page 0198f2a17c1f", 1),
        ];
        let by_reason = groups(&all, GroupBy::Reason);
        assert_eq!((by_reason[0].group.as_str(), by_reason[0].count), ("there is no page …", 2));
        assert_eq!((by_reason[0].workflow_id.as_str(), by_reason[0].newest), ("w-3", Time(3)));
        assert_eq!(groups(&all, GroupBy::Step).len(), 1);
        assert_eq!(groups(&all, GroupBy::Code)[0].group, "not reported");
    }
}
