//! Real Restate nodes on loopback and workers beside them, with a data folder of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use opsctl::http::Url;
use opsctl::sandbox::sim::Sims;

use crate::served::{note, port};
use crate::world::{WATCHDOG, until};

/// The file with the cluster's key.
const PRIVATE_KEY: &str = "identity.pem";
/// The key of a cluster that nobody runs.
const STRANGER: &str = "publickeyv1_ChjENKeMvCtRnqG2mrBK1HmPKufgFUc98K8B3ononQvp";

/// What executes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// What a team writes in its own language.
    InJavaScript,
    /// So many `opsctl worker` behind one address, of a cluster that signs its requests.
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
    /// Whose requests our workers serve.
    key: String,
    ports: Vec<Ports>,
    services: u16,
    nodes: Vec<Child>,
    workers: Vec<Child>,
    /// A worker that serves another cluster.
    stranger: Option<Child>,
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
        let ports = (0..plan.nodes).map(|_| Ports { admin: port::free(), ingress: port::free(), fabric: port::free() });
        let mut all = Nodes {
            packages: plan.packages.to_owned(),
            folder: plan.folder.to_owned(),
            endpoints: plan.sims.endpoints().trello.to_string(),
            env: plan.env.clone(),
            kind: plan.workers,
            key: String::new(),
            ports: ports.collect(),
            services: port::free(),
            nodes: Vec::new(),
            workers: Vec::new(),
            stranger: None,
        };
        let endpoints = serde_json::to_string(&plan.sims.endpoints()).expect("JSON");
        std::fs::write(all.folder.join("endpoints.json"), endpoints).expect("a file");
        write_private_key(&all.folder.join(PRIVATE_KEY));
        all.nodes = (0..plan.nodes).map(|node| all.node(node)).collect();
        if all.signs() {
            all.key = all.identity().await;
        }
        all.workers = (0..all.kind.count()).map(|_| all.worker()).collect();
        let elsewhere = port::free();
        all.stranger = Some(all.spawn(all.ours(elsewhere, STRANGER), "services.log"));
        all.register().await;
        all.is_refused_at(elsewhere).await;
        all
    }

    /// Whether the cluster signs its requests. Services in JavaScript do not ask for it.
    fn signs(&self) -> bool {
        matches!(self.kind, Workers::Ours(_))
    }

    /// The public half of the cluster's key, which it logs.
    async fn identity(&self) -> String {
        until("the cluster's identity key", || async {
            let said = std::fs::read_to_string(self.folder.join("restate.log")).unwrap_or_default();
            let key = &said[said.find("publickeyv1_")?..];
            // The line may not be whole yet.
            Some(key[..key.find('"')?].to_owned())
        })
        .await
    }

    /// A worker that serves another cluster does not even say what it has: not to one that signs nothing, and not to one
    /// that signs with its own key.
    async fn is_refused_at(&self, workers: u16) {
        until("the refusal", || async {
            let out = self.registration(workers).output().expect("opsctl runs");
            let said = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(1), "{said}");
            // Until it listens nobody refuses.
            said.contains("401").then(|| assert!(said.contains("--identity-key"), "{said}"))
        })
        .await;
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

    /// SIGKILL for all workers, and others in their place.
    pub fn replace_workers(&mut self) {
        for place in 0..self.workers.len() {
            let _ = self.workers[place].kill();
            let _ = self.workers[place].wait();
            self.workers[place] = self.worker();
        }
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
        if self.signs() {
            let key = self.folder.join(PRIVATE_KEY);
            server.env("RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE", key);
        }
        if self.ports.len() > 1 {
            server.env("RESTATE_METADATA_CLIENT__ADDRESSES", format!("[{}]", seeds.join(",")));
            server.env("RESTATE_DEFAULT_REPLICATION", "2");
        }
        self.spawn(server, "restate.log")
    }

    fn worker(&self) -> Child {
        let worker = match self.kind {
            Workers::InJavaScript => self.in_javascript(),
            Workers::Ours(_) => self.ours(self.services, &self.key),
        };
        self.spawn(worker, "services.log")
    }

    fn ours(&self, port: u16, key: &str) -> Command {
        let ingress: Vec<String> = self.ingress().iter().map(Url::to_string).collect();
        let mut worker = self.opsctl();
        worker.envs(&self.env).args(["worker", "--engine", "restate", "--restate-ingress", &ingress.join(",")]);
        worker.args(["--listen", &format!("127.0.0.1:{port}"), "--identity-key", key]);
        worker.arg("--endpoints").arg(self.folder.join("endpoints.json"));
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
        loop {
            let out = self.registration(self.services).output().expect("opsctl runs");
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

    fn registration(&self, workers: u16) -> Command {
        let admin: Vec<String> = self.admin().iter().map(Url::to_string).collect();
        let mut register = self.opsctl();
        register.args(["worker", "register", url(workers).as_str(), "--yes", "--restate-admin", &admin.join(",")]);
        register
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
        for child in self.nodes.iter_mut().chain(&mut self.workers).chain(&mut self.stranger) {
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

/// What a cluster signs its requests with: an Ed25519 key in PKCS #8, as `openssl genpkey` makes it.
fn write_private_key(path: &Path) {
    let mut key = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    key.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(32));
    let text = BASE64_STANDARD.encode(key);
    std::fs::write(path, format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")).expect("a file");
}

fn url(port: u16) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}")).expect("a URL")
}
