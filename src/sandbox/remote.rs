//! Plain JSON over HTTP to the sandbox's own servers. The traffic and the scenarios are programs that use the admin API,
//! not an operator who changes something: they have a token and no guard.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sim::TOKEN_HEADER;
use crate::error::{Fault, Kind};
use crate::http::{HeaderName, HeaderValue, Http, Method, Options, Url};
use crate::server::tokens::BREAK_GLASS_FILE;
use crate::settings::read_secret_file;
use crate::wire::HEADER_OPERATOR;

/// HTTP status of a service that is locked down.
const LOCKED: u16 = 423;
/// Limit for one request.
const LIMIT: Duration = Duration::from_secs(20);

/// One of the sandbox's servers.
#[derive(Clone, Debug)]
pub struct Remote {
    http: Http,
    base: Url,
    name: HeaderName,
    /// What stands before the token.
    scheme: &'static str,
    /// Read for each request: a lockdown's end makes another token.
    token_file: PathBuf,
}

impl Remote {
    /// The control API of the simulators and of the host.
    pub fn control(url: &str, token_file: &Path) -> anyhow::Result<Self> {
        Remote::new(url, HeaderName::from_static(TOKEN_HEADER), "", token_file)
    }

    /// The admin API of the orchestrator. While that is locked down, the break-glass token beside the other is used.
    pub fn admin(url: &str, token_file: &Path) -> anyhow::Result<Self> {
        Remote::new(url, HeaderName::from_static("authorization"), "Bearer ", token_file)
    }

    fn new(url: &str, name: HeaderName, scheme: &'static str, token_file: &Path) -> anyhow::Result<Self> {
        let http = Http::new(Options { timeout: LIMIT, ..Options::default() });
        let remote =
            Remote { http, base: crate::settings::parse_url(url)?, name, scheme, token_file: token_file.to_owned() };
        remote.credential(&remote.token_file)?;
        Ok(remote)
    }

    fn credential(&self, file: &Path) -> anyhow::Result<HeaderValue> {
        let token = read_secret_file(file)?;
        let value = HeaderValue::try_from(format!("{}{}", self.scheme, token.expose()));
        let mut value = value.context("a token of the sandbox is malformed")?;
        value.set_sensitive(true);
        Ok(value)
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
        let body = body.map(serde_json::to_vec).transpose()?;
        let ask = async |token_file: &Path| {
            let request = self.http.request(method.clone(), &url).map_err(|f| unreachable(f.cause))?;
            let mut request = request
                .header(self.name.clone(), self.credential(token_file)?)
                .header(HEADER_OPERATOR, "opsctl sandbox");
            if let Some(body) = &body {
                request = request.header("content-type", "application/json").body(body.clone());
            }
            anyhow::Ok(self.http.send(request, Some(LIMIT)).await.map_err(|f| unreachable(f.cause))?)
        };
        let mut reply = ask(&self.token_file).await?;
        let break_glass = self.token_file.with_file_name(BREAK_GLASS_FILE);
        if reply.status == LOCKED && break_glass.exists() {
            reply = ask(&break_glass).await?;
        }
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
