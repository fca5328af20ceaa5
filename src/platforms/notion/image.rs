//! Property values as pages show them, in the shape in which they can be written back and compared.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::read_text;
use crate::wire::Time;

/// A property's value in the shape that Notion takes; the error says why it cannot be written back.
pub fn writable(shown: &Value) -> Result<Value, String> {
    let kind = shown["type"].as_str().unwrap_or_default();
    let value = &shown[kind];
    let list = |of: fn(&Value) -> Value| Value::from_iter(value.as_array().into_iter().flatten().map(of));
    let written = match kind {
        "title" | "rich_text" => list(text_item),
        "select" | "status" => option(value),
        "multi_select" => list(option),
        "people" => list(|p| json!({"object": p["object"], "id": p["id"]})),
        "relation" if shown["has_more"] == true => {
            return Err("it has more entries than Notion shows at once".into());
        }
        "relation" => list(|page| json!({"id": page["id"]})),
        "files" => {
            let external = |f: &Value| f["type"] == "external";
            if !value.as_array().into_iter().flatten().all(external) {
                return Err("uploaded files cannot be written back".into());
            }
            list(|f| json!({"name": f["name"], "type": "external", "external": f["external"]}))
        }
        "date" | "number" | "checkbox" | "url" | "email" | "phone_number" => value.clone(),
        other => return Err(format!("a {other} property is Notion's own and cannot be written")),
    };
    Ok(json!({kind: written}))
}

fn option(option: &Value) -> Value {
    if option.is_null() { Value::Null } else { json!({"name": option["name"]}) }
}

/// A piece of text with its formatting.
fn text_item(item: &Value) -> Value {
    let kind = item["type"].as_str().unwrap_or("text");
    let mut written = json!({"type": kind, "annotations": item["annotations"]});
    written[kind] = item[kind].clone();
    written
}

/// Whether a property shows what was sent for it. Notion adds ids, colours and formatting of its own.
pub fn shows(shown: &Value, sent: &Value) -> bool {
    let kind = shown["type"].as_str().unwrap_or_default();
    let (now, sent) = (&shown[kind], &sent[kind]);
    let ids = |list: &Value| -> BTreeSet<String> {
        let ids = list.as_array().into_iter().flatten().filter_map(|e| e["id"].as_str());
        ids.map(|id| id.replace('-', "").to_lowercase()).collect()
    };
    match kind {
        "title" | "rich_text" => read_text(now) == read_text(sent),
        "select" | "status" => same_option(now, sent),
        "multi_select" => {
            let (now, sent) = (now.as_array(), sent.as_array());
            let (now, sent) = (now.map_or(&[][..], Vec::as_slice), sent.map_or(&[][..], Vec::as_slice));
            now.len() == sent.len() && sent.iter().all(|s| now.iter().any(|n| same_option(n, s)))
        }
        "people" | "relation" => ids(now) == ids(sent),
        "date" => same_moment(&now["start"], &sent["start"]) && same_moment(&now["end"], &sent["end"]),
        "number" => now.as_f64() == sent.as_f64(),
        "files" => names(now) == names(sent),
        "url" | "email" | "phone_number" => now.as_str().unwrap_or_default() == sent.as_str().unwrap_or_default(),
        _ => now == sent,
    }
}

fn names(files: &Value) -> Vec<&str> {
    files.as_array().into_iter().flatten().filter_map(|f| f["name"].as_str()).collect()
}

/// An option is sent by name or by id.
fn same_option(now: &Value, sent: &Value) -> bool {
    match sent.get("name").or_else(|| sent.get("id")) {
        Some(wanted) => [&now["name"], &now["id"]].contains(&wanted),
        None => now.is_null(),
    }
}

fn same_moment(now: &Value, sent: &Value) -> bool {
    let time = |v: &Value| v.as_str().and_then(|s| s.parse::<Time>().ok());
    now == sent || time(now).is_some_and(|at| Some(at) == time(sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_shows_can_be_written_back() {
        let annotations = json!({"bold": true, "color": "red"});
        for (shown, written) in [
            (
                json!({"id": "a", "type": "select", "select": {"id": "1", "name": "High", "color": "red"}}),
                json!({"select": {"name": "High"}}),
            ),
            (json!({"type": "status", "status": null}), json!({"status": null})),
            (
                json!({"type": "title", "title": [{"type": "text", "text": {"content": "x", "link": null},
                    "annotations": annotations, "plain_text": "x", "href": null}]}),
                json!({"title": [{"type": "text", "text": {"content": "x", "link": null}, "annotations": annotations}]}),
            ),
            (
                json!({"type": "people", "people": [{"object": "user", "id": "u", "name": "Ana"}]}),
                json!({"people": [{"object": "user", "id": "u"}]}),
            ),
            (json!({"type": "number", "number": 2.5}), json!({"number": 2.5})),
            (json!({"type": "date", "date": null}), json!({"date": null})),
        ] {
            assert_eq!(writable(&shown), Ok(written.clone()), "{shown}");
            assert!(shows(&shown, &written), "{shown}");
        }
        let uploaded = json!({"type": "files", "files": [{"name": "a", "type": "file", "file": {"url": "https://x"}}]});
        assert_eq!(writable(&uploaded).unwrap_err(), "uploaded files cannot be written back");
        assert!(writable(&json!({"type": "formula", "formula": {}})).unwrap_err().contains("cannot be written"));
        assert!(writable(&json!({"type": "relation", "relation": [], "has_more": true})).is_err());
    }

    #[test]
    fn what_was_sent_is_recognised() {
        let date = |start: &str| json!({"type": "date", "date": {"start": start, "end": null, "time_zone": null}});
        let sent = json!({"date": {"start": "2026-11-01T10:00:00Z"}});
        assert!(shows(&date("2026-11-01T10:00:00.000+00:00"), &sent));
        assert!(!shows(&date("2026-11-01T11:00:00.000+00:00"), &sent));
        let tags =
            json!({"type": "multi_select", "multi_select": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]});
        assert!(shows(&tags, &json!({"multi_select": [{"name": "b"}, {"id": "1"}]})));
        assert!(!shows(&tags, &json!({"multi_select": [{"name": "a"}]})));
        let empty = json!({"type": "url", "url": null});
        assert!(shows(&empty, &json!({"url": null})) && !shows(&empty, &json!({"url": "https://x"})));
    }
}
