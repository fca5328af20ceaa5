//! `check health --external`: the vendors' feeds, asked straight from here.

use opsctl::sandbox::sim::{Feed, Indicator, SimOptions, Sims};

use crate::world::{Run, World};

/// Feeds, and a context whose orchestrator is not there.
struct Feeds {
    world: World,
    sims: Sims,
    _runtime: tokio::runtime::Runtime,
}

impl Feeds {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sims = runtime.block_on(Sims::start(SimOptions::default())).unwrap();
        let mut config = String::from("[contexts.local]\nurl = \"http://127.0.0.1:1\"\n[contexts.local.platforms]\n");
        for (name, address) in sims.endpoints().all().into_iter().filter(|(name, _)| name.starts_with("status_")) {
            config.push_str(&format!("{name} = \"{address}\"\n"));
        }
        Feeds { world: World::configured(&config), sims, _runtime: runtime }
    }

    fn set(&self, vendor: &str, feed: Feed) {
        self.sims.set_feed(vendor, feed).unwrap();
    }

    fn line(&self, line: &str) -> Run {
        self.world.line(line)
    }
}

/// Platform and status of each row, in the order of the platforms.
fn rows(stdout: &str) -> Vec<(String, String)> {
    let mut lines = stdout.lines();
    assert_eq!(lines.next(), Some("PLATFORM  STATUS      TOOK  THE VENDOR SAYS"));
    let mut rows: Vec<_> = lines
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect();
    rows.sort();
    rows
}

fn row(platform: &str, status: &str) -> (String, String) {
    (platform.to_owned(), status.to_owned())
}

#[test]
fn it_needs_no_orchestrator() {
    let feeds = Feeds::start();
    let done = feeds.line("check health --all --external").run().code(0);
    assert_eq!(rows(&done.stdout).len(), 5);
    assert!(rows(&done.stdout).iter().all(|(_, status)| status == "OK"), "{done:?}");
    assert_eq!(done.stderr, "");
    feeds.line("check health --all").run().code(7);
}

#[test]
fn each_vendor_says_its_own_and_what_cannot_be_read_is_unknown() {
    let feeds = Feeds::start();
    feeds.set("notion", Feed { indicator: Indicator::Minor, ..Feed::default() });
    feeds.set("trello", Feed { html: true, ..Feed::default() });
    feeds.set(
        "google",
        Feed { indicator: Indicator::Critical, products: vec!["Google Drive".into()], ..Feed::default() },
    );
    let done = feeds.line("check:health --external").run().code(3);
    let expected = [
        row("drive", "DOWN"),
        row("notion", "DEGRADED"),
        row("sheets", "OK"),
        row("slack", "OK"),
        row("trello", "UNKNOWN"),
    ];
    assert_eq!(rows(&done.stdout), expected, "{done:?}");
    feeds.line("check health slack sheets --external").run().code(0);
}

#[test]
fn a_feed_that_hangs_is_a_row_and_keeps_nobody_waiting_beyond_the_deadline() {
    let feeds = Feeds::start();
    feeds.set("slack", Feed { hang: true, ..Feed::default() });
    let done = feeds.line("check health --all --external --timeout 1s").run().code(3);
    assert!(rows(&done.stdout).contains(&row("slack", "TIMEOUT")), "{done:?}");
    let last = done.stdout.lines().last().unwrap();
    assert!(last.starts_with("slack     TIMEOUT "), "the others were written before: {done:?}");
}

#[test]
fn one_platform_is_an_object_and_several_are_a_list() {
    let feeds = Feeds::start();
    let one = feeds.line("check health notion --external -o json").run().code(0).json();
    assert_eq!((&one["platform"], &one["status"]), (&"notion".into(), &"OK".into()));
    assert!(one["tookMs"].is_u64() && one["url"].as_str().unwrap().ends_with("/notion/api/v2/status.json"));
    let both = feeds.line("check health trello notion trello --external -o json").run().code(0).json();
    let names: Vec<_> = both.as_array().unwrap().iter().map(|f| f["platform"].clone()).collect();
    assert_eq!(names, ["trello", "notion"], "in the order they were asked for, each once");
}

#[test]
fn an_unknown_platform_is_a_usage_error() {
    let world = World::new();
    let done = world.line("check health notoin").run().code(2);
    assert!(done.stderr.starts_with("error: `notoin` does not fit"), "{done:?}");
    assert!(done.stderr.contains("caused by: ") && done.stderr.contains("hint: "), "{done:?}");
    world.line("check health notion --all").run().code(2);
}
