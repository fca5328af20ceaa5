//! The end of a scenario: everything mended, and seen to work again.

use std::time::Duration;

use serde_json::{Value, json};

use super::{MARK, Made, count, ensure_running, submit, until, workflows};
use crate::http::Method;
use crate::sandbox::ground::Ground;
use crate::sandbox::member2::Member2;
use crate::sandbox::record::Scene;
use crate::sandbox::sim::Api;
use crate::wire::{
    AuthStatus, ChangeAnswer, CircuitState, CircuitStatus, ClearRequest, ConfigSet, Priority, QueueItem, QueueItems,
    RestartRequest, Time,
};

/// Most items that a scenario may leave in the queue when it ends; they run by themselves.
const BACKLOG: usize = 20;
/// How far the clock moves beyond the moment at which a circuit is tried again.
const A_LITTLE: Duration = Duration::from_secs(1);

/// Lifts all faults, sets good keys, and waits until every circuit is CLOSED and every key is accepted.
pub async fn clear(ground: &Ground, now: Time) -> anyhow::Result<Made> {
    let mut facts = Vec::new();
    let lifted = ground.clear_faults(None).await?;
    for vendor in ["notion", "trello", "slack", "google"] {
        let _: Value = ground.control.post(&format!("/feeds/{vendor}"), &json!({"indicator": "none"})).await?;
    }
    facts.push(format!("{} lifted", count(lifted, "fault")));
    ensure_running(ground).await?;
    facts.extend(renew_key(ground).await?);
    let removed = remove_leftovers(ground).await?;
    if removed > 0 {
        facts.push(format!("{} of the scenario taken out of the queue", count(removed, "waiting item")));
    }
    facts.extend(close_circuits(ground, now).await?);
    facts.extend(workflows::mend(ground).await?);
    ground.set_scenario(None, Scene::default()).await?;
    facts.push("every circuit is CLOSED and every key is accepted".into());
    Ok(Made {
        scenario: None,
        facts,
        next: vec![
            "opsctl check health --all --context sandbox".into(),
            "opsctl system status --context sandbox".into(),
        ],
    })
}

/// Gives Notion a good key where the one in force is not accepted.
async fn renew_key(ground: &Ground) -> anyhow::Result<Option<String>> {
    let auth: AuthStatus = ground.admin.get("/admin/v1/platforms/notion/auth").await?;
    if auth.authenticated {
        return Ok(None);
    }
    let value = ground.mint(Api::Notion).await?;
    let set = ConfigSet { value, expires_in: None };
    let _: Value = ground.admin.send(Method::PUT, "/admin/v1/config/NOTION_API_KEY", Some(&set)).await?;
    let restart = RestartRequest { drain_timeout: Some(5000) };
    let _: Value = ground.admin.post("/admin/v1/executors/notion/restart", &restart).await?;
    until("Notion's new key is not accepted", || async {
        let auth: AuthStatus = ground.admin.get("/admin/v1/platforms/notion/auth").await?;
        Ok(auth.authenticated.then_some(()))
    })
    .await?;
    Ok(Some("Notion has a new key".into()))
}

/// Takes what the scenarios submitted out of the queue: their backlog would go on for minutes.
async fn remove_leftovers(ground: &Ground) -> anyhow::Result<u64> {
    let items: QueueItems = ground.admin.get("/admin/v1/queue/items?view=queued&limit=10000").await?;
    let ours = |i: &QueueItem| i.correlation_id.as_deref().is_some_and(|c| c.starts_with(MARK));
    let ids: Vec<String> = items.items.into_iter().filter(ours).map(|i| i.action_id).collect();
    if ids.len() <= BACKLOG {
        return Ok(0);
    }
    let count = ids.len() as u64;
    let request = ClearRequest { stuck_only: false, older_than: None, ids: Some(ids) };
    let _: ChangeAnswer = ground.admin.post("/admin/v1/queue/clear", &request).await?;
    Ok(count)
}

/// Moves the clock past the time for which circuits stay OPEN, and has them probed until they are CLOSED.
async fn close_circuits(ground: &Ground, now: Time) -> anyhow::Result<Option<String>> {
    let circuits = || async {
        let all: Vec<CircuitStatus> = ground.admin.get("/circuit-breakers").await?;
        anyhow::Ok(all.into_iter().filter(|c| c.state != CircuitState::Closed).collect::<Vec<_>>())
    };
    let open = circuits().await?;
    if open.is_empty() {
        return Ok(None);
    }
    let reset_at = open.iter().filter_map(|circuit| circuit.will_reset_at).max();
    let wait = reset_at.map_or(Duration::ZERO, |at| at.since(now) + A_LITTLE);
    if !wait.is_zero() {
        ground.advance(wait).await?;
    }
    let log = Member2::new(ground.place.member2_log());
    let mut rounds = 0_u32;
    until("a circuit does not close", || {
        rounds += 1;
        let probe = rounds % 10 == 1;
        let circuits = &circuits;
        let log = &log;
        async move {
            let open = circuits().await?;
            for circuit in open.iter().filter(|_| probe) {
                submit(ground, log, "clear", now, circuit.platform, Some(Priority::Critical), 2).await?;
            }
            Ok(open.is_empty().then_some(()))
        }
    })
    .await?;
    let names: Vec<_> = open.iter().map(|c| c.platform.as_str()).collect();
    let names = names.join(", ");
    Ok(Some(match wait.as_secs() {
        0 => format!("the circuit of {names} was tried again"),
        secs => format!("the clock moved {secs}s so that the circuit of {names} was tried again"),
    }))
}
