//! Starts without a store that can be used: refused with what to type, and then made from a backup.

use std::fs;

use serde_json::json;

use crate::backups::{answer, back_up, folder_of, names};
use crate::launch;
use crate::served::api::card;
use crate::served::{self, Launch, TempDir};
use crate::store_faults::refuses_to_start;

const ITEMS: usize = 60;

/// Starts `launch` with `--from-backup BACKUP`, which has to end at once with `code`; gives what it says.
#[track_caller]
fn refused(launch: &Launch, backup: &str, code: i32) -> String {
    let ended = served::output(&mut launch.clone().args(&["--from-backup", backup]).command());
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains("  caused by: ") && stderr.contains("  hint: "), "{stderr}");
    stderr
}

/// Everything the backup had is there, and waits for a person.
async fn has_everything(launch: &Launch) {
    assert_eq!(launch.queued().await, ITEMS + 1);
    let flow = launch.get("/admin/v1/workflows/kept-flow").await.body;
    assert_eq!((&flow["status"], &flow["steps"][0]["status"]), (&json!("executing"), &json!("executing")), "{flow}");
    let pauses = launch.get("/admin/v1/pauses").await.body;
    assert!(pauses.as_array().expect("pauses").iter().any(|pause| pause["scope"] == "all"), "{pauses}");
}

#[tokio::test]
async fn a_lost_or_broken_store_comes_back_from_a_backup() {
    let folder = TempDir::new("rescue");
    let launch = launch(&folder);
    let (serve, _) = launch.start().await;
    launch.pause().await;
    let cards: Vec<_> = (0..ITEMS).map(|n| card(&format!("kept-{n}"))).collect();
    assert_eq!(launch.submit(&cards).await.status / 100, 2);
    let step = json!({ "id": "s1", "type": "create", "platform": "trello", "data": { "listId": "l", "name": "n" } });
    launch.change("/admin/v1/workflows", json!({ "id": "kept-flow", "name": "kept", "steps": [step] })).await;
    answer(&launch, "config set QUEUE_WORKERS=7 --yes --reason test", 0);
    let older = back_up(&launch);
    let newest = back_up(&launch);
    assert_eq!(serve.stop().code(), Some(0));
    let database = launch.data_dir.join("orchestrator.db");
    let good = fs::read(&database).expect("the store");
    let from_newest = launch.clone().args(&["--from-backup", "latest"]);

    assert!(refused(&launch, "latest", 6).contains("can be used"));
    assert!(fs::read(&database).expect("the store") == good, "a whole store was touched");

    // Gone, and empty: a new one in its place would forget everything.
    fs::remove_file(&database).expect("the store");
    let said = refuses_to_start(launch.command(), &database);
    assert!(said.contains("it is not there") && said.contains("--from-backup latest"), "{said}");
    assert!(!database.exists(), "a new store was made");
    fs::write(&database, "").expect("an empty file");
    let said = refuses_to_start(launch.command(), &database);
    assert!(said.contains("it is empty") && said.contains("2 backups"), "{said}");

    fs::remove_file(&database).expect("the file");
    assert!(refused(&launch, "2020-01-01T00-00-00Z", 5).contains(&newest));
    let copy = folder_of(&launch, &newest).join("orchestrator.db");
    let whole = fs::read(&copy).expect("the copy");
    fs::write(&copy, &whole[..whole.len() / 2]).expect("half of it");
    let said = refused(&launch, "latest", 1);
    assert!(said.contains("is cut off") && said.contains(&format!("--from-backup {older}")), "{said}");
    assert!(!database.exists(), "a damaged backup took the store's place");
    fs::write(&copy, &whole).expect("the copy");

    let (serve, _) = from_newest.start().await;
    has_everything(&launch).await;
    serve.kill();
    let (serve, _) = launch.start().await;
    has_everything(&launch).await;
    assert_eq!(serve.stop().code(), Some(0));

    // Cut off, and damaged in its pages: the file is kept beside.
    let good = fs::read(&database).expect("the store");
    let mut torn = good.clone();
    torn[4096..].iter_mut().step_by(7).for_each(|byte| *byte ^= 0x5a);
    for (what, bad) in [("cut", &good[..good.len() / 2]), ("torn", &torn[..])] {
        fs::write(&database, bad).expect("the store");
        let said = refuses_to_start(launch.command(), &database);
        assert!(said.contains("is damaged") && said.contains("--from-backup latest"), "{what}: {said}");
        assert!(said.contains(&newest), "{what}: {said}");
        let (serve, _) = from_newest.start().await;
        has_everything(&launch).await;
        assert_eq!(serve.stop().code(), Some(0));
        let aside = names(&launch.data_dir).into_iter().filter(|name| name.starts_with("orchestrator.damaged-"));
        let kept = aside.filter(|name| fs::read(launch.data_dir.join(name)).is_ok_and(|bytes| bytes == bad)).count();
        assert_eq!(kept, 1, "{what}: the damaged store is not kept");
    }

    // The settings made at run time stay, and come back when they are gone too.
    let workers = async || launch.get("/admin/v1/config/QUEUE_WORKERS").await.body["value"].clone();
    fs::remove_file(&database).expect("the store");
    fs::remove_file(launch.data_dir.join("settings.json")).expect("the settings");
    let (_serve, _) = from_newest.start().await;
    assert_eq!(workers().await, "7");
    has_everything(&launch).await;
}

#[tokio::test]
async fn without_backups_a_first_start_is_a_first_start() {
    let folder = TempDir::new("rescue-first");
    let launch = launch(&folder);
    assert!(refused(&launch, "latest", 5).contains("there is no backup"));
    let (serve, _) = launch.start().await;
    launch.pause().await;
    assert_eq!(launch.submit(&[card("one")]).await.status / 100, 2);
    assert_eq!(serve.stop().code(), Some(0));
    let database = launch.data_dir.join("orchestrator.db");
    fs::write(&database, "this is no database, and no backup was ever made of it").expect("the store");
    let said = refuses_to_start(launch.command(), &database);
    assert!(said.contains("there is no backup") && !said.contains("--from-backup"), "{said}");
}
