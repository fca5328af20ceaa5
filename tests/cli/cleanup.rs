//! Clean-up straight on the platforms: duplicates, pages, cards, files, rows and messages, with the orchestrator down.

use opsctl::platforms::Platform;
use opsctl::sandbox::sim::{Api, Bulk, Fault};
use serde_json::{Value, json};

use crate::direct::Direct;
use crate::orchestrator::{Orchestrator, TOKEN};

fn bulk(value: Value) -> Bulk {
    serde_json::from_value(value).unwrap()
}

impl Direct {
    fn setting(&self, name: &str) -> &str {
        &self.credentials[name]
    }

    fn writes(&self, platform: Platform) -> u64 {
        self.sims.stats_of(platform).writes
    }

    /// Runs a change three ways: shown, without anybody to ask, and agreed to. Gives what the last said.
    fn change(&self, line: &str, platform: Platform) -> String {
        let plan = self.line(&format!("{line} --dry-run")).run().code(0);
        assert!(plan.stdout.contains("would send"), "{plan:?}");
        self.line(line).run().code(10);
        assert_eq!(self.writes(platform), 0, "nothing is sent before somebody agrees");
        let done = self.line(&format!("{line} --yes")).run().code(0);
        assert_eq!(self.writes(platform), 1, "{done:?}");
        format!("{}{}", done.stdout, done.stderr)
    }
}

#[test]
fn copies_are_found_with_evidence_and_what_hangs_on_one_is_for_a_person() {
    let direct = Direct::start();
    let database = direct.setting("NOTION_DATABASE_ID");
    let found = direct.json(&format!("notion:find-duplicates --database {database}"), 0);
    assert_eq!((&found["read"], &found["surplus"], &found["review"]), (&40.into(), &4.into(), &2.into()), "{found}");
    let sets = found["sets"].as_array().unwrap();
    for copy in sets.iter().flat_map(|set| set["copies"].as_array().unwrap()) {
        assert!(copy["evidence"].as_str().unwrap().contains("same title as"), "{copy}");
    }
    let reasons: Vec<_> =
        sets.iter().flat_map(|set| set["copies"].as_array().unwrap()).filter_map(|c| c["review"].as_str()).collect();
    assert_eq!(reasons, ["Tasks of Projects points to it", "1 page under it"]);
    let address = format!("https://www.notion.so/acme/Tasks-{}?v=1", database.replace('-', ""));
    let table = direct.line(&format!("notion find-duplicates --database {address}")).run().code(0);
    assert!(table.stdout.contains("KEEP") && table.stdout.contains("REVIEW"), "{table:?}");
    assert!(table.stdout.contains("4 copies, 2 to review"), "{table:?}");
    // A due date that differs makes two tasks of them.
    let due = direct.json(&format!("notion find-duplicates --database {database} --match due_date,status"), 0);
    assert!(due["surplus"].as_u64() < Some(4), "{due}");
    direct.line(&format!("notion find-duplicates --database {database} --match colour")).run().code(2);
    assert_eq!(direct.writes(Platform::Notion), 0);
}

#[test]
fn the_copies_go_to_the_trash_and_nothing_else_does() {
    let direct = Direct::start();
    let line = format!("notion remove-duplicates --database {}", direct.setting("NOTION_DATABASE_ID"));
    let plan = direct.json(&format!("{line} --dry-run"), 0);
    assert_eq!((plan["items"].as_u64(), direct.writes(Platform::Notion)), (Some(4), 0), "{plan}");
    direct.line(&format!("{line} --max-items 3 --yes")).run().code(6);
    direct.line(&format!("{line} --confirm")).run().code(0);
    let stats = direct.sims.stats_of(Platform::Notion);
    let trashed = stats.changed.iter().filter(|(what, times)| what.starts_with("pages.trash ") && **times == 1);
    assert_eq!((trashed.count(), stats.writes), (4, 4), "{stats:?}");
    let again = direct.line(&format!("{line} --yes")).run().code(0);
    assert!(again.stderr.contains("No duplicates that may go") && again.stderr.contains("to review"), "{again:?}");
}

#[test]
fn a_database_beyond_the_cut_off_is_read_whole_and_its_sources_apart() {
    let direct = Direct::start();
    let made = direct.sims.fill(Platform::Notion, &bulk(json!({"count": 10_150, "duplicates": 120, "apartMs": 1000})));
    let database = made.unwrap()["database"].as_str().unwrap().to_owned();
    let found = direct.json(&format!("notion find-duplicates --database {database}"), 0);
    assert_eq!((&found["read"], &found["surplus"]), (&10_150.into(), &120.into()));
    let made = direct.sims.fill(Platform::Notion, &bulk(json!({"count": 30, "sources": 3}))).unwrap();
    let none = direct.line(&format!("notion find-duplicates --database {}", made["database"].as_str().unwrap())).run();
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    assert!(none.stderr.contains("No duplicates among 30 pages of Bulk."), "{none:?}");
    let source = made["dataSources"][1].as_str().unwrap();
    assert_eq!(direct.json(&format!("notion find-duplicates --database {source}"), 0)["read"], 10);
}

