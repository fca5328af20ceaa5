//! JSON as JavaScript would write it after sorting every object's keys.
//!
//! Idempotency keys were first derived by JavaScript programs; a key must come out the same here, so numbers are printed
//! as doubles in JavaScript's notation, keys sort by UTF-16 code units, and keys that look like array indexes come first
//! in numeric order.

use serde_json::Value;

/// The canonical text of a value.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::with_capacity(128);
    write_value(value, &mut text);
    text
}

/// The first `digits` hex digits of the SHA-256 of a text, at most 64.
pub fn sha256_hex(text: &str, digits: usize) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        // Every JSON number is a double in JavaScript, large integers included.
        Value::Number(n) => write_number(n.as_f64().unwrap_or(f64::NAN), out),
        Value::String(s) => write_string(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_by(|a, b| compare_keys(a, b));
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write_value(&members[key], out);
            }
            out.push('}');
        }
    }
}

/// JSON's escapes are the same in JavaScript and serde_json.
fn write_string(s: &str, out: &mut String) {
    out.push_str(&Value::from(s).to_string());
}

fn compare_keys(a: &str, b: &str) -> std::cmp::Ordering {
    match (array_index(a), array_index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.encode_utf16().cmp(b.encode_utf16()),
    }
}

/// JavaScript's array index: a canonical decimal below 2^32 - 1.
fn array_index(key: &str) -> Option<u32> {
    let index: u32 = key.parse().ok()?;
    (index < u32::MAX && !key.starts_with('+') && (key == "0" || !key.starts_with('0'))).then_some(index)
}

/// `Number.prototype.toString`: shortest digits that read back the same, exponent from 1e21 and below 1e-6.
fn write_number(n: f64, out: &mut String) {
    if !n.is_finite() {
        out.push_str("null");
        return;
    }
    if n == 0.0 {
        out.push('0');
        return;
    }
    let scientific = format!("{:e}", n.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if n < 0.0 {
        out.push('-');
    }
    let len = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if (-6..21).contains(&exponent) {
        if exponent < 0 {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).unwrap_or(0)));
            out.push_str(&digits);
        } else if len <= exponent + 1 {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', usize::try_from(exponent + 1 - len).unwrap_or(0)));
        } else {
            let point = usize::try_from(exponent + 1).unwrap_or(0);
            out.push_str(&digits[..point]);
            out.push('.');
            out.push_str(&digits[point..]);
        }
        return;
    }
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    out.push('e');
    out.push(if exponent < 0 { '-' } else { '+' });
    out.push_str(&exponent.abs().to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_print_as_in_javascript() {
        for (n, text) in [
            (1.0, "1"),
            (-0.0, "0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.25e-7, "1.25e-7"),
            (0.1, "0.1"),
            (123.456, "123.456"),
            (-2.5, "-2.5"),
        ] {
            let mut out = String::new();
            write_number(n, &mut out);
            assert_eq!(out, text);
        }
        // A 64-bit integer is a double there.
        assert_eq!(canonical_json(&json!(12_345_678_901_234_567_890_u64)), "12345678901234567000");
    }

    #[test]
    fn keys_sort_as_in_javascript() {
        let value = json!({"b": 1, "10": 1, "a": {"z": 1, "y": 2}, "9": 2, "01": 0, "4294967295": 0});
        assert_eq!(canonical_json(&value), r#"{"9":2,"10":1,"01":0,"4294967295":0,"a":{"y":2,"z":1},"b":1}"#);
        // UTF-16 puts a surrogate pair before U+FF21, UTF-8 after it.
        assert_eq!(canonical_json(&json!({"\u{ff21}": 1, "\u{1f534}": 2})), "{\"\u{1f534}\":2,\"\u{ff21}\":1}");
    }
}
