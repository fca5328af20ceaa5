//! `opsctl analyze`: answers from log files, with nobody at the API.

use crate::world::{Done, World};

/// A world whose context `here` has its logs in `logs/`, and whose orchestrator is down.
pub fn world(logs: &[(&str, &str)]) -> World {
    let world = World::new();
    let places = format!(
        "[contexts.here]\nurl = \"http://127.0.0.1:9\"\n[contexts.here.logs]\ndirectory = {:?}\n",
        world.path("logs")
    );
    world.write("config/config.toml", &places);
    for (name, text) in logs {
        world.write(&format!("logs/{name}"), text);
    }
    world
}

/// The line, in the context `here`.
pub fn ask(world: &World, line: &str) -> Done {
    world.line(&format!("{line} --context here")).run()
}

const ERRORS: &str = r#"{"timestamp":"2026-11-18T10:00:00.000Z","level":"error","message":"Rate limited: wait 3s","platform":"notion","errorCode":"RATE_LIMITED","type":"create"}
{"timestamp":"2026-11-20T10:00:00.000Z","level":"error","message":"Rate limited: wait 17s","platform":"notion","errorCode":"RATE_LIMITED","type":"create"}
{"timestamp":"2026-11-20T10:01:00.000Z","level":"error","message":"Rate limited: wait 4s","platform":"notion","errorCode":"RATE_LIMITED","type":"query"}
not a line
{"timestamp":"2026-11-20T11:00:00.000Z","level":"error","message":"card \"one\" is closed","platform":"trello","errorCode":"VALIDATION_ERROR","type":"update"}
{"timestamp":"2026-11-20T11:30:00.000Z","level":"error","message":"card \"two\" is closed","platform":"trello","errorCode":"VALIDATION_ERROR","type":"update"}
{"timestamp":"2026-11-20T11:40:00.000Z","level":"error","message":"card \"two\" is closed","platform":"trello","errorCode":"VALIDATION_ERROR","type":"update"}
"#;

/// A day, and the day before it is in the log too.
const DAY: &str = "--since 2026-11-20T00:00:00Z --until 2026-11-21T00:00:00Z";

#[test]
fn failures_are_grouped_and_new_ones_named() {
    let world = world(&[("errors.log", ERRORS)]);
    let found = ask(&world, &format!("analyze:failures {DAY} --group-by error")).code(7);
    assert!(found.stdout.starts_with("5 errors in 2 groups, 2 of them new; 0 in the window before\n"), "{found:?}");
    assert!(found.stdout.contains("2026-11-20  ..........▆█............  5\n"), "{found:?}");
    assert!(found.stderr.contains(", since 2026-11-20T00:00:00.000Z"), "{found:?}");
    assert!(found.stderr.contains("1 of the lines looked at could not be read"), "{found:?}");

    let answer = ask(&world, &format!("analyze failures {DAY} -o json")).code(7).json();
    assert_eq!((&answer["total"], &answer["before"], &answer["beforeIsWhole"]), (&5.into(), &0.into(), &true.into()));
    let groups = answer["groups"].as_array().unwrap();
    let groups: Vec<_> = groups.iter().map(|g| (g["key"].as_str().unwrap(), &g["count"], &g["new"])).collect();
    assert_eq!(
        groups,
        [("card '…' is closed", &3.into(), &true.into()), ("Rate limited: wait <n>s", &2.into(), &true.into())]
    );
    assert_eq!(answer["hours"].as_array().unwrap().len(), 2);
    assert_eq!(answer["groups"][1]["next"], "opsctl rate-limits status notion");

    let types = ask(&world, &format!("analyze failures {DAY} --group-by type -o csv --accept-stale")).code(0);
    assert_eq!(types.stdout.lines().count(), 4, "{types:?}");
}

#[test]
fn what_is_new_is_not_told_where_the_log_begins_too_late() {
    let world = world(&[("errors.log", ERRORS)]);
    let line = "analyze failures --since 2026-11-17T00:00:00Z --until 2026-11-21T00:00:00Z";
    let found = ask(&world, line).code(7);
    assert!(found.stdout.starts_with("6 errors in 2 groups; the log does not reach back"), "{found:?}");
    assert!(found.stderr.contains("the log begins at 2026-11-18T10:00:00.000Z"), "{found:?}");
    for (line, code, says) in [
        ("analyze failures --group-by colour", 2, "error, platform, type or hour"),
        ("analyze failures --since 2026-11-21T00:00:00Z --until 2026-11-20T00:00:00Z", 2, "the window is empty"),
        ("analyze failures --file nowhere", 1, "nowhere"),
    ] {
        let refused = ask(&world, line).code(code);
        assert!(refused.stderr.contains(says), "{line}: {refused:?}");
    }
}

