//! Workflows: invocations of the contract's workflow service. What their code does after a failure is theirs; ours is to see
//! it, to cancel (which makes them compensate), to make a failing undo be tried at once, and to take a person's word.

mod read;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::actions::workflow_path;
use super::admin::{Repeat, list, quoted, refused};
use super::contract::{State, WORKFLOW};
use super::invocation::{COLUMNS, End, Invocation};
use super::{RestateBackend, unsupported};
use crate::http::Method;
use crate::platforms::undo::reversibility;
use crate::server::backend::{Answer, ChangeContext, Refusal, WorkflowOps};
use crate::server::effects::{answer, who};
use crate::server::jobs::Progress;
use crate::wire::*;

/// Most workflows a listing looks at, the newest.
const LISTED: u64 = 5000;
/// The handler that runs a workflow.
const RUN: &str = "run";

/// A workflow as it is now.
struct Found {
    row: Option<Invocation>,
    state: State,
    workflow: Workflow,
}

impl RestateBackend {
    /// Reads everything of one workflow.
    async fn look_up(&self, id: &str) -> Result<Found, Refusal> {
        self.ensure_service(WORKFLOW).await?;
        let output = format!("restate/workflow/{}", workflow_path(id, "output")?);
        self.shown(&format!("workflow `{id}`"), &output, || self.looked_up(id)).await
    }

    /// What SQL shows of a workflow, if anything.
    async fn looked_up(&self, id: &str) -> Result<Option<Found>, Refusal> {
        let sql = format!(
            "select {COLUMNS} from sys_invocation where target_service_name = '{WORKFLOW}' \
             and target_handler_name = '{RUN}' and target_service_key = {} order by created_at desc limit 1",
            quoted(id)
        );
        let row: Option<Invocation> = self.rows(&sql).await?.into_iter().next();
        let state = self.admin.state(WORKFLOW, id).await?;
        if row.is_none() && state.0.is_empty() {
            return Ok(None);
        }
        let input = match &row {
            Some(row) => self.input_of(&row.id).await?,
            None => None,
        };
        let workflow = read::workflow(id, row.as_ref(), &state, input.as_ref(), self.now());
        Ok(Some(Found { row, state, workflow }))
    }

    async fn list_workflows(&self, filter: WorkflowFilter) -> Result<WorkflowList, Refusal> {
        self.ensure_service(WORKFLOW).await?;
        let sql = format!(
            "select {COLUMNS} from sys_invocation where target_service_name = '{WORKFLOW}' \
             and target_handler_name = '{RUN}' order by created_at desc limit {LISTED}"
        );
        let rows: Vec<Invocation> = self.rows(&sql).await?;
        let states: BTreeMap<String, State> = self.admin.states(WORKFLOW, None).await?.into_iter().collect();
        let none = State::default();
        let mut all: Vec<WorkflowSummary> = Vec::new();
        for row in &rows {
            let state = row.target_service_key.as_ref().and_then(|key| states.get(key)).unwrap_or(&none);
            let summary = read::summary(row, state);
            let cleared = state.0.get("cleared").and_then(serde_json::Value::as_bool).unwrap_or(false);
            let wanted = (filter.statuses.is_empty() || filter.statuses.contains(&summary.status))
                && filter.since.is_none_or(|since| summary.updated_at >= since)
                && !(filter.hide_cleared && cleared);
            if wanted {
                all.push(summary);
            }
        }
        let total = all.len() as u64;
        let (skip, take) = (filter.offset as usize, filter.limit as usize);
        let mut workflows: Vec<WorkflowSummary> = all.into_iter().skip(skip).take(take).collect();
        self.count_steps(&mut workflows, &rows).await?;
        Ok(WorkflowList { workflows, total })
    }

