//! The way to the platforms: credentials, connections, caches, and one function that makes one request.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::{self, phrase};
use super::google::Tokens;
use super::{Credentials, Delivery, Endpoints, Platform, PlatformError};
use crate::clock::Clock;
use crate::http::{Failure, HeaderMap, HeaderName, HeaderValue, Http, Method, Options, Url, clip};
use crate::secret::Secret;
use crate::wire::{ErrorCode, Time};

/// Longest message an error carries, in characters.
const MESSAGE_LIMIT: usize = 500;

/// How long what a platform says about its own structure (columns, labels, channel ids) is believed.
const CACHE_FOR: Duration = Duration::from_secs(300);

/// One HTTP request that was made, as the observer is told.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEvent {
    /// The platform asked.
    pub platform: Platform,
    /// What was asked, in the platform's words: `pages.create`, `chat.postMessage`.
    pub request: &'static str,
    /// How long until the whole answer was there, or the failure.
    pub took: Duration,
    /// HTTP status, when one came.
    pub status: Option<u16>,
    /// What it failed with; `None` for a success.
    pub code: Option<ErrorCode>,
    /// How long the platform asks to wait.
    pub retry_after: Option<Duration>,
}

/// Told of every request that was made.
pub type Observer = Arc<dyn Fn(CallEvent) + Send + Sync>;

/// Typed clients of the five platforms. A clone shares connections, tokens and caches.
#[derive(Clone)]
pub struct Clients {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    endpoints: Endpoints,
    credentials: RwLock<Arc<Credentials>>,
    clock: Clock,
    observer: Option<Observer>,
    tokens: Tokens,
    caches: Caches,
}

/// What the platforms said about their own structure.
#[derive(Default)]
pub(super) struct Caches {
    /// Database or data source id to its columns.
    pub notion_schemas: Cache<Arc<super::notion::Source>>,
    /// Our bot's user id.
    pub notion_bots: Cache<String>,
    /// List id to board id.
    pub trello_boards: Cache<String>,
    /// Board id to its labels by lower-case name.
    pub trello_labels: Cache<Arc<HashMap<String, String>>>,
    /// `#name` to channel id.
    pub slack_channels: Cache<String>,
    /// Unused ids that Drive made for files to come.
    pub drive_ids: Mutex<Vec<String>>,
    /// Spreadsheet and tab to a row that is known to be filled, 1-based.
    pub sheets_rows: Cache<u64>,
}

/// Answers kept for a while, by name.
pub(super) struct Cache<V>(Mutex<HashMap<String, (Time, V)>>);

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Cache(Mutex::new(HashMap::new()))
    }
}

impl<V: Clone> Cache<V> {
    /// The value, while it is fresh.
    pub(super) fn get(&self, key: &str, now: Time) -> Option<V> {
        let map = lock(&self.0);
        map.get(key).filter(|(at, _)| now.since(*at) < CACHE_FOR).map(|(_, value)| value.clone())
    }

    /// Keeps a value.
    pub(super) fn put(&self, key: &str, now: Time, value: V) {
        let mut map = lock(&self.0);
        if map.len() >= 1000 {
            map.retain(|_, (at, _)| now.since(*at) < CACHE_FOR);
            if map.len() >= 1000 {
                map.clear();
            }
        }
        map.insert(key.to_string(), (now, value));
    }

    /// Forgets a value.
    pub(super) fn forget(&self, key: &str) {
        lock(&self.0).remove(key);
    }

    fn clear(&self) -> u64 {
        let mut map = lock(&self.0);
        let count = map.len() as u64;
        map.clear();
        count
    }
}

