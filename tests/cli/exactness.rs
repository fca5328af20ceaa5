//! What is written is what was shown: through a proxy that keeps every request, from saved plans, after crashes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opsctl::clock::Clock;
use opsctl::guard::SavedPlan;
use opsctl::platforms::Platform;
use opsctl::redact::Redactor;
use opsctl::sandbox::sim::Bulk;
use opsctl::wire::{ActionType, Time};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::direct::Direct;
use crate::orchestrator::{Orchestrator, TOKEN};
use crate::world::World;

/// A proxy before one API. It keeps the first line of every request, in the order in which they come: one thread hears
/// all connections.
#[derive(Clone)]
struct Proxy {
    address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn before(upstream: &str) -> Self {
        let upstream = upstream.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let proxy = Proxy { address: listener.local_addr().unwrap(), lines: Arc::default() };
        let lines = proxy.lines.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    tokio::spawn(pass(client, upstream.clone(), lines.clone()));
                }
            });
        });
        proxy
    }

    /// The writes so far: `PATCH /v1/pages/ID`.
    fn writes(&self) -> Vec<String> {
        let is_read = |line: &str| line.starts_with("GET ") || line.ends_with("/query") || line.ends_with("/search");
        self.lines.lock().unwrap().iter().filter(|line| !is_read(line)).cloned().collect()
    }
}

async fn pass(client: TcpStream, upstream: String, lines: Arc<Mutex<Vec<String>>>) {
    let (mut from, mut back) = client.into_split();
    let (mut answers, mut to) = TcpStream::connect(upstream).await.unwrap().into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        lines.lock().unwrap().extend(requests(&buffer[..length]));
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}

/// The requests that begin in these bytes; a body of JSON has no such line.
fn requests(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter_map(|line| line.strip_suffix(" HTTP/1.1")).map(str::to_owned).collect()
}

#[test]
fn the_real_run_writes_what_the_dry_run_lists_in_its_order() {
    let mut proxy = None;
    let direct = Direct::through(|mut endpoints| {
        let before = Proxy::before(&endpoints.notion);
        endpoints.notion = format!("http://{}/v1", before.address);
        proxy = Some(before);
        endpoints
    });
    let proxy = proxy.unwrap();
    let bulk: Bulk = serde_json::from_value(json!({"count": 120, "duplicates": 40})).unwrap();
    let made = direct.sims.fill(Platform::Notion, &bulk).unwrap();
    let line = format!("notion remove-duplicates --database {}", made["database"].as_str().unwrap());
    let plan = direct.json(&format!("{line} --dry-run"), 0);
    assert_eq!(proxy.writes(), Vec::<String>::new());
    let listed: Vec<String> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["send"].as_str().unwrap().strip_suffix(" in_trash=true").unwrap().to_owned())
        .collect();
    direct.line(&format!("{line} --yes")).run().code(0);
    assert_eq!((proxy.writes().len(), proxy.writes()), (40, listed));
}

#[test]
fn a_saved_plan_leaves_alone_what_changed_since() {
    let direct = Direct::start();
    let plan = direct.world.path("plan");
    let plan = plan.to_str().unwrap();
    let board = direct.credentials["TRELLO_BOARD_ID"].clone();
    let found = direct.json(&format!("trello find-duplicates --board {board}"), 0);
    let card = found["sets"][0]["copies"][0]["id"].as_str().unwrap();
    let saved = direct.line(&format!("trello archive-duplicates --board {board} --save-plan {plan}")).run().code(0);
    assert!(saved.stderr.contains("saved: opsctl apply"), "{saved:?}");
    direct.meanwhile(Platform::Trello, ActionType::Update, json!({"cardId": card, "name": "Somebody's own"}));
    direct.sims.reset_stats();
    direct.line(&format!("apply {plan}")).run().code(10);
    direct.line(&format!("apply {plan} --save-plan other --yes")).run().code(2);
    assert_eq!(direct.sims.stats_of(Platform::Trello).requests, 0);
    let done = direct.line(&format!("apply {plan} --yes")).run().code(8);
    assert!(done.stdout.contains("LEFT ALONE  1: it was changed since the plan was made"), "{done:?}");
    assert_eq!(direct.sims.stats_of(Platform::Trello).writes, 2);
    // A single thing can be kept as a plan too.
    let page =
        direct.json(&format!("notion find-duplicates --database {}", direct.credentials["NOTION_DATABASE_ID"]), 0);
    let page = page["sets"][0]["keep"]["id"].as_str().unwrap();
    direct.line(&format!("notion delete {page} --save-plan {plan}")).run().code(0);
    assert_eq!(direct.sims.stats_of(Platform::Notion).writes, 0);
    direct.line(&format!("apply {plan} --yes")).run().code(0);
    assert_eq!(direct.sims.stats_of(Platform::Notion).writes, 1);
}

