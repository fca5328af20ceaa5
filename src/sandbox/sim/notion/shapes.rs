//! Objects as the API answers them, by version.

use serde_json::{Value, json};

use super::props::{self, kind_of_block, plain, rich_text, text, title_of};
use super::rows::minute;
use super::{Notion, Person, Version, list, not_found, page_of_call};
use crate::sandbox::sim::api::{Call, Reply};
use crate::wire::Time;

pub(super) fn user(id: &str) -> Value {
    json!({"object": "user", "id": id})
}

fn person(person: &Person) -> Value {
    json!({
        "object": "user", "id": person.id, "name": person.name, "avatar_url": null, "type": "person",
        "person": {"email": person.email},
    })
}

/// A block as it is answered.
pub(super) fn block(id: &str, parent: &str, author: &str, given: &Value, now: Time) -> Value {
    let kind = kind_of_block(given).unwrap_or("unsupported");
    let mut content = given.get(kind).cloned().unwrap_or_else(|| json!({}));
    if let Some(items) = given[kind].get("rich_text").and_then(|items| rich_text("rich_text", items).ok()) {
        content["rich_text"] = Value::Array(items);
        for (member, value) in defaults(kind) {
            if content.get(member).is_none() {
                content[member] = value;
            }
        }
    }
    let mut block = json!({
        "object": "block",
        "id": id,
        "parent": {"type": "page_id", "page_id": parent},
        "created_time": minute(now),
        "last_edited_time": minute(now),
        "created_by": user(author),
        "last_edited_by": user(author),
        "has_children": false,
        "in_trash": false,
        "type": kind,
    });
    block[kind] = content;
    block
}

/// Members that a block of text has though nobody gave them.
fn defaults(kind: &str) -> Vec<(&'static str, Value)> {
    let own = match kind {
        "paragraph" | "callout" => ("icon", Value::Null),
        "to_do" => ("checked", json!(false)),
        "code" => return vec![("caption", json!([])), ("language", json!("plain text"))],
        kind if kind.starts_with("heading_") => ("is_toggleable", json!(false)),
        _ => return vec![("color", json!("default"))],
    };
    vec![("color", json!("default")), own]
}

/// The end of a page's address: its title in ASCII, then its id without dashes.
fn slug(title: &str, id: &str) -> String {
    let words: String = title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' }).collect();
    let mut slug = words.split_whitespace().collect::<Vec<_>>().join("-");
    if !slug.is_empty() {
        slug.push('-');
    }
    slug + &id.replace('-', "")
}

impl Notion {
    pub(super) fn me(&self) -> Value {
        json!({
            "object": "user",
            "id": self.bot,
            "name": "Orchestrator",
            "avatar_url": null,
            "type": "bot",
            "bot": {
                "owner": {"type": "workspace", "workspace": true},
                "workspace_id": self.workspace,
                "workspace_name": "Example Ops",
                "workspace_limits": {"max_file_upload_size_in_bytes": 5_368_709_120_u64},
            },
        })
    }

    pub(super) fn users(&self, call: &Call) -> Result<Value, Reply> {
        let mut users: Vec<Value> = self.people.iter().map(person).collect();
        users.push(self.me());
        let ids: Vec<String> = users.iter().map(|u| text(&u["id"]).to_owned()).collect();
        let (range, next) = page_of_call(&ids, call)?;
        Ok(list(&users[range], next, "user"))
    }

    pub(super) fn user(&self, id: &str) -> Result<Value, Reply> {
        if id == self.bot {
            return Ok(self.me());
        }
        self.people.iter().find(|p| p.id == id).map(person).ok_or_else(|| not_found("user", id))
    }

    /// A database; before data sources it had the schema itself.
    pub(super) fn database(&self, id: &str, version: Version) -> Value {
        let database = &self.databases[id];
        let mut out = json!({
            "object": "database",
            "id": id,
            "title": [plain(&database.title, None)],
            "description": [],
            "parent": {"type": "page_id", "page_id": database.parent},
            "is_inline": false,
            "in_trash": false,
            "is_locked": false,
            "created_time": minute(database.created),
            "last_edited_time": minute(database.created),
            "icon": null,
            "cover": null,
            "url": format!("https://www.notion.so/{}", id.replace('-', "")),
            "public_url": null,
        });
        if version >= Version::SOURCES {
            let named = |id: &String| json!({"id": id, "name": self.sources[id].title});
            out["data_sources"] = database.sources.iter().map(named).collect();
        } else {
            out["properties"] = Value::Object(self.sources[&database.sources[0]].schema.clone());
        }
        if version < Version::TRASH_ONLY {
            out["archived"] = json!(false);
        }
        out
    }

    pub(super) fn source(&self, id: &str) -> Value {
        let source = &self.sources[id];
        json!({
            "object": "data_source",
            "id": id,
            "title": [plain(&source.title, None)],
            "description": [],
            "parent": {"type": "database_id", "database_id": source.database},
            "database_parent": {"type": "page_id", "page_id": self.databases[&source.database].parent},
            "is_inline": false,
            "in_trash": false,
            "created_time": minute(source.created),
            "last_edited_time": minute(source.created),
            "created_by": user(&self.bot),
            "last_edited_by": user(&self.bot),
            "properties": source.schema,
            "icon": null,
            "cover": null,
            "url": format!("https://www.notion.so/{}", source.database.replace('-', "")),
            "public_url": null,
        })
    }

    pub(super) fn page(&self, id: &str, version: Version) -> Value {
        let page = &self.pages[id];
        let parent = match &page.source {
            Some(source) => {
                let database = &self.sources[source].database;
                if version >= Version::SOURCES {
                    json!({"type": "data_source_id", "data_source_id": source, "database_id": database})
                } else {
                    json!({"type": "database_id", "database_id": database})
                }
            }
            None if page.parent_page.is_empty() => json!({"type": "workspace", "workspace": true}),
            None => json!({"type": "page_id", "page_id": page.parent_page}),
        };
        let title = title_of(&page.properties);
        let mut out = json!({
            "object": "page",
            "id": id,
            "created_time": minute(page.created),
            "last_edited_time": minute(page.edited),
            "created_by": user(&self.bot),
            "last_edited_by": user(&self.bot),
            "cover": page.cover,
            "icon": page.icon,
            "parent": parent,
            "in_trash": page.in_trash,
            "is_archived": false,
            "is_locked": false,
            "properties": props::shown(&page.properties),
            "url": format!("https://www.notion.so/{}", slug(&title, id)),
            "public_url": null,
        });
        if version < Version::TRASH_ONLY {
            out["archived"] = json!(page.in_trash);
        }
        out
    }
}
