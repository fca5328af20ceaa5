//! What the verbs promise, asked of the backend alone. Nothing here knows which engine it is; where engines differ by
//! design (priorities, ids of restored items) the suite asks only for what all of them promise.

use futures_util::stream::{self, StreamExt};
use opsctl::sandbox::sim::{Fault, FaultSpec};
use opsctl::server::backend::{ChangeContext, QueueOps};
use opsctl::wire::*;
use serde_json::json;

use crate::moving;
use crate::served::note;
use crate::workflows;
use crate::world::{World, ada, until};

/// Items of the bulk part: more than two batches of a thousand.
const BULK: usize = 2500;

/// All of it, in an order in which nothing is in the way of the next.
pub async fn run(world: &World) {
    executes(world).await;
    idempotency(world).await;
    a_pause_holds_what_is_sent_after_it(world).await;
    plan_and_apply(world).await;
    moving::out_and_back(world).await;
    what_failed_is_driven_again(world).await;
    a_failed_workflow_is_rolled_back(world).await;
    a_failed_undo_is_retried(world).await;
    approvals(world).await;
    if world.has_our_rules() {
        workflows::run(world).await;
    }
    limits(world).await;
    // Last: it makes the platform fail.
    breaker(world).await;
}

pub fn done(world: &World, what: &str) {
    note(&format!("{}: {what}: ok", world.engine));
}

fn card(name: &str) -> ActionRequest {
    let request = json!({"type": "create", "platform": "trello", "data": {"name": name}, "correlationId": name});
    serde_json::from_value(request).expect("an action")
}

pub fn queues(world: &World) -> &dyn QueueOps {
    world.backend.queues().expect("queues")
}

pub async fn submit(world: &World, name: &str) -> Submitted {
    loop {
        match queues(world).submit(vec![card(name)], &ada()).await {
            Ok(mut answer) => return answer.actions.remove(0),
            // A lost answer on a machine that is busy: the same key makes it the same action.
            Err(refusal) if refusal.code == ErrorCode::TimeoutError => {}
            Err(refusal) => panic!("{name}: {refusal:?}"),
        }
    }
}

/// The queue of a view.
async fn view(world: &World, view: QueueView, older_than: Option<u64>) -> QueueItems {
    let filter = QueueFilter { view, platform: Some(Platform::Trello), since: None, older_than, limit: Some(10_000) };
    queues(world).items(filter).await.expect("items")
}

pub async fn waiting(world: &World) -> u64 {
    queues(world).status().await.expect("a status").total_queued
}

async fn until_status(world: &World, id: &str, wanted: ActionStatus) -> ActionRecord {
    until(&format!("action {id} is {wanted}"), || async {
        let record = queues(world).action(id).await.ok()?;
        (record.status == wanted).then_some(record)
    })
    .await
}

async fn executes(world: &World) {
    let sent = submit(world, "first").await;
    let record = until_status(world, &sent.id, ActionStatus::Success).await;
    assert_eq!((record.platform, record.action_type), (Platform::Trello, ActionType::Create));
    assert!(record.result.is_some_and(|result| result["cardId"].is_string()), "the platform's answer is kept");
    assert_eq!(world.cards("first"), 1);
    for unknown in ["inv_1nobody", "inv_1bTz3BmNHTvS1Nn1TlhLcbNBt1xA63sGqT"] {
        let refusal = queues(world).action(unknown).await.expect_err("never seen");
        assert_eq!(refusal.code, ErrorCode::NotFound, "{}", refusal.message);
    }
    let recent = ActionFilter { limit: 10, ..ActionFilter::default() };
    let recent = queues(world).actions(recent).await.expect("recent actions");
    assert!(recent.actions.iter().any(|action| action.id == sent.id));
    done(world, "an action is executed and found again");
}

