//! Every alert brought about by a fault, and what the receivers are told of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use super::{Sandbox, World, eventually, kill};

const PAGE: &str = "check alerts --notify pagerduty -o json";

impl Sandbox {
    /// One look, as a schedule has it each minute. Gives what fires.
    fn look(&self) -> Vec<String> {
        let done = self.line(PAGE);
        assert!([Some(0), Some(3)].contains(&done.code), "{done:?}");
        let all = done.json();
        let firing = all.as_array().unwrap().iter().filter(|alert| alert["state"] == "firing");
        firing.map(name).collect()
    }

    #[track_caller]
    fn fires(&self, alert: &str) {
        let firing = self.look();
        assert!(firing.iter().any(|name| name == alert), "{alert} is not among {firing:?}");
    }

    #[track_caller]
    fn is_over(&self, alert: &str) {
        let firing = self.look();
        assert!(!firing.iter().any(|name| name == alert), "{alert} still fires: {firing:?}");
    }

    fn advance(&self, by: &str) {
        self.run(&format!("sandbox clock advance {by}")).code(0);
    }

    fn submit(&self, platform: &str, count: usize, extra: Value) {
        for start in (0..count).step_by(10) {
            let action = |_: usize| {
                // Nothing is the same twice, or it would be a finding.
                let title = format!("note {}", uuid::Uuid::now_v7());
                let (kind, field) = match platform {
                    "slack" => ("notify", "text"),
                    "notion" => ("create", "title"),
                    _ => ("create", "name"),
                };
                let mut action = json!({"type": kind, "platform": platform, "data": {field: title}});
                action.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
                action
            };
            let actions: Vec<Value> = (start..count.min(start + 10)).map(action).collect();
            self.world.write("actions.json", &Value::from(actions).to_string());
            self.line("api POST /admin/v1/actions --data @actions.json --yes").code(0);
        }
    }

    fn drained(&self) {
        eventually("nothing waits", || self.answer("queue status")["totalQueued"] == 0);
        eventually("nothing runs", || self.answer("system status")["workersBusy"] == 0);
    }

    /// The events that PagerDuty took, by the alert's name: `[trigger, resolve]`.
    fn pages(&self) -> BTreeMap<String, Vec<String>> {
        let held = self.platforms()["pagerduty"].clone();
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let mut pages: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in held["events"].as_array().unwrap() {
            let key = event["dedup_key"].as_str().unwrap().to_owned();
            if let Some(alert) = event["payload"]["custom_details"]["alert"].as_str() {
                names.insert(key.clone(), alert.to_owned());
            }
            let action = event["action"].as_str().unwrap().to_owned();
            pages.entry(names[&key].clone()).or_default().push(action);
        }
        pages
    }

    /// Each of them was opened once and closed once.
    #[track_caller]
    fn paged_once(&self, alerts: &[&str]) {
        let pages = self.pages();
        for alert in alerts {
            let told = pages.get(*alert).unwrap_or_else(|| panic!("nobody was told of {alert}: {pages:?}"));
            assert_eq!(told, &["trigger", "resolve"], "{alert}");
        }
        say(format_args!("{:<24} {:>8} {:>8}", "alert", "triggers", "resolves"));
        for alert in alerts {
            let count = |action: &str| pages[*alert].iter().filter(|told| *told == action).count();
            say(format_args!("{alert:<24} {:>8} {:>8}", count("trigger"), count("resolve")));
        }
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).unwrap();
}

fn name(alert: &Value) -> String {
    match alert["subject"].as_str() {
        Some(subject) => format!("{}/{subject}", alert["alert"].as_str().unwrap()),
        None => alert["alert"].as_str().unwrap().to_owned(),
    }
}

fn quiet_sandbox() -> Sandbox {
    let sandbox = Sandbox::up();
    sandbox.run("sandbox traffic off").code(0);
    sandbox.drained();
    // Its first actions may have touched a limit; that alert looks at five minutes.
    sandbox.advance("6m");
    assert_eq!(sandbox.look(), Vec::<String>::new());
    sandbox
}

