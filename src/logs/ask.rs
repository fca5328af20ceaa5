//! Questions to a log with all of its files: the newest lines, every line, counts by a key.

use std::borrow::Cow;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use memchr::memchr;

use super::files::{Family, Open};
use super::groups::Groups;
use super::json::{self, Value};
use super::layout::{Log, Part};
use super::merge;
use super::query::{Judge, Query, Values};
use super::read::{Forward, Stretch};
use super::scan::{Account, Found, Scan};
use crate::wire::Time;

/// From this size on two threads share a file, piece by piece.
const LARGE: u64 = if cfg!(test) { 64 << 10 } else { 64 << 20 };
const PIECE: u64 = if cfg!(test) { 48 << 10 } else { 32 << 20 };

/// Different values a thread keeps to itself, and their bytes.
const APART: (usize, usize) = (4096, 256 * 1024);

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
    /// Files that were looked into, newest first.
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

    /// Takes over what another part was read from.
    pub(super) fn add(&mut self, other: Sources) {
        self.files.extend(other.files);
        self.unread.extend(other.unread);
        self.account += other.account;
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
pub fn newest(log: &Log, query: &Query, limit: usize) -> (Vec<Line>, Sources) {
    let mut sources = Sources::default();
    let mut lines = Vec::new();
    for part in &log.parts {
        // A line without a time belongs where it stands, behind the one before it.
        let mut at = Time(i64::MIN);
        lines.extend(newest_of(&part.family, &within(query, part), limit, &mut sources).into_iter().map(|line| {
            at = line.time.unwrap_or(at);
            (at, line)
        }));
    }
    if log.parts.len() > 1 {
        lines.sort_by_key(|(at, _)| *at);
        lines.drain(..lines.len().saturating_sub(limit));
    }
    (lines.into_iter().map(|(_, line)| line).collect(), sources)
}

/// The question as it is put to one part of a log.
fn within<'q>(query: &'q Query, part: &Part) -> Cow<'q, Query> {
    let Some(until) = part.until else { return Cow::Borrowed(query) };
    Cow::Owned(Query { until: Some(query.until.map_or(until, |asked| asked.min(until))), ..query.clone() })
}

fn newest_of(family: &Family, query: &Query, limit: usize, sources: &mut Sources) -> Vec<Line> {
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
    lines
}

