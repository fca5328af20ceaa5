//! The orchestrator as the routes see it, against a scripted platform and against the simulators.

mod changes;
mod execution;
mod recovery;
mod with_sims;
mod world;
