//! `opsctl logs` against jq, on files with every oddity a log can have: the same lines, or a stated count of those that
//! cannot be read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::world::{World, has};

const LINES: usize = 20_000;

/// A file whose lines are numbered by `n`, and how many lines of it are no JSON.
struct Odd {
    content: Vec<u8>,
    unreadable: u64,
}

fn one_of<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(0..from.len())]
}

/// A JSON string, some of its letters by number.
fn quoted(random: &mut Rng, text: &str) -> String {
    if random.u8(0..4) > 0 {
        return json!(text).to_string();
    }
    let units = text.encode_utf16().map(|unit| match char::from_u32(unit.into()) {
        Some(plain) if plain.is_ascii_alphabetic() && random.bool() => plain.to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    format!("\"{}\"", units.collect::<String>())
}

/// The clock is set back to the beginning after half of the lines, so a window lies in two places.
fn generate(random: &mut Rng) -> Odd {
    let mut odd = Odd { content: b"\xef\xbb\xbf".to_vec(), unreadable: 0 };
    for n in 0..LINES {
        let second = n % (LINES / 2);
        let time = format!("2026-11-20T{:02}:{:02}:{:02}.000Z", 10 + second / 3600, second / 60 % 60, second % 60);
        let level = one_of(random, &["error", "warn", "info"]);
        let message =
            one_of(random, &["Action executed", "says \"no\"\nto café/x", "level: error", "🔴 {\"level\":1}"]);
        let platform = one_of(random, &["notion", "trello"]);
        let error =
            one_of(random, &[r#"{"level":"error","code":429}"#, r#"{"code":500,"n":[{"level":"warn"}]}"#, "null"]);
        let mut pairs = vec![
            ("n", n.to_string()),
            ("timestamp", format!("\"{time}\"")),
            ("level", quoted(random, level)),
            ("message", quoted(random, message)),
            ("platform", quoted(random, platform)),
            ("error", error.to_owned()),
        ];
        random.shuffle(&mut pairs);
        let pairs = pairs.into_iter().map(|(key, value)| format!("{}: {value}", quoted(random, key)));
        let mut line = format!("{{{}}}", pairs.collect::<Vec<_>>().join(",")).into_bytes();
        match random.u8(0..50) {
            0 => {
                line.truncate(random.usize(1..line.len()));
                odd.unreadable += 1;
            }
            damage @ 1..=2 => {
                let at = line.iter().position(|byte| *byte == b'"').unwrap();
                line.insert(at + 1, [0, 0xff][usize::from(damage) - 1]);
                odd.unreadable += 1;
            }
            3..=6 => line.push(b'\r'),
            7 => {
                // Empty lines say nothing; a blank one is not JSON.
                line.splice(0..0, *b"\r\n \n\n");
                odd.unreadable += 1;
            }
            _ => {}
        }
        odd.content.extend(line);
        odd.content.push(b'\n');
    }
    odd.content.extend_from_slice(br#"{"level":"error","n":"torn"#);
    odd.unreadable += 1;
    odd
}

/// What jq takes out of the lines that are JSON by its own reading and without damaged text.
fn jq(path: &Path, condition: &str, value: &str) -> Vec<Value> {
    let whole = "select(test(\"\\u0000|\\ufffd\") | not) | fromjson? | objects";
    let output = Command::new("jq")
        .args(["-R", "-c", &format!("{whole} | select({condition}) | {value}")])
        .stdin(std::fs::File::open(path).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[test]
fn odd_files_read_as_jq_reads_them() {
    if !has("jq") {
        return;
    }
    let world = World::new();
    let odd = generate(&mut Rng::with_seed(11));
    let path = world.path("application.log");
    std::fs::File::create(&path).unwrap().write_all(&odd.content).unwrap();
    let ask = |question: &str| {
        let line = format!("logs search --file {} {question} -o jsonl", path.display());
        let answer = world.line(&line).run().code(0);
        let numbers = answer.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].clone());
        (numbers.collect::<Vec<_>>(), answer.stderr)
    };
    for (question, condition) in [
        ("", "true"),
        ("--level error", r#".level == "error""#),
        ("--filter level:!error", r#".level != "error""#),
        ("--filter error.code:429", ".error.code == 429"),
        ("--filter error.level:error --platform notion", r#".error.level == "error" and .platform == "notion""#),
        ("--filter n:100..250", ".n >= 100 and .n <= 250"),
        ("--filter n:>19000", ".n > 19000"),
        ("--grep café/x", r#"[.. | strings] | any(contains("café/x"))"#),
        ("--since 2026-11-20T12:20:00Z", r#".timestamp >= "2026-11-20T12:20:00""#),
        ("--until 2026-11-20T10:00:30Z", r#".timestamp < "2026-11-20T10:00:30""#),
        (
            "--since 2026-11-20T11:00:00Z --until 2026-11-20T11:10:00Z --level warn",
            r#".timestamp >= "2026-11-20T11:00:00" and .timestamp < "2026-11-20T11:10:00" and .level == "warn""#,
        ),
    ] {
        let expected = jq(&path, condition, ".n");
        let (all, told) = ask(question);
        assert!(!all.is_empty() && all == expected, "{question}: {} and {}", all.len(), expected.len());
        assert_eq!(told.contains("out of order in time"), question.contains("2026-"), "{question}: {told}");
        let (newest, _) = ask(&format!("{question} --limit 9"));
        assert_eq!(newest, expected[expected.len() - 9..], "{question}");
    }
    let (_, told) = ask("");
    assert!(told.contains(&format!("; {} of the lines looked at could not be read", odd.unreadable)), "{told}");

    let mut counts = BTreeMap::<String, u64>::new();
    for level in jq(&path, ".error.code == 500", ".level") {
        *counts.entry(level.as_str().unwrap().to_owned()).or_default() += 1;
    }
    let grouped = world
        .line(&format!("logs search --file {} --group-by level --filter error.code:500 -o json", path.display()))
        .run()
        .code(0)
        .json();
    let groups = grouped["groups"].as_array().unwrap().iter();
    let groups: BTreeMap<String, u64> =
        groups.map(|group| (group["value"].as_str().unwrap().to_owned(), group["count"].as_u64().unwrap())).collect();
    assert_eq!(groups, counts);
}
