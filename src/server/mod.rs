//! The embedded orchestrator's edge: routes, workers and storage around the engine.

pub mod backend;
pub mod config;
pub mod files;
pub mod host;
pub mod native;
pub mod telemetry;
#[cfg(test)]
pub mod testing;
