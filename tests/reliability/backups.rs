//! Backups of a real service: made while it works, complete or not there at all, and never trusted unseen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::launch;
use crate::served::api::card;
use crate::served::{self, Launch, TempDir, note};

const ITEMS: usize = 200;

/// Runs the command line against a service.
pub fn opsctl(launch: &Launch, line: &str) -> Output {
    let home = launch.data_dir.with_extension("home");
    let mut command = Command::new(&launch.binary);
    command
        .args(line.split_whitespace())
        .env_clear()
        .env("HOME", &home)
        .env("OPSCTL_STATE_DIR", home.join("state"))
        .envs(served::context_at(&home, &launch.url()))
        .env("OPSCTL_TOKEN", launch.token())
        .stdin(std::process::Stdio::null());
    served::output(&mut command)
}

/// Runs a line that has to end with `code`; gives its answer as JSON, and what it said beside.
#[track_caller]
pub fn answer(launch: &Launch, line: &str, code: i32) -> (Value, String) {
    let done = opsctl(launch, &format!("{line} -o json"));
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(code), "opsctl {line}\n{}{stderr}", String::from_utf8_lossy(&done.stdout));
    (serde_json::from_slice(&done.stdout).unwrap_or_default(), stderr)
}

/// Makes a backup; gives its id.
pub fn back_up(launch: &Launch) -> String {
    answer(launch, "backup create", 0).0["id"].as_str().expect("the backup's id").to_owned()
}

pub fn folder_of(launch: &Launch, id: &str) -> PathBuf {
    launch.data_dir.join("backups").join(id)
}

pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn filled(launch: &Launch, name: &str) {
    launch.pause().await;
    let cards: Vec<_> = (0..ITEMS).map(|n| card(&format!("{name}-{n}"))).collect();
    assert_eq!(launch.submit(&cards).await.status / 100, 2);
}

