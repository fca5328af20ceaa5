//! Notion: databases with their data sources, pages, blocks, comments.
//!
//! A quirk kept on purpose: `created_time` and `last_edited_time` are cut down to the minute, as Notion's are. Who
//! looks for a page "created since" must cut the same way.

mod comments;
mod oauth;
mod pages;
mod props;
mod query;
mod rows;
mod seed;
mod shapes;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::api::{Call, Operation, Reply};
use super::hub::Refusal;
use super::ids::Ids;
use super::keys::{Caller, Keys, find};
use super::limits::{Charge, LimitSettings};
use crate::wire::Time;

/// Largest `page_size`, and most blocks in one request.
const PAGE: usize = 100;

/// API versions that are answered, oldest first; before the second one a database had no data sources.
const VERSIONS: [&str; 3] = ["2022-06-28", "2025-09-03", "2026-03-11"];

/// The workspace.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notion {
    pub(super) ids: Ids,
    workspace: String,
    bot: String,
    people: Vec<Person>,
    databases: BTreeMap<String, Database>,
    sources: BTreeMap<String, Source>,
    pages: HashMap<String, Page>,
    blocks: HashMap<String, Vec<Value>>,
    /// As they are answered, by the page they are on.
    comments: HashMap<String, Vec<Value>>,
    /// Exact texts of title and text properties to the pages that have, or once had, them.
    #[serde(skip)]
    texts: HashMap<String, Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Person {
    id: String,
    name: String,
    email: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Database {
    title: String,
    /// At least one.
    sources: Vec<String>,
    parent: String,
    created: Time,
}

/// The rows and the schema of a database.
#[derive(Debug, Serialize, Deserialize)]
struct Source {
    database: String,
    title: String,
    created: Time,
    schema: Map<String, Value>,
    /// Pages in the order they were made; none is ever taken out, so a place in it is a cursor.
    pages: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    /// The data source it is a row of; `None` for a page under another page.
    source: Option<String>,
    /// The page it is under, otherwise; empty at the top of the workspace.
    parent_page: String,
    created: Time,
    edited: Time,
    in_trash: bool,
    properties: Map<String, Value>,
    icon: Value,
    cover: Value,
}

/// What the request's version says about shapes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(usize);

impl Version {
    const SOURCES: Version = Version(1);
    const TRASH_ONLY: Version = Version(2);

    fn of(call: &Call) -> Result<Self, Reply> {
        let Some(asked) = call.header("notion-version") else {
            return Err(error(
                400,
                "missing_version",
                "Notion-Version header failed validation: Notion-Version header should be defined, instead was \
                 `undefined`.",
            ));
        };
        VERSIONS.iter().position(|v| *v == asked).map(Version).ok_or_else(|| {
            invalid(format!("Notion-Version header failed validation: `{asked}` is not a supported version."))
        })
    }
}

pub(super) fn operation(call: &Call) -> Operation {
    match (call.method.as_str(), call.segments().as_slice()) {
        ("POST", ["v1", "oauth", "token"]) => Operation::create("oauth.token"),
        ("POST", ["v1", "oauth", "revoke"]) => Operation::delete("oauth.revoke"),
        ("GET", ["v1", "users", "me"]) => Operation::read("users.me"),
        ("GET", ["v1", "users"]) => Operation::read("users.list"),
        ("GET", ["v1", "users", _]) => Operation::read("users.retrieve"),
        ("GET", ["v1", "comments"]) => Operation::read("comments.list"),
        ("POST", ["v1", "comments"]) => Operation::create("comments.create"),
        ("POST", ["v1", "search"]) => Operation::read("search"),
        ("GET", ["v1", "databases", _]) => Operation::read("databases.retrieve"),
        ("POST", ["v1", "databases", _, "query"]) => Operation::read("databases.query"),
        ("GET", ["v1", "data_sources", _]) => Operation::read("data_sources.retrieve"),
        ("POST", ["v1", "data_sources", _, "query"]) => Operation::read("data_sources.query"),
        ("POST", ["v1", "pages"]) => Operation::create("pages.create"),
        ("GET", ["v1", "pages", _]) => Operation::read("pages.retrieve"),
        ("PATCH", ["v1", "pages", _]) => match call.json().as_ref().and_then(trash_wish) {
            Some(true) => Operation::delete("pages.trash"),
            Some(false) => Operation::update("pages.restore"),
            None => Operation::update("pages.update"),
        },
        ("GET", ["v1", "blocks", _, "children"]) => Operation::read("blocks.children.list"),
        ("PATCH", ["v1", "blocks", _, "children"]) => Operation::update("blocks.children.append"),
        _ => Operation::UNKNOWN,
    }
}

fn trash_wish(body: &Value) -> Option<bool> {
    body.get("in_trash").or_else(|| body.get("archived"))?.as_bool()
}

pub(super) fn authorize(call: &Call, keys: &Keys) -> Result<Caller, Reply> {
    if oauth::is_one(call) {
        return Ok(Caller::nobody());
    }
    let token = call.bearer().unwrap_or_default();
    match find(&keys.notion, token) {
        Some(key) if !key.revoked => Ok(Caller { subject: key.value.clone(), scopes: Vec::new() }),
        _ => Err(refuse(&Refusal::Unauthorized)),
    }
}

pub(super) fn charges(limits: &LimitSettings, caller: &Caller) -> Vec<Charge> {
    vec![Charge::new("requests", &caller.subject, limits.notion_per_minute, Duration::from_secs(60))]
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Unauthorized => error(401, "unauthorized", "API token is invalid."),
        Refusal::Forbidden => error(403, "restricted_resource", "Insufficient permissions for this endpoint."),
        Refusal::Limited(over) => {
            let secs = over.retry_after_secs.to_string();
            let more = json!({"rate_limit_reason": "public_api_request_rate_limit", "retry_after": secs});
            let message = "You have been rate limited. Please try again in a few minutes.";
            error_with(429, "rate_limited", message, Some(&more)).header("retry-after", secs)
        }
        Refusal::Server(status) => {
            let (code, message) = match status {
                502 => ("bad_gateway", "Bad Gateway"),
                503 => ("service_unavailable", "Notion is unavailable, please try again later."),
                504 => ("gateway_timeout", "Gateway Timeout"),
                529 => ("service_overload", "Notion is temporarily overloaded, please try again later."),
                _ => ("internal_server_error", "Unexpected error occurred."),
            };
            let reply = error(*status, code, message);
            if *status == 529 { reply.header("retry-after", "1") } else { reply }
        }
    }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    error_with(status, code, message, None)
}

