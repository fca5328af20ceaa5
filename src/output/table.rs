//! Tables: borderless, columns two spaces apart. Elsewhere than on a terminal nothing is wrapped.
//!
//! On a terminal a column whose cells are long is wrapped between words while it stays readable. Where it would not, it
//! leaves the grid and stands below its row, under its own heading, so that ids, commands and messages can be read and
//! copied in one piece.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table as Grid, Width};

use super::page::shown;
use super::style::{Style, Tone};

/// Spaces between two columns.
const GAP: usize = 2;
/// A column that is wrapped has at least this width, or what its longest cell needs.
const READABLE: usize = 24;
/// One that has only a few words can be narrower.
const SQUEEZED: usize = 12;
const FEW_WORDS: usize = 30;
/// How far what stands below a row is set in.
const INDENT: usize = 2;

/// Rows under headings.
#[derive(Debug, Default)]
pub struct Table {
    headings: Vec<(&'static str, CellAlignment)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with left-aligned columns. A heading that starts with `>` makes its column right-aligned.
    pub fn new(headings: &[&'static str]) -> Self {
        let headings = headings
            .iter()
            .map(|h| match h.strip_prefix('>') {
                Some(rest) => (rest, CellAlignment::Right),
                None => (*h, CellAlignment::Left),
            })
            .collect();
        Table { headings, rows: Vec::new() }
    }

    /// Adds a row. Cells that are state words get their colour; an empty cell is drawn as `-`.
    pub fn row<S: ToString>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|c| shown(&c.to_string())).collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its lines, for a stream of this style.
    pub(super) fn lines(&self, style: &Style) -> Vec<String> {
        let all: Vec<usize> = (0..self.headings.len()).collect();
        let Some(width) = style.width else { return drawn(&self.grid(style, &all)) };
        for short in [READABLE, SQUEEZED] {
            let readable: Vec<usize> = all.iter().map(|at| self.readable(*at, short)).collect();
            if total(&readable) <= width {
                return drawn(&self.wrapped(style, &all, &readable, width));
            }
        }
        let below = self.below(width);
        let beside: Vec<usize> = all.iter().copied().filter(|at| !below.contains(at)).collect();
        if below.is_empty() || total(&self.widths(&beside)) > width {
            // Nothing keeps its words whole here.
            return drawn(&self.wrapped(style, &all, &[], width));
        }
        let mut grid = drawn(&self.grid(style, &beside)).into_iter();
        let mut lines: Vec<String> = grid.next().into_iter().collect();
        for (row, line) in self.rows.iter().zip(grid) {
            lines.push(line);
            self.set_below(style, row, &below, width, &mut lines);
        }
        lines
    }

    /// The columns that have to leave the grid so that the others keep their cells in one piece: those of several lines,
    /// then the widest. The first one says what a row is about and stays.
    fn below(&self, width: usize) -> Vec<usize> {
        let many_lines = |at: &usize| self.cells(*at).any(|cell| cell.contains('\n'));
        let mut below: Vec<usize> = (1..self.headings.len()).filter(many_lines).collect();
        loop {
            let beside: Vec<usize> = (0..self.headings.len()).filter(|at| !below.contains(at)).collect();
            let widest = beside.iter().copied().filter(|at| *at > 0).max_by_key(|at| self.natural(*at));
            match widest {
                Some(widest) if total(&self.widths(&beside)) > width => below.push(widest),
                _ => break,
            }
        }
        below.sort_unstable();
        below
    }

    /// Adds what stands below a row, wrapped between words.
    fn set_below(&self, style: &Style, row: &[String], below: &[usize], width: usize, lines: &mut Vec<String>) {
        let label = below.iter().map(|at| length(self.headings[*at].0)).max().unwrap_or(0);
        let begin = INDENT + label + GAP;
        for at in below {
            let Some(cell) = row.get(*at).filter(|cell| !cell.is_empty()) else { continue };
            let heading = style.paint(&format!("{:label$}", self.headings[*at].0), Tone::Dim);
            for (number, text) in wrap(cell, width.saturating_sub(begin)).into_iter().enumerate() {
                lines.push(match number {
                    0 => format!("{:INDENT$}{heading}{:GAP$}{}", "", "", style.state(&text)),
                    _ => format!("{:begin$}{text}", ""),
                });
            }
        }
    }

    fn cells(&self, at: usize) -> impl Iterator<Item = &str> {
        let cells = self.rows.iter().filter_map(move |row| row.get(at)).map(String::as_str);
        cells.chain([self.headings[at].0])
    }

    /// What a column needs when nothing of it is wrapped.
    fn natural(&self, at: usize) -> usize {
        self.cells(at).flat_map(str::lines).map(length).max().unwrap_or(1).max(1)
    }

    /// What it needs so that its words stay whole and its lines are not too short to read: `short` if it has a few words.
    fn readable(&self, at: usize, short: usize) -> usize {
        let longest_word = self.cells(at).flat_map(str::split_whitespace).map(length).max().unwrap_or(1);
        let natural = self.natural(at);
        longest_word.max(natural.min(if natural <= FEW_WORDS { short } else { READABLE }))
    }

    fn widths(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().map(|at| self.natural(*at)).collect()
    }

    fn grid(&self, style: &Style, columns: &[usize]) -> Grid {
        let mut grid = Grid::new();
        grid.load_style(comfy_table::presets::NOTHING);
        grid.force_no_tty();
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(columns.iter().map(|at| style.paint(self.headings[*at].0, Tone::Strong)));
        for row in &self.rows {
            let cells = columns.iter().map(|at| row.get(*at).map_or("", String::as_str));
            grid.add_row(cells.map(|c| if c.is_empty() { "-".to_owned() } else { style.state(c) }));
        }
        for (place, at) in columns.iter().enumerate() {
            if let Some(column) = grid.column_mut(place) {
                column.set_padding((0, GAP as u16));
                column.set_cell_alignment(self.headings[*at].1);
            }
        }
        grid
    }

    /// The grid in a width, each column with at least what it needs.
    fn wrapped(&self, style: &Style, columns: &[usize], least: &[usize], width: usize) -> Grid {
        let mut grid = self.grid(style, columns);
        grid.set_content_arrangement(ContentArrangement::Dynamic);
        // The gap behind the last column is not drawn.
        grid.set_width(u16::try_from(width + GAP).unwrap_or(u16::MAX));
        for (place, least) in least.iter().enumerate() {
            if let (Some(column), Ok(least)) = (grid.column_mut(place), u16::try_from(least + GAP)) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        grid
    }
}

fn drawn(grid: &Grid) -> Vec<String> {
    grid.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// The width of columns beside each other.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// A text in lines of at most this width; a word that is longer keeps a line to itself.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && length(&line) + 1 + length(word) > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Time;

    fn on_terminal(width: usize) -> Style {
        Style { width: Some(width), terminal: true, ..Style::plain() }
    }

    #[test]
    fn a_piped_table_is_plain_and_never_wrapped() {
        let mut table = Table::new(&["ID", ">COUNT", "NOTE"]);
        let long = "x".repeat(300);
        table.row(["act-1", "7", &long]);
        table.row(["act-22", "1234", ""]);
        let lines = table.lines(&Style::plain());
        assert_eq!(lines, ["ID      COUNT  NOTE", &format!("act-1       7  {long}"), "act-22   1234  -"]);
    }

    #[test]
    fn a_terminal_table_fits_its_width_with_colour_too() {
        let style = Style { color: true, terminal: true, width: Some(40), now: Time(0) };
        let mut table = Table::new(&["ID", "STATE", "NOTE"]);
        table.row(["act-1", "OPEN", &"word ".repeat(30)]);
        let lines = table.lines(&style);
        for line in &lines {
            let mut visible = 0;
            let mut escape = false;
            for c in line.chars() {
                match c {
                    '\u{1b}' => escape = true,
                    'm' if escape => escape = false,
                    _ if escape => {}
                    _ => visible += 1,
                }
            }
            assert!(visible <= 40, "{visible}: {line}");
        }
        assert!(lines.concat().contains("OPEN"));
    }

    #[test]
    fn an_id_stays_in_one_piece_while_there_is_room() {
        let id = "01a20a86-f34d-7487-be70-46aad524f32f";
        let mut table = Table::new(&["ID", "NOTE"]);
        table.row([id, &"word ".repeat(60)]);
        for (width, whole) in [(64, true), (50, true), (30, false)] {
            let text = table.lines(&on_terminal(width)).join("\n");
            assert_eq!(text.contains(id), whole, "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_beside_the_others_stands_below_its_row() {
        let mut table = Table::new(&["TIME", "PART", "ACTION", ">TRY", "MESSAGE"]);
        let id = "01a20a86-f34d-7487-be70-46aad524f32f";
        table.row(["1 minute ago", "executor", id, "2", "Service unavailable: Notion is away, please try later."]);
        table.row(["now", "circuit", "", "", "OPEN"]);
        let lines = table.lines(&on_terminal(60));
        let expected = [
            "TIME          PART      TRY",
            "1 minute ago  executor    2",
            &format!("  ACTION   {id}"),
            "  MESSAGE  Service unavailable: Notion is away, please try",
            "           later.",
            "now           circuit     -",
            "  MESSAGE  OPEN",
        ];
        assert_eq!(lines, expected);
        // A little wider there is no need, and a few words are rather wrapped.
        assert!(table.lines(&on_terminal(160))[0].ends_with("MESSAGE"));
        let mut few = Table::new(&["STATUS", "RESOURCE", "LIMIT REACHED"]);
        few.row(["OK", "Rate limit of notion", "not enough history"]);
        assert_eq!(few.lines(&on_terminal(40))[0].split_whitespace().next(), Some("STATUS"));
        assert!(
            few.lines(&on_terminal(40)).iter().all(|line| !line.contains("  RESOURCE  ") || line.starts_with("STATUS"))
        );
    }
}
