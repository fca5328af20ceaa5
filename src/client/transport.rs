//! One request to the admin API: timeouts, retries, headers, error bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::clock::Clock;
use crate::error::{Explained, Fault, Kind};
use crate::guard::Approval;
use crate::http::{ACCEPT, Failure, HeaderMap, HeaderValue, Http, Incoming, Method, Options, Reply, Url};
use crate::output::Output;
use crate::platforms::Delivery;
use crate::secret::Secret;
use crate::settings::{CredentialSource, Env};
use crate::wire::{
    ErrorBody, ErrorCode, ErrorDetail, HEADER_IDEMPOTENCY_KEY, HEADER_JOURNAL, HEADER_OPERATOR, HEADER_REASON,
    HEADER_REQUEST_ID, HEADER_TICKET,
};

/// Retries of a read or a keyed write, after the first try.
const RETRIES: u32 = 2;
/// Wait before the first retry; doubles, with up to half of it added at random.
const FIRST_WAIT: Duration = Duration::from_millis(150);
/// Longest time to a connection: a dead address has to be named within two seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1800);
/// How long nothing may come before the person is told so; within two seconds there has to be a word.
const SILENCE: Duration = Duration::from_millis(1900);
/// Longest `Retry-After` that is waited for within a command's deadline.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Where the orchestrator is and how to reach it.
#[derive(Clone, Debug)]
pub struct OrchestratorOptions {
    /// Base URL: `http://localhost:3000`.
    pub url: Url,
    /// Bearer token.
    pub token: Option<Secret>,
    /// Name of the context, for messages.
    pub context: String,
    /// Limit for a whole call, retries included.
    pub timeout: Duration,
    /// For `Retry-After` dates.
    pub clock: Clock,
    /// What starts the orchestrator of this context, for the hint when nobody answers.
    pub start_hint: String,
    /// The token for a lockdown; used once the server says that it is locked down, never before.
    pub break_glass: BreakGlass,
}

/// The break-glass token, fetched when it is needed.
#[derive(Clone)]
pub struct BreakGlass {
    source: CredentialSource,
    env: Env,
    output: Arc<Output>,
    fetched: Arc<OnceCell<Secret>>,
    used: Arc<AtomicBool>,
}

impl std::fmt::Debug for BreakGlass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BreakGlass").field("source", &self.source).finish_non_exhaustive()
    }
}

impl BreakGlass {
    /// The token from this source; that it is used is said on `output`.
    pub fn new(source: CredentialSource, env: Env, output: Arc<Output>) -> Self {
        BreakGlass { source, env, output, fetched: Arc::default(), used: Arc::default() }
    }

    /// Where it comes from, for people.
    pub fn describe(&self) -> String {
        self.source.describe()
    }

    /// The token, once the server has said that it is locked down.
    fn in_use(&self) -> Option<&Secret> {
        self.fetched.get().filter(|_| self.used.load(Ordering::Relaxed))
    }

    /// Fetches it; nothing that is printed from now on shows it.
    pub async fn fetch(&self) -> anyhow::Result<&Secret> {
        let fetch = || async {
            let token = self.source.resolve(&self.env).await?.ok_or_else(no_break_glass)?;
            self.output.redactor.add([&token]);
            anyhow::Ok(token)
        };
        self.fetched.get_or_try_init(fetch).await
    }

    /// Uses it for every request from now on.
    async fn take_over(&self) -> anyhow::Result<()> {
        self.fetch().await?;
        self.used.store(true, Ordering::Relaxed);
        let from = self.source.describe();
        self.output.note(&format!("the service is locked down: using the break-glass token ({from})"));
        Ok(())
    }
}

fn no_break_glass() -> Fault {
    Fault::new(Kind::NotAuthenticated, "there is no break-glass token")
        .because("the context names no source for it")
        .hint("name one in config.toml: `break-glass = { file = \"...\" }`; the server keeps it in break-glass.token")
}

/// The admin API of one orchestrator.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    http: Http,
    options: OrchestratorOptions,
    /// Whether it has answered anything, or its silence has been told.
    heard: Arc<AtomicBool>,
}

/// How a call may be retried.
enum Effect<'a> {
    /// A read: retried on connection errors, 502, 503 and 504.
    Read,
    /// A change with an idempotency key: retried alike, since the server answers a repeat with the first answer.
    Change { approval: &'a Approval, key: String, if_version: Option<u64> },
}

/// What one try gave when it did not give an answer.
struct TryFailure {
    fault: Fault,
    /// Worth another try, after this wait if the server named one.
    retry: Option<Option<Duration>>,
}

