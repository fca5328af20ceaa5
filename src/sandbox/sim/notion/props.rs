//! Property values: checked against the schema the way Notion does, and put into the shape it answers with.

use serde_json::{Map, Value, json};

use super::invalid;
use crate::sandbox::sim::api::Reply;
use crate::sandbox::sim::ids::Ids;

/// Longest text of one rich text item, in characters.
const TEXT: usize = 2000;

const COLORS: [&str; 5] = ["gray", "blue", "green", "yellow", "red"];

/// Refuses members that the endpoint does not have.
pub(super) fn known_members(body: &Value, known: &[&str]) -> Result<(), Reply> {
    let Some(body) = body.as_object() else { return Err(invalid("body failed validation: body should be an object.")) };
    match body.keys().find(|k| !known.contains(&k.as_str())) {
        Some(name) => {
            let value = &body[name];
            Err(invalid(format!("body failed validation: body.{name} should be not present, instead was `{value}`.")))
        }
        None => Ok(()),
    }
}

/// Property values for a row: what was there, what is given, and empty values for the rest of the schema.
pub(super) fn row(
    schema: &mut Map<String, Value>,
    ids: &mut Ids,
    given: &Value,
    before: Option<Map<String, Value>>,
) -> Result<Map<String, Value>, Reply> {
    let Some(given) = given.as_object() else {
        return Err(invalid("body failed validation: body.properties should be an object."));
    };
    let mut row = before.unwrap_or_else(|| {
        schema.iter().map(|(name, p)| (name.clone(), empty(text(&p["id"]), text(&p["type"])))).collect()
    });
    for (key, value) in given {
        let named = schema.iter_mut().find(|(name, p)| *name == key || p["id"] == key.as_str());
        let Some((name, property)) = named else {
            return Err(invalid(format!("{key} is not a property that exists.")));
        };
        let normal = normal(name, property, ids, value)?;
        row.insert(name.clone(), normal);
    }
    Ok(row)
}

/// The only property of a page that is not a row.
pub(super) fn title_only(given: &Value) -> Result<Map<String, Value>, Reply> {
    let mut properties = Map::new();
    let title = given.get("title").cloned().unwrap_or_else(|| json!([]));
    let items = title.get("title").unwrap_or(&title);
    properties
        .insert("title".into(), json!({"id": "title", "type": "title", "title": compact(rich_text("title", items)?)}));
    Ok(properties)
}

fn empty(id: &str, kind: &str) -> Value {
    let mut value = json!({"id": id, "type": kind});
    value[kind] = match kind {
        "title" | "rich_text" | "people" | "multi_select" | "relation" | "files" => json!([]),
        "checkbox" => json!(false),
        _ => Value::Null,
    };
    value
}

fn normal(name: &str, property: &mut Value, ids: &mut Ids, given: &Value) -> Result<Value, Reply> {
    let kind = text(&property["type"]).to_owned();
    let Some(value) = given.get(&kind) else { return Err(invalid(format!("{name} is expected to be {kind}."))) };
    let stored = match kind.as_str() {
        "title" | "rich_text" => compact(rich_text(&format!("{name}.{kind}"), value)?),
        "select" | "status" if value.is_null() => Value::Null,
        "select" | "status" => option(name, property, &kind, ids, value)?,
        "multi_select" => {
            let mut chosen = Vec::new();
            for one in value.as_array().into_iter().flatten() {
                chosen.push(option(name, property, &kind, ids, one)?);
            }
            Value::Array(chosen)
        }
        "number" if value.is_number() || value.is_null() => value.clone(),
        "checkbox" if value.is_boolean() => value.clone(),
        "date" if value.is_null() => Value::Null,
        "date" if is_date(&value["start"]) => {
            json!({"start": value["start"], "end": value.get("end"), "time_zone": value.get("time_zone")})
        }
        "people" => Value::Array(
            value.as_array().into_iter().flatten().map(|p| json!({"object": "user", "id": p["id"]})).collect(),
        ),
        "url" | "email" | "phone_number" if value.is_string() || value.is_null() => value.clone(),
        "relation" | "files" if value.is_array() => value.clone(),
        _ => {
            return Err(invalid(format!(
                "body failed validation: body.properties.{name}.{kind} should be a valid {kind}, instead was `{value}`."
            )));
        }
    };
    let mut out = json!({"id": property["id"], "type": kind});
    out[kind.as_str()] = stored;
    Ok(out)
}

/// ISO 8601 date or date-time.
fn is_date(value: &Value) -> bool {
    value.as_str().is_some_and(|s| s.parse::<jiff::civil::Date>().is_ok() || s.parse::<jiff::Timestamp>().is_ok())
}

/// A select option by name or id. A select learns new names, a status does not.
fn option(name: &str, property: &mut Value, kind: &str, ids: &mut Ids, value: &Value) -> Result<Value, Reply> {
    let wanted = value.get("name").or_else(|| value.get("id")).and_then(Value::as_str).unwrap_or_default().to_owned();
    if wanted.is_empty() {
        return Err(invalid(format!(
            "body failed validation: body.properties.{name}.{kind}.name should be defined, instead was `undefined`."
        )));
    }
    let short = |o: &Value| json!({"id": o["id"], "name": o["name"], "color": o["color"]});
    let Some(options) = property[kind]["options"].as_array_mut() else {
        return Err(invalid(format!("{name} has no options.")));
    };
    if let Some(known) = options.iter().find(|o| o["name"] == wanted.as_str() || o["id"] == wanted.as_str()) {
        return Ok(short(known));
    }
    if kind == "status" {
        return Err(invalid(format!("Invalid status option. Status option \"{wanted}\" does not exist\".")));
    }
    if wanted.contains(',') {
        return Err(invalid(format!("Invalid select option, commas not allowed: {wanted}")));
    }
    let color = COLORS[options.len() % COLORS.len()];
    let made = json!({"id": ids.uuid(), "name": wanted, "color": color, "description": null});
    options.push(made.clone());
    Ok(short(&made))
}

