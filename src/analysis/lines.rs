//! Lines of a log as questions see them: a moment and the values of the keys that were asked for.

use std::borrow::Cow;

use crate::logs::query::{PLATFORM, about};
use crate::logs::time::moment_of;
use crate::redact::masked_line;
use crate::wire::{ErrorCode, Platform, Time};

use super::errors::code_of;

/// Keys that tell which platform a line is about; a question about platforms asks for them.
pub const PLATFORM_KEYS: [&str; 5] = PLATFORM;

/// One line.
pub struct Line<'l> {
    /// When it was written, if it says.
    pub at: Option<Time>,
    /// The value of a key, as it reads.
    pub value: &'l dyn Fn(&str) -> Option<Cow<'l, str>>,
}

impl<'l> Line<'l> {
    /// The value of a key, as it reads; nothing for an empty one.
    pub fn get(&self, key: &str) -> Option<Cow<'l, str>> {
        (self.value)(key).filter(|value| !value.is_empty() && value != "null")
    }

    /// The first of these keys that has a value.
    pub fn first(&self, keys: &[&str]) -> Option<Cow<'l, str>> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// A whole number.
    pub fn number(&self, keys: &[&str]) -> Option<u64> {
        let amount: f64 = self.first(keys)?.parse().ok()?;
        (amount >= 0.0).then_some(amount as u64)
    }

    /// The platform it is about.
    pub fn platform(&self) -> Option<Platform> {
        about(|key| self.get(key))
    }

    /// What failed: its message, and its error where that says more. What looks like a secret in it is hidden.
    pub fn error_text(&self) -> String {
        let text = self.whole_error_text();
        match masked_line(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked,
        }
    }

    fn whole_error_text(&self) -> String {
        let message = self.get("message").unwrap_or_default();
        let error = self.get("error").map(nested).unwrap_or_default();
        match (message.is_empty(), error.is_empty()) {
            (_, true) => message.into_owned(),
            (true, false) => error,
            (false, false) if message.contains(&error) => message.into_owned(),
            (false, false) => format!("{message}: {error}"),
        }
    }

    /// The documented code: the line's own, else what its text says.
    pub fn code(&self) -> ErrorCode {
        let own = self.first(&["errorCode", "code"]).and_then(|code| ErrorCode::from_wire(&code));
        own.unwrap_or_else(|| code_of(&self.error_text()))
    }
}

/// The text of an error that may be an object: its message, its code, or nothing where it says nothing.
fn nested(error: Cow<'_, str>) -> String {
    if !error.starts_with('{') {
        return error.into_owned();
    }
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(&error) else { return error.into_owned() };
    let text = ["message", "error", "code"].iter().find_map(|key| object.get(*key)?.as_str());
    text.unwrap_or_default().to_owned()
}

/// A question that takes in a log's lines one by one and holds a bounded amount.
pub trait Question {
    /// The keys it looks at.
    const KEYS: &'static [&'static str];

    /// Takes in a line. Lines come oldest file first, or page by page, newest page first.
    fn take(&mut self, line: &Line<'_>);
}

/// Hands lines to a question, for tests: JSON objects, one a line.
#[cfg(test)]
pub fn feed<Q: Question>(question: &mut Q, lines: &str) {
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        take_json(question, &line);
    }
}

/// Hands a line that was parsed to a question.
pub fn take_json<Q: Question>(question: &mut Q, line: &serde_json::Value) {
    let value = |key: &str| {
        line.get(key).map(|value| match value.as_str() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(value.to_string()),
        })
    };
    let at = line.get("timestamp").and_then(moment_of);
    question.take(&Line { at, value: &value });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Texts(Vec<(String, ErrorCode, Option<Platform>)>);

    impl Question for Texts {
        const KEYS: &'static [&'static str] = &[];
        fn take(&mut self, line: &Line<'_>) {
            self.0.push((line.error_text(), line.code(), line.platform()));
        }
    }

    #[test]
    fn what_failed_is_told_whatever_the_layout() {
        let mut texts = Texts(Vec::new());
        feed(
            &mut texts,
            r#"{"message":"Action execution failed","error":"permission denied","target":"sheets"}
               {"message":"Slack API request error","error":{}}
               {"message":"x failed","error":{"message":"rate_limited","status":429},"executor":"notion"}
               {"message":"boom: at once","error":"at once","errorCode":"TIMEOUT_ERROR","platform":"drive"}"#,
        );
        assert_eq!(
            texts.0,
            [
                (
                    "Action execution failed: permission denied".into(),
                    ErrorCode::PermissionDenied,
                    Some(Platform::Sheets)
                ),
                ("Slack API request error".into(), ErrorCode::UnknownError, Some(Platform::Slack)),
                ("x failed: rate_limited".into(), ErrorCode::RateLimited, Some(Platform::Notion)),
                ("boom: at once".into(), ErrorCode::TimeoutError, Some(Platform::Drive)),
            ]
        );
    }
}
