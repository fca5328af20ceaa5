//! Connections that only read, opened as needed and kept.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock, RwLockWriteGuard};

use rusqlite::Connection;

use super::{StoreError, schema};

/// Idle connections kept at most.
const KEEP: usize = 4;

/// A pool of reading connections.
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Shared by reads, taken alone while the file is replaced.
    file: RwLock<()>,
}

impl Readers {
    /// A pool for this file; nothing is opened yet.
    pub fn new(path: PathBuf) -> Self {
        Readers { path, idle: Mutex::default(), file: RwLock::default() }
    }

    /// Runs a read on a connection of its own. Blocks: call it away from the async threads.
    pub fn with<T>(&self, op: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        let kept = self.idle().pop();
        let conn = match kept {
            Some(conn) => conn,
            None => schema::open_reader(&self.path)?,
        };
        let tx = conn.unchecked_transaction()?;
        let result = op(&tx);
        tx.finish()?;
        // After trouble a fresh connection looks again.
        if !result.as_ref().is_err_and(StoreError::is_trouble) {
            let mut idle = self.idle();
            if idle.len() < KEEP {
                idle.push(conn);
            }
        }
        result
    }

    /// Waits until nobody reads, closes all connections, and lets nobody read while the guard lives.
    pub fn shut(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.file.write().unwrap_or_else(PoisonError::into_inner);
        self.close();
        alone
    }

    /// Runs a look at the file on a connection that the caller makes.
    pub fn beside<T>(&self, look: impl FnOnce(&std::path::Path) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        look(&self.path)
    }

    /// Closes the idle connections.
    pub fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
