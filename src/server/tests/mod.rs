//! The routes as a client meets them, over a backend in memory.

mod access;
mod changes;
mod inputs;
mod lockdown;
mod serving;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::audit::Audit;
use super::config::ConfigRegistry;
use super::jobs::Jobs;
use super::lockdown::Lockdowns;
use super::replay::Replays;
use super::state::ServerState;
use super::testing::fake::Fake;
use super::testing::{Scratch, scratch};
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::redact::Redactor;
use crate::wire::{Role, Time, TokenRequest};

/// A service without a listener.
struct World {
    dir: Scratch,
    state: ServerState,
    fake: Arc<Fake>,
    router: Router,
    tokens: BTreeMap<Role, String>,
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
    text: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// Status and code of a refusal; panics when the answer is not the documented envelope.
    fn refusal(&self) -> (u16, &str) {
        let error = self.body["error"].as_object().unwrap_or_else(|| panic!("no envelope: {}", self.text));
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{}", self.text);
        assert!(error["retriable"].is_boolean() && error.contains_key("platform"), "{}", self.text);
        (self.status.as_u16(), self.body["error"]["code"].as_str().unwrap_or_default())
    }
}

fn state_in(dir: &Scratch, bare: bool) -> (ServerState, Arc<Fake>) {
    let clock = Clock::system();
    let config = Arc::new(ConfigRegistry::open(dir.path(), BTreeMap::new(), clock.clone()).unwrap());
    let fake = Arc::new(Fake::new(config, clock.clone(), bare));
    let tokens = Arc::new(Tokens::open(dir.path(), clock.now()).unwrap());
    let state = ServerState {
        backend: fake.clone(),
        lockdown: Arc::new(Lockdowns::open(dir.path(), &tokens).unwrap()),
        tokens,
        audit: Arc::new(Audit::open(dir.path()).unwrap()),
        replays: Arc::new(Replays::open(dir.path(), clock.now()).unwrap()),
        jobs: Jobs::new(clock.clone()),
        started_at: clock.now(),
        clock,
        environment: "sandbox".into(),
        sandbox: true,
        hosts: Vec::new(),
        http_limits: None,
        log: Arc::new(|_| {}),
        redactor: Redactor::default(),
    };
    (state, fake)
}

impl World {
    fn new() -> Self {
        World::with(true, |_| {})
    }

    fn with(loopback: bool, adjust: impl FnOnce(&mut ServerState)) -> Self {
        let dir = scratch("routes");
        let (mut state, fake) = state_in(&dir, false);
        adjust(&mut state);
        let mut tokens = BTreeMap::new();
        for role in Role::ALL {
            let request = TokenRequest { name: role.to_string(), role: *role, expires_in: None };
            tokens.insert(*role, state.tokens.create(&request, Time(0)).unwrap().value);
        }
        let router = super::router(state.clone(), loopback);
        World { dir, state, fake, router, tokens }
    }

    /// A request with an admin's token.
    async fn ask(&self, method: &str, path: &str, body: &str) -> Got {
        self.as_role(Role::Admin, method, path, body, &[]).await
    }

