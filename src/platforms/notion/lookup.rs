//! What became of a write whose answer was lost.

use serde_json::{Value, json};

use super::super::fields::Data;
use super::super::session::{Ask, Session};
use super::super::{Call, CallOutcome, Lookup, PlatformError};
use super::columns::read_text;
use super::{bot, database, only_source, query_source, reduced, trashed};
use crate::wire::{ActionType, Time};

/// Pages of a page's blocks that a lookup reads, 100 blocks each.
const LOOKUP_PAGES: usize = 20;

pub async fn find_written(session: &Session, call: &Call, since: Time) -> Result<Lookup, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match call.action_type {
        ActionType::Create => find_page(session, call, &data, since).await,
        ActionType::Log => find_paragraph(session, &data, since).await,
        ActionType::Delete => {
            let page = trashed(session, data.text("page_id").unwrap_or_default()).await?;
            Ok(page.map_or(Lookup::Absent, |page| Lookup::Found(CallOutcome::found(reduced(&page)))))
        }
        _ => Ok(Lookup::Absent),
    }
}

async fn find_page(session: &Session, call: &Call, data: &Data<'_>, since: Time) -> Result<Lookup, PlatformError> {
    let source = only_source(session, &database(session, data)?).await?;
    if let (Some(marker), Some(key)) = (&call.marker, source.key()) {
        let filter = json!({"property": key.name, "rich_text": {"equals": marker}});
        let answer = query_source(session, &source.id, json!({"filter": filter, "page_size": 2})).await?;
        let page = answer["results"].as_array().and_then(|r| r.first());
        return Ok(page.map_or(Lookup::Absent, |page| Lookup::Found(CallOutcome::found(reduced(page)))));
    }
    let Some(title) = source.title() else { return Ok(Lookup::Unclear("the database has no title column".into())) };
    let filter = json!({"and": [
        {"property": title.name, "title": {"equals": data.text("title")}},
        {"timestamp": "created_time", "created_time": {"on_or_after": to_the_minute(since).to_string()}},
    ]});
    let answer = query_source(session, &source.id, json!({"filter": filter, "page_size": 100})).await?;
    let pages = answer["results"].as_array().cloned().unwrap_or_default();
    ours(session, pages, since, "pages with this title", reduced).await
}

async fn find_paragraph(session: &Session, data: &Data<'_>, since: Time) -> Result<Lookup, PlatformError> {
    let id = data.text("page_id").unwrap_or_default();
    let text = data.text("text").unwrap_or_default();
    let Some(blocks) = blocks(session, id).await? else {
        return Ok(Lookup::Unclear(format!("page {id} has more than {} blocks", LOOKUP_PAGES * 100)));
    };
    let same = blocks.into_iter().filter(|b| read_text(&b["paragraph"]["rich_text"]) == text).collect();
    let result = |block: &Value| json!({"pageId": id, "blockId": block["id"]});
    ours(session, same, since, "paragraphs with this text", result).await
}

/// The blocks of a page; `None` when there are too many to read.
pub async fn blocks(session: &Session, id: &str) -> Result<Option<Vec<Value>>, PlatformError> {
    let (mut blocks, mut cursor) = (Vec::new(), None::<String>);
    for _ in 0..LOOKUP_PAGES {
        let mut query = vec![("page_size", "100")];
        if let Some(cursor) = &cursor {
            query.push(("start_cursor", cursor));
        }
        let url = session.at_with(&["blocks", id, "children"], &query);
        let answer = session.ask(Ask::get("blocks.children.list", url)).await?;
        blocks.extend(answer["results"].as_array().into_iter().flatten().cloned());
        cursor = answer["next_cursor"].as_str().filter(|_| answer["has_more"] == true).map(str::to_string);
        if cursor.is_none() {
            return Ok(Some(blocks));
        }
    }
    Ok(None)
}

/// Of objects that look right, the one that our bot made since then.
async fn ours(
    session: &Session,
    objects: Vec<Value>,
    since: Time,
    what: &str,
    result: impl Fn(&Value) -> Value,
) -> Result<Lookup, PlatformError> {
    if objects.is_empty() {
        return Ok(Lookup::Absent);
    }
    let bot = bot(session).await?;
    let since = to_the_minute(since);
    let young = |o: &&Value| o["created_time"].as_str().and_then(|t| t.parse::<Time>().ok()).is_none_or(|t| t >= since);
    let by_us = |o: &&Value| o["created_by"]["id"].as_str().is_none_or(|id| id == bot);
    let candidates: Vec<&Value> = objects.iter().filter(young).filter(by_us).collect();
    Ok(match candidates.as_slice() {
        [] => Lookup::Absent,
        [one] => Lookup::Found(CallOutcome::found(result(one))),
        more => Lookup::Unclear(format!("this connection made {} {what} since then", more.len())),
    })
}

/// Notion cuts creation times to the minute.
fn to_the_minute(time: Time) -> Time {
    Time(time.0 - time.0.rem_euclid(60_000))
}
