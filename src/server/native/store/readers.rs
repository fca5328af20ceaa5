//! Connections that only read, opened as needed and kept.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::{StoreError, schema};

/// Idle connections kept at most.
const KEEP: usize = 4;

/// A pool of reading connections.
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// A pool for this file; nothing is opened yet.
    pub fn new(path: PathBuf) -> Self {
        Readers { path, idle: Mutex::new(Vec::new()) }
    }

    /// Runs a read on a connection of its own. Blocks: call it away from the async threads.
    pub fn with<T>(&self, op: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
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

    /// Closes the idle connections.
    pub fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
