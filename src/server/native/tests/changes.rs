//! What operators and submitters do to the queue and the parts.

use std::time::Duration;

use serde_json::json;

use super::world::{Act, World, cx, page};
use crate::platforms::Platform;
use crate::server::backend::ChangeContext;
use crate::wire::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_action_twice_is_done_once() {
    let world = World::start(&[]);
    world.pause(PauseScope::Queue).await;
    let first = world.try_submit(page("same")).await.unwrap();
    let again = world.try_submit(page("same")).await.unwrap();
    assert_eq!((again.duplicate, &again.id, again.status), (true, &first.id, ActionStatus::Pending));
    let mut keyed = page("one thing");
    keyed["idempotencyKey"] = "k".into();
    world.submit(keyed.clone()).await;
    keyed["data"]["title"] = "another thing".into();
    let refusal = world.try_submit(keyed).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::DuplicateError);
    assert_eq!(world.queues().status().await.unwrap().total_queued, 2);
    world.resume(PauseScope::Queue).await;
    world.until(&first.id, ActionStatus::Success).await;
    world.until_true("both are done", async || world.script.calls() == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_takes_nothing_half() {
    let world = World::start(&[("QUEUE_MAX_SIZE", "3")]);
    world.pause(PauseScope::Queue).await;
    world.submit(page("a")).await;
    let three = ["b", "c", "d"].map(|title| serde_json::from_value(page(title)).unwrap()).to_vec();
    let refusal = world.queues().submit(three, &cx()).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::QueueFull);
    assert!(refusal.message.contains("1 of at most 3"), "{}", refusal.message);
    assert_eq!(world.queues().status().await.unwrap().total_queued, 1);
    let bad = vec![
        serde_json::from_value(page("fine")).unwrap(),
        serde_json::from_value(json!({"type": "create", "platform": "notion", "data": {}})).unwrap(),
    ];
    let refusal = world.queues().submit(bad, &cx()).await.unwrap_err();
    assert!(refusal.message.starts_with("action 2 of the list: data.title"), "{}", refusal.message);
    assert_eq!(world.queues().status().await.unwrap().total_queued, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_has_an_owner_and_stops_what_it_says() {
    let world = World::start(&[]);
    world.pause(PauseScope::Queue).await;
    let id = world.submit(page("waits")).await;
    let again = world.queues().pause(PauseScope::Queue, &cx()).await.unwrap();
    assert_eq!(again.effect, EffectKind::AlreadySo);
    assert!(again.message.contains("ana (tok_1 tests)"), "{}", again.message);
    world.pause(PauseScope::All).await;
    let refusal = world.try_submit(page("refused")).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Unavailable);
    assert!(refusal.message.contains("ana"), "{}", refusal.message);
    assert_eq!(world.queues().item(&id).await.unwrap().waiting_for.as_deref(), Some("paused by ana (tok_1 tests)"));
    assert_eq!(world.queues().pauses().await.unwrap().len(), 2);
    // Resuming everything ends both.
    world.resume(PauseScope::All).await;
    world.until(&id, ActionStatus::Success).await;
    assert!(world.queues().pauses().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_start_begins_with_one_worker() {
    let world = World::start(&[("QUEUE_WORKERS", "5")]);
    world.pause(PauseScope::Queue).await;
    for n in 0..5 {
        world.script.then(Act::Hang);
        world.submit(page(&format!("p{n}"))).await;
    }
    let request = PauseRequest { scope: PauseScope::Queue, slow_start: true };
    world.queues().resume(request, &cx()).await.unwrap();
    world.until_true("one works", async || world.script.calls() == 1).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(world.script.calls(), 1);
    world.advance(Duration::from_secs(5));
    world.until_true("two work", async || world.script.calls() == 2).await;
    world.advance(Duration::from_secs(60));
    world.until_true("all work", async || world.script.calls() == 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_go_out_come_back_and_are_driven_again() {
    let world = World::start(&[("MAX_RETRY_ATTEMPTS", "0")]);
    world.pause(PauseScope::Queue).await;
    let ids = [world.submit(page("a")).await, world.submit(page("b")).await];
    let stale = ChangeContext { if_version: Some(99), ..cx() };
    assert_eq!(world.queues().remove(&ids[0], &stale).await.unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(world.queues().remove(&ids[0], &cx()).await.unwrap().effect, EffectKind::Applied);
    assert_eq!(world.queues().remove(&ids[0], &cx()).await.unwrap().effect, EffectKind::AlreadySo);
    assert_eq!(world.queues().remove("nobody", &cx()).await.unwrap_err().code, ErrorCode::NotFound);
    let removed = world.view(QueueView::Removed).await;
    assert_eq!(removed.items[0].removed_by.as_deref(), Some("ana (tok_1 tests)"));
    // Young items are not stuck.
    let stuck = ClearRequest { stuck_only: true, older_than: None, ids: None };
    assert_eq!(world.queues().clear(stuck.clone(), &cx()).await.unwrap().effect, EffectKind::AlreadySo);
    world.advance(Duration::from_secs(601));
    assert_eq!(world.view(QueueView::Stuck).await.total, 1);
    let cleared = world.queues().clear(stuck, &cx()).await.unwrap();
    assert_eq!((cleared.effect, cleared.items[0].id.as_str()), (EffectKind::Applied, ids[1].as_str()));
    let restored = world.queues().restore(IdsRequest { ids: ids.to_vec(), per_second: None }, &cx()).await.unwrap();
    assert_eq!((restored.effect, restored.items.len()), (EffectKind::Applied, 2));
    assert_eq!(world.queues().status().await.unwrap().by_priority.normal, 2);
    // They fail, and are driven again at two a second.
    world.script.fail(ErrorCode::ServiceDown).fail(ErrorCode::ServiceDown);
    world.resume(PauseScope::Queue).await;
    for id in &ids {
        world.until(id, ActionStatus::Failed).await;
    }
    let retried = world.queues().retry(IdsRequest { ids: ids.to_vec(), per_second: Some(2) }, &cx()).await.unwrap();
    assert_eq!(retried.effect, EffectKind::Applied);
    for id in &ids {
        assert_eq!(world.until(id, ActionStatus::Success).await.retries, 1);
    }
    assert_eq!(
        world.queues().retry(IdsRequest { ids: ids.to_vec(), per_second: None }, &cx()).await.unwrap().effect,
        EffectKind::Conflict
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_action_cannot_be_removed() {
    let world = World::start(&[]);
    world.script.then(Act::Hang);
    let id = world.submit(page("runs")).await;
    world.until(&id, ActionStatus::Executing).await;
    let refusal = world.queues().remove(&id, &cx()).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Conflict);
    assert!(refusal.message.contains("is executing"), "{}", refusal.message);
    assert_eq!(world.view(QueueView::Executing).await.items[0].action_id, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_restart_with_new_settings_and_hand_back_what_hangs() {
    let world = World::start(&[("QUEUE_WORKERS", "2")]);
    world.script.then(Act::Hang);
    let id = world.submit(page("hangs")).await;
    world.until(&id, ActionStatus::Executing).await;
    world.config.set("QUEUE_WORKERS", &ConfigSet { value: "10".into(), expires_in: None }, None).unwrap();
    let drain = Duration::from_millis(30);
    let answer = world.services().restart(Component::Workers, None, drain, &cx()).await.unwrap();
    assert_eq!((answer.drained, answer.handed_back), (0, 1));
    assert_eq!((answer.applied, answer.state), (vec!["QUEUE_WORKERS 2 -> 10".to_owned()], ComponentState::Up));
    world.until(&id, ActionStatus::Success).await;
    // It may have been sent before it was handed back.
    assert_eq!(world.script.looked.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_part_restarts_and_can_be_looked_at() {
    let world = World::start(&[]);
    for part in Component::ALL {
        let answer = world.services().restart(*part, None, Duration::from_secs(1), &cx()).await.unwrap();
        assert_eq!(answer.state, ComponentState::Up, "{part}");
    }
    let one =
        world.services().restart(Component::Executors, Some(Platform::Slack), Duration::ZERO, &cx()).await.unwrap();
    assert_eq!(one.platform, Some(Platform::Slack));
    let wrong = world.services().restart(Component::Queue, Some(Platform::Slack), Duration::ZERO, &cx()).await;
    assert_eq!(wrong.unwrap_err().code, ErrorCode::ValidationError);
    for part in Component::ALL {
        let check = world.services().check(*part).await.unwrap();
        assert!(check.ok, "{check:?}");
    }
    let components = world.services().components().await.unwrap();
    assert!(components.iter().all(|part| part.restarts >= 1));
    let id = world.submit(page("still works")).await;
    world.until(&id, ActionStatus::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authentication_is_remembered() {
    let world = World::start(&[]);
    let first = world.services().auth(Platform::Notion).await.unwrap();
    assert_eq!((first.authenticated, first.identity.as_deref()), (true, Some("bot")));
    world.script.down.lock().unwrap().insert(Platform::Notion, ErrorCode::AuthError);
    let second = world.services().auth(Platform::Notion).await.unwrap();
    assert_eq!((second.authenticated, second.last_successful_auth), (false, first.last_successful_auth));
    assert!(second.error.is_some() && second.identity.is_none());
    let circuit = world.circuit(Platform::Notion).await;
    assert_eq!(circuit.status.state, CircuitState::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_is_reset_by_hand() {
    let world = World::start(&[("MAX_RETRY_ATTEMPTS", "0")]);
    for n in 0..5 {
        world.script.fail(ErrorCode::ServiceDown);
        let id = world.submit(page(&format!("p{n}"))).await;
        world.until(&id, ActionStatus::Failed).await;
    }
    let seen = world.circuit(Platform::Notion).await;
    let stale = ChangeContext { if_version: Some(seen.version + 1), ..cx() };
    assert_eq!(world.circuits().reset(Platform::Notion, &stale).await.unwrap_err().code, ErrorCode::Conflict);
    let reset = world.circuits().reset(Platform::Notion, &cx()).await.unwrap();
    assert_eq!(reset.effect, EffectKind::Applied);
    assert!(reset.message.contains("OPEN with 5 failures"), "{}", reset.message);
    assert_eq!(world.circuits().reset(Platform::Notion, &cx()).await.unwrap().effect, EffectKind::AlreadySo);
    let id = world.submit(page("goes through")).await;
    world.until(&id, ActionStatus::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listing_and_the_screen_agree_with_the_counts() {
    let world = World::start(&[]);
    world.pause(PauseScope::Queue).await;
    let mut urgent = page("urgent");
    urgent["priority"] = "critical".into();
    let first = world.submit(page("first")).await;
    let urgent = world.submit(urgent).await;
    let listing = world.queues().listing().await.unwrap();
    assert_eq!(listing.queues.critical[0].action_id, urgent);
    assert_eq!(listing.queues.normal[0].action_id, first);
    assert!(listing.queues.normal[0].estimated_wait > listing.queues.critical[0].estimated_wait);
    assert_eq!(listing.stats.total_queued, 2);
    let info = ServiceInfo {
        name: "x".into(),
        version: "1".into(),
        api_min: 1,
        api_max: 1,
        environment: "test".into(),
        engine: "native".into(),
        capabilities: Default::default(),
        now: world.clock.now(),
        started_at: world.clock.now(),
        role: None,
    };
    let system = world.services().system(info).await.unwrap();
    assert_eq!((system.queue.total_queued, system.pauses.len(), system.components.len()), (2, 1, 5));
    assert_eq!(system.overall, OverallHealth::Healthy);
}
