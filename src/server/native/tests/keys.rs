//! Idempotency keys: what one stands for, what is prevented, what collides, when it is free again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::store::tests::Folder;
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
    assert_eq!((key.record.state, key.record.prevented, key.record.collisions), (KeyState::InFlight, 50, 0));
    assert_eq!((key.record.action_id, world.script.calls()), (first, 1));
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
    assert_eq!((key.record.state, key.record.prevented, key.record.collisions), (KeyState::Done, 1, 1));
    let [collision] = &key.collided[..] else { panic!("{key:?}") };
    assert_eq!((collision.action_id.as_str(), collision.source.as_deref()), (first.as_str(), Some("member-2")));
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