#[test]
fn a_queue_that_grows_and_a_platform_that_fails_page_once_each() {
    let sandbox = quiet_sandbox();
    sandbox.line("queue pause").code(0);
    sandbox.submit("trello", 210, json!({}));
    let firing = sandbox.look();
    assert_eq!(firing.iter().filter(|name| name.starts_with("queue-")).count(), 3, "{firing:?}");
    sandbox.advance("9m");
    assert!(!sandbox.look().contains(&"queue-overload".to_owned()), "not for 10 minutes yet");
    sandbox.advance("61s");
    sandbox.fires("queue-overload");
    sandbox.fires("queue-overload");
    sandbox.line("queue clear --yes --confirm=sandbox").code(0);
    sandbox.line("queue resume").code(0);
    sandbox.is_over("queue-overload");

    // Notion is down and Trello refuses: after a quarter of an hour three alerts say so, and a good minute ends them.
    sandbox.run("sandbox fault notion 503").code(0);
    sandbox.run("sandbox fault trello 403").code(0);
    sandbox.submit("notion", 5, json!({"retryConfig": {"maxRetries": 0}}));
    for wait in ["1s", "8m", "8m"] {
        sandbox.advance(wait);
        sandbox.submit("trello", 8, json!({}));
        sandbox.drained();
        sandbox.look();
    }
    for alert in ["circuit-open/notion", "all-platforms-failing", "success-rate-low"] {
        sandbox.fires(alert);
    }
    sandbox.run("sandbox fault clear").code(0);
    sandbox.line("circuit reset notion --yes").code(0);
    sandbox.advance("6m");
    sandbox.submit("trello", 8, json!({}));
    sandbox.drained();
    sandbox.is_over("success-rate-low");
    sandbox.paged_once(&[
        "queue-50",
        "queue-100",
        "queue-200",
        "queue-overload",
        "circuit-open/notion",
        "all-platforms-failing",
        "success-rate-low",
    ]);
}

#[test]
fn what_is_not_a_rate_pages_once_each() {
    let sandbox = quiet_sandbox();
    // Somebody tries tokens.
    let url = sandbox.record()["url"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let http = opsctl::http::Http::new(opsctl::http::Options::default());
        for n in 0..5 {
            let url = format!("{url}/admin/v1/tokens").parse().unwrap();
            let request = http.request(opsctl::http::Method::GET, &url).unwrap();
            let token = format!("Bearer wrong-token-number-{n}");
            assert_eq!(http.send(request.header("authorization", token), None).await.unwrap().status, 401);
        }
    });
    eventually("the security log has it", || sandbox.look().contains(&"security-breach".to_owned()));

    for (scenario, alerts) in [
        ("issue-6", &["auth-failing/notion", "key-expiring/notion"][..]),
        ("issue-5", &["rate-limit/notion"]),
        ("issue-3", &["duplicates"]),
        ("issue-4", &["rollback-rate-low"]),
    ] {
        sandbox.run(&format!("sandbox scenario {scenario}")).code(0);
        for alert in alerts {
            if *alert == "key-expiring/notion" {
                // The platforms are asked about their keys once an hour.
                sandbox.advance("61m");
            }
            let mut firing = Vec::new();
            eventually(alert, || {
                firing = sandbox.look();
                firing.iter().any(|name| name == alert)
            });
        }
        sandbox.run("sandbox scenario clear").code(0);
    }
    // Good actions, and the hour over: all of it is history.
    sandbox.advance("3h");
    sandbox.submit("notion", 3, json!({}));
    sandbox.drained();
    // Its first actions may have touched a limit; that alert looks at five minutes.
    sandbox.advance("6m");
    assert_eq!(sandbox.look(), Vec::<String>::new());

    // Killed: two looks say what is unknown, the third pages.
    let [_, serve] = sandbox.pids()[..] else { panic!("two processes") };
    kill(serve);
    for _ in 0..2 {
        let blind = sandbox.line("check alerts --notify pagerduty").code(7);
        assert!(
            blind.stdout.contains("PENDING  system-down") && blind.stdout.contains("UNKNOWN  queue-50"),
            "{blind:?}"
        );
    }
    sandbox.line("check alerts --notify pagerduty").code(3);
    sandbox.run("sandbox up").code(0);
    sandbox.is_over("system-down");
    sandbox.paged_once(&[
        "security-breach",
        "auth-failing/notion",
        "key-expiring/notion",
        "rate-limit/notion",
        "duplicates",
        "rollback-rate-low",
        "system-down",
    ]);
}

