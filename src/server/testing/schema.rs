//! Just enough JSON Schema to compare an answer with the served OpenAPI document.

use serde_json::Value;

/// What does not fit, with its place; empty when all does.
pub fn misfits(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(document, schema, value, "$", &mut found);
    found
}

fn look(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return match target {
            Some(target) => look(document, target, value, at, found),
            None => found.push(format!("{at}: {reference} is nowhere")),
        };
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        look(document, part, value, at, found);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().filter(|c| misfits(document, c, value).is_empty()).count();
        if fits != 1 {
            found.push(format!("{at}: {fits} of {} choices fit {value}", choices.len()));
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|t| is(t, value)) {
        found.push(format!("{at}: {value} is not {}", types.join(" or ")));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{at}: {value} is not one of {words:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(schema), _) => look(document, schema, member, &format!("{at}.{name}"), found),
            (None, Some(schema)) if schema.is_object() => {
                look(document, schema, member, &format!("{at}.{name}"), found);
            }
            _ => {}
        }
    }
    for (index, member) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            look(document, &schema["items"], member, &format!("{at}[{index}]"), found);
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}