fn error_with(status: u16, code: &str, message: &str, more: Option<&Value>) -> Reply {
    let id = uuid::Uuid::now_v7().to_string();
    let mut body = json!({"object": "error", "status": status, "code": code, "message": message, "request_id": id});
    if let (Some(more), Some(map)) = (more, body.as_object_mut()) {
        map.insert("additional_data".into(), more.clone());
    }
    Reply::json(status, &body).header("x-notion-request-id", id)
}

fn invalid(message: impl AsRef<str>) -> Reply {
    error(400, "validation_error", message.as_ref())
}

fn not_found(what: &str, id: &str) -> Reply {
    error(
        404,
        "object_not_found",
        &format!(
            "Could not find {what} with ID: {id}. Make sure the relevant pages and databases are shared with your \
             integration \"Orchestrator\"."
        ),
    )
}

/// An id with dashes, whichever way it was written.
fn dashed(id: &str) -> Result<String, Reply> {
    let hex: String = id.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(invalid(format!(
            "path failed validation: path.id should be a valid uuid, instead was `\"{id}\"`."
        )));
    }
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

impl Notion {
    pub(super) fn new(seed: u64) -> Self {
        let mut ids = Ids::new(seed, "notion");
        let (workspace, bot) = (ids.uuid(), ids.uuid());
        let people = [("Ana Petrova", "ana"), ("Ben Okafor", "ben"), ("Chen Li", "chen")].map(|(name, mail)| Person {
            id: ids.uuid(),
            name: name.into(),
            email: format!("{mail}@example.com"),
        });
        Notion {
            ids,
            workspace,
            bot,
            people: people.into(),
            databases: BTreeMap::new(),
            sources: BTreeMap::new(),
            pages: HashMap::new(),
            blocks: HashMap::new(),
            comments: HashMap::new(),
            texts: HashMap::new(),
        }
    }

    /// Rebuilds what a snapshot leaves out.
    pub(super) fn restored(mut self) -> Self {
        let ids: Vec<String> = self.pages.keys().cloned().collect();
        for id in ids {
            self.index(&id);
        }
        self
    }

    /// Answers one request. `oauth` reaches into the credentials.
    pub(super) fn handle(&mut self, keys: &mut Keys, call: &Call, now: Time) -> Reply {
        if oauth::is_one(call) {
            return self.oauth(keys, call, now).unwrap_or_else(|refused| refused);
        }
        self.route(call, now).unwrap_or_else(|refused| refused)
    }

