//! Idempotency of single actions: how a key is made, and what a repeated one means.

use serde_json::Value;

use super::canonical::{canonical_json, sha256_hex};
use crate::wire::Time;

/// The key of an action without one of its own: `<signal>:<action>:<target>:<hash of the parameters>`.
pub fn derive_key(signal: Option<&str>, action: &str, target: &str, params: &Value) -> String {
    format!("{}:{action}:{target}:{}", signal.unwrap_or("no-signal"), fingerprint(params))
}

/// The first 16 hex digits of the SHA-256 over the canonical parameters.
pub fn fingerprint(params: &Value) -> String {
    sha256_hex(&canonical_json(params), 16)
}

/// What a key stands for: the same action on the same target with the same parameters.
pub fn action_fingerprint(action: &str, target: &str, params: &Value) -> String {
    format!("{action}:{target}:{}", fingerprint(params))
}

/// What is known of a key.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Fingerprint of what it was first used for.
    pub fingerprint: &'a str,
    /// When it is forgotten.
    pub expires_at: Time,
    /// Whether its action waits or runs: until that ends, the key holds however old it is.
    pub in_flight: bool,
}

/// What a key in a new request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Never seen, or forgotten: execute.
    New,
    /// The same again: the earlier action stands in for it.
    Duplicate,
    /// The same key for something else: refuse.
    Collision,
}

/// Judges a key.
pub fn judge(known: Option<Known<'_>>, fingerprint: &str, now: Time) -> Verdict {
    match known {
        None => Verdict::New,
        Some(known) if known.expires_at <= now && !known.in_flight => Verdict::New,
        Some(known) if known.fingerprint == fingerprint => Verdict::Duplicate,
        Some(_) => Verdict::Collision,
    }
}

/// Whether a key ends in a moment (epoch seconds or milliseconds, or a date with a time). Such a key is new every time,
/// so it prevents nothing.
pub fn ends_in_timestamp(key: &str) -> bool {
    let digits = key.len() - key.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 10 || digits == 13 {
        let end = &key[key.len() - digits..];
        // 2001 to 2286: ten-digit business ids outside it exist, moments do not.
        return end.starts_with(|c: char| c != '0');
    }
    let starts = key.char_indices().rev().take(36).filter(|(at, _)| {
        key[..*at].chars().next_back().is_none_or(|before| !before.is_ascii_alphanumeric() && before != '-')
            || key[..*at].ends_with('-')
    });
    starts.map(|(at, _)| &key[at..]).any(|end| end.len() >= 15 && end.parse::<jiff::Timestamp>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fingerprints_match_the_measured_ones() {
        for (params, hash) in [
            (json!({}), "44136fa355b3678a"),
            (json!({"name": "Review Invoice", "boardId": "board-456"}), "e5d1ec58a53b403e"),
            (json!({"b": 1, "a": [{"d": 2, "c": 1}, 3]}), "637ea8840e5ef31b"),
            (json!({"x": 1.0, "y": 1e21, "z": 1e-7, "w": -0.0}), "a2aa70cd09420fe6"),
            (json!({"t": "é🔴"}), "70175453592a8eda"),
            (json!({"a": 3, "10": 1, "9": 2}), "ac43de46bc6196a4"),
            (json!({"when": {}}), "987a771ced05fb0b"),
        ] {
            assert_eq!(fingerprint(&params), hash, "{params}");
        }
    }

    #[test]
    fn a_key_names_signal_action_and_target() {
        let params = json!({});
        assert_eq!(derive_key(Some("sig-88"), "create", "notion", &params), "sig-88:create:notion:44136fa355b3678a");
        assert_eq!(derive_key(None, "create", "notion", &params), "no-signal:create:notion:44136fa355b3678a");
    }

    #[test]
    fn a_repeated_key_is_a_duplicate_a_reused_one_a_collision() {
        let known = Known { fingerprint: "aa", expires_at: Time(100), in_flight: false };
        assert_eq!(judge(None, "aa", Time(0)), Verdict::New);
        assert_eq!(judge(Some(known), "aa", Time(99)), Verdict::Duplicate);
        assert_eq!(judge(Some(known), "bb", Time(99)), Verdict::Collision);
        assert_eq!(judge(Some(known), "bb", Time(100)), Verdict::New);
        let in_flight = Known { in_flight: true, ..known };
        assert_eq!(judge(Some(in_flight), "aa", Time(100)), Verdict::Duplicate);
        assert_eq!(judge(Some(in_flight), "bb", Time(100)), Verdict::Collision);
    }

    #[test]
    fn keys_that_end_in_a_moment_are_found() {
        for key in ["invoice-1760697045123", "x:1760697045", "bug-2025-10-17T10:30:45.123Z", "a_20251017T103045Z"] {
            assert!(ends_in_timestamp(key), "{key}");
        }
        for key in
            ["invoice-001", "order-20251017", "sig:create:notion:44136fa355b3678a", "9:1234567890123456", "", "é"]
        {
            assert!(!ends_in_timestamp(key), "{key}");
        }
    }
}
