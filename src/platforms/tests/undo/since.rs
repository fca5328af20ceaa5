//! What stops an undo, what needs none, and what only a person can undo.

use super::*;
use crate::platforms::undo::{by_hand, limitations};

#[tokio::test]
async fn what_somebody_changed_since_is_left_alone_unless_forced() {
    let ground = Ground::start().await;
    for case in ground.overwriting().await.into_iter().filter(|c| c.action == ActionType::Update) {
        let original = ground.contents(&case).await;
        let done = ground.act(case.platform, case.action, case.data.clone()).await;
        let id = case.path[1].as_str();
        let title = json!({"properties": {"Name": {"title": [{"text": {"content": "Theirs"}}]}}});
        match case.platform {
            Platform::Notion => ground.meddle(case.platform, Method::PATCH, &["pages", id], title).await,
            Platform::Trello => {
                ground.meddle(case.platform, Method::PUT, &["cards", id], json!({"name": "Theirs"})).await
            }
            Platform::Drive => {
                ground.meddle(case.platform, Method::PATCH, &["files", id], json!({"name": "Theirs"})).await
            }
            _ => _ = ground.run(case.platform, ActionType::Update, json!({"range": "Log!C2", "value": "Theirs"})).await,
        }
        assert!(matches!(ground.seen(&done).await, Seen::Altered(how) if how.contains("Theirs")));
        let (theirs, writes) = (ground.contents(&case).await, ground.writes(case.platform));
        let Undone::ChangedSince(how) = ground.undo(&done, false).await else { panic!("{}", case.platform) };
        assert!(how.contains("`Theirs`"), "{how}");
        assert_eq!((ground.contents(&case).await, ground.writes(case.platform)), (theirs, writes));
        confirmed(&ground.undo(&done, true).await);
        assert_eq!(ground.contents(&case).await, original, "{}", case.platform);
    }
}

#[tokio::test]
async fn what_the_action_did_not_write_stops_nothing_and_stays() {
    let ground = Ground::start().await;
    let card = ground.run(Platform::Trello, ActionType::Create, json!({"name": "Old", "desc": "old"})).await;
    let id = card["cardId"].as_str().unwrap();
    let done = ground.act(Platform::Trello, ActionType::Update, json!({"cardId": id, "name": "New"})).await;
    assert_eq!(done.before, Some(json!({"name": "Old"})));
    ground.meddle(Platform::Trello, Method::PUT, &["cards", id], json!({"desc": "theirs"})).await;
    confirmed(&ground.undo(&done, false).await);
    let query = ground.run(Platform::Trello, ActionType::Query, json!({"limit": 1000})).await;
    assert!(query["cards"].as_array().unwrap().iter().any(|c| c["cardId"] == id && c["name"] == "Old"), "{query}");
    let session = ground.clients.session(Platform::Trello, LIMIT);
    let card = session.ask(Ask::get("test", session.at(&["cards", id]))).await.unwrap();
    assert_eq!(card["desc"], "theirs");
}

#[tokio::test]
async fn appended_rows_that_changed_are_left_alone_unless_a_trace_is_there() {
    let ground = Ground::start().await;
    let append =
        |values: Value| ground.act(Platform::Sheets, ActionType::Create, json!({"range": "Log", "values": values}));
    let done = append(json!([["wf-9", "step", null]])).await;
    let range = done.result["updatedRange"].as_str().unwrap().to_string();
    let row: u64 = range.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    let write = |cell: String, value: Value| {
        ground.run(Platform::Sheets, ActionType::Update, json!({"range": cell, "value": value}))
    };
    // In a cell that the action left empty, and in one that it wrote.
    for cell in ["C", "B"] {
        write(format!("Log!{cell}{row}"), json!("theirs")).await;
        assert!(matches!(ground.undo(&done, false).await, Undone::ChangedSince(_)));
    }
    confirmed(&ground.undo(&done, true).await);
    assert!(matches!(ground.seen(&done).await, Seen::Missing(_)));
}

