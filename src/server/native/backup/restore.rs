//! Going back to a backup while the service runs. Everything is prepared beside the live store, which is untouched until
//! its successor gets its name in one step.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::runtime::Runtime;
use super::super::store::{self, StoreError, workflows::Moment};
use super::folder::{Kept, Scratch, copy_file, damaged, unwritten_file, unwritten_io};
use super::marker::{self, Marker};
use super::{Order, blend, blocking, snapshot, unwritten_store, verify};
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::effects::who;
use crate::server::jobs::Progress;
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{BackupKind, ErrorCode, RestoreEffects, RestorePlan, RestoreScope, Restored};

/// How long actions in flight may take to end before they are handed back.
const DRAIN: Duration = Duration::from_secs(10);

/// While it lives, nothing is taken from the queue and nothing is written.
struct Still<'a>(&'a Runtime);

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.0.store.writer().thaw();
        self.0.go_on();
        self.0.core().refresh(self.0.config.effective());
        self.0.pump();
    }
}

impl Runtime {
    /// What a restore would do.
    pub(super) async fn plan_restore(&self, id: &str, scope: RestoreScope) -> Result<RestorePlan, Refusal> {
        let (folder, id) = (self.backups.folder.clone(), id.to_owned());
        let store = self.store.clone();
        let (kept, compared) = blocking(move || {
            let kept = folder.find(&id)?;
            let refused = refusal(&kept, scope);
            let compared = match refused {
                Some(why) => Err(why),
                None => store.readers().beside(|live| differences(live, &kept, scope)).map_err(|e| e.to_string()),
            };
            Ok((kept, compared))
        })
        .await?;
        let mut plan = RestorePlan {
            backup: kept.shown(),
            scope,
            refused: None,
            paused: self.core().intake_paused().is_some(),
            effects: RestoreEffects::default(),
        };
        match compared {
            Ok(effects) => plan.effects = effects,
            Err(why) => plan.refused = Some(why),
        }
        if scope == RestoreScope::Everything && plan.refused.is_none() {
            match self.settings_of(&plan.backup.id) {
                Ok(text) => plan.effects.settings = self.config.would_restore(text.as_deref())?,
                Err(refusal) => plan.refused = Some(refusal.message),
            }
        }
        Ok(plan)
    }

    fn settings_of(&self, id: &str) -> Result<Option<String>, Refusal> {
        marker::settings_of(&self.backups.folder, id).map_err(|e| damaged(id, &format!("{e:#}")))
    }

    /// Restores, once the backup has been looked at as closely as `backup verify` does.
    pub(super) async fn restore_backup(
        &self,
        id: &str,
        scope: RestoreScope,
        cx: &ChangeContext,
        progress: &Progress,
    ) -> Result<Restored, Refusal> {
        let started = Instant::now();
        let _one = self.backups.one.lock().await;
        let _no_restart = self.restarting.lock().await;
        self.ensure_paused()?;
        let (folder, owned, told) = (self.backups.folder.clone(), id.to_owned(), progress.clone());
        let looked = blocking(move || {
            let kept = folder.find(&owned)?;
            if let Some(why) = refusal(&kept, scope) {
                return Err(Refusal::new(ErrorCode::UnknownError, why));
            }
            let scratch = folder.scratch()?;
            let looked = verify::look(&kept, scratch.path(), &told)?;
            match looked.store {
                Some(store) => Ok((kept, store, scratch)),
                None => Err(damaged(&owned, &looked.lines.first_complaint().unwrap_or_default())),
            }
        });
        let (kept, then, scratch) = looked.await?;
        let settings = match scope {
            RestoreScope::Everything => Some(self.settings_of(id)?),
            RestoreScope::Workflows => None,
        };
        if let Some(text) = &settings {
            self.config.would_restore(text.as_deref())?;
        }

        progress.at("drain", 0, 0);
        let replaced = {
            let _still = Still(self);
            self.halt();
            self.drain(None, DRAIN).await;
            self.store.writer().freeze().await;
            self.replace(&kept, scope, settings, then, &scratch, progress).await
        };
        let words = match scope {
            RestoreScope::Everything => "Everything",
            RestoreScope::Workflows => "Workflow state",
        };
        let (safety, effects) = replaced.inspect_err(|refusal| {
            let line = format!("{words} was not restored from {id}: {}", refusal.message);
            self.telemetry.log(LogLine::error(Part::Store, line));
        })?;
        let line = LogLine::warn(Part::Store, format!("{words} restored from {id}"))
            .field("by", who(cx))
            .field("reason", cx.reason.clone())
            .field("safetyBackup", safety.manifest.id.clone());
        self.telemetry.log(line.request(Some(cx.request_id.clone())));
        let waiting = self.core().queue.len();
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Restored { backup: id.to_owned(), scope, safety: safety.shown(), effects, waiting, took_ms })
    }

    /// Nothing runs and nothing is written meanwhile.
    async fn replace(
        &self,
        kept: &Kept,
        scope: RestoreScope,
        settings: Option<Option<String>>,
        then: PathBuf,
        scratch: &Scratch,
        progress: &Progress,
    ) -> Result<(Kept, RestoreEffects), Refusal> {
        self.ensure_paused()?;
        let id = kept.manifest.id.as_str();
        if !self.core().running.is_empty() {
            let message = "something in flight does not end; nothing was restored";
            return Err(Refusal::new(ErrorCode::Conflict, message));
        }
        let order = Order { kind: BackupKind::Safety, full: false, note: Some(format!("before going back to {id}")) };
        let safety = self.copy_all(order, progress).await?;

        let untouched = kept.is_untouched();
        kept.mark_restored(self.now()).map_err(|e| unwritten_file(&kept.path, &e))?;
        progress.at("blend", 0, 0);
        let (now, work) = (safety.path.join(store::FILE), scratch.path().to_owned());
        let (data_dir, moment, id_owned) = (self.data_dir.clone(), self.moment(), id.to_owned());
        let with_settings = settings.is_some();
        let (next, mut effects) = blocking(move || {
            let built = build(scope, &then, &now, &work, untouched, &moment);
            let (built, effects) = built.map_err(|error| unwritten_store(&work, &error))?;
            let next = marker::next(&data_dir);
            std::fs::rename(&built, &next).map_err(|e| unwritten_io(&next, &e))?;
            let marker = Marker { backup: id_owned, settings: with_settings };
            if let Err(error) = marker.write(&data_dir) {
                let _ = marker::remove(&data_dir);
                return Err(unwritten_file(&data_dir, &error));
            }
            Ok((next, effects))
        })
        .await?;

        progress.at("put in place", 0, 0);
        if let Err(error) = self.store.put_in_place(next.clone()).await {
            // Its name says whether it happened: the file waits under the other one as long as it did not.
            if next.exists() {
                let _ = marker::remove(&self.data_dir);
            }
            return Err(error.into());
        }
        // The memory follows at once, whatever comes after.
        let store = self.store.clone();
        let loaded = blocking(move || Ok(store.readers().with(super::super::read_kept)?)).await?;
        self.core().take_kept(loaded);
        self.next_expiry.store(i64::MIN, Ordering::Relaxed);
        self.next_deadline.store(i64::MIN, Ordering::Relaxed);
        self.parts().prune_from = 0;
        if let Some(text) = settings {
            effects.settings = self.config.restore(text.as_deref())?;
        }
        marker::remove(&self.data_dir).map_err(|e| unwritten_io(&self.data_dir, &e))?;
        Ok((safety, effects))
    }

    fn ensure_paused(&self) -> Result<(), Refusal> {
        match self.core().intake_paused() {
            Some(_) => Ok(()),
            None => Err(Refusal::new(
                ErrorCode::Conflict,
                "a restore needs everything to be paused; type `opsctl pause all` first",
            )),
        }
    }
}

