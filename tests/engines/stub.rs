//! A stand-in for Restate's admin API that does what a real one will not do on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use opsctl::http::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A workflow that only the ingress knows.
pub const LATE: &str = "late";

/// How it misbehaves.
#[derive(Clone, Debug)]
pub struct Manners {
    /// What it says its version is.
    pub version: &'static str,
    /// Whether SQL answers.
    pub sql: bool,
    /// Whether it answers with a page instead of JSON.
    pub html: bool,
    /// Whether what it accepts ever happens.
    pub applies: bool,
    /// Whether workers are there, who take cancellations.
    pub workers: bool,
    /// Whether what it kills turns out to have had leave to write.
    pub leaves: bool,
    /// Whether it shows states as they were before they were ever set, as a node does that has not caught up.
    pub behind: bool,
    /// The bearer token it wants.
    pub token: Option<&'static str>,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            version: "1.7.12",
            sql: true,
            html: false,
            applies: true,
            workers: true,
            leaves: false,
            behind: false,
            token: None,
        }
    }
}

#[derive(Default)]
struct Inner {
    manners: Manners,
    /// K/V states by service and key.
    states: BTreeMap<(String, String), BTreeMap<String, String>>,
    /// Rows of `sys_invocation`.
    invocations: Vec<Value>,
    /// What came that changes something.
    asked: Vec<String>,
    /// Queries about what became of invocations.
    looks: usize,
}

/// The stand-in; it ends with the runtime.
#[derive(Clone)]
pub struct Stub {
    pub url: Url,
    inner: Arc<Mutex<Inner>>,
}

impl Stub {
    pub async fn start(manners: Manners) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
        let inner = Arc::new(Mutex::new(Inner { manners, ..Inner::default() }));
        let router = Router::new()
            .route("/health", get(async || StatusCode::OK))
            .route("/version", get(version))
            .route("/services", get(services))
            .route("/services/{service}/state", post(set_state))
            .route("/query", post(query))
            .route("/internal/invocations_batch_operations/{operation}", post(batch))
            .route("/invocations/{id}/{operation}", patch(async || StatusCode::ACCEPTED))
            .route("/restate/workflow/Workflow/{id}/output", get(output))
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Stub { url, inner }
    }

    /// Changes how it behaves.
    pub fn be(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.lock().manners);
    }

    /// An invocation it knows.
    pub fn knows(&self, row: Value) {
        self.lock().invocations.push(row);
    }

    /// An invocation it knows is done.
    pub fn ends(&self, id: &str) {
        let mut inner = self.lock();
        let row = inner.invocations.iter_mut().find(|row| row["id"] == id).expect("the invocation");
        row["status"] = json!("completed");
    }

    /// The state it has of an object.
    pub fn has(&self, service: &str, key: &str, state: Value) {
        let state = state.as_object().expect("a state").iter();
        let state = state.map(|(name, value)| (name.clone(), value.to_string())).collect();
        self.lock().states.insert((service.to_owned(), key.to_owned()), state);
    }

    /// What came that changes something.
    pub fn changes(&self) -> Vec<String> {
        self.lock().asked.clone()
    }

    /// How often it was asked what became of invocations.
    pub fn looks(&self) -> usize {
        self.lock().looks
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("the stub")
    }
}

type Shared = State<Arc<Mutex<Inner>>>;

/// What its manners say before it looks at the request.
fn first(inner: &Inner, headers: &HeaderMap) -> Option<Response> {
    if inner.manners.html {
        return Some((StatusCode::OK, "<html><title>Welcome to the proxy</title></html>").into_response());
    }
    let sent = headers.get("authorization").and_then(|value| value.to_str().ok());
    let wanted = inner.manners.token.map(|token| format!("Bearer {token}"));
    (wanted.is_some() && sent != wanted.as_deref()).then(|| StatusCode::UNAUTHORIZED.into_response())
}

async fn version(State(inner): Shared, headers: HeaderMap) -> Response {
    let inner = inner.lock().expect("the stub");
    first(&inner, &headers).unwrap_or_else(|| axum::Json(json!({"version": inner.manners.version})).into_response())
}

