//! Sandboxes as a user starts, breaks and stops them, each in a home of its own.

mod alerts;
mod corruption;
mod maintenance;
mod procedures;
mod reports;
mod waiting;
mod workflows;
#[path = "../cli/world.rs"]
#[allow(dead_code)]
mod world;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use world::{Done, World};

/// A home with at most one sandbox in it, which ends with the value whatever happens.
struct Sandbox {
    world: World,
    idle: &'static str,
}

impl Sandbox {
    fn new() -> Self {
        Sandbox { world: World::new(), idle: "30m" }
    }

    fn up() -> Self {
        let sandbox = Sandbox::new();
        sandbox.run("sandbox up").code(0);
        sandbox
    }

    fn run(&self, line: &str) -> Done {
        self.world.line(line).env("OPSCTL_SANDBOX_IDLE", self.idle).run()
    }

    fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} -o json")).code(0).json()
    }

    fn record(&self) -> Value {
        serde_json::from_str(&self.world.read("state/sandbox/record.json")).unwrap()
    }

    /// Process numbers of host and orchestrator.
    fn pids(&self) -> Vec<u64> {
        let record = self.record();
        ["host", "serve"].iter().filter_map(|name| record[name]["pid"].as_u64()).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let record = std::fs::read(self.world.path("state/sandbox/record.json")).unwrap_or_default();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        let down = self.run("sandbox down");
        if down.code != Some(0) {
            for name in ["host", "serve"] {
                if let Some(pid) = record[name]["pid"].as_u64().filter(|pid| runs(*pid)) {
                    kill(pid);
                }
            }
        }
    }
}

/// Whether a process runs; one that nobody has waited for does not.
fn runs(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn kill(pid: u64) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    eventually("the process ends", || !runs(pid));
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 20s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn up_shows_what_runs_and_down_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    // Whoever starts it has something open that would end with nobody.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 7>leak; exec \"$0\" sandbox up"]).arg(env!("CARGO_BIN_EXE_opsctl"));
    shell.current_dir(sandbox.world.path("")).env("HOME", sandbox.world.path(""));
    let output = shell.env("OPSCTL_STATE_DIR", sandbox.world.path("state")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let pids = sandbox.pids();
    assert_eq!((pids.len(), pids.iter().all(|pid| runs(*pid))), (2, true));
    for pid in &pids {
        let open = std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
        assert_eq!(open.to_str(), Some("/dev/null"));
        let all = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let mut opened = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        assert!(!opened.any(|path| path.ends_with("leak")), "{pid} holds what it was handed");
    }
    let again = sandbox.run("sandbox up").code(0);
    assert!(again.stdout.starts_with("the sandbox is already up at http://127.0.0.1:"), "{again:?}");
    assert_eq!(sandbox.pids(), pids);

    let status = sandbox.json("sandbox status");
    assert_eq!((&status["state"], &status["clock"]["offsetMs"]), (&"up".into(), &0.into()));
    assert_eq!(status["platforms"].as_object().unwrap().len(), 8);
    assert!(status["requests"]["trello"]["total"].as_u64() >= Some(20), "{status}");
    for name in [
        "platform",
        "actionId",
        "dbId",
        "boardId",
        "fileId",
        "spreadsheetId",
        "row",
        "channel",
        "pageId",
        "cardId",
        "workflowId",
        "key",
    ] {
        assert!(status["placeholders"][name].is_string(), "{name} is missing: {status}");
    }
    // Nothing new begins: what is shown is still there at the next look, once what was in flight is done.
    sandbox.run("pause all --context sandbox").code(0);
    eventually("the item that fits into the runbook's lines is there", || {
        let id = sandbox.json("sandbox status")["placeholders"]["actionId"].as_str().unwrap().to_owned();
        sandbox.run(&format!("queue show {id} --context sandbox")).code == Some(0)
    });

    let log = sandbox.world.read("state/sandbox/member2.log");
    assert!(log.lines().count() >= 50);
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone());
    assert!(events.clone().all(|event| event == "action:ready" || event == "workflow:ready"));
    assert!(events.clone().any(|event| event == "workflow:ready"));

    sandbox.run("sandbox down").stdout("the sandbox is down; its state is kept\n").code(0);
    assert_eq!(pids.iter().filter(|pid| runs(**pid)).count(), 0);
    sandbox.run("sandbox down").stdout("the sandbox is already down\n").code(0);
    assert_eq!(sandbox.json("sandbox status")["state"], "down");
    sandbox.run("sandbox fault list").code(7);
}

