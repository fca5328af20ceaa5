//! The moments that log lines carry: RFC 3339 text, milliseconds or seconds since the epoch.

use super::json::{Text, Value};
use crate::wire::Time;

/// Seconds since the epoch have at most this many digits before the point; more are milliseconds.
const SECONDS_MAX: f64 = 1e11;

/// The moment a value names.
pub fn moment(value: Value<'_>) -> Option<Time> {
    match value {
        Value::Text(text) => usual(text.raw)
            .or_else(|| Some(Time(text.decode().trim().parse::<jiff::Timestamp>().ok()?.as_millisecond()))),
        Value::Number(raw) => of_number(std::str::from_utf8(raw).ok()?.parse().ok()?),
        _ => None,
    }
}

/// The moment a parsed value names.
pub fn moment_of(value: &serde_json::Value) -> Option<Time> {
    match value {
        serde_json::Value::String(text) => moment(Value::Text(Text { raw: text.as_bytes(), escaped: false })),
        serde_json::Value::Number(number) => of_number(number.as_f64()?),
        _ => None,
    }
}

fn of_number(number: f64) -> Option<Time> {
    let ms = if number.abs() < SECONDS_MAX { number * 1000.0 } else { number };
    // Beyond the year 9999 it is not a moment.
    (ms.abs() < 253_402_300_800_000.0).then_some(Time(ms as i64))
}

/// `2025-10-17T10:30:45.123Z`, as nearly every line has it.
fn usual(text: &[u8]) -> Option<Time> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if separators.iter().any(|(at, byte)| text[*at] != *byte) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to].iter().try_fold(0_i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, milli) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // A leap second is left to the slow way.
    if year == 0 || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970-01-01 in a calendar whose years begin in March, so that a leap day ends one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(Time(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + milli))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::json::find;

    #[test]
    fn the_usual_form_is_read_as_the_calendar_has_it() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            let ms = random.i64(-62_135_596_800_000..253_402_300_799_999);
            let text = format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap());
            assert_eq!(usual(text.as_bytes()), Some(Time(ms)), "{text}");
        }
        for wrong in [
            "2025-02-29T00:00:00.000Z",
            "2025-13-01T00:00:00.000Z",
            "2025-01-01T24:00:00.000Z",
            "2025-01-01 00:00:00.000Z",
        ] {
            assert_eq!(usual(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn every_form_names_its_moment() {
        let of = |line: &str| moment(find(line.as_bytes(), &["t".into()]).unwrap()).map(|t| t.0);
        assert_eq!(of(r#"{"t":"2025-10-17T10:30:45.123Z"}"#), Some(1_760_697_045_123));
        assert_eq!(of(r#"{"t":"2025-10-17T12:30:45+02:00"}"#), Some(1_760_697_045_000));
        assert_eq!(of(r#"{"t":"2025-10-17T10:30:45.123\u005a"}"#), Some(1_760_697_045_123));
        assert_eq!(of(r#"{"t":1760697045123}"#), Some(1_760_697_045_123));
        assert_eq!(of(r#"{"t":1760697045.5}"#), Some(1_760_697_045_500));
        assert_eq!(of(r#"{"t":"yesterday"}"#), None);
        assert_eq!(of(r#"{"t":1e300}"#), None);
        assert_eq!(moment(Value::Text(Text { raw: b"", escaped: false })), None);
    }
}
