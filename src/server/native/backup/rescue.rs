//! Starting without a store that can be used: it is said plainly, and a backup takes its place when somebody asks for
//! that. The damaged file is moved aside, never removed; a store that is whole is never replaced here.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::store::{self, StoreError, journal, query};
use super::folder::{Folder, Kept, copy_file, stamp, sync_folder};
use super::{blend, snapshot, verify};
use crate::error::{Fault, Kind};
use crate::server::backend::Refusal;
use crate::server::config::SETTINGS_FILE;
use crate::server::jobs::Progress;
use crate::wire::{Pause, PauseScope, Time};

/// Names the newest backup on the command line.
const LATEST: &str = "latest";
/// A store's endings: the file, its log, the log's index.
const ENDINGS: [&str; 3] = ["db", "db-wal", "db-shm"];

/// A start from a backup.
#[derive(Debug)]
pub(in crate::server) struct Rescued {
    /// The backup's id.
    pub backup: String,
    /// Where the damaged store is now, if there was one.
    pub aside: Option<PathBuf>,
    /// Whether the settings made at run time came from the backup too, because they were gone.
    pub settings: bool,
}

impl fmt::Display for Rescued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Started from the backup {}", self.backup)?;
        if self.settings {
            f.write_str(", with its settings")?;
        }
        match &self.aside {
            Some(path) => write!(f, "; the damaged store is kept as {}", path.display()),
            None => Ok(()),
        }
    }
}

/// A backup in a store's place.
pub(super) struct Installed {
    /// Where the damaged store is now, if there was one.
    pub aside: Option<PathBuf>,
    /// What waits and is looked for on its platform before it is sent.
    pub looked_for: u64,
}

/// Before the store is opened: puts a backup in its place when `from` names one, and otherwise refuses to make a new
/// store where backups say that there was one.
pub(in crate::server) fn begin(data_dir: &Path, from: Option<&str>, now: Time) -> anyhow::Result<Option<Rescued>> {
    let (folder, path) = (Folder::of(data_dir), data_dir.join(store::FILE));
    let Some(wanted) = from else {
        return match missing(&path) {
            Some(how) => ensure_first(&folder, &path, how).map(|()| None),
            None => Ok(None),
        };
    };
    ensure_unusable(&path)?;
    folder.sweep();
    let kept = choose(&folder, wanted)?;
    let id = kept.manifest.id.clone();
    let failed = |why: &str| {
        let older = folder.list().0.into_iter().map(|k| k.manifest.id).find(|other| *other < id);
        Fault::new(Kind::Failed, format!("cannot start from the backup {id}")).because(why).hint(match older {
            Some(older) => format!("try the one before it: `--from-backup {older}`"),
            None => format!("there is none before it in {}", folder.path().display()),
        })
    };
    let refused = |refusal: Refusal| failed(&refusal.message);
    let scratch = folder.scratch().map_err(refused)?;
    let looked = verify::look(&kept, scratch.path(), &Progress::unheard()).map_err(refused)?;
    let Some(next) = looked.store else {
        return Err(failed(&looked.lines.first_complaint().unwrap_or_default()).into());
    };
    kept.mark_restored(now)?;
    let settings = bring_settings(&kept, data_dir).map_err(|error| failed(&format!("its settings: {error}")))?;
    let installed = install(&next, &kept, data_dir, now).map_err(|error| failed(&error.to_string()))?;
    Ok(Some(Rescued { backup: id, aside: installed.aside, settings }))
}

/// What to type when the store cannot be opened because it is damaged.
pub(in crate::server) fn instead(data_dir: &Path) -> String {
    match Folder::of(data_dir).list().0.first() {
        Some(newest) => format!(
            "add `--from-backup latest` to the command to start from the backup {}; the damaged file is kept",
            newest.manifest.id
        ),
        None => "there is no backup: keep a copy of the file, and move it away to begin with an empty store".to_owned(),
    }
}

/// Puts a looked-at store in the place of one that is gone or damaged. Everything in it is paused: what has happened
/// since is known to nobody, so a person has the first look.
pub(super) fn install(next: &Path, kept: &Kept, data_dir: &Path, now: Time) -> Result<Installed, StoreError> {
    let id = &kept.manifest.id;
    let mut conn = Connection::open(next)?;
    let tx = conn.transaction()?;
    let looked_for = blend::look_first(&tx, "TRUE")?;
    let reason = Some(format!("the store is the backup {id}; what happened after it is not known"));
    journal::pause(&tx, &Pause { scope: PauseScope::All, owner: "a start from a backup".into(), reason, since: now })?;
    tx.commit()?;
    snapshot::single_file(&conn)?;
    drop(conn);
    let path = data_dir.join(store::FILE);
    let failed = |e: io::Error| StoreError::io("replace", &path, &e);
    fs::File::open(next).and_then(|file| file.sync_all()).map_err(failed)?;
    let aside = set_aside(&path, now).map_err(failed)?;
    fs::rename(next, &path).and_then(|()| sync_folder(data_dir)).map_err(failed)?;
    Ok(Installed { aside, looked_for })
}

