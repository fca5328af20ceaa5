//! What is said while the orchestrator is silent: its last answers, its log, what runs it; and that it is silent.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::service::Service;
use crate::world::{Done, World};

/// Verbs whose last answer stands in, with the fields of the runbook's object or of the first in a list.
const STATUS: [&str; 5] = ["queue status", "circuit status", "rate-limits status", "executor status", "system status"];

fn pointed_at(world: &World, address: &str, more: &str) {
    world.write("config/config.toml", &format!("[contexts.local]\nurl = \"http://{address}\"\n{more}"));
}

/// A world whose orchestrator answered everything once and is gone.
fn bereaved() -> (World, Vec<Value>) {
    let world = World::new();
    let service = Service::start(world.line("serve -o jsonl --listen 127.0.0.1:0"));
    pointed_at(&world, service.url().trim_start_matches("http://"), "");
    let answers = STATUS.map(|line| world.line(&format!("{line} -o json")).run().code(0).json()).to_vec();
    world.line("maintenance daily").run();
    world.line("check health").run();
    drop(service);
    (world, answers)
}

fn ask(world: &World, line: &str) -> Done {
    world.line(line).run()
}

#[test]
fn the_last_answer_stands_in_with_its_age_and_ends_with_7() {
    let (world, answers) = bereaved();
    for (line, before) in STATUS.iter().zip(answers) {
        let done = ask(&world, &format!("{line} -o json")).code(7);
        let now = done.json();
        assert_eq!(now.as_array().map(Vec::len), before.as_array().map(Vec::len), "{line}");
        if *line == "queue status" {
            assert_eq!(now, before);
        }
        assert!(done.stderr.contains("does not answer: this is its answer of 2"), "{line}: {done:?}");
        assert!(done.stderr.contains(" ago; what changed since is unknown"), "{line}: {done:?}");
        let accepted = ask(&world, &format!("{line} --accept-stale")).code(0);
        assert!(
            !accepted.stdout.is_empty() && accepted.stderr.contains("this is its answer of"),
            "{line}: {accepted:?}"
        );
    }
    let one = ask(&world, "circuit:status notion -o json").code(7).json();
    assert_eq!(one, json!({ "platform": "notion", "state": "CLOSED", "failureCount": 0 }));
}

#[test]
fn what_is_kept_is_private_and_of_one_place() {
    let (world, _) = bereaved();
    let token = world.read("data/serve/admin.token");
    let folder = std::fs::read_dir(world.path("state/snapshots")).unwrap().next().unwrap().unwrap().path();
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        assert!(!std::fs::read_to_string(&path).unwrap().contains(token.trim()), "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 8, "six kinds of answers, and two of the daily check alone");
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    // What is damaged is as good as nothing.
    std::fs::write(folder.join("queue.json"), "{\"asOf\":").unwrap();
    let damaged = ask(&world, "queue status").code(7).stdout("");
    assert!(damaged.stderr.contains("caused by: no earlier answer is kept"), "{damaged:?}");
    // Another place gave no answer yet.
    pointed_at(&world, "127.0.0.1:1", "");
    ask(&world, "circuit status").code(7).stdout("");
}

#[test]
fn a_silent_orchestrator_is_never_called_healthy() {
    let (world, _) = bereaved();
    let health = ask(&world, "check health").code(7);
    assert!(health.stdout.starts_with("Now          UNKNOWN\n"), "{health:?}");
    let json = ask(&world, "check health -o json").code(7).json();
    assert_eq!((json.get("overall"), json["executors"]["notion"].get("status")), (None, None), "{json}");
    assert!(json["queue"]["depth"].is_u64(), "{json}");
    let accepted = ask(&world, "check health -o json --accept-stale").json();
    assert!(accepted["overall"].is_string(), "who accepts the age accepts the verdict: {accepted}");
    let check = ask(&world, "check health --exit-style check").code(3);
    assert!(check.stdout.starts_with("HEALTH UNKNOWN - no answer; at 2"), "{check:?}");

    let system = ask(&world, "system status").code(7);
    assert!(system.stdout.starts_with("Overall      UNKNOWN\nLast answer  2") && !system.stdout.contains("next: "));
    assert_eq!(ask(&world, "system status -o json").code(7).json().get("overall"), None);

    let daily = ask(&world, "maintenance daily").code(7);
    for name in ["System Health", "Queue Depth", "Circuit Breakers"] {
        let line = daily.stdout.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.starts_with("UNKNOWN") && line.contains("was "), "{daily:?}");
    }
    let memory = daily.stdout.lines().find(|line| line.contains("Memory Usage")).unwrap();
    assert!(!memory.contains("was ") && memory.contains(" on "), "this machine's is looked at: {daily:?}");
    assert!(daily.stderr.contains("this is its answer of"), "{daily:?}");
    let accepted = ask(&world, "maintenance daily --accept-stale");
    assert!(accepted.stdout.contains("Queue Depth: 0 (target: <50)"), "{accepted:?}");
}

