//! The filter everything passes that leaves the process as text: log lines, error messages, command output.
//!
//! It knows the secret values that were loaded and replaces each by `(hidden)`, in the forms a value takes on its way
//! through a program: raw, URL-encoded (either case of hex, `+` for a space), JSON-escaped (once and twice), and base64
//! (both alphabets, alone or at any offset inside a longer encoded text, such as a Basic header). A value that spans
//! lines, such as a PEM key, is also known line by line. Values shorter than [`MIN_LENGTH`] are not looked for: they
//! would blank out ordinary words.

mod line;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use regex::Regex;

use crate::secret::Secret;

pub use line::masked_line;

/// Shortest value that is looked for, in bytes.
pub const MIN_LENGTH: usize = 8;

/// What stands in a secret's place.
pub const HIDDEN: &str = "(hidden)";

/// Lines of a multi-line secret are known one by one from this length on.
const MIN_LINE: usize = 16;

/// Replaces known secrets in text. Cloning gives another handle to the same set.
#[derive(Clone, Default)]
pub struct Redactor {
    needles: Arc<RwLock<Arc<Needles>>>,
}

impl Redactor {
    /// A filter that knows these values.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let redactor = Redactor::default();
        redactor.add(secrets);
        redactor
    }

    /// Learns more values. Earlier ones stay known: a rotated key may still come back in a platform's error text.
    pub fn add<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        let mut slot = self.needles.write().unwrap_or_else(PoisonError::into_inner);
        let mut texts: BTreeSet<String> = slot.texts.iter().cloned().collect();
        let before = texts.len();
        secrets.into_iter().for_each(|secret| texts.extend(forms(secret.expose())));
        if texts.len() > before {
            *slot = Arc::new(Needles::new(texts));
        }
    }

    /// The text without the known secrets; borrowed when there was none in it.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let needles = self.needles.read().unwrap_or_else(PoisonError::into_inner).clone();
        needles.replace(text)
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

/// What is looked for, indexed by its first two bytes so that one pass over the text finds everything.
#[derive(Default)]
struct Needles {
    texts: Vec<String>,
    by_start: HashMap<[u8; 2], Vec<usize>>,
}

impl Needles {
    fn new(texts: BTreeSet<String>) -> Self {
        let mut texts: Vec<String> = texts.into_iter().collect();
        // The longest first: a padded base64 text is replaced whole, not up to its last character.
        texts.sort_by_key(|t| std::cmp::Reverse(t.len()));
        let mut by_start: HashMap<[u8; 2], Vec<usize>> = HashMap::new();
        for (index, text) in texts.iter().enumerate() {
            if let [a, b, ..] = *text.as_bytes() {
                by_start.entry([a, b]).or_default().push(index);
            }
        }
        Needles { texts, by_start }
    }

    fn replace<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let bytes = text.as_bytes();
        let mut out = String::new();
        let mut copied = 0;
        let mut at = 0;
        while !self.texts.is_empty() && at + MIN_LENGTH <= bytes.len() {
            let found = self.by_start.get(&[bytes[at], bytes[at + 1]]).and_then(|candidates| {
                candidates.iter().map(|&i| &self.texts[i]).find(|n| bytes[at..].starts_with(n.as_bytes()))
            });
            match found {
                // A needle is whole characters, so both of its ends are character boundaries of the text.
                Some(needle) => {
                    out.push_str(&text[copied..at]);
                    out.push_str(HIDDEN);
                    at += needle.len();
                    copied = at;
                }
                None => at += 1,
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }
}

/// What looks like a password in the words of a foreign program, hidden: it may be nobody's that was loaded here.
pub fn masked(text: &str) -> Cow<'_, str> {
    const NAMED: &str = r"(?i)((?:password|passwd|pwd|secret|token|api[-_]?key)[a-z_]*['\x22]?\s*[=:]\s*|--(?:password|token|secret)\s+)[^\s,;&]+";
    static PATTERNS: LazyLock<[Option<Regex>; 2]> =
        LazyLock::new(|| [Regex::new(r"(://[^/\s:@]*:)[^/\s@]+").ok(), Regex::new(NAMED).ok()]);
    let mut text = Cow::Borrowed(text);
    for pattern in PATTERNS.iter().flatten() {
        if let Cow::Owned(hidden) = pattern.replace_all(&text, format!("${{1}}{HIDDEN}")) {
            text = Cow::Owned(hidden);
        }
    }
    text
}

