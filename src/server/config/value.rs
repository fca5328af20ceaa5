//! What a variable may hold, and its one normal spelling.

use crate::wire::Platform;

use super::shape::Shape;

/// The unit a bare number is in: the runbook's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

impl Unit {
    const fn millis(self) -> u64 {
        match self {
            Unit::Millis => 1,
            Unit::Seconds => 1000,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Unit::Millis => "milliseconds",
            Unit::Seconds => "seconds",
        }
    }
}

/// The type and range of a variable.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number.
    Count {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A whole number a minute, or `off`.
    PerMinute,
    /// A decimal number.
    Factor {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// `true` or `false`.
    Flag,
    /// A flag that cannot be switched off, and why.
    AlwaysOn(&'static str),
    /// A length of time; a bare number is in the runbook's unit.
    Span {
        /// Unit of a bare number.
        unit: Unit,
        /// Shortest, in milliseconds.
        min_ms: u64,
        /// Longest, in milliseconds.
        max_ms: u64,
    },
    /// Requests in a window; a bare number is for the platform's own window.
    Rate {
        /// The platform's window, in milliseconds.
        window_ms: u64,
    },
    /// One of a few words; others that people try are refused with their reason.
    Word {
        /// What is accepted.
        allowed: &'static [&'static str],
        /// What is refused, and why.
        refused: &'static [(&'static str, &'static str)],
    },
    /// Some of a few words, separated by commas, or `none`.
    Words(&'static [&'static str]),
    /// A platform that can stand in for this one.
    Fallback(&'static [Platform]),
    /// Text that should look like this.
    Text(Shape),
    /// A secret that should look like this.
    Secret(Shape),
}

const RATE_MAX: u64 = 1_000_000;

impl Kind {
    /// The normal spelling of `text`, or what is wrong with it (to follow the variable's name).
    pub fn normalise(&self, text: &str) -> Result<String, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("cannot be empty; unset it instead".into());
        }
        match *self {
            Kind::Count { min, max } => {
                whole(text, min, max).map(|n| n.to_string()).ok_or_else(|| expected(&self.expects(), text))
            }
            Kind::PerMinute => match text.to_ascii_lowercase().as_str() {
                "off" | "0" => Ok("off".into()),
                _ => whole(text, 1, RATE_MAX).map(|n| n.to_string()).ok_or_else(|| expected(&self.expects(), text)),
            },
            Kind::Factor { min, max } => match text.parse::<f64>() {
                Ok(x) if x.is_finite() && (min..=max).contains(&x) => Ok(x.to_string()),
                _ => Err(expected(&self.expects(), text)),
            },
            Kind::Flag => flag(text).map(|b| b.to_string()).ok_or_else(|| expected(&self.expects(), text)),
            Kind::AlwaysOn(why) => match flag(text) {
                Some(true) => Ok("true".into()),
                Some(false) => Err(format!("cannot be false: {why}")),
                None => Err(expected(&self.expects(), text)),
            },
            Kind::Span { unit, min_ms, max_ms } => match span_ms(text, unit) {
                Some(ms) if (min_ms..=max_ms).contains(&ms) => Ok(span_text(ms, unit)),
                _ => Err(expected(&self.expects(), text)),
            },
            Kind::Rate { window_ms } => match rate(text, window_ms) {
                Some((n, ms)) if ms == window_ms => Ok(n.to_string()),
                Some((n, ms)) => Ok(format!("{n}/{}", span_with_suffix(ms))),
                None => Err(expected(&self.expects(), text)),
            },
            Kind::Word { allowed, refused } => {
                if let Some((word, why)) = refused.iter().find(|(w, _)| w.eq_ignore_ascii_case(text)) {
                    return Err(format!("cannot be `{word}`: {why}"));
                }
                let word = allowed.iter().find(|w| w.eq_ignore_ascii_case(text));
                word.map(|w| (*w).to_owned()).ok_or_else(|| expected(&self.expects(), text))
            }
            Kind::Words(known) => words(text, known).ok_or_else(|| expected(&self.expects(), text)),
            Kind::Fallback(targets) => {
                let target = text.parse::<Platform>().ok().filter(|p| targets.contains(p));
                target.map(|p| p.to_string()).ok_or_else(|| expected(&self.expects(), text))
            }
            Kind::Text(_) => match text.chars().any(char::is_control) || text.len() > 1024 {
                true => Err("must be one line of at most 1024 bytes".into()),
                false => Ok(text.to_owned()),
            },
            // A key file's JSON has line breaks; nothing about the value may be repeated in a message.
            Kind::Secret(_) => Ok(text.to_owned()),
        }
    }

    /// What it accepts, for messages and descriptions.
    pub fn expects(&self) -> String {
        match *self {
            Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
            Kind::PerMinute => format!("a whole number from 1 to {RATE_MAX}, or `off`"),
            Kind::Factor { min, max } => format!("a number from {min} to {max}"),
            Kind::Flag => "true or false".into(),
            Kind::AlwaysOn(_) => "true".into(),
            Kind::Span { unit, min_ms, max_ms } => format!(
                "a time from {} to {} (a bare number is {}; ms, s, m, h, d are accepted)",
                span_with_suffix(min_ms),
                span_with_suffix(max_ms),
                unit.word()
            ),
            Kind::Rate { window_ms } => format!(
                "a whole number of requests from 1 to {RATE_MAX} in {}, or with a window of its own such as `10/1s`",
                span_with_suffix(window_ms)
            ),
            Kind::Word { allowed, .. } => format!("one of {}", allowed.join(", ")),
            Kind::Words(known) => format!("some of {}, separated by commas, or `none`", known.join(", ")),
            Kind::Fallback(targets) => {
                let words: Vec<_> = targets.iter().map(|p| p.as_str()).collect();
                format!("a platform that can stand in: {}", words.join(", "))
            }
            Kind::Text(shape) | Kind::Secret(shape) => shape.looks_like.into(),
        }
    }

    /// Whether the value must never be shown.
    pub const fn is_secret(&self) -> bool {
        matches!(self, Kind::Secret(_))
    }

    /// What a valid value should look like but does not.
    pub fn odd_shape(&self, text: &str) -> Option<&'static str> {
        match self {
            Kind::Text(shape) | Kind::Secret(shape) if !(shape.fits)(text) => Some(shape.looks_like),
            _ => None,
        }
    }
}

