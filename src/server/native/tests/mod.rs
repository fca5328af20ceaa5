//! The orchestrator as the routes see it, against a scripted platform and against the simulators.

mod approvals;
mod changes;
mod execution;
mod keys;
mod recovery;
mod settings;
mod with_sims;
mod workflows;
mod world;
