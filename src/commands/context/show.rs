//! `context list` and `context show`.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Report, Table, Tone};
use crate::platforms::Endpoints;
use crate::settings::{Context, ContextKind, Settings};

/// `context list`.
#[derive(clap::Args, Debug)]
pub struct ListArgs {}

/// `context show`.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// Context to show; the one in use unless told
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    current: bool,
    url: Option<String>,
    environment: Option<String>,
    protection: &'static str,
    builtin: bool,
    #[serde(skip)]
    place: String,
}

impl Row {
    fn new(context: &Context, settings: &Settings) -> Self {
        Row {
            name: context.name.clone(),
            current: context.name == settings.context_name.value,
            url: sandbox_url(context, settings).or_else(|| context.url.as_ref().map(|_| context.place())),
            environment: context.environment.clone(),
            protection: context.protection.as_str(),
            builtin: context.kind != ContextKind::Configured,
            place: sandbox_url(context, settings).unwrap_or_else(|| context.place()),
        }
    }
}

/// Where the sandbox listens, when its record says so.
fn sandbox_url(context: &Context, settings: &Settings) -> Option<String> {
    if context.kind != ContextKind::Sandbox {
        return None;
    }
    let text = std::fs::read(settings.places.sandbox_record()).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
    Some(record.get("url")?.as_str()?.trim_end_matches('/').to_owned())
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

impl Report for List {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["", "NAME", "URL", "ENVIRONMENT", "PROTECTION"]);
        for row in &self.0 {
            let mark = if row.current { "*" } else { " " };
            table.row([mark, &row.name, &row.place, row.environment.as_deref().unwrap_or_default(), row.protection]);
        }
        page.table(&table)
    }
}

impl ListArgs {
    pub(super) fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let rows: Vec<Row> = app.settings.contexts().values().map(|c| Row::new(c, &app.settings)).collect();
        app.emit(&List(rows))?;
        if !app.settings.contexts().contains_key(&app.settings.context_name.value) {
            let name = &app.settings.context_name;
            app.output.warn(&format!("the context in use, `{}` (from {}), does not exist", name.value, name.source));
        }
        Ok(Outcome::Done)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(flatten)]
    row: Row,
    /// How it came to be the one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen_by: Option<String>,
    credential: String,
    break_glass: String,
    timeout: String,
    output: String,
    config_file: String,
    state_directory: String,
    data_directory: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    platforms: BTreeMap<String, String>,
    /// What restarts its services beside the admin API.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    links: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    contacts: BTreeMap<String, String>,
}

impl Report for Detail {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let chosen = self.chosen_by.as_ref().map(|by| format!(" (in use, from {by})")).unwrap_or_default();
        page.pair("Context", format_args!("{}{chosen}", self.row.name))?;
        page.pair("URL", &self.row.place)?;
        page.pair("Environment", self.row.environment.as_deref().unwrap_or("whatever the server says"))?;
        page.pair("Protection", self.row.protection)?;
        page.pair("Credential", &self.credential)?;
        page.pair("Break-glass", &self.break_glass)?;
        page.pair("Timeout", &self.timeout)?;
        page.pair("Output", &self.output)?;
        page.pair("Config file", &self.config_file)?;
        page.pair("State", &self.state_directory)?;
        page.pair("Data", &self.data_directory)?;
        let sections = [
            ("Services", &self.services),
            ("Platforms", &self.platforms),
            ("Links", &self.links),
            ("Contacts", &self.contacts),
        ];
        for (heading, map) in sections {
            if !map.is_empty() {
                page.line(page.paint(heading, Tone::Strong))?;
                map.iter().try_for_each(|(name, value)| page.pair(&format!("  {name}"), value))?;
            }
        }
        Ok(())
    }
}

/// The addresses that are not the vendors'.
fn moved(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let vendors = Endpoints::default();
    let pairs = endpoints.all().into_iter().zip(vendors.all()).filter(|(ours, theirs)| ours != theirs);
    pairs.map(|((name, address), _)| (name.to_owned(), address.to_owned())).collect()
}

impl ShowArgs {
    pub(super) fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let settings = &app.settings;
        let context = match &self.name {
            Some(name) => settings.named_context(name)?,
            None => settings.context()?,
        };
        let row = Row::new(context, settings);
        let sandbox = context.kind == ContextKind::Sandbox;
        let describe = |source: &crate::settings::CredentialSource| {
            if sandbox { "from the running sandbox".to_owned() } else { source.describe() }
        };
        let timeout = crate::settings::format_duration(settings.timeout.value);
        let format = format!("{:?}", settings.output.value).to_lowercase();
        app.emit(&Detail {
            chosen_by: row.current.then(|| settings.context_name.source.to_string()),
            row,
            credential: describe(&context.credential),
            break_glass: describe(&context.break_glass),
            timeout: format!("{timeout} (from {})", settings.timeout.source),
            output: format!("{format} (from {})", settings.output.source),
            config_file: settings.places.config_file().display().to_string(),
            state_directory: settings.places.state.display().to_string(),
            data_directory: settings.places.data.display().to_string(),
            platforms: moved(&context.platforms),
            services: context.services.iter().map(|s| (s.name.to_string(), s.manager.to_string())).collect(),
            links: context.links.clone(),
            contacts: context.contacts.clone(),
        })?;
        Ok(Outcome::Done)
    }
}
