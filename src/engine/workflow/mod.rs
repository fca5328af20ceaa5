//! Workflows as a state machine: steps, their order, what follows a failure, and how a rollback goes.
//!
//! A state changes only by an [`Event`], and the events are the execution log: replaying them gives the state again.
//! [`advance`] decides what comes next and says so in events; the caller stores them together with the actions they
//! call for. What the rules need from outside (a free id, taking a waiting action out, how an action is undone) they
//! ask of [`Hands`].

mod advance;
mod apply;
mod check;
mod compensate;
mod difference;
mod event;
mod integrity;
mod person;
mod refs;
mod rollback;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::platforms::undo::{Done, UndoPlan};
use crate::wire::{
    ActionError, ErrorCode, Lease, Platform, Resolution, RollbackMode, StepRequest, StepStatus, StepUndo, Time,
    UndoStatus, Workflow, WorkflowRequest, WorkflowStatus, WorkflowStep,
};

pub use advance::{advance, overdue, stop_steps, time_over};
pub use apply::{Illegal, replay};
pub use check::{check, fingerprint};
pub use compensate::{mirror, still_fits};
pub use difference::differences;
pub use event::{Change, Event, PlannedStep};
pub use integrity::{Expected, expectations};
pub use person::{Refused, clear, compensation, complete, may_roll_back, resolve};
pub use rollback::{failure_words, plan, roll_back};

/// A workflow, as far as the rules are concerned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its id.
    pub id: String,
    /// What was submitted, the steps left out: each has its own.
    pub definition: WorkflowRequest,
    /// The workflow whose steps this one undoes.
    pub compensates: Option<String>,
    /// The steps, in the order of the definition.
    #[serde(skip)]
    pub steps: Vec<Step>,
    /// Where it is in its life.
    pub status: WorkflowStatus,
    /// More than the status says.
    pub detail: Option<String>,
    /// Whether it can no longer complete; what is in flight is awaited.
    pub failing: bool,
    /// The step that failed first.
    pub failed_step: Option<String>,
    /// Code of that failure.
    pub code: Option<ErrorCode>,
    /// Why it failed.
    pub cause: Option<String>,
    /// What is wrong now.
    pub error: Option<String>,
    /// What the rollback that runs goes for; none when a compensating workflow drives it.
    pub rolling: Option<RollbackMode>,
    /// Who is at work on it.
    pub lease: Option<Lease>,
    /// A person's word about it.
    pub resolution: Option<Resolution>,
    /// Whether it was taken off the list of failures.
    pub cleared: bool,
    /// When it was accepted.
    pub created_at: Time,
    /// When its first step was queued.
    pub started_at: Option<Time>,
    /// When it came to rest.
    pub ended_at: Option<Time>,
    /// When anything of it moved last.
    pub updated_at: Time,
    /// Events so far.
    pub version: u64,
}

/// One step of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// As submitted.
    pub definition: StepRequest,
    /// Places of the steps it waits for.
    pub waits: Vec<usize>,
    /// Places of the steps it builds on: named by it, or referred to.
    pub builds_on: Vec<usize>,
    /// Where it is in its life.
    pub status: StepStatus,
    /// The action that runs it.
    pub action_id: Option<String>,
    /// The parameters as sent.
    pub sent: Option<Value>,
    /// What it overwrote.
    pub before: Option<Value>,
    /// The platform that stood in.
    pub fallback: Option<Platform>,
    /// What the platform answered.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<ActionError>,
    /// Whether it may have happened although it failed.
    pub in_doubt: bool,
    /// When it was queued.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Its place in the order of completion, from 1.
    pub order: Option<u32>,
    /// The action that undoes it.
    pub undo_action: Option<String>,
    /// Its undo.
    pub undo: Option<StepUndo>,
}

/// What the rules need from outside.
pub trait Hands {
    /// An action id that is free: this one, if it is.
    fn free_id(&mut self, wanted: String) -> String;
    /// Takes a step's action out of the queue; false when it may have been sent.
    fn withdraw(&mut self, action_id: &str) -> bool;
    /// How an action is undone.
    fn undo_plan(&self, done: &Done) -> UndoPlan;
}

/// When, and under which settings.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Now.
    pub now: Time,
    /// Whether a failed transactional workflow is rolled back by itself (`ENABLE_ROLLBACK`).
    pub rollback: bool,
}

/// The owner of what nobody asked for: a rollback after a failure.
pub const SERVICE: &str = "the orchestrator";