/// What the service writes: tries, a fallback, a circuit that opened, a duplicate that was prevented.
const APPLICATION: &str = r#"{"timestamp":"2026-11-20T10:00:00.000Z","level":"info","message":"Action executed","component":"executor","platform":"notion","actionId":"q1","attempt":1,"durationMs":40,"type":"query","fingerprint":"f1"}
{"timestamp":"2026-11-20T10:00:30.000Z","level":"info","message":"Action executed","component":"executor","platform":"notion","actionId":"q2","attempt":1,"durationMs":60,"type":"query","fingerprint":"f1"}
{"timestamp":"2026-11-20T10:01:00.000Z","level":"error","message":"Rate limited","component":"executor","platform":"notion","actionId":"c1","errorCode":"RATE_LIMITED","attempt":1,"durationMs":9,"type":"create","fingerprint":"f2"}
{"timestamp":"2026-11-20T10:01:02.000Z","level":"info","message":"Action executed","component":"executor","platform":"notion","actionId":"c1","attempt":2,"durationMs":90,"type":"create","fingerprint":"f2"}
{"timestamp":"2026-11-20T10:01:03.000Z","level":"info","message":"Action executed","component":"executor","platform":"notion","actionId":"c2","attempt":1,"durationMs":90,"type":"create","fingerprint":"f2"}
{"timestamp":"2026-11-20T10:01:04.000Z","level":"info","message":"Duplicate prevented","component":"idempotency","actionId":"c2"}
{"timestamp":"2026-11-20T10:02:00.000Z","level":"error","message":"down","component":"executor","platform":"notion","actionId":"c3","errorCode":"SERVICE_DOWN","attempt":4,"durationMs":9,"type":"create","fingerprint":"f3"}
{"timestamp":"2026-11-20T10:02:00.000Z","level":"error","message":"Circuit breaker is OPEN","component":"circuit","platform":"notion","errorCode":"CIRCUIT_OPEN","from":"CLOSED","to":"OPEN"}
{"timestamp":"2026-11-20T10:02:01.000Z","level":"warn","message":"notion is away (SERVICE_DOWN); trello stands in","component":"fallback","platform":"notion","actionId":"c3","errorCode":"SERVICE_DOWN","to":"trello","type":"create"}
{"timestamp":"2026-11-20T10:02:02.000Z","level":"info","message":"Action executed","component":"executor","platform":"trello","actionId":"c3","attempt":5,"durationMs":70,"type":"create","fingerprint":"f3"}
{"timestamp":"2026-11-20T10:02:50.000Z","level":"info","message":"Circuit breaker is CLOSED","component":"circuit","platform":"notion","from":"HALF_OPEN","to":"CLOSED"}
"#;

#[test]
fn questions_are_answered_from_the_files_of_a_service_that_is_down() {
    let world = world(&[("application.log", APPLICATION)]);
    let expectations: [(&str, &str, serde_json::Value); 12] = [
        ("analyze:retries", "/attempts/1/succeeded", 1.into()),
        ("analyze retries --platform trello", "/attempts/0/attempt", 5.into()),
        ("analyze:fallbacks", "/pairs/0/succeeded", 1.into()),
        ("analyze:fallbacks", "/pairs/0/to", "trello".into()),
        ("analyze:queries --platform notion", "/platforms/0/cacheable", 1.into()),
        ("analytics:duplicates", "/rows/0/duplicates", 1.into()),
        ("analyze:duplicates", "/prevented", 1.into()),
        ("logs:duplicates", "/duplicates/0/actions/1", "c2".into()),
        ("analytics:rate-limits", "/platforms/0/limited", 1.into()),
        ("analyze:rate-limits --platform notion", "/platforms/0/worstAt", "2026-11-20T10:01:00.000Z".into()),
        ("analyze:uptime --platform notion", "/down", 1.into()),
        ("analyze:uptime --platform notion", "/seen", 3.into()),
    ];
    for (line, pointer, expected) in expectations {
        let answer = ask(&world, &format!("{line} {DAY} -o json")).code(7).json();
        assert_eq!(answer.pointer(pointer), Some(&expected), "{line}: {answer:#}");
        assert_eq!(answer["since"], "2026-11-20T00:00:00.000Z", "{line}");
        let drawn = ask(&world, &format!("{line} {DAY} --accept-stale")).code(0);
        assert!(!drawn.stdout.is_empty() && drawn.stderr.contains("from ~/logs/application.log"), "{line}: {drawn:?}");
        let empty = ask(&world, &format!("{line} --since 2026-11-21T00:00:00Z --until 2026-11-22T00:00:00Z")).code(7);
        assert!(empty.stdout.is_empty() && empty.stderr.contains(" in the window"), "{line}: {empty:?}");
    }
    let uptime = ask(&world, &format!("analyze uptime --platform notion {DAY}")).code(7);
    assert!(uptime.stdout.contains("66.66% of what was seen") && uptime.stdout.contains("Not recorded"), "{uptime:?}");
    ask(&world, "analyze uptime").code(2);
    // Neither files nor a service.
    let nowhere = World::configured("[contexts.here]\nurl = \"http://127.0.0.1:9\"\n");
    ask(&nowhere, "analyze retries").code(7);
}

