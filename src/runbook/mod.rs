//! The runbook at the prompt: our own text of its ten issues and three procedures, walked step by step, checked against
//! the program.
//!
//! [`text`] is data, [`trouble`] says which section a cause belongs to, [`live`] fills in what the orchestrator knows,
//! [`record`] is a run on disk and [`transcript`] what a post-mortem reads of it, [`lint`] holds somebody's Markdown
//! against the parser, and [`escalation`] says whom to call.

pub mod escalation;
pub mod lint;
pub mod live;
pub mod parse;
pub mod record;
mod section;
pub mod text;
pub mod transcript;
pub mod trouble;

pub use section::SectionId;
pub use text::{Part, Section, Step};
