//! What was done straight on the platforms is taken back: all of it, or all but what somebody touched since.

use opsctl::platforms::Platform;
use opsctl::wire::ActionType;
use serde_json::{Value, json};

use crate::direct::Direct;
use crate::world::Done;

/// What changes by itself when a thing is touched and put back.
const TIMES: [&str; 4] = ["edited", "last_activity", "modified", "pos"];

impl Direct {
    /// What a platform holds, without times.
    fn holds(&self, platform: Platform) -> Value {
        without_times(self.sims.contents(platform).unwrap())
    }

    /// Runs a change that is agreed to; gives its receipt.
    fn changed(&self, args: &[&str]) -> String {
        let done = self.args(args).run().code(0);
        let line = done.stderr.lines().find_map(|l| l.strip_prefix("receipt: ")).unwrap_or_else(|| panic!("{done:?}"));
        line.split(' ').next().unwrap().to_owned()
    }

    fn undo(&self, receipt: &str, code: i32) -> Done {
        self.line(&format!("undo {receipt} --yes")).run().code(code)
    }

    /// One file of Drive: its id.
    fn file(&self) -> String {
        let contents = self.sims.contents(Platform::Drive).unwrap();
        let files = contents["files"].as_object().unwrap();
        files.iter().find(|(_, file)| file["name"] == "March report.txt").unwrap().0.clone()
    }
}

fn without_times(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(without_times).collect(),
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| !TIMES.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name, without_times(value))).collect())
        }
        other => other,
    }
}

#[test]
fn after_an_undo_everything_is_as_it_was() {
    let direct = Direct::start();
    let (database, board, sheet) = ["NOTION_DATABASE_ID", "TRELLO_BOARD_ID", "SHEETS_LOG_SPREADSHEET_ID"]
        .map(|name| &direct.credentials[name])
        .into();
    let file = direct.file();
    for (platform, line) in [
        (Platform::Notion, format!("notion remove-duplicates --database {database} --yes")),
        (Platform::Trello, format!("trello archive-duplicates --board {board} --yes")),
        (Platform::Drive, format!("drive delete {file} --yes")),
        (Platform::Sheets, format!("sheets delete-row {sheet} 3 --sheet Actions --yes")),
    ] {
        let before = direct.holds(platform);
        let receipt = direct.changed(&line.split(' ').collect::<Vec<_>>());
        assert_ne!(direct.holds(platform), before, "{platform}");
        let dry = direct.line(&format!("undo {receipt} --dry-run")).run().code(0);
        assert!(dry.stdout.contains("would send") && dry.stderr.contains("nothing was sent"), "{dry:?}");
        direct.undo(&receipt, 0);
        assert_eq!(direct.holds(platform), before, "{platform}");
        let again = direct.undo(&receipt, 0);
        assert!(again.stderr.contains("was already taken back"), "{again:?}");
    }
}

#[test]
fn a_message_carries_its_correction_unless_somebody_edited_it() {
    let direct = Direct::start();
    let channel = direct.credentials["SLACK_NOTIFICATIONS_CHANNEL"].clone();
    let send = |text: &str| direct.changed(&["slack", "send", "--channel", &channel, "--text", text, "--yes"]);
    let messages = || direct.sims.contents(Platform::Slack).unwrap()["channels"][&channel]["messages"].clone();
    let first = send("Invoice 1042 was paid twice");
    direct.undo(&first, 0);
    let text = messages().as_object().unwrap().values().next_back().unwrap()["text"].as_str().unwrap().to_owned();
    assert_eq!(text, "~Invoice 1042 was paid twice~\n_Previous notification was in error, please disregard_");

    // The runbook's own apology can be wrong too.
    let apology = "Previous notification was in error, please disregard";
    direct.undo(&send(apology), 0);
    let text = messages().as_object().unwrap().values().next_back().unwrap()["text"].as_str().unwrap().to_owned();
    assert_eq!(text, format!("~{apology}~\n_{apology}_"));

    let second = send("Deploying 4.2.0");
    let ts = messages().as_object().unwrap().keys().next_back().unwrap().clone();
    let edit = json!({"channel": channel, "ts": ts, "text": "Deploying 4.2.1"});
    direct.meanwhile(Platform::Slack, ActionType::Update, edit);
    let left = direct.undo(&second, 8);
    assert!(left.stderr.contains("left alone") && left.stderr.contains("Deploying 4.2.1"), "{left:?}");
}

#[test]
fn what_was_edited_since_is_left_alone_and_named() {
    let direct = Direct::start();
    let board = &direct.credentials["TRELLO_BOARD_ID"];
    let found = direct.json(&format!("trello find-duplicates --board {board}"), 0);
    let card = found["sets"][0]["copies"][0]["id"].as_str().unwrap().to_owned();
    let receipt = direct.changed(&["trello", "archive-duplicates", "--board", board, "--yes"]);
    direct.meanwhile(Platform::Trello, ActionType::Update, json!({"cardId": card, "name": "Somebody's own"}));
    let left = direct.undo(&receipt, 8);
    assert!(left.stderr.contains("left alone") && left.stderr.contains(&card), "{left:?}");
    assert!(left.stdout.contains("2 of 2 done"), "{left:?}");

    let file = direct.file();
    let receipt = direct.changed(&["drive", "delete", &file, "--yes"]);
    direct.meanwhile(Platform::Drive, ActionType::Update, json!({"fileId": file, "name": "Kept.txt"}));
    let left = direct.undo(&receipt, 8);
    assert!(left.stderr.contains(&file) && left.stderr.contains("somebody changed it since"), "{left:?}");

    let sheet = direct.credentials["SHEETS_LOG_SPREADSHEET_ID"].clone();
    let receipt = direct.changed(&["sheets", "delete-row", &sheet, "3", "--sheet", "Actions", "--yes"]);
    // What moved up is somebody's now.
    for range in ["Actions!A2", "Actions!A3"] {
        let edit = json!({"spreadsheetId": sheet, "range": range, "value": "somebody's own"});
        direct.meanwhile(Platform::Sheets, ActionType::Update, edit);
    }
    let left = direct.undo(&receipt, 8);
    assert!(left.stderr.contains("row 3 of Actions holds somebody's own"), "{left:?}");
}

#[test]
fn what_the_trash_no_longer_has_is_shown_before_the_question() {
    let direct = Direct::start();
    let file = direct.file();
    let receipt = direct.changed(&["drive", "delete", &file, "--yes"]);
    let waits = direct.line(&format!("undo {receipt} --dry-run")).run().code(0);
    assert!(waits.stdout.contains("trashed=false"), "{waits:?}");
    // A month later somebody looks into the trash, and the file is gone for good.
    direct.sims_clock.set_offset_ms(31 * 24 * 3_600_000);
    direct.look(Platform::Drive);
    direct.sims_clock.set_offset_ms(0);
    let before = direct.holds(Platform::Drive);
    // Nobody is asked, with a terminal or without: there is nothing to say yes to.
    for consent in ["", "--dry-run", "--yes"] {
        let told = direct.line(&format!("undo {receipt} {consent}")).run().code(6);
        for part in [
            format!("error: {receipt} cannot be taken back by a request"),
            format!("`March report.txt` ({file}): drive has it no more; its trash is emptied after 30 days"),
        ] {
            assert!(told.stderr.contains(&part), "{consent}: {told:?}");
        }
        assert_eq!(told.stdout, "", "no plan: {told:?}");
    }
    assert_eq!(direct.holds(Platform::Drive), before);
}
