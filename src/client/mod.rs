//! The orchestrator's admin API, spoken as a client.
//!
//! [`transport`] owns timeouts, retries, the bearer token, identifying headers and error bodies; [`Orchestrator`] has
//! one typed method per endpoint. Methods that change something take an [`Approval`](crate::guard::Approval), which
//! only the guard can make.

mod approvals;
mod changes;
mod jobs;
mod reads;
mod security;
mod transport;
mod workflows;

pub use reads::LogRecords;
pub use transport::{BreakGlass, Orchestrator, OrchestratorOptions};
