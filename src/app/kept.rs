//! The last answer of each kind that the orchestrator gave, kept for the time when it gives none. By context, in the
//! state directory; what it says passes the filter that knows the secrets.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::App;
use crate::engine::canonical::sha256_hex;
use crate::files::{read_if_there, write_unsynced};
use crate::settings::ContextKind;
use crate::wire::Time;

/// Answers about single things that are kept; older ones make room.
const SINGLES: usize = 50;

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Everything on one screen.
    System,
    /// Health of the whole.
    Health,
    /// The queue's counts.
    Queue,
    /// All circuits.
    Circuits,
    /// All rate limits.
    RateLimits,
    /// All executors.
    Executors,
    /// What became of the actions of a day.
    Performance,
    /// The orchestrator's host.
    Host,
    /// One workflow.
    Workflow(String),
}

impl Kept {
    /// Its file's name, without the ending.
    fn file(&self) -> String {
        match self {
            Kept::System => "system".into(),
            Kept::Health => "health".into(),
            Kept::Queue => "queue".into(),
            Kept::Circuits => "circuits".into(),
            Kept::RateLimits => "rate-limits".into(),
            Kept::Executors => "executors".into(),
            Kept::Performance => "performance".into(),
            Kept::Host => "host".into(),
            Kept::Workflow(id) => format!("workflow-{}", sha256_hex(id, 32)),
        }
    }
}

/// An answer, and when it was given.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot<T> {
    /// When.
    pub as_of: Time,
    context: String,
    url: Option<String>,
    /// What was answered.
    pub answer: T,
}

impl App {
    /// Keeps an answer. That it could not be kept is nobody's business but a verbose caller's.
    pub fn keep<T: Serialize>(&self, kind: &Kept, answer: &T) {
        if let Err(error) = self.try_to_keep(kind, answer)
            && self.is_verbose()
        {
            self.note(format!("note: this answer is not kept for an outage: {error:#}"));
        }
    }

    fn try_to_keep<T: Serialize>(&self, kind: &Kept, answer: &T) -> anyhow::Result<()> {
        let context = self.settings.context()?.name.clone();
        let snapshot = Snapshot { as_of: self.now(), context, url: self.kept_url(), answer };
        let text = serde_json::to_string(&snapshot)?;
        write_unsynced(&self.kept_file(kind), self.output.redactor.redact(&text).as_bytes())?;
        if matches!(kind, Kept::Workflow(_)) {
            self.make_room()?;
        }
        Ok(())
    }

    /// The last answer of this kind; `None` when there is none of the place that the context points to, or it cannot be
    /// read any more.
    pub fn kept<T: DeserializeOwned>(&self, kind: &Kept) -> Option<Snapshot<T>> {
        let text = read_if_there(&self.kept_file(kind)).ok().flatten()?;
        let snapshot: Snapshot<T> = serde_json::from_str(&text).ok()?;
        let same = snapshot.context == self.settings.context_name.value && snapshot.url == self.kept_url();
        same.then_some(snapshot)
    }

    /// Whether there is an answer of this kind.
    pub fn has_kept(&self, kind: &Kept) -> bool {
        self.kept_file(kind).exists()
    }

    /// Where the context points. The sandbox may listen elsewhere each time and is the same.
    fn kept_url(&self) -> Option<String> {
        let context = self.settings.context().ok()?;
        (context.kind != ContextKind::Sandbox).then(|| context.place())
    }

    fn kept_folder(&self) -> PathBuf {
        self.settings.places.snapshots().join(sha256_hex(&self.settings.context_name.value, 16))
    }

    fn kept_file(&self, kind: &Kept) -> PathBuf {
        self.kept_folder().join(format!("{}.json", kind.file()))
    }

    /// Removes the oldest answers about single things.
    fn make_room(&self) -> anyhow::Result<()> {
        let mut singles = Vec::new();
        for entry in std::fs::read_dir(self.kept_folder())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("workflow-") {
                singles.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        if singles.len() > SINGLES {
            singles.sort();
            for (_, path) in &singles[..singles.len() - SINGLES] {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}
