//! One request to a platform: its credential, its deadline, its answer, and what its failure means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::answer::{self, phrase};
use super::caches::Caches;
use super::clients::{CallEvent, Inner};
use super::google::Tokens;
use super::{Credentials, Delivery, Endpoints, Platform, PlatformError};
use crate::http::{Failure, HeaderMap, HeaderName, HeaderValue, Method, Url, body_holding, clip};
use crate::redact::Redactor;
use crate::secret::Secret;
use crate::wire::{ErrorCode, Time};

/// How often one request is refused for its rate before that is its answer: something else uses up the limit then.
const MOST_REFUSALS: u32 = 20;

/// Longest message an error carries, in characters.
const MESSAGE_LIMIT: usize = 500;

/// Requests to one platform under one deadline and one set of credentials.
pub(super) struct Session {
    inner: Arc<Inner>,
    pub credentials: Arc<Credentials>,
    pub platform: Platform,
    deadline: Instant,
    limit: Duration,
}

/// Whether a request changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Read,
    Write,
}

/// What a request carries.
pub(super) enum Payload {
    None,
    Json(Value),
    Form(Vec<(&'static str, String)>),
    Bytes { content_type: String, bytes: Bytes },
}

impl Payload {
    /// Content type and bytes; `None` for no body.
    fn encoded(&self) -> Option<(&str, Bytes)> {
        match self {
            Payload::None => None,
            Payload::Json(body) => Some(("application/json", body.to_string().into())),
            Payload::Form(pairs) => Some(("application/x-www-form-urlencoded", form(pairs).into())),
            Payload::Bytes { content_type, bytes } => Some((content_type, bytes.clone())),
        }
    }
}

/// One request to make.
pub(super) struct Ask {
    pub request: &'static str,
    pub effect: Effect,
    pub method: Method,
    pub url: Result<Url, Failure>,
    pub payload: Payload,
}

impl Ask {
    /// A read.
    pub(super) fn get(request: &'static str, url: Result<Url, Failure>) -> Self {
        Ask { request, effect: Effect::Read, method: Method::GET, url, payload: Payload::None }
    }

    /// A write with a JSON body.
    pub(super) fn write(request: &'static str, method: Method, url: Result<Url, Failure>, body: Value) -> Self {
        Ask { request, effect: Effect::Write, method, url, payload: Payload::Json(body) }
    }
}

/// A failed request, with the body the platform sent: some failures say what was written all the same.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: PlatformError,
    pub body: Option<Value>,
}

impl From<Failed> for PlatformError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

impl From<PlatformError> for Failed {
    fn from(error: PlatformError) -> Self {
        Failed { error, body: None }
    }
}

impl Session {
    pub(super) fn new(inner: Arc<Inner>, credentials: Arc<Credentials>, platform: Platform, limit: Duration) -> Self {
        Session { inner, credentials, platform, deadline: Instant::now() + limit, limit }
    }

    pub(super) fn endpoints(&self) -> &Endpoints {
        &self.inner.endpoints
    }

    pub(super) fn caches(&self) -> &Caches {
        &self.inner.caches
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }

    pub(super) fn now(&self) -> Time {
        self.inner.clock.now()
    }

    /// A failure that happened on our side.
    pub(super) fn fail(&self, code: ErrorCode, message: impl Into<String>) -> PlatformError {
        PlatformError::new(self.platform, code, clip(&self.without_secrets(&message.into()), MESSAGE_LIMIT))
    }

    /// There is no credential to send.
    pub(super) fn not_set(&self) -> PlatformError {
        let words = format!("{} is not set", self.credentials.names(self.platform));
        self.fail(ErrorCode::AuthError, phrase(ErrorCode::AuthError, &words))
    }

    /// The action's data cannot be sent.
    pub(super) fn invalid(&self, message: impl Into<String>) -> PlatformError {
        self.fail(ErrorCode::ValidationError, message)
    }

    /// `base` of the session's platform with a path.
    pub(super) fn at(&self, path: &[&str]) -> Result<Url, Failure> {
        self.at_with(path, &[])
    }