async fn idempotency(world: &World) {
    let first = submit(world, "keyed").await;
    until_status(world, &first.id, ActionStatus::Success).await;
    let again = submit(world, "keyed").await;
    assert!(again.duplicate && again.id == first.id, "{again:?}");
    assert_eq!(world.cards("keyed"), 1);
    let key = first.idempotency_key.expect("a derived key");

    let mut other = card("keyed otherwise");
    other.idempotency_key = Some(key.clone());
    let refused = queues(world).submit(vec![other], &ada()).await.expect_err("other parameters");
    assert_eq!(refused.code, ErrorCode::DuplicateError);

    let keys = world.backend.idempotency().expect("idempotency");
    let found = keys.key(&key).await.expect("the key");
    assert_eq!((found.record.owner.id(), found.record.state), (first.id.as_str(), KeyState::Done));
    let listed = keys.keys(KeyView::All, 100).await.expect("keys").keys;
    assert!(listed.iter().any(|record| record.key == key));
    assert!(listed.iter().all(|record| record.key.contains(':')), "nobody else's keys: {listed:#?}");
    assert_eq!(keys.key("nobody's").await.expect_err("never seen").code, ErrorCode::NotFound);

    let cleared = keys.clear_key(&key, &ada()).await.expect("cleared");
    assert_eq!(cleared.effect, EffectKind::Applied);
    let anew = submit(world, "keyed").await;
    assert!(!anew.duplicate, "a key that was cleared prevents nothing");
    until_status(world, &anew.id, ActionStatus::Success).await;
    assert_eq!(world.cards("keyed"), 2);
    done(world, "keys: duplicate, collision, list, check, clear");
}

pub async fn pause(world: &World) {
    let paused = queues(world).pause(PauseScope::Queue, &ada()).await.expect("paused");
    assert_eq!(paused.effect, EffectKind::Applied, "{}", paused.message);
}

pub async fn resume(world: &World) {
    let request = PauseRequest { scope: PauseScope::All, slow_start: false };
    let resumed = queues(world).resume(request, &ada()).await.expect("resumed");
    assert_eq!(resumed.effect, EffectKind::Applied, "{}", resumed.message);
}

async fn a_pause_holds_what_is_sent_after_it(world: &World) {
    pause(world).await;
    let again = queues(world).pause(PauseScope::Queue, &ada()).await.expect("paused");
    assert_eq!(again.effect, EffectKind::AlreadySo);
    let pauses = queues(world).pauses().await.expect("pauses");
    assert_eq!((pauses.len(), pauses[0].reason.as_deref()), (1, Some("the suite")));

    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    for n in 0..10 {
        let sent = submit(world, &format!("held {n}")).await;
        ids.push(sent.id);
        keys.push(sent.idempotency_key);
    }
    // Each has been looked at by whatever would execute it, and waits.
    until("all of them wait", || async {
        let items = view(world, QueueView::Queued, None).await.items;
        let held = items.iter().filter(|item| ids.contains(&item.action_id));
        let paused = |item: &&QueueItem| item.waiting_for.as_deref().is_some_and(|why| why.starts_with("paused"));
        (held.filter(paused).count() == ids.len()).then_some(())
    })
    .await;
    assert_eq!(world.cards_of("held "), 0, "sent after the pause, and executed");

    // As they were sent, with their keys: another orchestrator can have them.
    let waiting = until("none of them is being tried", || async {
        let waiting = queues(world).requests(100).await.expect("requests");
        ((waiting.requests.len(), waiting.waiting) == (10, 10)).then_some(waiting)
    })
    .await;
    let first = waiting.requests.iter().find(|waiting| waiting.action_id == ids[0]).expect("the first");
    assert_eq!((first.request.data["name"].as_str(), first.request.platform), (Some("held 0"), Platform::Trello));
    assert_eq!(first.request.idempotency_key, keys[0]);

    let removed = queues(world).remove(&ids[0], &ada()).await.expect("removed");
    assert_eq!(removed.effect, EffectKind::Applied);
    let again = queues(world).remove(&ids[0], &ada()).await.expect("removed");
    assert_eq!(again.effect, EffectKind::AlreadySo);
    assert_eq!(queues(world).remove("inv_1nobody", &ada()).await.expect_err("unknown").code, ErrorCode::NotFound);
    let item = queues(world).item(&ids[1]).await.expect("the item");
    let moved = ChangeContext { if_version: Some(item.version + 1), ..ada() };
    assert_eq!(queues(world).remove(&ids[1], &moved).await.expect_err("another version").code, ErrorCode::Conflict);

    resume(world).await;
    for id in &ids[1..] {
        until_status(world, id, ActionStatus::Success).await;
    }
    assert_eq!(world.cards_of("held "), 9, "the removed one stays away, the others come once");
    let request = PauseRequest { scope: PauseScope::Queue, slow_start: false };
    assert_eq!(queues(world).resume(request, &ada()).await.expect("resumed").effect, EffectKind::AlreadySo);
    done(world, "a pause holds 10 of 10 sent after it; remove, resume");
}

