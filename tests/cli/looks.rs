//! The verbs that only look, against a real service with simulated platforms, and against what is no service at all.

use opsctl::sandbox::sim::Fault;
use opsctl::wire::Platform;
use serde_json::Value;

use crate::service::Scene;
use crate::world::World;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Every look, each as somebody would type it.
const LOOKS: [&str; 13] = [
    "check health",
    "check health notion",
    "check health --all --verbose",
    "system status",
    "metrics performance",
    "metrics requests",
    "metrics actions",
    "logs errors",
    "config get QUEUE_WORKERS",
    "config list",
    "config validate",
    "test auth --all",
    "token list",
];

#[test]
fn health_of_the_whole_and_of_platforms() {
    let scene = Scene::start();
    assert_eq!(scene.card("act-1"), "success");
    let whole = scene.line("check:health -o json").run().code(0).json();
    assert_eq!(keys(&whole), ["overall", "executors", "queue"]);
    assert_eq!(whole["overall"], "healthy");
    let one = scene.line("check health trello -o json").run().code(0).json();
    assert_eq!((&one["platform"], &one["status"], &one["sample"]), (&"trello".into(), &"healthy".into(), &1.into()));
    for field in ["circuitBreaker", "rateLimit", "lastSuccess", "avgResponseTime", "errorRate"] {
        assert!(one.get(field).is_some(), "{field}: {one}");
    }
    let all = scene.line("check health --all -o json").run().code(0).json();
    assert_eq!(all.as_array().unwrap().len(), 5);
    let text = scene.line("check health trello slack --verbose").run().code(0);
    let trello = text.stdout.lines().nth(1).unwrap();
    assert!(trello.starts_with("trello    OK") && trello.contains("0.0% of 1 in 1h"), "{text:?}");

    scene.sims.fault(Platform::Notion, Fault::Unauthorized).unwrap();
    scene.line("test auth notion").run().code(3);
    let down = scene.line("check health notion trello").run().code(3);
    let notion = down.stdout.lines().nth(1).unwrap();
    assert!(notion.starts_with("notion    DOWN") && notion.contains("authentication"), "{down:?}");
    let check = scene.line("check health --exit-style check").run().code(1);
    assert!(check.stdout.starts_with("HEALTH WARNING - notion DOWN (") && check.stdout.contains(" | queue_depth=0 "));
    scene.line("check health notion --exit-style check").run().code(2);
    let whole = scene.line("check health").run().code(3);
    assert!(whole.stdout.starts_with("Overall       DEGRADED\n"), "{whole:?}");
}

#[test]
fn sign_in_has_the_runbooks_fields_and_a_hanging_platform_is_a_row() {
    let scene = Scene::start();
    scene.line("test auth --all").run().code(0);
    scene.sims.fault(Platform::Notion, Fault::Unauthorized).unwrap();
    let refused = scene.line("test:auth notion -o json").run().code(3).json();
    assert_eq!(keys(&refused), ["platform", "authenticated", "error", "lastSuccessfulAuth"]);
    assert_eq!((&refused["platform"], &refused["authenticated"]), (&"notion".into(), &false.into()));
    scene.sims.fault(Platform::Trello, Fault::Hang).unwrap();
    let all = scene.line("test auth --timeout 2s").run().code(3);
    let row = |name: &str| all.stdout.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{all:?}"));
    assert!(row("notion").contains("FAIL") && row("slack").contains("OK"), "{all:?}");
    assert!(row("trello").contains("TIMEOUT") && row("trello").contains("no answer within 2s"), "{all:?}");
    let silent = scene.line("test auth trello slack --timeout 2s -o json").run().code(3).json();
    assert_eq!(silent[0].get("authenticated"), None, "nobody said that it is not: {silent}");
}