fn expected(what: &str, text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    format!("must be {what}, not `{shown}`")
}

fn whole(text: &str, min: u64, max: u64) -> Option<u64> {
    let digits_only = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits_only && (min..=max).contains(n))
}

/// The known words of a list, each once and in their order.
fn words(text: &str, known: &[&str]) -> Option<String> {
    if text.eq_ignore_ascii_case("none") {
        return Some("none".into());
    }
    let named: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let all_known = named.iter().all(|word| known.iter().any(|k| k.eq_ignore_ascii_case(word)));
    let is_named = |k: &&str| named.iter().any(|word| word.eq_ignore_ascii_case(k));
    let chosen: Vec<&str> = known.iter().copied().filter(is_named).collect();
    (all_known && !chosen.is_empty()).then(|| chosen.join(","))
}

/// A flag's value.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A length of time in milliseconds.
pub(super) fn span_ms(text: &str, unit: Unit) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let factor = match text[digits..].trim_start() {
        "" => unit.millis(),
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}

/// The bare number in the variable's unit, or milliseconds with their suffix when it does not divide.
fn span_text(ms: u64, unit: Unit) -> String {
    match ms % unit.millis() {
        0 => (ms / unit.millis()).to_string(),
        _ => format!("{ms}ms"),
    }
}

/// The shortest spelling with a suffix: `30s`, `1500ms`.
fn span_with_suffix(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let (size, unit) = units.into_iter().find(|(size, _)| ms > 0 && ms.is_multiple_of(*size)).unwrap_or((1, "ms"));
    format!("{}{unit}", ms / size)
}

/// Requests and their window in milliseconds, at most a day.
pub(super) fn rate(text: &str, window_ms: u64) -> Option<(u64, u64)> {
    let (count, window) = match text.split_once('/') {
        None => (text, window_ms),
        Some((count, window)) => {
            let window = window.trim();
            let bare_unit = window.starts_with(|c: char| c.is_ascii_alphabetic());
            let spelled = if bare_unit { format!("1{window}") } else { window.to_owned() };
            (count.trim(), span_ms(&spelled, Unit::Seconds)?)
        }
    };
    let count = whole(count, 1, RATE_MAX)?;
    (100..=86_400_000).contains(&window).then_some((count, window))
}

#[cfg(test)]
mod tests {
    use super::super::shape;
    use super::*;

    const TTL: Kind = Kind::Span { unit: Unit::Seconds, min_ms: 1000, max_ms: 2_592_000_000 };

    #[test]
    fn a_bare_number_is_in_the_runbooks_unit_and_suffixes_are_understood() {
        for same in ["86400", "24h", "1d", "1440m", "86400s", "86400000ms"] {
            assert_eq!(TTL.normalise(same).as_deref(), Ok("86400"), "{same}");
        }
        assert_eq!(TTL.normalise("1500ms").as_deref(), Ok("1500ms"));
        for bad in ["0", "-1", "1.5", "10 parsecs", "s", "99999999999999999999", "40d"] {
            assert!(TTL.normalise(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_keeps_the_platforms_window_or_names_its_own() {
        let notion = Kind::Rate { window_ms: 1000 };
        assert_eq!(notion.normalise("10").as_deref(), Ok("10"));
        assert_eq!(notion.normalise("10/s").as_deref(), Ok("10"));
        assert_eq!(notion.normalise("180/60s").as_deref(), Ok("180/1m"));
        assert!(notion.normalise("0").is_err());
        assert!(notion.normalise("10/fortnight").is_err());
    }

    #[test]
    fn a_list_of_words_has_one_spelling() {
        let rules = Kind::Words(&["deletes", "bulk", "permissions"]);
        assert_eq!(rules.normalise(" bulk , Deletes,bulk").as_deref(), Ok("deletes,bulk"));
        assert_eq!(rules.normalise("NONE").as_deref(), Ok("none"));
        for bad in [",", "deletes,all", "deletes none"] {
            assert!(rules.normalise(bad).unwrap_err().contains("or `none`"), "{bad}");
        }
    }

    #[test]
    fn refused_values_say_why() {
        let storage = Kind::Word { allowed: &["database"], refused: &[("redis", "the store is local SQLite")] };
        assert_eq!(storage.normalise("Redis").unwrap_err(), "cannot be `redis`: the store is local SQLite");
        assert!(Kind::AlwaysOn("state is always stored").normalise("0").unwrap_err().contains("always stored"));
        assert!(Kind::Count { min: 1, max: 256 }.normalise("+5").is_err());
    }

    #[test]
    fn a_secret_is_never_repeated_in_a_message() {
        let key = Kind::Secret(shape::NOTION_KEY);
        assert!(!key.normalise("  ").unwrap_err().contains("`"));
        assert_eq!(key.odd_shape("hunter2"), Some(shape::NOTION_KEY.looks_like));
    }
}
