//! Settings that change while the orchestrator runs.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::world::World;
use crate::wire::{ConfigSet, Platform};

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_place_reaches_the_clients_without_a_restart() {
    let world = World::start(&[]);
    let set = ConfigSet { value: "5f0000000000000000000001".into(), expires_in: None };
    world.config.set("TRELLO_DEFAULT_LIST_ID", &set, None).unwrap();
    until("the clients heard of it", || world.script.signed_in.load(Ordering::Relaxed) == 1).await;
    let set = ConfigSet { value: "debug".into(), expires_in: None };
    world.config.set("LOG_LEVEL", &set, None).unwrap();
    let set = ConfigSet { value: "5f0000000000000000000002".into(), expires_in: None };
    world.config.set("TRELLO_BOARD_ID", &set, None).unwrap();
    until("the second place", || world.script.signed_in.load(Ordering::Relaxed) == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bypass_ends_by_itself() {
    let world = World::start(&[]);
    let name = "NOTION_CIRCUIT_BREAKER_ENABLED";
    let set = ConfigSet { value: "false".into(), expires_in: Some(600_000) };
    world.config.set(name, &set, None).unwrap();
    let enabled = || world.config.effective().platform(Platform::Notion).circuit_enabled;
    assert!(!enabled());
    world.advance(Duration::from_secs(601));
    until("the breaker guards again", enabled).await;
}
