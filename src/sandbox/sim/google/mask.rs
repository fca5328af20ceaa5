//! Partial answers: `fields=nextPageToken,files(id,name),sheets/properties`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Which members of an object are wanted. Without entries: everything below.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::sandbox::sim) struct Mask(BTreeMap<String, Mask>);

impl Mask {
    /// Reads a mask; the error is the part that cannot be understood.
    pub(in crate::sandbox::sim) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let mask = Mask::parse_list(&mut rest)?;
        if rest.is_empty() { Ok(mask) } else { Err(rest.to_owned()) }
    }

    fn parse_list(rest: &mut &str) -> Result<Self, String> {
        let mut mask = Mask::default();
        loop {
            mask.parse_entry(rest)?;
            match rest.strip_prefix(',') {
                Some(more) => *rest = more.trim_start(),
                None => return Ok(mask),
            }
        }
    }

    /// `name`, `name/name`, `name.name` or `name(list)`.
    fn parse_entry(&mut self, rest: &mut &str) -> Result<(), String> {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '*' || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return Err((*rest).to_owned());
        }
        *rest = after.trim_start();
        let entry = self.0.entry(name.to_owned()).or_default();
        if let Some(more) = rest.strip_prefix(['/', '.']) {
            *rest = more;
            return entry.parse_entry(rest);
        }
        if let Some(more) = rest.strip_prefix('(') {
            *rest = more.trim_start();
            let inner = Mask::parse_list(rest)?;
            entry.0.extend(inner.0);
            *rest = rest.strip_prefix(')').ok_or_else(|| (*rest).to_owned())?.trim_start();
        }
        Ok(())
    }

    /// The mask of a member's members; `None` when it is not wanted.
    pub(in crate::sandbox::sim) fn below(&self, member: &str) -> Option<&Mask> {
        self.0.get(member)
    }

    /// The first member that is not among `known`.
    pub(in crate::sandbox::sim) fn unknown<'a>(&'a self, known: &[&str]) -> Option<&'a str> {
        self.0.keys().map(String::as_str).find(|name| *name != "*" && !known.contains(name))
    }

    fn is_all(&self) -> bool {
        self.0.is_empty() || self.0.contains_key("*")
    }

    /// What is left of a value.
    pub(in crate::sandbox::sim) fn apply(&self, value: Value) -> Value {
        match value {
            value if self.is_all() => value,
            Value::Array(list) => Value::Array(list.into_iter().map(|v| self.apply(v)).collect()),
            Value::Object(map) => {
                let kept: Map<String, Value> = map
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.clone(), self.0.get(&name)?.apply(value))))
                    .collect();
                Value::Object(kept)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_named_is_left() {
        let value = json!({"a": 1, "b": [{"c": 2, "d": 3}, {"d": 4}], "e": {"f": {"g": 5}, "h": 6}});
        let left = |mask: &str| Mask::parse(mask).unwrap().apply(value.clone());
        assert_eq!(left("a,b(c)"), json!({"a": 1, "b": [{"c": 2}, {}]}));
        assert_eq!(left("e/f/g, e.h"), json!({"e": {"f": {"g": 5}, "h": 6}}));
        assert_eq!(left("*"), value);
        assert_eq!(left("b(*),z"), json!({"b": value["b"]}));
        assert!(Mask::parse("a(b").is_err() && Mask::parse("a,,b").is_err() && Mask::parse("a)").is_err());
    }
}
