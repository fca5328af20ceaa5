//! The application's fallback log, a CSV file with a row for each operation that it kept for later, read as lines of
//! JSON: `{"component":"fallback","timestamp":"…","data":{…}}`.
//!
//! A row is one line, since what it quotes is JSON, which has no line ends of its own. What is no row becomes a line that
//! is no JSON, so that it is counted as every other line that cannot be read.

use std::io::{self, Read};

use super::read::Forward;

/// What stands for a line that cannot be read.
const UNREADABLE: &[u8] = b"?\n";

/// Rows as lines of JSON.
pub(super) struct Rows<R> {
    blocks: Forward<R>,
    /// Keys, by the first line's names.
    keys: Option<Vec<String>>,
    lines: Vec<u8>,
    /// How much of the lines was handed out.
    used: usize,
    too_long: u64,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(from: R) -> Self {
        Rows { blocks: Forward::new(from, 0), keys: None, lines: Vec::new(), used: 0, too_long: 0 }
    }

    /// The next lines; none at the end.
    fn fill(&mut self) -> io::Result<()> {
        self.used = 0;
        self.lines.clear();
        if let Some(block) = self.blocks.next_block()? {
            for line in block.bytes.split_inclusive(|byte| *byte == b'\n') {
                let cells = cells(line);
                match (&self.keys, cells) {
                    (None, Some(names)) => self.keys = Some(names.iter().map(|name| key(name)).collect()),
                    (Some(keys), Some(cells)) if cells.len() == keys.len() => push(&mut self.lines, keys, &cells),
                    _ => self.lines.extend_from_slice(UNREADABLE),
                }
            }
            if self.lines.is_empty() {
                // Nothing but the names: the reader must not take that for the end.
                self.lines.push(b'\n');
            }
        }
        for _ in self.too_long..self.blocks.too_long {
            self.lines.extend_from_slice(UNREADABLE);
        }
        self.too_long = self.blocks.too_long;
        Ok(())
    }
}

impl<R: Read> Read for Rows<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.lines.len() {
            self.fill()?;
        }
        let read = (&self.lines[self.used..]).read(buffer)?;
        self.used += read;
        Ok(read)
    }
}

/// `Timestamp` as every other line has it.
fn key(name: &str) -> String {
    let name = name.trim_start_matches('\u{feff}');
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The cells of a row; `None` where a quote is not closed or the text is damaged.
fn cells(line: &[u8]) -> Option<Vec<String>> {
    let line = std::str::from_utf8(line).ok()?.trim_end_matches(['\n', '\r']);
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut cell = String::new();
            loop {
                let (before, after) = quoted.split_once('"')?;
                cell.push_str(before);
                let Some(more) = after.strip_prefix('"') else {
                    rest = after;
                    break;
                };
                cell.push('"');
                quoted = more;
            }
            cells.push(cell);
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            cells.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        if rest.is_empty() {
            return Some(cells);
        }
        rest = rest.strip_prefix(',')?;
    }
}

fn push(lines: &mut Vec<u8>, keys: &[String], cells: &[String]) {
    lines.extend_from_slice(b"{\"component\":\"fallback\"");
    for (key, cell) in keys.iter().zip(cells) {
        // What the application packed into a cell is shown as what it is.
        let nested = cell.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(cell).is_ok();
        let value = if nested { cell.clone() } else { serde_json::Value::from(cell.as_str()).to_string() };
        let key = serde_json::Value::from(key.as_str());
        lines.extend_from_slice(format!(",{key}:{value}").as_bytes());
    }
    lines.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(csv: &str) -> String {
        let mut text = String::new();
        Rows::new(csv.as_bytes()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn rows_are_lines_and_what_is_torn_is_none() {
        let csv = "Timestamp,Data\r\n\
            \"2025-10-17T10:31:00.000Z\",\"{\"\"title\"\":\"\"Renew, domain\"\"}\"\r\n\
            2025-10-17T10:32:00.000Z,plain\n\
            one cell\n\
            \"2025-10-17T10:33:00.000Z\",\"{\"\"tit";
        assert_eq!(
            read(csv),
            "{\"component\":\"fallback\",\"timestamp\":\"2025-10-17T10:31:00.000Z\",\"data\":{\"title\":\"Renew, \
             domain\"}}\n\
             {\"component\":\"fallback\",\"timestamp\":\"2025-10-17T10:32:00.000Z\",\"data\":\"plain\"}\n?\n?\n"
        );
        assert_eq!((read("").as_str(), read("Timestamp,Data\n").as_str()), ("", "\n"));
    }
}
