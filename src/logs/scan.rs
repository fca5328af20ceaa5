//! The lines of one log that a query asks for: forwards within a window, or the newest backwards.
//!
//! Most lines are passed over unread: a line that lets through has to contain certain texts, the rarest of them is looked
//! for at the speed of memory, and only the lines around the hits are walked and proved.

use std::fs::File;
use std::io;
use std::ops::{AddAssign, ControlFlow, Range};
use std::time::Duration;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::json::{Malformed, Value};
use super::query::{Judge, Values, Verdict};
use super::read::{Backward, Block, Forward, LINE_MAX, Stretch};
use crate::wire::Time;

/// Writers are out of order by this much at most, or the order is not relied on.
pub const SLACK: Duration = Duration::from_secs(5);

/// Places of a file whose times are compared before its order is relied on, and the bytes that each may read.
const SAMPLES: u64 = 16;
const SAMPLE: u64 = 64 * 1024;

/// What was read and what could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Bytes that were looked through.
    pub bytes: u64,
    /// Lines that were walked; the others cannot have been asked for.
    pub walked: u64,
    /// Of those, lines that are not JSON or are too long.
    pub unreadable: u64,
    /// Of those, lines without a time that a window asks for.
    pub undated: u64,
    /// Whether the lines are out of order in time, so that all of them were looked through.
    pub disorder: bool,
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Account) {
        self.bytes += other.bytes;
        self.walked += other.walked;
        self.unreadable += other.unreadable;
        self.undated += other.undated;
        self.disorder |= other.disorder;
    }
}

/// A line that is asked for.
#[derive(Debug)]
pub struct Found<'l> {
    /// The line, without its newline.
    pub bytes: &'l [u8],
    /// Its values, by the places of the scan's judge.
    pub values: &'l [Option<Value<'l>>],
}

impl Found<'_> {
    /// When it was written.
    pub fn time(&self) -> Option<Time> {
        Judge::time(self.values)
    }
}

/// Looks for lines.
pub struct Scan<'q> {
    judge: Judge<'q>,
    since: Option<Time>,
    until: Option<Time>,
    /// The texts a line has to contain, the rarest first once that is known.
    needles: Vec<memmem::Finder<'static>>,
    weighed: bool,
    escapes: memmem::Finder<'static>,
    /// What was read so far.
    pub account: Account,
}

impl<'q> Scan<'q> {
    /// Looks for what a judge lets through. `required` are keys that a line has to have.
    pub fn new(judge: Judge<'q>, since: Option<Time>, until: Option<Time>, required: &[&str]) -> Self {
        let needles = judge.needles(required).iter().map(|n| memmem::Finder::new(n.as_bytes()).into_owned()).collect();
        let escapes = memmem::Finder::new(b"\\u");
        Scan { judge, since, until, needles, weighed: false, escapes, account: Account::default() }
    }

    /// Where a key's value is found in [`Found::values`].
    pub fn place(&self, key: &str) -> Option<usize> {
        self.judge.place(key)
    }

    /// All lines of a stream.
    pub fn stream(
        &mut self,
        from: impl io::Read,
        each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.all(Forward::new(from, 0), each)
    }

    /// All lines of these blocks.
    fn all(
        &mut self,
        mut blocks: Forward<impl io::Read>,
        each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        while let Some(block) = blocks.next_block()? {
            if self.block(&block, each).is_break() {
                break;
            }
        }
        self.account.unreadable += blocks.too_long;
        Ok(())
    }

    /// The lines of a file that lie in `range`, the window's by bisection. If the file turns out not to be in the order
    /// of time, the rest is looked through after it.
    pub fn forwards(
        &mut self,
        file: &File,
        range: Range<u64>,
        each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let whole = self.is_whole(file, &range)?;
        let start = match self.since {
            Some(since) if !whole => self.first_not_before(file, range.clone(), since.minus(SLACK))?,
            _ => range.start,
        };
        let mut newest = None::<Time>;
        let mut blocks = Forward::new(Stretch { file, at: start, end: range.end }, start);
        let mut broke = false;
        while let Some(block) = blocks.next_block()? {
            // The first line of each block tells where in time this is.
            let first = self.first_time(block.bytes);
            if let Some(first) = first {
                if newest.is_some_and(|newest| first < newest.minus(SLACK)) {
                    self.account.disorder = true;
                }
                newest = newest.max(Some(first));
                if !whole && !self.account.disorder && self.until.is_some_and(|until| first >= until + SLACK) {
                    broke = true;
                    break;
                }
            }
            if self.block(&block, each).is_break() {
                broke = true;
                break;
            }
        }
        self.account.unreadable += blocks.too_long;
        if self.account.disorder && !broke && start > range.start {
            self.all(Forward::new(Stretch { file, at: range.start, end: start }, range.start), each)?;
        }
        Ok(())
    }

