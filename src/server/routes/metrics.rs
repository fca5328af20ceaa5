//! Metrics over any window.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{DAY_MS, Reply, window};
use crate::server::backend::Refusal;
use crate::server::extract::{Json, Query};
use crate::server::state::ServerState;
use crate::wire::*;

/// The window of request counts unless told: the runbook's five minutes.
const REQUESTS_WINDOW_MS: u64 = 300_000;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(performance))
        .routes(routes!(requests))
        .routes(routes!(actions))
        .routes(routes!(history))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WindowQuery {
    /// The window's length in milliseconds.
    #[param(minimum = 1000, maximum = 31_622_400_000_u64)]
    window: Option<u64>,
    /// Only this platform.
    #[param(inline)]
    platform: Option<Platform>,
}

/// A window beside the one before it; 24 hours unless told
#[utoipa::path(get, path = "/admin/v1/metrics/performance", operation_id = "performance", tag = "metrics",
    params(WindowQuery), responses((status = 200, description = "Both windows", body = Performance)))]
async fn performance(State(state): State<ServerState>, Query(query): Query<WindowQuery>) -> Reply<Performance> {
    let window = window(query.window, DAY_MS)?;
    Ok(Json(state.metrics()?.performance(window, query.platform).await?))
}

/// Requests really sent; 5 minutes unless told
#[utoipa::path(get, path = "/admin/v1/metrics/requests", operation_id = "requestMetrics", tag = "metrics",
    params(WindowQuery), responses((status = 200, description = "By platform", body = RequestMetrics)))]
async fn requests(State(state): State<ServerState>, Query(query): Query<WindowQuery>) -> Reply<RequestMetrics> {
    let window = window(query.window, REQUESTS_WINDOW_MS)?;
    Ok(Json(state.metrics()?.requests(window, query.platform).await?))
}

/// Actions by platform and type; 24 hours unless told
#[utoipa::path(get, path = "/admin/v1/metrics/actions", operation_id = "actionBreakdown", tag = "metrics",
    params(WindowQuery), responses((status = 200, description = "Most frequent first", body = ActionBreakdown)))]
async fn actions(State(state): State<ServerState>, Query(query): Query<WindowQuery>) -> Reply<ActionBreakdown> {
    let window = window(query.window, DAY_MS)?;
    Ok(Json(state.metrics()?.breakdown(window, query.platform).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HistoryQuery {
    /// Not before; whole hours are answered.
    #[param(inline)]
    from: Time,
    /// Before; now unless told.
    #[param(inline)]
    to: Option<Time>,
    /// Length of the points; `hour` unless told.
    #[param(inline)]
    bucket: Option<Bucket>,
}

/// What was recorded between two moments: actions, requests, measures, occurrences
#[utoipa::path(get, path = "/admin/v1/metrics/history", operation_id = "metricHistory", tag = "metrics",
    params(HistoryQuery), responses((status = 200, description = "In order of time", body = MetricHistory)))]
async fn history(State(state): State<ServerState>, Query(query): Query<HistoryQuery>) -> Reply<MetricHistory> {
    let to = query.to.unwrap_or_else(|| state.clock.now());
    if query.from >= to {
        let message = format!("from ({}) has to be before to ({to})", query.from);
        return Err(Refusal::new(ErrorCode::ValidationError, message));
    }
    Ok(Json(state.metrics()?.history(query.from, to, query.bucket.unwrap_or(Bucket::Hour)).await?))
}
