//! What issue 3's stores cost: commands over 10,000 workflows and keys beside a trivial request, and a backup of a
//! 1 GiB store while actions are submitted and executed. Prints one Markdown table; asserts nothing about time. How to
//! run it: `benches/README.md`.

#[path = "../tests/served/mod.rs"]
mod served;
mod shared;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use served::api::card;
use served::http::Connection;
use served::trello::Trello;
use served::{Launch, TempDir};
use shared::{Table, command, median, mib, ms, submit_all};

const WORKFLOWS: usize = 10_000;
/// One workflow of so many fails at its last step.
const FAILS: usize = 100;
/// Size of the store that is backed up, in rows of `ROW` bytes.
const ROWS: usize = 10_500;
const ROW: usize = 100_000;
/// Connections that submit while the backup is made.
const WRITERS: usize = 4;
/// How long the service is watched before the backup.
const OUTSIDE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let binary = std::env::var("OPSCTL_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_opsctl").to_owned());
    let home = TempDir::new("state");
    let platform = Trello::start(Duration::ZERO).await;
    let launch = |name: &str| {
        Launch::new(&binary, home.path().join(name))
            .env("QUEUE_MAX_SIZE", 1_000_000)
            .env("QUEUE_WORKERS", 16)
            .envs(platform.env())
            .endpoints(&platform.endpoints())
    };
    let mut table = Table::new();
    many_workflows(&launch("workflows"), &mut table).await;
    large_store(&launch("large"), &platform, &mut table).await;
    table.print();
}

/// Steps that make cards, one after the other; the last of some needs what no step gives.
fn workflow(n: usize) -> Value {
    let step = |place: usize| {
        let fails = place == 3 && n.is_multiple_of(FAILS);
        let name = if fails { "$s1.nothing".to_owned() } else { format!("{n} {place}") };
        json!({ "id": format!("s{place}"), "type": "create", "platform": "trello",
            "dependsOn": if fails { vec!["s1"] } else { Vec::new() },
            "data": { "name": name, "listId": "0123456789abcdef01234567" } })
    };
    json!({ "id": format!("wf-{n:05}"), "name": "bench", "transactional": false, "steps": [step(1), step(2), step(3)] })
}

async fn many_workflows(launch: &Launch, table: &mut Table) {
    let (serve, _) = launch.start().await;
    let keyed = |n: usize| {
        let mut action = card(&format!("key-{n}"));
        action["idempotencyKey"] = json!(format!("key-{n}"));
        action
    };
    submit_all(launch, "/admin/v1/actions", 100, 16, keyed).await;
    idle(launch).await;
    table.row("resident memory, 100 actions ended", mib(serve.rss().unwrap_or(0)), "");
    let started = Instant::now();
    submit_all(launch, "/admin/v1/workflows", WORKFLOWS, 32, workflow).await;
    idle(launch).await;
    let left = launch.get("/admin/v1/workflows?status=failed&limit=1").await.body["total"].clone();
    assert_eq!(left, WORKFLOWS / FAILS, "workflows failed");
    let rate = WORKFLOWS as f64 / started.elapsed().as_secs_f64();
    table.row(&format!("workflows of 3 steps, submitted and run, {WORKFLOWS}"), format!("{rate:.0}/s"), "");
    submit_all(launch, "/admin/v1/actions", WORKFLOWS, 32, keyed).await;
    idle(launch).await;
    let rss = serve.rss().unwrap_or(0);
    table.row(&format!("resident memory, {WORKFLOWS} workflows and keys later"), mib(rss), "flat");

    // One after the other in each round, so that a busy machine slows all alike.
    let lines =
        ["api GET /admin/v1", "workflow status wf-05000", "workflow failed --since 7d", "idempotency list --limit 50"];
    let mut times = vec![Vec::new(); lines.len()];
    for _ in 0..40 {
        for (line, times) in lines.iter().zip(&mut times) {
            times.push(command(launch, line));
        }
    }
    compare(table, "opsctl ", &lines, times);

    let failed = "status=failed,rollback_failed,resolved&hideCleared=true&limit=100";
    let paths = [
        "/admin/v1",
        "/admin/v1/workflows/wf-05000",
        &format!("/admin/v1/workflows?{failed}"),
        "/admin/v1/idempotency/keys?limit=50",
    ];
    let mut connection = Connection::open(launch.address, Some(&launch.token())).await.expect("a connection");
    let mut times = vec![Vec::new(); paths.len()];
    for _ in 0..200 {
        for (path, times) in paths.iter().zip(&mut times) {
            let started = Instant::now();
            let (status, _) = connection.send("GET", path, None).await.expect("an answer");
            times.push(started.elapsed());
            assert_eq!(status, 200, "{path}");
        }
    }
    compare(table, "GET ", &paths, times);
    table.row("resident memory after these", mib(serve.rss().unwrap_or(0)), "flat");
}

