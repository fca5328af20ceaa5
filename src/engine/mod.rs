//! The orchestrator's rules as plain state machines: queue, circuit, limits, retry, idempotency, slow start.
//!
//! Nothing here reads a clock, a file or a socket: `now` and random numbers are arguments, so the tests are arithmetic.

pub mod approval;
pub mod canonical;
pub mod circuit;
pub mod fallback;
pub mod idempotency;
pub mod limit;
pub mod queue;
pub mod retry;
pub mod slow_start;
pub mod throttle;
pub mod workflow;
