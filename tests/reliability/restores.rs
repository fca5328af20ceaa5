//! Going back to a backup while a real service is under load, is killed, or is handed something that is no backup.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use opsctl::sandbox::sim::{SimOptions, Sims};
use serde_json::{Value, json};

use crate::backups::{answer, back_up, opsctl, rewrite, sha256};
use crate::launch;
use crate::served::api::card;
use crate::served::{Launch, TempDir, note};

/// Ends what does not end by itself; nothing is measured against it.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A service that executes against the simulators.
async fn with_sims(folder: &TempDir, sims: &Sims) -> (Launch, BTreeMap<String, String>) {
    let targets = sims.credentials(folder.path()).expect("credentials");
    let mut launch = launch(folder)
        .envs(targets.clone())
        .endpoints(&sims.endpoints())
        .env("QUEUE_WORKERS", 6)
        .env("ENABLE_APPROVALS", false);
    for platform in ["NOTION", "TRELLO", "DRIVE", "SHEETS"] {
        launch = launch.env(&format!("{platform}_RATE_LIMIT"), 1_000_000);
    }
    (launch, targets)
}

async fn sims() -> Sims {
    let options = SimOptions { limits: false, latency: 5..=20, ..SimOptions::default() };
    Sims::start(options).await.expect("the simulators start")
}

fn action(id: &str, n: usize, targets: &BTreeMap<String, String>) -> Value {
    let target = |name: &str| targets.get(name).unwrap_or_else(|| panic!("the simulators have no {name}"));
    let (platform, kind, data) = match n % 4 {
        0 => ("notion", "create", json!({ "database_id": target("NOTION_DATABASE_ID"), "title": id })),
        1 => ("trello", "create", json!({ "listId": target("TRELLO_DEFAULT_LIST_ID"), "name": id })),
        2 => ("drive", "file", json!({ "name": id, "content": "x", "mimeType": "text/plain" })),
        _ => {
            let sheet = target("SHEETS_LOG_SPREADSHEET_ID");
            ("sheets", "log", json!({ "spreadsheetId": sheet, "range": "Actions!A:Z", "values": [[id, "x"]] }))
        }
    };
    json!({ "id": id, "type": kind, "platform": platform, "correlationId": id, "idempotencyKey": id, "data": data })
}

/// Objects that the platforms made since they started, by name.
fn objects(sims: &Sims) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for api in sims.stats().into_values() {
        for (name, count) in api.created_by_name {
            *all.entry(name.split(" | ").next().unwrap_or_default().to_owned()).or_default() += count;
        }
    }
    all
}

async fn submit(launch: &Launch, actions: &[Value]) {
    let answer = launch.submit(actions).await;
    assert_eq!(answer.status / 100, 2, "{answer:?}");
}