#[test]
fn a_second_start_goes_on_where_the_first_ended() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);
    sandbox.run("sandbox clock advance 2h").code(0);
    sandbox.run("sandbox fault drive slow=10").code(0);
    let before = sandbox.json("sandbox status");
    sandbox.run("sandbox down").code(0);
    sandbox.run("sandbox up").code(0);
    let after = sandbox.json("sandbox status");
    assert_eq!(after["clock"]["offsetMs"], 7_200_000);
    assert_eq!(after["traffic"]["on"], false);
    for name in ["url", "platforms", "faults"] {
        assert_eq!(after[name], before[name], "{name}");
    }
}

#[test]
fn eight_at_once_start_one() {
    let sandbox = Sandbox::new();
    let line = |line: &str| {
        let mut command = sandbox.world.line(line).command();
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.stdin(std::process::Stdio::null()).spawn().unwrap()
    };
    let lines = ["sandbox up", "queue status --context sandbox"];
    let mut children: Vec<_> = (0..8).map(|n| line(lines[n % 2])).collect();
    for child in &mut children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let log = sandbox.world.read("state/sandbox/host.log");
    assert_eq!(log.lines().filter(|line| line.contains(" up at ")).count(), 1, "{log}");
    assert!(sandbox.pids().into_iter().all(runs));
}

#[test]
fn a_read_starts_one_and_a_change_does_not() {
    let sandbox = Sandbox::new();
    let refused = sandbox.run("queue pause --context sandbox --yes").stdout("").code(7);
    assert!(refused.stderr.contains("hint: start it with `opsctl sandbox up`"), "{refused:?}");
    assert!(!sandbox.world.path("state/sandbox/record.json").exists());

    let read = sandbox.run("queue status --context sandbox").code(0);
    assert_eq!(read.stderr, "starting the sandbox; `opsctl sandbox down` stops it\n");
    sandbox.run("queue pause --context sandbox --yes").code(0);
    // Put down cleanly is as good as never started.
    sandbox.run("sandbox down").code(0);
    sandbox.run("queue resume --context sandbox --yes").code(7);
    sandbox.run("circuit:status --context sandbox").code(0);
}

#[test]
fn what_was_killed_is_an_outage_until_up_repairs_it() {
    let sandbox = Sandbox::up();
    let [host, serve] = sandbox.pids()[..] else { panic!() };
    let bypass = "config set NOTION_CIRCUIT_BREAKER_ENABLED=false --expires 30m --yes --context sandbox";
    sandbox.run(bypass).code(0);
    kill(serve);
    for line in ["queue status --context sandbox", "queue pause --context sandbox --yes"] {
        let outage = sandbox.run(line).stdout("").code(7);
        assert!(outage.stderr.contains("opsctl sandbox up"), "{outage:?}");
    }
    for line in ["logs search", "logs actions --since 1h", "analyze retries", "logs search --group-by component"] {
        let answer = sandbox.run(&format!("{line} --context sandbox")).code(7);
        assert!(!answer.stdout.is_empty(), "{line}: {answer:?}");
        let told = "the sandbox's orchestrator does not answer: this is from its log ~/";
        assert!(answer.stderr.contains(told) && answer.stderr.contains("; its last line is of "), "{line}: {answer:?}");
        sandbox.run(&format!("{line} --context sandbox --accept-stale")).code(0);
    }
    let status = sandbox.run("sandbox status -o json").code(7).json();
    assert_eq!(status["state"], "broken");
    let repaired = sandbox.run("sandbox up").code(0);
    assert!(repaired.stdout.contains("(started: orchestrator)"), "{repaired:?}");
    assert_eq!(sandbox.pids()[0], host);
    sandbox.run("queue status --context sandbox").code(0);
    // What was set for a time still ends by itself.
    let guarded = || sandbox.json("config get NOTION_CIRCUIT_BREAKER_ENABLED --context sandbox")["value"] == "true";
    assert!(!guarded());
    sandbox.run("sandbox clock advance 31m").code(0);
    eventually("the circuit breaker's way back", guarded);

    let [host, serve] = sandbox.pids()[..] else { panic!() };
    kill(host);
    let outage = sandbox.run("queue status --context sandbox").code(7);
    assert!(outage.stdout.starts_with("Queued") && outage.stderr.contains("this is its answer of"), "{outage:?}");
    sandbox.run("sandbox up").code(0);
    assert!(!runs(serve), "a second orchestrator was started beside the first");
    sandbox.run("queue status --context sandbox").code(0);
    let pids = sandbox.pids();
    kill(pids[0]);
    let down = sandbox.run("sandbox down").code(0);
    assert_eq!(down.stdout, "the sandbox is down; something of it had been killed before\n");
    assert!(!pids.into_iter().any(runs));
}

