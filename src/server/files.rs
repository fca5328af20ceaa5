//! Small files of the data directory: replaced whole, durable before the call returns, readable by the owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Owner reads and writes, nobody else.
pub const PRIVATE: u32 = 0o600;

/// Replaces `path` by `bytes` so that a crash leaves either the old file or the new one.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let scratch = folder.join(format!(".{name}.new"));
    let mut file = create_private(&scratch)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&scratch, path)?;
    File::open(folder)?.sync_all()
}

/// Opens `path` for writing from its start, mode 0600 also when it existed with a wider one.
fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(PRIVATE))?;
    Ok(file)
}

/// Reads a file; `None` when there is none.
pub fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_stays_private() {
        let dir = crate::server::testing::scratch("files");
        let path = dir.path().join("a.json");
        assert_eq!(read_if_there(&path).unwrap(), None);
        fs::write(&path, "old and longer").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(read_if_there(&path).unwrap().as_deref(), Some("new"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
    }
}
