//! A report as flat records, for `-o jsonl` and `-o csv`.

use serde_json::{Map, Value};

/// The records of a serialised report: the elements of a list, or the one thing it is.
pub fn records_of(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => vec![other],
    }
}

/// CSV with a header line; nested fields get dotted names, lists are JSON text. The columns are those of all records,
/// in order of first appearance.
pub fn to_csv(records: &[Value]) -> String {
    let rows: Vec<Vec<(String, String)>> = records.iter().map(flatten).collect();
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let mut out = String::new();
    if columns.is_empty() {
        return out;
    }
    push_line(&mut out, columns.iter().copied());
    for row in &rows {
        let cell = |column: &&str| row.iter().find(|(name, _)| name == column).map_or("", |(_, v)| v.as_str());
        push_line(&mut out, columns.iter().map(cell));
    }
    out
}

/// `name=value` pairs of a record, nested names dotted.
pub fn flatten(record: &Value) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    match record {
        Value::Object(map) => flatten_into(&mut pairs, "", map),
        other => pairs.push(("value".to_owned(), scalar(other))),
    }
    pairs
}

fn flatten_into(pairs: &mut Vec<(String, String)>, prefix: &str, map: &Map<String, Value>) {
    for (key, value) in map {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(inner) => flatten_into(pairs, &name, inner),
            other => pairs.push((name, scalar(other))),
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn push_line<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(cell);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn csv_flattens_and_escapes() {
        let records = [
            json!({"id": "a,1", "by": {"high": 5, "low": null}, "tags": ["x"]}),
            json!({"id": "say \"hi\"\n", "extra": true}),
        ];
        assert_eq!(
            to_csv(&records),
            "id,by.high,by.low,tags,extra\n\"a,1\",5,,\"[\"\"x\"\"]\",\n\"say \"\"hi\"\"\n\",,,,true\n"
        );
        assert_eq!(to_csv(&[]), "");
    }

    #[test]
    fn a_list_is_its_elements() {
        assert_eq!(records_of(json!([1, 2])).len(), 2);
        assert_eq!(records_of(json!({"a": 1})).len(), 1);
    }
}
