//! `opsctl cache`: what the orchestrator remembers of platform answers.

use std::io;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::error::Outcome;
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, UndoAction};
use crate::output::{Page, Report};
use crate::wire::CacheCleared;

/// Cached platform answers
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Clear(ClearArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Clear(args) => clear(app, args).await,
        }
    }
}

/// Forget cached platform answers
///
/// Idempotency records are no cache and stay.
///
/// Example: opsctl cache clear
#[derive(Args, Debug)]
pub struct ClearArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

impl Report for CacheCleared {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for (cache, entries) in &self.caches {
            page.pair(cache, format_args!("{entries} dropped"))?;
        }
        Ok(())
    }
}

async fn clear(app: &App, args: ClearArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let plan = Plan::new("cache clear", "forget cached platform answers", &args.change).step(
        Step::new("POST /admin/v1/caches/clear").because("answers are read from the platforms again when needed"),
    );
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let cleared = orchestrator.clear_caches(&approval).await?;
    app.receipt(&approval, vec![ReceiptItem::applied("caches", UndoAction::none("they fill again by themselves"))])?;
    app.emit(&cleared)?;
    Ok(Outcome::Done)
}