#[test]
fn what_holds_for_an_hour_a_week_or_a_season_pages_once_each() {
    let sandbox = quiet_sandbox();
    // A week later calls take five times as long; the week after that they do not.
    sandbox.advance("8d");
    sandbox.run("sandbox fault trello slow=400").code(0);
    sandbox.submit("trello", 8, json!({}));
    sandbox.drained();
    sandbox.fires("week-slower");
    sandbox.run("sandbox fault clear").code(0);
    sandbox.advance("8d");
    sandbox.submit("trello", 8, json!({}));
    sandbox.drained();
    sandbox.is_over("week-slower");
    // What follows is slow again.
    sandbox.paged_once(&["week-slower"]);

    // For more than an hour: tries that fail once, Notion's work done by Trello, and for half of it one slow platform.
    sandbox.line("config set NOTION_FALLBACK_ENABLED=true NOTION_FALLBACK_PLATFORM=trello --yes").code(0);
    for n in 0..6 {
        sandbox.run("sandbox fault trello 503 --count 3 --only create").code(0);
        sandbox.submit("trello", 3, json!({"retryConfig": {"maxRetries": 3, "initialDelay": 50}}));
        sandbox.drained();
        // Refused connections: nothing is in doubt, so another may do it.
        sandbox.run("sandbox fault notion down").code(0);
        sandbox.submit("notion", 4, json!({"retryConfig": {"maxRetries": 0}}));
        sandbox.drained();
        if n < 4 {
            sandbox.run("sandbox fault trello slow=5300 --only create").code(0);
            sandbox.submit("trello", 3, json!({}));
            sandbox.drained();
        }
        sandbox.run("sandbox fault clear").code(0);
        let firing = sandbox.look();
        assert_eq!(firing.contains(&"high-latency".to_owned()), n == 3, "{n}: {firing:?}");
        assert_eq!(firing.contains(&"retry-rate-high".to_owned()), n == 5, "{n}: {firing:?}");
        sandbox.advance("14m");
    }
    sandbox.line("circuit reset notion --yes").code(0);
    sandbox.submit("trello", 12, json!({}));
    sandbox.drained();
    for alert in ["high-latency", "retry-rate-high", "fallback-usage-high"] {
        sandbox.is_over(alert);
    }

    // What waited for a quarter of an hour is in the week's mean, like the slow calls.
    sandbox.line("queue pause").code(0);
    sandbox.submit("trello", 10, json!({}));
    sandbox.advance("15m");
    sandbox.line("queue resume").code(0);
    sandbox.drained();
    for alert in ["week-waiting", "week-latency"] {
        sandbox.fires(alert);
    }
    sandbox.advance("8d");
    sandbox.submit("trello", 3, json!({}));
    sandbox.drained();
    for alert in ["week-waiting", "week-latency"] {
        sandbox.is_over(alert);
    }

    // A key that nobody changed for a season, until somebody does.
    sandbox.advance("90d");
    sandbox.fires("key-old/notion");
    sandbox.run("sandbox scenario issue-6").code(0);
    sandbox.run("sandbox scenario clear").code(0);
    sandbox.is_over("key-old/notion");
    sandbox.paged_once(&[
        "high-latency",
        "retry-rate-high",
        "fallback-usage-high",
        "week-waiting",
        "week-latency",
        "key-old/notion",
    ]);
}

