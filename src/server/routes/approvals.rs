//! Approvals: what waits for a decision, and deciding.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reply;
use crate::server::changes::Change;
use crate::server::extract::{Json, Path, Query, length_within, plain_text, within};
use crate::server::state::ServerState;
use crate::wire::*;

/// Longest reason, in characters.
const REASON_MAX: usize = 1024;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(approve)).routes(routes!(reject))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    /// Which approvals, `pending` unless told.
    #[param(inline)]
    status: Option<ApprovalStatus>,
    /// Decided or expired not before this; for pending ones, asked for not before this.
    #[param(inline)]
    since: Option<Time>,
    /// At most this many, 100 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
}

/// Approvals of a status
///
/// Pending ones: what expires first comes first. Decided ones: newest first.
#[utoipa::path(get, path = "/admin/v1/approvals", operation_id = "approvals", tag = "approvals", params(ListQuery),
    responses((status = 200, description = "The approvals", body = Approvals)))]
async fn list(State(state): State<ServerState>, Query(query): Query<ListQuery>) -> Reply<Approvals> {
    let filter = ApprovalFilter {
        status: query.status.unwrap_or(ApprovalStatus::Pending),
        since: query.since,
        limit: within("limit", query.limit.unwrap_or(100), 1..=10_000)?,
    };
    Ok(Json(state.approvals()?.approvals(filter).await?))
}

/// One approval, by its id or its action's
#[utoipa::path(get, path = "/admin/v1/approvals/{id}", operation_id = "approval", tag = "approvals",
    params(("id" = String, Path, description = "The approval's or the action's id")),
    responses((status = 200, description = "The approval", body = ApprovalRecord)))]
async fn show(State(state): State<ServerState>, Path(id): Path<String>) -> Reply<ApprovalRecord> {
    Ok(Json(state.approvals()?.approval(&id).await?))
}

/// Approve an action: it goes to the queue
///
/// Who decided is the credential's identity; `userId` is recorded beside it as a claim.
#[utoipa::path(post, path = "/api/approvals/{id}/approve", operation_id = "approve", tag = "documented",
    params(("id" = String, Path, description = "The approval's id")), request_body = ApproveRequest,
    responses((status = 200, description = "It is approved", body = Approved)))]
async fn approve(
    State(state): State<ServerState>,
    change: Change,
    Path(id): Path<String>,
    Json(request): Json<ApproveRequest>,
) -> Reply<Approved> {
    plain_text("userId", &request.user_id, 1..=256)?;
    if let Some(reason) = &request.reason {
        length_within("reason", reason, 0..=REASON_MAX)?;
    }
    Ok(Json(state.approvals()?.approve(&id, request, &change.cx).await?))
}

/// Reject an action: it fails without being sent
///
/// Who decided is the credential's identity; `userId` is recorded beside it as a claim.
#[utoipa::path(post, path = "/api/approvals/{id}/reject", operation_id = "reject", tag = "documented",
    params(("id" = String, Path, description = "The approval's id")), request_body = RejectRequest,
    responses((status = 200, description = "It is rejected", body = Rejected)))]
async fn reject(
    State(state): State<ServerState>,
    change: Change,
    Path(id): Path<String>,
    Json(request): Json<RejectRequest>,
) -> Reply<Rejected> {
    plain_text("userId", &request.user_id, 1..=256)?;
    length_within("reason", request.reason.trim(), 1..=REASON_MAX)?;
    Ok(Json(state.approvals()?.reject(&id, request, &change.cx).await?))
}
