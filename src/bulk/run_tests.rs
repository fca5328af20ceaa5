//! The runner with platforms that misbehave.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use futures_util::future::{LocalBoxFuture, ready};
use serde_json::json;

use super::*;
use crate::bulk::Deed;
use crate::guard::{KeptPlan, Receipt, Record};
use crate::redact::Redactor;
use crate::server::testing::{Scratch, scratch};
use crate::settings::Places;
use crate::wire::{ActionType, ErrorCode, Platform};

/// A platform whose objects have a content and can be trashed.
#[derive(Default)]
struct Fake {
    contents: RefCell<HashMap<String, String>>,
    trashed: RefCell<Vec<String>>,
    looks: RefCell<Vec<usize>>,
    /// Writes in the order in which they were sent.
    sent: RefCell<Vec<String>>,
    /// Items whose next answer is lost, and whether the write had happened.
    lose: RefCell<HashMap<String, bool>>,
    refuse: RefCell<Vec<String>>,
    under_way: Cell<usize>,
    most: Cell<usize>,
    width: usize,
}

fn error(delivery: Delivery) -> PlatformError {
    PlatformError { delivery, ..PlatformError::new(Platform::Notion, ErrorCode::ServiceDown, "bad gateway") }
}

impl Fake {
    fn new(count: usize) -> Self {
        let contents = (0..count).map(|n| (format!("p{n}"), format!("content {n}"))).collect();
        Fake { contents: RefCell::new(contents), width: 4, ..Fake::default() }
    }

    fn sight(&self, id: &str) -> Result<Sight, PlatformError> {
        if self.trashed.borrow().iter().any(|t| t == id) {
            return Ok(Sight::Already("it is in the trash".into()));
        }
        let contents = self.contents.borrow();
        let print = contents.get(id).ok_or_else(|| error(Delivery::NotDelivered))?.clone();
        Ok(Sight::There { print, before: Some(json!({"in_trash": false})) })
    }

    fn trash(&self, id: &str) -> Result<Written, PlatformError> {
        if self.refuse.borrow().iter().any(|r| r == id) {
            return Err(PlatformError::new(Platform::Notion, ErrorCode::PermissionDenied, "not allowed"));
        }
        let lost = self.lose.borrow_mut().remove(id);
        if lost != Some(false) {
            self.trashed.borrow_mut().push(id.to_owned());
        }
        if lost.is_some() { Err(error(Delivery::Unknown)) } else { Ok(Written::Done(json!({"pageId": id}))) }
    }
}

impl Work for Fake {
    fn width(&self) -> usize {
        self.width
    }

    fn page(&self) -> usize {
        10
    }

    fn look<'a>(&'a self, items: &'a [&'a Item]) -> LocalBoxFuture<'a, Vec<Result<Sight, PlatformError>>> {
        self.looks.borrow_mut().push(items.len());
        Box::pin(ready(items.iter().map(|item| self.sight(&item.id)).collect()))
    }

    fn write<'a>(&'a self, item: &'a Item, _: &'a str) -> LocalBoxFuture<'a, Result<Written, PlatformError>> {
        Box::pin(async move {
            self.sent.borrow_mut().push(item.id.clone());
            self.under_way.set(self.under_way.get() + 1);
            self.most.set(self.most.get().max(self.under_way.get()));
            tokio::task::yield_now().await;
            self.under_way.set(self.under_way.get() - 1);
            self.trash(&item.id)
        })
    }

    fn find<'a>(&'a self, _: &'a Item, _: &'a str, _: Time) -> LocalBoxFuture<'a, Result<Found, PlatformError>> {
        Box::pin(ready(Ok(Found::Absent)))
    }
}

struct Scene {
    _dir: Scratch,
    receipts: Receipts,
    receipt: Receipt,
    items: Vec<Item>,
    fake: Fake,
}

impl Scene {
    fn new(count: usize) -> Self {
        let dir = scratch("bulk");
        let receipts = Receipts::new(&Places::under(dir.path()), Redactor::default());
        let item = |n: usize| {
            let deed = Deed::act(Platform::Notion, ActionType::Delete, json!({"page_id": format!("p{n}")}));
            Item::new(format!("p{n}"), deed).seen(format!("content {n}")).undo(Undo::Restore)
        };
        let items: Vec<Item> = (0..count).map(item).collect();
        let plan = KeptPlan::new(&items, &Redactor::default()).unwrap();
        let (receipt, _) = receipts.open(Receipt::for_tests(vec![]), Some(&plan)).unwrap();
        Scene { _dir: dir, receipts, receipt, items, fake: Fake::new(count) }
    }

    fn record(&self) -> Record<Item> {
        self.receipts.record_of(&self.receipt.id).unwrap()
    }

    async fn run(&self, max_errors: Option<u64>) -> Vec<Option<Fate>> {
        let run = Run {
            work: &self.fake,
            receipts: &self.receipts,
            id: &self.receipt.id,
            key: &self.receipt.key,
            clock: &Clock::system(),
            max_errors,
            progress: &|_| (),
        };
        run.run(&self.items, &self.record().stages).await.unwrap()
    }
}

