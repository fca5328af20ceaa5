//! What formulas are worth: arithmetic, comparison, text, and a handful of functions.

use super::Book;
use super::cells::{Entered, Worth};
use super::formula::{Corner, Piece, pieces};

/// How deep formulas may refer to each other; beyond it they go in circles.
const DEPTH: usize = 64;

const REF: Worth = Worth::Error("#REF!");
const VALUE: Worth = Worth::Error("#VALUE!");

impl Book {
    /// What a cell is worth.
    pub(super) fn worth(&self, tab: usize, row: usize, column: usize) -> Worth {
        self.worth_at(tab, row, column, 0)
    }

    fn worth_at(&self, tab: usize, row: usize, column: usize, depth: usize) -> Worth {
        let Some(cell) = self.tabs.get(tab).and_then(|t| t.cell(row, column)) else { return Worth::Nothing };
        match &cell.entered {
            Entered::Nothing => Worth::Nothing,
            Entered::Text(s) => Worth::Text(s.clone()),
            Entered::Number(n) => Worth::Number(*n),
            Entered::Bool(b) => Worth::Bool(*b),
            Entered::Formula(_) if depth > DEPTH => REF,
            Entered::Formula(text) => {
                let parts = pieces(text.trim_start_matches('='));
                let parts: Vec<Piece> = parts.into_iter().filter(|p| !matches!(p, Piece::Space(_))).collect();
                let mut reader = Reader { book: self, tab, depth, parts: &parts };
                let worth = reader.comparison();
                if reader.parts.is_empty() { worth } else { Worth::Error("#ERROR!") }
            }
        }
    }
}

struct Reader<'a> {
    book: &'a Book,
    tab: usize,
    depth: usize,
    parts: &'a [Piece],
}

/// A function's argument: one value, or the filled cells of a range.
enum Argument {
    One(Worth),
    Many(Vec<Worth>),
}

