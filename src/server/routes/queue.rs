//! Items of the queue: looking, removing, restoring, driving again.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Reply, Versioned, changed};
use crate::server::backend::Refusal;
use crate::server::changes::Change;
use crate::server::extract::{Json, Path, Query, plain_text, within};
use crate::server::refuse::invalid;
use crate::server::state::ServerState;
use crate::wire::*;

/// Most ids one request may name.
const IDS_MAX: usize = 10_000;
/// Most actions one import puts in.
const IMPORT_MAX: usize = 1000;
/// Items a listing returns unless told.
const LIMIT_DEFAULT: u64 = 100;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(items))
        .routes(routes!(item, remove))
        .routes(routes!(requests, import))
        .routes(routes!(clear))
        .routes(routes!(restore))
        .routes(routes!(retry))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ItemsQuery {
    /// Which items, `queued` unless told.
    #[param(inline)]
    view: Option<QueueView>,
    /// Only this platform.
    #[param(inline)]
    platform: Option<Platform>,
    /// Ended (failed, removed) or accepted (others) not before this.
    #[param(inline)]
    since: Option<Time>,
    /// For `stuck`: the age in milliseconds; 600000 unless told.
    #[param(maximum = 31_622_400_000_u64)]
    older_than: Option<u64>,
    /// At most this many, 100 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
}

/// Items of a view, oldest first
#[utoipa::path(get, path = "/admin/v1/queue/items", operation_id = "queueItems", tag = "queue", params(ItemsQuery),
    responses((status = 200, description = "The items", body = QueueItems)))]
async fn items(State(state): State<ServerState>, Query(query): Query<ItemsQuery>) -> Reply<QueueItems> {
    let filter = QueueFilter {
        view: query.view.unwrap_or(QueueView::Queued),
        platform: query.platform,
        since: query.since,
        older_than: query.older_than.map(|ms| within("olderThan", ms, 0..=super::WINDOW_MAX_MS)).transpose()?,
        limit: Some(within("limit", query.limit.unwrap_or(LIMIT_DEFAULT), 1..=10_000)?),
    };
    Ok(Json(state.queues()?.items(filter).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestsQuery {
    /// At most this many, 100 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
}

/// Waiting actions as they were submitted, oldest first
#[utoipa::path(get, path = "/admin/v1/queue/requests", operation_id = "queueRequests", tag = "queue",
    params(RequestsQuery), responses((status = 200, description = "The actions", body = WaitingRequests)))]
async fn requests(State(state): State<ServerState>, Query(query): Query<RequestsQuery>) -> Reply<WaitingRequests> {
    let limit = within("limit", query.limit.unwrap_or(LIMIT_DEFAULT), 1..=10_000)?;
    Ok(Json(state.queues()?.requests(limit).await?))
}

/// Put waiting actions of another orchestrator into the queue
///
/// Each is put in by itself, under its key or one made of its id; sent again, it is there already.
#[utoipa::path(post, path = "/admin/v1/queue/requests", operation_id = "importQueueRequests", tag = "queue",
    request_body = ImportRequest,
    responses((status = 200, description = "What became of them", body = ImportAnswer)))]
async fn import(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<ImportRequest>,
) -> Reply<ImportAnswer> {
    let actions = request.requests;
    if !(1..=IMPORT_MAX).contains(&actions.len()) {
        return Err(invalid(format!("`requests` must hold 1 to {IMPORT_MAX} actions, not {}", actions.len())));
    }
    for action in &actions {
        plain_text("actionId", &action.action_id, 1..=128)?;
    }
    // One that is out of bounds must not be in the way of the others.
    let (fit, unfit): (Vec<_>, Vec<_>) = actions
        .into_iter()
        .map(|action| (super::actions::check(&action.request), action))
        .partition(|(is, _)| is.is_ok());
    let fit = fit.into_iter().map(|(_, action)| action).collect();
    let mut items = state.queues()?.put_in(fit, &change.cx).await?;
    items.extend(unfit.into_iter().filter_map(|(refusal, action)| {
        let detail = Some(refusal.err()?.message);
        Some(ImportedItem { action_id: action.action_id, put: Put::Failed, id: None, detail })
    }));
    let effect = match items.iter().any(|item| item.put == Put::Failed) {
        true => EffectKind::Refused,
        false if items.iter().any(|item| matches!(item.put, Put::Imported | Put::Restored)) => EffectKind::Applied,
        false => EffectKind::AlreadySo,
    };
    Ok(Json(ImportAnswer { effect, items, audit_id: Some(change.audit_id) }))
}

/// One item in whatever state
#[utoipa::path(get, path = "/admin/v1/queue/items/{id}", operation_id = "queueItem", tag = "queue",
    params(("id" = String, Path, description = "The action's id")),
    responses((status = 200, description = "The item", body = QueueItem)))]
async fn item(State(state): State<ServerState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let item = state.queues()?.item(&id).await?;
    let version = item.version;
    Ok(Versioned(item, version).into_response())
}

/// Move one waiting item to the dead letters, from where it can be restored
#[utoipa::path(delete, path = "/admin/v1/queue/items/{id}", operation_id = "removeQueueItem", tag = "queue",
    params(("id" = String, Path, description = "The action's id")),
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn remove(State(state): State<ServerState>, change: Change, Path(id): Path<String>) -> Reply<ChangeAnswer> {
    let answer = state.queues()?.remove(&id, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Move many waiting items to the dead letters, from where they can be restored
#[utoipa::path(post, path = "/admin/v1/queue/clear", operation_id = "clearQueue", tag = "queue",
    request_body = ClearRequest,
    responses((status = 200, description = "What became of them", body = ChangeAnswer)))]
async fn clear(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<ClearRequest>,
) -> Reply<ChangeAnswer> {
    if let Some(ids) = &request.ids {
        check_ids(ids, 0)?;
    }
    if let Some(ms) = request.older_than {
        within("olderThan", ms, 0..=super::WINDOW_MAX_MS)?;
    }
    let answer = state.queues()?.clear(request, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Put removed items back where they were
#[utoipa::path(post, path = "/admin/v1/queue/restore", operation_id = "restoreQueueItems", tag = "queue",
    request_body = IdsRequest,
    responses((status = 200, description = "What became of them", body = ChangeAnswer)))]
async fn restore(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<IdsRequest>,
) -> Reply<ChangeAnswer> {
    check_request(&request)?;
    let answer = state.queues()?.restore(request, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Drive failed items again, paced
#[utoipa::path(post, path = "/admin/v1/queue/retry", operation_id = "retryQueueItems", tag = "queue",
    request_body = IdsRequest,
    responses((status = 200, description = "What became of them", body = ChangeAnswer)))]
async fn retry(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<IdsRequest>,
) -> Reply<ChangeAnswer> {
    check_request(&request)?;
    let answer = state.queues()?.retry(request, &change.cx).await?;
    Ok(changed(&change, answer))
}

fn check_request(request: &IdsRequest) -> Result<(), Refusal> {
    if let Some(rate) = request.per_second {
        within("perSecond", rate.into(), 1..=1000)?;
    }
    check_ids(&request.ids, 1)
}

fn check_ids(ids: &[String], min: usize) -> Result<(), Refusal> {
    if (min..=IDS_MAX).contains(&ids.len()) {
        return Ok(());
    }
    Err(invalid(format!("`ids` must name {min} to {IDS_MAX} items, not {}", ids.len())))
}
