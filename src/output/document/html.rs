//! A document as a page: one file, no network, no script, light and dark, wide and narrow, and on paper.

use std::fmt::Write as _;

use super::{Document, Grid, Section, cell};
use crate::output::Tone;

/// The style of the page. Colours of the series tell apart for most colour-blind eyes, and each has its name beside it.
const STYLE: &str = include_str!("page.css");

impl Document {
    /// As a page.
    pub fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        );
        paragraphs(&mut out, &self.lead, "lead");
        self.sections.iter().for_each(|part| section(&mut out, part));
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}

fn paragraphs(out: &mut String, texts: &[String], class: &str) {
    for text in texts {
        let _ = writeln!(out, "<p class=\"{class}\">{}</p>", escaped(text));
    }
}

fn section(out: &mut String, section: &Section) {
    let _ = writeln!(out, "<section>\n<h2>{}</h2>", escaped(&section.heading));
    paragraphs(out, &section.text, "note");
    if !section.plots.is_empty() {
        out.push_str("<div class=\"plots\">\n");
        for plot in &section.plots {
            let _ = writeln!(out, "<figure>\n<figcaption>{}</figcaption>\n{}", escaped(&plot.title), plot.svg());
            out.push_str(&plot.legend());
            out.push_str("</figure>\n");
        }
        out.push_str("</div>\n");
    }
    if let Some(grid) = section.rows() {
        table(out, grid);
    }
    out.push_str("</section>\n");
}

fn table(out: &mut String, grid: &Grid) {
    let columns: Vec<_> = grid.columns().collect();
    // A wide table scrolls by itself, so that the page does not.
    out.push_str("<div class=\"table\" tabindex=\"0\">\n<table>\n<thead><tr>");
    for (heading, right) in &columns {
        let class = if *right { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escaped(&sentence(heading)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &grid.rows {
        out.push_str("<tr>");
        for (text, (_, right)) in row.iter().zip(&columns) {
            let class = match (tone(text), right) {
                (Some(tone), _) => format!(" class=\"state {tone}\""),
                (None, true) => " class=\"n\"".to_owned(),
                // A date or an id stays in one piece.
                (None, false) if !text.contains(' ') && text.len() <= 40 => " class=\"k\"".to_owned(),
                (None, false) => String::new(),
            };
            let _ = write!(out, "<td{class}>{}</td>", escaped(cell(text)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

/// `RATE LIMITED` as a page writes it: `Rate limited`. Names such as `P95` stay.
fn sentence(heading: &str) -> String {
    let mut words = heading.split(' ').enumerate().map(|(at, word)| {
        let is_name = word.bytes().any(|byte| byte.is_ascii_digit());
        match (at, word.chars().next()) {
            (0, Some(first)) if !is_name => format!("{first}{}", word[first.len_utf8()..].to_lowercase()),
            (_, Some(_)) if !is_name => word.to_lowercase(),
            _ => word.to_owned(),
        }
    });
    let first = words.next().unwrap_or_default();
    words.fold(first, |text, word| format!("{text} {word}"))
}

/// The class of a state word's cell.
fn tone(word: &str) -> Option<&'static str> {
    // Only words in capitals are states here: `completed` in a sentence is none.
    let is_state = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    match Tone::of_word(word).filter(|_| is_state)? {
        Tone::Good => Some("good"),
        Tone::Warn => Some("warn"),
        Tone::Bad => Some("bad"),
        _ => Some("unknown"),
    }
}

/// Text as a page may hold it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && !c.is_whitespace() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_page_asks_for_nothing_and_holds_text_as_text() {
        let page = sample().html();
        for outside in ["http://", "https://", "<script", "<link", "<img", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(
            page.contains("<td>a|b &lt;i&gt;</td><td class=\"n\">-</td><td class=\"state warn\">WARN</td>"),
            "{page}"
        );
        assert!(
            page.contains("<th scope=\"col\" class=\"n\">Ended</th>") && page.contains("Two &amp; more."),
            "{page}"
        );
        for tag in ["section", "table", "tr", "td", "th", "div", "p", "main"] {
            let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn headings_are_written_as_sentences() {
        assert_eq!(sentence("RATE LIMITED"), "Rate limited");
        assert_eq!((sentence("P95"), sentence("LIMIT P95")), ("P95".into(), "Limit P95".into()));
    }
}
