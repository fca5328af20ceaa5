//! An engine with the Trello simulator behind it, whichever engine it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opsctl::clock::Clock;
use opsctl::http::Url;
use opsctl::sandbox::sim::{SimOptions, Sims};
use opsctl::server::backend::{Backend, ChangeContext};
use opsctl::server::restate::{Cluster, RestateOptions};
use opsctl::server::{ServeOptions, Server};
use opsctl::wire::Platform;
use tokio::net::TcpListener;

use crate::restate::{Nodes, Plan, Workers};
use crate::served::TempDir;

/// Ends a run in which nothing moves any more; nothing is measured against it.
pub const WATCHDOG: Duration = Duration::from_secs(120);

/// An engine, and what its work leaves behind.
pub struct World {
    pub engine: &'static str,
    pub backend: Arc<dyn Backend>,
    pub sims: Sims,
    nodes: Option<Mutex<Nodes>>,
    _folder: TempDir,
}

impl World {
    /// The orchestrator inside.
    pub async fn native() -> World {
        let folder = TempDir::new("engine-native");
        let (sims, mut env) = simulators(&folder).await;
        for (name, value) in [
            ("QUEUE_MAX_SIZE", "10000"),
            ("TRELLO_RATE_LIMIT", "1000000"),
            ("APPROVAL_RULES", "none"),
            ("RETRY_INITIAL_DELAY", "100"),
        ] {
            env.insert(name.into(), value.into());
        }
        let server = Server::open(options(&folder, &sims, env.clone())).expect("a server");
        World::serve("native", server, sims, None, folder).await
    }

    /// A Restate node of its own, with workers beside it.
    pub async fn restate(packages: &Path, workers: Workers) -> World {
        let folder = TempDir::new("engine-restate");
        let (sims, mut env) = simulators(&folder).await;
        env.insert("APPROVAL_RULES".into(), "none".into());
        env.insert("TRELLO_RATE_LIMIT".into(), "1000000".into());
        let plan = Plan { packages, folder: folder.path(), sims: &sims, env: &env, nodes: 1, workers };
        let nodes = Nodes::start(plan).await;
        // Nobody listens at the first: the second has to be found.
        let nobody: Url = "http://127.0.0.1:1".parse().expect("a URL");
        let options_of_cluster = RestateOptions {
            admin: vec![nobody.clone(), nodes.admin().remove(0)],
            ingress: vec![nobody, nodes.ingress().remove(0)],
            token: None,
            patience: Duration::from_secs(20),
        };
        // A node that just started takes registrations before its SQL answers; until then it is refused.
        let cluster = until("the cluster", || async { Cluster::connect(options_of_cluster.clone()).await.ok() }).await;
        let server = Server::open_over(options(&folder, &sims, env.clone()), Some(cluster)).expect("a server");
        World::serve(workers.engine(), server, sims, Some(nodes), folder).await
    }

    async fn serve(engine: &'static str, server: Server, sims: Sims, nodes: Option<Nodes>, folder: TempDir) -> World {
        let backend = server.state().backend.clone();
        assert_eq!(Some(backend.engine()), engine.split(' ').next());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        tokio::spawn(server.serve(listener, Duration::from_secs(1), std::future::pending()));
        World { engine, backend, sims, nodes: nodes.map(Mutex::new), _folder: folder }
    }

    /// Whether our code executes workflows, by the orchestrator's rules.
    pub fn has_our_rules(&self) -> bool {
        self.engine != Workers::InJavaScript.engine()
    }

    /// Kills the processes that execute, where they are others than this one, and starts new ones.
    pub fn replace_workers(&self) {
        if let Some(nodes) = &self.nodes {
            nodes.lock().expect("the nodes").replace_workers();
        }
    }

    /// Cards made under this name.
    pub fn cards(&self, name: &str) -> u64 {
        self.sims.stats_of(Platform::Trello).created_by_name.get(name).copied().unwrap_or_default()
    }

    /// Cards whose names begin so.
    pub fn cards_of(&self, prefix: &str) -> u64 {
        let made = self.sims.stats_of(Platform::Trello).created_by_name;
        made.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, n)| n).sum()
    }

    /// Cards that were archived.
    pub fn archived(&self) -> u64 {
        let changed = self.sims.stats_of(Platform::Trello).changed;
        changed.iter().filter(|(name, _)| name.starts_with("cards.archive")).map(|(_, n)| n).sum()
    }
}

/// Who changes things in the suite.
pub fn ada() -> ChangeContext {
    ChangeContext { actor: "tok suite".into(), reason: Some("the suite".into()), ..ChangeContext::default() }
}

/// Waits until `look` gives something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < WATCHDOG, "{what} does not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn simulators(folder: &TempDir) -> (Sims, BTreeMap<String, String>) {
    let sims = Sims::start(SimOptions { limits: false, ..SimOptions::default() }).await.expect("the simulators start");
    let env = sims.credentials(folder.path()).expect("credentials");
    (sims, env)
}

fn options(folder: &TempDir, sims: &Sims, env: BTreeMap<String, String>) -> ServeOptions {
    ServeOptions {
        data_dir: folder.path().join("data"),
        environment: "staging".into(),
        endpoints: sims.endpoints(),
        env,
        sandbox: false,
        clock: Clock::system(),
        hosts: Vec::new(),
        http_limits: None,
        from_backup: None,
    }
}
