//! The embedded orchestrator's edge: routes, workers and storage around the engine.

pub mod backend;
pub mod native;
