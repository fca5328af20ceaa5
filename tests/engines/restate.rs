//! Real Restate nodes on loopback and workers beside them, with a data folder of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opsctl::http::Url;
use opsctl::sandbox::sim::Sims;

use crate::served::note;
use crate::world::WATCHDOG;

/// What executes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// What a team writes in its own language.
    InJavaScript,
    /// So many `opsctl worker` behind one address.
    Ours(usize),
}

impl Workers {
    /// What the suite calls the engine.
    pub fn engine(self) -> &'static str {
        match self {
            Workers::InJavaScript => "restate",
            Workers::Ours(_) => "restate with opsctl worker",
        }
    }

    fn count(self) -> usize {
        match self {
            Workers::InJavaScript => 1,
            Workers::Ours(count) => count,
        }
    }
}

/// What a cluster is made of.
pub struct Plan<'a> {
    /// The folder with Restate's npm packages.
    pub packages: &'a Path,
    /// Where it keeps everything.
    pub folder: &'a Path,
    /// The platforms.
    pub sims: &'a Sims,
    /// The workers' settings.
    pub env: &'a BTreeMap<String, String>,
    /// One node, or three of which each item has two copies.
    pub nodes: usize,
    pub workers: Workers,
}

/// The processes; killed when dropped.
pub struct Nodes {
    packages: PathBuf,
    folder: PathBuf,
    endpoints: String,
    env: BTreeMap<String, String>,
    kind: Workers,
    ports: Vec<Ports>,
    services: u16,
    nodes: Vec<Child>,
    workers: Vec<Child>,
}

/// Where a node listens.
#[derive(Clone, Copy)]
struct Ports {
    admin: u16,
    ingress: u16,
    fabric: u16,
}

impl Nodes {
    /// Starts them, and waits until the services are registered.
    pub async fn start(plan: Plan<'_>) -> Nodes {
        let ports = (0..plan.nodes).map(|_| Ports { admin: free_port(), ingress: free_port(), fabric: free_port() });
        let mut all = Nodes {
            packages: plan.packages.to_owned(),
            folder: plan.folder.to_owned(),
            endpoints: plan.sims.endpoints().trello.to_string(),
            env: plan.env.clone(),
            kind: plan.workers,
            ports: ports.collect(),
            services: free_port(),
            nodes: Vec::new(),
            workers: Vec::new(),
        };
        let endpoints = serde_json::to_string(&plan.sims.endpoints()).expect("JSON");
        std::fs::write(all.folder.join("endpoints.json"), endpoints).expect("a file");
        all.nodes = (0..plan.nodes).map(|node| all.node(node)).collect();
        all.workers = (0..all.kind.count()).map(|_| all.worker()).collect();
        all.register().await;
        all
    }

    /// The addresses for operators.
    pub fn admin(&self) -> Vec<Url> {
        self.ports.iter().map(|ports| url(ports.admin)).collect()
    }

    /// The addresses for what is sent.
    pub fn ingress(&self) -> Vec<Url> {
        self.ports.iter().map(|ports| url(ports.ingress)).collect()
    }

