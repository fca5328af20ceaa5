//! One page of a log: what the log verbs and the admin API's log route answer alike.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::ask::{self, Sources};
use super::files::{self, Family};
use super::query::{BadFilter, Filter, Judge, Query};
use super::scan::{Account, Scan};
use crate::wire::{LineFilter, LogName, LogPage, LogSource};

/// Names the application gives to the logs of the runbook's layout.
const OTHER_NAMES: [(LogName, &str); 3] =
    [(LogName::Application, "combined"), (LogName::Application, "app"), (LogName::Errors, "error")];

impl TryFrom<&LineFilter> for Query {
    type Error = BadFilter;

    fn try_from(asked: &LineFilter) -> Result<Self, BadFilter> {
        let mut filters = asked.filters.iter().map(|text| text.parse()).collect::<Result<Vec<Filter>, _>>()?;
        filters.extend(asked.platform.map(Filter::Platform));
        filters.extend(asked.grep.as_deref().map(Filter::grep).transpose()?);
        Ok(Query { since: asked.since, until: asked.until, filters })
    }
}

/// A log of a folder in the runbook's layout or the application's own; `None` when the folder has none of that name.
pub fn family(folder: &Path, log: LogName) -> io::Result<Option<Family>> {
    let mut families = files::discover(folder)?;
    let others = OTHER_NAMES.iter().filter(|(name, _)| *name == log).map(|(_, other)| *other);
    for name in std::iter::once(log.as_str()).chain(others) {
        if let Some(at) = families.iter().position(|family| family.name == name) {
            return Ok(Some(families.swap_remove(at)));
        }
    }
    Ok(None)
}

/// The newest lines that fit.
pub fn page(family: &Family, query: &Query, limit: u64) -> LogPage {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // One more than asked for tells whether there are more.
    let (mut lines, sources) = ask::newest(family, query, limit.saturating_add(1));
    let truncated = lines.len() > limit;
    if truncated {
        lines.remove(0);
    }
    let lines = lines.iter().filter_map(|line| serde_json::from_slice(&line.bytes).ok()).collect();
    LogPage { lines, source: LogSource { truncated, ..source(family, &sources) } }
}

/// Where an answer comes from, for people and programs.
pub fn source(family: &Family, sources: &Sources) -> LogSource {
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
        oldest: ask::oldest(family),
        newest: ask::youngest(family),
    }
}

/// The newest lines of a stream that fit; the whole stream is read.
pub fn stream(from: impl io::Read, name: &str, query: &Query, limit: u64) -> io::Result<LogPage> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut scan = Scan::new(Judge::new(query, &[]), query.since, query.until, &[]);
    let mut last = VecDeque::new();
    let mut truncated = false;
    scan.stream(from, &mut |found| {
        if last.len() == limit {
            last.pop_front();
            truncated = true;
        }
        last.push_back(found.bytes.to_vec());
        ControlFlow::Continue(())
    })?;
    let lines = last.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let Account { unreadable, undated, disorder, .. } = scan.account;
    let files = vec![name.to_owned()];
    Ok(LogPage { lines, source: LogSource { files, unreadable, undated, disorder, truncated, ..LogSource::default() } })
}
