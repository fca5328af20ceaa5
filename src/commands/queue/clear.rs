//! `opsctl queue remove|clear|retry`: taking items out, and driving failed ones again.

use std::io;
use std::time::Duration;

use clap::Args;

use crate::app::App;
use crate::commands::args::{PlatformArg, SinceArgs, already, count, outcome_of};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report, Table};
use crate::wire::{ChangeAnswer, ClearRequest, EffectKind, IdsRequest, QueueFilter, QueueItem, QueueView};

use super::items::{STUCK_AFTER, age};

/// Most items one clear looks at; a larger queue is cleared in several runs.
const CLEAR_LIMIT: u64 = 10_000;

/// Take one waiting item out of the queue
///
/// It goes to the dead letters, from which `opsctl undo` puts it back. An item that is being executed is not touched.
///
/// Example: opsctl queue remove 0198f2a1-7c1e-7a52-9b1f-5a579d0e3f6a --reason "created by mistake"
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// The action's id
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Take all waiting items, or the stuck ones, out of the queue
///
/// They go to the dead letters, from which `opsctl undo` puts them back. Only the items the plan lists are taken: what
/// arrives meanwhile stays. Without --stuck-only everything that waits is taken out; look at --stuck-only first.
///
/// Example: opsctl queue clear --stuck-only --dry-run
#[derive(Args, Debug)]
pub struct ClearArgs {
    /// Only items that wait longer than ten minutes
    #[arg(long)]
    stuck_only: bool,

    /// With --stuck-only: the age from which an item counts as stuck
    #[arg(long, value_name = "DURATION", requires = "stuck_only", value_parser = crate::settings::parse_duration)]
    older_than: Option<Duration>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Drive failed items again
///
/// Either one item, or all that failed on a platform since a moment. They are paced at the platform's rate limit
/// unless told otherwise. An item in doubt may have happened: look at the platform first.
///
/// Example: opsctl queue retry --platform notion --since 2h
#[derive(Args, Debug)]
pub struct RetryArgs {
    /// The action's id
    #[arg(value_name = "ID", required_unless_present = "platform", conflicts_with = "platform")]
    id: Option<String>,

    /// All failed items of this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    #[command(flatten)]
    since: SinceArgs,

    /// Items a second
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count(1..=1000))]
    per_second: Option<u64>,

    #[command(flatten)]
    change: ChangeArgs,
}

impl Report for ChangeAnswer {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&self.message)?;
        let mut table = Table::new(&["ITEM", "RESULT", "WHY"]);
        for item in self.items.iter().filter(|i| !is_fine(i.effect) || i.effect == EffectKind::Accepted) {
            table.row([item.id.clone(), item.effect.to_string(), item.detail.clone().unwrap_or_default()]);
        }
        if table.is_empty() { Ok(()) } else { page.table(&table) }
    }
}

fn is_fine(effect: EffectKind) -> bool {
    matches!(effect, EffectKind::Applied | EffectKind::Accepted | EffectKind::AlreadySo)
}

/// One line of a plan: the item and why it is there.
fn line(item: &QueueItem, sent: &str) -> Step {
    let evidence = format!(
        "{} on {}, {}, queued {}{}",
        item.action_type,
        item.platform,
        item.priority,
        item.queued_at,
        item.waiting_for.as_deref().map(|w| format!(", waiting for {w}")).unwrap_or_default(),
    );
    Step::new(sent).on(&item.action_id).because(evidence).undo(Undo::Restore)
}

pub(super) async fn remove(app: &App, args: RemoveArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let item = orchestrator.queue_item(&args.id).await?;
    match item.state {
        QueueView::Removed => {
            return already(app, format!("item {} is already removed", item.action_id));
        }
        QueueView::Executing => {
            return Err(Fault::new(Kind::Conflict, format!("cannot remove item `{}`", args.id))
                .because("it is being executed")
                .hint(format!("see how it ends with `opsctl queue show {}`", args.id))
                .into());
        }
        _ => {}
    }
    let plan = Plan::new("queue remove", "take 1 item out of the queue", &args.change)
        .step(line(&item, "DELETE /admin/v1/queue/items/ID"));
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let answer = orchestrator.remove_item(&approval, &item.action_id, item.version).await?;
    let undo = UndoAction::RestoreItem { id: item.action_id.clone() };
    let item = ReceiptItem::applied(item.action_id, undo);
    app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..item }])?;
    app.emit(&answer)?;
    Ok(outcome_of(&answer))
}

