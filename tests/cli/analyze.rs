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
    let found = ask(&world, &format!("analyze:failures {DAY} --group-by error")).code(0);
    assert!(found.stdout.starts_with("5 errors in 2 groups, 2 of them new; 0 in the window before\n"), "{found:?}");
    assert!(found.stdout.contains("2026-11-20  ..........▆█............  5\n"), "{found:?}");
    assert!(found.stderr.contains("errors.log, since 2026-11-20T00:00:00.000Z"), "{found:?}");
    assert!(found.stderr.contains("1 of the lines looked at could not be read"), "{found:?}");

    let answer = ask(&world, &format!("analyze failures {DAY} -o json")).code(0).json();
    assert_eq!((&answer["total"], &answer["before"], &answer["beforeIsWhole"]), (&5.into(), &0.into(), &true.into()));
    let groups = answer["groups"].as_array().unwrap();
    let groups: Vec<_> = groups.iter().map(|g| (g["key"].as_str().unwrap(), &g["count"], &g["new"])).collect();
    assert_eq!(
        groups,
        [("card '…' is closed", &3.into(), &true.into()), ("Rate limited: wait <n>s", &2.into(), &true.into())]
    );
    assert_eq!(answer["hours"].as_array().unwrap().len(), 2);
    assert_eq!(answer["groups"][1]["next"], "opsctl rate-limits status notion");

    let types = ask(&world, &format!("analyze failures {DAY} --group-by type -o csv")).code(0);
    assert_eq!(types.stdout.lines().count(), 4, "{types:?}");
}

#[test]
fn what_is_new_is_not_told_where_the_log_begins_too_late() {
    let world = world(&[("errors.log", ERRORS)]);
    let line = "analyze failures --since 2026-11-17T00:00:00Z --until 2026-11-21T00:00:00Z";
    let found = ask(&world, line).code(0);
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
