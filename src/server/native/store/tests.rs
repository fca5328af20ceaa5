//! The store by itself: what survives, what is refused, what goes together.

use serde_json::json;

use super::actions::{Intent, NewAction, Outcome, Requeue, Stored};
use super::dead::Restored;
use super::*;
use crate::engine::idempotency;
use crate::engine::queue::{Item, Seq, Wait};
use crate::wire::*;

const NOW: Time = Time(1_760_697_045_000);

/// A data folder of its own, removed afterwards.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("opsctl-store-{name}-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn action(id: &str, key: Option<&str>, title: &str) -> NewAction {
    let request: ActionRequest = serde_json::from_value(json!({
        "id": id, "type": "create", "platform": "notion", "data": {"database_id": "d", "title": title}
    }))
    .unwrap();
    NewAction {
        id: id.into(),
        own_id: true,
        key: key.map(String::from),
        fingerprint: idempotency::action_fingerprint("create", "notion", &request.data),
        key_expires_at: NOW + std::time::Duration::from_secs(60),
        item: Item {
            seq: 0,
            platform: Platform::Notion,
            via: None,
            priority: Priority::Normal,
            substitutable: true,
            queued_at: NOW,
            due: None,
            wait: Wait::No,
            tries: 0,
            in_doubt: false,
            user: 0,
            workflow: u64::MAX,
            batch: 0,
            owned: false,
        },
        approval: None,
        request,
    }
}

async fn submit(store: &Store, new: NewAction) -> Result<Stored, StoreError> {
    store.write(move |conn| actions::submit(conn, &[new], NOW)).await.map(|mut stored| stored.remove(0))
}

async fn accepted(store: &Store, id: &str, key: Option<&str>) -> Seq {
    match submit(store, action(id, key, "x")).await.unwrap() {
        Stored::New(item) => item.seq,
        other => panic!("{other:?}"),
    }
}

async fn status(store: &Store, id: &'static str) -> Option<ActionStatus> {
    store.read(move |conn| query::action(conn, id)).await.unwrap().map(|record| record.status)
}

fn ended(seq: Seq, status: ActionStatus) -> Outcome {
    Outcome { seq, status, at: NOW, result: None, error: None, execution_ms: 5, queue_ms: 1, fallback: None }
}

#[tokio::test]
async fn an_accepted_action_survives_a_kill() {
    let (folder, copy) = (Folder::new("kill"), Folder::new("kill-copy"));
    let store = Store::open(folder.path()).unwrap();
    let first = accepted(&store, "a", None).await;
    let second = accepted(&store, "b", None).await;
    let begun = store
        .write(move |conn| actions::begin(conn, &Intent { seq: second, via: None, at: NOW }))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((begun.id.as_str(), begun.attempts, begun.data["title"].as_str()), ("b", 1, Some("x")));
    // The files as they are at this moment are what a killed process leaves.
    for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let again = Store::open(copy.path()).unwrap();
    assert_eq!(again.write(actions::recover).await.unwrap(), 1);
    let rows = again.read(query::load_queue).await.unwrap();
    let seen: Vec<_> = rows.iter().map(|item| (item.seq, item.in_doubt)).collect();
    assert_eq!(seen, [(first, false), (second, true)]);
    assert_eq!(rows[0].workflow, u64::MAX);
}

#[tokio::test]
async fn a_refused_operation_leaves_its_neighbours_alone() {
    let folder = Folder::new("group");
    let store = Store::open(folder.path()).unwrap();
    let (good, bad, late) = tokio::join!(
        submit(&store, action("a", Some("k1"), "x")),
        store.write(|conn| {
            actions::submit(conn, &[action("b", Some("k2"), "x"), action("c", Some("k2"), "y")], NOW)
        }),
        submit(&store, action("d", Some("k3"), "x")),
    );
    assert!(good.is_ok() && late.is_ok());
    assert!(matches!(bad, Err(StoreError::Refused(refusal)) if refusal.code == ErrorCode::DuplicateError));
    assert_eq!(status(&store, "b").await, None);
    assert_eq!(status(&store, "d").await, Some(ActionStatus::Pending));
    assert!(store.trouble().is_none());
}

#[tokio::test]
async fn a_repeated_key_or_id_is_a_duplicate_a_reused_one_is_refused() {
    let folder = Folder::new("keys");
    let store = Store::open(folder.path()).unwrap();
    let seq = accepted(&store, "a", Some("k")).await;
    let again = submit(&store, action("b", Some("k"), "x")).await.unwrap();
    assert!(matches!(again, Stored::Duplicate { ref id, status: ActionStatus::Pending } if id == "a"));
    assert!(matches!(submit(&store, action("a", None, "x")).await, Ok(Stored::Duplicate { .. })));
    assert!(matches!(submit(&store, action("a", None, "other")).await, Err(StoreError::Refused(_))));
    assert!(matches!(submit(&store, action("c", Some("k"), "other")).await, Err(StoreError::Refused(_))));
    // A failed action frees its key.
    store.write(move |conn| actions::finish(conn, &ended(seq, ActionStatus::Failed))).await.unwrap();
    assert!(matches!(submit(&store, action("e", Some("k"), "x")).await, Ok(Stored::New(_))));
    // Then the failed one cannot be driven again: the work would be done twice.
    let driven = store.write(|conn| dead::retry(conn, "a", None, NOW, NOW)).await.unwrap();
    assert!(matches!(driven, Restored::Conflict(_)), "{driven:?}");
}

