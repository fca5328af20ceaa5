//! Secrets in log lines that others wrote: nobody's that was loaded here, so they are known by their looks alone.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::HIDDEN;

/// What every line with something to hide contains; one pass tells most lines from it.
const SIGNS: &str = "assw|ASSW|pwd|PWD|ecret|ECRET|oken|OKEN|[kK]ey\\\\*\"|KEY\\\\*\"|key=|uthorization|redential|ookie|@|earer |asic \
                     |xox|gh[posu]_|github_pat_|ntn_|sk-|ATTA|ya29|AIza";

/// What stands before a secret, and the secret. A string ends at its quote, also inside another string.
const PATTERNS: [&str; 5] = [
    // By the name of its key, at any depth.
    r#"(?i)(\\*"[^"\\]*(?:passw(?:or)?d|pwd|secret|token|api[-_]?key|private[-_]?key|authorization|credential|cookie)[a-z_-]*\\*"\s*:\s*\\*")(?:[^"\\]|\\[^"])+"#,
    // In an address.
    r#"(://[^/\s:@"\\]*:)[^/\s@"\\]+@"#,
    r#"(?i)([?&](?:access_token|api_?key|key|token|secret|password)=)[^&\s"\\]+"#,
    // In a header.
    r"(?i)\b((?:bearer|basic)\s+)[a-z0-9._~+/=-]{16,}",
    // By the prefix that its maker gave it.
    r"\b(xox[abeprs]-|gh[posu]_|github_pat_|ntn_|secret_|sk-|ATTA|ya29\.|AIza)[A-Za-z0-9_.-]{16,}",
];

/// A line of JSON, or a text out of one, with what looks like a secret hidden. What was JSON stays JSON.
pub fn masked_line(line: &str) -> Cow<'_, str> {
    static SEEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(SIGNS).ok());
    static HIDES: LazyLock<[Option<Regex>; 5]> = LazyLock::new(|| PATTERNS.map(|pattern| Regex::new(pattern).ok()));
    if SEEN.as_ref().is_some_and(|signs| !signs.is_match(line)) {
        return Cow::Borrowed(line);
    }
    let mut line = Cow::Borrowed(line);
    for (at, pattern) in HIDES.iter().enumerate() {
        let Some(pattern) = pattern else { continue };
        let after = if at == 1 { "@" } else { "" };
        if let Cow::Owned(hidden) = pattern.replace_all(&line, format!("${{1}}{HIDDEN}{after}")) {
            line = Cow::Owned(hidden);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden_and_the_line_stays_json() {
        for (line, shown) in [
            (r#"{"token":"abc def","n":1.0e5}"#, r#"{"token":"(hidden)","n":1.0e5}"#),
            (
                r#"{"params":{"apiKey" : "k1","list":[{"PASSWORD":"p"}]}}"#,
                r#"{"params":{"apiKey" : "(hidden)","list":[{"PASSWORD":"(hidden)"}]}}"#,
            ),
            (
                r#"{"body":"{\"access_token\":\"abc\",\"ok\":true}"}"#,
                r#"{"body":"{\"access_token\":\"(hidden)\",\"ok\":true}"}"#,
            ),
            (r#"{"privateKey":"-----BEGIN\nMII\nEND"}"#, r#"{"privateKey":"(hidden)"}"#),
            (r#"{"url":"https://u:pw@x.y/?key=k&page=2"}"#, r#"{"url":"https://u:(hidden)@x.y/?key=(hidden)&page=2"}"#),
            (
                r#"{"m":"sent Authorization: Bearer abcdefghij0123456789"}"#,
                r#"{"m":"sent Authorization: Bearer (hidden)"}"#,
            ),
            (r#"{"m":"used ghp_abcdefghijklmnop0123"}"#, r#"{"m":"used ghp_(hidden)"}"#),
        ] {
            assert_eq!(masked_line(line), shown);
            serde_json::from_str::<serde_json::Value>(&masked_line(line)).unwrap();
        }
        for same in [
            r#"{"message":"basic authentication failed: the bearer token expired","errorCode":"API_TOKEN_LIMIT_EXCEEDED"}"#,
            r#"{"key":"task-1223","idempotencyKey":"sig-1:create","tokens":12,"user":"ana@example.org"}"#,
            r#"{"url":"https://api.example.org:8080/v1?page=2"}"#,
        ] {
            assert!(matches!(masked_line(same), Cow::Borrowed(_)) || masked_line(same) == same, "{same}");
        }
    }
}