impl Reader<'_> {
    fn sign(&mut self, wanted: &[&str]) -> Option<String> {
        let Some((Piece::Sign(sign), rest)) = self.parts.split_first() else { return None };
        let found = wanted.contains(&sign.as_str()).then(|| sign.clone());
        if found.is_some() {
            self.parts = rest;
        }
        found
    }

    fn comparison(&mut self) -> Worth {
        let mut left = self.joined();
        while let Some(sign) = self.sign(&["=", "<>", "<", ">", "<=", ">="]) {
            let right = self.joined();
            if let Some(error) = error_of(&left, &right) {
                left = error;
                continue;
            }
            let order = match (&left, &right) {
                (Worth::Text(a), Worth::Text(b)) => a.to_lowercase().partial_cmp(&b.to_lowercase()),
                _ => as_number(&left).zip(as_number(&right)).and_then(|(a, b)| a.partial_cmp(&b)),
            };
            left = Worth::Bool(match sign.as_str() {
                "=" => order.is_some_and(std::cmp::Ordering::is_eq),
                "<>" => !order.is_some_and(std::cmp::Ordering::is_eq),
                "<" => order.is_some_and(std::cmp::Ordering::is_lt),
                ">" => order.is_some_and(std::cmp::Ordering::is_gt),
                "<=" => order.is_some_and(std::cmp::Ordering::is_le),
                _ => order.is_some_and(std::cmp::Ordering::is_ge),
            });
        }
        left
    }

    fn joined(&mut self) -> Worth {
        let mut left = self.sum();
        while self.sign(&["&"]).is_some() {
            let right = self.sum();
            left = error_of(&left, &right).unwrap_or_else(|| Worth::Text(as_text(&left) + &as_text(&right)));
        }
        left
    }

    fn sum(&mut self) -> Worth {
        let mut left = self.product();
        while let Some(sign) = self.sign(&["+", "-"]) {
            let right = self.product();
            left = arithmetic(&left, &right, |a, b| if sign == "+" { a + b } else { a - b });
        }
        left
    }

    fn product(&mut self) -> Worth {
        let mut left = self.factor();
        while let Some(sign) = self.sign(&["*", "/"]) {
            let right = self.factor();
            let by_zero = sign == "/" && as_number(&right) == Some(0.0);
            left = if by_zero && error_of(&left, &right).is_none() {
                Worth::Error("#DIV/0!")
            } else {
                arithmetic(&left, &right, |a, b| if sign == "*" { a * b } else { a / b })
            };
        }
        left
    }

    fn factor(&mut self) -> Worth {
        if self.sign(&["-"]).is_some() {
            return arithmetic(&Worth::Number(0.0), &self.factor(), |a, b| a - b);
        }
        if self.sign(&["("]).is_some() {
            let inner = self.comparison();
            return if self.sign(&[")"]).is_some() { inner } else { Worth::Error("#ERROR!") };
        }
        if self.sign(&["#REF!"]).is_some() {
            return REF;
        }
        let Some((piece, rest)) = self.parts.split_first() else { return Worth::Error("#ERROR!") };
        self.parts = rest;
        match piece {
            Piece::Number(n, _) => Worth::Number(*n),
            Piece::Text(text) => Worth::Text(text.clone()),
            Piece::Ref(tab, a, None) => match (self.tab_of(tab.as_deref()), a.row, a.column) {
                (Some(tab), Some(row), Some(column)) => self.book.worth_at(tab, row, column, self.depth + 1),
                _ => REF,
            },
            Piece::Ref(..) => VALUE,
            Piece::Name(name) if self.sign(&["("]).is_some() => {
                let arguments = self.arguments();
                call(&name.to_uppercase(), arguments)
            }
            Piece::Name(name) if name.eq_ignore_ascii_case("true") => Worth::Bool(true),
            Piece::Name(name) if name.eq_ignore_ascii_case("false") => Worth::Bool(false),
            _ => Worth::Error("#NAME?"),
        }
    }

    fn tab_of(&self, name: Option<&str>) -> Option<usize> {
        name.map_or(Some(self.tab), |name| self.book.tab_named(name))
    }

    fn arguments(&mut self) -> Vec<Argument> {
        let mut out = Vec::new();
        if self.sign(&[")"]).is_some() {
            return out;
        }
        loop {
            let argument = match self.parts.split_first() {
                Some((Piece::Ref(tab, a, Some(b)), rest)) => {
                    self.parts = rest;
                    match self.tab_of(tab.as_deref()) {
                        Some(tab) => Argument::Many(self.cells(tab, a, b)),
                        None => Argument::One(REF),
                    }
                }
                _ => Argument::One(self.comparison()),
            };
            out.push(argument);
            if self.sign(&[",", ";"]).is_none() {
                // A missing bracket leaves pieces over, or nothing: the caller sees an error either way.
                self.sign(&[")"]);
                return out;
            }
        }
    }

    fn cells(&self, tab: usize, a: &Corner, b: &Corner) -> Vec<Worth> {
        let grid = &self.book.tabs[tab].cells;
        let rows = a.row.unwrap_or(0)..b.row.map_or(grid.len(), |r| (r + 1).min(grid.len()));
        let filled = rows.flat_map(|row| {
            let end = b.column.map_or(grid[row].len(), |c| (c + 1).min(grid[row].len()));
            (a.column.unwrap_or(0)..end).map(move |column| (row, column))
        });
        filled.map(|(row, column)| self.book.worth_at(tab, row, column, self.depth + 1)).collect()
    }
}

