//! Reports of real traffic, held against an independent count: the actions themselves.

use serde_json::Value;

use super::{Sandbox, eventually};

/// How many actions of a platform ended in a state, as the list of actions has it.
fn ended(sandbox: &Sandbox, platform: &str, status: &str) -> u64 {
    let path = format!("/api/actions/recent?platform={platform}&status={status}&limit=1");
    sandbox.answer(&format!("api GET {path}"))["total"].as_u64().unwrap()
}

/// Nothing waits and nothing runs any more.
fn at_rest(sandbox: &Sandbox) {
    eventually("the queue is empty", || {
        let queue = sandbox.answer("queue status");
        queue["totalQueued"] == 0 && queue["workerUtilization"] == 0.0
    });
}

/// The numbers below one heading of a Markdown page: the first cell of a row, and another.
fn column(page: &str, heading: &str, at: usize) -> Vec<(String, String)> {
    let part = page.split(&format!("## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}: {page}"));
    let rows = part.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].clone(), cells[at].clone())).collect()
}

#[test]
fn a_months_report_counts_what_ran() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox fault drive 401 --count 4 --only write").code(0);
    eventually("some fail", || ended(&sandbox, "drive", "failed") > 0);
    sandbox.run("sandbox traffic off").code(0);
    sandbox.run("sandbox fault clear").code(0);
    at_rest(&sandbox);

    // The same again prevents a duplicate, twice: while it waits, its key is taken.
    sandbox.line("queue pause").code(0);
    for _ in 0..3 {
        let body = r#"{"type":"query","platform":"notion","data":{"database_id":"x"},"idempotencyKey":"report-1"}"#;
        sandbox.world.write("action.json", body);
        sandbox.line("api POST /admin/v1/actions --data @action.json --yes").code(0);
    }
    sandbox.line("queue resume").code(0);
    at_rest(&sandbox);

    let report = sandbox.answer("report:monthly --month this --file page.html --file page.md");
    let mut all = 0;
    for platform in ["notion", "trello", "slack", "drive", "sheets"] {
        let (done, failed) = (ended(&sandbox, platform, "success"), ended(&sandbox, platform, "failed"));
        let rows = report["platforms"].as_array().unwrap();
        let row = rows.iter().find(|row| row["platform"] == platform);
        let figures = row.map_or(&Value::Null, |row| &row["figures"]);
        let counted = (figures["totalActions"].as_u64(), figures["succeeded"].as_u64());
        assert_eq!(counted, (Some(done + failed), Some(done)), "{platform}: {report}");
        all += done + failed;
    }
    assert_eq!(report["total"]["totalActions"], all);
    let by_type: u64 = report["types"].as_array().unwrap().iter().map(|row| row["total"].as_u64().unwrap()).sum();
    let by_day: u64 = report["days"].as_array().unwrap().iter().map(|day| day["ended"].as_u64().unwrap()).sum();
    assert_eq!((by_type, by_day), (all, all));
    let failures = report["failures"].as_array().unwrap();
    assert!(failures.iter().any(|row| row["code"] == "AUTH_ERROR" && row["platforms"]["drive"].is_u64()), "{report}");

    // What the simulators were really sent.
    let status = sandbox.json("sandbox status");
    let sent = |platform: &str| status["requests"][platform]["total"].as_u64().unwrap();
    let requests = report["platforms"].as_array().unwrap();
    let slack = requests.iter().find(|row| row["platform"] == "slack").unwrap();
    assert!(slack["requests"].as_u64() <= Some(sent("slack")), "{slack} and {status}");

    let count = |what: &str| {
        let rows = report["occurrences"].as_array().unwrap();
        rows.iter().find(|row| row["occurrence"] == what).unwrap()["count"].as_u64().unwrap()
    };
    assert!(count("duplicatePrevented") >= 2);
    let workflows = sandbox.answer("api GET /admin/v1/workflows?limit=1");
    assert_eq!(count("workflowAccepted"), workflows["total"]);

    // The pages have the same numbers as the answer.
    let markdown = sandbox.world.read("page.md");
    for (platform, shown) in column(&markdown, "Platforms", 1) {
        let row = requests.iter().find(|row| row["platform"] == platform.as_str()).unwrap();
        let total = row["figures"]["totalActions"].as_u64().unwrap_or(0);
        assert_eq!(shown.replace(',', ""), total.to_string(), "{platform}");
    }
    let page = sandbox.world.read("page.html");
    assert!(
        page.contains("<svg") && !page.contains("http://") && !page.contains("https://"),
        "it opens without a network"
    );

    // `metrics performance` and `metrics actions` count the same actions.
    let performance = sandbox.answer("metrics:performance --since 24h");
    assert_eq!(performance["current"]["totalActions"], all);
    let rows = sandbox.answer("metrics:actions --since 24h --breakdown");
    let total: u64 = rows["rows"].as_array().unwrap().iter().map(|row| row["total"].as_u64().unwrap()).sum();
    assert_eq!(total, all);
}

