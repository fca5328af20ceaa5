//! Executing: order, retries, circuits, limits, fallback, batches, caches, crashes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::world::{Act, World, cx, message, page};
use crate::platforms::{Delivery, Lookup, Platform};
use crate::server::backend::Backend;
use crate::wire::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_is_executed_and_its_record_tells() {
    let world = World::start(&[]);
    let id = world.submit(page("one")).await;
    let record = world.until(&id, ActionStatus::Success).await;
    assert_eq!((record.retries, record.error, record.fallback_platform), (0, None, None));
    assert_eq!(record.result.unwrap()["id"], 1);
    let call = world.script.executed.lock().unwrap()[0].clone();
    assert_eq!((call.platform, call.marker.as_deref()), (Platform::Notion, Some(id.as_str())));
    assert_eq!(world.queues().status().await.unwrap().total_queued, 0);
    let recent = world.queues().actions(ActionFilter { limit: 10, ..ActionFilter::default() }).await.unwrap();
    assert_eq!((recent.total, recent.actions[0].id.as_str()), (1, id.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retriable_failures_are_tried_again_up_to_the_limit() {
    let world = World::start(&[("MAX_RETRY_ATTEMPTS", "2")]);
    world.script.fail(ErrorCode::ServiceDown).fail(ErrorCode::NetworkError);
    let id = world.submit(page("twice")).await;
    let record = world.until(&id, ActionStatus::Success).await;
    assert_eq!((record.retries, record.error), (2, None));
    world.script.fail(ErrorCode::ServiceDown).fail(ErrorCode::RateLimited).fail(ErrorCode::TimeoutError);
    let id = world.submit(page("thrice")).await;
    let record = world.until(&id, ActionStatus::Failed).await;
    assert_eq!((record.retries, record.error.unwrap().code), (2, ErrorCode::TimeoutError));
    world.script.fail(ErrorCode::ValidationError);
    let id = world.submit(page("never")).await;
    assert_eq!(world.until(&id, ActionStatus::Failed).await.retries, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_looked_up_before_anything_is_sent_again() {
    let world = World::start(&[]);
    let lost = || Act::Fail(ErrorCode::TimeoutError, Delivery::Unknown, None);
    // It had happened: nothing is sent again.
    let happened = crate::platforms::CallOutcome { result: json!({"id": "there"}), served_by_marker: true };
    *world.script.found.lock().unwrap() = Some(Ok(Lookup::Found(happened)));
    world.script.then(lost());
    let id = world.submit(page("happened")).await;
    let record = world.until(&id, ActionStatus::Success).await;
    assert_eq!((record.result.unwrap()["id"].as_str(), world.script.calls()), (Some("there"), 1));
    // It had not: it is sent again.
    *world.script.found.lock().unwrap() = Some(Ok(Lookup::Absent));
    world.script.then(lost());
    let id = world.submit(page("had not")).await;
    world.until(&id, ActionStatus::Success).await;
    assert_eq!(world.script.calls(), 3);
    // Nobody can tell: a person has to.
    *world.script.found.lock().unwrap() = Some(Ok(Lookup::Unclear("two pages look like it".into())));
    world.script.then(lost());
    let id = world.submit(page("unclear")).await;
    let record = world.until(&id, ActionStatus::InDoubt).await;
    assert!(record.error.unwrap().message.contains("two pages look like it"));
    assert_eq!(world.script.calls(), 4);
    let failed = world.view(QueueView::Failed).await;
    assert!(failed.items[0].waiting_for.as_deref().unwrap().starts_with("in doubt"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_failures_open_the_circuit_and_two_probes_close_it() {
    let world = World::start(&[("MAX_RETRY_ATTEMPTS", "0")]);
    world.script.down.lock().unwrap().insert(Platform::Notion, ErrorCode::ServiceDown);
    for n in 0..5 {
        let id = world.submit(page(&format!("p{n}"))).await;
        world.until(&id, ActionStatus::Failed).await;
    }
    let circuit = world.circuit(Platform::Notion).await;
    assert_eq!((circuit.status.state, circuit.status.failure_count), (CircuitState::Open, 5));
    assert_eq!(circuit.status.will_reset_at.unwrap() - circuit.status.opened_at.unwrap(), Duration::from_secs(30));
    // What arrives now waits, and other platforms go on.
    let waiting = world.submit(page("waits")).await;
    let other = world.submit(message("goes on")).await;
    world.until(&other, ActionStatus::Success).await;
    assert_eq!(world.script.executed.lock().unwrap().len(), 6);
    let item = world.queues().item(&waiting).await.unwrap();
    assert_eq!(item.waiting_for.as_deref(), Some("circuit OPEN"));
    let health = world.services().health().await.unwrap();
    assert_eq!(health.executors[&Platform::Notion].status, ExecutorHealth::Down);
    // The platform comes back, half a minute passes, two probes work.
    world.script.down.lock().unwrap().clear();
    world.advance(Duration::from_secs(31));
    world.until(&waiting, ActionStatus::Success).await;
    assert_eq!(world.circuit(Platform::Notion).await.status.state, CircuitState::HalfOpen);
    let second = world.submit(page("second")).await;
    world.until(&second, ActionStatus::Success).await;
    assert_eq!(world.circuit(Platform::Notion).await.status.state, CircuitState::Closed);
    world
        .until_true("the history", async || {
            let history = world.circuits().history(Some(Platform::Notion), None, 10).await.unwrap();
            let states: Vec<_> = history.iter().rev().map(|step| step.to).collect();
            states == [CircuitState::Open, CircuitState::HalfOpen, CircuitState::Closed]
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_rate_limits_nor_authentication_open_a_circuit() {
    let world = World::start(&[("MAX_RETRY_ATTEMPTS", "0")]);
    for code in [ErrorCode::RateLimited, ErrorCode::AuthError] {
        for n in 0..6 {
            world.script.fail(code);
            let id = world.submit(page(&format!("{code}{n}"))).await;
            world.advance(Duration::from_secs(5));
            world.until(&id, ActionStatus::Failed).await;
        }
    }
    assert_eq!(world.circuit(Platform::Notion).await.status.state, CircuitState::Closed);
    let health = world.services().health().await.unwrap();
    let notion = &health.executors[&Platform::Notion];
    assert_eq!(notion.status, ExecutorHealth::Down);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_holds_the_platform() {
    let world = World::start(&[]);
    world.script.then(Act::Fail(ErrorCode::RateLimited, Delivery::NotDelivered, Some(Duration::from_secs(60))));
    let first = world.submit(page("first")).await;
    world.until_true("held", async || world.record(&first).await.next_attempt_at.is_some()).await;
    let second = world.submit(page("second")).await;
    let item = world.queues().item(&second).await.unwrap();
    assert_eq!(item.waiting_for.as_deref(), Some("rate limit"));
    let limits = world.backend.limits().unwrap().list().await.unwrap();
    let notion = limits.iter().find(|limit| limit.platform == Platform::Notion).unwrap();
    assert!(notion.reset_at.since(world.clock.now()) > Duration::from_secs(30));
    world.advance(Duration::from_secs(61));
    world.until(&first, ActionStatus::Success).await;
    world.until(&second, ActionStatus::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_admits_what_it_admits() {
    let world = World::start(&[("NOTION_RATE_LIMIT", "3")]);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(world.submit(page(&format!("p{n}"))).await);
    }
    for id in &ids {
        world.until(id, ActionStatus::Success).await;
    }
    let requests: Vec<i64> = {
        let mut at = Vec::new();
        for id in &ids {
            at.push(world.record(id).await.timestamp.0);
        }
        at
    };
    // The fourth had to wait for the next second.
    assert!(requests[3] - requests[0] >= 500, "{requests:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trello_card_stands_in_for_a_notion_page() {
    let world = World::start(&[("NOTION_FALLBACK_ENABLED", "true"), ("MAX_RETRY_ATTEMPTS", "0")]);
    world.script.down.lock().unwrap().insert(Platform::Notion, ErrorCode::ServiceDown);
    let first = world.submit(page("Renew domain")).await;
    let record = world.until(&first, ActionStatus::Success).await;
    assert_eq!((record.platform, record.fallback_platform), (Platform::Notion, Some(Platform::Trello)));
    let calls = world.script.executed.lock().unwrap().clone();
    let seen: Vec<_> = calls.iter().map(|call| call.platform).collect();
    assert_eq!(seen, [Platform::Notion, Platform::Trello]);
    assert_eq!(calls[1].data["name"], "Renew domain");
    // With the circuit open Notion is not asked at all; an update has no equivalent and waits.
    for n in 0..4 {
        let id = world.submit(page(&format!("p{n}"))).await;
        world.until(&id, ActionStatus::Success).await;
    }
    assert_eq!(world.circuit(Platform::Notion).await.status.state, CircuitState::Open);
    let before = world.script.calls();
    let id = world.submit(page("straight")).await;
    let update = json!({"type": "update", "platform": "notion", "data": {"page_id": "p", "title": "x"}});
    let update = world.submit(update).await;
    world.until(&id, ActionStatus::Success).await;
    assert_eq!(world.script.calls(), before + 1);
    assert_eq!(world.record(&update).await.status, ActionStatus::Pending);
    // Either way the log says who stood in, and why.
    let filters = ["component:fallback", "to:trello"].map(str::to_owned).to_vec();
    let filter = LineFilter { limit: 10, filters, ..LineFilter::default() };
    world
        .until_true("a line about it", async || {
            let page = world.backend.logs().unwrap().lines(LogName::Application, filter.clone()).await.unwrap();
            let told = |action: &str, code: &str| {
                page.lines.iter().any(|line| line["actionId"] == action && line["errorCode"] == code)
            };
            told(&first, "SERVICE_DOWN") && told(&id, "CIRCUIT_OPEN")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_executor_comes_back_and_loses_nothing() {
    let world = World::start(&[]);
    world.script.then(Act::Panic);
    let id = world.submit(page("crash")).await;
    world.until(&id, ActionStatus::Success).await;
    // What it had was looked for first.
    assert_eq!(world.script.looked.lock().unwrap().len(), 1);
    let notion = async || {
        let executors = world.services().executors().await.unwrap();
        executors.into_iter().find(|executor| executor.platform == Platform::Notion).unwrap()
    };
    // A moment after its action is done.
    world.until_true("its place is free", async || notion().await.in_flight == 0).await;
    assert_eq!(notion().await.crashes, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_for_the_same_range_share_a_call() {
    let world = World::start(&[("ENABLE_BATCHING", "true"), ("BATCH_SIZE", "2"), ("BATCH_WINDOW", "60000")]);
    let row = |value: &str| {
        json!({"type": "log", "platform": "sheets",
            "data": {"spreadsheetId": "s", "range": "Log!A1", "values": [[value]]}})
    };
    let first = world.submit(row("a")).await;
    let second = world.submit(row("b")).await;
    let one = world.until(&first, ActionStatus::Success).await.result.unwrap();
    let two = world.until(&second, ActionStatus::Success).await.result.unwrap();
    assert_eq!(world.script.calls(), 1);
    assert_eq!(world.script.executed.lock().unwrap()[0].data["values"], json!([["a"], ["b"]]));
    let ranges: BTreeSet<_> = [&one, &two].map(|r| r["updatedRange"].as_str().unwrap().to_owned()).into();
    assert_eq!(ranges, BTreeSet::from(["Log!A5:B5".to_owned(), "Log!A6:B6".to_owned()]));
    // One that stays alone goes when its window is over.
    let third = world.submit(row("c")).await;
    world.advance(Duration::from_secs(61));
    world.until(&third, ActionStatus::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoilt_batch_is_tried_one_by_one() {
    let world = World::start(&[("ENABLE_BATCHING", "true"), ("BATCH_SIZE", "2"), ("BATCH_WINDOW", "60000")]);
    world.script.fail(ErrorCode::ValidationError).fail(ErrorCode::ValidationError);
    let row = |value: &str| {
        json!({"type": "log", "platform": "sheets",
            "data": {"spreadsheetId": "s", "range": "Log!A1", "values": [[value]]}})
    };
    let ids = [world.submit(row("a")).await, world.submit(row("b")).await];
    world
        .until_true("one fails, one succeeds", async || {
            let mut seen = BTreeSet::new();
            for id in &ids {
                seen.insert(world.record(id).await.status);
            }
            seen == BTreeSet::from([ActionStatus::Success, ActionStatus::Failed])
        })
        .await;
    assert_eq!(world.script.calls(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_reads_are_answered_from_memory_and_writes_never() {
    let world = World::start(&[("ENABLE_CACHING", "true"), ("ENABLE_IDEMPOTENCY", "false")]);
    let read = || json!({"type": "query", "platform": "notion", "data": {"database_id": "d"}});
    for _ in 0..2 {
        let id = world.submit(read()).await;
        world.until(&id, ActionStatus::Success).await;
    }
    assert_eq!(world.script.calls(), 1);
    let cleared = world.services().clear_caches(&cx()).await.unwrap();
    assert_eq!(cleared.caches, [("labels".to_owned(), 3), ("responses".to_owned(), 1)].into());
    for _ in 0..2 {
        let id = world.submit(page("same")).await;
        world.until(&id, ActionStatus::Success).await;
    }
    assert_eq!(world.script.calls(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_workflows_get_their_share_of_a_minute() {
    let world = World::start(&[("THROTTLE_PER_USER", "2")]);
    let mine = |n: usize| {
        let mut request = page(&format!("p{n}"));
        request["userId"] = "user-1".into();
        request
    };
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(world.submit(mine(n)).await);
    }
    let other = world.submit(page("somebody else's")).await;
    world.until(&other, ActionStatus::Success).await;
    world.until(&ids[1], ActionStatus::Success).await;
    let item = world.queues().item(&ids[2]).await.unwrap();
    assert!(item.waiting_for.as_deref().unwrap().starts_with("its user's"), "{item:?}");
    world.advance(Duration::from_secs(61));
    world.until(&ids[2], ActionStatus::Success).await;
}
