//! Logs read as fast as memory allows: the application's lines and the service's own, from files, folders, compressed
//! predecessors and streams.
//!
//! [`read`] cuts blocks at line ends, [`json`] walks a line once, [`query`] proves what is asked, [`scan`] passes over
//! what cannot fit, [`files`] finds the files, [`layout`] knows which log they are, [`ask`] puts questions to all of a
//! log's files, [`merge`] puts several logs together, [`groups`] counts by a value. The module's tests compare every answer with the obvious implementation.

pub mod ask;
mod csv;
pub mod files;
pub mod groups;
pub mod json;
pub mod layout;
mod merge;
pub mod page;
pub mod query;
pub mod read;
pub mod scan;
#[cfg(test)]
mod tests;
pub mod time;
