//! The journal: what was intended and what came of it, durable before and after each request.
//!
//! One append-only file of JSON lines in the state directory, shared by every opsctl of this user. Each line carries
//! the SHA-256 of the line before, so that damage, a lost tail and a line put in later are found; a line torn by a
//! crash is closed off and named by the next writer. Receipts, `opsctl history` and `opsctl undo` are views of it.
//!
//! Beside it, one pair of private files for each change of many items: what was planned, and what each item held
//! before (never printed). The journal keeps their hashes. Beside a long journal there is an index of where each change
//! stands in it.

mod chain;
mod event;
mod index;
mod verify;

pub use chain::{Head, Journal, Line};
pub use event::{Event, Fate, Planned};
pub use index::Reading;
pub use verify::{Flaw, Verified};
