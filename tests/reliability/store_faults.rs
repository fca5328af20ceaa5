//! A store that is damaged, not writable, or full: a clear error, an exit code, and nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::launch;
use crate::served::api::card;
use crate::served::{self, Launch, TempDir, note};

const ITEMS: usize = 200;

/// A stopped service with `ITEMS` waiting actions, all of them in the database file itself.
async fn filled(folder: &TempDir) -> (Launch, PathBuf) {
    let launch = launch(folder);
    let (serve, _) = launch.start().await;
    launch.pause().await;
    let cards: Vec<_> = (0..ITEMS).map(|n| card(&format!("kept-{n}"))).collect();
    assert_eq!(launch.submit(&cards).await.status / 100, 2);
    assert_eq!(serve.stop().code(), Some(0));
    let database = store_of(&launch.data_dir);
    (launch, database)
}

/// The file that holds the queue.
fn store_of(data_dir: &Path) -> PathBuf {
    let path = data_dir.join("orchestrator.db");
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

/// A start has to be refused: an error in three parts that names `what`.
#[track_caller]
pub fn refuses_to_start(mut command: Command, what: &Path) -> String {
    let ended = served::output(&mut command);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(stderr.contains("  caused by: ") && stderr.contains("  hint: "), "{stderr}");
    assert!(stderr.contains(&what.display().to_string()), "{} is not named:\n{stderr}", what.display());
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr.into_owned()
}

async fn starts_with_everything(launch: &Launch) {
    let (_serve, _) = launch.start().await;
    assert_eq!(launch.queued().await, ITEMS);
    assert_eq!(launch.status_of(&format!("kept-{}", ITEMS - 1)).await, "pending");
}

#[tokio::test]
async fn a_corrupt_database_is_refused_and_left_alone() {
    let folder = TempDir::new("corrupt");
    let (launch, database) = filled(&folder).await;
    let good = fs::read(&database).expect("the database");
    assert!(good.len() > 16 * 4096, "{} bytes are too few for this test", good.len());

    let damages: [(&str, std::ops::Range<usize>); 2] = [("header", 0..64), ("pages", 4096..good.len())];
    for (name, range) in damages {
        let mut bad = good.clone();
        for (at, byte) in bad[range].iter_mut().enumerate() {
            *byte = (at % 251) as u8;
        }
        fs::write(&database, &bad).expect("the database");
        refuses_to_start(launch.command(), &database);
        assert!(fs::read(&database).expect("the database") == bad, "{name}: the damaged file was changed");
    }
    // A backup put back is all it takes.
    fs::write(&database, &good).expect("the database");
    starts_with_everything(&launch).await;
}

#[tokio::test]
async fn a_database_cut_in_the_last_page_is_refused() {
    let folder = TempDir::new("torn");
    let (launch, database) = filled(&folder).await;
    let good = fs::read(&database).expect("the database");
    fs::write(&database, &good[..good.len() - 2048]).expect("the database");
    refuses_to_start(launch.command(), &database);
    fs::write(&database, &good).expect("the database");
    starts_with_everything(&launch).await;
}

#[tokio::test]
async fn a_torn_write_after_the_last_commit_is_dropped() {
    let folder = TempDir::new("torn-log");
    let launch = launch(&folder);
    let (serve, _) = launch.start().await;
    launch.pause().await;
    let cards: Vec<_> = (0..ITEMS).map(|n| card(&format!("kept-{n}"))).collect();
    assert_eq!(launch.submit(&cards).await.status / 100, 2);
    serve.kill();

    // What a power loss leaves behind while the next transaction is being written: half a frame.
    let log = store_of(&launch.data_dir).with_extension("db-wal");
    let mut bytes = fs::read(&log).expect("the write-ahead log that a kill leaves");
    assert!(bytes.len() > 4096, "the log is empty");
    let half_a_frame: Vec<u8> = bytes[32..32 + 24 + 2048].to_vec();
    bytes.extend(half_a_frame);
    fs::write(&log, bytes).expect("the log");
    starts_with_everything(&launch).await;
}

/// As a user without root's rights when the tests run as root, for whom no folder is read-only.
fn unprivileged(mut command: Command) -> Command {
    if Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n") {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[tokio::test]
async fn a_read_only_folder_is_refused() {
    let folder = TempDir::new("read-only");
    let (launch, database) = filled(&folder).await;
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a new mode");
    let files: Vec<_> = fs::read_dir(&launch.data_dir).expect("the folder").flatten().map(|e| e.path()).collect();
    for file in &files {
        mode(file, if file.is_dir() { 0o555 } else { 0o444 });
    }
    mode(&launch.data_dir, 0o555);

    let mut version = Command::new(&launch.binary);
    version.arg("--version");
    if unprivileged(version).output().is_ok_and(|o| o.status.success()) {
        refuses_to_start(unprivileged(launch.command()), &launch.data_dir);
    } else {
        note("SKIPPED: a_read_only_folder_is_refused: the binary lies where only root can run it");
    }

    mode(&launch.data_dir, 0o755);
    for file in &files {
        mode(file, if file.is_dir() { 0o755 } else { 0o600 });
    }
    assert!(database.is_file());
    starts_with_everything(&launch).await;
}

/// A small file system of its own; unmounted when dropped.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    pub fn mount(path: PathBuf, size: &str) -> Option<SmallDisk> {
        fs::create_dir_all(&path).ok()?;
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(&path).output();
        mounted.is_ok_and(|o| o.status.success()).then_some(SmallDisk(path))
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let grown = Command::new("mount").args(["-o", &options]).arg(&self.0).status();
        assert!(grown.is_ok_and(|s| s.success()), "the disk does not grow");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let folder = TempDir::new("full-disk");
    let Some(disk) = SmallDisk::mount(folder.path().join("disk"), "6m") else {
        note("SKIPPED: a_full_disk_refuses_and_loses_nothing: this user cannot mount a small file system");
        return;
    };
    let launch = Launch::new(env!("CARGO_BIN_EXE_opsctl"), disk.0.join("data")).env("QUEUE_MAX_SIZE", 100_000);
    let (serve, _) = launch.start().await;
    launch.pause().await;

    let submit = async |n: usize| {
        let mut action = card(&format!("disk-{n}"));
        action["data"]["desc"] = json!("x".repeat(20_000));
        launch.submit(&[action]).await
    };
    let mut accepted = 0;
    let refused = loop {
        let answer = submit(accepted).await;
        if answer.status / 100 != 2 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 2000, "the disk never gets full");
    };
    assert!(accepted > 10, "refused after {accepted}");
    assert_eq!(refused.status / 100, 5, "{refused:?}");
    let message = refused.body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("disk"), "{message}");

    // It goes on reading, and knows what it took.
    assert_eq!(launch.queued().await, accepted);
    // And it goes on taking once there is room, without a restart.
    disk.grow("64m");
    let again = submit(accepted).await;
    assert_eq!(again.status / 100, 2, "{again:?}");
    accepted += 1;

    serve.kill();
    let (serve, _) = launch.start().await;
    assert_eq!(launch.queued().await, accepted);
    for n in [0, accepted / 2, accepted - 1] {
        assert_eq!(launch.status_of(&format!("disk-{n}")).await, "pending");
    }
    drop(serve);
}
