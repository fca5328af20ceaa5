//! Restate's admin API over HTTP: several addresses, SQL for reads, JSON for changes, and what its answers mean.
//!
//! A 2xx is not proof of effect: many changes are answered with 202 and applied later. Callers look afterwards, with
//! [`Admin::query`], until the effect is seen or their patience is over.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::{Failure, Http, Method, Options, Reply, Url};
use crate::platforms::Delivery;
use crate::secret::Secret;
use crate::server::backend::Refusal;
use crate::wire::ErrorCode;

/// Longest time to a connection: an address that does not answer must not hold up the next one.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// Between two rounds of asking a cluster that cannot answer yet.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Longest time for an answer; a query over everything a cluster keeps takes a while.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// The admin API of a cluster.
#[derive(Debug)]
pub struct Admin {
    http: Http,
    addresses: Vec<Url>,
    /// The one that answered last: asked first.
    current: AtomicUsize,
    token: Option<Secret>,
    /// How long a cluster that answers, but cannot yet, is asked again.
    patience: Duration,
}

/// Whether a request may be sent a second time when its first answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Reads, and changes that are the same done twice.
    Safe,
    /// Doing it twice would be two changes.
    Never,
}

/// `GET /version`.
#[derive(Clone, Debug, Deserialize)]
pub struct Version {
    /// The server's version: `1.7.12`.
    pub version: String,
    /// Where it thinks its ingress is reached.
    #[serde(default)]
    pub ingress_endpoint: Option<String>,
}

/// One service in `GET /services`.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What its authors say of it.
    #[serde(default)]
    pub metadata: std::collections::BTreeMap<String, String>,
}

/// What a batch of ids came to.
#[derive(Debug, Default, Deserialize)]
pub struct Batch {
    /// Not taken on; all others were.
    pub failed: Vec<BatchFailure>,
}

/// One id of a batch that was not taken on.
#[derive(Debug, Deserialize)]
pub struct BatchFailure {
    /// The invocation.
    pub invocation_id: String,
    /// Why.
    pub error: String,
}

impl Admin {
    /// A client of these addresses, of which there is at least one. `token` goes to all of them. A cluster that lost a node
    /// needs a moment until another one has its part: for `patience` it is asked again.
    pub fn new(addresses: Vec<Url>, token: Option<Secret>, patience: Duration) -> Self {
        // Restate holds an answer's end back until its beginning is confirmed, and on a kept connection that takes the system
        // 40 ms. A new one is confirmed at once, and costs less. Over https a proxy answers, and a new one costs more.
        let keep_alive = addresses.iter().any(|address| address.scheme() == "https");
        let options = Options { connect_timeout: CONNECT_TIME, timeout: ANSWER_TIME, keep_alive, ..Options::default() };
        Admin { http: Http::new(options), addresses, current: AtomicUsize::new(0), token, patience }
    }

    /// The address that answered last.
    pub fn address(&self) -> &Url {
        &self.addresses[self.current.load(Ordering::Relaxed) % self.addresses.len()]
    }

    /// All addresses, for people.
    pub fn addresses(&self) -> String {
        self.addresses.iter().map(plain).collect::<Vec<_>>().join(", ")
    }

    /// Rows of a query. Columns that are null are absent in Restate's JSON.
    pub async fn query<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, Refusal> {
        #[derive(Deserialize)]
        struct Rows<T> {
            rows: Vec<T>,
        }
        let reply = self.send(Method::POST, "query", Some(&json!({"query": sql})), Repeat::Safe).await?;
        let rows: Rows<T> = self.read(&reply, "a query")?;
        Ok(rows.rows)
    }

    /// What the server is.
    pub async fn version(&self) -> Result<Version, Refusal> {
        let reply = self.send(Method::GET, "version", None, Repeat::Safe).await?;
        self.read(&reply, "GET /version")
    }

    /// What is registered.
    pub async fn services(&self) -> Result<Vec<Service>, Refusal> {
        #[derive(Deserialize)]
        struct Services {
            services: Vec<Service>,
        }
        let reply = self.send(Method::GET, "services", None, Repeat::Safe).await?;
        Ok(self.read::<Services>(&reply, "GET /services")?.services)
    }

    /// A change; gives its answer, whatever the status below 500 is.
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Reply, Refusal> {
        self.send(method, path, body, repeat).await
    }

    /// One of the batch operations (`cancel`, `kill`, `resume`, `purge`, `restart-as-new`) on at most 1000 ids.
    pub async fn batch(&self, operation: &str, ids: &[&str], repeat: Repeat) -> Result<Batch, Refusal> {
        let path = format!("internal/invocations_batch_operations/{operation}");
        let reply = self.send(Method::POST, &path, Some(&json!({"invocation_ids": ids})), repeat).await?;
        self.read(&reply, &format!("a batch of `{operation}`"))
    }