pub(super) async fn clear(app: &App, args: ClearArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let older_than = args.older_than.unwrap_or(STUCK_AFTER);
    let older_than_ms = u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX);
    let filter = |view, limit| QueueFilter {
        view,
        platform: None,
        since: None,
        older_than: Some(older_than_ms).filter(|_| view == QueueView::Stuck),
        limit: Some(limit),
    };
    let chosen = if args.stuck_only {
        orchestrator.queue_items(&filter(QueueView::Stuck, CLEAR_LIMIT)).await?
    } else {
        // Of the stuck ones only how many there are.
        let (queued, stuck) = (filter(QueueView::Queued, CLEAR_LIMIT), filter(QueueView::Stuck, 1));
        let (all, stuck) = tokio::try_join!(orchestrator.queue_items(&queued), orchestrator.queue_items(&stuck))?;
        app.note(format!(
            "{} wait, {} of them longer than {}; `opsctl queue clear --stuck-only` takes only those",
            all.total,
            stuck.total,
            age(older_than)
        ));
        all
    };
    if chosen.items.is_empty() {
        let what = if args.stuck_only { "no item is stuck" } else { "the queue is empty" };
        return already(app, format!("already clear: {what}"));
    }
    let title = match args.stuck_only {
        true => format!("take {} stuck items out of the queue", chosen.items.len()),
        false => format!("take {} items out of the queue", chosen.items.len()),
    };
    let mut plan = Plan::new("queue clear", title, &args.change);
    for item in &chosen.items {
        plan = plan.step(line(item, "POST /admin/v1/queue/clear"));
    }
    if chosen.truncated {
        app.output.warn(&format!(
            "only the oldest {} of {} are in this plan; run it again for the rest",
            CLEAR_LIMIT, chosen.total
        ));
    }
    let ids: Vec<String> = chosen.items.iter().map(|i| i.action_id.clone()).collect();
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let request = ClearRequest {
        stuck_only: args.stuck_only,
        older_than: args.stuck_only.then_some(older_than_ms),
        ids: Some(ids),
    };
    let answer = orchestrator.clear_queue(&approval, &request).await?;
    let items = answer.items.iter();
    let items = items.map(|i| ReceiptItem::from_effect(i, UndoAction::RestoreItem { id: i.id.clone() })).collect();
    app.receipt(&approval, items)?;
    finish(app, &answer)
}

pub(super) async fn retry(app: &App, args: RetryArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let items = match (&args.id, &args.platform) {
        (Some(id), _) => vec![orchestrator.queue_item(id).await?],
        (None, platform) => {
            let filter = QueueFilter {
                view: QueueView::Failed,
                platform: platform.map(|p| p.0),
                since: args.since.resolve(app)?,
                older_than: None,
                limit: Some(CLEAR_LIMIT),
            };
            orchestrator.queue_items(&filter).await?.items
        }
    };
    if let Some(other) = items.iter().find(|i| i.state != QueueView::Failed) {
        return Err(Fault::new(Kind::Conflict, format!("cannot retry item `{}`", other.action_id))
            .because(format!("it is {}, not failed", other.state))
            .hint("`opsctl queue failed` lists what can be driven again")
            .into());
    }
    if items.is_empty() {
        return already(app, "No failed items.");
    }
    let mut plan = Plan::new("queue retry", format!("drive {} failed items again", items.len()), &args.change);
    for item in &items {
        let error = item.last_error.as_ref().map(|e| format!("{}: {}", e.code, e.message)).unwrap_or_default();
        plan = plan.step(
            Step::new("POST /admin/v1/queue/retry")
                .on(&item.action_id)
                .because(format!("{}, failed with {error}", item.platform))
                .undo(Undo::Reverse("opsctl queue remove, while it waits".into())),
        );
    }
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let request = IdsRequest {
        ids: items.into_iter().map(|i| i.action_id).collect(),
        per_second: args.per_second.and_then(|n| u32::try_from(n).ok()),
    };
    let answer = orchestrator.retry_items(&approval, &request).await?;
    let why = "remove it with `opsctl queue remove` while it waits";
    let items = answer.items.iter().map(|i| ReceiptItem::from_effect(i, UndoAction::none(why))).collect();
    app.receipt(&approval, items)?;
    finish(app, &answer)
}

/// Shows what became of a bulk change; 8 when some items failed, 1 when all did, 7 when some were not seen yet.
fn finish(app: &App, answer: &ChangeAnswer) -> anyhow::Result<Outcome> {
    app.emit(answer)?;
    let failed = answer.items.iter().filter(|i| !is_fine(i.effect)).count();
    if failed == 0 {
        return Ok(outcome_of(answer));
    }
    if failed == answer.items.len() {
        return Err(Fault::new(Kind::Failed, format!("none of {failed} items was changed"))
            .because("the table above says why for each")
            .hint("look again with `opsctl queue stuck` and `opsctl queue failed`")
            .into());
    }
    Ok(Outcome::SomeFailed)
}
