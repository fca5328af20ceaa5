//! What all changes have in common: the body is read within bounds, a repeated `Idempotency-Key` gets its first answer,
//! a version that moved answers 412, the work goes on when the caller goes away, and the audit log hears of it.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::Deserialize;

use super::access;
use super::backend::{ChangeContext, Refusal};
use super::extract::BODY_MAX;
use super::gate::RequestId;
use super::openapi::Document;
use super::refuse::{RefusedWith, invalid, refuse_as};
use super::replay::{Keyed, Stored};
use super::state::ServerState;
use super::telemetry::{LogLine, Part};
use super::tokens::{Caller, hash};
use crate::redact::Redactor;
use crate::wire::{
    AuditRecord, EffectKind, ErrorCode, HEADER_IDEMPOTENCY_KEY, HEADER_JOURNAL, HEADER_OPERATOR, HEADER_REASON,
    HEADER_TICKET,
};

/// Longest time a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Longest reason, ticket or operator, in encoded bytes.
pub(super) const HEADER_TEXT_MAX: usize = 3000;
/// Response header: this is the first answer to an earlier request with the same key.
const HEADER_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a changing route knows of its request.
#[derive(Clone, Debug)]
pub struct Change {
    /// Who asks, and why.
    pub cx: ChangeContext,
    /// Id of its record in the audit log.
    pub audit_id: String,
    /// The caller's `Idempotency-Key`, made unique to the credential.
    pub key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Change {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let change = parts.extensions.get::<Change>().cloned();
        change.ok_or_else(|| Refusal::new(ErrorCode::UnknownError, "the change has no context"))
    }
}

/// Put on a response: what the change was about, when the path does not say.
#[derive(Clone, Debug)]
pub struct Subject(pub String);

/// Put on a response: it holds a secret and is never written to disk.
#[derive(Clone, Copy, Debug)]
pub struct HoldsSecret;

/// Put on a response: accepted work, whose own record is the trace; the audit log would only repeat it.
#[derive(Clone, Copy, Debug)]
pub struct OwnRecord;

/// Runs a change; reads pass.
pub async fn changes(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    // What is no operation is refused by the router; there is no change to look after.
    if access::is_read(request.method()) || !is_operation(&request) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    // Its own task: a caller who hangs up must not leave a change half done.
    let task = tokio::spawn(run(state, parts, body, next));
    task.await.unwrap_or_else(|_| {
        Refusal::new(ErrorCode::UnknownError, "the service failed in the middle of this change; look at what it did")
            .into_response()
    })
}

fn is_operation(request: &Request) -> bool {
    let extensions = request.extensions();
    let (path, document) = (extensions.get::<MatchedPath>(), extensions.get::<Document>());
    path.zip(document).is_some_and(|(path, document)| document.has(request.method(), path.as_str()))
}

