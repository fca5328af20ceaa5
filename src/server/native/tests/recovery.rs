//! A service that is killed: nothing accepted is lost, nothing is done twice.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;

use super::super::store::tests::Folder;
use super::world::{Act, World, cx, page};
use crate::clock::Clock;
use crate::platforms::{CallOutcome, Lookup, Platform};
use crate::wire::*;

/// Opens a service in a runtime of its own that is torn down at once, as a kill would.
pub(super) fn killed<T>(folder: &Arc<Folder>, settings: &[(&str, &str)], life: impl AsyncFnOnce(&World) -> T) -> T {
    let runtime = Runtime::new().unwrap();
    let result = runtime.block_on(async {
        let world = World::opened(Arc::clone(folder), Clock::system(), settings);
        life(&world).await
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

#[test]
fn what_waited_is_executed_and_what_was_sent_is_looked_for() {
    let folder = Arc::new(Folder::new("recovery"));
    let ids = killed(&folder, &[("QUEUE_WORKERS", "1")], async |world| {
        world.backend.start();
        world.script.then(Act::Hang);
        let sent = world.submit(page("sent")).await;
        world.until_true("it is sent", async || world.script.calls() == 1).await;
        [sent, world.submit(page("waited")).await]
    });
    killed(&folder, &[], async |world| {
        let there = CallOutcome { result: json!({"id": "there"}), served_by_marker: true };
        *world.script.found.lock().unwrap() = Some(Ok(Lookup::Found(there)));
        world.backend.start();
        let sent = world.until(&ids[0], ActionStatus::Success).await;
        assert_eq!(sent.result.unwrap()["id"], "there");
        world.until(&ids[1], ActionStatus::Success).await;
        let executed: Vec<_> =
            world.script.executed.lock().unwrap().iter().map(|call| call.marker.clone().unwrap()).collect();
        assert_eq!(executed, [ids[1].clone()]);
        // The key still holds.
        assert!(world.try_submit(page("sent")).await.unwrap().duplicate);
    });
}

#[test]
fn pauses_and_circuits_outlast_a_kill() {
    let folder = Arc::new(Folder::new("kept"));
    killed(&folder, &[("MAX_RETRY_ATTEMPTS", "0")], async |world| {
        world.backend.start();
        for n in 0..5 {
            world.script.fail(ErrorCode::ServiceDown);
            let id = world.submit(page(&format!("p{n}"))).await;
            world.until(&id, ActionStatus::Failed).await;
        }
        let reason = crate::server::backend::ChangeContext { reason: Some("Notion is down".into()), ..cx() };
        world.queues().pause(PauseScope::All, &reason).await.unwrap();
    });
    killed(&folder, &[], async |world| {
        world.backend.start();
        let circuit = world.circuit(Platform::Notion).await.status;
        assert_eq!((circuit.state, circuit.failure_count), (CircuitState::Open, 5));
        let pauses = world.queues().pauses().await.unwrap();
        assert_eq!((pauses[0].scope, pauses[0].reason.as_deref()), (PauseScope::All, Some("Notion is down")));
        assert_eq!(world.try_submit(page("x")).await.unwrap_err().code, ErrorCode::Unavailable);
    });
}

#[test]
fn a_graceful_stop_hands_back_what_does_not_finish() {
    let folder = Arc::new(Folder::new("stop"));
    let id = killed(&folder, &[], async |world| {
        world.backend.start();
        world.script.then(Act::Hang);
        let id = world.submit(page("hangs")).await;
        world.until(&id, ActionStatus::Executing).await;
        world.backend.shutdown(Duration::from_millis(30)).await;
        let record = world.record(&id).await;
        assert_eq!(record.status, ActionStatus::Pending);
        let refusal = world.try_submit(page("late")).await.unwrap_err();
        assert!(refusal.message.contains("stopping"), "{}", refusal.message);
        id
    });
    killed(&folder, &[], async |world| {
        world.backend.start();
        world.until(&id, ActionStatus::Success).await;
        assert_eq!(world.script.looked.lock().unwrap().len(), 1);
    });
}

#[test]
fn a_row_whose_preparation_was_never_kept_was_never_sent() {
    let folder = Arc::new(Folder::new("prepared"));
    let row = json!({"type": "log", "platform": "sheets", "data": {"spreadsheetId": "s", "values": [["a"]]}});
    let id = killed(&folder, &[], async |world| {
        world.backend.start();
        world.script.then(Act::Hang);
        let id = world.submit(row).await;
        world.until_true("it is sent", async || world.script.calls() == 1).await;
        id
    });
    killed(&folder, &[], async |world| {
        world.backend.start();
        world.until(&id, ActionStatus::Success).await;
        let looked = world.script.looked.lock().unwrap().clone();
        assert_eq!(looked[0].prepared, Some(json!({"for": "sheets"})));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room() {
    let world = World::start(&[]);
    let store = world.backend.runtime.store.clone();
    let room = |pages: i64| {
        let store = store.clone();
        async move {
            let set = move |conn: &rusqlite::Connection| {
                let used: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
                conn.pragma_update(None, "max_page_count", used + pages)?;
                Ok(())
            };
            store.write(set).await.unwrap();
        }
    };
    world.pause(PauseScope::Queue).await;
    let waiting = world.submit(page("waits")).await;
    room(0).await;
    let mut big = page("too big");
    big["data"]["content"] = "x".repeat(200_000).into();
    let refusal = world.try_submit(big.clone()).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Unavailable);
    assert!(refusal.message.starts_with("no space left for the database"), "{}", refusal.message);
    let database = world.services().components().await.unwrap().remove(0);
    assert_eq!((database.component, database.state), (Component::Database, ComponentState::Down));
    assert_eq!(world.services().health().await.unwrap().overall, OverallHealth::Critical);
    assert_eq!(world.queues().status().await.unwrap().total_queued, 1);
    room(10_000).await;
    world.resume(PauseScope::Queue).await;
    world.until(&waiting, ActionStatus::Success).await;
    let id = world.submit(big).await;
    world.until(&id, ActionStatus::Success).await;
    assert_eq!(world.services().health().await.unwrap().overall, OverallHealth::Healthy);
}

#[test]
fn a_damaged_file_is_refused_in_words() {
    let folder = Arc::new(Folder::new("damaged"));
    killed(&folder, &[], async |world| {
        world.pause(PauseScope::Queue).await;
        for n in 0..50 {
            world.submit(page(&format!("p{n}"))).await;
        }
        world.backend.shutdown(Duration::from_secs(1)).await;
    });
    // Half of the file is gone, as after a copy that broke off.
    let path = folder.path().join(super::super::store::FILE);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = World::try_open(&folder).unwrap_err();
    let text = crate::error::Explained::from_error(&error).to_text();
    assert!(text.contains("the database is damaged"), "{text}");
    assert!(text.contains("hint: there is no backup: keep a copy of the file"), "{text}");
}