/// Every spelling of a value.
fn forms(value: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let value = value.trim_end_matches(['\r', '\n']);
    let lines = value.lines().filter(|line| line.len() >= MIN_LINE && !line.starts_with("-----"));
    let several = value.contains('\n');
    for part in std::iter::once(value).chain(lines.filter(|_| several)) {
        if part.len() < MIN_LENGTH {
            continue;
        }
        let escaped = json_escaped(part);
        all.insert(json_escaped(&escaped));
        all.insert(escaped.replace('/', "\\/"));
        all.insert(escaped);
        let upper = url_encoded(part);
        all.insert(upper.replace("%20", "+"));
        all.insert(lower_hex(&upper));
        all.insert(upper);
        all.extend(base64_forms(part.as_bytes()));
        all.insert(part.to_owned());
    }
    all
}

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn lower_hex(encoded: &str) -> String {
    let mut out = String::with_capacity(encoded.len());
    let mut hex = 0;
    for c in encoded.chars() {
        hex = if c == '%' { 3 } else { hex };
        out.push(if hex > 0 { c.to_ascii_lowercase() } else { c });
        hex = i32::max(hex - 1, 0);
    }
    out
}

/// The value encoded alone, and what of it shows whatever stands before and after it: the characters that depend on
/// the value's bits only, for each of the three ways its first byte can fall into a group of three.
fn base64_forms(value: &[u8]) -> Vec<String> {
    let mut all = Vec::with_capacity(10);
    for alphabet in [&STANDARD, &URL_SAFE] {
        all.push(alphabet.encode(value));
    }
    for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        all.push(alphabet.encode(value));
        for before in 0..3 {
            let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
            let first = (before * 8).div_ceil(6);
            let whole = padded.len() * 8 / 6;
            all.push(alphabet.encode(&padded)[first..whole].to_owned());
        }
    }
    all.retain(|text| text.len() >= MIN_LENGTH);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(secret: &str, text: &str) -> String {
        Redactor::new([&Secret::new(secret)]).redact(text).into_owned()
    }

    #[test]
    fn every_form_of_a_value_is_hidden() {
        let secret = "s3cr\"t/va l?e+é";
        let url = "s3cr%22t%2Fva%20l%3Fe%2B%C3%A9";
        for form in [
            secret.to_owned(),
            r#"s3cr\"t/va l?e+é"#.to_owned(),
            r#"s3cr\\\"t/va l?e+é"#.to_owned(),
            r#"s3cr\"t\/va l?e+é"#.to_owned(),
            url.to_owned(),
            "s3cr%22t%2fva%20l%3fe%2b%c3%a9".to_owned(),
            url.replace("%20", "+"),
            STANDARD.encode(secret),
            STANDARD_NO_PAD.encode(secret),
            URL_SAFE.encode(secret),
        ] {
            assert_eq!(hide(secret, &format!("a {form} b")), "a (hidden) b", "{form}");
        }
    }

    #[test]
    fn base64_inside_a_longer_text_is_hidden_at_every_offset() {
        let secret = "xoxb-1234567890-abcdef";
        for user in ["u", "us", "use", "user"] {
            let header = STANDARD.encode(format!("{user}:{secret}:tail"));
            let shown = hide(secret, &header);
            assert!(shown.contains(HIDDEN), "{user}: {shown}");
            // At most the characters that mix the value's first and last bits with its neighbours are left.
            assert!(shown.len() - HIDDEN.len() <= header.len() - secret.len() * 8 / 6 + 2, "{user}: {shown}");
        }
    }

    #[test]
    fn a_pem_key_is_known_line_by_line() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEAAo\n-----END PRIVATE KEY-----\n";
        assert_eq!(hide(key, "left BAQEFAASCBKcwggSjAgEAAo over"), "left (hidden) over");
        assert_eq!(hide(key, key.trim_end()), HIDDEN);
        assert_eq!(hide(key, "-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
    }

    #[test]
    fn short_values_and_other_text_stay() {
        assert_eq!(hide("short", "a short text"), "a short text");
        assert!(matches!(Redactor::default().redact("nothing known"), Cow::Borrowed(_)));
        assert_eq!(hide("12345678", "1234567"), "1234567");
        assert_eq!(hide("12345678", "é12345678é12345678"), "é(hidden)é(hidden)");
    }

    #[test]
    fn handles_share_what_they_learn() {
        let one = Redactor::default();
        let other = one.clone();
        one.add([&Secret::new("first-secret")]);
        one.add([&Secret::new("second-secret")]);
        assert_eq!(other.redact("first-secret second-secret"), "(hidden) (hidden)");
    }
}