#[test]
fn without_an_earlier_answer_its_log_says_what_it_can() {
    let world = World::new();
    let minute = |n: u64| {
        let at = opsctl::clock::Clock::system().now().minus(Duration::from_secs(60 * n));
        at.to_string()
    };
    let line = |fields: Value| format!("{fields}\n");
    let moved = line(json!({ "timestamp": minute(9), "level": "error", "component": "circuit", "platform": "notion",
        "message": "Circuit breaker is OPEN", "from": "CLOSED", "to": "OPEN", "failureCount": 5 }));
    let error = line(json!({ "timestamp": minute(8), "level": "error", "component": "executor", "platform": "notion",
        "message": "HTTP 503", "errorCode": "SERVICE_DOWN" }));
    world.write("logs/circuit-breakers.log", &moved);
    world.write("logs/errors.log", &error);
    world.write("logs/application.log", &format!("{moved}{error}"));
    pointed_at(
        &world,
        "127.0.0.1:1",
        &format!(
            "logs = {{ directory = \"{}\" }}\n[contexts.local.services.database]\nrestart = [\"true\"]\ncheck = \
             [\"false\"]\n",
            world.path("logs").display()
        ),
    );
    let circuit = ask(&world, "circuit status notion -o json").code(7);
    let json = circuit.json();
    assert_eq!((&json["state"], &json["failureCount"]), (&"OPEN".into(), &5.into()), "{circuit:?}");
    assert!(json.get("willResetAt").is_none());
    assert!(circuit.stderr.contains("this is from its log ~/logs/circuit-breakers.log, last written 2"), "{circuit:?}");
    assert!(circuit.stderr.contains("unknown: last failure, will reset at"), "{circuit:?}");
    assert!(ask(&world, "circuit status").code(7).stdout.contains("notion    OPEN"));

    let executor = ask(&world, "executor status notion -o json --accept-stale").code(0).json();
    assert_eq!((&executor["lastError"], executor.get("state")), (&"HTTP 503".into(), None), "{executor}");
    let system = ask(&world, "system status -o json").code(7);
    let json = system.json();
    assert_eq!(json["topErrors"][0]["code"], "SERVICE_DOWN", "{system:?}");
    assert_eq!(json["components"][0]["state"], "down", "what runs a service is asked: {system:?}");
    assert!(system.stderr.contains("what runs its services") && system.stderr.contains("unknown: service, overall"));
    // A log does not say how much waits.
    let queue = ask(&world, "queue status").code(7).stdout("");
    for part in ["no earlier answer is kept", "the last line of ~/logs/application.log is of 2", "8m"] {
        assert!(queue.stderr.contains(part), "{part}: {queue:?}");
    }
}

/// A listener whose queue of callers is full: whoever calls now hears nothing at all.
fn black_hole() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut callers = Vec::new();
    while let Ok(caller) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        callers.push(caller);
        assert!(callers.len() < 10_000, "the queue of callers has no end");
    }
    (listener, callers)
}

#[test]
fn an_address_that_swallows_everything_is_named_and_the_last_answer_shown() {
    let (listener, callers) = black_hole();
    let world = World::new();
    pointed_at(&world, &listener.local_addr().unwrap().to_string(), "");
    let bare = ask(&world, "queue status").code(7).stdout("");
    assert!(bare.stderr.contains("caused by: timed out connecting"), "{bare:?}");
    let refused = ask(&world, "queue clear --yes").code(7);
    let hint = "; without it work notion delete|remove-duplicates, trello archive|archive-duplicates, drive delete";
    assert!(refused.stderr.contains(hint), "{refused:?}");
    drop(callers);
}

#[test]
fn one_that_takes_calls_and_says_nothing_is_told_of_while_it_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let world = World::new();
    pointed_at(&world, &address.to_string(), "");
    for line in ["queue status", "system status", "queue failed", "restart all --yes", "maintenance daily"] {
        let mut child = world.line(line).command();
        let mut child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut first).unwrap();
        assert_eq!(first, format!("no answer from http://{address} yet; --timeout says how long to wait\n"), "{line}");
        assert!(child.try_wait().unwrap().is_none(), "{line}: it was said before the end");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let done = ask(&world, "queue status --timeout 300ms").code(7);
    assert!(done.stderr.contains("timed out after "), "{done:?}");
}

#[test]
fn an_answer_that_cannot_be_kept_is_an_answer_all_the_same() {
    let world = World::new();
    let service = Service::start(world.line("serve -o jsonl --listen 127.0.0.1:0"));
    pointed_at(&world, service.url().trim_start_matches("http://"), "");
    world.write("state/snapshots", "a file where the folder would be");
    ask(&world, "queue status").code(0).stderr("");
    let verbose = ask(&world, "queue status -v").code(0);
    assert!(verbose.stderr.contains("note: this answer is not kept for an outage"), "{verbose:?}");
}
