//! Backups on the disk: one folder each, named by its moment. It gets that name only once everything in it is synced, so
//! a half backup is never seen.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::files::{make_directory, write_whole};
use crate::server::backend::Refusal;
use crate::wire::{Backup, BackupFile, BackupKind, BackupManifest, ErrorCode, Time};

/// Where they are, inside the data folder.
const FOLDER: &str = "backups";
/// What a backup says of itself.
const MANIFEST: &str = "manifest.json";
/// When a backup was last found whole.
const VERIFIED: &str = "verified.json";
/// That a backup was put in place once.
const RESTORED: &str = "restored.json";
/// First characters of what is not finished; the next start removes it.
const UNFINISHED: &str = ".unfinished-";

/// The backups of one service.
#[derive(Clone, Debug)]
pub(in crate::server) struct Folder {
    data_dir: PathBuf,
    path: PathBuf,
}

/// A backup that is whole, as far as its names go.
#[derive(Clone, Debug)]
pub(in crate::server) struct Kept {
    pub manifest: BackupManifest,
    pub verified_at: Option<Time>,
    pub path: PathBuf,
}

/// When something happened to a backup.
#[derive(Serialize, Deserialize)]
struct Noted {
    at: Time,
}

impl Folder {
    /// Those of a data folder; nothing is made yet.
    pub(in crate::server) fn of(data_dir: &Path) -> Folder {
        Folder { data_dir: data_dir.to_owned(), path: data_dir.join(FOLDER) }
    }

    /// Where they are.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what an earlier run did not finish.
    pub(in crate::server) fn sweep(&self) {
        for folder in [&self.path, &self.data_dir] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
    }

    /// All of them, newest first, and the folders that are none any more, with why.
    pub(in crate::server) fn list(&self) -> (Vec<Kept>, Vec<String>) {
        let (mut kept, mut damaged) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || !entry.path().is_dir() {
                continue;
            }
            match read(&entry.path(), &name) {
                Ok(backup) => kept.push(backup),
                Err(why) => damaged.push(format!("{name}: {why}")),
            }
        }
        kept.sort_by(|a, b| {
            let order = |k: &Kept| (k.manifest.created_at, k.manifest.id.clone());
            order(b).cmp(&order(a))
        });
        damaged.sort();
        (kept, damaged)
    }

    /// One by id.
    pub(in crate::server) fn find(&self, id: &str) -> Result<Kept, Refusal> {
        let unknown = || Refusal::not_found(format!("backup `{id}`; `opsctl state backups` lists them"));
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(unknown());
        }
        let path = self.path.join(id);
        if !path.is_dir() {
            return Err(unknown());
        }
        read(&path, id).map_err(|why| damaged(id, &why))
    }

    /// A new one in the making, whose moment is `now`.
    pub(super) fn begin(&self, now: Time) -> Result<Draft, Refusal> {
        let stamp = stamp(now);
        let taken = |id: &String| self.path.join(id).exists();
        let ids = std::iter::once(stamp.clone()).chain((2..).map(|n| format!("{stamp}-{n}")));
        let id = ids.into_iter().find(|id| !taken(id)).unwrap_or(stamp);
        let path = self.path.join(format!("{UNFINISHED}{id}"));
        let _ = fs::remove_dir_all(&path);
        make_directory(&path).map_err(|e| unwritten_file(&path, &e))?;
        Ok(Draft { id, path, folder: self.path.clone(), finished: false })
    }

    /// A folder for trying things, on the same disk as the store.
    pub(in crate::server) fn scratch(&self) -> Result<Scratch, Refusal> {
        let path = self.data_dir.join(format!("{UNFINISHED}{}", uuid::Uuid::now_v7()));
        make_directory(&path).map_err(|e| unwritten_file(&path, &e))?;
        Ok(Scratch(path))
    }

    /// Removes the oldest beyond `keep`; the newest one that was verified stays in any case. Gives their ids.
    pub(super) fn prune(&self, keep: usize) -> Vec<String> {
        let kept = self.list().0;
        let verified = kept.iter().find(|k| k.verified_at.is_some()).map(|k| k.manifest.id.clone());
        let old = kept.into_iter().skip(keep).filter(|k| Some(&k.manifest.id) != verified.as_ref());
        // One that cannot be removed is still listed.
        old.filter(|k| fs::remove_dir_all(&k.path).is_ok()).map(|k| k.manifest.id).collect()
    }
}