#[test]
fn errors_are_a_log_with_causes_and_the_next_command() {
    let scene = Scene::start();
    let none = scene.line("logs errors").run().code(0).stdout("");
    assert!(none.stderr.starts_with("No errors."), "{none:?}");
    scene.sims.fault(Platform::Trello, Fault::Unauthorized).unwrap();
    for id in ["act-1", "act-2", "act-3"] {
        assert_eq!(scene.card(id), "failed");
    }
    let text = scene.line("logs:errors --limit 2 --executor trello").run().code(0).stdout;
    assert!(!text.contains("act-1") && text.find("act-2").unwrap() < text.find("act-3").unwrap(), "{text}");
    assert!(text.contains("3 errors match, 2 shown: 3 AUTH_ERROR\n"), "{text}");
    let cause = text.lines().last().unwrap();
    assert!(cause.starts_with("Authentication failed  trello") && cause.ends_with("opsctl test auth trello"), "{text}");
    let json = scene.line("logs errors -o json").run().code(0).json();
    assert_eq!(json["errors"][0]["actionId"], "act-3", "the API's answer, newest first");
    assert_eq!(json["byCode"]["AUTH_ERROR"], 3);
    let lines = scene.line("logs errors -o jsonl --limit 2").run().code(0).stdout;
    let ids: Vec<_> = lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["actionId"].clone()).collect();
    assert_eq!(ids, ["act-2", "act-3"]);
    let other = scene.line("logs errors --platform notion --since 1h").run().code(0).stdout("");
    assert!(other.stderr.starts_with("No errors."), "{other:?}");
}

#[test]
fn metrics_show_rates_with_their_sample() {
    let scene = Scene::start();
    scene.card("act-1");
    scene.card("act-2");
    scene.sims.fault(Platform::Trello, Fault::Unauthorized).unwrap();
    scene.card("act-3");
    let text = scene.line("metrics performance --since 7d").run().code(0).stdout;
    assert!(text.starts_with("NOW is the last 7d (3 actions), BEFORE the 7d before it (0 actions)\n"), "{text}");
    assert!(text.contains("66.7% (2 of 3)"), "{text}");
    let json = scene.line("metrics performance --since 1h -o json").run().code(0).json();
    assert_eq!(keys(&json), ["current", "previous", "byPlatform", "keptSince"]);
    let text = scene.line("metrics actions --platform trello --breakdown").run().code(0).stdout;
    let row = text.lines().last().unwrap();
    assert!(row.starts_with("trello    create") && row.ends_with("1 AUTH_ERROR"), "{text}");
    let summed = scene.line("metrics actions").run().code(0).stdout;
    assert!(summed.lines().last().unwrap().contains("66.7% (2 of 3)"), "{summed}");
    let none = scene.line("metrics actions --platform slack --since 5m").run().code(0).stdout("");
    assert_eq!(none.stderr, "No action ended in the last 5m.\n");
    let requests = scene.line("metrics:requests --platform trello --window 5m -o json").run().code(0).json();
    assert_eq!((&requests["windowMs"], &requests["platforms"][0]["requests"]), (&300_000.into(), &3.into()));
}

#[test]
fn one_screen_says_the_worst_first_and_what_to_type() {
    let scene = Scene::start();
    let calm = scene.line("system status").run().code(0).stdout;
    assert!(calm.starts_with("Overall  HEALTHY\n") && !calm.contains("next: "), "{calm}");
    scene.line("config set QUEUE_WORKERS=7 --yes").run().code(0);
    scene.line("pause all --reason migration").run().code(0);
    let text = scene.line("system:status").run().code(0).stdout;
    let pause = text.find("everything is paused by").unwrap_or_else(|| panic!("{text}"));
    let pending = text.find("waits for a restart: QUEUE_WORKERS 5 -> 7").unwrap_or_else(|| panic!("{text}"));
    assert!(pause < pending && text.contains(": migration"), "{text}");
    assert_eq!(text.lines().last(), Some("next: opsctl resume all --slow-start"));
    let json = scene.line("system status -o json").run().code(0).json();
    assert_eq!((&json["pauses"][0]["scope"], &json["service"]["environment"]), (&"all".into(), &"staging".into()));
}