#[test]
fn one_that_nobody_uses_stops_by_itself() {
    let sandbox = Sandbox { world: World::new(), idle: "3s" };
    sandbox.run("sandbox up").code(0);
    let pids = sandbox.pids();
    eventually("the sandbox stops", || sandbox.record()["state"] == "down" && !pids.iter().any(|pid| runs(*pid)));
    assert!(sandbox.world.path("state/sandbox/sims.json").exists());
    assert!(sandbox.world.read("state/sandbox/host.log").contains("down: nobody used it"));
}

#[test]
fn faults_are_put_on_and_taken_off() {
    let sandbox = Sandbox::up();
    let on = sandbox.json("sandbox fault trello slow=250 --count 2 --only create");
    assert_eq!((&on[0]["api"], &on[0]["kind"], &on[0]["remaining"]), (&"trello".into(), &"slow".into(), &2.into()));
    sandbox.run("sandbox fault status html").code(0);
    assert_eq!(sandbox.json("sandbox status")["faults"].as_array().unwrap().len(), 2);
    assert_eq!(sandbox.json("sandbox fault clear trello").as_array().unwrap().len(), 1);
    sandbox.run("sandbox fault clear").stdout("").stderr("1 fault cleared, none is on\n").code(0);
    for wrong in [
        "fault trelo 503",
        "fault trello banana",
        "fault trello",
        "fault clear --count 2",
        "fault trello down --count 1",
    ] {
        sandbox.run(&format!("sandbox {wrong}")).stdout("").code(2);
    }
}

#[test]
fn a_pause_is_named_instead_of_waited_for() {
    let sandbox = Sandbox::up();
    sandbox.run("pause all --context sandbox").code(0);
    for line in ["sandbox scenario issue-2", "sandbox scenario clear"] {
        let paused = sandbox.run(line).stdout("").code(6);
        assert!(paused.stderr.contains("opsctl resume all --context sandbox"), "{paused:?}");
    }
    assert!(sandbox.json("sandbox status").get("scenario").is_none());
}

#[test]
fn ten_workers_have_ten_requests_in_flight() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);
    sandbox.run("queue pause --context sandbox").code(0);
    // Ten at a time: more in one request would wait for approval.
    for ten in 0..3 {
        let actions: Vec<Value> = (0..10)
            .map(|n| json!({"type": "create", "platform": "trello", "data": {"name": format!("card {ten}{n}")}}))
            .collect();
        sandbox.world.write("actions.json", &Value::from(actions).to_string());
        sandbox.run("api POST /admin/v1/actions --data @actions.json --context sandbox --yes").code(0);
    }
    sandbox.run("config set QUEUE_WORKERS=10 --context sandbox --yes").code(0);
    let restarted = sandbox.run("restart workers --context sandbox --yes").code(0);
    assert!(restarted.stdout.contains("QUEUE_WORKERS 5 -> 10"), "{restarted:?}");

    sandbox.run("sandbox fault trello slow=1000 --only create").code(0);
    sandbox.run("queue resume --context sandbox").code(0);
    let most = || sandbox.json("sandbox status")["requests"]["trello"]["maxInFlight"].clone();
    eventually("ten are in flight", || most() == 10);
    eventually("all are executed", || sandbox.json("queue status --context sandbox")["totalQueued"] == 0);
    assert_eq!(most(), 10);
}

