//! What the benchmarks share: the printed table, the load, the timing of a command.
#![allow(dead_code, reason = "each of the programs that include this file uses a part of it")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::served::http::Connection;
use crate::served::{self, Launch};

/// Submits `count` bodies one request each over `connections` kept connections; gives the time it took.
pub async fn submit_all(
    launch: &Launch,
    path: &'static str,
    count: usize,
    connections: usize,
    body: impl Fn(usize) -> Value + Send + Sync + 'static,
) -> Duration {
    let (next, body) = (Arc::new(AtomicUsize::new(0)), Arc::new(body));
    let token = launch.token();
    let mut clients = Vec::new();
    let started = Instant::now();
    for _ in 0..connections {
        let (next, body, token, address) = (Arc::clone(&next), Arc::clone(&body), token.clone(), launch.address);
        clients.push(tokio::spawn(async move {
            let mut connection = Connection::open(address, Some(&token)).await.expect("a connection");
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                let text = body(n).to_string();
                let (status, answer) = connection.send("POST", path, Some(&text)).await.expect("an answer");
                assert!((200..300).contains(&status), "HTTP {status}: {}", String::from_utf8_lossy(&answer));
            }
        }));
    }
    for client in clients {
        client.await.expect("all submissions are acknowledged");
    }
    started.elapsed()
}

/// Times a command line against a service.
pub fn command(launch: &Launch, line: &str) -> Duration {
    let mut command = Command::new(&launch.binary);
    command
        .args(line.split(' '))
        .env_clear()
        .env("HOME", &launch.data_dir)
        .envs(served::context_at(&launch.data_dir.with_extension("home"), &launch.url()))
        .env("OPSCTL_TOKEN", launch.token())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().expect("opsctl runs");
    let took = started.elapsed();
    assert!(status.success(), "`{line}` ended with {status}");
    took
}

/// Rows of the printed table.
pub struct Table(Vec<[String; 3]>);

impl Table {
    /// No rows yet.
    pub fn new() -> Table {
        Table(Vec::new())
    }

    /// Adds a row, and shows it at once.
    pub fn row(&mut self, what: &str, measured: String, bar: &str) {
        let _ = writeln!(std::io::stderr(), "{what}: {measured}");
        self.0.push([what.to_owned(), measured, bar.to_owned()]);
    }

    /// Prints all of it.
    pub fn print(&self) {
        let mut text = String::from("| what | measured | bar |\n| --- | ---: | ---: |\n");
        for [what, measured, bar] in &self.0 {
            text.push_str(&format!("| {what} | {measured} | {bar} |\n"));
        }
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}
