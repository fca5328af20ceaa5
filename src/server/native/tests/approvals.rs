//! Approvals: nothing runs undecided, nothing runs late, and nobody decides twice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::store::tests::Folder;
use super::world::{World, cx, page};
use crate::clock::Clock;
use crate::server::backend::{ApprovalOps, Backend, Refusal};
use crate::wire::*;

const HOUR: Duration = Duration::from_secs(3600);

fn approvals(world: &World) -> &dyn ApprovalOps {
    world.backend.approvals().unwrap()
}

fn delete(id: &str) -> Value {
    json!({"type": "delete", "platform": "notion", "data": {"page_id": id}})
}

async fn asked(world: &World, request: Value) -> (String, String) {
    let submitted = world.try_submit(request).await.unwrap();
    assert_eq!((submitted.status, submitted.queue_position), (ActionStatus::Pending, None));
    (submitted.approval_id.unwrap(), submitted.id)
}

async fn approve(world: &World, id: &str, who: &str) -> Result<Approved, Refusal> {
    let request = ApproveRequest { user_id: who.into(), reason: None };
    approvals(world).approve(id, request, &cx()).await
}

async fn reject(world: &World, id: &str, who: &str) -> Result<Rejected, Refusal> {
    let request = RejectRequest { user_id: who.into(), reason: "not this one".into() };
    approvals(world).reject(id, request, &cx()).await
}

