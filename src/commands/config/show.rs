//! `opsctl config get|list`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::wire::ConfigEntry;

use super::restart_command;

/// Show one setting: its value, where it comes from, what waits for a restart
///
/// A secret is shown by its last characters and a fingerprint, never by its value.
///
/// Example: opsctl config get ENABLE_IDEMPOTENCY
#[derive(Args, Debug)]
pub struct GetArgs {
    /// The variable
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) async fn get(app: &App, args: GetArgs) -> anyhow::Result<Outcome> {
    let entry = entry_of(app.orchestrator().await?, &args.name).await?;
    app.emit(&Setting(entry))?;
    Ok(Outcome::Done)
}

/// A setting by its name.
pub(super) async fn entry_of(orchestrator: &Orchestrator, name: &str) -> anyhow::Result<ConfigEntry> {
    orchestrator.config_entry(name).await.map_err(|error| {
        let explained = Explained::from_error(&error);
        if explained.kind != Kind::NotFound {
            return error;
        }
        Fault::new(Kind::NotFound, format!("cannot find the setting {name}"))
            .because(explained.message)
            .hint("list the settings with `opsctl config list`")
            .into()
    })
}

/// List the settings
///
/// PENDING is the value that will hold after the restart named beside it.
///
/// Example: opsctl config list --pending
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only those that wait for a restart
    #[arg(long)]
    pending: bool,
}

pub(super) async fn list(app: &App, args: ListArgs) -> anyhow::Result<Outcome> {
    let mut settings = app.orchestrator().await?.config().await?.settings;
    settings.retain(|entry| !args.pending || entry.pending.is_some());
    app.emit(&Settings { settings, pending: args.pending })?;
    Ok(Outcome::Done)
}

/// One setting.
#[derive(Serialize)]
#[serde(transparent)]
struct Setting(ConfigEntry);

impl Report for Setting {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let entry = &self.0;
        page.pair("Name", &entry.name)?;
        page.pair("Value", entry.value.as_deref().unwrap_or("(unset)"))?;
        if let Some(pending) = &entry.pending {
            page.pair("Pending", format_args!("{pending}{}", after(entry)))?;
        }
        page.pair("Source", entry.source)?;
        if let Some(at) = entry.expires_at {
            page.pair_time("Goes back", at)?;
        }
        if let Some(command) = restart_command(entry.restart) {
            page.pair("Changes hold after", command)?;
        }
        page.pair("About", &entry.description)
    }
}

/// `, after ...`, as far as a restart is needed.
pub(super) fn after(entry: &ConfigEntry) -> String {
    restart_command(entry.restart).map(|command| format!(" after `{command}`")).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(transparent)]
struct Settings {
    settings: Vec<ConfigEntry>,
    #[serde(skip)]
    pending: bool,
}

impl Report for Settings {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.settings.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["NAME", "VALUE", "PENDING", "SOURCE", "RESTARTS", "GOES BACK"]);
        for entry in &self.settings {
            table.row([
                entry.name.clone(),
                entry.value.clone().unwrap_or_default(),
                entry.pending.clone().unwrap_or_default(),
                entry.source.to_string(),
                entry.restart.to_string(),
                entry.expires_at.map(|t| page.time(t)).unwrap_or_default(),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        let note = if self.pending { "No setting waits for a restart." } else { "No settings." };
        self.settings.is_empty().then(|| note.to_owned())
    }
}
