//! The embedded orchestrator's edge: routes, workers and storage around the engine.

pub mod backend;
pub mod host;
pub mod native;
pub mod telemetry;