#[test]
fn what_cannot_be_reported_is_said() {
    let sandbox = Sandbox::up();
    for (line, code, says) in [
        ("report monthly --month 2999-01", 2, "2999-01 has not begun"),
        ("report monthly --month october", 2, "is not a month"),
        ("report monthly --file no/such/folder/page.html", 2, "there is no folder"),
        ("report monthly --file page.pdf", 2, ".html or .md"),
        ("issues export --file no/such/folder/issues.md", 2, "there is no folder"),
        ("analyze capacity --since 1h --until 2h", 2, "the window is empty"),
        ("metrics performance --since 60d", 2, "from 1m to 31d"),
    ] {
        let refused = sandbox.line(line).code(code);
        assert!(refused.stderr.contains(says) && refused.stderr.contains("hint:"), "{line}: {refused:?}");
    }

    // A month of which nothing is kept: empty tables that say why, not zeros that look like a quiet month.
    let early = sandbox.line("report monthly --month 2020-02").code(0);
    assert!(early.stdout.contains("Nothing is recorded before"), "{early:?}");
    assert_eq!(early.stdout.lines().count(), 3, "{early:?}");

    let capacity = sandbox.line("analyze:capacity --since 30d").code(0);
    assert!(capacity.stdout.contains("not enough history"), "{capacity:?}");
    assert!(capacity.stderr.contains("nothing is recorded before"), "{capacity:?}");
}

#[test]
fn issues_are_exported_with_what_was_done_about_them() {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);
    let id = sandbox.failed_rollback();
    let resolved = format!("workflow:mark-resolved {id} --comment moved-by-hand --reason monthly-review --yes");
    sandbox.line(&resolved).code(0);
    let issues = sandbox.answer("issues:export --since 30d --file issues.md");
    let patterns = issues["patterns"].as_array().unwrap();
    let sum: u64 = patterns.iter().map(|pattern| pattern["count"].as_u64().unwrap()).sum();
    assert_eq!(issues["errors"], sum);
    assert!(sum > 0, "{issues}");
    assert_eq!(issues["resolutions"][0]["workflowId"], id);
    assert_eq!(issues["resolutions"][0]["comment"], "moved-by-hand");
    assert_eq!(issues["changes"][0]["reason"], "monthly-review");
    let page = sandbox.world.read("issues.md");
    assert!(page.contains("moved-by-hand") && page.contains("monthly-review"), "{page}");
    let lines = sandbox.line("issues export -o jsonl").code(0);
    assert_eq!(lines.stdout.lines().count(), patterns.len());

    // Down: the patterns come from the files, and what only the orchestrator knows is said to be unknown.
    at_rest(&sandbox);
    let counted = sandbox.answer("metrics:performance --since 7d")["current"]["totalActions"].clone();
    let sent = sandbox.answer("metrics:requests --window 24h")["platforms"][0]["requests"].clone();
    let events = sandbox.answer(&format!("logs:workflow {id}"))["events"].as_array().unwrap().len();
    // Counters and samples are written together, each second that has any: whatever is written from now on has these.
    let (now, written) = (std::time::SystemTime::now(), sandbox.world.path("state/sandbox/data/metrics.db-wal"));
    eventually("the figures are written", || std::fs::metadata(&written).unwrap().modified().unwrap() > now);
    let pids = sandbox.pids();
    pids.iter().for_each(|pid| super::kill(*pid));
    let left = |line: &str| {
        let left = sandbox.line(&format!("{line} -o json")).code(7);
        assert!(left.stderr.contains("this is from what it recorded in"), "{line}: {left:?}");
        left.json()
    };
    assert_eq!(left("metrics:performance --since 7d")["current"]["totalActions"], counted);
    assert_eq!(left("metrics:requests --window 24h")["platforms"][0]["requests"], sent);
    let by_type = left("metrics:actions --since 7d --breakdown");
    let ended: u64 = by_type["rows"].as_array().unwrap().iter().map(|row| row["total"].as_u64().unwrap()).sum();
    assert_eq!(counted, ended);
    let month = left("report:monthly --month this");
    assert_eq!((&month["total"]["totalActions"], month["changes"].is_null()), (&counted, false), "{month}");
    assert!(left("analyze:capacity --since 30d")["resources"][0]["hours"].as_u64() > Some(0));
    let told = sandbox.line(&format!("logs:workflow {id} -o json")).code(7).json();
    assert_eq!(told["events"].as_array().unwrap().len(), events);
    sandbox.line("metrics performance --accept-stale").code(0);
    let down = sandbox.line("issues export --since 30d").code(7);
    assert!(down.stdout.contains("Unknown: the orchestrator does not answer."), "{down:?}");
    assert!(down.stdout.contains("Error patterns"), "{down:?}");
}
