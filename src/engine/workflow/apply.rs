//! How an event changes a state. The one place where a workflow changes, live and in a replay.

use std::fmt;

use super::check::order_of;
use super::event::{Change, Event, PlannedStep};
use super::{SERVICE, State, Step};
use crate::wire::{
    Lease, Resolution, Reversibility, StepStatus, StepUndo, UndoStatus, WorkflowEventKind, WorkflowStatus,
};

/// An event that the state does not allow: the stored state and the log disagree.
#[derive(Clone, Debug, PartialEq)]
pub struct Illegal {
    workflow: String,
    event: WorkflowEventKind,
    step: Option<String>,
    found: String,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.as_ref().map(|step| format!(" of step {step}")).unwrap_or_default();
        write!(f, "workflow {}: {}{step} cannot follow, it is {}", self.workflow, self.event, self.found)
    }
}

/// Gives the state that the events of one workflow lead to; `None` when there are none.
pub fn replay(id: &str, events: impl IntoIterator<Item = Event>) -> Result<Option<State>, Illegal> {
    let mut state: Option<State> = None;
    for event in events {
        match &mut state {
            Some(state) => state.apply(&event)?,
            None => state = Some(State::accepted(id, &event)?),
        }
    }
    Ok(state)
}

impl State {
    /// The state of a workflow that has just been accepted.
    pub fn accepted(id: &str, event: &Event) -> Result<State, Illegal> {
        let Change::Accepted { definition, compensates } = &event.change else {
            let found = "not accepted yet".into();
            let (workflow, step) = (id.to_owned(), event.step.clone());
            return Err(Illegal { workflow, event: event.change.kind(), step, found });
        };
        let mut definition = (**definition).clone();
        let steps = std::mem::take(&mut definition.steps);
        let order = order_of(&steps);
        let steps = steps.into_iter().zip(order).map(|(step, order)| Step::new(step, order.waits, order.builds_on));
        Ok(State {
            id: id.to_owned(),
            compensates: compensates.clone(),
            steps: steps.collect(),
            definition,
            status: WorkflowStatus::Pending,
            detail: None,
            failing: false,
            failed_step: None,
            code: None,
            cause: None,
            error: None,
            rolling: None,
            lease: None,
            resolution: None,
            cleared: false,
            created_at: event.at,
            started_at: None,
            ended_at: None,
            updated_at: event.at,
            version: 1,
        })
    }