#[test]
fn the_last_errors_come_from_the_files_when_nobody_answers() {
    let world = world(&[("errors.log", ERRORS)]);
    let stale = ask(&world, "logs errors --platform notion --limit 2 -o json").code(7);
    let answer = stale.json();
    assert_eq!((&answer["total"], &answer["byCode"]["RATE_LIMITED"]), (&3.into(), &3.into()));
    assert_eq!(answer["errors"][0]["message"], "Rate limited: wait 4s", "newest first, as the API has them");
    assert_eq!(answer["errors"].as_array().unwrap().len(), 2);
    assert!(stale.stderr.contains("does not answer: this is from its log ~/logs/errors.log"), "{stale:?}");
    ask(&world, "logs errors --accept-stale").code(0);
    let nowhere = World::configured("[contexts.here]\nurl = \"http://127.0.0.1:9\"\n");
    ask(&nowhere, "logs errors --accept-stale").code(7).stdout("");
}

#[test]
fn suspicious_lines_come_with_the_rules() {
    let refused = |second: u32| {
        format!(
            "{{\"timestamp\":\"2026-11-20T10:00:{second:02}.000Z\",\"level\":\"warn\",\"message\":\"Refused: the token \
             is not valid\",\"component\":\"security\",\"errorCode\":\"AUTH_ERROR\",\"actor\":\"anonymous\",\"action\":\
             \"GET /queue\"}}\n"
        )
    };
    let world = world(&[("security.log", &(0..6).map(refused).collect::<String>())]);
    let answer = ask(&world, "logs:security --suspicious -o json").code(7).json();
    assert_eq!(answer["findings"][0]["rule"], "refused-credentials", "{answer:#}");
    assert_eq!((&answer["findings"][0]["count"], &answer["lines"]), (&6.into(), &6.into()));
    let quiet = ask(&world, "logs security --suspicious --since 2026-11-20T10:00:04Z").code(7);
    assert!(quiet.stdout.starts_with("Nothing suspicious in 2 lines, by these rules:\n"), "{quiet:?}");
    assert_eq!(
        ask(&world, "logs security -o json --accept-stale").code(0).json()["lines"].as_array().unwrap().len(),
        6
    );
}

const WORKFLOWS: &str = r#"{"timestamp":"2026-11-20T10:00:00.000Z","level":"info","message":"Workflow accepted: Invoice 1, 3 steps","component":"workflow","workflowId":"inv-1","event":"accepted"}
{"timestamp":"2026-11-20T10:00:01.000Z","level":"info","message":"Step completed","component":"workflow","platform":"drive","workflowId":"inv-1","event":"step_completed","stepId":"create_file","fileId":"1AbC"}
{"timestamp":"2026-11-20T10:00:02.000Z","level":"warn","message":"Step failed: channel_not_found (NOT_FOUND)","component":"workflow","platform":"slack","workflowId":"inv-1","event":"step_failed","stepId":"notify","errorCode":"NOT_FOUND"}
{"timestamp":"2026-11-20T10:00:03.000Z","level":"warn","message":"Workflow failed: step notify failed","component":"workflow","workflowId":"inv-1","event":"failed"}
{"timestamp":"2026-11-20T10:00:09.000Z","level":"info","message":"Workflow accepted: Invoice 2, 3 steps","component":"workflow","workflowId":"inv-12","event":"accepted"}
"#;

