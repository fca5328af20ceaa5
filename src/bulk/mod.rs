//! Changes straight on the platforms, item by item: exact, paced, resumable, undoable.
//!
//! A verb reads, decides which items to change, and hands them over as data. The dry run, the real run, `opsctl apply`,
//! `opsctl history resume` and `opsctl undo` are one path: each builds a [`Job`] and runs it.
//!
//! ```text
//! let clients = app.paced().await?;                           // every request waits for its turn
//! let items = surplus.iter().map(|page| {
//!     Item::new(&page.id, Deed::act(Platform::Notion, ActionType::Delete, json!({"page_id": page.id})))
//!         .named(&page.title)
//!         .sends(format!("PATCH /v1/pages/{} in_trash=true", page.id))
//!         .because(format!("same title as {}, made {} later", kept.id, age))
//!         .seen(fingerprint(Platform::Notion, &page.object))   // a page that looks otherwise by then is left alone
//!         .among(Among { data_source, created })               // a hundred are read again with one request
//!         .undo(Undo::Restore)
//! });
//! Job::new("notion remove-duplicates", format!("move {n} duplicate pages of {name} to the trash"), &self.change)
//!     .limits(&self.limits)                                    // Limits, flattened beside ChangeArgs
//!     .subject(format!("notion database {id}"))
//!     .items(items.collect())
//!     .run(app)
//!     .await
//! ```
//!
//! The runner re-reads each item right before it is touched, by pages of as many as the platform gives at once. What
//! looks otherwise than [`Item::seen`] is skipped and reported (exit code 8), what is gone already counts as done. The
//! intent is in the journal before the request leaves and the outcome after; a write whose answer was lost is looked
//! up before any second try.
//!
//! A new kind of change needs: an operation of `platforms::Clients::execute`, its undo in `platforms::undo`, and its
//! look in `platforms::look`. Nothing here.

mod item;
mod job;
mod platforms;
mod run;
pub mod share;
mod summary;
mod work;

pub use item::{Deed, Item, Limits, ShareArgs};
pub use job::{ItemsPlan, Job};
pub use platforms::AtPlatforms;
pub use run::{Run, Tally};
pub use summary::Summary;
pub use work::{Found, Sight, Work, Written};
