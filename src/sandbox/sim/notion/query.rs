//! Queries and search: filters, sorts, pages of results, the cut-off.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::props::{known_members, plain_text, text, title_of};
use super::rows::{Cursor, minute, walk};
use super::{Notion, Page, Version, invalid, list, page_of, page_size};
use crate::sandbox::sim::api::Reply;
use crate::wire::Time;

/// A query's rows end here, whatever there is; the answer then says so.
const CUT_OFF: usize = 10_000;

impl Notion {
    pub(super) fn query(&self, source: &str, body: &Value, version: Version) -> Result<Reply, Reply> {
        known_members(body, &["sorts", "filter", "start_cursor", "page_size", "in_trash", "archived", "result_type"])?;
        let filter = body.get("filter").filter(|f| !f.is_null());
        let schema = &self.sources[source].schema;
        if let Some(filter) = filter {
            ensure_filter(filter, schema)?;
        }
        let trash = body.get("in_trash").and_then(Value::as_bool).unwrap_or(false);
        let size = page_size(body.get("page_size"))?;
        let cursor = body["start_cursor"].as_str().map(Cursor::read).transpose()?;
        let seen = cursor.map_or(0, |cursor| cursor.seen);
        let rows = &self.sources[source].pages;
        let fits = |row: &usize| {
            let page = &self.pages[&rows[*row]];
            page.in_trash == trash && filter.is_none_or(|filter| matches(filter, page))
        };
        let sorts = body["sorts"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Newest first unless sorted.
        let by_creation = match sorts {
            [] => Some(false),
            [sort] if sort["timestamp"] == "created_time" => Some(sort["direction"] != "descending"),
            _ => None,
        };
        let exact = filter.and_then(exact_text);
        let found: Vec<usize> = match by_creation.filter(|_| exact.is_none()) {
            // One more than is shown: it tells whether there is a next page, and where that begins.
            Some(ascending) => walk(self.window(rows, filter), ascending, cursor, size + 1, fits),
            None => {
                let places =
                    exact.map_or_else(|| self.window(rows, filter).collect(), |text| self.places(source, text));
                let mut all: Vec<usize> = places.into_iter().rev().filter(fits).collect();
                for sort in sorts.iter().rev() {
                    let descending = sort["direction"] == "descending";
                    all.sort_by(|a, b| {
                        let order = compare(sort, &self.pages[&rows[*a]], &self.pages[&rows[*b]]);
                        if descending { order.reverse() } else { order }
                    });
                }
                let start = cursor.map_or(0, |c| all.iter().position(|row| *row == c.row).unwrap_or(c.seen));
                all.split_off(start.min(all.len()))
            }
        };
        let shown = size.min(CUT_OFF.saturating_sub(seen)).min(found.len());
        let pages: Vec<Value> = found[..shown].iter().map(|row| self.page(&rows[*row], version)).collect();
        let cut = seen + shown >= CUT_OFF && found.len() > shown;
        let next = found.get(shown).filter(|_| !cut).map(|row| Cursor { row: *row, seen: seen + shown }.write());
        let kind = if version >= Version::SOURCES { "page_or_data_source" } else { "page_or_database" };
        let mut answer = list(&pages, next, kind);
        if cut {
            answer["request_status"] = json!({"type": "incomplete", "incomplete_reason": "query_result_limit_reached"});
        }
        Ok(Reply::ok(&answer))
    }

    pub(super) fn search(&self, body: &Value, version: Version) -> Result<Reply, Reply> {
        known_members(body, &["sort", "query", "start_cursor", "page_size", "filter"])?;
        let wanted = text(&body["query"]).to_lowercase();
        let kind = body["filter"]["value"].as_str();
        let fits = |title: &str| wanted.is_empty() || title.to_lowercase().contains(&wanted);
        let mut found: Vec<(Time, &String, bool)> = Vec::new();
        if kind != Some("page") {
            found.extend(self.sources.iter().filter(|(_, s)| fits(&s.title)).map(|(id, s)| (s.created, id, true)));
        }
        if kind.is_none_or(|k| k == "page") {
            let pages = self.pages.iter().filter(|(_, p)| !p.in_trash && fits(&title_of(&p.properties)));
            found.extend(pages.map(|(id, p)| (p.edited, id, false)));
        }
        found.sort();
        if body["sort"]["direction"] != "ascending" {
            found.reverse();
        }
        let ids: Vec<String> = found.iter().map(|(_, id, _)| (*id).clone()).collect();
        let (range, next) = page_of(&ids, body["start_cursor"].as_str(), body.get("page_size"))?;
        let results: Vec<Value> = found[range]
            .iter()
            .map(|(_, id, is_source)| match (is_source, version >= Version::SOURCES) {
                (true, true) => self.source(id),
                (true, false) => self.database(&self.sources[*id].database, version),
                (false, _) => self.page(id, version),
            })
            .collect();
        let kind = if version >= Version::SOURCES { "page_or_data_source" } else { "page_or_database" };
        Ok(Reply::ok(&list(&results, next, kind)))
    }
}

/// The text that every match must have exactly, when the filter says one: it is looked up instead of scanned for.
fn exact_text(filter: &Value) -> Option<&str> {
    if let Some(parts) = filter.get("and").and_then(Value::as_array) {
        return parts.iter().find_map(exact_text);
    }
    filter.get("title").or_else(|| filter.get("rich_text"))?.get("equals")?.as_str().filter(|t| !t.is_empty())
}

/// Refuses a filter on a property that is not there or has another type.
fn ensure_filter(filter: &Value, schema: &serde_json::Map<String, Value>) -> Result<(), Reply> {
    for group in ["and", "or"] {
        if let Some(parts) = filter.get(group).and_then(Value::as_array) {
            return parts.iter().try_for_each(|part| ensure_filter(part, schema));
        }
    }
    if let Some(kind) = filter.get("timestamp").and_then(Value::as_str) {
        let known = ["created_time", "last_edited_time"].contains(&kind) && filter.get(kind).is_some();
        return if known { Ok(()) } else { Err(invalid(format!("body.filter.{kind} should be defined."))) };
    }
    let Some(name) = filter.get("property").and_then(Value::as_str) else {
        return Err(invalid("body failed validation: body.filter.or should be defined, instead was `undefined`."));
    };
    let Some(property) = schema.iter().find(|(n, p)| *n == name || p["id"] == name).map(|(_, p)| p) else {
        return Err(invalid(format!("Could not find property with name or id: {name}")));
    };
    let kind = text(&property["type"]);
    if filter.get(kind).is_none() {
        return Err(invalid(format!("database property {kind} does not match filter")));
    }
    Ok(())
}

/// Whether a page passes a filter.
fn matches(filter: &Value, page: &Page) -> bool {
    if let Some(parts) = filter.get("and").and_then(Value::as_array) {
        return parts.iter().all(|part| matches(part, page));
    }
    if let Some(parts) = filter.get("or").and_then(Value::as_array) {
        return parts.iter().any(|part| matches(part, page));
    }
    if let Some(kind) = filter.get("timestamp").and_then(Value::as_str) {
        let time = if kind == "created_time" { page.created } else { page.edited };
        return compare_time(&filter[kind], Some(minute(time)));
    }
    let name = text(&filter["property"]);
    let value = page.properties.iter().find(|(n, p)| *n == name || p["id"] == name).map(|(_, p)| p);
    let Some(value) = value else { return false };
    let kind = text(&value["type"]);
    let condition = &filter[kind];
    match kind {
        "title" | "rich_text" => match_text(condition, &plain_text(value).unwrap_or_default()),
        "select" | "status" => match_text(condition, text(&value[kind]["name"])),
        "url" | "email" | "phone_number" => match_text(condition, text(&value[kind])),
        "date" => compare_time(condition, parse_time(&value["date"]["start"])),
        "number" | "checkbox" => each(condition, |op, wanted| match op {
            "equals" => value[kind] == *wanted,
            "does_not_equal" => value[kind] != *wanted,
            "greater_than" => value[kind].as_f64() > wanted.as_f64(),
            "less_than" => value[kind].as_f64().is_some() && value[kind].as_f64() < wanted.as_f64(),
            "is_empty" => value[kind].is_null(),
            _ => !value[kind].is_null(),
        }),
        "multi_select" | "people" | "relation" => {
            let has = |wanted: &Value| {
                value[kind].as_array().into_iter().flatten().any(|v| v["name"] == *wanted || v["id"] == *wanted)
            };
            let empty = value[kind].as_array().is_none_or(Vec::is_empty);
            each(condition, |op, wanted| match op {
                "contains" => has(wanted),
                "does_not_contain" => !has(wanted),
                "is_empty" => empty,
                _ => !empty,
            })
        }
        _ => false,
    }
}

fn each(condition: &Value, holds: impl Fn(&str, &Value) -> bool) -> bool {
    condition.as_object().is_some_and(|c| c.iter().all(|(op, wanted)| holds(op, wanted)))
}

/// Equality is exact; parts of a text are found whatever their case.
fn match_text(condition: &Value, exact: &str) -> bool {
    let value = exact.to_lowercase();
    each(condition, |op, given| {
        let wanted = text(given).to_lowercase();
        match op {
            "equals" => exact == text(given),
            "does_not_equal" => exact != text(given),
            "contains" => value.contains(&wanted),
            "does_not_contain" => !value.contains(&wanted),
            "starts_with" => value.starts_with(&wanted),
            "ends_with" => value.ends_with(&wanted),
            "is_empty" => value.is_empty(),
            "is_not_empty" => !value.is_empty(),
            _ => false,
        }
    })
}

pub(super) fn parse_time(value: &Value) -> Option<Time> {
    let text = value.as_str()?;
    text.parse().ok().or_else(|| format!("{text}T00:00:00Z").parse().ok())
}

fn compare_time(condition: &Value, time: Option<Time>) -> bool {
    each(condition, |op, wanted| match (op, time, parse_time(wanted)) {
        ("is_empty", time, _) => time.is_none(),
        ("is_not_empty", time, _) => time.is_some(),
        ("equals", Some(time), Some(wanted)) => time == wanted,
        ("before", Some(time), Some(wanted)) => time < wanted,
        ("after", Some(time), Some(wanted)) => time > wanted,
        ("on_or_before", Some(time), Some(wanted)) => time <= wanted,
        ("on_or_after", Some(time), Some(wanted)) => time >= wanted,
        _ => false,
    })
}

fn compare(sort: &Value, a: &Page, b: &Page) -> Ordering {
    match sort["timestamp"].as_str() {
        Some("created_time") => a.created.cmp(&b.created),
        Some(_) => a.edited.cmp(&b.edited),
        None => {
            let value = |page: &Page| {
                let property = page.properties.get(text(&sort["property"]))?;
                let kind = text(&property["type"]);
                plain_text(property).or_else(|| {
                    let value = &property[kind];
                    let inner = value.get("name").or_else(|| value.get("start")).unwrap_or(value);
                    Some(inner.as_str().map_or_else(|| inner.to_string(), str::to_owned))
                })
            };
            value(a).cmp(&value(b))
        }
    }
}
