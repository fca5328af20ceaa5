//! `opsctl state restore`.

use clap::Args;

use crate::app::App;
use crate::commands::restore::{Going, moment};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan};
use crate::wire::{BackupList, RestoreScope, Time};

/// Put workflow state back as it was in a backup
///
/// Workflows that were at rest then go back to it; those under way then stay as they are now, so that no step runs
/// twice. Queue, settings and everything else stay. A backup of what is there is made first, and `opsctl undo` goes
/// back to that one.
///
/// Example: opsctl state restore --backup 2026-11-23T10-15-00Z
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Which one, as `opsctl state backups` lists it, or its moment
    #[arg(long, value_name = "ID")]
    backup: String,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(app: &App, args: RestoreArgs) -> anyhow::Result<Outcome> {
    let list = app.orchestrator().await?.backups().await?;
    let id = named(&list, &args.backup, app.now())?;
    let going = Going::look(app, &id, RestoreScope::Workflows).await?;
    let title = format!("put workflow state back to {id}");
    let plan = going.plan(Plan::new("state restore", title, &args.change), app.now());
    going.run(app, &plan).await
}

/// The backup with this id, or of this very second.
fn named(list: &BackupList, typed: &str, now: Time) -> Result<String, Fault> {
    let exact = list.backups.iter().find(|backup| backup.id == typed);
    let at = |time: Time| time.0.div_euclid(1000);
    let moment = moment(typed, now).ok();
    let same = || list.backups.iter().find(|backup| moment.is_some_and(|moment| at(backup.created_at) == at(moment)));
    exact.or_else(same).map(|backup| backup.id.clone()).ok_or_else(|| {
        Fault::new(Kind::NotFound, format!("there is no backup `{typed}`"))
            .because("`state restore` takes a listed backup")
            .hint("list them with `opsctl state backups`")
    })
}
