//! The runner: exactly these items, each looked at right before it is touched, each in the journal before and after.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;

use super::Item;
use super::work::{Found, Sight, Work, Written};
use crate::clock::Clock;
use crate::guard::journal::Fate;
use crate::guard::{ReceiptItem, Receipts, Stage, Undo, UndoAction};
use crate::platforms::{Delivery, PlatformError};
use crate::wire::{EffectKind, Time};

/// Above this many items the first one goes alone.
const CANARY_ABOVE: usize = 20;

/// How often a write is sent whose answers are lost.
const TRIES: u32 = 3;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Items of the plan.
    pub total: usize,
    /// Changed, or found as they should be.
    pub done: usize,
    /// Left alone because they look otherwise than planned.
    pub changed: usize,
    /// Refused by the platform.
    pub failed: usize,
    /// Sent, and the platform cannot tell what became of it.
    pub in_doubt: usize,
}

impl Tally {
    /// Counts the fates of a plan's items; `None` for one that was not tried.
    pub fn of<'a>(fates: impl IntoIterator<Item = &'a Option<Fate>>) -> Self {
        let mut tally = Tally::default();
        for fate in fates {
            tally.total += 1;
            match fate.as_ref().map(|fate| fate.item.effect) {
                None => {}
                Some(EffectKind::Applied | EffectKind::AlreadySo) => tally.done += 1,
                Some(EffectKind::Conflict) => tally.changed += 1,
                Some(EffectKind::Accepted) => tally.in_doubt += 1,
                Some(_) => tally.failed += 1,
            }
        }
        tally
    }

    /// Items that have an outcome.
    pub fn ended(&self) -> usize {
        self.done + self.changed + self.failed + self.in_doubt
    }

    /// Items that did not end well.
    fn bad(&self) -> usize {
        self.failed + self.in_doubt
    }
}

/// One run of a plan's items under one receipt.
pub struct Run<'a> {
    /// What does it.
    pub work: &'a dyn Work,
    /// Where it is written down.
    pub receipts: &'a Receipts,
    /// The receipt's id.
    pub id: &'a str,
    /// The receipt's key; markers are made from it.
    pub key: &'a str,
    /// What time it is.
    pub clock: &'a Clock,
    /// No further item is begun after this many bad ones.
    pub max_errors: Option<u64>,
    /// Told after each item.
    pub progress: &'a dyn Fn(&Tally),
}

/// What one of the things under way ended with.
enum Ended {
    Look(Vec<(usize, Result<Sight, PlatformError>)>),
    Item(usize, anyhow::Result<Box<Fate>>),
}

/// What is known of an item that is about to be tried.
enum Known {
    Sight(Result<Sight, PlatformError>),
    /// An earlier request may have reached the platform.
    InDoubt(Time),
}

