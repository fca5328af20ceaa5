//! One service a data directory: two would execute the same actions.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use crate::error::{Fault, Kind};
use crate::files::make_directory;

/// The lock's file in the data directory; it names its holder.
const FILE: &str = "serve.lock";

/// Held while a service has the data directory; the system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Makes the directory, if needed, and takes it.
    pub fn take(data_dir: &Path) -> anyhow::Result<Self> {
        let shown = data_dir.display();
        make_directory(data_dir)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data_dir.join(FILE))
            .map_err(|e| {
                Fault::new(Kind::Failed, format!("cannot use the data directory {shown}"))
                    .because(e.to_string())
                    .hint("name a directory you may write to with --data-dir")
            })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(data_dir, file).into()),
            Err(TryLockError::Error(e)) => return Err(e).with_context(|| format!("cannot lock {shown}")),
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id()).with_context(|| format!("cannot write to {shown}"))?;
        Ok(DataDirLock { _file: file })
    }
}

fn in_use(data_dir: &Path, mut file: File) -> Fault {
    let mut holder = String::new();
    let known = file.read_to_string(&mut holder).is_ok() && holder.bytes().all(|b| b.is_ascii_digit());
    let by = if known && !holder.is_empty() { format!("by process {holder}") } else { "by another process".into() };
    Fault::new(Kind::Conflict, format!("the data directory {} is in use", data_dir.display()))
        .because(format!("another `opsctl serve` has it ({by})"))
        .hint("look at that one with `opsctl system status`, or give this one its own --data-dir")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explained;
    use crate::server::testing::scratch;

    #[test]
    fn a_data_directory_has_one_service_at_a_time() {
        let dir = scratch("lock");
        let data_dir = dir.path().join("data");
        let held = DataDirLock::take(&data_dir).unwrap();
        let refused = Explained::from_error(&DataDirLock::take(&data_dir).unwrap_err());
        assert_eq!(refused.kind, Kind::Conflict);
        assert!(refused.causes[0].contains(&format!("process {}", std::process::id())), "{refused:?}");
        drop(held);
        DataDirLock::take(&data_dir).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_a_clear_error() {
        let dir = scratch("lock");
        std::fs::write(dir.path().join("file"), "").unwrap();
        let text = format!("{:#}", DataDirLock::take(&dir.path().join("file/data")).unwrap_err());
        assert!(text.contains("cannot make the directory"), "{text}");
    }
}
