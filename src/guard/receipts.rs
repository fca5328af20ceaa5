//! The journal, change by change: receipts, and what it takes to go on with an interrupted change or take one back.

use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::journal::{Event, Fate, Head, Journal, Line, Planned, Reading};
use super::receipt::{Receipt, ReceiptItem, ReceiptState};
use crate::engine::canonical::sha256_hex;
use crate::error::{Fault, Kind};
use crate::files::{read_if_there, write_whole};
use crate::redact::Redactor;
use crate::settings::Places;
use crate::wire::Time;

/// How far one item of a change came.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Nothing was sent for it.
    Untouched,
    /// Its request may have left, and no outcome is known.
    InDoubt {
        /// When it was last intended.
        since: Time,
    },
    /// It has an outcome.
    Ended(Box<Fate>),
}

/// What is planned for items that are recorded one by one: kept beside the journal as it is.
#[derive(Clone, Debug)]
pub struct KeptPlan {
    items: usize,
    text: String,
}

impl KeptPlan {
    /// The plan of these items. What is written passes the filter.
    pub fn new<T: Serialize>(items: &[T], redactor: &Redactor) -> anyhow::Result<Self> {
        Ok(KeptPlan { items: items.len(), text: redactor.redact(&serde_json::to_string(items)?).into_owned() })
    }
}

/// A change whose items are recorded one by one, as the journal has it.
#[derive(Clone, Debug)]
pub struct Record<T> {
    /// Its receipt.
    pub receipt: Receipt,
    /// What was planned.
    pub plan: Vec<T>,
    /// How far each item came, in the plan's order.
    pub stages: Vec<Stage>,
    /// What items held before, by their place in the plan.
    pub before: HashMap<usize, Value>,
}

/// What one item held before; a line of the file beside the journal.
#[derive(Serialize, Deserialize)]
struct Before {
    item: usize,
    before: Value,
}

/// The receipts of this machine's user: a view of the journal.
#[derive(Debug)]
pub struct Receipts {
    journal: Journal,
}

impl Receipts {
    /// Those in the state directory. What is written passes the filter.
    pub fn new(places: &Places, redactor: Redactor) -> Self {
        Receipts { journal: Journal::new(places, redactor) }
    }

    /// What they are a view of.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Writes down that a change begins, and gives it an id made from its time: `r-1017-0309`, then `r-1017-0309-2`.
    /// The plan of a change whose items are recorded one by one is kept beside the journal.
    pub fn open(&self, mut receipt: Receipt, plan: Option<&KeptPlan>) -> anyhow::Result<(Receipt, Head)> {
        let stamp = jiff::Timestamp::from_millisecond(receipt.at.0).unwrap_or_default();
        let stamp = stamp.strftime("r-%m%d-%H%M").to_string();
        receipt.planned = plan.map(|plan| plan.items);
        let mut opened = None;
        let head = self.journal.append_made(receipt.at, || {
            receipt.id = self.free_id(&stamp)?;
            let planned = plan.map(|plan| self.keep_plan(&receipt.id, plan)).transpose()?;
            opened = Some(receipt.clone());
            Ok(Event::Opened { change: Box::new(receipt), planned })
        })?;
        Ok((opened.context("the receipt has no id")?, head))
    }

    fn keep_plan(&self, id: &str, plan: &KeptPlan) -> anyhow::Result<Planned> {
        write_whole(&self.plan_file(id), plan.text.as_bytes(), true)?;
        Ok(Planned { items: plan.items, sha256: sha256_hex(&plan.text, 64) })
    }

    /// Writes down that the next request is about an item, and what it holds now, as far as an undo needs it.
    pub fn intend(&self, at: Time, id: &str, item: usize, before: Option<&Value>) -> anyhow::Result<()> {
        let before = before.map(|value| self.keep_before(id, item, value)).transpose()?;
        self.journal.append(at, Event::Intent { receipt: id.to_owned(), item, before })?;
        Ok(())
    }

