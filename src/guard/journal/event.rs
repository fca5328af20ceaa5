//! What the journal records.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::receipt::{Receipt, ReceiptItem, ReceiptState};

/// What was planned for the items of a change, kept in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// How many items.
    pub items: usize,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// As the receipt shows it.
    #[serde(flatten)]
    pub item: ReceiptItem,
    /// What the platform answered, reduced to ids and links; what an undo starts from.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first line: names this journal among those of other machines.
    Begun {
        /// Random.
        journal: String,
    },
    /// The line before was torn by a crash; the chain goes on from the one before that.
    Mended {
        /// Its length.
        bytes: usize,
        /// Its SHA-256.
        sha256: String,
    },
    /// A plan was approved; nothing has been sent.
    Opened {
        /// As it was opened.
        change: Box<Receipt>,
        /// What is planned for its items, when they are recorded one by one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        planned: Option<Planned>,
    },
    /// The next request is about this item.
    Intent {
        /// Whose.
        receipt: String,
        /// Its place in the plan.
        item: usize,
        /// SHA-256 of the line that holds what it held before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// What became of an item.
    Outcome {
        /// Whose.
        receipt: String,
        /// Its place in the plan.
        item: usize,
        /// What.
        fate: Fate,
    },
    /// Somebody goes on with an interrupted change.
    Resumed {
        /// Whose.
        receipt: String,
        /// `ana@bastion`.
        operator: String,
    },
    /// A change has ended.
    Closed {
        /// Whose.
        receipt: String,
        /// How.
        state: ReceiptState,
        /// The error, when it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// What became of each item, where that was not recorded one by one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<ReceiptItem>,
    },
    /// A change, or some of its items, was taken back.
    Undone {
        /// Whose.
        receipt: String,
        /// The receipt of the command that did it.
        by: String,
        /// These items, by their place in the plan; all when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        items: Option<Vec<usize>>,
    },
}

impl Event {
    /// The receipt of the change that it is about.
    pub fn receipt(&self) -> Option<&str> {
        match self {
            Event::Begun { .. } | Event::Mended { .. } => None,
            Event::Opened { change, .. } => Some(&change.id),
            Event::Intent { receipt, .. }
            | Event::Outcome { receipt, .. }
            | Event::Resumed { receipt, .. }
            | Event::Closed { receipt, .. }
            | Event::Undone { receipt, .. } => Some(receipt),
        }
    }
}