async fn run(state: ServerState, mut parts: Parts, body: Body, next: Next) -> Response {
    let id = parts.extensions.get::<RequestId>().map(|r| r.0.clone()).unwrap_or_default();
    let caller = parts.extensions.get::<Caller>().cloned();
    let (method, target) = (parts.method.clone(), parts.uri.path().to_owned());
    let prepared = async {
        let cx = context(&state.redactor, &parts.headers, caller.as_ref(), &id).map_err(IntoResponse::into_response)?;
        let key = idempotency_key(&parts.headers, caller.as_ref()).map_err(IntoResponse::into_response)?;
        Ok::<_, Response>((cx, key, read_body(body, &parts.headers).await?))
    };
    let (cx, key, body) = match prepared.await {
        Ok(prepared) => prepared,
        Err(response) => {
            let cx = ChangeContext { actor: actor(caller.as_ref()), request_id: id, ..ChangeContext::default() };
            let code = response.extensions().get::<RefusedWith>().map_or(ErrorCode::UnknownError, |r| r.0);
            note_refused(&state, &method, &target, &cx, code).await;
            return response;
        }
    };
    let now = state.clock.now();
    let fingerprint = fingerprint(&parts, &body);
    let running = match key.clone().map(|key| state.replays.take(key, fingerprint, now)).transpose() {
        Ok(Some(Keyed::Replay(first))) => return replayed(*first),
        Ok(Some(Keyed::Run(running))) => Some(running),
        Ok(None) => None,
        Err(refusal) => {
            note_refused(&state, &method, &target, &cx, refusal.code).await;
            return refusal.into_response();
        }
    };

    let subject = subject(&mut parts).await;
    let audit_id = uuid::Uuid::now_v7().to_string();
    parts.extensions.insert(Change { cx: cx.clone(), audit_id: audit_id.clone(), key });
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (mut head, answer) = response.into_parts();
    let answer = to_bytes(answer, usize::MAX).await.unwrap_or_default();
    let refused = head.extensions.get::<RefusedWith>().copied();
    if cx.if_version.is_some() && refused == Some(RefusedWith(ErrorCode::Conflict)) {
        head.status = StatusCode::PRECONDITION_FAILED;
    }

    if let Some(running) = running.filter(|_| is_final(head.status)) {
        let text = String::from_utf8_lossy(&answer).into_owned();
        let secret = head.extensions.get::<HoldsSecret>().is_some();
        if let Err(error) = running.finish(head.status.as_u16(), text, secret, now).await {
            (state.log)(LogLine::error(
                Part::Http,
                format!("cannot keep the first answer of request {}: {error}", cx.request_id),
            ));
        }
    }
    if head.extensions.get::<OwnRecord>().is_none() {
        let outcome = refused.map_or_else(|| effect(&answer), |r| r.0.to_string());
        let subject = head.extensions.get::<Subject>().map(|s| s.0.clone()).or(subject);
        note(&state, audit_id, format!("{method} {target}"), subject, outcome, &cx).await;
    }
    Response::from_parts(head, Body::from(answer))
}

/// Who asks, and why, from the credential and the headers; without the secrets that the redactor knows.
pub fn context(
    redactor: &Redactor,
    headers: &HeaderMap,
    caller: Option<&Caller>,
    id: &str,
) -> Result<ChangeContext, Refusal> {
    let text = |name: &str| -> Result<Option<String>, Refusal> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        let text = value.to_str().ok().filter(|t| t.len() <= HEADER_TEXT_MAX).map(percent_decode);
        let text = text.ok_or_else(|| {
            invalid(format!("the header `{name}` must be percent-encoded UTF-8 of at most {HEADER_TEXT_MAX} bytes"))
        })?;
        let text = redactor.redact(&text).into_owned();
        Ok(Some(text).filter(|t| !t.trim().is_empty()))
    };
    let if_version = match headers.get(header::IF_MATCH).map(|v| v.to_str().unwrap_or_default().trim()) {
        None | Some("*") => None,
        Some(tag) => {
            let number = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(tag);
            Some(number.parse().map_err(|_| invalid("the header `If-Match` must hold the version that was read"))?)
        }
    };
    Ok(ChangeContext {
        actor: actor(caller),
        operator: text(HEADER_OPERATOR)?,
        reason: text(HEADER_REASON)?,
        ticket: text(HEADER_TICKET)?,
        journal: text(HEADER_JOURNAL)?,
        if_version,
        request_id: id.to_owned(),
    })
}

/// Writes down a change that was refused before its route.
pub async fn note_refused(state: &ServerState, method: &Method, target: &str, cx: &ChangeContext, code: ErrorCode) {
    let target: String = target.chars().take(300).collect();
    note(state, uuid::Uuid::now_v7().to_string(), format!("{method} {target}"), None, code.to_string(), cx).await;
}

