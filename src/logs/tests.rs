//! The fast way against the obvious one: whole file, every line parsed, every condition on the parsed value. Files with
//! every oddity, random questions, no difference. `OPSCTL_LOG_LINES` sets how many lines are compared, `OPSCTL_LOG_SEED`
//! begins with another file.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use fastrand::Rng;
use serde_json::Value;

use super::ask::{self, Line};
use super::files::Family;
use super::layout::Log;
use super::query::{Filter, Query, Test};
use super::read::LINE_MAX;
use crate::wire::{Platform, Time};

/// A folder that ends with the value.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("opsctl-logs-{}-{:x}", std::process::id(), fastrand::u64(..)));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];
const CODES: [&str; 3] = ["RATE_LIMITED", "TIMEOUT", "é🔴/x"];
const START: i64 = 1_760_000_000_000;

/// A string in JSON, some of its letters written by number.
fn quoted(random: &mut Rng, text: &str) -> String {
    let mut out = String::from("\"");
    let odd = random.u8(0..12) == 0;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => _ = write!(out, "\\{letter}"),
            '\n' => out.push_str("\\n"),
            '/' if odd => out.push_str("\\/"),
            _ if odd && random.bool() => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(letter),
        }
    }
    out + "\""
}

fn line(random: &mut Rng, at: i64) -> Vec<u8> {
    let mut pairs: Vec<String> = Vec::new();
    let one_of = |random: &mut Rng, from: &[&'static str]| from[random.usize(0..from.len())];
    let mut pair = |random: &mut Rng, key: &str, value: String| {
        let key = quoted(random, key);
        let space = if random.u8(0..10) == 0 { " " } else { "" };
        pairs.push(format!("{key}{space}:{space}{value}"));
    };
    let level = one_of(random, &LEVELS);
    let value = quoted(random, level);
    pair(random, "level", value);
    let stamp = match random.u8(0..20) {
        0 => format!("{at}"),
        1 => format!("{:?}", jiff::Timestamp::from_millisecond(at).unwrap().to_string()),
        2 => "\"no time\"".to_owned(),
        _ => format!("\"{}\"", Time(at)),
    };
    pair(random, "timestamp", stamp);
    if random.u8(0..3) > 0 {
        let key = one_of(random, &["platform", "target", "executor", "executorName"]);
        let platform = one_of(random, &["notion", "trello", "slack", "gmail"]);
        let value = quoted(random, platform);
        pair(random, key, value);
    }
    if random.u8(0..4) == 0 {
        let code = one_of(random, &CODES);
        let value = quoted(random, code);
        pair(random, "errorCode", value);
    }
    if random.u8(0..4) == 0 {
        let inner = format!(
            "{{\"level\":\"error\",\"errorCode\":\"TIMEOUT\",\"deep\":[{{\"platform\":\"notion\"}},{}]}}",
            random.u8(..)
        );
        pair(random, "error", inner);
    }
    let amount = match random.u8(0..4) {
        0 => format!("{}", random.u32(0..1000)),
        1 => format!("{}.0", random.u32(0..20)),
        2 => format!("{}e1", random.u32(0..20)),
        _ => format!("\"{}\"", random.u32(0..20)),
    };
    pair(random, "n", amount);
    let message = match random.u8(0..8) {
        0 => "Notion said error: RATE_LIMITED".to_owned(),
        1 => "the \"trello\" board\nhas two\\lines".to_owned(),
        2 => "é🔴/x".to_owned(),
        3 if random.u8(0..40) == 0 => "long ".repeat(random.usize(0..60_000)),
        _ => format!("Action executed {}", random.u8(..)),
    };
    let value = quoted(random, &message);
    pair(random, "message", value);
    if random.u8(0..20) == 0 {
        pair(random, "level", "\"warn\"".to_owned());
    }
    random.shuffle(&mut pairs);
    let mut line = format!("{{{}}}", pairs.join(",")).into_bytes();
    match random.u8(0..40) {
        0 => line.truncate(random.usize(0..line.len())),
        1 => {
            let at = random.usize(0..line.len());
            line[at] = [0, 0xff, b'"', b'}', b'\\', 0x1b][random.usize(0..6)];
        }
        2 => line.clear(),
        3 => line.push(b'\r'),
        _ => {}
    }
    line
}

fn file(random: &mut Rng, lines: usize) -> Vec<u8> {
    let mut content = if random.u8(0..4) == 0 { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
    let mut at = START;
    for _ in 0..lines {
        at += random.i64(0..2000);
        let early = if random.u8(0..10) == 0 { random.i64(0..2000) } else { 0 };
        content.extend(line(random, at - early));
        content.push(b'\n');
    }
    if random.bool() {
        content.extend(b"{\"level\":\"error\",\"torn");
    }
    content
}

fn query(random: &mut Rng, lines: usize) -> Query {
    let mut query = Query::default();
    let moment = |random: &mut Rng| Time(START + random.i64(0..1000 * (lines as i64 + 1)));
    if random.u8(0..3) == 0 {
        query.since = Some(moment(random));
    }
    if random.u8(0..4) == 0 {
        query.until = Some(moment(random));
    }
    let filters = [
        "level:error",
        "level:!error",
        "errorCode:RATE_LIMITED",
        "errorCode:é🔴/x",
        "error.errorCode:TIMEOUT",
        "n:10",
        "n:>500",
        "n:5..15",
        "message:/^Action/",
        "level:/^(error|warn)$/",
        "missing:!x",
        "error.deep:/notion/",
    ];
    for _ in 0..random.u8(0..3) {
        query.filters.push(filters[random.usize(0..filters.len())].parse().unwrap());
    }
    match random.u8(0..6) {
        0 => query.filters.push(Filter::Platform([Platform::Notion, Platform::Trello][random.usize(0..2)])),
        1 => query.filters.push(
            Filter::grep(["RATE_LIMITED", "é🔴/x", "trello\" board\nhas", "two\\lines", "x"][random.usize(0..5)])
                .unwrap(),
        ),
        2 => query.filters.push(Filter::grep("/Notion|deep/").unwrap()),
        _ => {}
    }
    query
}

/// How a value reads in an answer.
fn reads(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Null => Some(value.to_string()),
        // Numbers and what is nested read as they stand, which a parsed value does not know.
        _ => None,
    }
}

fn moment(value: &Value) -> Option<Time> {
    match value {
        Value::String(text) => Some(Time(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())),
        Value::Number(number) => number.as_i64().map(Time),
        _ => None,
    }
}

fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Object(pairs) => pairs.iter().for_each(|(key, item)| {
            out.push(key.clone());
            texts(item, out);
        }),
        _ => {}
    }
}

