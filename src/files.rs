//! Files that are replaced whole.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Writes a file in one step: a reader, or the next start after a crash, sees the old or the new content, never half
/// of it, and it is durable on return. Directories are made for
/// the owner only; a private file gets mode 0600.
pub fn write_whole(path: &Path, content: &[u8], private: bool) -> anyhow::Result<()> {
    replace(path, content, private, true)
}

/// The same for a private file that may be lost with the power, which takes no time worth mentioning.
pub fn write_unsynced(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    replace(path, content, true, false)
}

fn replace(path: &Path, content: &[u8], private: bool, durable: bool) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary: PathBuf = directory.join(format!(".{name}.{}", uuid::Uuid::now_v7().simple()));
    let written = (|| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if private {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(&temporary)?;
        file.write_all(content)?;
        if durable {
            file.sync_all()?;
        }
        if !private && let Ok(old) = std::fs::metadata(path) {
            std::fs::set_permissions(&temporary, old.permissions())?;
        }
        std::fs::rename(&temporary, path)?;
        if !durable {
            return Ok(());
        }
        // Without this a power cut could bring the old name back.
        std::fs::File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Removes what [`write_whole`] left beside a file when it was killed in the middle: nobody else would, and it may be a
/// secret. Only for who is alone in writing the file.
pub fn remove_leftovers(path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let start = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let unique = name.to_str().and_then(|name| name.strip_prefix(&start)).unwrap_or_default();
        if unique.len() == 32 && unique.bytes().all(|b| b.is_ascii_hexdigit()) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes a directory and its parents, for the owner only.
pub fn make_directory(path: &Path) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Reads a text file; `None` when there is none.
pub fn read_if_there(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Removes a file, durably; one that is gone already is as good.
pub fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    let removed = std::fs::remove_file(path).and_then(|()| {
        let directory = path.parent().unwrap_or(Path::new("."));
        std::fs::File::open(directory)?.sync_all()
    });
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("cannot remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_private_one_stays_private() {
        let dir = crate::server::testing::scratch("files");
        let path = dir.path().join("new/a.json");
        assert_eq!(read_if_there(&path).unwrap(), None);
        write_whole(&path, b"old and longer", true).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_whole(&path, b"new", true).unwrap();
        assert_eq!(read_if_there(&path).unwrap().as_deref(), Some("new"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn what_a_killed_write_left_is_removed_and_nothing_else() {
        let dir = crate::server::testing::scratch("files");
        let unique = uuid::Uuid::now_v7().simple();
        for name in ["a.json", ".a.json.mine", ".b.json.1", &format!(".a.json.{unique}"), &format!(".b.json.{unique}")]
        {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        remove_leftovers(&dir.path().join("a.json")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
        assert!(!dir.path().join(format!(".a.json.{unique}")).exists());
    }
}
