//! Idempotency keys: what each stands for, what collided with it, forgetting one.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reply, Versioned, changed};
use crate::server::backend::Refusal;
use crate::server::changes::Change;
use crate::server::extract::{Json, Path, Query, within};
use crate::server::state::ServerState;
use crate::wire::*;

/// Entries a listing returns unless told.
const LIMIT_DEFAULT: u64 = 50;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new().routes(routes!(keys)).routes(routes!(key, clear)).routes(routes!(collisions))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeysQuery {
    /// Which keys, `all` unless told.
    #[param(inline)]
    view: Option<KeyView>,
    /// At most this many, 50 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
}

/// Idempotency keys, newest first
#[utoipa::path(get, path = "/admin/v1/idempotency/keys", operation_id = "idempotencyKeys", tag = "idempotency",
    params(KeysQuery), responses((status = 200, description = "The keys", body = IdempotencyKeys)))]
async fn keys(State(state): State<ServerState>, Query(query): Query<KeysQuery>) -> Reply<IdempotencyKeys> {
    let limit = within("limit", query.limit.unwrap_or(LIMIT_DEFAULT), 1..=10_000)?;
    Ok(Json(state.idempotency()?.keys(query.view.unwrap_or(KeyView::All), limit).await?))
}

/// One key with what collided with it
#[utoipa::path(get, path = "/admin/v1/idempotency/keys/{key}", operation_id = "idempotencyKey", tag = "idempotency",
    params(("key" = String, Path, description = "The key")),
    responses((status = 200, description = "The key", body = IdempotencyKey)))]
async fn key(State(state): State<ServerState>, Path(key): Path<String>) -> Result<Response, Refusal> {
    let found = state.idempotency()?.key(&key).await?;
    let version = found.record.version;
    Ok(Versioned(found, version).into_response())
}

/// Forget a key: the next submission with it runs
///
/// Refused while the key's action is in flight.
#[utoipa::path(delete, path = "/admin/v1/idempotency/keys/{key}", operation_id = "clearIdempotencyKey",
    tag = "idempotency", params(("key" = String, Path, description = "The key")),
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn clear(State(state): State<ServerState>, change: Change, Path(key): Path<String>) -> Reply<ChangeAnswer> {
    let answer = state.idempotency()?.clear_key(&key, &change.cx).await?;
    Ok(changed(&change, answer))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CollisionsQuery {
    /// Not before.
    #[param(inline)]
    since: Option<Time>,
    /// At most this many, 50 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
}

/// Submissions refused because their key stood for something else, newest first
#[utoipa::path(get, path = "/admin/v1/idempotency/collisions", operation_id = "idempotencyCollisions",
    tag = "idempotency", params(CollisionsQuery),
    responses((status = 200, description = "The collisions", body = KeyCollisions)))]
async fn collisions(State(state): State<ServerState>, Query(query): Query<CollisionsQuery>) -> Reply<KeyCollisions> {
    let limit = within("limit", query.limit.unwrap_or(LIMIT_DEFAULT), 1..=10_000)?;
    Ok(Json(state.idempotency()?.collisions(query.since, limit).await?))
}
