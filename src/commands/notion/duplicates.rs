//! `opsctl notion find-duplicates|remove-duplicates`.

use std::collections::HashMap;

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use crate::analysis::copies::{self, Seen};
use crate::app::App;
use crate::bulk::{Deed, Item, Job, Limits, ShareArgs, share};
use crate::commands::args::already;
use crate::commands::copies::{Found, MatchArgs, Set, note_of_review};
use crate::commands::text;
use crate::error::{Fault, Outcome};
use crate::guard::{ChangeArgs, Undo};
use crate::output::Progress;
use crate::platforms::look::{Among, fingerprint};
use crate::platforms::sweep::{DataSource, Database, time_of};
use crate::platforms::{Clients, NotionId, Platform, PlatformError};
use crate::wire::{ActionType, ErrorCode};

/// Pages that are looked under at once; the limit decides how fast it goes.
const AT_ONCE: usize = 3;

/// Find pages of a database that are there twice
///
/// Copies have the same title but for case and white space, and the same --match fields, in the same data source; the
/// oldest stays. A copy with pages under it, or that a relation points to, is for a person to REVIEW. Reads only.
///
/// Example: opsctl notion find-duplicates --database 1f0c2b3a4d5e6f708192a3b4c5d6e7f8 --match due
#[derive(Args, Debug)]
pub struct FindArgs {
    /// Database or data source: its id or address
    #[arg(long, value_name = "ID")]
    database: NotionId,

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
    let search = search(app, &clients, &args.database, &args.matching);
    let (mut found, _) = share::within(app, &clients, Platform::Notion, args.share.share, search).await?;
    found.all = args.all_sets;
    app.emit(&found)?;
    Ok(Outcome::Done)
}

/// Reads a database whole and finds its copies.
pub(super) async fn search(
    app: &App,
    clients: &Clients,
    id: &NotionId,
    matching: &MatchArgs,
) -> anyhow::Result<(Found, Database)> {
    let database = match clients.notion_database(id.as_str()).await {
        Ok(database) => database,
        Err(error) => return Err(cannot_read(clients, "database", id, error).await),
    };
    let columns = columns(&database, matching)?;
    let bar = app.output.progress(0, "read");
    let (mut seen, mut read, mut untitled) = (Vec::new(), 0, 0);
    for (place, source) in database.sources.iter().enumerate() {
        let columns = &columns[place];
        let each = |row: &serde_json::Value| {
            read += 1;
            match seen_of(source, u16::try_from(place).unwrap_or(u16::MAX), columns, row) {
                Some(page) => seen.push(page),
                None => untitled += 1,
            }
            bar.at("pages read", read, read);
        };
        if let Err(error) = clients.notion_rows(&source.id, each).await {
            return Err(cannot_read(clients, "database", id, error).await);
        }
    }
    let matched = matching.matched();
    let place = |at: u16| database.sources.get(usize::from(at)).map(|s| s.name.clone()).unwrap_or_default();
    let url = |id: &str| format!("https://www.notion.so/{}", id.replace('-', ""));
    let groups = copies::groups(seen, matching.keep);
    let mut found = Found {
        id: id.to_string(),
        name: database.title.clone(),
        keep: matching.keep.as_str(),
        read,
        untitled,
        surplus: 0,
        review: 0,
        sets: groups.into_iter().map(|group| Set::new(group, &matched, &place, &url)).collect(),
        matched,
        not_reported: vec!["mentions"],
        words: ("page", "pages"),
        all: false,
    };
    set_aside(clients, &database, &mut found, &bar).await?;
    found.count();
    Ok((found, database))
}

/// The columns that have to match, by their names in each data source.
fn columns(database: &Database, matching: &MatchArgs) -> Result<Vec<Vec<String>>, Fault> {
    let of = |source: &DataSource| {
        matching
            .others()
            .into_iter()
            .map(|field| {
                source.column(field).map(str::to_owned).ok_or_else(|| {
                    let known: Vec<&str> = source.columns.iter().map(|(_, name)| name.as_str()).collect();
                    Fault::usage(format!("--match {field}: `{}` has no such column", source.name))
                        .because(format!("it has {}", known.join(", ")))
                        .hint("name one of them: --match COLUMN")
                })
            })
            .collect()
    };
    database.sources.iter().map(of).collect()
}

/// What is kept of a row; `None` when it has no title.
fn seen_of(source: &DataSource, place: u16, columns: &[String], row: &serde_json::Value) -> Option<Seen> {
    let title = source.title_of(row);
    let mut others: Vec<String> = columns.iter().map(|column| DataSource::value_of(row, column)).collect();
    // Data sources are not compared with each other.
    others.push(place.to_string());
    Some(Seen {
        key: copies::key(&title, &others)?,
        id: row["id"].as_str()?.into(),
        title: copies::shown(&title),
        created: time_of(row, "created_time"),
        edited: time_of(row, "last_edited_time"),
        place,
        print: fingerprint(Platform::Notion, row).into(),
    })
}

