//! What a workflow shows of itself: the keys of its state that the contract has.

use std::sync::PoisonError;

use restate_sdk::prelude::*;
use serde_json::{Map, Value, json};

use super::Run;
use crate::engine::workflow::{State, Step};
use crate::server::restate::contract::{STEPS, StepState};
use crate::server::restate::invocation::failure;
use crate::wire::{StepStatus, Time, UndoStatus};

impl Run<'_> {
    /// Writes what the contract shows.
    pub(super) fn show(&self, state: &State) {
        let ids = |fits: &dyn Fn(&Step) -> bool| -> Value {
            state.steps.iter().filter(|step| fits(step)).map(|step| step.definition.id.clone()).collect()
        };
        self.set("status", json!(state.status));
        let is_done = |step: &Step| matches!(step.status, StepStatus::Completed | StepStatus::RolledBack);
        self.set("completedSteps", ids(&is_done));
        self.set("rolledBackSteps", ids(&|step| step.status == StepStatus::RolledBack));
        let left = [UndoStatus::Manual, UndoStatus::Failed, UndoStatus::Blocked].map(Some);
        self.set("failedRollbacks", ids(&|step| left.contains(&step.undo_status())));
        self.set(STEPS, Value::Object(steps(state)));
        if let Some(step) = &state.failed_step {
            self.set("failedStep", json!(step));
        }
        if let Some(error) = &state.error {
            self.set("error", json!(error));
        }
    }

    /// Shows why a step is tried again, and when.
    pub(super) fn show_lost(&self, state: &State, place: usize, words: &str, tries: u32, next: Time) {
        let mut steps = steps(state);
        let step = &state.steps[place];
        let error = failure(&format!("{words} (try {tries}; the next is at {next})"));
        let told = StepState { error: Some(error), ..told(step) };
        steps.insert(step.definition.id.clone(), json!(told));
        self.set(STEPS, Value::Object(steps));
    }

    /// Writes a value of the state, unless it is there already.
    pub(super) fn set(&self, key: &str, value: Value) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.get(key) != Some(&value) {
            self.ctx.set(key, Json(value.clone()));
            shown.insert(key.to_owned(), value);
        }
    }
}

/// The steps that have begun, as they are.
fn steps(state: &State) -> Map<String, Value> {
    let begun = state.steps.iter().filter(|step| step.status != StepStatus::Pending);
    begun.map(|step| (step.definition.id.clone(), json!(told(step)))).collect()
}

fn told(step: &Step) -> StepState {
    StepState {
        status: Some(step.status),
        started_at: step.started_at,
        ended_at: step.ended_at,
        result: step.result.clone(),
        error: step.error.clone(),
        undo: step.undo.clone(),
    }
}
