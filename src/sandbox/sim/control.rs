//! The control API: how other processes of the sandbox look at the simulators and put faults on them.
//!
//! On loopback only, for requests that name a loopback host and carry the token made at the start: a web page in the
//! operator's browser can reach neither.
//!
//! | route | what it does |
//! | --- | --- |
//! | `GET /state` | addresses, faults, limits, feeds, latency, clock |
//! | `GET /stats`, `DELETE /stats` | what came in and what came of it, by API ([`super::ApiStats`]); counts anew |
//! | `GET /contents/{api}` | everything the platform holds, in the simulator's own shape |
//! | `POST /contents/{api}` | makes a Notion database or a Trello board of any size, with duplicates ([`Bulk`]) |
//! | `GET`, `POST /faults`, `DELETE /faults?api=&id=` | what goes wrong on purpose ([`FaultSpec`] with its `api`) |
//! | `POST /limits` | the vendors' rate limits ([`LimitSettings`]) |
//! | `POST /latency` | `minMs` and `maxMs` of each answer |
//! | `POST /clock` | `offsetMs` of the clock all simulators share |
//! | `POST /credentials/mint`, `/credentials/revoke` | one more good credential of an `api`, the same for the same `once`; the end of all, or of `value` |
//! | `POST /feeds/{vendor}` | what a status feed says ([`Feed`]) |
//! | `POST /save`, `POST /shutdown` | writes the state file; ends the simulators |

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::bulk::Bulk;
use super::door::lock;
use super::faults::FaultSpec;
use super::hub::Hub;
use super::limits::LimitSettings;
use super::status::{Feed, VENDORS};
use crate::secret::Secret;

/// Request header that carries the control token.
pub const TOKEN_HEADER: &str = "x-sandbox-token";

/// What the control API works on.
#[derive(Clone)]
pub(super) struct Steering {
    pub(super) hub: Arc<Hub>,
    pub(super) token: Secret,
    pub(super) address: SocketAddr,
    pub(super) state_file: Option<PathBuf>,
}

/// A refusal with its reason.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, axum::Json(json!({"error": self.1}))).into_response()
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}"))
    }
}

type Answer = Result<axum::Json<Value>, Refused>;

/// A JSON body, refused in words when it does not fit.
struct Body<T>(T);

impl<T: for<'de> Deserialize<'de>, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;
    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let refused = |e: String| Refused(StatusCode::BAD_REQUEST, e);
        let bytes = bytes::Bytes::from_request(request, state).await.map_err(|e| refused(e.to_string()))?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Body).map_err(|e| refused(e.to_string()))
    }
}

/// The control API with `more` routes behind the same guard.
pub(super) fn router(steering: Steering, more: Router) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/stats", get(stats).delete(reset_stats))
        .route("/clock", post(clock))
        .route("/limits", post(limits))
        .route("/latency", post(latency))
        .route("/credentials/revoke", post(revoke))
        .route("/credentials/mint", post(mint))
        .route("/feeds/{vendor}", post(feed))
        .route("/contents/{api}", get(contents).post(fill))
        .route("/save", post(save))
        .route("/shutdown", post(shutdown))
        .with_state(steering.clone())
        .merge(more)
        .fallback(|| async { Refused(StatusCode::NOT_FOUND, "no such control".into()) })
        .layer(middleware::from_fn_with_state(steering, guard))
}

