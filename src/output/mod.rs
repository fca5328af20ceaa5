//! Reports drawn as tables or written as JSON; colour, width, progress, notes.
//!
//! stdout is the answer, stderr the conversation. Everything is rendered to text first, passes the redaction filter,
//! and is written in one go; a reader that goes away ends the writing quietly and is not an error.

pub mod document;
mod page;
mod progress;
mod records;
mod style;
mod table;

pub use page::{Page, folded, shown};
pub use progress::Progress;
pub use records::{flatten, records_of};
pub use style::{ColorChoice, Style, Tone, percent, relative};
pub use table::Table;

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use crate::error::Explained;
use crate::redact::Redactor;
use crate::wire::Time;

/// `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One document, two spaces of indentation.
    Json,
    /// One record a line.
    Jsonl,
    /// A header line and one record a line.
    Csv,
}

impl Format {
    /// The words of `-o`.
    pub const WORDS: [&'static str; 4] = ["table", "json", "jsonl", "csv"];

    /// Whether errors and other conversation that a program reads are JSON too.
    pub fn is_json(self) -> bool {
        matches!(self, Format::Json | Format::Jsonl)
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "table" => Ok(Format::Table),
            "json" => Ok(Format::Json),
            "jsonl" => Ok(Format::Jsonl),
            "csv" => Ok(Format::Csv),
            other => Err(format!("`{other}` is not one of {}", Self::WORDS.join(", "))),
        }
    }
}

/// An answer: its data is its `Serialize`, and it has one drawing for people.
pub trait Report: Serialize {
    /// Draws it for people.
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()>;

    /// Its records for `-o jsonl` and `-o csv`: the elements when it is a list, itself otherwise. A report that wraps
    /// its list in an object says here which list it is.
    fn records(&self) -> serde_json::Result<Vec<Value>> {
        Ok(records_of(serde_json::to_value(self)?))
    }

    /// What a person is told on stderr instead of an empty table: `No stuck items.`
    fn empty_note(&self) -> Option<String> {
        None
    }
}

/// The two streams.
pub struct Output {
    /// `-o`.
    pub format: Format,
    /// `-q`: no notes, no progress.
    pub quiet: bool,
    /// How stdout is written on.
    pub stdout: Style,
    /// How stderr is written on.
    pub stderr: Style,
    /// What every text passes before it leaves the process; it knows the secrets that were loaded.
    pub redactor: Redactor,
    closed: AtomicBool,
    kept: Option<Kept>,
}

/// For a command that runs within another one: what it wrote, and where its answers go.
struct Kept {
    text: Mutex<String>,
    /// The outer command's answer is for a program, so that this one's belongs to the conversation.
    aside: bool,
}

impl Output {
    /// The process's streams.
    pub fn new(format: Format, quiet: bool, stdout: Style, stderr: Style) -> Self {
        Output {
            format,
            quiet,
            stdout,
            stderr,
            redactor: Redactor::default(),
            closed: AtomicBool::new(false),
            kept: None,
        }
    }

    /// The same for a command within another one: both streams are kept as they are written. `aside` sends answers to
    /// stderr.
    #[must_use]
    pub fn keeping(mut self, aside: bool) -> Self {
        self.kept = Some(Kept { text: Mutex::default(), aside });
        self
    }

    /// What was written so far, by a command that is kept.
    pub fn kept(&self) -> String {
        self.kept.as_ref().map(|kept| lock(kept).clone()).unwrap_or_default()
    }

    fn keep(&self, text: &str) {
        if let Some(kept) = &self.kept {
            lock(kept).push_str(text);
        }
    }

    /// Whether the reader of stdout went away.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Renders a report in the chosen format.
    pub fn render<R: Report + ?Sized>(&self, report: &R) -> anyhow::Result<String> {
        self.render_at(report, self.stdout.now)
    }

    fn render_at<R: Report + ?Sized>(&self, report: &R, now: Time) -> anyhow::Result<String> {
        Ok(match self.format {
            Format::Table => draw(report, Style { now, ..self.stdout })?,
            Format::Json => {
                let mut text = serde_json::to_string_pretty(report).context("cannot write the answer as JSON")?;
                text.push('\n');
                text
            }
            Format::Jsonl => {
                let mut text = String::new();
                for record in report.records()? {
                    text.push_str(&record.to_string());
                    text.push('\n');
                }
                text
            }
            Format::Csv => records::to_csv(&report.records()?),
        })
    }

