//! `--group-by`: the lines that fit, counted by the value of a key.

use std::io;

use serde::Serialize;
use serde_json::Value;

use super::place::{self, Place};
use crate::app::App;
use crate::commands::text;
use crate::logs::groups::Groups;
use crate::logs::query::Query;
use crate::logs::{ask, page};
use crate::output::{Page, Report, Table, percent};
use crate::redact::masked_line;
use crate::wire::{LineFilter, LogName, LogRecord, LogSource};

/// Lines by the value of a key; those without the key are not counted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grouped {
    group_by: String,
    /// Lines that have the key.
    total: u64,
    /// Different values that were counted one by one.
    values: u64,
    /// The values with most lines.
    groups: Vec<Group>,
    /// Lines with values that came when there was no more room.
    other: u64,
    /// Where they come from.
    pub(super) source: LogSource,
}

#[derive(Serialize)]
struct Group {
    value: String,
    count: u64,
    share: f64,
}

/// Counts; `filter.limit` is how many groups are shown.
pub(super) async fn count(
    app: &App,
    found: &Place,
    name: LogName,
    filter: &LineFilter,
    query: &Query,
    key: String,
) -> anyhow::Result<Grouped> {
    let (by, query) = (key.clone(), query.clone());
    let (groups, source) = match found {
        Place::Files(log) | Place::Named(log) => {
            let log = log.clone();
            tokio::task::spawn_blocking(move || {
                let (groups, sources) = ask::group(&log, &query, &key);
                (groups, page::source(&log, &sources))
            })
            .await?
        }
        Place::Input => {
            tokio::task::spawn_blocking(move || {
                let (groups, account) = ask::group_stream(io::stdin(), &query, &key)?;
                anyhow::Ok((groups, page::source_of_stream("standard input", account)))
            })
            .await??
        }
        Place::Api => {
            let (mut groups, path) = (Groups::default(), format!("/{}", key.replace('.', "/")));
            let mut records = place::records(app, name, filter).await?;
            loop {
                match records.next().await? {
                    LogRecord::Line { line } => match line.pointer(&path) {
                        Some(Value::String(text)) => groups.add(text.as_bytes(), 1),
                        Some(value) => groups.add(value.to_string().as_bytes(), 1),
                        None => {}
                    },
                    LogRecord::End { source } => break (groups, source),
                }
            }
        }
    };
    let total = groups.iter().map(|(_, rows)| rows).sum::<u64>() + groups.other;
    let shown = groups.largest(usize::try_from(filter.limit).unwrap_or(usize::MAX)).into_iter();
    let share = |count: u64| count as f64 / total as f64;
    Ok(Grouped {
        group_by: by,
        total,
        values: groups.len() as u64,
        groups: shown
            .map(|(value, count)| Group { value: masked_line(&value).into_owned(), count, share: share(count) })
            .collect(),
        other: groups.other,
        source,
    })
}

impl Report for Grouped {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.total == 0 {
            return Ok(());
        }
        let mut table = Table::new(&["VALUE", ">LINES", ">SHARE"]);
        for group in &self.groups {
            table.row([group.value.clone(), text::count(group.count), percent(group.share)]);
        }
        page.table(&table)?;
        let left = self.values - self.groups.len() as u64;
        if left > 0 {
            page.line(format_args!("and {} (--limit)", text::counted(left, "value", "values")))?;
        }
        if self.other > 0 {
            let values = text::count(self.values);
            let other = text::counted(self.other, "line", "lines");
            page.line(format_args!("other: {other} with values that came after {values} different ones"))?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.groups.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        (self.total == 0).then(|| format!("No line that fits has `{}`.", self.group_by))
    }
}
