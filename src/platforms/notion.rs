//! Notion: pages in databases, and paragraphs on pages.
//!
//! A database is a container since 2025-09-03; rows and columns belong to its data sources, so every database id is
//! first resolved to one. Columns are found by their names, however a caller writes them (`due_date`, `Due date`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::clients::{Ask, Failed, Session};
use super::fields::Data;
use super::{Call, CallOutcome, Lookup, PlatformError, unsupported};
use crate::http::Method;
use crate::wire::{ActionType, ErrorCode, Time};

/// The API version that is sent.
pub(super) const VERSION: &str = "2026-03-11";

/// Longest text in one rich text object, in characters.
const TEXT_LIMIT: usize = 2000;

/// Pages of a page's blocks that a lookup reads, 100 blocks each.
const LOOKUP_PAGES: usize = 20;

/// A data source: where the rows of a database live.
#[derive(Debug, PartialEq)]
pub(super) struct Source {
    id: String,
    columns: BTreeMap<String, Column>,
}

#[derive(Debug, PartialEq)]
struct Column {
    name: String,
    kind: String,
}

impl Source {
    fn read(id: &str, properties: &Value) -> Self {
        Source { id: id.to_string(), columns: columns(properties) }
    }

    fn title(&self) -> Option<&Column> {
        self.columns.values().find(|c| c.kind == "title")
    }

    /// The column for markers, at databases that have one.
    fn key(&self) -> Option<&Column> {
        ["opsctlkey", "idempotencykey"].iter().find_map(|n| self.columns.get(*n)).filter(|c| c.kind == "rich_text")
    }
}

/// Columns by their plain names.
fn columns(properties: &Value) -> BTreeMap<String, Column> {
    let properties = properties.as_object();
    properties
        .into_iter()
        .flatten()
        .filter_map(|(name, p)| {
            let column = Column { name: name.clone(), kind: p["type"].as_str()?.to_string() };
            Some((plain(name), column))
        })
        .collect()
}

/// A column's name without case, spaces and punctuation.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

pub(super) async fn execute(session: &Session, call: &Call) -> Result<CallOutcome, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match call.action_type {
        ActionType::Create => create(session, call, &data).await,
        ActionType::Update => update(session, &data).await,
        ActionType::Delete => delete(session, &data).await,
        ActionType::Query => query(session, &data).await,
        ActionType::Log => append(session, &data).await,
        _ => Err(unsupported(call)),
    }
}

fn database(session: &Session, data: &Data<'_>) -> Result<String, PlatformError> {
    let setting = &session.credentials.defaults.notion_database;
    data.text_or("database_id", setting).map_err(|why| session.invalid(why))
}

/// The data sources of a database id, or the one with this id.
async fn sources(session: &Session, id: &str) -> Result<Vec<String>, PlatformError> {
    match session.ask(Ask::get("databases.retrieve", session.at(&["databases", id]))).await {
        Ok(database) => {
            let list = database["data_sources"].as_array().cloned().unwrap_or_default();
            let ids: Vec<String> = list.iter().filter_map(|s| s["id"].as_str()).map(str::to_string).collect();
            if ids.is_empty() {
                return Err(session.invalid(format!("Notion database {id} has no data source this connection can see")));
            }
            Ok(ids)
        }
        // It may be the id of a data source itself.
        Err(failed) if failed.error.code == ErrorCode::NotFound => match source(session, id).await {
            Ok(_) => Ok(vec![id.to_string()]),
            Err(_) => Err(failed.error),
        },
        Err(failed) => Err(failed.error),
    }
}

/// A data source with its columns.
async fn source(session: &Session, id: &str) -> Result<Arc<Source>, PlatformError> {
    if let Some(known) = session.caches().notion_schemas.get(id, session.now()) {
        return Ok(known);
    }
    let answer = session.ask(Ask::get("data_sources.retrieve", session.at(&["data_sources", id]))).await?;
    let source = Arc::new(Source::read(answer["id"].as_str().unwrap_or(id), &answer["properties"]));
    session.caches().notion_schemas.put(id, session.now(), source.clone());
    Ok(source)
}

/// The one data source that a database id stands for.
async fn only_source(session: &Session, database: &str) -> Result<Arc<Source>, PlatformError> {
    if let Some(known) = session.caches().notion_schemas.get(database, session.now()) {
        return Ok(known);
    }
    let ids = sources(session, database).await?;
    let [id] = ids.as_slice() else {
        let why = format!("Notion database {database} has several data sources; name one: {}", ids.join(", "));
        return Err(session.invalid(why));
    };
    let source = source(session, id).await?;
    session.caches().notion_schemas.put(database, session.now(), source.clone());
    Ok(source)
}

