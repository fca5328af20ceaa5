//! Restate's ingress: where actions, workflows and decisions are sent, and where workers ask the contract's objects. Several
//! addresses, like the admin API; the one that answered last is asked first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::admin::{Repeat, join, plain};
use crate::http::{Failure, Http, Method, Options, Reply, Url};
use crate::platforms::Delivery;
use crate::secret::Secret;

/// Longest time to a connection: an address that does not answer must not hold up the next one.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// The ingress of a cluster.
#[derive(Debug)]
pub(super) struct Ingress {
    http: Http,
    addresses: Vec<Url>,
    current: AtomicUsize,
    token: Option<Secret>,
}

impl Ingress {
    /// A client of these addresses, of which there is at least one. `limit` is the longest time for an answer.
    pub fn new(addresses: Vec<Url>, token: Option<Secret>, limit: Duration) -> Self {
        let options = Options { connect_timeout: CONNECT_TIME, timeout: limit, ..Options::default() };
        Ingress { http: Http::new(options), addresses, current: AtomicUsize::new(0), token }
    }

    /// All addresses, for people.
    pub fn addresses(&self) -> String {
        self.addresses.iter().map(plain).collect::<Vec<_>>().join(", ")
    }

    /// Sends something to the first address that answers. `key` makes Restate take it once.
    pub async fn post(
        &self,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
        repeat: Repeat,
    ) -> Result<Reply, Failure> {
        self.send(Method::POST, path, body, key, repeat).await
    }

    /// Asks the first address that answers something.
    pub async fn get(&self, path: &str) -> Result<Reply, Failure> {
        self.send(Method::GET, path, None, None, Repeat::Safe).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
        repeat: Repeat,
    ) -> Result<Reply, Failure> {
        let first = self.current.load(Ordering::Relaxed);
        let mut step = 0;
        loop {
            let place = (first + step) % self.addresses.len();
            let is_last = step + 1 == self.addresses.len();
            match self.send_to(&self.addresses[place], method.clone(), path, body, key).await {
                // A node that is up before its part of the cluster is.
                Ok(reply) if reply.status >= 500 && repeat == Repeat::Safe && !is_last => {}
                Ok(reply) => {
                    self.current.store(place, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(failure) if is_last || (repeat == Repeat::Never && failure.delivery == Delivery::Unknown) => {
                    return Err(failure);
                }
                Err(_) => {}
            }
            step += 1;
        }
    }

    async fn send_to(
        &self,
        address: &Url,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Reply, Failure> {
        let mut request = self.http.request(method, &join(address, path)?)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        self.http.send(request, None).await
    }
}
