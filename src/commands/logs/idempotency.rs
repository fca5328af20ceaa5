//! `opsctl logs idempotency`.

use std::io;

use clap::Args;
use serde::Serialize;

use super::lines::{self, About, LineArgs, Simple};
use super::place::{self, Place};
use crate::app::App;
use crate::commands::text;
use crate::error::{Explained, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::wire::{IdempotencyRecord, KeyCollision, KeyOwner, KeyView, LogName, Time};

/// Show what idempotency keys prevented and what collided with them
///
/// A collision is a key that was offered for something else than it stands for; it was refused. A prevented duplicate is
/// the same work again; keys that prevented some are shown with their count. The newest are last, as in a log. With
/// --grep, --filter, --until, --follow and their like the lines of the log are shown as they are.
///
/// Example: opsctl logs idempotency --collisions
#[derive(Args, Debug)]
pub struct IdempotencyArgs {
    /// Only collisions
    #[arg(long)]
    collisions: bool,

    #[command(flatten)]
    lines: LineArgs,
}

/// Entries of each kind shown unless told.
const LIMIT: u64 = 50;
/// The log, where lines are asked for.
const ALL: About = About::of(LogName::Application, &["component:idempotency"]).showing(LIMIT);
const COLLISIONS: About =
    About::of(LogName::Application, &["component:idempotency", "message:/^Collision/"]).showing(LIMIT);

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
            let at = line.at().map(|at| at.to_string()).unwrap_or_default();
            table.row(match line {
                Line::Collision(collision) => [
                    at,
                    "collision".to_owned(),
                    collision.key.clone(),
                    collision.held_by().to_owned(),
                    collision.fingerprint.clone(),
                    collision.offered.clone(),
                    collision.source.clone().or_else(|| collision.correlation_id.clone()).unwrap_or_default(),
                ],
                Line::Prevented(key) => [
                    at,
                    format!(
                        "prevented {}",
                        text::counted(key.prevented.unwrap_or_default(), "duplicate", "duplicates")
                    ),
                    key.key.clone(),
                    key.owner.id().to_owned(),
                    key.fingerprint.clone(),
                    "the same".to_owned(),
                    match &key.owner {
                        KeyOwner::Action { correlation_id, .. } => correlation_id.clone().unwrap_or_default(),
                        KeyOwner::Workflow { .. } => String::new(),
                    },
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
    let about = if args.collisions { COLLISIONS } else { ALL };
    let simple = args.lines.simple().filter(|simple| {
        simple.platform.is_none() && simple.component.is_none() && simple.workflow.is_none() && simple.grep.is_none()
    });
    let Some(simple) = simple else { return lines::show(app, about, args.lines).await };
    match of_service(app, &simple, args.collisions).await {
        // Whoever is down wrote lines before.
        Err(error) if Explained::from_error(&error).kind == Kind::Unreachable => {
            match place::find(app, LogName::Application, None).await {
                Ok(Place::Files(_)) => lines::show(app, about, args.lines).await,
                _ => Err(error),
            }
        }
        answered => answered,
    }
}

async fn of_service(app: &App, simple: &Simple<'_>, only_collisions: bool) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    let (since, limit) = (simple.since.resolve(app)?, simple.limit.unwrap_or(LIMIT));
    let collided = orchestrator.key_collisions(since, limit).await?;
    let mut truncated = collided.truncated;
    let mut lines: Vec<Line> = collided.collisions.into_iter().map(Line::Collision).collect();
    if !only_collisions {
        let prevented = orchestrator.idempotency_keys(KeyView::Prevented, limit).await?;
        truncated |= prevented.truncated;
        let recent = prevented.keys.into_iter().filter(|key| key.last_prevented_at >= since);
        lines.extend(recent.map(Line::Prevented));
    }
    lines.sort_by_key(Line::at);
    app.emit(&Lines { lines, collisions: only_collisions })?;
    if truncated {
        app.note("There are more; raise --limit to see them.");
    }
    Ok(Outcome::Done)
}
