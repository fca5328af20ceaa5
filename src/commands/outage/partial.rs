//! What log files and the service manager know, in the shape of the answer that nobody gives: fields that are not known
//! are not there.

use std::io;

use serde::Serialize;
use serde_json::Value;

use crate::analysis::span;
use crate::output::{Page, Report, Table, flatten};
use crate::wire::Time;

/// Fields of an answer.
#[derive(Debug)]
pub(super) struct Columns {
    /// Those that can be known, with their headings in a list.
    pub(super) known: &'static [(&'static str, &'static str)],
    /// Those that nobody knows.
    pub(super) unknown: &'static [&'static str],
}

/// A part of an answer.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Partial {
    value: Value,
    /// Where it comes from: `its log circuit-breakers.log`.
    #[serde(skip)]
    from: String,
    /// When that was last written.
    #[serde(skip)]
    newest: Option<Time>,
    #[serde(skip)]
    columns: &'static Columns,
}

impl Partial {
    /// What is known, where from, and what is not.
    pub(super) fn new(value: Value, from: String, newest: Option<Time>, columns: &'static Columns) -> Self {
        Partial { value, from, newest, columns }
    }

    /// For people.
    pub(super) fn source(&self, now: Time) -> String {
        let newest = self.newest.map(|at| format!(", last written {at}, {} ago", span(now.since(at))));
        let unknown = self.columns.unknown.iter().map(|name| spaced(name)).collect::<Vec<_>>().join(", ");
        format!("from {}{}; unknown: {unknown}", self.from, newest.unwrap_or_default())
    }
}

impl Report for Partial {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        match &self.value {
            Value::Array(rows) => {
                let headings: Vec<&'static str> = self.columns.known.iter().map(|(_, heading)| *heading).collect();
                let mut table = Table::new(&headings);
                for row in rows {
                    table.row(self.columns.known.iter().map(|(name, _)| word(row.get(*name))));
                }
                page.table(&table)
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let name = spaced(name);
                    match value {
                        Value::Array(items) if items.is_empty() => page.pair(&name, "none")?,
                        Value::Array(items) => {
                            let names = std::iter::once(name.as_str()).chain(std::iter::repeat(""));
                            names.zip(items).try_for_each(|(name, item)| page.pair(name, sentence(item)))?;
                        }
                        other => page.pair(&name, word(Some(other)))?,
                    }
                }
                Ok(())
            }
            other => page.line(word(Some(other))),
        }
    }
}

fn word(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// An item of a list on one line.
fn sentence(item: &Value) -> String {
    let parts = flatten(item).into_iter().map(|(_, value)| value).filter(|value| !value.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

/// A field's name as people write it: `openCircuits` is `open circuits`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::{Style, draw};

    const COLUMNS: Columns = Columns { known: &[("platform", "PLATFORM"), ("state", "STATE")], unknown: &["openedAt"] };

    #[test]
    fn what_is_not_known_is_said_and_not_made_up() {
        let rows = json!([{ "platform": "notion", "state": "OPEN" }, { "platform": "slack" }]);
        let partial = Partial::new(rows, "its log a.log".into(), Some(Time(0)), &COLUMNS);
        assert_eq!(draw(&partial, Style::plain()).unwrap(), "PLATFORM  STATE\nnotion    OPEN\nslack     -\n");
        let source = partial.source(Time(90_000));
        assert_eq!(source, "from its log a.log, last written 1970-01-01T00:00:00.000Z, 1m 30s ago; unknown: opened at");
        assert_eq!(serde_json::to_value(&partial).unwrap()[1], json!({ "platform": "slack" }));
    }
}
