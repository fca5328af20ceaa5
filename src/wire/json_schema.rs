//! Just enough JSON Schema to compare JSON with the types of this folder, as the OpenAPI document has them.

use serde_json::{Value, json};
use utoipa::ToSchema;

/// A document with a type and all that it is made of, and the type's own schema in it.
pub fn of<T: ToSchema>() -> (Value, Value) {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    let schemas = schemas.into_iter().filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)));
    let document = json!({"components": {"schemas": schemas.collect::<serde_json::Map<_, _>>()}});
    (document, json!({"$ref": format!("#/components/schemas/{}", T::name())}))
}

/// Fields that the schema does not have, with their place.
pub fn strangers(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    seek(document, schema, value, "$", &mut found);
    found
}

fn seek(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let parts = parts_of(document, schema);
    for (name, member) in value.as_object().into_iter().flatten() {
        let own = parts.iter().find_map(|part| part["properties"].get(name));
        let any = parts.iter().find_map(|part| part.get("additionalProperties").filter(|any| any.is_object()));
        match own.or(any) {
            Some(schema) => seek(document, schema, member, &format!("{at}.{name}"), found),
            None if parts.iter().any(|part| part["properties"].is_object()) => found.push(format!("{at}.{name}")),
            None => {}
        }
    }
    for (index, member) in value.as_array().into_iter().flatten().enumerate() {
        for items in parts.iter().filter_map(|part| part.get("items").filter(|items| items.is_object())) {
            seek(document, items, member, &format!("{at}[{index}]"), found);
        }
    }
}

/// A schema with what it refers to and is put together from.
fn parts_of<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return target.map(|target| parts_of(document, target)).unwrap_or_default();
    }
    let within = ["allOf", "oneOf", "anyOf"].iter().flat_map(|word| schema[*word].as_array().into_iter().flatten());
    std::iter::once(schema).chain(within.flat_map(|part| parts_of(document, part))).collect()
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CircuitStatus, SystemStatus};

    #[test]
    fn a_wrong_type_a_missing_field_and_one_too_many_are_told() {
        let (document, schema) = of::<CircuitStatus>();
        let good = json!({"platform": "notion", "state": "OPEN", "failureCount": 7});
        assert!(misfits(&document, &schema, &good).is_empty() && strangers(&document, &schema, &good).is_empty());
        let bad = json!({"platform": "notion", "state": "BROKEN", "failures": 7});
        let wrong = misfits(&document, &schema, &bad);
        assert!(wrong.iter().any(|why| why.contains("failureCount is missing")), "{wrong:?}");
        assert!(wrong.iter().any(|why| why.contains("BROKEN")), "{wrong:?}");
        assert_eq!(strangers(&document, &schema, &bad), ["$.failures"]);
    }

    #[test]
    fn what_is_within_a_field_is_looked_at_too() {
        let (document, schema) = of::<SystemStatus>();
        let value = json!({"queue": {"totalQueued": 1, "totalQueud": 1}, "openCircuits": [{"stat": "OPEN"}]});
        let found = strangers(&document, &schema, &value);
        assert_eq!(found, ["$.queue.totalQueud", "$.openCircuits[0].stat"]);
    }
}