impl Orchestrator {
    /// A client; nothing is sent yet.
    pub fn new(options: OrchestratorOptions) -> Self {
        let connect_timeout = options.timeout.min(CONNECT_TIMEOUT);
        let http = Http::new(Options { connect_timeout, timeout: options.timeout, ..Options::default() });
        Orchestrator { http, options, heard: Arc::default() }
    }

    /// Base URL, for plans and messages.
    pub fn url(&self) -> &Url {
        &self.options.url
    }

    /// What starts it, for hints.
    pub fn start_hint(&self) -> &str {
        &self.options.start_hint
    }

    /// Name of the context, for plans and messages.
    pub fn context(&self) -> &str {
        &self.options.context
    }

    /// Reads.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, None::<&()>, Effect::Read).await
    }

    /// Changes. The key is made from the approval and the target, so that a retry of this very change is recognised
    /// and another item of the same plan is not mistaken for it.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        approval: &Approval,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        if_version: Option<u64>,
    ) -> anyhow::Result<T> {
        let key = format!("{}:{method}:{path}", approval.key());
        self.call(method, path, body, Effect::Change { approval, key, if_version }).await
    }

    /// One of many changes of the same kind, told apart by `item`.
    pub(super) async fn change_one<T: DeserializeOwned>(
        &self,
        (approval, item): (&Approval, &str),
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        let key = format!("{}:{method}:{path}:{item}", approval.key());
        self.call(method, path, body, Effect::Change { approval, key, if_version: None }).await
    }

    /// Has something looked at that takes a request of its own; asking twice changes nothing.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        self.call(Method::POST, path, body, Effect::Read).await
    }

    /// Any method and path, for `opsctl api`. Without an approval only GET is possible.
    pub async fn raw(&self, path: &str) -> anyhow::Result<Value> {
        self.get(path).await
    }

    /// Any change, for `opsctl api`.
    pub async fn raw_change(
        &self,
        approval: &Approval,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        self.change(approval, method, path, body, None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        effect: Effect<'_>,
    ) -> anyhow::Result<T> {
        let url = self.address(path)?;
        let body = body.map(serde_json::to_vec).transpose()?;
        let mut headers = self.headers(&effect, body.is_some())?;
        let started = Instant::now();
        let mut retries = 0;
        loop {
            let left = self.options.timeout.saturating_sub(started.elapsed());
            let answer = self.one_try(&method, &url, &headers, body.clone(), left);
            let failure = match self.telling_of_silence(answer).await {
                Ok(reply) => return decode(&reply),
                Err(failure) => failure,
            };
            if failure.fault.code == Some(ErrorCode::LockedDown) && self.options.break_glass.in_use().is_none() {
                self.open_the_glass(failure.fault).await?;
                headers = self.headers(&effect, body.is_some())?;
                continue;
            }
            let pause = match failure.retry {
                Some(asked) if retries < RETRIES => {
                    let backoff = FIRST_WAIT * 2u32.pow(retries);
                    asked.unwrap_or(backoff + backoff.mul_f64(fastrand::f64() / 2.0))
                }
                _ => return Err(with_effort(failure.fault, retries, started.elapsed()).into()),
            };
            if started.elapsed() + pause >= self.options.timeout {
                return Err(with_effort(failure.fault, retries, started.elapsed()).into());
            }
            tokio::time::sleep(pause).await;
            retries += 1;
        }
    }

    /// Waits for an answer; says so when the first one is long in coming.
    async fn telling_of_silence<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        if !self.heard.load(Ordering::Relaxed) {
            let early = tokio::time::timeout(SILENCE, &mut answer).await;
            let first = !self.heard.swap(true, Ordering::Relaxed);
            match early {
                Ok(answer) => return answer,
                Err(_) if first => self.options.break_glass.output.note(&format!(
                    "no answer from {} yet; --timeout says how long to wait",
                    self.options.url.as_str().trim_end_matches('/')
                )),
                Err(_) => {}
            }
        }
        answer.await
    }

    /// Reads an answer piece by piece; only a failure before it begins is told from here.
    pub(super) async fn open(&self, path: &str) -> anyhow::Result<Incoming> {
        self.open_as(path, None).await
    }

    /// Reads an answer that is no JSON.
    pub(super) async fn text(&self, path: &str, accept: HeaderValue) -> anyhow::Result<String> {
        let reply = self.open_as(path, Some(accept)).await?.whole().await.map_err(|f| self.broke_off(&f))?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    async fn open_as(&self, path: &str, accept: Option<HeaderValue>) -> anyhow::Result<Incoming> {
        let unreached = |failure: Failure| self.not_reached(&failure).fault;
        loop {
            let mut headers = self.headers(&Effect::Read, false)?;
            headers.extend(accept.clone().map(|accept| (ACCEPT, accept)));
            let request = self.http.request(Method::GET, &self.address(path)?).map_err(unreached)?.headers(headers);
            let incoming = self.telling_of_silence(self.http.open(request)).await.map_err(unreached)?;
            if (200..300).contains(&incoming.status()) {
                return Ok(incoming);
            }
            let fault = self.refused(&incoming.whole().await.map_err(unreached)?);
            if fault.code != Some(ErrorCode::LockedDown) || self.options.break_glass.in_use().is_some() {
                return Err(fault.into());
            }
            self.open_the_glass(fault).await?;
        }
    }

    /// The server is locked down: from here on the break-glass token speaks, if there is one.
    async fn open_the_glass(&self, refused: Fault) -> anyhow::Result<()> {
        self.options.break_glass.take_over().await.map_err(|error| {
            let why = Explained::from_error(&error);
            let refused = why.causes.iter().fold(refused.because(why.message), |f, cause| f.because(cause.clone()));
            match why.hint {
                Some(hint) => refused.hint(hint),
                None => refused,
            }
            .into()
        })
    }

    /// The same server with the break-glass token, whether or not it is locked down: to see that it works.
    pub async fn with_break_glass(&self) -> anyhow::Result<Self> {
        let token = self.options.break_glass.fetch().await?.clone();
        Ok(Orchestrator { options: OrchestratorOptions { token: Some(token), ..self.options.clone() }, ..self.clone() })
    }

    /// Where the break-glass token comes from, for people.
    pub fn break_glass_source(&self) -> String {
        self.options.break_glass.describe()
    }

    /// The fault of an answer that broke off.
    pub(super) fn broke_off(&self, failure: &Failure) -> Fault {
        self.not_reached(failure).fault
    }

    fn address(&self, path: &str) -> Result<Url, Fault> {
        self.options
            .url
            // `./` keeps a first segment with a colon from being read as another address.
            .join(&format!("./{}", path.trim_start_matches('/')))
            .map_err(|e| Fault::usage(format!("`{path}` is not a path")).because(e.to_string()))
    }

    fn headers(&self, effect: &Effect<'_>, has_body: bool) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.options.break_glass.in_use().or(self.options.token.as_ref()) {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
                Fault::new(Kind::NotAuthenticated, format!("the token of context `{}` is malformed", self.context()))
                    .because("it holds a character that no HTTP header can carry")
                    .hint("check the credential source with `opsctl context check`")
            })?;
            value.set_sensitive(true);
            headers.insert("authorization", value);
        }
        if has_body {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        if let Effect::Change { approval, key, if_version } = effect {
            headers.insert(HEADER_IDEMPOTENCY_KEY, HeaderValue::from_str(&encoded(key))?);
            headers.insert(HEADER_OPERATOR, HeaderValue::from_str(&encoded(approval.operator()))?);
            if let Some(reason) = approval.reason() {
                headers.insert(HEADER_REASON, HeaderValue::from_str(&encoded(reason))?);
            }
            if let Some(ticket) = approval.ticket() {
                headers.insert(HEADER_TICKET, HeaderValue::from_str(&encoded(ticket))?);
            }
            if let Some(head) = approval.head() {
                headers.insert(HEADER_JOURNAL, HeaderValue::from_str(&head.to_string())?);
            }
            if let Some(version) = if_version {
                headers.insert("if-match", HeaderValue::from_str(&format!("\"{version}\""))?);
            }
        }
        Ok(headers)
    }

    async fn one_try(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<Vec<u8>>,
        left: Duration,
    ) -> Result<Reply, TryFailure> {
        let built = self.http.request(method.clone(), url);
        let mut request = built.map_err(|f| self.not_reached(&f))?.headers(headers.clone());
        if let Some(body) = body {
            request = request.body(body);
        }
        let reply = self.http.send(request, Some(left)).await.map_err(|f| self.not_reached(&f))?;
        if reply.is_success() {
            return Ok(reply);
        }
        let fault = self.refused(&reply);
        let retry_after = reply.retry_after(self.options.clock.now());
        let retry = match reply.status {
            429 if retry_after.is_some_and(|wait| wait > LONGEST_RETRY_AFTER) => None,
            429 => Some(retry_after),
            502 | 504 => Some(None),
            // Our own server says UNAVAILABLE when it is paused or full: trying again at once would not help.
            503 if fault.code == Some(ErrorCode::ServiceDown) => Some(retry_after),
            _ => None,
        };
        Err(TryFailure { fault, retry })
    }

    fn not_reached(&self, failure: &Failure) -> TryFailure {
        let url = &self.options.url;
        let (kind, message) = match failure.code {
            ErrorCode::NetworkError | ErrorCode::TimeoutError => {
                (Kind::Unreachable, format!("the orchestrator at {url} does not answer"))
            }
            _ => (Kind::Failed, format!("the answer of {url} cannot be read")),
        };
        let fault = Fault::new(kind, message)
            .because(failure.cause.clone())
            .hint(self.options.start_hint.clone())
            .code(failure.code);
        // A connection that never came about is worth another try at once; one that hung has used up its time.
        let retry = failure.delivery == Delivery::NotDelivered && failure.code == ErrorCode::NetworkError;
        TryFailure { fault, retry: retry.then_some(None) }
    }

    /// An error that came inside an answer, as a fault.
    pub(super) fn fault(&self, detail: ErrorDetail, path: &str) -> Fault {
        let hint = hint_of(detail.code, path, self.context());
        Fault::new(kind_of(detail.code, 500), detail.message).code(detail.code).hint(hint)
    }

    /// An answer that is not a success, as a fault: the documented envelope when it is one, the first line otherwise.
    fn refused(&self, reply: &Reply) -> Fault {
        let Ok(envelope) = serde_json::from_slice::<ErrorBody>(&reply.body) else {
            return foreign_answer(reply);
        };
        let detail = envelope.error;
        let kind = kind_of(detail.code, reply.status);
        let mut fault = match problems(detail.details.as_ref()) {
            // Several at once read better one a line.
            several if several.len() > 1 => {
                let fault = Fault::new(kind, format!("the request has {} problems", several.len()));
                several.into_iter().fold(fault, Fault::because)
            }
            _ => Fault::new(kind, detail.message),
        }
        .code(detail.code);
        let wait = detail.retry_after.map(Duration::from_secs);
        if let Some(wait) = wait.or_else(|| reply.retry_after(self.options.clock.now())) {
            fault = fault.because(format!("it asks to wait {}s", wait.as_secs()));
        }
        let id = reply.header(HEADER_REQUEST_ID).map(|id| format!(", request {id}")).unwrap_or_default();
        fault.because(format!("{} answered HTTP {}{id}", reply.url, reply.status)).hint(hint_of(
            detail.code,
            reply.url.path(),
            self.context(),
        ))
    }
}

