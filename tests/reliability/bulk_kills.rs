//! SIGKILL in the middle of a change of many items straight on a platform, with the orchestrator down; then
//! `opsctl history resume`. The simulator counts what was done to each object.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use opsctl::bulk::{Deed, Item, ItemsPlan};
use opsctl::clock::Clock;
use opsctl::guard::{Receipts, SavedPlan, Stage, Undo};
use opsctl::platforms::look::Target;
use opsctl::platforms::undo::Done;
use opsctl::platforms::{Call, Clients, Credentials};
use opsctl::redact::Redactor;
use opsctl::sandbox::sim::{SimOptions, Sims};
use opsctl::settings::Places;
use opsctl::wire::{ActionType, Platform};
use serde_json::json;

use crate::served::{TempDir, note, output, rounds};

/// Items of one clean-up.
const ITEMS: usize = 200;
/// Kills when `OPSCTL_KILL_ROUNDS` does not say.
const ROUNDS: usize = 5;
/// Where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

/// An operator's machine with a context whose orchestrator is down.
struct Desk {
    folder: TempDir,
    sims: Sims,
    clients: Clients,
    env: std::collections::BTreeMap<String, String>,
}

impl Desk {
    async fn new() -> Self {
        let folder = TempDir::new("bulk-kills");
        let sims = Sims::start(SimOptions { limits: false, latency: 1..=6, ..SimOptions::default() }).await.unwrap();
        let env = sims.credentials(folder.path()).unwrap();
        let endpoints = toml(&serde_json::to_value(sims.endpoints()).unwrap());
        let config = format!(
            "[contexts.here]\nurl = \"{NOBODY}\"\n[contexts.here.pace]\nnotion = 100000\n[contexts.here.platforms]\n{endpoints}"
        );
        std::fs::create_dir_all(folder.path().join("config")).unwrap();
        std::fs::write(folder.path().join("config/config.toml"), config).unwrap();
        let clients = Clients::new(sims.endpoints(), Credentials::from_env(&env), Clock::system());
        Desk { folder, sims, clients, env }
    }

    fn opsctl(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
        let root = self.folder.path();
        command.env_clear().envs(&self.env).env("HOME", root).env("OPSCTL_CONTEXT", "here").stdin(Stdio::null());
        for part in ["config", "data", "state", "cache"] {
            command.env(format!("OPSCTL_{}_DIR", part.to_uppercase()), root.join(part));
        }
        command.args(line);
        command
    }

    /// A new page, to be moved to the trash.
    async fn page(&self, round: usize, n: usize) -> Item {
        let data = json!({"title": format!("Round {round}, page {n}")});
        let made = self.clients.execute(&Call::new(Platform::Notion, ActionType::Create, data)).await.unwrap();
        let id = made.result["pageId"].as_str().unwrap().to_owned();
        let data = json!({"page_id": id});
        let target = Target { action: ActionType::Delete, data: &data, among: None };
        let print = self.clients.print_now(Platform::Notion, &target).await.unwrap().unwrap();
        Item::new(id, Deed::act(Platform::Notion, ActionType::Delete, data)).seen(print).undo(Undo::Restore)
    }

    /// New pages, and a plan that moves them to the trash.
    async fn plan(&self, round: usize) -> (PathBuf, Vec<String>) {
        let items: Vec<Item> =
            futures_util::stream::iter(0..ITEMS).map(|n| self.page(round, n)).buffered(16).collect().await;
        let ids = items.iter().map(|item| item.id.clone()).collect();
        let now = Clock::system().now();
        let plan = SavedPlan {
            verb: "apply".into(),
            title: format!("move {ITEMS} pages to the trash"),
            context: "here".into(),
            url: NOBODY.into(),
            created_at: now,
            expires_at: SavedPlan::<ItemsPlan>::expiry(now),
            plan: ItemsPlan { subject: Some("notion database".into()), notes: vec![], items },
        };
        let path = self.folder.path().join(format!("plan-{round}"));
        plan.save(&path, &Redactor::default()).unwrap();
        (path, ids)
    }

    /// Takes a page out of the trash, edits it, and trashes it again.
    async fn edit_in_the_trash(&self, id: &str) {
        let done = Done {
            platform: Platform::Notion,
            action_type: ActionType::Delete,
            data: json!({"page_id": id}),
            result: json!({"pageId": id}),
            before: None,
            marker: None,
            at: Clock::system().now(),
        };
        self.clients.undo(&done, false, Duration::from_secs(10)).await.unwrap();
        let edit = json!({"page_id": id, "title": "edited"});
        for (action, data) in [(ActionType::Update, edit), (ActionType::Delete, json!({"page_id": id}))] {
            self.clients.execute(&Call::new(Platform::Notion, action, data)).await.unwrap();
        }
    }

    /// The newest receipt and how many of its items are in doubt.
    fn newest(&self) -> Option<(String, usize)> {
        let receipts = Receipts::new(&Places::under(self.folder.path()), Redactor::default());
        let newest = receipts.since(None).unwrap().next()?.unwrap();
        let stages = receipts.record_of::<Item>(&newest.id).unwrap().stages;
        Some((newest.id, stages.iter().filter(|stage| matches!(stage, Stage::InDoubt { .. })).count()))
    }

    /// Runs a line that has to succeed.
    fn succeed(&self, line: &[&str]) -> String {
        let done = output(&mut self.opsctl(line));
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(0), "{line:?}: {text}");
        text
    }

    /// Every page was moved to the trash once, and nothing else was.
    fn assert_each_once(&self, ids: &[String]) {
        let changed = self.sims.stats_of(Platform::Notion).changed;
        let wrong: Vec<_> = ids.iter().filter(|id| changed.get(&format!("pages.trash {id}")) != Some(&1)).collect();
        assert_eq!((wrong, changed.len()), (vec![], ids.len()));
    }
}

