//! What comes next: steps that can start, the end, or the next undo.

use super::apply::Illegal;
use super::event::{Change, Event};
use super::refs;
use super::rollback;
use super::{Hands, Rules, State};
use crate::wire::{ActionError, ErrorCode, RollbackMode, StepStatus, WorkflowStatus};

/// Events as they are decided: each changes the state at once.
pub(super) struct Book<'a> {
    pub state: &'a mut State,
    pub rules: Rules,
    pub events: Vec<Event>,
}

impl<'a> Book<'a> {
    pub(super) fn new(state: &'a mut State, rules: Rules) -> Self {
        Book { state, rules, events: Vec::new() }
    }

    pub(super) fn enter(&mut self, step: Option<usize>, change: Change) -> Result<(), Illegal> {
        self.enter_by(step, change, None)
    }

    pub(super) fn enter_by(&mut self, step: Option<usize>, change: Change, by: Option<&str>) -> Result<(), Illegal> {
        let step = step.map(|place| self.state.steps[place].definition.id.clone());
        let event = Event { at: self.rules.now, step, change, by: by.map(str::to_owned) };
        self.state.apply(&event)?;
        self.events.push(event);
        Ok(())
    }
}

/// Decides what comes next, until it waits for an action or rests. To be asked when it was accepted or something of it
/// ended: of one that failed it says now whether that is undone.
pub fn advance(state: &mut State, rules: Rules, hands: &mut dyn Hands) -> Result<Vec<Event>, Illegal> {
    let mut book = Book::new(state, rules);
    if matches!(book.state.status, WorkflowStatus::Pending | WorkflowStatus::Executing) {
        go_on(&mut book, hands)?;
    }
    if book.state.status == WorkflowStatus::Failed && rules.rollback && undoes_itself(book.state) {
        rollback::begin(&mut book, RollbackMode::First, None, hands)?;
    }
    if book.state.status == WorkflowStatus::RollingBack && book.state.rolling.is_some() {
        rollback::go_on(&mut book, hands)?;
    }
    Ok(book.events)
}

fn undoes_itself(state: &State) -> bool {
    state.definition.transactional && state.compensates.is_none()
}

fn go_on(book: &mut Book<'_>, hands: &mut dyn Hands) -> Result<(), Illegal> {
    loop {
        if book.state.failing {
            return Ok(());
        }
        let broken = |step: &&super::Step| step.status == StepStatus::Failed && !step.definition.optional;
        if let Some(step) = book.state.steps.iter().find(broken) {
            let error = step.error.clone();
            let code = error.as_ref().map_or(ErrorCode::UnknownError, |error| error.code);
            let words = error.map_or_else(|| "it failed".into(), |error| error.message);
            let words = format!("step {} failed: {words}", step.definition.id);
            return fail(book, words, code, hands);
        }
        let Some(place) = (0..book.state.steps.len()).find(|place| is_ready(book.state, *place)) else {
            let waiting = |step: &super::Step| matches!(step.status, StepStatus::Pending | StepStatus::Executing);
            if !book.state.steps.iter().any(waiting) {
                book.enter(None, Change::Completed)?;
            }
            return Ok(());
        };
        start(book, place, hands)?;
    }
}

/// Whether a step's turn has come: it has not run, and those it waits for have ended.
fn is_ready(state: &State, place: usize) -> bool {
    let ended = |at: &usize| !matches!(state.steps[*at].status, StepStatus::Pending | StepStatus::Executing);
    state.steps[place].status == StepStatus::Pending && state.steps[place].waits.iter().all(ended)
}

fn start(book: &mut Book<'_>, place: usize, hands: &mut dyn Hands) -> Result<(), Illegal> {
    let step = &book.state.steps[place];
    // A compensating step's parameters are a record of what was done, not a caller's text.
    let resolved = match book.state.compensates {
        Some(_) => Ok(step.definition.data.clone()),
        None => refs::resolve(&step.definition.data, book.state),
    };
    let change = match resolved {
        Ok(parameters) => {
            let action_id = hands.free_id(format!("{}-{}", book.state.id, step.definition.id));
            Change::StepStarted { action_id, parameters }
        }
        Err(unresolved) if unresolved.step_missing && step.definition.optional => {
            Change::StepSkipped { reason: unresolved.why }
        }
        Err(unresolved) => Change::StepFailed {
            error: ActionError {
                code: ErrorCode::ValidationError,
                message: unresolved.why,
                http_status: None,
                request_id: None,
            },
            in_doubt: false,
            before: None,
        },
    };
    book.enter(Some(place), change)
}

/// It can no longer complete: what has not been sent will not be.
fn fail(book: &mut Book<'_>, error: String, code: ErrorCode, hands: &mut dyn Hands) -> Result<(), Illegal> {
    skip_unsent(book, "the workflow failed", hands)?;
    book.enter(None, Change::Failed { error, code })
}

/// Takes back what has not been sent. What may have been stays in flight.
pub(super) fn skip_unsent(book: &mut Book<'_>, reason: &str, hands: &mut dyn Hands) -> Result<(), Illegal> {
    for place in 0..book.state.steps.len() {
        let step = &book.state.steps[place];
        let unsent = match step.status {
            StepStatus::Pending => true,
            StepStatus::Executing => step.action_id.as_deref().is_some_and(|id| hands.withdraw(id)),
            _ => false,
        };
        if unsent {
            book.enter(Some(place), Change::StepSkipped { reason: reason.to_owned() })?;
        }
    }
    Ok(())
}

/// Takes back what has not been sent, as events; for a person who ends the workflow.
pub fn stop_steps(state: &mut State, rules: Rules, reason: &str, hands: &mut dyn Hands) -> Result<Vec<Event>, Illegal> {
    let mut book = Book::new(state, rules);
    skip_unsent(&mut book, reason, hands)?;
    Ok(book.events)
}

/// Whether its time can be over at all.
pub fn overdue(state: &State) -> bool {
    state.status == WorkflowStatus::Executing && !state.failing
}

/// Its time is over: what has not been sent will not be, and the rest is awaited.
pub fn time_over(state: &mut State, limit_ms: u64, rules: Rules, hands: &mut dyn Hands) -> Result<Vec<Event>, Illegal> {
    let mut book = Book::new(state, rules);
    let words = format!("not done within {limit_ms} ms (WORKFLOW_TIMEOUT_MS)");
    fail(&mut book, words, ErrorCode::TimeoutError, hands)?;
    let mut events = book.events;
    events.extend(advance(state, rules, hands)?);
    Ok(events)
}