    /// The lines of a file that lie in `range`, the last one first, until `each` has enough or the window begins.
    pub fn backwards(
        &mut self,
        file: &File,
        range: Range<u64>,
        each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let whole = self.is_whole(file, &range)?;
        let mut oldest = None::<Time>;
        let mut blocks = Backward::new(file, range.start, range.end);
        while let Some(block) = blocks.next_block()? {
            if self.block_reversed(&block, each).is_break() {
                break;
            }
            let Some(first) = self.first_time(block.bytes) else { continue };
            if oldest.is_some_and(|oldest| first > oldest + SLACK) {
                self.account.disorder = true;
            }
            oldest = Some(oldest.map_or(first, |oldest| oldest.min(first)));
            if !whole && !self.account.disorder && self.since.is_some_and(|since| first < since.minus(SLACK)) {
                break;
            }
        }
        self.account.unreadable += blocks.too_long;
        Ok(())
    }

    /// Whether a window is looked for in all of a file: it is short, or two processes wrote into it or its clock was set
    /// back, as samples of it show. What is out of order only between two samples is met while reading, or not at all.
    fn is_whole(&mut self, file: &File, range: &Range<u64>) -> io::Result<bool> {
        let length = range.end - range.start;
        if self.since.is_none() && self.until.is_none() || length <= SAMPLES * SAMPLE {
            return Ok(true);
        }
        let mut newest = None::<Time>;
        for sample in 0..SAMPLES {
            let at = range.start + (length - SAMPLE) / (SAMPLES - 1) * sample;
            let Some((_, time)) = self.probe(file, at, at + SAMPLE)? else { continue };
            if newest.is_some_and(|newest| time < newest.minus(SLACK)) {
                self.account.disorder = true;
                return Ok(true);
            }
            newest = newest.max(Some(time));
        }
        Ok(false)
    }

