//! What was entered into cells, compared with what was sent as if a person had typed it.

use serde_json::{Value, json};

/// Day 0 of the numbers that stand for dates.
const EPOCH: jiff::civil::Date = jiff::civil::date(1899, 12, 30);

/// What was entered into a cell; an empty object when nothing was.
pub fn entered(cell: &Value) -> Value {
    cell.get("userEnteredValue").cloned().unwrap_or_else(|| json!({}))
}

/// Whether two entered values are the same.
pub fn same_value(a: &Value, b: &Value) -> bool {
    let number = |v: &Value| v["numberValue"].as_f64();
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b || (is_blank(a) && is_blank(b)),
    }
}

fn is_blank(value: &Value) -> bool {
    value.as_object().is_none_or(serde_json::Map::is_empty)
}

/// Whether a cell holds what was sent as if a person had typed it.
pub fn holds(cell: &Value, sent: &Value) -> bool {
    let entered = entered(cell);
    let (text, number) = (entered["stringValue"].as_str(), entered["numberValue"].as_f64());
    let Some(typed) = sent.as_str() else {
        return match sent {
            Value::Number(n) => number == n.as_f64(),
            other => entered["boolValue"] == *other,
        };
    };
    let plain = |formula: &str| formula.split_whitespace().collect::<String>().to_lowercase();
    if typed.is_empty() {
        is_blank(&entered)
    } else if let Some(formula) = entered["formulaValue"].as_str() {
        plain(formula) == plain(typed)
    } else if let Some(text) = text {
        text == typed || Some(text) == typed.strip_prefix('\'')
    } else if let Some(flag) = entered["boolValue"].as_bool() {
        typed.trim().eq_ignore_ascii_case(&flag.to_string())
    } else {
        number.is_some_and(|n| shows_number(n, cell, typed.trim()))
    }
}

/// Whether a number is what was typed: as a number, with a currency or per cent, or as a date.
fn shows_number(number: f64, cell: &Value, typed: &str) -> bool {
    let formatted = cell["formattedValue"].as_str().unwrap_or_default();
    if formatted == typed || typed.parse() == Ok(number) {
        return true;
    }
    if let Ok(date) = typed.parse::<jiff::civil::Date>() {
        return f64::from((date - EPOCH).get_days()) == number;
    }
    if is_moment(typed) {
        // Which day it stands for depends on the spreadsheet's country.
        return !cell["userEnteredFormat"]["numberFormat"].is_null();
    }
    let amount = |text: &str| -> Option<f64> {
        let figures: String = text.chars().filter(|c| c.is_ascii_digit() || "-.".contains(*c)).collect();
        figures.parse().ok().filter(|_| !text.contains(char::is_alphabetic))
    };
    amount(typed).is_some_and(|typed| amount(formatted) == Some(typed))
}

/// Whether a text is digits with what separates days, months, hours and minutes.
fn is_moment(typed: &str) -> bool {
    typed.starts_with(|c: char| c.is_ascii_digit())
        && typed.contains(['-', '/', ':'])
        && typed.chars().all(|c| c.is_ascii_digit() || " -/.:TZ+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_recognised_in_the_cell() {
        let number =
            |n: f64, formatted: &str| json!({"userEnteredValue": {"numberValue": n}, "formattedValue": formatted});
        let text = |s: &str| json!({"userEnteredValue": {"stringValue": s}, "formattedValue": s});
        let mut time = number(0.4375, "10:30:00");
        time["userEnteredFormat"] = json!({"numberFormat": {"type": "TIME"}});
        let formula = json!({"userEnteredValue": {"formulaValue": "=SUM(A1:A3)"}, "formattedValue": "6"});
        for (cell, sent) in [
            (number(1500.0, "1,500"), json!("1500")),
            (number(1500.0, "1,500"), json!("1,500")),
            (number(5.0, "$5.00"), json!("$5")),
            (time, json!("10:30")),
            (number(0.1, "10.00%"), json!("10%")),
            (number(46_327.0, "11/1/2026"), json!("2026-11-01")),
            (number(3.0, "3"), json!(3)),
            (text("1500"), json!("'1500")),
            (formula.clone(), json!("=sum(A1:A3)")),
            (json!({"userEnteredValue": {"boolValue": true}}), json!("true")),
            (json!({"userEnteredValue": {"boolValue": true}}), json!(true)),
            (Value::Null, json!("")),
        ] {
            assert!(holds(&cell, &sent), "{cell} {sent}");
        }
        for (cell, sent) in [
            (number(1501.0, "1,501"), json!("1500")),
            (number(46_328.0, "11/2/2026"), json!("2026-11-01")),
            (number(5.0, "5"), json!("five")),
            (number(5.0, "5 1.2.3"), json!("1.2.3")),
            (formula, json!("=SUM(A1:A4)")),
            (text("no"), json!(false)),
            (Value::Null, json!("x")),
            (text("x"), json!("")),
        ] {
            assert!(!holds(&cell, &sent), "{cell} {sent}");
        }
    }
}
