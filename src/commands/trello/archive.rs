//! `opsctl trello archive`.

use clap::Args;

use super::duplicates::item;
use crate::app::App;
use crate::bulk::Job;
use crate::commands::args::already;
use crate::error::Outcome;
use crate::guard::ChangeArgs;
use crate::platforms::look::{TRELLO_FIELDS, fingerprint};
use crate::platforms::{Platform, TrelloCardId};

/// Archive a card
///
/// Nothing is deleted: the card stays on its board, closed, for good. `opsctl undo RECEIPT` takes it out of the archive.
///
/// Example: opsctl trello archive 5f0000000000000000000001
#[derive(Args, Debug)]
pub struct ArchiveArgs {
    /// Card: its id or address
    #[arg(value_name = "CARD")]
    card: TrelloCardId,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn archive(app: &App, args: ArchiveArgs) -> anyhow::Result<Outcome> {
    let clients = app.paced().await?;
    let what = || format!("cannot read the Trello card {}", args.card);
    let card = clients.trello_card(args.card.as_str(), TRELLO_FIELDS).await.map_err(|error| error.fault(what()))?;
    let text = |name: &str| card[name].as_str().unwrap_or_default();
    if card["closed"] == true {
        return already(app, format!("`{}` is archived already", text("name")));
    }
    let board = clients.trello_board(text("idBoard")).await.map_err(|error| error.fault(what()))?;
    let list = board.lists.get(text("idList")).map_or("an unknown list", String::as_str);
    let evidence = format!("on {list} of {}", board.name);
    let print = fingerprint(Platform::Trello, &card);
    Job::new("trello archive", "archive 1 card", &args.change)
        .subject(format!("trello card {}", text("id")))
        .items(vec![item(text("id"), text("name"), &evidence, &print)])
        .run(app)
        .await
}
