//! Every row of a Notion database, and what points to it.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::super::notion::{Source, plain, query_source, read_text, sources_of, writable};
use super::super::session::{Ask, Effect};
use super::super::{Clients, Platform, PlatformError};
use crate::engine::canonical::canonical_json;
use crate::http::Method;
use crate::wire::{ErrorCode, Time};

/// Notion's largest page of results.
const PAGE: &str = "100";

/// A database with its data sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The id it was asked for by.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Where its rows are, in Notion's order.
    pub sources: Vec<DataSource>,
}

/// One data source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSource {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its columns: the plain name people may type, and the name it has.
    pub columns: Vec<(String, String)>,
    /// Its title column.
    pub title_column: String,
}

/// Relations of other data sources that point to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pointer {
    source: String,
    /// `Projects`.
    name: String,
    /// The relation's name: `Tasks`.
    property: String,
}

impl DataSource {
    fn read(answer: &Value) -> Self {
        let id = answer["id"].as_str().unwrap_or_default();
        let source = Source::read(id, &answer["properties"]);
        DataSource {
            id: id.to_string(),
            name: read_text(&answer["title"]),
            title_column: source.title().map(|c| c.name.clone()).unwrap_or_default(),
            columns: source.columns.into_iter().map(|(plain, column)| (plain, column.name)).collect(),
        }
    }

    /// The column that somebody means, however it is written: `due_date`, `Due date`.
    pub fn column(&self, name: &str) -> Option<&str> {
        let plain = plain(name);
        self.columns.iter().find(|(known, _)| *known == plain).map(|(_, name)| name.as_str())
    }

    /// What a row holds in a column, in a form that is equal when the values are.
    pub fn value_of(row: &Value, column: &str) -> String {
        let property = &row["properties"][column];
        let kind = property["type"].as_str().unwrap_or_default();
        canonical_json(&writable(property).unwrap_or_else(|_| property[kind].clone()))
    }

    /// The title of one of its rows.
    pub fn title_of(&self, row: &Value) -> String {
        read_text(&row["properties"][&self.title_column]["title"])
    }
}

