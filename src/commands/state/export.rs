//! `opsctl state export`: waiting actions out of one orchestrator, into a file.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::moved::{MOST, Moved, unfinished};
use crate::app::App;
use crate::client::Orchestrator;
use crate::commands::args::already;
use crate::error::{Fault, Kind, Outcome};
use crate::files;
use crate::guard::{Approval, ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::wire::{ClearRequest, EffectKind, ItemEffect, QueueFilter, QueueView};

/// Actions taken out with the first request, and the fewest and most with a later one.
const PART: usize = 1000;
const PARTS: std::ops::RangeInclusive<usize> = 250..=4000;
/// A request that took less than the first may be followed by a larger one, one that took more than the second by a smaller
/// one: each has to end well within the time limit of a call.
const PART_TIME: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(12));
/// How often what was accepted and not seen is asked for again.
const ROUNDS: usize = 3;
/// How long the end of what is being executed is waited for.
const SETTLING: Duration = Duration::from_secs(10);

/// Move waiting actions out of the queue into a file
///
/// For another orchestrator: `opsctl state import` puts them into its queue. Everything has to be paused. They are written
/// down first and taken out then; an export that was interrupted is finished by the same command. Steps of workflows
/// stay, and what may have been sent. `opsctl undo` puts them back as long as the file was not imported.
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

/// What was moved.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    file: String,
    exported: u64,
    /// What was to be moved and was not, with why.
    not_moved: BTreeMap<String, String>,
    left: u64,
}

impl Report for Exported {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("File", &self.file)?;
        page.pair("Exported", self.exported)?;
        page.pair("Not moved", self.not_moved.len())?;
        page.pair("Left", self.left)?;
        super::reasons(page, &self.not_moved)
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
    let (part, from) = (unfinished(&file), app.address().await?.1);
    let begun = Moved::read_unfinished(&part)?;
    if let Some(other) = begun.as_ref().filter(|begun| begun.from != from) {
        return Err(Fault::new(Kind::Conflict, format!("cannot go on with {}", part.display()))
            .because(format!("it is of {}, and {from} is in use", other.from))
            .hint("use the context it was begun in, or name another file")
            .into());
    }
    settle(app, &orchestrator).await?;
    let goes_on = begun.is_some();
    let (requests, evidence) = match begun {
        Some(begun) => {
            let evidence = format!("{} actions of an export that did not end", begun.requests.len());
            (begun.requests, evidence)
        }
        None => {
            let found = orchestrator.queue_requests(MOST).await?;
            if found.requests.is_empty() {
                return already(app, nothing(found.waiting));
            }
            let evidence = format!("{} of {} waiting actions, written down first", found.requests.len(), found.waiting);
            (found.requests, evidence)
        }
    };
    let n = requests.len() as u64;
    let step = Step::new("POST /admin/v1/queue/clear").on(file.display()).because(evidence).undo(Undo::Restore);
    let title = format!("move {n} waiting actions out of the queue into {}", file.display());
    // Like a clear: nobody else may be taking out of this queue meanwhile.
    let plan = Plan::new("state export", title, &change).subject("queue").step(step).items(n);
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };

    // Until they are taken out it has another name, and says so itself: nobody can put them in twice.
    let mut moved = Moved { export: approval.key().to_owned(), from, at: app.now(), requests };
    moved.write_unfinished(&part)?;
    let effects = match take_out(app, &orchestrator, &approval, &moved, goes_on).await {
        Ok(effects) => effects,
        Err(error) => {
            app.note(format!("{} has all of them; the same command goes on with it", part.display()));
            return Err(error);
        }
    };
    let effect_of = |id: &str| effects.get(id).map(|item| item.effect);
    moved.requests.retain(|waiting| effect_of(&waiting.action_id) == Some(EffectKind::Applied));
    if !moved.requests.is_empty() {
        moved.write(&file)?;
    }
    files::remove_if_there(&part)?;
    let restore = |item: &ItemEffect| ReceiptItem::from_effect(item, UndoAction::RestoreItem { id: item.id.clone() });
    app.receipt(&approval, effects.values().map(restore).collect())?;

    let exported = moved.requests.len() as u64;
    let not_moved = effects.into_values().filter(|item| item.effect != EffectKind::Applied);
    let not_moved = not_moved.map(|item| (item.id, item.detail.unwrap_or_else(|| item.effect.to_string()))).collect();
    let left = orchestrator.queue_status().await?.total_queued;
    app.emit(&Exported { file: file.display().to_string(), exported, not_moved, left })?;
    if exported > 0 {
        app.note(format!("next, where they go to: opsctl --context NAME state import {}", file.display()));
    }
    if left > 0 {
        app.note(format!("{left} wait here still: see them with `opsctl queue stuck --older-than 0s`"));
    }
    Ok(if exported == n { Outcome::Done } else { Outcome::SomeFailed })
}