#[tokio::test]
async fn a_row_that_took_the_place_of_ours_is_never_blanked() {
    let ground = Ground::start().await;
    let append = |name: &str| {
        let data = json!({"range": "Log", "values": [[name, "Invoice", format!("{name} step")]]});
        ground.act(Platform::Sheets, ActionType::Create, data)
    };
    let (ours, _next) = (append("wf-10").await, append("wf-11").await);
    let row = ours.result["updatedRange"].as_str().unwrap().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
    let end: u64 = row.parse().unwrap();
    let range = json!({"sheetId": 101, "dimension": "ROWS", "startIndex": end - 1, "endIndex": end});
    let book = format!("{}:batchUpdate", ground.env["SHEETS_LOG_SPREADSHEET_ID"]);
    let body = json!({"requests": [{"deleteDimension": {"range": range}}]});
    ground.meddle(Platform::Sheets, Method::POST, &["spreadsheets", &book], body).await;
    for force in [false, true] {
        let undone = ground.undo(&ours, force).await;
        let Undone::ChangedSince(how) = &undone else { panic!("{undone:?}") };
        assert!(how.contains("rows have moved") && how.contains("`wf-11`"), "{how}");
    }
    let read = ground.run(Platform::Sheets, ActionType::Query, json!({"range": format!("Log!A{row}:C{row}")})).await;
    assert_eq!(read["values"], json!([["wf-11", "Invoice", "wf-11 step"]]));
}

#[tokio::test]
async fn a_blanked_row_that_the_next_append_takes_is_undone() {
    let ground = Ground::start().await;
    let rows = |number: u32| json!({"range": "Log", "values": [[format!("wf-{number}"), "step"]]});
    let done = ground.act(Platform::Sheets, ActionType::Create, rows(1)).await;
    let before = ground.writes(Platform::Sheets);
    // It is done at once, and answered when the row is taken.
    let slow = FaultSpec::from(Fault::Slow { ms: 1000 }).times(1).only("values.clear");
    ground.sims.fault(Platform::Sheets, slow).unwrap();
    let append = async {
        while ground.writes(Platform::Sheets) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ground.run(Platform::Sheets, ActionType::Create, rows(2)).await
    };
    let (undone, other) = tokio::join!(ground.undo(&done, false), append);
    assert_eq!(other["updatedRange"], done.result["updatedRange"]);
    assert!(matches!(&undone, Undone::Confirmed(how) if how.contains("`wf-2`")), "{undone:?}");
    let read = json!({"range": done.result["updatedRange"]});
    let read = ground.run(Platform::Sheets, ActionType::Query, read).await;
    assert_eq!(read["values"], json!([["wf-2", "step"]]));
}

#[tokio::test]
async fn a_folder_is_trashed_only_while_it_is_empty() {
    let ground = Ground::start().await;
    let folder = ground.act(Platform::Drive, ActionType::Create, json!({"name": "F", "mimeType": drive::FOLDER})).await;
    assert_eq!(plan(&folder).reversibility, Reversibility::PartiallyReversible);
    let file = json!({"name": "theirs.txt", "content": "x", "folderId": folder.result["fileId"]});
    let file = ground.act(Platform::Drive, ActionType::File, file).await;
    let undone = ground.undo(&folder, false).await;
    assert!(matches!(&undone, Undone::ChangedSince(how) if how.contains("`theirs.txt`")), "{undone:?}");
    confirmed(&ground.undo(&file, false).await);
    confirmed(&ground.undo(&folder, false).await);
}

