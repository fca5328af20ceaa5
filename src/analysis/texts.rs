//! Error texts without what differs from one time to the next: ids, numbers, quoted parts, times, addresses.

/// Longest text that groups are told apart by, in characters.
const LONGEST: usize = 240;

/// The text with `<time>`, `<id>`, `<n>`, `<url>` and `'…'` in place of what is different every time. What a person
/// reads stays: words, HTTP statuses (`HTTP 503`), and names of codes.
pub fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    let mut rest = text;
    let mut length = 0;
    while let Some(c) = rest.chars().next() {
        if length >= LONGEST {
            out.push('…');
            break;
        }
        let before = out.len();
        if let Some(after) = quoted(rest, out.chars().next_back()) {
            out.push_str("'…'");
            rest = after;
        } else if c.is_ascii_alphanumeric() {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            // A full stop or a colon at the end belongs to the sentence.
            let word = rest[..end].trim_end_matches(['.', ':', '-', '/', '@', '+']);
            out.push_str(&placeholder(word, &out));
            rest = &rest[word.len()..];
        } else if c.is_whitespace() {
            if !out.ends_with(' ') && !out.is_empty() {
                out.push(' ');
            }
            rest = &rest[c.len_utf8()..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
        length += out[before..].chars().count();
    }
    out.truncate(out.trim_end().len());
    out
}

/// What belongs to one word: `notion.so/a-b`, `2026-11-20T10:00:00.000Z`, `ops@example.com`.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '@' | '%' | '+')
}

/// What follows a quoted part, if one begins here. An apostrophe inside a word quotes nothing.
fn quoted(text: &str, before: Option<char>) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let inner = &text[1..];
    let end = inner.find(quote)?;
    // A quote that is never closed nearby is an apostrophe.
    (end <= 200 && !inner[..end].contains('\n')).then(|| &inner[end + 1..])
}

/// The word itself, or what kind of thing it is.
fn placeholder(word: &str, before: &str) -> String {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if word.contains("://") {
        return "<url>".into();
    }
    if digits == 0 {
        // Without a digit an address still names somebody.
        return if word.contains('@') { "<id>".into() } else { word.into() };
    }
    if is_time(word) {
        return "<time>".into();
    }
    let status =
        word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit()) && matches!(word.as_bytes()[0], b'4' | b'5');
    if status && (before.is_empty() || ends_with_word(before, &["HTTP", "http", "status", "code", "Status", "error"])) {
        return word.into();
    }
    // `30s`, `5.2`, `-1`, `12%`, `3/4`: an amount, whatever its unit.
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '/' | ':' | ','));
    if unit.len() < word.len() && unit.len() <= 3 && unit.chars().all(|c| c.is_ascii_alphabetic() || c == '%') {
        return format!("<n>{unit}");
    }
    // `key:value` and `host:port` keep their name.
    if let Some((name, value)) = word.split_once(':').filter(|(name, value)| !name.is_empty() && !value.is_empty())
        && !name.bytes().any(|b| b.is_ascii_digit())
    {
        return format!("{name}:{}", placeholder(value, ""));
    }
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    let hexadecimal = word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    // `oauth2`, `v3`, `http2`, `ipv6` are words; `act-17`, `1AbC9`, `7f3a` are not.
    let is_name = digits == 1 && letters > 0 && word.bytes().all(|b| b.is_ascii_alphanumeric()) && !hexadecimal;
    if is_name { word.into() } else { "<id>".into() }
}

fn ends_with_word(text: &str, words: &[&str]) -> bool {
    let text = text.trim_end_matches([' ', ':', '=', '(']);
    words.iter().any(|word| text.ends_with(word))
}

/// `2026-11-20T10:00:00Z`, `2026-11-20`, `10:31:15`.
fn is_time(word: &str) -> bool {
    let shape: String = word.chars().take(10).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape.starts_with("0000-00-00") || shape.starts_with("00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_every_time_is_left_out() {
        for (text, expected) in [
            ("Rate limited: retry after 17s", "Rate limited: retry after <n>s"),
            ("Rate limited: retry after 5 s", "Rate limited: retry after <n> s"),
            ("page 1f0c2b7e-9a3d-4c55-8f12-0123456789ab is archived", "page <id> is archived"),
            (
                "Could not find page with ID: 59833787-2cf9-4fdf-8782-e53db20768a5.",
                "Could not find page with ID: <id>.",
            ),
            (
                "Circuit breaker is open for notion. Next attempt at 2025-10-17T10:31:15.123Z",
                "Circuit breaker is open for notion. Next attempt at <time>",
            ),
            ("card \"Review Q3 budget\" is closed", "card '…' is closed"),
            ("no column `Total` in 'Sheet 1'", "no column '…' in '…'"),
            ("can't reach it, won't try", "can't reach it, won't try"),
            ("HTTP 503 from api.notion.com", "HTTP 503 from api.notion.com"),
            ("503 Service Unavailable", "503 Service Unavailable"),
            ("connect ECONNREFUSED 127.0.0.1:41233", "connect ECONNREFUSED <n>"),
            ("GET https://api.trello.com/1/cards/5f?key=x failed", "GET <url>?key=x failed"),
            ("userId:user-123 refused", "userId:<id> refused"),
            ("invalid_auth for oauth2", "invalid_auth for oauth2"),
            ("worker 3 of 5", "worker <n> of <n>"),
            ("mail to ops@example.com bounced", "mail to <id> bounced"),
            ("two   spaces\n and a line", "two spaces and a line"),
            ("", ""),
        ] {
            assert_eq!(normalise(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_that_mean_the_same_are_the_same() {
        for (one, other) in [
            ("action act-19 failed after 3 tries", "action act-2077 failed after 12 tries"),
            ("channel C024BE91L: message 1355517523.000005 not found", "channel C77AA01XY: message 1399.5 not found"),
            ("object 0af3 gone", "object 77b1 gone"),
            ("at 10:31:15", "at 23:59:59.001"),
        ] {
            assert_eq!(normalise(one), normalise(other));
        }
        assert_ne!(normalise("HTTP 503 from notion"), normalise("HTTP 429 from notion"));
    }

    #[test]
    fn a_long_text_is_cut_and_normalising_again_changes_nothing() {
        let long = normalise(&"word ".repeat(1000));
        assert!(long.chars().count() <= LONGEST + 5 && long.ends_with('…'), "{long}");
        for text in ["act-17 took 12 ms", "no `x` here", "HTTP 503"] {
            let once = normalise(text);
            assert_eq!(normalise(&once), once);
        }
    }
}
