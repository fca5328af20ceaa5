//! Notion: pages that were made go to the trash, trashed ones come out of it, properties are put back.

use serde_json::{Value, json};

use super::super::fields::Data;
use super::super::notion::{blocks, in_trash, page, page_url, patch, properties_written, read_text, shows, writable};
use super::super::session::Session;
use super::guard::{Field, Verdict, confirm, judge, names, seen, shown};
use super::{Done, PlatformError, Seen, UndoPlan, Undone, Way, if_there};
use crate::wire::ActionType;

pub fn plan(done: &Done) -> UndoPlan {
    let data = done.data();
    let id = data.text("page_id").unwrap_or_default();
    match done.action_type {
        ActionType::Create => of_making(done, &data),
        ActionType::Update => of_changing(done, id),
        ActionType::Delete => {
            let way = match &done.before {
                Some(before) if before["in_trash"] == true => Way::Nothing("the page was in the trash before"),
                _ if done.in_doubt() => Way::manual([
                    format!("It is not known whether page {id} was moved to the trash. Open {}", page_url(id)),
                    "If it is in the trash and should not be: restore it there.".to_string(),
                ]),
                _ => Way::Request,
            };
            UndoPlan::new(done, "Page restore", format!("take page {id} out of the trash"), way)
        }
        _ => {
            let text = shown(data.get("text").unwrap_or(&Value::Null));
            let way = Way::manual([format!("Open {} and remove the paragraph {text}.", page_url(id))]);
            UndoPlan::new(done, "Paragraph removal", format!("remove the paragraph on page {id}"), way)
        }
    }
}

fn of_making(done: &Done, data: &Data<'_>) -> UndoPlan {
    let (what, way) = match done.id("pageId") {
        Some(id) => (format!("move page {id} to the trash"), Way::Request),
        None => {
            let title = shown(data.get("title").unwrap_or(&Value::Null));
            let way = Way::manual([
                format!("It is not known whether the page was made. Look in Notion for {title}."),
                "If it is there: opsctl notion delete PAGE_ID".to_string(),
            ]);
            (format!("look for page {title} and move it to the trash"), way)
        }
    };
    UndoPlan::new(done, "Page deletion", what, way)
}

fn of_changing(done: &Done, id: &str) -> UndoPlan {
    let link = done.id("url").map_or_else(|| page_url(id), str::to_string);
    let lost = done.before.as_ref().and_then(|b| b["excluded"].as_object()).filter(|lost| !lost.is_empty());
    let way = match (done.in_doubt(), &done.before, lost) {
        (true, _, _) => Way::manual([
            format!("It is not known whether page {id} was changed. Open {link}"),
            "Put back by hand what was changed; the page's history has what was before.".to_string(),
        ]),
        (false, Some(_), Some(lost)) => {
            let mut lines = vec![format!("Not all of page {id} can be written back. Open {link}")];
            lines.extend(lost.iter().map(|(name, why)| {
                format!("Put {name} back by hand, from the page's history: {}", why.as_str().unwrap_or_default())
            }));
            lines.extend(back_to(done));
            Way::Manual(lines)
        }
        (false, Some(before), None) if before["properties"].is_object() => Way::Request,
        _ => Way::manual([
            format!("What page {id} held before was not kept. Open {link}"),
            "Put it back by hand, from the page's history.".to_string(),
        ]),
    };
    UndoPlan::new(done, "Page restore", format!("put back the properties of page {id}"), way)
}

pub fn by_hand(done: &Done) -> Vec<String> {
    let data = done.data();
    let id = done.id("pageId").or_else(|| data.text("page_id")).unwrap_or_default();
    let mut lines = match done.action_type {
        ActionType::Create => vec![format!("opsctl notion delete {id}")],
        ActionType::Delete => vec![format!("Restore page {id} from Notion's trash.")],
        _ => back_to(done).collect(),
    };
    lines.push(format!("The page: {}", done.id("url").map_or_else(|| page_url(id), str::to_string)));
    lines
}

/// What each property was, for a person who puts it back.
fn back_to(done: &Done) -> impl Iterator<Item = String> {
    let value = |of: &Value| of.as_object().and_then(|o| o.values().next()).map_or("empty".into(), plain);
    let properties = done.before.as_ref().and_then(|b| b["properties"].as_object());
    properties.into_iter().flatten().map(move |(name, was)| format!("Put {name} back to {}.", value(was)))
}

pub async fn before(session: &Session, action: ActionType, data: &Data<'_>) -> Result<Value, PlatformError> {
    let page = page(session, data.text("page_id").unwrap_or_default()).await?;
    if action == ActionType::Delete {
        return Ok(json!({"in_trash": in_trash(&page)}));
    }
    let (mut properties, mut excluded) = (json!({}), json!({}));
    for name in properties_written(session, data, &page)?.as_object().into_iter().flatten().map(|(name, _)| name) {
        match writable(&page["properties"][name]) {
            Ok(value) => properties[name] = value,
            Err(why) => excluded[name] = Value::from(why),
        }
    }
    Ok(json!({"properties": properties, "excluded": excluded}))
}

pub async fn undo(session: &Session, done: &Done, force: bool) -> Result<Undone, PlatformError> {
    let data = done.data();
    let id = data.text("page_id").unwrap_or_default();
    match done.action_type {
        ActionType::Create => trash(session, done.id("pageId").unwrap_or_default()).await,
        ActionType::Update => put_back(session, done, &data, id, force).await,
        _ => restore(session, id).await,
    }
}

/// The page; `None` when it was deleted for good, or is no longer shared with this connection.
async fn find(session: &Session, id: &str) -> Result<Option<Value>, PlatformError> {
    if_there(page(session, id).await)
}