async fn plan_and_apply(world: &World) {
    pause(world).await;
    let names: Vec<String> = (0..BULK).map(|n| format!("bulk {n}")).collect();
    stream::iter(&names).for_each_concurrent(32, |name| async move { drop(submit(world, name).await) }).await;
    until("all of them wait", || async { (waiting(world).await == BULK as u64).then_some(()) }).await;

    // What is just being tried does not wait; while it is paused no try has an effect, and soon all of them wait.
    let all = until("all of them are stuck", || async {
        let all = view(world, QueueView::Stuck, Some(0)).await;
        (all.total == BULK as u64).then_some(all)
    })
    .await;
    assert_eq!((all.items.len(), all.truncated), (BULK, false));
    assert_eq!(view(world, QueueView::Stuck, None).await.total, 0, "none is ten minutes old");
    let mut ids: Vec<String> = all.items.iter().map(|item| item.action_id.clone()).collect();
    ids.push("inv_1nobody".into());
    let request = ClearRequest { stuck_only: true, older_than: Some(0), ids: Some(ids.clone()) };
    let cleared = queues(world).clear(request, &ada()).await.expect("cleared");
    let of = |kind| cleared.items.iter().filter(|item| item.effect == kind).count();
    assert_eq!((of(EffectKind::Applied), of(EffectKind::NotFound)), (BULK, 1), "{}", cleared.message);
    assert_eq!(cleared.effect, EffectKind::NotFound, "the worst speaks for the whole");
    assert_eq!(waiting(world).await, 0);

    let back: Vec<String> = ids[..10].to_vec();
    let request = IdsRequest { ids: back.clone(), per_second: None };
    let restored = queues(world).restore(request.clone(), &ada()).await.expect("restored");
    assert_eq!((restored.effect, restored.items.len()), (EffectKind::Applied, 10), "{}", restored.message);
    let again = queues(world).restore(request, &ada()).await.expect("restored");
    assert_eq!(again.effect, EffectKind::AlreadySo, "restoring twice is restoring once");
    resume(world).await;
    until("the restored ones are executed", || async { (world.cards_of("bulk ") == 10).then_some(()) }).await;
    until("nothing waits", || async { (waiting(world).await == 0).then_some(()) }).await;
    assert_eq!(world.cards_of("bulk "), 10, "what was cleared stays away");
    done(world, &format!("plan and apply: {BULK} of {BULK} taken out, 10 restored, once each"));
}

async fn what_failed_is_driven_again(world: &World) {
    let refused = FaultSpec::from(Fault::Forbidden).only("create");
    world.sims.fault(Platform::Trello, refused).expect("a fault");
    let sent = submit(world, "refused").await;
    let failed = until_status(world, &sent.id, ActionStatus::Failed).await;
    assert!(failed.error.is_some_and(|error| error.code == ErrorCode::PermissionDenied), "why is kept");
    assert_eq!(view(world, QueueView::Failed, None).await.total, 1);
    world.sims.clear_all().expect("no fault");

    let request = IdsRequest { ids: vec![sent.id.clone()], per_second: None };
    let driven = queues(world).retry(request, &ada()).await.expect("driven again");
    assert_eq!(driven.effect, EffectKind::Applied, "{}", driven.message);
    until("it is executed", || async { (world.cards("refused") == 1).then_some(()) }).await;
    until("nothing is failed", || async { (view(world, QueueView::Failed, None).await.total == 0).then_some(()) })
        .await;
    done(world, "what failed is driven again");
}

/// A workflow of two cards; the second one's list does not exist unless it is `good`.
fn workflow(id: &str, good: bool, approval: bool) -> WorkflowRequest {
    let list = if good { None } else { Some("0123456789abcdef01234567") };
    let mut second = json!({"id": "second", "type": "create", "platform": "trello", "requiresApproval": approval,
        "data": {"name": format!("{id} second")}});
    if let Some(list) = list {
        second["data"]["listId"] = json!(list);
    }
    let first = json!({"id": "first", "type": "create", "platform": "trello", "data": {"name": format!("{id} first")}});
    serde_json::from_value(json!({"id": id, "name": "two cards", "steps": [first, second]})).expect("a workflow")
}