async fn services(State(inner): Shared, headers: HeaderMap) -> Response {
    let inner = inner.lock().expect("the stub");
    first(&inner, &headers).unwrap_or_else(|| {
        let named = |name: &str| json!({"name": name, "metadata": {"opsctl.contract": "v1"}});
        axum::Json(json!({"services": [named("Trello"), named("Gate"), named("Circuit"), named("Workflow")]}))
            .into_response()
    })
}

async fn query(State(inner): Shared, headers: HeaderMap, axum::Json(body): axum::Json<Value>) -> Response {
    let mut inner = inner.lock().expect("the stub");
    if let Some(response) = first(&inner, &headers) {
        return response;
    }
    if !inner.manners.sql {
        let message = json!({"message": "partition 0 is not available yet"});
        return (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(message)).into_response();
    }
    let sql = body["query"].as_str().unwrap_or_default();
    inner.looks += usize::from(sql.contains("sys_invocation_status"));
    let rows: Vec<Value> = if sql.contains(" from state ") {
        let of = |((service, key), state): (&(String, String), &BTreeMap<String, String>)| {
            let row = |(name, value): (&String, &String)| json!({"service_key": key, "key": name, "value_utf8": value});
            let wanted = sql.contains(&format!("'{service}'")) && !inner.manners.behind;
            state.iter().filter(|_| wanted).map(row).collect::<Vec<_>>()
        };
        inner.states.iter().flat_map(of).collect()
    } else if sql.contains("select distinct id from sys_journal") {
        let more = |row: &&Value| row["journal_size"].as_u64() > row["journal_commands_size"].as_u64();
        inner.invocations.iter().filter(more).cloned().collect()
    } else if sql.contains("from sys_invocation_state ") {
        inner.invocations.iter().filter(|row| row["status"] == "running").cloned().collect()
    } else if ["restarted_from in", "count(*) as n", "from sys_journal"].iter().any(|part| sql.contains(part)) {
        Vec::new()
    } else {
        inner.invocations.clone()
    };
    axum::Json(json!({"rows": rows})).into_response()
}

async fn set_state(State(inner): Shared, Path(service): Path<String>, axum::Json(body): axum::Json<Value>) -> Response {
    let mut inner = inner.lock().expect("the stub");
    inner.asked.push(format!("set {service}"));
    if inner.manners.applies {
        let text = |value: &Value| {
            let bytes: Vec<u8> = serde_json::from_value(value.clone()).expect("bytes");
            String::from_utf8(bytes).expect("text")
        };
        let state = body["new_state"].as_object().expect("a state").iter();
        let state = state.map(|(name, value)| (name.clone(), text(value))).collect();
        let key = body["object_key"].as_str().expect("a key").to_owned();
        inner.states.insert((service, key), state);
    }
    StatusCode::ACCEPTED.into_response()
}

/// What the ingress says of a workflow: one that is [`LATE`] goes on, and SQL does not show it.
async fn output(Path(id): Path<String>) -> StatusCode {
    match id == LATE {
        // Restate's own, for what has no output yet.
        true => StatusCode::from_u16(470).expect("a status"),
        false => StatusCode::NOT_FOUND,
    }
}

async fn batch(State(inner): Shared, Path(operation): Path<String>, axum::Json(body): axum::Json<Value>) -> Response {
    let mut inner = inner.lock().expect("the stub");
    let ids = body["invocation_ids"].as_array().cloned().unwrap_or_default();
    inner.asked.push(format!("{operation} {}", ids.len()));
    let Manners { applies, workers, leaves, .. } = inner.manners;
    for row in inner.invocations.iter_mut().filter(|row| applies && ids.contains(&row["id"])) {
        // A cancellation is one more entry; so is leave.
        let more = u64::from(operation == "cancel") + u64::from(operation == "kill" && leaves);
        row["journal_size"] = json!(row["journal_size"].as_u64().map(|size| size + more));
        if operation != "cancel" || workers {
            row["status"] = json!("completed");
            row["completion_failure"] = json!("[409] Cancelled");
        }
    }
    axum::Json(json!({"succeeded": ids, "failed": []})).into_response()
}
