//! Workflows against the simulators: what a state says is what the platforms show.

use std::time::Duration;

use serde_json::{Value, json};

use super::{invoice, report};
use crate::platforms::Platform;
use crate::platforms::undo::Seen;
use crate::sandbox::sim::{Fault, FaultSpec};
use crate::server::native::store::workflows::query;
use crate::server::native::tests::with_sims::start;
use crate::server::native::tests::world::{World, cx};
use crate::wire::*;

/// How the objects of a workflow's executed steps look now, by step.
async fn looks(world: &World, id: &'static str) -> Vec<(String, Seen)> {
    let state = world.backend.runtime.store.read(move |conn| query::state(conn, id)).await.unwrap().unwrap();
    let mut seen = Vec::new();
    for step in state.steps.iter().filter(|step| step.was_executed()) {
        let look = world.backend.runtime.calls.inspect(&step.done(), Duration::from_secs(5)).await.unwrap();
        seen.push((step.definition.id.clone(), look));
    }
    seen
}

/// The runbook's workflow; its notification goes to a channel that does not exist.
fn broken_invoice(id: &str) -> Value {
    let mut request = invoice(id);
    request["steps"][1]["data"] = json!({"range": "Actions!H40", "value": "$create_file.fileId"});
    request["steps"][2]["data"]["channel"] = json!("C0NOSUCH000");
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runbooks_picture_and_its_way_out() {
    let (sims, world) = start(&[]).await;
    let refused = FaultSpec::from(Fault::Forbidden).only("files.trash");
    sims.fault(Platform::Drive, refused).unwrap();
    world.workflow(broken_invoice("invoice-001")).await;
    let failed = world.until_workflow("invoice-001", WorkflowStatus::RollbackFailed).await;
    let expected = json!({
        "workflowId": "invoice-001",
        "status": "rollback_failed",
        "completedSteps": ["create_file", "update_sheet"],
        "rolledBackSteps": ["update_sheet"],
        "failedRollbacks": ["create_file"],
        "error": "File deletion failed: permission denied"
    });
    assert_eq!(report(&failed), expected);
    let seen = looks(&world, "invoice-001").await;
    assert_eq!(seen[0], ("create_file".into(), Seen::Present), "it still stands");
    assert!(!matches!(seen[1].1, Seen::Present), "{seen:?}");

    sims.clear(Platform::Drive).unwrap();
    world.workflows().rollback("invoice-001", RollbackMode::Retry, &cx()).await.unwrap();
    let done = world.until_workflow("invoice-001", WorkflowStatus::RolledBack).await;
    assert_eq!(report(&done)["failedRollbacks"], json!([]));
    let seen = looks(&world, "invoice-001").await;
    assert!(matches!(&seen[0].1, Seen::Missing(how) if how.contains("trash")), "{seen:?}");
    let trashed: Vec<_> = sims.stats_of(Platform::Drive).changed.into_values().collect();
    assert_eq!(trashed, [1], "moved to the trash once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_step_is_undone_and_an_update_goes_back_to_what_was() {
    let (sims, world) = start(&[]).await;
    let request = json!({"id": "all", "name": "all", "steps": [
        {"id": "page", "type": "create", "platform": "notion", "data": {"title": "Workflow page"}},
        {"id": "retitle", "type": "update", "platform": "notion",
         "data": {"page_id": "$page.pageId", "title": "Renamed"}},
        {"id": "card", "type": "create", "platform": "trello", "data": {"name": "Workflow card"}},
        {"id": "rename", "type": "update", "platform": "trello", "data": {"cardId": "$card.cardId", "name": "Renamed"}},
        {"id": "file", "type": "file", "platform": "drive",
         "data": {"name": "w.txt", "content": "x", "mimeType": "text/plain"}},
        {"id": "row", "type": "create", "platform": "sheets", "data": {"values": [["workflow row", 7]]}}
    ]});
    world.workflow(request).await;
    let done = world.until_workflow("all", WorkflowStatus::Completed).await;
    let images: Vec<bool> = done.steps.iter().map(|step| step.before_image).collect();
    assert_eq!(images, [false, true, false, true, false, false]);
    // What was created and renamed since is not as its creation left it; the rest is.
    for (step, seen) in looks(&world, "all").await {
        assert!(matches!(seen, Seen::Present | Seen::Altered(_)), "{step}: {seen:?}");
    }
    world.workflows().rollback("all", RollbackMode::First, &cx()).await.unwrap();
    let back = world.until_workflow("all", WorkflowStatus::RolledBack).await;
    for step in &back.steps {
        let undo = step.undo.as_ref().unwrap();
        assert!(undo.status == UndoStatus::RolledBack && undo.evidence.is_some(), "{}: {undo:?}", step.step_id);
    }
    for (step, seen) in looks(&world, "all").await {
        assert!(!matches!(seen, Seen::Present), "{step}: {seen:?}");
    }
    assert!(sims.stats().values().all(|api| api.doubled().is_empty()));
}