#[test]
fn issue_2_from_the_first_failure_to_closed() {
    let sandbox = Sandbox::up();
    let made = sandbox.json("sandbox scenario issue-2");
    assert_eq!(made["scenario"], "issue-2");
    let second = sandbox.run("sandbox scenario issue-7").code(6);
    assert!(second.stderr.contains("sandbox scenario clear"), "{second:?}");

    let circuit = sandbox.json("circuit status notion --context sandbox");
    assert_eq!((&circuit["state"], circuit["failureCount"].as_u64() >= Some(5)), (&"OPEN".into(), true), "{circuit}");
    let time = |field: &str| circuit[field].as_str().unwrap().parse::<opsctl::wire::Time>().unwrap();
    assert_eq!(time("willResetAt").0 - time("openedAt").0, 30_000);
    let status = sandbox.json("sandbox status");
    assert_eq!((&status["scenario"], &status["placeholders"]["platform"]), (&"issue-2".into(), &"notion".into()));

    sandbox.run("sandbox scenario clear").code(0);
    assert_eq!(sandbox.json("circuit status notion --context sandbox")["state"], "CLOSED");
    let history = sandbox.json("circuit history notion --context sandbox");
    let states: Vec<&str> = history.as_array().unwrap().iter().filter_map(|t| t["to"].as_str()).collect();
    assert_eq!(states, ["OPEN", "HALF_OPEN", "CLOSED"], "{history}");
    assert_eq!(sandbox.json("sandbox fault list"), Value::Array(Vec::new()));
}

#[test]
fn every_other_scenario_shows_and_ends() {
    let sandbox = Sandbox::up();
    let names: Vec<Value> = sandbox.json("sandbox scenario list").as_array().unwrap().clone();
    for name in names.iter().filter_map(|row| row["name"].as_str()).filter(|name| *name != "issue-2") {
        let made = sandbox.json(&format!("sandbox scenario {name}"));
        assert!(made["facts"].as_array().unwrap().len() > 1, "{made}");
        match name {
            "issue-1" => assert_ne!(sandbox.json("queue stuck --context sandbox")["total"], 0),
            "issue-5" => {
                let limit = sandbox.json("rate-limits status notion --context sandbox");
                assert_eq!(limit["limit"], 3);
            }
            "issue-6" | "issue-7" | "issue-10" => {
                assert_eq!(sandbox.json("executor status notion --context sandbox")["health"], "down");
            }
            "issue-3" => assert_eq!(sandbox.json("config get ENABLE_IDEMPOTENCY --context sandbox")["value"], "false"),
            "issue-4" => assert_ne!(sandbox.json("workflow failed --context sandbox")["total"], 0),
            "issue-8" => {
                let id = sandbox.json("sandbox status")["placeholders"]["workflowId"].clone();
                let id = id.as_str().unwrap();
                sandbox.run(&format!("workflow status {id} --context sandbox")).code(3);
            }
            "procedure-2" => {
                let id = sandbox.json("sandbox status")["placeholders"]["workflowId"].clone();
                let id = id.as_str().unwrap();
                let plan = sandbox.run(&format!("state rebuild {id} --dry-run --context sandbox")).code(0);
                assert!(plan.stdout.contains("the log says: completed"), "{plan:?}");
            }
            other => panic!("no check for {other}"),
        }
        sandbox.run("sandbox scenario clear").code(0);
        let executor = sandbox.json("executor status notion --context sandbox");
        assert_ne!(executor["health"], "down", "{name}: {executor}");
    }
}

#[test]
fn the_clock_only_goes_forward() {
    let sandbox = Sandbox::up();
    // The orchestrator's own idea of the time.
    let time = || {
        let limit = sandbox.json("rate-limits status trello --context sandbox");
        limit["resetAt"].as_str().unwrap().parse::<opsctl::wire::Time>().unwrap().0
    };
    let before = time();
    let clock = sandbox.json("sandbox clock advance 3h");
    assert_eq!(clock["offsetMs"], 10_800_000);
    // A window of 10 seconds may have been at its end before and be at its start now.
    assert!(time() - before > 10_800_000 - 20_000);
    for wrong in ["advance", "advance -1h", "advance 0s", "back 1h"] {
        sandbox.run(&format!("sandbox clock {wrong}")).code(2);
    }
    assert_eq!(sandbox.json("sandbox clock")["offsetMs"], 10_800_000);
}
