//! What is sent for an operation where it matters byte for byte, and what a lost answer leads to.

use super::*;

fn notion_stub(request: &Seen) -> Response {
    match request.line().as_str() {
        "GET /v1/databases/db1" => ok(json!({"object": "database", "data_sources": [{"id": "ds1", "name": "Tasks"}]})),
        "GET /v1/data_sources/ds1" => ok(json!({"id": "ds1", "properties": {
            "Name": {"type": "title"}, "Status": {"type": "select"}, "Due date": {"type": "date"},
            "opsctl key": {"type": "rich_text"},
        }})),
        "POST /v1/pages" => ok(json!({"object": "page", "id": "p1", "url": "https://notion.so/p1"})),
        "POST /v1/data_sources/ds1/query" => ok(json!({"results": [], "has_more": false})),
        _ => answer(404, json!({"object": "error", "code": "object_not_found", "message": "Could not find it."})),
    }
}

fn new_page() -> Call {
    let data = json!({"title": "Renew domain", "properties": {"status": "Open", "due_date": "2026-11-01"}});
    call(Platform::Notion, ActionType::Create, data)
}

#[tokio::test]
async fn a_page_goes_into_the_data_source_with_its_marker() {
    let stub = Stub::start(notion_stub).await;
    let clients = stub.clients();
    let outcome = clients.execute(&new_page()).await.unwrap();
    assert_eq!(outcome, CallOutcome::done(json!({"pageId": "p1", "url": "https://notion.so/p1"})));
    let sent = stub.last();
    assert_eq!(
        (sent.header("notion-version"), sent.header("authorization")),
        ("2026-03-11", "Bearer ntn_notion-secret")
    );
    assert_eq!(sent.header("user-agent"), crate::http::USER_AGENT);
    let text = |t: &str| json!([{"type": "text", "text": {"content": t}}]);
    let expected = json!({
        "parent": {"type": "data_source_id", "data_source_id": "ds1"},
        "properties": {
            "Status": {"select": {"name": "Open"}},
            "Due date": {"date": {"start": "2026-11-01"}},
            "Name": {"title": text("Renew domain")},
            "opsctl key": {"rich_text": text("key-1")},
        },
    });
    assert_eq!(sent.json(), expected);
    // The columns are known now.
    clients.execute(&new_page()).await.unwrap();
    assert_eq!(stub.lines().len(), 4);
    assert_eq!(clients.clear_caches()["notion schemas"], 2);
}

#[tokio::test]
async fn an_unknown_column_is_refused_before_anything_is_written() {
    let stub = Stub::start(notion_stub).await;
    let data = json!({"title": "t", "properties": {"colour": "red"}});
    let error = stub.clients().execute(&call(Platform::Notion, ActionType::Create, data)).await.unwrap_err();
    assert_eq!((error.code, error.delivery), (ErrorCode::ValidationError, Delivery::NotDelivered));
    assert!(error.message.starts_with("data.properties.colour: the database has no such column"), "{}", error.message);
    assert!(!stub.lines().contains(&"POST /v1/pages".to_string()));
}

#[tokio::test]
async fn a_page_that_notion_saved_and_then_failed_is_a_success() {
    let stub = Stub::start(|r| match r.line().as_str() {
        "POST /v1/pages" => answer(
            503,
            json!({"object": "error", "code": "service_unavailable", "message": "m",
                   "additional_data": {"committed_resource_id": "p-7"}}),
        ),
        _ => notion_stub(r),
    })
    .await;
    let outcome = stub.clients().execute(&new_page()).await.unwrap();
    assert_eq!(outcome.result["pageId"], "p-7");
}

#[tokio::test]
async fn a_write_collision_is_tried_once_more() {
    let stub = Stub::start(|r| match r.line().as_str() {
        "POST /v1/pages" => answer(409, json!({"object": "error", "code": "conflict_error", "message": "m"})),
        _ => notion_stub(r),
    })
    .await;
    let error = stub.clients().execute(&new_page()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DuplicateError);
    assert_eq!(stub.lines().iter().filter(|l| *l == "POST /v1/pages").count(), 2);
}

#[tokio::test]
async fn a_database_that_is_not_shared_is_reported_as_such() {
    let stub = Stub::start(|r| notion_stub(&Seen { uri: "/nothing".parse().unwrap(), ..r.clone() })).await;
    let error = stub.clients().execute(&new_page()).await.unwrap_err();
    assert_eq!((error.code, error.delivery), (ErrorCode::NotFound, Delivery::NotDelivered));
    assert!(error.message.contains("not shared with this connection"), "{}", error.message);
}

#[tokio::test]
async fn without_a_column_for_markers_title_author_and_time_decide() {
    let page = |id: &str, at: &str, by: &str| json!({"id": id, "created_time": at, "created_by": {"id": by}});
    let script = |pages: Value| {
        move |r: &Seen| match r.line().as_str() {
            "GET /v1/data_sources/ds1" => ok(json!({"id": "ds1", "properties": {"Name": {"type": "title"}}})),
            "POST /v1/data_sources/ds1/query" => ok(json!({"results": pages, "has_more": false})),
            "GET /v1/users/me" => ok(json!({"id": "bot", "name": "opsctl", "bot": {"workspace_name": "W"}})),
            _ => notion_stub(r),
        }
    };
    let since: Time = "2026-11-01T10:00:30.000Z".parse().unwrap();
    let young = "2026-11-01T10:00:00.000Z";
    let lookup = async |pages: Value| {
        let stub = Stub::start(script(pages)).await;
        stub.clients().find_written(&new_page(), since).await.unwrap()
    };
    assert_eq!(lookup(json!([])).await, Lookup::Absent);
    assert_eq!(
        lookup(json!([page("p1", young, "person"), page("p2", "2026-11-01T09:59:00.000Z", "bot")])).await,
        Lookup::Absent
    );
    let Lookup::Found(found) = lookup(json!([page("p1", young, "bot"), page("p2", young, "person")])).await else {
        panic!()
    };
    assert_eq!((found.result["pageId"].as_str(), found.served_by_marker), (Some("p1"), true));
    assert!(matches!(lookup(json!([page("p1", young, "bot"), page("p2", young, "bot")])).await, Lookup::Unclear(_)));
}

