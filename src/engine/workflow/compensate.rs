//! What a compensating workflow does to the workflow it compensates: each of its steps is an undo of the other's.

use serde_json::Value;

use super::advance::Book;
use super::apply::Illegal;
use super::event::{Change, Event, PlannedStep};
use super::rollback::{ended, failure_words};
use super::{Hands, Rules, State};
use crate::platforms::undo::{UndoPlan, Way};
use crate::wire::{UndoStatus, WorkflowStatus};

/// Whether every step it undoes still stands, so that it may begin: an undo since then would be done twice.
pub fn still_fits(compensating: &State, original: &State) -> bool {
    let rests =
        matches!(original.status, WorkflowStatus::Completed | WorkflowStatus::Failed | WorkflowStatus::RollbackFailed);
    let stands = |id: &str| original.place(id).is_some_and(|place| original.steps[place].stands());
    rests && original.lease.is_none() && compensating.steps.iter().all(|step| stands(&step.definition.id))
}

/// Enters in the original what the events of the compensating workflow mean for it.
pub fn mirror(
    original: &mut State,
    compensating: &State,
    events: &[Event],
    attempts: u32,
    rules: Rules,
    hands: &mut dyn Hands,
) -> Result<Vec<Event>, Illegal> {
    let mut book = Book::new(original, rules);
    for event in events {
        let Some(place) = event.step.as_deref().and_then(|id| book.state.place(id)) else { continue };
        if matches!(event.change, Change::StepStarted { .. }) && book.state.status != WorkflowStatus::RollingBack {
            begin(&mut book, compensating, event.by.as_deref(), hands)?;
        }
        let step = &book.state.steps[place];
        let UndoPlan { reversibility, what, label, .. } = hands.undo_plan(&step.done());
        let change = match &event.change {
            Change::StepStarted { action_id, .. } => {
                Change::UndoStarted { action_id: action_id.clone(), reversibility, what }
            }
            Change::StepCompleted { result, .. } => {
                let evidence = result.get("evidence").and_then(Value::as_str).unwrap_or_default().to_owned();
                Change::UndoCompleted { evidence, attempts }
            }
            Change::StepFailed { error, .. } => {
                let failure = failure_words(label, error.code);
                Change::UndoFailed { failure, error: error.clone(), attempts }
            }
            Change::StepSkipped { reason } if book.state.status == WorkflowStatus::RollingBack => Change::UndoSkipped {
                status: UndoStatus::Blocked,
                reason: format!("the compensation did not come to it: {reason}"),
                reversibility,
                what,
                manual: Vec::new(),
            },
            _ => continue,
        };
        book.enter(Some(place), change)?;
    }
    if compensating.at_rest() && book.state.status == WorkflowStatus::RollingBack && book.state.rolling.is_none() {
        let change = ended(book.state);
        book.enter(None, change)?;
    }
    Ok(book.events)
}

/// The compensation begins: what it does not undo is settled at once.
fn begin(book: &mut Book<'_>, compensating: &State, by: Option<&str>, hands: &mut dyn Hands) -> Result<(), Illegal> {
    let mut left = Vec::new();
    let mut steps = Vec::new();
    for (place, step) in book.state.steps.iter().enumerate().filter(|(_, step)| step.stands()) {
        let plan = hands.undo_plan(&step.done());
        match compensating.place(&step.definition.id) {
            Some(_) => steps.push(PlannedStep {
                step_id: step.definition.id.clone(),
                reversibility: plan.reversibility,
                what: plan.what,
            }),
            None if step.undo.is_none() => left.push((place, plan)),
            None => {}
        }
    }
    let operation = format!("compensation by {}", compensating.id);
    book.enter_by(None, Change::RollbackStarted { mode: None, operation, steps }, by)?;
    for (place, plan) in left {
        let (status, reason, manual) = match plan.way {
            Way::Nothing(reason) => (UndoStatus::Kept, reason.to_owned(), Vec::new()),
            Way::Manual(lines) => (UndoStatus::Manual, "only a person can undo it".into(), lines),
            Way::Request => (UndoStatus::Manual, "whether it happened is not known".into(), vec![plan.what.clone()]),
        };
        let (reversibility, what) = (plan.reversibility, plan.what);
        book.enter(Some(place), Change::UndoSkipped { status, reason, reversibility, what, manual })?;
    }
    Ok(())
}
