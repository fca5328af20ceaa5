//! Somebody's Markdown held against this program: every command of it parsed by the real parser, shown outputs compared
//! with the types, everything that is not `npm run` explained by what does it here.

mod fences;
mod shell;
mod shown;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::aliases::Verb;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It does not work as it stands.
    Error,
    /// It works otherwise here.
    Note,
}

/// Something about a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Its number, from 1.
    pub line: usize,
    /// How much it matters.
    pub level: Level,
    /// What is so.
    pub text: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

impl Finding {
    fn error(line: usize, text: impl Into<String>) -> Finding {
        Finding { line, level: Level::Error, text: text.into(), instead: None }
    }

    fn note(line: usize, text: impl Into<String>, instead: impl Into<String>) -> Finding {
        Finding { line, level: Level::Note, text: text.into(), instead: Some(instead.into()) }
    }
}

/// What was looked at, and found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Linted {
    /// Commands of this program that were parsed.
    pub commands: usize,
    /// Outputs that were compared with their types.
    pub outputs: usize,
    /// In the file's order; a note that says the same again is left out.
    pub findings: Vec<Finding>,
}

impl Linted {
    /// How many do not work as they stand.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.level == Level::Error).count()
    }
}

/// Looks at a whole file.
pub fn lint(text: &str) -> Linted {
    let mut linted = Linted { commands: 0, outputs: 0, findings: Vec::new() };
    let mut last: Vec<&'static Verb> = Vec::new();
    for fence in fences::read(text) {
        if !fence.closed {
            linted.findings.push(Finding::error(fence.line, "the fenced block is never closed"));
        }
        match fence.kind() {
            fences::Kind::Commands => {
                let verbs = shell::look(&fence, &mut linted);
                if !verbs.is_empty() {
                    last = verbs;
                }
            }
            fences::Kind::Json => shown::look(&fence, &last, &mut linted),
            fences::Kind::Other => {}
        }
    }
    without_repeats(&mut linted.findings);
    linted
}

/// A note that was given before says nothing new.
fn without_repeats(findings: &mut Vec<Finding>) {
    let mut seen: BTreeSet<(String, Option<String>)> = BTreeSet::new();
    findings.retain(|finding| {
        finding.level == Level::Error || seen.insert((finding.text.clone(), finding.instead.clone()))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small runbook of our own, with everything right and everything wrong once.
    const SAMPLE: &str = include_str!("sample.md");

    #[test]
    fn a_small_runbook_has_exactly_these_findings() {
        let linted = lint(SAMPLE);
        let text = |finding: &Finding| {
            let level = if finding.level == Level::Error { "error" } else { "note" };
            let instead = finding.instead.iter().map(|instead| format!(" | {instead}"));
            format!("{} {level}: {}{}", finding.line, finding.text, instead.collect::<String>())
        };
        let found: Vec<String> = linted.findings.iter().map(text).collect();
        let expected = include_str!("sample.txt");
        assert_eq!(found.join("\n"), expected.trim_end(), "found:\n{}", found.join("\n"));
        assert_eq!((linted.commands, linted.outputs), (13, 3));
    }

    #[test]
    fn our_own_text_is_clean() {
        for section in crate::runbook::Section::all().unwrap() {
            let lines: Vec<String> =
                section.steps().flat_map(|step| step.lines.iter().map(|line| format!("opsctl {line}"))).collect();
            let linted = lint(&format!("```bash\n{}\n```\n", lines.join("\n")));
            assert_eq!(linted.errors(), 0, "{}: {:?}", section.id, linted.findings);
        }
    }
}