    fn route(&mut self, call: &Call, now: Time) -> Result<Reply, Reply> {
        let version = Version::of(call)?;
        let body = call.json().ok_or_else(|| error(400, "invalid_json", "Error parsing JSON body."))?;
        let reply = match (call.method.as_str(), call.segments().as_slice()) {
            ("GET", ["v1", "users", "me"]) => Reply::ok(&self.me()),
            ("GET", ["v1", "users"]) => Reply::ok(&self.users(call)?),
            ("GET", ["v1", "users", id]) => Reply::ok(&self.user(&dashed(id)?)?),
            ("GET", ["v1", "comments"]) => Reply::ok(&self.comments(call)?),
            ("POST", ["v1", "comments"]) => self.comment(&body, now)?,
            ("POST", ["v1", "search"]) => self.search(&body, version)?,
            ("GET", ["v1", "databases", id]) => {
                let id = dashed(id)?;
                if !self.databases.contains_key(&id) {
                    return Err(not_found("database", &id));
                }
                if version < Version::SOURCES {
                    self.only_source(&id)?;
                }
                Reply::ok(&self.database(&id, version))
            }
            ("POST", ["v1", "databases", id, "query"]) if version < Version::SOURCES => {
                let id = dashed(id)?;
                let source = self.only_source(&id)?;
                self.query(&source, &body, version)?
            }
            ("GET", ["v1", "data_sources", id]) if version >= Version::SOURCES => {
                let id = dashed(id)?;
                if !self.sources.contains_key(&id) {
                    return Err(not_found("data_source", &id));
                }
                Reply::ok(&self.source(&id))
            }
            ("POST", ["v1", "data_sources", id, "query"]) if version >= Version::SOURCES => {
                let id = dashed(id)?;
                if !self.sources.contains_key(&id) {
                    return Err(not_found("data_source", &id));
                }
                self.query(&id, &body, version)?
            }
            ("POST", ["v1", "pages"]) => self.create_page(&body, version, now)?,
            ("GET", ["v1", "pages", id]) => {
                let id = self.known_page(id)?;
                Reply::ok(&self.page(&id, version))
            }
            ("PATCH", ["v1", "pages", id]) => {
                let id = self.known_page(id)?;
                self.patch_page(&id, &body, version, now)?
            }
            ("GET", ["v1", "blocks", id, "children"]) => {
                let id = self.known_page(id)?;
                let blocks = self.blocks.get(&id).cloned().unwrap_or_default();
                let ids: Vec<String> = blocks.iter().map(|b| b["id"].as_str().unwrap_or_default().to_owned()).collect();
                let (range, next) = page_of_call(&ids, call)?;
                Reply::ok(&list(&blocks[range], next, "block"))
            }
            ("PATCH", ["v1", "blocks", id, "children"]) => {
                let id = self.known_page(id)?;
                let added = self.append(&id, &body["children"], now)?;
                Reply::ok(&list(&added, None, "block"))
            }
            _ => return Err(error(400, "invalid_request_url", "Invalid request URL.")),
        };
        Ok(reply.header("x-notion-request-id", uuid::Uuid::now_v7().to_string()))
    }

    fn known_page(&self, id: &str) -> Result<String, Reply> {
        let id = dashed(id)?;
        if self.pages.contains_key(&id) { Ok(id) } else { Err(not_found("page", &id)) }
    }

    /// The data source of a database that has no other: who knows of none cannot say which is meant.
    fn only_source(&self, database: &str) -> Result<String, Reply> {
        let database = self.databases.get(database).ok_or_else(|| not_found("database", database))?;
        if let [only] = database.sources.as_slice() {
            return Ok(only.clone());
        }
        let more = json!({
            "error_type": "multiple_data_sources_for_database",
            "child_data_source_ids": database.sources,
            "minimum_api_version": VERSIONS[Version::SOURCES.0],
        });
        let message = "Databases with multiple data sources are not supported in this API version.";
        Err(error_with(400, "validation_error", message, Some(&more)))
    }

    fn index(&mut self, id: &str) {
        let Some(page) = self.pages.get(id) else { return };
        for text in page.properties.values().filter_map(props::plain_text).filter(|text| !text.is_empty()) {
            let at = self.texts.entry(text).or_default();
            if at.last().is_none_or(|last| last != id) {
                at.push(id.to_owned());
            }
        }
    }
}

/// How many results are asked for.
fn page_size(size: Option<&Value>) -> Result<usize, Reply> {
    match size {
        None | Some(Value::Null) => Ok(PAGE),
        Some(size) => match size.as_u64().map(usize::try_from) {
            Some(Ok(size)) if (1..=PAGE).contains(&size) => Ok(size),
            _ => Err(invalid(format!(
                "body failed validation: body.page_size should be ≤ `{PAGE}` and ≥ `1`, instead was `{size}`."
            ))),
        },
    }
}

fn bad_cursor(cursor: &str) -> Reply {
    invalid(format!("The start_cursor provided is invalid: {cursor}"))
}

/// One page of a list of ids that is asked for in the query string: the range, and the cursor of the next page, which
/// is its first id.
fn page_of_call(ids: &[String], call: &Call) -> Result<(std::ops::Range<usize>, Option<String>), Reply> {
    let size = call.arg("page_size").map(|s| json!(s.parse::<u64>().unwrap_or(0)));
    page_of(ids, call.arg("start_cursor"), size.as_ref())
}

/// One page of a list of ids: the range, and the cursor of the next page, which is its first id.
fn page_of(
    ids: &[String],
    cursor: Option<&str>,
    size: Option<&Value>,
) -> Result<(std::ops::Range<usize>, Option<String>), Reply> {
    let size = page_size(size)?;
    let start = match cursor {
        None => 0,
        Some(cursor) => ids.iter().position(|id| id == cursor).ok_or_else(|| bad_cursor(cursor))?,
    };
    let end = (start + size).min(ids.len());
    Ok((start..end, ids.get(end).cloned()))
}

/// The envelope of a list.
fn list(results: &[Value], next: Option<String>, kind: &str) -> Value {
    let mut body = json!({
        "object": "list",
        "results": results,
        "has_more": next.is_some(),
        "next_cursor": next,
        "type": kind,
    });
    body[kind] = json!({});
    body
}