fn holds(filter: &Filter, line: &str, value: &Value) -> bool {
    match filter {
        Filter::Key { path, not, test } => {
            let found = path.iter().try_fold(value, |value, key| value.get(key));
            let passes = found.is_some_and(|found| match test {
                Test::Is(wanted) => match found {
                    Value::Number(number) => wanted.parse::<f64>().is_ok_and(|wanted| number.as_f64() == Some(wanted)),
                    other => reads(other).as_ref() == Some(wanted),
                },
                Test::Between(low, high) => {
                    let number = match found {
                        Value::Number(number) => number.as_f64(),
                        Value::String(text) => text.parse().ok(),
                        _ => None,
                    };
                    number.is_some_and(|n| {
                        low.is_none_or(|(end, closed)| n > end || closed && n == end)
                            && high.is_none_or(|(end, closed)| n < end || closed && n == end)
                    })
                }
                Test::Matches(regex) => match reads(found) {
                    Some(text) => regex.is_match(&text),
                    None => regex.is_match(&found.to_string()),
                },
            });
            passes != *not
        }
        Filter::Platform(platform) => {
            let text = |key: &str| value.get(key).and_then(Value::as_str);
            let by_key = ["platform", "target", "executorName", "executor"];
            let named = by_key.iter().find_map(|key| text(key)?.parse::<Platform>().ok());
            let mentioned = || {
                let words = text("message")?.split(|c: char| !c.is_alphanumeric());
                let mut platforms =
                    words.filter(|word| *word != word.to_uppercase()).filter_map(|word| word.parse().ok());
                platforms.next()
            };
            named.or_else(mentioned) == Some(*platform)
        }
        Filter::Contains(text) => {
            let mut all = Vec::new();
            texts(value, &mut all);
            line.contains(text.as_str()) || all.iter().any(|each| each.contains(text.as_str()))
        }
        Filter::Matches(regex) => {
            let mut all = Vec::new();
            texts(value, &mut all);
            regex.is_match(line) || all.iter().any(|each| regex.is_match(each))
        }
    }
}

