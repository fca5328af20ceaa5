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
fn a_pipe_is_read_once_and_not_waited_for_again() {
    let world = world();
    let pipe = world.path("pipe.log");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, LINES)
    });
    let found = world.line(&format!("logs search --file {} --level error", pipe.display())).run().code(0);
    assert!(found.stdout.contains("boom") && found.stderr.contains("pipe.log"), "{found:?}");
    writer.join().unwrap().unwrap();
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
        ("logs search --since 1h --until 2h", 2, "the window is empty"),
        ("logs member2", 1, "member2 ="),
        // No files, and nobody answers.
        ("logs search", 7, "127.0.0.1:9"),
    ] {
        let refused = world.line(&format!("{line} --context here")).run().stdout("").code(code);
        assert!(refused.stderr.contains(says), "{line}: {refused:?}");
    }
}

#[test]
fn what_looks_like_a_secret_in_a_line_is_hidden_in_every_form() {
    let world = world();
    let line = r#"{"level":"error","message":"refused https://u:pa55word@x.y","params":{"apiKey":"k-1234"},"platform":"notion","timestamp":"2026-11-20T10:00:00.000Z"}"#;
    world.write("logs/application.log", &format!("{line}\n"));
    let path = world.path("logs/application.log");
    for form in ["", "-o json", "-o jsonl", "-o jsonl --limit 3", "-o csv"] {
        let shown = world.line(&format!("logs search --file {} {form}", path.display())).run().code(0);
        assert!(shown.stdout.contains("(hidden)"), "{form}: {shown:?}");
        assert!(!shown.stdout.contains("pa55word") && !shown.stdout.contains("k-1234"), "{form}: {shown:?}");
    }
    let failures = world.line(&format!("analyze failures --since 2026-11-20T00:00:00Z --file {}", path.display()));
    let failures = failures.run().code(0);
    assert!(!failures.stdout.contains("pa55word") && failures.stdout.contains("refused"), "{failures:?}");
}

/// More lines than one page of the log route or of a table has.
fn many(lines: usize) -> String {
    let line = |n: usize| {
        let code = ["RATE_LIMITED", "TIMEOUT_ERROR"][n % 2];
        format!(
            "{{\"level\":\"error\",\"errorCode\":\"{code}\",\"n\":{n}.0e0,\"error\":{{\"status\":{}}},\"message\":\"x\",\
             \"timestamp\":\"2026-11-20T10:00:00.{:03}Z\"}}\n",
            500 + n % 4,
            n % 1000
        )
    };
    (0..lines).map(line).collect()
}

#[test]
fn json_lines_flow_whole_and_as_they_stand() {
    let world = world();
    world.write("logs/application.log", &many(12_000));
    let path = world.path("logs/application.log");
    let all = world.line(&format!("logs search --file {} -o jsonl", path.display())).run().code(0);
    assert!(all.stdout == many(12_000), "{} bytes", all.stdout.len());
    let few = world.line(&format!("logs search --file {} -o jsonl --limit 3", path.display())).run().code(0);
    assert_eq!(few.stdout.lines().count(), 3);
    let labelled = "{\"component\":\"worker\",\"level\":\"error\",\"message\":\"timed out\"}\n";
    world.write("logs/workers.log", labelled);
    let path = world.path("logs/workers.log");
    let told = world.line(&format!("logs workers --file {} -o jsonl", path.display())).run().code(0);
    assert_eq!(told.stdout, labelled.replace("}\n", ",\"label\":\"timeout\"}\n"));
}

#[test]
fn lines_are_counted_by_a_key() {
    let world = world();
    world.write("logs/application.log", &many(12_000));
    let path = world.path("logs/application.log");
    let ask = |question: &str| world.line(&format!("logs search --file {} {question}", path.display())).run().code(0);
    let codes = ask("--group-by errorCode -o json").json();
    assert_eq!((&codes["total"], &codes["values"], &codes["other"]), (&12_000.into(), &2.into(), &0.into()));
    assert_eq!(codes["groups"][0], serde_json::json!({"value": "RATE_LIMITED", "count": 6000, "share": 0.5}));
    let nested = ask("--group-by error.status --filter errorCode:RATE_LIMITED --limit 1 -o json").json();
    assert_eq!((&nested["total"], &nested["values"]), (&6000.into(), &2.into()));
    assert_eq!(nested["groups"], serde_json::json!([{"value": "500", "count": 3000, "share": 0.5}]));
    let shown = ask("--group-by error.status --limit 1");
    assert!(shown.stdout.contains("500    3,000  25.0%\nand 3 values (--limit)\n"), "{shown:?}");
    let none = ask("--group-by nothing").stdout("");
    assert!(none.stderr.starts_with("No line that fits has `nothing`."), "{none:?}");
}

