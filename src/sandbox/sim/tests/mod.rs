//! The simulators over HTTP: by hand, and through the platform clients.

mod clients;
mod faults;
mod notion;
mod slack;
mod trello;

use reqwest::Method;
use serde_json::Value;

use super::{Api, SimOptions, Sims};
use crate::http::{Http, Options};

/// Simulators, their environment, and a way to ask them.
struct World {
    sims: Sims,
    env: std::collections::BTreeMap<String, String>,
    _keys: TempDir,
}

/// A directory that goes away with its owner.
struct TempDir(std::path::PathBuf);

impl TempDir {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("opsctl-sim-{:032x}", fastrand::u128(..)));
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl World {
    async fn start() -> Self {
        World::with(SimOptions::default()).await
    }

    async fn with(options: SimOptions) -> Self {
        World::around(Sims::start(options).await.unwrap())
    }

    fn around(sims: Sims) -> Self {
        let keys = TempDir::new();
        let env = sims.credentials(&keys.0).unwrap();
        World { sims, env, _keys: keys }
    }

    fn var(&self, name: &str) -> &str {
        &self.env[name]
    }

    /// One request, on a connection of its own.
    async fn raw(&self, api: Api, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        self.try_raw(api, method, path, headers, body).await.unwrap()
    }

    async fn try_raw(
        &self,
        api: Api,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Answer, String> {
        let http = Http::new(Options { keep_alive: false, ..Options::default() });
        let url = format!("{}{path}", self.sims.url(api)).parse().unwrap();
        let mut request = http.request(method, &url).map_err(|f| f.cause)?;
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = http.send(request, None).await.map_err(|f| f.cause)?;
        Ok(Answer { status: reply.status, json: reply.json().unwrap_or(Value::Null), reply })
    }

    async fn notion(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let token = format!("Bearer {}", self.var("NOTION_API_KEY"));
        let headers = [("authorization", token.as_str()), ("notion-version", "2026-03-11")];
        self.raw(Api::Notion, method, path, &headers, body).await
    }

    async fn trello(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let auth = format!(
            "OAuth oauth_consumer_key=\"{}\", oauth_token=\"{}\"",
            self.var("TRELLO_API_KEY"),
            self.var("TRELLO_TOKEN")
        );
        self.raw(Api::Trello, method, path, &[("authorization", &auth)], body).await
    }

    async fn slack(&self, method: &str, body: Value) -> Answer {
        let token = format!("Bearer {}", self.var("SLACK_BOT_TOKEN"));
        let path = format!("/api/{method}");
        self.raw(Api::Slack, Method::POST, &path, &[("authorization", &token)], Some(body)).await
    }
}

struct Answer {
    status: u16,
    json: Value,
    reply: crate::http::Reply,
}
