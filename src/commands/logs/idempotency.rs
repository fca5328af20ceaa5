//! `opsctl logs idempotency`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::args::{SinceArgs, count};
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::wire::{IdempotencyRecord, KeyCollision, KeyView, Time};

/// Show what idempotency keys prevented and what collided with them
///
/// A collision is a key that was offered for something else than it stands for; it was refused. A prevented duplicate is
/// the same work again; keys that prevented some are shown with their count. The newest are last, as in a log.
///
/// Example: opsctl logs idempotency --collisions
#[derive(Args, Debug)]
pub struct IdempotencyArgs {
    /// Only collisions
    #[arg(long)]
    collisions: bool,

    /// At most this many of each, the newest
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true, value_parser = count(1..=10_000))]
    limit: u64,

    #[command(flatten)]
    since: SinceArgs,
}

/// One line.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Collision(KeyCollision),
    Prevented(IdempotencyRecord),
}

impl Line {
    fn at(&self) -> Option<Time> {
        match self {
            Line::Collision(collision) => Some(collision.at),
            Line::Prevented(key) => key.last_prevented_at,
        }
    }
}

/// All lines, oldest first.
#[derive(Serialize)]
#[serde(transparent)]
struct Lines {
    lines: Vec<Line>,
    #[serde(skip)]
    collisions: bool,
}

impl Report for Lines {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["TIME", "WHAT", "KEY", "HELD BY", "STANDS FOR", "OFFERED", "SOURCE"]);
        for line in &self.lines {
            let at = line.at().map(|at| page.time(at)).unwrap_or_default();
            table.row(match line {
                Line::Collision(collision) => [
                    at,
                    "collision".to_owned(),
                    collision.key.clone(),
                    collision.action_id.clone(),
                    collision.fingerprint.clone(),
                    collision.offered.clone(),
                    collision.source.clone().or_else(|| collision.correlation_id.clone()).unwrap_or_default(),
                ],
                Line::Prevented(key) => [
                    at,
                    format!("prevented {}", text::counted(key.prevented, "duplicate", "duplicates")),
                    key.key.clone(),
                    key.action_id.clone(),
                    key.fingerprint.clone(),
                    "the same".to_owned(),
                    key.correlation_id.clone().unwrap_or_default(),
                ],
            });
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        let words = if self.collisions { "No collisions." } else { "Nothing was prevented and nothing collided." };
        self.lines.is_empty().then(|| words.to_owned())
    }
}

pub(super) async fn idempotency(app: &App, args: IdempotencyArgs) -> anyhow::Result<Outcome> {
    let since = args.since.resolve(app)?;
    let orchestrator = app.orchestrator().await?;
    let collided = orchestrator.key_collisions(since, args.limit).await?;
    let mut truncated = collided.truncated;
    let mut lines: Vec<Line> = collided.collisions.into_iter().map(Line::Collision).collect();
    if !args.collisions {
        let prevented = orchestrator.idempotency_keys(KeyView::Prevented, args.limit).await?;
        truncated |= prevented.truncated;
        let recent = prevented.keys.into_iter().filter(|key| key.last_prevented_at >= since);
        lines.extend(recent.map(Line::Prevented));
    }
    lines.sort_by_key(Line::at);
    app.emit(&Lines { lines, collisions: args.collisions })?;
    if truncated {
        app.note("There are more; raise --limit to see them.");
    }
    Ok(Outcome::Done)
}
