//! A disk that gets full in the middle of a backup, a verification or a restore.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backups::{answer, back_up, names};
use crate::served::api::card;
use crate::served::{Launch, TempDir, note};
use crate::store_faults::SmallDisk;

/// Ends what does not end by itself; nothing is measured against it.
const WATCHDOG: Duration = Duration::from_secs(60);
/// Rounds in which the disk has to get full in the middle at least once.
const ROUNDS: usize = 80;
/// Items in the queue, and the size of each.
const ITEMS: usize = 400;
const SIZE: usize = 20_000;

/// Takes all the room of a disk until it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(disk: &Path) -> Ballast {
        let path = disk.join("ballast");
        let mut file = fs::File::create(&path).expect("a file");
        let block = vec![1; 1 << 16];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..512]).is_ok() {}
        Ballast(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn ended(launch: &Launch, job: &Value) -> Value {
    let started = Instant::now();
    let path = format!("/admin/v1/jobs/{}", job["id"].as_str().expect("a job"));
    loop {
        let job = launch.get(&path).await.body;
        if job["state"] != "running" {
            return job;
        }
        assert!(started.elapsed() < WATCHDOG, "it does not end: {job}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Starts a job and lets the disk get full at some moment of it. Gives why it failed, if it did, and whether that was
/// the first look at the room.
async fn filled_up(launch: &Launch, disk: &Path, path: &str, body: &Value, within: u64) -> Option<(String, bool)> {
    let job = launch.post(path, body).await;
    assert_eq!(job.status, 202, "{job:?}");
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..within))).await;
    let ballast = Ballast::fill(disk);
    let job = ended(launch, &job.body).await;
    // It goes on answering, and taking once there is room.
    assert!(launch.queued().await >= ITEMS);
    drop(ballast);
    let message = job["error"]["message"].as_str()?.to_owned();
    assert_eq!(job["error"]["code"], "QUOTA_EXCEEDED", "{job}");
    assert!(message.contains("no room"), "{message}");
    let first_look = message.contains("bytes, and");
    Some((message, first_look))
}

fn leftovers(launch: &Launch) -> Vec<String> {
    let all = [names(&launch.data_dir), names(&launch.data_dir.join("backups"))].concat();
    all.into_iter().filter(|name| name.starts_with('.') || name.contains("next") || name == "restore.json").collect()
}

#[tokio::test]
async fn a_disk_that_gets_full_spoils_no_backup_and_no_store() {
    let folder = TempDir::new("disk-full");
    let Some(disk) = SmallDisk::mount(folder.path().join("disk"), "96m") else {
        note(
            "SKIPPED: a_disk_that_gets_full_spoils_no_backup_and_no_store: this user cannot mount a small file system",
        );
        return;
    };
    let launch = Launch::new(env!("CARGO_BIN_EXE_opsctl"), disk.0.join("data")).env("QUEUE_MAX_SIZE", 100_000);
    let (serve, _) = launch.start().await;
    launch.pause().await;
    let cards = (0..ITEMS).map(|n| {
        let mut action = card(&format!("room-{n}"));
        action["data"]["desc"] = json!("x".repeat(SIZE));
        action
    });
    for chunk in cards.collect::<Vec<_>>().chunks(50) {
        assert_eq!(launch.submit(chunk).await.status / 100, 2);
    }
    let good = back_up(&launch);
    answer(&launch, &format!("backup verify {good}"), 0);
    answer(&launch, "pause all", 0);

    let (create, verify) = ("/admin/v1/backups".to_owned(), format!("/admin/v1/backups/{good}/verify"));
    let restore = format!("/admin/v1/backups/{good}/restore");
    let jobs = [
        ("backup", create, json!({})),
        ("verification", verify, json!({})),
        ("restore", restore, json!({ "scope": "everything" })),
    ];
    for (what, path, body) in jobs {
        let (mut in_the_middle, mut refused, mut done) = (0, 0, 0);
        for round in 0..ROUNDS {
            let within = 1000 * (round as u64 % 40 + 1);
            match filled_up(&launch, &disk.0, &path, &body, within).await {
                None => done += 1,
                Some((_, true)) => refused += 1,
                Some((_, false)) => in_the_middle += 1,
            }
            assert_eq!(leftovers(&launch), Vec::<String>::new(), "{what}: half of it is left");
            for id in names(&launch.data_dir.join("backups")) {
                if id != good {
                    answer(&launch, &format!("backup verify {id}"), 0);
                    fs::remove_dir_all(launch.data_dir.join("backups").join(id)).expect("a backup");
                }
            }
            if in_the_middle >= 3 {
                break;
            }
        }
        note(&format!(
            "{what} on a disk that gets full: {in_the_middle} failed in the middle, {refused} at once, {done} were done"
        ));
        assert!(in_the_middle > 0, "{what}: the disk never got full in the middle");
        let list = answer(&launch, "state backups", 0).0;
        assert!(list["backups"][0]["verifiedAt"].is_string(), "a full disk says nothing of a backup: {list}");
    }
    answer(&launch, "resume all --yes", 0);
    launch.pause().await;
    assert_eq!(launch.submit(&[card("afterwards")]).await.status / 100, 2);
    serve.kill();
    let (_serve, _) = launch.start().await;
    assert_eq!(launch.queued().await, ITEMS + 1);
}