    /// Changes as the event says.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        let illegal = |state: &State| {
            let place = event.step.as_deref().and_then(|id| state.place(id));
            let found = match place.map(|place| &state.steps[place]) {
                Some(step) => format!("{} with the step {}", state.status, step.status),
                None => state.status.to_string(),
            };
            let (workflow, step) = (state.id.clone(), event.step.clone());
            Illegal { workflow, event: event.change.kind(), step, found }
        };
        if !self.allows(event) {
            return Err(illegal(self));
        }
        match event.step.as_deref() {
            Some(id) => {
                let place = self.place(id).ok_or_else(|| illegal(self))?;
                let order = self.steps.iter().filter_map(|step| step.order).max().unwrap_or(0) + 1;
                self.steps[place].apply(event, order).ok_or_else(|| illegal(self))?;
                self.after_step(event);
            }
            None => self.change(event),
        }
        self.updated_at = event.at;
        self.version += 1;
        Ok(())
    }

    fn allows(&self, event: &Event) -> bool {
        use WorkflowEventKind as Kind;
        use WorkflowStatus::{
            Completed, Executing, Failed, Pending, Resolved, RollbackFailed, RolledBack, RollingBack, Unknown,
        };
        let of_step = event.step.is_some();
        let (needs_step, from): (bool, &[WorkflowStatus]) = match event.change.kind() {
            Kind::Accepted => return false,
            Kind::StepStarted => (true, &[Pending, Executing]),
            Kind::StepCompleted => (true, &[Executing, RollingBack]),
            Kind::StepFailed => (true, &[Pending, Executing, RollingBack]),
            Kind::StepSkipped => (true, &[Pending, Executing, Completed, Failed, RollingBack]),
            Kind::Completed => (false, &[Pending, Executing]),
            Kind::Failed => (false, &[Pending, Executing]),
            Kind::RollbackStarted => (false, &[Executing, Completed, Failed, RollbackFailed]),
            Kind::UndoStarted | Kind::UndoCompleted | Kind::UndoFailed | Kind::UndoSkipped => (true, &[RollingBack]),
            Kind::RollbackEnded => (false, &[RollingBack]),
            Kind::Resolved => (false, &[Failed, RollbackFailed]),
            Kind::Cleared => (false, &[Resolved]),
            Kind::MarkedCompleted => (false, &[Pending, Executing, Failed]),
            Kind::Rebuilt => (
                false,
                &[Pending, Executing, Completed, Failed, RollingBack, RolledBack, RollbackFailed, Resolved, Unknown],
            ),
        };
        let quiet = match event.change {
            Change::Completed => self.steps.iter().all(|s| !matches!(s.status, StepStatus::Pending)),
            Change::RollbackEnded { .. } => self
                .steps
                .iter()
                .all(|s| !matches!(s.undo_status(), Some(UndoStatus::Pending | UndoStatus::InProgress))),
            Change::MarkedCompleted { .. } => true,
            _ => return needs_step == of_step && from.contains(&self.status),
        };
        quiet && !self.in_flight() && needs_step == of_step && from.contains(&self.status)
    }

    /// What a step's event means for the whole.
    fn after_step(&mut self, event: &Event) {
        match event.change {
            Change::StepStarted { .. } => {
                self.started_at.get_or_insert(event.at);
                self.status = WorkflowStatus::Executing;
            }
            Change::StepFailed { .. } | Change::StepSkipped { .. } if self.status == WorkflowStatus::Pending => {
                self.status = WorkflowStatus::Executing;
            }
            _ => {}
        }
        if self.failing && self.status == WorkflowStatus::Executing && !self.in_flight() {
            self.rest(WorkflowStatus::Failed, event);
        }
    }

    fn change(&mut self, event: &Event) {
        let by = || event.by.clone().unwrap_or_else(|| SERVICE.to_owned());
        match &event.change {
            Change::Completed => self.rest(WorkflowStatus::Completed, event),
            Change::Failed { error, code } => {
                self.failing = true;
                let first = self.steps.iter().filter(|s| s.status == StepStatus::Failed && !s.definition.optional);
                self.failed_step = first.min_by_key(|s| s.ended_at).map(|step| step.definition.id.clone());
                (self.cause, self.code) = (Some(error.clone()), Some(*code));
                self.error = self.cause.clone();
                match self.in_flight() {
                    true => self.status = WorkflowStatus::Executing,
                    false => self.rest(WorkflowStatus::Failed, event),
                }
            }
            Change::RollbackStarted { mode, operation, steps } => {
                self.status = WorkflowStatus::RollingBack;
                (self.ended_at, self.detail) = (None, None);
                self.rolling = *mode;
                self.lease = Some(Lease { operation: operation.clone(), owner: by(), since: event.at });
                for planned in steps {
                    if let Some(place) = self.place(&planned.step_id) {
                        self.steps[place].plan_undo(planned);
                    }
                }
            }
            Change::RollbackEnded { status, detail, error } => {
                (self.rolling, self.lease) = (None, None);
                self.detail = detail.clone();
                self.error = error.clone().or_else(|| self.cause.clone());
                self.rest(*status, event);
            }
            Change::Resolved { comment } => {
                self.resolution = Some(Resolution { by: by(), at: event.at, comment: comment.clone() });
                self.status = WorkflowStatus::Resolved;
            }
            Change::Cleared => self.cleared = true,
            Change::MarkedCompleted { comment } => {
                self.resolution = Some(Resolution { by: by(), at: event.at, comment: comment.clone() });
                self.failing = false;
                self.rest(WorkflowStatus::Completed, event);
            }
            // The rest belongs to a step, or changes nothing.
            _ => {}
        }
    }

    fn rest(&mut self, status: WorkflowStatus, event: &Event) {
        self.status = status;
        self.ended_at = Some(event.at);
    }
}