fn gone(id: &str) -> String {
    format!("Notion shows no page {id}: it was deleted for good, or is not shared with this connection any more")
}

async fn trash(session: &Session, id: &str) -> Result<Undone, PlatformError> {
    match find(session, id).await? {
        None => return Ok(Undone::Already(gone(id))),
        Some(page) if in_trash(&page) => return Ok(Undone::Already(format!("page {id} is in the trash"))),
        Some(_) => {}
    }
    patch(session, "pages.trash", id, json!({"in_trash": true})).await?;
    Ok(match find(session, id).await? {
        Some(page) if !in_trash(&page) => Undone::StillStands(format!("page {id} is not in the trash")),
        Some(_) => Undone::Confirmed(format!("page {id} is in the trash")),
        None => Undone::Confirmed(gone(id)),
    })
}

async fn restore(session: &Session, id: &str) -> Result<Undone, PlatformError> {
    // What is gone for good cannot come back: that is the platform's NOT_FOUND.
    if !in_trash(&page(session, id).await?) {
        return Ok(Undone::Already(format!("page {id} is not in the trash")));
    }
    patch(session, "pages.restore", id, json!({"in_trash": false})).await?;
    Ok(match in_trash(&page(session, id).await?) {
        true => Undone::StillStands(format!("page {id} is still in the trash")),
        false => Undone::Confirmed(format!("page {id} is out of the trash")),
    })
}

async fn put_back(
    session: &Session,
    done: &Done,
    data: &Data<'_>,
    id: &str,
    force: bool,
) -> Result<Undone, PlatformError> {
    let image = done.before.as_ref().map_or(&Value::Null, |b| &b["properties"]);
    let Some(now) = find(session, id).await? else {
        return Ok(Undone::Already(format!("{}: nothing of the change is left", gone(id))));
    };
    let fields = fields(session, data, image, &now)?;
    let places = match judge(&fields, force) {
        Verdict::Back => {
            return Ok(Undone::Already(format!("page {id} holds what it held before: {}", names(&fields))));
        }
        // Notion changes no page that is in the trash.
        _ if in_trash(&now) => return Ok(Undone::ChangedSince(format!("page {id} was moved to the trash since"))),
        Verdict::Changed(how) => return Ok(Undone::ChangedSince(format!("page {id} was changed since: {how}"))),
        Verdict::PutBack(places) => places,
    };
    let properties: serde_json::Map<String, Value> =
        places.iter().map(|at| &fields[*at].name).map(|name| (name.clone(), image[name].clone())).collect();
    patch(session, "pages.update", id, json!({"properties": properties})).await?;
    let fields = self::fields(session, data, image, &page(session, id).await?)?;
    Ok(confirm(&format!("page {id}"), &fields))
}

/// What the action wrote, as the page shows it now.
fn fields(session: &Session, data: &Data<'_>, image: &Value, page: &Value) -> Result<Vec<Field>, PlatformError> {
    let sent = properties_written(session, data, page)?;
    let field = |(name, sent): (&String, &Value)| {
        let (now, was) = (&page["properties"][name], &image[name]);
        let is_ours = shows(now, sent);
        // The same text in another formatting is not yet what was there before.
        let is_back = writable(now).is_ok_and(|now| now == *was) || (!is_ours && shows(now, was));
        Field { name: name.clone(), is_back, is_ours, now: value(now) }
    };
    Ok(sent.as_object().into_iter().flatten().map(field).collect())
}

/// A property's value in a sentence.
fn value(property: &Value) -> String {
    plain(&property[property["type"].as_str().unwrap_or_default()])
}

fn plain(value: &Value) -> String {
    match value {
        Value::Array(parts) if parts.iter().any(|p| p.get("text").is_some()) => shown(&read_text(value).into()),
        Value::Array(list) => shown(
            &list.iter().filter_map(|e| e["name"].as_str().or(e["id"].as_str())).collect::<Vec<_>>().join(", ").into(),
        ),
        Value::Object(object) => shown(object.get("name").or_else(|| object.get("start")).unwrap_or(value)),
        other => shown(other),
    }
}

pub async fn inspect(session: &Session, done: &Done) -> Result<Seen, PlatformError> {
    let data = done.data();
    let id = done.id("pageId").or_else(|| data.text("page_id")).unwrap_or_default();
    let Some(now) = find(session, id).await? else { return Ok(Seen::Missing(gone(id))) };
    let trashed = in_trash(&now);
    Ok(match done.action_type {
        ActionType::Delete if trashed => Seen::Present,
        ActionType::Delete => Seen::Altered(format!("page {id} is not in the trash any more")),
        _ if trashed => Seen::Missing(format!("page {id} is in the trash")),
        ActionType::Log => paragraph(session, done, id, data.text("text").unwrap_or_default()).await?,
        _ => match fields(session, &data, &Value::Null, &now) {
            Ok(fields) => seen(&fields),
            // A column that was written is not there any more.
            Err(error) => Seen::Altered(error.message),
        },
    })
}

async fn paragraph(session: &Session, done: &Done, page: &str, sent: &str) -> Result<Seen, PlatformError> {
    let id = done.id("blockId").unwrap_or_default();
    let Some(blocks) = blocks(session, page).await? else {
        return Ok(Seen::NotReported(format!("page {page} has too many blocks to look through")));
    };
    let Some(block) = blocks.iter().find(|b| b["id"] == id) else {
        return Ok(Seen::Missing(format!("page {page} has no paragraph {id}")));
    };
    let text = read_text(&block["paragraph"]["rich_text"]);
    Ok(if text == sent { Seen::Present } else { Seen::Altered(format!("its text is {}", shown(&text.into()))) })
}
