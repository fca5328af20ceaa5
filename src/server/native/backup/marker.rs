//! What makes a restore of store and settings one step: a note beside the store. A kill before the store got its name
//! leaves the old one and its settings; one after it is finished by the next start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::folder::{Folder, sync_folder};
use crate::files::{read_if_there, write_whole};
use crate::server::config::SETTINGS_FILE;

/// The note's name in the data folder.
const FILE: &str = "restore.json";
/// The name of the store that is about to be put in place.
const NEXT: &str = "orchestrator.next.db";

/// A restore that is not finished.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Id of the backup.
    pub backup: String,
    /// Whether its settings come back too.
    pub settings: bool,
}

/// Where the store waits that is put in place.
pub(super) fn next(data_dir: &Path) -> PathBuf {
    data_dir.join(NEXT)
}

impl Marker {
    /// Notes that the store at [`next`] is about to be put in place.
    pub(super) fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        write_whole(&data_dir.join(FILE), &serde_json::to_vec(self)?, true)
    }
}

/// Forgets it: everything is in place, or nothing is.
pub(super) fn remove(data_dir: &Path) -> io::Result<()> {
    for name in [NEXT, FILE] {
        match fs::remove_file(data_dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync_folder(data_dir)
}

/// Before anything is opened: finishes a restore that a kill interrupted after the store was in place, and takes back one
/// that it interrupted before. Gives what it did, for the log.
pub(in crate::server) fn settle(data_dir: &Path) -> anyhow::Result<Option<String>> {
    let path = data_dir.join(FILE);
    let waiting = next(data_dir).exists();
    let Some(text) = read_if_there(&path)? else {
        if waiting {
            remove(data_dir)?;
        }
        return Ok(None);
    };
    let marker: Marker =
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
    let id = &marker.backup;
    if !waiting && marker.settings {
        put_settings(data_dir, id).with_context(|| format!("cannot finish the restore of {id}"))?;
    }
    remove(data_dir)?;
    Ok(Some(match waiting {
        true => format!("The restore of {id} was interrupted before it took effect: nothing was restored"),
        false => format!("The restore of {id} was interrupted at its end and is finished"),
    }))
}

/// The settings of a backup, as text; none were made at run time when it has none.
pub(super) fn settings_of(folder: &Folder, id: &str) -> anyhow::Result<Option<String>> {
    read_if_there(&folder.path().join(id).join(SETTINGS_FILE))
}

fn put_settings(data_dir: &Path, id: &str) -> anyhow::Result<()> {
    let text = settings_of(&Folder::of(data_dir), id)?.unwrap_or_else(|| "{}\n".to_owned());
    write_whole(&data_dir.join(SETTINGS_FILE), text.as_bytes(), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::scratch;

    #[test]
    fn an_interrupted_restore_is_finished_or_taken_back() {
        let dir = scratch("marker");
        let at = |name: &str| dir.path().join(name);
        let settings = || fs::read_to_string(at(SETTINGS_FILE)).unwrap();
        write_whole(&at("backups/b1/settings.json"), b"{\"old\":1}", true).unwrap();
        fs::write(at(SETTINGS_FILE), "{\"new\":1}").unwrap();
        assert_eq!(settle(dir.path()).unwrap(), None);

        let marker = Marker { backup: "b1".into(), settings: true };
        marker.write(dir.path()).unwrap();
        fs::write(next(dir.path()), "a store").unwrap();
        assert!(settle(dir.path()).unwrap().unwrap().contains("nothing was restored"));
        assert_eq!((settings().as_str(), next(dir.path()).exists()), ("{\"new\":1}", false));

        marker.write(dir.path()).unwrap();
        assert!(settle(dir.path()).unwrap().unwrap().contains("is finished"));
        assert_eq!(settings(), "{\"old\":1}");
        assert_eq!(settle(dir.path()).unwrap(), None);

        Marker { backup: "b2".into(), settings: true }.write(dir.path()).unwrap();
        settle(dir.path()).unwrap();
        assert_eq!(settings(), "{}\n", "no settings had been made");
    }
}
