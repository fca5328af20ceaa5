//! `opsctl backup`: copies of the orchestrator's state, made while it works, and looked at by restoring them.

use std::io;

use clap::{Args, Subcommand};

use super::component;
use super::text::{bytes, millis};
use crate::app::App;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, UndoAction};
use crate::output::{Page, Report};
use crate::wire::{BackupMade, BackupRequest, BackupVerdict};

/// Backups
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Create(CreateArgs),
    Verify(VerifyArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Create(args) => create(app, args).await,
            Self::Verify(args) => verify(app, args).await,
        }
    }
}

/// Make a backup while the work goes on
///
/// It holds actions, queue, workflows, idempotency records and settings of one moment; never secrets or tokens.
/// BACKUP_KEEP says how many are kept.
///
/// Example: opsctl backup create --full
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Metrics, logs and the audit trail too
    #[arg(long)]
    full: bool,

    #[command(flatten)]
    change: ChangeArgs,
}

impl Report for BackupMade {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let backup = &self.backup;
        page.pair("Backup", &backup.id)?;
        page.pair("Size", bytes(backup.bytes))?;
        page.pair("Holds", format_args!("{} actions, {} workflows", backup.actions, backup.workflows))?;
        page.pair("Took", millis(self.took_ms as f64))?;
        if !self.removed.is_empty() {
            page.pair("Older ones removed", self.removed.join(", "))?;
        }
        Ok(())
    }
}

async fn create(app: &App, args: CreateArgs) -> anyhow::Result<Outcome> {
    let api = app.orchestrator().await?.clone();
    let kept = api.backups().await?;
    let what = if args.full { "state, settings, metrics, logs and audit trail" } else { "state and settings" };
    let title = if args.full { "make a full backup" } else { "make a backup" };
    let step = Step::new("POST /admin/v1/backups").because(format!("{what}, into {}", kept.folder));
    let mut plan = Plan::new("backup create", title, &args.change).step(step);
    let beyond = (kept.backups.len() as u64 + 1).saturating_sub(kept.keep);
    if beyond > 0 {
        plan = plan.note(format!("BACKUP_KEEP is {}: the oldest beyond that will be removed", kept.keep));
    }
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let request = BackupRequest { full: args.full };
    let made = api.create_backup(&approval, &request, app.follow()).await?;
    let undo = UndoAction::none("a backup takes nothing away");
    app.receipt(&approval, vec![ReceiptItem::applied(&made.backup.id, undo)])?;
    app.emit(&made)?;
    app.note(format!("verify it with `opsctl backup verify {}`", made.backup.id));
    Ok(Outcome::Done)
}

/// Restore a backup into a scratch folder and compare
///
/// Hashes and row counts are compared with the manifest, and the restored store is opened and checked; the running one
/// is not touched. Ends with 3 when the backup cannot be relied on.
///
/// Example: opsctl backup verify --last
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Which one, as `opsctl state backups` lists it; the newest unless told
    #[arg(value_name = "ID", conflicts_with = "last")]
    id: Option<String>,

    /// The newest
    #[arg(long)]
    last: bool,
}

impl Report for BackupVerdict {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.table(&component::table(&self.checks))?;
        let verdict = if self.ok { "can be restored" } else { "cannot be relied on" };
        page.line(format_args!("{} {verdict}", self.id))
    }
}

async fn verify(app: &App, args: VerifyArgs) -> anyhow::Result<Outcome> {
    let api = app.orchestrator().await?;
    let id = match args.id {
        Some(id) => id,
        None => newest(api.backups().await?)?,
    };
    let verdict = api.verify_backup(&id, app.follow()).await?;
    app.emit(&verdict)?;
    Ok(if verdict.ok { Outcome::Done } else { Outcome::Problem })
}

/// The newest one, damaged or not: that the last backup is no good is what somebody wants to hear.
fn newest(list: crate::wire::BackupList) -> Result<String, Fault> {
    let whole = list.backups.first().map(|backup| backup.id.clone());
    let damaged = list.damaged.iter().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).max();
    whole.max(damaged).ok_or_else(|| {
        Fault::new(Kind::NotFound, "there is no backup")
            .because(format!("{} has none", list.folder))
            .hint("make one with `opsctl backup create`")
    })
}
