//! Undoing against the simulators: what an object held before is what it holds afterwards, with one write.

mod rows;
mod since;

use super::super::session::{Ask, Effect, Payload};
use super::super::undo::{Done, Seen, Undone, Way, overwrites, plan};
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
