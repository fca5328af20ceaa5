//! Undoing against the simulators: what an object held before is what it holds afterwards, with one write.

use super::super::session::{Ask, Effect, Payload};
use super::super::undo::{Done, Seen, Undone, Way, limitations, overwrites, plan};
use super::with_sims::Ground;
use super::*;
use crate::sandbox::sim::{Fault, FaultSpec};
use crate::wire::Reversibility;

const LIMIT: Duration = Duration::from_secs(5);

/// Something that an action is done to, with what was there before.
struct Case {
    platform: Platform,
    action: ActionType,
    data: Value,
    /// Where its contents are read; empty for what an action makes.
    path: Vec<String>,
    query: Vec<(&'static str, &'static str)>,
    /// The simulator's name of the undo's request.
    undo: &'static str,
}

impl Ground {
    /// Does an action the way the orchestrator does it.
    async fn act(&self, platform: Platform, action: ActionType, data: Value) -> Done {
        let mut call = call(platform, action, data.clone());
        call.prepared = self.clients.prepare(&call).await.unwrap();
        let before = self.clients.before(&call).await.unwrap();
        assert_eq!(before.is_some(), overwrites(platform, action), "{platform} {action}");
        let at = self.clients.clock().now();
        let result = self.clients.execute(&call).await.unwrap().result;
        Done { platform, action_type: action, data, result, before, marker: call.marker, at }
    }

    async fn undo(&self, done: &Done, force: bool) -> Undone {
        self.clients.undo(done, force, LIMIT).await.unwrap()
    }

    async fn seen(&self, done: &Done) -> Seen {
        self.clients.inspect(done, LIMIT).await.unwrap()
    }

    fn writes(&self, platform: Platform) -> u64 {
        self.sims.stats_of(platform).writes
    }

    /// The object, without the times that every change moves.
    async fn contents(&self, case: &Case) -> Value {
        let session = self.clients.session(case.platform, LIMIT);
        let path: Vec<&str> = case.path.iter().map(String::as_str).collect();
        let mut object = session.ask(Ask::get("test", session.at_with(&path, &case.query))).await.unwrap();
        for time in ["last_edited_time", "dateLastActivity", "modifiedTime"] {
            object.as_object_mut().map(|o| o.remove(time));
        }
        object
    }

    /// A request of somebody else.
    async fn meddle(&self, platform: Platform, method: Method, path: &[&str], body: Value) {
        let session = self.clients.session(platform, LIMIT);
        let url =
            session.at_with(path, if platform == Platform::Drive { &[("supportsAllDrives", "true")] } else { &[] });
        let ask = Ask { request: "test", effect: Effect::Write, method, url, payload: Payload::Json(body) };
        session.ask(ask).await.unwrap();
    }

    /// One object of each kind that actions overwrite, with an action that does.
    async fn overwriting(&self) -> Vec<Case> {
        use ActionType::{Create, Delete, File, Update};
        use Platform::{Drive, Notion, Sheets, Trello};
        let page = self.page().await;
        let card = self.run(Trello, Create, json!({"name": "Card", "desc": "text", "due": "2026-12-01"})).await;
        let card = card["cardId"].as_str().unwrap().to_string();
        let file = self.run(Drive, File, json!({"name": "a.txt", "content": "text"})).await;
        let file = file["fileId"].as_str().unwrap().to_string();
        let folder = self.run(Drive, Create, json!({"name": "Other", "mimeType": drive::FOLDER})).await;
        let book = self.env["SHEETS_LOG_SPREADSHEET_ID"].clone();
        let other_list = self.env["TRELLO_IN_PROGRESS_LIST"].clone();
        let case = |platform, action, undo, data, path: &[&str], query: &[(&'static str, &'static str)]| Case {
            platform,
            action,
            data,
            path: path.iter().map(|s| (*s).to_string()).collect(),
            query: query.to_vec(),
            undo,
        };
        let new = json!({"Status": "Done", "Priority": null, "due_date": "2027-01-01", "Notes": "new", "assignee": []});
        let change =
            json!({"cardId": card, "name": "New", "desc": "", "due": null, "listId": other_list, "closed": true});
        let values = json!([["changed", null, "=D2*3"], ["1500", "2026-11-01", "TRUE"]]);
        let whole: &[_] = &[("supportsAllDrives", "true"), ("fields", "*")];
        let cells: &[_] =
            &[("ranges", "Log"), ("fields", "sheets.data.rowData.values(userEnteredValue,userEnteredFormat)")];
        vec![
            case(
                Notion,
                Update,
                "pages.update",
                json!({"page_id": page, "title": "New", "properties": new}),
                &["pages", &page],
                &[],
            ),
            case(Notion, Delete, "pages.restore", json!({"page_id": page}), &["pages", &page], &[]),
            case(Trello, Update, "cards.restore", change, &["cards", &card], &[]),
            case(Trello, Delete, "cards.restore", json!({"cardId": card}), &["cards", &card], &[]),
            case(
                Drive,
                Update,
                "files.update",
                json!({"fileId": file, "name": "b.txt", "folderId": folder["fileId"]}),
                &["files", &file],
                whole,
            ),
            case(Drive, Delete, "files.untrash", json!({"fileId": file}), &["files", &file], whole),
            case(
                Sheets,
                Update,
                "spreadsheets.batchUpdate",
                json!({"range": "Log!C2:E3", "values": values}),
                &["spreadsheets", &book],
                cells,
            ),
        ]
    }

