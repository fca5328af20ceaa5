//! What a service that does not answer left beside its log files: the figures it recorded, and its audit log.

use std::path::PathBuf;

use super::place;
use crate::app::{App, StaleArgs};
use crate::error::{Explained, Kind, Outcome};
use crate::server::audit;
use crate::server::telemetry::Recorded;
use crate::wire::{AuditRecord, Time};

/// What it left.
pub(in crate::commands) struct Left {
    /// What it recorded about itself.
    pub(in crate::commands) recorded: Recorded,
    folder: PathBuf,
    why: String,
}

impl Left {
    /// Changes that were asked for, newest first.
    pub(in crate::commands) fn changes(&self, from: Time, to: Time, most: u64) -> anyhow::Result<Vec<AuditRecord>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(audit::left_in(&self.folder, Some(from), Some(to), most)?.records)
    }

    /// How an answer from it ends.
    pub(in crate::commands) fn end(&self, app: &App, stale: StaleArgs) -> Outcome {
        stale.left(app, &self.why, &format!("what it recorded in {}", self.folder.display()))
    }
}

/// What was left by a service that does not answer, as `error` says; the error itself for every other one, and where the
/// context's data folder is not on this machine. The clock is moved to the sandbox's.
pub(in crate::commands) async fn left(app: &App, error: anyhow::Error) -> anyhow::Result<Left> {
    let explained = Explained::from_error(&error);
    if explained.kind != Kind::Unreachable {
        return Err(error);
    }
    // The logs are in the data folder.
    let Ok(Some(logs)) = place::folder(app).await else { return Err(error) };
    let Some(folder) = logs.parent().map(PathBuf::from) else { return Err(error) };
    match Recorded::look(&folder, app.now())? {
        Some(recorded) => Ok(Left { recorded, folder, why: explained.message }),
        None => Err(place::because(error, format!("and no record of it is in {}", folder.display()))),
    }
}