/// Writes one record of the audit log.
pub async fn note(
    state: &ServerState,
    id: String,
    action: String,
    subject: Option<String>,
    outcome: String,
    cx: &ChangeContext,
) {
    let record = AuditRecord {
        id,
        at: state.clock.now(),
        actor: if cx.actor.is_empty() { actor(None) } else { cx.actor.clone() },
        operator: cx.operator.clone(),
        action: state.redactor.redact(&action).into_owned(),
        subject: subject.map(|subject| state.redactor.redact(&subject).into_owned()),
        outcome,
        reason: cx.reason.clone(),
        ticket: cx.ticket.clone(),
        journal: cx.journal.clone(),
    };
    // The change is done by now: the answer must say so, and the log file must say that the record is missing.
    if let Err(error) = state.audit.write(&record).await {
        (state.log)(LogLine::error(
            Part::Http,
            format!("cannot write the audit record of `{}`: {error}", record.action),
        ));
    }
}

fn actor(caller: Option<&Caller>) -> String {
    caller.map_or_else(|| "anonymous".into(), Caller::actor)
}

fn idempotency_key(headers: &HeaderMap, caller: Option<&Caller>) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(HEADER_IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    if !(1..=255).contains(&key.len()) {
        return Err(invalid("the header `Idempotency-Key` must have 1 to 255 printable characters"));
    }
    Ok(Some(format!("{} {key}", caller.map_or("anonymous", |c| c.id.as_str()))))
}

async fn read_body(body: Body, headers: &HeaderMap) -> Result<Bytes, Response> {
    let too_large =
        || refuse_as(StatusCode::PAYLOAD_TOO_LARGE, invalid(format!("the body has more than {BODY_MAX} bytes")));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > BODY_MAX as u64) {
        return Err(too_large());
    }
    let read = async {
        let (mut chunks, mut bytes) = (body.into_data_stream(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| invalid("the body could not be read to its end").into_response())?;
            if bytes.len() + chunk.len() > BODY_MAX {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(bytes))
    };
    if let Ok(read) = tokio::time::timeout(BODY_TIME, read).await {
        return read;
    }
    let message = format!("the body did not arrive within {} s", BODY_TIME.as_secs());
    Err(refuse_as(StatusCode::REQUEST_TIMEOUT, Refusal::new(ErrorCode::TimeoutError, message)))
}

/// What makes two requests the same: method, target, seen version and body.
fn fingerprint(parts: &Parts, body: &[u8]) -> String {
    let seen = parts.headers.get(header::IF_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut text = format!("{} {}\n{}\n", parts.method, parts.uri, String::from_utf8_lossy(seen));
    text.push_str(&String::from_utf8_lossy(body));
    hash(&text)
}

/// Whether an answer is one to give again: it was carried out, or it would be refused again.
fn is_final(status: StatusCode) -> bool {
    status.is_success()
        || matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED)
}

fn replayed(first: Stored) -> Response {
    let status = StatusCode::from_u16(first.status).unwrap_or(StatusCode::OK);
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mark = (HEADER_REPLAYED, HeaderValue::from_static("true"));
    (status, [json, mark], first.body).into_response()
}

/// The ids and names in the path.
async fn subject(parts: &mut Parts) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let words: Vec<String> = params.iter().map(|(_, v)| v.chars().take(200).collect()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The effect an answer reports about itself.
fn effect(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Effect {
        effect: EffectKind,
    }
    serde_json::from_slice::<Effect>(answer).map_or(EffectKind::Applied, |a| a.effect).to_string()
}

/// What a header says. It is a note for people: what is badly encoded is shown as it came, so that it holds nobody up.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| first == b'%').and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_percent_encoded_utf8() {
        assert_eq!(percent_decode("gr%C3%BCn%20100%25"), "grün 100%");
        assert_eq!(percent_decode("100% sure%"), "100% sure%");
        assert_eq!(percent_decode("one%0Atwo%C3"), "one two\u{fffd}");
    }

    #[test]
    fn a_version_is_read_with_or_without_quotes() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(text));
            context(&Redactor::default(), &headers, None, "r").map(|cx| cx.if_version)
        };
        assert_eq!(read("\"7\""), Ok(Some(7)));
        assert_eq!(read("7"), Ok(Some(7)));
        assert_eq!(read("*"), Ok(None));
        assert_eq!(read("\"seven\"").unwrap_err().code, ErrorCode::ValidationError);
    }
}
