//! The one place that builds outgoing HTTP clients, reads answers, and puts transport failures into words.
//!
//! Rules that hold for every request: a loopback host is never reached through a proxy, an API call follows no
//! redirect (only status feeds do), connecting and the whole request have limits, and a body is read up to a cap.
//! Nothing is built before it is needed: plain http never loads certificate authorities, https loads the system's
//! (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) once per [`Http`].
//!
//! What an answer means (status codes, error bodies, retries) is left to the callers: `client` and `platforms`.

mod failure;
mod sending;
mod text;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
pub use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, Url};

use crate::platforms::Delivery;
use crate::wire::{ErrorCode, Time};
pub use failure::Failure;
pub use text::{clip, first_line, parse_retry_after};

/// What every request says it is: `opsctl/0.1.0`.
pub const USER_AGENT: &str = concat!("opsctl/", env!("CARGO_PKG_VERSION"));

/// Longest body that is read, in bytes; a longer one is a failure.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Idle connections are closed after this long, before most servers and middleboxes do it from their side.
const IDLE: Duration = Duration::from_secs(30);

/// What a client does with a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// Hand the 3xx answer to the caller: a token must not travel to another address.
    Refuse,
    /// Follow up to five; for status feeds, which carry no credential.
    Follow,
}

/// Limits of one [`Http`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Longest time to a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest time for a whole request, the body included; a request may carry its own.
    pub timeout: Duration,
    /// What to do with redirects.
    pub redirects: Redirects,
    /// Whether connections are kept for the next request.
    pub keep_alive: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            redirects: Redirects::Refuse,
            keep_alive: true,
        }
    }
}

/// Outgoing HTTP with fixed limits. A clone shares its connections.
#[derive(Clone, Debug)]
pub struct Http {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    /// One client for each [`Route`], built when first used.
    clients: [OnceLock<Result<reqwest::Client, Failure>>; 4],
}

/// How a URL is reached; decides which of the four clients carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    direct: bool,
    authorities: bool,
}

impl Route {
    fn of(url: &Url, proxy_is_tls: bool) -> Route {
        let direct = is_loopback(url);
        Route { direct, authorities: url.scheme() == "https" || (!direct && proxy_is_tls) }
    }

    fn index(self) -> usize {
        usize::from(self.direct) * 2 + usize::from(self.authorities)
    }
}

impl Http {
    /// A client with these limits. Costs nothing until the first request.
    pub fn new(options: Options) -> Self {
        Http { inner: Arc::new(Inner { options, clients: Default::default() }) }
    }

    /// The limits it was made with.
    pub fn options(&self) -> Options {
        self.inner.options
    }

    /// A request to add headers and a body to; [`Http::send`] sends it.
    pub fn request(&self, method: Method, url: &Url) -> Result<reqwest::RequestBuilder, Failure> {
        let route = Route::of(url, proxy_is_tls());
        let client = self.inner.clients[route.index()].get_or_init(|| build(self.inner.options, route));
        match client {
            Ok(client) => Ok(client.request(method, url.clone())),
            Err(failure) => Err(failure.clone()),
        }
    }

    /// Sends a request and leaves the body to be read piece by piece. The client's limit holds until the answer begins
    /// and for each piece, not for all of it.
    pub async fn open(&self, request: reqwest::RequestBuilder) -> Result<Incoming, Failure> {
        let patience = self.inner.options.timeout;
        match tokio::time::timeout(patience, request.send()).await {
            Ok(answer) => Ok(Incoming { answer: answer.map_err(|e| Failure::of(&e, patience))?, patience }),
            Err(_) => Err(Failure::silence(patience)),
        }
    }

