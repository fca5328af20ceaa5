//! SIGKILL of nodes and workers of a three-node cluster while actions and workflows are sent and an operator pauses,
//! clears and retries. At the end the simulator's counts are held against what was acknowledged and what was said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use opsctl::http::Url;
use opsctl::sandbox::sim::{Fault, FaultSpec, SimOptions, Sims};
use opsctl::server::restate::{Cluster, RestateOptions};
use opsctl::wire::Platform;
use serde_json::{Value, json};

use crate::restate::{Nodes, Plan, Workers};
use crate::served::{Launch, Served, TempDir, context_at, http, note, output, rounds};
use crate::world::{WATCHDOG, until};

const NODES: usize = 3;
const WORKERS: usize = 3;
/// Rounds when `OPSCTL_KILL_ROUNDS` does not say: one of each kind.
const ROUNDS: usize = 3;
/// A workflow is sent after so many actions; every other one fails and is rolled back.
const WORKFLOW_EVERY: usize = 40;
/// Questions that are under way at once, at the end.
const ASKED_AT_ONCE: usize = 16;
/// So many wait when they are taken out.
const HELD: usize = 10;
/// No list of this name is anywhere, so a card for it cannot be made.
const NO_LIST: &str = "0123456789abcdef01234567";

/// The cluster, the service in front of it, and an operator.
struct Field {
    sims: Sims,
    launch: Launch,
    nodes: Nodes,
    _serve: Served,
    folder: TempDir,
    /// How the operator's commands ended: by verb and exit code.
    ends: BTreeMap<&'static str, BTreeMap<i32, usize>>,
    /// What `queue clear` said is out of the queue.
    out: BTreeSet<String>,
    /// Workflows of the rounds in which a rollback is retried.
    retried: Vec<String>,
}

/// What was acknowledged to whoever sends.
#[derive(Default)]
struct Acknowledged {
    /// The actions: their ids by the names of their cards.
    actions: BTreeMap<String, String>,
    /// The workflows, and whether they can be completed.
    workflows: BTreeMap<String, bool>,
    /// Submissions that had to be tried again.
    again: usize,
}

/// Kills, round by round, and the count at the end.
pub async fn run(packages: &Path) {
    let rounds = rounds(ROUNDS);
    let mut field = Field::new(packages).await;
    let (over, sent) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Acknowledged>>::default());
    let traffic = tokio::spawn(send(field.launch.clone(), over.clone(), sent.clone()));
    let started = Instant::now();
    for round in 1..=rounds {
        field.round(round).await;
    }
    over.store(true, Ordering::Relaxed);
    tokio::time::timeout(WATCHDOG, traffic).await.expect("the last submission goes through").expect("the traffic");
    let sent = std::mem::take(&mut *sent.lock().expect("the list"));
    field.settle(&sent).await;
    let verdict = field.judge(&sent).await;
    note(&format!(
        "cluster kill loop: {rounds} nodes and {rounds} workers killed in {} s, submissions tried again {}\n{verdict}",
        started.elapsed().as_secs(),
        sent.again
    ));
    for (verb, codes) in &field.ends {
        let codes: Vec<String> = codes.iter().map(|(code, n)| format!("exit {code}: {n}")).collect();
        note(&format!("  {verb:16}{}", codes.join(", ")));
    }
    verdict.ensure_nothing_is_wrong();
}

impl Field {
    async fn new(packages: &Path) -> Field {
        let folder = TempDir::new("engine-kills");
        let sims = SimOptions { limits: false, latency: 5..=25, ..SimOptions::default() };
        let sims = Sims::start(sims).await.expect("the simulators start");
        let mut env = sims.credentials(folder.path()).expect("credentials");
        // What is killed looks like a platform that fails; the breaker has a test of its own.
        for (name, value) in
            [("APPROVAL_RULES", "none"), ("TRELLO_RATE_LIMIT", "1000000"), ("CIRCUIT_BREAKER_THRESHOLD", "1000000")]
        {
            env.insert(name.into(), value.into());
        }
        let workers = Workers::Ours(WORKERS);
        let plan = Plan { packages, folder: folder.path(), sims: &sims, env: &env, nodes: NODES, workers };
        let nodes = Nodes::start(plan).await;
        for node in 0..NODES {
            answers_sql(&nodes.admin()[node]).await;
        }
        let (admin, ingress) = (joined(&nodes.admin()), joined(&nodes.ingress()));
        let launch = Launch::new(env!("CARGO_BIN_EXE_opsctl"), folder.path().join("data")).args(&[
            "--engine",
            "restate",
            "--restate-admin",
            &admin,
            "--restate-ingress",
            &ingress,
        ]);
        let (serve, _) = launch.start().await;
        Field {
            sims,
            launch,
            nodes,
            _serve: serve,
            folder,
            ends: BTreeMap::new(),
            out: BTreeSet::new(),
            retried: Vec::new(),
        }
    }

