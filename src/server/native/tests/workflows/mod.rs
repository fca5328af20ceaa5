//! Workflows on a scripted platform: order, references, failures, rollbacks, time, approvals, listings.

mod changes;
mod integrity;
mod recovery;
mod with_sims;

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{Act, World, cx};
use crate::platforms::undo::Undone;
use crate::platforms::{Delivery, Lookup, Platform};
use crate::server::backend::{Backend, ChangeContext};
use crate::wire::*;

/// The runbook's workflow: a file, a row about it, a notification.
pub(super) fn invoice(id: &str) -> Value {
    json!({
        "id": id,
        "name": "invoice-processing",
        "steps": [
            {"id": "create_file", "type": "file", "platform": "drive",
             "data": {"name": "invoice.pdf", "content": "text", "mimeType": "text/plain"}},
            {"id": "update_sheet", "type": "update", "platform": "sheets",
             "data": {"spreadsheetId": "s", "range": "Log!A1", "value": "$create_file.id"}, "dependsOn": "create_file"},
            {"id": "notify", "type": "notify", "platform": "slack", "data": {"channel": "#x", "text": "$who"},
             "dependsOn": ["update_sheet"]}
        ],
        "metadata": {"who": "accounting"}
    })
}

/// Changes rows behind the service's back.
async fn tamper(world: &World, sql: &'static str) {
    let store = world.backend.runtime.store.clone();
    store.write(move |conn| Ok(conn.execute_batch(sql)?)).await.unwrap();
}

fn report(workflow: &Workflow) -> Value {
    serde_json::to_value(WorkflowReport::from(workflow)).unwrap()
}

