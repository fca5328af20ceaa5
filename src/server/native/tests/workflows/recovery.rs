//! Kills, and states that were lost or altered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::{events, fail_rollback, files, invoice, tamper};
use crate::platforms::Platform;
use crate::server::native::store::tests::Folder;
use crate::server::native::tests::recovery::killed;
use crate::server::native::tests::world::{Act, World, cx};
use crate::wire::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_or_altered_state_is_rebuilt_from_the_log() {
    let world = World::start(&[]);
    fail_rollback(&world, "w").await;
    let before = world.workflows().get("w").await.unwrap();
    tamper(&world, "UPDATE workflow_steps SET status = 2 WHERE id = 'notify'; UPDATE workflows SET status = 2;").await;
    let plan = world.workflows().rebuild_plan("w").await.unwrap();
    let fields: Vec<_> = plan.differences.iter().map(|difference| difference.field.as_str()).collect();
    assert_eq!(fields, ["status", "steps.notify.status"]);
    assert_eq!(plan.differences[0].stored.as_deref(), Some("completed"));
    assert_eq!(plan.differences[0].rebuilt.as_deref(), Some("rollback_failed"));
    let answer = world.workflows().rebuild("w", &cx()).await.unwrap();
    assert_eq!(answer.effect, EffectKind::Applied);
    assert_eq!(world.workflows().rebuild("w", &cx()).await.unwrap().effect, EffectKind::AlreadySo);

    for harm in ["UPDATE workflow_steps SET body = 'garbage' WHERE place = 1;", "UPDATE workflows SET status = 99;"] {
        tamper(&world, harm).await;
        assert_eq!(world.workflows().get("w").await.unwrap().status, WorkflowStatus::Unknown, "{harm}");
        world.workflows().rebuild("w", &cx()).await.unwrap();
        world.until_workflow("w", WorkflowStatus::RollbackFailed).await;
    }
    tamper(&world, "DELETE FROM workflows; DELETE FROM workflow_steps;").await;
    let lost = world.workflows().get("w").await.unwrap();
    assert_eq!((lost.status, lost.steps.len()), (WorkflowStatus::Unknown, 3));
    let refusal = world.workflows().rollback("w", RollbackMode::Retry, &cx()).await.unwrap_err();
    assert!(refusal.message.contains("opsctl state rebuild w"), "{}", refusal.message);
    assert!(world.try_workflow(invoice("w")).await.unwrap_err().message.contains("state is lost"));
    world.workflows().rebuild("w", &cx()).await.unwrap();
    let after = world.until_workflow("w", WorkflowStatus::RollbackFailed).await;
    assert_eq!(after, Workflow { version: after.version, updated_at: after.updated_at, ..before });
    world.workflows().rollback("w", RollbackMode::Retry, &cx()).await.unwrap();
    world.until_workflow("w", WorkflowStatus::RolledBack).await;
    let missing = world.workflows().get("nobody").await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_lost_while_a_step_runs_goes_on_once_rebuilt() {
    let world = World::start(&[]);
    world.script.hold_undos.store(true, Ordering::Relaxed);
    world.script.then(Act::Do).fail(ErrorCode::NotFound);
    world.workflow(files("w", 2)).await;
    world.until_true("an undo is sent", async || !world.script.undone.lock().unwrap().is_empty()).await;
    tamper(&world, "DELETE FROM workflows; DELETE FROM workflow_steps;").await;
    world.script.hold_undos.store(false, Ordering::Relaxed);
    world
        .until_true("the end is in the log", async || {
            events(&world, "w").await.contains(&WorkflowEventKind::UndoCompleted)
        })
        .await;
    world.workflows().rebuild("w", &cx()).await.unwrap();
    world.until_workflow("w", WorkflowStatus::RolledBack).await;
    assert_eq!(world.script.undone.lock().unwrap().len(), 1);
}

#[test]
fn a_kill_between_and_during_steps_loses_no_result_and_repeats_none() {
    let folder = Arc::new(Folder::new("workflow-kill"));
    killed(&folder, &[], async |world| {
        world.backend.start();
        world.script.then(Act::Do).then(Act::Hang);
        world.workflow(invoice("w")).await;
        world.until_true("the second is sent", async || world.script.calls() == 2).await;
    });
    killed(&folder, &[], async |world| {
        let state = world.workflows().get("w").await.unwrap();
        assert_eq!((state.steps[0].status, state.steps[1].status), (StepStatus::Completed, StepStatus::Executing));
        world.backend.start();
        // The sheet is written again, because that changes nothing; the file is not.
        world.script.then(Act::Do).fail(ErrorCode::NotFound);
        world.script.hold_undos.store(true, Ordering::Relaxed);
        world.until_true("an undo is sent", async || !world.script.undone.lock().unwrap().is_empty()).await;
        assert_eq!(world.workflows().get("w").await.unwrap().lease.unwrap().owner, "the orchestrator");
        let sent: Vec<_> = world.script.executed.lock().unwrap().iter().map(|call| call.platform).collect();
        assert_eq!(sent, [Platform::Sheets, Platform::Slack]);
    });
    killed(&folder, &[], async |world| {
        assert!(world.workflows().get("w").await.unwrap().lease.is_some(), "the lease outlasts the kill");
        world.backend.start();
        world.until_workflow("w", WorkflowStatus::RolledBack).await;
        let undone: Vec<_> = world.script.undone.lock().unwrap().iter().map(|(done, _)| done.platform).collect();
        assert_eq!(undone, [Platform::Sheets, Platform::Drive]);
        let before = world.script.undone.lock().unwrap()[0].0.before.clone().unwrap();
        assert_eq!(before["cells"], json!([["old"]]), "kept before the first send");
    });
}
