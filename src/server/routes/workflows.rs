//! Workflows: submitting, looking, rolling back, and taking a person's word about them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::backups::started;
use super::{Reply, Versioned, changed};
use crate::server::backend::Refusal;
use crate::server::changes::{Change, OwnRecord};
use crate::server::extract::{Json, Path, Query, plain_text, within};
use crate::server::refuse::invalid;
use crate::server::state::ServerState;
use crate::server::tokens::hash;
use crate::wire::*;

/// Most steps that any setting allows.
const STEPS_MAX: usize = 1000;
/// Workflows a listing returns unless told.
const LIMIT_DEFAULT: u64 = 100;
/// Log entries a listing returns unless told.
const EVENTS_DEFAULT: u64 = 1000;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .routes(routes!(show))
        .routes(routes!(events))
        .routes(routes!(rollback_plan, rollback))
        .routes(routes!(execute))
        .routes(routes!(compensate))
        .routes(routes!(resolve))
        .routes(routes!(complete))
        .routes(routes!(clear_failed))
        .routes(routes!(rebuild_plan, rebuild))
        .routes(routes!(integrity))
}

/// Submit a workflow
///
/// The answer comes after it is durably stored; its steps run as actions through the queue.
#[utoipa::path(post, path = "/admin/v1/workflows", operation_id = "submitWorkflow", tag = "workflows",
    request_body = WorkflowRequest,
    responses((status = 202, description = "Accepted and durably stored", body = WorkflowAccepted)))]
async fn submit(
    State(state): State<ServerState>,
    change: Change,
    Json(mut workflow): Json<WorkflowRequest>,
) -> Result<Response, Refusal> {
    check(&workflow)?;
    if let (None, Some(key)) = (&workflow.id, &change.key) {
        // A retry after a lost answer meets the same id, and the engine recognises what it has.
        workflow.id = Some(format!("wf-{}", &hash(key)[..12]));
    }
    let answer = state.workflows()?.submit(workflow, &change.cx).await?;
    let mut response = (StatusCode::ACCEPTED, Json(answer)).into_response();
    response.extensions_mut().insert(OwnRecord);
    Ok(response)
}

/// The bounds the schema states; what belongs together in a definition is the backend's to check.
fn check(workflow: &WorkflowRequest) -> Result<(), Refusal> {
    plain_text("name", &workflow.name, 1..=256)?;
    let texts = [
        ("id", &workflow.id, 1..=128),
        ("idempotencyKey", &workflow.idempotency_key, 1..=256),
        ("correlationId", &workflow.correlation_id, 0..=256),
        ("userId", &workflow.user_id, 0..=256),
    ];
    for (name, text, length) in texts {
        if let Some(text) = text {
            plain_text(name, text, length)?;
        }
    }
    if workflow.description.as_ref().is_some_and(|d| d.chars().count() > 4096) {
        return Err(invalid("`description` must have at most 4096 characters"));
    }
    if let Some(timeout) = workflow.timeout {
        within("timeout", timeout, 1..=86_400_000)?;
    }
    if !(1..=STEPS_MAX).contains(&workflow.steps.len()) {
        return Err(invalid(format!("`steps` must have 1 to {STEPS_MAX} entries, not {}", workflow.steps.len())));
    }
    for (at, step) in workflow.steps.iter().enumerate() {
        check_step(step).map_err(|mut refusal| {
            refusal.message = format!("step {at} (`{}`): {}", step.id, refusal.message);
            refusal
        })?;
    }
    Ok(())
}

fn check_step(step: &StepRequest) -> Result<(), Refusal> {
    plain_text("id", &step.id, 1..=64)?;
    if let Some(name) = &step.name {
        plain_text("name", name, 0..=256)?;
    }
    if !step.data.is_object() {
        return Err(invalid("`data` must be an object"));
    }
    if let Some(timeout) = step.timeout {
        within("timeout", timeout, 1..=600_000)?;
    }
    if let Some(retries) = step.retries {
        within("retries", retries.into(), 0..=20)?;
    }
    Ok(())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    /// Only these statuses, separated by commas; all unless told.
    #[param(max_length = 256)]
    status: Option<String>,
    /// Moved not before this.
    #[param(inline)]
    since: Option<Time>,
    /// Leave out those that were taken off the list of failures.
    #[serde(default)]
    hide_cleared: bool,
    /// At most this many, 100 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
    /// Where the page starts.
    #[param(maximum = 1_000_000_000)]
    offset: Option<u64>,
}

