//! The clients against a scripted counterpart that plays what no real platform would do on demand.

mod contracts;
mod google;
mod odd_answers;
mod operations;
mod rotation;
mod undo;
mod with_sims;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::wire::ErrorCode;

/// A request as it came in.
#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Seen {
    /// `POST /v1/pages`
    fn line(&self) -> String {
        format!("{} {}", self.method, self.uri.path())
    }

    fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// A counterpart on loopback that answers by script and remembers what it was asked.
struct Stub {
    base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    async fn start(script: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (seen.clone(), Arc::new(script));
        let app = axum::Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (log, script) = (log.clone(), script.clone());
            async move {
                let request = Seen { method, uri, headers, body: body.to_vec() };
                log.lock().unwrap().push(request.clone());
                let mut answer = script(&request);
                if let Some(Slow(delay)) = answer.extensions_mut().remove::<Slow>() {
                    tokio::time::sleep(delay).await;
                }
                answer
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Stub { base, seen }
    }

    /// A stub with one answer to everything.
    async fn always(status: u16, content_type: &'static str, body: &'static str) -> Self {
        Stub::start(move |_| with_type(status, content_type, body)).await
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(Seen::line).collect()
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    fn clients(&self) -> Clients {
        self.clients_at(Clock::system())
    }

    fn clients_at(&self, clock: Clock) -> Clients {
        Clients::new(self.endpoints(), credentials(&self.base), clock)
    }

    fn endpoints(&self) -> Endpoints {
        let base = &self.base;
        let endpoints = Endpoints {
            notion: format!("{base}/v1"),
            trello: format!("{base}/1"),
            slack: format!("{base}/api"),
            drive: format!("{base}/drive/v3"),
            drive_upload: format!("{base}/upload/drive/v3"),
            sheets: format!("{base}/v4"),
            google_token: format!("{base}/token"),
            google_tokeninfo: format!("{base}/tokeninfo"),
            google_iam: format!("{base}/v1"),
            pagerduty: format!("{base}/v2"),
            status_notion: format!("{base}/status"),
            status_trello: format!("{base}/status"),
            status_slack: format!("{base}/status"),
            status_google: format!("{base}/status"),
        };
        endpoints.ensure_usable().unwrap();
        endpoints
    }
}

/// Put on an answer that is to come late.
#[derive(Clone)]
struct Slow(Duration);

fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn ok(body: Value) -> Response {
    answer(200, body)
}

fn with_type(status: u16, content_type: &str, body: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), [("content-type", content_type.to_string())], body.to_string())
        .into_response()
}

fn late(mut response: Response, delay: Duration) -> Response {
    response.extensions_mut().insert(Slow(delay));
    response
}

/// A private key for tests alone.
fn private_key() -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", include_str!("key.base64"))
}

fn environment(base: &str) -> BTreeMap<String, String> {
    let key = json!({
        "type": "service_account",
        "client_email": "ops@project.iam.gserviceaccount.com",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": private_key(),
        "token_uri": format!("{base}/token"),
    });
    [
        ("NOTION_API_KEY", "ntn_notion-secret".to_string()),
        ("TRELLO_API_KEY", "trello-key-secret".to_string()),
        ("TRELLO_TOKEN", "trello-token-secret".to_string()),
        ("SLACK_BOT_TOKEN", "xoxb-slack-secret".to_string()),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", key.to_string()),
        ("NOTION_DATABASE_ID", "db1".to_string()),
        ("TRELLO_DEFAULT_LIST_ID", "list1".to_string()),
        ("SLACK_NOTIFICATIONS_CHANNEL", "#ops".to_string()),
        ("SHEETS_LOG_SPREADSHEET_ID", "sheet1".to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect()
}

fn credentials(base: &str) -> Credentials {
    Credentials::from_env(&environment(base))
}

fn call(platform: Platform, action: ActionType, data: Value) -> Call {
    Call { timeout: Duration::from_secs(2), marker: Some("key-1".into()), ..Call::new(platform, action, data) }
}

/// Answers for Google's token endpoint, before a script for the rest.
fn token_or(request: &Seen, rest: impl FnOnce() -> Response) -> Response {
    if request.uri.path() == "/token" {
        ok(json!({"access_token": "ya29.access-secret", "expires_in": 3599, "token_type": "Bearer"}))
    } else {
        rest()
    }
}
