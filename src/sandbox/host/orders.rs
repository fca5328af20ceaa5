//! What other processes ask the host, as routes of the control API.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::error::Explained;
use crate::sandbox::record::{self, Scene, Traffic};

/// How much is to go on; what is absent stays.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct TrafficSet {
    pub(in crate::sandbox) on: Option<bool>,
    pub(in crate::sandbox) per_minute: Option<u32>,
}

/// How far the clock is to move.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sandbox) struct AdvanceBy {
    pub(in crate::sandbox) by_ms: u64,
}

/// Which scenario is on, and what it is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sandbox) struct SceneSet {
    pub(in crate::sandbox) name: Option<String>,
    pub(in crate::sandbox) scene: Scene,
}

/// How the host is after it did something.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sandbox) struct Look {
    pub(in crate::sandbox) state: record::State,
    pub(in crate::sandbox) serve_runs: bool,
    pub(in crate::sandbox) traffic: Traffic,
    pub(in crate::sandbox) clock_offset_ms: i64,
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Ask {
    Look,
    Serve,
    Traffic(TrafficSet),
    Advance(AdvanceBy),
    Scene(SceneSet),
    Down,
}

/// What is asked, and where the answer goes.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) ask: Ask,
    pub(super) answer: oneshot::Sender<Result<Look, Explained>>,
}

type Orders = mpsc::Sender<Order>;

/// The routes; what they are asked arrives at the other end.
pub(super) fn router(orders: Orders) -> Router {
    Router::new()
        .route("/host", get(|State(o)| give(o, Ask::Look)))
        .route("/host/serve", post(|State(o)| give(o, Ask::Serve)))
        .route("/host/traffic", post(|State(o), Json(set)| give(o, Ask::Traffic(set))))
        .route("/host/advance", post(|State(o), Json(by)| give(o, Ask::Advance(by))))
        .route("/host/scenario", post(|State(o), Json(set)| give(o, Ask::Scene(set))))
        .route("/host/down", post(|State(o)| give(o, Ask::Down)))
        .with_state(orders)
}

async fn give(orders: Orders, ask: Ask) -> Response {
    let (answer, done) = oneshot::channel();
    if orders.send(Order { ask, answer }).await.is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the sandbox is stopping".into());
    }
    match done.await {
        Ok(Ok(look)) => Json(look).into_response(),
        Ok(Err(why)) => {
            let text = std::iter::once(why.message).chain(why.causes).collect::<Vec<_>>().join(": ");
            refuse(StatusCode::UNPROCESSABLE_ENTITY, text)
        }
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the sandbox is stopping".into()),
    }
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}