    /// Kills a node and a worker in the middle of what an operator does, and starts them again.
    async fn round(&mut self, round: usize) {
        let (node, worker) = (fastrand::usize(..NODES), fastrand::usize(..WORKERS));
        tokio::time::sleep(Duration::from_millis(fastrand::u64(200..1000))).await;
        let reason = format!("round {round}");
        let victims = Some((node, worker));
        match round % 3 {
            1 => {
                self.pause(&reason, victims).await;
                self.resume().await;
            }
            2 => {
                self.pause(&reason, None).await;
                self.some_are_held().await;
                let line = ["queue", "clear", "--stuck-only", "--older-than", "1s", "--yes", "--reason", &reason];
                let answer = self.operate("queue clear", &line, victims).await;
                let items = answer["items"].as_array().cloned().unwrap_or_default();
                let applied = items.iter().filter(|item| item["effect"] == "applied");
                self.out.extend(applied.filter_map(|item| Some(item["id"].as_str()?.to_owned())));
                self.resume().await;
            }
            _ => {
                let id = format!("retry-{round}");
                self.fail_a_rollback(&id).await;
                let line = ["rollback", "retry", &id, "--yes", "--reason", &reason];
                self.operate("rollback retry", &line, victims).await;
                self.retried.push(id);
            }
        }
        self.nodes.revive(node, worker);
        answers_sql(&self.nodes.admin()[node]).await;
    }

    async fn pause(&mut self, reason: &str, victims: Option<(usize, usize)>) {
        let answer = self.operate("queue pause", &["queue", "pause", "--reason", reason], victims).await;
        if answer["effect"] == "applied" {
            let pauses = self.launch.get("/admin/v1/pauses").await;
            // Right after a kill nobody may be able to tell.
            assert!(
                pauses.status >= 500 || pauses.body.to_string().contains(reason),
                "{reason} is applied: {pauses:?}"
            );
        }
    }

    /// Goes on; an operator who is told that it did not work says it again.
    async fn resume(&mut self) {
        let started = Instant::now();
        while !["applied", "already_so"]
            .map(Value::from)
            .contains(&self.operate("queue resume", &["queue", "resume"], None).await["effect"])
        {
            assert!(started.elapsed() < WATCHDOG, "the queue cannot be resumed");
        }
    }

    /// Waits until the gate holds some that count as waiting, which they do a few seconds after it closed.
    async fn some_are_held(&self) {
        until("some are held", || async {
            let stuck = self.launch.get("/admin/v1/queue/items?view=stuck&olderThan=1000").await;
            stuck.body["items"].as_array().filter(|items| items.len() >= HELD).map(drop)
        })
        .await;
    }

    /// A workflow whose undo was refused; the platform takes it from now on.
    async fn fail_a_rollback(&self, id: &str) {
        let refused = FaultSpec::from(Fault::Forbidden).only("cards.archive");
        self.sims.fault(Platform::Trello, refused).expect("a fault");
        until("a workflow is accepted", || async {
            let answer = self.launch.post("/admin/v1/workflows", &workflow(id, false)).await;
            (answer.status < 300).then_some(())
        })
        .await;
        let started = Instant::now();
        while self.status_of_workflow(id).await != "rollback_failed" {
            if started.elapsed() > WATCHDOG {
                let (workflow, pauses) = (format!("/admin/v1/workflows/{id}"), "/admin/v1/pauses");
                panic!(
                    "{id} can be undone: {:?} {:?}",
                    self.launch.get(&workflow).await,
                    self.launch.get(pauses).await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.sims.clear_all().expect("no fault");
    }

    /// Runs a command, kills meanwhile, and holds its exit code against what it said.
    async fn operate(&mut self, verb: &'static str, line: &[&str], victims: Option<(usize, usize)>) -> Value {
        let mut command = self.opsctl();
        command.args(line).args(["-o", "json"]);
        let running = tokio::task::spawn_blocking(move || output(&mut command));
        if let Some((node, worker)) = victims {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..600))).await;
            self.nodes.kill(node, worker);
        }
        let Output { status, stdout, stderr } = running.await.expect("the command ends");
        let (said, told) = (String::from_utf8_lossy(&stderr), String::from_utf8_lossy(&stdout));
        let code = status.code().unwrap_or_else(|| panic!("{verb} was ended: {said}"));
        *self.ends.entry(verb).or_default().entry(code).or_default() += 1;
        if code != 0 {
            note(&format!("{verb} ended with {code}: {}", said.lines().last().unwrap_or_default()));
        }
        let answer: Value = serde_json::from_str(&told).unwrap_or_default();
        let short = |effect: &Value| !matches!(effect.as_str(), Some("applied" | "accepted" | "already_so"));
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        match code {
            0 => assert!(!items.iter().any(|item| short(&item["effect"])), "{verb} ends with 0: {told}"),
            8 => assert!(items.iter().any(|item| short(&item["effect"])), "{verb} ends with 8: {told}"),
            _ => {
                // The last line, in the form that was asked for.
                let error: Value =
                    said.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default();
                assert_eq!(error["exit"].as_i64(), Some(code.into()), "{verb} ends with {code}: {said}");
                assert!(error["error"].is_string(), "{verb} does not say why: {said}");
            }
        }
        answer
    }