pub async fn start(world: &World, request: WorkflowRequest) {
    let workflows = world.backend.workflows().expect("workflows");
    let id = request.id.clone();
    let accepted = workflows.submit(request, &ada()).await.expect("accepted");
    assert_eq!(Some(accepted.workflow_id), id);
}

pub async fn until_workflow(world: &World, id: &str, wanted: WorkflowStatus) -> WorkflowReport {
    let workflows = world.backend.workflows().expect("workflows");
    until(&format!("workflow {id} is {wanted}"), || async {
        let workflow = workflows.get(id).await.ok()?;
        (workflow.status == wanted).then(|| WorkflowReport::from(&workflow))
    })
    .await
}

async fn a_failed_workflow_is_rolled_back(world: &World) {
    let workflows = world.backend.workflows().expect("workflows");
    assert_eq!(workflows.get("nobody's").await.expect_err("unknown").code, ErrorCode::NotFound);
    start(world, workflow("suite-good", true, false)).await;
    let report = until_workflow(world, "suite-good", WorkflowStatus::Completed).await;
    assert_eq!(report.completed_steps, ["first", "second"]);
    let seen = workflows.get("suite-good").await.expect("the workflow");
    for step in &seen.steps {
        assert!(step.started_at.is_some() && step.started_at <= step.ended_at, "{step:?}");
        assert!(step.result.as_ref().is_some_and(|result| result["cardId"].is_string()), "{step:?}");
    }
    let again = workflows.submit(workflow("suite-good", true, false), &ada()).await.expect("accepted");
    assert!(again.duplicate, "a workflow runs once");
    assert_eq!(world.cards("suite-good first"), 1);

    let before = world.archived();
    start(world, workflow("suite-bad", false, false)).await;
    let report = until_workflow(world, "suite-bad", WorkflowStatus::RolledBack).await;
    assert_eq!((report.completed_steps, report.rolled_back_steps), (vec!["first".into()], vec!["first".to_owned()]));
    assert_eq!(world.archived(), before + 1, "undone at the platform");
    let cx = ada();
    let again = workflows.rollback("suite-bad", RollbackMode::First, &cx).await.expect("an answer");
    assert_eq!(again.effect, EffectKind::AlreadySo);
    let filter = WorkflowFilter { statuses: vec![WorkflowStatus::RolledBack], limit: 10, ..WorkflowFilter::default() };
    let listed = workflows.list(filter).await.expect("a list");
    assert_eq!((listed.total, listed.workflows[0].workflow_id.as_str()), (1, "suite-bad"));
    done(world, "a workflow that fails is rolled back at the platform");
}

async fn a_failed_undo_is_retried(world: &World) {
    let workflows = world.backend.workflows().expect("workflows");
    let refused = FaultSpec::from(Fault::Forbidden).only("cards.archive");
    world.sims.fault(Platform::Trello, refused).expect("a fault");
    start(world, workflow("suite-stuck", false, false)).await;
    let report = until_workflow(world, "suite-stuck", WorkflowStatus::RollbackFailed).await;
    assert_eq!((report.rolled_back_steps.len(), report.failed_rollbacks), (0, vec!["first".to_owned()]));
    assert!(report.error.is_some(), "why is said");
    let plan = workflows.rollback_plan("suite-stuck", RollbackMode::Retry).await.expect("a plan");
    assert_eq!((plan.refused, plan.steps.len()), (None, 1));
    let moved = ChangeContext { if_version: Some(plan.version + 1), ..ada() };
    let refused = workflows.rollback("suite-stuck", RollbackMode::Retry, &moved).await.expect_err("another version");
    assert_eq!(refused.code, ErrorCode::Conflict);

    world.sims.clear_all().expect("no fault");
    let before = world.archived();
    // It may have been tried again by itself since: then there is nothing left to retry.
    match workflows.rollback("suite-stuck", RollbackMode::Retry, &ada()).await {
        Ok(_) => {}
        Err(refusal) => assert_eq!(refusal.code, ErrorCode::Conflict, "{}", refusal.message),
    }
    let report = until_workflow(world, "suite-stuck", WorkflowStatus::RolledBack).await;
    assert_eq!((report.rolled_back_steps, report.failed_rollbacks.len()), (vec!["first".to_owned()], 0));
    assert!(world.archived() <= before + 1, "undone once");
    done(world, "an undo that failed is retried");
}

