//! Against the simulators, over real connections: every operation, real failures, lost answers, kills.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::store::tests::Folder;
use super::world::{World, page};
use crate::platforms::Platform;
use crate::sandbox::sim::{Fault, FaultSpec, SimOptions, Sims};
use crate::wire::*;

/// The simulators' settings with others on top; nothing waits for a limit unless told.
fn settings(sims: &Sims, folder: &Folder, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut env = sims.credentials(folder.path()).unwrap();
    let free = ["NOTION", "TRELLO", "SLACK", "DRIVE", "SHEETS"].map(|name| (format!("{name}_RATE_LIMIT"), "100000"));
    env.extend(free.map(|(name, value)| (name, value.to_owned())));
    env.insert("RETRY_INITIAL_DELAY".into(), "5".into());
    env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    env
}

pub(super) async fn start(more: &[(&str, &str)]) -> (Sims, World) {
    let sims = Sims::start(SimOptions::default()).await.unwrap();
    let folder = Arc::new(Folder::new("sims"));
    let env = settings(&sims, &folder, more);
    let world = World::on(folder, env, sims.endpoints());
    (sims, world)
}

fn action(platform: &str, action_type: &str, data: Value) -> Value {
    json!({"type": action_type, "platform": platform, "data": data})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_platform_executes() {
    let (sims, world) = start(&[]).await;
    for (request, field) in [
        (action("notion", "create", json!({"title": "Renew passports"})), "pageId"),
        (action("trello", "create", json!({"name": "Order cables"})), "cardId"),
        (action("slack", "notify", json!({"text": "deploying"})), "ts"),
        (action("drive", "file", json!({"name": "a.txt", "content": "text", "mimeType": "text/plain"})), "fileId"),
        (action("sheets", "log", json!({"values": [["2026-11-01", "create", 3]]})), "updatedRange"),
        (action("notion", "query", json!({})), "count"),
    ] {
        let id = world.submit(request.clone()).await;
        let record = world.until(&id, ActionStatus::Success).await;
        assert!(!record.result.as_ref().unwrap()[field].is_null(), "{request}: {record:?}");
    }
    for platform in Platform::ALL {
        let auth = world.services().auth(*platform).await.unwrap();
        assert!(auth.authenticated && auth.identity.is_some(), "{auth:?}");
        assert!(sims.stats_of(*platform).doubled().is_empty());
    }
    let health = world.services().health().await.unwrap();
    assert_eq!(health.overall, OverallHealth::Healthy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_outage_opens_the_circuit_and_its_end_closes_it() {
    let (sims, world) = start(&[("QUEUE_WORKERS", "1")]).await;
    sims.fault(Platform::Notion, Fault::Down).unwrap();
    let ids = [world.submit(page_of("a")).await, world.submit(page_of("b")).await];
    world
        .until_true("it opens", async || world.circuit(Platform::Notion).await.status.state == CircuitState::Open)
        .await;
    let status = world.circuit(Platform::Notion).await.status;
    assert_eq!(status.failure_count, 5);
    assert_eq!(status.will_reset_at, status.opened_at.map(|at| at + Duration::from_secs(30)));
    sims.clear(Platform::Notion).unwrap();
    world.advance(Duration::from_secs(31));
    // Four tries each are allowed; five failures were had, so at most one of the two was given up.
    let mut done = 0;
    for id in &ids {
        world
            .until_true("it ends", async || {
                matches!(world.record(id).await.status, ActionStatus::Success | ActionStatus::Failed)
            })
            .await;
        done += usize::from(world.record(id).await.status == ActionStatus::Success);
    }
    assert!(done >= 1);
    for n in 0..2 {
        let id = world.submit(page_of(&format!("probe {n}"))).await;
        world.until(&id, ActionStatus::Success).await;
    }
    assert_eq!(world.circuit(Platform::Notion).await.status.state, CircuitState::Closed);
}

/// A page that names no database: the settings do.
fn page_of(title: &str) -> Value {
    let mut request = page(title);
    request["data"].as_object_mut().unwrap().remove("database_id");
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_never_done_twice() {
    let (sims, world) = start(&[]).await;
    for (platform, request) in [
        (Platform::Notion, page_of("lost page")),
        (Platform::Trello, action("trello", "create", json!({"name": "lost card"}))),
        (Platform::Slack, action("slack", "notify", json!({"text": "lost message"}))),
        (Platform::Drive, action("drive", "file", json!({"name": "lost", "content": "x", "mimeType": "text/plain"}))),
        (Platform::Sheets, action("sheets", "log", json!({"values": [["lost row", 7]]}))),
    ] {
        sims.fault(platform, FaultSpec::from(Fault::LostAnswer).times(1).only("write")).unwrap();
        let before = sims.stats_of(platform).writes;
        let id = world.submit(request).await;
        world.until(&id, ActionStatus::Success).await;
        let stats = sims.stats_of(platform);
        assert_eq!(stats.writes - before, 1, "{platform}");
        assert!(stats.doubled().is_empty(), "{platform}: {:?}", stats.doubled());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_takes_effect_when_the_executor_restarts() {
    let (sims, world) = start(&[("MAX_RETRY_ATTEMPTS", "0")]).await;
    sims.revoke(Platform::Notion);
    let id = world.submit(page_of("refused")).await;
    let record = world.until(&id, ActionStatus::Failed).await;
    assert_eq!(record.error.unwrap().code, ErrorCode::AuthError);
    let health = world.services().health().await.unwrap();
    assert_eq!(health.executors[&Platform::Notion].status, ExecutorHealth::Down);
    let key = sims.mint(Platform::Notion).unwrap().expose().to_owned();
    world.config.set("NOTION_API_KEY", &ConfigSet { value: key, expires_in: None }, None).unwrap();
    let drain = Duration::from_secs(1);
    let cx = super::world::cx();
    let answer = world.services().restart(Component::Executors, Some(Platform::Notion), drain, &cx).await.unwrap();
    assert!(answer.applied[0].starts_with("NOTION_API_KEY"), "{answer:?}");
    let again = IdsRequest { ids: vec![id.clone()], per_second: None };
    world.queues().retry(again, &cx).await.unwrap();
    world.until(&id, ActionStatus::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_kept_and_a_refusal_is_waited_out() {
    let sims = Sims::start(SimOptions { limits: true, ..SimOptions::default() }).await.unwrap();
    let folder = Arc::new(Folder::new("limits"));
    let env = settings(&sims, &folder, &[("SLACK_RATE_LIMIT", "1")]);
    let world = World::on(folder, env, sims.endpoints());
    sims.fault(Platform::Notion, FaultSpec::from(Fault::RateLimited { retry_after_secs: 1 }).times(2)).unwrap();
    let mut ids = vec![world.submit(page_of("refused twice")).await];
    for n in 0..3 {
        ids.push(world.submit(action("slack", "notify", json!({ "text": format!("message {n}") }))).await);
    }
    for id in &ids {
        world.until(id, ActionStatus::Success).await;
    }
    assert_eq!(world.circuit(Platform::Notion).await.status.state, CircuitState::Closed);
    assert_eq!(sims.stats_of(Platform::Notion).writes, 1);
    let slack = sims.stats_of(Platform::Slack);
    // The platform's window begins when a request arrives: a first one that took longer than the next costs a refusal.
    assert!(slack.writes == 3 && slack.limited <= 1, "{} written, {} refused", slack.writes, slack.limited);
}

#[test]
fn killed_in_flight_again_and_again_nothing_is_lost_or_doubled() {
    let ground = tokio::runtime::Runtime::new().unwrap();
    let sims = ground.block_on(Sims::start(SimOptions { latency: 1..=8, ..SimOptions::default() })).unwrap();
    let folder = Arc::new(Folder::new("kills"));
    let env = settings(&sims, &folder, &[("QUEUE_WORKERS", "8")]);
    let mut accepted = Vec::new();
    for round in 0..6 {
        let life = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        life.block_on(async {
            let world = World::on(Arc::clone(&folder), env.clone(), sims.endpoints());
            for n in 0..6 {
                let name = format!("{round}-{n}");
                accepted.push(world.submit(page_of(&name)).await);
                accepted.push(world.submit(action("trello", "create", json!({ "name": name }))).await);
                accepted.push(world.submit(action("slack", "notify", json!({ "text": name }))).await);
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..25))).await;
        });
        // Everything that runs is dropped where it stands.
        life.shutdown_timeout(Duration::from_secs(5));
    }
    ground.block_on(async {
        let world = World::on(Arc::clone(&folder), env.clone(), sims.endpoints());
        for id in &accepted {
            world.until(id, ActionStatus::Success).await;
        }
        for platform in [Platform::Notion, Platform::Trello, Platform::Slack] {
            let stats = sims.stats_of(platform);
            assert!(stats.doubled().is_empty(), "{platform}: {:?}", stats.doubled());
            let ours = stats.created_by_marker.keys().filter(|marker| accepted.contains(marker)).count();
            assert_eq!(ours, accepted.len() / 3, "{platform}");
        }
    });
}
