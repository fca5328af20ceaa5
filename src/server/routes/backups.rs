//! Backups, and jobs: work that goes on after its route has answered.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reply;
use crate::server::backend::Refusal;
use crate::server::changes::Change;
use crate::server::extract::{Json, Path, Query};
use crate::server::state::ServerState;
use crate::wire::*;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(verify))
        .routes(routes!(plan, restore))
        .routes(routes!(drill))
        .routes(routes!(job, stop))
}

/// A job that goes on: `202`.
pub(super) fn started(job: Job) -> Response {
    (StatusCode::ACCEPTED, Json(job)).into_response()
}

/// Backups, newest first
#[utoipa::path(get, path = "/admin/v1/backups", operation_id = "backups", tag = "backups",
    responses((status = 200, description = "The backups", body = BackupList)))]
async fn list(State(state): State<ServerState>) -> Reply<BackupList> {
    Ok(Json(state.backups()?.list().await?))
}

/// Make a backup while the work goes on
///
/// The job's result is the backup, with `tookMs` and the ids of older ones that went.
#[utoipa::path(post, path = "/admin/v1/backups", operation_id = "createBackup", tag = "backups",
    request_body = BackupRequest,
    responses((status = 202, description = "The job that makes it", body = Job)))]
async fn create(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<BackupRequest>,
) -> Result<Response, Refusal> {
    state.backups()?;
    let (shared, cx) = (state.clone(), change.cx.clone());
    let job = state.jobs.start("backup create", Some(change.audit_id), |progress| async move {
        shared.backups()?.create(request, &cx, &progress).await
    })?;
    Ok(started(job))
}

/// Compare a backup with its manifest and restore it into a scratch folder
///
/// The job's result is a verdict with one line for each thing that was looked at.
#[utoipa::path(post, path = "/admin/v1/backups/{id}/verify", operation_id = "verifyBackup", tag = "backups",
    params(("id" = String, Path, description = "The backup's id")),
    responses((status = 202, description = "The job that looks", body = Job)))]
async fn verify(State(state): State<ServerState>, change: Change, Path(id): Path<String>) -> Result<Response, Refusal> {
    state.backups()?;
    let shared = state.clone();
    let job = state.jobs.start("backup verify", Some(change.audit_id), |progress| async move {
        shared.backups()?.verify(&id, &progress).await
    })?;
    Ok(started(job))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlanQuery {
    /// How much would be replaced.
    #[param(inline)]
    scope: RestoreScope,
}

/// What a restore would do
#[utoipa::path(get, path = "/admin/v1/backups/{id}/restore", operation_id = "restorePlan", tag = "backups",
    params(("id" = String, Path, description = "The backup's id"), PlanQuery),
    responses((status = 200, description = "The plan", body = RestorePlan)))]
async fn plan(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    Query(query): Query<PlanQuery>,
) -> Reply<RestorePlan> {
    Ok(Json(state.backups()?.restore_plan(&id, query.scope).await?))
}

/// Go back to a backup, after making one of what is there
///
/// Everything has to be paused. The job's result names the safety backup, which takes the restore back.
#[utoipa::path(post, path = "/admin/v1/backups/{id}/restore", operation_id = "restoreBackup", tag = "backups",
    params(("id" = String, Path, description = "The backup's id")), request_body = RestoreRequest,
    responses((status = 202, description = "The job that restores", body = Job)))]
async fn restore(
    State(state): State<ServerState>,
    change: Change,
    Path(id): Path<String>,
    Json(request): Json<RestoreRequest>,
) -> Result<Response, Refusal> {
    state.backups()?;
    let (shared, cx) = (state.clone(), change.cx.clone());
    let job = state.jobs.start("restore", Some(change.audit_id), |progress| async move {
        shared.backups()?.restore(&id, request.scope, &cx, &progress).await
    })?;
    Ok(started(job))
}

/// Rehearse a recovery on a scratch copy
///
/// Nothing live is touched and nothing is sent. The job's result has a line for each step, the time to recover and what
/// would have been lost.
#[utoipa::path(post, path = "/admin/v1/drills", operation_id = "drill", tag = "backups", request_body = DrillRequest,
    responses((status = 202, description = "The job that rehearses", body = Job)))]
async fn drill(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<DrillRequest>,
) -> Result<Response, Refusal> {
    state.backups()?;
    let (shared, cx) = (state.clone(), change.cx.clone());
    let job = state.jobs.start("dr test", Some(change.audit_id), |progress| async move {
        shared.backups()?.drill(request, &cx, &progress).await
    })?;
    Ok(started(job))
}

/// How far a job is
#[utoipa::path(get, path = "/admin/v1/jobs/{id}", operation_id = "job", tag = "service",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, description = "The job", body = Job)))]
async fn job(State(state): State<ServerState>, Path(id): Path<String>) -> Reply<Job> {
    Ok(Json(state.jobs.get(&id)?))
}

/// Stop a job that only looks
///
/// One that changes something is not stopped halfway: `CONFLICT`. One that has ended stays as it is.
#[utoipa::path(delete, path = "/admin/v1/jobs/{id}", operation_id = "stopJob", tag = "service",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, description = "The job as it was when it was stopped", body = Job)))]
async fn stop(State(state): State<ServerState>, _change: Change, Path(id): Path<String>) -> Reply<Job> {
    Ok(Json(state.jobs.stop(&id)?))
}
