//! `opsctl queue stuck|failed|show`: items of the queue, listed and looked at.

use std::io;
use std::time::Duration;

use clap::Args;

use crate::app::{App, WatchArgs};
use crate::commands::args::{PlatformArg, SinceArgs, count};
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::settings::format_duration;
use crate::wire::{QueueFilter, QueueItem, QueueItems, QueueView};

/// How long an item waits before it counts as stuck (runbook, Issue 1).
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(600);

/// List items that wait longer than ten minutes
///
/// WAITING FOR says why each one waits: a pause, an open circuit, a rate limit, its next retry, a free worker.
///
/// Example: opsctl queue stuck --platform notion
#[derive(Args, Debug)]
pub struct StuckArgs {
    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    /// Age from which an item counts as stuck
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = crate::settings::parse_duration)]
    older_than: Duration,

    /// At most this many, the oldest
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = count(1..=10_000))]
    limit: u64,

    #[command(flatten)]
    watch: WatchArgs,
}

/// List items whose retries are exhausted
///
/// They stay listed until they are driven again with `opsctl queue retry` or expire. Items in doubt are among them: the
/// write was sent, the answer was lost, and the platform cannot tell whether it happened.
///
/// Example: opsctl queue failed --platform notion --since 24h
#[derive(Args, Debug)]
pub struct FailedArgs {
    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    since: SinceArgs,

    /// At most this many, the oldest
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = count(1..=10_000))]
    limit: u64,
}

/// Show one item
///
/// Example: opsctl queue show 0198f2a1-7c1e-7a52-9b1f-5a579d0e3f6a
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The action's id
    #[arg(value_name = "ID")]
    id: String,
}

/// A listing of one view.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Listing {
    items: QueueItems,
    #[serde(skip)]
    view: QueueView,
}

impl Report for Listing {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.items.items.is_empty() {
            return Ok(());
        }
        let reason = if self.view == QueueView::Failed { "LAST ERROR" } else { "WAITING FOR" };
        let mut table = Table::new(&["ID", "PLATFORM", "TYPE", "PRIORITY", "QUEUED", ">TRIES", reason]);
        for item in &self.items.items {
            let why = match self.view {
                QueueView::Failed => item.last_error.as_ref().map(|e| format!("{}: {}", e.code, e.message)),
                _ => item.waiting_for.clone(),
            };
            table.row([
                item.action_id.clone(),
                item.platform.to_string(),
                item.action_type.to_string(),
                item.priority.to_string(),
                page.time(item.queued_at),
                item.attempts.to_string(),
                why.unwrap_or_default(),
            ]);
        }
        page.table(&table)?;
        if self.items.truncated {
            page.line(format_args!(
                "{} of {} shown; raise --limit to see more",
                self.items.items.len(),
                self.items.total
            ))?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.items.items.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        let word = if self.view == QueueView::Failed { "failed" } else { "stuck" };
        self.items.items.is_empty().then(|| format!("No {word} items."))
    }
}

impl Report for QueueItem {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Action", &self.action_id)?;
        page.pair("State", self.state)?;
        page.pair("Does", format_args!("{} on {}", self.action_type, self.platform))?;
        page.pair("Priority", self.priority)?;
        page.pair_time("Queued", self.queued_at)?;
        page.pair("Tries", self.attempts)?;
        if let Some(at) = self.next_attempt_at {
            page.pair_time("Next try", at)?;
        }
        if let Some(why) = &self.waiting_for {
            page.pair("Waiting for", why)?;
        }
        if let Some(error) = &self.last_error {
            page.pair("Last error", format_args!("{}: {}", error.code, error.message))?;
        }
        if let Some(id) = &self.correlation_id {
            page.pair("Belongs to", id)?;
        }
        if let Some(who) = &self.removed_by {
            page.pair("Removed by", who)?;
        }
        if let Some(at) = self.ended_at {
            page.pair_time("Ended", at)?;
        }
        Ok(())
    }
}

pub(super) async fn stuck(app: &App, args: StuckArgs) -> anyhow::Result<Outcome> {
    let filter = QueueFilter {
        view: QueueView::Stuck,
        platform: args.platform.map(|p| p.0),
        since: None,
        older_than: Some(u64::try_from(args.older_than.as_millis()).unwrap_or(u64::MAX)),
        limit: Some(args.limit),
    };
    let orchestrator = app.orchestrator().await?;
    app.watch(&args.watch, || async {
        let items = orchestrator.queue_items(&filter).await?;
        Ok((Listing { items, view: QueueView::Stuck }, Outcome::Done))
    })
    .await
}

pub(super) async fn failed(app: &App, args: FailedArgs) -> anyhow::Result<Outcome> {
    let filter = QueueFilter {
        view: QueueView::Failed,
        platform: args.platform.map(|p| p.0),
        since: args.since.resolve(app)?,
        older_than: None,
        limit: Some(args.limit),
    };
    let items = app.orchestrator().await?.queue_items(&filter).await?;
    let waiting = format_waiting(&items.items);
    app.emit(&Listing { items, view: QueueView::Failed })?;
    if let Some(hint) = waiting {
        app.note(&hint);
    }
    Ok(Outcome::Done)
}

/// What to type next, when there is something to drive again.
fn format_waiting(items: &[QueueItem]) -> Option<String> {
    let first = items.first()?;
    Some(format!("Drive them again with `opsctl queue retry ID` or `opsctl queue retry --platform {}`", first.platform))
}

pub(super) async fn show(app: &App, args: ShowArgs) -> anyhow::Result<Outcome> {
    let item = app.orchestrator().await?.queue_item(&args.id).await?;
    app.emit(&item)?;
    Ok(Outcome::Done)
}

/// `10m` and the like, for titles.
pub(super) fn age(older_than: Duration) -> String {
    format_duration(older_than)
}