/// A lock whose holder panicked still guards plain data; going on with it is right.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Clients {
    /// Clients for these addresses and credentials. Nothing is connected or signed yet.
    pub fn new(endpoints: Endpoints, credentials: Credentials, clock: Clock) -> Self {
        Clients::build(endpoints, credentials, clock, None)
    }

    /// As [`Clients::new`], with an observer that is told of every request.
    pub fn observed(endpoints: Endpoints, credentials: Credentials, clock: Clock, observer: Observer) -> Self {
        Clients::build(endpoints, credentials, clock, Some(observer))
    }

    fn build(endpoints: Endpoints, credentials: Credentials, clock: Clock, observer: Option<Observer>) -> Self {
        Clients {
            inner: Arc::new(Inner {
                http: Http::new(Options::default()),
                endpoints,
                credentials: RwLock::new(Arc::new(credentials)),
                clock,
                observer,
                tokens: Tokens::default(),
                caches: Caches::default(),
            }),
        }
    }

    /// The credentials in force.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.inner.credentials.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Other credentials from now on: after a rotation, or when `USE_BACKUP_CREDENTIALS` changed. Tokens and caches
    /// that came from the old ones are dropped.
    pub fn set_credentials(&self, credentials: Credentials) {
        *self.inner.credentials.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(credentials);
        self.inner.tokens.forget_all();
        self.clear_caches();
    }

    /// The addresses in force.
    pub fn endpoints(&self) -> &Endpoints {
        &self.inner.endpoints
    }

    /// The clock in force.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Empties the caches: entries dropped, by cache. Access tokens are kept.
    pub fn clear_caches(&self) -> BTreeMap<String, u64> {
        let caches = &self.inner.caches;
        let drive_ids = std::mem::take(&mut *lock(&caches.drive_ids)).len() as u64;
        [
            ("notion schemas", caches.notion_schemas.clear() + caches.notion_bots.clear()),
            ("trello lists", caches.trello_boards.clear()),
            ("trello labels", caches.trello_labels.clear()),
            ("slack channels", caches.slack_channels.clear()),
            ("drive ids", drive_ids),
            ("sheets rows", caches.sheets_rows.clear()),
        ]
        .into_iter()
        .map(|(name, count)| (name.to_string(), count))
        .collect()
    }

    /// A stretch of requests to one platform that has to end within `limit`.
    pub(super) fn session(&self, platform: Platform, limit: Duration) -> Session {
        Session {
            inner: self.inner.clone(),
            credentials: self.credentials(),
            platform,
            deadline: Instant::now() + limit,
            limit,
        }
    }
}

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
    Bytes { content_type: String, bytes: Vec<u8> },
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
    pub(super) fn endpoints(&self) -> &Endpoints {
        &self.inner.endpoints
    }

    pub(super) fn caches(&self) -> &Caches {
        &self.inner.caches
    }

    pub(super) fn now(&self) -> Time {
        self.inner.clock.now()
    }

    /// A failure that happened on our side.
    pub(super) fn fail(&self, code: ErrorCode, message: impl Into<String>) -> PlatformError {
        PlatformError::new(self.platform, code, clip(&self.without_secrets(&message.into()), MESSAGE_LIMIT))
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

    /// Makes one request with these headers: no credential is added.
    pub(super) async fn exchange(
        &self,
        request: &'static str,
        effect: Effect,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        payload: &Payload,
    ) -> Result<Value, Failed> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let cause = Failure::new(ErrorCode::TimeoutError, Delivery::NotDelivered, "");
            return Err(self.lost(cause, effect).into());
        }
        let builder = self.inner.http.request(method.clone(), url).map_err(|failure| self.unsent(failure))?;
        let builder = match payload {
            Payload::None => builder,
            Payload::Json(body) => builder.json(body),
            Payload::Form(pairs) => {
                builder.header("content-type", "application/x-www-form-urlencoded").body(form(pairs))
            }
            Payload::Bytes { content_type, bytes } => {
                builder.header("content-type", content_type.as_str()).body(bytes.clone())
            }
        };
        let started = Instant::now();
        let reply = self.inner.http.send(builder.headers(headers), Some(left)).await;
        let (status, answer) = match reply {
            Ok(reply) => (reply.status, answer::read(self.platform, &reply, self.now())),
            Err(failure) => {
                self.observe(request, started, None, Some(failure.code), None);
                return Err(self.lost(failure, effect).into());
            }
        };
        match answer {
            Ok(value) => {
                self.observe(request, started, Some(status), None, None);
                Ok(value)
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
                    request_id: refused.request_id.map(|id| clip(&id, 100)),
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
            ErrorCode::TimeoutError => format!("no answer within {:?}", self.limit),
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
        let names = || self.credentials.names(self.platform);
        let Some(value) = value else {
            let words = format!("{} is not set", names());
            return Err(self.fail(ErrorCode::AuthError, phrase(ErrorCode::AuthError, &words)));
        };
        let Ok(mut value) = HeaderValue::from_str(&value) else {
            let words = format!("{} holds a character that cannot be sent", names());
            return Err(self.fail(ErrorCode::AuthError, phrase(ErrorCode::AuthError, &words)));
        };
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static("authorization"), value);
        Ok((headers, access_token))
    }

    /// The text without any credential in it.
    fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_string();
        let tokens = self.inner.tokens.values();
        for secret in self.credentials.secrets().iter().chain(&tokens) {
            let value = secret.expose();
            if value.len() >= 8 && text.contains(value) {
                text = text.replace(value, "(hidden)");
            }
        }
        text
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

    #[test]
    fn a_cache_forgets_in_time() {
        let cache = Cache::default();
        cache.put("a", Time(0), 1);
        assert_eq!(cache.get("a", Time(299_999)), Some(1));
        assert_eq!(cache.get("a", Time(300_000)), None);
    }
}
