//! `opsctl state backups`.

use std::io;

use clap::Args;
use serde_json::Value;

use crate::app::App;
use crate::commands::text::bytes;
use crate::error::Outcome;
use crate::output::{Page, Report, Table, records_of};
use crate::wire::BackupList;

/// List the backups, newest first
///
/// An id is a moment in UTC; `state restore --backup` and `restore point --timestamp` take it.
///
/// Example: opsctl state backups
#[derive(Args, Debug)]
pub struct BackupsArgs {}

impl Report for BackupList {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.backups.is_empty() {
            return Ok(());
        }
        let mut table =
            Table::new(&["BACKUP", "AGE", "KIND", ">SIZE", ">ACTIONS", ">WORKFLOWS", ">QUEUED", "VERIFIED", "NOTE"]);
        for backup in &self.backups {
            let kind = if backup.full { format!("{}, full", backup.kind) } else { backup.kind.to_string() };
            table.row([
                backup.id.clone(),
                page.time(backup.created_at),
                kind,
                bytes(backup.bytes),
                backup.actions.to_string(),
                backup.workflows.to_string(),
                backup.queue_items.to_string(),
                backup.verified_at.map_or("never".to_owned(), |at| page.time(at)),
                backup.note.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table)
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        Ok(records_of(serde_json::to_value(&self.backups)?))
    }

    fn empty_note(&self) -> Option<String> {
        self.backups.is_empty().then(|| "No backups. Make one with `opsctl backup create`.".to_owned())
    }
}

pub(super) async fn run(app: &App, _args: BackupsArgs) -> anyhow::Result<Outcome> {
    let list = app.orchestrator().await?.backups().await?;
    app.emit(&list)?;
    for damaged in &list.damaged {
        app.output.warn(&format!("not a backup any more: {damaged}"));
    }
    Ok(if list.damaged.is_empty() { Outcome::Done } else { Outcome::Problem })
}
