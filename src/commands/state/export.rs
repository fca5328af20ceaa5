//! `opsctl state export`: waiting actions out of one orchestrator, into a file.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::commands::args::already;
use crate::error::{Fault, Kind, Outcome};
use crate::files;
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::wire::{ClearRequest, EffectKind, WaitingRequest};

/// Most actions of one file; a longer queue is moved in several.
const MOST: u64 = 10_000;
/// What the first line of a file says it is.
pub(super) const FORMAT: &str = "opsctl queue 1";

/// Move waiting actions out of the queue into a file
///
/// For another orchestrator: `opsctl state import` puts them into its queue. Everything has to be paused. They are written
/// down first and taken out then, so none is lost and none is executed here any more; `opsctl undo` puts them back. Steps of
/// workflows stay, and what may have been sent.
///
/// Example: opsctl state export queue.jsonl --dry-run
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// File to write, which must not be there yet; its owner alone can read it
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    change: ChangeArgs,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
pub(super) struct Heading {
    pub format: String,
    pub from: String,
    pub items: u64,
}

/// What was moved.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    file: String,
    exported: u64,
    left: u64,
}

impl Report for Exported {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("File", &self.file)?;
        page.pair("Exported", self.exported)?;
        page.pair("Left", self.left)
    }
}

pub(super) async fn run(app: &App, args: ExportArgs) -> anyhow::Result<Outcome> {
    let ExportArgs { file, change } = args;
    if file.exists() {
        return Err(Fault::usage(format!("{} is there already", file.display()))
            .because("what it holds may not have been moved yet")
            .hint("name another file")
            .into());
    }
    let orchestrator = app.orchestrator().await?.clone();
    if orchestrator.pauses().await?.is_empty() {
        return Err(Fault::new(Kind::Conflict, "cannot move the queue while it is worked on")
            .because("an action could be executed here and there")
            .hint("opsctl queue pause --reason \"moving the queue\"")
            .into());
    }
    let found = orchestrator.queue_requests(MOST).await?;
    if found.requests.is_empty() {
        return already(app, format!("nothing to move: {} wait, and none of them can be", found.waiting));
    }
    let (n, from) = (found.requests.len() as u64, app.address().await?.1);
    let step = Step::new("POST /admin/v1/queue/clear")
        .on(file.display())
        .because(format!("{n} of {} waiting actions, written down first", found.waiting))
        .undo(Undo::Restore);
    let plan = Plan::new("state export", format!("move {n} waiting actions out of the queue"), &change);
    let Some(approval) = app.approve(&plan.step(step).items(n)).await? else { return Ok(Outcome::Done) };

    // Until they are taken out it has another name, so that nobody puts them in twice.
    let part = PathBuf::from(format!("{}.part", file.display()));
    write(&part, &from, &found.requests)?;
    let ids = found.requests.iter().map(|waiting| waiting.action_id.clone()).collect();
    let request = ClearRequest { stuck_only: false, older_than: None, ids: Some(ids) };
    let answer = orchestrator.clear_queue(&approval, &request).await?;
    let out = |id: &str| answer.items.iter().any(|item| item.id == id && item.effect == EffectKind::Applied);
    let moved: Vec<WaitingRequest> = found.requests.into_iter().filter(|waiting| out(&waiting.action_id)).collect();
    write(&file, &from, &moved)?;
    files::remove_if_there(&part)?;
    let items = answer.items.iter();
    let items = items.map(|i| ReceiptItem::from_effect(i, UndoAction::RestoreItem { id: i.id.clone() })).collect();
    app.receipt(&approval, items)?;
    let left = orchestrator.queue_status().await?.total_queued;
    app.emit(&Exported { file: file.display().to_string(), exported: moved.len() as u64, left })?;
    app.note(format!("next, where they go to: opsctl --context NAME state import {}", file.display()));
    if left > 0 {
        app.note(format!("{left} wait here still: see them with `opsctl queue stuck --older-than 0s`"));
    }
    Ok(if moved.len() as u64 == n { Outcome::Done } else { Outcome::SomeFailed })
}

fn write(file: &Path, from: &str, requests: &[WaitingRequest]) -> anyhow::Result<()> {
    let heading = Heading { format: FORMAT.into(), from: from.to_owned(), items: requests.len() as u64 };
    let mut text = serde_json::to_string(&heading)?;
    text.push('\n');
    for waiting in requests {
        text.push_str(&serde_json::to_string(waiting)?);
        text.push('\n');
    }
    files::write_whole(file, text.as_bytes(), true)
}
