//! A real Restate node on loopback and the contract's services beside it, with a data folder of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opsctl::http::{Http, Method, Options, Url};
use opsctl::sandbox::sim::Sims;
use serde_json::json;

use crate::served::note;
use crate::world::WATCHDOG;

/// The processes; killed when dropped.
pub struct Node {
    pub admin: Url,
    pub ingress: Url,
    children: Vec<Child>,
}

impl Node {
    /// Starts them, and waits until the services are registered.
    pub async fn start(packages: &Path, folder: &Path, sims: &Sims, env: &BTreeMap<String, String>) -> Node {
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
        let of_env = |name: &str| env.get(name).unwrap_or_else(|| panic!("no {name}")).clone();
        let workers = Command::new("node")
            .arg(packages.join("services.mjs"))
            .arg(services.to_string())
            .arg(format!("http://127.0.0.1:{ingress}"))
            .arg(sims.endpoints().trello)
            .args([of_env("TRELLO_API_KEY"), of_env("TRELLO_TOKEN"), of_env("TRELLO_DEFAULT_LIST_ID")])
            .env("RESTATE_LOGGING", "ERROR")
            .stdin(Stdio::null())
            .stdout(log(folder, "services.log"))
            .stderr(log(folder, "services.log"))
            .spawn()
            .expect("node starts");
        let node = Node { admin: url(admin), ingress: url(ingress), children: vec![server, workers] };
        node.register(services, folder).await;
        node
    }

    async fn register(&self, services: u16, folder: &Path) {
        let http = Http::new(Options::default());
        let deployments = self.admin.join("deployments").expect("a URL");
        let started = Instant::now();
        loop {
            let body = json!({"uri": format!("http://127.0.0.1:{services}")});
            let request = http.request(Method::POST, &deployments).expect("a request").json(&body);
            if let Ok(reply) = http.send(request, None).await
                && reply.is_success()
            {
                return;
            }
            if started.elapsed() > WATCHDOG {
                for name in ["restate.log", "services.log"] {
                    let said = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
                    note(&format!("{name}: {said}"));
                }
                panic!("the services cannot be registered");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
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
