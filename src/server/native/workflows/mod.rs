//! Workflows as the routes know them: checked, handed to the store, and what follows made known to queue and log files.

mod after;
mod findings;
mod integrity;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::runtime::Runtime;
use super::store::StoreError;
use super::store::workflows::{self, Asked, Changed, Moment, Moved, NewWorkflow, query};
use crate::engine::{idempotency, workflow};
use crate::platforms::undo;
use crate::server::backend::{Answer, ChangeContext, Refusal, WorkflowOps};
use crate::server::effects::{answer, who};
use crate::server::jobs::Progress;
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{
    ChangeAnswer, EffectKind, ErrorCode, EventFilter, IntegrityReport, IntegrityRequest, Occurrence, RebuildPlan,
    ResolveRequest, RollbackMode, RollbackPlan, Workflow, WorkflowAccepted, WorkflowEvents, WorkflowFilter,
    WorkflowList, WorkflowRequest, WorkflowStatus,
};

impl WorkflowOps for Runtime {
    fn submit<'a>(&'a self, workflow: WorkflowRequest, cx: &'a ChangeContext) -> Answer<'a, WorkflowAccepted> {
        Box::pin(self.accept_workflow(workflow, who(cx)))
    }

    fn list(&self, filter: WorkflowFilter) -> Answer<'_, WorkflowList> {
        Box::pin(async move { Ok(self.store.read(move |conn| query::list(conn, &filter)).await?) })
    }

    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Workflow> {
        Box::pin(async move {
            let owned = id.to_owned();
            let found = self.store.read(move |conn| query::get(conn, &owned)).await?;
            found.ok_or_else(|| Refusal::not_found(format!("workflow `{id}`")))
        })
    }

    fn events(&self, filter: EventFilter) -> Answer<'_, WorkflowEvents> {
        Box::pin(async move {
            let id = filter.workflow_id.clone().unwrap_or_default();
            let found = self.store.read(move |conn| query::events(conn, &filter)).await?;
            found.ok_or_else(|| Refusal::not_found(format!("workflow `{id}`")))
        })
    }

    fn rollback_plan<'a>(&'a self, id: &'a str, mode: RollbackMode) -> Answer<'a, RollbackPlan> {
        Box::pin(async move {
            let owned = id.to_owned();
            let Some(state) = self.store.read(move |conn| query::state(conn, &owned)).await? else {
                // One whose state is lost has no plan, and says why.
                let workflow = self.get(id).await?;
                let lost = format!("the state of workflow {id} is lost; rebuild it with `opsctl state rebuild {id}`");
                let (status, version) = (workflow.status, 0);
                let workflow_id = workflow.workflow_id;
                return Ok(RollbackPlan {
                    workflow_id,
                    status,
                    mode,
                    refused: Some(lost),
                    lease: None,
                    steps: Vec::new(),
                    version,
                });
            };
            let refused = match workflow::may_roll_back(&state, mode) {
                Ok(()) | Err(workflow::Refused::AlreadySo(_)) => None,
                Err(workflow::Refused::Conflict(words)) => Some(words),
            };
            Ok(RollbackPlan {
                workflow_id: state.id.clone(),
                status: state.status,
                mode,
                refused,
                lease: state.lease.clone(),
                steps: workflow::plan(&state, mode, &undo::plan),
                version: state.version,
            })
        })
    }

    fn rollback<'a>(&'a self, id: &'a str, mode: RollbackMode, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(async move {
            let asked = asked(id, cx);
            let changed =
                self.change_workflow(move |conn, moment| workflows::roll_back(conn, &asked, mode, moment)).await?;
            Ok(told(changed, |status| match status {
                WorkflowStatus::RollingBack => {
                    let words = format!("workflow {id} is being rolled back; `opsctl workflow status {id}` follows it");
                    (EffectKind::Accepted, words)
                }
                status => (EffectKind::Applied, format!("workflow {id} is {status}")),
            }))
        })
    }

    fn execute<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(async move {
            self.ensure_open()?;
            let asked = asked(id, cx);
            let changed = self.change_workflow(move |conn, moment| workflows::execute(conn, &asked, moment)).await?;
            Ok(told(changed, |_| {
                let words = format!("workflow {id} is executing; `opsctl workflow status {id}` follows it");
                (EffectKind::Accepted, words)
            }))
        })
    }

    fn compensate<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, WorkflowAccepted> {
        Box::pin(async move {
            let asked = asked(id, cx);
            let made = self.write_moving(move |conn, moment| workflows::compensate(conn, &asked, moment)).await?;
            Ok(accepted(made))
        })
    }

    fn resolve<'a>(&'a self, id: &'a str, request: ResolveRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(async move {
            let asked = asked(id, cx);
            let comment = request.comment.or_else(|| cx.reason.clone());
            let change = move |conn: &_, moment: &_| workflows::resolve(conn, &asked, comment, moment);
            let changed = self.change_workflow(change).await?;
            Ok(told(changed, |_| (EffectKind::Applied, format!("workflow {id} is marked as resolved"))))
        })
    }

    fn complete<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(async move {
            let (asked, comment) = (asked(id, cx), cx.reason.clone());
            let change = move |conn: &_, moment: &_| workflows::complete(conn, &asked, comment, moment);
            let changed = self.change_workflow(change).await?;
            let words = format!("workflow {id} is marked as completed: what has not run will not");
            Ok(told(changed, |_| (EffectKind::Applied, words)))
        })
    }

    fn clear<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(async move {
            let asked = asked(id, cx);
            let changed = self.change_workflow(move |conn, moment| workflows::clear(conn, &asked, moment)).await?;
            Ok(told(changed, |_| (EffectKind::Applied, format!("workflow {id} is off the list of failures"))))
        })
    }

    fn rebuild_plan<'a>(&'a self, id: &'a str) -> Answer<'a, RebuildPlan> {
        Box::pin(async move {
            let owned = id.to_owned();
            let found = self.store.read(move |conn| query::rebuild_plan(conn, &owned)).await?;
            found.ok_or_else(|| Refusal::not_found(format!("workflow `{id}` in the execution log")))
        })
    }

    fn rebuild<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(async move {
            let asked = asked(id, cx);
            let changed = self.change_workflow(move |conn, moment| workflows::rebuild(conn, &asked, moment)).await?;
            Ok(told(changed, |status| {
                (EffectKind::Applied, format!("workflow {id} is as the execution log says: {status}"))
            }))
        })
    }

    fn integrity<'a>(&'a self, request: IntegrityRequest, progress: &'a Progress) -> Answer<'a, IntegrityReport> {
        Box::pin(async move { self.compare(&request, |done, total| progress.at("workflows", done, total)).await })
    }
}

