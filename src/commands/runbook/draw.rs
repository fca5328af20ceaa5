//! How the runbook's text stands on a page: wrapped for reading, its commands in one piece for copying.

use std::io;

use crate::analysis::system::Finding;
use crate::output::{Page, Tone, folded, shown};
use crate::runbook::Step;
use crate::wire::Severity;

/// Widest line of prose, in columns.
const WIDEST: usize = 80;

/// Prose, wrapped between words, each line after `indent` spaces.
pub(super) fn prose(page: &mut Page<'_>, indent: usize, text: &str) -> io::Result<()> {
    bullet(page, &" ".repeat(indent), text)
}

/// Prose whose first line starts with a mark; the others stand under the first's text.
pub(super) fn bullet(page: &mut Page<'_>, mark: &str, text: &str) -> io::Result<()> {
    let indent = mark.chars().count();
    let width = page.width.map_or(WIDEST, |width| width.min(WIDEST)).saturating_sub(indent).max(20);
    for (index, line) in folded(text, width, 0).into_iter().enumerate() {
        let before = if index == 0 { mark.to_owned() } else { " ".repeat(indent) };
        page.line(format_args!("{before}{line}"))?;
    }
    Ok(())
}

/// A step: title and condition, why, its commands, and what is found right now that it deals with.
pub(super) fn step(page: &mut Page<'_>, number: &str, step: &Step, now: &[&Finding]) -> io::Result<()> {
    let mark = format!("{number:>2}  ");
    let indent = mark.len();
    let title = match &step.when {
        Some(when) => format!("{} (when {when})", step.title),
        None => step.title.clone(),
    };
    bullet(page, &mark, &title)?;
    prose(page, indent, &step.why)?;
    if let Some(by_hand) = &step.by_hand {
        bullet(page, &format!("{}by hand: ", " ".repeat(indent)), by_hand)?;
    }
    for line in &step.lines {
        let line = page.paint(&format!("opsctl {line}"), Tone::Strong);
        page.line(format_args!("{}{line}", " ".repeat(indent + 2)))?;
    }
    now.iter().try_for_each(|found| finding(page, indent + 2, found))
}

/// A finding in one wrapped line.
pub(super) fn finding(page: &mut Page<'_>, indent: usize, finding: &Finding) -> io::Result<()> {
    let (word, tone) = match finding.severity {
        Severity::Error => ("FAIL", Tone::Bad),
        Severity::Warning => ("WARN", Tone::Warn),
        Severity::Info => ("INFO", Tone::Dim),
    };
    let mark = format!("{}now {word}  ", " ".repeat(indent));
    let width = mark.len();
    let painted = mark.replace(word, &page.paint(word, tone));
    let lines = folded(&shown(&finding.text).replace('\n', " "), WIDEST.saturating_sub(width).max(20), 0);
    for (index, line) in lines.into_iter().enumerate() {
        let before = if index == 0 { painted.clone() } else { " ".repeat(width) };
        page.line(format_args!("{before}{line}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Style;

    #[test]
    fn prose_is_wrapped_and_hangs_under_its_mark() {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, Style { width: Some(30), terminal: true, ..Style::plain() });
        bullet(&mut page, "  * ", "one two three four five six seven").unwrap();
        page.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "  * one two three four five\n    six seven\n");
    }
}
