//! `sandbox scenario`.

use std::io;

use clap::Args;
use serde::Serialize;

use super::place;
use crate::app::App;
use crate::error::{Fault, Outcome};
use crate::output::{Page, Report, Table};
use crate::sandbox::ground::Ground;
use crate::sandbox::record::Record;
use crate::sandbox::scenario::{self, Made, Scenario};

/// Bring about one of the runbook's issues
///
/// It is done by real faults, real traffic and the sandbox's clock, and returns when the symptom can be seen. `list`
/// names the scenarios, `clear` mends everything and waits until it works again.
///
/// Example: opsctl sandbox scenario issue-2
#[derive(Args, Debug)]
pub struct ScenarioArgs {
    /// Scenario to bring about; or list, or clear
    #[arg(value_name = "NAME|list|clear", default_value = "list", hide_default_value = true)]
    what: String,
}

#[derive(Serialize)]
struct Row {
    name: Scenario,
    title: &'static str,
    cause: &'static str,
    on: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

impl Report for List {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["", "NAME", "ISSUE", "HOW"]);
        for row in &self.0 {
            table.row([if row.on { "*" } else { " " }, row.name.as_str(), row.title, row.cause]);
        }
        page.table(&table)
    }
}

impl Report for Made {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        match self.scenario {
            Some(scenario) => page.heading(&format!("{scenario}: {}", scenario.title()))?,
            None => page.heading("All is well again")?,
        }
        for fact in &self.facts {
            page.line(format_args!("  {fact}"))?;
        }
        page.line("Next:")?;
        for line in &self.next {
            page.line(format_args!("  {line}"))?;
        }
        Ok(())
    }
}

impl ScenarioArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let place = place(app);
        if self.what == "list" {
            let on = Record::read(&place)?.and_then(|record| record.scenario);
            let rows = Scenario::ALL.iter().map(|name| Row {
                name: *name,
                title: name.title(),
                cause: name.cause(),
                on: on.as_deref() == Some(name.as_str()),
            });
            app.emit(&List(rows.collect()))?;
            return Ok(Outcome::Done);
        }
        let scenario = match self.what.as_str() {
            "clear" => None,
            word => Some(word.parse::<Scenario>().map_err(|why| {
                Fault::usage(format!("there is no scenario `{word}`")).because(why).hint("opsctl sandbox scenario list")
            })?),
        };
        let ground = Ground::enter(&place)?;
        app.clock.set_offset_ms(ground.record.clock_offset_ms);
        let made = match scenario {
            Some(scenario) => scenario::bring_about(&ground, scenario, app.now()).await?,
            None => scenario::clear(&ground, app.now()).await?,
        };
        app.emit(&made)?;
        Ok(Outcome::Done)
    }
}