    async fn as_role(&self, role: Role, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Got {
        let bearer = format!("Bearer {}", self.tokens[&role]);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        self.raw(method, path, body, &all).await
    }

    async fn raw(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(n, _)| *n == "host") {
            request = request.header("host", "localhost:3000");
        }
        if !body.is_empty() && !headers.iter().any(|(n, _)| *n == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Got { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text }
    }

    /// The audit log, newest first.
    async fn audited(&self) -> Vec<Value> {
        self.ask("GET", "/admin/v1/audit", "").await.body["records"].as_array().unwrap().clone()
    }
}

/// A workflow of one step.
const WORKFLOW: &str =
    r#"{"name":"invoice","steps":[{"id":"file","type":"file","platform":"drive","data":{"name":"x"}}]}"#;

/// Every operation with a request that is in order.
const CALLS: &[(&str, &str, &str)] = &[
    ("GET", "/api/actions/recent", ""),
    ("GET", "/api/actions/queue", ""),
    ("GET", "/api/actions/metrics", ""),
    ("GET", "/api/actions/health", ""),
    ("GET", "/api/context/actions", ""),
    ("GET", "/api/rate-limits", ""),
    ("GET", "/health", ""),
    ("GET", "/metrics", ""),
    ("GET", "/queue", ""),
    ("GET", "/circuit-breakers", ""),
    ("GET", "/recent-errors", ""),
    ("GET", "/admin/v1", ""),
    ("GET", "/admin/v1/openapi.json", ""),
    ("POST", "/admin/v1/actions", r#"{"type":"create","platform":"notion","data":{"title":"x"}}"#),
    ("GET", "/admin/v1/actions/a-1", ""),
    ("GET", "/admin/v1/queue/items", ""),
    ("GET", "/admin/v1/queue/requests", ""),
    (
        "POST",
        "/admin/v1/queue/requests",
        r#"{"requests":[{"actionId":"a-1","request":{"type":"create","platform":"notion","data":{"title":"x"}}}]}"#,
    ),
    ("GET", "/admin/v1/queue/items/a-1", ""),
    ("DELETE", "/admin/v1/queue/items/a-1", ""),
    ("POST", "/admin/v1/queue/clear", r#"{"stuckOnly":true}"#),
    ("POST", "/admin/v1/queue/restore", r#"{"ids":["a-1"]}"#),
    ("POST", "/admin/v1/queue/retry", r#"{"ids":["a-1"]}"#),
    ("GET", "/admin/v1/idempotency/keys", ""),
    ("GET", "/admin/v1/idempotency/keys/sig%2F1", ""),
    ("DELETE", "/admin/v1/idempotency/keys/sig%2F1", ""),
    ("GET", "/admin/v1/idempotency/collisions", ""),
    ("GET", "/admin/v1/approvals", ""),
    ("GET", "/admin/v1/approvals/apv-a-1", ""),
    ("POST", "/api/approvals/apv-a-1/approve", r#"{"userId":"ana"}"#),
    ("POST", "/api/approvals/apv-a-1/reject", r#"{"userId":"ana","reason":"not this one"}"#),
    ("GET", "/admin/v1/workflows", ""),
    ("POST", "/admin/v1/workflows", WORKFLOW),
    ("GET", "/admin/v1/workflows/invoice-001", ""),
    ("GET", "/admin/v1/logs/workflows", ""),
    ("GET", "/admin/v1/workflows/invoice-001/rollback", ""),
    ("POST", "/admin/v1/workflows/invoice-001/rollback", r#"{"mode":"retry"}"#),
    ("POST", "/admin/v1/workflows/invoice-001/execute", ""),
    ("POST", "/admin/v1/workflows/invoice-001/compensate", ""),
    ("POST", "/admin/v1/workflows/invoice-001/resolve", r#"{"comment":"Manual cleanup completed"}"#),
    ("POST", "/admin/v1/workflows/invoice-001/complete", ""),
    ("POST", "/admin/v1/workflows/invoice-001/clear-failed", ""),
    ("GET", "/admin/v1/workflows/invoice-001/rebuild", ""),
    ("POST", "/admin/v1/workflows/invoice-001/rebuild", ""),
    ("POST", "/admin/v1/integrity", r#"{"limit":5}"#),
    ("GET", "/admin/v1/pauses", ""),
    ("POST", "/admin/v1/pauses", r#"{"scope":"queue"}"#),
    ("POST", "/admin/v1/pauses/resume", r#"{"scope":"all","slowStart":true}"#),
    ("GET", "/admin/v1/circuits", ""),
    ("GET", "/admin/v1/circuits/history", ""),
    ("POST", "/admin/v1/circuits/notion/reset", ""),
    ("GET", "/admin/v1/rate-limits", ""),
    ("GET", "/admin/v1/health", ""),
    ("GET", "/admin/v1/system", ""),
    ("GET", "/admin/v1/host", ""),
    ("GET", "/admin/v1/executors", ""),
    ("POST", "/admin/v1/executors/notion/restart", ""),
    ("GET", "/admin/v1/components", ""),
    ("GET", "/admin/v1/components/database/check", ""),
    ("POST", "/admin/v1/components/workers/restart", r#"{"drainTimeout":500}"#),
    ("GET", "/admin/v1/platforms/notion/auth", ""),
    ("POST", "/admin/v1/caches/clear", ""),
    ("GET", "/admin/v1/metrics/performance", ""),
    ("GET", "/admin/v1/metrics/requests", ""),
    ("GET", "/admin/v1/metrics/actions", ""),
    ("GET", "/admin/v1/metrics/history?from=2026-10-01T00:00:00Z", ""),
    ("GET", "/admin/v1/logs/errors", ""),
    ("GET", "/admin/v1/logs/lines", ""),
    ("GET", "/admin/v1/logs/stream", ""),
    ("GET", "/admin/v1/config", ""),
    ("GET", "/admin/v1/config/QUEUE_WORKERS", ""),
    ("PUT", "/admin/v1/config/QUEUE_WORKERS", r#"{"value":"10"}"#),
    ("DELETE", "/admin/v1/config/QUEUE_WORKERS", ""),
    ("POST", "/admin/v1/config/QUEUE_WORKERS/keep", ""),
    ("POST", "/admin/v1/config/QUEUE_WORKERS/back", ""),
    ("GET", "/admin/v1/config-report", ""),
    ("GET", "/admin/v1/security", ""),
    ("GET", "/admin/v1/security/restore", ""),
    ("POST", "/admin/v1/security/restore", r#"{"verified":true}"#),
    ("GET", "/admin/v1/tokens", ""),
    ("POST", "/admin/v1/tokens", r#"{"name":"ci","role":"viewer"}"#),
    ("DELETE", "/admin/v1/tokens/{id}", ""),
    ("GET", "/admin/v1/backups", ""),
    ("POST", "/admin/v1/backups", r#"{"full":true}"#),
    ("POST", "/admin/v1/backups/2026-11-23T10-15-00Z/verify", ""),
    ("GET", "/admin/v1/backups/2026-11-23T10-15-00Z/restore?scope=everything", ""),
    ("POST", "/admin/v1/backups/2026-11-23T10-15-00Z/restore", r#"{"scope":"workflows"}"#),
    ("POST", "/admin/v1/drills", r#"{"scenario":"database-failure"}"#),
    ("GET", "/admin/v1/jobs/{job}", ""),
    ("DELETE", "/admin/v1/jobs/{job}", ""),
    ("GET", "/admin/v1/audit", ""),
    ("POST", "/admin/v1/clock", r#"{"offsetMs":1000}"#),
    // Last: nobody is let in after it.
    ("POST", "/admin/v1/security/lockdown", ""),
];

/// The paths of [`CALLS`] with a token that may be revoked filled in.
async fn calls(world: &World) -> Vec<(&'static str, String, &'static str)> {
    let made = world.ask("POST", "/admin/v1/tokens", r#"{"name":"spare","role":"viewer"}"#).await;
    let id = made.body["token"]["id"].as_str().unwrap().to_owned();
    let job = world.state.jobs.look("look", None, |_| async { Ok(()) }).unwrap().id;
    let filled = |path: &str| path.replace("{id}", &id).replace("{job}", &job);
    CALLS.iter().map(|(method, path, body)| (*method, filled(path), *body)).collect()
}
