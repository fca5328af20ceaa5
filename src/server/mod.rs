//! The embedded orchestrator's edge: routes, workers and storage around the engine.
//!
//! A request passes the [`gate`] (host, token, role, query names, limits, time), changes also pass [`changes`] (body
//! bounds, `Idempotency-Key`, `If-Match`, audit), then a thin handler in `routes` calls the [`backend`].

pub mod access;
pub mod audit;
pub mod backend;
pub mod changes;
pub mod config;
mod effects;
pub mod extract;
pub mod gate;
pub mod host;
pub mod jobs;
pub mod journal;
pub mod lock;
pub mod lockdown;
mod moving;
pub mod native;
pub mod open;
pub mod openapi;
pub mod quota;
pub mod refuse;
pub mod replay;
pub mod restate;
mod routes;
pub mod run;
pub mod state;
pub mod telemetry;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod tokens;

pub use open::{ServeOptions, Server};
pub use run::{router, run};
pub use state::ServerState;