/// Makes the store that is put in place: whole, synced, with today's schema.
fn build(
    scope: RestoreScope,
    then: &Path,
    now: &Path,
    work: &Path,
    untouched: bool,
    moment: &Moment,
) -> Result<(PathBuf, RestoreEffects), StoreError> {
    let (next, effects) = match scope {
        RestoreScope::Everything => (then.to_owned(), blend::everything(then, now, untouched, moment)?),
        RestoreScope::Workflows => {
            let next = work.join("next.db");
            copy_file(now, &next).map_err(|e| StoreError::io("write", &next, &e))?;
            let effects = blend::workflows(then, now, &next, untouched, moment)?;
            (next, effects)
        }
    };
    let mut conn = Connection::open(&next)?;
    let tx = conn.transaction()?;
    super::super::pick_up(&tx, moment)?;
    tx.commit()?;
    snapshot::single_file(&conn)?;
    drop(conn);
    let synced = std::fs::File::open(&next).and_then(|file| file.sync_all());
    synced.map_err(|e| StoreError::io("write", &next, &e))?;
    Ok((next, effects))
}

/// Why a backup cannot be restored, as far as its manifest says.
fn refusal(kept: &Kept, scope: RestoreScope) -> Option<String> {
    let (manifest, known) = (&kept.manifest, store::query::schema_version());
    if manifest.schema_version > known {
        return Some(format!(
            "the backup {} was made by a newer program: it has schema {}, this one knows up to {known}",
            manifest.id, manifest.schema_version
        ));
    }
    if scope == RestoreScope::Workflows && !manifest.rows.contains_key("workflows") {
        return Some(format!("the backup {} was made before workflows were kept: it has none", manifest.id));
    }
    None
}

/// What lies between a backup and the live store. A backup that is not whole is said to be so.
pub(super) fn differences(live: &Path, kept: &Kept, scope: RestoreScope) -> Result<RestoreEffects, StoreError> {
    let path = kept.path.join(store::FILE);
    let expected = kept.manifest.files.iter().find(|file| file.name == store::FILE).map(|file| file.bytes);
    let found = std::fs::metadata(&path).map_err(|e| StoreError::io("read", &path, &e))?.len();
    if expected != Some(found) {
        let words = format!("the backup {} is damaged: its store has {found} bytes", kept.manifest.id);
        return Err(StoreError::Other(words));
    }
    let conn = store::open_reader(&path)?;
    blend::attach(&conn, live, "now")?;
    let mut effects = blend::compare(&conn, blend::Names { then: "main", now: "now" }, scope)?;
    if kept.is_untouched() {
        effects.looked_for = 0;
    }
    Ok(effects)
}
