//! One page of a log: what the log verbs and the admin API's log route answer alike.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use super::ask::{self, Sources};
use super::layout::Log;
use super::query::{BadFilter, Filter, Judge, Query};
use super::scan::{Account, Scan};
use crate::wire::{LineFilter, LogPage, LogSource};

impl TryFrom<&LineFilter> for Query {
    type Error = BadFilter;

    fn try_from(asked: &LineFilter) -> Result<Self, BadFilter> {
        let mut filters = asked.filters.iter().map(|text| text.parse()).collect::<Result<Vec<Filter>, _>>()?;
        filters.extend(asked.platform.map(Filter::Platform));
        filters.extend(asked.grep.as_deref().map(Filter::grep).transpose()?);
        Ok(Query { since: asked.since, until: asked.until, filters })
    }
}

/// The newest lines that fit.
pub fn page(log: &Log, query: &Query, limit: u64) -> LogPage {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // One more than asked for tells whether there are more.
    let (mut lines, sources) = ask::newest(log, query, limit.saturating_add(1));
    let truncated = lines.len() > limit;
    if truncated {
        lines.remove(0);
    }
    let lines = lines.iter().filter_map(|line| serde_json::from_slice(&line.bytes).ok()).collect();
    LogPage { lines, source: LogSource { truncated, ..source(log, &sources) } }
}

/// Where an answer comes from, for people and programs.
pub fn source(log: &Log, sources: &Sources) -> LogSource {
    LogSource {
        files: sources.files.iter().map(|path| path.display().to_string()).collect(),
        unread_files: sources
            .unread
            .iter()
            .map(|unread| (unread.path.display().to_string(), unread.error.to_string()))
            .collect(),
        unreadable: sources.account.unreadable,
        undated: sources.account.undated,
        disorder: sources.account.disorder,
        truncated: false,
        oldest: ask::oldest(log),
        newest: ask::youngest(log),
    }
}

/// Every line that fits, as it stands, oldest first.
pub fn each(log: &Log, query: &Query, line: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> LogSource {
    source(log, &ask::each(log, query, &[], &mut |_, found| line(found.bytes)))
}

/// The same for a stream.
pub fn each_of_stream(
    from: impl io::Read,
    name: &str,
    query: &Query,
    line: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<LogSource> {
    let mut scan = Scan::new(Judge::new(query, &[]), query.since, query.until, &[]);
    scan.stream(from, &mut |found| line(found.bytes))?;
    Ok(source_of_stream(name, scan.account))
}

/// The newest lines of a stream that fit; the whole stream is read.
pub fn stream(from: impl io::Read, name: &str, query: &Query, limit: u64) -> io::Result<LogPage> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut last = VecDeque::new();
    let mut truncated = false;
    let source = each_of_stream(from, name, query, &mut |line| {
        if last.len() == limit {
            last.pop_front();
            truncated = true;
        }
        last.push_back(line.to_vec());
        ControlFlow::Continue(())
    })?;
    let lines = last.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok(LogPage { lines, source: LogSource { truncated, ..source } })
}

/// Where an answer from a stream comes from.
pub fn source_of_stream(name: &str, account: Account) -> LogSource {
    let Account { unreadable, undated, disorder, .. } = account;
    LogSource { files: vec![name.to_owned()], unreadable, undated, disorder, ..LogSource::default() }
}

/// Bytes of a piece of records, lines being whole.
const PIECE: usize = 64 * 1024;

/// A log as [`LogRecord`](crate::wire::LogRecord)s, one a line, in pieces; `false` from `each` ends it. Lines are copied
/// as they stand. `name` says what a file is called.
pub fn records(
    log: Option<&Log>,
    query: &Query,
    name: impl Fn(String) -> String,
    each: &mut dyn FnMut(Vec<u8>) -> bool,
) {
    let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
    let mut open = true;
    let mut line = |line: &[u8]| {
        piece.extend_from_slice(b"{\"line\":");
        piece.extend_from_slice(line);
        piece.extend_from_slice(b"}\n");
        if piece.len() >= PIECE {
            open = each(std::mem::take(&mut piece));
        }
        if open { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let mut source = log.map(|log| self::each(log, query, &mut line)).unwrap_or_default();
    if !open {
        return;
    }
    source.files = source.files.into_iter().map(name).collect();
    piece.extend_from_slice(serde_json::json!({ "source": source }).to_string().as_bytes());
    piece.push(b'\n');
    each(piece);
}
