//! SIGKILL at random moments while work is in flight.
//!
//! Writers submit keyed actions for all five platforms and submit again, under the same id, whatever was not
//! acknowledged. The simulators count the objects that were made, by their names, so what the service believes of
//! itself is compared with what the platforms saw.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opsctl::sandbox::sim::Sims;
use serde_json::json;

use crate::served::{Launch, TempDir, note, rounds};
use crate::writers::{WATCHDOG, Writers, in_flight, unlimited};

const WRITERS: usize = 6;
/// Kills when `OPSCTL_KILL_ROUNDS` does not say.
const ROUNDS: usize = 8;

/// What became of every acknowledged action.
#[derive(Debug, Default)]
struct Verdict {
    acknowledged: usize,
    executed: usize,
    in_doubt: Vec<String>,
    lost: Vec<String>,
    doubled: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigkill_loses_nothing_and_repeats_nothing() {
    let rounds = rounds(ROUNDS);
    let folder = TempDir::new("kill-loop");
    let (sims, launch, targets) = unlimited(&folder).await;
    let (mut serve, _) = launch.start().await;

    let work = Writers::start(&launch, WRITERS, "/admin/v1/actions", 2..30, move |n| action(n, &targets));
    let mut kills = 0;
    let started = Instant::now();
    while kills < rounds {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..250))).await;
        // Only a kill that interrupts something counts.
        if in_flight(&sims) == 0 {
            assert!(started.elapsed() < WATCHDOG * u32::try_from(rounds).expect("a number"), "no work is in flight");
            continue;
        }
        serve.kill();
        kills += 1;
        (serve, _) = launch.start().await;
    }
    let acknowledged = work.finish().await;
    settle(&launch).await;

    let verdict = judge(&launch, &sims, &acknowledged).await;
    note(&format!(
        "kill loop: {kills} kills with work in flight; acknowledged {}, executed {}, in doubt {}, lost {}, doubled {}",
        verdict.acknowledged,
        verdict.executed,
        verdict.in_doubt.len(),
        verdict.lost.len(),
        verdict.doubled.len()
    ));
    for id in &verdict.in_doubt {
        note(&format!("kill loop: in doubt, named for a person: {id}"));
    }
    assert!(verdict.acknowledged >= kills, "too little work to show anything: {verdict:?}");
    assert!(verdict.lost.is_empty(), "lost: {:?}", verdict.lost);
    assert!(verdict.doubled.is_empty(), "done twice: {:?}", verdict.doubled);
    drop(serve);
}

/// Objects made by the simulators since they started, by name.
fn objects(sims: &Sims) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for api in sims.stats().into_values() {
        for (name, count) in api.created_by_name {
            // A row's name is its cells, the first of which is ours.
            let name = name.split(" | ").next().unwrap_or_default().to_owned();
            *all.entry(name).or_default() += count;
        }
    }
    all
}

/// The `n`th action: its id, which is also the name of the object it makes, and its JSON.
fn action(n: usize, targets: &BTreeMap<String, String>) -> (String, String) {
    let id = format!("kill-{n:06}");
    let target = |name: &str| targets.get(name).unwrap_or_else(|| panic!("the simulators have no {name}"));
    let (platform, kind, data) = match n % 5 {
        0 => ("notion", "create", json!({ "database_id": target("NOTION_DATABASE_ID"), "title": id })),
        1 => ("trello", "create", json!({ "listId": target("TRELLO_DEFAULT_LIST_ID"), "name": id })),
        2 => ("slack", "notify", json!({ "channel": target("SLACK_NOTIFICATIONS_CHANNEL"), "text": id })),
        3 => ("drive", "file", json!({ "name": id, "content": "x", "mimeType": "text/plain" })),
        _ => {
            let sheet = target("SHEETS_LOG_SPREADSHEET_ID");
            ("sheets", "log", json!({ "spreadsheetId": sheet, "range": "Actions!A:Z", "values": [[id, "x"]] }))
        }
    };
    let request = json!({ "id": id, "type": kind, "platform": platform, "correlationId": id, "data": data });
    (id, request.to_string())
}

/// Waits until nothing waits and nothing runs.
async fn settle(launch: &Launch) {
    let started = Instant::now();
    loop {
        let status = launch.get("/queue").await.body;
        if status["totalQueued"] == 0 && status["workerUtilization"].as_f64() == Some(0.0) {
            return;
        }
        assert!(started.elapsed() < WATCHDOG, "the queue does not get empty: {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn judge(launch: &Launch, sims: &Sims, acknowledged: &[String]) -> Verdict {
    let made = objects(sims);
    let mut verdict = Verdict { acknowledged: acknowledged.len(), ..Verdict::default() };
    for id in acknowledged {
        let objects = made.get(id).copied().unwrap_or(0);
        if objects > 1 {
            verdict.doubled.push(format!("{id} ({objects} objects)"));
        }
        match launch.status_of(id).await.as_str() {
            "success" if objects > 0 => verdict.executed += 1,
            "in_doubt" => verdict.in_doubt.push(id.clone()),
            status => verdict.lost.push(format!("{id} ({status}, {objects} objects)")),
        }
    }
    verdict
}
