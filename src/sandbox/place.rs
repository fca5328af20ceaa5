//! The sandbox's folder and what is where in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;

use crate::error::{Fault, Kind};
use crate::settings::Places;

/// How often a lock that somebody else holds is tried again.
const LOCK_EVERY: Duration = Duration::from_millis(20);

/// The sandbox's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// The one sandbox of this user.
    pub fn of(places: &Places) -> Self {
        Place { dir: places.sandbox() }
    }

    /// The sandbox in this folder.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Place { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What runs, where.
    pub fn record(&self) -> PathBuf {
        self.dir.join("record.json")
    }

    /// The data folder of `serve`.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What the simulators remember.
    pub fn sims(&self) -> PathBuf {
        self.dir.join("sims.json")
    }

    /// Key files that the simulators made.
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// The credentials and defaults that `serve` is started with, for commands that talk to the simulators.
    pub fn environment(&self) -> PathBuf {
        self.keys().join("environment.json")
    }

    /// The platforms' addresses, for `serve`.
    pub fn endpoints(&self) -> PathBuf {
        self.dir.join("endpoints.json")
    }

    /// Where `serve` says that it listens.
    pub fn address(&self) -> PathBuf {
        self.dir.join("serve.json")
    }

    /// What the control API asks for.
    pub fn control_token(&self) -> PathBuf {
        self.dir.join("control.token")
    }

    /// What the host had to say.
    pub fn host_log(&self) -> PathBuf {
        self.dir.join("host.log")
    }

    /// What `serve` had to say beside its own logs.
    pub fn serve_log(&self) -> PathBuf {
        self.dir.join("serve.log")
    }

    /// The log of the program that decides what is to be done.
    pub fn member2_log(&self) -> PathBuf {
        self.dir.join("member2.log")
    }

    fn used(&self) -> PathBuf {
        self.dir.join("used")
    }

    /// Makes the folders, for their owner alone.
    pub fn make(&self) -> anyhow::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for dir in [self.dir.clone(), self.data(), self.keys()] {
            builder.create(&dir).map_err(|error| {
                Fault::new(Kind::Failed, format!("cannot make {}", dir.display()))
                    .because(error.to_string())
                    .hint("make the state directory writable, or set OPSCTL_STATE_DIR")
            })?;
        }
        Ok(())
    }

    /// Waits for the one lock under which a sandbox is started and stopped. It ends with the value.
    pub async fn lock(&self, limit: Duration) -> anyhow::Result<File> {
        self.make()?;
        let path = self.dir.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOCK_EVERY).await;
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let secs = limit.as_secs();
                    return Err(Fault::new(Kind::Conflict, "another command is starting or stopping the sandbox")
                        .because(format!("it holds {} for more than {secs}s", path.display()))
                        .hint("wait for it, then look with `opsctl sandbox status`")
                        .into());
                }
                Err(std::fs::TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
    }

    /// Notes that somebody used the sandbox just now.
    pub fn touch(&self) {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.used());
        // A read-only disk must not keep anybody from looking.
        let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// How long nobody used it; `None` when that cannot be told.
    pub fn unused_for(&self) -> Option<Duration> {
        let modified = std::fs::metadata(self.used()).and_then(|m| m.modified()).ok()?;
        Some(modified.elapsed().unwrap_or_default())
    }
}

/// Writes a file that only its owner may read; readers see the old one or the new one, never half.
pub(super) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let partial = path.with_extension(format!("partial{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(content)?;
    drop(file);
    std::fs::rename(&partial, path)
}
