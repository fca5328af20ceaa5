//! The admin API's JSON types and version range, used by the client and the server alike.
//!
//! Field names and units are the runbook's and the documented API's: camelCase, times as RFC 3339 UTC with
//! milliseconds, durations as integer milliseconds, rates from 0 to 1. The OpenAPI document is made from these types.

mod action;
mod approval;
mod backup;
mod circuit;
mod config;
mod drill;
mod error;
mod health;
mod idempotency;
mod integrity;
mod job;
pub mod json_schema;
mod limits;
mod logs;
mod metrics;
mod queue;

mod security;
mod system;
mod time;
mod tokens;
mod words;
mod workflow;

pub use action::*;
pub use approval::*;
pub use backup::*;
pub use circuit::*;
pub use config::*;
pub use drill::*;
pub use error::*;
pub use health::*;
pub use idempotency::*;
pub use integrity::*;
pub use job::*;
pub use limits::*;
pub use logs::*;
pub use metrics::*;
pub use queue::*;
pub use security::*;
pub use system::*;
pub use time::*;
pub use tokens::*;
pub(crate) use words::words;
pub use workflow::*;

/// The admin API version this build speaks, lowest and highest.
pub const API_VERSIONS: (u32, u32) = (1, 1);

/// Request header: a retry with the same key gets the first answer.
pub const HEADER_IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Request header: why, for the audit log. Percent-encoded UTF-8.
pub const HEADER_REASON: &str = "x-opsctl-reason";
/// Request header: ticket reference, for the audit log.
pub const HEADER_TICKET: &str = "x-opsctl-ticket";
/// Request header: the person or job on whose behalf the credential is used (`ana@bastion`); a claim, not an identity.
pub const HEADER_OPERATOR: &str = "x-opsctl-operator";
/// Request header: the newest line of the caller's journal, `JOURNAL:LINE:SHA-256`, for the audit log.
pub const HEADER_JOURNAL: &str = "x-opsctl-journal";
/// Response header: id of the request, also in the server's logs.
pub const HEADER_REQUEST_ID: &str = "x-request-id";
