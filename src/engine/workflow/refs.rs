//! References in a step's parameters: a text that is exactly `$step.path` stands for a value of that step's result,
//! `$name` for one of the workflow's metadata. `$$` at the start is a plain `$`.

use serde_json::{Map, Value};

use super::State;
use crate::wire::StepStatus;

/// A reference, split at its first dot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reference<'a> {
    /// A step or a name in the metadata.
    pub head: &'a str,
    /// Where in its value; empty for the whole.
    pub path: &'a str,
}

/// Why a reference has no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unresolved {
    /// For people.
    pub why: String,
    /// Whether it refers to a step that was not executed.
    pub step_missing: bool,
}

/// Reads a text as a reference; `None` when it is plain. An amount such as `$100` is plain.
pub(super) fn parse(text: &str) -> Option<Reference<'_>> {
    let name = text.strip_prefix('$')?;
    let (head, path) = name.split_once('.').unwrap_or((name, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let named = head.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && head.chars().all(plain);
    let dotted = name.len() == head.len() || (!path.is_empty() && path.split('.').all(|part| !part.is_empty()));
    let tight = !path.chars().any(char::is_whitespace);
    (named && dotted && tight).then_some(Reference { head, path })
}

/// Calls `found` for each reference in a value.
pub(super) fn each<'a>(value: &'a Value, found: &mut impl FnMut(Reference<'a>)) {
    match value {
        Value::String(text) => parse(text).into_iter().for_each(found),
        Value::Array(items) => items.iter().for_each(|item| each(item, found)),
        Value::Object(members) => members.values().for_each(|member| each(member, found)),
        _ => {}
    }
}

/// Puts values in the places of references.
pub(super) fn resolve(value: &Value, state: &State) -> Result<Value, Unresolved> {
    Ok(match value {
        Value::String(text) => match parse(text) {
            Some(reference) => look_up(reference, state)?,
            None => Value::String(text.strip_prefix("$$").map_or_else(|| text.clone(), |rest| format!("${rest}"))),
        },
        Value::Array(items) => items.iter().map(|item| resolve(item, state)).collect::<Result<_, _>>()?,
        Value::Object(members) => {
            let resolved = members.iter().map(|(name, value)| Ok((name.clone(), resolve(value, state)?)));
            Value::Object(resolved.collect::<Result<Map<_, _>, _>>()?)
        }
        plain => plain.clone(),
    })
}

fn look_up(reference: Reference<'_>, state: &State) -> Result<Value, Unresolved> {
    let Reference { head, path } = reference;
    let dot = if path.is_empty() { "" } else { "." };
    let missing = |step_missing: bool, why: String| Unresolved {
        why: format!("`${head}{dot}{path}` has no value: {why}"),
        step_missing,
    };
    let Some(place) = state.place(head) else {
        let value = state.metadata().get(head).and_then(|value| at(value, path));
        return value.cloned().ok_or_else(|| missing(false, "the metadata does not have it".into()));
    };
    let step = &state.steps[place];
    if step.status != StepStatus::Completed {
        return Err(missing(true, format!("step {head} is {}", step.status)));
    }
    let result = step.result.as_ref().unwrap_or(&Value::Null);
    at(result, path).cloned().ok_or_else(|| missing(false, format!("the result of {head} has {}", names(result))))
}

/// A member, or a member of it, or an entry of a list by its number.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    path.split('.').try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

fn names(result: &Value) -> String {
    match result.as_object() {
        Some(members) if !members.is_empty() => members.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        _ => "no fields".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_whole_text_with_a_name_is_a_reference() {
        for (text, expected) in [
            ("$create_file.fileId", Some(("create_file", "fileId"))),
            ("$a.rows.0.id", Some(("a", "rows.0.id"))),
            ("$amount", Some(("amount", ""))),
            ("$100", None),
            ("$$amount", None),
            ("costs $amount", None),
            ("$amount due", None),
            ("$a.", None),
            ("$a..b", None),
            ("$a.b c", None),
            ("$", None),
        ] {
            assert_eq!(parse(text).map(|r| (r.head, r.path)), expected, "{text}");
        }
    }

    #[test]
    fn paths_go_through_objects_and_lists() {
        let value = json!({"rows": [{"id": 7}], "x": null});
        assert_eq!(at(&value, "rows.0.id"), Some(&json!(7)));
        assert_eq!(at(&value, "x"), Some(&Value::Null));
        assert_eq!((at(&value, "rows.1"), at(&value, "rows.x"), at(&value, "y")), (None, None, None));
        assert_eq!(at(&value, ""), Some(&value));
    }
}
