//! `opsctl runbook list|show`.

use std::io;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::draw;
use crate::aliases::{self, Class};
use crate::analysis::system::Finding;
use crate::app::App;
use crate::error::{Explained, Outcome};
use crate::output::{Page, Report, Table};
use crate::runbook::live::Live;
use crate::runbook::text::{Level, verb_of};
use crate::runbook::{Part, Section, SectionId, Step};

/// List the sections of the runbook
///
/// Ten common issues and three emergency procedures, with how bad each is.
///
/// Example: opsctl runbook list
#[derive(Args, Debug)]
pub struct ListArgs {}

/// Show a section of the runbook, or where it uses a command
///
/// WHAT is a section (`issue 2`, `2`, `outage`, `corruption`, `security`), a command in any spelling (`reset:circuit`),
/// or words of a title. It needs no orchestrator; with one, what it knows is filled in for the placeholders, and
/// what is wrong right now stands beside the step that deals with it.
///
/// Example: opsctl runbook show issue 2
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Section, command, or words of a title; nothing lists the sections
    #[arg(value_name = "WHAT", trailing_var_arg = true)]
    what: Vec<String>,
}

impl ListArgs {
    pub(super) fn run(self, app: &App) -> anyhow::Result<Outcome> {
        list(app, Section::all()?)
    }
}

fn list(app: &App, sections: Vec<Section>) -> anyhow::Result<Outcome> {
    let row = |s: Section| Row { id: s.id, title: s.title, severity: s.severity, signs: s.signs };
    app.emit(&Rows(sections.into_iter().map(row).collect()))?;
    app.note("read one with `opsctl runbook show SECTION`");
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Row {
    id: SectionId,
    title: String,
    severity: Level,
    signs: Vec<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Rows(Vec<Row>);

impl Report for Rows {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["SECTION", "TITLE", "SEVERITY"]);
        for row in &self.0 {
            table.row([row.id.to_string(), row.title.clone(), row.severity.as_str().to_owned()]);
        }
        page.table(&table)
    }
}

/// What was asked for.
enum Asked {
    Section(SectionId),
    Verb(&'static aliases::Verb),
    Words(Vec<Section>),
}

impl ShowArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        if self.what.is_empty() {
            return list(app, Section::all()?);
        }
        let (verb, sections) = match asked(&self.what.join(" "))? {
            Asked::Section(id) => (None, vec![Section::read(id)?]),
            Asked::Verb(verb) => {
                let sections = Section::all()?.into_iter().map(|section| section.about(verb.name));
                (Some(verb), sections.filter(|section| !section.parts.is_empty()).collect())
            }
            Asked::Words(found) if found.len() > 1 => return list(app, found),
            Asked::Words(found) => (None, found),
        };
        let live = match Live::look(app).await {
            Ok(live) => Some(live),
            Err(error) => {
                let why = Explained::from_error(&error).message;
                app.note(format!("note: text only, nothing of now is filled in: {why}"));
                None
            }
        };
        let sections = sections.into_iter().map(|section| Shown::new(section, live.as_ref())).collect();
        match verb {
            Some(verb) => app.emit(&OfVerb { verb: verb.name, effect: verb.class, sections })?,
            None => app.emit(&Whole(sections))?,
        }
        Ok(Outcome::Done)
    }
}

fn asked(typed: &str) -> anyhow::Result<Asked> {
    let typed = typed.trim();
    let unknown = match typed.parse::<SectionId>() {
        Ok(id) => return Ok(Asked::Section(id)),
        Err(fault) => fault,
    };
    let line = ["npm run ", "opsctl "].iter().find_map(|prefix| typed.strip_prefix(prefix)).unwrap_or(typed);
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default().replace(':', " ");
    let two = words.next().and_then(|second| aliases::find(&format!("{first} {second}")));
    if let Some(verb) = two.or_else(|| aliases::find(&first)) {
        return Ok(Asked::Verb(verb));
    }
    let wanted: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
    let has = |section: &Section| {
        let text = format!("{} {}", section.title, section.signs.join(" ")).to_lowercase();
        wanted.iter().all(|word| text.contains(word))
    };
    let found: Vec<Section> = Section::all()?.into_iter().filter(has).collect();
    if found.is_empty() { Err(unknown.into()) } else { Ok(Asked::Words(found)) }
}

/// A section with what is so right now.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    id: SectionId,
    title: String,
    severity: Level,
    signs: Vec<String>,
    related: Vec<SectionId>,
    parts: Vec<ShownPart>,
    /// What is wrong right now that belongs here; absent when nobody answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<Vec<Finding>>,
}

#[derive(Serialize)]
struct ShownPart {
    part: Part,
    steps: Vec<ShownStep>,
}

#[derive(Serialize)]
struct ShownStep {
    #[serde(flatten)]
    step: Step,
    /// Those that this step deals with: their places among the findings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<usize>,
}