    /// Sends a request and reads the whole answer, whatever its status. `timeout` is the limit for all of it; the
    /// client's own when `None`.
    pub async fn send(&self, request: reqwest::RequestBuilder, timeout: Option<Duration>) -> Result<Reply, Failure> {
        let limit = timeout.unwrap_or(self.inner.options.timeout);
        let mut answer = request.timeout(limit).send().await.map_err(|e| Failure::of(&e, limit))?;
        let (status, headers, url) = (answer.status().as_u16(), answer.headers().clone(), answer.url().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| Failure::of(&e, limit))? {
            if body.len() + chunk.len() > BODY_LIMIT {
                let cause = format!("the answer is longer than {} MiB", BODY_LIMIT / 1024 / 1024);
                return Err(Failure::new(ErrorCode::UnknownError, Delivery::Unknown, cause));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, url, body: body.freeze() })
    }
}

/// A body that lets go of `held` when it begins to be sent, or when the request ends without that.
pub fn body_holding<T: Send + Sync + Unpin + 'static>(bytes: Bytes, held: T) -> reqwest::Body {
    reqwest::Body::wrap(sending::Sending::new(bytes, held))
}

/// An answer whose body is read piece by piece.
#[derive(Debug)]
pub struct Incoming {
    answer: reqwest::Response,
    patience: Duration,
}

impl Incoming {
    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    /// The next piece; `None` at the end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        match tokio::time::timeout(self.patience, self.answer.chunk()).await {
            Ok(piece) => piece.map_err(|e| Failure::of(&e, self.patience)),
            Err(_) => Err(Failure::silence(self.patience)),
        }
    }

    /// The rest as a whole answer.
    pub async fn whole(mut self) -> Result<Reply, Failure> {
        let (status, url) = (self.status(), self.answer.url().clone());
        let headers = self.answer.headers().clone();
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if body.len() + piece.len() > BODY_LIMIT {
                let cause = format!("the answer is longer than {} MiB", BODY_LIMIT / 1024 / 1024);
                return Err(Failure::new(ErrorCode::UnknownError, Delivery::Unknown, cause));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply { status, headers, url, body: body.freeze() })
    }
}

fn build(options: Options, route: Route) -> Result<reqwest::Client, Failure> {
    // Somebody else in the process may have installed a provider already; either will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(IDLE)
        .redirect(match options.redirects {
            Redirects::Refuse => reqwest::redirect::Policy::none(),
            Redirects::Follow => reqwest::redirect::Policy::limited(5),
        });
    if !options.keep_alive {
        builder = builder.pool_max_idle_per_host(0);
    }
    if route.direct {
        builder = builder.no_proxy();
    }
    if !route.authorities {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|e| Failure::of(&e, options.timeout))
}

/// Whether the host of this URL is this machine: `localhost` and its subdomains, 127.0.0.0/8, ::1, 0.0.0.0, ::.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if let Ok(ip) = host.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        return ip.is_loopback() || ip.is_unspecified();
    }
    let host = host.trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

/// Whether plain http would go through a proxy that itself speaks TLS.
fn proxy_is_tls() -> bool {
    ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| value.to_ascii_lowercase().starts_with("https://")))
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The address that answered; another than the one asked after a followed redirect.
    pub url: Url,
    /// The body, at most [`BODY_LIMIT`] bytes.
    pub body: Bytes,
}

impl Reply {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The content type without its parameters, in lower case.
    pub fn content_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The body as JSON; `None` when it is something else, whatever the content type claims.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The first line of text in the body without markup, at most 200 characters: what an HTML or plain error page
    /// says.
    pub fn first_line(&self) -> String {
        first_line(&String::from_utf8_lossy(&self.body[..self.body.len().min(64 * 1024)]))
    }

