//! The platform clients against the simulators: each operation, and finding a write whose answer was lost.

use serde_json::{Value, json};

use super::World;
use crate::clock::Clock;
use crate::platforms::{Call, Clients, Credentials, Lookup};
use crate::sandbox::sim::{Api, Fault, FaultSpec};
use crate::wire::{ActionType, ErrorCode, Platform};

fn clients(world: &World) -> Clients {
    Clients::new(world.sims.endpoints(), Credentials::from_env(&world.env), Clock::system())
}

fn call(platform: Platform, action: ActionType, data: Value, marker: &str) -> Call {
    Call { marker: Some(marker.into()), ..Call::new(platform, action, data) }
}

/// An action of each platform that makes something.
fn creations() -> Vec<(Platform, ActionType, Value)> {
    vec![
        (Platform::Notion, ActionType::Create, json!({"title": "T", "properties": {"priority": "High"}})),
        (Platform::Trello, ActionType::Create, json!({"name": "T", "labels": ["bug", "brand new"]})),
        (Platform::Slack, ActionType::Notify, json!({"channel": "#general", "text": "T"})),
        (Platform::Drive, ActionType::File, json!({"name": "T.txt", "content": "a\r\nb", "mimeType": "text/plain"})),
        (
            Platform::Drive,
            ActionType::Create,
            json!({"name": "T", "content": "t", "mimeType": "application/vnd.google-apps.document"}),
        ),
        (Platform::Sheets, ActionType::Log, json!({"values": [["2026-11-01", "create", "wf-1:step-2", 15]]})),
    ]
}

#[tokio::test]
async fn everybody_knows_who_they_are() {
    let world = World::start().await;
    let clients = clients(&world);
    for platform in Platform::ALL.iter().copied() {
        let who = clients.who_am_i(platform).await.unwrap();
        assert!(!who.is_empty(), "{platform}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_and_nothing_is_made_twice() {
    let world = World::start().await;
    let clients = clients(&world);
    for (platform, action, data) in creations() {
        let since = Clock::system().now();
        let mut call = call(platform, action, data, "wf-1:step-2");
        call.prepared = clients.prepare(&call).await.unwrap();
        world.sims.fault(platform, FaultSpec::from(Fault::LostAnswer).times(1).only("create")).unwrap();
        // Trello makes the missing label first; that answer may be the one that is lost.
        let mut failed = clients.execute(&call).await.unwrap_err();
        if platform == Platform::Trello && world.sims.stats_of(platform).created_by_marker.is_empty() {
            world.sims.fault(platform, FaultSpec::from(Fault::LostAnswer).times(1).only("cards.create")).unwrap();
            failed = clients.execute(&call).await.unwrap_err();
        }
        assert_eq!(failed.code, ErrorCode::NetworkError, "{platform}: {failed}");
        let found = clients.find_written(&call, since).await.unwrap();
        assert!(matches!(found, Lookup::Found(_)), "{platform}: {found:?}");
        let stats = world.sims.stats_of(platform);
        match platform {
            Platform::Sheets => assert_eq!(stats.created_by_name.values().sum::<u64>(), 1),
            _ => assert_eq!(
                (stats.doubled().len(), stats.created_by_marker.get("wf-1:step-2")),
                (0, Some(&1)),
                "{platform}"
            ),
        }
        world.sims.reset_stats();
    }
}

#[tokio::test]
async fn a_request_that_never_arrived_is_absent() {
    let world = World::start().await;
    let clients = clients(&world);
    for (n, (platform, action, data)) in creations().into_iter().enumerate() {
        let since = Clock::system().now();
        let mut call = call(platform, action, data, &format!("m-{n}"));
        call.prepared = clients.prepare(&call).await.unwrap();
        world
            .sims
            .fault(platform, FaultSpec::from(Fault::ServerError { status: 500 }).times(1).only("create"))
            .unwrap();
        assert_eq!(clients.execute(&call).await.unwrap_err().code, ErrorCode::ServiceDown, "{platform}");
        assert_eq!(clients.find_written(&call, since).await.unwrap(), Lookup::Absent, "{platform}");
        assert!(!clients.execute(&call).await.unwrap().served_by_marker);
    }
}

#[tokio::test]
async fn objects_are_changed_and_put_away() {
    let world = World::start().await;
    let clients = clients(&world);
    let run =
        async |platform, action, data: Value| clients.execute(&Call::new(platform, action, data)).await.unwrap().result;
    let page = run(Platform::Notion, ActionType::Create, json!({"title": "P"})).await["pageId"].clone();
    run(Platform::Notion, ActionType::Update, json!({"page_id": page, "properties": {"status": "Done"}})).await;
    run(Platform::Notion, ActionType::Delete, json!({"page_id": page})).await;
    let card = run(Platform::Trello, ActionType::Create, json!({"name": "C"})).await["cardId"].clone();
    let done = world.var("TRELLO_DONE_LIST");
    run(Platform::Trello, ActionType::Update, json!({"cardId": card, "listId": done})).await;
    run(Platform::Trello, ActionType::Log, json!({"cardId": card, "text": "a comment"})).await;
    run(Platform::Trello, ActionType::Delete, json!({"cardId": card})).await;
    let message = run(Platform::Slack, ActionType::Notify, json!({"channel": "operations", "text": "M"})).await;
    run(Platform::Slack, ActionType::Update, json!({"channel": message["channel"], "ts": message["ts"], "text": "N"}))
        .await;
    let file = run(Platform::Drive, ActionType::File, json!({"name": "D.txt", "content": "x"})).await["fileId"].clone();
    let folder = run(
        Platform::Drive,
        ActionType::Create,
        json!({"name": "Folder", "mimeType": "application/vnd.google-apps.folder"}),
    )
    .await["fileId"]
        .clone();
    let moved = run(Platform::Drive, ActionType::Update, json!({"fileId": file, "folderId": folder})).await;
    assert_eq!(moved["previousParents"], json!([world.var("GOOGLE_DRIVE_ROOT_FOLDER_ID")]));
    run(Platform::Drive, ActionType::Delete, json!({"fileId": file})).await;
    let found = run(Platform::Drive, ActionType::Query, json!({"folderId": folder})).await;
    assert_eq!(found["count"], 0);
    run(Platform::Sheets, ActionType::Update, json!({"range": "Log!D2", "value": 99})).await;
    let rows = run(Platform::Sheets, ActionType::Query, json!({"range": "Log!A2:D4"})).await;
    assert_eq!(rows["values"][2], json!(["wf-43", "create_task", "failed", "297"]));
    let operations = |api: Api| world.sims.stats_of(api).operations;
    assert_eq!((operations(Api::Notion)["pages.trash"], operations(Api::Trello)["cards.archive"]), (1, 1));
    assert_eq!(operations(Api::Slack)["chat.update"], 1);
}
