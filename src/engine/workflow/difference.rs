//! What differs between a stored state and the one the execution log gives.

use serde_json::Value;

use super::State;
use crate::wire::StateDifference;

/// Counts and times of the record itself; a difference there alone says nothing about the workflow.
const OF_THE_RECORD: [&str; 2] = ["version", "updatedAt"];

/// The differences, field by field; steps by their ids.
pub fn differences(stored: Option<&State>, rebuilt: &State) -> Vec<StateDifference> {
    let shown = |state: &State| by_step(serde_json::to_value(state.wire()).unwrap_or_default());
    let mut found = Vec::new();
    match stored {
        Some(stored) => compare("", Some(&shown(stored)), Some(&shown(rebuilt)), &mut found),
        None => found.push(StateDifference {
            field: "status".into(),
            stored: None,
            rebuilt: Some(rebuilt.status.to_string()),
        }),
    }
    found
}

/// Steps as an object by id, so that a missing one is named.
fn by_step(mut workflow: Value) -> Value {
    if let Some(Value::Array(steps)) = workflow.get_mut("steps").map(Value::take) {
        let named = steps.into_iter().map(|step| (step["stepId"].as_str().unwrap_or_default().to_owned(), step));
        workflow["steps"] = named.collect();
    }
    workflow
}

fn compare(field: &str, stored: Option<&Value>, rebuilt: Option<&Value>, found: &mut Vec<StateDifference>) {
    match (stored, rebuilt) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))).collect();
            names.sort();
            for name in names.into_iter().filter(|name| !OF_THE_RECORD.contains(&name.as_str())) {
                let inner = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                compare(&inner, a.get(name), b.get(name), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(StateDifference { field: field.to_owned(), stored: text(a), rebuilt: text(b) }),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