fn call(name: &str, arguments: Vec<Argument>) -> Worth {
    if name == "IF" {
        let mut values = arguments.into_iter().map(|a| match a {
            Argument::One(worth) => worth,
            Argument::Many(_) => VALUE,
        });
        let condition = values.next().unwrap_or(VALUE);
        let (yes, no) = (values.next().unwrap_or(Worth::Bool(true)), values.next().unwrap_or(Worth::Bool(false)));
        return match as_number(&condition) {
            Some(n) => {
                if n == 0.0 {
                    no
                } else {
                    yes
                }
            }
            None => condition,
        };
    }
    let all: Vec<Worth> = arguments
        .into_iter()
        .flat_map(|a| match a {
            Argument::One(worth) => vec![worth],
            Argument::Many(many) => many,
        })
        .collect();
    if let Some(error) = all.iter().find(|w| matches!(w, Worth::Error(_))) {
        return error.clone();
    }
    let numbers: Vec<f64> = all.iter().filter_map(|w| if let Worth::Number(n) = w { Some(*n) } else { None }).collect();
    let total: f64 = numbers.iter().sum();
    match name {
        "SUM" => Worth::Number(total),
        "COUNT" => Worth::Number(numbers.len() as f64),
        "COUNTA" => Worth::Number(all.iter().filter(|w| **w != Worth::Nothing).count() as f64),
        "AVERAGE" if numbers.is_empty() => Worth::Error("#DIV/0!"),
        "AVERAGE" => Worth::Number(total / numbers.len() as f64),
        "MIN" => Worth::Number(numbers.iter().copied().reduce(f64::min).unwrap_or(0.0)),
        "MAX" => Worth::Number(numbers.iter().copied().reduce(f64::max).unwrap_or(0.0)),
        "CONCATENATE" => Worth::Text(all.iter().map(as_text).collect()),
        _ => Worth::Error("#NAME?"),
    }
}

fn error_of(a: &Worth, b: &Worth) -> Option<Worth> {
    [a, b].into_iter().find(|w| matches!(w, Worth::Error(_))).cloned()
}

fn arithmetic(a: &Worth, b: &Worth, apply: impl Fn(f64, f64) -> f64) -> Worth {
    if let Some(error) = error_of(a, b) {
        return error;
    }
    as_number(a).zip(as_number(b)).map_or(VALUE, |(a, b)| Worth::Number(apply(a, b)))
}

fn as_number(worth: &Worth) -> Option<f64> {
    match worth {
        Worth::Nothing => Some(0.0),
        Worth::Number(n) => Some(*n),
        Worth::Bool(b) => Some(f64::from(u8::from(*b))),
        Worth::Text(s) => s.parse().ok(),
        Worth::Error(_) => None,
    }
}

fn as_text(worth: &Worth) -> String {
    super::cells::Cell::default().formatted(worth)
}

#[cfg(test)]
mod tests {
    use super::super::Tab;
    use super::*;
    use serde_json::json;

    #[test]
    fn formulas_are_worth_something() {
        let mut book = Book { title: String::new(), tabs: vec![Tab::new(0, "Log"), Tab::new(1, "My Sheet")] };
        let mut put =
            |tab: usize, row, column, text: &str| book.tabs[tab].cell_mut(row, column).enter(&json!(text), true);
        for (row, text) in
            ["4", "=A1*2+1", "=SUM(A1:A2)/'My Sheet'!A1", "=IF(A1>3,\"big\",\"small\")&\"!\""].iter().enumerate()
        {
            put(0, row, 0, text);
        }
        put(1, 0, 0, "0");
        put(0, 4, 0, "=A6");
        put(0, 5, 0, "=A5");
        put(0, 6, 0, "=NOPE(1)");
        put(0, 7, 0, "=-(2+3)*2");
        put(0, 8, 0, "=SUM(A1");
        let worth = |row| book.worth(0, row, 0);
        assert_eq!((worth(1), worth(2)), (Worth::Number(9.0), Worth::Error("#DIV/0!")));
        assert_eq!((worth(3), worth(4)), (Worth::Text("big!".into()), REF));
        assert_eq!((worth(6), worth(7)), (Worth::Error("#NAME?"), Worth::Number(-10.0)));
    }
}