/// The addresses as lines of a TOML table.
fn toml(endpoints: &serde_json::Value) -> String {
    let lines = endpoints.as_object().unwrap().iter().filter(|(_, value)| value.is_string());
    lines.map(|(name, value)| format!("{name} = {value}\n")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_clean_up_is_finished_and_does_nothing_twice() {
    let rounds = rounds(ROUNDS);
    let desk = Desk::new().await;
    let (mut kills, mut with_doubt, mut round) = (0, 0, 0);
    while kills < rounds {
        round += 1;
        assert!(round < 10 * rounds + 10, "no kill lands in the middle");
        let (plan, ids) = desk.plan(round).await;
        desk.sims.reset_stats();
        let mut command = desk.opsctl(&["apply", plan.to_str().unwrap(), "--yes", "-q"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Only a kill in the middle counts: somewhere between the first and the last page.
        let until = fastrand::u64(1..ITEMS as u64 - 10);
        while desk.sims.stats_of(Platform::Notion).writes < until && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let _ = child.kill();
        if child.wait().unwrap().code().is_some() {
            continue;
        }
        kills += 1;
        let (id, in_doubt) = desk.newest().expect("a receipt");
        with_doubt += usize::from(in_doubt > 0);
        let text = desk.succeed(&["history", "resume", "--yes"]);
        assert!(text.contains(&format!("{ITEMS} of {ITEMS} done")) && text.contains(&id), "{text}");
        desk.assert_each_once(&ids);
    }
    // Each line holds the hash of the one before: one look covers every round.
    let chain = desk.succeed(&["history", "verify"]);
    let lines = chain.lines().find(|line| line.starts_with("OK")).expect("a whole chain");
    note(&format!(
        "clean-up kill loop: {kills} kills of {ITEMS} items, {with_doubt} with a write in doubt; 0 missed, 0 done twice; \
         the journal: {lines}"
    ));
    assert!(with_doubt * 5 >= kills, "too few kills with a write in doubt: {with_doubt} of {kills}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_executed_exactly_taken_back_and_leaves_alone_what_was_touched() {
    let desk = Desk::new().await;
    let (plan, ids) = desk.plan(0).await;
    let plan = plan.to_str().unwrap();
    // Three are edited by somebody else meanwhile.
    for id in &ids[10..13] {
        let data = json!({"page_id": id, "title": "edited"});
        desk.clients.execute(&Call::new(Platform::Notion, ActionType::Update, data)).await.unwrap();
    }
    desk.sims.reset_stats();
    desk.succeed(&["apply", plan, "--dry-run"]);
    assert_eq!(desk.sims.stats_of(Platform::Notion).requests, 0, "a dry run of a saved plan asks nobody");
    let refused = output(&mut desk.opsctl(&["apply", plan, "--yes", "--max-items", "100"]));
    assert_eq!(refused.status.code(), Some(6));
    let done = output(&mut desk.opsctl(&["apply", plan, "--yes"]));
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(8), "{text}");
    assert!(text.contains("197 of 200 done, 3 left alone") && text.contains("LEFT ALONE  3"), "{text}");
    assert_eq!(desk.sims.stats_of(Platform::Notion).writes, 197);

    // One is taken back alone; another one is taken out of the trash, edited, and trashed again by somebody else.
    let (id, _) = desk.newest().unwrap();
    desk.succeed(&["undo", &id, "--item", &ids[0], "--yes"]);
    desk.edit_in_the_trash(&ids[1]).await;
    desk.sims.reset_stats();
    let dry = output(&mut desk.opsctl(&["undo", &id, "--dry-run"]));
    let text = format!("{}{}", String::from_utf8_lossy(&dry.stdout), String::from_utf8_lossy(&dry.stderr));
    assert!(text.contains("195 changes") && text.contains(&format!("left alone: {}", ids[1])), "{text}");
    assert_eq!(desk.sims.stats_of(Platform::Notion).writes, 0);
    let done = output(&mut desk.opsctl(&["undo", &id, "--yes"]));
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(8), "{text}");
    assert!(text.contains("195 of 195 done"), "{text}");
    let changed = desk.sims.stats_of(Platform::Notion).changed;
    assert_eq!((changed.len(), changed.values().max()), (195, Some(&1)), "each once");
    let again = output(&mut desk.opsctl(&["undo", &id, "--yes"]));
    assert_eq!(again.status.code(), Some(8), "one is still left alone");
    desk.succeed(&["history", "verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_plan_sends_nothing() {
    let desk = Desk::new().await;
    let (plan, _) = desk.plan(0).await;
    let whole = std::fs::read(&plan).unwrap();
    desk.sims.reset_stats();
    for _ in 0..8 {
        let mut bytes = whole.clone();
        bytes[fastrand::usize(..whole.len())] ^= 1 << fastrand::u8(..8);
        std::fs::write(&plan, bytes).unwrap();
        let refused = output(&mut desk.opsctl(&["apply", plan.to_str().unwrap(), "--yes"]));
        assert_eq!(refused.status.code(), Some(6), "{}", String::from_utf8_lossy(&refused.stderr));
    }
    std::fs::write(&plan, whole).unwrap();
    let elsewhere = output(&mut desk.opsctl(&["apply", plan.to_str().unwrap(), "--yes", "--context", "local"]));
    assert_eq!(elsewhere.status.code(), Some(6));
    assert_eq!(desk.sims.stats_of(Platform::Notion).requests, 0);
    assert_eq!(desk.newest(), None);
}
