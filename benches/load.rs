//! What `opsctl serve` takes and does under load: start, idle memory, durable submissions, executions, recovery after
//! SIGKILL with a full queue, and `opsctl queue status` beside it. Prints one Markdown table; asserts nothing about
//! time. How to run it: `benches/README.md`.

#[path = "../tests/served/mod.rs"]
mod served;
mod shared;

use std::time::{Duration, Instant};

use served::api::card;
use served::trello::Trello;
use served::{Launch, TempDir};
use shared::{Table, command, median, mib, ms, submit_all};

/// Restate 1.7.12, single node, the same kind of machine (two cores): one-way sends taken a second, by its own HTTP
/// ingress over loopback, durable before the answer.
const RESTATE_SUBMISSIONS: f64 = 5_900.0;
/// The same server: invocations executed a second by a registered service endpoint.
const RESTATE_EXECUTIONS: f64 = 2_100.0;

const CONNECTIONS: usize = 64;
const WORKERS: usize = 32;
const QUEUED: usize = 100_000;

#[tokio::main]
async fn main() {
    let binary = std::env::var("OPSCTL_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_opsctl").to_owned());
    let home = TempDir::new("load");
    let platform = Trello::start(Duration::ZERO).await;
    let launch = |name: &str| {
        Launch::new(&binary, home.path().join(name))
            .env("QUEUE_MAX_SIZE", 2 * QUEUED)
            .env("QUEUE_WORKERS", WORKERS)
            .envs(platform.env())
            .endpoints(&platform.endpoints())
    };
    let mut table = Table::new();

    let mut first_starts = Vec::new();
    let mut later_starts = Vec::new();
    for round in 0..5 {
        let launch = launch(&format!("start-{round}"));
        let (serve, took) = launch.start().await;
        first_starts.push(took);
        serve.kill();
        let (serve, took) = launch.start().await;
        later_starts.push(took);
        serve.kill();
    }
    table.row("ready, new data folder", ms(median(first_starts)), "100 ms");
    table.row("ready, existing data folder", ms(median(later_starts)), "100 ms");

    let small = launch("small");
    let (small_serve, _) = small.start().await;
    small.pause().await;
    submit(&small, 10, 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    table.row("resident memory, idle", mib(small_serve.rss().unwrap_or(0)), "32 MiB");

    let large = launch("large");
    let (serve, _) = large.start().await;
    large.pause().await;
    let took = submit(&large, QUEUED, CONNECTIONS).await;
    table.row(
        &format!("durable submissions, {CONNECTIONS} connections, {QUEUED} actions"),
        rate(QUEUED, took, RESTATE_SUBMISSIONS),
        "Restate 5,900/s",
    );
    table.row(&format!("resident memory, {QUEUED} queued"), mib(serve.rss().unwrap_or(0)), "");

    serve.kill();
    let killed = Instant::now();
    let (serve, _) = large.start().await;
    let queued = large.queued().await;
    table.row(&format!("ready after SIGKILL, {queued} queued"), ms(killed.elapsed()), "500 ms");
    assert_eq!(queued, QUEUED, "acknowledged actions are missing after SIGKILL");
    table.row("resident memory after that", mib(serve.rss().unwrap_or(0)), "");

    // One after the other in each round, so that a busy machine slows both alike.
    let mut with_few = Vec::new();
    let mut with_many = Vec::new();
    for _ in 0..40 {
        with_few.push(command(&small, "queue status"));
        with_many.push(command(&large, "queue status"));
    }
    let (few, many) = (median(with_few), median(with_many));
    table.row("`opsctl queue status`, 10 queued", ms(few), "");
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    table.row(&format!("`opsctl queue status`, {QUEUED} queued"), format!("{} ({ratio:.2} x)", ms(many)), "1 x");
    drop(small_serve);

    let before = platform.served();
    let started = Instant::now();
    large.resume().await;
    let quota = 30_000.min(QUEUED);
    while platform.served() - before < quota && started.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (done, took) = (platform.served() - before, started.elapsed());
    table.row(
        &format!("executions, {WORKERS} workers, limits off, {done} actions"),
        rate(done, took, RESTATE_EXECUTIONS),
        "Restate 2,100/s",
    );
    table.row("resident memory while executing", mib(serve.rss().unwrap_or(0)), "");
    drop(serve);
    table.print();
}

/// Submits `count` keyed actions one request each; gives the time it took.
async fn submit(launch: &Launch, count: usize, connections: usize) -> Duration {
    submit_all(launch, "/admin/v1/actions", count, connections, |n| card(&format!("load-{n}"))).await
}

fn rate(count: usize, took: Duration, reference: f64) -> String {
    let rate = count as f64 / took.as_secs_f64();
    format!("{rate:.0}/s ({:.1} x)", rate / reference)
}
