//! `opsctl docs`: documents made from what the program knows.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::App;
use crate::error::Outcome;
use crate::files::write_whole;
use crate::output::{Page, Report, Table};
use crate::platforms::undo::limitations;
use crate::wire::RollbackLimitation;

/// Generated documents
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Generate(GenerateArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Generate(args) => generate(app, &args),
        }
    }
}

/// Write down what can be undone, how, and what stays
///
/// One line for each kind of action on each platform. With --file it becomes a Markdown page; an earlier one at that
/// place is replaced.
///
/// Example: opsctl docs generate --rollback-limitations --file rollback-limitations.md
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// What a rollback can undo, how, and what stays
    #[arg(long, required = true)]
    rollback_limitations: bool,

    /// Markdown file to write
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

/// What can be undone.
#[derive(Serialize)]
#[serde(transparent)]
struct Limitations(Vec<RollbackLimitation>);

impl Limitations {
    fn markdown(&self) -> String {
        let mut text = String::from(
            "# What a rollback can undo\n\n\
             | platform | action | reversibility | how | what stays, or has to hold |\n| --- | --- | --- | --- | --- |\n",
        );
        for line in &self.0 {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                line.platform, line.action_type, line.reversibility, line.undo, line.limitation
            );
        }
        text
    }
}

impl Report for Limitations {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PLATFORM", "ACTION", "REVERSIBILITY", "HOW", "WHAT STAYS, OR HAS TO HOLD"]);
        for line in &self.0 {
            table.row([
                line.platform.to_string(),
                line.action_type.to_string(),
                line.reversibility.to_string(),
                line.undo.clone(),
                line.limitation.clone(),
            ]);
        }
        page.table(&table)
    }
}

fn generate(app: &App, args: &GenerateArgs) -> anyhow::Result<Outcome> {
    let report = Limitations(limitations());
    let Some(path) = &args.file else {
        app.emit(&report)?;
        return Ok(Outcome::Done);
    };
    // A bare name has an empty parent; the directory it means is this one.
    let path = std::path::absolute(path).with_context(|| format!("cannot write {}", path.display()))?;
    write_whole(&path, report.markdown().as_bytes(), false)?;
    app.note(format!("wrote {} lines to {}", report.0.len(), path.display()));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_row_of_five_cells() {
        let report = Limitations(limitations());
        let text = report.markdown();
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(rows.len(), report.0.len() + 2);
        for row in rows {
            assert_eq!(row.matches('|').count(), 6, "{row}");
        }
    }
}
