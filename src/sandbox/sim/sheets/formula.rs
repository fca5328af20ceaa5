//! Formulas as text: their pieces, and what becomes of their references when rows or columns come and go.

use super::a1::{cell, letters, unquoted};

/// Rows or columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Rows,
    Columns,
}

/// One corner of a reference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Corner {
    pub(super) column: Option<usize>,
    pub(super) row: Option<usize>,
    column_fixed: bool,
    row_fixed: bool,
}

/// A piece of a formula.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// Tab, if named; first corner; last corner of a range.
    Ref(Option<String>, Corner, Option<Corner>),
    Number(f64, String),
    Text(String),
    /// A function's or other name.
    Name(String),
    Sign(String),
    Space(String),
}

impl Corner {
    fn parse(text: &str) -> Option<Self> {
        let (column, row) = cell(text)?;
        let row_fixed = text.rfind('$').is_some_and(|at| at > 0 || column.is_none());
        Some(Corner { column, row, column_fixed: text.starts_with('$') && column.is_some(), row_fixed })
    }

    fn write(&self) -> String {
        let mut out = String::new();
        if let Some(column) = self.column {
            out += if self.column_fixed { "$" } else { "" };
            out += &letters(column);
        }
        if let Some(row) = self.row {
            out += if self.row_fixed { "$" } else { "" };
            out += &(row + 1).to_string();
        }
        out
    }

    fn along(&self, axis: Axis) -> Option<usize> {
        if axis == Axis::Rows { self.row } else { self.column }
    }

    fn along_mut(&mut self, axis: Axis) -> &mut Option<usize> {
        if axis == Axis::Rows { &mut self.row } else { &mut self.column }
    }
}

/// Takes a formula (without its `=`) apart.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let take = |n: usize| rest.split_at(n.min(rest.len()));
        let run = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let (piece, after) = match first {
            '"' => {
                let end = closing(rest, '"');
                let (text, after) = take(end);
                (Piece::Text(text[1..].trim_end_matches('"').replace("\"\"", "\"")), after)
            }
            '\'' => {
                let (name, after) = take(closing(rest, '\''));
                match after.strip_prefix('!').map(reference) {
                    Some(Some((a, b, after))) => (Piece::Ref(Some(unquoted(name)), a, b), after),
                    _ => (Piece::Sign(name.to_owned()), after),
                }
            }
            c if c.is_whitespace() => {
                let (space, after) = take(run(char::is_whitespace));
                (Piece::Space(space.to_owned()), after)
            }
            c if c.is_ascii_digit() || c.is_alphabetic() || c == '$' || c == '_' || c == '.' => {
                let (word, after) = take(run(|c| c.is_alphanumeric() || "$_.".contains(c)));
                if let Some(Some((a, b, after))) = after.strip_prefix('!').map(reference) {
                    (Piece::Ref(Some(word.to_owned()), a, b), after)
                } else if let Some((a, b, after)) = reference(rest).filter(|_| !after.starts_with('(')) {
                    (Piece::Ref(None, a, b), after)
                } else if let Ok(n) = word.parse() {
                    (Piece::Number(n, word.to_owned()), after)
                } else {
                    (Piece::Name(word.to_owned()), after)
                }
            }
            _ => {
                let two = ["<=", ">=", "<>"].iter().any(|sign| rest.starts_with(sign));
                let broken = "#REF!";
                let n = if rest.starts_with(broken) {
                    broken.len()
                } else if two {
                    2
                } else {
                    first.len_utf8()
                };
                let (sign, after) = take(n);
                (Piece::Sign(sign.to_owned()), after)
            }
        };
        out.push(piece);
        rest = after;
    }
    out
}

/// Where a quoted piece ends; a doubled quote is part of it.
fn closing(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// A cell or range at the start of a text, and what follows it.
fn reference(text: &str) -> Option<(Corner, Option<Corner>, &str)> {
    let corner = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '$')).unwrap_or(text.len());
        Corner::parse(&text[..end]).map(|corner| (corner, end))
    };
    let (first, end) = corner(text)?;
    let after = &text[end..];
    if let Some((last, end)) = after.strip_prefix(':').and_then(corner) {
        return Some((first, Some(last), &after[1 + end..]));
    }
    (first.column.is_some() && first.row.is_some()).then_some((first, None, after))
}

