//! What a run of many items ended with: failures first, by cause.

use std::io;

use serde::Serialize;
use serde_json::Value;

use super::item::Item;
use super::run::Tally;
use crate::error::Outcome;
use crate::guard::journal::Fate;
use crate::output::{Page, Report, Tone, shown};
use crate::wire::EffectKind;

/// Ids named for one cause.
const NAMED: usize = 3;

/// What became of one item.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    /// `None` for one that was not tried.
    effect: Option<EffectKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What became of all of them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its receipt.
    pub receipt: String,
    title: String,
    total: usize,
    done: usize,
    changed: usize,
    failed: usize,
    in_doubt: usize,
    untried: usize,
    /// What to type to try again what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<String>,
    items: Vec<Line>,
}

impl Summary {
    /// What these fates come to.
    pub fn new(receipt: &str, title: &str, items: &[Item], fates: &[Option<Fate>]) -> Self {
        let tally = Tally::of(fates);
        let line = |(item, fate): (&Item, &Option<Fate>)| Line {
            id: item.id.clone(),
            name: item.name.clone(),
            effect: fate.as_ref().map(|fate| fate.item.effect),
            detail: fate.as_ref().and_then(|fate| fate.item.detail.clone()),
        };
        let again = tally.failed + tally.in_doubt > 0;
        Summary {
            retry: again.then(|| format!("opsctl history resume {receipt} --failed")),
            receipt: receipt.to_owned(),
            title: title.to_owned(),
            total: tally.total,
            done: tally.done,
            changed: tally.changed,
            failed: tally.failed,
            in_doubt: tally.in_doubt,
            untried: tally.total - tally.ended(),
            items: items.iter().zip(fates).map(line).collect(),
        }
    }

    /// Whether every item was tried.
    pub fn is_complete(&self) -> bool {
        self.untried == 0
    }

    /// 0 when every item is as it was meant to be, 8 otherwise.
    pub fn outcome(&self) -> Outcome {
        if self.done == self.total { Outcome::Done } else { Outcome::SomeFailed }
    }

    /// Items of some effects, by cause, in order of appearance.
    fn causes(&self, effects: &[EffectKind]) -> Vec<Cause<'_>> {
        let mut causes: Vec<Cause<'_>> = Vec::new();
        for line in self.items.iter().filter(|line| line.effect.is_some_and(|e| effects.contains(&e))) {
            let why = general(line.detail.as_deref().unwrap_or("no reason given"));
            match causes.iter_mut().find(|known| known.why == why) {
                Some(known) => known.ids.push(&line.id),
                None => causes.push(Cause { why, ids: vec![&line.id] }),
            }
        }
        causes
    }
}

/// Items that ended alike.
struct Cause<'a> {
    why: String,
    ids: Vec<&'a str>,
}

/// A cause without what is different for every request.
fn general(detail: &str) -> String {
    match detail.split_once(", request ") {
        Some((before, _)) => shown(&format!("{before})")),
        None => shown(detail),
    }
}

/// Effects of items that the platform did not let through.
const FAILED: [EffectKind; 3] = [EffectKind::Refused, EffectKind::NotFound, EffectKind::Unsupported];

impl Report for Summary {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let kinds = [
            ("FAILED", Tone::Bad, &FAILED[..]),
            ("IN DOUBT", Tone::Bad, &[EffectKind::Accepted]),
            ("LEFT ALONE", Tone::Warn, &[EffectKind::Conflict]),
        ];
        for (word, tone, effects) in kinds {
            for Cause { why, ids } in self.causes(effects) {
                let named = ids.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
                let more = ids.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let word = page.paint(word, tone);
                page.line(format_args!("{word}  {}: {why}: {named}{more}", ids.len()))?;
            }
        }
        if let Some(retry) = &self.retry {
            page.line(format_args!("once the cause is mended: {retry}"))?;
        }
        let mut parts = vec![format!("{} of {} done", self.done, self.total)];
        for (count, word) in [
            (self.failed, "failed"),
            (self.in_doubt, "in doubt"),
            (self.changed, "left alone"),
            (self.untried, "not tried"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        page.folded(&format!("{}: {}", self.title, parts.join(", ")), 0)
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.items.iter().map(serde_json::to_value).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bulk::Deed;
    use crate::guard::{ReceiptItem, UndoAction};
    use crate::output::{Style, draw};
    use crate::wire::{ActionType, Platform};

    #[test]
    fn failures_come_first_and_by_cause() {
        let item = |n: usize| {
            Item::new(format!("p{n}"), Deed::act(Platform::Notion, ActionType::Delete, json!({"page_id": "p"})))
        };
        let fate = |n: usize, effect, detail: &str| {
            let undo = UndoAction::none("x");
            let item =
                ReceiptItem { effect, detail: Some(detail.into()), ..ReceiptItem::applied(format!("p{n}"), undo) };
            Some(Fate { item, result: Value::Null })
        };
        let items: Vec<Item> = (0..7).map(item).collect();
        let refused = |n: usize| fate(n, EffectKind::Refused, &format!("not allowed (notion, HTTP 403, request {n})"));
        let fates = [
            fate(0, EffectKind::Applied, ""),
            refused(1),
            refused(2),
            refused(3),
            refused(4),
            fate(5, EffectKind::Conflict, "it was changed since the plan was made"),
            None,
        ];
        let summary = Summary::new("r-1", "move 7 pages to the trash", &items, &fates);
        assert_eq!(
            draw(&summary, Style::plain()).unwrap(),
            "FAILED  4: not allowed (notion, HTTP 403): p1, p2, p3 and 1 more\n\
             LEFT ALONE  1: it was changed since the plan was made: p5\n\
             once the cause is mended: opsctl history resume r-1 --failed\n\
             move 7 pages to the trash: 1 of 7 done, 4 failed, 1 left alone, 1 not tried\n"
        );
        assert_eq!((summary.outcome(), summary.is_complete()), (Outcome::SomeFailed, false));
    }
}
