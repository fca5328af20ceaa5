//! One request to the admin API: timeouts, retries, headers, error bodies.

use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Fault, Kind};
use crate::guard::Approval;
use crate::secret::Secret;
use crate::wire::{
    ErrorBody, ErrorCode, HEADER_IDEMPOTENCY_KEY, HEADER_OPERATOR, HEADER_REASON, HEADER_REQUEST_ID, HEADER_TICKET,
};

/// Retries of a read or a keyed write, after the first try.
const RETRIES: u32 = 2;
/// Wait before the first retry; doubles, with up to half of it added at random.
const FIRST_WAIT: Duration = Duration::from_millis(150);
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
    /// What starts the orchestrator of this context, for the hint when nobody answers.
    pub start_hint: String,
}

/// The admin API of one orchestrator.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    http: reqwest::Client,
    options: OrchestratorOptions,
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
    pub fn new(options: OrchestratorOptions) -> anyhow::Result<Self> {
        let http = crate::http::api_client(&options.url, options.timeout)?;
        Ok(Orchestrator { http, options })
    }

    /// Base URL, for plans and messages.
    pub fn url(&self) -> &Url {
        &self.options.url
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
        let url = self
            .options
            .url
            .join(path.trim_start_matches('/'))
            .map_err(|e| Fault::usage(format!("`{path}` is not a path")).because(e.to_string()))?;
        let body = body.map(serde_json::to_vec).transpose()?;
        let headers = self.headers(&effect, body.is_some())?;
        let started = Instant::now();
        let mut retries = 0;
        loop {
            let left = self.options.timeout.saturating_sub(started.elapsed());
            let failure = match self.one_try(&method, &url, &headers, body.clone(), left).await {
                Ok(bytes) => return self.decode(&url, &bytes),
                Err(failure) => failure,
            };
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

    fn headers(&self, effect: &Effect<'_>, has_body: bool) -> anyhow::Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.options.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
                Fault::new(Kind::NotAuthenticated, format!("the token of context `{}` is malformed", self.context()))
                    .because("it holds a character that no HTTP header can carry")
                    .hint("check the credential source with `opsctl context check`")
            })?;
            value.set_sensitive(true);
            headers.insert(reqwest::header::AUTHORIZATION, value);
        }
        if has_body {
            headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
            if let Some(version) = if_version {
                headers.insert(reqwest::header::IF_MATCH, HeaderValue::from_str(&format!("\"{version}\""))?);
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
    ) -> Result<Vec<u8>, TryFailure> {
        let mut request = self.http.request(method.clone(), url.clone()).headers(headers.clone()).timeout(left);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.not_reached(&error)),
        };
        let status = response.status();
        let retry_after = header(&response, "retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
        let location = header(&response, "location");
        let request_id = header(&response, HEADER_REQUEST_ID);
        let bytes = match crate::http::read_body(response).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.body_lost(url, &error)),
        };
        if status.is_success() {
            return Ok(bytes);
        }
        let fault = self.refused(url, status, &bytes, location, request_id);
        let retry = match status {
            StatusCode::TOO_MANY_REQUESTS => Some(retry_after.filter(|wait| *wait <= LONGEST_RETRY_AFTER)),
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Some(None),
            // Our own server says UNAVAILABLE when it is paused or full: trying again at once would not help.
            StatusCode::SERVICE_UNAVAILABLE if fault.code == Some(ErrorCode::ServiceDown) => Some(retry_after),
            _ => None,
        };
        Err(TryFailure { fault, retry })
    }

    fn not_reached(&self, error: &reqwest::Error) -> TryFailure {
        let why = crate::http::explain(error);
        let fault = Fault::new(Kind::Unreachable, format!("the orchestrator at {} does not answer", self.options.url))
            .because(why.cause)
            .hint(self.options.start_hint.clone())
            .code(why.code);
        TryFailure { fault, retry: error.is_connect().then_some(None) }
    }

    fn body_lost(&self, url: &Url, error: &crate::http::BodyError) -> TryFailure {
        let fault = Fault::new(Kind::Unreachable, format!("the answer of {url} did not arrive whole"))
            .because(error.to_string())
            .hint("try again; `opsctl context check` tests the connection")
            .code(ErrorCode::NetworkError);
        TryFailure { fault, retry: None }
    }

    /// An answer that is not a success, as a fault: the documented envelope when it is one, the first line otherwise.
    fn refused(
        &self,
        url: &Url,
        status: StatusCode,
        body: &[u8],
        location: Option<String>,
        request_id: Option<String>,
    ) -> Fault {
        let Ok(envelope) = serde_json::from_slice::<ErrorBody>(body) else {
            return self.foreign_answer(url, status, body, location);
        };
        let detail = envelope.error;
        let mut fault = Fault::new(kind_of(detail.code, status), detail.message).code(detail.code);
        if let Some(wait) = detail.retry_after {
            fault = fault.because(format!("it asks to wait {wait}s"));
        }
        if status.is_server_error() {
            let id = request_id.map(|id| format!(", request {id}")).unwrap_or_default();
            fault = fault.because(format!("{url} answered HTTP {}{id}", status.as_u16()));
        }
        match hint_of(detail.code, self.context()) {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }

    fn foreign_answer(&self, url: &Url, status: StatusCode, body: &[u8], location: Option<String>) -> Fault {
        if let Some(location) = location.filter(|_| status.is_redirection()) {
            let target = Url::parse(&location).ok().and_then(|u| u.host_str().map(str::to_owned));
            return Fault::new(Kind::Failed, format!("{url} answered HTTP {} instead of an answer", status.as_u16()))
                .because(format!("it redirects to {}", target.unwrap_or(location)))
                .hint("API calls follow no redirect, so that the token goes nowhere else; set the context's url to the final address");
        }
        let (kind, code) = match status.as_u16() {
            401 | 403 => (Kind::NotAuthenticated, ErrorCode::AuthError),
            404 => (Kind::NotFound, ErrorCode::NotFound),
            429 => (Kind::Unreachable, ErrorCode::RateLimited),
            502..=504 => (Kind::Unreachable, ErrorCode::ServiceDown),
            _ => (Kind::Failed, ErrorCode::UnknownError),
        };
        Fault::new(kind, format!("{url} answered HTTP {}", status.as_u16()))
            .because(format!("not the orchestrator's error format: {}", first_line(body)))
            .hint("is this the orchestrator's address? check it with `opsctl context check`")
            .code(code)
    }

    fn decode<T: DeserializeOwned>(&self, url: &Url, bytes: &[u8]) -> anyhow::Result<T> {
        serde_json::from_slice(bytes).map_err(|error| {
            let because = if error.is_eof() {
                "the JSON ends too early".to_owned()
            } else if bytes.trim_ascii_start().starts_with(b"<") {
                format!("an HTML page instead of JSON: {}", first_line(bytes))
            } else {
                error.to_string()
            };
            Fault::new(Kind::Failed, format!("the answer of {url} cannot be read"))
                .because(because)
                .hint("is this the orchestrator's address? check it with `opsctl context check`")
                .into()
        })
    }
}

fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// The first line that says something, without tags, at most 120 characters.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
    let mut plain = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                plain.push('\n');
            }
            _ if in_tag => {}
            c if c.is_control() => plain.push('\n'),
            c => plain.push(c),
        }
    }
    let line = plain.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("an empty body");
    line.chars().take(120).collect()
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

fn kind_of(code: ErrorCode, status: StatusCode) -> Kind {
    match code {
        ErrorCode::AuthError | ErrorCode::PermissionDenied => Kind::NotAuthenticated,
        ErrorCode::NotFound => Kind::NotFound,
        ErrorCode::ValidationError => Kind::Usage,
        ErrorCode::Conflict | ErrorCode::DuplicateError | ErrorCode::LockedDown => Kind::Conflict,
        ErrorCode::RateLimited | ErrorCode::NetworkError | ErrorCode::TimeoutError => Kind::Unreachable,
        ErrorCode::ServiceDown if status != StatusCode::INTERNAL_SERVER_ERROR => Kind::Unreachable,
        ErrorCode::ServiceDown
        | ErrorCode::QuotaExceeded
        | ErrorCode::CircuitOpen
        | ErrorCode::QueueFull
        | ErrorCode::Unavailable
        | ErrorCode::Unsupported
        | ErrorCode::UnknownError => Kind::Failed,
    }
}

fn hint_of(code: ErrorCode, context: &str) -> Option<String> {
    Some(match code {
        ErrorCode::AuthError => format!("check the token with `opsctl context check {context}`"),
        ErrorCode::PermissionDenied => "use a token with a higher role; an admin makes one with `opsctl token create`".into(),
        ErrorCode::NotFound => "list what there is, for example with `opsctl queue status` or `opsctl api /admin/v1`".into(),
        ErrorCode::Conflict => "look again and repeat the command: the plan is made anew from what is there now".into(),
        ErrorCode::RateLimited => "wait, then repeat the command".into(),
        ErrorCode::Unsupported => "`opsctl system status` shows what this orchestrator can do".into(),
        ErrorCode::LockedDown => "only the break-glass token works while the service is locked down".into(),
        ErrorCode::QueueFull => "see what waits with `opsctl queue stuck`; raise QUEUE_MAX_SIZE or clear the queue".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_of_a_page_is_its_text() {
        assert_eq!(first_line(b"<html><head><title>502 Bad Gateway</title></head>"), "502 Bad Gateway");
        assert_eq!(first_line(b""), "an empty body");
        assert_eq!(first_line(b"\x1b[31mred"), "[31mred");
    }

    #[test]
    fn header_values_are_ascii() {
        assert_eq!(encoded("50% done, ok"), "50%25 done, ok");
        assert_eq!(encoded("é\n"), "%C3%A9%0A");
    }

    #[test]
    fn every_code_has_a_kind_that_is_not_success() {
        for code in ErrorCode::ALL {
            assert_ne!(kind_of(code, StatusCode::BAD_REQUEST).exit_code(), 0);
        }
    }
}