#[test]
fn cards_that_are_there_twice_are_archived() {
    let direct = Direct::start();
    let board = direct.setting("TRELLO_BOARD_ID");
    let found = direct.json(&format!("trello:find-duplicates --board {board}"), 0);
    assert_eq!(found["surplus"], 3, "{found}");
    direct.line(&format!("trello archive-duplicates --board {board} --dry-run")).run().code(0);
    assert_eq!(direct.writes(Platform::Trello), 0);
    direct.line(&format!("trello:archive-duplicates --board {board} --confirm")).run().code(0);
    assert_eq!(direct.writes(Platform::Trello), 3);
    let none = direct.line(&format!("trello archive-duplicates --board {board} --yes")).run().code(0);
    assert!(none.stderr.contains("No duplicates among"), "{none:?}");
    let made = direct.sims.fill(Platform::Trello, &bulk(json!({"count": 2300, "duplicates": 40}))).unwrap();
    let large = direct.json(&format!("trello find-duplicates --board {}", made["board"].as_str().unwrap()), 0);
    assert_eq!((&large["read"], &large["surplus"]), (&2300.into(), &40.into()));
}

#[test]
fn a_page_and_a_card_go_where_they_can_be_brought_back() {
    let direct = Direct::start();
    let found = direct.json(&format!("notion find-duplicates --database {}", direct.setting("NOTION_DATABASE_ID")), 0);
    let page = found["sets"][0]["keep"]["id"].as_str().unwrap();
    let said = direct.change(&format!("notion:delete {page}"), Platform::Notion);
    assert!(said.contains("opsctl undo"), "{said}");
    let again = direct.line(&format!("notion delete {page} --yes")).run().code(0);
    assert!(again.stderr.contains("is in the trash already"), "{again:?}");
    let found = direct.json(&format!("trello find-duplicates --board {}", direct.setting("TRELLO_BOARD_ID")), 0);
    let card = found["sets"][0]["keep"]["id"].as_str().unwrap();
    direct.change(&format!("trello:archive {card}"), Platform::Trello);
    let again = direct.line(&format!("trello archive {card} --yes")).run().code(0);
    assert!(again.stderr.contains("is archived already"), "{again:?}");
}

#[test]
fn a_row_goes_only_while_it_is_the_one_that_was_shown() {
    let direct = Direct::start();
    let spreadsheet = direct.setting("SHEETS_LOG_SPREADSHEET_ID");
    let several = direct.line(&format!("sheets:delete-row {spreadsheet} 3")).run().code(2);
    assert!(several.stderr.contains("--sheet TAB") && several.stderr.contains("Actions"), "{several:?}");
    let plan = direct.line(&format!("sheets delete-row {spreadsheet} 2 --sheet Actions --dry-run")).run().code(0);
    assert!(plan.stdout.contains(" | "), "the row is shown: {plan:?}");
    direct.change(&format!("sheets delete-row {spreadsheet} 2 --sheet Actions"), Platform::Sheets);
    direct.line(&format!("sheets delete-row {spreadsheet} 0 --sheet Actions")).run().code(2);
    let past = direct.line(&format!("sheets delete-row {spreadsheet} 99999 --sheet Actions")).run().code(5);
    assert!(past.stderr.contains("the tab ends with row"), "{past:?}");
    direct.line(&format!("sheets delete-row {spreadsheet} 2 --sheet Nowhere")).run().code(5);
}

#[test]
fn a_message_is_sent_to_the_channel_that_was_shown() {
    let direct = Direct::start();
    let send = |channel: &str, text: &str| {
        direct.args(&["slack", "send", "--channel", channel, "--text", text, "--yes"]).run()
    };
    let channel = direct.setting("SLACK_NOTIFICATIONS_CHANNEL").to_owned();
    let done = send(&channel, "Previous notification was in error, please disregard").code(0);
    assert!(done.stderr.contains("send 1 message to the channel #"), "{done:?}");
    assert_eq!(direct.writes(Platform::Slack), 1);
    send("#no-such-channel", "hello").code(5);
    let shapeless = send("Ops Room!", "hello").code(2);
    assert!(
        shapeless.stderr.contains("it should be its name (letters, digits, `-` and `_`) or its id"),
        "{shapeless:?}"
    );
    send(&channel, " ").code(2);
    let long = send(&channel, &"x".repeat(40_001)).code(2);
    assert!(long.stderr.contains("40,001 characters"), "{}", long.stderr);
    let not_in = send("#random", "hello").code(4);
    assert!(not_in.stderr.contains("/invite @BOT"), "{not_in:?}");
    let secret = send(&channel, &format!("use {}", direct.setting("NOTION_API_KEY"))).code(2);
    assert!(secret.stderr.contains("holds a secret"), "{secret:?}");
    assert_eq!(direct.writes(Platform::Slack), 1);
}