/// Every line that fits, the obvious way.
fn obvious(content: &[u8], query: &Query) -> Vec<(Line, Value)> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut found = Vec::new();
    for line in content.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // What is too long is not read.
        if line.len() > LINE_MAX {
            continue;
        }
        let Ok(text) = std::str::from_utf8(line) else { continue };
        let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(text) else { continue };
        let time = value.get("timestamp").and_then(moment);
        let windowed = query.since.is_some() || query.until.is_some();
        let inside = time.is_some_and(|time| {
            query.since.is_none_or(|since| time >= since) && query.until.is_none_or(|until| time < until)
        });
        if (!windowed || inside) && query.filters.iter().all(|filter| holds(filter, text, &value)) {
            found.push((Line { bytes: line.to_vec(), time }, value));
        }
    }
    found
}

#[test]
fn every_answer_is_the_obvious_one() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<usize>().ok());
    let wanted = number("OPSCTL_LOG_LINES").unwrap_or(60_000);
    let folder = Folder::new();
    let path = folder.0.join("application.log");
    let log = Log::from(Family { name: "application".into(), files: vec![path.clone()] });
    let (mut compared, mut found) = (0, 0);
    let mut seed = number("OPSCTL_LOG_SEED").unwrap_or(1).max(1) as u64 - 1;
    while compared < wanted {
        seed += 1;
        let mut random = Rng::with_seed(seed);
        let lines = random.usize(0..3000);
        let content = file(&mut random, lines);
        std::fs::write(&path, &content).unwrap();
        for _ in 0..6 {
            let query = query(&mut random, lines);
            let expected = obvious(&content, &query);
            let context = || format!("seed {seed}, {query:?}");

            let mut all = Vec::new();
            let sources = ask::each(&log, &query, &[], &mut |_, line| {
                all.push(Line::from(line));
                ControlFlow::Continue(())
            });
            assert!(sources.unread.is_empty() && !sources.account.disorder, "{}", context());
            let differs = all.iter().zip(&expected).find(|(ours, (theirs, _))| *ours != theirs);
            assert!(differs.is_none() && all.len() == expected.len(), "{}: {differs:?}", context());

            let limit = random.usize(1..40);
            let (last, _) = ask::newest(&log, &query, limit);
            let from = expected.len().saturating_sub(limit);
            assert!(last.iter().eq(expected[from..].iter().map(|(line, _)| line)), "{}, limit {limit}", context());

            let key = ["level", "errorCode", "target"][random.usize(0..3)];
            let (groups, _) = ask::group(&log, &query, key);
            let mut counts = std::collections::HashMap::new();
            for (_, value) in &expected {
                if let Some(value) = value.get(key).and_then(reads) {
                    *counts.entry(value).or_insert(0) += 1;
                }
            }
            let counted: std::collections::HashMap<String, u64> = groups.largest(usize::MAX).into_iter().collect();
            assert_eq!((counted, groups.other), (counts, 0), "{}, by {key}", context());
            compared += lines;
            found += expected.len();
        }
    }
    assert!(found * 20 > compared, "the questions find too little to mean anything: {found} of {compared}");
}
