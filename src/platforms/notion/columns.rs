//! Columns of a data source, and values in the shape each kind of column takes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::PlatformError;
use super::super::session::Session;

/// Longest text in one rich text object, in characters.
const TEXT_LIMIT: usize = 2000;

/// A data source: where the rows of a database live.
#[derive(Debug, PartialEq)]
pub struct Source {
    pub id: String,
    pub columns: BTreeMap<String, Column>,
}

#[derive(Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub kind: String,
}

impl Source {
    pub fn read(id: &str, properties: &Value) -> Self {
        Source { id: id.to_string(), columns: columns(properties) }
    }

    pub fn title(&self) -> Option<&Column> {
        self.columns.values().find(|c| c.kind == "title")
    }

    /// The column for markers, at databases that have one.
    pub fn key(&self) -> Option<&Column> {
        ["opsctlkey", "idempotencykey"].iter().find_map(|n| self.columns.get(*n)).filter(|c| c.kind == "rich_text")
    }
}

/// Columns by their plain names.
pub fn columns(properties: &Value) -> BTreeMap<String, Column> {
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
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The caller's properties in Notion's shape.
pub fn wanted(
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

pub fn read_text(rich_text: &Value) -> String {
    let parts = rich_text.as_array().into_iter().flatten();
    parts.filter_map(|t| t["plain_text"].as_str().or(t["text"]["content"].as_str())).collect()
}

/// A text as rich text objects, cut where Notion's limit is.
pub fn rich_text(text: &str) -> Value {
    let chars: Vec<char> = text.chars().collect();
    let parts =
        chars.chunks(TEXT_LIMIT).map(|c| json!({"type": "text", "text": {"content": c.iter().collect::<String>()}}));
    parts.collect()
}

pub fn paragraph(text: &str) -> Value {
    json!({"object": "block", "type": "paragraph", "paragraph": {"rich_text": rich_text(text)}})
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