    /// A page with something in every column, some of it formatted.
    async fn page(&self) -> String {
        let me = self.clients.session(Platform::Notion, LIMIT);
        let me = me.ask(Ask::get("test", me.at(&["users", "me"]))).await.unwrap();
        let bold = json!({"rich_text": [
            {"text": {"content": "bold"}, "annotations": {"bold": true}},
            {"text": {"content": " link", "link": {"url": "https://example.com"}}},
        ]});
        let properties = json!({"Status": "To do", "Priority": "High", "Due Date": "2026-12-01", "Notes": bold,
                                "Assignee": [me["id"]]});
        let page =
            self.run(Platform::Notion, ActionType::Create, json!({"title": "Old", "properties": properties})).await;
        page["pageId"].as_str().unwrap().to_string()
    }

    /// One action of each kind that makes something.
    async fn making(&self) -> Vec<(Done, &'static str)> {
        use ActionType::{Create, File};
        use Platform::{Drive, Notion, Sheets, Trello};
        let rows = json!({"range": "Log", "values": [["wf-9", "2026-11-01", true, "=1+1"], [1500, null]]});
        vec![
            (
                self.act(Notion, Create, json!({"title": "Task", "properties": {"Status": "To do"}})).await,
                "pages.trash",
            ),
            (
                self.act(Trello, Create, json!({"name": "Task", "desc": "text", "due": "2026-12-01"})).await,
                "cards.archive",
            ),
            (self.act(Drive, File, json!({"name": "a.txt", "content": "text"})).await, "files.trash"),
            (self.act(Drive, Create, json!({"name": "Folder", "mimeType": drive::FOLDER})).await, "files.trash"),
            (self.act(Sheets, Create, rows).await, "values.clear"),
        ]
    }
}

#[track_caller]
fn confirmed(undone: &Undone) {
    assert!(matches!(undone, Undone::Confirmed(_)), "{undone:?}");
}

#[track_caller]
fn already(undone: &Undone) {
    assert!(matches!(undone, Undone::Already(_)), "{undone:?}");
}

#[tokio::test]
async fn what_was_overwritten_is_put_back_with_one_write() {
    let ground = Ground::start().await;
    for case in ground.overwriting().await {
        let what = format!("{} {}", case.platform, case.action);
        let original = ground.contents(&case).await;
        let done = ground.act(case.platform, case.action, case.data.clone()).await;
        assert_ne!(ground.contents(&case).await, original, "{what}");
        assert_eq!(ground.seen(&done).await, Seen::Present, "{what}");
        assert_eq!(plan(&done).way, Way::Request, "{what}");

        let writes = ground.writes(case.platform);
        confirmed(&ground.undo(&done, false).await);
        assert_eq!(ground.contents(&case).await, original, "{what}");
        assert!(matches!(ground.seen(&done).await, Seen::Altered(_)), "{what}");
        already(&ground.undo(&done, false).await);
        already(&ground.undo(&done, true).await);
        assert_eq!(ground.writes(case.platform) - writes, 1, "{what}");
    }
}

#[tokio::test]
async fn what_was_made_is_taken_away_with_one_write() {
    let ground = Ground::start().await;
    for (done, _) in ground.making().await {
        let what = format!("{} {}", done.platform, done.action_type);
        assert_eq!(ground.seen(&done).await, Seen::Present, "{what}");
        assert_eq!(plan(&done).way, Way::Request, "{what}");
        let writes = ground.writes(done.platform);
        confirmed(&ground.undo(&done, false).await);
        assert!(matches!(ground.seen(&done).await, Seen::Missing(_)), "{what}");
        already(&ground.undo(&done, false).await);
        already(&ground.undo(&done, true).await);
        assert_eq!(ground.writes(done.platform) - writes, 1, "{what}");
    }
}

