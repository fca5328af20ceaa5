//! Undoing what an action did, and telling whether it is undone.
//!
//! [`plan`] says from the records alone how an action is undone: by a request, by a person, or not at all.
//! [`Clients::before`] reads what a write is about to overwrite. [`Clients::undo`] looks, undoes, and reads back; done
//! twice it changes nothing the second time. [`Clients::inspect`] only looks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::{ActionType, Platform, Reversibility, Time};

/// An action that was executed, with what was kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// The platform that really did it.
    pub platform: Platform,
    /// What was done.
    pub action_type: ActionType,
    /// The parameters as sent.
    pub data: Value,
    /// What [`Clients::execute`](super::Clients::execute) gave; null when the answer was lost and it is in doubt.
    pub result: Value,
    /// What [`Clients::before`](super::Clients::before) gave before it was sent.
    pub before: Option<Value>,
    /// The marker it put on the object.
    pub marker: Option<String>,
    /// When it was done.
    pub at: Time,
}

/// How an action is undone.
#[derive(Clone, Debug, PartialEq)]
pub struct UndoPlan {
    /// How far an action of this kind can be undone.
    pub reversibility: Reversibility,
    /// What undoing means here, with the object: `move file 1AbC to the trash`.
    pub what: String,
    /// What failed, when it fails: `File deletion`.
    pub label: &'static str,
    /// The way.
    pub way: Way,
}

/// Who undoes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// A request to the platform.
    Request,
    /// A person, with these instructions, command by command.
    Manual(Vec<String>),
    /// Nobody: there is nothing to undo, for this reason.
    Nothing(&'static str),
}

/// What came of an undo.
#[derive(Clone, Debug, PartialEq)]
pub enum Undone {
    /// The platform shows that it is undone now; what it showed.
    Confirmed(String),
    /// It was undone before anything was sent; what the platform showed.
    Already(String),
    /// Nothing was sent: somebody changed the object since. Forcing goes past it.
    ChangedSince(String),
    /// It was sent, and the platform shows that it still stands.
    StillStands(String),
}

/// How the object of an action looks now.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It is there, as the action left it.
    Present,
    /// It is there, and was changed since: how.
    Altered(String),
    /// It is not there any more: what the platform says (in the trash, archived, not found).
    Missing(String),
    /// The platform cannot tell, for this reason.
    NotReported(String),
}
