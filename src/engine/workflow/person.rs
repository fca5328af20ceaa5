//! What people say about a workflow, and when they may.

use serde_json::Value;

use super::advance::Book;
use super::apply::Illegal;
use super::event::{Change, Event};
use super::rollback::operation;
use super::{Rules, State, Step};
use crate::platforms::undo::{Done, UndoPlan, Way};
use crate::wire::{RollbackMode, StepRequest, StepStatus, UndoStatus, WorkflowRequest, WorkflowStatus};

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// It is so already.
    AlreadySo(String),
    /// Its status forbids it: why, and what to do instead.
    Conflict(String),
}

fn conflict<T>(words: String) -> Result<T, Refused> {
    Err(Refused::Conflict(words))
}

/// Whether a rollback of a kind may begin now.
pub fn may_roll_back(state: &State, mode: RollbackMode) -> Result<(), Refused> {
    use RollbackMode::{First, Force, Retry};
    use WorkflowStatus as Status;
    let id = &state.id;
    match (state.status, mode) {
        (Status::RolledBack, _) => Err(Refused::AlreadySo(format!("workflow {id} is rolled back already"))),
        (Status::Executing | Status::Completed | Status::Failed, First) => Ok(()),
        (Status::RollbackFailed, Retry | Force) => {
            let open = |s: &Step| {
                matches!(s.undo_status(), Some(UndoStatus::Failed | UndoStatus::Blocked | UndoStatus::Pending))
            };
            if state.steps.iter().any(|step| step.stands() && open(step)) {
                return Ok(());
            }
            conflict(format!(
                "what is left of workflow {id} only a person can undo; see `opsctl workflow rollback-failures {id}`, \
                 then `opsctl workflow mark-resolved {id}`"
            ))
        }
        (Status::RollbackFailed, First) => conflict(format!(
            "workflow {id} was rolled back in part; `opsctl rollback retry {id}` tries only what failed"
        )),
        (Status::Executing | Status::Completed | Status::Failed, Retry | Force) => conflict(format!(
            "workflow {id} is {}, nothing of it was rolled back yet; begin with `opsctl workflow rollback {id}`",
            state.status
        )),
        (Status::RollingBack, _) => conflict(format!("workflow {id} is being rolled back")),
        (Status::Pending, _) => {
            conflict(format!("workflow {id} has not run; start it with `opsctl workflow execute {id}`"))
        }
        (Status::Resolved, _) => conflict(format!(
            "workflow {id} is resolved: a person put it right, so {} changes nothing",
            operation(mode)
        )),
        (Status::Unknown, _) => {
            conflict(format!("the state of workflow {id} is lost; rebuild it with `opsctl state rebuild {id}`"))
        }
    }
}

/// Takes a person's word that it was put right.
pub fn resolve(state: &mut State, comment: Option<String>, by: &str, rules: Rules) -> Result<Vec<Event>, Refused> {
    let id = state.id.clone();
    match state.status {
        WorkflowStatus::Failed | WorkflowStatus::RollbackFailed => {}
        WorkflowStatus::Resolved => {
            return Err(Refused::AlreadySo(format!("workflow {id} is resolved already")));
        }
        status => {
            return conflict(format!("workflow {id} is {status}; only one that failed can be marked as resolved"));
        }
    }
    one(state, Change::Resolved { comment }, by, rules)
}

/// Takes it off the list of failures.
pub fn clear(state: &mut State, by: &str, rules: Rules) -> Result<Vec<Event>, Refused> {
    let id = state.id.clone();
    match state.status {
        WorkflowStatus::Resolved if state.cleared => {
            Err(Refused::AlreadySo(format!("workflow {id} is off the list of failures already")))
        }
        WorkflowStatus::Resolved => one(state, Change::Cleared, by, rules),
        WorkflowStatus::Failed | WorkflowStatus::RollbackFailed => conflict(format!(
            "workflow {id} is {}, not resolved; put it right, then `opsctl workflow mark-resolved {id}`, then clear it",
            state.status
        )),
        status => conflict(format!("workflow {id} is {status}: it is not on the list of failures")),
    }
}

