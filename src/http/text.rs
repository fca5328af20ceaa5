//! Reading what other programs wrote: error pages, `Retry-After`, texts of any length.

use std::time::Duration;

use crate::wire::Time;

/// Reads a `Retry-After` value: seconds, or an HTTP date.
pub fn parse_retry_after(value: &str, now: Time) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return (seconds.is_finite() && (0.0..=1e9).contains(&seconds)).then(|| Duration::from_secs_f64(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
    Some(Time(at).since(now))
}

/// The first non-empty line of a text or an HTML page, tags, scripts and styles left out, at most 200 characters.
pub fn first_line(text: &str) -> String {
    let plain = if text.trim_start().starts_with('<') { strip_markup(text) } else { text.to_string() };
    let line = plain.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    clip(line, 200)
}

/// At most `limit` characters, with an ellipsis when something was cut; control characters become spaces.
pub fn clip(text: &str, limit: usize) -> String {
    let mut out: String = text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

fn strip_markup(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let lower = rest.get(..8).unwrap_or(rest).to_ascii_lowercase();
        let skip_to = if lower.starts_with("<script") {
            "</script>"
        } else if lower.starts_with("<style") {
            "</style>"
        } else if lower.starts_with("<!--") {
            "-->"
        } else {
            ">"
        };
        // Text of different elements stays on different lines.
        out.push('\n');
        match rest.find(skip_to) {
            Some(end) => rest = &rest[end + skip_to.len()..],
            None => return out,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_as_seconds_and_as_a_date() {
        let now = "2026-11-01T10:00:00.000Z".parse().unwrap();
        assert_eq!(parse_retry_after("12", now), Some(Duration::from_secs(12)));
        assert_eq!(parse_retry_after("Sun, 01 Nov 2026 10:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("Sun, 01 Nov 2026 09:00:30 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("-1", now), None);
        assert_eq!(parse_retry_after("soon", now), None);
    }

    #[test]
    fn a_page_is_reduced_to_its_first_words() {
        let page = "<!doctype html>\n<head><style>b{}</style><script>x<y</script><!-- <b> --><title> 502 Bad </title>";
        assert_eq!(first_line(page), "502 Bad");
        assert_eq!(first_line("\n  plain \nsecond"), "plain");
        assert_eq!(first_line(""), "");
    }

    #[test]
    fn long_and_odd_texts_are_tamed() {
        assert_eq!(clip("a\tb\u{1b}[1m", 3), "a b…");
        assert_eq!(clip("abc", 3), "abc");
    }
}
