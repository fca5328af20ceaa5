//! Command lines of a runbook, held against the real parser without running anything.

use std::ffi::OsString;

use super::text::{placeholders, verb_of, words};
use crate::aliases::{self, Verb};
use crate::cli;
use crate::error::{Explained, Fault};

/// What stands for a placeholder while a line is only parsed.
fn sample(name: &str) -> &'static str {
    match name {
        "platform" => "notion",
        "row" => "5",
        "dbId" | "pageId" => "0123456789abcdef0123456789abcdef",
        "boardId" | "cardId" => "0123456789abcdef01234567",
        "fileId" => "1AbCdEfGhIjKlMnOpQrStUvWxYz",
        "channel" => "C0123456789",
        "timestamp" | "clean-timestamp" => "2025-10-17T10:30:45.123Z",
        "spreadsheetId" => "https://docs.google.com/spreadsheets/d/1AbCdEfGhIjKlMnOpQrStUvWxYz/edit#gid=0",
        _ => "x-1",
    }
}

/// The line with something in the place of every placeholder.
pub fn filled(line: &str) -> String {
    let names = placeholders(line);
    names.into_iter().fold(line.to_owned(), |line, name| line.replace(&format!("<{name}>"), sample(name)))
}

/// What is wrong with a command line without its program's name, if anything.
pub fn line(line: &str) -> Result<&'static Verb, String> {
    let args: Vec<OsString> =
        std::iter::once("opsctl".to_owned()).chain(words(&filled(line))).map(Into::into).collect();
    cli::check(&args).map_err(said)?;
    let rewritten = aliases::rewrite(args);
    let canonical: Vec<_> = rewritten.iter().skip(1).map(|word| word.to_string_lossy()).collect();
    verb_of(&canonical.join(" ")).ok_or_else(|| "it has no command".to_owned())
}

/// A fault in one line.
fn said(fault: Fault) -> String {
    let explained = Explained::from_error(&fault.into());
    let mut text = explained.message;
    for part in explained.causes.iter().take(1).chain(&explained.hint) {
        text.push_str("; ");
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_right_in_every_spelling() {
        for good in
            ["reset:circuit <platform>", "circuit reset notion", "queue:remove <actionId>", "clear:queue --stuck-only"]
        {
            assert!(line(good).is_ok(), "{good}");
        }
        assert_eq!(line("reset:circuit notion").unwrap().name, "circuit reset");
        assert!(line("circuit rest notion").unwrap_err().contains("did you mean `opsctl circuit reset`"));
        assert!(line("queue clear --stuck").unwrap_err().contains("--stuck-only"));
        assert!(line("check:health banana").is_err());
    }
}