    /// Names and numbers of steps are in what each was sent with.
    async fn count_steps(&self, workflows: &mut [WorkflowSummary], rows: &[Invocation]) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
            #[serde(default)]
            entry_json: Option<String>,
        }
        let ids: BTreeMap<&str, &str> =
            rows.iter().filter_map(|row| Some((row.target_service_key.as_deref()?, row.id.as_str()))).collect();
        let wanted = list(workflows.iter().filter_map(|w| ids.get(w.workflow_id.as_str()).copied()));
        let sql =
            format!("select id, entry_json from sys_journal where id in ({wanted}) and entry_type = 'Command: Input'");
        let entries: BTreeMap<String, String> =
            self.rows::<Row>(&sql).await?.into_iter().filter_map(|row| Some((row.id, row.entry_json?))).collect();
        for workflow in workflows {
            let Some(text) = ids.get(workflow.workflow_id.as_str()).and_then(|id| entries.get(*id)) else { continue };
            let entry: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            let Some(input) = super::actions::payload(&entry["Command"]["Input"]["payload"]) else { continue };
            if let Some(name) = input["name"].as_str() {
                workflow.name = name.to_owned();
            }
            workflow.steps = input["steps"].as_array().map_or(workflow.steps, |steps| steps.len() as u64);
        }
        Ok(())
    }

    async fn start_workflow(&self, request: WorkflowRequest) -> Result<WorkflowAccepted, Refusal> {
        let findings = crate::engine::workflow::check(&request, self.config.effective().max_workflow_steps);
        if !findings.is_empty() {
            return Err(Refusal::new(ErrorCode::ValidationError, findings.join("; ")));
        }
        if request.priority != Priority::Normal {
            return Err(unsupported("Restate has no priorities: submit it with `normal`, which is what it would get"));
        }
        self.ensure_open().await?;
        self.ensure_service(WORKFLOW).await?;
        let id = request.id.clone().or_else(|| request.idempotency_key.clone());
        let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let body = serde_json::to_value(&request)
            .map_err(|error| Refusal::new(ErrorCode::UnknownError, format!("cannot write the workflow: {error}")))?;
        // A workflow's id is its key: Restate runs it once, and a repeated submission is harmless.
        let sent = self.send(&workflow_path(&id, "run/send")?, &body, None).await?;
        let mut status = WorkflowStatus::Executing;
        if sent.is_repeated() {
            let first = self.input_of(&sent.invocation_id).await?;
            let first = first.and_then(|first| serde_json::from_value::<WorkflowRequest>(first).ok());
            let print = crate::engine::workflow::fingerprint;
            if first.is_some_and(|first| print(&first) != print(&request)) {
                let words = format!("the id `{id}` stands for a workflow with other content");
                return Err(Refusal::new(ErrorCode::DuplicateError, words));
            }
            status = self.look_up(&id).await?.workflow.status;
        }
        Ok(WorkflowAccepted { workflow_id: id, status, duplicate: sent.is_repeated(), audit_id: None })
    }

    async fn plan(&self, id: &str, mode: RollbackMode) -> Result<RollbackPlan, Refusal> {
        let Found { workflow, .. } = self.look_up(id).await?;
        let mut steps: Vec<PlannedUndo> = Vec::new();
        for step in workflow.steps.iter().rev().filter(|step| step.status == StepStatus::Completed) {
            steps.push(PlannedUndo {
                step_id: step.step_id.clone(),
                platform: step.platform,
                what: read::what(step.platform, step.action_type),
                reversibility: reversibility(step.platform, step.action_type),
                status: step.undo.as_ref().map_or(UndoStatus::Pending, |undo| undo.status),
                sends: true,
                manual: Vec::new(),
            });
        }
        Ok(RollbackPlan {
            workflow_id: workflow.workflow_id.clone(),
            status: workflow.status,
            mode,
            refused: refused_rollback(workflow.status, mode),
            lease: None,
            steps,
            version: workflow.version,
        })
    }

    async fn roll_back(&self, id: &str, mode: RollbackMode, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let Found { row, workflow, .. } = self.look_up(id).await?;
        if workflow.status == WorkflowStatus::RolledBack {
            return Ok(answer(EffectKind::AlreadySo, format!("workflow {id} is rolled back already"), vec![]));
        }
        if mode == RollbackMode::Force {
            return Err(unsupported(NO_FORCE));
        }
        self.ensure_version(&workflow, cx)?;
        if let Some(why) = refused_rollback(workflow.status, mode) {
            return Err(Refusal::new(ErrorCode::Conflict, format!("workflow {id} cannot be rolled back: {why}")));
        }
        let row = row.ok_or_else(|| Refusal::not_found(format!("workflow `{id}`")))?;
        let operation = if mode == RollbackMode::Retry { "resume" } else { "cancel" };
        let path = format!("invocations/{}/{operation}", row.id);
        let reply = self.admin.change(Method::PATCH, &path, None, Repeat::Safe).await?;
        if !reply.is_success() {
            return Err(refused(&reply, &format!("to {operation} workflow {id}")));
        }
        let moved = self.seen(|| async {
            let now = self.look_up(id).await?;
            let begun = match mode {
                // Until the try has ended: while it runs, the failure before it is still the last word.
                RollbackMode::Retry => now.row.as_ref().is_none_or(|now| {
                    let tried = now.last_start_at != row.last_start_at || now.retry_count != row.retry_count;
                    now.end() != End::None || (tried && now.status != "running")
                }),
                _ => now.workflow.status != WorkflowStatus::Executing,
            };
            Ok(begun.then_some(now.workflow.status))
        });
        let words = match moved.await? {
            Some(WorkflowStatus::RolledBack) => format!("workflow {id} is rolled back"),
            Some(status) => format!("the rollback of workflow {id} has begun: it is {status}"),
            None => self.not_seen(&format!("the rollback of workflow {id}")),
        };
        self.log_change(&words, cx);
        Ok(answer(EffectKind::Accepted, words, vec![]))
    }

    fn ensure_version(&self, workflow: &Workflow, cx: &ChangeContext) -> Result<(), Refusal> {
        match cx.if_version.is_some_and(|seen| seen != workflow.version) {
            true => Err(Refusal::new(
                ErrorCode::Conflict,
                format!("workflow {} moved meanwhile: it is {}", workflow.workflow_id, workflow.status),
            )),
            false => Ok(()),
        }
    }

    /// Ends what still tries, and writes a person's word into the state.
    async fn take_word(&self, id: &str, comment: Option<String>, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let Found { row, workflow, .. } = self.look_up(id).await?;
        self.ensure_version(&workflow, cx)?;
        match workflow.status {
            WorkflowStatus::Resolved => {
                return Ok(answer(EffectKind::AlreadySo, format!("workflow {id} is resolved already"), vec![]));
            }
            WorkflowStatus::Failed | WorkflowStatus::RollbackFailed => {}
            other => {
                return Err(Refusal::new(ErrorCode::Conflict, format!("workflow {id} is {other}: nothing to resolve")));
            }
        }
        if let Some(row) = row.filter(|row| row.end() == End::None) {
            let path = format!("invocations/{}/kill", row.id);
            let reply = self.admin.change(Method::PATCH, &path, None, Repeat::Safe).await?;
            if !reply.is_success() && reply.status != 409 {
                return Err(refused(&reply, &format!("to end workflow {id}")));
            }
            let ended = self.seen(|| async {
                let row = self.look_up(id).await?.row;
                Ok(row.is_none_or(|row| row.end() != End::None).then_some(()))
            });
            if ended.await?.is_none() {
                return Ok(answer(EffectKind::Accepted, self.not_seen(&format!("the end of workflow {id}")), vec![]));
            }
        }
        let resolution = Resolution { by: who(cx), at: self.now(), comment };
        let words = format!("workflow {id} is resolved: its undos are not tried any more");
        let write = |state: &mut State| {
            state.0.insert("status".into(), json!(WorkflowStatus::Resolved));
            state.0.insert("resolution".into(), json!(resolution));
        };
        self.write_state(id, write, |workflow| workflow.status == WorkflowStatus::Resolved, words, cx).await
    }

    async fn take_off(&self, id: &str, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let Found { workflow, .. } = self.look_up(id).await?;
        self.ensure_version(&workflow, cx)?;
        if workflow.cleared {
            return Ok(answer(EffectKind::AlreadySo, format!("workflow {id} is off the list already"), vec![]));
        }
        if workflow.status != WorkflowStatus::Resolved {
            let words = format!("workflow {id} is {}: only a resolved one is taken off the list", workflow.status);
            return Err(Refusal::new(ErrorCode::Conflict, words));
        }
        let words = format!("workflow {id} is off the list of failures");
        let write = |state: &mut State| drop(state.0.insert("cleared".into(), json!(true)));
        self.write_state(id, write, |workflow| workflow.cleared, words, cx).await
    }

    /// Changes the state, and looks until it is seen.
    async fn write_state(
        &self,
        id: &str,
        write: impl FnOnce(&mut State),
        is_so: impl Fn(&Workflow) -> bool,
        words: String,
        cx: &ChangeContext,
    ) -> Result<ChangeAnswer, Refusal> {
        let mut state = self.look_up(id).await?.state;
        write(&mut state);
        self.admin.set_state(WORKFLOW, id, &state).await?;
        let is_so = &is_so;
        let done = self.seen(|| async move { Ok(is_so(&self.look_up(id).await?.workflow).then_some(())) });
        if done.await?.is_none() {
            return Ok(answer(EffectKind::Accepted, self.not_seen(&format!("the new state of workflow {id}")), vec![]));
        }
        self.log_change(&words, cx);
        Ok(answer(EffectKind::Applied, words, vec![]))
    }
}