/// A small disk under the sandbox, which goes away with the value.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(path: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "none"]).arg(&path).output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Disk(path))
    }

    /// Takes all its room but this.
    fn fill(&self, leave: usize) {
        let ballast = self.0.join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        let block = vec![1; 1 << 16];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..512]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - leave as u64).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_machine_without_disk_or_memory_pages_once_each() {
    // Should the disk go first, it ends by itself.
    let sandbox = Sandbox { world: World::new(), idle: "3m" };
    let Some(disk) = Disk::mount(sandbox.world.path("state/sandbox")) else {
        say(format_args!(
            "SKIPPED: a_machine_without_disk_or_memory_pages_once_each: this user cannot mount a file system"
        ));
        return;
    };
    // The service sees another machine's memory, whose use is a file's text.
    let meminfo = |available: u32| {
        sandbox.world.write("meminfo", &format!("MemTotal: 1000 kB\nMemAvailable: {available} kB\n"));
    };
    meminfo(700);
    let mut up = Command::new("unshare");
    up.args(["-m", "sh", "-c", "mount --bind meminfo /proc/meminfo && exec \"$0\" sandbox up"]);
    up.arg(env!("CARGO_BIN_EXE_opsctl")).current_dir(sandbox.world.path(""));
    up.env("HOME", sandbox.world.path("")).env("OPSCTL_STATE_DIR", sandbox.world.path("state"));
    let up = up.env("OPSCTL_SANDBOX_IDLE", sandbox.idle).output().unwrap();
    assert!(up.status.success(), "{up:?}");
    sandbox.run("sandbox traffic off").code(0);
    sandbox.drained();
    // Its first actions may have touched a limit; that alert looks at five minutes.
    sandbox.advance("6m");
    assert_eq!(sandbox.look(), Vec::<String>::new());

    meminfo(100);
    for _ in 0..3 {
        sandbox.look();
        sandbox.advance("14m");
    }
    sandbox.fires("memory-high");
    meminfo(700);
    sandbox.is_over("memory-high");

    // Nearly full is one alert, full another: the store cannot write.
    disk.fill(1 << 20);
    sandbox.fires("disk-space");
    disk.empty();
    disk.fill(0);
    let mut firing = Vec::new();
    eventually("the store cannot write", || {
        // Refused, or accepted into what is left of the log: it is tried until there is none.
        let card = r#"[{"type":"create","platform":"trello","data":{"name":"x"}}]"#;
        let words = ["api", "POST", "/admin/v1/actions", "--yes", "--context", "sandbox", "--data", card];
        let _ = sandbox.world.opsctl(words).run();
        firing = sandbox.look();
        firing.contains(&"database-down".to_owned())
    });
    disk.empty();
    eventually("it can again", || {
        sandbox.submit("trello", 1, json!({}));
        let firing = sandbox.look();
        !firing.contains(&"database-down".to_owned()) && !firing.contains(&"disk-space".to_owned())
    });
    sandbox.paged_once(&["memory-high", "disk-space", "database-down"]);
    sandbox.run("sandbox down").code(0);
    drop(disk);
}

