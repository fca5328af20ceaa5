//! `opsctl links`: dashboards, consoles and status pages, offline.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::aliases;
use crate::app::App;
use crate::error::{Fault, Kind, Outcome};
use crate::output::{Page, Report, Table};

/// Show dashboards, consoles and status pages
///
/// The context's own, from `[contexts.NAME.links]` in config.toml, and the platforms' status pages. It asks nobody. With
/// a name it prints that address alone, for `xdg-open` or a browser.
///
/// Example: opsctl links notion-status
#[derive(Args, Debug)]
pub struct LinksArgs {
    /// Which one: notion-status
    name: Option<String>,
}

/// Status pages that people read; the vendors' current addresses.
const PAGES: [(&str, &str); 4] = [
    ("google-status", "https://www.google.com/appsstatus/dashboard/"),
    ("notion-status", "https://www.notion-status.com/"),
    ("slack-status", "https://slack-status.com/"),
    ("trello-status", "https://trello.status.atlassian.com/"),
];

#[derive(Serialize)]
struct Link {
    name: String,
    url: String,
    /// `context`, or `vendor`.
    source: &'static str,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Links(Vec<Link>);

impl Report for Links {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["NAME", "FROM", "ADDRESS"]);
        for link in &self.0 {
            table.row([link.name.as_str(), link.source, link.url.as_str()]);
        }
        page.table(&table)
    }
}

/// One address, alone on its line.
#[derive(Serialize)]
#[serde(transparent)]
struct One(Link);

impl Report for One {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&self.0.url)
    }
}

impl LinksArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let context = app.settings.context()?;
        let own = context.links.iter().map(|(name, url)| (name.as_str(), url.as_str(), "context"));
        let vendors = PAGES.iter().filter(|(name, _)| !context.links.contains_key(*name));
        let all = own.chain(vendors.map(|(name, url)| (*name, *url, "vendor")));
        let mut links: Vec<Link> =
            all.map(|(name, url, source)| Link { name: name.to_owned(), url: url.to_owned(), source }).collect();
        let Some(wanted) = self.name else {
            app.emit(&Links(links))?;
            if context.links.is_empty() {
                let name = &context.name;
                app.note(format!("add your own in config.toml: [contexts.{name}.links] grafana = \"https://…\""));
            }
            return Ok(Outcome::Done);
        };
        match links.iter().position(|link| link.name == wanted) {
            Some(at) => app.emit(&One(links.swap_remove(at)))?,
            None => return Err(missing(&wanted, &links).into()),
        }
        Ok(Outcome::Done)
    }
}

fn missing(wanted: &str, links: &[Link]) -> Fault {
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    let fault = Fault::new(Kind::NotFound, format!("there is no link `{wanted}`"))
        .because(format!("there are {}", names.join(", ")));
    match aliases::nearest(wanted, names.iter().copied()) {
        Some(near) => fault.hint(format!("opsctl links {near}")),
        None => fault.hint("add it under `links` of the context in config.toml"),
    }
}
