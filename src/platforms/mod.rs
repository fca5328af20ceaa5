//! Notion, Trello, Slack, Drive and Sheets spoken to directly; used by commands and by the orchestrator's executors.

mod error;

pub use crate::wire::Platform;
pub use error::{Delivery, PlatformError};
