//! What a change leaves behind: who, when, where, what, why, and how each item can be taken back. The journal holds it;
//! see [`Receipts`](super::Receipts).

use serde::{Deserialize, Serialize};

use super::plan::Undo;
use crate::error::{Fault, Kind};
use crate::wire::{EffectKind, ItemEffect, PauseScope, RestoreScope, Time};

/// How one item is taken back, as data that `opsctl undo` executes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum UndoAction {
    /// Put a removed queue item back.
    RestoreItem {
        /// The action's id.
        id: String,
    },
    /// Pause again.
    Pause {
        /// What was paused.
        scope: PauseScope,
    },
    /// End the pause.
    Resume {
        /// What was paused.
        scope: PauseScope,
    },
    /// Give a setting its old value back.
    SetConfig {
        /// The variable.
        name: String,
        /// The value it had; `None`: it was not set here.
        value: Option<String>,
        /// The value it was given; when it has another one by then, somebody touched it and it is left alone.
        set: Option<String>,
    },
    /// End a token.
    RevokeToken {
        /// The token's id.
        id: String,
    },
    /// Go back to the backup that a restore made first.
    RestoreBackup {
        /// Its id.
        backup: String,
        /// How much was replaced.
        scope: RestoreScope,
    },
    /// Ask the platform. What was done is in the journal, and what was there before in the file beside it.
    AtPlatform {
        /// Restore, rewrite or correct.
        how: Undo,
    },
    /// It cannot be taken back.
    None {
        /// Why not.
        why: String,
    },
}

impl UndoAction {
    /// It cannot be taken back, and why.
    pub fn none(why: impl Into<String>) -> Self {
        UndoAction::None { why: why.into() }
    }
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptItem {
    /// The item.
    pub id: String,
    /// What became of it.
    pub effect: EffectKind,
    /// Why, or what it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How it is taken back.
    pub undo: UndoAction,
    /// The receipt of the command that took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
}

impl ReceiptItem {
    /// An item that was changed.
    pub fn applied(id: impl Into<String>, undo: UndoAction) -> Self {
        ReceiptItem { id: id.into(), effect: EffectKind::Applied, detail: None, undo, undone_by: None }
    }

    /// An item of a server's answer.
    pub fn from_effect(item: &ItemEffect, undo: UndoAction) -> Self {
        ReceiptItem { effect: item.effect, detail: item.detail.clone(), ..ReceiptItem::applied(&item.id, undo) }
    }

    /// Whether something happened to it that can be taken back.
    pub fn can_be_undone(&self) -> bool {
        matches!(self.effect, EffectKind::Applied | EffectKind::Accepted)
            && self.undone_by.is_none()
            && !matches!(self.undo, UndoAction::None { .. })
    }
}

/// Where the change is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiptState {
    /// Approved; no outcome is known. It stays so when the process dies in between.
    Started,
    /// Answered.
    Done,
    /// It ended with an error; what the server did before that is not known here.
    Failed,
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// `r-1017-0309`.
    pub id: String,
    /// Where it is in its life.
    pub state: ReceiptState,
    /// When it was approved.
    pub at: Time,
    /// `ana@bastion`.
    pub operator: String,
    /// Name of the context.
    pub context: String,
    /// Where that pointed.
    pub url: String,
    /// The verb: `queue clear`.
    pub verb: String,
    /// What happened, as a command says it.
    pub title: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Ticket reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// What was changed, where the plan said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Key that made a retry of this change recognisable.
    pub key: String,
    /// The error, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The receipt of the command that took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
    /// How many items were planned, when they are recorded one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<usize>,
    /// What became of each item.
    #[serde(default)]
    pub items: Vec<ReceiptItem>,
}

impl Receipt {
    /// Whether `opsctl undo` has something to do.
    pub fn can_be_undone(&self) -> bool {
        self.undone_by.is_none() && self.items.iter().any(ReceiptItem::can_be_undone)
    }

    /// Whether it stopped in the middle: items were planned, and it has no end.
    pub fn is_interrupted(&self) -> bool {
        self.planned.is_some() && self.state == ReceiptState::Started
    }

    /// Refuses to go on with it, or to take it back, in another context.
    pub fn ensure_of(&self, context: &str, verb: &str) -> Result<(), Fault> {
        if self.context == context {
            return Ok(());
        }
        let (id, own) = (&self.id, &self.context);
        Err(Fault::new(Kind::Conflict, format!("{id} belongs to another context"))
            .because(format!("it was made in `{own}`, and `{context}` is in use"))
            .hint(format!("opsctl {verb} {id} --context {own}")))
    }

    /// A receipt of `clear the queue` that nobody opened.
    #[cfg(test)]
    pub fn for_tests(items: Vec<ReceiptItem>) -> Self {
        Receipt {
            id: String::new(),
            state: ReceiptState::Started,
            at: Time(1_760_670_540_000),
            operator: "ana@bastion".into(),
            context: "local".into(),
            url: "http://localhost:3000".into(),
            verb: "queue clear".into(),
            title: "clear the queue".into(),
            reason: None,
            ticket: None,
            subject: None,
            key: "k".into(),
            error: None,
            undone_by: None,
            planned: None,
            items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_can_be_undone() {
        let undo = UndoAction::Resume { scope: PauseScope::All };
        let applied = ReceiptItem::applied("all", undo.clone());
        let already = ReceiptItem { effect: EffectKind::AlreadySo, ..applied.clone() };
        let hopeless = ReceiptItem::applied("notion", UndoAction::none("a reset cannot be taken back"));
        assert!(!Receipt::for_tests(vec![already.clone(), hopeless.clone()]).can_be_undone());
        let mut mixed = Receipt::for_tests(vec![already, applied, hopeless]);
        assert!(mixed.can_be_undone());
        mixed.undone_by = Some("r-2".into());
        assert!(!mixed.can_be_undone());
        assert_eq!(serde_json::to_value(undo).unwrap(), serde_json::json!({"do": "resume", "scope": "all"}),);
    }
}
