//! What the kill loops share: a service without limits in front of the simulators, and writers that submit to it
//! until they are told to stop, again under the same id whatever was not acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opsctl::sandbox::sim::{SimOptions, Sims};

use crate::launch;
use crate::served::http::Connection;
use crate::served::{Launch, TempDir};

/// Ends a run in which nothing moves any more; nothing is measured against it.
pub const WATCHDOG: Duration = Duration::from_secs(120);

/// Simulators and a service that keep no limits, and the simulators' credentials and targets.
pub async fn unlimited(folder: &TempDir) -> (Sims, Launch, BTreeMap<String, String>) {
    let sims = Sims::start(SimOptions { limits: false, latency: 5..=25, ..SimOptions::default() })
        .await
        .expect("the simulators start");
    let targets = sims.credentials(folder.path()).expect("credentials");
    let mut launch = launch(folder).envs(targets.clone()).endpoints(&sims.endpoints()).env("QUEUE_WORKERS", 8);
    for platform in ["NOTION", "TRELLO", "SLACK", "DRIVE", "SHEETS"] {
        launch = launch.env(&format!("{platform}_RATE_LIMIT"), 1_000_000);
    }
    (sims, launch, targets)
}

/// Requests that a simulator has not answered yet.
pub fn in_flight(sims: &Sims) -> u64 {
    sims.stats().values().map(|api| api.in_flight).sum()
}

/// The writers, and what was acknowledged to them.
pub struct Writers {
    over: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    /// Starts `count` of them: each posts what `make` makes of the next number (its id and its JSON) to `path`, and
    /// waits so many milliseconds before the next.
    pub fn start(
        launch: &Launch,
        count: usize,
        path: &'static str,
        pause: Range<u64>,
        make: impl Fn(usize) -> (String, String) + Send + Sync + 'static,
    ) -> Writers {
        let (over, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (next, make) = (Arc::new(AtomicUsize::new(0)), Arc::new(make));
        let tasks = (0..count)
            .map(|_| {
                let (over, acknowledged, next) = (Arc::clone(&over), Arc::clone(&acknowledged), Arc::clone(&next));
                let (address, token, make, pause) = (launch.address, launch.token(), Arc::clone(&make), pause.clone());
                tokio::spawn(async move {
                    let mut connection = None;
                    while !over.load(Ordering::Relaxed) {
                        let (id, body) = make(next.fetch_add(1, Ordering::Relaxed));
                        while !submitted(&mut connection, address, &token, path, &body).await {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        acknowledged.lock().expect("the list").push(id);
                        tokio::time::sleep(Duration::from_millis(fastrand::u64(pause.clone()))).await;
                    }
                })
            })
            .collect();
        Writers { over, acknowledged, tasks }
    }

    /// Lets each bring its last one through; gives the ids that were acknowledged.
    pub async fn finish(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            tokio::time::timeout(WATCHDOG, task).await.expect("the last submissions go through").expect("a writer");
        }
        std::mem::take(&mut self.acknowledged.lock().expect("the list"))
    }
}

/// One try to submit: `true` once it is acknowledged. A lost connection or a full queue means later, under the same id.
async fn submitted(
    connection: &mut Option<Connection>,
    address: SocketAddr,
    token: &str,
    path: &str,
    body: &str,
) -> bool {
    if connection.is_none() {
        *connection = Connection::open(address, Some(token)).await.ok();
    }
    let Some(open) = connection else { return false };
    match open.send("POST", path, Some(body)).await {
        Ok((200..=299, _)) => true,
        Ok((503, _)) => false,
        Ok((status, answer)) => panic!("HTTP {status}: {}", String::from_utf8_lossy(&answer)),
        Err(_) => {
            *connection = None;
            false
        }
    }
}
