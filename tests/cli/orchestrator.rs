//! A small orchestrator in this process: two queue items and the pauses. It keeps every write it was sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

/// The credential it wants.
pub const TOKEN: &str = "token-of-the-small-orchestrator";

#[derive(Default)]
struct Inner {
    environment: String,
    items: BTreeMap<String, &'static str>,
    pauses: Vec<String>,
    writes: Vec<Write>,
    down: bool,
}

/// One request that was not a GET.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub line: String,
    pub headers: BTreeMap<String, String>,
}

type Shared = Arc<Mutex<Inner>>;

/// A running one; it ends with the test's process.
pub struct Orchestrator {
    pub address: SocketAddr,
    inner: Shared,
}

impl Orchestrator {
    /// One whose environment word is this.
    pub fn start(environment: &str) -> Self {
        let items = [("act-1".to_owned(), "queued"), ("act-2".to_owned(), "queued")].into();
        let inner = Arc::new(Mutex::new(Inner { environment: environment.into(), items, ..Inner::default() }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(inner.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Orchestrator { address, inner }
    }

    /// A `config.toml` whose default context points here.
    pub fn config(&self, more: &str) -> String {
        format!(
            "context = \"here\"\n[contexts.here]\nurl = \"http://{}\"\ncredential = {{ env = \"HERE_TOKEN\" }}\n{more}\n",
            self.address
        )
    }

    /// The writes so far, as `POST /path`.
    pub fn lines(&self) -> Vec<String> {
        self.writes().into_iter().map(|w| w.line).collect()
    }

    pub fn writes(&self) -> Vec<Write> {
        self.inner.lock().unwrap().writes.clone()
    }

    /// Where an item is: `queued`, `removed`.
    pub fn state(&self, id: &str) -> String {
        self.inner.lock().unwrap().items[id].to_owned()
    }

    /// While down, every request is answered with 503.
    pub fn set_down(&self, down: bool) {
        self.inner.lock().unwrap().down = down;
    }

    /// Puts an item somewhere, as a colleague would.
    pub fn put(&self, id: &str, state: &'static str) {
        self.inner.lock().unwrap().items.insert(id.to_owned(), state);
    }
}

fn router(inner: Shared) -> Router {
    Router::new()
        .route("/admin/v1", get(info))
        .route("/queue", get(queue))
        .route("/api/rate-limits", get(limits))
        .route("/admin/v1/pauses", get(pauses).post(pause))
        .route("/admin/v1/pauses/resume", post(resume))
        .route("/admin/v1/queue/items", get(items))
        .route("/admin/v1/queue/items/{id}", get(item).delete(remove))
        .route("/admin/v1/queue/restore", post(restore))
        .layer(middleware::from_fn_with_state(inner.clone(), keep))
        .with_state(inner)
}

async fn keep(
    State(inner): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    request: axum::extract::Request,
    next: middleware::Next,
) -> axum::response::Response {
    use axum::response::IntoResponse;
    let sent = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if sent("authorization") != Some(&format!("Bearer {TOKEN}")) {
        let error = json!({"code": "AUTH_ERROR", "message": "the token is not valid", "retriable": false});
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": error }))).into_response();
    }
    if inner.lock().unwrap().down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if method != Method::GET {
        let kept = headers.iter().filter_map(|(n, v)| Some((n.to_string(), v.to_str().ok()?.to_owned())));
        let write = Write { line: format!("{method} {}", uri.path()), headers: kept.collect() };
        inner.lock().unwrap().writes.push(write);
    }
    next.run(request).await
}

const NOW: &str = "2025-10-17T03:07:00.000Z";

async fn info(State(inner): State<Shared>) -> Json<Value> {
    let environment = inner.lock().unwrap().environment.clone();
    Json(json!({
        "name": "opsctl serve", "version": "0.1.0", "apiMin": 1, "apiMax": 1, "environment": environment,
        "engine": "native", "capabilities": {}, "now": NOW, "startedAt": NOW, "role": "admin",
    }))
}

/// Notion's limit is used up to three fifths.
async fn limits() -> Json<Value> {
    Json(json!([{
        "platform": "notion", "current": 60, "limit": 100, "window": "10s", "percentage": 60, "resetAt": NOW,
    }]))
}

async fn queue(State(inner): State<Shared>) -> Json<Value> {
    let waiting = inner.lock().unwrap().items.values().filter(|state| **state == "queued").count();
    Json(json!({
        "totalQueued": waiting, "byPriority": {"critical": 0, "high": 0, "normal": waiting, "low": 0},
        "avgWaitTime": 0, "workerUtilization": 0.0,
    }))
}

fn pause_of(scope: &String) -> Value {
    json!({"scope": scope, "owner": "ana", "since": NOW})
}

async fn pauses(State(inner): State<Shared>) -> Json<Value> {
    Json(inner.lock().unwrap().pauses.iter().map(pause_of).collect())
}

fn applied(message: &str, items: Value) -> Json<Value> {
    Json(json!({"effect": "applied", "message": message, "items": items}))
}

async fn pause(State(inner): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    inner.lock().unwrap().pauses.push(body["scope"].as_str().unwrap().to_owned());
    applied("paused", json!([]))
}

async fn resume(State(inner): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let scope = body["scope"].as_str().unwrap().to_owned();
    inner.lock().unwrap().pauses.retain(|held| scope != "all" && *held != scope);
    applied("resumed", json!([]))
}

fn item_of(id: &str, state: &str) -> Value {
    json!({
        "actionId": id, "type": "create", "platform": "notion", "priority": "normal", "state": state,
        "queuedAt": NOW, "attempts": 0, "version": 3,
    })
}

async fn items(State(inner): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    let inner = inner.lock().unwrap();
    let found: Vec<Value> = inner
        .items
        .iter()
        .filter(|(_, state)| **state == query["view"])
        .map(|(id, state)| item_of(id, state))
        .collect();
    Json(json!({"total": found.len(), "items": found, "truncated": false}))
}

async fn item(State(inner): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    match inner.lock().unwrap().items.get(&id) {
        Some(state) => Ok(Json(item_of(&id, state))),
        None => {
            let error = json!({"code": "NOT_FOUND", "message": format!("there is no item `{id}`"), "retriable": false});
            Err((StatusCode::NOT_FOUND, Json(json!({ "error": error }))))
        }
    }
}

async fn remove(State(inner): State<Shared>, Path(id): Path<String>) -> Json<Value> {
    inner.lock().unwrap().items.insert(id.clone(), "removed");
    applied("removed", json!([{"id": id, "effect": "applied"}]))
}

async fn restore(State(inner): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    let mut inner = inner.lock().unwrap();
    let mut effects = Vec::new();
    for id in body["ids"].as_array().unwrap() {
        inner.items.insert(id.as_str().unwrap().to_owned(), "queued");
        effects.push(json!({"id": id, "effect": "applied"}));
    }
    applied("restored", Value::Array(effects))
}