#[test]
fn a_receiver_that_is_down_and_quiet_alerts() {
    let sandbox = quiet_sandbox();
    sandbox.line("queue pause").code(0);
    sandbox.submit("trello", 60, json!({}));

    // Nobody can be told: the answer and its code are the same, and both events arrive later, in order.
    sandbox.run("sandbox fault pagerduty 503").code(0);
    let down = sandbox.line("check alerts --notify pagerduty").code(3);
    assert!(down.stderr.contains("kept and sent next time"), "{down:?}");
    sandbox.line("queue clear --yes --confirm=sandbox").code(0);
    sandbox.line("check alerts --notify pagerduty").code(0);
    assert!(sandbox.pages().is_empty());
    sandbox.run("sandbox fault clear pagerduty").code(0);
    sandbox.line("check alerts --notify pagerduty").code(0);
    assert_eq!(sandbox.pages()["queue-50"], ["trigger", "resolve"]);

    // Silenced: shown, no problem, nobody told; when the silence is over somebody is.
    sandbox.submit("trello", 60, json!({}));
    sandbox.line("alerts silence queue-50 --for 30m --reason deployment").code(0);
    let silenced = sandbox.line("check alerts --notify pagerduty").code(0);
    assert!(silenced.stdout.contains("silenced by ana@"), "{silenced:?}");
    assert_eq!(sandbox.pages()["queue-50"].len(), 2);
    let status = sandbox.line("system status").code(0);
    assert!(status.stdout.contains("alert queue-50 is silenced by ana@"), "{status:?}");
    sandbox.advance("31m");
    sandbox.line("check alerts --notify pagerduty").code(3);
    assert_eq!(sandbox.pages()["queue-50"].len(), 3);

    // Somebody is at it.
    sandbox.line("alerts ack queue-50").code(0);
    sandbox.line("alerts ack circuit-open/notion").code(6);
    let acked = sandbox.line("check alerts --notify pagerduty --notify slack:#ops-alerts").code(3);
    assert!(acked.stdout.contains("is at it, until"), "{acked:?}");
    assert!(sandbox.line("system status").stdout.contains("alert queue-50 is acknowledged by ana@"));
    assert_eq!(sandbox.pages()["queue-50"].last().map(String::as_str), Some("acknowledge"));

    // A book that cannot be kept hides nothing: what would have to hold is said at once.
    let book = sandbox.world.path("state/alerts");
    std::fs::rename(&book, sandbox.world.path("kept")).unwrap();
    std::fs::write(&book, "in the way").unwrap();
    sandbox.submit("trello", 60, json!({}));
    let unkept = sandbox.line("check alerts --notify pagerduty").code(3);
    assert!(unkept.stdout.contains("FIRING   queue-overload"), "{unkept:?}");
    assert!(unkept.stderr.contains("alerts do not wait for their durations"), "{unkept:?}");
    std::fs::remove_file(&book).unwrap();
    std::fs::rename(sandbox.world.path("kept"), &book).unwrap();

    let glance = sandbox.line("check alerts --now -o json").code(3).json();
    assert!(
        glance.as_array().unwrap().iter().any(|alert| alert["alert"] == "queue-overload" && alert["state"] == "firing")
    );
    let line = sandbox.line("check alerts --exit-style check").code(1);
    assert!(
        line.stdout.starts_with("ALERTS WARNING - ") && line.stdout.contains(" | queue_depth=120;50;200"),
        "{line:?}"
    );
    sandbox.line("check alerts --textfile metrics/alerts.prom").code(3);
    let metrics = sandbox.world.read("metrics/alerts.prom");
    let problem = "opsctl_check_problem{check=\"alerts\",context=\"sandbox\",name=\"queue-50\",subject=\"\"} 1\n";
    assert!(metrics.contains(problem) && metrics.ends_with("# EOF\n"), "{metrics}");
    for (wrong, code) in [
        ("alerts silence queue-5 --for 1h --reason x", 2),
        ("alerts silence queue-50 --for 1 --reason x", 2),
        ("alerts silence queue-50 --for 1h", 2),
        ("check alerts --textfile alerts.txt", 2),
        ("check alerts --notify mail:ops", 2),
        ("check alerts --ping ftp://x", 2),
    ] {
        let refused = sandbox.line(wrong).code(code);
        assert!(refused.stderr.contains("hint: ") || refused.stderr.contains("tip: "), "{refused:?}");
    }
}
