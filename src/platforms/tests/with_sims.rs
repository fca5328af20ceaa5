//! Every operation against the simulators, and a lost answer after each kind of write.

use super::*;
use crate::sandbox::sim::{Fault, FaultSpec, SimOptions, Sims};

/// Running simulators with clients for them.
pub(super) struct Ground {
    pub(super) sims: Sims,
    pub(super) clients: Clients,
    pub(super) env: BTreeMap<String, String>,
    folder: std::path::PathBuf,
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Ground {
    pub(super) async fn start() -> Self {
        let clock = Clock::system();
        let sims = Sims::start(SimOptions { clock: clock.clone(), ..SimOptions::default() }).await.unwrap();
        let folder = std::env::temp_dir().join(format!("opsctl-test-{:032x}", fastrand::u128(..)));
        std::fs::create_dir_all(&folder).unwrap();
        let env = sims.credentials(&folder).unwrap();
        let clients = Clients::new(sims.endpoints(), Credentials::from_env(&env), clock);
        Ground { sims, clients, env, folder }
    }

    pub(super) async fn run(&self, platform: Platform, action: ActionType, data: Value) -> Value {
        let done = self.clients.execute(&call(platform, action, data)).await.unwrap();
        assert!(!done.served_by_marker);
        done.result
    }

    async fn fails(&self, platform: Platform, action: ActionType, data: Value) -> ErrorCode {
        self.clients.execute(&call(platform, action, data)).await.unwrap_err().code
    }

    /// Looks before, loses the answer of a write, and looks again.
    async fn lose(&self, mut call: Call) -> (Lookup, Lookup) {
        let since = self.clients.clock().now();
        if call.prepared.is_none() {
            call.prepared = self.clients.prepare(&call).await.unwrap();
        }
        let before = self.clients.find_written(&call, since).await.unwrap();
        self.sims.fault(call.platform, FaultSpec::from(Fault::LostAnswer).times(1).only("write")).unwrap();
        let error = self.clients.execute(&call).await.unwrap_err();
        assert_eq!((error.code, error.delivery), (ErrorCode::NetworkError, Delivery::Unknown), "{error}");
        (before, self.clients.find_written(&call, since).await.unwrap())
    }
}

/// The result of a lookup that has to have found something.
fn found(lookup: Lookup) -> Value {
    match lookup {
        Lookup::Found(outcome) => outcome.result,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn notion_from_creation_to_the_trash() {
    let ground = Ground::start().await;
    let data = json!({"title": "Renew passports", "properties": {"status": "To do", "due_date": "2026-12-01"}});
    let page = ground.run(Platform::Notion, ActionType::Create, data).await;
    let id = &page["pageId"];
    ground.run(Platform::Notion, ActionType::Update, json!({"page_id": id, "properties": {"Status": "Done"}})).await;
    let block =
        ground.run(Platform::Notion, ActionType::Log, json!({"page_id": id, "text": "called the office"})).await;
    assert!(block["blockId"].is_string(), "{block}");

    let filter = json!({"property": "Name", "title": {"equals": "Renew passports"}});
    let query = ground.run(Platform::Notion, ActionType::Query, json!({"filter": filter})).await;
    assert_eq!((&query["count"], &query["pages"][0]["pageId"]), (&json!(1), id));
    assert_eq!(query["pages"][0]["title"], "Renew passports");

    ground.run(Platform::Notion, ActionType::Delete, json!({"page_id": id})).await;
    let query = ground.run(Platform::Notion, ActionType::Query, json!({"filter": filter})).await;
    assert_eq!(query["count"], 0);
    // A second trashing finds it done.
    let again =
        ground.clients.execute(&call(Platform::Notion, ActionType::Delete, json!({"page_id": id}))).await.unwrap();
    assert_eq!(&again.result["pageId"], id);
}

#[tokio::test]
async fn notion_writes_in_doubt_are_found() {
    let ground = Ground::start().await;
    let create = call(Platform::Notion, ActionType::Create, json!({"title": "Lost and found"}));
    let (before, after) = ground.lose(create).await;
    assert_eq!(before, Lookup::Absent);
    let id = found(after)["pageId"].clone();

    let log = call(Platform::Notion, ActionType::Log, json!({"page_id": id, "text": "a line"}));
    let (before, after) = ground.lose(log).await;
    assert_eq!(before, Lookup::Absent);
    assert!(found(after)["blockId"].is_string());

    let delete = call(Platform::Notion, ActionType::Delete, json!({"page_id": id}));
    let (before, after) = ground.lose(delete).await;
    assert_eq!((before, &found(after)["pageId"]), (Lookup::Absent, &id));
}

#[tokio::test]
async fn notion_without_a_column_for_markers_finds_by_title() {
    let ground = Ground::start().await;
    let database = ground.env["NOTION_DATABASE_ID"].clone();
    let mut create = call(Platform::Notion, ActionType::Create, json!({"title": "By title", "database_id": database}));
    create.marker = None;
    let (before, after) = ground.lose(create.clone()).await;
    assert_eq!(before, Lookup::Absent);
    found(after);
    // Two of the same kind cannot be told apart.
    ground.clients.execute(&create).await.unwrap();
    let since = ground.clients.clock().now();
    let lookup = ground.clients.find_written(&create, since).await.unwrap();
    assert!(matches!(lookup, Lookup::Unclear(_)), "{lookup:?}");
}

#[tokio::test]
async fn trello_from_creation_to_the_archive() {
    let ground = Ground::start().await;
    let data = json!({"name": "Order cables", "desc": "ten of them", "due": "2026-12-01T12:00:00.000Z"});
    let card = ground.run(Platform::Trello, ActionType::Create, data).await;
    let id = &card["cardId"];
    assert!(card["url"].as_str().unwrap().starts_with("https://trello.com/"), "{card}");
    ground.run(Platform::Trello, ActionType::Update, json!({"cardId": id, "name": "Order ropes", "due": null})).await;
    let query = ground.run(Platform::Trello, ActionType::Query, json!({"limit": 1000})).await;
    let ours = query["cards"].as_array().unwrap().iter().find(|c| &c["cardId"] == id).unwrap();
    assert_eq!(ours["name"], "Order ropes");
    ground.run(Platform::Trello, ActionType::Delete, json!({"cardId": id})).await;
    let query = ground.run(Platform::Trello, ActionType::Query, json!({"limit": 1000})).await;
    assert!(query["cards"].as_array().unwrap().iter().all(|c| &c["cardId"] != id));
}

#[tokio::test]
async fn trello_cards_in_doubt_are_found_wherever_they_went() {
    let ground = Ground::start().await;
    let create = call(Platform::Trello, ActionType::Create, json!({"name": "Lost", "desc": "text"}));
    let (before, after) = ground.lose(create.clone()).await;
    assert_eq!(before, Lookup::Absent);
    let card = found(after);
    ground.run(Platform::Trello, ActionType::Delete, json!({"cardId": card["cardId"]})).await;
    let since = ground.clients.clock().now();
    assert_eq!(found(ground.clients.find_written(&create, since).await.unwrap()), card);
}

#[tokio::test]
async fn slack_from_post_to_deletion() {
    let ground = Ground::start().await;
    let message = ground.run(Platform::Slack, ActionType::Notify, json!({"text": "deploying"})).await;
    let at = |text: Option<&str>| {
        let mut data = json!({"channel": message["channel"], "ts": message["ts"]});
        if let Some(text) = text {
            data["text"] = Value::from(text);
        }
        data
    };
    ground.run(Platform::Slack, ActionType::Update, at(Some("deployed"))).await;
    let query = ground.run(Platform::Slack, ActionType::Query, json!({"limit": 5})).await;
    assert_eq!(query["messages"][0]["text"], "deployed");
    ground.run(Platform::Slack, ActionType::Delete, at(None)).await;
    assert_eq!(ground.fails(Platform::Slack, ActionType::Delete, at(None)).await, ErrorCode::NotFound);
    let nowhere = json!({"channel": "#no-such-channel", "text": "hi"});
    assert_eq!(ground.fails(Platform::Slack, ActionType::Notify, nowhere).await, ErrorCode::NotFound);
}

#[tokio::test]
async fn slack_messages_in_doubt_are_found() {
    let ground = Ground::start().await;
    let (before, after) = ground.lose(call(Platform::Slack, ActionType::Notify, json!({"text": "lost"}))).await;
    assert_eq!(before, Lookup::Absent);
    let message = found(after);

    let mut reply =
        call(Platform::Slack, ActionType::Notify, json!({"text": "in a thread", "thread_ts": message["ts"]}));
    reply.marker = Some("key-2".into());
    let (before, after) = ground.lose(reply).await;
    assert_eq!(before, Lookup::Absent);
    let reply = found(after);

    // Without a marker the text decides.
    let mut plain = call(Platform::Slack, ActionType::Notify, json!({"text": "no marker"}));
    plain.marker = None;
    let (before, after) = ground.lose(plain).await;
    assert_eq!(before, Lookup::Absent);
    found(after);

    for message in [reply, message] {
        let data = json!({"channel": message["channel"], "ts": message["ts"]});
        let (before, after) = ground.lose(call(Platform::Slack, ActionType::Delete, data)).await;
        assert_eq!((before, found(after)), (Lookup::Absent, message));
    }
}

#[tokio::test]
async fn drive_from_creation_to_the_trash() {
    let ground = Ground::start().await;
    let folder =
        ground.run(Platform::Drive, ActionType::Create, json!({"name": "New", "mimeType": drive::FOLDER})).await;
    let file = json!({"name": "it's here.txt", "content": "aGVsbG8=", "encoding": "base64", "mimeType": "text/plain",
                      "permissions": [{"type": "user", "role": "reader", "emailAddress": "ana@example.com"}]});
    let file = ground.run(Platform::Drive, ActionType::File, file).await;
    let id = &file["fileId"];
    assert!(file["webViewLink"].is_string(), "{file}");
    let move_there = json!({"fileId": id, "name": "moved.txt", "folderId": folder["fileId"]});
    let moved = ground.run(Platform::Drive, ActionType::Update, move_there).await;
    assert_eq!(moved["previousParents"].as_array().map(Vec::len), Some(1), "{moved}");
    let listed = ground.run(Platform::Drive, ActionType::Query, json!({"folderId": folder["fileId"]})).await;
    assert_eq!((&listed["count"], &listed["files"][0]["name"]), (&json!(1), &json!("moved.txt")));
    ground.run(Platform::Drive, ActionType::Delete, json!({"fileId": id})).await;
    let listed = ground.run(Platform::Drive, ActionType::Query, json!({"folderId": folder["fileId"]})).await;
    assert_eq!(listed["count"], 0);
    assert_eq!(ground.fails(Platform::Drive, ActionType::Delete, json!({"fileId": "nope"})).await, ErrorCode::NotFound);
}

#[tokio::test]
async fn drive_files_in_doubt_are_found_and_never_doubled() {
    let ground = Ground::start().await;
    let data = json!({"name": "lost.txt", "content": "text", "mimeType": "text/plain"});
    let mut create = call(Platform::Drive, ActionType::File, data);
    create.prepared = ground.clients.prepare(&create).await.unwrap();
    let (before, after) = ground.lose(create.clone()).await;
    assert_eq!(before, Lookup::Absent);
    let file = found(after);
    // Sent again with its id, it is still one file.
    let again = ground.clients.execute(&create).await.unwrap();
    assert_eq!((again.result, again.served_by_marker), (file, true));
    let listed = ground.run(Platform::Drive, ActionType::Query, json!({"name": "lost.txt"})).await;
    assert_eq!(listed["count"], 1);

    // Google's own formats take no id; the property decides.
    let document = json!({"name": "Minutes", "content": "text", "mimeType": "application/vnd.google-apps.document"});
    let mut document = call(Platform::Drive, ActionType::File, document);
    document.marker = Some("key-2".into());
    let (before, after) = ground.lose(document).await;
    assert_eq!(before, Lookup::Absent);
    found(after);
}

#[tokio::test]
async fn sheets_rows_are_appended_changed_and_read() {
    let ground = Ground::start().await;
    let rows = json!({"values": [["2026-11-01", "create", 3, true], ["2026-11-02", "update", 4, false]]});
    let appended = ground.run(Platform::Sheets, ActionType::Log, rows).await;
    let range = appended["updatedRange"].as_str().unwrap().to_string();
    let read = ground.run(Platform::Sheets, ActionType::Query, json!({"range": range})).await;
    assert_eq!((&read["count"], &read["values"][1][1]), (&json!(2), &json!("update")), "{read}");
    let cell =
        format!("{}!B{}", range.split('!').next().unwrap(), range.rsplit(|c: char| c.is_alphabetic()).next().unwrap());
    ground.run(Platform::Sheets, ActionType::Update, json!({"range": cell, "value": "changed"})).await;
    let read = ground.run(Platform::Sheets, ActionType::Query, json!({"range": range})).await;
    assert_eq!(read["values"][1][1], "changed");
    let nowhere = json!({"range": "No such tab!A:D"});
    assert_eq!(ground.fails(Platform::Sheets, ActionType::Query, nowhere).await, ErrorCode::ValidationError);
}

#[tokio::test]
async fn sheets_rows_in_doubt_are_found() {
    let ground = Ground::start().await;
    let row = json!({"values": [["2026-11-01T10:00:00.000Z", "lost", 1500, true, null]]});
    // The same row was there before: only what comes after it can be ours.
    ground.run(Platform::Sheets, ActionType::Log, row.clone()).await;
    let (before, after) = ground.lose(call(Platform::Sheets, ActionType::Log, row)).await;
    assert_eq!(before, Lookup::Absent);
    let range = found(after)["updatedRange"].as_str().unwrap().to_string();
    let read = ground.run(Platform::Sheets, ActionType::Query, json!({"range": range})).await;
    assert_eq!(read["values"][0][1], "lost", "{read}");
}

#[tokio::test]
async fn trello_comments_in_doubt_are_found() {
    let ground = Ground::start().await;
    let card = ground.run(Platform::Trello, ActionType::Create, json!({"name": "c", "labels": ["brand new"]})).await;
    let mut log = call(Platform::Trello, ActionType::Log, json!({"cardId": card["cardId"], "text": "a comment"}));
    log.marker = Some("key-2".into());
    let (before, after) = ground.lose(log).await;
    assert_eq!(before, Lookup::Absent);
    assert!(found(after)["commentId"].is_string());
}

#[tokio::test]
async fn credentials_are_told_good_from_bad() {
    let ground = Ground::start().await;
    for (platform, text) in
        [(Platform::Notion, "Invalid API key"), (Platform::Trello, "Invalid token"), (Platform::Slack, "Token revoked")]
    {
        let identity = ground.clients.who_am_i(platform).await.unwrap();
        assert!(!identity.is_empty(), "{platform}");
        ground.sims.revoke(platform);
        let error = ground.clients.who_am_i(platform).await.unwrap_err();
        assert_eq!((error.code, auth_error_text(&error).as_str()), (ErrorCode::AuthError, text), "{error}");
        assert!(error.message.starts_with("Authentication failed: "), "{error}");
    }
}

#[tokio::test]
async fn status_feeds_are_read() {
    let ground = Ground::start().await;
    for platform in Platform::ALL {
        let feed = status::fetch(ground.clients.endpoints(), *platform, Duration::from_secs(2)).await;
        assert_eq!(feed, status::FeedStatus::Operational, "{platform}");
    }
}

#[tokio::test]
async fn every_fault_has_its_code() {
    let ground = Ground::start().await;
    let writes = [
        (Platform::Notion, ActionType::Create, json!({"title": "t"})),
        (Platform::Trello, ActionType::Create, json!({"name": "n"})),
        (Platform::Slack, ActionType::Notify, json!({"text": "t"})),
        (Platform::Drive, ActionType::File, json!({"name": "n", "content": "c"})),
        (Platform::Sheets, ActionType::Log, json!({"values": [["a"]]})),
    ];
    let faults = [
        (Fault::Unauthorized, ErrorCode::AuthError, Delivery::NotDelivered, "Authentication failed"),
        (Fault::Forbidden, ErrorCode::PermissionDenied, Delivery::NotDelivered, "Permission denied"),
        (Fault::RateLimited { retry_after_secs: 9 }, ErrorCode::RateLimited, Delivery::NotDelivered, "Rate limited"),
        (Fault::ServerError { status: 503 }, ErrorCode::ServiceDown, Delivery::Unknown, "Service unavailable"),
        (Fault::Html, ErrorCode::ServiceDown, Delivery::Unknown, "Service unavailable"),
        (Fault::Hang, ErrorCode::TimeoutError, Delivery::Unknown, "Network timeout"),
        (Fault::Down, ErrorCode::NetworkError, Delivery::NotDelivered, "Network error: connection refused"),
    ];
    for (platform, action, data) in writes {
        for (fault, code, delivery, words) in faults {
            let spec = FaultSpec::from(fault);
            let spec = if fault == Fault::Down { spec } else { spec.only("create") };
            ground.sims.fault(platform, spec).unwrap();
            let mut call = call(platform, action, data.clone());
            call.timeout = Duration::from_millis(300);
            let error = ground.clients.execute(&call).await.unwrap_err();
            ground.sims.clear(platform).unwrap();
            assert_eq!((error.code, error.delivery), (code, delivery), "{platform} {fault:?}: {error}");
            assert!(error.message.starts_with(words), "{platform} {fault:?}: {error}");
            // The others do not say how long.
            if code == ErrorCode::RateLimited && [Platform::Notion, Platform::Slack].contains(&platform) {
                assert_eq!(error.retry_after, Some(Duration::from_secs(9)), "{platform}");
            }
        }
    }
}
