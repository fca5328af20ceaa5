//! Notion: pages in databases, and paragraphs on pages.
//!
//! A database is a container since 2025-09-03; rows and columns belong to its data sources, so every database id is
//! first resolved to one. Columns are found by their names, however a caller writes them (`due_date`, `Due date`).

mod columns;
mod image;
mod lookup;

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::Data;
use super::session::{Ask, Effect, Failed, Session};
use super::{Call, CallOutcome, PlatformError, unsupported};
use crate::http::Method;
use crate::wire::{ActionType, ErrorCode};
pub(super) use columns::{Source, plain, read_text};
use columns::{columns, paragraph, rich_text, wanted};
pub(super) use image::{shows, writable};
pub(super) use lookup::{blocks, find_written};

/// The API version that is sent.
pub(super) const VERSION: &str = "2026-03-11";

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
    sources_of(session, id).await.map(|(_, ids)| ids)
}

/// The same with the database's title, which is empty when the id is a data source's.
pub(super) async fn sources_of(session: &Session, id: &str) -> Result<(String, Vec<String>), PlatformError> {
    match session.ask(Ask::get("databases.retrieve", session.at(&["databases", id]))).await {
        Ok(database) => {
            let list = database["data_sources"].as_array().cloned().unwrap_or_default();
            let ids: Vec<String> = list.iter().filter_map(|s| s["id"].as_str()).map(str::to_string).collect();
            if ids.is_empty() {
                return Err(session.invalid(format!("Notion database {id} has no data source this connection can see")));
            }
            Ok((read_text(&database["title"]), ids))
        }
        // It may be the id of a data source itself.
        Err(failed) if failed.error.code == ErrorCode::NotFound => match source(session, id).await {
            Ok(_) => Ok((String::new(), vec![id.to_string()])),
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
    let body = json!({"properties": properties_written(session, data, &page(session, id).await?)?});
    Ok(CallOutcome::done(reduced(&patch(session, "pages.update", id, body).await?)))
}

/// The properties that an action writes, in Notion's shape, by the names the page has for them.
pub(super) fn properties_written(session: &Session, data: &Data<'_>, page: &Value) -> Result<Value, PlatformError> {
    let columns = columns(&page["properties"]);
    let mut properties = wanted(session, &columns, data.get("properties"))?;
    if let Some(title) = data.text("title") {
        let column = columns.values().find(|c| c.kind == "title");
        let name = column.map_or("title", |c| c.name.as_str());
        properties[name] = json!({"title": rich_text(title)});
    }
    Ok(properties)
}

pub(super) async fn page(session: &Session, id: &str) -> Result<Value, PlatformError> {
    Ok(session.ask(Ask::get("pages.retrieve", session.at(&["pages", id]))).await?)
}

pub(super) async fn patch(
    session: &Session,
    request: &'static str,
    id: &str,
    body: Value,
) -> Result<Value, PlatformError> {
    Ok(session.ask(Ask::write(request, Method::PATCH, session.at(&["pages", id]), body)).await?)
}

async fn delete(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let id = data.text("page_id").unwrap_or_default();
    match patch(session, "pages.trash", id, json!({"in_trash": true})).await {
        Ok(page) => Ok(CallOutcome::done(reduced(&page))),
        // Notion refuses to change a page that is in the trash already.
        Err(error) if error.code == ErrorCode::ValidationError => match trashed(session, id).await {
            Ok(Some(page)) => Ok(CallOutcome::found(reduced(&page))),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

async fn trashed(session: &Session, id: &str) -> Result<Option<Value>, PlatformError> {
    let page = page(session, id).await?;
    Ok(in_trash(&page).then_some(page))
}

pub(super) fn in_trash(page: &Value) -> bool {
    // Versions before 2026-03-11 said `archived`.
    page["in_trash"].as_bool().or(page["archived"].as_bool()).unwrap_or(false)
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

pub(super) async fn query_source(session: &Session, id: &str, body: Value) -> Result<Value, Failed> {
    let mut ask = Ask::write("data_sources.query", Method::POST, session.at(&["data_sources", id, "query"]), body);
    ask.effect = Effect::Read;
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

pub(super) async fn me(session: &Session) -> Result<Value, PlatformError> {
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

pub(super) fn page_url(id: &str) -> String {
    format!("https://www.notion.so/{}", id.replace('-', ""))
}

fn summary(page: &Value) -> Value {
    let mut short = reduced(page);
    let properties = page["properties"].as_object();
    let title = properties.into_iter().flatten().find(|(_, p)| p["type"] == "title");
    short["title"] = title.map_or(Value::Null, |(_, p)| Value::from(read_text(&p["title"])));
    short
}