/// The first of them is the trivial one.
fn compare(table: &mut Table, before: &str, names: &[&str], times: Vec<Vec<Duration>>) {
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    for (name, time) in names.iter().zip(&medians) {
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        table.row(&format!("`{before}{name}`"), format!("{} ({ratio:.2} x)", ms(*time)), "1 x");
    }
}

async fn idle(launch: &Launch) {
    loop {
        let status = launch.get("/queue").await.body;
        if status["totalQueued"] == 0 && status["workerUtilization"].as_f64() == Some(0.0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Actions that ended long ago, written past the service while it stands still.
fn fill(launch: &Launch) {
    let conn = rusqlite::Connection::open(launch.data_dir.join("orchestrator.db")).expect("the store");
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN").expect("a transaction");
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_millis();
    let at = i64::try_from(at).expect("a time") - 3_600_000;
    for seq in 1..=ROWS {
        conn.execute(
            "INSERT INTO actions (seq, id, type, platform, priority, status, queued_at, ended_at, attempts) \
             SELECT ?1, 'old-' || ?1, type, platform, priority, status, ?2, ?2, 1 FROM actions WHERE id = 'first'",
            rusqlite::params![seq + 1_000_000, at],
        )
        .expect("a row");
        let text = "INSERT INTO payloads (seq, data) VALUES (?1, '{\"x\":\"' || hex(randomblob(?2)) || '\"}')";
        conn.execute(text, rusqlite::params![seq + 1_000_000, ROW / 2]).expect("a payload");
    }
    conn.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").expect("the end");
    drop(conn);
    // Or the first commit that is measured would wait for all of it.
    let file = std::fs::File::open(launch.data_dir.join("orchestrator.db")).expect("the store");
    file.sync_all().expect("the disk");
}

/// Submits over kept connections until told to stop; notes when each was acknowledged and after how long.
struct Load {
    over: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<(Instant, Duration)>>>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(launch: &Launch) -> Load {
        let (over, taken) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
        let writers = (0..WRITERS).map(|writer| {
            let (over, taken) = (Arc::clone(&over), Arc::clone(&taken));
            let (address, token) = (launch.address, launch.token());
            tokio::spawn(async move {
                let mut connection = Connection::open(address, Some(&token)).await.expect("a connection");
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let body = card(&format!("load-{writer}-{n}")).to_string();
                    let began = Instant::now();
                    let (status, _) =
                        connection.send("POST", "/admin/v1/actions", Some(&body)).await.expect("an answer");
                    assert!((200..300).contains(&status), "HTTP {status}");
                    taken.lock().expect("the list").push((began, began.elapsed()));
                    // A steady load that leaves the machine some room.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        });
        let writers = writers.collect();
        Load { over, taken, writers }
    }

    async fn stop(self) -> Vec<(Instant, Duration)> {
        self.over.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.expect("a writer");
        }
        std::mem::take(&mut self.taken.lock().expect("the list"))
    }
}

/// Has a job done and waits for it.
async fn job(launch: &Launch, path: &str, body: &Value) -> (Value, Duration) {
    let started = Instant::now();
    let job = launch.post(path, body).await;
    assert_eq!(job.status, 202, "{job:?}");
    let path = format!("/admin/v1/jobs/{}", job.body["id"].as_str().expect("a job"));
    loop {
        let job = launch.get(&path).await.body;
        if job["state"] != "running" {
            assert_eq!(job["state"], "done", "{job}");
            return (job["result"].clone(), started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn large_store(launch: &Launch, platform: &Trello, table: &mut Table) {
    let (serve, _) = launch.start().await;
    assert_eq!(launch.submit(&[card("first")]).await.status / 100, 2);
    idle(launch).await;
    assert_eq!(serve.stop().code(), Some(0));
    fill(launch);
    let size = std::fs::metadata(launch.data_dir.join("orchestrator.db")).map_or(0, |meta| meta.len());
    let (serve, took) = launch.start().await;
    table.row(&format!("ready, store of {}", mib(size)), ms(took), "");

    let load = Load::start(launch);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (began, executed) = (Instant::now(), platform.served());
    tokio::time::sleep(OUTSIDE).await;
    let (backup_at, before) = (Instant::now(), platform.served() - executed);
    let (made, took) = job(launch, "/admin/v1/backups", &json!({})).await;
    let (done_at, during) = (Instant::now(), platform.served() - executed - before);
    let taken = load.stop().await;
    let within = |from: Instant, to: Instant| {
        let mut times: Vec<_> = taken.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, took)| *took).collect();
        times.sort_unstable();
        times
    };
    let (outside, inside) = (within(began, backup_at), within(backup_at, done_at));
    table.row(&format!("backup of {} while actions run", mib(size)), ms(took), "");
    let normal = outside[outside.len() * 99 / 100];
    for (name, times) in [("before", &outside), ("during", &inside)] {
        let place = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        let longest = times[times.len() - 1];
        let ratio = longest.as_secs_f64() / normal.as_secs_f64();
        let figures = format!("{}, {}, {} ({ratio:.1} x)", ms(place(50)), ms(place(99)), ms(longest));
        table.row(&format!("acknowledged submission {name} the backup: p50, p99, longest (x p99 before)"), figures, "");
    }
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let (free, busy) = (rate(outside.len(), backup_at - began), rate(inside.len(), done_at - backup_at));
    table.row("submissions before, during", format!("{free:.0}/s, {busy:.0}/s ({:.2} x)", busy / free), "1 x");
    let (free, busy) = (rate(before, backup_at - began), rate(during, done_at - backup_at));
    table.row("executions before, during", format!("{free:.0}/s, {busy:.0}/s ({:.2} x)", busy / free), "1 x");
    table.row("resident memory after the backup", mib(serve.rss().unwrap_or(0)), "flat");

    let id = made["id"].as_str().expect("the backup's id");
    let (_, took) = job(launch, &format!("/admin/v1/backups/{id}/verify"), &json!({})).await;
    table.row("verification of it", ms(took), "");
    launch.change("/admin/v1/pauses", json!({ "scope": "all" })).await;
    let path = format!("/admin/v1/backups/{id}/restore");
    let (_, took) = job(launch, &path, &json!({ "scope": "everything" })).await;
    table.row("restore of it, with a safety backup", ms(took), "");
    table.row("resident memory after that", mib(serve.rss().unwrap_or(0)), "flat");
    let (drill, took) = job(launch, "/admin/v1/drills", &json!({ "scenario": "database-failure" })).await;
    let recovery = drill["recoveryMs"].as_u64().unwrap_or_default();
    table.row("drill from it: all of it, time to recover", format!("{}, {recovery} ms", ms(took)), "");
}
