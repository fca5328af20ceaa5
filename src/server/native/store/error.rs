//! What the store fails with, in words an operator can act on.

use std::fmt;
use std::path::Path;

use rusqlite::ErrorCode as Sql;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::server::backend::Refusal;
use crate::wire::{ErrorCode, Time};

/// A failed store operation. Nothing of it was kept.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The file is not a database or is damaged.
    Corrupt(String),
    /// The file or its folder cannot be written.
    ReadOnly(String),
    /// The disk is full.
    Full(String),
    /// The operating system refused.
    Io(String),
    /// The file was written by a newer program.
    TooNew(String),
    /// The store is closed.
    Closed,
    /// A restore is putting another store in place.
    Replaced,
    /// The operation itself was refused; the store is fine.
    Refused(Box<Refusal>),
    /// Anything else.
    Other(String),
}

/// Trouble the store is in.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Since when.
    pub since: Time,
    /// What.
    pub message: String,
}

impl StoreError {
    pub(in crate::server::native) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let text = format!("cannot {what} {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(text),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full(text),
            _ => StoreError::Io(text),
        }
    }

    /// Whether the store itself is in trouble, not only this operation.
    pub fn is_trouble(&self) -> bool {
        !matches!(self, StoreError::Refused(_) | StoreError::Other(_) | StoreError::Replaced)
    }

    /// What to try.
    pub fn advice(&self) -> &'static str {
        match self {
            StoreError::Corrupt(_) => "stop the service, keep the file, and restore a backup or move the file aside",
            StoreError::ReadOnly(_) => "make the data folder and its files writable for the service's user",
            StoreError::Full(_) => "free space on the disk of the data folder; the service goes on by itself",
            StoreError::Replaced => "try again in a moment",
            StoreError::TooNew(_) => "run the newer program again, or use another --data-dir",
            _ => "check the data folder with `opsctl db check`",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Corrupt(text) => write!(f, "the database is damaged: {text}"),
            StoreError::ReadOnly(text) => write!(f, "the database cannot be written: {text}"),
            StoreError::Full(text) => write!(f, "no space left for the database: {text}"),
            StoreError::Io(text) => write!(f, "the database cannot be reached: {text}"),
            StoreError::TooNew(text) | StoreError::Other(text) => f.write_str(text),
            StoreError::Replaced => f.write_str("a restore is putting another store in place"),
            StoreError::Closed => f.write_str("the database is closed"),
            StoreError::Refused(refusal) => f.write_str(&refusal.message),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        let extended = error.sqlite_error().map(|error| error.extended_code);
        match error.sqlite_error_code() {
            Some(Sql::DatabaseCorrupt | Sql::NotADatabase) => StoreError::Corrupt(text),
            Some(Sql::ReadOnly | Sql::PermissionDenied) => StoreError::ReadOnly(text),
            Some(Sql::DiskFull) => StoreError::Full(text),
            // The log's index cannot grow: https://www.sqlite.org/rescode.html#ioerr_shmsize
            Some(Sql::SystemIoFailure) if extended == Some(SQLITE_IOERR_SHMSIZE) => StoreError::Full(text),
            Some(Sql::SystemIoFailure | Sql::CannotOpen) => StoreError::Io(text),
            _ => StoreError::Other(text),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => *refusal,
            other => {
                let mut refusal = Refusal::new(ErrorCode::Unavailable, format!("{other}; {}", other.advice()));
                refusal.retry_after = Some(5);
                refusal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_index_that_cannot_grow_is_a_full_disk() {
        let failed = |code| {
            let error = rusqlite::ffi::Error::new(code);
            StoreError::from(rusqlite::Error::SqliteFailure(error, Some("disk I/O error".into())))
        };
        assert!(matches!(failed(SQLITE_IOERR_SHMSIZE), StoreError::Full(_)));
        assert!(matches!(failed(rusqlite::ffi::SQLITE_IOERR_READ), StoreError::Io(_)));
    }
}
