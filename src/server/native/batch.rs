//! Sheets appends that share one call: the same spreadsheet and range, rows one after the other.

use serde_json::{Value, json};

use crate::engine::canonical::canonical_json;
use crate::engine::queue::subject_hash;
use crate::wire::{ActionType, Platform};

/// Spellings of the rows' field.
const ROWS: [&str; 3] = ["values", "rows", "row"];

/// What an action can share a call with: a hash of everything but its rows; 0 for nothing.
pub(super) fn key(platform: Platform, action_type: ActionType, data: &Value) -> u64 {
    let append = platform == Platform::Sheets && matches!(action_type, ActionType::Create | ActionType::Log);
    match data.as_object() {
        Some(fields) if append && rows(data).is_some() => {
            let mut rest = fields.clone();
            rest.retain(|name, _| !ROWS.contains(&name.as_str()));
            subject_hash(&format!("{action_type}:{}", canonical_json(&Value::Object(rest))))
        }
        _ => 0,
    }
}

/// One call's parameters for several actions' rows, and how many rows each has. `None` when they cannot share one.
pub(super) fn merge(members: &[&Value]) -> Option<(Value, Vec<usize>)> {
    let mut all = Vec::new();
    let mut counts = Vec::with_capacity(members.len());
    for data in members {
        let rows = rows(data)?;
        counts.push(rows.len());
        all.extend(rows);
    }
    let mut merged = (*members.first()?).clone();
    let fields = merged.as_object_mut()?;
    fields.retain(|name, _| !ROWS.contains(&name.as_str()));
    fields.insert("values".into(), all.into());
    Some((merged, counts))
}

/// Each member's own result: the rows it got out of the call's.
pub(super) fn split(result: &Value, counts: &[usize]) -> Vec<Value> {
    let range = result.get("updatedRange").and_then(Value::as_str).and_then(parse_range);
    let mut before = 0;
    let own = |count: &usize| {
        let mut own = result.clone();
        if let Some((prefix, columns, first)) = &range {
            let from = first + before;
            let to = from + (*count as u64).saturating_sub(1);
            own["updatedRange"] = match columns.1.as_str() {
                "" => json!(format!("{prefix}{}{from}", columns.0)),
                last => json!(format!("{prefix}{}{from}:{last}{to}", columns.0)),
            };
        }
        if own.get("updatedRows").is_some() {
            own["updatedRows"] = json!(count);
        }
        own["batchedWith"] = json!(counts.len() - 1);
        before += *count as u64;
        own
    };
    counts.iter().map(own).collect()
}

/// Rows of cells; a single row may come without its outer list.
fn rows(data: &Value) -> Option<Vec<Value>> {
    let list = ROWS.iter().find_map(|name| data.get(*name))?.as_array().filter(|list| !list.is_empty())?;
    match list.iter().all(Value::is_array) {
        true => Some(list.clone()),
        false => Some(vec![Value::from(list.clone())]),
    }
}

/// `'Tab'!A5:C7` as the part up to `!`, the columns, and the first row.
fn parse_range(range: &str) -> Option<(String, (String, String), u64)> {
    let (prefix, cells) = range.rsplit_once('!').map_or(("", range), |(tab, cells)| (&range[..=tab.len()], cells));
    let (first, last) = cells.split_once(':').unwrap_or((cells, ""));
    let digits = |cell: &str| cell.find(|c: char| c.is_ascii_digit()).unwrap_or(cell.len());
    let row = first[digits(first)..].parse().ok()?;
    Some((prefix.to_owned(), (first[..digits(first)].to_owned(), last[..digits(last)].to_owned()), row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_appends_to_the_same_place_go_together() {
        let row = |range: &str, value: &str| json!({"spreadsheetId": "s", "range": range, "values": [[value]]});
        let append = |data: &Value| key(Platform::Sheets, ActionType::Log, data);
        assert_ne!(append(&row("A!A1", "x")), 0);
        assert_eq!(append(&row("A!A1", "x")), append(&row("A!A1", "y")));
        assert_ne!(append(&row("A!A1", "x")), append(&row("B!A1", "x")));
        assert_eq!(key(Platform::Sheets, ActionType::Update, &row("A!A1", "x")), 0);
        assert_eq!(key(Platform::Notion, ActionType::Log, &row("A!A1", "x")), 0);
    }

    #[test]
    fn every_member_gets_its_own_rows() {
        let (a, b) =
            (json!({"range": "Log!A1", "values": [[1, 2], [3, 4]]}), json!({"range": "Log!A1", "row": [5, 6]}));
        let (merged, counts) = merge(&[&a, &b]).unwrap();
        assert_eq!(merged, json!({"range": "Log!A1", "values": [[1, 2], [3, 4], [5, 6]]}));
        let results = split(&json!({"updatedRange": "Log!A5:B7", "updatedRows": 3}), &counts);
        assert_eq!(results[0]["updatedRange"], "Log!A5:B6");
        assert_eq!(results[1], json!({"updatedRange": "Log!A7:B7", "updatedRows": 1, "batchedWith": 1}));
        assert_eq!(split(&json!({"updatedRange": "'It''s!'!A5"}), &[1])[0]["updatedRange"], "'It''s!'!A5");
    }
}