impl Shown {
    pub(super) fn new(section: Section, live: Option<&Live>) -> Self {
        let findings: Option<Vec<Finding>> =
            live.map(|live| live.findings.iter().filter(|f| f.runbook == Some(section.id)).cloned().collect());
        let mut free: Vec<usize> = (0..findings.as_ref().map_or(0, Vec::len)).collect();
        let verb_of_finding = |at: usize| {
            let next = findings.as_ref()?.get(at)?.next.as_deref()?;
            verb_of(next.strip_prefix("opsctl ")?).map(|verb| verb.name)
        };
        let mut shown = |mut step: Step| {
            let verbs: Vec<&str> = step.lines.iter().filter_map(|line| verb_of(line)).map(|verb| verb.name).collect();
            // A finding stands beside the first step that runs its command.
            let mine = |at: &usize| verb_of_finding(*at).is_some_and(|verb| verbs.contains(&verb));
            let (mine, rest): (Vec<usize>, Vec<usize>) = free.iter().copied().partition(mine);
            free = rest;
            if let Some(live) = live {
                step.lines = step.lines.iter().map(|line| live.fill(line)).collect();
            }
            ShownStep { step, findings: mine }
        };
        let parts = section.parts.into_iter();
        let parts: Vec<ShownPart> =
            parts.map(|(part, steps)| ShownPart { part, steps: steps.into_iter().map(&mut shown).collect() }).collect();
        Shown {
            id: section.id,
            title: section.title,
            severity: section.severity,
            signs: section.signs,
            related: section.related,
            parts,
            findings,
        }
    }

    fn heading(&self) -> String {
        format!("{}: {} ({})", self.id.label(), self.title, self.severity.as_str())
    }

    /// The steps, and the findings that no step deals with.
    fn draw_steps(&self, page: &mut Page<'_>) -> io::Result<()> {
        let none = Vec::new();
        let findings = self.findings.as_ref().unwrap_or(&none);
        let taken: Vec<usize> = self.parts.iter().flat_map(|p| &p.steps).flat_map(|s| s.findings.clone()).collect();
        let free: Vec<&Finding> =
            findings.iter().enumerate().filter(|(at, _)| !taken.contains(at)).map(|(_, finding)| finding).collect();
        free.iter().try_for_each(|finding| draw::finding(page, 0, finding))?;
        let mut number = 0;
        for ShownPart { part, steps } in &self.parts {
            page.blank()?;
            page.heading(part.heading())?;
            for shown in steps {
                number += 1;
                let now: Vec<&Finding> = shown.findings.iter().filter_map(|at| findings.get(*at)).collect();
                draw::step(page, &number.to_string(), &shown.step, &now)?;
            }
        }
        Ok(())
    }
}

/// Whole sections; in JSON one is itself.
struct Whole(Vec<Shown>);

impl Serialize for Whole {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

impl Report for Whole {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for section in &self.0 {
            page.heading(&section.heading())?;
            section.signs.iter().try_for_each(|sign| draw::bullet(page, "  * ", sign))?;
            section.draw_steps(page)?;
            page.blank()?;
            if section.id.is_procedure() {
                page.line(format_args!("walk it: opsctl runbook run {}", section.id))?;
            }
            let related: Vec<String> = section.related.iter().map(ToString::to_string).collect();
            if !related.is_empty() {
                page.line(format_args!("related: {}", related.join(", ")))?;
            }
        }
        Ok(())
    }
}

/// Where the runbook uses a command.
#[derive(Serialize)]
struct OfVerb {
    verb: &'static str,
    #[serde(serialize_with = "class")]
    effect: Class,
    sections: Vec<Shown>,
}

fn class<S: serde::Serializer>(class: &Class, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.as_str())
}

impl Report for OfVerb {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Command", format_args!("opsctl {}", self.verb))?;
        page.pair("Effect", self.effect.effect())?;
        page.pair("More", format_args!("opsctl {} --help", self.verb))?;
        for section in &self.sections {
            page.blank()?;
            page.heading(&section.heading())?;
            section.draw_steps(page)?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.sections.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        self.sections.is_empty().then(|| "No section of the runbook uses it.".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Severity;

    #[test]
    fn sections_commands_and_words_are_found() {
        assert!(matches!(asked("issue 2").unwrap(), Asked::Section(SectionId::Issue(2))));
        for typed in ["reset:circuit", "reset circuit", "circuit reset notion", "npm run reset:circuit <platform>"] {
            assert!(matches!(asked(typed).unwrap(), Asked::Verb(verb) if verb.name == "circuit reset"), "{typed}");
        }
        assert!(matches!(asked("stuck").unwrap(), Asked::Words(found) if found[0].id == SectionId::Issue(1)));
        assert_eq!(Explained::from_error(&asked("banana").err().unwrap()).kind, crate::error::Kind::NotFound);
    }

    #[test]
    fn a_finding_stands_beside_the_step_that_deals_with_it() {
        let finding = |text: &str, next: &str, section| Finding {
            severity: Severity::Error,
            text: text.into(),
            next: Some(next.into()),
            runbook: Some(section),
        };
        let live = Live {
            values: [("platform".to_owned(), "notion".to_owned())].into(),
            findings: vec![
                finding("circuit OPEN", "opsctl check health notion --external", SectionId::Issue(2)),
                finding("a key", "opsctl test auth notion", SectionId::Issue(6)),
            ],
        };
        let shown = Shown::new(Section::read(SectionId::Issue(2)).unwrap(), Some(&live));
        assert_eq!(shown.findings.as_ref().unwrap().len(), 1);
        assert_eq!(shown.parts[0].steps[1].findings, [0]);
        assert_eq!(shown.parts[0].steps[0].step.lines, ["circuit status notion"]);
    }
}