/// What is wrong with a request, one by one, when the refusal lists it.
fn problems(details: Option<&Value>) -> Vec<&str> {
    let list = details.and_then(|d| d["problems"].as_array());
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// An error answer that is not the orchestrator's: a proxy's page, another program's JSON, a redirect.
fn foreign_answer(reply: &Reply) -> Fault {
    let (url, status) = (&reply.url, reply.status);
    if let Some(location) = reply.header("location").filter(|_| (300..400).contains(&status)) {
        let host = Url::parse(location).ok().and_then(|u| u.host_str().map(str::to_owned));
        return Fault::new(Kind::Failed, format!("{url} answered HTTP {status} instead of an answer"))
            .because(format!("it redirects to {}", host.as_deref().unwrap_or(location)))
            .hint("no redirect is followed, so that the token goes nowhere else; set the context's url to the final address");
    }
    let (kind, code) = match status {
        401 | 403 => (Kind::NotAuthenticated, ErrorCode::AuthError),
        404 => (Kind::NotFound, ErrorCode::NotFound),
        429 => (Kind::Unreachable, ErrorCode::RateLimited),
        502..=504 => (Kind::Unreachable, ErrorCode::ServiceDown),
        _ => (Kind::Failed, ErrorCode::UnknownError),
    };
    Fault::new(kind, format!("{url} answered HTTP {status}"))
        .because(format!("not the orchestrator's error format: {}", said(reply)))
        .hint("is this the orchestrator's address? check it with `opsctl context check`")
        .code(code)
}

fn decode<T: DeserializeOwned>(reply: &Reply) -> anyhow::Result<T> {
    serde_json::from_slice(&reply.body).map_err(|error| {
        let because = if reply.body.trim_ascii_start().starts_with(b"<") {
            format!("an HTML page instead of JSON: {}", said(reply))
        } else if error.is_eof() {
            "the JSON ends too early".to_owned()
        } else {
            error.to_string()
        };
        Fault::new(Kind::Failed, format!("the answer of {} cannot be read", reply.url))
            .because(because)
            .hint("is this the orchestrator's address? check it with `opsctl context check`")
            .into()
    })
}

/// What a foreign body says, in one line.
fn said(reply: &Reply) -> String {
    match reply.first_line() {
        line if line.is_empty() => "an empty body".to_owned(),
        line => line,
    }
}

fn with_effort(fault: Fault, retries: u32, took: Duration) -> Fault {
    if retries == 0 {
        return fault;
    }
    let tries = if retries == 1 { "1 retry".to_owned() } else { format!("{retries} retries") };
    fault.because(format!("after {tries} in {:.1}s", took.as_secs_f64()))
}

/// Header values are ASCII: everything else is percent-encoded as UTF-8.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn kind_of(code: ErrorCode, status: u16) -> Kind {
    match code {
        ErrorCode::AuthError | ErrorCode::PermissionDenied => Kind::NotAuthenticated,
        ErrorCode::NotFound => Kind::NotFound,
        ErrorCode::ValidationError => Kind::Usage,
        ErrorCode::Conflict | ErrorCode::DuplicateError | ErrorCode::LockedDown => Kind::Conflict,
        ErrorCode::RateLimited | ErrorCode::NetworkError | ErrorCode::TimeoutError => Kind::Unreachable,
        ErrorCode::ServiceDown if status != 500 => Kind::Unreachable,
        ErrorCode::ServiceDown
        | ErrorCode::QuotaExceeded
        | ErrorCode::CircuitOpen
        | ErrorCode::QueueFull
        | ErrorCode::Unavailable
        | ErrorCode::Unsupported
        | ErrorCode::UnknownError => Kind::Failed,
    }
}