fn asked(id: &str, cx: &ChangeContext) -> Asked {
    Asked { id: id.to_owned(), by: who(cx), if_version: cx.if_version }
}

fn accepted(made: workflows::Accepted) -> WorkflowAccepted {
    WorkflowAccepted { workflow_id: made.id, status: made.status, duplicate: made.duplicate, audit_id: None }
}

/// A change in words: its own when nothing was changed, `words` with the status it left otherwise.
fn told(changed: Changed, words: impl FnOnce(WorkflowStatus) -> (EffectKind, String)) -> ChangeAnswer {
    if changed.effect == EffectKind::AlreadySo {
        return answer(EffectKind::AlreadySo, changed.words, vec![]);
    }
    let (effect, words) = words(changed.state.map_or(WorkflowStatus::Unknown, |state| state.status));
    answer(effect, words, vec![])
}

impl Runtime {
    /// Checks a workflow, stores it, and starts what can start.
    async fn accept_workflow(&self, request: WorkflowRequest, by: String) -> Result<WorkflowAccepted, Refusal> {
        let settings = self.config.effective();
        let problems = workflow::check(&request, settings.max_workflow_steps);
        if !problems.is_empty() {
            let mut refusal = Refusal::new(ErrorCode::ValidationError, problems.join("; "));
            refusal.details = Some(serde_json::json!({ "problems": problems }));
            return Err(refusal);
        }
        if !settings.approvals.enabled && request.steps.iter().any(|step| step.requires_approval) {
            let why = "approvals are off (ENABLE_APPROVALS), and a step that needs one must not run without it";
            return Err(Refusal::new(ErrorCode::Unsupported, why));
        }
        if let Some(key) = request.idempotency_key.as_deref().filter(|key| idempotency::ends_in_timestamp(key)) {
            let words = "An idempotency key ends in a moment: it is new every time and prevents nothing";
            self.telemetry.log(LogLine::warn(Part::Idempotency, words).field("key", key));
        }
        self.make_room(1, &settings)?;
        let new = NewWorkflow {
            id: request.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
            key: request.idempotency_key.clone().filter(|_| settings.enable_idempotency),
            request,
            by,
        };
        let made = self.write_moving(move |conn, moment| workflows::submit(conn, &new, moment)).await;
        self.no_longer_arriving(1);
        if let Ok(made) = &made
            && made.duplicate
        {
            self.telemetry.happened(Occurrence::DuplicatePrevented, None);
            let line = LogLine::info(Part::Idempotency, "Duplicate prevented");
            self.telemetry.log(line.field("workflowId", made.id.as_str()));
        }
        made.map(accepted).inspect_err(|refusal| {
            if refusal.code == ErrorCode::DuplicateError {
                self.note_collision(refusal);
            }
        })
    }

    async fn change_workflow(
        &self,
        op: impl FnOnce(&rusqlite::Connection, &Moment) -> Result<Changed, StoreError> + Send + 'static,
    ) -> Result<Changed, Refusal> {
        self.write_moving(move |conn, moment| {
            let mut changed = op(conn, moment)?;
            let moved = std::mem::take(&mut changed.moved);
            Ok((changed, moved))
        })
        .await
    }

    /// Writes, and makes what follows known on the writing thread, before anybody is told and even if the caller has gone.
    async fn write_moving<T: Send + 'static>(
        &self,
        op: impl FnOnce(&rusqlite::Connection, &Moment) -> Result<(T, Moved), StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (done, result) = oneshot::channel();
        let (weak, moment) = (self.weak(), self.moment());
        self.store.writer().send(
            move |conn| op(conn, &moment),
            move |written| {
                let written = written.map(|(value, moved)| {
                    if let Some(this) = weak.upgrade() {
                        this.moved(moved);
                    }
                    value
                });
                let _ = done.send(written);
            },
        );
        Ok(result.await.unwrap_or(Err(StoreError::Closed))?)
    }
}
