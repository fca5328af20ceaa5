//! The simulators over HTTP: by hand, and through the platform clients.

mod clients;
mod drive;
mod faults;
mod google;
mod notion;
mod sheets;
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

    /// A form to Google's token endpoint.
    async fn google(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let http = Http::new(Options { keep_alive: false, ..Options::default() });
        let url = format!("{}{path}", self.sims.url(Api::Google)).parse().unwrap();
        let body = form.iter().map(|(k, v)| format!("{k}={}", v.replace('+', "%2B"))).collect::<Vec<_>>().join("&");
        let request = http.request(Method::POST, &url).unwrap();
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let reply = http.send(request, None).await.unwrap();
        Answer { status: reply.status, json: reply.json().unwrap_or(Value::Null), reply }
    }

    /// An access token of the person who consented.
    async fn access_token(&self) -> String {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", self.var("GOOGLE_CLIENT_ID")),
            ("client_secret", self.var("GOOGLE_CLIENT_SECRET")),
            ("refresh_token", self.var("GOOGLE_REFRESH_TOKEN")),
        ];
        self.google("/token", &form).await.json["access_token"].as_str().unwrap().to_owned()
    }

    async fn as_google(&self, token: &str, api: Api, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.raw(api, method, path, &[("authorization", &format!("Bearer {token}"))], body).await
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
