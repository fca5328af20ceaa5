//! Backups: copies of the store of one moment, made while work goes on, and looked at by restoring them.
//!
//! What a backup holds: the store (actions, queue, workflows and their log, idempotency records, circuits, pauses) and
//! the settings made at run time; with `full` the metrics, the logs and the audit trail too. Never secrets or tokens.

mod blend;
mod drill;
mod flows;
mod folder;
mod marker;
mod rescue;
mod restore;
mod snapshot;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub(super) use folder::Folder;
pub(in crate::server) use marker::settle;
pub(in crate::server) use rescue::{Rescued, begin, instead};

use self::folder::{Draft, Kept, copy_file, measure, no_room, unwritten_io};
use super::runtime::Runtime;
use super::store::{self, StoreError};
use crate::server::backend::{Answer, BackupOps, ChangeContext, Refusal};
use crate::server::config::SETTINGS_FILE;
use crate::server::effects::who;
use crate::server::jobs::Progress;
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{
    BackupKind, BackupList, BackupMade, BackupManifest, BackupRequest, BackupVerdict, DrillReport, DrillRequest,
    ErrorCode, RestorePlan, RestoreScope, Restored,
};

/// The metrics' database, in the data folder and in a full backup.
const METRICS: &str = "metrics.db";
/// The log files' folder, in the data folder and in a full backup.
const LOGS: &str = "logs";
/// The audit trail, in the data folder and in a full backup.
const AUDIT: &str = "audit.jsonl";
/// Room that has to be left beside the copy, in bytes.
const SPARE: u64 = 1024 * 1024;

/// What the runtime keeps for backups.
pub(super) struct Backups {
    pub folder: Folder,
    /// The environment word, for the manifests.
    pub environment: String,
    /// One backup or restore at a time.
    pub one: tokio::sync::Mutex<()>,
}

impl Backups {
    /// Those of a data folder; what an earlier run did not finish is removed.
    pub(super) fn open(data_dir: &Path, environment: String) -> Backups {
        let folder = Folder::of(data_dir);
        folder.sweep();
        Backups { folder, environment, one: tokio::sync::Mutex::new(()) }
    }
}

/// What to put into a backup, and why.
struct Order {
    kind: BackupKind,
    full: bool,
    note: Option<String>,
}

impl Runtime {
    /// Makes a backup. The caller holds the lock of [`Backups::one`].
    async fn back_up(&self, order: Order, progress: &Progress) -> Result<Kept, Refusal> {
        self.while_copying(self.copy_all(order, progress)).await
    }

    /// Has the store copied while the work goes on.
    async fn while_copying<T>(&self, copy: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        // While the copy holds its view, the log cannot be brought into the file, so nobody tries; afterwards it is
        // done on a connection of its own. A commit that had to do it would be held up for as long as the copy took.
        self.store.write(|conn| store::set_checkpoints(conn, false)).await?;
        let made = copy.await;
        let path = self.store.path().to_owned();
        let brought_in = tokio::task::spawn_blocking(move || snapshot::bring_in_log(&path)).await;
        self.later(|conn| store::set_checkpoints(conn, true));
        if let Ok(Err(error)) = brought_in {
            self.telemetry.log(LogLine::warn(Part::Store, format!("the log stays long after a backup: {error}")));
        }
        made
    }

    async fn copy_all(&self, order: Order, progress: &Progress) -> Result<Kept, Refusal> {
        let (folder, environment) = (self.backups.folder.clone(), self.backups.environment.clone());
        let (source, data_dir, now) = (self.store.path().to_owned(), self.data_dir.clone(), self.now());
        let (telemetry, progress) = (Arc::clone(&self.telemetry), progress.clone());
        let work = tokio::task::spawn_blocking(move || {
            ensure_room(&source, folder.path(), 1)?;
            let draft = folder.begin(now)?;
            let copied = snapshot::copy(&source, &draft.path.join(store::FILE), |done, all| {
                progress.at("copy", done, all);
            });
            copied.map_err(|error| unwritten_store(&draft.path, &error))?;
            let mut names = vec![store::FILE.to_owned()];
            add_file(&data_dir, &draft, SETTINGS_FILE, &mut names)?;
            if order.full {
                // What was recorded until now is in the files after this; a line more or less is no matter.
                let _ = telemetry.flush();
                let metrics = snapshot::copy(&data_dir.join(METRICS), &draft.path.join(METRICS), |_, _| {});
                metrics.map_err(|error| unwritten_store(&draft.path, &error))?;
                names.push(METRICS.to_owned());
                add_file(&data_dir, &draft, AUDIT, &mut names)?;
                for log in files_below(&data_dir, Path::new(LOGS)) {
                    add_file(&data_dir, &draft, &log, &mut names)?;
                }
            }
            let manifest = describe(&draft, &order, names, now, environment, &progress)?;
            draft.finish(manifest)
        });
        work.await
            .unwrap_or_else(|e| Err(Refusal::new(ErrorCode::UnknownError, format!("the backup ended early: {e}"))))
    }
}

/// Copies of a store must not fill the disk that the service needs.
fn ensure_room(source: &Path, folder: &Path, copies: u64) -> Result<(), Refusal> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let needed = (size(source) + size(&source.with_extension("db-wal"))) * copies + SPARE;
    let on_disk = source.parent().unwrap_or(folder);
    match crate::server::host::status(on_disk).disk_free_bytes {
        Some(free) if free < needed => Err(no_room(folder, &format!("it needs {needed} bytes, and {free} are free"))),
        _ => Ok(()),
    }
}

