//! Workflows: the same rules as on the native engine, with Restate's journal as their log. Whatever depends on the worker
//! (its clock, its settings, what the platform said) is kept there, so that another one goes on as this one would have.

mod approvals;
mod shown;
mod steps;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use restate_sdk::endpoint::ContextInternal;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::deed::{CANCELLED, Made, is_cancelled, is_in_doubt};
use super::hands::{Hands, Permit, says};
use super::limit::Limit;
use crate::engine::workflow::{self as engine, Change, Event, Rules, State, Step};
use crate::platforms::undo::{self, Done, UndoPlan, Undone};
use crate::platforms::{Call, Lookup, PlatformError};
use crate::server::restate::contract::UNDO;
use crate::server::restate::invocation::failure;
use crate::wire::*;

pub(super) use approvals::decide;

/// `Workflow/<id>`: executes the steps, and undoes them when one fails.
pub(super) async fn run(
    hands: &Arc<Hands>,
    ctx: &ContextInternal,
    id: &str,
    request: WorkflowRequest,
) -> HandlerResult<Value> {
    Ok(Run { hands, ctx, id, shown: Mutex::default() }.whole(request).await?)
}

/// What the engine needs of the world: an action's id is what it asks for. A step is sent only when its turn has come, and
/// nothing else happens meanwhile: whatever is withdrawn was not sent.
struct Ground;

impl engine::Hands for Ground {
    fn free_id(&mut self, wanted: String) -> String {
        wanted
    }

    fn withdraw(&mut self, _action_id: &str) -> bool {
        true
    }

    fn undo_plan(&self, done: &Done) -> UndoPlan {
        undo::plan(done)
    }
}

/// What holds for the whole of it, whatever the settings of the worker that goes on with it.
#[derive(Serialize, Deserialize)]
struct Terms {
    at: Time,
    limit: Limit,
    rollback: bool,
}

/// What became of a step.
enum Ended {
    Made(Made),
    /// With when, as far as that was kept.
    Failed(TerminalError, Option<Time>),
    /// The workflow was cancelled meanwhile; whether the call was made is not known yet.
    Cancelled(Box<Call>),
    /// The workflow's time was over before it was sent.
    Late(Time),
}

struct Run<'run> {
    hands: &'run Arc<Hands>,
    ctx: &'run ContextInternal,
    id: &'run str,
    /// What was written into the state last.
    shown: Mutex<BTreeMap<String, Value>>,
}

