//! The truth on disk: SQLite in WAL mode, written by one thread that groups commits, read by connections of their own.
//!
//! A write is acknowledged only after the commit that holds it has been synced. What cannot be written is refused with a
//! [`StoreError`]; nothing is acknowledged and lost.

pub mod actions;
pub mod approvals;
pub mod dead;
mod error;
pub mod journal;
pub mod keys;
pub mod query;
mod readers;
mod rows;
mod schema;
pub mod workflows;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{StoreError, Trouble};
pub use readers::Readers;
pub use rows::{Dead, Role, substitutable};
pub(super) use schema::{CHECKPOINT_PAGES, ensure_whole, open_reader, prepare, set_checkpoints, single_file};
pub use writer::Writer;

use rusqlite::Connection;

/// File name of the database inside the data folder.
pub const FILE: &str = "orchestrator.db";

/// The open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    path: Arc<PathBuf>,
    writer: Arc<Writer>,
    readers: Arc<Readers>,
}

impl Store {
    /// Opens or makes the store in a data folder and brings its schema up to date. That one service at a time has the folder
    /// is its owner's concern.
    pub fn open(data_dir: &Path) -> Result<Store, StoreError> {
        let path = data_dir.join(FILE);
        std::fs::create_dir_all(data_dir).map_err(|e| StoreError::io("create the data folder", data_dir, &e))?;
        let conn = Self::connect(&path)?;
        let readers = Readers::new(path.clone());
        Ok(Store { path: Arc::new(path), writer: Arc::new(Writer::start(conn)?), readers: Arc::new(readers) })
    }

    fn connect(path: &Path) -> Result<Connection, StoreError> {
        schema::ensure_whole(path)?;
        let mut conn = Connection::open(path).map_err(StoreError::from)?;
        schema::prepare(&mut conn)?;
        Ok(conn)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The writing side.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The reading side.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// What is wrong with it now, if anything.
    pub fn trouble(&self) -> Option<Trouble> {
        self.writer.trouble()
    }

    /// Closes every connection and opens new ones; writes that arrive meanwhile wait.
    pub async fn reopen(&self) -> Result<(), StoreError> {
        self.readers.close();
        let path = Arc::clone(&self.path);
        self.writer.replace(move || Self::connect(&path)).await
    }

    /// Puts another file in the store's place, which must be whole by itself; reads wait meanwhile, writes are to be refused
    /// by [`Writer::freeze`]. When that fails, what was there is used on.
    pub async fn put_in_place(&self, next: PathBuf) -> Result<(), StoreError> {
        let (path, readers) = (Arc::clone(&self.path), Arc::clone(&self.readers));
        let (tell, told) = tokio::sync::oneshot::channel();
        let replaced = self.writer.replace(move || {
            let _alone = readers.shut();
            let swapped = swap(&path, &next);
            let conn = Self::connect(&path)?;
            let _ = tell.send(swapped);
            Ok(conn)
        });
        replaced.await?;
        told.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Changes in one transaction, acknowledged after its sync.
    pub async fn write<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(op).await
    }

    /// Reads in a consistent view, away from the async threads.
    pub async fn read<T: Send + 'static>(
        &self,
        op: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        let work = tokio::task::spawn_blocking(move || readers.with(op));
        work.await.unwrap_or_else(|e| Err(StoreError::Other(format!("a read of the store ended early: {e}"))))
    }

    /// Finishes what was handed over and stops the writing thread. Reads still work.
    pub async fn close(&self) {
        self.writer.stop().await;
    }
}

/// What fits on a page, and whether more was read.
fn page<T>(mut rows: Vec<T>, limit: u64) -> Result<(Vec<T>, bool), StoreError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    Ok((rows, more))
}

/// Gives a file the store's name. The old file's log goes first: it must not be taken for the new one's.
fn swap(path: &Path, next: &Path) -> Result<(), StoreError> {
    let failed = |e: std::io::Error| StoreError::io("replace", path, &e);
    let whole = Connection::open(path).map_err(StoreError::from).and_then(|conn| schema::single_file(&conn));
    if whole.is_err() {
        // It is damaged, which may be why it is replaced; its safety copy holds what could be read.
        for log in ["db-wal", "db-shm"] {
            match std::fs::remove_file(path.with_extension(log)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
                _ => {}
            }
        }
    }
    std::fs::rename(next, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
pub(crate) mod tests;
