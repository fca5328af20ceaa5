//! The sheet a report is drawn on: headings, pairs, tables, lines.

use std::fmt::Display;
use std::io::{self, Write};
use std::ops::Deref;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table as Grid, Width};

use super::style::{Style, Tone};
use crate::wire::Time;

/// A sheet being drawn. Pairs that follow each other line up, so they are kept until something else comes.
pub struct Page<'a> {
    out: &'a mut dyn Write,
    style: Style,
    pairs: Vec<(String, String)>,
}

impl Deref for Page<'_> {
    type Target = Style;
    fn deref(&self) -> &Style {
        &self.style
    }
}

impl<'a> Page<'a> {
    /// An empty sheet.
    pub fn new(out: &'a mut dyn Write, style: Style) -> Self {
        Page { out, style, pairs: Vec::new() }
    }

    /// A label and its value, lined up with the pairs around it. A value that is a state word gets its colour.
    pub fn pair(&mut self, label: &str, value: impl Display) -> io::Result<()> {
        let value = self.style.state(&shown(&value.to_string()));
        self.pairs.push((label.to_owned(), value));
        Ok(())
    }

    /// A pair whose value is an instant.
    pub fn pair_time(&mut self, label: &str, time: Time) -> io::Result<()> {
        let value = self.style.time(time);
        self.pair(label, value)
    }

    /// A line of its own.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        self.flush_pairs()?;
        writeln!(self.out, "{text}")
    }

    /// An empty line.
    pub fn blank(&mut self) -> io::Result<()> {
        self.line("")
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        let text = self.style.paint(text, Tone::Strong);
        self.line(text)
    }

    /// A table: borderless, columns two spaces apart; wrapped to the terminal's width there and never elsewhere.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        self.flush_pairs()?;
        let drawn = table.render(&self.style);
        for line in drawn.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Writes what is still kept. Whoever made the page calls it when the drawing is done.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush_pairs()
    }

    fn flush_pairs(&mut self) -> io::Result<()> {
        let width = self.pairs.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        for (label, value) in std::mem::take(&mut self.pairs) {
            writeln!(self.out, "{}", format!("{label:width$}  {value}").trim_end())?;
        }
        Ok(())
    }
}

/// Text of others as a terminal may be given it: what would command it (colours, titles, the bell) is shown instead.
pub fn shown(text: &str) -> String {
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return text.to_owned();
    }
    let letters = text.chars().map(|c| match c {
        '\n' => c.to_string(),
        '\t' => " ".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    letters.collect()
}

/// Spaces between two columns.
const COLUMN_GAP: usize = 2;

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

    fn render(&self, style: &Style) -> String {
        let mut grid = Grid::new();
        grid.load_style(comfy_table::presets::NOTHING);
        match style.width {
            Some(width) => {
                grid.set_content_arrangement(ContentArrangement::Dynamic);
                grid.set_width(u16::try_from(width).unwrap_or(u16::MAX));
            }
            None => {
                grid.force_no_tty();
                grid.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        grid.set_header(self.headings.iter().map(|(h, _)| style.paint(h, Tone::Strong)));
        for row in &self.rows {
            grid.add_row(row.iter().map(|c| if c.is_empty() { "-".to_owned() } else { style.state(c) }));
        }
        for (index, (_, alignment)) in self.headings.iter().enumerate() {
            if let Some(column) = grid.column_mut(index) {
                column.set_padding((0, COLUMN_GAP as u16));
                column.set_cell_alignment(*alignment);
            }
        }
        if let Some(width) = style.width {
            self.keep_words_whole(&mut grid, width);
        }
        grid.to_string()
    }

    /// Wraps between words, so that an id stays in one piece and can be copied, unless even that is too wide.
    fn keep_words_whole(&self, grid: &mut Grid, width: usize) {
        let longest = |text: &str| text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(1);
        let widths: Vec<usize> = self
            .headings
            .iter()
            .enumerate()
            .map(|(index, (heading, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| longest(cell));
                cells.chain([longest(heading)]).max().unwrap_or(1) + COLUMN_GAP
            })
            .collect();
        if widths.iter().sum::<usize>() > width {
            return;
        }
        for (index, width) in widths.into_iter().enumerate() {
            if let (Some(column), Ok(width)) = (grid.column_mut(index), u16::try_from(width)) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_shown() {
        assert_eq!(shown("a\u{1b}[31mred\u{7}\ttab\nline é"), "a\\u{1b}[31mred\\u{7} tab\nline é");
    }

    fn drawn(style: Style, draw: impl FnOnce(&mut Page<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, style);
        draw(&mut page).unwrap();
        page.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pairs_line_up_within_their_block() {
        let text = drawn(Style::plain(), |page| {
            page.pair("Queued", 45)?;
            page.pair("Workers busy", "40%")?;
            page.heading("Next")?;
            page.pair("a", "b")
        });
        assert_eq!(text, "Queued        45\nWorkers busy  40%\nNext\na  b\n");
    }

    #[test]
    fn a_piped_table_is_plain_and_never_wrapped() {
        let mut table = Table::new(&["ID", ">COUNT", "NOTE"]);
        let long = "x".repeat(300);
        table.row(["act-1", "7", &long]);
        table.row(["act-22", "1234", ""]);
        let text = drawn(Style::plain(), |page| page.table(&table));
        assert_eq!(text, format!("ID      COUNT  NOTE\nact-1       7  {long}\nact-22   1234  -\n"));
    }

    #[test]
    fn a_terminal_table_fits_its_width_with_colour_too() {
        let style = Style { color: true, terminal: true, width: Some(40), now: Time(0) };
        let mut table = Table::new(&["ID", "STATE", "NOTE"]);
        table.row(["act-1", "OPEN", &"word ".repeat(30)]);
        let text = drawn(style, |page| page.table(&table));
        for line in text.lines() {
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
        assert!(text.contains("OPEN"));
    }

    #[test]
    fn an_id_stays_in_one_piece_while_there_is_room() {
        let id = "01a20a86-f34d-7487-be70-46aad524f32f";
        let mut table = Table::new(&["ID", "NOTE"]);
        table.row([id, &"word ".repeat(60)]);
        for (width, whole) in [(60, true), (30, false)] {
            let style = Style { width: Some(width), terminal: true, ..Style::plain() };
            let text = drawn(style, |page| page.table(&table));
            assert_eq!(text.contains(id), whole, "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }
}
