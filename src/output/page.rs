//! The sheet a report is drawn on: headings, pairs, tables, lines.

use std::fmt::Display;
use std::io::{self, Write};
use std::ops::Deref;

use super::style::{Style, Tone};
use super::table::Table;
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

    /// A line with text of others in it; on a terminal what does not fit goes on after so many spaces.
    pub fn folded(&mut self, text: &str, hang: usize) -> io::Result<()> {
        let text = shown(text);
        let lines = self.width.map_or_else(|| vec![text.clone()], |width| folded(&text, width, hang));
        lines.iter().try_for_each(|line| self.line(line))
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

    /// A table: borderless, columns two spaces apart; fitted to the terminal's width there and never elsewhere.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        self.flush_pairs()?;
        for line in table.lines(&self.style) {
            writeln!(self.out, "{line}")?;
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
            let line = format!("{label:width$}  {value}");
            // A value of several lines has its own.
            let lines = match self.style.width {
                Some(most) if !value.contains('\n') => folded(&line, most, width + 2),
                _ => vec![line],
            };
            for line in lines {
                writeln!(self.out, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

/// A text as lines of at most this width, broken between words; those after the first begin with so many spaces. What
/// stands in backquotes is to be pasted, and is not broken.
pub fn folded(text: &str, width: usize, hang: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut line, mut word, mut quoted) = (String::new(), String::new(), false);
    for piece in text.split_inclusive(' ') {
        word.push_str(piece);
        quoted ^= piece.matches('`').count() % 2 == 1;
        if quoted {
            continue;
        }
        fold(&mut lines, &mut line, &std::mem::take(&mut word), width, hang);
    }
    fold(&mut lines, &mut line, &word, width, hang);
    lines.push(line.trim_end().to_owned());
    lines
}

/// Puts a word behind the others of a line, or into a new one.
fn fold(lines: &mut Vec<String>, line: &mut String, word: &str, width: usize, hang: usize) {
    if !line.trim().is_empty() && line.chars().count() + word.trim_end().chars().count() > width {
        lines.push(line.trim_end().to_owned());
        *line = " ".repeat(hang);
    }
    if word != " " || lines.is_empty() || !line.trim().is_empty() {
        line.push_str(word);
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
    fn a_long_line_is_folded_between_words() {
        let text = "  would send PATCH /v1/pages/1f0c  `A title`  (same title)  undo: restore";
        assert_eq!(folded(text, 200, 6), [text]);
        let narrow = folded(text, 41, 6);
        assert_eq!(
            narrow,
            ["  would send PATCH /v1/pages/1f0c", "      `A title`  (same title)  undo:", "      restore"]
        );
        assert_eq!(folded("a-word-that-does-not-fit x", 10, 2), ["a-word-that-does-not-fit", "  x"]);
        assert_eq!(
            folded("then run `opsctl queue status`, or wait", 20, 2),
            ["then run", "  `opsctl queue status`,", "  or wait"]
        );
    }
}