#[test]
fn the_daily_check_has_seven_lines_in_the_runbooks_order() {
    let scene = Scene::start();
    const NAMES: [&str; 7] = [
        "System Health",
        "Success Rate",
        "Queue Depth",
        "Circuit Breakers",
        "Error Rate",
        "Disk Space",
        "Memory Usage",
    ];
    scene.card("act-1");
    let json = scene.line("maintenance:daily -o json").run().json();
    let names: Vec<_> = json["checks"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, NAMES);
    assert_eq!((&json["checks"][1]["verdict"], &json["checks"][1]["measured"]), (&"OK".into(), &1.0.into()));

    scene.sims.fault(Platform::Trello, Fault::Unauthorized).unwrap();
    scene.card("act-2");
    let done = scene.line("maintenance daily").run().code(3);
    let line = |name: &str| done.stdout.lines().find(|l| l.contains(name)).unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!(line("Success Rate"), "FAIL     Success Rate: 50.0% (target: >95%) · 1 of 2 actions in 24h");
    assert_eq!(line("Error Rate"), "FAIL     Error Rate: 50.0% (target: <5%) · 1 of 2 actions in 24h");
    assert_eq!(line("Circuit Breakers"), "OK       Circuit Breakers: All CLOSED");
    let check = scene.line("maintenance daily --exit-style check").run().code(2);
    assert_eq!(check.stdout.lines().count(), 1);
    assert!(
        check.stdout.starts_with("DAILY CRITICAL - ") && check.stdout.contains(" | success_rate=50%;;95: "),
        "{check:?}"
    );
}

#[test]
fn where_nobody_answers_nothing_is_healthy() {
    let world = World::configured("context = \"there\"\n[contexts.there]\nurl = \"http://127.0.0.1:1\"\n");
    for look in LOOKS {
        let done = world.line(look).run().code(7);
        assert_eq!(done.stdout, "", "{look}");
        assert!(done.stderr.contains("caused by: ") && done.stderr.contains("hint: "), "{look}: {done:?}");
    }
    let daily = world.line("maintenance daily").run().code(7);
    assert_eq!(daily.stdout.lines().filter(|l| l.starts_with("UNKNOWN  ")).count(), 7, "{daily:?}");
    assert!(daily.stderr.starts_with("error: cannot look at the orchestrator\n"), "{daily:?}");
    let health = world.line("check health --exit-style check").run().code(3);
    assert!(health.stdout.starts_with("HEALTH UNKNOWN - the orchestrator at "), "{health:?}");
    let check = world.line("maintenance daily --exit-style check").run().code(3);
    assert!(check.stdout.starts_with("DAILY UNKNOWN - ") && check.stderr.is_empty(), "{check:?}");
}

#[test]
fn what_is_no_orchestrator_is_said_in_three_parts() {
    let page = "<!DOCTYPE html><html><head><title>x</title></head><body><h1>Welcome to the proxy</h1></body></html>";
    for (status, body, code) in
        [("200 OK", page, 1), ("500 Internal Server Error", page, 1), ("401 Unauthorized", "", 4)]
    {
        let address = answer_always(status, body);
        let world = World::configured(&format!("[contexts.local]\nurl = \"http://{address}\"\n"));
        for look in LOOKS {
            let done = world.line(look).run().code(code);
            assert_eq!(done.stdout, "", "{look}");
            assert!(done.stderr.contains("caused by: ") && done.stderr.contains("hint: "), "{look}: {done:?}");
            let error = world.line(&format!("{look} -o json")).run().code(code).error_json();
            assert_eq!(error["exit"], code, "{look}");
        }
        let daily = world.line("maintenance daily").run().code(code);
        assert!(!daily.stdout.contains("OK "), "{daily:?}");
    }
}

/// A server that gives one answer to everything, until the tests end.
fn answer_always(status: &str, body: &str) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                // Requests here have no body and a short head, so one read has all of it.
                let _ = stream.read(&mut head);
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    address
}

#[test]
fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    let world = World::new();
    for (line, says) in [
        ("logs errors --limit -1", "it has to be at least 1"),
        ("logs errors --limit 0", "it has to be at least 1"),
        ("logs errors --limit many", "it is not a whole number"),
        ("logs errors --since banana", "`banana` is not a moment"),
        ("logs errors --platform asana", "`asana` is not one of"),
        ("metrics performance --since 10", "it has no unit"),
        ("metrics requests --window 5s", "a window is from 1m to 31d"),
        ("metrics actions --since 90d", "a window is from 1m to 31d"),
        ("maintenance daily --exit-style nagios", "opsctl, check"),
        ("test auth asana", "`asana` is not one of"),
    ] {
        let done = world.line(line).run().code(2);
        assert!(done.stderr.contains(says), "{line}: {done:?}");
        assert!(done.stderr.starts_with("error: ") && done.stderr.contains("\n  hint: "), "{line}: {done:?}");
    }
}