impl Run<'_> {
    async fn whole(&self, request: WorkflowRequest) -> Result<Value, TerminalError> {
        let Terms { at: mut now, mut limit, rollback } = self.begin(&request).await?;
        let accepted = Change::Accepted { definition: Box::new(request), compensates: None };
        let event = Event { at: now, step: None, change: accepted, by: None };
        let mut state = State::accepted(self.id, &event).map_err(broken)?;
        self.set("name", json!(state.definition.name));
        self.set("status", json!(WorkflowStatus::Executing));
        let mut cancelled = false;
        loop {
            let rules = Rules { now, rollback };
            engine::advance(&mut state, rules, &mut Ground).map_err(broken)?;
            self.show(&state);
            if let Some(place) = state.steps.iter().position(|step| step.status == StepStatus::Executing) {
                let ended = match cancelled {
                    true => Ended::Failed(TerminalError::new_with_code(CANCELLED, "the workflow was cancelled"), None),
                    false => self.step(&state, place, &mut limit).await?,
                };
                cancelled |= matches!(ended, Ended::Cancelled(_));
                now = self.end_step(&mut state, place, ended, rules, limit).await?;
                continue;
            }
            let undoing = |step: &Step| step.undo_status() == Some(UndoStatus::InProgress);
            if let Some(place) = state.steps.iter().position(undoing) {
                let (evidence, at) = self.undo(&state.steps[place]).await?;
                now = at;
                let change = Change::UndoCompleted { evidence, attempts: 1 };
                apply(&mut state, place, change, now)?;
                continue;
            }
            // An operator's cancellation undoes what a failure would leave.
            if cancelled && state.status == WorkflowStatus::Failed {
                engine::roll_back(&mut state, RollbackMode::First, "an operator", rules, &mut Ground)
                    .map_err(broken)?;
                continue;
            }
            break;
        }
        self.show(&state);
        match state.status {
            WorkflowStatus::Completed => Ok(results(&state)),
            _ => {
                let code = state.code.map_or(500, |code| if code == ErrorCode::ValidationError { 400 } else { 500 });
                let words = state.error.clone().unwrap_or_else(|| "the workflow failed".to_owned());
                Err(TerminalError::new_with_code(code, words))
            }
        }
    }

    /// Refuses what cannot be kept: its writer is told at once, before anything is done.
    async fn begin(&self, request: &WorkflowRequest) -> Result<Terms, TerminalError> {
        let (hands, request) = (self.hands.clone(), request.clone());
        let begin = self.ctx.run(move || async move {
            let findings = engine::check(&request, hands.settings.max_workflow_steps);
            if !findings.is_empty() {
                return Err(TerminalError::new_with_code(400, findings.join("; ")).into());
            }
            let own = request.timeout.map(std::time::Duration::from_millis);
            let whole = own.unwrap_or(hands.settings.workflow_timeout);
            let limit = hands.limit(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX)).await?;
            Ok(Json(Terms { at: hands.clock.now(), limit, rollback: hands.settings.enable_rollback }))
        });
        Ok(begin.name("begin").await?.0)
    }

    /// Takes a step's end down; gives when it was.
    async fn end_step(
        &self,
        state: &mut State,
        place: usize,
        ended: Ended,
        rules: Rules,
        limit: Limit,
    ) -> Result<Time, TerminalError> {
        let (change, at) = match ended {
            Ended::Made(made) => (step_completed(made.result, made.before), made.at),
            Ended::Failed(error, at) => {
                (step_failed(failure(&worded(&error)), is_in_doubt(&error)), at.unwrap_or(rules.now))
            }
            Ended::Late(now) => {
                engine::time_over(state, limit.ms, Rules { now, ..rules }, &mut Ground).map_err(broken)?;
                return Ok(now);
            }
            Ended::Cancelled(call) => {
                let (seen, at) = self.look(&state.steps[place], &call, rules.now).await?;
                let words = "[409] the workflow was cancelled";
                let change = match seen {
                    Lookup::Found(outcome) => step_completed(outcome.result, None),
                    Lookup::Absent => step_failed(failure(words), false),
                    Lookup::Unclear(why) => step_failed(failure(&format!("{words}: {why}")), true),
                };
                (change, at)
            }
        };
        apply(state, place, change, at)?;
        Ok(at)
    }

    /// Whether a step that was cut short was executed. That has to be known, however often it is cancelled.
    async fn look(&self, step: &Step, call: &Call, since: Time) -> Result<(Lookup, Time), TerminalError> {
        loop {
            match self.hands.look(self.ctx, &step.definition.id, call.clone(), since).await {
                Err(error) if is_cancelled(&error) => {}
                answer => return answer,
            }
        }
    }

    /// Undoes a step. What is refused is tried again until it works or somebody ends the workflow: it must not be forgotten.
    async fn undo(&self, step: &Step) -> Result<(String, Time), TerminalError> {
        let done = step.done();
        let platform = done.platform;
        // It looks, sends and reads back: three calls.
        let limit = self.hands.settings.platform(platform).timeout * 3;
        let name = format!("{UNDO}{}", step.definition.id);
        loop {
            let (hands, done) = (self.hands.clone(), done.clone());
            let undo = self.ctx.run(move || async move {
                let permit = Permit::default();
                hands.pass(platform, &permit).await?;
                let label = undo::plan(&done).label;
                let undone = hands.call(platform, &permit, hands.clients.undo(&done, false, limit)).await;
                match undone.map_err(|error: PlatformError| format!("{label} failed: {}", says(&error)))? {
                    Undone::Confirmed(evidence) | Undone::Already(evidence) => Ok(Json((evidence, hands.clock.now()))),
                    Undone::ChangedSince(how) => {
                        Err(format!("{label} failed: somebody changed it since: {how}").into())
                    }
                    Undone::StillStands(how) => Err(format!("{label} failed: it still stands: {how}").into()),
                }
            });
            match undo.name(&name).await {
                Ok(Json(undone)) => return Ok(undone),
                // It is being undone already.
                Err(error) if is_cancelled(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn apply(state: &mut State, place: usize, change: Change, at: Time) -> Result<(), TerminalError> {
    let step = Some(state.steps[place].definition.id.clone());
    state.apply(&Event { at, step, change, by: None }).map_err(broken)
}

fn step_completed(result: Value, before: Option<Value>) -> Change {
    Change::StepCompleted { result, before, fallback_platform: None }
}

fn step_failed(error: ActionError, in_doubt: bool) -> Change {
    Change::StepFailed { error, in_doubt, before: None }
}

/// As Restate shows it.
fn worded(error: &TerminalError) -> String {
    format!("[{}] {}", error.code(), error.message())
}

fn broken(illegal: engine::Illegal) -> TerminalError {
    TerminalError::new(illegal.to_string())
}

/// What the steps gave, for whoever waits for the workflow.
fn results(state: &State) -> Value {
    let of = |step: &Step| Some((step.definition.id.clone(), step.result.clone()?));
    Value::Object(state.steps.iter().filter_map(of).collect())
}