    /// `base` of the session's platform with a path and a query.
    pub(super) fn at_with(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, Failure> {
        super::endpoints::address(self.inner.endpoints.base(self.platform), path, query)
    }

    /// Makes one request with the platform's credential and reads its answer.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Value, Failed> {
        self.ask_whole(ask).await.map(|(body, _)| body)
    }

    /// The same with the answer's headers.
    pub(super) async fn ask_whole(&self, ask: Ask) -> Result<(Value, HeaderMap), Failed> {
        let url = ask.url.map_err(|failure| self.unsent(failure))?;
        let (headers, token) = self.authorization(None).await?;
        let answer = self.exchange(ask.request, ask.effect, &ask.method, &url, headers, &ask.payload).await;
        match (answer, token) {
            // A refused access token was not acted on; a new one may do, once.
            (Err(failed), Some(token)) if failed.error.http_status == Some(401) => {
                let (headers, _) = self.authorization(Some(&token)).await?;
                self.exchange(ask.request, ask.effect, &ask.method, &url, headers, &ask.payload).await
            }
            // Notion's write collision: somebody changed the same thing at that moment.
            (Err(failed), _) if self.platform == Platform::Notion && failed.error.http_status == Some(409) => {
                let (headers, _) = self.authorization(None).await?;
                self.exchange(ask.request, ask.effect, &ask.method, &url, headers, &ask.payload).await
            }
            (answer, _) => answer,
        }
    }

