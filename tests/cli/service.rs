//! `opsctl serve` as a process of its own, and a whole scene around it: simulators of the platforms, a context.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use opsctl::clock::Clock;
use opsctl::platforms::{Clients, Credentials, Platform};
use opsctl::sandbox::sim::{SimOptions, Sims};
use serde_json::Value;

use crate::world::{Run, World};

/// A running service; it is killed when the value goes away, however the test ends.
pub struct Service {
    child: Child,
    pub listening: Value,
}

impl Service {
    /// Starts one and waits until it answers.
    pub fn start(run: Run) -> Self {
        let mut child = run.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let listening = serde_json::from_str(&line).unwrap_or_else(|e| {
            let mut stderr = String::new();
            let _ = child.kill();
            let _ = child.stderr.as_mut().unwrap().read_to_string(&mut stderr);
            panic!("{e}: {line:?} {stderr}")
        });
        Service { child, listening }
    }

    pub fn url(&self) -> &str {
        self.listening["url"].as_str().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop; gives its exit code and what it said.
    pub fn stop(mut self) -> (Option<i32>, String) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let mut stderr = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stderr)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service with simulators behind it and the context `local` pointing at both.
pub struct Scene {
    pub world: World,
    pub sims: Sims,
    pub service: Service,
    credentials: BTreeMap<String, String>,
    /// The simulators live on it.
    _runtime: tokio::runtime::Runtime,
}

/// The words of a line as a shell makes them: what stands in double quotes is one word, without them.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    let words = quoted.flat_map(|(n, part)| match n % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

impl Scene {
    pub fn start() -> Self {
        let world = World::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sims = runtime.block_on(Sims::start(SimOptions::default())).unwrap();
        let credentials = sims.credentials(&world.path("")).unwrap();
        let endpoints = serde_json::to_value(sims.endpoints()).unwrap();
        world.write("endpoints.json", &endpoints.to_string());
        let line = "serve -o jsonl --listen 127.0.0.1:0 --environment staging --endpoints endpoints.json";
        let serve = credentials.iter().fold(world.line(line), |run, (name, value)| run.env(name, value));
        let service = Service::start(serve);
        let mut config = format!("[contexts.local]\nurl = \"{}\"\n[contexts.local.platforms]\n", service.url());
        for (name, address) in endpoints.as_object().unwrap() {
            config.push_str(&format!("{name} = {address}\n"));
        }
        world.write("config/config.toml", &config);
        Scene { world, sims, service, credentials, _runtime: runtime }
    }

    pub fn line(&self, line: &str) -> Run {
        self.world.line(line)
    }

    /// A line of a machine that has the platforms' keys, and PagerDuty's.
    pub fn keyed(&self, line: &str) -> Run {
        let run = self.world.opsctl(words(line)).env("PAGERDUTY_ROUTING_KEY", self.sims.routing_key().expose());
        self.credentials.iter().fold(run, |run, (name, value)| run.env(name, value))
    }

    /// What these simulators take for a credential, straight asked.
    pub fn accepts(&self, env: &[(&str, &str)], platform: Platform) -> bool {
        let mut all = self.credentials.clone();
        all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let clients = Clients::new(self.sims.endpoints(), Credentials::from_env(&all), Clock::system());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(clients.who_am_i(platform)).is_ok()
    }

    /// The value of a credential at the start.
    pub fn credential(&self, name: &str) -> &str {
        &self.credentials[name]
    }

    /// Submits a Trello card and waits until it is over; gives its status.
    pub fn card(&self, id: &str) -> String {
        let list = &self.credentials["TRELLO_DEFAULT_LIST_ID"];
        let action = serde_json::json!({
            "id": id, "type": "create", "platform": "trello", "data": {"listId": list, "name": id},
            "retryConfig": {"maxRetries": 0},
        });
        let body = action.to_string();
        let submit = ["api", "POST", "/admin/v1/actions", "--confirm=local", "--data", body.as_str()];
        self.world.opsctl(submit).run().code(0);
        for _ in 0..200 {
            let record = self.line(&format!("api GET /admin/v1/actions/{id}")).run().code(0).json();
            let status = record["status"].as_str().unwrap().to_owned();
            if status != "pending" && status != "executing" {
                return status;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{id} is not over")
    }
}