#[test]
fn ids_that_cannot_be_are_refused_with_the_shape_they_should_have() {
    let direct = Direct::start();
    let id = "1f0c2b3a4d5e6f708192a3b4c5d6e7f8";
    for (line, says) in [
        ("notion delete page-7", "32 hex digits"),
        ("notion find-duplicates --database x", "32 hex digits"),
        ("trello archive card-1", "24 hex digits"),
        ("trello find-duplicates --board board-1", "24 hex digits"),
        ("drive delete file", "at least 15"),
        ("sheets delete-row sheet 3", "at least 15"),
    ] {
        let refused = direct.line(line).run().code(2);
        assert!(refused.stderr.contains(says), "{line}: {refused:?}");
    }
    let unknown = direct.line(&format!("notion find-duplicates --database {id}")).run().code(5);
    assert!(unknown.stderr.contains("not shared with this connection"), "{unknown:?}");
    assert!(unknown.stderr.contains("is that the right workspace?"), "{unknown:?}");
    direct.line(&format!("notion delete {id}")).run().code(5);
    for line in [
        "trello archive 5f0000000000000000000001",
        "trello find-duplicates --board 5f0000000000000000000001",
        "drive delete 1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms",
        "sheets delete-row 1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms 3",
    ] {
        let unknown = direct.line(line).run().code(5);
        assert!(unknown.stderr.contains("hint: two readings: it does not exist, or "), "{line}: {unknown:?}");
    }
    direct.sims.fault(Api::Notion, Fault::Unauthorized).unwrap();
    direct.line(&format!("notion delete {id}")).run().code(4);
}

#[test]
fn a_share_is_a_part_of_what_production_leaves() {
    let (direct, orchestrator) = (Direct::start(), Orchestrator::start("staging"));
    let config = direct.world.read("config/config.toml");
    let beside = format!("url = \"http://{}\"\ncredential = {{ env = \"HERE_TOKEN\" }}", orchestrator.address);
    direct.world.write("config/config.toml", &config.replacen("url = \"http://127.0.0.1:1\"", &beside, 1));
    let made = direct.sims.fill(Platform::Notion, &bulk(json!({"count": 80, "duplicates": 30}))).unwrap();
    let line = format!("notion remove-duplicates --database {}", made["database"].as_str().unwrap());
    let run = |more: &str| direct.line(&format!("{line} {more}")).env("HERE_TOKEN", TOKEN).run();
    for wrong in ["0", "150%", "half"] {
        let refused = run(&format!("--share {wrong} --dry-run")).code(2);
        assert!(refused.stderr.contains("a share is above 0 and at most 1: 0.5, or 50%"), "{refused:?}");
    }
    let whole = run("--dry-run").code(0);
    assert!(whole.stdout.contains("30 items take about 1s at notion's 1000/s"), "{whole:?}");
    // The small orchestrator uses 60 of 100: half of the rest is a fifth.
    let shared = run("--share 50% --dry-run").code(0);
    assert!(shared.stdout.contains("30 items take about 1s at 200/s of notion's 1000/s"), "{shared:?}");
    // Nobody knows what production leaves: half of the whole, and that is said once.
    orchestrator.set_down(true);
    let alone = run("--share 0.5 --dry-run").code(0);
    assert!(alone.stdout.contains("at 500/s of notion's 1000/s"), "{alone:?}");
    assert_eq!(alone.stderr.matches("what production has left is not known").count(), 1, "{alone:?}");
    orchestrator.set_down(false);
    // A saved plan takes its share when it is executed.
    run("--save-plan plan").code(0);
    let apply =
        |more: &str| direct.line(&format!("apply plan --share 50% {more}")).env("HERE_TOKEN", TOKEN).run().code(0);
    assert!(apply("--dry-run").stdout.contains("at 200/s of notion's 1000/s"));
    assert!(apply("--yes").stdout.contains("30 of 30 done"));
    assert_eq!(direct.writes(Platform::Notion), 30);
}