#[tokio::test]
async fn trellos_credential_is_in_no_address() {
    let stub = Stub::start(|_| ok(json!({"id": "c1", "url": "https://trello.com/c/1"}))).await;
    let data = json!({"name": "n", "desc": "text"});
    let outcome = stub.clients().execute(&call(Platform::Trello, ActionType::Create, data)).await.unwrap();
    assert_eq!(outcome.result, json!({"cardId": "c1", "url": "https://trello.com/c/1"}));
    let sent = stub.last();
    let authorization = "OAuth oauth_consumer_key=\"trello-key-secret\", oauth_token=\"trello-token-secret\"";
    assert_eq!((sent.header("authorization"), sent.query()), (authorization, "idList=list1"));
    assert_eq!(sent.json(), json!({"name": "n", "desc": "text\n\nopsctl:key-1"}));
}

#[tokio::test]
async fn slacks_marker_is_metadata() {
    let stub = Stub::start(|_| ok(json!({"ok": true, "channel": "C0123ABCD", "ts": "1.000100"}))).await;
    let data = json!({"text": "hi", "threadTs": "0.5"});
    let outcome = stub.clients().execute(&call(Platform::Slack, ActionType::Notify, data)).await.unwrap();
    assert_eq!(outcome.result, json!({"channel": "C0123ABCD", "ts": "1.000100"}));
    let expected = json!({"text": "hi", "thread_ts": "0.5", "channel": "#ops",
        "metadata": {"event_type": "opsctl_action", "event_payload": {"marker": "key-1"}}});
    assert_eq!(stub.last().json(), expected);
}

#[tokio::test]
async fn a_file_made_twice_is_one_file() {
    let stub = Stub::start(|r| {
        token_or(r, || match r.line().as_str() {
            "GET /drive/v3/files/generateIds" => ok(json!({"ids": ["id-a", "id-b"]})),
            "GET /drive/v3/files/id-b" => ok(json!({"id": "id-b", "webViewLink": "https://drive/b"})),
            _ => answer(
                409,
                json!({"error": {"code": 409, "message": "A file already exists with the provided ID.",
                                              "errors": [{"reason": "fileIdInUse"}]}}),
            ),
        })
    })
    .await;
    let clients = stub.clients();
    let data = json!({"name": "a.txt", "content": "--boundary\r\nin it", "mimeType": "text/plain", "folderId": "f1"});
    let mut call = call(Platform::Drive, ActionType::File, data);
    call.prepared = clients.prepare(&call).await.unwrap();
    assert_eq!(call.prepared, Some(json!({"fileId": "id-b"})));
    let outcome = clients.execute(&call).await.unwrap();
    assert_eq!(outcome, CallOutcome::found(json!({"fileId": "id-b", "webViewLink": "https://drive/b"})));

    let seen = stub.seen.lock().unwrap();
    let upload = seen.iter().find(|r| r.uri.path() == "/upload/drive/v3/files").unwrap();
    assert!(upload.query().starts_with("uploadType=multipart&supportsAllDrives=true&"));
    let boundary = upload.header("content-type").strip_prefix("multipart/related; boundary=").unwrap();
    let body = String::from_utf8(upload.body.clone()).unwrap();
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4);
    let metadata: Value = serde_json::from_str(parts[1].split_once("\r\n\r\n").unwrap().1).unwrap();
    let expected = json!({"name": "a.txt", "id": "id-b", "mimeType": "text/plain", "parents": ["f1"],
                          "appProperties": {"opsctl": "key-1"}});
    assert_eq!(metadata, expected);
    assert_eq!(parts[2], "\r\nContent-Type: text/plain\r\n\r\n--boundary\r\nin it\r\n");
}

#[tokio::test]
async fn only_rows_that_were_not_there_before_are_ours() {
    let rows = Arc::new(Mutex::new(vec![json!(["create", "1"]), json!(["update", "2"])]));
    let sheet = rows.clone();
    let stub =
        Stub::start(move |r| token_or(r, || ok(json!({"range": "Log!A1:B9", "values": *sheet.lock().unwrap()})))).await;
    let clients = stub.clients();
    let mut call = call(Platform::Sheets, ActionType::Log, json!({"range": "Log!A:B", "values": [["create", 1]]}));
    call.prepared = clients.prepare(&call).await.unwrap();
    assert_eq!(call.prepared, Some(json!({"afterRow": 2})));
    let lookup = async || clients.find_written(&call, Time(0)).await.unwrap();
    assert_eq!(lookup().await, Lookup::Absent);
    rows.lock().unwrap().push(json!(["create", "1"]));
    let found = CallOutcome::found(json!({"spreadsheetId": "sheet1", "updatedRange": "Log!A3:B3"}));
    assert_eq!(lookup().await, Lookup::Found(found));
    rows.lock().unwrap().push(json!(["create", "1"]));
    assert!(matches!(lookup().await, Lookup::Unclear(_)));
    rows.lock().unwrap().truncate(1);
    assert!(matches!(lookup().await, Lookup::Unclear(_)));
}