/// Lets the third step fail and the undo of the first.
async fn fail_rollback(world: &World, id: &str) -> Workflow {
    world.script.then(Act::Do).then(Act::Do).fail(ErrorCode::NotFound);
    let undoing = [Ok(Undone::Confirmed("empty again".into())), Err(ErrorCode::PermissionDenied)];
    world.script.undoing.lock().unwrap().extend(undoing);
    world.workflow(invoice(id)).await;
    world.until_workflow(id, WorkflowStatus::RollbackFailed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_run_in_order_with_their_references() {
    let world = World::start(&[]);
    world.workflow(invoice("invoice-001")).await;
    let done = world.until_workflow("invoice-001", WorkflowStatus::Completed).await;
    let executed = world.script.executed.lock().unwrap().clone();
    let sent: Vec<_> = executed.iter().map(|call| (call.platform, call.marker.as_deref().unwrap())).collect();
    let expected = [
        (Platform::Drive, "invoice-001-create_file"),
        (Platform::Sheets, "invoice-001-update_sheet"),
        (Platform::Slack, "invoice-001-notify"),
    ];
    assert_eq!(sent, expected);
    assert_eq!((&executed[1].data["value"], &executed[2].data["text"]), (&json!(1), &json!("accounting")));
    let images: Vec<bool> = done.steps.iter().map(|step| step.before_image).collect();
    assert_eq!(images, [false, true, false], "only the update overwrites something");
    let record = world.record("invoice-001-update_sheet").await;
    assert_eq!(record.correlation_id.as_deref(), Some("invoice-001-update_sheet"));
    assert!(done.started_at.is_some() && done.ended_at.is_some() && done.lease.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_rollback_has_the_runbooks_fields_and_a_retry_does_only_what_failed() {
    let world = World::start(&[]);
    let failed = fail_rollback(&world, "invoice-001").await;
    let expected = json!({
        "workflowId": "invoice-001",
        "status": "rollback_failed",
        "completedSteps": ["create_file", "update_sheet"],
        "rolledBackSteps": ["update_sheet"],
        "failedRollbacks": ["create_file"],
        "error": "File deletion failed: permission denied"
    });
    assert_eq!(report(&failed), expected);
    assert_eq!(failed.detail.as_deref(), Some("partially rolled back: 1 of 2 steps"));
    assert_eq!((failed.failed_step.as_deref(), failed.lease), (Some("notify"), None));

    let undo = failed.steps[0].undo.clone().unwrap();
    assert_eq!(undo.error.unwrap().message, "as the script says");
    let refusal = world.workflows().rollback("invoice-001", RollbackMode::First, &cx()).await.unwrap_err();
    assert!(refusal.message.contains("opsctl rollback retry invoice-001"), "{}", refusal.message);
    let plan = world.workflows().rollback_plan("invoice-001", RollbackMode::Retry).await.unwrap();
    assert_eq!(plan.steps.iter().map(|step| step.step_id.as_str()).collect::<Vec<_>>(), ["create_file"]);

    let answer = world.workflows().rollback("invoice-001", RollbackMode::Retry, &cx()).await.unwrap();
    assert_eq!(answer.effect, EffectKind::Accepted);
    let done = world.until_workflow("invoice-001", WorkflowStatus::RolledBack).await;
    assert_eq!(report(&done)["rolledBackSteps"], json!(["create_file", "update_sheet"]));
    assert_eq!(world.script.undone.lock().unwrap().len(), 3, "two at first, one again");
    let again = world.workflows().rollback("invoice-001", RollbackMode::Retry, &cx()).await.unwrap();
    assert_eq!(again.effect, EffectKind::AlreadySo);
}

fn ids(steps: &[PlannedUndo]) -> Vec<&str> {
    steps.iter().map(|step| step.step_id.as_str()).collect()
}

/// A workflow of one file, or of several that start at once.
pub(super) fn files(id: &str, count: usize) -> Value {
    let steps = (0..count).map(|n| {
        json!({"id": format!("f{n}"), "type": "file", "platform": "drive", "dependsOn": [],
               "data": {"name": format!("{id}-{n}"), "content": "x", "mimeType": "text/plain"}})
    });
    json!({"id": id, "name": id, "steps": steps.collect::<Vec<_>>()})
}

async fn events(world: &World, id: &str) -> Vec<WorkflowEventKind> {
    let filter = EventFilter { workflow_id: Some(id.into()), limit: 1000, ..EventFilter::default() };
    world.workflows().events(filter).await.unwrap().events.into_iter().map(|entry| entry.event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn force_goes_past_changes_made_since_and_says_so_to_the_platform() {
    let world = World::start(&[]);
    world.script.then(Act::Do).then(Act::Do).fail(ErrorCode::NotFound);
    let changed = Ok(Undone::ChangedSince("renamed by ben".into()));
    world.script.undoing.lock().unwrap().extend([Ok(Undone::Confirmed("empty".into())), changed]);
    world.workflow(invoice("w")).await;
    let failed = world.until_workflow("w", WorkflowStatus::RollbackFailed).await;
    assert_eq!(failed.error.as_deref(), Some("File deletion failed: changed since"));
    let stale = ChangeContext { if_version: Some(failed.version - 1), ..cx() };
    let refusal = world.workflows().rollback("w", RollbackMode::Force, &stale).await.unwrap_err();
    assert!(refusal.message.contains("moved meanwhile"), "{}", refusal.message);
    world.workflows().rollback("w", RollbackMode::Force, &cx()).await.unwrap();
    let done = world.until_workflow("w", WorkflowStatus::RolledBack).await;
    assert_eq!(done.error.as_deref(), Some("step notify failed: as the script says"));
    let forced: Vec<bool> = world.script.undone.lock().unwrap().iter().map(|(_, force)| *force).collect();
    assert_eq!(forced, [false, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_is_tried_again_only_where_that_can_help() {
    let world = World::start(&[("MAX_RETRY_ATTEMPTS", "2")]);
    world.script.then(Act::Do).fail(ErrorCode::NotFound);
    let lost = [Err(ErrorCode::TimeoutError), Ok(Undone::StillStands("not in the trash".into()))];
    world.script.undoing.lock().unwrap().extend(lost);
    world.workflow(files("w", 2)).await;
    let done = world.until_workflow("w", WorkflowStatus::RolledBack).await;
    let step = done.steps.iter().find(|step| step.undo.is_some()).unwrap();
    let undo = step.undo.clone().unwrap();
    assert_eq!((undo.status, undo.attempts), (UndoStatus::RolledBack, 3));
    assert_eq!(world.record(&format!("w-undo-{}", step.step_id)).await.tags, ["undo"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_time_does_not_run_while_the_queue_is_paused() {
    let world = World::start(&[("WORKFLOW_TIMEOUT_MS", "60000")]);
    world.script.then(Act::Do).then(Act::Hang);
    let mut slow = invoice("w");
    slow["steps"][1]["timeout"] = json!(600_000);
    world.workflow(slow).await;
    world.until_true("the second step is sent", async || world.script.calls() == 2).await;
    world.pause(PauseScope::Queue).await;
    world.advance(Duration::from_secs(3600));
    world.workflow(files("other", 1)).await;
    world.resume(PauseScope::Queue).await;
    world.until_workflow("other", WorkflowStatus::Completed).await;
    assert_eq!(world.workflows().get("w").await.unwrap().status, WorkflowStatus::Executing);
    world.advance(Duration::from_secs(61));
    world.until_true("its time is over", async || world.workflows().get("w").await.unwrap().error.is_some()).await;
    let late = world.workflows().get("w").await.unwrap();
    assert_eq!(late.error.as_deref(), Some("not done within 60000 ms (WORKFLOW_TIMEOUT_MS)"));
    // What was sent is awaited; what was not never will be.
    assert_eq!(late.status, WorkflowStatus::Executing);
    assert_eq!(late.steps[2].status, StepStatus::Skipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_hold() {
    let world = World::start(&[("MAX_WORKFLOW_STEPS", "2"), ("ENABLE_ROLLBACK", "false")]);
    let refusal = world.try_workflow(invoice("w")).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::ValidationError);
    assert!(refusal.message.contains("3 are more than MAX_WORKFLOW_STEPS=2"), "{}", refusal.message);
    assert_eq!(refusal.details.unwrap()["problems"].as_array().unwrap().len(), 1);
    world.script.then(Act::Do).fail(ErrorCode::NotFound);
    world.workflow(files("w", 2)).await;
    let failed = world.until_workflow("w", WorkflowStatus::Failed).await;
    assert_eq!(world.script.undone.lock().unwrap().len(), 0);
    // A person still may.
    let plan = world.workflows().rollback_plan("w", RollbackMode::First).await.unwrap();
    assert_eq!((ids(&plan.steps).len(), plan.version), (1, failed.version));
    world.workflows().rollback("w", RollbackMode::First, &cx()).await.unwrap();
    world.until_workflow("w", WorkflowStatus::RolledBack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_needs_approval_waits_for_it_and_a_rejection_rolls_back() {
    let world = World::start(&[("WORKFLOW_TIMEOUT_MS", "60000")]);
    let approvals = world.backend.approvals().unwrap();
    let careful = |id: &str| {
        let mut request = invoice(id);
        request["steps"][2]["requiresApproval"] = json!(true);
        request
    };
    let pending = async |id: &str| {
        let id = format!("apv-{id}-notify");
        world.until_true("it asks", async || approvals.approval(&id).await.is_ok()).await;
        id
    };
    world.workflow(careful("yes")).await;
    let id = pending("yes").await;
    // Waiting for a person costs no time.
    world.advance(Duration::from_secs(600));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.workflows().get("yes").await.unwrap().status, WorkflowStatus::Executing);
    approvals.approve(&id, ApproveRequest { user_id: "ana".into(), reason: None }, &cx()).await.unwrap();
    world.until_workflow("yes", WorkflowStatus::Completed).await;

    world.workflow(careful("no")).await;
    let request = RejectRequest { user_id: "ana".into(), reason: "not this one".into() };
    approvals.reject(&pending("no").await, request, &cx()).await.unwrap();
    let back = world.until_workflow("no", WorkflowStatus::RolledBack).await;
    let error = back.steps[2].error.clone().unwrap();
    assert!(error.message.contains("rejected by ana") && error.message.contains("not this one"), "{}", error.message);

    world.workflow(careful("late")).await;
    pending("late").await;
    world.advance(Duration::from_secs(3700));
    world.until_workflow("late", WorkflowStatus::RolledBack).await;

    world.workflow(careful("ended")).await;
    let id = pending("ended").await;
    world.workflows().complete("ended", &cx()).await.unwrap();
    assert_eq!(approvals.approval(&id).await.unwrap().status, ApprovalStatus::Withdrawn);
    let late = approvals.approve(&id, ApproveRequest { user_id: "ana".into(), reason: None }, &cx()).await;
    assert_eq!(late.unwrap_err().code, ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_in_doubt_is_named_for_a_person() {
    let world = World::start(&[("MAX_RETRY_ATTEMPTS", "0")]);
    world.script.then(Act::Fail(ErrorCode::TimeoutError, Delivery::Unknown, None));
    *world.script.found.lock().unwrap() = Some(Ok(Lookup::Unclear("two look alike".into())));
    world.workflow(files("w", 1)).await;
    let failed = world.until_workflow("w", WorkflowStatus::RollbackFailed).await;
    assert_eq!(report(&failed)["failedRollbacks"], json!(["f0"]));
    let undo = failed.steps[0].undo.clone().unwrap();
    assert!(undo.status == UndoStatus::Manual && !undo.manual.is_empty(), "{undo:?}");
    assert_eq!(world.view(QueueView::Failed).await.items, [], "its workflow has it, the dead letters do not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_logs_are_read_by_index() {
    let world = World::start(&[]);
    for n in 0..3 {
        world.workflow(files(&format!("w{n}"), 1)).await;
        world.until_workflow(&format!("w{n}"), WorkflowStatus::Completed).await;
    }
    let all = WorkflowFilter { limit: 2, ..WorkflowFilter::default() };
    let page = world.workflows().list(all).await.unwrap();
    let newest: Vec<_> = page.workflows.iter().map(|workflow| workflow.workflow_id.as_str()).collect();
    assert_eq!((newest, page.total), (vec!["w2", "w1"], 3));
    let log = world.workflows().events(EventFilter { limit: 2, ..EventFilter::default() }).await.unwrap();
    assert!(log.truncated && log.events[1].event == WorkflowEventKind::Completed);
    assert_eq!(events(&world, "w0").await.len(), 4);
    let rollbacks = EventFilter { rollback_only: true, limit: 9, ..EventFilter::default() };
    assert_eq!(world.workflows().events(rollbacks).await.unwrap().events, []);

    let store = world.backend.runtime.store.clone();
    let plans = store
        .read(|conn| {
            let mut found = Vec::new();
            for sql in [
                "SELECT id FROM workflows WHERE status IN (3, 6) AND cleared IN (0) AND updated_at >= 5",
                "SELECT body FROM workflows WHERE id = 'w'",
                "SELECT id FROM workflows WHERE updated_at >= 5 ORDER BY updated_at DESC, seq DESC LIMIT 5",
                "SELECT data FROM workflow_events WHERE workflow = 'w' ORDER BY seq",
                "SELECT seq FROM workflow_events WHERE kind BETWEEN 7 AND 12 ORDER BY seq DESC LIMIT 5",
                "SELECT seq FROM workflow_events WHERE at >= 5 ORDER BY at, seq LIMIT 1",
                "SELECT id FROM workflows WHERE idempotency_key = 'k' ORDER BY seq DESC LIMIT 1",
            ] {
                let mut query = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let plan: Vec<String> = query.query_map([], |row| row.get(3))?.collect::<Result<_, _>>()?;
                found.push((sql, plan.join("; ")));
            }
            Ok(found)
        })
        .await
        .unwrap();
    for (sql, plan) in plans {
        assert!(plan.contains("USING") && !plan.contains("USE TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_nobody_is_dropped_after_a_month() {
    let world = World::start(&[]);
    fail_rollback(&world, "failed").await;
    world.workflow(files("done", 1)).await;
    world.until_workflow("done", WorkflowStatus::Completed).await;
    world.advance(Duration::from_secs(31 * 24 * 3600));
    world.until_true("it is dropped", async || world.workflows().get("done").await.is_err()).await;
    assert_eq!(world.workflows().get("failed").await.unwrap().status, WorkflowStatus::RollbackFailed);
}
