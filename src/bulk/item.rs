//! One item of a change, as data: a saved plan, the journal and an undo hold it as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Fault;

use crate::guard::{Step, Undo};
use crate::platforms::look::Among;
use crate::platforms::undo::Done;
use crate::wire::{ActionType, Platform};

/// What is done to an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Deed {
    /// One action, as the orchestrator's executors do it; see `platforms::operations`.
    Act {
        /// Where.
        platform: Platform,
        /// What.
        action: ActionType,
        /// Its documented data.
        data: Value,
    },
    /// What an earlier item did is taken back.
    TakeBack {
        /// In which receipt.
        receipt: String,
        /// Its place in that one's plan.
        item: usize,
        /// What was done, and what was there before.
        done: Box<Done>,
    },
}

impl Deed {
    /// One action.
    pub fn act(platform: Platform, action: ActionType, data: Value) -> Self {
        Deed::Act { platform, action, data }
    }

    /// Where it is done.
    pub fn platform(&self) -> Platform {
        match self {
            Deed::Act { platform, .. } => *platform,
            Deed::TakeBack { done, .. } => done.platform,
        }
    }
}

/// One thing to change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its id on the platform; what `opsctl undo R --item ID` names.
    pub id: String,
    /// What people call it: its title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What is done.
    pub deed: Deed,
    /// What would be sent, for people: `PATCH /v1/pages/1f0c in_trash=true`.
    pub send: String,
    /// Why this one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// Fingerprint of how it looked when it was planned; `None` when there is nothing to compare, such as for a message
    /// that is sent. See `platforms::look::fingerprint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Where it can be seen together with others, so that a hundred are read again with one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub among: Option<Among>,
    /// How it can be taken back.
    pub undo: Undo,
}

impl Item {
    /// An item that cannot be taken back until [`Item::undo`] says otherwise.
    pub fn new(id: impl Into<String>, deed: Deed) -> Self {
        Item {
            id: id.into(),
            name: String::new(),
            send: format!("a change on {}", deed.platform()),
            deed,
            evidence: String::new(),
            seen: None,
            among: None,
            undo: Undo::None,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What would be sent, for people.
    #[must_use]
    pub fn sends(mut self, send: impl Into<String>) -> Self {
        self.send = send.into();
        self
    }

    /// Why this one.
    #[must_use]
    pub fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }

    /// How it looked when it was planned: a fingerprint.
    #[must_use]
    pub fn seen(mut self, fingerprint: impl Into<String>) -> Self {
        self.seen = Some(fingerprint.into());
        self
    }

    /// Where it can be seen together with others.
    #[must_use]
    pub fn among(mut self, among: Among) -> Self {
        self.among = Some(among);
        self
    }

    /// How it can be taken back.
    #[must_use]
    pub fn undo(mut self, undo: Undo) -> Self {
        self.undo = undo;
        self
    }

    /// Its line in the plan.
    pub(super) fn step(&self) -> Step {
        let step = Step::new(&self.send).undo(self.undo.clone());
        let step = if self.name.is_empty() { step } else { step.on(format_args!("`{}`", self.name)) };
        if self.evidence.is_empty() { step } else { step.because(&self.evidence) }
    }
}

/// Flags that bound a change of many items.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Limits {
    /// Refuse a plan of more items than this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_items: Option<u64>,

    /// Stop after this many failed items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_errors: Option<u64>,

    /// The part of the limit that may be taken.
    #[command(flatten)]
    pub share: ShareArgs,
}

/// The flag of every verb that may send many requests beside production's.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ShareArgs {
    /// Take only this part of the limit production leaves
    #[arg(long, value_name = "PART", value_parser = parse_share)]
    pub share: Option<f64>,
}

impl Limits {
    /// Whether any of them was given.
    pub fn is_set(&self) -> bool {
        self.max_items.is_some() || self.max_errors.is_some() || self.share.share.is_some()
    }
}

fn parse_share(text: &str) -> Result<f64, Fault> {
    let (number, per) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|n| n / per).filter(|n| *n > 0.0 && *n <= 1.0);
    share.ok_or_else(|| {
        Fault::usage(format!("`{text}` is not a share")).because("a share is above 0 and at most 1: 0.5, or 50%")
    })
}