async fn create(session: &Session, call: &Call, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let database = database(session, data)?;
    let source = only_source(session, &database).await?;
    let title = data.text("title").unwrap_or_default();
    let mut properties = wanted(session, &source.columns, data.get("properties"))?;
    let title_column = source.title().ok_or_else(|| session.invalid(format!("{database} has no title column")))?;
    properties[&title_column.name] = json!({"title": rich_text(title)});
    if let (Some(marker), Some(key)) = (&call.marker, source.key()) {
        properties[&key.name] = json!({"rich_text": rich_text(marker)});
    }
    let mut body = json!({
        "parent": {"type": "data_source_id", "data_source_id": source.id},
        "properties": properties,
    });
    if let Some(content) = data.text("content").filter(|c| !c.trim().is_empty()) {
        body["children"] = json!([paragraph(content)]);
    }
    match session.ask(Ask::write("pages.create", Method::POST, session.at(&["pages"]), body)).await {
        Ok(page) => Ok(CallOutcome::done(reduced(&page))),
        Err(failed) => committed(session, failed, &database),
    }
}

/// Notion may answer 503 after it saved the page, and then names the page.
fn committed(session: &Session, failed: Failed, database: &str) -> Result<CallOutcome, PlatformError> {
    let extra = failed.body.as_ref().map_or(&Value::Null, |b| &b["additional_data"]);
    if let Some(id) = extra["committed_resource_id"].as_str() {
        return Ok(CallOutcome::done(json!({"pageId": id, "url": page_url(id)})));
    }
    if failed.error.code == ErrorCode::ValidationError {
        // The columns may have changed since they were read.
        session.caches().notion_schemas.forget(database);
    }
    Err(failed.error)
}

async fn update(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let id = data.text("page_id").unwrap_or_default();
    let page = session.ask(Ask::get("pages.retrieve", session.at(&["pages", id]))).await?;
    let columns = columns(&page["properties"]);
    let mut properties = wanted(session, &columns, data.get("properties"))?;
    if let Some(title) = data.text("title") {
        let column = columns.values().find(|c| c.kind == "title");
        let name = column.map_or("title", |c| c.name.as_str());
        properties[name] = json!({"title": rich_text(title)});
    }
    let body = json!({"properties": properties});
    let page = session.ask(Ask::write("pages.update", Method::PATCH, session.at(&["pages", id]), body)).await?;
    Ok(CallOutcome::done(reduced(&page)))
}

async fn delete(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let id = data.text("page_id").unwrap_or_default();
    let body = json!({"in_trash": true});
    match session.ask(Ask::write("pages.trash", Method::PATCH, session.at(&["pages", id]), body)).await {
        Ok(page) => Ok(CallOutcome::done(reduced(&page))),
        // Notion refuses to change a page that is in the trash already.
        Err(failed) if failed.error.code == ErrorCode::ValidationError => match trashed(session, id).await {
            Ok(Some(page)) => Ok(CallOutcome::found(reduced(&page))),
            _ => Err(failed.error),
        },
        Err(failed) => Err(failed.error),
    }
}

async fn trashed(session: &Session, id: &str) -> Result<Option<Value>, PlatformError> {
    let page = session.ask(Ask::get("pages.retrieve", session.at(&["pages", id]))).await?;
    // Versions before 2026-03-11 said `archived`.
    let gone = page["in_trash"].as_bool().or(page["archived"].as_bool()).unwrap_or(false);
    Ok(gone.then_some(page))
}

async fn query(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let database = database(session, data)?;
    let wanted = usize::try_from(data.count("page_size").unwrap_or(100).min(100)).unwrap_or(100);
    let (mut pages, mut has_more, mut cursor) = (Vec::new(), false, Value::Null);
    let known = session.caches().notion_schemas.get(&database, session.now());
    let ids = match known {
        Some(source) => vec![source.id.clone()],
        None => sources(session, &database).await?,
    };
    for id in ids {
        let left = wanted - pages.len();
        if left == 0 {
            has_more = true;
            break;
        }
        let mut body = json!({"page_size": left});
        for (name, key) in [("filter", "filter"), ("sorts", "sorts"), ("start_cursor", "start_cursor")] {
            if let Some(value) = data.get(name) {
                body[key] = value.clone();
            }
        }
        let answer = query_source(session, &id, body).await?;
        pages.extend(answer["results"].as_array().into_iter().flatten().map(summary));
        has_more |= answer["has_more"] == true;
        cursor = answer["next_cursor"].clone();
    }
    let result = json!({"count": pages.len(), "pages": pages, "hasMore": has_more, "nextCursor": cursor});
    Ok(CallOutcome::done(result))
}

