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
/// Rounds in which the disk has to get full in the middle at least once, and how often is enough.
const ROUNDS: usize = 80;
const ENOUGH: usize = 12;
/// A job in which the disk never gets full by then is not one that it could spoil.
const LATEST: Duration = Duration::from_millis(500);
/// Items in the queue, and the size of each.
const ITEMS: usize = 400;
const SIZE: usize = 20_000;
/// Room beside the copies of the store, in bytes: a little more than a backup wants to leave free.
const SPARE: u64 = 2 << 20;

/// Takes room of a disk until it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    /// Takes all but so many bytes.
    fn leaving(room: u64, disk: &Path, name: &str) -> Ballast {
        let path = disk.join(name);
        let mut file = fs::File::create(&path).expect("a file");
        let block = vec![1; 1 << 16];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..512]).is_ok() {}
        let taken = file.metadata().expect("its size").len();
        file.set_len(taken.saturating_sub(room)).expect("less of it");
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

/// What a job came to whose disk got full.
enum Came {
    Done,
    /// The first look at the room failed it.
    Refused,
    FailedInTheMiddle,
}

/// Starts a job on a disk that has little more room than it needs, and takes that too after a while.
async fn filled_up(launch: &Launch, disk: &Path, path: &str, body: &Value, room: u64, after: Duration) -> Came {
    // The less there is to take, the sooner it is taken.
    let most = Ballast::leaving(room, disk, "most");
    let job = launch.post(path, body).await;
    assert_eq!(job.status, 202, "{job:?}");
    tokio::time::sleep(after).await;
    let rest = Ballast::leaving(0, disk, "rest");
    let job = ended(launch, &job.body).await;
    // It goes on answering, and taking once there is room.
    assert!(launch.queued().await >= ITEMS);
    drop((most, rest));
    let Some(message) = job["error"]["message"].as_str() else { return Came::Done };
    assert_eq!(job["error"]["code"], "QUOTA_EXCEEDED", "{job}");
    assert!(message.contains("no room"), "{message}");
    if message.contains("bytes, and") { Came::Refused } else { Came::FailedInTheMiddle }
}

/// Bytes of the store with its log.
fn store_size(launch: &Launch) -> u64 {
    let size = |name| fs::metadata(launch.data_dir.join(name)).map(|meta| meta.len());
    size("orchestrator.db").expect("a store") + size("orchestrator.db-wal").unwrap_or(0)
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
        ("backup", create, json!({}), 1),
        ("verification", verify, json!({}), 1),
        ("restore", restore, json!({ "scope": "everything" }), 3),
    ];
    for (what, path, body, copies) in jobs {
        let (mut in_the_middle, mut refused, mut done) = (0, 0, 0);
        // How long a job takes depends on the machine: later after a refusal, sooner after it was done.
        let mut within = Duration::from_millis(10);
        for _ in 0..ROUNDS {
            let room = store_size(&launch) * copies + SPARE;
            let after = within.mul_f64(fastrand::f64());
            match filled_up(&launch, &disk.0, &path, &body, room, after).await {
                Came::Done => {
                    done += 1;
                    within = within.mul_f64(0.7);
                }
                Came::Refused => {
                    refused += 1;
                    within = within.mul_f64(1.3).min(LATEST);
                }
                Came::FailedInTheMiddle => in_the_middle += 1,
            }
            assert_eq!(leftovers(&launch), Vec::<String>::new(), "{what}: half of it is left");
            for id in names(&launch.data_dir.join("backups")) {
                if id != good {
                    answer(&launch, &format!("backup verify {id}"), 0);
                    fs::remove_dir_all(launch.data_dir.join("backups").join(id)).expect("a backup");
                }
            }
            if in_the_middle == ENOUGH {
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