#[tokio::test]
async fn what_is_gone_needs_no_undo_and_cannot_come_back() {
    let ground = Ground::start().await;
    for (done, _) in ground.making().await {
        match done.platform {
            Platform::Notion => {}
            Platform::Sheets => {
                let book = format!("{}:batchUpdate", ground.env["SHEETS_LOG_SPREADSHEET_ID"]);
                let body = json!({"requests": [{"deleteSheet": {"sheetId": 101}}]});
                ground.meddle(done.platform, Method::POST, &["spreadsheets", &book], body).await;
            }
            Platform::Trello => {
                let id = done.result["cardId"].as_str().unwrap();
                ground.meddle(done.platform, Method::DELETE, &["cards", id], Value::Null).await;
            }
            _ => {
                let id = done.result["fileId"].as_str().unwrap();
                ground.meddle(done.platform, Method::DELETE, &["files", id], Value::Null).await;
            }
        }
        let mut done = done;
        if done.platform == Platform::Notion {
            // The simulator deletes no page for good; an id that nobody has is the same to Notion.
            done.result["pageId"] = json!("00000000-0000-4000-8000-000000000000");
        }
        let writes = ground.writes(done.platform);
        already(&ground.undo(&done, false).await);
        assert!(matches!(ground.seen(&done).await, Seen::Missing(_)));
        assert_eq!(ground.writes(done.platform), writes);
    }
    let card = ground.run(Platform::Trello, ActionType::Create, json!({"name": "n"})).await;
    let id = card["cardId"].as_str().unwrap();
    let done = ground.act(Platform::Trello, ActionType::Delete, json!({"cardId": id})).await;
    ground.meddle(Platform::Trello, Method::DELETE, &["cards", id], Value::Null).await;
    assert_eq!(ground.clients.undo(&done, false, LIMIT).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn what_was_deleted_before_the_action_stays_deleted() {
    let ground = Ground::start().await;
    for case in ground.overwriting().await.into_iter().filter(|c| c.action == ActionType::Delete) {
        ground.act(case.platform, case.action, case.data.clone()).await;
        let second = ground.act(case.platform, case.action, case.data.clone()).await;
        assert!(matches!(plan(&second).way, Way::Nothing(_)), "{}", case.platform);
        let writes = ground.writes(case.platform);
        already(&ground.undo(&second, true).await);
        assert_eq!((ground.seen(&second).await, ground.writes(case.platform)), (Seen::Present, writes));
    }
}

#[tokio::test]
async fn messages_and_comments_are_a_persons_business() {
    use ActionType::{Delete, Log, Notify, Query, Update};
    use Platform::{Notion, Sheets, Slack, Trello};
    let ground = Ground::start().await;
    let notify = ground.act(Slack, Notify, json!({"channel": "#general", "text": "invoice <1> & more"})).await;
    let channel = notify.result["channel"].as_str().unwrap();
    let send = format!(
        "opsctl slack send --channel {channel} --text \"Previous notification was in error, please disregard\""
    );
    assert_eq!(plan(&notify).way, Way::Manual(vec![send]));
    assert_eq!(ground.seen(&notify).await, Seen::Present);
    let error = ground.clients.undo(&notify, true, LIMIT).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ValidationError, "{error}");

    let at = json!({"channel": channel, "ts": notify.result["ts"], "text": "other"});
    let update = ground.act(Slack, Update, at).await;
    assert_eq!(ground.seen(&update).await, Seen::Present);
    assert!(matches!(ground.seen(&notify).await, Seen::Altered(how) if how.contains("`other`")));
    let delete = ground.act(Slack, Delete, json!({"channel": channel, "ts": notify.result["ts"]})).await;
    assert_eq!(ground.seen(&delete).await, Seen::Present);
    assert!(matches!(ground.seen(&notify).await, Seen::Missing(_)));

    let page = ground.page().await;
    let paragraph = ground.act(Notion, Log, json!({"page_id": page, "text": "a line"})).await;
    let card = ground.run(Trello, ActionType::Create, json!({"name": "n"})).await;
    let comment = ground.act(Trello, Log, json!({"cardId": card["cardId"], "text": "a line"})).await;
    for log in [paragraph, comment] {
        assert_eq!(ground.seen(&log).await, Seen::Present);
        let Way::Manual(lines) = plan(&log).way else { panic!("{}", log.platform) };
        assert!(lines[0].contains("`a line`"), "{lines:?}");
    }
    let entry = ground.act(Sheets, Log, json!({"values": [["2026-11-01", "x"]]})).await;
    assert_eq!((plan(&entry).way, ground.seen(&entry).await), (Way::Nothing("an audit entry stays"), Seen::Present));
    already(&ground.undo(&entry, false).await);
    let query = ground.act(Sheets, Query, json!({"range": "Log!A:D"})).await;
    assert!(matches!((plan(&query).way, ground.seen(&query).await), (Way::Nothing(_), Seen::NotReported(_))));
}

#[tokio::test]
async fn what_was_not_kept_or_is_in_doubt_is_never_guessed() {
    let ground = Ground::start().await;
    let mut acts: Vec<Done> = ground.making().await.into_iter().map(|(done, _)| done).collect();
    for case in ground.overwriting().await {
        let done = ground.act(case.platform, case.action, case.data.clone()).await;
        confirmed(&ground.undo(&done, false).await);
        if case.action == ActionType::Update && case.platform != Platform::Drive {
            let old = Done { before: None, ..done.clone() };
            assert!(matches!(plan(&old).way, Way::Manual(_)), "{}", case.platform);
        }
        acts.push(done);
    }
    for done in acts {
        let writes = ground.writes(done.platform);
        let lost = Done { result: Value::Null, ..done };
        let plan = plan(&lost);
        let Way::Manual(lines) = &plan.way else { panic!("{} {}", lost.platform, lost.action_type) };
        assert!(lines[0].starts_with("It is not known whether"), "{lines:?}");
        assert!(matches!(ground.seen(&lost).await, Seen::NotReported(_)));
        assert_eq!(ground.clients.undo(&lost, true, LIMIT).await.unwrap_err().code, ErrorCode::ValidationError);
        assert_eq!(ground.writes(lost.platform), writes);
    }
}

#[tokio::test]
async fn a_move_is_undone_from_its_result_when_nothing_else_was_kept() {
    let ground = Ground::start().await;
    let file = ground.run(Platform::Drive, ActionType::File, json!({"name": "a", "content": ""})).await;
    let folder = ground.run(Platform::Drive, ActionType::Create, json!({"name": "F", "mimeType": drive::FOLDER})).await;
    let data = json!({"fileId": file["fileId"], "folderId": folder["fileId"]});
    let done = Done { before: None, ..ground.act(Platform::Drive, ActionType::Update, data).await };
    confirmed(&ground.undo(&done, false).await);
    let inside = ground.run(Platform::Drive, ActionType::Query, json!({"folderId": folder["fileId"]})).await;
    assert_eq!(inside["count"], 0);
}

#[tokio::test]
async fn a_before_image_needs_the_object() {
    let ground = Ground::start().await;
    for (platform, data) in [
        (Platform::Notion, json!({"page_id": "00000000-0000-4000-8000-000000000000", "title": "x"})),
        (Platform::Trello, json!({"cardId": "0123456789abcdef01234567", "name": "x"})),
        (Platform::Drive, json!({"fileId": "nope", "name": "x"})),
        (Platform::Sheets, json!({"spreadsheetId": "nope", "range": "A1", "value": 1})),
    ] {
        let error = ground.clients.before(&call(platform, ActionType::Update, data)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound, "{platform}");
    }
    // By a tab's name alone, as the write has it.
    let call = call(Platform::Sheets, ActionType::Update, json!({"range": "Log", "values": [["new head", null]]}));
    let image = ground.clients.before(&call).await.unwrap().unwrap();
    assert_eq!(image["range"], "'Log'!A1:B1");
    assert_eq!(image["cells"][0][1]["userEnteredValue"], json!({"stringValue": "action"}));
}

#[test]
fn a_card_that_stood_in_for_a_page_is_archived() {
    let done = Done {
        platform: Platform::Trello,
        action_type: ActionType::Create,
        data: json!({"title": "Renew domain", "content": "By Friday"}),
        result: json!({"cardId": "0123456789abcdef01234567", "url": "https://trello.com/c/x"}),
        before: None,
        marker: None,
        at: Time(0),
    };
    let plan = plan(&done);
    assert_eq!((plan.way, plan.what.as_str()), (Way::Request, "archive card 0123456789abcdef01234567"));
    assert_eq!(limitations().len(), Platform::ALL.iter().map(|p| operations(*p).len()).sum::<usize>());
}

#[tokio::test]
async fn a_person_is_told_what_to_do_where_the_platform_refuses() {
    let ground = Ground::start().await;
    let mut lines = Vec::new();
    for (done, _) in ground.making().await {
        let id = ["pageId", "cardId", "fileId", "spreadsheetId"].iter().find_map(|n| done.result[*n].as_str()).unwrap();
        lines.extend(by_hand(&done).into_iter().map(|line| line.replace(id, "ID")).filter(|l| l.starts_with("opsctl")));
    }
    assert_eq!(
        lines,
        [
            "opsctl notion delete ID",
            "opsctl trello archive ID",
            "opsctl drive delete ID",
            "opsctl drive delete ID",
            "opsctl sheets delete-row ID 6",
            "opsctl sheets delete-row ID 5",
        ]
    );
    let mut lines = Vec::new();
    for case in ground.overwriting().await.into_iter().filter(|c| c.action == ActionType::Update) {
        lines.extend(by_hand(&ground.act(case.platform, case.action, case.data).await));
    }
    for line in ["Put Notes back to `bold link`.", "Put Status back to `To do`.", "Put D2 back to `12`."] {
        assert!(lines.contains(&line.to_string()), "{line} in {lines:?}");
    }
    for part in ["Put name of card", "Rename file", "Move file", "https://docs.google.com/"] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part} in {lines:?}");
    }
}