/// Marks the copies that a person has to look at: something points to them, or is under them.
async fn set_aside(clients: &Clients, database: &Database, found: &mut Found, bar: &Progress) -> anyhow::Result<()> {
    let copies = || found.sets.iter().flat_map(|set| &set.copies);
    let total = copies().count() as u64;
    if total == 0 {
        return Ok(());
    }
    let pointed = clients
        .notion_pointed_at(&database.sources)
        .await
        .map_err(|error| error.fault("cannot tell which pages relations point to"))?;
    let mut done = 0;
    let look = |id: String| async move {
        let under = clients.notion_pages_under(&id).await?;
        let comments = clients.notion_has_comments(&id).await?;
        Ok::<_, PlatformError>((id, (under, comments)))
    };
    let looked = stream::iter(copies().map(|copy| copy.id.clone()).filter(|id| !pointed.contains_key(id)))
        .map(look)
        .buffered(AT_ONCE)
        .inspect(|_| {
            done += 1;
            bar.at("copies looked at", done, total);
        })
        .try_collect::<HashMap<String, (usize, Option<bool>)>>()
        .await
        .map_err(|error| error.fault("cannot tell what is under the copies"))?;
    if looked.values().any(|(_, comments)| comments.is_none()) {
        found.not_reported.insert(0, "comments");
    }
    for copy in found.sets.iter_mut().flat_map(|set| &mut set.copies) {
        copy.review = match (pointed.get(&copy.id), looked.get(&copy.id)) {
            (Some(relation), _) => Some(format!("{relation} points to it")),
            (None, Some((under @ 1.., _))) => {
                Some(format!("{} under it", text::counted(*under as u64, "page", "pages")))
            }
            (None, Some((_, Some(true)))) => Some("somebody commented on it".to_owned()),
            _ => None,
        };
    }
    Ok(())
}

/// Move the copies in a database to the trash
///
/// The same copies as find-duplicates shows; what is for a person to REVIEW stays. Each page is read again right before
/// it goes, and one that was changed meanwhile stays. Notion deletes nothing for good: the trash keeps pages for 30 days,
/// and `opsctl undo RECEIPT` brings them back.
///
/// Example: opsctl notion remove-duplicates --database 1f0c2b3a4d5e6f708192a3b4c5d6e7f8 --dry-run
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// Database or data source: its id or address
    #[arg(long, value_name = "ID")]
    database: NotionId,

    #[command(flatten)]
    matching: MatchArgs,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn remove(app: &App, args: RemoveArgs) -> anyhow::Result<Outcome> {
    let clients = app.paced().await?;
    let search = search(app, &clients, &args.database, &args.matching);
    let (found, database) = share::within(app, &clients, Platform::Notion, args.limits.share.share, search).await?;
    if found.surplus == 0 {
        let outcome = already(app, found.none())?;
        if let Some(note) = note_of_review(&found) {
            app.note(format!("note: {note}"));
        }
        return Ok(outcome);
    }
    let items = found.removable().map(|copy| {
        let id = copy.id.as_str();
        let source = database.sources.get(usize::from(copy.place_number)).map(|s| s.id.clone()).unwrap_or_default();
        Item::new(id, Deed::act(Platform::Notion, ActionType::Delete, json!({"page_id": id})))
            .named(&copy.title)
            .sends(format!("PATCH /v1/pages/{id} in_trash=true"))
            .because(&copy.evidence)
            .seen(&copy.print)
            .among(Among { data_source: source, created: copy.created })
            .undo(Undo::Restore)
    });
    let pages = text::counted(found.surplus, "copy", "copies");
    let mut job =
        Job::new("notion remove-duplicates", format!("move {pages} in {} to the trash", found.name), &args.change)
            .limits(&args.limits)
            .subject(format!("notion database {}", found.id))
            .note("Notion keeps the trash for 30 days; undo brings the pages back")
            .items(items.collect());
    if let Some(note) = note_of_review(&found) {
        job = job.note(note);
    }
    job.run(app).await
}

/// Why a database or page cannot be read. Notion's 404 has two readings, and a third when the token is another workspace's: so
/// it is said whose the token is.
pub(super) async fn cannot_read(clients: &Clients, what: &str, id: &NotionId, error: PlatformError) -> anyhow::Error {
    let mut fault = error.fault(format!("cannot read the Notion {what} {id}"));
    if error.code == ErrorCode::NotFound
        && let Ok(identity) = clients.who_am_i(Platform::Notion).await
    {
        fault = fault.because(format!("asked as {identity}; is that the right workspace?"));
    }
    fault.into()
}
