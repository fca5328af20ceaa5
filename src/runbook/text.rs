//! What the sections say. The text is data beside this file; a test parses every command line in it, so that it cannot
//! rot.

use serde::{Deserialize, Serialize};

use super::SectionId;
use crate::aliases::{self, Verb};

/// How bad a section's trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Delayed work.
    Medium,
    /// Failing work.
    High,
    /// No work.
    Critical,
}

impl Level {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }
}

/// One section.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    /// Its name.
    pub id: SectionId,
    /// What it is about.
    pub title: String,
    /// How bad that is.
    pub severity: Level,
    /// What one sees.
    pub signs: Vec<String>,
    /// Sections that have to do with it.
    pub related: Vec<SectionId>,
    /// Its steps, part by part.
    pub parts: Vec<(Part, Vec<Step>)>,
}

/// A part of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Steps that follow each other.
    Steps,
    /// What is the matter.
    Look,
    /// What helps; each under its condition.
    Fix,
    /// When it is over.
    After,
    /// So that it does not come again.
    Prevent,
}

impl Part {
    /// Its heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Part::Steps => "Steps",
            Part::Look => "Look",
            Part::Fix => "Fix",
            Part::After => "Afterwards",
            Part::Prevent => "Prevent",
        }
    }
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"), deny_unknown_fields)]
pub struct Step {
    /// What is done.
    pub title: String,
    /// Why.
    pub why: String,
    /// When it is the right one; always, where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Commands without `opsctl`; `<name>` stands for a value.
    #[serde(default)]
    pub lines: Vec<String>,
    /// What a person has to do, when there is no command for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
    /// Exit codes with which a run goes on.
    #[serde(default = "only_done")]
    pub ok: Vec<u8>,
    /// The command that tells after an interruption whether the step holds; it only reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<String>,
}

fn only_done() -> Vec<u8> {
    vec![0]
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    severity: Level,
    signs: Vec<String>,
    #[serde(default)]
    related: Vec<SectionId>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    look: Vec<Step>,
    #[serde(default)]
    fix: Vec<Step>,
    #[serde(default)]
    after: Vec<Step>,
    #[serde(default)]
    prevent: Vec<Step>,
}

impl Section {
    /// Reads a section's text.
    pub fn read(id: SectionId) -> anyhow::Result<Section> {
        let file: File = toml::from_str(source(id)).map_err(|error| anyhow::anyhow!("the text of {id}: {error}"))?;
        let parts = [
            (Part::Steps, file.steps),
            (Part::Look, file.look),
            (Part::Fix, file.fix),
            (Part::After, file.after),
            (Part::Prevent, file.prevent),
        ];
        Ok(Section {
            id,
            title: file.title,
            severity: file.severity,
            signs: file.signs,
            related: file.related,
            parts: parts.into_iter().filter(|(_, steps)| !steps.is_empty()).collect(),
        })
    }

    /// All of them, in the runbook's order.
    pub fn all() -> anyhow::Result<Vec<Section>> {
        SectionId::all().map(Section::read).collect()
    }

    /// `Issue 2: Circuit breaker open`.
    pub fn heading(&self) -> String {
        format!("{}: {}", self.id.label(), self.title)
    }

    /// The steps of all parts.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.parts.iter().flat_map(|(_, steps)| steps)
    }

    /// The same section with only the steps that use this verb.
    #[must_use]
    pub fn about(mut self, verb: &str) -> Section {
        for (_, steps) in &mut self.parts {
            steps.retain(|step| step.lines.iter().any(|line| verb_of(line).is_some_and(|v| v.name == verb)));
        }
        self.parts.retain(|(_, steps)| !steps.is_empty());
        self
    }
}

/// The verb of a canonical command line.
pub fn verb_of(line: &str) -> Option<&'static Verb> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let two = words.next().and_then(|second| aliases::find(&format!("{first} {second}")));
    two.or_else(|| aliases::find(first))
}

/// The words of a command line as a shell makes them: what stands in quotes is one word, without them.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The placeholders of a line, without their brackets.
pub fn placeholders(line: &str) -> Vec<&str> {
    let parts = line.split('<').skip(1).filter_map(|rest| rest.split_once('>').map(|(name, _)| name));
    parts.filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')).collect()
}

fn source(id: SectionId) -> &'static str {
    const ISSUES: [&str; 10] = [
        include_str!("text/issue-1.toml"),
        include_str!("text/issue-2.toml"),
        include_str!("text/issue-3.toml"),
        include_str!("text/issue-4.toml"),
        include_str!("text/issue-5.toml"),
        include_str!("text/issue-6.toml"),
        include_str!("text/issue-7.toml"),
        include_str!("text/issue-8.toml"),
        include_str!("text/issue-9.toml"),
        include_str!("text/issue-10.toml"),
    ];
    match id {
        SectionId::Issue(n) => ISSUES[usize::from(n.clamp(1, 10)) - 1],
        SectionId::Outage => include_str!("text/outage.toml"),
        SectionId::Corruption => include_str!("text/corruption.toml"),
        SectionId::Security => include_str!("text/security.toml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aliases::Class;

    /// Every line with its section, and what verifies a step.
    fn lines() -> Vec<(SectionId, String)> {
        let sections = Section::all().unwrap();
        let of_step = |step: &Step| step.lines.iter().chain(&step.verify).cloned().collect::<Vec<_>>();
        sections.iter().flat_map(|s| s.steps().flat_map(of_step).map(|line| (s.id, line)).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn every_line_is_a_command_of_this_program() {
        for (id, line) in lines() {
            if let Err(why) = crate::runbook::parse::line(&line) {
                panic!("{id}: {line}: {why}");
            }
        }
    }

    #[test]
    fn every_step_says_why_and_has_something_to_do() {
        for section in Section::all().unwrap() {
            assert!(!section.signs.is_empty() && section.title.chars().count() < 60, "{}", section.id);
            assert_eq!(section.id.is_procedure(), section.parts[0].0 == Part::Steps, "{}", section.id);
            for step in section.steps() {
                let place = format!("{}: {}", section.id, step.title);
                assert!(!step.title.ends_with('.') && step.title.chars().count() < 60, "{place}");
                assert!(step.why.ends_with('.') && step.why.len() < 260, "{place}: {}", step.why.len());
                assert!(!step.lines.is_empty() || step.by_hand.is_some(), "{place}");
                let looks =
                    |line: &String| verb_of(line).is_some_and(|verb| matches!(verb.class, Class::R | Class::Rx));
                assert!(step.verify.iter().all(looks), "{place}");
                assert!(step.when.is_none() || section.parts.iter().any(|(p, s)| *p == Part::Fix && s.contains(step)));
            }
        }
    }

    #[test]
    fn a_line_is_taken_apart_as_a_shell_does() {
        assert_eq!(words(r#"slack send --text "a b" 'c d' e"f g""#), ["slack", "send", "--text", "a b", "c d", "ef g"]);
        assert_eq!(words(r#"x "" y"#), ["x", "", "y"]);
        assert_eq!(placeholders("sheets delete-row <spreadsheetId> <row> a<b c>d"), ["spreadsheetId", "row"]);
    }

    #[test]
    fn a_verb_finds_its_steps() {
        let section = Section::read(SectionId::Issue(2)).unwrap().about("circuit reset");
        assert!(section.steps().count() >= 2 && section.steps().all(|s| s.lines.join(" ").contains("circuit reset")));
        assert!(Section::read(SectionId::Issue(5)).unwrap().about("circuit reset").parts.is_empty());
    }
}