fn unwritten_store(path: &Path, error: &StoreError) -> Refusal {
    match error {
        StoreError::Full(why) => no_room(path, why),
        other => folder::unwritten(path, &other.to_string()),
    }
}

/// Copies a file of the data folder, if it is there.
fn add_file(data_dir: &Path, draft: &Draft, name: &str, names: &mut Vec<String>) -> Result<(), Refusal> {
    match copy_file(&data_dir.join(name), &draft.path.join(name)) {
        Ok(_) => names.push(name.to_owned()),
        // A log file may turn over meanwhile; settings may never have been made.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let _ = std::fs::remove_file(draft.path.join(name));
        }
        Err(error) => return Err(unwritten_io(&draft.path, &error)),
    }
    Ok(())
}

/// Files below a folder of the data folder, by their names relative to it.
fn files_below(data_dir: &Path, folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data_dir.join(folder)).into_iter().flatten().flatten() {
        let path: PathBuf = folder.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(data_dir, &path)),
            Ok(kind) if kind.is_file() => found.extend(path.to_str().map(str::to_owned)),
            _ => {}
        }
    }
    found.sort();
    found
}

/// The manifest of what is in a draft.
fn describe(
    draft: &Draft,
    order: &Order,
    names: Vec<String>,
    now: crate::wire::Time,
    environment: String,
    progress: &Progress,
) -> Result<BackupManifest, Refusal> {
    let failed = |error: StoreError| unwritten_store(&draft.path, &error);
    progress.at("rows", 0, 0);
    let (rows, schema_version) = {
        let conn = store::open_reader(&draft.path.join(store::FILE)).map_err(failed)?;
        (snapshot::rows(&conn).map_err(failed)?, store::query::shape(&conn).map_err(failed)?.0)
    };
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let path = draft.path.join(&name);
        let total = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        let file = measure(&path, &name, |done| progress.at("hash", done, total));
        files.push(file.map_err(|e| unwritten_io(&path, &e))?);
    }
    Ok(BackupManifest {
        id: draft.id.clone(),
        created_at: now,
        kind: order.kind,
        full: order.full,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version,
        environment,
        note: order.note.clone(),
        files,
        rows,
    })
}

impl BackupOps for Runtime {
    fn list(&self) -> Answer<'_, BackupList> {
        Box::pin(async move {
            let (folder, keep) = (self.backups.folder.clone(), self.config.effective().backup_keep);
            let (kept, damaged) = blocking(move || Ok(folder.list())).await?;
            Ok(BackupList {
                backups: kept.iter().map(Kept::shown).collect(),
                damaged,
                keep: keep as u64,
                folder: self.backups.folder.path().display().to_string(),
            })
        })
    }

    fn create<'a>(
        &'a self,
        request: BackupRequest,
        cx: &'a ChangeContext,
        progress: &'a Progress,
    ) -> Answer<'a, BackupMade> {
        Box::pin(async move {
            let started = Instant::now();
            let _one = self.backups.one.lock().await;
            let order = Order { kind: BackupKind::Manual, full: request.full, note: cx.reason.clone() };
            let made = self.back_up(order, progress).await.inspect_err(|refusal| {
                self.telemetry.log(LogLine::error(Part::Store, format!("No backup was made: {}", refusal.message)));
            })?;
            let (folder, keep) = (self.backups.folder.clone(), self.config.effective().backup_keep);
            let removed = blocking(move || Ok(folder.prune(keep))).await?;
            let line = LogLine::info(Part::Store, format!("Backup made: {}", made.manifest.id)).field("by", who(cx));
            self.telemetry.log(line.request(Some(cx.request_id.clone())));
            let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(BackupMade { backup: made.shown(), took_ms, removed })
        })
    }

    fn drill<'a>(
        &'a self,
        request: DrillRequest,
        cx: &'a ChangeContext,
        progress: &'a Progress,
    ) -> Answer<'a, DrillReport> {
        Box::pin(self.rehearse(request, cx, progress))
    }

    fn restore_plan<'a>(&'a self, id: &'a str, scope: RestoreScope) -> Answer<'a, RestorePlan> {
        Box::pin(self.plan_restore(id, scope))
    }

    fn restore<'a>(
        &'a self,
        id: &'a str,
        scope: RestoreScope,
        cx: &'a ChangeContext,
        progress: &'a Progress,
    ) -> Answer<'a, Restored> {
        Box::pin(self.restore_backup(id, scope, cx, progress))
    }

    fn verify<'a>(&'a self, id: &'a str, progress: &'a Progress) -> Answer<'a, BackupVerdict> {
        Box::pin(async move {
            let (folder, id, progress, now) =
                (self.backups.folder.clone(), id.to_owned(), progress.clone(), self.now());
            let telemetry = Arc::clone(&self.telemetry);
            blocking(move || {
                let kept = folder.find(&id)?;
                let scratch = folder.scratch()?;
                let lines = verify::look(&kept, scratch.path(), &progress)?.lines;
                let verdict = BackupVerdict { id, ok: lines.all_ok(), checks: lines.into_checks() };
                if verdict.ok {
                    kept.mark_verified(now).map_err(|e| folder::unwritten_file(&kept.path, &e))?;
                } else {
                    kept.mark_damaged();
                    telemetry.log(LogLine::error(Part::Store, format!("Backup {} cannot be relied on", verdict.id)));
                }
                Ok(verdict)
            })
            .await
        })
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|e| Err(Refusal::new(ErrorCode::UnknownError, format!("it ended early: {e}"))))
}
