//! The simulated APIs, what a request asks of them, and what they answer.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::Platform;

/// A simulated API: each has a listener of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Notion.
    Notion,
    /// Trello.
    Trello,
    /// Slack.
    Slack,
    /// Google Drive, uploads included.
    Drive,
    /// Google Sheets.
    Sheets,
    /// Google's token endpoint, and IAM's service account keys.
    Google,
    /// PagerDuty's events.
    PagerDuty,
    /// The vendors' status feeds, one path prefix each.
    Status,
}

impl Api {
    /// All of them.
    pub const ALL: [Api; 8] =
        [Api::Notion, Api::Trello, Api::Slack, Api::Drive, Api::Sheets, Api::Google, Api::PagerDuty, Api::Status];

    /// The word used in JSON and paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Api::Notion => "notion",
            Api::Trello => "trello",
            Api::Slack => "slack",
            Api::Drive => "drive",
            Api::Sheets => "sheets",
            Api::Google => "google",
            Api::PagerDuty => "pagerduty",
            Api::Status => "status",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Api {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Api::ALL
            .into_iter()
            .find(|a| a.as_str() == s)
            .ok_or_else(|| format!("`{s}` is not simulated; one of {}", Api::ALL.map(Api::as_str).join(", ")))
    }
}

impl From<Platform> for Api {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Notion => Api::Notion,
            Platform::Trello => Api::Trello,
            Platform::Slack => Api::Slack,
            Platform::Drive => Api::Drive,
            Platform::Sheets => Api::Sheets,
        }
    }
}

/// What a request does to the platform's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Read,
    Create,
    Update,
    Delete,
}

impl Effect {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Effect::Read => "read",
            Effect::Create => "create",
            Effect::Update => "update",
            Effect::Delete => "delete",
        }
    }
}

/// A request, named: `pages.create`, `chat.postMessage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
}

impl Operation {
    /// What no simulator knows.
    pub(super) const UNKNOWN: Operation = Operation::read("unknown");

    pub(super) const fn read(name: &'static str) -> Self {
        Operation { name, effect: Effect::Read }
    }
    pub(super) const fn create(name: &'static str) -> Self {
        Operation { name, effect: Effect::Create }
    }
    pub(super) const fn update(name: &'static str) -> Self {
        Operation { name, effect: Effect::Update }
    }
    pub(super) const fn delete(name: &'static str) -> Self {
        Operation { name, effect: Effect::Delete }
    }

    /// Whether a fault's filter means this operation on this object: its name, its effect, or `write` for any change,
    /// with an object's id behind it for that object alone.
    pub(super) fn matches(self, filter: &str, object: &str) -> bool {
        let (filter, only) = filter.split_once(' ').map_or((filter, None), |(filter, only)| (filter, Some(only)));
        let meant =
            filter == self.name || filter == self.effect.as_str() || (filter == "write" && self.effect != Effect::Read);
        meant && only.is_none_or(|only| only == object)
    }
}

/// A request, read whole.
pub(super) struct Call {
    pub(super) method: Method,
    /// Decoded path segments.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn new(method: Method, uri: &axum::http::Uri, headers: HeaderMap, body: Bytes) -> Self {
        let path = uri.path().split('/').filter(|s| !s.is_empty()).map(|s| decode(s, false)).collect();
        Call { method, path, query: pairs(uri.query().unwrap_or_default()), headers, body }
    }

    /// The path's segments, for matching.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// What it is about: an id or a range, as the path's last segment has it.
    pub(super) fn object(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// A query parameter.
    pub(super) fn arg(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Whether a query parameter says yes.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.arg(name) == Some("true")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token of an `Authorization: Bearer` header.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// Whether the body is a form.
    pub(super) fn is_form(&self) -> bool {
        self.header("content-type").is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"))
    }

    /// The body's form fields.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }

    /// The body as JSON; `None` when it is not. An empty body is an empty object.
    pub(super) fn json(&self) -> Option<Value> {
        if self.body.is_empty() {
            return Some(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&self.body).ok()
    }
}

/// Form or query pairs, decoded.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (decode(k, true), decode(v, true)))
        .collect()
}

/// Undoes percent encoding, and `+` for a space in forms. What is malformed stays as it is.
pub(super) fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (bytes[at], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An object that an answer says now exists; what proves that nothing was made twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Created {
    /// Its title, name or text.
    pub(super) name: String,
    /// The idempotency keys found on it.
    pub(super) markers: Vec<String>,
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    pub(super) content_type: &'static str,
    /// Whether the request did what it asked (Slack's failures have status 200).
    pub(super) ok: bool,
    pub(super) created: Vec<Created>,
}

impl Reply {
    /// A JSON answer.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: body.to_string(),
            content_type: "application/json; charset=utf-8",
            ok: status < 300,
            created: Vec::new(),
        }
    }

    /// A JSON answer with status 200.
    pub(super) fn ok(body: &Value) -> Self {
        Reply::json(200, body)
    }

    /// A plain text answer.
    pub(super) fn text(status: u16, body: impl Into<String>) -> Self {
        Reply { content_type: "text/plain; charset=utf-8", body: body.into(), ..Reply::json(status, &Value::Null) }
    }

    /// What an edge or a proxy answers instead of the API.
    pub(super) fn html(status: u16) -> Self {
        Reply {
            content_type: "text/html; charset=UTF-8",
            body: "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head>\n<body>Checking your browser \
                   before accessing the site.</body></html>\n"
                .into(),
            headers: vec![("cf-ray", "8f2c1d7e9a4b5c6d-FRA".into())],
            ..Reply::json(status, &Value::Null)
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn created(mut self, created: Created) -> Self {
        self.created.push(created);
        self
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.status != 204 {
            response.headers_mut().insert("content-type", HeaderValue::from_static(self.content_type));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_decoded() {
        let uri = "/v4/values/'My%20Sheet'!A1%3AD?a=b+c&d=%C3%A9&e".parse().unwrap();
        let call = Call::new(Method::GET, &uri, HeaderMap::new(), Bytes::new());
        assert_eq!(call.segments(), ["v4", "values", "'My Sheet'!A1:D"]);
        assert_eq!(
            (call.arg("a"), call.arg("d"), call.arg("e"), call.arg("f")),
            (Some("b c"), Some("é"), Some(""), None)
        );
        assert_eq!(decode("100%", true), "100%");
    }

    #[test]
    fn a_filter_means_a_name_an_effect_or_any_write() {
        let trash = Operation::delete("pages.trash");
        assert!(["pages.trash", "delete", "write", "delete p1"].into_iter().all(|f| trash.matches(f, "p1")));
        assert!(["create", "delete p2"].into_iter().all(|f| !trash.matches(f, "p1")));
        assert!(!Operation::read("search").matches("write", ""));
    }
}