fn write(piece: &Piece) -> String {
    match piece {
        Piece::Ref(tab, a, b) => {
            let tab = tab.as_ref().map(|t| format!("{}!", super::a1::quoted(t))).unwrap_or_default();
            let b = b.as_ref().map(|b| format!(":{}", b.write())).unwrap_or_default();
            format!("{tab}{}{b}", a.write())
        }
        Piece::Text(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        Piece::Number(_, text) | Piece::Name(text) | Piece::Sign(text) | Piece::Space(text) => text.clone(),
    }
}

/// The formula after `count` rows or columns of `changed` were inserted at `at`, or deleted from there. `home` is the
/// tab that the formula is on.
pub(super) fn shift(
    formula: &str,
    home: &str,
    changed: &str,
    axis: Axis,
    at: usize,
    count: usize,
    insert: bool,
) -> String {
    let Some(body) = formula.strip_prefix('=') else { return formula.to_owned() };
    let moved = pieces(body).into_iter().map(|piece| match piece {
        Piece::Ref(tab, a, b) if tab.as_deref().unwrap_or(home).eq_ignore_ascii_case(changed) => {
            let shifted = if insert { inserted(a, b, axis, at, count) } else { deleted(a, b, axis, at, count) };
            shifted.map_or_else(|| "#REF!".to_owned(), |(a, b)| write(&Piece::Ref(tab, a, b)))
        }
        other => write(&other),
    });
    format!("={}", moved.collect::<String>())
}

type Corners = (Corner, Option<Corner>);

fn inserted(mut a: Corner, mut b: Option<Corner>, axis: Axis, at: usize, count: usize) -> Option<Corners> {
    for corner in [Some(&mut a), b.as_mut()].into_iter().flatten() {
        if let Some(place) = corner.along_mut(axis).as_mut().filter(|place| **place >= at) {
            *place += count;
        }
    }
    Some((a, b))
}

/// `None` when nothing of the reference is left.
fn deleted(mut a: Corner, mut b: Option<Corner>, axis: Axis, at: usize, count: usize) -> Option<Corners> {
    let end = at + count;
    let (Some(first), last) = (a.along(axis), b.as_ref().map_or(a.along(axis), |b| b.along(axis))) else {
        return Some((a, b));
    };
    let last = last.unwrap_or(usize::MAX);
    if first >= at && last < end {
        return None;
    }
    let left = if first < at { first } else { first.max(end) - count };
    *a.along_mut(axis) = Some(left);
    if let Some(corner) = b.as_mut().filter(|b| b.along(axis).is_some()) {
        *corner.along_mut(axis) = Some(if last < at {
            last
        } else if last < end {
            at - 1
        } else {
            last - count
        });
    }
    Some((a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_follow_their_cells() {
        let delete = |formula: &str| shift(formula, "Log", "Log", Axis::Rows, 4, 1, false);
        assert_eq!(delete("=A5+A6+B4"), "=#REF!+A5+B4");
        assert_eq!(delete("=SUM(D2:D10)"), "=SUM(D2:D9)");
        assert_eq!(delete("=SUM(D5:D10) & \"A5\""), "=SUM(D5:D9) & \"A5\"");
        assert_eq!(delete("=SUM(D:D)+$A$6"), "=SUM(D:D)+$A$5");
        assert_eq!(delete("=Other!A5+'My Sheet'!A6"), "=Other!A5+'My Sheet'!A6");
        assert_eq!(shift("=Log!A5", "Other", "Log", Axis::Rows, 4, 1, false), "=#REF!");
        assert_eq!(shift("=SUM(A2:A5)", "Log", "Log", Axis::Rows, 4, 2, true), "=SUM(A2:A7)");
        assert_eq!(shift("=B1+C1", "Log", "Log", Axis::Columns, 1, 1, false), "=#REF!+B1");
    }
}