/// The workflow that a request was about.
fn workflow_of(path: &str) -> Option<&str> {
    path.split_once("/workflows/")?.1.split('/').next()
}

fn hint_of(code: ErrorCode, path: &str, context: &str) -> String {
    match code {
        ErrorCode::AuthError => return format!("check the token with `opsctl context check {context}`"),
        ErrorCode::PermissionDenied => "use a token with a higher role; an admin makes one with `opsctl token create`",
        ErrorCode::NotFound if path.contains("/queue/") || path.contains("/actions/") => {
            "list them with `opsctl queue stuck` and `opsctl queue failed`"
        }
        ErrorCode::NotFound if path.contains("/workflows") || path.ends_with("/integrity") => {
            "list them with `opsctl workflow list`"
        }
        ErrorCode::NotFound if path.contains("/config/") => "list them with `opsctl config list`",
        ErrorCode::NotFound if path.contains("/backups/") => "list them with `opsctl state backups`",
        ErrorCode::NotFound if path.contains("/approvals/") => "see what waits with `opsctl approvals pending`",
        ErrorCode::NotFound if path.contains("/tokens/") => "list them with `opsctl token list`",
        ErrorCode::NotFound => "`opsctl api spec` lists what can be asked",
        ErrorCode::ValidationError => "correct what the message names; `--help` says what the command takes",
        ErrorCode::Conflict if workflow_of(path).is_some() => {
            let id = workflow_of(path).unwrap_or_default();
            return format!("see how it stands with `opsctl workflow status {id}`");
        }
        ErrorCode::Conflict if path.ends_with("/integrity") => "wait for its end or stop it, then repeat the command",
        ErrorCode::Conflict => "look again and repeat the command: the plan is made anew from what is there now",
        ErrorCode::DuplicateError => {
            "give it a key or id of its own, or see what has the key with `opsctl idempotency check KEY`"
        }
        ErrorCode::RateLimited => "wait, then repeat the command",
        ErrorCode::QuotaExceeded => "waiting does not help: free the quota that is used up",
        ErrorCode::CircuitOpen => "see when the platform is tried again with `opsctl circuit status`",
        ErrorCode::Unsupported => "`opsctl system status` shows what this orchestrator can do",
        ErrorCode::LockedDown => {
            "only the break-glass token works, for keys, logs and audit; `opsctl security restore --verified` ends it"
        }
        ErrorCode::QueueFull => "see what waits with `opsctl queue stuck`; raise QUEUE_MAX_SIZE or clear the queue",
        ErrorCode::NetworkError
        | ErrorCode::TimeoutError
        | ErrorCode::ServiceDown
        | ErrorCode::Unavailable
        | ErrorCode::UnknownError => "try again in a moment; `opsctl system status` shows how the orchestrator is",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_ascii() {
        assert_eq!(encoded("50% done, ok"), "50%25 done, ok");
        assert_eq!(encoded("é\n"), "%C3%A9%0A");
    }

    #[test]
    fn every_code_has_a_kind_that_is_not_success() {
        for code in ErrorCode::ALL {
            assert_ne!(kind_of(code, 400).exit_code(), 0);
        }
    }
}