fn read(path: &Path, id: &str) -> Result<Kept, String> {
    let text = fs::read_to_string(path.join(MANIFEST)).map_err(|e| format!("its manifest cannot be read: {e}"))?;
    let manifest: BackupManifest =
        serde_json::from_str(&text).map_err(|e| format!("its manifest cannot be understood: {e}"))?;
    if manifest.id != id {
        return Err(format!("its manifest is the one of {}", manifest.id));
    }
    let inside = |name: &str| Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if let Some(file) = manifest.files.iter().find(|file| !inside(&file.name)) {
        return Err(format!("its manifest names a file outside of it: {}", file.name));
    }
    let verified = fs::read_to_string(path.join(VERIFIED)).ok();
    let verified_at = verified.and_then(|text| serde_json::from_str::<Noted>(&text).ok()).map(|v| v.at);
    Ok(Kept { manifest, verified_at, path: path.to_owned() })
}

impl Kept {
    /// What a listing says of it.
    pub(super) fn shown(&self) -> Backup {
        let BackupManifest { id, created_at, kind, full, version, schema_version, environment, note, files, rows } =
            self.manifest.clone();
        let count = |table: &str| rows.get(table).copied().unwrap_or(0);
        Backup {
            bytes: files.iter().map(|file| file.bytes).sum(),
            workflows: count("workflows"),
            actions: count("actions"),
            queue_items: count("queue"),
            verified_at: self.verified_at,
            id,
            created_at,
            kind,
            full,
            version,
            schema_version,
            environment,
            note,
        }
    }

    /// Remembers that it was found whole.
    pub(super) fn mark_verified(&self, at: Time) -> anyhow::Result<()> {
        write_whole(&self.path.join(VERIFIED), &serde_json::to_vec(&Noted { at })?, true)
    }

    /// Whether what waits in it cannot have been sent since: it is what a restore replaced, and was never put back.
    pub(super) fn is_untouched(&self) -> bool {
        self.manifest.kind == BackupKind::Safety && !self.path.join(RESTORED).exists()
    }

    /// Remembers that it was put in place.
    pub(super) fn mark_restored(&self, at: Time) -> anyhow::Result<()> {
        write_whole(&self.path.join(RESTORED), &serde_json::to_vec(&Noted { at })?, true)
    }

    /// Remembers nothing of earlier looks: this one found it damaged.
    pub(super) fn mark_damaged(&self) {
        let _ = fs::remove_file(self.path.join(VERIFIED));
    }
}

/// A backup in the making; what is not finished goes away.
pub(super) struct Draft {
    pub id: String,
    pub path: PathBuf,
    folder: PathBuf,
    finished: bool,
}

impl Draft {
    /// Everything is in its files: it becomes a backup.
    pub(super) fn finish(mut self, manifest: BackupManifest) -> Result<Kept, Refusal> {
        let mut text =
            serde_json::to_vec_pretty(&manifest).map_err(|e| Refusal::new(ErrorCode::UnknownError, e.to_string()))?;
        text.push(b'\n');
        write_whole(&self.path.join(MANIFEST), &text, true).map_err(|e| unwritten_file(&self.path, &e))?;
        let path = self.folder.join(&self.id);
        let named = fs::rename(&self.path, &path).and_then(|()| sync_folder(&self.folder));
        named.map_err(|e| unwritten_io(&path, &e))?;
        self.finished = true;
        Ok(Kept { manifest, verified_at: None, path })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A folder that goes away with its value.
pub(in crate::server) struct Scratch(PathBuf);

impl Scratch {
    /// Where it is.
    pub(in crate::server) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A moment as part of a file's name: `2026-11-23T10-15-00Z`.
pub(super) fn stamp(at: Time) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

/// Makes an empty file that only its owner can read.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).create(folder)?;
    }
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Copies a file and syncs the copy.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    let mut target = private_file(to)?;
    let bytes = io::copy(&mut File::open(from)?, &mut target)?;
    target.sync_all()?;
    Ok(bytes)
}

/// Makes names in a folder outlast a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file's size and SHA-256. `told` hears how many bytes were read.
pub(super) fn measure(path: &Path, name: &str, mut told: impl FnMut(u64)) -> io::Result<BackupFile> {
    let mut file = File::open(path)?;
    let (mut digest, mut bytes, mut chunk) = (Context::new(&SHA256), 0, vec![0; 1 << 20]);
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        digest.update(&chunk[..count]);
        bytes += count as u64;
        told(bytes);
    }
    let sha256 = digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(BackupFile { name: name.to_owned(), bytes, sha256 })
}

/// A backup that cannot be used.
pub(super) fn damaged(id: &str, why: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownError, format!("the backup {id} is damaged: {why}"))
}