async fn approvals(world: &World) {
    let approvals = world.backend.approvals().expect("approvals");
    let pending = |id: &'static str| async move {
        until(&format!("{id} asks for approval"), || async {
            let filter = ApprovalFilter { status: ApprovalStatus::Pending, since: None, limit: 10 };
            let all = approvals.approvals(filter).await.expect("approvals").approvals;
            all.into_iter().find(|record| record.workflow_id.as_deref() == Some(id)).map(|record| record.id)
        })
        .await
    };
    let yes = || ApproveRequest { user_id: "grace".into(), reason: Some("it is fine".into()) };
    start(world, workflow("suite-yes", true, true)).await;
    let id = pending("suite-yes").await;
    assert_eq!(world.cards("suite-yes second"), 0, "executed without approval");
    let approved = approvals.approve(&id, yes(), &ada()).await.expect("approved");
    assert_eq!(approved.status, ApprovalStatus::Approved);
    until_workflow(world, "suite-yes", WorkflowStatus::Completed).await;
    assert_eq!(world.cards("suite-yes second"), 1);
    let record = approvals.approval(&id).await.expect("the approval");
    assert!(record.decided_by.is_some_and(|by| by.contains("tok suite")), "who decided is kept");

    start(world, workflow("suite-no", true, true)).await;
    let id = pending("suite-no").await;
    let no = RejectRequest { user_id: "grace".into(), reason: "not today".into() };
    assert_eq!(approvals.reject(&id, no, &ada()).await.expect("rejected").status, ApprovalStatus::Rejected);
    until_workflow(world, "suite-no", WorkflowStatus::RolledBack).await;
    assert_eq!(world.cards("suite-no second"), 0, "executed although rejected");
    let late = approvals.approve(&id, yes(), &ada()).await.expect_err("rejected already");
    assert_eq!(late.code, ErrorCode::Conflict);
    assert_eq!(approvals.approve("nobody's", yes(), &ada()).await.expect_err("unknown").code, ErrorCode::NotFound);
    done(world, "approvals: approved runs, rejected never does");
}

async fn limits(world: &World) {
    let limits = world.backend.limits().expect("limits").list().await.expect("limits");
    let trello = limits.iter().find(|limit| limit.platform == Platform::Trello).expect("trello's limit");
    assert!(trello.limit > 0 && trello.percentage <= 100, "{trello:?}");
    done(world, "limits are read");
}

async fn breaker(world: &World) {
    let circuits = world.backend.circuits().expect("circuits");
    let state = || async {
        let all = circuits.list().await.expect("circuits");
        all.into_iter().find(|circuit| circuit.status.platform == Platform::Trello).expect("trello's circuit")
    };
    assert_eq!(state().await.status.state, CircuitState::Closed);
    let closed = circuits.reset(Platform::Trello, &ada()).await.expect("closed");
    assert_eq!(closed.effect, EffectKind::AlreadySo);
    world.sims.fault(Platform::Trello, FaultSpec::from(Fault::ServerError { status: 503 })).expect("a fault");
    for n in 0..6 {
        submit(world, &format!("broken {n}")).await;
    }
    let open = until("the circuit opens", || async {
        let circuit = state().await;
        (circuit.status.state == CircuitState::Open).then_some(circuit)
    })
    .await;
    assert!(open.status.failure_count >= 5 && open.status.will_reset_at.is_some(), "{open:?}");
    world.sims.clear_all().expect("no fault");
    let moved = ChangeContext { if_version: Some(open.version + 1), ..ada() };
    let refused = circuits.reset(Platform::Trello, &moved).await.expect_err("another version");
    assert_eq!(refused.code, ErrorCode::Conflict);
    let reset = circuits.reset(Platform::Trello, &ada()).await.expect("reset");
    assert_eq!(reset.effect, EffectKind::Applied, "{}", reset.message);
    until("what waited is executed", || async { (world.cards_of("broken ") == 6).then_some(()) }).await;
    done(world, "the breaker opens, is reset, and what waited is executed once");
}
