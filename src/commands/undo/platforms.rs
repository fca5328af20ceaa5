//! Taking back what was done straight on the platforms, item by item.

use serde_json::json;

use super::UndoArgs;
use crate::app::App;
use crate::bulk::{Deed, Item, Job};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::journal::Fate;
use crate::guard::{Receipt, Record, Stage, Undo};
use crate::platforms::look::{Target, content_of, same_content};
use crate::platforms::undo::{self, Done, Seen, Way};
use crate::platforms::{CALL_TIMEOUT, Clients, PlatformError};
use crate::wire::{ActionType, Platform};

/// What is to be taken back of one receipt.
#[derive(Default)]
struct Sorted {
    items: Vec<Item>,
    /// Touched by somebody since, or not to be reached: with why.
    left: Vec<String>,
    /// Gone for good, or only a person can: with why or how.
    hopeless: Vec<String>,
}

/// How what an item is about looks now.
enum Now {
    AsLeft,
    Touched(String),
    Gone(String),
}

/// Takes back the items of a receipt that were recorded one by one.
pub async fn take_back(app: &App, receipt: &Receipt, args: &UndoArgs) -> anyhow::Result<Outcome> {
    let record = app.receipts.record_of::<Item>(&receipt.id)?;
    let sorted = sort(&app.paced().await?, &record, args).await;
    if sorted.items.is_empty() && sorted.left.is_empty() && !sorted.hopeless.is_empty() {
        let fault = Fault::new(Kind::Conflict, format!("{} cannot be taken back by a request", receipt.id));
        return Err(sorted.hopeless.into_iter().fold(fault, Fault::because).into());
    }
    for item in &sorted.hopeless {
        app.note(format!("cannot be taken back: {item}"));
    }
    for item in &sorted.left {
        app.note(format!("left alone: {item}"));
    }
    let all = sorted.left.is_empty() && sorted.hopeless.is_empty();
    if sorted.items.is_empty() {
        app.note("nothing is left to take back");
        return Ok(if all { Outcome::Done } else { Outcome::SomeFailed });
    }
    let title = format!("undo {} ({}, by {})", receipt.id, receipt.title, receipt.operator);
    let mut job = Job::new("undo", title, &args.change).items(sorted.items);
    if let Some(subject) = &receipt.subject {
        job = job.subject(subject);
    }
    let outcome = job.run(app).await?;
    Ok(if all { outcome } else { Outcome::SomeFailed })
}

/// Sorts the items by what can become of them. The last that was done comes first.
async fn sort(clients: &Clients, record: &Record<Item>, args: &UndoArgs) -> Sorted {
    let mut sorted = Sorted::default();
    let stages = record.plan.iter().zip(&record.stages).enumerate();
    for (place, (item, stage)) in stages.rev().filter(|(_, (item, _))| args.names(&item.id)) {
        let Stage::Ended(fate) = stage else { continue };
        let Some(done) = done(record, place, item, fate).filter(|_| fate.item.can_be_undone()) else { continue };
        let mut plan = undo::plan(&done);
        if item.undo == Undo::Correct {
            // What people have read cannot be taken back, but it can be said that it was wrong.
            plan.way = Way::Request;
        }
        let name = if item.name.is_empty() { item.id.clone() } else { format!("`{}` ({})", item.name, item.id) };
        match plan.way {
            Way::Nothing(why) => sorted.left.push(format!("{name}: {why}")),
            Way::Manual(lines) => sorted.hopeless.push(format!("{name}: {}", lines.join(" "))),
            Way::Request => match look(clients, item, &done).await {
                Now::AsLeft => sorted.items.push(back(item, place, &record.receipt.id, done, plan.what)),
                Now::Touched(how) => sorted.left.push(format!("{name}: {how}")),
                Now::Gone(why) => sorted.hopeless.push(format!("{name}: {why}")),
            },
        }
    }
    sorted
}