/// Workflows, newest first
#[utoipa::path(get, path = "/admin/v1/workflows", operation_id = "workflows", tag = "workflows", params(ListQuery),
    responses((status = 200, description = "The workflows", body = WorkflowList)))]
async fn list(State(state): State<ServerState>, Query(query): Query<ListQuery>) -> Reply<WorkflowList> {
    let words = query.status.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|w| !w.is_empty());
    let statuses = words.map(str::parse).collect::<Result<Vec<_>, String>>();
    let filter = WorkflowFilter {
        statuses: statuses.map_err(|why| invalid(format!("`status`: {why}")))?,
        since: query.since,
        hide_cleared: query.hide_cleared,
        limit: within("limit", query.limit.unwrap_or(LIMIT_DEFAULT), 1..=10_000)?,
        offset: within("offset", query.offset.unwrap_or(0), 0..=1_000_000_000)?,
    };
    Ok(Json(state.workflows()?.list(filter).await?))
}

/// One workflow with all its steps
#[utoipa::path(get, path = "/admin/v1/workflows/{id}", operation_id = "workflow", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "The workflow", body = Workflow)))]
async fn show(State(state): State<ServerState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let workflow = state.workflows()?.get(&id).await?;
    let version = workflow.version;
    Ok(Versioned(workflow, version).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventsQuery {
    /// Only this workflow.
    #[param(max_length = 128)]
    workflow_id: Option<String>,
    /// Only what belongs to rollbacks.
    #[serde(default)]
    rollback_only: bool,
    /// Not before.
    #[param(inline)]
    since: Option<Time>,
    /// At most this many, the newest; 1000 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
}

/// The execution log of workflows, oldest first
#[utoipa::path(get, path = "/admin/v1/logs/workflows", operation_id = "workflowLog", tag = "logs", params(EventsQuery),
    responses((status = 200, description = "The entries", body = WorkflowEvents)))]
async fn events(State(state): State<ServerState>, Query(query): Query<EventsQuery>) -> Reply<WorkflowEvents> {
    let filter = EventFilter {
        workflow_id: query.workflow_id,
        rollback_only: query.rollback_only,
        since: query.since,
        limit: within("limit", query.limit.unwrap_or(EVENTS_DEFAULT), 1..=10_000)?,
    };
    Ok(Json(state.workflows()?.events(filter).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlanQuery {
    /// What the rollback would go for, `first` unless told.
    #[param(inline)]
    mode: Option<RollbackMode>,
}

/// What a rollback would do, in its order
#[utoipa::path(get, path = "/admin/v1/workflows/{id}/rollback", operation_id = "rollbackPlan", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id"), PlanQuery),
    responses((status = 200, description = "The plan", body = RollbackPlan)))]
async fn rollback_plan(
    State(state): State<ServerState>,
    Path(id): Path<String>,
    Query(query): Query<PlanQuery>,
) -> Result<Response, Refusal> {
    let plan = state.workflows()?.rollback_plan(&id, query.mode.unwrap_or(RollbackMode::First)).await?;
    let version = plan.version;
    Ok(Versioned(plan, version).into_response())
}

/// Begin a rollback
///
/// The answer comes when it is durably begun. Until it rests nobody else can change the workflow.
#[utoipa::path(post, path = "/admin/v1/workflows/{id}/rollback", operation_id = "rollback", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")), request_body = RollbackRequest,
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn rollback(
    State(state): State<ServerState>,
    change: Change,
    Path(id): Path<String>,
    Json(request): Json<RollbackRequest>,
) -> Reply<ChangeAnswer> {
    let answer = state.workflows()?.rollback(&id, request.mode, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Start a workflow that waits, such as a compensating one
#[utoipa::path(post, path = "/admin/v1/workflows/{id}/execute", operation_id = "executeWorkflow", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn execute(State(state): State<ServerState>, change: Change, Path(id): Path<String>) -> Reply<ChangeAnswer> {
    let answer = state.workflows()?.execute(&id, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Make a workflow that undoes this one's executed steps, without running it
#[utoipa::path(post, path = "/admin/v1/workflows/{id}/compensate", operation_id = "compensateWorkflow",
    tag = "workflows", params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "The compensating workflow", body = WorkflowAccepted)))]