    /// Writes a report to stdout.
    pub fn emit<R: Report + ?Sized>(&self, report: &R) -> anyhow::Result<()> {
        self.emit_at(report, self.stdout.now)
    }

    /// The same at another time: the streams are set up before it is known which clock holds.
    pub fn emit_at<R: Report + ?Sized>(&self, report: &R, now: Time) -> anyhow::Result<()> {
        let text = self.render_at(report, now)?;
        self.write(&text)?;
        if self.format == Format::Table
            && let Some(note) = report.empty_note()
        {
            self.note(&note);
        }
        Ok(())
    }

    /// Writes text to stdout as it is.
    pub fn write(&self, text: &str) -> anyhow::Result<()> {
        if self.kept.as_ref().is_some_and(|kept| kept.aside) {
            self.say(text);
            return Ok(());
        }
        let text = self.redactor.redact(text);
        self.keep(&text);
        self.write_bytes(text.as_bytes())
    }

    fn write_bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.is_closed() || bytes.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            other => other.context("cannot write to standard output"),
        }
    }

    /// A note for the person, on stderr, unless `-q`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(&self.folded(&shown(text), 0));
        }
    }

    /// Lines for stderr, each broken between words where a terminal would break it anywhere.
    fn folded(&self, text: &str, hang: usize) -> String {
        let lines = text.trim_end_matches('\n').split('\n');
        let width = self.stderr.width.unwrap_or(usize::MAX);
        lines.flat_map(|line| folded(line, width, hang)).map(|line| line + "\n").collect()
    }

    /// A warning, on stderr, also with `-q`.
    pub fn warn(&self, text: &str) {
        const LABEL: &str = "warning:";
        let text = self.folded(&format!("{LABEL} {}", shown(text)), 0);
        self.say(&text.replacen(LABEL, &self.stderr.paint(LABEL, Tone::Warn), 1));
    }

    /// An error in its three parts, on stderr; one JSON object with `-o json` and `-o jsonl`.
    pub fn error(&self, error: &anyhow::Error) {
        let explained = Explained::from_error(error);
        if self.format.is_json() {
            return self.say(&explained.to_json());
        }
        let text = self.folded(&shown(&explained.to_text()), 4);
        let text = match text.strip_prefix("error:") {
            Some(rest) => format!("{}{rest}", self.stderr.paint("error:", Tone::Bad)),
            None => text,
        };
        self.say(&text);
    }

    /// Text on stderr as it is. Nobody can be told when that fails.
    pub fn say(&self, text: &str) {
        let text = self.redactor.redact(text);
        self.keep(&text);
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// A progress display on stderr.
    pub fn progress(&self, total: u64, what: &str) -> Progress {
        Progress::new(total, what, self.stderr.terminal && !self.quiet)
    }
}

fn lock(kept: &Kept) -> MutexGuard<'_, String> {
    kept.text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws a report as text in a style.
pub fn draw<R: Report + ?Sized>(report: &R, style: Style) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut page = Page::new(&mut bytes, style);
    report.draw(&mut page).and_then(|()| page.finish()).context("cannot draw the answer")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Two(Vec<u8>);
    impl Report for Two {
        fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
            page.line(self.0.len())
        }
    }

    fn output(format: Format) -> Output {
        Output::new(format, false, Style::plain(), Style::plain())
    }

    #[test]
    fn one_report_in_four_formats() {
        let report = Two(vec![1, 2]);
        assert_eq!(output(Format::Table).render(&report).unwrap(), "2\n");
        assert_eq!(output(Format::Json).render(&report).unwrap(), "[\n  1,\n  2\n]\n");
        assert_eq!(output(Format::Jsonl).render(&report).unwrap(), "1\n2\n");
        assert_eq!(output(Format::Csv).render(&report).unwrap(), "value\n1\n2\n");
        assert_eq!(output(Format::Json).render(&Two(vec![])).unwrap(), "[]\n");
    }
}
