//! Workflows: the same rules as on the native engine, with Restate's journal as their log.

use std::sync::Arc;

use restate_sdk::endpoint::ContextInternal;
use restate_sdk::prelude::*;
use serde_json::{Value, json};

use super::actions::{CANCELLED, Cut, Deed, Made, is_cancelled};
use super::hands::{Hands, Permit, says};
use crate::engine::workflow::{self as engine, Change, Event, Rules, State, Step};
use crate::platforms::undo::{self, Done, UndoPlan, Undone};
use crate::platforms::{Lookup, PlatformError};
use crate::server::native::ask;
use crate::server::restate::contract::{APPROVAL, UNDO};
use crate::server::restate::invocation::failure;
use crate::wire::*;

/// `Workflow/<id>`: executes the steps, and undoes them when one fails.
pub(super) async fn run(
    hands: &Arc<Hands>,
    ctx: &ContextInternal,
    id: &str,
    request: WorkflowRequest,
) -> HandlerResult<Value> {
    Ok(Run { hands, ctx, id }.whole(request).await?)
}

/// A person's decision about the step that waits for one.
pub(super) fn decide(ctx: &ContextInternal, decision: Value) {
    ctx.resolve_promise(APPROVAL, Json(decision));
}

/// What the engine needs of the world: an action's id is what it asks for, and nothing is withdrawn, since a step is sent
/// only when its turn has come.
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

/// A decision, as the contract has it.
#[derive(serde::Deserialize, serde::Serialize)]
struct Decision {
    approved: bool,
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// What became of a step.
enum Ended {
    Made(Made),
    Failed(TerminalError),
    /// The workflow was cancelled meanwhile; what the step did is not known yet.
    Cancelled,
}

struct Run<'run> {
    hands: &'run Arc<Hands>,
    ctx: &'run ContextInternal,
    id: &'run str,
}

