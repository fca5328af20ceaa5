//! A bucket in a file: read, changed and written under the file's lock.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::bucket::Bucket;
use crate::files::make_directory;
use crate::wire::Time;

/// What the text in the file is filled up to, so that a shorter one leaves nothing of a longer one.
const LENGTH: usize = 512;

/// A bucket that other processes see too.
#[derive(Debug)]
pub struct Shared {
    rate: f64,
    path: Option<PathBuf>,
    /// What holds where no file can be used: a full or read-only disk stops nobody.
    memory: Mutex<Option<Bucket>>,
}

impl Shared {
    /// The bucket in this file; without one, in memory.
    pub fn new(path: Option<PathBuf>, rate: f64) -> Self {
        Shared { rate, path, memory: Mutex::new(None) }
    }

    /// Does something with the bucket that nobody else may do at the same time.
    pub fn with<T>(&self, now: Time, change: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.open();
        let stored = file.as_mut().and_then(read).or_else(|| memory.clone());
        let mut bucket = stored.map_or_else(|| Bucket::new(self.rate, now), |bucket| bucket.current(self.rate, now));
        let result = change(&mut bucket);
        if let Some(file) = &file {
            let mut text = serde_json::to_vec(&bucket).unwrap_or_default();
            text.resize(LENGTH.max(text.len()), b' ');
            let _ = file.write_all_at(&text, 0);
        }
        *memory = Some(bucket);
        result
    }

    /// The file, locked until it is closed.
    fn open(&self) -> Option<File> {
        let path = self.path.as_ref()?;
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = match open() {
            Ok(file) => file,
            Err(_) => {
                make_directory(path.parent()?).ok()?;
                open().ok()?
            }
        };
        file.lock().ok()?;
        Some(file)
    }
}

/// What is in the file; `None` for a new or damaged one, whose limit is learned again.
fn read(file: &mut File) -> Option<Bucket> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
