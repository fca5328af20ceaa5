//! `opsctl logs`: files, folders, packed files, standard input, and what cannot be read.

use std::io::Write;
use std::process::Stdio;

use crate::world::World;

const LINES: &str = concat!(
    r#"{"level":"info","message":"fine","platform":"notion","timestamp":"2026-11-20T10:00:00.000Z"}"#,
    "\n",
    r#"{"level":"error","message":"an \u001b[31mevil\u0007 one","platform":"notion","timestamp":"2026-11-20T11:00:00.000Z"}"#,
    "\n",
    "a stack trace that is not JSON but says notion\n",
    r#"{"level":"error","message":"boom","durationMs":700,"platform":"trello","timestamp":"2026-11-20T12:00:00.000Z"}"#,
    "\n",
);

fn world() -> World {
    let world = World::configured("[contexts.here]\nurl = \"http://127.0.0.1:9\"\n");
    world.write("logs/application.log", LINES);
    world
}

#[test]
fn a_file_is_searched_and_the_answer_says_what_was_read() {
    let world = world();
    let path = world.path("logs/application.log");
    let found = world.line(&format!("logs search --file {} --platform notion", path.display())).run().code(0);
    assert!(found.stdout.contains("an \\u{1b}[31mevil\\u{7} one"), "{found:?}");
    assert!(
        found.stderr.contains("application.log") && found.stderr.contains("1 of the lines looked at could not be read"),
        "{found:?}"
    );

    for (question, messages) in [
        ("--level error", vec!["an \u{1b}[31mevil\u{7} one", "boom"]),
        ("--filter durationMs:>500", vec!["boom"]),
        ("--filter platform:!notion", vec!["boom"]),
        ("--since 2026-11-20T10:30:00Z --until 2026-11-20T11:30:00Z", vec!["an \u{1b}[31mevil\u{7} one"]),
        ("--grep /^.*\\[31m/", vec!["an \u{1b}[31mevil\u{7} one"]),
        ("--limit 1", vec!["boom"]),
        ("--grep nowhere", vec![]),
    ] {
        let answer =
            world.line(&format!("logs search --file {} {question} -o json", path.display())).run().code(0).json();
        let found: Vec<_> =
            answer["lines"].as_array().unwrap().iter().map(|l| l["message"].as_str().unwrap()).collect();
        assert_eq!(found, messages, "{question}");
    }
}

#[test]
fn rotated_files_come_before_the_current_one() {
    let world = world();
    world.write(
        "logs/application.log.1",
        "{\"level\":\"error\",\"message\":\"older\",\"timestamp\":\"2026-11-19T10:00:00.000Z\"}\n",
    );
    let path = world.path("logs/application.log");
    let answer =
        world.line(&format!("logs search --file {} --level error -o json", path.display())).run().code(0).json();
    assert_eq!(
        (&answer["lines"][0]["message"], answer["source"]["files"].as_array().unwrap().len()),
        (&"older".into(), 2)
    );
    let folder =
        world.line(&format!("logs search --file {} --level error -o json", world.path("logs").display())).run();
    assert_eq!(folder.code(0).json()["lines"], answer["lines"]);
}

#[test]
fn a_context_says_where_its_logs_are() {
    let world = world();
    let places =
        format!("[contexts.here.logs]\ndirectory = {:?}\nmember2 = {:?}\n", world.path("logs"), world.path("m2.log"));
    world.write("config/config.toml", &(world.read("config/config.toml") + &places));
    world.write("m2.log", "{\"message\":\"action:ready notion create\"}\n");
    let lines = |line: &str| {
        let answer = world.line(&format!("{line} --context here -o json --accept-stale")).run().code(0).json();
        answer["lines"].as_array().unwrap().len()
    };
    // A platform without a file of its own is looked for in the log of everything.
    assert_eq!((lines("logs search"), lines("logs executor notion"), lines("logs:platform slack")), (3, 2, 0));
    assert_eq!((lines("logs member2 --grep action:ready"), lines("logs member2 --grep nothing")), (1, 0));
}

#[test]
fn standard_input_is_read() {
    let world = world();
    let mut child = world.line("logs search --file - --level error -o jsonl").command();
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(LINES.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    assert!(output.status.success());
}

#[test]
fn what_cannot_be_asked_names_the_place() {
    let world = world();
    for (line, code, says) in [
        ("logs search --file nowhere.log", 1, "nowhere.log"),
        ("logs search --filter nonsense", 2, "character 9"),
        ("logs search --grep /a[/", 2, "character 3"),
        ("logs search --limit 0", 2, "at least 1"),
        ("logs executor notoin", 2, "did you mean `notion`?"),
        ("logs search --since tomorrow-ish", 2, "is not a moment"),
        ("logs member2", 1, "member2 ="),
        // No files, and nobody answers.
        ("logs search", 7, "127.0.0.1:9"),
    ] {
        let refused = world.line(&format!("{line} --context here")).run().stdout("").code(code);
        assert!(refused.stderr.contains(says), "{line}: {refused:?}");
    }
}
