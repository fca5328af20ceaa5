//! Idempotency keys: what one stands for, what is prevented, what collides, when it is free again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::store::journal;
use super::super::store::keys::{WORKFLOWS, listing};
use super::super::store::tests::Folder;
use super::workflows::files;
use super::world::{Act, World, cx, page};
use crate::clock::Clock;
use crate::server::backend::{Backend, ChangeContext, IdempotencyOps};
use crate::wire::*;

fn keys(world: &World) -> &dyn IdempotencyOps {
    world.backend.idempotency().unwrap()
}

fn keyed(key: &str, title: &str) -> Value {
    let mut request = page(title);
    request["idempotencyKey"] = key.into();
    request["source"] = "member-2".into();
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_while_the_first_is_in_flight_never_runs() {
    let world = Arc::new(World::start(&[]));
    world.script.then(Act::Hang);
    let first = world.submit(keyed("k", "one")).await;
    world.until_true("it is sent", async || world.script.calls() == 1).await;
    let others = (0..50).map(|_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.try_submit(keyed("k", "one")).await.unwrap() })
    });
    for other in others.collect::<Vec<_>>() {
        let told = other.await.unwrap();
        assert_eq!((told.id.as_str(), told.duplicate, told.status), (first.as_str(), true, ActionStatus::Executing));
    }
    let key = keys(&world).key("k").await.unwrap();
    assert_eq!(
        (key.record.state, key.record.prevented, key.record.collisions),
        (KeyState::InFlight, Some(50), Some(0))
    );
    assert_eq!((key.record.owner.id(), world.script.calls()), (first.as_str(), 1));
    let refusal = keys(&world).clear_key("k", &cx()).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Conflict);
    assert!(refusal.message.contains("is executing"), "{}", refusal.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_flight_holds_longer_than_its_time() {
    let world = World::opened(Arc::new(Folder::new("keys")), Clock::system(), &[("IDEMPOTENCY_TTL", "60")]);
    let first = world.submit(keyed("k", "one")).await;
    world.advance(Duration::from_secs(61));
    assert!(world.try_submit(keyed("k", "one")).await.unwrap().duplicate);
    assert_eq!(keys(&world).key("k").await.unwrap().record.state, KeyState::InFlight);
    world.backend.start();
    world.until(&first, ActionStatus::Success).await;
    // At rest, its time counts again: the same is new.
    let second = world.try_submit(keyed("k", "one")).await.unwrap();
    assert!(!second.duplicate && second.id != first);
    world.until(&second.id, ActionStatus::Success).await;
    assert_eq!(keys(&world).key("k").await.unwrap().record.state, KeyState::Done);
    world.advance(Duration::from_secs(61));
    assert_eq!(keys(&world).key("k").await.unwrap().record.state, KeyState::Expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collisions_are_kept_apart_from_prevented_duplicates() {
    let world = World::start(&[]);
    let first = world.submit(keyed("invoice-7", "one")).await;
    world.until(&first, ActionStatus::Success).await;
    assert!(world.try_submit(keyed("invoice-7", "one")).await.unwrap().duplicate);
    let refusal = world.try_submit(keyed("invoice-7", "two")).await.unwrap_err();
    assert_eq!(
        (refusal.code, &refusal.details.unwrap()["idempotencyKey"]),
        (ErrorCode::DuplicateError, &json!("invoice-7"))
    );
    world.submit(keyed("other", "three")).await;
    world
        .until_true("the collision is kept", async || {
            !keys(&world).collisions(None, 10).await.unwrap().collisions.is_empty()
        })
        .await;
    let key = keys(&world).key("invoice-7").await.unwrap();
    assert_eq!((key.record.state, key.record.prevented, key.record.collisions), (KeyState::Done, Some(1), Some(1)));
    let [collision] = &key.collided[..] else { panic!("{key:?}") };
    assert_eq!((collision.action_id.as_deref(), collision.source.as_deref()), (Some(first.as_str()), Some("member-2")));
    assert_eq!(collision.fingerprint, key.record.fingerprint);
    assert_ne!(collision.offered, collision.fingerprint);
    let listed = async |view| {
        let page = keys(&world).keys(view, 10).await.unwrap();
        page.keys.into_iter().map(|record| record.key).collect::<Vec<_>>()
    };
    assert_eq!(listed(KeyView::All).await, ["other", "invoice-7"]);
    assert_eq!(listed(KeyView::Prevented).await, ["invoice-7"]);
    assert_eq!(listed(KeyView::Collisions).await, ["invoice-7"]);
    let one = keys(&world).keys(KeyView::All, 1).await.unwrap();
    assert!(one.truncated && one.keys.len() == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleared_key_may_be_used_again() {
    let world = World::start(&[]);
    let first = world.submit(keyed("a/b:1760697045123", "one")).await;
    world.until(&first, ActionStatus::Success).await;
    let seen = keys(&world).key("a/b:1760697045123").await.unwrap().record;
    assert!(seen.ends_in_timestamp);
    let stale = ChangeContext { if_version: Some(seen.version + 1), ..cx() };
    assert_eq!(keys(&world).clear_key(&seen.key, &stale).await.unwrap_err().code, ErrorCode::Conflict);
    let fresh = ChangeContext { if_version: Some(seen.version), ..cx() };
    assert_eq!(keys(&world).clear_key(&seen.key, &fresh).await.unwrap().effect, EffectKind::Applied);
    assert_eq!(keys(&world).key(&seen.key).await.unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(keys(&world).clear_key(&seen.key, &cx()).await.unwrap_err().code, ErrorCode::NotFound);
    assert!(!world.try_submit(keyed(&seen.key, "one")).await.unwrap().duplicate);
}

fn keyed_workflow(id: &str, name: &str) -> Value {
    let mut workflow = files(id, 1);
    workflow["idempotencyKey"] = json!("invoice-7");
    workflow["name"] = json!("invoice");
    workflow["steps"][0]["data"]["name"] = json!(name);
    workflow
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflows_key_is_listed_explained_and_cleared_like_an_actions() {
    let world = World::start(&[]);
    world.workflow(keyed_workflow("w", "one")).await;
    world.until_workflow("w", WorkflowStatus::Completed).await;
    assert!(world.try_workflow(keyed_workflow("other", "one")).await.unwrap().duplicate);
    world.try_workflow(keyed_workflow("other", "two")).await.unwrap_err();
    let plain = world.submit(keyed("plain", "one")).await;
    world.until(&plain, ActionStatus::Success).await;
    world
        .until_true("the collision is kept", async || {
            !keys(&world).collisions(None, 10).await.unwrap().collisions.is_empty()
        })
        .await;

    let key = keys(&world).key("invoice-7").await.unwrap();
    assert_eq!((key.record.state, key.record.prevented, key.record.collisions), (KeyState::Done, Some(1), Some(1)));
    assert_eq!((key.record.owner.kind(), key.record.owner.id()), ("workflow", "w"));
    let [collision] = &key.collided[..] else { panic!("{key:?}") };
    assert_eq!((collision.workflow_id.as_deref(), &collision.fingerprint), (Some("w"), &key.record.fingerprint));
    let listed = async |view| {
        let page = keys(&world).keys(view, 10).await.unwrap();
        page.keys.into_iter().map(|record| record.key).collect::<Vec<_>>()
    };
    assert_eq!(listed(KeyView::All).await, ["plain", "invoice-7"]);
    assert_eq!(listed(KeyView::Prevented).await, ["invoice-7"]);
    assert_eq!(listed(KeyView::Collisions).await, ["invoice-7"]);
    let one = keys(&world).keys(KeyView::All, 1).await.unwrap();
    assert!(one.truncated && one.keys[0].key == "plain");

    // A key stands for one thing: no action may have it as long as it holds.
    let refusal = world.try_submit(keyed("invoice-7", "one")).await.unwrap_err();
    assert!(refusal.code == ErrorCode::DuplicateError && refusal.message.contains("workflow w"), "{}", refusal.message);
    let mut taken = keyed_workflow("other", "one");
    taken["idempotencyKey"] = json!("plain");
    let refusal = world.try_workflow(taken).await.unwrap_err();
    assert!(refusal.code == ErrorCode::DuplicateError && refusal.message.contains(&plain), "{}", refusal.message);

    let stale = ChangeContext { if_version: Some(key.record.version - 1), ..cx() };
    assert_eq!(keys(&world).clear_key("invoice-7", &stale).await.unwrap_err().code, ErrorCode::Conflict);
    let fresh = ChangeContext { if_version: Some(key.record.version), ..cx() };
    keys(&world).clear_key("invoice-7", &fresh).await.unwrap();
    assert_eq!(keys(&world).key("invoice-7").await.unwrap_err().code, ErrorCode::NotFound);
    assert!(!world.try_workflow(keyed_workflow("other", "one")).await.unwrap().duplicate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflows_key_holds_while_it_is_in_flight_and_is_free_when_it_was_undone() {
    let world = World::opened(Arc::new(Folder::new("keys")), Clock::system(), &[("IDEMPOTENCY_TTL", "60")]);
    world.workflow(keyed_workflow("w", "one")).await;
    world.advance(Duration::from_secs(61));
    let again = world.try_workflow(keyed_workflow("other", "one")).await.unwrap();
    assert_eq!((again.workflow_id.as_str(), again.duplicate), ("w", true), "the key outlives its time");
    assert_eq!(keys(&world).key("invoice-7").await.unwrap().record.state, KeyState::InFlight);
    assert!(keys(&world).clear_key("invoice-7", &cx()).await.unwrap_err().message.contains("workflow w is"));
    world.backend.start();
    world.until_workflow("w", WorkflowStatus::Completed).await;
    assert_eq!(keys(&world).key("invoice-7").await.unwrap().record.state, KeyState::Expired);
    let (store, now) = (world.backend.runtime.store.clone(), world.clock.now());
    store.write(move |conn| journal::prune(conn, 0, now)).await.unwrap();
    assert_eq!(keys(&world).key("invoice-7").await.unwrap_err().code, ErrorCode::NotFound, "forgotten");

    world.workflow(keyed_workflow("v", "one")).await;
    world.until_workflow("v", WorkflowStatus::Completed).await;
    world.workflows().rollback("v", RollbackMode::First, &cx()).await.unwrap();
    world.until_workflow("v", WorkflowStatus::RolledBack).await;
    let key = keys(&world).key("invoice-7").await.unwrap().record;
    assert_eq!((key.state, key.owner.id()), (KeyState::Released, "v"));
    // Free for anybody, and then its alone.
    let action = world.submit(keyed("invoice-7", "one")).await;
    let key = keys(&world).key("invoice-7").await.unwrap().record;
    assert_eq!(key.owner.id(), action);
    assert_eq!(keys(&world).keys(KeyView::All, 10).await.unwrap().keys.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_listed_by_index() {
    let world = World::start(&[]);
    let store = world.backend.runtime.store.clone();
    let plans = store.read(|conn| {
        let queries =
            [KeyView::All, KeyView::Prevented, KeyView::Collisions].map(|view| listing(view).1.replace('?', "5"));
        let one = format!("{WORKFLOWS} = 'k' ORDER BY seq DESC LIMIT 1");
        let mut found = Vec::new();
        for sql in queries.into_iter().chain([one]) {
            let mut query = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let plan: Vec<String> = query.query_map([], |row| row.get(3))?.collect::<Result<_, _>>()?;
            found.push((sql, plan.join("; ")));
        }
        Ok(found)
    });
    for (sql, plan) in plans.await.unwrap() {
        assert!(plan.contains("USING INDEX workflows_") && !plan.contains("USE TEMP B-TREE"), "{sql}: {plan}");
    }
}