    fn keep_before(&self, id: &str, item: usize, before: &Value) -> anyhow::Result<String> {
        let line = serde_json::to_string(&Before { item, before: before.clone() })?;
        let path = self.before_file(id);
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        };
        write().with_context(|| format!("cannot write to {}", path.display()))?;
        Ok(sha256_hex(&line, 64))
    }

    /// Writes down what became of an item.
    pub fn record(&self, at: Time, id: &str, item: usize, fate: Fate) -> anyhow::Result<()> {
        self.journal.append(at, Event::Outcome { receipt: id.to_owned(), item, fate })?;
        Ok(())
    }

    /// Writes down that somebody goes on with an interrupted change.
    pub fn resume(&self, at: Time, id: &str, operator: &str) -> anyhow::Result<Head> {
        self.journal.append(at, Event::Resumed { receipt: id.to_owned(), operator: operator.to_owned() })
    }

    /// Writes down how a change ended, from its receipt.
    pub fn close(&self, at: Time, receipt: &Receipt) -> anyhow::Result<()> {
        let one_by_one = receipt.planned.is_some();
        self.journal.append(
            at,
            Event::Closed {
                receipt: receipt.id.clone(),
                state: receipt.state,
                error: receipt.error.clone(),
                items: if one_by_one { Vec::new() } else { receipt.items.clone() },
            },
        )?;
        Ok(())
    }

    /// Writes down that a change, or some of its items, was taken back.
    pub fn undone(&self, at: Time, id: &str, by: &str, items: Option<Vec<usize>>) -> anyhow::Result<()> {
        self.journal.append(at, Event::Undone { receipt: id.to_owned(), by: by.to_owned(), items })?;
        Ok(())
    }

    /// One by id.
    pub fn read(&self, id: &str) -> anyhow::Result<Receipt> {
        self.entry(id).map(|entry| entry.receipt())
    }

    /// Those that were opened since then, newest first, each read when it is asked for.
    pub fn since(&self, since: Option<Time>) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Receipt>> + use<>> {
        let reading = self.journal.read()?;
        Ok(reading.since(since).into_iter().filter_map(move |id| receipt_of(&reading, &id).transpose()))
    }

    /// Those that stopped in the middle, newest first.
    pub fn interrupted(&self) -> anyhow::Result<Vec<Receipt>> {
        let reading = self.journal.read()?;
        let unended = reading.unended().into_iter().filter_map(|id| receipt_of(&reading, &id).transpose());
        unended.filter(|receipt| receipt.as_ref().map_or(true, Receipt::is_interrupted)).collect()
    }

    /// A change whose items are recorded one by one. Its plan has to be the one that was approved.
    pub fn record_of<T: DeserializeOwned>(&self, id: &str) -> anyhow::Result<Record<T>> {
        let entry = self.entry(id)?;
        let Some(planned) = &entry.planned else {
            return Err(Fault::new(Kind::Conflict, format!("{id} is one request, not a list of items"))
                .because("the orchestrator did it as a whole, or not at all")
                .hint(format!("see what it did with `opsctl history show {id}`"))
                .into());
        };
        let path = self.plan_file(id);
        let text = read_if_there(&path)?.filter(|text| sha256_hex(text, 64) == planned.sha256).ok_or_else(|| {
            Fault::new(Kind::Conflict, format!("the plan of {id} is not the one that was approved"))
                .because(format!("{} is missing or was changed", path.display()))
                .hint("make a new plan by repeating the command")
        })?;
        let plan = serde_json::from_str(&text).with_context(|| format!("cannot read the plan of {id}"))?;
        let before = self.before(id, &entry)?;
        Ok(Record { plan, before, stages: entry.stages(), receipt: entry.receipt() })
    }

    /// What the items held before. A line that is not the one the journal speaks of is passed over.
    fn before(&self, id: &str, entry: &Entry) -> anyhow::Result<HashMap<usize, Value>> {
        let text = read_if_there(&self.before_file(id))?.unwrap_or_default();
        let known = text.lines().filter_map(|line| {
            let kept: Before = serde_json::from_str(line).ok()?;
            (entry.before.get(&kept.item)? == &sha256_hex(line, 64)).then_some((kept.item, kept.before))
        });
        Ok(known.collect())
    }

    fn entry(&self, id: &str) -> anyhow::Result<Entry> {
        Entry::of(self.journal.read()?.lines_of(id)?).ok_or_else(|| self.unknown(id).into())
    }

    fn unknown(&self, id: &str) -> Fault {
        Fault::new(Kind::NotFound, format!("there is no receipt `{id}`"))
            .because(format!("looked in {}", self.journal.path().display()))
            .hint("list them with `opsctl history`")
    }

    /// The first id of this minute that no receipt has, and none whose first line is damaged.
    fn free_id(&self, stamp: &str) -> anyhow::Result<String> {
        let reading = self.journal.read()?;
        let mut id = stamp.to_owned();
        let mut count = 1;
        while reading.has(&id) || self.plan_file(&id).exists() {
            count += 1;
            id = format!("{stamp}-{count}");
        }
        Ok(id)
    }

    fn plan_file(&self, id: &str) -> PathBuf {
        self.journal.directory().join(format!("{id}.plan.json"))
    }

    fn before_file(&self, id: &str) -> PathBuf {
        self.journal.directory().join(format!("{id}.before.jsonl"))
    }
}