/// Rich text in the answer's shape.
pub(super) fn rich_text(at: &str, items: &Value) -> Result<Vec<Value>, Reply> {
    let Some(items) = items.as_array() else {
        return Err(invalid(format!(
            "body failed validation: body.properties.{at} should be an array, instead was `{items}`."
        )));
    };
    if items.len() > super::PAGE {
        return Err(invalid(format!(
            "body failed validation: body.properties.{at}.length should be ≤ `100`, instead was `{}`.",
            items.len()
        )));
    }
    items.iter().enumerate().map(|(i, item)| rich_item(at, i, item)).collect()
}

fn rich_item(at: &str, index: usize, item: &Value) -> Result<Value, Reply> {
    let Some(content) = item["text"]["content"].as_str() else {
        return Err(invalid(format!(
            "body failed validation: body.properties.{at}[{index}].text.content should be defined, instead was \
             `undefined`."
        )));
    };
    let length = content.chars().count();
    if length > TEXT {
        return Err(invalid(format!(
            "body failed validation: body.properties.{at}[{index}].text.content.length should be ≤ `{TEXT}`, instead \
             was `{length}`."
        )));
    }
    let mut shown = plain(content, item["text"].get("link").filter(|link| !link.is_null()));
    for (name, value) in item["annotations"].as_object().into_iter().flatten() {
        shown["annotations"][name] = value.clone();
    }
    Ok(shown)
}

/// A rich text item without formatting.
pub(super) fn plain(content: &str, link: Option<&Value>) -> Value {
    let href = link.and_then(|l| l.get("url")).cloned().unwrap_or(Value::Null);
    json!({
        "type": "text",
        "text": {"content": content, "link": link.cloned().unwrap_or(Value::Null)},
        "annotations": {
            "bold": false, "italic": false, "strikethrough": false, "underline": false, "code": false,
            "color": "default",
        },
        "plain_text": content,
        "href": href,
    })
}

/// Refuses what cannot be a list of blocks.
pub(super) fn ensure_blocks(children: &Value) -> Result<(), Reply> {
    let Some(blocks) = children.as_array() else {
        return Err(invalid("body failed validation: body.children should be an array."));
    };
    if blocks.len() > super::PAGE {
        return Err(invalid(format!(
            "body failed validation: body.children.length should be ≤ `100`, instead was `{}`.",
            blocks.len()
        )));
    }
    for (i, block) in blocks.iter().enumerate() {
        let kind = kind_of_block(block).ok_or_else(|| {
            invalid(format!(
                "body failed validation: body.children[{i}].type should be defined, instead was `undefined`."
            ))
        })?;
        if let Some(items) = block[kind].get("rich_text") {
            rich_text(&format!("children[{i}].{kind}.rich_text"), items)?;
        }
    }
    Ok(())
}

/// A block's type: said, or the one member that is not common to all.
pub(super) fn kind_of_block(block: &Value) -> Option<&str> {
    let map = block.as_object()?;
    match map.get("type").and_then(Value::as_str) {
        Some(kind) => map.contains_key(kind).then_some(kind),
        None => map.keys().map(String::as_str).find(|k| !["object", "id", "has_children"].contains(k)),
    }
}

/// Rich text as it is kept: an item without link and formatting is its text alone, a tenth of the shape it is shown in.
fn compact(items: Vec<Value>) -> Value {
    let kept = |item: Value| match item["plain_text"].as_str() {
        Some(content) if item == plain(content, None) => json!(content),
        _ => item,
    };
    items.into_iter().map(kept).collect()
}

/// Property values in the answer's shape.
pub(super) fn shown(properties: &Map<String, Value>) -> Map<String, Value> {
    let mut shown = properties.clone();
    for property in shown.values_mut() {
        let kind = if property["type"] == "title" { "title" } else { "rich_text" };
        for item in property.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(content) = item.as_str() {
                *item = plain(content, None);
            }
        }
    }
    shown
}

/// The text of a title or text value.
pub(super) fn plain_text(value: &Value) -> Option<String> {
    let items = value.get("title").or_else(|| value.get("rich_text"))?.as_array()?;
    Some(items.iter().filter_map(|i| i.as_str().or_else(|| i["plain_text"].as_str())).collect())
}

/// The title.
pub(super) fn title_of(properties: &Map<String, Value>) -> String {
    properties.values().find(|p| p["type"] == "title").and_then(plain_text).unwrap_or_default()
}

/// Texts of properties whose name says that they hold a key.
pub(super) fn markers(properties: &Map<String, Value>) -> Vec<String> {
    properties
        .iter()
        .filter(|(name, value)| value["type"] == "rich_text" && name.to_lowercase().contains("key"))
        .filter_map(|(_, value)| plain_text(value))
        .filter(|text| !text.is_empty())
        .collect()
}

/// A string value, or nothing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
