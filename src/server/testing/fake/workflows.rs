//! The fake's workflows: one whose rollback failed, with every field filled.

use serde_json::json;

use super::{Fake, action_error, done, ready, refuse};
use crate::server::backend::*;
use crate::server::jobs::Progress;
use crate::wire::*;

/// The one it knows.
const ID: &str = "invoice-001";

fn undo(status: UndoStatus, now: Time) -> StepUndo {
    StepUndo {
        status,
        reversibility: Reversibility::Reversible,
        what: "move file f-1 to the trash".into(),
        attempts: 2,
        at: Some(now),
        evidence: Some("trashed: true".into()),
        failure: Some("File deletion failed: permission denied".into()),
        error: Some(action_error()),
        manual: vec!["opsctl drive delete f-1".into()],
    }
}

fn step(id: &str, status: StepStatus, undone: UndoStatus, now: Time) -> WorkflowStep {
    WorkflowStep {
        step_id: id.into(),
        name: id.into(),
        action_type: ActionType::File,
        platform: Platform::Drive,
        status,
        depends_on: vec!["create_file".into()],
        optional: false,
        data: json!({"name": "invoice.pdf"}),
        action_id: Some(format!("{ID}-{id}")),
        fallback_platform: Some(Platform::Sheets),
        result: Some(json!({"fileId": "f-1"})),
        error: Some(action_error()),
        started_at: Some(now),
        ended_at: Some(now),
        before_image: true,
        undo: Some(undo(undone, now)),
    }
}

fn lease(now: Time) -> Lease {
    Lease { operation: "rollback retry".into(), owner: "tok admin (ana@bastion)".into(), since: now }
}

fn workflow(now: Time) -> Workflow {
    Workflow {
        workflow_id: ID.into(),
        name: "Invoice".into(),
        description: Some("file, row, notice".into()),
        status: WorkflowStatus::RollbackFailed,
        detail: Some("partially rolled back: 1 of 2 steps".into()),
        transactional: true,
        priority: Priority::Normal,
        steps: vec![
            step("create_file", StepStatus::Completed, UndoStatus::Failed, now),
            step("update_sheet", StepStatus::RolledBack, UndoStatus::RolledBack, now),
        ],
        failed_step: Some("notify".into()),
        error: Some("File deletion failed: permission denied".into()),
        idempotency_key: Some("invoice-4711".into()),
        correlation_id: Some("sig-88".into()),
        user_id: Some("user-123".into()),
        compensates: Some("invoice-000".into()),
        resolution: Some(Resolution { by: "tok ops".into(), at: now, comment: Some("done by hand".into()) }),
        cleared: false,
        lease: Some(lease(now)),
        created_at: now,
        started_at: Some(now),
        ended_at: Some(now),
        updated_at: now,
        version: 12,
    }
}

fn accepted(id: &str, status: WorkflowStatus) -> WorkflowAccepted {
    WorkflowAccepted { workflow_id: id.into(), status, duplicate: false, audit_id: None }
}

fn unknown<'a, T: Send + 'a>(id: &str) -> Answer<'a, T> {
    refuse(Refusal::not_found(format!("workflow {id}")))
}

impl Fake {
    fn change_of<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        match (id, cx.if_version) {
            (ID, None | Some(12)) => ready(done(EffectKind::Accepted)),
            (ID, Some(_)) => refuse(Refusal::new(ErrorCode::Conflict, "it is at version 12")),
            ("leased", _) => {
                let mut refusal = Refusal::new(ErrorCode::Conflict, "a rollback is under way");
                refusal.details = Some(json!({ "lease": lease(self.now()) }));
                refuse(refusal)
            }
            _ => unknown(id),
        }
    }
}