async fn query_source(session: &Session, id: &str, body: Value) -> Result<Value, Failed> {
    let mut ask = Ask::write("data_sources.query", Method::POST, session.at(&["data_sources", id, "query"]), body);
    ask.effect = super::clients::Effect::Read;
    session.ask(ask).await
}

async fn append(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let id = data.text("page_id").unwrap_or_default();
    let body = json!({"children": [paragraph(data.text("text").unwrap_or_default())]});
    let ask = Ask::write("blocks.children.append", Method::PATCH, session.at(&["blocks", id, "children"]), body);
    let block = match session.ask(ask).await {
        Ok(answer) => answer["results"][0]["id"].clone(),
        Err(failed) => {
            let extra = failed.body.as_ref().map_or(&Value::Null, |b| &b["additional_data"]);
            match extra["committed_child_ids"][0].as_str() {
                Some(block) => Value::from(block),
                None => return Err(failed.error),
            }
        }
    };
    Ok(CallOutcome::done(json!({"pageId": id, "blockId": block})))
}

pub(super) async fn find_written(session: &Session, call: &Call, since: Time) -> Result<Lookup, PlatformError> {
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
    let (mut same, mut cursor) = (Vec::new(), None::<String>);
    for _ in 0..LOOKUP_PAGES {
        let mut query = vec![("page_size", "100")];
        if let Some(cursor) = &cursor {
            query.push(("start_cursor", cursor));
        }
        let url = session.at_with(&["blocks", id, "children"], &query);
        let answer = session.ask(Ask::get("blocks.children.list", url)).await?;
        let blocks = answer["results"].as_array().into_iter().flatten();
        same.extend(blocks.filter(|b| read_text(&b["paragraph"]["rich_text"]) == text).cloned());
        cursor = answer["next_cursor"].as_str().filter(|_| answer["has_more"] == true).map(str::to_string);
        if cursor.is_none() {
            let result = |block: &Value| json!({"pageId": id, "blockId": block["id"]});
            return ours(session, same, since, "paragraphs with this text", result).await;
        }
    }
    Ok(Lookup::Unclear(format!("page {id} has more than {} blocks", LOOKUP_PAGES * 100)))
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

async fn me(session: &Session) -> Result<Value, PlatformError> {
    Ok(session.ask(Ask::get("users.me", session.at(&["users", "me"]))).await?)
}

async fn bot(session: &Session) -> Result<String, PlatformError> {
    if let Some(known) = session.caches().notion_bots.get("", session.now()) {
        return Ok(known);
    }
    let id = me(session).await?["id"].as_str().unwrap_or_default().to_string();
    session.caches().notion_bots.put("", session.now(), id.clone());
    Ok(id)
}

pub(super) async fn who_am_i(session: &Session) -> Result<String, PlatformError> {
    let me = me(session).await?;
    let name = me["name"].as_str().filter(|n| !n.is_empty()).unwrap_or("bot");
    Ok(match me["bot"]["workspace_name"].as_str() {
        Some(workspace) => format!("{name} in workspace {workspace}"),
        None => name.to_string(),
    })
}

/// A page's id and address.
fn reduced(page: &Value) -> Value {
    let id = page["id"].as_str().unwrap_or_default();
    let url = page["url"].as_str().map_or_else(|| page_url(id), str::to_string);
    json!({"pageId": id, "url": url})
}

fn page_url(id: &str) -> String {
    format!("https://www.notion.so/{}", id.replace('-', ""))
}

fn summary(page: &Value) -> Value {
    let mut short = reduced(page);
    let properties = page["properties"].as_object();
    let title = properties.into_iter().flatten().find(|(_, p)| p["type"] == "title");
    short["title"] = title.map_or(Value::Null, |(_, p)| Value::from(read_text(&p["title"])));
    short
}

fn read_text(rich_text: &Value) -> String {
    let parts = rich_text.as_array().into_iter().flatten();
    parts.filter_map(|t| t["plain_text"].as_str().or(t["text"]["content"].as_str())).collect()
}

/// A text as rich text objects, cut where Notion's limit is.
fn rich_text(text: &str) -> Value {
    let chars: Vec<char> = text.chars().collect();
    let parts =
        chars.chunks(TEXT_LIMIT).map(|c| json!({"type": "text", "text": {"content": c.iter().collect::<String>()}}));
    parts.collect()
}

fn paragraph(text: &str) -> Value {
    json!({"object": "block", "type": "paragraph", "paragraph": {"rich_text": rich_text(text)}})
}

/// The caller's properties in Notion's shape.
fn wanted(
    session: &Session,
    columns: &BTreeMap<String, Column>,
    properties: Option<&Value>,
) -> Result<Value, PlatformError> {
    let mut out = json!({});
    for (name, value) in properties.and_then(Value::as_object).into_iter().flatten() {
        let Some(column) = columns.get(&plain(name)) else {
            let known: Vec<_> = columns.values().map(|c| c.name.as_str()).collect();
            let why = format!("data.properties.{name}: the database has no such column; it has {}", known.join(", "));
            return Err(session.invalid(why));
        };
        out[&column.name] =
            cell(column, value).map_err(|why| session.invalid(format!("data.properties.{name}: {why}")))?;
    }
    Ok(out)
}

/// One value in the shape of its column. What is in Notion's shape already goes through untouched.
fn cell(column: &Column, value: &Value) -> Result<Value, String> {
    let kind = column.kind.as_str();
    if value.as_object().is_some_and(|o| o.contains_key(kind)) {
        return Ok(value.clone());
    }
    let text = || match value {
        Value::String(s) => Ok(s.clone()),
        Value::Number(n) => Ok(n.to_string()),
        Value::Bool(b) => Ok(b.to_string()),
        _ => Err(format!("a {kind} column needs a text")),
    };
    let list = || match value {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    if value.is_null() {
        let empty = matches!(kind, "title" | "rich_text" | "multi_select" | "people");
        return Ok(json!({kind: if empty { json!([]) } else { Value::Null }}));
    }
    Ok(match kind {
        "title" | "rich_text" => json!({kind: rich_text(&text()?)}),
        "select" | "status" => json!({kind: {"name": text()?}}),
        "multi_select" => {
            let names: Option<Vec<Value>> = list().iter().map(|v| Some(json!({"name": v.as_str()?}))).collect();
            json!({kind: names.ok_or("a multi_select column needs a list of texts")?})
        }
        "date" if value.is_object() => json!({kind: value}),
        "date" => json!({kind: {"start": text()?}}),
        "people" => {
            let ids: Option<Vec<Value>> = list()
                .iter()
                .map(|v| Some(json!({"object": "user", "id": v.as_str().or(v["id"].as_str())?})))
                .collect();
            json!({kind: ids.ok_or("a people column needs user ids")?})
        }
        "number" => match value {
            Value::Number(n) => json!({kind: n}),
            other => {
                let parsed = other.as_str().and_then(|s| s.trim().parse::<f64>().ok());
                json!({kind: parsed.ok_or("a number column needs a number")?})
            }
        },
        "checkbox" => json!({kind: value.as_bool().ok_or("a checkbox column needs true or false")?}),
        "url" | "email" | "phone_number" => json!({kind: text()?}),
        other => return Err(format!("a {other} column cannot be written this way; pass Notion's own shape")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: &str) -> Column {
        Column { name: "C".into(), kind: kind.into() }
    }

    #[test]
    fn values_take_the_shape_of_their_column() {
        for (kind, value, expected) in [
            ("select", json!("High"), json!({"select": {"name": "High"}})),
            ("status", json!("Done"), json!({"status": {"name": "Done"}})),
            ("date", json!("2026-11-01"), json!({"date": {"start": "2026-11-01"}})),
            ("people", json!("u1"), json!({"people": [{"object": "user", "id": "u1"}]})),
            ("number", json!("2.5"), json!({"number": 2.5})),
            ("multi_select", json!(["a"]), json!({"multi_select": [{"name": "a"}]})),
            ("select", json!({"select": {"id": "x"}}), json!({"select": {"id": "x"}})),
            ("date", json!(null), json!({"date": null})),
        ] {
            assert_eq!(cell(&column(kind), &value), Ok(expected), "{kind} {value}");
        }
        assert!(cell(&column("number"), &json!("many")).is_err());
        assert!(cell(&column("formula"), &json!(1)).is_err());
    }

    #[test]
    fn columns_are_found_however_they_are_written() {
        let source = Source::read(
            "s",
            &json!({"Due date": {"type": "date"}, "Opsctl Key": {"type": "rich_text"}, "Name": {"type": "title"}}),
        );
        assert_eq!(source.columns["duedate"].name, "Due date");
        assert_eq!(plain("due_date"), "duedate");
        assert_eq!(
            (source.key().unwrap().name.as_str(), source.title().unwrap().name.as_str()),
            ("Opsctl Key", "Name")
        );
    }

    #[test]
    fn long_texts_are_cut_into_parts() {
        let parts = rich_text(&"é".repeat(4001));
        assert_eq!(parts.as_array().map(Vec::len), Some(3));
        assert_eq!(read_text(&parts).chars().count(), 4001);
    }
}
