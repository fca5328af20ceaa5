//! The error log, and the lines of every log.

use std::convert::Infallible;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reply;
use crate::logs;
use crate::server::backend::Refusal;
use crate::server::extract::{Json, Query, length_within, within};
use crate::server::refuse::invalid;
use crate::server::state::ServerState;
use crate::server::tokens::Caller;
use crate::wire::*;

pub(super) fn routes() -> OpenApiRouter<ServerState> {
    OpenApiRouter::new().routes(routes!(errors)).routes(routes!(lines)).routes(routes!(stream))
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

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LinesQuery {
    /// Which log, `application` unless told.
    #[param(inline)]
    log: Option<LogName>,
    /// At most this many, the newest; 100 unless told. A stream has all of them.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u64>,
    /// Not before.
    #[param(inline)]
    since: Option<Time>,
    /// Before.
    #[param(inline)]
    until: Option<Time>,
    /// Only about this platform.
    #[param(inline)]
    platform: Option<Platform>,
    /// A text that occurs in the line, or `/regex/`.
    #[param(max_length = 1024)]
    grep: Option<String>,
    /// Conditions on keys, one a line: `level:error`, `errorCode:!TIMEOUT`, `durationMs:>500`, `message:/regex/`.
    #[param(max_length = 1024)]
    filter: Option<String>,
}

impl LinesQuery {
    fn asked(self) -> Result<(LogName, LineFilter), Refusal> {
        if let Some(text) = &self.grep {
            length_within("grep", text, 0..=1024)?;
        }
        if let Some(text) = &self.filter {
            length_within("filter", text, 0..=1024)?;
        }
        let filter = LineFilter {
            limit: within("limit", self.limit.unwrap_or(100), 1..=10_000)?,
            since: self.since,
            until: self.until,
            platform: self.platform,
            grep: self.grep,
            filters: self.filter.iter().flat_map(|text| text.lines()).map(str::to_owned).collect(),
        };
        // Before the backend is asked: what cannot be read is the caller's to mend, whatever the engine.
        logs::query::Query::try_from(&filter).map_err(|bad| invalid(format!("a filter cannot be read: {bad}")))?;
        Ok((self.log.unwrap_or(LogName::Application), filter))
    }
}

/// Lines of a log, oldest first
#[utoipa::path(get, path = "/admin/v1/logs/lines", operation_id = "logLines", tag = "logs", params(LinesQuery),
    responses((status = 200, description = "The lines", body = LogPage)))]
async fn lines(State(state): State<ServerState>, Query(query): Query<LinesQuery>) -> Reply<LogPage> {
    let (log, filter) = query.asked()?;
    Ok(Json(state.logs()?.lines(log, filter).await?))
}

/// All lines of a log that fit, oldest first, one record a line; the last record says where they come from
#[utoipa::path(get, path = "/admin/v1/logs/stream", operation_id = "logStream", tag = "logs", params(LinesQuery),
    responses((status = 200, description = "Records, one a line", body = LogRecord, content_type = "application/jsonl")))]
async fn stream(
    State(state): State<ServerState>,
    caller: Option<Extension<Caller>>,
    Query(query): Query<LinesQuery>,
) -> Result<Response, Refusal> {
    let (log, filter) = query.asked()?;
    let pieces = state.logs()?.stream(log, filter).await?;
    // Who was let in before a lockdown hears no more once it is on.
    let ends = Some(state.lockdown.clone()).filter(|_| !caller.is_some_and(|caller| caller.break_glass));
    let pieces = futures_util::stream::unfold((pieces, ends), async |(mut pieces, ends)| {
        let is_over = || ends.as_ref().is_some_and(|lockdown| lockdown.current().is_some());
        let piece = pieces.recv().await.filter(|_| !is_over())?;
        Some((Ok::<_, Infallible>(piece), (pieces, ends)))
    });
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], Body::from_stream(pieces)).into_response())
}