/// What was done to an item, as the platforms' undo wants to know it.
fn done(record: &Record<Item>, place: usize, item: &Item, fate: &Fate) -> Option<Done> {
    let Deed::Act { platform, action, data } = &item.deed else { return None };
    // What was found done after a lost answer is known by its own id.
    let result = if fate.result.is_null() { json!({"id": item.id}) } else { fate.result.clone() };
    Some(Done {
        platform: *platform,
        action_type: *action,
        data: data.clone(),
        result,
        before: record.before.get(&place).cloned(),
        marker: Some(format!("{}:{place}", record.receipt.key)),
        at: record.receipt.at,
    })
}

/// Looks whether somebody touched what an item is about.
async fn look(clients: &Clients, item: &Item, done: &Done) -> Now {
    let unseen = |error: PlatformError| Now::Touched(format!("it cannot be looked at: {error}"));
    let Some(seen) = &item.seen else {
        // What has no content of its own to compare: a row, a message.
        return match clients.inspect(done, CALL_TIMEOUT).await {
            Ok(Seen::Present | Seen::NotReported(_)) => Now::AsLeft,
            Ok(Seen::Altered(how) | Seen::Missing(how)) => Now::Touched(how),
            Err(error) => unseen(error),
        };
    };
    let target = Target { action: done.action_type, data: &done.data, among: None };
    match clients.print_now(done.platform, &target).await {
        Ok(Some(now)) if same_content(&now, seen) => Now::AsLeft,
        Ok(Some(_)) => Now::Touched("somebody changed it since".into()),
        Ok(None) => Now::Gone(match done.platform {
            Platform::Notion | Platform::Drive => {
                format!("{} has it no more; its trash is emptied after 30 days", done.platform)
            }
            _ => format!("{} has it no more", done.platform),
        }),
        Err(error) => unseen(error),
    }
}

/// The item that takes another one back.
fn back(item: &Item, place: usize, receipt: &str, done: Done, what: String) -> Item {
    let again = match (done.platform, done.action_type) {
        (Platform::Notion, ActionType::Delete) => Undo::Reverse(format!("opsctl notion delete {}", item.id)),
        (Platform::Trello, ActionType::Delete) => Undo::Reverse(format!("opsctl trello archive {}", item.id)),
        (Platform::Drive, ActionType::Delete) => Undo::Reverse(format!("opsctl drive delete {}", item.id)),
        (Platform::Sheets, ActionType::Delete) => match row_of(&item.id) {
            Some((sheet, tab, row)) => Undo::Reverse(format!("opsctl sheets delete-row {sheet} {row} --sheet {tab:?}")),
            None => Undo::None,
        },
        _ => Undo::None,
    };
    let (sends, why) = match (done.platform, done.action_type) {
        (Platform::Notion, ActionType::Delete) => (format!("PATCH /v1/pages/{} in_trash=false", item.id), ""),
        (Platform::Trello, ActionType::Delete) => (format!("PUT /1/cards/{} closed=false", item.id), ""),
        (Platform::Drive, ActionType::Delete) => (format!("PATCH /drive/v3/files/{} trashed=false", item.id), ""),
        (Platform::Sheets, ActionType::Delete) => {
            let sheet = row_of(&item.id).map_or(item.id.as_str(), |(sheet, ..)| sheet);
            let send = format!("POST /v4/spreadsheets/{sheet}:batchUpdate insertDimension");
            (send, "with its values, formulas, formats and notes")
        }
        (Platform::Slack, _) if item.undo == Undo::Correct => {
            let why = "struck out, and said to be in error; in its thread where it can no longer be edited";
            (format!("POST chat.update channel={}", item.id), why)
        }
        _ => (what, ""),
    };
    let deed = Deed::TakeBack { receipt: receipt.to_owned(), item: place, done: Box::new(done) };
    let back = Item::new(&item.id, deed).named(&item.name).sends(sends).because(why).undo(again);
    match &item.seen {
        Some(seen) => back.seen(content_of(seen)),
        None => back,
    }
}

/// Spreadsheet, tab and number of a row's id.
fn row_of(id: &str) -> Option<(&str, &str, &str)> {
    let (sheet, place) = id.split_once(' ')?;
    let (tab, row) = place.rsplit_once('!')?;
    Some((sheet, tab, row))
}