/// Something of a backup cannot be written.
pub(super) fn unwritten(path: &Path, why: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownError, format!("the backup cannot be written to {}: {why}", path.display()))
}

/// The same, when the system says why.
pub(super) fn unwritten_io(path: &Path, error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => no_room(path, &error.to_string()),
        _ => unwritten(path, &error.to_string()),
    }
}

/// The same, when a file of ours could not be written.
pub(super) fn unwritten_file(path: &Path, error: &anyhow::Error) -> Refusal {
    match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) {
        Some(cause) => unwritten_io(path, cause),
        None => unwritten(path, &format!("{error:#}")),
    }
}

/// There is no room for what is being made.
pub(super) fn no_room(path: &Path, why: &str) -> Refusal {
    let message = format!("the disk has no room left for {}: {why}; nothing of it was kept", path.display());
    Refusal::new(ErrorCode::QuotaExceeded, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::server::testing::scratch;

    fn manifest(id: &str, at: i64) -> BackupManifest {
        BackupManifest {
            id: id.to_owned(),
            created_at: Time(at),
            kind: BackupKind::Manual,
            full: false,
            version: "0.1.0".into(),
            schema_version: 1,
            environment: "staging".into(),
            note: None,
            files: Vec::new(),
            rows: BTreeMap::from([("workflows".to_owned(), 3)]),
        }
    }

    fn made(folder: &Folder, at: i64) -> Kept {
        let draft = folder.begin(Time(at)).unwrap();
        let manifest = manifest(&draft.id, at);
        draft.finish(manifest).unwrap()
    }

    #[test]
    fn a_backup_is_named_by_its_moment_and_seen_only_when_it_is_finished() {
        let dir = scratch("backups");
        let folder = Folder::of(dir.path());
        let draft = folder.begin(Time(1_764_000_000_000)).unwrap();
        assert_eq!(draft.id, "2025-11-24T16-00-00Z");
        assert!(folder.list().0.is_empty());
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "what is given up leaves nothing");

        let first = made(&folder, 1_764_000_000_000);
        let second = made(&folder, 1_764_000_000_500);
        assert_eq!(second.manifest.id, "2025-11-24T16-00-00Z-2");
        let ids: Vec<String> = folder.list().0.into_iter().map(|k| k.manifest.id).collect();
        assert_eq!(ids, [second.manifest.id.clone(), first.manifest.id.clone()]);
        assert_eq!(folder.find(&first.manifest.id).unwrap().shown().workflows, 3);
        for bad in ["", "..", "../x", "2020-01-01T00-00-00Z"] {
            assert_eq!(folder.find(bad).unwrap_err().code, ErrorCode::NotFound, "{bad}");
        }
    }

    #[test]
    fn a_damaged_manifest_is_said_and_none_may_point_elsewhere() {
        let dir = scratch("backups");
        let folder = Folder::of(dir.path());
        let kept = made(&folder, 1_764_000_000_000);
        let id = kept.manifest.id.clone();
        let mut outside = kept.manifest.clone();
        outside.files.push(BackupFile { name: "../orchestrator.db".into(), bytes: 1, sha256: String::new() });
        for text in ["{".to_owned(), serde_json::to_string(&outside).unwrap()] {
            fs::write(kept.path.join(MANIFEST), text).unwrap();
            assert!(folder.find(&id).unwrap_err().message.contains("is damaged"));
            assert_eq!(folder.list().1.len(), 1);
        }
    }

    #[test]
    fn the_newest_are_kept_and_the_newest_verified_one() {
        let dir = scratch("backups");
        let folder = Folder::of(dir.path());
        let all: Vec<Kept> = (0..5).map(|n| made(&folder, 1_764_000_000_000 + n * 60_000)).collect();
        all[1].mark_verified(Time(1)).unwrap();
        let removed = folder.prune(2);
        let id = |n: usize| all[n].manifest.id.clone();
        assert_eq!(removed, [id(2), id(0)]);
        assert_eq!(folder.list().0.len(), 3);
        all[1].mark_damaged();
        assert_eq!(folder.prune(2), [id(1)]);
    }

    #[test]
    fn what_an_earlier_run_left_is_swept() {
        let dir = scratch("backups");
        let folder = Folder::of(dir.path());
        std::mem::forget(folder.begin(Time(0)).unwrap());
        std::mem::forget(folder.scratch().unwrap());
        let kept = made(&folder, 0);
        folder.sweep();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(kept.path.is_dir() && fs::read_dir(folder.path()).unwrap().count() == 1);
    }
}