    /// SIGKILL for one node and one worker.
    pub fn kill(&mut self, node: usize, worker: usize) {
        for child in [&mut self.nodes[node], &mut self.workers[worker]] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts again what was killed.
    pub fn revive(&mut self, node: usize, worker: usize) {
        self.nodes[node] = self.node(node);
        self.workers[worker] = self.worker();
    }

    fn node(&self, number: usize) -> Child {
        let own = self.ports[number];
        let seeds: Vec<String> =
            self.ports.iter().map(|ports| format!("\"http://127.0.0.1:{}\"", ports.fabric)).collect();
        let name = format!("n{}", number + 1);
        let mut server = Command::new(server_in(&self.packages));
        server
            .args(["--no-logo", "--listen-mode", "tcp", "--cluster-name", "suite", "--node-name", &name])
            .args(["--auto-provision", if number == 0 { "true" } else { "false" }])
            .arg("--base-dir")
            .arg(self.folder.join("restate").join(&name))
            .env("RESTATE_ADMIN__BIND_ADDRESS", format!("127.0.0.1:{}", own.admin))
            .env("RESTATE_INGRESS__BIND_ADDRESS", format!("127.0.0.1:{}", own.ingress))
            .env("RESTATE_BIND_ADDRESS", format!("127.0.0.1:{}", own.fabric))
            .env("RESTATE_ADVERTISED_ADDRESS", format!("http://127.0.0.1:{}", own.fabric))
            .env("RESTATE_DEFAULT_NUM_PARTITIONS", "4")
            .env("RESTATE_DISABLE_TELEMETRY", "true");
        if self.ports.len() > 1 {
            server.env("RESTATE_METADATA_CLIENT__ADDRESSES", format!("[{}]", seeds.join(",")));
            server.env("RESTATE_DEFAULT_REPLICATION", "2");
        }
        self.spawn(server, "restate.log")
    }

    fn worker(&self) -> Child {
        let worker = match self.kind {
            Workers::InJavaScript => self.in_javascript(),
            Workers::Ours(_) => self.ours(),
        };
        self.spawn(worker, "services.log")
    }

    fn ours(&self) -> Command {
        let ingress: Vec<String> = self.ingress().iter().map(Url::to_string).collect();
        let mut worker = self.opsctl();
        worker.envs(&self.env).args(["worker", "--engine", "restate", "--restate-ingress", &ingress.join(",")]);
        worker.args(["--listen", &format!("127.0.0.1:{}", self.services), "--endpoints"]);
        worker.arg(self.folder.join("endpoints.json"));
        worker
    }

    fn in_javascript(&self) -> Command {
        let of_env = |name: &str| self.env.get(name).unwrap_or_else(|| panic!("no {name}")).as_str();
        let mut node = Command::new("node");
        node.arg(self.packages.join("services.mjs")).arg(self.services.to_string());
        node.args([self.ingress()[0].as_str().trim_end_matches('/'), &self.endpoints]);
        node.args(["TRELLO_API_KEY", "TRELLO_TOKEN", "TRELLO_DEFAULT_LIST_ID"].map(of_env));
        node.env("RESTATE_LOGGING", "ERROR");
        node
    }

    /// Has the cluster told where the workers are, as soon as both are there.
    async fn register(&self) {
        let started = Instant::now();
        let admin: Vec<String> = self.admin().iter().map(Url::to_string).collect();
        loop {
            let mut register = self.opsctl();
            register.args(["worker", "register", url(self.services).as_str(), "--yes"]);
            let out = register.args(["--restate-admin", &admin.join(",")]).output().expect("opsctl runs");
            if out.status.success() {
                return;
            }
            if started.elapsed() > WATCHDOG {
                for name in ["restate.log", "services.log"] {
                    let said = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
                    note(&format!("{name}: {said}"));
                }
                panic!("the services cannot be registered: {}", String::from_utf8_lossy(&out.stderr));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// An `opsctl` with a home of its own.
    fn opsctl(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
        command.env_clear().env("HOME", self.folder.join("home")).stdin(Stdio::null());
        command
    }

    fn spawn(&self, mut command: Command, log: &str) -> Child {
        let log = || File::options().create(true).append(true).open(self.folder.join(log)).expect("a log file");
        command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().expect("a process starts")
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().chain(&mut self.workers) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The server's binary, which is in a package of its own for each platform.
fn server_in(packages: &Path) -> PathBuf {
    let scope = packages.join("node_modules/@restatedev");
    let entries = std::fs::read_dir(&scope).unwrap_or_else(|e| panic!("{}: {e}", scope.display()));
    let binaries = entries.flatten().map(|entry| entry.path().join("bin/restate-server"));
    binaries.into_iter().find(|path| path.is_file()).expect("the Restate server's binary")
}

fn url(port: u16) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}")).expect("a URL")
}

/// Below the ports that connections get by themselves: a process that was killed finds its own free again.
fn free_port() -> u16 {
    let mut tried = std::iter::repeat_with(|| fastrand::u16(20_000..32_000));
    tried.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
