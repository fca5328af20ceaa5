//! Which files of a folder are which log, in the runbook's layout and in the application's own.
//!
//! In the runbook's layout every log is a file of its own, and `application.log` has all that is in the others. The
//! application itself writes `combined.log` and beside it files that tell of other things: its log of everything is all
//! of them together.

use std::io;
use std::path::Path;

use super::ask;
use super::files::{self, Family};
use crate::wire::{LogName, Time};

/// A log with its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What it consists of; never empty.
    pub parts: Vec<Part>,
}

/// One family of a log's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its files.
    pub family: Family,
    /// What it has from here on is in another part as well, and is not read again.
    pub until: Option<Time>,
}

impl From<Family> for Log {
    fn from(family: Family) -> Self {
        Log { parts: vec![Part { family, until: None }] }
    }
}

impl Log {
    /// This log and another as one.
    pub fn with(mut self, other: Option<Log>) -> Log {
        self.parts.extend(other.into_iter().flat_map(|log| log.parts));
        self
    }

    /// The families that new lines come into.
    pub fn growing(&self) -> impl Iterator<Item = &Family> {
        self.parts.iter().filter(|part| part.until.is_none()).map(|part| &part.family)
    }
}

/// Names the application gives to its log of everything, and to its errors, which are in the former too.
const EVERYTHING: [&str; 2] = ["combined", "app"];
const ERRORS: &str = "error";
/// What it writes beside them: tries of actions, their figures, events, what was given up, what fallbacks kept.
const BESIDE: [&str; 5] = ["executions", FIGURES, "events", "failed-operations", "fallback_log"];
const FIGURES: &str = "metrics";

/// A log of a folder; `None` when the folder has none of that name in either layout.
pub fn log(folder: &Path, name: LogName) -> io::Result<Option<Log>> {
    let mut families = files::discover(folder)?;
    let mut take = |name: &str| {
        let at = families.iter().position(|family| family.name == name)?;
        Some(families.swap_remove(at))
    };
    if let Some(family) = take(name.as_str()) {
        return Ok(Some(family.into()));
    }
    Ok(match name {
        LogName::Errors => take(ERRORS).map(Log::from),
        LogName::Application => {
            let everything = EVERYTHING.into_iter().find_map(&mut take);
            let mut parts: Vec<Part> = Vec::new();
            let errors = take(ERRORS);
            // An error is in both files: of its own file only what the other does not have any more.
            let until = everything.as_ref().and_then(|family| ask::oldest(&family.clone().into()));
            parts.extend(everything.map(|family| Part { family, until: None }));
            parts.extend(errors.map(|family| Part { family, until }));
            parts.extend(BESIDE.into_iter().filter_map(take).map(|family| Part { family, until: None }));
            (!parts.is_empty()).then_some(Log { parts })
        }
        _ => None,
    })
}

/// The application's own file of figures, an action that ended in each line; `None` when the folder has none.
pub fn figures(folder: &Path) -> io::Result<Option<Log>> {
    Ok(files::discover(folder)?.into_iter().find(|family| family.name == FIGURES).map(Log::from))
}
