//! The orchestrator's rules for workflows, wherever our code executes them: how often a step is tried, how long a workflow
//! may take, and a person's word about each step that needs one. Services in other languages have rules of their own.

use std::time::Duration;

use opsctl::sandbox::sim::{Fault, FaultSpec};
use opsctl::server::backend::ApprovalOps;
use opsctl::wire::*;
use serde_json::{Value, json};

use crate::suite::{done, pause, resume, start, until_workflow};
use crate::world::{World, ada, until};

/// All of it. What fails here stays below what opens a circuit.
pub async fn run(world: &World) {
    a_step_is_tried_as_often_as_it_may(world).await;
    a_workflow_whose_time_is_over_is_rolled_back(world).await;
    time_does_not_run_while_it_is_paused(world).await;
    each_step_is_approved_by_itself(world).await;
}

/// A workflow that makes these cards; what else a step has comes with its name.
fn cards(id: &str, more: Value, steps: &[(&str, Value)]) -> WorkflowRequest {
    let step = |(step, more): &(&str, Value)| {
        let name = format!("{id} {step}");
        merged(json!({"id": step, "type": "create", "platform": "trello", "data": {"name": name}}), more)
    };
    let steps: Vec<Value> = steps.iter().map(step).collect();
    let request = merged(json!({"id": id, "name": "cards", "steps": steps}), &more);
    serde_json::from_value(request).expect("a workflow")
}

fn merged(mut object: Value, more: &Value) -> Value {
    let entries = object.as_object_mut().expect("an object");
    entries.extend(more.as_object().expect("an object").clone());
    object
}

async fn a_step_is_tried_as_often_as_it_may(world: &World) {
    let workflows = world.backend.workflows().expect("workflows");
    let away = || FaultSpec::from(Fault::ServerError { status: 503 }).only("create").times(2);
    world.sims.fault(Platform::Trello, away()).expect("a fault");
    let once_more = [("first", json!({"retries": 1}))];
    start(world, cards("suite-given-up", json!({}), &once_more)).await;
    until("its first try has failed", || async {
        let workflow = workflows.get("suite-given-up").await.ok()?;
        (workflow.steps[0].error.is_some() || workflow.status == WorkflowStatus::RolledBack).then_some(())
    })
    .await;
    // Whoever goes on goes on counting.
    world.replace_workers();
    let report = until_workflow(world, "suite-given-up", WorkflowStatus::RolledBack).await;
    assert!(report.error.is_some_and(|error| error.starts_with("step first failed: ")), "why is said");
    assert_eq!(world.cards("suite-given-up first"), 0, "two tries, and both failed");

    world.sims.fault(Platform::Trello, away()).expect("a fault");
    let twice_more = [("first", json!({"retries": 2}))];
    start(world, cards("suite-third-try", json!({}), &twice_more)).await;
    until_workflow(world, "suite-third-try", WorkflowStatus::Completed).await;
    assert_eq!(world.cards("suite-third-try first"), 1);
    world.sims.clear_all().expect("no fault");
    done(world, "a step is tried as often as its `retries` say, and then rolled back");
}

async fn a_workflow_whose_time_is_over_is_rolled_back(world: &World) {
    // Until long after it, since it is looked at once a second.
    let slow = FaultSpec::from(Fault::Slow { ms: 3000 }).only("create").times(1);
    world.sims.fault(Platform::Trello, slow).expect("a fault");
    start(world, cards("suite-late", json!({"timeout": 1000}), &[("first", json!({})), ("second", json!({}))])).await;
    let report = until_workflow(world, "suite-late", WorkflowStatus::RolledBack).await;
    assert_eq!(report.rolled_back_steps, ["first"], "what was sent in time is awaited, and undone");
    let workflow = world.backend.workflows().expect("workflows").get("suite-late").await.expect("the workflow");
    assert_eq!(workflow.error.as_deref(), Some("not done within 1000 ms (WORKFLOW_TIMEOUT_MS)"));
    assert_eq!(workflow.steps[1].status, StepStatus::Skipped);
    assert_eq!(world.cards("suite-late second"), 0, "sent when the time was over");
    world.sims.clear_all().expect("no fault");
    done(world, "a workflow whose time is over is rolled back");
}

async fn time_does_not_run_while_it_is_paused(world: &World) {
    pause(world).await;
    start(world, cards("suite-held", json!({"timeout": 3000}), &[("first", json!({}))])).await;
    // Longer than it may take.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    resume(world).await;
    until_workflow(world, "suite-held", WorkflowStatus::Completed).await;
    done(world, "a workflow's time does not run while it is paused");
}

async fn each_step_is_approved_by_itself(world: &World) {
    let approvals = world.backend.approvals().expect("approvals");
    let asks = json!({"requiresApproval": true});
    start(world, cards("suite-both", json!({}), &[("first", asks.clone()), ("second", asks)])).await;
    let first = until("the first step asks", || pending(approvals, "suite-both first")).await;
    let yes = || ApproveRequest { user_id: "grace".into(), reason: None };
    assert_eq!(all_of(approvals, "suite-both").await.len(), 1, "one after the other");
    approvals.approve(&first, yes(), &ada()).await.expect("approved");

    let second = until("the second step asks", || pending(approvals, "suite-both second")).await;
    assert_ne!(first, second);
    // Once more for the first, as somebody who is late.
    let late = approvals.approve(&first, yes(), &ada()).await;
    assert!(late.is_ok_and(|record| record.status == ApprovalStatus::Approved), "it holds already");
    let no = || RejectRequest { user_id: "grace".into(), reason: "not that one".into() };
    let otherwise = approvals.reject(&first, no(), &ada()).await.expect_err("approved already");
    assert_eq!(otherwise.code, ErrorCode::Conflict);
    assert_eq!(approvals.approval(&second).await.expect("the second").status, ApprovalStatus::Pending);
    assert_eq!((world.cards("suite-both first"), world.cards("suite-both second")), (1, 0));

    approvals.reject(&second, no(), &ada()).await.expect("rejected");
    let report = until_workflow(world, "suite-both", WorkflowStatus::RolledBack).await;
    assert_eq!(report.rolled_back_steps, ["first"]);
    assert_eq!(world.cards("suite-both second"), 0, "executed although rejected");
    done(world, "each step that needs approval is decided by itself, one after the other");
}

/// What waits of a workflow.
async fn all_of(approvals: &dyn ApprovalOps, workflow: &str) -> Vec<ApprovalRecord> {
    let filter = ApprovalFilter { status: ApprovalStatus::Pending, since: None, limit: 10 };
    let mut all = approvals.approvals(filter).await.expect("approvals").approvals;
    all.retain(|record| record.workflow_id.as_deref() == Some(workflow));
    all
}

/// The id of the approval that the step which makes this card waits for.
async fn pending(approvals: &dyn ApprovalOps, card: &str) -> Option<String> {
    let workflow = card.split(' ').next().unwrap_or_default();
    let waits = |record: &ApprovalRecord| record.data["name"] == card;
    all_of(approvals, workflow).await.into_iter().find(waits).map(|record| record.id)
}