    /// Makes one request with these headers: no credential is added. Where requests are paced it waits for its turn,
    /// and what is refused for its rate goes again, first of all.
    pub(super) async fn exchange(
        &self,
        request: &'static str,
        effect: Effect,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        payload: &Payload,
    ) -> Result<(Value, HeaderMap), Failed> {
        let Some(pacing) = &self.inner.pacing else {
            let left = self.deadline.saturating_duration_since(Instant::now());
            return self.one_try(request, effect, method, url, headers, payload, left, None).await;
        };
        let pace = pacing.of(self.platform, &self.credentials.fingerprint(self.platform).unwrap_or_default());
        let place = pace.queue_up();
        let mut refusals = 0;
        loop {
            let slot = place.turn().await;
            let leaving = if effect == Effect::Write { Some(pace.leave().await) } else { None };
            let answer =
                self.one_try(request, effect, method, url, headers.clone(), payload, self.limit, leaving).await;
            match &answer {
                Err(failed) if failed.error.code == ErrorCode::RateLimited => {
                    slot.refused(failed.error.retry_after);
                    refusals += 1;
                    if refusals == MOST_REFUSALS {
                        return answer;
                    }
                }
                // Nobody answered: that says nothing about the rate.
                Err(failed) if failed.error.http_status.is_none() => return answer,
                _ => {
                    slot.let_through();
                    return answer;
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    async fn one_try(
        &self,
        request: &'static str,
        effect: Effect,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        payload: &Payload,
        left: Duration,
        leaving: Option<OwnedMutexGuard<()>>,
    ) -> Result<(Value, HeaderMap), Failed> {
        if left.is_zero() {
            let cause = Failure::new(ErrorCode::TimeoutError, Delivery::NotDelivered, "");
            return Err(self.lost(cause, effect).into());
        }
        let builder = self.inner.http.request(method.clone(), url).map_err(|failure| self.unsent(failure))?;
        let builder = match payload.encoded() {
            None => builder,
            Some((content_type, bytes)) => {
                builder.header("content-type", content_type).body(body_holding(bytes, leaving))
            }
        };
        let started = Instant::now();
        let reply = self.inner.http.send(builder.headers(headers), Some(left)).await;
        let (status, headers, answer) = match reply {
            Ok(reply) => {
                let answer = answer::read(self.platform, &reply, self.now());
                (reply.status, reply.headers, answer)
            }
            Err(failure) => {
                self.observe(request, started, None, Some(failure.code), None);
                return Err(self.lost(failure, effect).into());
            }
        };
        match answer {
            Ok(value) => {
                self.observe(request, started, Some(status), None, None);
                Ok((value, headers))
            }
            Err(refused) => {
                self.observe(request, started, Some(status), Some(refused.code), refused.retry_after);
                let in_doubt =
                    matches!(refused.code, ErrorCode::ServiceDown | ErrorCode::TimeoutError | ErrorCode::UnknownError)
                        && !(300..400).contains(&status);
                let delivery = match effect {
                    Effect::Write if in_doubt => Delivery::Unknown,
                    _ => Delivery::NotDelivered,
                };
                let message = self.without_secrets(&phrase(refused.code, &refused.words));
                let error = PlatformError {
                    platform: self.platform,
                    code: refused.code,
                    message: clip(&message, MESSAGE_LIMIT),
                    http_status: Some(status),
                    request_id: refused.request_id.map(|id| clip(&self.without_secrets(&id), 100)),
                    retry_after: refused.retry_after,
                    delivery,
                };
                Err(Failed { error, body: refused.body })
            }
        }
    }

    /// A request that could not even be made.
    fn unsent(&self, failure: Failure) -> PlatformError {
        let message = self.without_secrets(&phrase(failure.code, &failure.cause));
        PlatformError::new(self.platform, failure.code, clip(&message, MESSAGE_LIMIT))
    }

    /// A request without an answer.
    fn lost(&self, failure: Failure, effect: Effect) -> PlatformError {
        let words = match failure.code {
            // What never got through keeps its own words: connecting has a limit of its own.
            ErrorCode::TimeoutError if failure.cause.is_empty() || failure.delivery == Delivery::Unknown => {
                format!("no answer within {:?}", self.limit)
            }
            _ => failure.cause,
        };
        let mut error = self.fail(failure.code, phrase(failure.code, &words));
        if effect == Effect::Write {
            error.delivery = failure.delivery;
        }
        error
    }

    fn observe(
        &self,
        request: &'static str,
        started: Instant,
        status: Option<u16>,
        code: Option<ErrorCode>,
        retry_after: Option<Duration>,
    ) {
        if let Some(observer) = &self.inner.observer {
            let took = started.elapsed();
            observer(CallEvent { platform: self.platform, request, took, status, code, retry_after });
        }
    }

    /// The headers that carry the credential, and Google's access token in them. A `refused` one is not used again.
    async fn authorization(&self, refused: Option<&Secret>) -> Result<(HeaderMap, Option<Secret>), PlatformError> {
        let keys = self.credentials.active();
        let mut headers = HeaderMap::new();
        let mut access_token = None;
        let value = match self.platform {
            Platform::Notion => {
                headers.insert("notion-version", HeaderValue::from_static(super::notion::VERSION));
                keys.notion.as_ref().map(|token| format!("Bearer {}", token.expose()))
            }
            // In a header, so that neither half gets into an address or a log.
            Platform::Trello => keys.trello.as_ref().map(|k| {
                let (key, token) = (k.key.expose(), k.token.expose());
                format!("OAuth oauth_consumer_key=\"{key}\", oauth_token=\"{token}\"")
            }),
            Platform::Slack => keys.slack.as_ref().map(|token| format!("Bearer {}", token.expose())),
            Platform::Drive | Platform::Sheets => match &keys.google {
                None => None,
                Some(Err(why)) => return Err(self.fail(ErrorCode::AuthError, phrase(ErrorCode::AuthError, why))),
                Some(Ok(key)) => {
                    let token = access_token.insert(self.inner.tokens.access_token(self, key, refused).await?);
                    Some(format!("Bearer {}", token.expose()))
                }
            },
        };
        let Some(value) = value else { return Err(self.not_set()) };
        let Ok(mut value) = HeaderValue::from_str(&value) else {
            let words = format!("{} holds a character that cannot be sent", self.credentials.names(self.platform));
            return Err(self.fail(ErrorCode::AuthError, phrase(ErrorCode::AuthError, &words)));
        };
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static("authorization"), value);
        Ok((headers, access_token))
    }

    /// The text without any credential in it, in whatever spelling.
    fn without_secrets(&self, text: &str) -> String {
        let tokens = self.inner.tokens.values();
        Redactor::new(self.credentials.secrets().iter().chain(&tokens)).redact(text).into_owned()
    }
}

/// `application/x-www-form-urlencoded`.
fn form(pairs: &[(&'static str, String)]) -> String {
    let mut url: Url = "form:".parse().unwrap_or_else(|_| unreachable!("a constant that parses"));
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form(&[("grant_type", "a:b c".into()), ("x", "&=".into())]), "grant_type=a%3Ab+c&x=%26%3D");
    }
}