const ROLLBACKS: &str = r#"{"timestamp":"2026-11-20T10:00:04.000Z","level":"info","message":"Rollback started","component":"rollback","workflowId":"inv-1","event":"rollback_started"}
{"timestamp":"2026-11-20T10:00:05.000Z","level":"warn","message":"File deletion failed: permission denied (x)","component":"rollback","workflowId":"inv-1","event":"undo_failed","stepId":"create_file"}
{"timestamp":"2026-11-20T10:00:06.000Z","level":"error","message":"Rollback ended: rollback_failed","component":"rollback","workflowId":"inv-1","event":"rollback_ended"}
"#;

#[test]
fn workflows_are_told_by_their_logs_when_nobody_answers() {
    let world = world(&[("workflows/executions.log", WORKFLOWS), ("rollbacks.log", ROLLBACKS)]);
    let told = ask(&world, "logs:workflow inv-1 -o json").code(7);
    assert!(told.stderr.contains("does not answer: this is from its log"), "{told:?}");
    let answer = told.json();
    let events: Vec<_> = answer["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    let expected =
        ["accepted", "step_completed", "step_failed", "failed", "rollback_started", "undo_failed", "rollback_ended"];
    assert_eq!(events, expected, "both files, in the order of time, and no other workflow's");
    assert_eq!(answer["events"][1]["data"]["fileId"], "1AbC");
    let found = ask(&world, "logs workflow inv-1 --grep create_file --accept-stale").code(0);
    assert!(found.stdout.contains("fileId=1AbC") && found.stdout.lines().count() == 3, "{found:?}");
    let rollbacks = ask(&world, "logs rollback --workflow inv-1 -o jsonl").code(7);
    assert_eq!(rollbacks.stdout.lines().count(), 3, "{rollbacks:?}");
    let newest = ask(&world, "logs workflow inv-1 --limit 2 -o json").code(7).json();
    assert_eq!((&newest["events"][1]["event"], &newest["truncated"]), (&"rollback_ended".into(), &true.into()));
    // What only lines tell.
    let warned = ask(&world, "logs workflow inv-1 --level warn -o json").code(7).json();
    assert_eq!(warned["lines"].as_array().unwrap().len(), 2, "{warned}");

    let failed = ask(&world, "workflows:failed --group-by reason -o json").code(7).json();
    assert_eq!(failed[0]["group"], "File deletion failed: permission denied", "{failed}");
    let listed = ask(&world, "workflow failed -o json").code(7).json();
    assert_eq!(listed["total"], 1, "{listed}");
    let row = &listed["workflows"][0];
    assert_eq!((&row["name"], &row["failedStep"], &row["steps"]), (&"Invoice 1".into(), &"notify".into(), &3.into()));
    ask(&world, "workflow failed --since 2026-11-21T00:00:00Z").code(7).stdout("");
}

#[test]
fn errors_take_the_conditions_of_every_log() {
    let world = world(&[("errors.log", ERRORS)]);
    for (conditions, total) in [
        ("--grep closed", 3),
        ("--grep /wait.[0-9]+s/", 3),
        ("--filter type:create", 2),
        ("--filter type:!create --platform notion", 1),
        ("--since 2026-11-20T00:00:00Z --until 2026-11-20T10:01:00Z", 1),
        ("--level warn", 0),
    ] {
        let answer = ask(&world, &format!("logs errors {conditions} -o json")).code(7).json();
        assert_eq!(answer["total"], total, "{conditions}: {answer}");
    }
    let shown = ask(&world, "logs errors --grep closed --limit 1").code(7);
    assert!(shown.stdout.contains("3 errors match, 1 shown: 3 VALIDATION_ERROR"), "{shown:?}");
    let counted = ask(&world, "logs errors --group-by type -o json").code(7).json();
    assert_eq!(counted["groups"][0], serde_json::json!({"value": "update", "count": 3, "share": 0.5}));
    let only = ask(&world, &format!("analyze failures {DAY} --filter type:update --grep two -o json")).code(7).json();
    assert_eq!(only["total"], 2, "{only}");
    let bad = ask(&world, &format!("analyze failures {DAY} --filter nonsense")).code(2);
    assert!(bad.stderr.contains("`nonsense`") && bad.stderr.contains("character 9"), "{bad:?}");
}