fn effects(fates: &[Option<Fate>]) -> Vec<&str> {
    fates.iter().map(|fate| fate.as_ref().map_or("untried", |fate| fate.item.effect.as_str())).collect()
}

#[tokio::test]
async fn every_item_is_done_once_in_order_and_looked_at_by_the_page() {
    let scene = Scene::new(25);
    let fates = scene.run(None).await;
    assert_eq!(Tally::of(&fates), Tally { total: 25, done: 25, ..Tally::default() });
    let ids: Vec<String> = (0..25).map(|n| format!("p{n}")).collect();
    assert_eq!(*scene.fake.sent.borrow(), ids);
    assert_eq!(*scene.fake.looks.borrow(), [10, 10, 5]);
    assert_eq!(scene.fake.most.get(), 4);
    let record = scene.record();
    assert_eq!(record.plan, scene.items);
    assert!(record.stages.iter().all(|stage| matches!(stage, Stage::Ended(_))));
    assert_eq!(record.before.len(), 25);
}

#[tokio::test]
async fn what_changed_is_left_alone_and_what_is_gone_counts_as_done() {
    let scene = Scene::new(4);
    scene.fake.contents.borrow_mut().insert("p1".into(), "edited".into());
    scene.fake.trashed.borrow_mut().push("p2".into());
    let fates = scene.run(None).await;
    assert_eq!(effects(&fates), ["applied", "conflict", "already_so", "applied"]);
    let mut sent = scene.fake.sent.borrow().clone();
    sent.sort();
    assert_eq!(sent, ["p0", "p3"]);
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_before_a_second_try() {
    let scene = Scene::new(3);
    scene.fake.lose.borrow_mut().extend([("p0".into(), true), ("p1".into(), false)]);
    let fates = scene.run(None).await;
    assert_eq!(effects(&fates), ["applied", "applied", "applied"]);
    let mut trashed = scene.fake.trashed.borrow().clone();
    trashed.sort();
    assert_eq!(trashed, ["p0", "p1", "p2"], "none twice");
    assert_eq!(fates[0].as_ref().unwrap().item.detail.as_deref(), Some(FOUND));
}

#[tokio::test]
async fn the_first_of_many_goes_alone_and_stops_the_rest() {
    let scene = Scene::new(21);
    scene.fake.refuse.borrow_mut().push("p0".into());
    let fates = scene.run(None).await;
    assert_eq!(effects(&fates)[..2], ["refused", "untried"]);
    assert_eq!(Tally::of(&fates).ended(), 1);
    let few = Scene::new(20);
    few.fake.refuse.borrow_mut().push("p0".into());
    assert_eq!(Tally::of(&few.run(None).await), Tally { total: 20, done: 19, failed: 1, ..Tally::default() });
}

#[tokio::test]
async fn after_too_many_errors_nothing_further_is_begun() {
    let scene = Scene::new(12);
    scene.fake.refuse.borrow_mut().extend(["p1".to_owned(), "p2".to_owned()]);
    let fates = scene.run(Some(2)).await;
    let tally = Tally::of(&fates);
    assert_eq!(tally.failed, 2);
    assert!(tally.ended() < 12, "{tally:?}");
    // What is left can go on later.
    scene.fake.refuse.borrow_mut().clear();
    let fates = scene.run(None).await;
    assert_eq!(Tally::of(&fates), Tally { total: 12, done: 10, failed: 2, ..Tally::default() });
}

#[tokio::test]
async fn what_was_in_doubt_is_found_out_and_the_rest_is_done() {
    let scene = Scene::new(4);
    let id = scene.receipt.id.as_str();
    // As a kill leaves it: p0 ended, p1 sent and made, p2 intended and not made.
    scene.receipts.intend(Time(1), id, 0, None).unwrap();
    scene.receipts.record(Time(1), id, 0, applied(&scene.items[0], None, json!({"pageId": "p0"}))).unwrap();
    scene.receipts.intend(Time(1), id, 1, None).unwrap();
    scene.receipts.intend(Time(1), id, 2, None).unwrap();
    scene.fake.trashed.borrow_mut().extend(["p0".to_owned(), "p1".to_owned()]);
    let fates = scene.run(None).await;
    assert_eq!(effects(&fates), ["applied"; 4]);
    assert_eq!(*scene.fake.sent.borrow(), ["p3", "p2"], "what is in doubt comes last");
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_stops_it() {
    let scene = Scene::new(3);
    let file = scene.receipts.journal().path();
    std::fs::write(&file, "{}\n").unwrap();
    let run = Run {
        work: &scene.fake,
        receipts: &scene.receipts,
        id: &scene.receipt.id,
        key: "k",
        clock: &Clock::system(),
        max_errors: None,
        progress: &|_| (),
    };
    assert!(run.run(&scene.items, &[]).await.is_err());
    assert_eq!(*scene.fake.trashed.borrow(), Vec::<String>::new());
}
