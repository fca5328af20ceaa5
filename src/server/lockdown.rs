//! Lockdown: nobody but the break-glass token is let in, and what it may do is what leads out again.
//!
//! One small file says that it is on, and is written before anything else happens: a crash in the middle leaves the
//! service shut, and the next start finishes the revoking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::backend::Refusal;
use super::tokens::Tokens;
use crate::error::{Fault, Kind};
use crate::files;
use crate::wire::{ErrorCode, Lockdown};

/// The file in the data directory that says so.
const FILE: &str = "lockdown.json";

/// What the break-glass token may change meanwhile: keys, pauses, backups, and the way back. Nothing is taken in, no
/// token is made, nothing is resumed.
const ALLOWED: [(&str, &str); 11] = [
    ("PUT", "/admin/v1/config/{name}"),
    ("DELETE", "/admin/v1/config/{name}"),
    ("POST", "/admin/v1/config/{name}/keep"),
    ("POST", "/admin/v1/config/{name}/back"),
    ("POST", "/admin/v1/components/{component}/restart"),
    ("POST", "/admin/v1/executors/{platform}/restart"),
    ("POST", "/admin/v1/pauses"),
    ("POST", "/admin/v1/backups"),
    ("POST", "/admin/v1/security/lockdown"),
    ("POST", "/admin/v1/security/restore"),
    ("POST", "/admin/v1/clock"),
];

/// A lockdown with what is needed to end it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// What everybody may know.
    #[serde(flatten)]
    pub lockdown: Lockdown,
    /// Fingerprints of the credentials that were in use, by variable: each has to be another one before it ends.
    pub credentials: BTreeMap<String, String>,
    /// Whether it set the pause: one that somebody else set before outlives it.
    pub paused: bool,
}

/// Whether the service is locked down.
#[derive(Debug)]
pub struct Lockdowns {
    path: PathBuf,
    now: RwLock<Option<Kept>>,
}

impl Lockdowns {
    /// Reads the file. A file that cannot be understood does not open the service.
    pub fn open(data_dir: &Path, tokens: &Tokens) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        let kept = match files::read_if_there(&path)? {
            None => None,
            Some(text) => Some(serde_json::from_str::<Kept>(&text).map_err(|e| {
                Fault::new(Kind::Failed, format!("cannot read the lockdown in `{}`", path.display()))
                    .because(e.to_string())
                    .hint("a service that may be locked down does not start open; removing the file ends the lockdown")
            })?),
        };
        if let Some(kept) = &kept {
            tokens.revoke_all(&kept.lockdown.revoked, kept.lockdown.since)?;
        }
        Ok(Lockdowns { path, now: RwLock::new(kept) })
    }

    /// The lockdown in force.
    pub fn current(&self) -> Option<Kept> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shuts everybody out, from this moment on. When the disk does not take it, it holds until the next start.
    pub fn begin(&self, kept: Kept) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&kept)? + "\n";
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        files::write_whole(&self.path, text.as_bytes(), true)
    }

    /// Lets people in again.
    pub fn end(&self) -> anyhow::Result<()> {
        files::remove_if_there(&self.path)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// Whether the break-glass token may make this change while the service is locked down.
pub fn may_change(method: &str, route: &str) -> bool {
    ALLOWED.contains(&(method, route))
}

/// What everybody else is told.
pub fn refusal(lockdown: &Lockdown) -> Refusal {
    let by = lockdown.operator.as_deref().unwrap_or(&lockdown.by);
    let why = lockdown.reason.as_deref().map(|r| format!(", \"{r}\"")).unwrap_or_default();
    Refusal::new(ErrorCode::LockedDown, format!("the service is locked down since {} by {by}{why}", lockdown.since))
}