/// What the journal says of one change.
struct Entry {
    head: Receipt,
    planned: Option<Planned>,
    intents: HashMap<usize, Time>,
    before: HashMap<usize, String>,
    fates: BTreeMap<usize, Fate>,
}

impl Entry {
    fn new(head: Receipt, planned: Option<Planned>) -> Self {
        Entry { head, planned, intents: HashMap::new(), before: HashMap::new(), fates: BTreeMap::new() }
    }

    /// What its lines come to; `None` without the one that opens it.
    fn of(lines: Vec<Line>) -> Option<Self> {
        let mut lines = lines.into_iter();
        let opened = lines.find_map(|line| match line.event {
            Event::Opened { change, planned } => Some(Entry::new(*change, planned)),
            _ => None,
        });
        let mut entry = opened?;
        lines.for_each(|line| entry.add(line));
        Some(entry)
    }

    fn add(&mut self, line: Line) {
        match line.event {
            Event::Begun { .. } | Event::Mended { .. } | Event::Opened { .. } => {}
            Event::Intent { item, before, .. } => {
                self.intents.insert(item, line.at);
                self.before.extend(before.map(|hash| (item, hash)));
            }
            Event::Outcome { item, fate, .. } => {
                self.fates.insert(item, fate);
            }
            Event::Resumed { .. } => {
                self.head.state = ReceiptState::Started;
                self.head.error = None;
            }
            Event::Closed { state, error, items, .. } => {
                self.head.state = state;
                self.head.error = error;
                self.head.items = items;
            }
            Event::Undone { by, items, .. } => self.undone(&by, items),
        }
    }

    fn undone(&mut self, by: &str, items: Option<Vec<usize>>) {
        let Some(items) = items else {
            self.head.undone_by = Some(by.to_owned());
            return;
        };
        for at in items {
            let item = match self.planned {
                Some(_) => self.fates.get_mut(&at).map(|fate| &mut fate.item),
                None => self.head.items.get_mut(at),
            };
            if let Some(item) = item {
                item.undone_by = Some(by.to_owned());
            }
        }
        let all = self.items();
        if !all.iter().any(ReceiptItem::can_be_undone) && all.iter().any(|item| item.undone_by.is_some()) {
            self.head.undone_by = Some(by.to_owned());
        }
    }

    fn items(&self) -> Vec<ReceiptItem> {
        match self.planned {
            Some(_) => self.fates.values().map(|fate| fate.item.clone()).collect(),
            None => self.head.items.clone(),
        }
    }

    fn receipt(&self) -> Receipt {
        Receipt { items: self.items(), ..self.head.clone() }
    }

    fn stages(&self) -> Vec<Stage> {
        let count = self.planned.as_ref().map_or(0, |planned| planned.items);
        let stage = |item: usize| match (self.fates.get(&item), self.intents.get(&item)) {
            (Some(fate), _) => Stage::Ended(Box::new(fate.clone())),
            (None, Some(since)) => Stage::InDoubt { since: *since },
            (None, None) => Stage::Untouched,
        };
        (0..count).map(stage).collect()
    }
}

