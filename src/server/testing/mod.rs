//! What the server's own tests share.

pub mod fake;

use std::path::{Path, PathBuf};

/// A folder that goes away with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A new empty folder.
pub fn scratch(name: &str) -> Scratch {
    let path = std::env::temp_dir().join(format!("opsctl-{name}-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir_all(&path).expect("the temporary folder can be written");
    Scratch(path)
}
