//! Pauses and circuits.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reply, changed};
use crate::server::backend::Refusal;
use crate::server::changes::{Change, Subject};
use crate::server::extract::{Json, Path, Query, within};
use crate::server::refuse::invalid;
use crate::server::state::ServerState;
use crate::wire::*;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(pauses, pause))
        .routes(routes!(resume))
        .routes(routes!(circuits))
        .routes(routes!(history))
        .routes(routes!(reset))
        .routes(routes!(rate_limits))
}

/// Pauses in force
#[utoipa::path(get, path = "/admin/v1/pauses", operation_id = "pauses", tag = "control",
    responses((status = 200, description = "The pauses", body = Vec<Pause>)))]
async fn pauses(State(state): State<ServerState>) -> Reply<Vec<Pause>> {
    Ok(Json(state.queues()?.pauses().await?))
}

/// Stop taking items from the queue, or everything
#[utoipa::path(post, path = "/admin/v1/pauses", operation_id = "pause", tag = "control", request_body = PauseRequest,
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn pause(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<PauseRequest>,
) -> Result<Response, Refusal> {
    if request.slow_start {
        return Err(invalid("`slowStart` is for a resume"));
    }
    let answer = state.queues()?.pause(request.scope, &change.cx).await?;
    Ok(about(request.scope, changed(&change, answer)))
}

/// End a pause
#[utoipa::path(post, path = "/admin/v1/pauses/resume", operation_id = "resume", tag = "control",
    request_body = PauseRequest,
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn resume(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<PauseRequest>,
) -> Result<Response, Refusal> {
    let scope = request.scope;
    let answer = state.queues()?.resume(request, &change.cx).await?;
    Ok(about(scope, changed(&change, answer)))
}

fn about(scope: PauseScope, answer: Json<ChangeAnswer>) -> Response {
    let mut response = answer.into_response();
    response.extensions_mut().insert(Subject(scope.to_string()));
    response
}

/// The circuit of each platform, with its settings
#[utoipa::path(get, path = "/admin/v1/circuits", operation_id = "circuits", tag = "control",
    responses((status = 200, description = "One entry a platform", body = Vec<Circuit>)))]
async fn circuits(State(state): State<ServerState>) -> Reply<Vec<Circuit>> {
    Ok(Json(state.circuits()?.list().await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HistoryQuery {
    /// Only this platform.
    #[param(inline)]
    platform: Option<Platform>,
    /// Not before.
    #[param(inline)]
    since: Option<Time>,
    /// At most this many, 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Transitions of the circuits, newest first
#[utoipa::path(get, path = "/admin/v1/circuits/history", operation_id = "circuitHistory", tag = "control",
    params(HistoryQuery),
    responses((status = 200, description = "The transitions", body = Vec<CircuitTransition>)))]
async fn history(State(state): State<ServerState>, Query(query): Query<HistoryQuery>) -> Reply<Vec<CircuitTransition>> {
    let limit = within("limit", query.limit.unwrap_or(100), 1..=1000)?;
    Ok(Json(state.circuits()?.history(query.platform, query.since, limit).await?))
}

/// Close a circuit
#[utoipa::path(post, path = "/admin/v1/circuits/{platform}/reset", operation_id = "resetCircuit", tag = "control",
    params(("platform" = inline(Platform), Path, description = "Whose circuit")),
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn reset(
    State(state): State<ServerState>,
    change: Change,
    Path(platform): Path<Platform>,
) -> Reply<ChangeAnswer> {
    let answer = state.circuits()?.reset(platform, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Use of each platform's rate limit
#[utoipa::path(get, path = "/admin/v1/rate-limits", operation_id = "adminRateLimits", tag = "control",
    responses((status = 200, description = "One entry a platform", body = Vec<RateLimitStatus>)))]
async fn rate_limits(State(state): State<ServerState>) -> Reply<Vec<RateLimitStatus>> {
    Ok(Json(state.limits()?.list().await?))
}