fn nothing(waiting: u64) -> String {
    match waiting {
        0 => "nothing to move: nothing waits".into(),
        n => format!(
            "nothing to move: {n} wait, and none of them can be moved (steps of workflows, what may have been sent, what is \
             scheduled)"
        ),
    }
}

/// Waits a moment for the end of what is being executed: it would neither be moved nor be left.
async fn settle(app: &App, orchestrator: &Orchestrator) -> anyhow::Result<()> {
    let view = QueueView::Executing;
    let filter = QueueFilter { view, platform: None, since: None, older_than: None, limit: Some(1) };
    let started = Instant::now();
    let mut executing = orchestrator.queue_items(&filter).await?.total;
    if executing > 0 {
        app.note(format!("{executing} are being executed: waiting for their end"));
    }
    while executing > 0 && started.elapsed() < SETTLING {
        tokio::time::sleep(Duration::from_millis(250)).await;
        executing = orchestrator.queue_items(&filter).await?.total;
    }
    if executing > 0 {
        app.note(format!("{executing} are being executed still: they stay here, whatever becomes of them"));
    }
    Ok(())
}

/// Takes them out, part by part. What is taken out already counts only when this export did it, now or before it was
/// interrupted.
async fn take_out(
    app: &App,
    orchestrator: &Orchestrator,
    approval: &Approval,
    moved: &Moved,
    goes_on: bool,
) -> anyhow::Result<BTreeMap<String, ItemEffect>> {
    let n = moved.requests.len() as u64;
    let bar = app.output.progress(n, "export");
    let mut effects = BTreeMap::new();
    let mut left: Vec<String> = moved.requests.iter().map(|waiting| waiting.action_id.clone()).collect();
    let mut size = PART;
    for round in 0..ROUNDS {
        let ours = goes_on || round > 0;
        let mut rest = left.as_slice();
        while !rest.is_empty() {
            let (ids, later) = rest.split_at(size.min(rest.len()));
            let request = ClearRequest { stuck_only: false, older_than: None, ids: Some(ids.to_vec()) };
            let started = Instant::now();
            let answer = orchestrator.clear_part(approval, &format!("{round}.{}", rest.len()), &request).await?;
            (size, rest) = (next_size(size, started.elapsed()), later);
            for mut item in answer.items {
                match item.effect {
                    EffectKind::AlreadySo if ours => item.effect = EffectKind::Applied,
                    EffectKind::AlreadySo => item.detail = Some("somebody took it out meanwhile".into()),
                    _ => {}
                }
                effects.insert(item.id.clone(), item);
            }
            approval.at(&format!("{} of {n}", effects.len()));
            bar.at("export", effects.len() as u64, n);
        }
        left = effects.values().filter(|i| i.effect == EffectKind::Accepted).map(|i| i.id.clone()).collect();
        if left.is_empty() {
            return Ok(effects);
        }
    }
    Err(Fault::new(Kind::Unreachable, format!("{} of {n} actions are not seen to be taken out", left.len()))
        .because("that they are taken out was accepted, and it is not done yet")
        .hint("wait a moment, then repeat the command")
        .into())
}

/// How many to take out with the next request, after one of this size.
fn next_size(size: usize, took: Duration) -> usize {
    let next = match took {
        took if took < PART_TIME.0 => size * 2,
        took if took > PART_TIME.1 => size / 2,
        _ => size,
    };
    next.clamp(*PARTS.start(), *PARTS.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_grow_while_they_are_quick_and_shrink_when_they_are_slow() {
        let next = |size, seconds| next_size(size, Duration::from_secs(seconds));
        assert_eq!([next(1000, 1), next(1000, 8), next(1000, 20)], [2000, 1000, 500]);
        assert_eq!([next(4000, 1), next(250, 29)], [4000, 250]);
    }
}
