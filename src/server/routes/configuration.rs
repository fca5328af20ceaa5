//! Settings at run time.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reply, Versioned};
use crate::server::backend::Refusal;
use crate::server::changes::Change;
use crate::server::extract::{Json, Path};
use crate::server::state::ServerState;
use crate::wire::*;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, set, unset))
        .routes(routes!(keep))
        .routes(routes!(back))
        .routes(routes!(report))
}

/// All settings, by name
#[utoipa::path(get, path = "/admin/v1/config", operation_id = "listConfig", tag = "config",
    responses((status = 200, description = "The settings", body = ConfigList)))]
async fn list(State(state): State<ServerState>) -> Reply<ConfigList> {
    Ok(Json(ConfigList { settings: state.config()?.list().await? }))
}

/// One setting
#[utoipa::path(get, path = "/admin/v1/config/{name}", operation_id = "getConfig", tag = "config",
    params(("name" = String, Path, description = "The variable's name")),
    responses((status = 200, description = "The setting", body = ConfigEntry)))]
async fn show(State(state): State<ServerState>, Path(name): Path<String>) -> Result<Response, Refusal> {
    Ok(entry(state.config()?.get(&name).await?))
}

/// Set a value; it holds at once or waits for a restart, as the answer says
#[utoipa::path(put, path = "/admin/v1/config/{name}", operation_id = "setConfig", tag = "config",
    params(("name" = String, Path, description = "The variable's name")), request_body = ConfigSet,
    responses((status = 200, description = "The setting now", body = ConfigEntry)))]
async fn set(
    State(state): State<ServerState>,
    change: Change,
    Path(name): Path<String>,
    Json(value): Json<ConfigSet>,
) -> Result<Response, Refusal> {
    Ok(entry(state.config()?.set(&name, value, &change.cx).await?))
}

/// Go back to the environment's value or the default
#[utoipa::path(delete, path = "/admin/v1/config/{name}", operation_id = "unsetConfig", tag = "config",
    params(("name" = String, Path, description = "The variable's name")),
    responses((status = 200, description = "The setting now", body = ConfigEntry)))]
async fn unset(
    State(state): State<ServerState>,
    change: Change,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    Ok(entry(state.config()?.unset(&name, &change.cx).await?))
}

/// Let a value that was set for a time last
#[utoipa::path(post, path = "/admin/v1/config/{name}/keep", operation_id = "keepConfig", tag = "config",
    params(("name" = String, Path, description = "The variable's name")),
    responses((status = 200, description = "The setting now", body = ConfigEntry)))]
async fn keep(State(state): State<ServerState>, change: Change, Path(name): Path<String>) -> Result<Response, Refusal> {
    Ok(entry(state.config()?.keep(&name, &change.cx).await?))
}

/// Take a value that was set for a time back now
#[utoipa::path(post, path = "/admin/v1/config/{name}/back", operation_id = "takeConfigBack", tag = "config",
    params(("name" = String, Path, description = "The variable's name")),
    responses((status = 200, description = "The setting now", body = ConfigEntry)))]
async fn back(State(state): State<ServerState>, change: Change, Path(name): Path<String>) -> Result<Response, Refusal> {
    Ok(entry(state.config()?.back(&name, &change.cx).await?))
}

/// Look at all settings for what cannot work
#[utoipa::path(get, path = "/admin/v1/config-report", operation_id = "configReport", tag = "config",
    responses((status = 200, description = "Findings, worst first", body = ConfigReport)))]
async fn report(State(state): State<ServerState>) -> Reply<ConfigReport> {
    Ok(Json(state.config()?.validate().await?))
}

fn entry(entry: ConfigEntry) -> Response {
    let version = entry.version;
    Versioned(entry, version).into_response()
}
