//! What the orchestrator said last: one small file for each context and kind, in the cache directory.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Offer;
use crate::analysis::span;
use crate::engine::canonical::sha256_hex;
use crate::files::make_directory;
use crate::settings::Settings;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// When, in milliseconds since 1970.
    at: u64,
    offered: Vec<Offer>,
}

/// The file of one kind.
pub(super) struct Cache {
    path: PathBuf,
}

impl Cache {
    pub(super) fn of(settings: &Settings, kind: &str) -> Cache {
        // A context's name may be anything that a key of TOML can be.
        let context = sha256_hex(&settings.context_name.value, 16);
        Cache { path: settings.places.cache.join("complete").join(context).join(format!("{kind}.json")) }
    }

    /// Keeps what was said. A file that cannot be written, or is read half written, only costs an offer.
    pub(super) fn keep(&self, offered: &[Offer]) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = Kept { at: u64::try_from(at.as_millis()).unwrap_or(0), offered: offered.to_vec() };
        let written = self.path.parent().is_some_and(|directory| make_directory(directory).is_ok());
        if let (true, Ok(text)) = (written, serde_json::to_vec(&kept)) {
            let _ = std::fs::write(&self.path, text);
        }
    }

    /// What was said last, with its age.
    pub(super) fn last(&self) -> Vec<Offer> {
        let Ok(text) = std::fs::read(&self.path) else { return Vec::new() };
        let Ok(kept) = serde_json::from_slice::<Kept>(&text) else { return Vec::new() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let age = span(now.saturating_sub(Duration::from_millis(kept.at)));
        let aged = kept.offered.into_iter().map(|offer| {
            let before = if offer.help.is_empty() { String::new() } else { format!("{}, ", offer.help) };
            Offer { help: format!("{before}{age} ago"), ..offer }
        });
        aged.collect()
    }
}
