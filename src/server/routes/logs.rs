//! The error log.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reply;
use crate::server::backend::Refusal;
use crate::server::extract::{Json, Query, length_within, within};
use crate::server::state::ServerState;
use crate::wire::*;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new().routes(routes!(errors))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ErrorsQuery {
    /// At most this many, the newest; 50 unless told.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
    /// Only this platform.
    #[param(inline)]
    platform: Option<Platform>,
    /// Only this component of the service.
    #[param(max_length = 64)]
    component: Option<String>,
    /// Not before.
    #[param(inline)]
    since: Option<Time>,
}

impl ErrorsQuery {
    pub(super) fn filter(self) -> Result<ErrorFilter, Refusal> {
        if let Some(component) = &self.component {
            length_within("component", component, 0..=64)?;
        }
        Ok(ErrorFilter {
            limit: within("limit", self.limit.unwrap_or(50), 1..=10_000)?,
            platform: self.platform,
            component: self.component,
            since: self.since,
        })
    }
}

/// Errors, newest first, with counts by cause
#[utoipa::path(get, path = "/admin/v1/logs/errors", operation_id = "errorLog", tag = "logs", params(ErrorsQuery),
    responses((status = 200, description = "The errors", body = ErrorLog)))]
async fn errors(State(state): State<ServerState>, Query(query): Query<ErrorsQuery>) -> Reply<ErrorLog> {
    Ok(Json(state.logs()?.errors(query.filter()?).await?))
}
