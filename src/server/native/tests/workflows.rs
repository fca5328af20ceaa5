//! Workflows on a scripted platform: order, references, failures, rollbacks, and what people say about them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::store::tests::Folder;
use super::world::{Act, World, cx};
use crate::clock::Clock;
use crate::platforms::undo::Undone;
use crate::platforms::{Delivery, Platform};
use crate::server::backend::ChangeContext;
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
