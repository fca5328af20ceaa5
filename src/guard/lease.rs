//! One destructive change per subject at a time, on this machine.
//!
//! A lease is a lock on a file that says who, since when and how far. The system frees the lock when its owner ends,
//! however it ends: a dead owner's lease needs nobody to expire it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::engine::canonical::sha256_hex;
use crate::error::{Fault, Kind};
use crate::files::make_directory;
use crate::settings::Places;
use crate::wire::Time;

/// Who has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holder {
    subject: String,
    /// `ana@bastion`.
    owner: String,
    process: u32,
    since: Time,
    doing: String,
    progress: String,
}

/// Held while a change is under way.
#[derive(Debug)]
pub struct Lease {
    file: File,
    holder: Mutex<(Holder, usize)>,
}

impl Lease {
    /// Takes it, or says who has it (exit code 6).
    pub fn take(places: &Places, subject: &str, doing: &str, owner: &str, now: Time) -> anyhow::Result<Self> {
        let directory = places.leases();
        make_directory(&directory)?;
        let path = directory.join(format!("{}.json", sha256_hex(subject, 32)));
        let mut file = open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(subject, &mut file).into()),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        // What an earlier owner left may be longer.
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let holder = Holder {
            subject: subject.to_owned(),
            owner: owner.to_owned(),
            process: std::process::id(),
            since: now,
            doing: doing.to_owned(),
            progress: "starting".into(),
        };
        let lease = Lease { file, holder: Mutex::new((holder, length)) };
        lease.write();
        Ok(lease)
    }

    /// Says how far it is, to whoever is held up.
    pub fn at(&self, progress: &str) {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).0.progress = progress.to_owned();
        self.write();
    }

    /// One write over the old text, filled up with blanks: a reader never sees an empty file. It only informs, so
    /// that a full disk stops nobody here.
    fn write(&self) {
        let mut guard = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let (holder, length) = &mut *guard;
        let mut text = serde_json::to_vec(holder).unwrap_or_default();
        *length = text.len().max(*length);
        text.resize(*length, b' ');
        let _ = self.file.write_all_at(&text, 0);
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn held(subject: &str, file: &mut File) -> Fault {
    let mut text = String::new();
    let holder = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok());
    let fault = Fault::new(Kind::Conflict, format!("{subject} is being changed by somebody else"));
    match holder {
        Some(holder) => fault
            .because(format!(
                "{} (process {}) has been at it since {}: {}, {}",
                holder.owner, holder.process, holder.since, holder.doing, holder.progress
            ))
            .hint("wait until that has ended, then repeat the command: the plan is made anew"),
        None => fault.because("another opsctl has the lease").hint("wait a moment, then repeat the command"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explained;
    use crate::server::testing::scratch;

    #[test]
    fn a_subject_has_one_owner_who_is_named_with_progress() {
        let dir = scratch("lease");
        let places = Places::under(dir.path());
        let take = |subject: &str| Lease::take(&places, subject, "clear the queue", "ana@bastion", Time(0));
        let lease = take("queue").unwrap();
        lease.at("120 of 300 done");
        let refused = Explained::from_error(&take("queue").unwrap_err());
        assert_eq!(refused.kind, Kind::Conflict);
        let why = &refused.causes[0];
        assert!(why.starts_with("ana@bastion (process ") && why.contains("1970-01-01T00:00:00.000Z"), "{why}");
        assert!(why.ends_with("clear the queue, 120 of 300 done"), "{why}");
        take("queue act-1").unwrap();
        drop(lease);
        take("queue").unwrap();
    }

    #[test]
    fn what_a_longer_text_left_behind_is_written_over() {
        let dir = scratch("lease");
        let places = Places::under(dir.path());
        drop(Lease::take(&places, "x", &"long ".repeat(100), "ana@bastion", Time(0)).unwrap());
        let _lease = Lease::take(&places, "x", "short", "bo@bastion", Time(0)).unwrap();
        let refused = Explained::from_error(&Lease::take(&places, "x", "short", "cy@bastion", Time(0)).unwrap_err());
        assert!(refused.causes[0].starts_with("bo@bastion"), "{refused:?}");
    }
}