/// A change that is being read.
fn receipt_of(reading: &Reading, id: &str) -> anyhow::Result<Option<Receipt>> {
    Ok(Entry::of(reading.lines_of(id)?).map(|entry| entry.receipt()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::super::plan::Undo;
    use super::super::receipt::UndoAction;
    use super::*;
    use crate::server::testing::{Scratch, scratch};
    use crate::wire::EffectKind;

    fn store() -> (Scratch, Receipts) {
        let dir = scratch("receipts");
        let store = Receipts::new(&Places::under(dir.path()), Redactor::default());
        (dir, store)
    }

    fn fate(id: &str, result: Value) -> Fate {
        Fate { item: ReceiptItem::applied(id, UndoAction::AtPlatform { how: Undo::Restore }), result }
    }

    fn plan(names: &[&str]) -> KeptPlan {
        KeptPlan::new(names, &Redactor::default()).unwrap()
    }

    #[test]
    fn receipts_are_numbered_and_private() {
        let (_dir, store) = store();
        assert_eq!(store.since(None).unwrap().count(), 0);
        let (first, head) = store.open(Receipt::for_tests(vec![]), None).unwrap();
        let (second, _) = store.open(Receipt::for_tests(vec![]), None).unwrap();
        assert_eq!((first.id.as_str(), second.id.as_str()), ("r-1017-0309", "r-1017-0309-2"));
        assert_eq!(head.n, 2, "the first line names the journal");
        let mut done = second.clone();
        done.state = ReceiptState::Done;
        done.items = vec![ReceiptItem::applied("act-1", UndoAction::RestoreItem { id: "act-1".into() })];
        store.close(Time(2), &done).unwrap();
        assert_eq!(store.read(&second.id).unwrap(), done);
        assert_eq!(store.since(None).unwrap().count(), 2);
        let mode = std::fs::metadata(store.journal.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for bad in ["../x", "", "r-9999-9999"] {
            let error = store.read(bad).unwrap_err();
            assert_eq!(crate::error::Explained::from_error(&error).kind, Kind::NotFound, "{bad}");
        }
    }

    #[test]
    fn an_interrupted_change_says_how_far_each_item_came() {
        let (_dir, store) = store();
        let (receipt, _) = store.open(Receipt::for_tests(vec![]), Some(&plan(&["a", "b", "c"]))).unwrap();
        let id = receipt.id.as_str();
        store.intend(Time(5), id, 0, Some(&json!({"closed": false}))).unwrap();
        store.record(Time(6), id, 0, fate("a", json!({"cardId": "a"}))).unwrap();
        store.intend(Time(7), id, 1, None).unwrap();
        let record: Record<String> = store.record_of(id).unwrap();
        assert_eq!(record.plan, ["a", "b", "c"]);
        assert_eq!(
            record.stages,
            [
                Stage::Ended(Box::new(fate("a", json!({"cardId": "a"})))),
                Stage::InDoubt { since: Time(7) },
                Stage::Untouched
            ]
        );
        assert_eq!(record.before, HashMap::from([(0, json!({"closed": false}))]));
        assert_eq!((record.receipt.planned, record.receipt.items.len()), (Some(3), 1));
        for file in [store.plan_file(id), store.before_file(id)] {
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        std::fs::write(store.plan_file(id), "[\"a\",\"b\",\"d\"]").unwrap();
        let error = store.record_of::<String>(id).unwrap_err();
        assert_eq!(crate::error::Explained::from_error(&error).kind, Kind::Conflict);
    }

    #[test]
    fn items_are_taken_back_one_by_one_and_in_the_end_the_whole() {
        let (_dir, store) = store();
        let (receipt, _) = store.open(Receipt::for_tests(vec![]), Some(&plan(&["a", "b"]))).unwrap();
        for (item, name) in ["a", "b"].iter().enumerate() {
            store.intend(Time(1), &receipt.id, item, None).unwrap();
            store.record(Time(1), &receipt.id, item, fate(name, Value::Null)).unwrap();
        }
        store.undone(Time(2), &receipt.id, "r-2", Some(vec![1])).unwrap();
        let half = store.read(&receipt.id).unwrap();
        assert_eq!((half.undone_by.clone(), half.can_be_undone()), (None, true));
        assert_eq!(half.items[1].undone_by.as_deref(), Some("r-2"));
        store.undone(Time(3), &receipt.id, "r-3", Some(vec![0])).unwrap();
        let whole = store.read(&receipt.id).unwrap();
        assert_eq!((whole.undone_by.as_deref(), whole.can_be_undone()), (Some("r-3"), false));
        assert_eq!(whole.items[0].effect, EffectKind::Applied);
    }
}
