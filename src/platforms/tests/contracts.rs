//! Our requests against mocks of the vendors' contracts, which refuse what the contract does not allow; and every error
//! of the contracts, which the mocks answer on demand.
//!
//! `OPSCTL_CONTRACT_MOCKS` holds the mocks' addresses as the JSON of [`Endpoints`]. The mocks keep no state and answer
//! with the contracts' examples, so this checks requests and errors, not results. `tests/counterparts/prism.sh` runs it.

mod forced;

use super::super::undo::{Done, Way, plan};
use super::*;

const ID: &str = "2f1e8d7c-6b5a-4930-8271-605f4e3d2c1b";

/// Nothing is measured against this: a mock takes long over the first request of each kind.
const PATIENCE: Duration = Duration::from_secs(60);

/// Undoes what a call is said to have done; what was refused of it.
async fn undo(clients: &Clients, call: &Call, result: Value, before: Option<Value>) -> Vec<String> {
    let (platform, action_type, data) = (call.platform, call.action_type, call.data.clone());
    let done = Done { platform, action_type, data, result, before, marker: call.marker.clone(), at: Time(0) };
    let mut refused = Vec::new();
    if plan(&done).way == Way::Request
        && let Err(error) = clients.undo(&done, true, call.timeout).await
    {
        refused.push(format!("undo {platform} {action_type}: {error}"));
    }
    // How one message is read back is not part of the contracts' selection.
    if platform != Platform::Slack
        && let Err(error) = clients.inspect(&done, call.timeout).await
    {
        refused.push(format!("inspect {platform} {action_type}: {error}"));
    }
    refused
}

/// Where the mocks are.
fn mocks() -> Endpoints {
    serde_json::from_str(&std::env::var("OPSCTL_CONTRACT_MOCKS").unwrap()).unwrap()
}

/// Credentials whose tokens come from the mock.
fn environment_at(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let mut environment = environment("");
    let mut key: Value = serde_json::from_str(&environment["GOOGLE_SERVICE_ACCOUNT_KEY"]).unwrap();
    key["token_uri"] = Value::from(endpoints.google_token.clone());
    environment.insert("GOOGLE_SERVICE_ACCOUNT_KEY".into(), key.to_string());
    environment
}

#[tokio::test]
#[ignore = "needs mocks of the contracts (Prism) and their addresses in OPSCTL_CONTRACT_MOCKS"]
async fn every_request_keeps_to_the_contract() {
    use ActionType::*;
    use Platform::*;
    let endpoints = mocks();
    let mut environment = environment_at(&endpoints);
    let clients = Clients::new(endpoints.clone(), Credentials::from_env(&environment), Clock::system());

    let card = "68dcf6a0ddc1b351ef961417";
    let mut refused = Vec::new();
    for (platform, action, data) in [
        (Notion, Create, json!({"database_id": ID, "title": "t", "content": "text"})),
        (Notion, Update, json!({"page_id": ID, "title": "t"})),
        (Notion, Delete, json!({"page_id": ID})),
        (Notion, Query, json!({"database_id": ID, "page_size": 10})),
        (Trello, Create, json!({"name": "n", "listId": card, "desc": "d", "labels": [card], "due": "2026-12-01"})),
        (Trello, Update, json!({"cardId": card, "name": "n", "due": null, "closed": false, "listId": card})),
        (Trello, Delete, json!({"cardId": card})),
        (Trello, Query, json!({"boardId": card})),
        (Slack, Notify, json!({"channel": "C0123ABCD", "text": "t", "blocks": [{"type": "divider"}]})),
        (Slack, Update, json!({"channel": "C0123ABCD", "ts": "1.2", "text": "t"})),
        (Slack, Delete, json!({"channel": "C0123ABCD", "ts": "1.2"})),
        (Slack, Query, json!({"channel": "C0123ABCD"})),
        (Drive, File, json!({"name": "n", "content": "c", "mimeType": "text/plain", "folderId": "f"})),
        (Drive, Create, json!({"name": "n", "mimeType": super::super::drive::FOLDER})),
        (Drive, Update, json!({"fileId": "f", "name": "n", "folderId": "g"})),
        (Drive, Delete, json!({"fileId": "f"})),
        (Drive, Query, json!({"folderId": "f", "limit": 5})),
        (Sheets, Log, json!({"range": "Log!A:D", "values": [["a", 1, true, null]]})),
        (Sheets, Update, json!({"range": "Log!A1", "value": 1})),
        (Sheets, Query, json!({"range": "Log!A:D"})),
    ] {
        let mut call = call(platform, action, data);
        call.timeout = PATIENCE;
        let prepared = clients.prepare(&call).await;
        call.prepared = prepared.unwrap_or_else(|error| {
            refused.push(format!("prepare {platform} {action}: {error}"));
            None
        });
        let before = clients.before(&call).await.unwrap_or_else(|error| {
            refused.push(format!("before {platform} {action}: {error}"));
            None
        });
        match clients.execute(&call).await {
            Ok(outcome) => refused.extend(undo(&clients, &call, outcome.result, before).await),
            Err(error) => refused.push(format!("{platform} {action}: {error}")),
        }
        // Which board a list is on, and what is in a thread, is not part of the contracts' selection.
        let outside = [(Trello, Create), (Slack, Delete)].contains(&(platform, action));
        if let (false, Err(error)) = (outside, clients.find_written(&call, Time(0)).await) {
            refused.push(format!("find {platform} {action}: {error}"));
        }
    }
    for platform in Platform::ALL {
        if let Err(error) = clients.who_am_i(*platform).await {
            refused.push(format!("who am I {platform}: {error}"));
        }
    }
    environment.remove("SHEETS_LOG_SPREADSHEET_ID");
    let clients = Clients::new(endpoints, Credentials::from_env(&environment), Clock::system());
    if let Err(error) = clients.who_am_i(Sheets).await {
        refused.push(format!("who am I by token: {error}"));
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
