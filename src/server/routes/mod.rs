//! The routes: thin handlers that decode, call the backend, encode. All cross-cutting work is done by the gate and the
//! change layer before and after them.

mod actions;
mod approvals;
mod backups;
mod configuration;
mod control;
mod documented;
mod idempotency;
mod logs;
mod metrics;
mod monitoring;
mod people;
mod queue;
mod security;
mod service;
mod workflows;

use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;

use super::backend::Refusal;
use super::changes::Change;
use super::extract::{Json, within};
use super::state::ServerState;
use crate::wire::{ChangeAnswer, EffectKind};

/// What a handler gives.
type Reply<T> = Result<Json<T>, Refusal>;

/// One day, in milliseconds.
const DAY_MS: u64 = 86_400_000;
/// Longest window a metrics query may ask for, in milliseconds.
const WINDOW_MAX_MS: u64 = 366 * DAY_MS;

/// All routes with their part of the OpenAPI document. The clock's exists on the practice ground only.
pub(super) fn all(sandbox: bool) -> OpenApiRouter<ServerState> {
    let routes = OpenApiRouter::new()
        .merge(documented::routes())
        .merge(monitoring::routes())
        .merge(actions::routes())
        .merge(queue::routes())
        .merge(workflows::routes())
        .merge(idempotency::routes())
        .merge(approvals::routes())
        .merge(control::routes())
        .merge(service::routes())
        .merge(metrics::routes())
        .merge(logs::routes())
        .merge(configuration::routes())
        .merge(backups::routes())
        .merge(people::routes())
        .merge(security::routes());
    if sandbox { routes.merge(service::sandbox_routes()) } else { routes }
}

/// The answer to a change, with the id of its audit record.
fn changed(change: &Change, mut answer: ChangeAnswer) -> Json<ChangeAnswer> {
    answer.audit_id = Some(change.audit_id.clone());
    Json(answer)
}

/// A change of one thing, applied.
fn applied(message: String) -> ChangeAnswer {
    ChangeAnswer { effect: EffectKind::Applied, message, items: Vec::new(), audit_id: None }
}

/// A metrics window from its query parameter.
fn window(ms: Option<u64>, default_ms: u64) -> Result<Duration, Refusal> {
    let ms = within("window", ms.unwrap_or(default_ms), 1000..=WINDOW_MAX_MS)?;
    Ok(Duration::from_millis(ms))
}

/// One thing with its version, which `If-Match` takes back.
struct Versioned<T>(T, u64);

impl<T: serde::Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.1)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}
