//! What people do with workflows: one at a time, and only what the status allows.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::{fail_rollback, files, invoice, report};
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::native::tests::world::{World, cx, page};
use crate::wire::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_work_the_other_is_told_who_and_since_when() {
    let world = World::start(&[]);
    fail_rollback(&world, "w").await;
    world.script.hold_undos.store(true, Ordering::Relaxed);
    let ana = world.workflows().rollback("w", RollbackMode::Retry, &cx()).await.unwrap();
    assert_eq!(ana.effect, EffectKind::Accepted);
    let ben = ChangeContext { operator: Some("ben".into()), ..cx() };
    let lease = world.workflows().get("w").await.unwrap().lease.unwrap();
    assert_eq!((lease.operation.as_str(), lease.owner.as_str()), ("rollback retry", "ana (tok_1 tests)"));
    let told = |refusal: Refusal| {
        assert_eq!(refusal.code, ErrorCode::Conflict);
        assert!(refusal.message.contains("rollback retry of workflow w is under way, by ana"), "{}", refusal.message);
        assert_eq!(refusal.details.unwrap()["lease"], serde_json::to_value(&lease).unwrap());
    };
    told(world.workflows().rollback("w", RollbackMode::Retry, &ben).await.unwrap_err());
    told(world.workflows().rollback("w", RollbackMode::Force, &ben).await.unwrap_err());
    told(world.workflows().resolve("w", ResolveRequest::default(), &ben).await.unwrap_err());
    told(world.workflows().complete("w", &ben).await.unwrap_err());
    told(world.workflows().compensate("w", &ben).await.unwrap_err());
    world.script.hold_undos.store(false, Ordering::Relaxed);
    world.until_workflow("w", WorkflowStatus::RolledBack).await;
    assert_eq!(world.script.undone.lock().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resolved_by_hand_then_cleared() {
    let world = World::start(&[]);
    fail_rollback(&world, "w").await;
    let failures = WorkflowFilter {
        statuses: vec![WorkflowStatus::RollbackFailed, WorkflowStatus::Resolved],
        since: None,
        hide_cleared: true,
        limit: 10,
        offset: 0,
    };
    let early = world.workflows().clear("w", &cx()).await.unwrap_err();
    assert!(early.code == ErrorCode::Conflict && early.message.contains("opsctl workflow mark-resolved w"));
    let list = world.workflows().list(failures.clone()).await.unwrap();
    assert_eq!((list.total, list.workflows[0].code), (1, Some(ErrorCode::PermissionDenied)));
    let comment = ResolveRequest { comment: Some("Manual cleanup completed".into()) };
    let resolved = world.workflows().resolve("w", comment.clone(), &cx()).await.unwrap();
    assert_eq!(resolved.effect, EffectKind::Applied);
    assert_eq!(world.workflows().resolve("w", comment, &cx()).await.unwrap().effect, EffectKind::AlreadySo);
    let workflow = world.until_workflow("w", WorkflowStatus::Resolved).await;
    assert_eq!(workflow.resolution.unwrap().comment.as_deref(), Some("Manual cleanup completed"));
    assert_eq!(world.workflows().clear("w", &cx()).await.unwrap().effect, EffectKind::Applied);
    assert_eq!(world.workflows().clear("w", &cx()).await.unwrap().effect, EffectKind::AlreadySo);
    assert_eq!(world.workflows().list(failures).await.unwrap().total, 0);
    assert!(world.until_workflow("w", WorkflowStatus::Resolved).await.cleared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compensation_waits_to_be_executed_and_undoes_what_was_done() {
    let world = World::start(&[]);
    world.workflow(invoice("w")).await;
    world.until_workflow("w", WorkflowStatus::Completed).await;
    let made = world.workflows().compensate("w", &cx()).await.unwrap();
    assert_eq!((made.workflow_id.as_str(), made.status), ("w-compensation", WorkflowStatus::Pending));
    let again = world.workflows().compensate("w", &cx()).await.unwrap();
    assert!(again.duplicate && again.workflow_id == made.workflow_id);
    let waiting = world.until_workflow("w-compensation", WorkflowStatus::Pending).await;
    let steps: Vec<_> = waiting.steps.iter().map(|step| step.step_id.as_str()).collect();
    assert_eq!(steps, ["update_sheet", "create_file"], "the message only a person can take back");
    assert_eq!(world.script.undone.lock().unwrap().len(), 0);

    let answer = world.workflows().execute("w-compensation", &cx()).await.unwrap();
    assert_eq!(answer.effect, EffectKind::Accepted);
    world.until_workflow("w-compensation", WorkflowStatus::Completed).await;
    let original = world.until_workflow("w", WorkflowStatus::RollbackFailed).await;
    assert_eq!(report(&original)["rolledBackSteps"], json!(["create_file", "update_sheet"]));
    assert_eq!(report(&original)["failedRollbacks"], json!(["notify"]));
    let refusal = world.workflows().execute("w-compensation", &cx()).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_compensation_leaves_the_rest_standing_and_can_be_made_again() {
    let world = World::start(&[]);
    world.workflow(files("w", 2)).await;
    world.until_workflow("w", WorkflowStatus::Completed).await;
    world.workflows().compensate("w", &cx()).await.unwrap();
    world.script.undoing.lock().unwrap().push_back(Err(ErrorCode::PermissionDenied));
    world.workflows().execute("w-compensation", &cx()).await.unwrap();
    world.until_workflow("w-compensation", WorkflowStatus::Failed).await;
    let original = world.until_workflow("w", WorkflowStatus::RollbackFailed).await;
    assert_eq!(original.error.as_deref(), Some("File deletion failed: permission denied"));
    let undos: Vec<_> = original.steps.iter().filter_map(|step| step.undo.as_ref().map(|undo| undo.status)).collect();
    assert!(undos.contains(&UndoStatus::Failed) && undos.contains(&UndoStatus::Blocked), "{undos:?}");
    let second = world.workflows().compensate("w", &cx()).await.unwrap();
    assert_eq!(second.workflow_id, "w-compensation-2");
    // Meanwhile somebody else undoes it: the compensation no longer fits.
    world.workflows().rollback("w", RollbackMode::Retry, &cx()).await.unwrap();
    world.until_workflow("w", WorkflowStatus::RolledBack).await;
    let refusal = world.workflows().execute("w-compensation-2", &cx()).await.unwrap_err();
    assert!(refusal.code == ErrorCode::Conflict && refusal.message.contains("moved since"), "{}", refusal.message);
    let nothing = world.workflows().compensate("w", &cx()).await.unwrap_err();
    assert_eq!(nothing.code, ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_again_is_prevented_and_other_content_refused() {
    let world = World::start(&[]);
    let keyed = |id: &str, name: &str| {
        let mut request = files(id, 1);
        request["idempotencyKey"] = json!("k");
        request["name"] = json!("same");
        request["steps"][0]["data"]["name"] = json!(name);
        request
    };
    world.workflow(keyed("a", "x")).await;
    world.until_workflow("a", WorkflowStatus::Completed).await;
    for again in [keyed("a", "x"), keyed("b", "x")] {
        let answer = world.try_workflow(again).await.unwrap();
        assert_eq!((answer.workflow_id.as_str(), answer.duplicate), ("a", true));
    }
    for other in [keyed("a", "y"), keyed("b", "y")] {
        let refusal = world.try_workflow(other).await.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.details.unwrap()["collision"].clone()),
            (ErrorCode::DuplicateError, json!(true))
        );
    }
    assert_eq!(world.script.calls(), 1);
    // What was undone may be done again under the same key.
    world.workflows().rollback("a", RollbackMode::First, &cx()).await.unwrap();
    world.until_workflow("a", WorkflowStatus::RolledBack).await;
    assert!(!world.try_workflow(keyed("b", "x")).await.unwrap().duplicate);
    world.until_workflow("b", WorkflowStatus::Completed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_change_items_of_workflows_only_through_the_workflow() {
    let world = World::start(&[]);
    world.pause(PauseScope::Queue).await;
    world.workflow(files("w", 2)).await;
    let plain = world.submit(page("plain")).await;
    let refusal = world.queues().remove("w-f0", &cx()).await.unwrap_err();
    assert!(refusal.code == ErrorCode::Conflict && refusal.message.contains("opsctl workflow rollback w"));
    let all = ClearRequest { stuck_only: false, older_than: None, ids: None };
    let cleared = world.queues().clear(all, &cx()).await.unwrap();
    let removed: Vec<_> = cleared.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(removed, [plain.as_str()]);
    assert!(cleared.message.contains("2 items of workflows were left alone"), "{}", cleared.message);
    // Marked as completed, what waits is withdrawn; it is no dead letter and cannot be brought back by itself.
    world.workflows().complete("w", &cx()).await.unwrap();
    assert_eq!(world.queues().status().await.unwrap().total_queued, 0);
    let request = IdsRequest { ids: vec!["w-f0".into()], per_second: None };
    let restored = world.queues().restore(request, &cx()).await.unwrap();
    assert_eq!(restored.effect, EffectKind::Conflict);
    assert_eq!(world.view(QueueView::Removed).await.items.len(), 1);
    world.resume(PauseScope::Queue).await;
    let workflow = world.until_workflow("w", WorkflowStatus::Completed).await;
    assert!(workflow.steps.iter().all(|step| step.status == StepStatus::Skipped));
    assert_eq!(world.script.calls(), 0);
}
