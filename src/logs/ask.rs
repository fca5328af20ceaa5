//! Questions to a log with all of its files: the newest lines, every line, counts by a key.

use std::collections::HashMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use memchr::memchr;

use super::files::{Family, Open, is_packed};
use super::json::Value;
use super::query::{Judge, Query};
use super::read::{Forward, Stretch};
use super::scan::{Account, Found, Scan};
use crate::wire::Time;

/// Different values that are counted one by one; rows of others are counted together.
pub const GROUPS_MAX: usize = 100_000;
/// From this size on two threads share a file.
const LARGE: u64 = 64 * 1024 * 1024;

/// Different values a thread keeps to itself.
const APART: usize = 4096;

/// Lines without a time that are looked past for the oldest one that has one.
const LOOKED: usize = 50;

/// A file that could not be read, and why.
#[derive(Debug)]
pub struct Unread {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// Where an answer comes from.
#[derive(Debug, Default)]
pub struct Sources {
    /// Files that were looked into.
    pub files: Vec<PathBuf>,
    /// Files that could not be.
    pub unread: Vec<Unread>,
    /// What was read of them.
    pub account: Account,
}

impl Sources {
    /// Looks into a file; what goes wrong is noted and the others go on.
    fn look(&mut self, path: &Path, look: impl FnOnce(Open) -> io::Result<Account>) {
        match Open::path(path).and_then(look) {
            Ok(account) => {
                self.account += account;
                self.files.push(path.to_owned());
            }
            Err(error) => self.unread.push(Unread { path: path.to_owned(), error }),
        }
    }
}

/// A line that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As it stands, without its newline.
    pub bytes: Vec<u8>,
    /// When it was written.
    pub time: Option<Time>,
}

impl From<Found<'_>> for Line {
    fn from(found: Found<'_>) -> Self {
        Line { time: found.time(), bytes: found.bytes.to_vec() }
    }
}