impl Step {
    fn new(definition: StepRequest, waits: Vec<usize>, builds_on: Vec<usize>) -> Step {
        Step {
            definition,
            waits,
            builds_on,
            status: StepStatus::Pending,
            action_id: None,
            sent: None,
            before: None,
            fallback: None,
            result: None,
            error: None,
            in_doubt: false,
            started_at: None,
            ended_at: None,
            order: None,
            undo_action: None,
            undo: None,
        }
    }

    /// Whether something of it may stand on the platform.
    pub fn stands(&self) -> bool {
        self.status == StepStatus::Completed || (self.status == StepStatus::Failed && self.in_doubt)
    }

    /// Whether it was executed, whatever became of it since.
    pub fn was_executed(&self) -> bool {
        self.stands() || self.status == StepStatus::RolledBack
    }

    /// What became of its undo; `None` while there is none.
    pub fn undo_status(&self) -> Option<UndoStatus> {
        self.undo.as_ref().map(|undo| undo.status)
    }

    /// Whether it should not stand any more and does: its undo was given up, held back, or is for a person.
    fn is_left(&self) -> bool {
        matches!(self.undo_status(), Some(UndoStatus::Failed | UndoStatus::Blocked | UndoStatus::Manual))
    }

    /// What is kept of its action, for undoing it. A fallback wrote other parameters than the step's own.
    pub fn done(&self) -> Done {
        let own = self.definition.platform;
        let sent = self.sent.clone().unwrap_or_else(|| self.definition.data.clone());
        let data = match self.fallback {
            Some(to) => crate::engine::fallback::translate(own, to, &sent).unwrap_or(sent),
            None => sent,
        };
        Done {
            platform: self.fallback.unwrap_or(own),
            action_type: self.definition.action_type,
            data,
            result: self.result.clone().unwrap_or(Value::Null),
            before: self.before.clone(),
            marker: self.action_id.clone(),
            at: self.ended_at.or(self.started_at).unwrap_or_default(),
        }
    }

    fn wire(&self, ids: &[String]) -> WorkflowStep {
        let own = &self.definition;
        WorkflowStep {
            step_id: own.id.clone(),
            name: own.name.clone().unwrap_or_else(|| own.id.clone()),
            action_type: own.action_type,
            platform: own.platform,
            status: self.status,
            depends_on: self.waits.iter().filter_map(|place| ids.get(*place).cloned()).collect(),
            optional: own.optional,
            data: self.sent.clone().unwrap_or_else(|| own.data.clone()),
            action_id: self.action_id.clone(),
            fallback_platform: self.fallback,
            result: self.result.clone(),
            error: self.error.clone(),
            started_at: self.started_at,
            ended_at: self.ended_at,
            before_image: self.before.is_some(),
            undo: self.undo.clone(),
        }
    }
}

impl State {
    /// The place of a step.
    pub fn place(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.definition.id == id)
    }

    /// The place of the step that an action runs or undoes.
    pub fn place_of_action(&self, id: &str) -> Option<usize> {
        let is = |name: &Option<String>| name.as_deref() == Some(id);
        self.steps.iter().position(|step| is(&step.action_id) || is(&step.undo_action))
    }

    /// Whether a step's action waits or runs.
    pub fn in_flight(&self) -> bool {
        self.steps.iter().any(|step| step.status == StepStatus::Executing)
    }

    /// Whether nothing will happen to it by itself.
    pub fn at_rest(&self) -> bool {
        !matches!(self.status, WorkflowStatus::Executing | WorkflowStatus::RollingBack)
    }

    fn metadata(&self) -> &Map<String, Value> {
        &self.definition.metadata
    }

    /// The workflow as it is shown.
    pub fn wire(&self) -> Workflow {
        let ids: Vec<String> = self.steps.iter().map(|step| step.definition.id.clone()).collect();
        let own = &self.definition;
        Workflow {
            workflow_id: self.id.clone(),
            name: own.name.clone(),
            description: own.description.clone(),
            status: self.status,
            detail: self.detail.clone(),
            transactional: own.transactional,
            priority: own.priority,
            steps: self.steps.iter().map(|step| step.wire(&ids)).collect(),
            failed_step: self.failed_step.clone(),
            error: self.error.clone(),
            idempotency_key: own.idempotency_key.clone(),
            correlation_id: own.correlation_id.clone(),
            user_id: own.user_id.clone(),
            compensates: self.compensates.clone(),
            resolution: self.resolution.clone(),
            cleared: self.cleared,
            lease: self.lease.clone(),
            created_at: self.created_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
            updated_at: self.updated_at,
            version: self.version,
        }
    }
}