#[tokio::test]
async fn an_item_goes_out_and_comes_back_as_it_was() {
    let folder = Folder::new("dead");
    let store = Store::open(folder.path()).unwrap();
    let seq = accepted(&store, "a", Some("k")).await;
    let item = Item { due: Some(Time(5)), wait: Wait::Retry, tries: 2, ..action("a", None, "x").item };
    let back = Requeue { item: Item { seq, ..item }, keep_intent: false, error: None };
    store.write(move |conn| actions::requeue(conn, &back)).await.unwrap();
    let ids = store.write(move |conn| dead::remove(conn, &[seq, 99], "ana", NOW)).await.unwrap();
    assert_eq!(ids, [Some("a".to_owned()), None]);
    assert_eq!(status(&store, "a").await, Some(ActionStatus::Removed));
    assert!(store.read(query::load_queue).await.unwrap().is_empty());
    let restored = store.write(|conn| dead::restore(conn, "a", NOW, NOW)).await.unwrap();
    assert_eq!(restored, Restored::Back(Box::new(Item { seq, ..item })));
    assert_eq!(store.write(|conn| dead::restore(conn, "a", NOW, NOW)).await.unwrap(), Restored::AlreadySo);
    assert_eq!(store.write(|conn| dead::restore(conn, "zz", NOW, NOW)).await.unwrap(), Restored::NotFound);
}

#[tokio::test]
async fn an_item_in_doubt_is_listed_with_the_failed_and_driven_again_with_a_look() {
    let folder = Folder::new("doubt");
    let store = Store::open(folder.path()).unwrap();
    let seq = accepted(&store, "a", None).await;
    store.write(move |conn| actions::begin(conn, &Intent { seq, via: None, at: NOW })).await.unwrap();
    store.write(move |conn| actions::finish(conn, &ended(seq, ActionStatus::InDoubt))).await.unwrap();
    let filter = QueueFilter { view: QueueView::Failed, platform: None, since: None, older_than: None, limit: None };
    let (items, total) = store.read(move |conn| query::dead(conn, Dead::Failed, &filter)).await.unwrap();
    assert_eq!((total, items[0].state), (1, QueueView::Failed));
    assert!(items[0].waiting_for.as_deref().unwrap().starts_with("in doubt"));
    let driven = store.write(|conn| dead::retry(conn, "a", Some(Time(9)), NOW, NOW)).await.unwrap();
    assert!(matches!(driven, Restored::Back(item) if item.in_doubt && item.due == Some(Time(9))));
}

#[tokio::test]
async fn what_is_no_database_or_of_the_future_is_refused_in_words() {
    let folder = Folder::new("bad");
    std::fs::write(folder.path().join(FILE), vec![b'x'; 8192]).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Corrupt(_))));
    std::fs::remove_file(folder.path().join(FILE)).unwrap();
    drop(Store::open(folder.path()).unwrap());
    let conn = Connection::open(folder.path().join(FILE)).unwrap();
    assert_eq!(conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), schema::VERSION);
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let error = Store::open(folder.path()).err().unwrap();
    let words = format!("the database has schema version 99, this program knows up to {}", schema::VERSION);
    assert_eq!(error.to_string(), words);
}

#[tokio::test]
async fn a_full_disk_refuses_and_then_goes_on() {
    let folder = Folder::new("full");
    let store = Store::open(folder.path()).unwrap();
    accepted(&store, "a", None).await;
    // A page limit is how SQLite sees a full disk.
    let pages = store
        .write(|conn| {
            let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
            conn.pragma_update(None, "max_page_count", pages)?;
            Ok(pages)
        })
        .await
        .unwrap();
    let mut big = action("b", None, "x");
    big.request.data = json!({ "title": "x".repeat(200_000) });
    assert!(matches!(submit(&store, big.clone()).await, Err(StoreError::Full(_))));
    assert!(store.trouble().is_some());
    assert_eq!(status(&store, "b").await, None);
    store.write(move |conn| Ok(conn.pragma_update(None, "max_page_count", pages + 10_000)?)).await.unwrap();
    assert!(submit(&store, big).await.is_ok());
    assert!(store.trouble().is_none());
}

#[tokio::test]
async fn it_can_be_closed_and_opened_again_under_way() {
    let folder = Folder::new("reopen");
    let store = Store::open(folder.path()).unwrap();
    accepted(&store, "a", None).await;
    store.reopen().await.unwrap();
    accepted(&store, "b", None).await;
    assert!(store.write(|conn| journal::probe(conn, "42")).await.unwrap());
    assert_eq!(store.read(query::quick_check).await.unwrap(), "ok");
    store.close().await;
    assert!(matches!(store.write(|_| Ok(())).await, Err(StoreError::Closed)));
    assert_eq!(status(&store, "b").await, Some(ActionStatus::Pending));
}

#[tokio::test]
async fn old_ends_are_dropped_and_what_waits_is_kept() {
    let folder = Folder::new("prune");
    let store = Store::open(folder.path()).unwrap();
    accepted(&store, "waits", None).await;
    let seq = accepted(&store, "ended", Some("k")).await;
    store.write(move |conn| actions::finish(conn, &ended(seq, ActionStatus::Success))).await.unwrap();
    let later = NOW + journal::KEEP_ACTIONS + std::time::Duration::from_secs(1);
    let (dropped, _) = store.write(move |conn| journal::prune(conn, 0, later)).await.unwrap();
    assert_eq!(dropped, 1);
    assert_eq!(status(&store, "waits").await, Some(ActionStatus::Pending));
    assert_eq!(status(&store, "ended").await, None);
}
