//! Body, query and path of a request, decoded strictly: whatever cannot be read is refused in the documented envelope.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::backend::Refusal;
use super::refuse::{invalid, refuse_as};

/// Largest request body, in bytes.
pub const BODY_MAX: usize = 1024 * 1024;

/// A JSON body. An empty one counts as `{}`, so that a request whose fields are all optional needs none.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = json_body(request, state).await?;
        decode(&body).map(Json).map_err(IntoResponse::into_response)
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The bytes of a body that says it is JSON.
pub async fn json_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Response> {
    let is_json = request.headers().get(CONTENT_TYPE).map(|v| {
        let text = v.to_str().unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    });
    let body = Bytes::from_request(request, state).await.map_err(|rejection| {
        let refusal = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => invalid(format!("the body has more than {BODY_MAX} bytes")),
            _ => invalid("the body could not be read to its end"),
        };
        refuse_as(rejection.status(), refusal)
    })?;
    match is_json {
        Some(true) => Ok(body),
        None if body.is_empty() => Ok(body),
        _ => Err(refuse_as(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            invalid("the body must be JSON, with the header `Content-Type: application/json`"),
        )),
    }
}

/// Reads JSON; an empty text is `{}`.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let text = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|e| invalid(format!("the body cannot be read: {e}")))
}

/// The query string. Parameters that the operation does not know are refused before this by the gate.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|e| invalid(format!("the query cannot be read: {}", inner(&e))))
    }
}

/// Parts of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Path(value)).map_err(|e: PathRejection| {
            let why = std::error::Error::source(&e).map_or_else(|| e.body_text(), ToString::to_string);
            invalid(format!("the path cannot be read: {why}"))
        })
    }
}

/// The cause inside a rejection; the outer text only says that there was one.
fn inner(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether a number is within its range.
pub fn within(name: &str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(invalid(format!("`{name}` must be from {} to {}, not {value}", range.start(), range.end())))
}

/// Whether a text's length is within its range.
pub fn length_within(name: &str, text: &str, length: std::ops::RangeInclusive<usize>) -> Result<(), Refusal> {
    let count = text.chars().count();
    if length.contains(&count) {
        return Ok(());
    }
    Err(invalid(format!("`{name}` must have {} to {} characters, not {count}", length.start(), length.end())))
}

/// Whether a text that is kept and shown has its length within a range, and no control characters.
pub fn plain_text(name: &str, text: &str, length: std::ops::RangeInclusive<usize>) -> Result<(), Refusal> {
    length_within(name, text, length)?;
    match text.chars().any(char::is_control) {
        true => Err(invalid(format!("`{name}` must not contain control characters"))),
        false => Ok(()),
    }
}