/// Why no undo is forced.
const NO_FORCE: &str = "what comes after a failed undo is decided by the workflow's own code on Restate: retry it with \
     `opsctl rollback retry`, or put it right and say so with `opsctl workflow mark-resolved`";

/// Why a rollback cannot be begun, if so.
fn refused_rollback(status: WorkflowStatus, mode: RollbackMode) -> Option<String> {
    match (mode, status) {
        (_, WorkflowStatus::RolledBack) => None,
        (RollbackMode::Force, _) => Some(NO_FORCE.to_owned()),
        (RollbackMode::First, WorkflowStatus::Executing) => None,
        (RollbackMode::Retry, WorkflowStatus::RollbackFailed) => None,
        (RollbackMode::First, WorkflowStatus::RollbackFailed) => {
            Some("its rollback was begun and an undo fails: `opsctl rollback retry` tries it at once".into())
        }
        (_, WorkflowStatus::RollingBack) => Some("its rollback is under way".into()),
        (_, other) => Some(format!("it is {other}, and Restate undoes only what still runs")),
    }
}

fn cannot<'a, T: Send + 'a>(what: &str) -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(unsupported(format!("{what}: the workflow is its own code on Restate")))))
}

impl WorkflowOps for RestateBackend {
    fn submit<'a>(&'a self, workflow: WorkflowRequest, _cx: &'a ChangeContext) -> Answer<'a, WorkflowAccepted> {
        Box::pin(self.start_workflow(workflow))
    }

