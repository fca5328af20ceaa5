//! What the runner needs of the world: look, write, find out about a write whose answer was lost.

use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use super::Item;
use crate::platforms::PlatformError;
pub use crate::platforms::look::Sight;
use crate::wire::Time;

/// What a write gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// It was made now; ids and links, for an undo.
    Done(Value),
    /// It held already when the write came.
    Already(String),
    /// Somebody changed the thing; nothing was written.
    Changed(String),
    /// It was sent, and the platform shows that it did not take.
    Without(String),
}

/// What became of a write whose answer was lost.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It was made.
    Done(Value),
    /// It was not made, or making it twice is the same as once: after another look it may be sent again.
    Absent,
    /// The platform cannot tell: a person has to look.
    Unclear(String),
}

/// The platforms, or a stand-in.
pub trait Work {
    /// Items that may be under way now. It may change from call to call.
    fn width(&self) -> usize;

    /// Items that one look covers at most.
    fn page(&self) -> usize;

    /// How these items look right now, in their order.
    fn look<'a>(&'a self, items: &'a [&'a Item]) -> LocalBoxFuture<'a, Vec<Result<Sight, PlatformError>>>;

    /// Makes the change. The marker is this item's own, and the same when it is tried again.
    fn write<'a>(&'a self, item: &'a Item, marker: &'a str) -> LocalBoxFuture<'a, Result<Written, PlatformError>>;

    /// Looks for what a write made whose answer was lost; it was intended at `since`.
    fn find<'a>(
        &'a self,
        item: &'a Item,
        marker: &'a str,
        since: Time,
    ) -> LocalBoxFuture<'a, Result<Found, PlatformError>>;
}
