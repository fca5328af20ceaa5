//! SIGKILL at random moments while work is in flight.
//!
//! Writers submit keyed actions for all five platforms and submit again, under the same id, whatever was not
//! acknowledged. The simulators count the objects that were made, by their names, so what the service believes of
//! itself is compared with what the platforms saw.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opsctl::sandbox::sim::{SimOptions, Sims};
use serde_json::json;

use crate::launch;
use crate::served::http::Connection;
use crate::served::{Launch, TempDir, note};

const WRITERS: usize = 6;
/// Kills when `OPSCTL_KILL_ROUNDS` does not say.
const ROUNDS: usize = 8;
/// Ends a run in which nothing moves any more; nothing is measured against it.
const WATCHDOG: Duration = Duration::from_secs(120);

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
    let rounds =
        std::env::var("OPSCTL_KILL_ROUNDS").map_or(ROUNDS, |n| n.parse().expect("OPSCTL_KILL_ROUNDS: a number"));
    let folder = TempDir::new("kill-loop");
    let sims = Sims::start(SimOptions { limits: false, latency: 5..=25, ..SimOptions::default() })
        .await
        .expect("the simulators start");
    let targets = Arc::new(sims.credentials(folder.path()).expect("credentials"));
    let mut launch = launch(&folder).envs((*targets).clone()).endpoints(&sims.endpoints()).env("QUEUE_WORKERS", 8);
    for platform in ["NOTION", "TRELLO", "SLACK", "DRIVE", "SHEETS"] {
        launch = launch.env(&format!("{platform}_RATE_LIMIT"), 1_000_000);
    }
    let (mut serve, _) = launch.start().await;

    let work = Work::start(&launch, &targets);
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

/// Requests that a simulator has not answered yet.
fn in_flight(sims: &Sims) -> u64 {
    sims.stats().values().map(|api| api.in_flight).sum()
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

/// The writers and what they were told.
struct Work {
    over: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Work {
    fn start(launch: &Launch, targets: &Arc<BTreeMap<String, String>>) -> Work {
        let (over, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default());
        let next = Arc::new(AtomicUsize::new(0));
        let writers = (0..WRITERS)
            .map(|_| {
                let (over, acknowledged, next) = (Arc::clone(&over), Arc::clone(&acknowledged), Arc::clone(&next));
                let (address, token, targets) = (launch.address, launch.token(), Arc::clone(targets));
                tokio::spawn(async move {
                    let mut connection = None;
                    while !over.load(Ordering::Relaxed) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let (id, body) = action(n, &targets);
                        while !submitted(&mut connection, address, &token, &body).await {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        acknowledged.lock().expect("the list").push(id);
                        tokio::time::sleep(Duration::from_millis(fastrand::u64(2..30))).await;
                    }
                })
            })
            .collect();
        Work { over, acknowledged, writers }
    }

    /// Lets each writer bring its last action through; gives the ids that were acknowledged.
    async fn finish(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        for writer in self.writers {
            tokio::time::timeout(WATCHDOG, writer).await.expect("the last submissions go through").expect("a writer");
        }
        std::mem::take(&mut self.acknowledged.lock().expect("the list"))
    }
}

/// One try to submit: `true` once it is acknowledged. A lost connection or a full queue means later, under the same id.
async fn submitted(
    connection: &mut Option<Connection>,
    address: std::net::SocketAddr,
    token: &str,
    body: &str,
) -> bool {
    if connection.is_none() {
        *connection = Connection::open(address, Some(token)).await.ok();
    }
    let Some(open) = connection else { return false };
    match open.send("POST", "/admin/v1/actions", Some(body)).await {
        Ok((200..=299, _)) => true,
        Ok((503, _)) => false,
        Ok((status, answer)) => panic!("HTTP {status}: {}", String::from_utf8_lossy(&answer)),
        Err(_) => {
            *connection = None;
            false
        }
    }
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
