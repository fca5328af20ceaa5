//! Trello: cards that were made are archived, archived ones come back, and fields are put back.

use serde_json::{Value, json};

use super::super::fields::Data;
use super::super::session::Session;
use super::super::trello::{CHANGES, card, card_with, comments, marked, put};
use super::guard::{Field, Verdict, confirm, judge, names, seen, shown};
use super::{Done, PlatformError, Seen, UndoPlan, Undone, Way, if_there};
use crate::wire::{ActionType, Time};

/// What is asked of a card.
const FIELDS: &str = "name,desc,due,idList,closed,pos,url";

pub fn plan(done: &Done) -> UndoPlan {
    let data = done.data();
    let id = card(&data);
    match done.action_type {
        ActionType::Create => match done.id("cardId") {
            Some(id) => UndoPlan::new(done, "Card archiving", format!("archive card {id}"), Way::Request),
            None => {
                let name = shown(data.get("name").unwrap_or(&Value::Null));
                let way = Way::manual([
                    format!("It is not known whether the card was made. Look on the board for {name}."),
                    "If it is there: opsctl trello archive CARD_ID".to_string(),
                ]);
                UndoPlan::new(done, "Card archiving", format!("look for card {name} and archive it"), way)
            }
        },
        ActionType::Update => of_changing(done, &data),
        ActionType::Delete => {
            let way = match &done.before {
                Some(before) if before["closed"] == true => Way::Nothing("the card was archived before"),
                _ if done.in_doubt() => Way::manual([
                    format!("It is not known whether card {id} was archived. Look at it in the board's archive."),
                    "If it is archived and should not be: send it back to the board.".to_string(),
                ]),
                _ => Way::Request,
            };
            UndoPlan::new(done, "Card restore", format!("take card {id} out of the archive"), way)
        }
        _ => {
            let text = shown(data.get("text").unwrap_or(&Value::Null));
            let which = done.id("commentId").map(|c| format!(" (comment {c})")).unwrap_or_default();
            let way = Way::manual([format!("Open card {id} and remove the comment {text}{which}.")]);
            UndoPlan::new(done, "Comment removal", format!("remove the comment on card {id}"), way)
        }
    }
}

fn of_changing(done: &Done, data: &Data<'_>) -> UndoPlan {
    let id = card(data);
    let written: Vec<&str> = written(data).map(|(_, theirs)| theirs).collect();
    let what = format!("put back {} of card {id}", written.join(", "));
    let complete = done.before.as_ref().is_some_and(|b| written.iter().all(|f| b.get(f).is_some()));
    let at = done.id("url").map(|url| format!(" Open {url}")).unwrap_or_default();
    let way = match done.in_doubt() {
        false if complete => Way::Request,
        false => Way::manual([
            format!("What card {id} held before was not kept.{at}"),
            format!("Put back by hand: {}.", written.join(", ")),
        ]),
        true => Way::manual([
            format!("It is not known whether card {id} was changed: look at {}.{at}", written.join(", ")),
            "Put back by hand what was changed.".to_string(),
        ]),
    };
    UndoPlan::new(done, "Card restore", what, way)
}

pub fn by_hand(done: &Done) -> Vec<String> {
    let data = done.data();
    let id = done.id("cardId").unwrap_or_else(|| card(&data));
    let mut lines = match done.action_type {
        ActionType::Create => vec![format!("opsctl trello archive {id}")],
        ActionType::Delete => vec![format!("Send card {id} back to the board from its archive.")],
        _ => written(&data)
            .map(|(_, field)| (field, done.before.as_ref().map_or(&Value::Null, |b| &b[field])))
            .map(|(field, was)| format!("Put {field} of card {id} back to {}.", shown(was)))
            .collect(),
    };
    lines.extend(done.id("url").map(|url| format!("The card: {url}")));
    lines
}

/// The fields that an update writes: our name and Trello's.
fn written<'a>(data: &Data<'a>) -> impl Iterator<Item = (&'static str, &'static str)> {
    CHANGES.into_iter().filter(|(ours, _)| data.get(ours).is_some())
}

async fn get(session: &Session, id: &str) -> Result<Value, PlatformError> {
    card_with(session, id, FIELDS).await
}

/// The card; `None` when it was deleted for good.
async fn find(session: &Session, id: &str) -> Result<Option<Value>, PlatformError> {
    if_there(get(session, id).await)
}

pub async fn before(session: &Session, action: ActionType, data: &Data<'_>) -> Result<Value, PlatformError> {
    let now = get(session, card(data)).await?;
    if action == ActionType::Delete {
        return Ok(json!({"closed": now["closed"] == true}));
    }
    let mut image = json!({});
    for (_, theirs) in written(data) {
        image[theirs] = now[theirs].clone();
    }
    if data.get("listId").is_some() {
        // Moving puts a card at the end of its list.
        image["pos"] = now["pos"].clone();
    }
    Ok(image)
}

pub async fn undo(session: &Session, done: &Done, force: bool) -> Result<Undone, PlatformError> {
    let data = done.data();
    match done.action_type {
        ActionType::Create => archive(session, done.id("cardId").unwrap_or_default()).await,
        ActionType::Update => put_back(session, done, &data, force).await,
        _ => reopen(session, card(&data)).await,
    }
}