async fn compensate(
    State(state): State<ServerState>,
    change: Change,
    Path(id): Path<String>,
) -> Reply<WorkflowAccepted> {
    let mut answer = state.workflows()?.compensate(&id, &change.cx).await?;
    answer.audit_id = Some(change.audit_id);
    Ok(Json(answer))
}

/// Say that a failed workflow was put right by hand
#[utoipa::path(post, path = "/admin/v1/workflows/{id}/resolve", operation_id = "resolveWorkflow", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")), request_body = ResolveRequest,
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn resolve(
    State(state): State<ServerState>,
    change: Change,
    Path(id): Path<String>,
    Json(request): Json<ResolveRequest>,
) -> Reply<ChangeAnswer> {
    if request.comment.as_ref().is_some_and(|c| c.chars().count() > 4096) {
        return Err(invalid("`comment` must have at most 4096 characters"));
    }
    let answer = state.workflows()?.resolve(&id, request, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Say that a workflow is completed: what has not run will not
#[utoipa::path(post, path = "/admin/v1/workflows/{id}/complete", operation_id = "completeWorkflow", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn complete(State(state): State<ServerState>, change: Change, Path(id): Path<String>) -> Reply<ChangeAnswer> {
    let answer = state.workflows()?.complete(&id, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Take a resolved workflow off the list of failures
#[utoipa::path(post, path = "/admin/v1/workflows/{id}/clear-failed", operation_id = "clearFailedWorkflow",
    tag = "workflows", params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn clear_failed(State(state): State<ServerState>, change: Change, Path(id): Path<String>) -> Reply<ChangeAnswer> {
    let answer = state.workflows()?.clear(&id, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// What rebuilding a workflow's state from the execution log would change
#[utoipa::path(get, path = "/admin/v1/workflows/{id}/rebuild", operation_id = "rebuildPlan", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "The differences", body = RebuildPlan)))]
async fn rebuild_plan(State(state): State<ServerState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let plan = state.workflows()?.rebuild_plan(&id).await?;
    let version = plan.version;
    Ok(Versioned(plan, version).into_response())
}

/// Rebuild a workflow's state from the execution log
#[utoipa::path(post, path = "/admin/v1/workflows/{id}/rebuild", operation_id = "rebuildWorkflow", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, description = "What became of it", body = ChangeAnswer)))]
async fn rebuild(State(state): State<ServerState>, change: Change, Path(id): Path<String>) -> Reply<ChangeAnswer> {
    let answer = state.workflows()?.rebuild(&id, &change.cx).await?;
    Ok(changed(&change, answer))
}

/// Compare states, execution logs and the platforms' objects
///
/// Nothing is changed. Requests leave half of each platform's limit to the work. The job's result is the report.
#[utoipa::path(post, path = "/admin/v1/integrity", operation_id = "verifyIntegrity", tag = "workflows",
    request_body = IntegrityRequest,
    responses((status = 202, description = "The job that compares", body = Job)))]
async fn integrity(
    State(state): State<ServerState>,
    change: Change,
    Json(request): Json<IntegrityRequest>,
) -> Result<Response, Refusal> {
    state.workflows()?;
    if let Some(limit) = request.limit {
        within("limit", limit, 1..=1_000_000)?;
    }
    let shared = state.clone();
    let what = if request.states_only { "state check" } else { "integrity check" };
    let job = state.jobs.look(what, Some(change.audit_id), |progress| async move {
        shared.workflows()?.integrity(request, &progress).await
    })?;
    Ok(started(job))
}
