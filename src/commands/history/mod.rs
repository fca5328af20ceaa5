//! `opsctl history`: what was changed from here.

mod resume;
mod verify;

use std::io;

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::error::Outcome;
use crate::guard::{Receipt, ReceiptState, UndoAction};
use crate::output::{Page, Report, Table};

use super::args::SinceArgs;
use resume::ResumeArgs;
use verify::VerifyArgs;

/// Show what was changed from here
///
/// Every change is in the journal in the state directory: who, when, where, what, why, what became of each item, and
/// how it can be taken back.
///
///     opsctl history --since 7d
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct HistoryArgs {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    list: ListArgs,
}

#[derive(clap::Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    since: SinceArgs,

    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show one receipt, item by item
    Show(ShowArgs),
    Verify(VerifyArgs),
    Resume(ResumeArgs),
}

#[derive(clap::Args, Debug)]
struct ShowArgs {
    /// Receipt to show: r-1017-0309
    receipt: String,
}

impl HistoryArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        app.follow_sandbox_clock();
        match self.verb {
            Some(Verb::Show(args)) => app.emit(&Shown(app.receipts.read(&args.receipt)?))?,
            Some(Verb::Verify(args)) => return args.run(app).await,
            Some(Verb::Resume(args)) => return args.run(app).await,
            None => self.list.run(app)?,
        }
        Ok(Outcome::Done)
    }
}

impl ListArgs {
    fn run(self, app: &App) -> anyhow::Result<()> {
        let since = self.since.resolve(app)?;
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let receipts = app.receipts.since(since)?.take(most).collect::<anyhow::Result<_>>()?;
        app.emit(&History(receipts))?;
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct History(Vec<Receipt>);

impl Report for History {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["RECEIPT", "WHEN", "WHO", "CONTEXT", "WHAT", "OUTCOME"]);
        for receipt in &self.0 {
            let when = page.time(receipt.at);
            let (id, who, context) = (receipt.id.clone(), receipt.operator.clone(), receipt.context.clone());
            table.row([id, when, who, context, receipt.title.clone(), outcome(receipt)]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No changes.".into())
    }
}

/// What became of it, in a few words.
fn outcome(receipt: &Receipt) -> String {
    match (receipt.state, &receipt.undone_by) {
        (ReceiptState::Started, _) if receipt.is_interrupted() => {
            format!("INTERRUPTED, {} of {} done", receipt.items.len(), receipt.planned.unwrap_or_default())
        }
        (ReceiptState::Started, _) => "UNKNOWN".into(),
        (ReceiptState::Failed, _) => "FAILED".into(),
        (ReceiptState::Done, Some(by)) => format!("undone by {by}"),
        (ReceiptState::Done, None) if receipt.can_be_undone() => "done, can be undone".into(),
        (ReceiptState::Done, None) => "done".into(),
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Receipt);

impl Report for Shown {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let receipt = &self.0;
        page.pair("Receipt", &receipt.id)?;
        page.pair("What", &receipt.title)?;
        page.pair("Command", format_args!("opsctl {}", receipt.verb))?;
        page.pair("Outcome", outcome(receipt))?;
        page.pair_time("When", receipt.at)?;
        page.pair("Who", &receipt.operator)?;
        page.pair("Context", format_args!("{} {}", receipt.context, receipt.url))?;
        let optional = [("Reason", &receipt.reason), ("Ticket", &receipt.ticket), ("Error", &receipt.error)];
        for (label, text) in optional {
            if let Some(text) = text {
                page.pair(label, text)?;
            }
        }
        if receipt.items.is_empty() {
            return Ok(());
        }
        page.blank()?;
        let mut table = Table::new(&["ITEM", "EFFECT", "UNDO", "DETAIL"]);
        for item in &receipt.items {
            let detail = item.detail.clone().unwrap_or_default();
            table.row([item.id.clone(), item.effect.to_string(), undo_words(&item.undo), detail]);
        }
        page.table(&table)
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.0.items.iter().map(serde_json::to_value).collect()
    }
}

/// How an item is taken back, in a few words.
fn undo_words(undo: &UndoAction) -> String {
    match undo {
        UndoAction::RestoreItem { .. } => "restore".into(),
        UndoAction::Pause { scope } => format!("pause {scope}"),
        UndoAction::Resume { scope } => format!("resume {scope}"),
        UndoAction::SetConfig { name, value: Some(value), .. } => format!("{name}={value}"),
        UndoAction::SetConfig { name, value: None, .. } => format!("unset {name}"),
        UndoAction::RevokeToken { id } => format!("revoke {id}"),
        UndoAction::RestoreBackup { backup, .. } => format!("restore {backup}"),
        UndoAction::AtPlatform { how } => how.to_string(),
        UndoAction::None { why } => format!("none: {why}"),
    }
}
