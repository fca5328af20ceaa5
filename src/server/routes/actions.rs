//! Submitting actions and looking at one.

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Versioned;
use crate::server::backend::Refusal;
use crate::server::changes::{Change, OwnRecord};
use crate::server::extract::{Json, Path, decode, json_body, plain_text, within};
use crate::server::refuse::invalid;
use crate::server::state::ServerState;
use crate::server::tokens::hash;
use crate::wire::*;

/// Most actions in one submission.
const BATCH_MAX: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new().routes(routes!(submit)).routes(routes!(show))
}

/// One action or a list of them.
struct Submission;

impl utoipa::PartialSchema for Submission {
    fn schema() -> RefOr<Schema> {
        let one = Ref::from_schema_name(<ActionRequest as utoipa::ToSchema>::name());
        let many = ArrayBuilder::new().items(one.clone()).min_items(Some(1)).max_items(Some(BATCH_MAX));
        OneOfBuilder::new().item(one).item(many).into()
    }
}

impl utoipa::ToSchema for Submission {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Submission")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        let name = <ActionRequest as utoipa::ToSchema>::name().into_owned();
        schemas.push((name, <ActionRequest as utoipa::PartialSchema>::schema()));
        <ActionRequest as utoipa::ToSchema>::schemas(schemas);
    }
}

/// Submit one action or a list, all or none
///
/// The answer comes after the actions are durably stored.
#[utoipa::path(post, path = "/admin/v1/actions", operation_id = "submitActions", tag = "actions",
    request_body = Submission,
    responses((status = 202, description = "Accepted and durably stored", body = SubmitAnswer)))]
async fn submit(State(state): State<ServerState>, change: Change, request: Request) -> Result<Response, Response> {
    let body = json_body(request, &()).await?;
    let mut actions = read(&body).map_err(IntoResponse::into_response)?;
    if let Some(key) = &change.key {
        name_by_key(&mut actions, key);
    }
    let answer = async {
        if actions.iter().any(|action| action.requires_approval) {
            // Where nobody can approve it, it must not wait for ever.
            state.approvals()?;
        }
        state.queues()?.submit(actions, &change.cx).await
    }
    .await;
    let answer = answer.map_err(IntoResponse::into_response)?;
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    response.extensions_mut().insert(OwnRecord);
    Ok(response)
}

fn read(body: &[u8]) -> Result<Vec<ActionRequest>, Refusal> {
    let is_list = body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
    let actions: Vec<ActionRequest> = if is_list { decode(body)? } else { vec![decode(body)?] };
    if !(1..=BATCH_MAX).contains(&actions.len()) {
        return Err(invalid(format!("a list must have 1 to {BATCH_MAX} actions, not {}", actions.len())));
    }
    for (at, action) in actions.iter().enumerate() {
        check(action).map_err(|mut refusal| {
            if is_list {
                refusal.message = format!("action {at}: {}", refusal.message);
            }
            refusal
        })?;
    }
    Ok(actions)
}

/// The bounds the schema states; what the platform needs in `data` is the backend's to check.
pub(super) fn check(action: &ActionRequest) -> Result<(), Refusal> {
    let texts = [
        ("id", &action.id, 1..=128),
        ("correlationId", &action.correlation_id, 0..=256),
        ("userId", &action.user_id, 0..=256),
        ("source", &action.source, 0..=256),
        ("workflowId", &action.workflow_id, 0..=256),
        ("idempotencyKey", &action.idempotency_key, 1..=256),
    ];
    for (name, text, length) in texts {
        if let Some(text) = text {
            plain_text(name, text, length)?;
        }
    }
    if action.tags.len() > 32 {
        return Err(invalid(format!("`tags` can have at most 32 entries, not {}", action.tags.len())));
    }
    for tag in &action.tags {
        plain_text("tags", tag, 0..=256)?;
    }
    if !action.data.is_object() {
        return Err(invalid("`data` must be an object"));
    }
    if let Some(timeout) = action.timeout {
        within("timeout", timeout, 1..=600_000)?;
    }
    if let Some(retry) = &action.retry_config {
        within("maxRetries", retry.max_retries.into(), 0..=20)?;
        within("initialDelay", retry.initial_delay, 0..=3_600_000)?;
        within("maxDelay", retry.max_delay, 0..=3_600_000)?;
        if !(1.0..=100.0).contains(&retry.backoff_multiplier) {
            return Err(invalid("`backoffMultiplier` must be from 1 to 100"));
        }
    }
    Ok(())
}

/// Ids made from the request's key: when the answer was lost together with the service, the retry meets the same ids,
/// and the engine recognises what it has.
fn name_by_key(actions: &mut [ActionRequest], key: &str) {
    for (at, action) in actions.iter_mut().enumerate().filter(|(_, a)| a.id.is_none()) {
        action.id = Some(format!("key-{}", &hash(&format!("{at} {key}"))[..32]));
    }
}

/// One action in whatever state
#[utoipa::path(get, path = "/admin/v1/actions/{id}", operation_id = "showAction", tag = "actions",
    params(("id" = String, Path, description = "The action's id")),
    responses((status = 200, description = "The action", body = ActionRecord)))]
async fn show(State(state): State<ServerState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let action = state.queues()?.action(&id).await?;
    let version = action.version;
    Ok(Versioned(action, version).into_response())
}
