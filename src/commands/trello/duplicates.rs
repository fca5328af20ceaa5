//! `opsctl trello find-duplicates|archive-duplicates`.

use clap::Args;
use serde_json::{Value, json};

use crate::analysis::copies::{self, Seen};
use crate::app::App;
use crate::bulk::{Deed, Item, Job, Limits, ShareArgs, share};
use crate::commands::args::already;
use crate::commands::copies::{Found, MatchArgs, Set};
use crate::commands::text;
use crate::error::{Fault, Outcome};
use crate::guard::{ChangeArgs, Undo};
use crate::platforms::look::{TRELLO_FIELDS, fingerprint};
use crate::platforms::sweep::made;
use crate::platforms::{Clients, Platform, TrelloBoardId};
use crate::wire::{ActionType, Time};

/// What `--match` takes beside the name, and Trello's field for it.
const FIELDS: [(&str, &str); 5] =
    [("due", "due"), ("desc", "desc"), ("list", "idList"), ("labels", "idLabels"), ("members", "idMembers")];

/// Find cards of a board that are there twice
///
/// Copies have the same name but for case and white space, and the same --match fields (due, desc, list, labels,
/// members); the oldest stays. Archived cards are left out. Reads only.
///
/// Example: opsctl trello find-duplicates --board 5f0000000000000000000001 --match list
#[derive(Args, Debug)]
pub struct FindArgs {
    /// Board: its id or address
    #[arg(long, value_name = "ID")]
    board: TrelloBoardId,

    #[command(flatten)]
    matching: MatchArgs,

    #[command(flatten)]
    share: ShareArgs,

    /// Show every set of copies
    #[arg(long)]
    all_sets: bool,
}

pub(super) async fn find(app: &App, args: FindArgs) -> anyhow::Result<Outcome> {
    let clients = app.paced().await?;
    let search = search(app, &clients, &args.board, &args.matching);
    let mut found = share::within(app, &clients, Platform::Trello, args.share.share, search).await?;
    found.all = args.all_sets;
    app.emit(&found)?;
    Ok(Outcome::Done)
}

/// Reads a board whole and finds its copies.
pub(super) async fn search(
    app: &App,
    clients: &Clients,
    id: &TrelloBoardId,
    matching: &MatchArgs,
) -> anyhow::Result<Found> {
    let fields = fields(matching)?;
    let what = || format!("cannot read the Trello board {id}");
    let board = clients.trello_board(id.as_str()).await.map_err(|error| error.fault(what()))?;
    let lists: Vec<&String> = board.lists.keys().collect();
    let bar = app.output.progress(0, "read");
    let (mut seen, mut read, mut untitled) = (Vec::new(), 0, 0);
    let each = |card: &Value| {
        read += 1;
        let place = lists.iter().position(|list| card["idList"] == list.as_str());
        match seen_of(card, &fields, place.and_then(|at| u16::try_from(at).ok()).unwrap_or(u16::MAX)) {
            Some(card) => seen.push(card),
            None => untitled += 1,
        }
        bar.at("cards read", read, read);
    };
    clients.trello_cards(&board.id, TRELLO_FIELDS, each).await.map_err(|error| error.fault(what()))?;
    let matched = matching.matched();
    let place = |at: u16| lists.get(usize::from(at)).map(|id| board.lists[*id].clone()).unwrap_or_default();
    let url = |id: &str| format!("https://trello.com/c/{id}");
    let groups = copies::groups(seen, matching.keep);
    let mut found = Found {
        id: board.id.clone(),
        name: board.name.clone(),
        keep: matching.keep.as_str(),
        read,
        untitled,
        surplus: 0,
        review: 0,
        sets: groups.into_iter().map(|group| Set::new(group, &matched, &place, &url)).collect(),
        matched,
        not_reported: Vec::new(),
        words: ("card", "cards"),
        all: false,
    };
    found.count();
    Ok(found)
}

/// Archive the copies on a board
///
/// The same copies as find-duplicates shows. Each card is read again right before it goes, and one that was changed
/// meanwhile stays. Nothing is deleted: archived cards stay on the board for good, and `opsctl undo RECEIPT` takes them
/// out of the archive.
///
/// Example: opsctl trello archive-duplicates --board 5f0000000000000000000001 --dry-run
#[derive(Args, Debug)]
pub struct ArchiveArgs {
    /// Board: its id or address
    #[arg(long, value_name = "ID")]
    board: TrelloBoardId,

    #[command(flatten)]
    matching: MatchArgs,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn archive(app: &App, args: ArchiveArgs) -> anyhow::Result<Outcome> {
    let clients = app.paced().await?;
    let search = search(app, &clients, &args.board, &args.matching);
    let found = share::within(app, &clients, Platform::Trello, args.limits.share.share, search).await?;
    if found.surplus == 0 {
        return already(app, found.none());
    }
    let items = found.removable().map(|copy| {
        let id = copy.id.as_str();
        item(id, &copy.title, &copy.evidence, &copy.print)
    });
    let cards = text::counted(found.surplus, "copy", "copies");
    Job::new("trello archive-duplicates", format!("archive {cards} on {}", found.name), &args.change)
        .limits(&args.limits)
        .subject(format!("trello board {}", found.id))
        .items(items.collect())
        .run(app)
        .await
}

/// A card to archive.
pub(super) fn item(id: &str, name: &str, evidence: &str, print: &str) -> Item {
    Item::new(id, Deed::act(Platform::Trello, ActionType::Delete, json!({"cardId": id})))
        .named(name)
        .sends(format!("PUT /1/cards/{id} closed=true"))
        .because(evidence)
        .seen(print)
        .undo(Undo::Restore)
}

/// Trello's fields that have to match.
fn fields(matching: &MatchArgs) -> Result<Vec<&'static str>, Fault> {
    let of = |name: &str| {
        let known = FIELDS.iter().find(|(ours, _)| *ours == name);
        known.map(|(_, theirs)| *theirs).ok_or_else(|| {
            let names: Vec<_> = FIELDS.iter().map(|(ours, _)| *ours).collect();
            Fault::usage(format!("--match {name}: a card has no such field"))
                .because(format!("it has {}", names.join(", ")))
        })
    };
    matching.others().into_iter().map(of).collect()
}

/// What is kept of a card; `None` when it has no name.
fn seen_of(card: &Value, fields: &[&str], place: u16) -> Option<Seen> {
    let (id, name) = (card["id"].as_str()?, card["name"].as_str().unwrap_or_default());
    let others: Vec<String> = fields.iter().map(|field| card[field].to_string()).collect();
    let edited: Option<Time> = card["dateLastActivity"].as_str().and_then(|text| text.parse().ok());
    Some(Seen {
        key: copies::key(name, &others)?,
        id: id.into(),
        title: copies::shown(name),
        created: made(id),
        edited: edited.unwrap_or_else(|| made(id)),
        place,
        print: fingerprint(Platform::Trello, card).into(),
    })
}