impl Run<'_> {
    async fn whole(&self, request: WorkflowRequest) -> Result<Value, TerminalError> {
        self.ensure_fit(&request)?;
        let mut now = self.moment("begin").await?;
        let accepted = Change::Accepted { definition: Box::new(request), compensates: None };
        let event = Event { at: now, step: None, change: accepted, by: None };
        let mut state = State::accepted(self.id, &event).map_err(broken)?;
        self.set("name", json!(state.definition.name));
        self.set("status", json!(WorkflowStatus::Executing));
        let mut cancelled = false;
        loop {
            let rules = Rules { now, rollback: self.hands.settings.enable_rollback };
            engine::advance(&mut state, rules, &mut Ground).map_err(broken)?;
            self.show(&state);
            if let Some(place) = state.steps.iter().position(|step| step.status == StepStatus::Executing) {
                let ended = match cancelled {
                    true => Ended::Failed(TerminalError::new_with_code(CANCELLED, "the workflow was cancelled")),
                    false => self.step(&state.steps[place]).await?,
                };
                cancelled |= matches!(ended, Ended::Cancelled);
                now = self.end_step(&mut state, place, ended, now).await?;
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
    fn ensure_fit(&self, request: &WorkflowRequest) -> Result<(), TerminalError> {
        let refuse = |words: String| Err(TerminalError::new_with_code(400, words));
        let findings = engine::check(request, self.hands.settings.max_workflow_steps);
        if !findings.is_empty() {
            return refuse(findings.join("; "));
        }
        let asking: Vec<&str> =
            request.steps.iter().filter(|step| self.asks(step).is_some()).map(|step| step.id.as_str()).collect();
        match asking.len() {
            0 | 1 => Ok(()),
            n => refuse(format!("{n} steps need approval ({}); a workflow on Restate has one", asking.join(", "))),
        }
    }

    /// The approval a step needs, by its own word or a rule's.
    fn asks(&self, step: &StepRequest) -> Option<(Vec<ApprovalCause>, Time)> {
        let action = json!({
            "type": step.action_type, "platform": step.platform, "data": step.data,
            "requiresApproval": step.requires_approval,
        });
        let action: ActionRequest = serde_json::from_value(action).ok()?;
        // One that approvals being off refuses is refused when it is submitted.
        let asked = ask(&action, 1, &self.hands.settings, Time(0)).ok().flatten()?;
        Some((asked.causes, asked.expires_at))
    }

    async fn step(&self, step: &Step) -> Result<Ended, TerminalError> {
        let own = &step.definition;
        let data = step.sent.clone().unwrap_or_else(|| own.data.clone());
        if let Some((causes, expires_after)) = self.asks(own)
            && let Err(refused) = self.approved(step, &data, &causes, expires_after).await
        {
            return Ok(if refused.code() == CANCELLED { Ended::Cancelled } else { Ended::Failed(refused) });
        }
        let marker = step.action_id.clone().unwrap_or_default();
        let mut call = self.hands.prepare_call(own.platform, own.action_type, data, marker);
        if let Some(ms) = own.timeout {
            call.timeout = std::time::Duration::from_millis(ms);
        }
        let keeps_before = undo::overwrites(own.platform, own.action_type);
        let deed = Deed { name: own.id.clone(), call, keeps_before };
        Ok(match self.hands.make(self.ctx, deed).await {
            Ok(made) => Ended::Made(made),
            // Whether it was made is looked up: what this try knows a replay would not.
            Err(Cut { error, .. }) if is_cancelled(&error) => Ended::Cancelled,
            Err(Cut { error, .. }) => Ended::Failed(error),
        })
    }

    /// Waits until a person has let the step run.
    async fn approved(
        &self,
        step: &Step,
        data: &Value,
        causes: &[ApprovalCause],
        expires_after: Time,
    ) -> Result<(), TerminalError> {
        let own = &step.definition;
        let at = self.moment(&own.id).await?;
        let about = json!({
            "stepId": own.id, "type": own.action_type, "platform": own.platform, "data": data,
            "requestedAt": at, "expiresAt": Time(at.0 + expires_after.0), "causes": causes,
        });
        self.set(APPROVAL, about);
        let Json(decision) = self.ctx.promise::<Json<Decision>>(APPROVAL).await?;
        if decision.approved {
            return Ok(());
        }
        let by = decision.by.unwrap_or_else(|| "somebody".to_owned());
        let why = decision.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        Err(TerminalError::new_with_code(403, format!("rejected by {by}{why}")))
    }

    /// Takes a step's end down; gives when it was.
    async fn end_step(&self, state: &mut State, place: usize, ended: Ended, now: Time) -> Result<Time, TerminalError> {
        let step = &state.steps[place];
        let (change, at) = match ended {
            Ended::Made(made) => {
                let at = made.at;
                (Change::StepCompleted { result: made.result, before: made.before, fallback_platform: None }, at)
            }
            Ended::Failed(error) => (step_failed(failure(&worded(&error)), false), now),
            Ended::Cancelled => match self.look(step, now).await? {
                Lookup::Found(outcome) => {
                    let change =
                        Change::StepCompleted { result: outcome.result, before: None, fallback_platform: None };
                    (change, now)
                }
                Lookup::Absent => (step_failed(failure("[409] the workflow was cancelled"), false), now),
                Lookup::Unclear(why) => {
                    (step_failed(failure(&format!("[409] the workflow was cancelled: {why}")), true), now)
                }
            },
        };
        apply(state, place, change, at)?;
        Ok(at)
    }

    /// Whether a step that was cut short was executed.
    async fn look(&self, step: &Step, since: Time) -> Result<Lookup, TerminalError> {
        let own = &step.definition;
        let data = step.sent.clone().unwrap_or_else(|| own.data.clone());
        let marker = step.action_id.clone().unwrap_or_default();
        let call = self.hands.prepare_call(own.platform, own.action_type, data, marker);
        self.hands.look(self.ctx, &own.id, call, since).await
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
                let at = hands.pass(platform, &permit).await?;
                let label = undo::plan(&done).label;
                let undone = hands.call(platform, &permit, hands.clients.undo(&done, false, limit)).await;
                match undone.map_err(|error: PlatformError| format!("{label} failed: {}", says(&error)))? {
                    Undone::Confirmed(evidence) | Undone::Already(evidence) => Ok(Json((evidence, at))),
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

    /// A moment that stays the same in every replay.
    async fn moment(&self, name: &str) -> Result<Time, TerminalError> {
        let clock = self.hands.clock.clone();
        let moment = self.ctx.run(move || async move { Ok(Json(clock.now())) });
        Ok(moment.name(name).await?.0)
    }

    /// Writes what the contract shows.
    fn show(&self, state: &State) {
        let ids = |fits: &dyn Fn(&Step) -> bool| -> Value {
            state.steps.iter().filter(|step| fits(step)).map(|step| step.definition.id.clone()).collect()
        };
        self.set("status", json!(state.status));
        self.set("completedSteps", ids(&Step::was_executed));
        self.set("rolledBackSteps", ids(&|step| step.status == StepStatus::RolledBack));
        let left = [UndoStatus::Manual, UndoStatus::Failed, UndoStatus::Blocked].map(Some);
        self.set("failedRollbacks", ids(&|step| left.contains(&step.undo_status())));
        if let Some(step) = &state.failed_step {
            self.set("failedStep", json!(step));
        }
        if let Some(error) = &state.error {
            self.set("error", json!(error));
        }
    }

    fn set(&self, key: &str, value: Value) {
        self.ctx.set(key, Json(value));
    }
}

fn apply(state: &mut State, place: usize, change: Change, at: Time) -> Result<(), TerminalError> {
    let step = Some(state.steps[place].definition.id.clone());
    state.apply(&Event { at, step, change, by: None }).map_err(broken)
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