async fn archive(session: &Session, id: &str) -> Result<Undone, PlatformError> {
    match find(session, id).await? {
        None => return Ok(Undone::Already(format!("Trello has no card {id}"))),
        Some(card) if card["closed"] == true => return Ok(Undone::Already(format!("card {id} is archived"))),
        Some(_) => {}
    }
    put(session, id, json!({"closed": true})).await?;
    Ok(match find(session, id).await? {
        Some(card) if card["closed"] != true => Undone::StillStands(format!("card {id} is not archived")),
        Some(_) => Undone::Confirmed(format!("card {id} is archived")),
        None => Undone::Confirmed(format!("Trello has no card {id} any more")),
    })
}

async fn reopen(session: &Session, id: &str) -> Result<Undone, PlatformError> {
    // What is gone for good cannot come back: that is the platform's NOT_FOUND.
    if get(session, id).await?["closed"] != true {
        return Ok(Undone::Already(format!("card {id} is not archived")));
    }
    put(session, id, json!({"closed": false})).await?;
    Ok(match get(session, id).await?["closed"] == true {
        true => Undone::StillStands(format!("card {id} is still archived")),
        false => Undone::Confirmed(format!("card {id} is out of the archive")),
    })
}

async fn put_back(session: &Session, done: &Done, data: &Data<'_>, force: bool) -> Result<Undone, PlatformError> {
    let id = card(data);
    let image = done.before.as_ref().unwrap_or(&Value::Null);
    let Some(now) = find(session, id).await? else {
        return Ok(Undone::Already(format!("Trello has no card {id} any more: nothing of the change is left")));
    };
    let fields = fields(data, image, &now);
    let places = match judge(&fields, force) {
        Verdict::Back => {
            return Ok(Undone::Already(format!("card {id} holds what it held before: {}", names(&fields))));
        }
        Verdict::Changed(how) => return Ok(Undone::ChangedSince(format!("card {id} was changed since: {how}"))),
        Verdict::PutBack(places) => places,
    };
    let mut body = json!({});
    for name in places.iter().map(|at| fields[*at].name.as_str()) {
        body[name] = image[name].clone();
        if name == "idList" && image["pos"].is_number() {
            body["pos"] = image["pos"].clone();
        }
    }
    put(session, id, body).await?;
    Ok(confirm(&format!("card {id}"), &self::fields(data, image, &get(session, id).await?)))
}

/// What an update wrote, as the card shows it now.
fn fields(data: &Data<'_>, image: &Value, now: &Value) -> Vec<Field> {
    written(data)
        .map(|(ours, theirs)| Field {
            name: theirs.to_string(),
            is_back: same(theirs, &now[theirs], &image[theirs]),
            is_ours: same(theirs, &now[theirs], data.get(ours).unwrap_or(&Value::Null)),
            now: shown(&now[theirs]),
        })
        .collect()
}

/// Whether a field shows what was sent: Trello trims texts and writes dates in its own way.
fn same(field: &str, now: &Value, sent: &Value) -> bool {
    match (field, now.as_str(), sent.as_str()) {
        ("due", now, sent) => {
            let (now, sent) = (now.unwrap_or_default(), sent.unwrap_or_default());
            now == sent || moment(now).is_some_and(|at| Some(at) == moment(sent))
        }
        (_, Some(now), Some(sent)) => now.trim() == sent.trim(),
        _ => now == sent,
    }
}

/// A time, or the beginning of a day.
fn moment(text: &str) -> Option<Time> {
    text.parse().ok().or_else(|| format!("{text}T00:00:00Z").parse().ok())
}

pub async fn inspect(session: &Session, done: &Done) -> Result<Seen, PlatformError> {
    let data = done.data();
    let id = done.id("cardId").unwrap_or_else(|| card(&data)).to_string();
    let Some(now) = find(session, &id).await? else { return Ok(Seen::Missing(format!("Trello has no card {id}"))) };
    let closed = now["closed"] == true;
    Ok(match done.action_type {
        ActionType::Delete if closed => Seen::Present,
        ActionType::Delete => Seen::Altered(format!("card {id} is not archived any more")),
        ActionType::Update => seen(&fields(&data, &Value::Null, &now)),
        _ if closed => Seen::Missing(format!("card {id} is archived")),
        ActionType::Log => comment(session, done, &id, &data).await?,
        _ => seen(&made(done, &data, &now)),
    })
}

/// What a creation wrote, as the card shows it now.
fn made(done: &Done, data: &Data<'_>, now: &Value) -> Vec<Field> {
    let desc = marked(data.text("desc").unwrap_or_default(), done.marker.as_ref());
    let sent = [("name", data.get("name").cloned()), ("desc", Some(desc.into())), ("due", data.get("due").cloned())];
    sent.into_iter()
        .filter_map(|(name, sent)| {
            let is_ours = same(name, &now[name], &sent?);
            Some(Field { name: name.into(), is_back: false, is_ours, now: shown(&now[name]) })
        })
        .collect()
}

async fn comment(session: &Session, done: &Done, card: &str, data: &Data<'_>) -> Result<Seen, PlatformError> {
    let id = done.id("commentId").unwrap_or_default();
    let there = comments(session, card, done.at).await?;
    let Some(comment) = there.iter().find(|c| c["id"] == id) else {
        return Ok(Seen::Missing(format!("card {card} has no comment {id}")));
    };
    let sent = marked(data.text("text").unwrap_or_default(), done.marker.as_ref());
    let text = &comment["data"]["text"];
    Ok(match text.as_str().is_some_and(|t| t.trim() == sent.trim()) {
        true => Seen::Present,
        false => Seen::Altered(format!("its text is {}", shown(text))),
    })
}
