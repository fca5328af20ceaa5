//! A real Restate node on loopback and workers beside it, with a data folder of their own.

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
    /// `opsctl worker`, two of them behind one address.
    Ours,
}

impl Workers {
    /// What the suite calls the engine.
    pub fn engine(self) -> &'static str {
        match self {
            Workers::InJavaScript => "restate",
            Workers::Ours => "restate with opsctl worker",
        }
    }
}

/// The processes; killed when dropped.
pub struct Node {
    pub admin: Url,
    pub ingress: Url,
    children: Vec<Child>,
}

impl Node {
    /// Starts them, and waits until the services are registered.
    pub async fn start(
        packages: &Path,
        folder: &Path,
        sims: &Sims,
        env: &BTreeMap<String, String>,
        workers: Workers,
    ) -> Node {
        let [admin, ingress, fabric, services] = std::array::from_fn(|_| free_port());
        let url = |port: u16| Url::parse(&format!("http://127.0.0.1:{port}")).expect("a URL");
        let server = Command::new(server_in(packages))
            .args(["--no-logo", "--listen-mode", "tcp", "--node-name", "n1", "--cluster-name", "suite"])
            .arg("--base-dir")
            .arg(folder.join("restate"))
            .env("RESTATE_ADMIN__BIND_ADDRESS", format!("127.0.0.1:{admin}"))
            .env("RESTATE_INGRESS__BIND_ADDRESS", format!("127.0.0.1:{ingress}"))
            .env("RESTATE_BIND_ADDRESS", format!("127.0.0.1:{fabric}"))
            .env("RESTATE_DEFAULT_NUM_PARTITIONS", "4")
            .env("RESTATE_DISABLE_TELEMETRY", "true")
            .stdin(Stdio::null())
            .stdout(log(folder, "restate.log"))
            .stderr(log(folder, "restate.log"))
            .spawn()
            .expect("the Restate server starts");
        let mut children = vec![server];
        match workers {
            Workers::InJavaScript => children.push(in_javascript(packages, folder, sims, env, services, &url(ingress))),
            Workers::Ours => {
                children.extend((0..2).map(|_| ours(folder, sims, env, services, &url(ingress))));
            }
        }
        let node = Node { admin: url(admin), ingress: url(ingress), children };
        node.register(services, folder).await;
        node
    }

    /// Has the cluster told where they are, as soon as both are there.
    async fn register(&self, services: u16, folder: &Path) {
        let started = Instant::now();
        loop {
            let mut register = opsctl(folder);
            register.args(["worker", "register", &format!("http://127.0.0.1:{services}"), "--yes"]);
            let out = register.args(["--restate-admin", self.admin.as_str()]).output().expect("opsctl runs");
            if out.status.success() {
                return;
            }
            if started.elapsed() > WATCHDOG {
                for name in ["restate.log", "services.log"] {
                    let said = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
                    note(&format!("{name}: {said}"));
                }
                panic!("the services cannot be registered: {}", String::from_utf8_lossy(&out.stderr));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// An `opsctl` with a home of its own.
fn opsctl(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
    command.env_clear().env("HOME", folder.join("home")).stdin(Stdio::null());
    command
}

fn ours(folder: &Path, sims: &Sims, env: &BTreeMap<String, String>, port: u16, ingress: &Url) -> Child {
    let endpoints = folder.join("endpoints.json");
    std::fs::write(&endpoints, serde_json::to_string(&sims.endpoints()).expect("JSON")).expect("a file");
    let mut worker = opsctl(folder);
    worker.envs(env).args(["worker", "--engine", "restate", "--restate-ingress", ingress.as_str()]);
    worker.args(["--listen", &format!("127.0.0.1:{port}"), "--endpoints"]).arg(&endpoints);
    worker.stdout(log(folder, "services.log")).stderr(log(folder, "services.log")).spawn().expect("a worker starts")
}

fn in_javascript(
    packages: &Path,
    folder: &Path,
    sims: &Sims,
    env: &BTreeMap<String, String>,
    port: u16,
    ingress: &Url,
) -> Child {
    let of_env = |name: &str| env.get(name).unwrap_or_else(|| panic!("no {name}")).clone();
    let mut node = Command::new("node");
    node.arg(packages.join("services.mjs")).arg(port.to_string()).arg(ingress.as_str().trim_end_matches('/'));
    node.arg(sims.endpoints().trello);
    node.args([of_env("TRELLO_API_KEY"), of_env("TRELLO_TOKEN"), of_env("TRELLO_DEFAULT_LIST_ID")]);
    node.env("RESTATE_LOGGING", "ERROR").stdin(Stdio::null());
    node.stdout(log(folder, "services.log")).stderr(log(folder, "services.log")).spawn().expect("node starts")
}

impl Drop for Node {
    fn drop(&mut self) {
        for child in &mut self.children {
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

fn log(folder: &Path, name: &str) -> File {
    File::options().create(true).append(true).open(folder.join(name)).expect("a log file")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}
