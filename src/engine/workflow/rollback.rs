//! Rollbacks: strictly the reverse order of completion, one undo at a time, nothing undone twice.
//!
//! An undo that failed does not stop the others, but holds back the steps that its step builds on: undoing those would
//! pull the ground from under what still stands. Forcing goes past that.

use super::advance::{Book, skip_unsent};
use super::apply::Illegal;
use super::event::{Change, Event, PlannedStep, counted};
use super::{Hands, Rules, State, Step};
use crate::platforms::undo::{Done, UndoPlan, Way};
use crate::wire::{ErrorCode, PlannedUndo, RollbackMode, StepStatus, UndoStatus, WorkflowStatus};

/// What undoing a step means. Of one in doubt it is not known whether there is anything to undo.
fn undo_plan(step: &Step, how: &dyn Fn(&Done) -> UndoPlan) -> UndoPlan {
    let mut plan = how(&step.done());
    if step.in_doubt && !matches!(plan.way, Way::Manual(_)) {
        let what = format!("look for what step {} may have done; if it is there: {}", step.definition.id, plan.what);
        plan.way = Way::Manual(vec![what]);
    }
    plan
}

/// The steps that a rollback goes for, in its order.
fn targets(state: &State, mode: RollbackMode) -> Vec<usize> {
    let wanted = |step: &Step| match mode {
        RollbackMode::First => matches!(step.undo_status(), None | Some(UndoStatus::Pending)),
        RollbackMode::Retry | RollbackMode::Force => {
            matches!(step.undo_status(), Some(UndoStatus::Pending | UndoStatus::Failed | UndoStatus::Blocked))
        }
    };
    let mut places: Vec<usize> =
        (0..state.steps.len()).filter(|at| state.steps[*at].stands() && wanted(&state.steps[*at])).collect();
    places.sort_by_key(|at| std::cmp::Reverse(state.steps[*at].order));
    places
}

/// What a rollback would do, in its order.
pub fn plan(state: &State, mode: RollbackMode, how: &dyn Fn(&Done) -> UndoPlan) -> Vec<PlannedUndo> {
    let planned = |place: usize| {
        let step = &state.steps[place];
        let plan = undo_plan(step, how);
        let sends = matches!(plan.way, Way::Request);
        let manual = if let Way::Manual(lines) = plan.way { lines } else { Vec::new() };
        PlannedUndo {
            step_id: step.definition.id.clone(),
            platform: step.fallback.unwrap_or(step.definition.platform),
            what: plan.what,
            reversibility: plan.reversibility,
            status: step.undo_status().unwrap_or(UndoStatus::Pending),
            sends,
            manual,
        }
    };
    targets(state, mode).into_iter().map(planned).collect()
}

/// Begins a rollback that a person asked for, and goes on as far as it can.
pub fn roll_back(
    state: &mut State,
    mode: RollbackMode,
    by: &str,
    rules: Rules,
    hands: &mut dyn Hands,
) -> Result<Vec<Event>, Illegal> {
    let mut book = Book::new(state, rules);
    if book.state.status == WorkflowStatus::Executing {
        skip_unsent(&mut book, "the workflow is rolled back", hands)?;
    }
    begin(&mut book, mode, Some(by), hands)?;
    go_on(&mut book, hands)?;
    Ok(book.events)
}

/// A rollback in the words of the command that asks for it.
pub(super) const fn operation(mode: RollbackMode) -> &'static str {
    match mode {
        RollbackMode::First => "rollback",
        RollbackMode::Retry => "rollback retry",
        RollbackMode::Force => "rollback force",
    }
}

/// Enters the beginning.
pub(super) fn begin(
    book: &mut Book<'_>,
    mode: RollbackMode,
    by: Option<&str>,
    hands: &mut dyn Hands,
) -> Result<(), Illegal> {
    let steps = targets(book.state, mode).into_iter().map(|place| {
        let step = &book.state.steps[place];
        let plan = undo_plan(step, &|done| hands.undo_plan(done));
        PlannedStep { step_id: step.definition.id.clone(), reversibility: plan.reversibility, what: plan.what }
    });
    let steps = steps.collect();
    let operation = operation(mode).to_owned();
    book.enter_by(None, Change::RollbackStarted { mode: Some(mode), operation, steps }, by)
}