    fn list(&self, filter: WorkflowFilter) -> Answer<'_, WorkflowList> {
        Box::pin(self.list_workflows(filter))
    }

    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Workflow> {
        Box::pin(async move { Ok(self.look_up(id).await?.workflow) })
    }

    fn events(&self, _filter: EventFilter) -> Answer<'_, WorkflowEvents> {
        cannot("Restate's journal is no execution log of ours")
    }

    fn rollback_plan<'a>(&'a self, id: &'a str, mode: RollbackMode) -> Answer<'a, RollbackPlan> {
        Box::pin(self.plan(id, mode))
    }

    fn rollback<'a>(&'a self, id: &'a str, mode: RollbackMode, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.roll_back(id, mode, cx))
    }

    fn execute<'a>(&'a self, _id: &'a str, _cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        cannot("no stored workflow waits to be executed")
    }

    fn compensate<'a>(&'a self, _id: &'a str, _cx: &'a ChangeContext) -> Answer<'a, WorkflowAccepted> {
        cannot("no compensating workflow can be made")
    }

    fn resolve<'a>(&'a self, id: &'a str, request: ResolveRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.take_word(id, request.comment, cx))
    }

    fn complete<'a>(&'a self, _id: &'a str, _cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        cannot("a workflow cannot be called completed from outside")
    }

    fn clear<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.take_off(id, cx))
    }

    fn rebuild_plan<'a>(&'a self, _id: &'a str) -> Answer<'a, RebuildPlan> {
        cannot("there is no execution log to rebuild a state from")
    }

    fn rebuild<'a>(&'a self, _id: &'a str, _cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        cannot("there is no execution log to rebuild a state from")
    }

    fn integrity<'a>(&'a self, _request: IntegrityRequest, _progress: &'a Progress) -> Answer<'a, IntegrityReport> {
        cannot("there is no execution log to compare states with")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_is_rolled_back_and_only_what_failed_is_retried() {
        use WorkflowStatus::*;
        assert_eq!(refused_rollback(Executing, RollbackMode::First), None);
        assert_eq!(refused_rollback(RollbackFailed, RollbackMode::Retry), None);
        for status in [Completed, Failed, RollingBack, Unknown, Resolved] {
            assert!(refused_rollback(status, RollbackMode::First).is_some(), "{status}");
            assert!(refused_rollback(status, RollbackMode::Force).is_some(), "{status}");
        }
        assert_eq!(refused_rollback(RolledBack, RollbackMode::First), None, "already so");
    }
}
