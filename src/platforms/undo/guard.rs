//! Whether what an action wrote still stands, field by field.

use serde_json::Value;

use super::{Seen, Undone};
use crate::http::clip;

/// Longest value shown in a sentence, in characters.
const SHOWN: usize = 80;

/// Fields named in a sentence at most.
const NAMED: usize = 3;

/// One field that an action wrote, as it is now.
pub struct Field {
    /// Its name on the platform.
    pub name: String,
    /// Whether it holds what it held before the action.
    pub is_back: bool,
    /// Whether it holds what the action wrote.
    pub is_ours: bool,
    /// What it holds, for people.
    pub now: String,
}

impl Field {
    /// Whether somebody else wrote what it holds.
    pub fn is_strange(&self) -> bool {
        !self.is_back && !self.is_ours
    }
}

/// What is to be done about the fields.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// All of them hold what they held before.
    Back,
    /// These have to be put back, by their place in the list.
    PutBack(Vec<usize>),
    /// Somebody wrote something else since: what.
    Changed(String),
}

/// Judges the fields. A field that somebody put back already is left alone; one that holds something else stops the
/// undo, unless it is forced.
pub fn judge(fields: &[Field], force: bool) -> Verdict {
    let open: Vec<usize> = (0..fields.len()).filter(|at| !fields[*at].is_back).collect();
    if open.is_empty() {
        return Verdict::Back;
    }
    match force {
        true => Verdict::PutBack(open),
        false => strangers(fields.iter().filter(|f| f.is_strange())).map_or(Verdict::PutBack(open), Verdict::Changed),
    }
}

/// What a read-back says after fields were put back.
pub fn confirm(object: &str, fields: &[Field]) -> Undone {
    match strangers(fields.iter().filter(|f| !f.is_back)) {
        None => Undone::Confirmed(format!("{object} holds what it held before: {}", names(fields))),
        Some(how) => Undone::StillStands(format!("{object} does not hold what it held before: {how}")),
    }
}

/// How an object looks whose fields should hold what was written.
pub fn seen(fields: &[Field]) -> Seen {
    strangers(fields.iter().filter(|f| !f.is_ours)).map_or(Seen::Present, Seen::Altered)
}

/// The fields' names, the first few.
pub fn names(fields: &[Field]) -> String {
    listed(fields.iter().map(|f| f.name.clone()))
}

/// What fields hold that should be as they were before, the first few.
pub fn held(fields: &[Field]) -> String {
    strangers(fields.iter().filter(|f| !f.is_back)).unwrap_or_default()
}

fn strangers<'a>(fields: impl Iterator<Item = &'a Field>) -> Option<String> {
    let said: Vec<String> = fields.map(|f| format!("{} is {}", f.name, f.now)).collect();
    (!said.is_empty()).then(|| listed(said.into_iter()))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = items.collect();
    match all.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", all[..NAMED].join(", ")),
        _ => all.join(", "),
    }
}

/// A value in a sentence.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(s) if s.is_empty() => "empty".to_string(),
        Value::String(s) => format!("`{}`", clip(s, SHOWN)),
        Value::Null => "empty".to_string(),
        other => format!("`{}`", clip(&other.to_string(), SHOWN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, is_back: bool, is_ours: bool) -> Field {
        Field { name: name.into(), is_back, is_ours, now: "`x`".into() }
    }

    #[test]
    fn only_what_still_stands_is_put_back() {
        let fields = [field("a", false, true), field("b", true, false), field("c", true, true)];
        assert_eq!(judge(&fields, false), Verdict::PutBack(vec![0]));
        assert_eq!(judge(&fields[1..], false), Verdict::Back);
    }

    #[test]
    fn somebody_elses_value_stops_it_unless_forced() {
        let fields = [field("a", false, true), field("b", false, false)];
        assert_eq!(judge(&fields, false), Verdict::Changed("b is `x`".into()));
        assert_eq!(judge(&fields, true), Verdict::PutBack(vec![0, 1]));
    }

    #[test]
    fn long_lists_are_cut() {
        let fields: Vec<Field> = ["a", "b", "c", "d", "e"].iter().map(|n| field(n, false, false)).collect();
        assert_eq!(names(&fields), "a, b, c and 2 more");
        assert_eq!(names(&fields[..3]), "a, b, c");
        assert_eq!(shown(&Value::Null), "empty");
    }
}
