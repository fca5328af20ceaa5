//! Plain JSON over HTTP to the sandbox's own servers. The traffic and the scenarios are programs that use the admin API,
//! not an operator who changes something: they have a token and no guard.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sim::TOKEN_HEADER;
use crate::error::{Fault, Kind};
use crate::http::{HeaderName, HeaderValue, Http, Method, Options, Url};
use crate::settings::read_secret_file;
use crate::wire::HEADER_OPERATOR;

/// Limit for one request.
const LIMIT: Duration = Duration::from_secs(20);

/// One of the sandbox's servers.
#[derive(Clone, Debug)]
pub struct Remote {
    http: Http,
    base: Url,
    name: HeaderName,
    value: HeaderValue,
}

impl Remote {
    /// The control API of the simulators and of the host.
    pub fn control(url: &str, token_file: &Path) -> anyhow::Result<Self> {
        let token = read_secret_file(token_file)?;
        Remote::new(url, HeaderName::from_static(TOKEN_HEADER), token.expose().to_owned())
    }

    /// The admin API of the orchestrator.
    pub fn admin(url: &str, token_file: &Path) -> anyhow::Result<Self> {
        let token = read_secret_file(token_file)?;
        Remote::new(url, HeaderName::from_static("authorization"), format!("Bearer {}", token.expose()))
    }

    fn new(url: &str, name: HeaderName, value: String) -> anyhow::Result<Self> {
        let mut value = HeaderValue::try_from(value).context("a token of the sandbox is malformed")?;
        value.set_sensitive(true);
        let http = Http::new(Options { timeout: LIMIT, ..Options::default() });
        Ok(Remote { http, base: crate::settings::parse_url(url)?, name, value })
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.send(Method::GET, path, None::<&()>).await
    }

    /// Sends a body.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// One request; an answer that is not a success is an error in the server's words.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        let url = self.base.join(path.trim_start_matches('/'))?;
        let unreachable = |cause: String| {
            Fault::new(Kind::Unreachable, format!("the sandbox at {} does not answer", self.base))
                .because(cause)
                .hint("repair it with `opsctl sandbox up`")
        };
        let request = self.http.request(method, &url).map_err(|f| unreachable(f.cause))?;
        let mut request =
            request.header(self.name.clone(), self.value.clone()).header(HEADER_OPERATOR, "opsctl sandbox");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(serde_json::to_vec(body)?);
        }
        let reply = self.http.send(request, Some(LIMIT)).await.map_err(|f| unreachable(f.cause))?;
        if reply.is_success() {
            return serde_json::from_slice(&reply.body).with_context(|| format!("the answer of {url} cannot be read"));
        }
        let said = reply.json().and_then(|body| words(&body)).unwrap_or_else(|| reply.first_line());
        let message = format!("{} refused: HTTP {}", url.path(), reply.status);
        Err(Fault::new(Kind::Failed, message).because(said).into())
    }
}

/// What an error body says, in the control API's shape or the admin API's.
fn words(body: &Value) -> Option<String> {
    let error = body.get("error")?;
    error.as_str().or_else(|| error.get("message")?.as_str()).map(str::to_owned)
}