    /// The beginning of a line before which everything is older than `moment`, as far as the order goes.
    fn first_not_before(&self, file: &File, range: Range<u64>, moment: Time) -> io::Result<u64> {
        /// Below this a scan is as fast as another probe.
        const NEAR: u64 = 128 * 1024;
        let (mut low, mut high) = (range.start, range.end);
        while high - low > NEAR {
            let middle = low + (high - low) / 2;
            match self.probe(file, middle, high)? {
                Some((at, time)) if time < moment => low = at,
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// The first line with a time that begins after `from`, with where it begins.
    fn probe(&self, file: &File, from: u64, end: u64) -> io::Result<Option<(u64, Time)>> {
        let mut blocks = Forward::new(Stretch { file, at: from, end }, from);
        let mut first = true;
        while let Some(block) = blocks.next_block()? {
            let mut values = Values::new();
            let mut at = 0;
            for line in lines(block.bytes) {
                let begin = at;
                at += line.len();
                // What the probe landed in the middle of does not count.
                if std::mem::take(&mut first) {
                    continue;
                }
                let read = self.judge.read(line, &mut values).ok();
                if let Some(time) = read.and_then(|()| Judge::time(&values)) {
                    return Ok(Some((block.offset + begin as u64, time)));
                }
            }
        }
        Ok(None)
    }

    fn first_time(&self, block: &[u8]) -> Option<Time> {
        if self.since.is_none() && self.until.is_none() {
            return None;
        }
        let mut values = Values::new();
        // A stack trace that is not JSON may come first.
        lines(block).take(50).find_map(|line| {
            self.judge.read(line, &mut values).ok()?;
            Judge::time(&values)
        })
    }

    /// Chooses the needle that occurs least in the first block, and none when it is in every other line all the same.
    fn weigh(&mut self, block: &[u8]) {
        if self.needles.is_empty() || std::mem::replace(&mut self.weighed, true) {
            return;
        }
        self.needles.sort_by_cached_key(|needle| needle.find_iter(block).count());
        let hits = self.needles.first().map_or(0, |needle| needle.find_iter(block).count());
        if hits * 2 > memchr_iter(b'\n', block).count() {
            self.needles.clear();
        }
    }

    fn block(&mut self, block: &Block<'_>, each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        self.weigh(block.bytes);
        let mut values = Values::new();
        let mut account = std::mem::take(&mut self.account);
        account.bytes += block.bytes.len() as u64;
        let done = match self.needles.first() {
            None => {
                let mut at = 0;
                lines(block.bytes).try_for_each(|line| {
                    let offset = block.offset + at;
                    at += line.len() as u64;
                    self.line(line, offset, &mut values, &mut account, each)
                })
            }
            Some(needle) => Candidates::new(block.bytes, needle, &self.escapes).try_for_each(|range| {
                let offset = block.offset + range.start as u64;
                self.line(&block.bytes[range], offset, &mut values, &mut account, each)
            }),
        };
        self.account = account;
        done
    }

    fn block_reversed(
        &mut self,
        block: &Block<'_>,
        each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.weigh(block.bytes);
        let mut account = std::mem::take(&mut self.account);
        account.bytes += block.bytes.len() as u64;
        let mut values = Values::new();
        let ranges: Vec<Range<usize>> = match self.needles.first() {
            Some(needle) => Candidates::new(block.bytes, needle, &self.escapes).collect(),
            None => {
                let mut at = 0;
                let ranges = lines(block.bytes).map(|line| {
                    at += line.len();
                    at - line.len()..at
                });
                ranges.collect()
            }
        };
        let done = ranges.into_iter().rev().try_for_each(|range| {
            let offset = block.offset + range.start as u64;
            self.line(&block.bytes[range], offset, &mut values, &mut account, each)
        });
        self.account = account;
        done
    }

    fn line<'l>(
        &self,
        line: &'l [u8],
        offset: u64,
        values: &mut Values<'l>,
        account: &mut Account,
        each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let line = trimmed(line, offset);
        if line.is_empty() {
            return ControlFlow::Continue(());
        }
        account.walked += 1;
        let read = if line.len() > LINE_MAX { Err(Malformed) } else { self.judge.read(line, values) };
        if read.is_err() {
            account.unreadable += 1;
            return ControlFlow::Continue(());
        }
        match self.judge.verdict(line, values) {
            Verdict::Fits => each(Found { bytes: line, values }),
            Verdict::Undated => {
                account.undated += 1;
                ControlFlow::Continue(())
            }
            Verdict::Other | Verdict::Outside => ControlFlow::Continue(()),
        }
    }
}

/// A line without its newline, and the first without its byte order mark.
fn trimmed(line: &[u8], offset: u64) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if offset == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }
}

/// Lines with their newlines.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    })
}

/// The lines of a block that contain a text or an escape by number, in order.
struct Candidates<'b, 'n> {
    block: &'b [u8],
    needle: &'n memmem::Finder<'static>,
    escapes: &'n memmem::Finder<'static>,
    at: usize,
    next_needle: Option<usize>,
    next_escape: Option<usize>,
}

impl<'b, 'n> Candidates<'b, 'n> {
    fn new(block: &'b [u8], needle: &'n memmem::Finder<'static>, escapes: &'n memmem::Finder<'static>) -> Self {
        let (next_needle, next_escape) = (needle.find(block), escapes.find(block));
        Candidates { block, needle, escapes, at: 0, next_needle, next_escape }
    }
}

impl Iterator for Candidates<'_, '_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let later = |hit: Option<usize>, finder: &memmem::Finder<'_>| match hit {
            Some(hit) if hit < self.at => finder.find(&self.block[self.at..]).map(|more| self.at + more),
            hit => hit,
        };
        self.next_needle = later(self.next_needle, self.needle);
        self.next_escape = later(self.next_escape, self.escapes);
        let hit = match (self.next_needle, self.next_escape) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        let start = memrchr(b'\n', &self.block[self.at..hit]).map_or(self.at, |before| self.at + before + 1);
        let end = memchr(b'\n', &self.block[hit..]).map_or(self.block.len(), |after| hit + after + 1);
        self.at = end;
        Some(start..end)
    }
}