    fn opsctl(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
        command.env_clear().env("HOME", self.folder.path().join("operator")).stdin(Stdio::null());
        command.envs(context_at(self.folder.path(), &self.launch.url())).env("OPSCTL_TOKEN", self.launch.token());
        command
    }

    /// Whether a workflow is over; one with a step that a kill left in doubt is, where only a person can look.
    async fn has_ended(&self, id: &str) -> bool {
        let workflow = self.launch.get(&format!("/admin/v1/workflows/{id}")).await.body;
        match workflow["status"].as_str() {
            Some("completed" | "rolled_back") => true,
            Some("rollback_failed") => workflow["error"].to_string().contains("is left for a person"),
            _ => false,
        }
    }

    async fn status_of_workflow(&self, id: &str) -> String {
        let answer = self.launch.get(&format!("/admin/v1/workflows/{id}")).await;
        answer.body["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Nothing is paused, everybody is there, and all that was sent has ended.
    async fn settle(&mut self, sent: &Acknowledged) {
        for node in 0..NODES {
            answers_sql(&self.nodes.admin()[node]).await;
        }
        self.resume().await;
        let pauses = self.launch.get("/admin/v1/pauses").await;
        assert_eq!((pauses.status, pauses.body), (200, json!([])), "what was resumed is not paused");
        let made = self.sims.stats_of(Platform::Trello).created_by_name;
        let unmade = sent.actions.iter().filter(|(name, id)| !made.contains_key(*name) && !self.out.contains(*id));
        for (_, id) in unmade {
            until(&format!("{id} ends"), || async {
                let status = self.launch.get(&format!("/admin/v1/actions/{id}")).await;
                (status.status == 200 && !["pending", "executing"].contains(&status.body["status"].as_str()?))
                    .then_some(())
            })
            .await;
        }
        for id in sent.workflows.keys().chain(&self.retried) {
            until(&format!("{id} ends"), || async { self.has_ended(id).await.then_some(()) }).await;
        }
    }

    async fn judge(&self, sent: &Acknowledged) -> Verdict {
        let stats = self.sims.stats_of(Platform::Trello);
        let made = |name: &str| stats.created_by_name.get(name).copied().unwrap_or_default();
        let mut verdict = Verdict { acknowledged: sent.actions.len(), ..Verdict::default() };
        let unmade = sent.actions.iter().filter(|(name, _)| made(name) == 0);
        let unmade = stream::iter(unmade).map(|(_, id)| async move { (id, self.launch.status_of(id).await) });
        let unmade: BTreeMap<&String, String> = unmade.buffer_unordered(ASKED_AT_ONCE).collect().await;
        for (name, id) in &sent.actions {
            match made(name) {
                0 if unmade[id] == "removed" => verdict.taken_out += 1,
                0 => verdict.lost.push(format!("{name} {id}: {}", unmade[id])),
                1 => verdict.once += 1,
                n => verdict.doubled.push(format!("{name} {id}: {n}")),
            }
            if made(name) > 0 && self.out.contains(id) {
                verdict.out_and_made.push(format!("{name} {id}"));
            }
        }
        for (id, good) in sent.workflows.iter().chain(self.retried.iter().zip(std::iter::repeat(&false))) {
            let status = self.status_of_workflow(id).await;
            let cards = (made(&format!("{id} first")), made(&format!("{id} second")));
            let fine = match status.as_str() {
                "completed" => *good && cards == (1, 1),
                "rolled_back" | "rollback_failed" => !*good && cards == (1, 0),
                _ => false,
            };
            if !fine {
                verdict.wrong.push(format!("{id} {status} {cards:?}"));
            }
            *verdict.workflows.entry(status).or_default() += 1;
        }
        let undone = stats.changed.iter().filter(|(name, _)| name.starts_with("cards.archive"));
        verdict.undone_twice = undone.filter(|(_, n)| **n > 1).map(|(name, n)| format!("{name}: {n}")).collect();
        verdict
    }
}

/// What was found.
#[derive(Debug, Default)]
struct Verdict {
    acknowledged: usize,
    once: usize,
    taken_out: usize,
    doubled: Vec<String>,
    lost: Vec<String>,
    /// Said to be out of the queue, and made all the same.
    out_and_made: Vec<String>,
    workflows: BTreeMap<String, usize>,
    /// Workflows that did not end as they had to, or made a card not once.
    wrong: Vec<String>,
    undone_twice: Vec<String>,
}

impl Verdict {
    fn ensure_nothing_is_wrong(&self) {
        assert!(self.doubled.is_empty(), "made twice: {:#?}", self.doubled);
        assert!(self.lost.is_empty(), "acknowledged, and neither made nor taken out: {:#?}", self.lost);
        assert!(self.out_and_made.is_empty(), "said to be out of the queue, and made: {:#?}", self.out_and_made);
        assert!(self.wrong.is_empty(), "workflows: {:#?}", self.wrong);
        assert!(self.undone_twice.is_empty(), "undone twice: {:#?}", self.undone_twice);
        assert!(self.once > 0 && self.workflows.len() >= 2, "nothing was shown: {self}");
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "  acknowledged {}: made once {}, taken out {}, made twice {}, lost {}, said to be taken out and made {}",
            self.acknowledged,
            self.once,
            self.taken_out,
            self.doubled.len(),
            self.lost.len(),
            self.out_and_made.len()
        )?;
        let ends: Vec<String> = self.workflows.iter().map(|(status, n)| format!("{status} {n}")).collect();
        let wrong = self.wrong.len();
        write!(out, "  workflows: {}; wrong {wrong}, undone twice {}", ends.join(", "), self.undone_twice.len())
    }
}

/// Sends actions and workflows until it is over; what was not acknowledged is sent again under the same key.
async fn send(launch: Launch, over: Arc<AtomicBool>, sent: Arc<Mutex<Acknowledged>>) {
    let token = launch.token();
    let post = async |path: &str, body: Value| loop {
        match http::post(launch.address, path, &token, &body.to_string()).await {
            Ok((200..=299, answer)) => return serde_json::from_slice::<Value>(&answer).expect("JSON"),
            Ok((500.., _)) | Err(_) => sent.lock().expect("the list").again += 1,
            Ok((status, answer)) => panic!("HTTP {status}: {}", String::from_utf8_lossy(&answer)),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut n = 0;
    while !over.load(Ordering::Relaxed) {
        n += 1;
        let name = format!("card {n}");
        let card = json!({"type": "create", "platform": "trello", "correlationId": name, "data": {"name": name}});
        let answer = post("/admin/v1/actions", card).await;
        let id = answer["actions"][0]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        sent.lock().expect("the list").actions.insert(name, id);
        if n % WORKFLOW_EVERY == 0 {
            let (id, good) = (format!("workflow-{n}"), n % (2 * WORKFLOW_EVERY) == 0);
            post("/admin/v1/workflows", workflow(&id, good)).await;
            sent.lock().expect("the list").workflows.insert(id, good);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two cards; the second cannot be made unless it is a good one.
fn workflow(id: &str, good: bool) -> Value {
    let step = |step: &str| json!({"id": step, "type": "create", "platform": "trello", "data": {"name": format!("{id} {step}")}});
    let mut second = step("second");
    if !good {
        second["data"]["listId"] = json!(NO_LIST);
    }
    json!({"id": id, "name": "kill loop", "steps": [step("first"), second]})
}

/// Waits until a node answers questions, which comes later than its health.
async fn answers_sql(admin: &Url) {
    let options = RestateOptions {
        admin: vec![admin.clone()],
        ingress: vec![admin.clone()],
        token: None,
        patience: Duration::from_secs(5),
    };
    until(&format!("{admin} answers"), || async { Cluster::connect(options.clone()).await.ok().map(drop) }).await;
}

fn joined(urls: &[Url]) -> String {
    urls.iter().map(Url::to_string).collect::<Vec<_>>().join(",")
}
