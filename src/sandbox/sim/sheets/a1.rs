//! Addresses in A1 notation: `Log!A1:D`, `'My Sheet'!5:5`, `Log`.

use super::{Book, Reply, Tab, invalid};

/// A rectangle of a tab; ends are exclusive, `None` where the range is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) tab: usize,
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) end_row: Option<usize>,
    pub(super) end_column: Option<usize>,
}

/// The letters of a zero-based column.
pub(super) fn letters(column: usize) -> String {
    let mut rest = column + 1;
    let mut out = Vec::new();
    while rest > 0 {
        out.push(b'A' + u8::try_from((rest - 1) % 26).unwrap_or(0));
        rest = (rest - 1) / 26;
    }
    out.iter().rev().map(|b| char::from(*b)).collect()
}

/// Column and row of `B7`, `B`, `7` or `$B$7`, zero-based.
pub(super) fn cell(text: &str) -> Option<(Option<usize>, Option<usize>)> {
    let text = text.replace('$', "");
    let split = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (letters, digits) = text.split_at(split);
    if text.is_empty() || letters.len() > 3 || !letters.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let column = letters.bytes().fold(0, |n, b| n * 26 + usize::from(b.to_ascii_uppercase() - b'A') + 1);
    let row = if digits.is_empty() { None } else { Some(digits.parse::<usize>().ok()?.checked_sub(1)?) };
    Some(((!letters.is_empty()).then(|| column - 1), row))
}

/// A tab's name as it stands before the `!`.
pub(super) fn quoted(title: &str) -> String {
    let like_a_cell = matches!(cell(title), Some((Some(_), Some(_))));
    let plain = title.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !like_a_cell;
    if plain { title.to_owned() } else { format!("'{}'", title.replace('\'', "''")) }
}

pub(super) fn unquoted(name: &str) -> String {
    match name.strip_prefix('\'').and_then(|n| n.strip_suffix('\'')) {
        Some(inner) => inner.replace("''", "'"),
        None => name.to_owned(),
    }
}

impl Book {
    pub(super) fn tab_named(&self, title: &str) -> Option<usize> {
        self.tabs.iter().position(|t| t.title.eq_ignore_ascii_case(title))
    }

    /// Reads a range.
    pub(super) fn range(&self, text: &str) -> Result<Range, Reply> {
        let refused = || invalid(format!("Unable to parse range: {text}"));
        let (tab, cells) = match text.rsplit_once('!') {
            Some((name, cells)) => (self.tab_named(&unquoted(name)).ok_or_else(refused)?, cells),
            // A bare name is a whole tab; anything else is on the first one.
            None => match self.tab_named(&unquoted(text)) {
                Some(tab) => (tab, ""),
                None => (0, text),
            },
        };
        let mut range = Range { tab, row: 0, column: 0, end_row: None, end_column: None };
        if cells.is_empty() {
            return Ok(range);
        }
        let (first, last) = cells.split_once(':').unwrap_or((cells, cells));
        if !cells.contains(':') && !matches!(cell(first), Some((Some(_), Some(_)))) {
            return Err(refused());
        }
        let ((column, row), (end_column, end_row)) =
            (cell(first).ok_or_else(refused)?, cell(last).ok_or_else(refused)?);
        range.row = row.unwrap_or(0);
        range.column = column.unwrap_or(0);
        range.end_row = end_row.map(|r| r + 1);
        range.end_column = end_column.map(|c| c + 1);
        let tab = &self.tabs[range.tab];
        if range.row >= tab.rows || range.column >= tab.columns {
            return Err(invalid(format!(
                "Range ({text}) exceeds grid limits. Max rows: {}, max columns: {}",
                tab.rows, tab.columns
            )));
        }
        Ok(range)
    }

    /// A range in words, with its ends.
    pub(super) fn address(&self, range: Range) -> String {
        let tab = &self.tabs[range.tab];
        let (end_row, end_column) = range.ends(tab);
        let first = format!("{}{}", letters(range.column), range.row + 1);
        let last = format!("{}{}", letters(end_column.saturating_sub(1)), end_row);
        let name = quoted(&tab.title);
        if first == last { format!("{name}!{first}") } else { format!("{name}!{first}:{last}") }
    }
}

impl Range {
    /// Where it ends, at the grid's edge where it is open.
    pub(super) fn ends(self, tab: &Tab) -> (usize, usize) {
        (
            self.end_row.unwrap_or(tab.rows).min(tab.rows).max(self.row),
            self.end_column.unwrap_or(tab.columns).min(tab.columns).max(self.column),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        let book = Book { title: String::new(), tabs: vec![Tab::new(0, "Log"), Tab::new(1, "My Sheet")] };
        for (text, address) in [
            ("Log!A1:D", "Log!A1:D1000"),
            ("A2:B3", "Log!A2:B3"),
            ("log", "Log!A1:Z1000"),
            ("'My Sheet'!5:5", "'My Sheet'!A5:Z5"),
            ("'My Sheet'!$C$7", "'My Sheet'!C7"),
            ("Log!B:B", "Log!B1:B1000"),
        ] {
            assert_eq!(book.range(text).map(|r| book.address(r)).ok().as_deref(), Some(address), "{text}");
        }
        for bad in ["Nope!A1", "Log!A1:", "Log!", "A0", "Nope", "Log!AAAA1"] {
            assert!(book.range(bad).is_err() || bad == "Log!", "{bad}");
        }
        assert!(book.range("Log!A2000").is_err());
        assert_eq!(
            (letters(0), letters(25), letters(26), letters(701)),
            ("A".into(), "Z".into(), "AA".into(), "ZZ".into())
        );
    }
}