/// Takes a person's word that it is completed. What waited has been taken back before.
pub fn complete(state: &mut State, comment: Option<String>, by: &str, rules: Rules) -> Result<Vec<Event>, Refused> {
    let id = state.id.clone();
    match state.status {
        WorkflowStatus::Pending | WorkflowStatus::Executing | WorkflowStatus::Failed => {}
        WorkflowStatus::Completed => {
            return Err(Refused::AlreadySo(format!("workflow {id} is completed already")));
        }
        WorkflowStatus::RollbackFailed => {
            return conflict(format!(
                "workflow {id} is rollback_failed: some of it is undone; `opsctl workflow mark-resolved {id}` says it was put right"
            ));
        }
        status => return conflict(format!("workflow {id} is {status} and cannot be marked as completed")),
    }
    if state.in_flight() {
        return conflict(format!("workflow {id} has a step in flight; wait until it ends, then mark it as completed"));
    }
    one(state, Change::MarkedCompleted { comment }, by, rules)
}

/// One event of a person's.
fn one(state: &mut State, change: Change, by: &str, rules: Rules) -> Result<Vec<Event>, Refused> {
    let mut book = Book::new(state, rules);
    match book.enter_by(None, change, Some(by)) {
        Ok(()) => Ok(book.events),
        Err(illegal) => conflict(Illegal::to_string(&illegal)),
    }
}

/// The workflow that undoes this one's executed steps, in reverse order; each step's parameters are the record of what
/// was done, and its id is the undone step's.
pub fn compensation(state: &State, id: String, how: &dyn Fn(&Done) -> UndoPlan) -> Result<WorkflowRequest, Refused> {
    let of = &state.id;
    match state.status {
        WorkflowStatus::Completed | WorkflowStatus::Failed | WorkflowStatus::RollbackFailed => {}
        WorkflowStatus::RolledBack => {
            return Err(Refused::AlreadySo(format!("workflow {of} is rolled back already: nothing is left to undo")));
        }
        status => {
            return conflict(format!("workflow {of} is {status}; only one that has come to rest can be compensated"));
        }
    }
    if state.compensates.is_some() {
        return conflict(format!("workflow {of} is a compensation itself"));
    }
    let mut executed: Vec<&Step> = state.steps.iter().filter(|step| step.stands()).collect();
    if executed.is_empty() {
        return conflict(format!("workflow {of} has no executed steps: there is nothing to compensate"));
    }
    executed.sort_by_key(|step| std::cmp::Reverse(step.order));
    let steps: Vec<StepRequest> = executed
        .into_iter()
        .filter(|step| step.status == StepStatus::Completed)
        .filter_map(|step| {
            let done = step.done();
            let plan = how(&done);
            matches!(plan.way, Way::Request).then(|| StepRequest {
                id: step.definition.id.clone(),
                name: Some(plan.what.chars().take(256).collect()),
                action_type: done.action_type,
                platform: done.platform,
                data: serde_json::to_value(&done).unwrap_or(Value::Null),
                depends_on: None,
                optional: false,
                timeout: step.definition.timeout,
                retries: step.definition.retries,
                requires_approval: false,
            })
        })
        .collect();
    if steps.is_empty() {
        return conflict(format!(
            "nothing of workflow {of} can be undone by a request; see `opsctl workflow rollback-failures {of}`"
        ));
    }
    Ok(WorkflowRequest {
        id: Some(id),
        name: format!("compensation of {of}").chars().take(256).collect(),
        description: None,
        steps,
        transactional: false,
        priority: state.definition.priority,
        idempotency_key: None,
        correlation_id: state.definition.correlation_id.clone(),
        user_id: state.definition.user_id.clone(),
        metadata: serde_json::Map::new(),
        timeout: None,
    })
}