/// An instant of a row; Notion cuts it to the minute.
pub fn time_of(row: &Value, name: &str) -> Time {
    row[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

impl Clients {
    /// A database by its id, or by the id of one of its data sources.
    pub async fn notion_database(&self, id: &str) -> Result<Database, PlatformError> {
        let notion = Platform::Notion;
        let (title, ids) = self.patiently(notion, async |session| Ok(sources_of(session, id).await?)).await?;
        let mut sources = Vec::new();
        for id in ids {
            let answer = self
                .patiently(notion, async |session| {
                    session.ask(Ask::get("data_sources.retrieve", session.at(&["data_sources", &id]))).await
                })
                .await?;
            sources.push(DataSource::read(&answer));
        }
        let title = if title.is_empty() { sources.first().map(|s| s.name.clone()).unwrap_or_default() } else { title };
        Ok(Database { id: id.to_string(), title, sources })
    }

    /// Hands every row of a data source to `each`, oldest first. Notion ends a query at 10,000 rows: the next one
    /// starts at the minute where that one ended.
    pub async fn notion_rows(&self, source: &str, mut each: impl FnMut(&Value)) -> Result<(), PlatformError> {
        let (mut since, mut seam): (Option<Time>, HashSet<String>) = (None, HashSet::new());
        loop {
            let mut body = json!({
                "page_size": 100,
                "sorts": [{"timestamp": "created_time", "direction": "ascending"}],
            });
            if let Some(since) = since {
                body["filter"] = json!({"timestamp": "created_time", "created_time": {"on_or_after": since}});
            }
            let (mut last, mut there) = (since, std::mem::take(&mut seam));
            let cut_off = loop {
                let answer = self.notion_query(source, &body).await?;
                for row in answer["results"].as_array().into_iter().flatten() {
                    let created = time_of(row, "created_time");
                    if last.is_none_or(|last| created > last) {
                        last = Some(created);
                        // Only the rows of the last minute can come again in the next query.
                        there.clear();
                    }
                    if there.insert(row["id"].as_str().unwrap_or_default().to_string()) {
                        each(row);
                    }
                }
                if answer["has_more"] != true {
                    break answer["request_status"]["type"] == "incomplete";
                }
                body["start_cursor"] = answer["next_cursor"].clone();
            };
            if !cut_off {
                return Ok(());
            }
            if last == since {
                let message = format!(
                    "more than 10,000 rows of data source {source} were made in one minute; Notion does not show them all"
                );
                return Err(PlatformError::new(Platform::Notion, ErrorCode::ValidationError, message));
            }
            (since, seam) = (last, there);
        }
    }

    async fn notion_query(&self, source: &str, body: &Value) -> Result<Value, PlatformError> {
        self.patiently(Platform::Notion, async |session| query_source(session, source, body.clone()).await).await
    }

    /// Every page that a relation of a data source which this connection sees points to, with the relation's name:
    /// `Tasks of Projects`. Relations to other data sources than `targets` are left out.
    pub async fn notion_pointed_at(&self, targets: &[DataSource]) -> Result<HashMap<String, String>, PlatformError> {
        let mut pointed = HashMap::new();
        for pointer in self.pointers(targets).await? {
            let mut body = json!({
                "page_size": 100,
                "filter": {"property": pointer.property, "relation": {"is_not_empty": true}},
            });
            loop {
                let answer = self.notion_query(&pointer.source, &body).await?;
                for row in answer["results"].as_array().into_iter().flatten() {
                    self.note_relation(row, &pointer, &mut pointed).await?;
                }
                if answer["has_more"] != true {
                    break;
                }
                body["start_cursor"] = answer["next_cursor"].clone();
            }
        }
        Ok(pointed)
    }

    /// Notes what one row's relation points to. A row shows 25 entries; the rest has to be asked for.
    async fn note_relation(
        &self,
        row: &Value,
        pointer: &Pointer,
        pointed: &mut HashMap<String, String>,
    ) -> Result<(), PlatformError> {
        let relation = &row["properties"][&pointer.property];
        let mut note = |entry: &Value| {
            if let Some(id) = entry["id"].as_str() {
                pointed.insert(id.to_string(), format!("{} of {}", pointer.property, pointer.name));
            }
        };
        relation["relation"].as_array().into_iter().flatten().for_each(&mut note);
        if relation["has_more"] != true {
            return Ok(());
        }
        let (page, property) = (row["id"].as_str().unwrap_or_default(), relation["id"].as_str().unwrap_or_default());
        let mut cursor = String::new();
        loop {
            let answer = self
                .patiently(Platform::Notion, async |session| {
                    let mut query = vec![("page_size", PAGE)];
                    if !cursor.is_empty() {
                        query.push(("start_cursor", &cursor));
                    }
                    let url = session.at_with(&["pages", page, "properties", property], &query);
                    session.ask(Ask::get("pages.properties.retrieve", url)).await
                })
                .await?;
            answer["results"].as_array().into_iter().flatten().map(|entry| &entry["relation"]).for_each(&mut note);
            cursor = answer["next_cursor"].as_str().unwrap_or_default().to_string();
            if answer["has_more"] != true || cursor.is_empty() {
                return Ok(());
            }
        }
    }

    /// The relations that point to these data sources, of all data sources that this connection sees.
    async fn pointers(&self, targets: &[DataSource]) -> Result<Vec<Pointer>, PlatformError> {
        let mut found = Vec::new();
        let mut body = json!({"page_size": 100, "filter": {"property": "object", "value": "data_source"}});
        loop {
            let answer = self
                .patiently(Platform::Notion, async |session| {
                    let mut ask = Ask::write("search", Method::POST, session.at(&["search"]), body.clone());
                    ask.effect = Effect::Read;
                    session.ask(ask).await
                })
                .await?;
            for source in answer["results"].as_array().into_iter().flatten() {
                let name = read_text(&source["title"]);
                let properties = source["properties"].as_object().into_iter().flatten();
                let points_here = |property: &Value| {
                    let to = property["relation"]["data_source_id"].as_str();
                    targets.iter().any(|target| Some(target.id.as_str()) == to)
                };
                found.extend(properties.filter(|(_, p)| points_here(p)).map(|(property, _)| Pointer {
                    source: source["id"].as_str().unwrap_or_default().to_string(),
                    name: name.clone(),
                    property: property.clone(),
                }));
            }
            if answer["has_more"] != true {
                return Ok(found);
            }
            body["start_cursor"] = answer["next_cursor"].clone();
        }
    }

    /// How many pages and databases are under a page.
    pub async fn notion_pages_under(&self, page: &str) -> Result<usize, PlatformError> {
        let (mut under, mut cursor) = (0, String::new());
        loop {
            let answer = self
                .patiently(Platform::Notion, async |session| {
                    let mut query = vec![("page_size", PAGE)];
                    if !cursor.is_empty() {
                        query.push(("start_cursor", &cursor));
                    }
                    session
                        .ask(Ask::get("blocks.children.list", session.at_with(&["blocks", page, "children"], &query)))
                        .await
                })
                .await?;
            let blocks = answer["results"].as_array().into_iter().flatten();
            under += blocks.filter(|b| b["type"] == "child_page" || b["type"] == "child_database").count();
            cursor = answer["next_cursor"].as_str().unwrap_or_default().to_string();
            if answer["has_more"] != true || cursor.is_empty() {
                return Ok(under);
            }
        }
    }

    /// Whether somebody commented on a page; `None` when this connection may not read comments.
    pub async fn notion_has_comments(&self, page: &str) -> Result<Option<bool>, PlatformError> {
        let answer = self
            .patiently(Platform::Notion, async |session| {
                let query = [("block_id", page), ("page_size", "1")];
                session.ask(Ask::get("comments.list", session.at_with(&["comments"], &query))).await
            })
            .await;
        match answer {
            Ok(answer) => Ok(Some(answer["results"].as_array().is_some_and(|all| !all.is_empty()))),
            Err(error) if error.code == ErrorCode::PermissionDenied => Ok(None),
            Err(error) => Err(error),
        }
    }
}