    /// `Retry-After`, as seconds or as a date.
    pub fn retry_after(&self, now: Time) -> Option<Duration> {
        parse_retry_after(self.header("retry-after")?, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Answers every connection with these bytes after the request's head came, then closes.
    async fn raw(answer: &'static [u8]) -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                let _ = socket.read(&mut buffer).await;
                let _ = socket.write_all(answer).await;
            }
        });
        url.parse().unwrap()
    }

    async fn get(url: &Url) -> Result<Reply, Failure> {
        let http = Http::new(Options::default());
        let request = http.request(Method::GET, url)?;
        http.send(request, Some(Duration::from_millis(500))).await
    }

    fn failed(code: ErrorCode, delivery: Delivery, cause: &str) -> Failure {
        Failure::new(code, delivery, cause)
    }

    #[tokio::test]
    async fn nobody_listens() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let failure = get(&url).await.unwrap_err();
        assert_eq!(failure, failed(ErrorCode::NetworkError, Delivery::NotDelivered, "connection refused"));
    }

    #[tokio::test]
    async fn no_such_host() {
        let failure = get(&"http://no-such-host.invalid/".parse().unwrap()).await.unwrap_err();
        assert_eq!((failure.code, failure.delivery), (ErrorCode::NetworkError, Delivery::NotDelivered));
        assert!(failure.cause.starts_with("DNS: "), "{}", failure.cause);
    }

    #[tokio::test]
    async fn an_answer_that_never_comes() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let failure = get(&url).await.unwrap_err();
        assert_eq!(failure, failed(ErrorCode::TimeoutError, Delivery::Unknown, "timed out after 500ms"));
    }

    #[tokio::test]
    async fn a_body_that_stops_halfway() {
        let url = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":").await;
        let failure = get(&url).await.unwrap_err();
        let expected = failed(ErrorCode::NetworkError, Delivery::Unknown, "connection closed before the answer");
        assert_eq!(failure, expected);
    }

    #[tokio::test]
    async fn a_connection_closed_without_an_answer() {
        let failure = get(&raw(b"").await).await.unwrap_err();
        assert_eq!(failure.delivery, Delivery::Unknown);
        assert!(["connection closed before the answer", "connection reset"].contains(&failure.cause.as_str()));
    }

    #[tokio::test]
    async fn a_redirect_is_handed_to_the_caller() {
        let url = raw(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
        let reply = get(&url).await.unwrap();
        assert_eq!((reply.status, reply.header("location")), (302, Some("http://127.0.0.1:1/")));
    }

    #[tokio::test]
    async fn plain_text_where_tls_was_expected() {
        let mut url = raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        url.set_scheme("https").unwrap();
        let failure = get(&url).await.unwrap_err();
        assert_eq!((failure.code, failure.delivery), (ErrorCode::NetworkError, Delivery::NotDelivered));
        assert!(failure.cause.starts_with("TLS: "), "{}", failure.cause);
    }

    #[tokio::test]
    async fn a_page_is_reduced_to_its_first_words() {
        let url = raw(
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!doctype html><html>\
              <head><style>b{}</style><title>502 Bad Gateway</title></head><body>nginx</body></html>",
        )
        .await;
        let reply = get(&url).await.unwrap();
        assert_eq!((reply.status, reply.first_line().as_str()), (502, "502 Bad Gateway"));
        assert_eq!((reply.json(), reply.content_type().as_deref()), (None, Some("text/html")));
    }

    #[test]
    fn loopback_is_recognised_in_every_spelling() {
        for url in
            ["http://localhost:1", "http://LOCALHOST.", "http://127.9.0.1", "http://[::1]:1", "http://a.localhost"]
        {
            assert!(is_loopback(&url.parse().unwrap()), "{url}");
        }
        for url in ["http://localhost.example.com", "http://128.0.0.1", "https://api.notion.com"] {
            assert!(!is_loopback(&url.parse().unwrap()), "{url}");
        }
    }

    #[test]
    fn each_route_has_its_own_client() {
        let route = |url: &str, tls_proxy| Route::of(&url.parse().unwrap(), tls_proxy);
        assert_eq!(route("http://localhost", true), Route { direct: true, authorities: false });
        assert_eq!(route("https://localhost", false), Route { direct: true, authorities: true });
        assert_eq!(route("http://example.com", false), Route { direct: false, authorities: false });
        assert_eq!(route("http://example.com", true), Route { direct: false, authorities: true });
    }
}
