//! Durations as people write them: `10m`, `2h30m`, `500ms`, `7d`.

use std::time::Duration;

use crate::error::Fault;

/// Unit names with their milliseconds.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
/// Longest duration that is accepted: a hundred years, so that arithmetic on instants cannot overflow.
const LONGEST_MS: u64 = 100 * 365 * 86_400_000;

/// Reads a duration. A bare number is refused, because `10` could be seconds or minutes.
pub fn parse_duration(text: &str) -> Result<Duration, Fault> {
    let refuse = |why: String| Err(Fault::usage(format!("`{text}` is not a duration")).because(why).hint(HINT));
    let mut rest = text.trim();
    if rest.is_empty() {
        return refuse("it is empty".into());
    }
    if rest.starts_with('-') {
        return refuse("it is negative".into());
    }
    if rest.bytes().all(|b| b.is_ascii_digit()) {
        return refuse("it has no unit".into());
    }
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(count) = rest[..digits].parse::<u64>() else {
            return refuse(format!("a number is missing before `{rest}`"));
        };
        rest = &rest[digits..];
        let letters = rest.chars().take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum();
        let unit = &rest[..letters];
        rest = &rest[letters..];
        let Some((_, ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return refuse(if unit.is_empty() {
                "the last number has no unit".into()
            } else {
                format!("`{unit}` is not a unit")
            });
        };
        if *ms >= smallest {
            return refuse("units go from large to small, each once".into());
        }
        smallest = *ms;
        match count.checked_mul(*ms).and_then(|ms| total.checked_add(ms)).filter(|ms| *ms <= LONGEST_MS) {
            Some(sum) => total = sum,
            None => return refuse("it is longer than a hundred years".into()),
        }
    }
    Ok(Duration::from_millis(total))
}

/// What to write instead.
const HINT: &str = "write 500ms, 30s, 10m, 2h30m or 7d";

/// Writes a duration the way [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, ms) in UNITS.iter().rev().filter(|(name, _)| *name != "w") {
        if left >= *ms {
            text.push_str(&format!("{}{name}", left / ms));
            left %= ms;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, ms) in
            [("10m", 600_000), ("2h30m", 9_000_000), ("500ms", 500), ("7d", 604_800_000), ("1m5s", 65_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(ms), "{text}");
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
        assert_eq!(parse_duration("1w").unwrap(), Duration::from_secs(604_800));
    }

    #[test]
    fn what_is_refused_says_why() {
        for (text, why) in [
            ("10", "no unit"),
            ("", "empty"),
            ("-5m", "negative"),
            ("5x", "`x` is not a unit"),
            ("m", "a number is missing"),
            ("5m2h", "large to small"),
            ("5m5m", "large to small"),
            ("1h30", "last number has no unit"),
            ("99999999999d", "hundred years"),
            ("5é", "`é` is not a unit"),
            ("1.5h", "last number"),
        ] {
            let fault = parse_duration(text).unwrap_err();
            assert!(fault.causes[0].contains(why), "{text}: {:?}", fault.causes);
            assert!(fault.hint.is_some());
        }
    }
}
