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
pub(super) use schema::{CHECKPOINT_PAGES, ensure_whole, open_reader, prepare, set_checkpoints};
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

#[cfg(test)]
pub(crate) mod tests;