/// The one line of a verdict that says no.
#[track_caller]
fn complaint(verdict: &Value) -> String {
    assert_eq!(verdict["ok"], false, "{verdict}");
    let lines = verdict["checks"].as_array().expect("lines");
    let bad = lines.iter().find(|line| line["ok"] == false).expect("a line that failed");
    format!("{}: {}", bad["name"].as_str().unwrap_or_default(), bad["detail"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_backup_holds_everything_but_secrets_and_is_verified_by_a_restore() {
    let folder = TempDir::new("backup");
    let launch = launch(&folder);
    let (_serve, _) = launch.start().await;
    filled(&launch, "kept").await;
    let secret = "ntn_123456789012345678901234567890123456789012345";
    let key = folder.path().join("key");
    fs::write(&key, secret).expect("a key");
    let key = key.display();
    answer(&launch, &format!("config set NOTION_API_KEY --value-file {key} --yes --reason test"), 0);
    answer(&launch, "config set QUEUE_WORKERS=7 --yes --reason test", 0);

    assert_eq!(answer(&launch, "state backups", 0).0["backups"], json!([]));
    answer(&launch, "backup verify --last", 5);
    let plain = back_up(&launch);
    assert_eq!(names(&folder_of(&launch, &plain)), ["manifest.json", "orchestrator.db", "settings.json"]);
    let (full, _) = answer(&launch, "backup create --full", 0);
    let id = full["id"].as_str().expect("its id");
    assert_eq!((&full["actions"], &full["queueItems"]), (&json!(ITEMS), &json!(ITEMS)));

    let held = folder_of(&launch, id);
    let top = names(&held);
    assert_eq!(top, ["audit.jsonl", "logs", "manifest.json", "metrics.db", "orchestrator.db", "settings.json"]);
    let token = launch.token();
    for file in ["orchestrator.db", "settings.json", "audit.jsonl", "manifest.json", "logs/application.log"] {
        let bytes = fs::read(held.join(file)).expect(file);
        for hidden in [secret, &token] {
            assert!(!bytes.windows(hidden.len()).any(|w| w == hidden.as_bytes()), "{file} holds a secret");
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(held.join(file)).expect(file).permissions());
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }

    assert_eq!(answer(&launch, "state backups", 0).0["backups"][0]["verifiedAt"], Value::Null);
    let (verdict, _) = answer(&launch, "backup verify --last", 0);
    assert_eq!((&verdict["ok"], &verdict["id"]), (&json!(true), &json!(id)));
    let (listed, _) = answer(&launch, "state:backups", 0);
    assert!(listed["backups"][0]["verifiedAt"].is_string(), "{listed}");
    assert_eq!(names(&launch.data_dir).iter().filter(|n| n.starts_with(".unfinished")).count(), 0);
    answer(&launch, "backup verify 2020-01-01T00-00-00Z", 5);
}

#[tokio::test]
async fn a_truncated_altered_or_newer_backup_is_found() {
    let folder = TempDir::new("bad-backup");
    let launch = launch(&folder);
    let (_serve, _) = launch.start().await;
    filled(&launch, "kept").await;
    let id = back_up(&launch);
    let (database, manifest) =
        (folder_of(&launch, &id).join("orchestrator.db"), folder_of(&launch, &id).join("manifest.json"));
    let (good, said) = (fs::read(&database).expect("the copy"), fs::read(&manifest).expect("the manifest"));
    let verify = format!("backup verify {id}");
    answer(&launch, &verify, 0);

    fs::write(&database, &good[..good.len() / 2]).expect("half of it");
    assert!(complaint(&answer(&launch, &verify, 3).0).contains("is cut off"));
    let list = answer(&launch, "state backups", 0).0;
    assert_eq!(list["backups"][0]["verifiedAt"], Value::Null, "what was found damaged is no longer called verified");

    let mut altered = good.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    fs::write(&database, &altered).expect("another byte");
    assert!(complaint(&answer(&launch, &verify, 3).0).contains("was changed"));

    // A page that says nothing, in a backup whose hashes fit: only the restore finds it.
    let mut torn = good.clone();
    torn[4096 * 2..4096 * 3].fill(0x5a);
    fs::write(&database, &torn).expect("a torn page");
    rewrite(&manifest, &said, |m| m["files"][0]["sha256"] = json!(sha256(&torn)));
    let told = complaint(&answer(&launch, &verify, 3).0);
    assert!(told.starts_with("integrity: ") || told.starts_with("rows: "), "{told}");

    fs::write(&database, &good).expect("the copy");
    rewrite(&manifest, &said, |m| m["rows"]["actions"] = json!(ITEMS + 1));
    assert!(complaint(&answer(&launch, &verify, 3).0).starts_with("rows: "));
    rewrite(&manifest, &said, |m| m["schemaVersion"] = json!(9999));
    assert!(complaint(&answer(&launch, &verify, 3).0).contains("newer than this program"));

    fs::write(&manifest, &said[..said.len() / 2]).expect("half a manifest");
    let (list, said_beside) = answer(&launch, "state backups", 3);
    assert!(list["damaged"][0].as_str().is_some_and(|line| line.starts_with(&id)), "{list}");
    assert!(said_beside.contains("not a backup any more"), "{said_beside}");
    fs::write(&manifest, &said).expect("the manifest");
    answer(&launch, &verify, 0);
}

/// Writes a changed manifest.
pub fn rewrite(path: &Path, said: &[u8], change: impl FnOnce(&mut Value)) {
    let mut manifest = serde_json::from_slice(said).expect("a manifest");
    change(&mut manifest);
    fs::write(path, manifest.to_string()).expect("a manifest");
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn only_so_many_are_kept() {
    let folder = TempDir::new("kept-backups");
    let launch = launch(&folder).env("BACKUP_KEEP", 2);
    let (_serve, _) = launch.start().await;
    let first = back_up(&launch);
    answer(&launch, &format!("backup verify {first}"), 0);
    let second = back_up(&launch);
    let third = back_up(&launch);
    // The oldest beyond two is the verified one, which stays until another is verified.
    let fourth = answer(&launch, "backup create", 0).0;
    assert_eq!(fourth["removed"], json!([second]));
    let fourth = fourth["id"].as_str().expect("its id").to_owned();
    assert_eq!(names(&launch.data_dir.join("backups")), [first, third, fourth]);
}

#[tokio::test]
async fn a_kill_in_the_middle_leaves_no_half_backup() {
    let folder = TempDir::new("killed-backup");
    let launch = launch(&folder).env("QUEUE_MAX_SIZE", 100_000).env("ENABLE_APPROVALS", false);
    let (mut serve, _) = launch.start().await;
    launch.pause().await;
    for chunk in 0..8 {
        let cards: Vec<Value> = (0..50)
            .map(|n| {
                let mut action = card(&format!("big-{chunk}-{n}"));
                action["data"]["desc"] = json!("x".repeat(15_000));
                action
            })
            .collect();
        assert_eq!(launch.submit(&cards).await.status / 100, 2);
    }
    let mut interrupted = 0;
    for _ in 0..12 {
        let started = launch.post("/admin/v1/backups", &json!({})).await;
        assert_eq!(started.status, 202, "{started:?}");
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..40))).await;
        serve.kill();
        let left = names(&launch.data_dir.join("backups"));
        interrupted += left.iter().filter(|name| name.starts_with('.')).count();
        (serve, _) = launch.start().await;
        let (list, _) = answer(&launch, "state backups", 0);
        let listed = list["backups"].as_array().expect("a list").len();
        assert_eq!(names(&launch.data_dir.join("backups")).len(), listed, "what is there is whole: {list}");
    }
    note(&format!("backups interrupted by a kill: {interrupted} of 12"));
    assert!(interrupted > 0, "no kill landed in a backup");
    for backup in answer(&launch, "state backups", 0).0["backups"].as_array().expect("a list") {
        answer(&launch, &format!("backup verify {}", backup["id"].as_str().expect("an id")), 0);
    }
    assert_eq!(launch.queued().await, 400);
}
