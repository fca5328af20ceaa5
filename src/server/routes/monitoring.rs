//! The runbook's monitoring URLs. On loopback all but `/recent-errors` need no token, so none of them shows payloads.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reply;
use super::documented::MetricsQuery;
use super::logs::ErrorsQuery;
use crate::server::backend::Refusal;
use crate::server::extract::{Json, Query};
use crate::server::state::ServerState;
use crate::wire::*;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const PLAIN_METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(metrics))
        .routes(routes!(queue))
        .routes(routes!(circuit_breakers))
        .routes(routes!(recent_errors))
}

/// Health of the whole and of each executor
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "monitoring",
    responses((status = 200, description = "The health", body = HealthReport)))]
async fn health(State(state): State<ServerState>) -> Reply<HealthReport> {
    Ok(Json(state.services()?.health().await?))
}

/// Metrics as JSON, or as OpenMetrics text for a scraper that asks for it
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "monitoring", params(MetricsQuery),
    responses((status = 200, description = "The metrics", content(
        (ActionMetrics = "application/json"),
        (String = "application/openmetrics-text"),
        (String = "text/plain"),
    ))))]
async fn metrics(
    State(state): State<ServerState>,
    headers: HeaderMap,
    Query(query): Query<MetricsQuery>,
) -> Result<Response, Refusal> {
    let metrics = state.metrics()?;
    if let Some(content_type) = exposition(&headers) {
        let text = metrics.open_metrics().await?;
        return Ok(([(header::CONTENT_TYPE, content_type)], text).into_response());
    }
    let window = query.time_window.unwrap_or_default().as_str();
    Ok(Json(metrics.actions(window, query.platform).await?).into_response())
}

/// The text format a scraper asks for, if it does.
fn exposition(headers: &HeaderMap) -> Option<HeaderValue> {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    let accept = accept.collect::<Vec<_>>().join(",").to_ascii_lowercase().replace(' ', "");
    if accept.contains("application/openmetrics-text") {
        return Some(OPEN_METRICS);
    }
    accept.contains("text/plain;version=0.0.4").then_some(PLAIN_METRICS)
}

/// The queue's counts
#[utoipa::path(get, path = "/queue", operation_id = "queueStatus", tag = "monitoring",
    responses((status = 200, description = "The counts", body = QueueStatus)))]
async fn queue(State(state): State<ServerState>) -> Reply<QueueStatus> {
    Ok(Json(state.queues()?.status().await?))
}

/// The circuit of each platform
#[utoipa::path(get, path = "/circuit-breakers", operation_id = "circuitBreakers", tag = "monitoring",
    responses((status = 200, description = "One entry a platform", body = Vec<CircuitStatus>)))]
async fn circuit_breakers(State(state): State<ServerState>) -> Reply<Vec<CircuitStatus>> {
    Ok(Json(state.circuits()?.list().await?.into_iter().map(|c| c.status).collect()))
}

/// Recent errors, newest first
#[utoipa::path(get, path = "/recent-errors", operation_id = "recentErrors", tag = "monitoring", params(ErrorsQuery),
    responses((status = 200, description = "The errors", body = ErrorLog)))]
async fn recent_errors(State(state): State<ServerState>, Query(query): Query<ErrorsQuery>) -> Reply<ErrorLog> {
    Ok(Json(state.logs()?.errors(query.filter()?).await?))
}
