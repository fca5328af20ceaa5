//! Recovery drills beside a real service: what they prove, and that nothing of the service changes.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backups::{answer, back_up, folder_of, names};
use crate::launch;
use crate::served::api::card;
use crate::served::{self, Launch, TempDir, note};

/// Ends what does not end by itself; nothing is measured against it.
const WATCHDOG: Duration = Duration::from_secs(60);

async fn submit(launch: &Launch, range: std::ops::Range<usize>, size: usize) {
    let cards = range.map(|n| {
        let mut card = card(&format!("drill-{n}"));
        card["data"]["desc"] = json!("x".repeat(size));
        card
    });
    assert_eq!(launch.submit(&cards.collect::<Vec<_>>()).await.status / 100, 2);
}

/// Every row of every table of the live store.
fn contents(launch: &Launch) -> BTreeMap<String, Vec<String>> {
    let conn = rusqlite::Connection::open(launch.data_dir.join("orchestrator.db")).expect("the store");
    let mut tables = conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").expect("its tables");
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).expect("names").map(Result::unwrap).collect();
    let rows = |table: &String| {
        let mut query = conn.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table");
        let columns = query.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let cells = (0..columns).map(|n| row.get::<_, rusqlite::types::Value>(n));
            Ok(format!("{:?}", cells.collect::<Result<Vec<_>, _>>()?))
        };
        query.query_map([], row).expect("rows").map(Result::unwrap).collect::<Vec<String>>()
    };
    tables.iter().map(|table| (table.clone(), rows(table))).collect()
}

/// Files of the service that nothing but its own work may change.
fn files(launch: &Launch) -> BTreeMap<String, Option<Vec<u8>>> {
    let ours = ["orchestrator.db", "orchestrator.db-wal", "settings.json", "secrets.json", "tokens.json"];
    let mut all: BTreeMap<_, _> =
        ours.iter().map(|name| ((*name).to_owned(), fs::read(launch.data_dir.join(name)).ok())).collect();
    for id in names(&launch.data_dir.join("backups")) {
        for name in names(&folder_of(launch, &id)) {
            let bytes = fs::read(folder_of(launch, &id).join(&name)).ok();
            all.insert(format!("{id}/{name}"), bytes);
        }
    }
    all
}

fn scratch(launch: &Launch) -> Vec<String> {
    names(&launch.data_dir).into_iter().filter(|name| name.starts_with(".unfinished")).collect()
}

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let steps = report["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}: {report}"))
}

#[tokio::test]
async fn a_drill_proves_the_recovery_and_changes_nothing() {
    let folder = TempDir::new("drill");
    let launch = launch(&folder);
    let (_serve, _) = launch.start().await;
    launch.pause().await;
    submit(&launch, 0..100, 100).await;
    let (nothing, told) = answer(&launch, "dr test --scenario database-failure", 3);
    assert_eq!((&nothing["ok"], step(&nothing, "backup")["ok"].as_bool()), (&json!(false), Some(false)));
    assert!(told.contains("opsctl backup create"), "{told}");

    let backup = back_up(&launch);
    submit(&launch, 100..107, 100).await;
    // Whatever writes by itself has done so.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (held, before) = (files(&launch), contents(&launch));
    for scenario in ["database-failure", "database-corruption"] {
        let (report, _) = answer(&launch, &format!("dr:test --scenario {scenario}"), 0);
        assert_eq!((&report["ok"], &report["backup"]), (&json!(true), &json!(backup)), "{report}");
        assert!(report["recoveryMs"].is_u64() && report["loss"]["windowMs"].is_u64(), "{report}");
        assert_eq!((&report["loss"]["waiting"], &report["loss"]["ended"]), (&json!(7), &json!(0)), "{report}");
        assert!(step(&report, "second service")["detail"].as_str().expect("words").contains("100 waiting"), "{report}");
        assert!(step(&report, "counts")["detail"].as_str().expect("words").contains("100 actions"), "{report}");
        assert!(files(&launch) == held, "{scenario}: the service's files were changed");
    }
    let (report, _) = answer(&launch, "dr test --scenario service-crash", 0);
    assert_eq!((&report["loss"]["waiting"], &report["loss"]["windowMs"]), (&json!(0), &json!(0)), "{report}");
    assert!(step(&report, "second service")["detail"].as_str().expect("words").contains("107 waiting"), "{report}");
    assert_eq!(contents(&launch), before, "the drills changed the store");
    assert_eq!(scratch(&launch), Vec::<String>::new());
    answer(&launch, "dr test --scenario earthquake", 2);
    answer(&launch, "dr test --backup 2020-01-01T00-00-00Z", 5);

    let database = folder_of(&launch, &backup).join("orchestrator.db");
    let good = fs::read(&database).expect("the copy");
    fs::write(&database, &good[..good.len() / 2]).expect("half of it");
    let (report, told) = answer(&launch, "dr test", 3);
    assert_eq!((&report["ok"], &report["recoveryMs"]), (&json!(false), &Value::Null));
    assert!(step(&report, "files")["detail"].as_str().expect("words").contains("is cut off"), "{report}");
    assert!(told.contains(&format!("opsctl backup verify {backup}")), "{told}");
    assert_eq!(launch.queued().await, 107);
}

/// Starts a drill, once the one before it is over: its scratch goes before its end is noted.
async fn begin_drill(launch: &Launch) {
    let begun = Instant::now();
    loop {
        let started = launch.post("/admin/v1/drills", &json!({ "scenario": "database-corruption" })).await;
        if started.status == 202 {
            return;
        }
        assert!(started.status == 409 && begun.elapsed() < WATCHDOG, "{started:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_interrupted_drill_leaves_no_scratch() {
    let folder = TempDir::new("drill-interrupted");
    let launch = launch(&folder).env("QUEUE_MAX_SIZE", 100_000);
    let (mut serve, _) = launch.start().await;
    launch.pause().await;
    for chunk in 0..8 {
        submit(&launch, chunk * 50..(chunk + 1) * 50, 15_000).await;
    }
    back_up(&launch);

    let home = launch.data_dir.with_extension("home");
    let mut interrupted = 0;
    for _ in 0..10 {
        let mut drill = Command::new(&launch.binary)
            .args(["dr", "test"])
            .env_clear()
            .env("HOME", &home)
            .envs(served::context_at(&home, &launch.url()))
            .env("OPSCTL_TOKEN", launch.token())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("opsctl starts");
        let started = Instant::now();
        while scratch(&launch).is_empty() && drill.try_wait().expect("a child").is_none() {
            assert!(started.elapsed() < WATCHDOG, "the drill does not begin");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let sent = Command::new("kill").args(["-INT", &drill.id().to_string()]).status();
        assert!(sent.is_ok(), "kill runs");
        interrupted += usize::from(drill.wait().expect("its end").code() == Some(130));
        while !scratch(&launch).is_empty() {
            assert!(started.elapsed() < WATCHDOG, "{:?} stays", scratch(&launch));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let mut killed = 0;
    for _ in 0..6 {
        begin_drill(&launch).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..30))).await;
        serve.kill();
        killed += usize::from(!scratch(&launch).is_empty());
        (serve, _) = launch.start().await;
        assert_eq!(scratch(&launch), Vec::<String>::new());
    }
    note(&format!("drills interrupted: {interrupted} of 10 by Ctrl-C, {killed} of 6 by a kill of the service"));
    assert!(interrupted > 0 && killed > 0, "none was interrupted");
    assert_eq!(launch.queued().await, 400);
    assert_eq!(serve.stop().code(), Some(0));
}