impl WorkflowOps for Fake {
    fn submit<'a>(&'a self, workflow: WorkflowRequest, cx: &'a ChangeContext) -> Answer<'a, WorkflowAccepted> {
        self.note(cx);
        let id = workflow.id.clone().unwrap_or_else(|| "wf-1".into());
        self.seen.lock().unwrap().workflows.push(workflow);
        ready(accepted(&id, WorkflowStatus::Executing))
    }
    fn list(&self, filter: WorkflowFilter) -> Answer<'_, WorkflowList> {
        self.seen.lock().unwrap().workflow_filters.push(filter);
        let whole = workflow(self.now());
        let summary = WorkflowSummary {
            workflow_id: whole.workflow_id,
            name: whole.name,
            status: whole.status,
            steps: 3,
            failed_step: whole.failed_step,
            code: Some(ErrorCode::PermissionDenied),
            error: whole.error,
            created_at: whole.created_at,
            updated_at: whole.updated_at,
        };
        ready(WorkflowList { workflows: vec![summary], total: 1 })
    }
    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Workflow> {
        if id == ID { ready(workflow(self.now())) } else { unknown(id) }
    }
    fn events(&self, filter: EventFilter) -> Answer<'_, WorkflowEvents> {
        if let Some(id) = filter.workflow_id.as_deref().filter(|id| *id != ID) {
            return unknown(id);
        }
        self.seen.lock().unwrap().events.push(filter);
        let event = WorkflowEvent {
            seq: 7,
            timestamp: self.now(),
            workflow_id: ID.into(),
            event: WorkflowEventKind::UndoFailed,
            step_id: Some("create_file".into()),
            message: "File deletion failed: permission denied".into(),
            data: Some(json!({"fileId": "f-1"})),
            by: Some("tok admin".into()),
        };
        ready(WorkflowEvents { events: vec![event], truncated: true })
    }
    fn rollback_plan<'a>(&'a self, id: &'a str, mode: RollbackMode) -> Answer<'a, RollbackPlan> {
        if id != ID {
            return unknown(id);
        }
        let planned = PlannedUndo {
            step_id: "create_file".into(),
            platform: Platform::Drive,
            what: "move file f-1 to the trash".into(),
            reversibility: Reversibility::Reversible,
            status: UndoStatus::Failed,
            sends: true,
            manual: vec!["opsctl drive delete f-1".into()],
        };
        ready(RollbackPlan {
            workflow_id: ID.into(),
            status: WorkflowStatus::RollbackFailed,
            mode,
            refused: Some("a rollback is under way".into()),
            lease: Some(lease(self.now())),
            steps: vec![planned],
            version: 12,
        })
    }
    fn rollback<'a>(&'a self, id: &'a str, mode: RollbackMode, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.seen.lock().unwrap().rollbacks.push(mode);
        self.change_of(id, cx)
    }
    fn execute<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.change_of(id, cx)
    }
    fn compensate<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, WorkflowAccepted> {
        self.note(cx);
        let made = accepted(&format!("{id}-compensate"), WorkflowStatus::Pending);
        if id == ID { ready(made) } else { unknown(id) }
    }
    fn resolve<'a>(&'a self, id: &'a str, _: ResolveRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.change_of(id, cx)
    }
    fn complete<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.change_of(id, cx)
    }
    fn clear<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.change_of(id, cx)
    }
    fn rebuild_plan<'a>(&'a self, id: &'a str) -> Answer<'a, RebuildPlan> {
        if id != ID {
            return unknown(id);
        }
        let difference = StateDifference {
            field: "steps.create_file.status".into(),
            stored: Some("pending".into()),
            rebuilt: Some("completed".into()),
        };
        ready(RebuildPlan { workflow_id: ID.into(), events: 9, differences: vec![difference], version: 12 })
    }
    fn rebuild<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.change_of(id, cx)
    }
    fn integrity<'a>(&'a self, _request: IntegrityRequest, _progress: &'a Progress) -> Answer<'a, IntegrityReport> {
        let finding = IntegrityFinding {
            kind: IntegrityKind::Missing,
            workflow_id: Some(ID.into()),
            step_id: Some("create_file".into()),
            platform: Some(Platform::Drive),
            what: "file f-1 is in the trash".into(),
            evidence: vec!["action a-1 (file) left f-1, at 2026-11-24T03:00:00Z".into()],
            next: format!("opsctl workflow steps {ID}"),
        };
        ready(IntegrityReport {
            workflows: 1,
            left_out: 2,
            objects: 2,
            ok: 1,
            counts: [("missing".to_owned(), 1)].into(),
            findings: vec![finding],
            took_ms: 12,
        })
    }
}