/// How a store is missing, if it is: SQLite would make an empty one in its place.
pub(super) fn missing(path: &Path) -> Option<&'static str> {
    let size = |path: &Path| fs::metadata(path).map(|meta| meta.len());
    let log = size(&path.with_extension("db-wal")).unwrap_or(0);
    match size(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("it is not there"),
        Ok(0) if log == 0 => Some("it is empty"),
        _ => None,
    }
}

/// What is wrong with a store that is there; `None` when nothing is.
pub(super) fn damage(path: &Path) -> Result<Option<String>, StoreError> {
    let looked = || {
        store::ensure_whole(path)?;
        let conn = store::open_reader(path)?;
        let verdict = query::quick_check(&conn)?;
        if verdict != "ok" {
            return Err(StoreError::Corrupt(verdict));
        }
        if query::shape(&conn)?.0 == query::schema_version() {
            super::super::read_kept(&conn).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        }
        Ok(())
    };
    match looked() {
        Ok(()) => Ok(None),
        Err(StoreError::Corrupt(why)) => Ok(Some(why)),
        Err(other) => Err(other),
    }
}

/// A start may make a new store only where none has been.
fn ensure_first(folder: &Folder, path: &Path, how: &str) -> anyhow::Result<()> {
    let (kept, damaged) = folder.list();
    let count = match kept.len() + damaged.len() {
        0 => return Ok(()),
        1 => "a backup".to_owned(),
        n => format!("{n} backups"),
    };
    let backups = folder.path().display();
    Err(Fault::new(Kind::Failed, format!("cannot start without the store {}", path.display()))
        .because(format!("{how}, and {backups} has {count} of it: a new one would forget what was accepted"))
        .hint(format!(
            "add `--from-backup latest` to the command to start from the newest; to begin anew, move {backups} away"
        ))
        .into())
}

fn ensure_unusable(path: &Path) -> anyhow::Result<()> {
    if missing(path).is_some() {
        return Ok(());
    }
    match damage(path) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Fault::new(Kind::Conflict, format!("the store {} can be used", path.display()))
            .because("a start from a backup is for a store that is gone or damaged")
            .hint("start without --from-backup; to go back in time, type `opsctl restore point` while it runs")
            .into()),
        Err(error) => Err(Fault::new(Kind::Failed, format!("cannot tell whether {} is damaged", path.display()))
            .because(error.to_string())
            .hint(error.advice())
            .into()),
    }
}

/// By id, or the newest.
fn choose(folder: &Folder, wanted: &str) -> Result<Kept, Fault> {
    let (kept, damaged) = folder.list();
    let found = kept.iter().find(|k| wanted == LATEST || k.manifest.id == wanted).cloned();
    found.ok_or_else(|| {
        let there: Vec<String> = kept.into_iter().map(|k| k.manifest.id).chain(damaged).collect();
        let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
        Fault::new(Kind::NotFound, format!("there is no backup `{wanted}` to start from"))
            .because(format!("{} has {there}", folder.path().display()))
            .hint("name one that is there, or copy a backup's folder there")
    })
}

/// The settings made at run time are newer than the backup's, unless they are gone.
fn bring_settings(kept: &Kept, data_dir: &Path) -> io::Result<bool> {
    let (theirs, ours) = (kept.path.join(SETTINGS_FILE), data_dir.join(SETTINGS_FILE));
    if ours.exists() || !theirs.exists() {
        return Ok(false);
    }
    copy_file(&theirs, &ours).map(|_| true)
}

/// Moves a store and its log away. The file goes first: it is not there any more when the log has left it. A log that
/// was left behind would be taken for the next store's.
fn set_aside(path: &Path, now: Time) -> io::Result<Option<PathBuf>> {
    let stamp = stamp(now);
    let named = |n: usize| path.with_file_name(format!("orchestrator.damaged-{stamp}-{n}.db"));
    let free = |to: &PathBuf| ENDINGS.iter().all(|ending| !to.with_extension(ending).exists());
    let to = (1..).map(named).find(free).unwrap_or_else(|| named(0));
    let mut moved = None;
    for ending in ENDINGS {
        match fs::rename(path.with_extension(ending), to.with_extension(ending)) {
            Ok(()) => {
                moved.get_or_insert_with(|| to.with_extension(ending));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}
