//! Who may ask, and who asked: tokens and the audit log.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reply, changed};
use crate::server::backend::Refusal;
use crate::server::changes::{Change, HoldsSecret, Subject};
use crate::server::extract::{Json, Path, Query, plain_text, within};
use crate::server::state::ServerState;
use crate::wire::*;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke)).routes(routes!(audit))
}

/// All tokens, without their values
#[utoipa::path(get, path = "/admin/v1/tokens", operation_id = "listTokens", tag = "tokens",
    responses((status = 200, description = "Newest first", body = TokenList)))]
async fn list(State(state): State<ServerState>) -> Json<TokenList> {
    Json(state.tokens.list())
}

/// Make a token; its value is shown this once
#[utoipa::path(post, path = "/admin/v1/tokens", operation_id = "createToken", tag = "tokens",
    request_body = TokenRequest,
    responses((status = 201, description = "The token and its value", body = TokenCreated)))]
async fn create(
    State(state): State<ServerState>,
    _change: Change,
    Json(request): Json<TokenRequest>,
) -> Result<Response, Refusal> {
    plain_text("name", &request.name, 1..=100)?;
    if let Some(ms) = request.expires_in {
        within("expiresIn", ms, 1000..=100 * super::WINDOW_MAX_MS)?;
    }
    let created = state.tokens.create(&request, state.clock.now())?;
    let subject = Subject(format!("{} {} ({})", created.token.id, created.token.name, created.token.role));
    let mut response = (StatusCode::CREATED, Json(created)).into_response();
    response.extensions_mut().insert(subject);
    response.extensions_mut().insert(HoldsSecret);
    Ok(response)
}

/// Stop a token from working
#[utoipa::path(delete, path = "/admin/v1/tokens/{id}", operation_id = "revokeToken", tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn revoke(State(state): State<ServerState>, change: Change, Path(id): Path<String>) -> Reply<ChangeAnswer> {
    let answer = state.tokens.revoke(&id, state.clock.now())?;
    Ok(changed(&change, answer))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuditQuery {
    /// Not before.
    #[param(inline)]
    since: Option<Time>,
    /// Before.
    #[param(inline)]
    until: Option<Time>,
    /// At most this many, the newest; 100 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
}

/// Changes that were asked for, refused ones included, newest first
#[utoipa::path(get, path = "/admin/v1/audit", operation_id = "audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "The records", body = AuditLog)))]
async fn audit(State(state): State<ServerState>, Query(query): Query<AuditQuery>) -> Reply<AuditLog> {
    let limit = within("limit", query.limit.unwrap_or(100), 1..=10_000)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let unreadable =
        |e: std::io::Error| Refusal::new(ErrorCode::UnknownError, format!("the audit log cannot be read: {e}"));
    state.audit.read(query.since, query.until, limit).await.map(Json).map_err(unreadable)
}