async fn guard(State(steering): State<Steering>, request: Request, next: Next) -> Response {
    match steering.admits(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

impl Steering {
    fn admits(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (host, port) = (header("host"), self.address.port());
        if host != format!("127.0.0.1:{port}") && host != format!("localhost:{port}") {
            return Err(Refused(StatusCode::FORBIDDEN, "foreign host".into()));
        }
        // Compared by digest: the time it takes tells nothing about the token.
        if Secret::new(header(TOKEN_HEADER)).fingerprint() != self.token.fingerprint() {
            return Err(Refused(StatusCode::UNAUTHORIZED, format!("{TOKEN_HEADER} is missing or wrong")));
        }
        Ok(())
    }
}

async fn state(State(Steering { hub, .. }): State<Steering>) -> Answer {
    let addresses: serde_json::Map<String, Value> =
        hub.doors.iter().map(|(api, door)| (api.to_string(), json!(format!("http://{}", door.address())))).collect();
    let latency = lock(&hub.latency).clone();
    let feeds: serde_json::Map<String, Value> = {
        let feeds = lock(&hub.feeds);
        VENDORS.iter().map(|vendor| ((*vendor).to_owned(), json!(feeds.get(vendor)))).collect()
    };
    Ok(axum::Json(json!({
        "seed": hub.seed,
        "now": hub.clock.now(),
        "offsetMs": hub.clock.offset_ms(),
        "addresses": addresses,
        "faults": lock(&hub.faults).list(),
        "limits": *lock(&hub.limits),
        "feeds": feeds,
        "latency": {"minMs": latency.start(), "maxMs": latency.end()},
    })))
}

async fn faults(State(Steering { hub, .. }): State<Steering>) -> Answer {
    Ok(axum::Json(json!({"faults": lock(&hub.faults).list()})))
}

#[derive(Deserialize)]
struct NewFault {
    api: Api,
    #[serde(flatten)]
    spec: FaultSpec,
}

async fn add_fault(State(Steering { hub, .. }): State<Steering>, Body(new): Body<NewFault>) -> Answer {
    let id = hub.add_fault(new.api, new.spec)?;
    Ok(axum::Json(json!({"id": id, "faults": lock(&hub.faults).list()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    api: Option<Api>,
    id: Option<u64>,
}

async fn clear_faults(State(Steering { hub, .. }): State<Steering>, Query(which): Query<Which>) -> Answer {
    let fits = |f: &super::ActiveFault| which.api.is_none_or(|a| a == f.api) && which.id.is_none_or(|i| i == f.id);
    let cleared = hub.clear_faults(fits)?;
    Ok(axum::Json(json!({"cleared": cleared, "faults": lock(&hub.faults).list()})))
}

async fn stats(State(Steering { hub, .. }): State<Steering>) -> Answer {
    Ok(axum::Json(json!({"apis": *lock(&hub.stats)})))
}

async fn reset_stats(State(Steering { hub, .. }): State<Steering>) -> Answer {
    hub.reset_stats();
    Ok(axum::Json(json!({})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockSetting {
    offset_ms: i64,
}

async fn clock(State(Steering { hub, .. }): State<Steering>, Body(setting): Body<ClockSetting>) -> Answer {
    hub.clock.set_offset_ms(setting.offset_ms);
    Ok(axum::Json(json!({"offsetMs": hub.clock.offset_ms(), "now": hub.clock.now()})))
}

async fn limits(State(Steering { hub, .. }): State<Steering>, Body(settings): Body<LimitSettings>) -> Answer {
    let mut limits = lock(&hub.limits);
    *limits = settings;
    Ok(axum::Json(json!({"limits": *limits})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LatencySetting {
    min_ms: u64,
    max_ms: u64,
}

async fn latency(State(Steering { hub, .. }): State<Steering>, Body(setting): Body<LatencySetting>) -> Answer {
    if setting.min_ms > setting.max_ms {
        return Err(Refused(StatusCode::BAD_REQUEST, "minMs is above maxMs".into()));
    }
    *lock(&hub.latency) = setting.min_ms..=setting.max_ms;
    Ok(axum::Json(json!({"minMs": setting.min_ms, "maxMs": setting.max_ms})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichKey {
    api: Api,
    /// Just this credential.
    value: Option<String>,
    /// For what it is minted: whoever asks again gets the same.
    once: Option<String>,
}

async fn revoke(State(Steering { hub, .. }): State<Steering>, Body(which): Body<WhichKey>) -> Answer {
    let revoked = lock(&hub.keys).revoke(which.api, which.value.as_deref());
    Ok(axum::Json(json!({"revoked": revoked})))
}

async fn mint(State(Steering { hub, .. }): State<Steering>, Body(which): Body<WhichKey>) -> Answer {
    let now = hub.clock.now();
    let value = match &which.once {
        Some(name) => lock(&hub.keys).mint_once(which.api, name, now),
        None => lock(&hub.keys).mint(which.api, now),
    };
    match value {
        Some(value) => Ok(axum::Json(json!({"api": which.api, "value": value}))),
        None => Err(Refused(StatusCode::BAD_REQUEST, format!("{} has no credentials", which.api))),
    }
}

async fn feed(
    State(Steering { hub, .. }): State<Steering>,
    Path(vendor): Path<String>,
    Body(feed): Body<Feed>,
) -> Answer {
    let refused = |why| Refused(StatusCode::BAD_REQUEST, why);
    lock(&hub.feeds).set(&vendor, feed, hub.clock.now()).map_err(refused)?;
    Ok(axum::Json(json!({"vendor": vendor, "feed": lock(&hub.feeds).get(&vendor)})))
}

async fn contents(State(Steering { hub, .. }): State<Steering>, Path(api): Path<Api>) -> Answer {
    Ok(axum::Json(hub.contents(api)?))
}

async fn fill(State(Steering { hub, .. }): State<Steering>, Path(api): Path<Api>, Body(bulk): Body<Bulk>) -> Answer {
    Ok(axum::Json(hub.fill(api, &bulk)?))
}

async fn save(State(Steering { hub, state_file, .. }): State<Steering>) -> Answer {
    let Some(path) = state_file else {
        return Err(Refused(StatusCode::CONFLICT, "these simulators were started without a state file".into()));
    };
    let saved = tokio::task::spawn_blocking(move || hub.save(&path).map(|()| path)).await;
    let path = saved.map_err(anyhow::Error::from)??;
    Ok(axum::Json(json!({"saved": path})))
}

async fn shutdown(State(Steering { hub, .. }): State<Steering>) -> Answer {
    hub.stop.send_replace(true);
    Ok(axum::Json(json!({})))
}