async fn listed(world: &World, status: ApprovalStatus) -> Vec<String> {
    let page = approvals(world).approvals(ApprovalFilter { status, since: None, limit: 10 }).await.unwrap();
    page.approvals.into_iter().map(|approval| approval.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_action_runs_and_not_before() {
    let world = World::start(&[]);
    let (id, action) = asked(&world, delete("p-7")).await;
    let other = world.submit(page("runs meanwhile")).await;
    world.until(&other, ActionStatus::Success).await;
    assert_eq!((world.script.calls(), world.queues().status().await.unwrap().total_queued), (1, 0));
    let item = world.queues().item(&action).await.unwrap();
    assert_eq!(item.waiting_for.as_deref(), Some("approval"));
    let refusal = world.queues().remove(&action, &cx()).await.unwrap_err();
    assert!(refusal.code == ErrorCode::Conflict && refusal.message.contains(&id), "{}", refusal.message);
    let record = approvals(&world).approval(&id).await.unwrap();
    assert_eq!((record.risk_level, &record.causes[..]), (RiskLevel::High, &[ApprovalCause::Deletes][..]));
    assert_eq!(record.action, "delete on notion: page_id p-7");
    assert!(record.time_remaining > 0 && record.expires_at == record.created_at + HOUR);

    let approved = approve(&world, &id, "ana").await.unwrap();
    assert_eq!((approved.status, approved.approved_by.as_str()), (ApprovalStatus::Approved, "ana (tok_1 tests)"));
    world.until(&action, ActionStatus::Success).await;
    assert_eq!(world.script.calls(), 2);
    // The same again is no second decision, anything else is refused with who and when.
    assert_eq!(approve(&world, &id, "ana").await.unwrap(), approved);
    for refusal in [approve(&world, &id, "ben").await.unwrap_err(), reject(&world, &id, "ben").await.unwrap_err()] {
        let told = format!("approved by ana (tok_1 tests) at {}", approved.timestamp);
        assert!(refusal.code == ErrorCode::Conflict && refusal.message.contains(&told), "{}", refusal.message);
    }
    assert_eq!(world.script.calls(), 2);
    assert_eq!(listed(&world, ApprovalStatus::Approved).await, [id]);
    assert_eq!(approve(&world, "apv-none", "ana").await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_action_fails_without_being_sent() {
    let world = World::start(&[]);
    let (id, action) = asked(&world, delete("p-7")).await;
    reject(&world, &id, "ana").await.unwrap();
    let error = world.record(&action).await.error.unwrap();
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert_eq!(error.message, "rejected by ana (tok_1 tests): not this one");
    let refusal = approve(&world, &id, "ben").await.unwrap_err();
    assert!(refusal.message.contains("rejected by ana"), "{}", refusal.message);
    // Nobody gets around the decision: it is not among what can be driven again, and driving it is refused.
    assert_eq!(world.view(QueueView::Failed).await.total, 0);
    let retry = IdsRequest { ids: vec![action.clone()], per_second: None };
    let answer = world.queues().retry(retry, &cx()).await.unwrap();
    assert_eq!(answer.items[0].effect, EffectKind::Conflict);
    assert_eq!(world.script.calls(), 0);
    // Its key is free: the same may be asked for again.
    let (again, _) = asked(&world, delete("p-7")).await;
    assert_eq!(listed(&world, ApprovalStatus::Pending).await, [again]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_decided_in_time_never_runs() {
    let folder = Arc::new(Folder::new("approvals"));
    let clock = Clock::system();
    let world = World::opened(Arc::clone(&folder), clock.clone(), &[]);
    let mut short = delete("soon");
    short["approvalTimeout"] = 60_000.into();
    let (soon, soon_action) = asked(&world, short).await;
    let (late, late_action) = asked(&world, delete("late")).await;
    assert_eq!(listed(&world, ApprovalStatus::Pending).await, [soon.clone(), late.clone()]);
    // The deadline counts at the decision, although nobody has noticed it yet: this service is not started.
    world.advance(Duration::from_secs(60));
    let refusal = approve(&world, &soon, "ana").await.unwrap_err();
    assert!(refusal.message.contains("expired undecided"), "{}", refusal.message);
    assert_eq!(world.record(&soon_action).await.status, ActionStatus::Failed);
    assert_eq!(listed(&world, ApprovalStatus::Expired).await, std::slice::from_ref(&soon));
    world.backend.shutdown(Duration::ZERO).await;
    // And it counts after a start that comes too late.
    clock.set_offset_ms(clock.offset_ms() + 3_600_000);
    let world = World::opened(folder, clock, &[]);
    assert_eq!(approvals(&world).approval(&late).await.unwrap().status, ApprovalStatus::Expired);
    world.backend.start();
    let error = world.until(&late_action, ActionStatus::Failed).await.error.unwrap();
    assert!(error.message.contains("expired undecided"), "{}", error.message);
    assert_eq!((listed(&world, ApprovalStatus::Expired).await, world.script.calls()), (vec![late, soon], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_decision_outlives_a_restart_and_a_pause() {
    let folder = Arc::new(Folder::new("approvals"));
    let world = World::opened(Arc::clone(&folder), Clock::system(), &[]);
    let (id, action) = asked(&world, delete("p-7")).await;
    world.backend.shutdown(Duration::ZERO).await;
    let world = World::opened(folder, Clock::system(), &[]);
    world.backend.start();
    let other = world.submit(page("runs")).await;
    world.until(&other, ActionStatus::Success).await;
    world.pause(PauseScope::All).await;
    approve(&world, &id, "ana").await.unwrap();
    assert_eq!(world.queues().status().await.unwrap().total_queued, 1);
    assert_eq!((world.record(&action).await.status, world.script.calls()), (ActionStatus::Pending, 1));
    world.resume(PauseScope::All).await;
    world.until(&action, ActionStatus::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold_unless_they_are_switched_off() {
    let pages = |n: usize| -> Vec<ActionRequest> {
        (0..n).map(|n| serde_json::from_value(page(&format!("page {n}"))).unwrap()).collect()
    };
    let world = World::start(&[]);
    let answer = world.queues().submit(pages(11), &cx()).await.unwrap();
    assert!(answer.actions.iter().all(|action| action.approval_id.is_some()));
    // A repeated one is the same again and asks nobody.
    let again = world.queues().submit(pages(10), &cx()).await.unwrap();
    assert!(again.actions.iter().all(|action| action.duplicate && action.approval_id.is_none()));
    assert_eq!(world.view(QueueView::Queued).await.total, 0);

    let world = World::start(&[("APPROVAL_RULES", "none")]);
    let answer = world.queues().submit(pages(11), &cx()).await.unwrap();
    assert!(answer.actions.iter().all(|action| action.approval_id.is_none()));
    let mut wanted = page("asked for");
    wanted["requiresApproval"] = true.into();
    asked(&world, wanted.clone()).await;

    let world = World::start(&[("ENABLE_APPROVALS", "false")]);
    assert!(world.try_submit(delete("p-7")).await.unwrap().approval_id.is_none());
    assert_eq!(world.try_submit(wanted).await.unwrap_err().code, ErrorCode::Unsupported);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_deciders_wins() {
    let world = Arc::new(World::start(&[]));
    let (id, action) = asked(&world, delete("p-7")).await;
    let deciders = (0..40).map(|n| {
        let (world, id) = (Arc::clone(&world), id.clone());
        tokio::spawn(async move {
            let who = format!("person {n}");
            match n % 2 {
                0 => approve(&world, &id, &who).await.map(|a| a.approved_by),
                _ => reject(&world, &id, &who).await.map(|r| r.rejected_by),
            }
        })
    });
    let mut winners = Vec::new();
    for decider in deciders.collect::<Vec<_>>() {
        match decider.await.unwrap() {
            Ok(by) => winners.push(by),
            Err(refusal) => assert_eq!(refusal.code, ErrorCode::Conflict),
        }
    }
    let record = approvals(&world).approval(&id).await.unwrap();
    assert_eq!((winners.len(), Some(&winners[0])), (1, record.decided_by.as_ref()));
    let (status, calls) = match record.status {
        ApprovalStatus::Approved => (ActionStatus::Success, 1),
        _ => (ActionStatus::Failed, 0),
    };
    world.until(&action, status).await;
    assert_eq!(world.script.calls(), calls);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_people_outside_waits_for_a_decision() {
    let world = World::start(&[("APPROVAL_EXTERNAL_CHANNELS", "#partners, C0AB12")]);
    let message =
        |channel: &str| json!({"type": "notify", "platform": "slack", "data": {"channel": channel, "text": "x"}});
    let (id, _) = asked(&world, message("#partners")).await;
    let record = approvals(&world).approval(&id).await.unwrap();
    assert_eq!((record.risk_level, &record.causes[..]), (RiskLevel::Critical, &[ApprovalCause::External][..]));
    let inside = world.submit(message("#ops")).await;
    world.until(&inside, ActionStatus::Success).await;
    assert_eq!(world.script.calls(), 1, "the other one waits");
}
