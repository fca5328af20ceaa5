//! The key that makes many events one alert.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::canonical::sha256_hex;
use crate::error::Fault;

/// Longest deduplication key PagerDuty takes, in characters.
const LONGEST: usize = 255;

/// A deduplication key: 1 to 255 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DedupKey(String);

impl DedupKey {
    /// A key that somebody gave.
    pub fn new(text: impl Into<String>) -> Result<Self, Fault> {
        let text = text.into();
        let length = text.chars().count();
        let refuse = |why: String| {
            Err(Fault::usage("that is no deduplication key")
                .because(why)
                .hint("use 1 to 255 characters, such as inc-42"))
        };
        match length {
            _ if text.trim().is_empty() => refuse("it is empty".into()),
            _ if length > LONGEST => refuse(format!("it has {length} characters, PagerDuty takes at most {LONGEST}")),
            _ => Ok(DedupKey(text)),
        }
    }

    /// The key of what a check finds about a subject in a context: never of a time or a text, so that there is one open
    /// alert however often the check runs.
    pub fn of(context: &str, check: &str, subject: &str) -> Self {
        let digest = sha256_hex(&format!("{context}\n{check}\n{subject}"), 32);
        DedupKey(format!("opsctl-{digest}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DedupKey {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        DedupKey::new(text)
    }
}

impl TryFrom<String> for DedupKey {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        DedupKey::new(text)
    }
}

impl From<DedupKey> for String {
    fn from(key: DedupKey) -> String {
        key.0
    }
}

impl fmt::Display for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_at_most_255_characters() {
        assert!(DedupKey::new("é".repeat(255)).is_ok());
        let fault = DedupKey::new("x".repeat(256)).unwrap_err();
        assert!(fault.causes[0].contains("256 characters"), "{fault:?}");
        assert!(DedupKey::new(" ").is_err());
        assert!(serde_json::from_str::<DedupKey>("\"\"").is_err());
    }

    #[test]
    fn the_key_of_a_finding_depends_on_what_it_is_about_and_on_nothing_else() {
        let key = |context, subject| DedupKey::of(context, "circuit-open", subject);
        assert_eq!(key("prod", "notion"), key("prod", "notion"));
        assert!(key("prod", "notion") != key("prod", "slack") && key("prod", "notion") != key("dev", "notion"));
    }
}
