//! The documented routes, verbatim: bare objects, the documented parameters and fields.

use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reply;
use crate::server::backend::Refusal;
use crate::server::extract::{Json, Query, length_within, within};
use crate::server::refuse::invalid;
use crate::server::state::ServerState;
use crate::wire::*;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(recent))
        .routes(routes!(queue))
        .routes(routes!(metrics))
        .routes(routes!(health))
        .routes(routes!(context))
        .routes(routes!(rate_limits))
}

/// The statuses the documented filter knows.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StatusFilter {
    Success,
    Failed,
    Pending,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecentQuery {
    /// Page size, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u64>,
    /// Where the page starts.
    #[param(maximum = 10_000_000)]
    offset: Option<u64>,
    /// Only this platform.
    #[param(inline)]
    platform: Option<Platform>,
    /// Only this status; `pending` includes what is executing.
    #[param(inline)]
    status: Option<StatusFilter>,
    /// Not before.
    #[param(inline)]
    start_date: Option<Time>,
    /// Before.
    #[param(inline)]
    end_date: Option<Time>,
}

/// Executed and waiting actions, newest first
#[utoipa::path(get, path = "/api/actions/recent", operation_id = "recentActions", tag = "documented",
    params(RecentQuery), responses((status = 200, description = "A page of actions", body = RecentActions)))]
async fn recent(State(state): State<ServerState>, Query(query): Query<RecentQuery>) -> Reply<RecentActions> {
    let filter = ActionFilter {
        limit: within("limit", query.limit.unwrap_or(50), 1..=500)?,
        offset: within("offset", query.offset.unwrap_or(0), 0..=10_000_000)?,
        platform: query.platform,
        status: query.status.map(|s| match s {
            StatusFilter::Success => ActionStatus::Success,
            StatusFilter::Failed => ActionStatus::Failed,
            StatusFilter::Pending => ActionStatus::Pending,
        }),
        start: query.start_date,
        end: query.end_date,
        ..ActionFilter::default()
    };
    Ok(Json(state.queues()?.actions(filter).await?))
}

/// Waiting actions by priority
#[utoipa::path(get, path = "/api/actions/queue", operation_id = "actionQueue", tag = "documented",
    responses((status = 200, description = "The queue", body = QueueListing)))]
async fn queue(State(state): State<ServerState>) -> Reply<QueueListing> {
    Ok(Json(state.queues()?.listing().await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MetricsQuery {
    /// The window, 24h unless told.
    #[param(inline)]
    pub(super) time_window: Option<TimeWindow>,
    /// Only this platform.
    #[param(inline)]
    pub(super) platform: Option<Platform>,
}

/// The documented windows.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
pub(super) enum TimeWindow {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[default]
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
}

impl TimeWindow {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            TimeWindow::Hour => "1h",
            TimeWindow::SixHours => "6h",
            TimeWindow::Day => "24h",
            TimeWindow::Week => "7d",
        }
    }
}

/// Totals, platforms and a timeline over a window
#[utoipa::path(get, path = "/api/actions/metrics", operation_id = "actionMetrics", tag = "documented",
    params(MetricsQuery), responses((status = 200, description = "The metrics", body = ActionMetrics)))]
async fn metrics(State(state): State<ServerState>, Query(query): Query<MetricsQuery>) -> Reply<ActionMetrics> {
    let window = query.time_window.unwrap_or_default().as_str();
    Ok(Json(state.metrics()?.actions(window, query.platform).await?))
}

/// Health of the whole and of each executor
#[utoipa::path(get, path = "/api/actions/health", operation_id = "actionHealth", tag = "documented",
    responses((status = 200, description = "The health", body = HealthReport)))]
async fn health(State(state): State<ServerState>) -> Reply<HealthReport> {
    Ok(Json(state.services()?.health().await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ContextQuery {
    /// At most this many, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u64>,
    /// Not before.
    #[param(inline)]
    start_date: Option<Time>,
    /// Before.
    #[param(inline)]
    end_date: Option<Time>,
    /// Only this user.
    #[param(max_length = 256)]
    user_id: Option<String>,
    /// Only this source.
    #[param(max_length = 256)]
    source: Option<String>,
    /// Only with all of these tags, separated by commas.
    #[param(max_length = 2048)]
    tags: Option<String>,
}

/// Actions with their context, and what they have in common
#[utoipa::path(get, path = "/api/context/actions", operation_id = "contextActions", tag = "documented",
    params(ContextQuery), responses((status = 200, description = "Actions and patterns", body = ContextActions)))]
async fn context(State(state): State<ServerState>, Query(query): Query<ContextQuery>) -> Reply<ContextActions> {
    for (name, text, longest) in
        [("userId", &query.user_id, 256), ("source", &query.source, 256), ("tags", &query.tags, 2048)]
    {
        if let Some(text) = text {
            length_within(name, text, 0..=longest)?;
        }
    }
    let filter = ActionFilter {
        limit: within("limit", query.limit.unwrap_or(50), 1..=500)?,
        start: query.start_date,
        end: query.end_date,
        user_id: query.user_id,
        source: query.source,
        tags: tags(query.tags.as_deref())?,
        ..ActionFilter::default()
    };
    let queues = state.queues()?;
    let patterns = queues.patterns(filter.clone()).await?;
    let actions = queues.actions(filter).await?.actions.into_iter().map(context_action).collect();
    Ok(Json(ContextActions { actions, patterns }))
}

fn tags(list: Option<&str>) -> Result<Vec<String>, Refusal> {
    let tags: Vec<String> =
        list.unwrap_or_default().split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
    if tags.len() > 32 {
        return Err(invalid("`tags` can name at most 32 tags"));
    }
    Ok(tags)
}

fn context_action(record: ActionRecord) -> ContextAction {
    ContextAction {
        id: record.id,
        action_type: record.action_type,
        platform: record.platform,
        status: record.status,
        timestamp: record.timestamp,
        user_id: record.user_id,
        source: record.source,
        tags: record.tags,
    }
}

/// Use of each platform's rate limit
#[utoipa::path(get, path = "/api/rate-limits", operation_id = "rateLimits", tag = "monitoring",
    responses((status = 200, description = "One entry a platform", body = Vec<RateLimitStatus>)))]
async fn rate_limits(State(state): State<ServerState>) -> Reply<Vec<RateLimitStatus>> {
    Ok(Json(state.limits()?.list().await?))
}