/// The newest lines that a query lets through, oldest of them first.
pub fn newest(family: &Family, query: &Query, limit: usize) -> (Vec<Line>, Sources) {
    let mut sources = Sources::default();
    // Newest first until the end.
    let mut lines: Vec<Line> = Vec::new();
    for path in &family.files {
        if lines.len() >= limit {
            break;
        }
        let want = limit - lines.len();
        sources.look(path, |open| {
            let mut scan = scan(query, &[], &[]);
            match open {
                Open::File(file, end) => {
                    let full = lines.len() + want;
                    scan.backwards(&file, 0..end, &mut |found| {
                        lines.push(found.into());
                        if lines.len() < full { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                    })?;
                }
                Open::Stream(from) => {
                    let mut last = std::collections::VecDeque::new();
                    scan.stream(from, &mut |found| {
                        if last.len() == want {
                            last.pop_front();
                        }
                        last.push_back(Line::from(found));
                        ControlFlow::Continue(())
                    })?;
                    lines.extend(last.into_iter().rev());
                }
            }
            Ok(scan.account)
        });
    }
    lines.reverse();
    (lines, sources)
}

/// Every line that a query lets through, oldest file first. `keys` are values that `each` finds in
/// [`Found::values`] at the places that it is handed.
pub fn each(
    family: &Family,
    query: &Query,
    keys: &[&str],
    each: &mut dyn FnMut(&[usize], Found<'_>) -> ControlFlow<()>,
) -> Sources {
    let mut sources = Sources::default();
    let mut ended = false;
    for path in family.files.iter().rev() {
        if ended {
            break;
        }
        sources.look(path, |open| {
            let mut scan = scan(query, keys, &[]);
            let places: Vec<usize> = keys.iter().filter_map(|key| scan.place(key)).collect();
            let mut visit = |found: Found<'_>| {
                let next = each(&places, found);
                ended = next.is_break();
                next
            };
            match open {
                Open::File(file, end) => scan.forwards(&file, 0..end, &mut visit)?,
                Open::Stream(from) => scan.stream(from, &mut visit)?,
            }
            Ok(scan.account)
        });
    }
    sources
}

/// When the oldest line of a log that has a time was written, by the first lines of its files, oldest file first.
pub fn oldest(family: &Family) -> Option<Time> {
    let query = Query::default();
    family.files.iter().rev().find_map(|path| {
        let (mut time, mut looked) = (None, 0);
        let mut first = |found: Found<'_>| {
            time = found.time();
            looked += 1;
            if time.is_none() && looked < LOOKED { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let mut scan = scan(&query, &[], &[]);
        match Open::path(path).ok()? {
            Open::File(file, end) => scan.forwards(&file, 0..end, &mut first).ok()?,
            // A pipe's lines can be read only once.
            Open::Stream(_) if !is_packed(path) => return None,
            Open::Stream(from) => scan.stream(from, &mut first).ok()?,
        }
        time
    })
}

/// Rows by the value of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Rows by value, as it reads.
    pub counts: HashMap<String, u64>,
    /// Rows whose value came when there were too many different ones.
    pub other: u64,
    /// The first values met, which most lines have again; their rows are not in `counts` yet.
    first: Vec<(Vec<u8>, u64)>,
}

impl Groups {
    /// Values kept at hand.
    const FIRST: usize = 8;

    fn count(&mut self, value: Value<'_>) {
        let decoded;
        let text = match value {
            Value::Text(text) if !text.escaped => text.raw,
            other => {
                decoded = other.plain();
                decoded.as_bytes()
            }
        };
        if let Some((_, rows)) = self.first.iter_mut().find(|(known, _)| known == text) {
            *rows += 1;
        } else if self.first.len() < Self::FIRST {
            self.first.push((text.to_vec(), 1));
        } else {
            self.add(text, 1);
        }
    }

    fn add(&mut self, value: &[u8], rows: u64) {
        let value = String::from_utf8_lossy(value);
        if let Some(count) = self.counts.get_mut(value.as_ref()) {
            *count += rows;
        } else if self.counts.len() < GROUPS_MAX {
            self.counts.insert(value.into_owned(), rows);
        } else {
            self.other += rows;
        }
    }

    fn settle(&mut self) {
        for (value, rows) in std::mem::take(&mut self.first) {
            self.add(&value, rows);
        }
    }

    fn merge(&mut self, mut more: Groups) {
        more.settle();
        self.other += more.other;
        for (value, rows) in more.counts {
            self.add(value.as_bytes(), rows);
        }
    }
}

/// Counts the lines that a query lets through by the value of a key that they have to have.
pub fn group(family: &Family, query: &Query, key: &str) -> (Groups, Sources) {
    let mut sources = Sources::default();
    let groups = Mutex::default();
    for path in family.files.iter().rev() {
        sources.look(path, |open| {
            Ok(match open {
                Open::Stream(from) => count(query, key, &groups, |scan, each| scan.stream(from, each))?,
                Open::File(file, end) if end < LARGE => {
                    count(query, key, &groups, |scan, each| scan.forwards(&file, 0..end, each))?
                }
                Open::File(file, end) => {
                    let middle = line_after(&file, end / 2, end)?;
                    let half =
                        |range: Range<u64>| count(query, key, &groups, |scan, each| scan.forwards(&file, range, each));
                    let (first, second) = std::thread::scope(|threads| {
                        let second = threads.spawn(|| half(middle..end));
                        (half(0..middle), second.join())
                    });
                    let mut account = first?;
                    account += second.map_err(|_| io::Error::other("the counting thread ended early"))??;
                    account
                }
            })
        });
    }
    (groups.into_inner().unwrap_or_else(PoisonError::into_inner), sources)
}

type Visit<'v> = &'v mut dyn FnMut(Found<'_>) -> ControlFlow<()>;

fn count(
    query: &Query,
    key: &str,
    all: &Mutex<Groups>,
    read: impl FnOnce(&mut Scan<'_>, Visit<'_>) -> io::Result<()>,
) -> io::Result<Account> {
    let mut groups = Groups::default();
    let hand_over =
        |groups: &mut Groups| all.lock().unwrap_or_else(PoisonError::into_inner).merge(std::mem::take(groups));
    let mut scan = scan(query, &[key], &[key]);
    let place = scan.place(key);
    read(&mut scan, &mut |found| {
        if let Some(value) = place.and_then(|place| found.values[place]) {
            groups.count(value);
            if groups.counts.len() >= APART {
                hand_over(&mut groups);
            }
        }
        ControlFlow::Continue(())
    })?;
    hand_over(&mut groups);
    Ok(scan.account)
}

fn scan<'q>(query: &'q Query, keys: &[&'q str], required: &[&str]) -> Scan<'q> {
    Scan::new(Judge::new(query, keys), query.since, query.until, required)
}

/// Where the first line after `from` begins.
fn line_after(file: &std::fs::File, from: u64, end: u64) -> io::Result<u64> {
    let mut blocks = Forward::new(Stretch { file, at: from, end }, from);
    Ok(match blocks.next_block()? {
        Some(block) => block.offset + memchr(b'\n', block.bytes).map_or(block.bytes.len(), |at| at + 1) as u64,
        None => end,
    })
}