impl Run<'_> {
    /// Does every item that has no outcome yet, those in doubt last. The fates are in the plan's order; `None` for
    /// what was not tried. Fails only when the journal cannot be written: then nothing further is sent.
    pub async fn run(&self, items: &[Item], stages: &[Stage]) -> anyhow::Result<Vec<Option<Fate>>> {
        let stage = |at: usize| stages.get(at).unwrap_or(&Stage::Untouched);
        let mut fates: Vec<Option<Fate>> = (0..items.len())
            .map(|at| match stage(at) {
                Stage::Ended(fate) => Some((**fate).clone()),
                _ => None,
            })
            .collect();
        let mut unseen: VecDeque<usize> = (0..items.len()).filter(|at| *stage(*at) == Stage::Untouched).collect();
        let in_doubt = (0..items.len()).filter_map(|at| match stage(at) {
            Stage::InDoubt { since } => Some((at, Known::InDoubt(*since))),
            _ => None,
        });
        let mut in_doubt: VecDeque<(usize, Known)> = in_doubt.collect();
        let mut ready: VecDeque<(usize, Known)> = VecDeque::new();
        let mut running: FuturesUnordered<LocalBoxFuture<'_, Ended>> = FuturesUnordered::new();
        // The first item of many goes alone: what is wrong with all of them shows on it.
        let mut canary = unseen.len() > CANARY_ABOVE;
        let mut looking = false;
        let mut begun = 0;
        loop {
            let tally = Tally::of(&fates);
            (self.progress)(&tally);
            let too_many = self.max_errors.is_some_and(|max| tally.bad() as u64 >= max);
            let stop = too_many || (canary && tally.bad() > 0);
            let width = if canary { 1 } else { self.work.width().max(1) };
            if ready.is_empty() && unseen.is_empty() {
                ready.append(&mut in_doubt);
            }
            while !stop && begun < width {
                let Some((at, known)) = ready.pop_front() else { break };
                running.push(Box::pin(
                    async move { Ended::Item(at, self.item(at, &items[at], known).await.map(Box::new)) },
                ));
                begun += 1;
            }
            // The next page is looked at once the one before is under way: right before its items are touched.
            if !stop && !looking && ready.is_empty() && !unseen.is_empty() {
                let count = unseen.len().min(self.work.page().max(1));
                let page: Vec<usize> = unseen.drain(..count).collect();
                running.push(Box::pin(async move {
                    let shown: Vec<&Item> = page.iter().map(|at| &items[*at]).collect();
                    let sights = self.work.look(&shown).await;
                    Ended::Look(page.into_iter().zip(sights).collect())
                }));
                looking = true;
            }
            match running.next().await {
                None => return Ok(fates),
                Some(Ended::Look(page)) => {
                    looking = false;
                    ready.extend(page.into_iter().map(|(at, sight)| (at, Known::Sight(sight))));
                }
                Some(Ended::Item(at, fate)) => {
                    begun -= 1;
                    let fate = fate?;
                    canary &= fate.item.effect != EffectKind::Applied;
                    fates[at] = Some(*fate);
                }
            }
        }
    }

    /// Does one item and writes down what became of it.
    async fn item(&self, at: usize, item: &Item, known: Known) -> anyhow::Result<Fate> {
        let marker = format!("{}:{at}", self.key);
        let fate = self.attempt(at, item, &marker, known).await?;
        self.receipts.record(self.clock.now(), self.id, at, fate.clone())?;
        Ok(fate)
    }

    async fn attempt(&self, at: usize, item: &Item, marker: &str, mut known: Known) -> anyhow::Result<Fate> {
        let fate = |effect, detail: Option<String>| fate(item, effect, detail, Value::Null);
        let mut tries = 0;
        loop {
            let (sight, was_sent) = match known {
                Known::Sight(sight) => (sight, false),
                Known::InDoubt(since) => match self.work.find(item, marker, since).await {
                    Ok(Found::Done(result)) => return Ok(applied(item, Some(FOUND), result)),
                    Ok(Found::Unclear(why)) => return Ok(fate(EffectKind::Accepted, Some(why))),
                    Ok(Found::Absent) => (self.look(item).await, true),
                    Err(error) => {
                        let why = format!("its answer was lost, and it cannot be looked up: {error}");
                        return Ok(fate(EffectKind::Accepted, Some(why)));
                    }
                },
            };
            let before = match sight {
                Ok(Sight::There { print, before }) if item.seen.as_ref().is_none_or(|seen| *seen == print) => before,
                Ok(Sight::There { .. }) => {
                    let why = "it was changed since the plan was made".to_owned();
                    return Ok(fate(EffectKind::Conflict, Some(why)));
                }
                Ok(Sight::Already(_)) if was_sent => return Ok(applied(item, Some(FOUND), Value::Null)),
                Ok(Sight::Already(what)) => return Ok(fate(EffectKind::AlreadySo, Some(what))),
                Ok(Sight::Changed(how)) => return Ok(fate(EffectKind::Conflict, Some(how))),
                Err(error) if was_sent => {
                    let why = format!("its answer was lost, and it cannot be looked at: {error}");
                    return Ok(fate(EffectKind::Accepted, Some(why)));
                }
                Err(error) => return Ok(fate(EffectKind::Refused, Some(error.to_string()))),
            };
            tries += 1;
            let since = self.clock.now();
            self.receipts.intend(since, self.id, at, before.as_ref())?;
            known = match self.work.write(item, marker).await {
                Ok(Written::Done(result)) => return Ok(applied(item, None, result)),
                Ok(Written::Already(what)) => return Ok(fate(EffectKind::AlreadySo, Some(what))),
                Ok(Written::Changed(how)) => return Ok(fate(EffectKind::Conflict, Some(how))),
                Ok(Written::Without(how)) => return Ok(fate(EffectKind::Refused, Some(how))),
                Err(error) if error.delivery == Delivery::Unknown && tries < TRIES => Known::InDoubt(since),
                Err(error) if error.delivery == Delivery::Unknown => {
                    return Ok(fate(EffectKind::Accepted, Some(format!("its answer was lost {TRIES} times: {error}"))));
                }
                Err(error) => return Ok(fate(EffectKind::Refused, Some(error.to_string()))),
            };
        }
    }

    async fn look(&self, item: &Item) -> Result<Sight, PlatformError> {
        let mut sights = self.work.look(&[item]).await;
        sights.pop().unwrap_or_else(|| Ok(Sight::Changed("the platform did not say how it looks".into())))
    }
}

/// How an item is explained whose answer was lost.
const FOUND: &str = "its answer was lost; the platform shows that it was done";

fn applied(item: &Item, detail: Option<&str>, result: Value) -> Fate {
    fate(item, EffectKind::Applied, detail.map(str::to_owned), result)
}

fn fate(item: &Item, effect: EffectKind, detail: Option<String>, result: Value) -> Fate {
    let undo = match &item.undo {
        Undo::None => UndoAction::none("the platform offers no way back"),
        Undo::Reverse(command) => UndoAction::none(format!("by hand: {command}")),
        how => UndoAction::AtPlatform { how: how.clone() },
    };
    Fate { item: ReceiptItem { effect, detail, ..ReceiptItem::applied(&item.id, undo) }, result }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
