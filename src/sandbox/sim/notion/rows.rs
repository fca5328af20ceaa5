//! Rows in the order they were made, and the pages of results through them.
//!
//! What is asked for in the order of creation, which is everything that lists a whole database, costs what it answers:
//! the cursor is a place among the rows, and a window of `created_time` is found by bisection.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{Notion, Page, Reply, bad_cursor};
use crate::wire::Time;

/// Where a page of results begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The place of its first row in the data source.
    pub(super) row: usize,
    /// How many results came before it.
    pub(super) seen: usize,
}

impl Cursor {
    /// In the shape of an id, as Notion's are.
    pub(super) fn write(self) -> String {
        format!("{:08x}-0000-4000-a000-{:012x}", self.seen, self.row)
    }

    pub(super) fn read(text: &str) -> Result<Self, Reply> {
        let number = |range: Range<usize>| {
            let digits = text.get(range).ok_or_else(|| bad_cursor(text))?;
            usize::from_str_radix(digits, 16).map_err(|_| bad_cursor(text))
        };
        let cursor = Cursor { seen: number(0..8)?, row: number(24..36)? };
        if cursor.write() == text { Ok(cursor) } else { Err(bad_cursor(text)) }
    }
}

/// A time cut down to the minute.
pub(super) fn minute(time: Time) -> Time {
    Time(time.0 - time.0.rem_euclid(60_000))
}

impl Page {
    /// A page that nobody changed yet.
    pub(super) fn new(
        source: Option<String>,
        parent_page: String,
        properties: Map<String, Value>,
        created: Time,
    ) -> Self {
        Page {
            source,
            parent_page,
            created,
            edited: created,
            in_trash: false,
            properties,
            icon: Value::Null,
            cover: Value::Null,
        }
    }
}

impl Notion {
    /// Keeps a new page. The rows of a data source stay in the order of their times, whatever the clock did.
    pub(super) fn put(&mut self, id: String, mut page: Page) {
        if let Some(source) = page.source.as_ref().and_then(|source| self.sources.get_mut(source)) {
            if let Some(last) = source.pages.last().and_then(|last| self.pages.get(last)) {
                page.created = page.created.max(last.created);
                page.edited = page.edited.max(page.created);
            }
            source.pages.push(id.clone());
        }
        self.pages.insert(id.clone(), page);
        self.index(&id);
    }

    /// The places of a source's rows that have, or once had, exactly this text.
    pub(super) fn places(&self, source: &str, text: &str) -> Vec<usize> {
        let rows = &self.sources[source].pages;
        let place = |id: &String| {
            let page = self.pages.get(id).filter(|page| page.source.as_deref() == Some(source))?;
            let first = rows.partition_point(|row| self.pages[row].created < page.created);
            rows[first..].iter().position(|row| row == id).map(|further| first + further)
        };
        let mut places: Vec<usize> = self.texts.get(text).into_iter().flatten().filter_map(place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The rows of a source that a filter on `created_time` leaves.
    pub(super) fn window(&self, rows: &[String], filter: Option<&Value>) -> Range<usize> {
        let Some(filter) = filter else { return 0..rows.len() };
        if let Some(parts) = filter.get("and").and_then(Value::as_array) {
            let windows = parts.iter().map(|part| self.window(rows, Some(part)));
            return windows.fold(0..rows.len(), |all, part| all.start.max(part.start)..all.end.min(part.end));
        }
        let (mut start, mut end) = (0, rows.len());
        if filter["timestamp"] == "created_time" {
            let first = |is_before: &dyn Fn(Time) -> bool| {
                rows.partition_point(|id| self.pages.get(id).is_some_and(|page| is_before(minute(page.created))))
            };
            for (operator, wanted) in filter["created_time"].as_object().into_iter().flatten() {
                let Some(wanted) = super::query::parse_time(wanted) else { continue };
                match operator.as_str() {
                    "on_or_after" => start = start.max(first(&|time| time < wanted)),
                    "after" => start = start.max(first(&|time| time <= wanted)),
                    "before" => end = end.min(first(&|time| time < wanted)),
                    "on_or_before" => end = end.min(first(&|time| time <= wanted)),
                    _ => {}
                }
            }
        }
        start..end.max(start)
    }
}

/// The first `count` places of `rows` that fit, from the cursor on, in the order of creation or against it.
pub(super) fn walk(
    rows: Range<usize>,
    ascending: bool,
    cursor: Option<Cursor>,
    count: usize,
    fits: impl Fn(&usize) -> bool,
) -> Vec<usize> {
    let Range { start, end } = rows;
    match (ascending, cursor.map(|cursor| cursor.row)) {
        (true, row) => (start.max(row.unwrap_or(start))..end).filter(fits).take(count).collect(),
        (false, row) => (start..end.min(row.map_or(end, |row| row + 1))).rev().filter(fits).take(count).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for cursor in [Cursor { row: 0, seen: 0 }, Cursor { row: 49_999, seen: 9_900 }] {
            let text = cursor.write();
            assert_eq!((text.len(), Cursor::read(&text).ok()), (36, Some(cursor)), "{text}");
        }
        for text in ["", "x", "59833787-2cf9-4fdf-8782-e53db20768a5"] {
            assert!(Cursor::read(text).is_err(), "{text}");
        }
    }
}