/// Every line that a query lets through, oldest file first; those of several parts in the order of time. `keys` are values
/// that `each` finds in [`Found::values`] at the places that it is handed.
pub fn each(
    log: &Log,
    query: &Query,
    keys: &[&str],
    each: &mut dyn FnMut(&[usize], Found<'_>) -> ControlFlow<()>,
) -> Sources {
    let [part] = log.parts.as_slice() else {
        let judge = Judge::new(query, keys);
        let places: Vec<usize> = keys.iter().filter_map(|key| judge.place(key)).collect();
        return merge::in_order(log, query, &mut |line| {
            let mut values = Values::new();
            // It was read before, so it can be read.
            match judge.read(line, &mut values) {
                Ok(()) => each(&places, Found { bytes: line, values: &values }),
                Err(_) => ControlFlow::Continue(()),
            }
        });
    };
    let mut sources = Sources::default();
    let query = within(query, part);
    let mut ended = false;
    for path in part.family.files.iter().rev() {
        if ended {
            break;
        }
        sources.look(path, |open| {
            let mut scan = scan(&query, keys, &[]);
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
    sources.files.reverse();
    sources
}

/// When the oldest line of a log that has a time was written, by the first lines of its files, oldest file first.
pub fn oldest(log: &Log) -> Option<Time> {
    let of_family = |part: &Part| part.family.files.iter().rev().find_map(|path| oldest_of(path));
    log.parts.iter().filter_map(of_family).min()
}

fn oldest_of(path: &Path) -> Option<Time> {
    dated(path, |scan, each| match Open::path(path)? {
        Open::File(file, end) => scan.forwards(&file, 0..end, each),
        Open::Stream(from) => scan.stream(from, each),
    })
}

/// When the newest line of a log that has a time was written, by the last lines of the files that are written; `None`
/// for what has to be read whole to get there.
pub fn youngest(log: &Log) -> Option<Time> {
    let of_family = |family: &Family| {
        let path = family.files.first()?;
        dated(path, |scan, each| match Open::path(path)? {
            Open::File(file, end) => scan.backwards(&file, 0..end, each),
            Open::Stream(_) => Ok(()),
        })
    };
    log.growing().filter_map(of_family).max()
}

/// The time of the first line met that has one. Whoever cannot be read has none here, and is named by the answer; nor has
/// a pipe: what came out of it is gone, and opening it again would wait for another writer.
fn dated(path: &Path, read: impl FnOnce(&mut Scan<'_>, Visit<'_>) -> io::Result<()>) -> Option<Time> {
    if !path.metadata().is_ok_and(|meta| meta.is_file()) {
        return None;
    }
    let (query, mut time, mut looked) = (Query::default(), None, 0);
    let mut each = |found: Found<'_>| {
        time = found.time();
        looked += 1;
        if time.is_none() && looked < LOOKED { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    read(&mut scan(&query, &[], &[]), &mut each).ok()?;
    time
}

/// Counts the lines that a query lets through by the value of a key that they have to have; dots go into nested objects.
pub fn group(log: &Log, query: &Query, key: &str) -> (Groups, Sources) {
    let mut sources = Sources::default();
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    let groups = Mutex::default();
    for part in &log.parts {
        let query = within(query, part);
        for file in &part.family.files {
            sources.look(file, |open| count_file(open, &query, &path, &groups));
        }
    }
    (groups.into_inner().unwrap_or_else(PoisonError::into_inner), sources)
}

/// Counts in one file. Two threads share a large one: whoever has done a piece takes the next, so that both are busy to
/// the end, whatever else the machine does.
fn count_file(open: Open, query: &Query, path: &[String], groups: &Mutex<Groups>) -> io::Result<Account> {
    let (file, end) = match open {
        Open::Stream(from) => return count(query, path, groups, |scan, each| scan.stream(from, each)),
        Open::File(file, end) => (file, end),
    };
    let range = |range: Range<u64>| count(query, path, groups, |scan, each| scan.forwards(&file, range, each));
    if end < LARGE {
        return range(0..end);
    }
    // A window is looked for by bisection in each piece, so there are no more of them than it takes.
    let pieces = if query.since.is_some() || query.until.is_some() { 2 } else { end.div_ceil(PIECE) };
    let begin = |piece: u64| match piece {
        0 => Ok(0),
        piece if piece == pieces => Ok(end),
        piece => line_after(&file, end / pieces * piece, end),
    };
    let next = AtomicU64::new(0);
    let work = || -> io::Result<Account> {
        let mut account = Account::default();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return Ok(account);
            }
            account += range(begin(piece)?..begin(piece + 1)?)?;
        }
    };
    let (first, second) = std::thread::scope(|threads| {
        let second = threads.spawn(work);
        (work(), second.join())
    });
    let mut account = first?;
    account += second.map_err(|_| io::Error::other("the counting thread ended early"))??;
    Ok(account)
}

/// The same for a stream.
pub fn group_stream(from: impl io::Read, query: &Query, key: &str) -> io::Result<(Groups, Account)> {
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    let groups = Mutex::default();
    let account = count(query, &path, &groups, |scan, each| scan.stream(from, each))?;
    Ok((groups.into_inner().unwrap_or_else(PoisonError::into_inner), account))
}

type Visit<'v> = &'v mut dyn FnMut(Found<'_>) -> ControlFlow<()>;

fn count(
    query: &Query,
    path: &[String],
    all: &Mutex<Groups>,
    read: impl FnOnce(&mut Scan<'_>, Visit<'_>) -> io::Result<()>,
) -> io::Result<Account> {
    let mut groups = Groups::default();
    let hand_over = |groups: &mut Groups| all.lock().unwrap_or_else(PoisonError::into_inner).take(groups);
    let [key, rest @ ..] = path else { return Ok(Account::default()) };
    let last = path.last().map_or("", String::as_str);
    let mut scan = scan(query, &[key], &[last]);
    let place = scan.place(key);
    read(&mut scan, &mut |found| {
        let value = place.and_then(|place| found.values[place]);
        let value = match value {
            Some(Value::Object(inner)) if !rest.is_empty() => json::find(inner, rest),
            value => value.filter(|_| rest.is_empty()),
        };
        if let Some(value) = value {
            groups.count(value);
            if groups.len() >= APART.0 || groups.size() >= APART.1 {
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