/// Enters what follows, until an undo is under way or the rollback rests.
pub(super) fn go_on(book: &mut Book<'_>, hands: &mut dyn Hands) -> Result<(), Illegal> {
    loop {
        let busy =
            |step: &Step| step.status == StepStatus::Executing || step.undo_status() == Some(UndoStatus::InProgress);
        if book.state.steps.iter().any(busy) {
            return Ok(());
        }
        let next = (0..book.state.steps.len())
            .filter(|at| {
                let step = &book.state.steps[*at];
                step.stands() && matches!(step.undo_status(), None | Some(UndoStatus::Pending))
            })
            .max_by_key(|at| book.state.steps[*at].order);
        let Some(place) = next else { return book.enter(None, ended(book.state)) };
        let step = &book.state.steps[place];
        let UndoPlan { reversibility, what, way, .. } = undo_plan(step, &|done| hands.undo_plan(done));
        let forced = book.state.rolling == Some(RollbackMode::Force);
        let change = match (way, holds_back(book.state, place).filter(|_| !forced)) {
            (Way::Nothing(reason), _) => {
                let (status, reason) = (UndoStatus::Kept, reason.to_owned());
                Change::UndoSkipped { status, reason, reversibility, what, manual: Vec::new() }
            }
            (Way::Manual(manual), _) => {
                let (status, reason) = (UndoStatus::Manual, "only a person can undo it".to_owned());
                Change::UndoSkipped { status, reason, reversibility, what, manual }
            }
            (Way::Request, Some(above)) => {
                let (status, reason) = (UndoStatus::Blocked, format!("step {above} builds on it and still stands"));
                Change::UndoSkipped { status, reason, reversibility, what, manual: Vec::new() }
            }
            (Way::Request, None) => {
                let wanted = format!("{}-undo-{}", book.state.id, step.definition.id);
                Change::UndoStarted { action_id: hands.free_id(wanted), reversibility, what }
            }
        };
        book.enter(Some(place), change)?;
    }
}

/// The step that builds on this one, perhaps through others, and still stands because its undo did not succeed.
fn holds_back(state: &State, place: usize) -> Option<&str> {
    let mut reached = vec![false; state.steps.len()];
    reached[place] = true;
    // Steps build only on earlier ones, so one pass reaches all.
    for at in place + 1..state.steps.len() {
        let step = &state.steps[at];
        reached[at] = step.builds_on.iter().any(|below| reached[*below]);
        let stands = matches!(step.undo_status(), Some(UndoStatus::Failed | UndoStatus::Blocked)) && step.stands();
        if reached[at] && stands {
            return Some(&step.definition.id);
        }
    }
    None
}

/// How a rollback came to rest.
pub(super) fn ended(state: &State) -> Change {
    let count = |fits: &dyn Fn(&Step) -> bool| state.steps.iter().filter(|step| fits(step)).count();
    let undone = count(&|step| step.status == StepStatus::RolledBack);
    let left = count(&Step::is_left);
    if left == 0 {
        return Change::RollbackEnded { status: WorkflowStatus::RolledBack, detail: None, error: None };
    }
    let all = counted(undone + left);
    let detail = match undone {
        0 => format!("nothing rolled back: 0 of {all}"),
        _ => format!("partially rolled back: {undone} of {all}"),
    };
    Change::RollbackEnded { status: WorkflowStatus::RollbackFailed, detail: Some(detail), error: what_is_wrong(state) }
}

/// The last undo that failed, or what is left for a person.
fn what_is_wrong(state: &State) -> Option<String> {
    let failed = state.steps.iter().filter_map(|step| step.undo.as_ref());
    let failed = failed.filter(|undo| undo.status == UndoStatus::Failed).max_by_key(|undo| undo.at);
    let left = || {
        let step = state.steps.iter().find(|step| step.is_left())?;
        Some(format!("step {} is left for a person: {}", step.definition.id, step.undo.as_ref()?.what))
    };
    failed.and_then(|undo| undo.failure.clone()).or_else(left)
}

/// What an undo failed with, in the runbook's words: `File deletion failed: permission denied`.
pub fn failure_words(label: &str, code: ErrorCode) -> String {
    let words = match code {
        ErrorCode::AuthError => "authentication failed".to_owned(),
        ErrorCode::NetworkError => "network unreachable".to_owned(),
        ErrorCode::TimeoutError => "no answer in time".to_owned(),
        ErrorCode::ServiceDown => "service unavailable".to_owned(),
        ErrorCode::Conflict => "changed since".to_owned(),
        other => other.as_str().to_ascii_lowercase().replace('_', " "),
    };
    format!("{label} failed: {words}")
}