impl Step {
    /// Changes as the event says; `None` when it cannot. `order` is its place among those that ended, if it ends.
    fn apply(&mut self, event: &Event, order: u32) -> Option<()> {
        use StepStatus::{Completed, Executing, Failed, Pending, RolledBack, Skipped};
        let is = |allowed: &[StepStatus], status: StepStatus| allowed.contains(&status).then_some(());
        match &event.change {
            Change::StepStarted { action_id, parameters } => {
                is(&[Pending], self.status)?;
                self.status = Executing;
                (self.action_id, self.sent) = (Some(action_id.clone()), Some(parameters.clone()));
                self.started_at = Some(event.at);
            }
            Change::StepCompleted { result, before, fallback_platform } => {
                is(&[Executing], self.status)?;
                self.status = Completed;
                (self.result, self.before) = (Some(result.clone()), before.clone());
                self.fallback = *fallback_platform;
                (self.ended_at, self.order) = (Some(event.at), Some(order));
            }
            Change::StepFailed { error, in_doubt, before } => {
                is(&[Pending, Executing], self.status)?;
                self.status = Failed;
                (self.error, self.in_doubt, self.before) = (Some(error.clone()), *in_doubt, before.clone());
                self.ended_at = Some(event.at);
                self.order = in_doubt.then_some(order);
            }
            Change::StepSkipped { .. } => {
                is(&[Pending, Executing], self.status)?;
                self.status = Skipped;
                self.ended_at = Some(event.at);
            }
            Change::UndoStarted { action_id, reversibility, what } => {
                self.undoable()?;
                self.undo_action = Some(action_id.clone());
                self.undo_mut(*reversibility, what).status = UndoStatus::InProgress;
            }
            Change::UndoCompleted { evidence, attempts } => {
                let undo = self.undo.as_mut().filter(|undo| undo.status == UndoStatus::InProgress)?;
                undo.status = UndoStatus::RolledBack;
                undo.attempts += attempts;
                (undo.at, undo.evidence) = (Some(event.at), Some(evidence.clone()));
                (undo.failure, undo.error) = (None, None);
                self.status = RolledBack;
            }
            Change::UndoFailed { failure, error, attempts } => {
                let undo = self.undo.as_mut().filter(|undo| undo.status == UndoStatus::InProgress)?;
                undo.status = UndoStatus::Failed;
                undo.attempts += attempts;
                undo.at = Some(event.at);
                (undo.failure, undo.error) = (Some(failure.clone()), Some(error.clone()));
            }
            Change::UndoSkipped { status, reversibility, what, manual, reason } => {
                // One that was queued may be taken out again before it was sent.
                let queued = self.stands() && self.undo_status() == Some(UndoStatus::InProgress);
                self.undoable().or(queued.then_some(()))?;
                let undo = self.undo_mut(*reversibility, what);
                undo.status = *status;
                (undo.at, undo.manual) = (Some(event.at), manual.clone());
                undo.failure = (*status == UndoStatus::Blocked).then(|| reason.clone());
            }
            _ => return None,
        }
        Some(())
    }

    /// Only what stands and waits for its undo can be undone: nothing is undone twice.
    fn undoable(&self) -> Option<()> {
        (self.stands() && matches!(self.undo_status(), None | Some(UndoStatus::Pending))).then_some(())
    }

    fn plan_undo(&mut self, planned: &PlannedStep) {
        if self.stands() && !matches!(self.undo_status(), Some(UndoStatus::RolledBack | UndoStatus::Kept)) {
            self.undo_mut(planned.reversibility, &planned.what).status = UndoStatus::Pending;
        }
    }

    fn undo_mut(&mut self, reversibility: Reversibility, what: &str) -> &mut StepUndo {
        let undo = self.undo.get_or_insert_with(|| StepUndo {
            status: UndoStatus::Pending,
            reversibility,
            what: String::new(),
            attempts: 0,
            at: None,
            evidence: None,
            failure: None,
            error: None,
            manual: Vec::new(),
        });
        undo.reversibility = reversibility;
        what.clone_into(&mut undo.what);
        undo
    }
}
