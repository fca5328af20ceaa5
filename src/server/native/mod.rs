//! The orchestrator inside: SQLite store, queue, workers and executors behind the admin API's seam.

pub mod store;
