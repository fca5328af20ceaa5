//! `opsctl dashboard configure`.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use toml_edit::{Array, DocumentMut, Item, Table as Toml, value};

use super::chosen;
use crate::aliases;
use crate::app::App;
use crate::dashboard::{PANELS, Panel, find};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Format, Page, Report, Table};

/// Choose the dashboard's panels and its file
///
/// With flags it changes what they say; on a terminal it asks; otherwise it shows each panel as it is and as it is
/// recommended. `opsctl dashboard refresh` then writes the dashboard. The choice is kept in config.toml, under
/// `[dashboard]`.
///
/// Example: opsctl dashboard configure --add probing --leave-out paused
#[derive(Args, Debug)]
pub struct ConfigureArgs {
    /// Panel to add (can be repeated)
    #[arg(long, value_name = "PANEL", value_parser = known)]
    add: Vec<&'static str>,

    /// Panel to leave out (can be repeated)
    #[arg(long, value_name = "PANEL", value_parser = known)]
    leave_out: Vec<&'static str>,

    /// Go back to the recommended panels first
    #[arg(long)]
    recommended: bool,

    /// File that `dashboard refresh` writes
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,

    #[command(flatten)]
    change: ChangeArgs,
}

fn known(name: &str) -> Result<&'static str, Fault> {
    if let Some(panel) = find(name) {
        return Ok(panel.name);
    }
    let fault = Fault::usage(format!("the dashboard has no panel `{name}`"));
    Err(match aliases::nearest(name, PANELS.iter().map(|panel| panel.name)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint("list them with `opsctl dashboard configure`"),
    })
}

/// A panel, as it is and as it is recommended.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    panel: &'static str,
    title: &'static str,
    heading: &'static str,
    shown: bool,
    recommended: bool,
}

#[derive(Serialize)]
struct Chosen {
    file: PathBuf,
    panels: Vec<Row>,
}

impl Report for Chosen {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PANEL", "NOW", "RECOMMENDED", "SHOWS"]);
        for row in &self.panels {
            let word = |there: bool| if there { "shown" } else { "left out" };
            table.row([row.panel, word(row.shown), word(row.recommended), row.title]);
        }
        page.table(&table)?;
        page.blank()?;
        page.pair("File", self.file.display())
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.panels.iter().map(serde_json::to_value).collect()
    }
}

impl ConfigureArgs {
    pub(super) async fn run(mut self, app: &App) -> anyhow::Result<Outcome> {
        let flags = self.recommended || self.file.is_some() || !self.add.is_empty() || !self.leave_out.is_empty();
        if !flags {
            let asks = app.prompt.can_ask() && app.output.format == Format::Table;
            show(app, &chosen(app), app.settings.dashboard_file())?;
            if !asks {
                return Ok(Outcome::Done);
            }
            self.ask(app).await?;
        }
        let before = chosen(app);
        let after = self.wanted(&before);
        let file = self.file.as_ref().map(std::path::absolute).transpose().context("cannot use that path")?;
        let names = |panels: &[&Panel]| panels.iter().map(|panel| panel.name).collect::<Vec<_>>();
        let (old, new) = (names(&before), names(&after));
        let same_file = file.as_ref().is_none_or(|file| *file == app.settings.dashboard_file());
        if new.is_empty() {
            return Err(Fault::new(Kind::Usage, "a dashboard without panels")
                .because("every panel would be left out")
                .hint("opsctl dashboard configure --recommended")
                .into());
        }
        if old == new && same_file {
            app.note("the dashboard is already so");
            return Ok(Outcome::Done);
        }
        let path = app.settings.places.config_file();
        let plan = Plan::new("dashboard configure", "choose the dashboard's panels", &self.change)
            .step(Step::new(format!("write {}", path.display())).because(difference(&old, &new)).undo(Undo::None))
            .local();
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        crate::settings::edit(&path, |document| keep(document, &new, file.as_ref()))?;
        let undo = UndoAction::none("choose the panels again with `opsctl dashboard configure`");
        app.receipt(&approval, vec![ReceiptItem::applied("dashboard", undo)])?;
        show(app, &after, file.unwrap_or_else(|| app.settings.dashboard_file()))?;
        app.note("next: opsctl dashboard refresh");
        Ok(Outcome::Done)
    }

    /// Asks what flags would say. Enter alone leaves it as it is.
    async fn ask(&mut self, app: &App) -> anyhow::Result<()> {
        self.add = asked(app, "Panels to add (names, Enter for none):").await?;
        self.leave_out = asked(app, "Panels to leave out (names, Enter for none):").await?;
        let file = app.prompt.text("Another file to write (Enter leaves it):").await?.unwrap_or_default();
        self.file = Some(file.trim()).filter(|file| !file.is_empty()).map(PathBuf::from);
        Ok(())
    }

    fn wanted(&self, before: &[&'static Panel]) -> Vec<&'static Panel> {
        let there = |panel: &Panel| match self.recommended {
            true => panel.standard,
            false => before.iter().any(|other| other.name == panel.name),
        };
        let wanted =
            |panel: &&Panel| (there(panel) || self.add.contains(&panel.name)) && !self.leave_out.contains(&panel.name);
        PANELS.iter().filter(wanted).collect()
    }
}

async fn asked(app: &App, question: &str) -> anyhow::Result<Vec<&'static str>> {
    let typed = app.prompt.text(question).await?.unwrap_or_default();
    let names = typed.split([' ', ',']).map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(known).collect::<Result<_, _>>()?)
}

fn show(app: &App, shown: &[&Panel], file: PathBuf) -> anyhow::Result<()> {
    let row = |panel: &Panel| Row {
        panel: panel.name,
        title: panel.title,
        heading: panel.group.title(),
        shown: shown.iter().any(|other| other.name == panel.name),
        recommended: panel.standard,
    };
    app.emit(&Chosen { file, panels: PANELS.iter().map(row).collect() })
}

fn difference(old: &[&str], new: &[&str]) -> String {
    let gone: Vec<String> = old.iter().filter(|name| !new.contains(name)).map(|name| format!("-{name}")).collect();
    let come = new.iter().filter(|name| !old.contains(name)).map(|name| format!("+{name}"));
    let all: Vec<String> = come.chain(gone).collect();
    if all.is_empty() { "another file".into() } else { all.join(" ") }
}

fn keep(document: &mut DocumentMut, panels: &[&str], file: Option<&PathBuf>) -> anyhow::Result<()> {
    let table = document.entry("dashboard").or_insert_with(|| Item::Table(Toml::new()));
    let table = table.as_table_mut().context("`dashboard` in config.toml is not a table")?;
    table["panels"] = value(panels.iter().copied().collect::<Array>());
    if let Some(file) = file {
        table["file"] = value(file.display().to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_panels_is_said_by_name() {
        assert_eq!(difference(&["a", "b"], &["b", "c"]), "+c -a");
        assert_eq!(difference(&["a"], &["a"]), "another file");
        assert!(known("succes-rate").unwrap_err().hint.unwrap().contains("success-rate"));
    }

    #[test]
    fn the_choice_is_written_beside_what_is_there() {
        let mut document: DocumentMut = "# mine\ncontext = \"eu\"\n".parse().unwrap();
        keep(&mut document, &["circuits"], Some(&PathBuf::from("/srv/x.json"))).unwrap();
        let expected = "# mine\ncontext = \"eu\"\n\n[dashboard]\npanels = [\"circuits\"]\nfile = \"/srv/x.json\"\n";
        assert_eq!(document.to_string(), expected);
    }
}