#[tokio::test]
async fn an_undo_whose_answer_was_lost_is_found_done() {
    let ground = Ground::start().await;
    let mut undos: Vec<Done> = ground.making().await.into_iter().map(|(done, _)| done).collect();
    for case in ground.overwriting().await {
        let done = ground.act(case.platform, case.action, case.data.clone()).await;
        lose_and_repeat(&ground, &done).await;
    }
    for done in undos.drain(..) {
        lose_and_repeat(&ground, &done).await;
    }
}

async fn lose_and_repeat(ground: &Ground, done: &Done) {
    let what = format!("{} {}", done.platform, done.action_type);
    let writes = ground.writes(done.platform);
    ground.sims.fault(done.platform, FaultSpec::from(Fault::LostAnswer).times(1).only("write")).unwrap();
    let error = ground.clients.undo(done, false, LIMIT).await.unwrap_err();
    assert_eq!((error.code, error.delivery), (ErrorCode::NetworkError, Delivery::Unknown), "{what}: {error}");
    already(&ground.undo(done, false).await);
    assert_eq!(ground.writes(done.platform) - writes, 1, "{what}");
}

#[tokio::test]
async fn without_permission_it_fails_and_everything_still_stands() {
    let ground = Ground::start().await;
    let mut undos = ground.making().await;
    for case in ground.overwriting().await {
        // One object serves an update and a delete: the delete comes after the update's undo.
        let done = ground.act(case.platform, case.action, case.data.clone()).await;
        refuse(&ground, &done, case.undo).await;
        confirmed(&ground.undo(&done, false).await);
    }
    for (done, undo) in undos.drain(..) {
        refuse(&ground, &done, undo).await;
    }
}

async fn refuse(ground: &Ground, done: &Done, undo: &str) {
    ground.sims.fault(done.platform, FaultSpec::from(Fault::Forbidden).only(undo)).unwrap();
    let error = ground.clients.undo(done, true, LIMIT).await.unwrap_err();
    ground.sims.clear(done.platform).unwrap();
    assert_eq!(error.code, ErrorCode::PermissionDenied, "{undo}: {error}");
    assert_eq!(ground.seen(done).await, Seen::Present, "{undo}");
}

#[tokio::test]
async fn one_file_alone_can_be_refused() {
    let ground = Ground::start().await;
    let file = json!({"name": "a.txt", "content": "text"});
    let refused = ground.act(Platform::Drive, ActionType::File, file.clone()).await;
    let other = ground.act(Platform::Drive, ActionType::File, file).await;
    let id = refused.result["fileId"].as_str().unwrap();
    let only = format!("files.trash {id}");
    ground.sims.fault(Platform::Drive, FaultSpec::from(Fault::Forbidden).only(&only)).unwrap();
    confirmed(&ground.undo(&other, false).await);
    let error = ground.clients.undo(&refused, false, LIMIT).await.unwrap_err();
    assert_eq!((error.code, plan(&refused).label), (ErrorCode::PermissionDenied, "File deletion"));
    assert_eq!(ground.sims.stats_of(Platform::Drive).changed.get(&only), None);
    ground.sims.clear(Platform::Drive).unwrap();
    confirmed(&ground.undo(&refused, false).await);
    assert_eq!(ground.sims.stats_of(Platform::Drive).changed[&only], 1);
}

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

    // Somebody removed our row: what is there now is never blanked.
    let done = append(json!([["wf-10", "step"]])).await;
    append(json!([["wf-11", "other"]])).await;
    let row = done.result["updatedRange"].as_str().unwrap().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
    let end: u64 = row.parse().unwrap();
    let range = json!({"sheetId": 101, "dimension": "ROWS", "startIndex": end - 1, "endIndex": end});
    let book = format!("{}:batchUpdate", ground.env["SHEETS_LOG_SPREADSHEET_ID"]);
    let body = json!({"requests": [{"deleteDimension": {"range": range}}]});
    ground.meddle(Platform::Sheets, Method::POST, &["spreadsheets", &book], body).await;
    for force in [false, true] {
        assert!(
            matches!(ground.undo(&done, force).await, Undone::ChangedSince(how) if how.contains("rows have moved"))
        );
    }
    let read = ground.run(Platform::Sheets, ActionType::Query, json!({"range": format!("Log!A{row}:B{row}")})).await;
    assert_eq!(read["values"], json!([["wf-11", "other"]]));
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
