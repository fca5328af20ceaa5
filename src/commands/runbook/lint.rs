//! `opsctl runbook lint`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::args::read_text;
use crate::error::Outcome;
use crate::output::{Page, Report, shown};
use crate::runbook::lint::{Level, Linted, lint};

/// Check a runbook's commands against this program
///
/// Every fenced command is parsed as if it were typed, in all spellings, with `npm run` before it and `<placeholders>` in
/// it; shown JSON is compared with what the command before it answers. What is no command of this program (`export`,
/// `watch`, `curl`, `echo`) is explained by the one that does it. Nothing is run and nobody is asked. 3 when something
/// does not work as it stands.
///
/// Example: opsctl runbook lint docs/runbook.md
#[derive(Args, Debug)]
pub struct LintArgs {
    /// Markdown file; - for stdin
    #[arg(value_name = "FILE")]
    file: String,

    /// Leave out what works, if otherwise
    #[arg(long)]
    errors_only: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    file: String,
    errors: usize,
    #[serde(flatten)]
    linted: Linted,
}

impl Report for Answer {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for finding in &self.linted.findings {
            let (word, tone) = match finding.level {
                Level::Error => ("error", crate::output::Tone::Bad),
                Level::Note => ("note", crate::output::Tone::Dim),
            };
            let word = page.paint(word, tone);
            page.line(format_args!("{}:{}: {word}: {}", self.file, finding.line, shown(&finding.text)))?;
            if let Some(instead) = &finding.instead {
                page.line(format_args!("  here: {}", shown(instead)))?;
            }
        }
        let Linted { commands, outputs, findings } = &self.linted;
        let notes = findings.len() - self.errors;
        page.line(format_args!("{commands} commands, {outputs} outputs: {} errors, {notes} notes", self.errors))
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.linted.findings.iter().map(serde_json::to_value).collect()
    }
}

impl LintArgs {
    pub(super) fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let (place, text) = read_text(&self.file)?;
        let mut linted = lint(&text);
        if self.errors_only {
            linted.findings.retain(|finding| finding.level == Level::Error);
        }
        let errors = linted.errors();
        app.emit(&Answer { file: place.to_owned(), errors, linted })?;
        Ok(if errors == 0 { Outcome::Done } else { Outcome::Problem })
    }
}
