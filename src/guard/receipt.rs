//! What a change leaves behind: who, when, where, what, why, and how each item can be taken back.

use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::error::{Fault, Kind};
use crate::files::{make_directory, write_whole};
use crate::settings::Places;
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
}

impl ReceiptItem {
    /// An item that was changed.
    pub fn applied(id: impl Into<String>, undo: UndoAction) -> Self {
        ReceiptItem { id: id.into(), effect: EffectKind::Applied, detail: None, undo }
    }

    /// An item of a server's answer.
    pub fn from_effect(item: &ItemEffect, undo: UndoAction) -> Self {
        ReceiptItem { id: item.id.clone(), effect: item.effect, detail: item.detail.clone(), undo }
    }

    /// Whether something happened to it that can be taken back.
    pub fn can_be_undone(&self) -> bool {
        matches!(self.effect, EffectKind::Applied | EffectKind::Accepted)
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
    /// Key that made a retry of this change recognisable.
    pub key: String,
    /// The error, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The receipt of the command that took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
    /// What became of each item.
    #[serde(default)]
    pub items: Vec<ReceiptItem>,
}

impl Receipt {
    /// Whether `opsctl undo` has something to do.
    pub fn can_be_undone(&self) -> bool {
        self.undone_by.is_none() && self.items.iter().any(ReceiptItem::can_be_undone)
    }
}

/// The receipts of this machine's user.
#[derive(Clone, Debug)]
pub struct Receipts {
    directory: PathBuf,
}

impl Receipts {
    /// Those in the state directory.
    pub fn new(places: &Places) -> Self {
        Receipts { directory: places.receipts() }
    }

    /// Keeps a new one, and gives it an id made from its time: `r-1017-0309`, then `r-1017-0309-2`.
    pub fn open(&self, mut receipt: Receipt, clock: &Clock) -> anyhow::Result<Receipt> {
        make_directory(&self.directory)?;
        let stamp = jiff::Timestamp::from_millisecond(clock.now().0).unwrap_or_default();
        let stamp = stamp.strftime("r-%m%d-%H%M").to_string();
        for count in 1.. {
            receipt.id = if count == 1 { stamp.clone() } else { format!("{stamp}-{count}") };
            // The empty file claims the name against another opsctl in the same minute.
            match fs::OpenOptions::new().write(true).create_new(true).open(self.path(&receipt.id)) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let place = self.directory.display();
                    return Err(error).with_context(|| format!("cannot write a receipt to {place}"));
                }
            }
        }
        self.save(&receipt)?;
        Ok(receipt)
    }

    /// Writes one again.
    pub fn save(&self, receipt: &Receipt) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(receipt)?;
        text.push(b'\n');
        write_whole(&self.path(&receipt.id), &text, true)
    }

    /// One by id.
    pub fn read(&self, id: &str) -> anyhow::Result<Receipt> {
        let unknown = || {
            Fault::new(Kind::NotFound, format!("there is no receipt `{id}`"))
                .because(format!("looked in {}", self.directory.display()))
                .hint("list them with `opsctl history`")
        };
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(unknown().into());
        }
        let text = match fs::read(self.path(id)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(unknown().into()),
            Err(error) => return Err(error).with_context(|| format!("cannot read the receipt `{id}`")),
        };
        serde_json::from_slice(&text).with_context(|| format!("the receipt `{id}` is damaged"))
    }

    /// All of them, newest first, and how many files could not be read.
    pub fn list(&self) -> anyhow::Result<(Vec<Receipt>, usize)> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", self.directory.display())),
        };
        let mut receipts = Vec::new();
        let mut damaged = 0;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|n| n.strip_suffix(".json")).filter(|n| !n.starts_with('.')) else {
                continue;
            };
            match self.read(id) {
                Ok(receipt) => receipts.push(receipt),
                Err(_) => damaged += 1,
            }
        }
        receipts.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        Ok((receipts, damaged))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(items: Vec<ReceiptItem>) -> Receipt {
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
            key: "k".into(),
            error: None,
            undone_by: None,
            items,
        }
    }

    #[test]
    fn receipts_are_kept_numbered_and_private() {
        let root = std::env::temp_dir().join(format!("opsctl-receipts-{}", uuid::Uuid::now_v7()));
        let store = Receipts::new(&Places::under(&root));
        assert_eq!(store.list().unwrap().0, vec![]);
        let clock = Clock::system();
        let first = store.open(receipt(vec![]), &clock).unwrap();
        let second = store.open(receipt(vec![]), &clock).unwrap();
        assert_ne!(first.id, second.id);
        let mut done = second.clone();
        done.state = ReceiptState::Done;
        done.items = vec![ReceiptItem::applied("act-1", UndoAction::RestoreItem { id: "act-1".into() })];
        store.save(&done).unwrap();
        assert_eq!(store.read(&second.id).unwrap(), done);
        assert_eq!(store.list().unwrap().0.len(), 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(store.path(&first.id)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        for bad in ["../x", "", "r-9999-9999"] {
            let error = store.read(bad).unwrap_err();
            assert_eq!(crate::error::Explained::from_error(&error).kind, Kind::NotFound, "{bad}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn only_what_happened_can_be_undone() {
        let undo = UndoAction::Resume { scope: PauseScope::All };
        let applied = ReceiptItem::applied("all", undo.clone());
        let already = ReceiptItem { effect: EffectKind::AlreadySo, ..applied.clone() };
        let hopeless = ReceiptItem::applied("notion", UndoAction::none("a reset cannot be taken back"));
        assert!(!receipt(vec![already.clone(), hopeless.clone()]).can_be_undone());
        let mut mixed = receipt(vec![already, applied, hopeless]);
        assert!(mixed.can_be_undone());
        mixed.undone_by = Some("r-2".into());
        assert!(!mixed.can_be_undone());
        assert_eq!(serde_json::to_value(undo).unwrap(), serde_json::json!({"do": "resume", "scope": "all"}),);
    }
}