#[test]
fn a_plan_of_the_orchestrator_is_executed_while_it_is_the_same() {
    let orchestrator = Orchestrator::start("staging");
    let world = World::configured(&orchestrator.config(""));
    let line = |line: &str| world.line(line).env("HERE_TOKEN", TOKEN).run();
    let saved = line("queue clear --save-plan plan --yes --reason old").code(0);
    assert!(saved.stdout.contains("plan: ") && saved.stderr.contains("saved: opsctl apply plan"), "{saved:?}");
    line("apply plan --dry-run").code(0);
    line("apply plan").code(10);
    line("apply plan --max-items 3 --yes").code(2);
    assert_eq!(orchestrator.lines(), Vec::<String>::new());
    // One item less: the plan is another one now.
    orchestrator.put("act-2", "removed");
    let other = line("apply plan --yes").code(6);
    assert!(other.stderr.contains("it is not the same any more") && other.stderr.contains("act-2"), "{other:?}");
    assert_eq!(orchestrator.lines(), Vec::<String>::new());
    orchestrator.put("act-2", "queued");
    line("queue remove act-1 --save-plan plan").code(0);
    line("apply plan --yes --reason stuck").code(0);
    assert_eq!(orchestrator.lines(), ["DELETE /admin/v1/queue/items/act-1"]);
    assert_eq!(orchestrator.writes()[0].headers["x-opsctl-reason"], "stuck");
    // Newer than this build, or edited.
    line("queue remove act-2 --save-plan plan").code(0);
    let text = world.read("plan");
    for (from, to, says) in
        [("\"opsctlPlan\":1", "\"opsctlPlan\":2", "a newer opsctl"), ("act-2", "act-3", "somebody edited it")]
    {
        world.write("plan", &text.replacen(from, to, 1));
        let refused = line("apply plan --yes").code(6);
        assert!(refused.stderr.contains(says), "{refused:?}");
    }
    assert_eq!(orchestrator.lines().len(), 1);
}

#[test]
fn a_plan_that_is_too_old_sends_nothing() {
    let direct = Direct::start();
    let file = direct.world.path("plan");
    let board = direct.credentials["TRELLO_BOARD_ID"].clone();
    let line = format!("trello archive-duplicates --board {board} --save-plan {}", file.display());
    direct.line(&line).run().code(0);
    let now = Clock::system().now();
    let mut plan = SavedPlan::<Value>::read(&file, "local", "http://127.0.0.1:1", now).unwrap();
    assert!(plan.expires_at > now);
    direct.sims.reset_stats();
    // As it would be half an hour later, or on a machine whose clock is behind.
    for (created, expires) in [(-1801, -1), (60, 1860)] {
        (plan.created_at, plan.expires_at) = (Time(now.0 + created * 1000), Time(now.0 + expires * 1000));
        plan.save(&file, &Redactor::default()).unwrap();
        for consent in ["--yes", "--dry-run"] {
            let refused = direct.line(&format!("apply {} {consent}", file.display())).run().code(6);
            assert!(refused.stderr.contains("caused by: it held from "), "{refused:?}");
            assert!(
                refused.stderr.contains("hint: make a new one by repeating the command with --save-plan"),
                "{refused:?}"
            );
        }
    }
    let requests: u64 = Platform::ALL.iter().map(|platform| direct.sims.stats_of(*platform).requests).sum();
    assert_eq!(requests, 0);
    assert!(direct.line("history").run().code(0).stderr.contains("No changes."));
}

#[test]
fn what_failed_is_tried_again_and_nothing_else_is() {
    let direct = Direct::start();
    let board = direct.credentials["TRELLO_BOARD_ID"].clone();
    let found = direct.json(&format!("trello find-duplicates --board {board}"), 0);
    let card = found["sets"][1]["copies"][0]["id"].as_str().unwrap().to_owned();
    let refused = json!({"kind": "forbidden", "only": format!("cards.archive {card}")});
    direct
        .sims
        .fault(Platform::Trello, serde_json::from_value::<opsctl::sandbox::sim::FaultSpec>(refused).unwrap())
        .unwrap();
    let done = direct.line(&format!("trello archive-duplicates --board {board} --yes")).run().code(8);
    assert!(done.stdout.contains("FAILED  1: ") && done.stdout.contains("2 of 3 done, 1 failed"), "{done:?}");
    let retry =
        done.stdout.lines().find_map(|l| l.strip_prefix("once the cause is mended: opsctl ")).unwrap().to_owned();
    assert!(retry.ends_with("--failed"), "{retry}");
    direct.sims.clear_all().unwrap();
    direct.sims.reset_stats();
    let plain = direct.line(retry.strip_suffix(" --failed").unwrap()).run().code(0);
    assert!(plain.stderr.contains("is finished already"), "{plain:?}");
    let again = direct.line(&format!("{retry} --yes")).run().code(0);
    assert!(again.stdout.contains("3 of 3 done"), "{again:?}");
    assert_eq!(direct.sims.stats_of(Platform::Trello).changed.len(), 1);
    direct.line("history verify").run().code(0);
}

#[test]
fn a_line_torn_by_a_crash_is_named_and_breaks_nothing() {
    let direct = Direct::start();
    let found = direct.json(&format!("trello find-duplicates --board {}", direct.credentials["TRELLO_BOARD_ID"]), 0);
    let card = found["sets"][0]["keep"]["id"].as_str().unwrap().to_owned();
    direct.line(&format!("trello archive {card} --yes")).run().code(0);
    let file = direct.world.path("state/journal/journal.jsonl");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{whole}{{\"n\":7,\"at\":\"2026-1")).unwrap();
    let torn = direct.line("history verify").run().code(0);
    assert!(
        torn.stdout.contains("torn by a crash") && torn.stdout.contains("the next change closes it off"),
        "{torn:?}"
    );
    direct.line("history").run().code(0);
    let other = found["sets"][1]["keep"]["id"].as_str().unwrap().to_owned();
    direct.line(&format!("trello archive {other} --yes")).run().code(0);
    let mended = direct.line("history verify -o json").run().code(0).json();
    assert_eq!((&mended["whole"], mended["torn"].as_array().map(Vec::len)), (&Value::Bool(true), Some(1)), "{mended}");
    // A byte changed in the middle is something else.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("trello archive", "trello_archive", 1)).unwrap();
    let broken = direct.line("history verify").run().code(3);
    assert!(broken.stdout.contains("FAIL  line 3"), "{broken:?}");
}