async fn settled(launch: &Launch) {
    let started = Instant::now();
    loop {
        let status = launch.get("/queue").await.body;
        if status["totalQueued"] == 0 && status["workerUtilization"].as_f64() == Some(0.0) {
            return;
        }
        assert!(started.elapsed() < WATCHDOG, "the queue does not get empty: {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The id in the last receipt line.
fn receipt(stderr: &str) -> String {
    let line = stderr.lines().rev().find_map(|l| l.strip_prefix("receipt: ")).expect(stderr);
    line.split(' ').next().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_under_load_loses_and_doubles_nothing() {
    let folder = TempDir::new("restore-load");
    let sims = sims().await;
    let (launch, targets) = with_sims(&folder, &sims).await;
    let (serve, _) = launch.start().await;
    let made = |range: std::ops::Range<usize>| -> Vec<Value> {
        range.map(|n| action(&format!("load-{n:04}"), n, &targets)).collect()
    };
    submit(&launch, &made(0..160)).await;
    // The copy is made while the first of these run and the others wait.
    let backup = back_up(&launch);
    answer(&launch, "config set QUEUE_WORKERS=3 --yes --reason test", 0);
    let mut later = made(160..320);
    for urgent in later.iter_mut().step_by(3) {
        urgent["priority"] = json!("critical");
    }
    submit(&launch, &later).await;
    // Some of what came after the backup has run before the restore.
    while launch.status_of("load-0160").await != "success" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let line = format!("restore point --timestamp {backup} --yes --reason test");
    let (_, refused) = answer(&launch, &line, 6);
    assert!(refused.contains("opsctl pause all"), "{refused}");
    answer(&launch, "pause all", 0);
    let dry = opsctl(&launch, &format!("{line} --dry-run"));
    let plan = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(plan.contains("accepted since"), "{plan}");
    let (restored, said) = answer(&launch, &line, 0);
    note(&format!("restore under load: {}", restored["effects"]));
    let gone = |name: &str| restored["effects"][name].as_u64().expect("a count");
    assert_eq!(gone("waitingGone") + gone("endedGone"), 160);
    assert!(gone("keysKept") > 0, "{restored}");
    assert_eq!(restored["effects"]["settings"], json!(["QUEUE_WORKERS 3 -> 6"]));
    assert_eq!(launch.get("/admin/v1/pauses").await.body.as_array().map(Vec::len), Some(1), "it stays paused");

    // Whoever was acknowledged comes again with the same key: what ran is recognised, the rest runs now.
    answer(&launch, "resume all --yes", 0);
    submit(&launch, &later).await;
    settled(&launch).await;
    let platforms = objects(&sims);
    for n in 0..320 {
        let id = format!("load-{n:04}");
        let (count, status) = (platforms.get(&id).copied().unwrap_or(0), launch.status_of(&id).await);
        let told = status == "success" && count == 1 || status == "in_doubt" && count <= 1;
        assert!(told, "{id}: {status}, {count} objects");
    }

    // The safety backup takes it back; what has run since does not run again.
    let undo = format!("undo {} --yes --reason test", receipt(&said));
    answer(&launch, &undo, 6);
    answer(&launch, "pause all", 0);
    answer(&launch, &undo, 0);
    answer(&launch, "resume all --yes", 0);
    settled(&launch).await;
    for (name, count) in objects(&sims) {
        assert!(count == 1 || !name.starts_with("load-"), "{name} is there {count} times");
    }
    assert_eq!(serve.stop().code(), Some(0));
}

#[tokio::test]
async fn what_is_no_backup_is_refused_and_nothing_is_touched() {
    let folder = TempDir::new("restore-bad");
    let launch = launch(&folder);
    let (_serve, _) = launch.start().await;
    answer(&launch, "pause all", 0);
    let id = back_up(&launch);
    let place = launch.data_dir.join("backups").join(&id);
    let (database, manifest) = (place.join("orchestrator.db"), place.join("manifest.json"));
    let (good, said) = (fs::read(&database).expect("the copy"), fs::read(&manifest).expect("the manifest"));
    // Whatever writes by itself has done so.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let live = || -> Vec<Option<Vec<u8>>> {
        ["orchestrator.db", "orchestrator.db-wal", "settings.json", "tokens.json"]
            .iter()
            .map(|name| fs::read(launch.data_dir.join(name)).ok())
            .collect()
    };
    let before = live();
    let refused = |what: &str, words: &[&str]| {
        for scope in ["restore point --timestamp", "state restore --backup"] {
            let (_, told) = answer(&launch, &format!("{scope} {id} --yes --reason test"), 1);
            assert!(words.iter().any(|word| told.contains(word)), "{what}: {told}");
        }
        assert!(live() == before, "{what}: live state was changed");
    };

    fs::write(&database, &good[..good.len() / 2]).expect("half of it");
    refused("truncated", &["damaged"]);
    let mut altered = good.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    fs::write(&database, &altered).expect("another byte");
    refused("altered", &["was changed", "damaged"]);
    let mut torn = good.clone();
    torn[4096 * 2..4096 * 3].fill(0x5a);
    fs::write(&database, &torn).expect("a torn page");
    rewrite(&manifest, &said, |m| m["files"][0]["sha256"] = json!(sha256(&torn)));
    refused("torn", &["damaged"]);
    fs::write(&database, &good).expect("the copy");
    rewrite(&manifest, &said, |m| m["schemaVersion"] = json!(9999));
    refused("newer", &["newer program"]);
    fs::write(&manifest, &said).expect("the manifest");
    answer(&launch, "restore point --timestamp 2020-01-01T00:00:00Z --yes --reason test", 5);
    answer(&launch, "state restore --backup 2020-01-01T00-00-00Z --yes --reason test", 5);
    answer(&launch, &format!("restore point --timestamp {id} --yes --reason test"), 0);
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_restore_leaves_the_old_or_the_new() {
    let folder = TempDir::new("restore-kill");
    let launch = launch(&folder).env("QUEUE_MAX_SIZE", 100_000).env("ENABLE_APPROVALS", false);
    let (mut serve, _) = launch.start().await;
    launch.pause().await;
    let cards = |range: std::ops::Range<usize>| -> Vec<Value> {
        range
            .map(|n| {
                let mut card = card(&format!("kept-{n}"));
                card["data"]["desc"] = json!("x".repeat(4000));
                card
            })
            .collect()
    };
    submit(&launch, &cards(0..200)).await;
    answer(&launch, "config set QUEUE_WORKERS=7 --yes --reason test", 0);
    let old = back_up(&launch);
    submit(&launch, &cards(200..300)).await;
    answer(&launch, "config set QUEUE_WORKERS=9 --yes --reason test", 0);
    let new = back_up(&launch);
    answer(&launch, "pause all", 0);

    let (mut before, mut after) = (0, 0);
    let (mut at, mut expected) = (300, &old);
    for round in 0..24 {
        let path = format!("/admin/v1/backups/{expected}/restore");
        let started = launch.post(&path, &json!({ "scope": "everything" })).await;
        assert_eq!(started.status, 202, "{started:?}");
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..(30 + round * 25)))).await;
        serve.kill();
        (serve, _) = launch.start().await;
        let queued = launch.queued().await;
        let workers = launch.get("/admin/v1/config/QUEUE_WORKERS").await.body["value"].clone();
        match queued {
            200 => assert_eq!(workers, "7", "round {round}: the settings of another moment"),
            300 => assert_eq!(workers, "9", "round {round}: the settings of another moment"),
            other => panic!("round {round}: {other} items are neither the old store nor the new one"),
        }
        if queued == at {
            before += 1;
        } else {
            after += 1;
            at = queued;
            expected = if at == 300 { &old } else { &new };
        }
        for leftover in ["restore.json", "orchestrator.next.db"] {
            assert!(!launch.data_dir.join(leftover).exists(), "{leftover} is left");
        }
    }
    note(&format!("restores killed: {before} left the old store, {after} the new one"));
    assert!(before > 0, "no kill came before the end");
}

/// Two cards, one after the other.
fn flow(id: &str, targets: &BTreeMap<String, String>) -> Value {
    let list = targets.get("TRELLO_DEFAULT_LIST_ID").expect("a list");
    let step = |n: usize| {
        json!({ "id": format!("s{n}"), "type": "create", "platform": "trello",
                "data": { "listId": list, "name": format!("{id}-s{n}") } })
    };
    json!({ "id": id, "name": id, "steps": [step(1), step(2)] })
}

async fn state_of(launch: &Launch, id: &str) -> String {
    let answer = launch.get(&format!("/admin/v1/workflows/{id}")).await;
    match answer.status {
        404 => "absent".to_owned(),
        _ => answer.body["status"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned(),
    }
}

async fn reaches(launch: &Launch, id: &str, status: &str) {
    let started = Instant::now();
    while state_of(launch, id).await != status {
        assert!(started.elapsed() < WATCHDOG, "{id} does not become {status}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflow_state_goes_back_and_no_step_runs_twice() {
    let folder = TempDir::new("restore-flows");
    let sims = sims().await;
    let (launch, targets) = with_sims(&folder, &sims).await;
    let (serve, _) = launch.start().await;
    let start = async |id: &str| launch.change("/admin/v1/workflows", flow(id, &targets)).await;
    start("at-rest").await;
    start("lost").await;
    reaches(&launch, "at-rest", "completed").await;
    reaches(&launch, "lost", "completed").await;
    launch.pause().await;
    start("under-way").await;
    let backup = back_up(&launch);
    launch.resume().await;
    start("later").await;
    let keyed = |id: &str| {
        let mut flow = flow("keyed", &targets);
        (flow["id"], flow["idempotencyKey"]) = (json!(id), json!("invoice-7"));
        flow
    };
    launch.change("/admin/v1/workflows", keyed("keyed")).await;
    for id in ["under-way", "later", "keyed"] {
        reaches(&launch, id, "completed").await;
    }
    submit(&launch, &[action("plain", 1, &targets)]).await;
    settled(&launch).await;

    // State is lost while the service stands still.
    assert_eq!(serve.stop().code(), Some(0));
    let conn = rusqlite::Connection::open(launch.data_dir.join("orchestrator.db")).expect("the store");
    conn.execute_batch(
        "DELETE FROM workflow_steps WHERE workflow = (SELECT seq FROM workflows WHERE id = 'lost'); \
         DELETE FROM workflows WHERE id = 'lost'; DELETE FROM workflow_events WHERE workflow = 'lost';",
    )
    .expect("a loss");
    drop(conn);
    let (serve, _) = launch.start().await;
    assert_eq!(state_of(&launch, "lost").await, "absent");

    let line = format!("state restore --backup {backup} --yes --reason test");
    let (restored, said) = answer(&launch, &line, 0);
    let effects = &restored["effects"];
    assert_eq!((&effects["workflowsGone"], &effects["workflowsKept"]), (&json!(1), &json!(1)), "{restored}");
    assert_eq!(launch.get("/admin/v1/pauses").await.body, json!([]), "it goes on by itself");
    settled(&launch).await;
    let states = async || {
        let mut states = Vec::new();
        for id in ["at-rest", "lost", "under-way", "later", "keyed"] {
            states.push(state_of(&launch, id).await);
        }
        states
    };
    assert_eq!(states().await, ["completed", "completed", "completed", "absent", "completed"]);
    assert_eq!(launch.status_of("plain").await, "success", "what is no workflow stays");

    answer(&launch, &format!("undo {} --yes --reason test", receipt(&said)), 0);
    settled(&launch).await;
    assert_eq!(states().await, ["completed", "absent", "completed", "completed", "completed"]);

    // Everything back to when it was under way: its steps have run, and do not run again.
    answer(&launch, "pause all", 0);
    answer(&launch, &format!("restore point --timestamp {backup} --yes --reason test"), 0);
    answer(&launch, "resume all --yes", 0);
    settled(&launch).await;
    assert_eq!(states().await, ["completed", "completed", "completed", "absent", "completed"]);
    let again = launch.post("/admin/v1/workflows", &keyed("again")).await.body;
    assert_eq!((&again["workflowId"], &again["duplicate"]), (&json!("keyed"), &json!(true)), "the key is still known");
    for (name, count) in objects(&sims) {
        assert_eq!(count, 1, "{name} was made {count} times");
    }
    assert_eq!(serve.stop().code(), Some(0));
}
