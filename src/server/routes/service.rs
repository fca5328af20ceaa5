//! The service itself: what it is, its health, its parts, its host.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reply, applied, changed};
use crate::server::backend::Refusal;
use crate::server::changes::Change;
use crate::server::extract::{Json, Path, within};
use crate::server::openapi::Document;
use crate::server::state::ServerState;
use crate::server::tokens::Caller;
use crate::wire::*;

/// How long in-flight actions may take to finish before a restart, unless told, in milliseconds.
const DRAIN_DEFAULT_MS: u64 = 10_000;
/// Furthest the practice ground's clock may be moved, in milliseconds: ten years.
const CLOCK_MAX_MS: i64 = 315_360_000_000;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(info))
        .routes(routes!(document))
        .routes(routes!(health))
        .routes(routes!(system))
        .routes(routes!(host))
        .routes(routes!(executors))
        .routes(routes!(restart_executor))
        .routes(routes!(components))
        .routes(routes!(check))
        .routes(routes!(restart))
        .routes(routes!(auth))
        .routes(routes!(clear_caches))
}

pub(super) fn sandbox_routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new().routes(routes!(clock))
}

/// What this service is and can do
#[utoipa::path(get, path = "/admin/v1", operation_id = "serviceInfo", tag = "service",
    responses((status = 200, description = "The service", body = ServiceInfo)))]
async fn info(State(state): State<ServerState>, caller: Option<Extension<Caller>>) -> Json<ServiceInfo> {
    Json(state.info(caller.map(|c| c.role)))
}

/// This document
#[utoipa::path(get, path = "/admin/v1/openapi.json", operation_id = "openApi", tag = "service",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object)))]
async fn document(Extension(document): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.json).into_response()
}

/// Health of the whole and of each executor
#[utoipa::path(get, path = "/admin/v1/health", operation_id = "adminHealth", tag = "service",
    responses((status = 200, description = "The health", body = HealthReport)))]
async fn health(State(state): State<ServerState>) -> Reply<HealthReport> {
    Ok(Json(state.services()?.health().await?))
}

/// One screen about everything
#[utoipa::path(get, path = "/admin/v1/system", operation_id = "system", tag = "service",
    responses((status = 200, description = "The system", body = SystemStatus)))]
async fn system(State(state): State<ServerState>, caller: Option<Extension<Caller>>) -> Reply<SystemStatus> {
    let info = state.info(caller.map(|c| c.role));
    let status = state.services()?.system(info).await?;
    Ok(Json(SystemStatus { locked_down: state.lockdown.current().is_some(), ..status }))
}

/// The orchestrator's host
#[utoipa::path(get, path = "/admin/v1/host", operation_id = "host", tag = "service",
    responses((status = 200, description = "The host", body = HostStatus)))]
async fn host(State(state): State<ServerState>) -> Reply<HostStatus> {
    Ok(Json(state.services()?.host().await?))
}

/// The executor of each platform
#[utoipa::path(get, path = "/admin/v1/executors", operation_id = "executors", tag = "service",
    responses((status = 200, description = "One entry a platform", body = Vec<ExecutorStatus>)))]
async fn executors(State(state): State<ServerState>) -> Reply<Vec<ExecutorStatus>> {
    Ok(Json(state.services()?.executors().await?))
}

/// Restart one platform's executor after a drain
#[utoipa::path(post, path = "/admin/v1/executors/{platform}/restart", operation_id = "restartExecutor",
    tag = "service", params(("platform" = inline(Platform), Path, description = "Whose executor")),
    request_body = RestartRequest,
    responses((status = 200, description = "What it did", body = RestartAnswer)))]
async fn restart_executor(
    State(state): State<ServerState>,
    change: Change,
    Path(platform): Path<Platform>,
    Json(request): Json<RestartRequest>,
) -> Reply<RestartAnswer> {
    restart_part(&state, &change, Component::Executors, Some(platform), &request).await
}

/// The parts of the service
#[utoipa::path(get, path = "/admin/v1/components", operation_id = "components", tag = "service",
    responses((status = 200, description = "One entry a part", body = Vec<ComponentStatus>)))]
async fn components(State(state): State<ServerState>) -> Reply<Vec<ComponentStatus>> {
    Ok(Json(state.services()?.components().await?))
}

/// Look at one part closely
#[utoipa::path(get, path = "/admin/v1/components/{component}/check", operation_id = "checkComponent",
    tag = "service", params(("component" = inline(Component), Path, description = "The part")),
    responses((status = 200, description = "What was seen", body = ComponentCheck)))]
async fn check(State(state): State<ServerState>, Path(component): Path<Component>) -> Reply<ComponentCheck> {
    Ok(Json(state.services()?.check(component).await?))
}

/// Restart one part after a drain
#[utoipa::path(post, path = "/admin/v1/components/{component}/restart", operation_id = "restartComponent",
    tag = "service", params(("component" = inline(Component), Path, description = "The part")),
    request_body = RestartRequest,
    responses((status = 200, description = "What it did", body = RestartAnswer)))]
async fn restart(
    State(state): State<ServerState>,
    change: Change,
    Path(component): Path<Component>,
    Json(request): Json<RestartRequest>,
) -> Reply<RestartAnswer> {
    restart_part(&state, &change, component, None, &request).await
}

async fn restart_part(
    state: &ServerState,
    change: &Change,
    component: Component,
    platform: Option<Platform>,
    request: &RestartRequest,
) -> Reply<RestartAnswer> {
    let drain = within("drainTimeout", request.drain_timeout.unwrap_or(DRAIN_DEFAULT_MS), 0..=600_000)?;
    let drain = Duration::from_millis(drain);
    let mut answer = state.services()?.restart(component, platform, drain, &change.cx).await?;
    answer.audit_id = Some(change.audit_id.clone());
    Ok(Json(answer))
}

/// Ask a platform who we are
#[utoipa::path(get, path = "/admin/v1/platforms/{platform}/auth", operation_id = "platformAuth", tag = "service",
    params(("platform" = inline(Platform), Path, description = "The platform")),
    responses((status = 200, description = "What it said", body = AuthStatus)))]
async fn auth(State(state): State<ServerState>, Path(platform): Path<Platform>) -> Reply<AuthStatus> {
    Ok(Json(state.services()?.auth(platform).await?))
}

/// Empty the response caches
#[utoipa::path(post, path = "/admin/v1/caches/clear", operation_id = "clearCaches", tag = "service",
    responses((status = 200, description = "What was dropped", body = CacheCleared)))]
async fn clear_caches(State(state): State<ServerState>, change: Change) -> Reply<CacheCleared> {
    Ok(Json(state.services()?.clear_caches(&change.cx).await?))
}

/// Move the practice ground's clock forward
#[utoipa::path(post, path = "/admin/v1/clock", operation_id = "moveClock", tag = "service",
    request_body = ClockRequest,
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn clock(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<ClockRequest>,
) -> Reply<ChangeAnswer> {
    let now = state.clock.offset_ms();
    if request.offset_ms < now {
        let message = format!("the clock is {now} ms ahead already and cannot go back");
        return Err(Refusal::new(ErrorCode::Conflict, message));
    }
    if request.offset_ms > CLOCK_MAX_MS {
        return Err(crate::server::refuse::invalid("the clock can be moved ten years at most"));
    }
    state.clock.set_offset_ms(request.offset_ms);
    Ok(changed(&change, applied(format!("the clock is {} ms ahead", request.offset_ms))))
}