    /// A 2xx answer's JSON; anything else is a refusal that says what came.
    fn read<T: DeserializeOwned>(&self, reply: &Reply, what: &str) -> Result<T, Refusal> {
        if !reply.is_success() {
            return Err(refused(reply, what));
        }
        serde_json::from_slice(&reply.body).map_err(|error| {
            let came = match reply.json() {
                Some(_) => format!("JSON of another shape: {error}"),
                None => format!("something else than JSON: {}", reply.first_line()),
            };
            let address = plain(&reply.url);
            Refusal::new(ErrorCode::ServiceDown, format!("Restate at {address} answered {what} with {came}"))
        })
    }

    /// Sends a request, if it may be repeated until the cluster can answer it or the patience is over.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>, repeat: Repeat) -> Result<Reply, Refusal> {
        let until = Instant::now() + self.patience;
        loop {
            let answer = self.send_once(method.clone(), path, body, repeat).await;
            let cannot_yet = match &answer {
                Ok(reply) => reply.status >= 500,
                // Nobody is there: waiting would only hide it.
                Err(_) => false,
            };
            if !cannot_yet || repeat == Repeat::Never || Instant::now() + AGAIN_AFTER > until {
                return answer;
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Sends a request to the first address that answers, the one that answered last first.
    async fn send_once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Reply, Refusal> {
        let first = self.current.load(Ordering::Relaxed);
        let mut tried: Vec<String> = Vec::new();
        let mut cannot = None;
        for step in 0..self.addresses.len() {
            let place = (first + step) % self.addresses.len();
            let address = &self.addresses[place];
            match self.send_to(address, method.clone(), path, body).await {
                // A node that is up before its part of the cluster is.
                Ok(reply) if reply.status >= 500 && repeat == Repeat::Safe => cannot = Some(reply),
                Ok(reply) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(failure) => {
                    tried.push(format!("{}: {failure}", plain(address)));
                    if repeat == Repeat::Never && failure.delivery == Delivery::Unknown {
                        let message = format!(
                            "Restate did not answer ({}); the change may have happened, and is not sent again",
                            tried.join("; ")
                        );
                        return Err(Refusal::new(ErrorCode::TimeoutError, message));
                    }
                }
            }
        }
        match cannot {
            Some(reply) => Ok(reply),
            None => Err(Refusal::new(ErrorCode::ServiceDown, format!("Restate cannot be asked: {}", tried.join("; ")))),
        }
    }

    async fn send_to(&self, address: &Url, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, Failure> {
        let url = join(address, path)?;
        let mut request = self.http.request(method, &url)?.header("accept", "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.http.send(request, None).await
    }
}

/// A path below an address, which may itself have one.
pub fn join(address: &Url, path: &str) -> Result<Url, Failure> {
    let text = format!("{}/{path}", address.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|why| Failure::bad_url(&text, why))
}

/// An address without what may be secret in it.
pub fn plain(address: &Url) -> String {
    let mut shown = address.clone();
    // A URL without a host has no user either.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.as_str().trim_end_matches('/').to_owned()
}

/// What an answer says went wrong: Restate's `message`, or the first line of whatever it is.
pub fn words(reply: &Reply) -> String {
    let said = reply.json().and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
    said.unwrap_or_else(|| reply.first_line())
}

/// An answer that is no success, as a refusal of ours.
pub fn refused(reply: &Reply, what: &str) -> Refusal {
    let code = match reply.status {
        401 | 403 => ErrorCode::Unavailable,
        404 => ErrorCode::NotFound,
        409 | 425 => ErrorCode::Conflict,
        400 | 405 | 410 | 422 => ErrorCode::UnknownError,
        429 => ErrorCode::RateLimited,
        _ => ErrorCode::ServiceDown,
    };
    let denied = match reply.status {
        401 | 403 => "; set RESTATE_AUTH_TOKEN to the token of what stands in front of it",
        _ => "",
    };
    let (address, status) = (plain(&reply.url), reply.status);
    Refusal::new(code, format!("Restate at {address} refused {what}: HTTP {status}: {}{denied}", words(reply)))
}

/// A text in SQL.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Texts in SQL, for `in (...)`.
pub fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(quoted).collect();
    // An empty list is no SQL.
    if quoted.is_empty() { "''".to_owned() } else { quoted.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_leave_their_quotes() {
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(list(["a", "b'"]), "'a','b'''");
        assert_eq!(list([]), "''");
    }

    #[test]
    fn an_address_keeps_its_path_and_hides_its_password() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert_eq!(join(&url("http://h:9070"), "query").unwrap().as_str(), "http://h:9070/query");
        assert_eq!(join(&url("https://h/restate/"), "query").unwrap().as_str(), "https://h/restate/query");
        assert_eq!(plain(&url("https://me:secret@h/restate?key=x")), "https://h/restate");
    }
}
