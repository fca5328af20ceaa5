//! Cells: what was entered, and how it is shown.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Day 0 of serial dates.
const EPOCH: Date = jiff::civil::date(1899, 12, 30);

/// What was entered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Entered {
    #[default]
    Nothing,
    Text(String),
    Number(f64),
    Bool(bool),
    /// With its `=`.
    Formula(String),
}

/// A cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) entered: Entered,
    /// `userEnteredFormat`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) format: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// What a cell is worth.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Worth {
    Nothing,
    Text(String),
    Number(f64),
    Bool(bool),
    /// `#REF!`, `#DIV/0!`, `#NAME?`, `#VALUE!`.
    Error(&'static str),
}

/// A number without a needless fraction.
pub(super) fn number(n: f64) -> Value {
    if n.fract() == 0.0 && n.abs() < 1e15 { json!(n as i64) } else { json!(n) }
}

impl Cell {
    pub(super) fn is_empty(&self) -> bool {
        self.entered == Entered::Nothing
    }

    /// Takes a value of the API. `as_typed` understands text the way a person's typing is understood.
    pub(super) fn enter(&mut self, value: &Value, as_typed: bool) {
        match value {
            // Null leaves the cell alone.
            Value::Null => {}
            Value::Bool(b) => self.entered = Entered::Bool(*b),
            Value::Number(n) => self.entered = Entered::Number(n.as_f64().unwrap_or_default()),
            Value::String(s) if as_typed => self.type_in(s),
            Value::String(s) if s.is_empty() => self.entered = Entered::Nothing,
            Value::String(s) => self.entered = Entered::Text(s.clone()),
            other => self.entered = Entered::Text(other.to_string()),
        }
    }

    fn type_in(&mut self, text: &str) {
        let trimmed = text.trim();
        self.entered = if text.is_empty() {
            Entered::Nothing
        } else if let Some(literal) = text.strip_prefix('\'') {
            Entered::Text(literal.to_owned())
        } else if text.starts_with('=') && text.len() > 1 {
            Entered::Formula(text.to_owned())
        } else if trimmed.eq_ignore_ascii_case("true") || trimmed.eq_ignore_ascii_case("false") {
            Entered::Bool(trimmed.eq_ignore_ascii_case("true"))
        } else if let Some(n) = typed_number(trimmed) {
            Entered::Number(n)
        } else if let Some(date) = iso_date(trimmed) {
            self.set_number_format(Some(&json!({"type": "DATE", "pattern": "yyyy-mm-dd"})));
            Entered::Number(f64::from((date - EPOCH).get_days()))
        } else {
            Entered::Text(text.to_owned())
        };
    }

    /// Changes the number format alone; nothing is left of an empty format.
    pub(super) fn set_number_format(&mut self, number_format: Option<&Value>) {
        let mut format = self.format.as_object().cloned().unwrap_or_default();
        match number_format {
            Some(number_format) => _ = format.insert("numberFormat".into(), number_format.clone()),
            None => _ = format.remove("numberFormat"),
        }
        self.format = if format.is_empty() { Value::Null } else { Value::Object(format) };
    }

    /// The text a person sees.
    pub(super) fn formatted(&self, worth: &Worth) -> String {
        match worth {
            Worth::Nothing => String::new(),
            Worth::Text(s) => s.clone(),
            Worth::Bool(b) => b.to_string().to_uppercase(),
            Worth::Error(e) => (*e).to_owned(),
            Worth::Number(n) if self.format["numberFormat"]["type"] == "DATE" => {
                let date = EPOCH.checked_add(jiff::Span::new().try_days(*n as i64).unwrap_or_default());
                date.map_or_else(|_| n.to_string(), |date| date.to_string())
            }
            Worth::Number(n) => number(*n).to_string(),
        }
    }

    /// `userEnteredValue`.
    pub(super) fn entered_json(&self) -> Option<Value> {
        Some(match &self.entered {
            Entered::Nothing => return None,
            Entered::Text(s) => json!({"stringValue": s}),
            Entered::Number(n) => json!({"numberValue": number(*n)}),
            Entered::Bool(b) => json!({"boolValue": b}),
            Entered::Formula(f) => json!({"formulaValue": f}),
        })
    }

    /// Takes an `ExtendedValue`; `None` when it is not one.
    pub(super) fn extended(value: &Value) -> Option<Entered> {
        if value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) {
            return Some(Entered::Nothing);
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        text("stringValue")
            .map(Entered::Text)
            .or_else(|| text("formulaValue").map(Entered::Formula))
            .or_else(|| value["numberValue"].as_f64().map(Entered::Number))
            .or_else(|| value["boolValue"].as_bool().map(Entered::Bool))
    }
}

impl Worth {
    /// As `effectiveValue`.
    pub(super) fn effective_json(&self) -> Option<Value> {
        Some(match self {
            Worth::Nothing => return None,
            Worth::Text(s) => json!({"stringValue": s}),
            Worth::Number(n) => json!({"numberValue": number(*n)}),
            Worth::Bool(b) => json!({"boolValue": b}),
            Worth::Error(e) => {
                json!({"errorValue": {"type": e.trim_matches(['#', '!', '?']).replace("/0", "IDE_BY_ZERO"), "message": e}})
            }
        })
    }
}

fn typed_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    text.parse().ok().filter(|n: &f64| plain && n.is_finite())
}

fn iso_date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_is_understood_and_raw_values_are_kept() {
        let typed = |text: &str| {
            let mut cell = Cell::default();
            cell.enter(&json!(text), true);
            cell
        };
        assert_eq!(typed("1500").entered, Entered::Number(1500.0));
        assert_eq!(typed("'1500").entered, Entered::Text("1500".into()));
        assert_eq!(typed("true").entered, Entered::Bool(true));
        assert_eq!(typed("=A1").entered, Entered::Formula("=A1".into()));
        assert_eq!(typed("inf").entered, Entered::Text("inf".into()));
        let date = typed("2026-11-01");
        assert_eq!(date.entered, Entered::Number(46_327.0));
        assert_eq!(date.formatted(&Worth::Number(46_327.0)), "2026-11-01");
        let mut raw = Cell::default();
        raw.enter(&json!("=A1"), false);
        assert_eq!(raw.entered, Entered::Text("=A1".into()));
        raw.enter(&Value::Null, false);
        assert_eq!(raw.entered, Entered::Text("=A1".into()));
    }
}