#[test]
fn the_log_route_streams_more_than_a_page() {
    let scene = crate::service::Scene::start();
    scene.world.write("data/serve/logs/application.log.1", &many(12_000));
    let all = scene.line("logs search --filter message:x -o jsonl").run().code(0);
    let lines: Vec<&str> = all.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0].contains("\"n\":0.0,"), lines[11_999].contains("11999.0")), (12_000, true, true));
    assert!(all.stderr.contains("from the service's application.log and 1 older"), "{}", all.stderr);
    let codes = scene.line("logs search --group-by errorCode -o json").run().code(0).json();
    assert_eq!(codes["groups"][0]["count"], 6000);
    let failures = scene.line("analyze failures --since 2026-11-20T00:00:00Z -o json").run().code(0).json();
    assert_eq!(failures["source"]["files"][0], "errors.log");
    let measured = scene.line("benchmark --requests 20 -o json").run().code(0).json();
    assert_eq!(measured["probes"].as_array().unwrap().len(), 5);
    assert!(measured["probes"].as_array().unwrap().iter().all(|probe| probe["answered"] == 20), "{measured}");
}

/// What the application itself writes, as it does: keys by their alphabet, errors in two files, three forms of time.
const COMBINED: &str = r#"{"action":"create_task","actionId":"a-1","correlationId":"sig-1","level":"info","message":"Action enqueued","target":"notion","timestamp":"2025-10-17T10:30:40.000Z"}
{"correlationId":"invoice-001-update-sheet","error":"permission denied","level":"error","message":"Action execution failed","target":"sheets","timestamp":"2025-10-17T10:33:40.019Z"}
{"endpoint":"chat.postMessage","error":{},"level":"error","message":"Slack API request error","timestamp":"2025-10-17T10:34:11.870Z"}
"#;
const EXECUTIONS: &str = r#"{"actionId":"a-1","correlationId":"sig-1","action":"create_task","target":"notion","status":"started","executionTime":0,"timestamp":"2025-10-17T10:30:41.001Z","attemptNumber":1,"platform":"notion"}
{"actionId":"unknown","action":"create_task","target":"notion","status":"failed","error":"rate_limited","executionTime":230,"timestamp":"2025-10-17T10:30:41.231Z","attemptNumber":1,"platform":"notion"}
{"actionId":"a-1","correlationId":"sig-1","action":"create_task","target":"notion","status":"failed","error":"rate_limited","executionTime":231,"timestamp":"2025-10-17T10:30:41.232Z","attemptNumber":1,"platform":"notion"}
{"actionId":"a-1","correlationId":"sig-1","action":"create_task","target":"notion","status":"success","executionTime":287,"timestamp":"2025-10-17T10:30:42.530Z","attemptNumber":2,"platform":"notion"}
{"actionId":"a-2","action":"create_ta"#;
const GIVEN_UP: &str = r#"{"id":"1760690000000-512","type":"create-notion-page","params":{},"attempts":5,"timestamp":1760697000000,"nextAttemptAt":1760694860000,"lastError":"503","failedAt":"2025-10-17T09:55:02.114Z"}
"#;
const KEPT: &str = "Timestamp,Data\n\"2025-10-17T10:31:00.000Z\",\"{\"\"title\"\":\"\"Renew domain\"\"}\"\n";

#[test]
fn the_applications_own_files_are_one_log() {
    let world = world();
    let older = r#"{"level":"error","message":"only here","timestamp":"2025-10-16T10:00:00.000Z"}"#;
    let errors: String =
        COMBINED.lines().filter(|line| line.contains("\"error\",")).map(|line| format!("{line}\n")).collect();
    for (name, text) in [
        ("combined.log", COMBINED),
        ("error.log", &format!("{older}\n{errors}")),
        ("executions.jsonl", EXECUTIONS),
        ("failed-operations.log", GIVEN_UP),
        ("fallback_log_2025-10-17.csv", KEPT),
        (
            "events.log",
            "{\"source\":\"gmail\",\"type\":\"message.received\",\"timestamp\":\"2025-10-17T10:29:00.000Z\"}\n",
        ),
    ] {
        world.write(&format!("app/{name}"), text);
    }
    let ask = |line: &str| world.line(&format!("{line} --file {}", world.path("app").display())).run().code(0);
    let found = ask("logs search -o json").json();
    let times: Vec<_> = found["lines"].as_array().unwrap().iter().map(|line| line["timestamp"].clone()).collect();
    // What is in two files comes once, and in the order of time.
    let minutes = ["16T10:00:00", "17T10:29:00", "1760697000000", "17T10:30:40", "17T10:30:41", "17T10:30:41"];
    let minutes =
        minutes.into_iter().chain(["17T10:30:41", "17T10:30:42", "17T10:31:00", "17T10:33:40", "17T10:34:11"]);
    assert!(times.iter().map(ToString::to_string).zip(minutes).all(|(at, minute)| at.contains(minute)), "{times:?}");
    assert_eq!((times.len(), &found["source"]["unreadable"]), (11, &1.into()), "{found}");
    let drawn = ask("logs search --limit 20");
    assert!(drawn.stderr.contains("combined.log and 5 beside it"), "{drawn:?}");
    for shown in [
        "2025-10-17T10:30:00.000Z  -      -         -         create-notion-page: 503",
        "create_task failed: rate_limited",
        "data={\"title\":\"Renew domain\"}",
    ] {
        assert!(drawn.stdout.contains(shown), "{shown}: {drawn:?}");
    }
    let newest = ask("logs search --limit 2 -o json").json();
    assert_eq!(newest["lines"][1]["message"], "Slack API request error");
    assert_eq!(ask("logs errors -o json").json()["total"], 3, "the application's own file of errors");
    let count = |line: &str| ask(line).json()["lines"].as_array().unwrap().len();
    assert_eq!((count("logs fallback -o json"), count("logs executor notion -o json")), (1, 5));
    let flow = ask("logs search -o jsonl").stdout;
    let flow: Vec<_> = flow.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect();
    assert_eq!(found["lines"].as_array(), Some(&flow), "in the order of time there too");
    let streamed = ask("logs search --platform notion -o jsonl");
    assert_eq!(streamed.stdout.lines().count(), 5);
    let counted = ask("logs search --group-by level -o json").json();
    assert_eq!(counted["groups"][0], serde_json::json!({"value": "error", "count": 3, "share": 0.75}));
    // Pairs that executors note inside a try are not tries of their own.
    let retries = ask("analyze retries --since 2025-10-17T00:00:00Z -o json").json();
    let tries: Vec<_> = retries["attempts"].as_array().unwrap().iter().map(|row| row["tries"].clone()).collect();
    assert_eq!(tries, [1, 1], "{retries}");
}

#[test]
fn the_applications_own_figures_stand_in_for_metrics_that_nobody_recorded() {
    let world = world();
    world.write(
        "config/config.toml",
        &format!("{}[contexts.here.logs]\ndirectory = {:?}\n", world.read("config/config.toml"), world.path("app")),
    );
    let now = jiff::Timestamp::now();
    let line = |minutes: i64, status: &str, retries: u32| {
        let at = now - jiff::SignedDuration::from_mins(minutes);
        format!(
            "{{\"timestamp\":\"{at:.3}\",\"actionType\":\"create_task\",\"platform\":\"notion\",\"status\":\"{status}\",\
             \"duration\":200,\"retryCount\":{retries},\"metadata\":{{\"error\":\"rate_limited\"}}}}\n"
        )
    };
    let foreign = line(6, "success", 0).replace("notion", "gmail");
    // Yesterday's is in the window before; one on the way is no end.
    let lines = [line(1600, "success", 0), line(9, "success", 2), line(8, "retry", 1), line(7, "failure", 3)];
    world.write("app/metrics.jsonl", &(lines.concat() + &foreign));

    let asked = world.line("metrics performance --context here -o json").run().code(7);
    assert!(asked.stderr.contains("does not answer: this is from its log"), "{asked:?}");
    assert!(asked.stderr.contains("1 line of other platforms, types or states"), "{asked:?}");
    let found = asked.json();
    let (current, before) = (&found["current"], &found["previous"]);
    assert_eq!(
        (&current["totalActions"], &current["succeeded"], &current["retried"]),
        (&2.into(), &1.into(), &2.into())
    );
    assert_eq!((&before["totalActions"], &current["avgExecutionTime"]), (&1.into(), &200.0.into()));
    assert!(current["avgQueueTime"].is_null(), "how long they waited is not in it: {found}");
    let rows = world.line("metrics actions --context here --accept-stale -o json").run().code(0).json();
    assert_eq!((&rows["rows"][0]["retries"], &rows["rows"][0]["byError"]["RATE_LIMITED"]), (&5.into(), &1.into()));

    // What it does not tell is not made up.
    for line in ["metrics requests", "report monthly --month this", "analyze capacity"] {
        let refused = world.line(&format!("{line} --context here")).run().stdout("").code(7);
        assert!(refused.stderr.contains("and no record of it is in"), "{line}: {refused:?}");
    }
}
