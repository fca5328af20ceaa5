//! The file, its lock and its chain.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::engine::canonical::sha256_hex;
use crate::files::make_directory;
use crate::redact::Redactor;
use crate::settings::Places;
use crate::wire::Time;

/// The file's name.
const FILE: &str = "journal.jsonl";

/// What stands for the hash of a line before the first.
pub(super) const NOTHING_BEFORE: &str = "";

/// How much of the file's end is read at first to find the last line.
const TAIL: u64 = 64 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1.
    pub n: u64,
    /// When it was written.
    pub at: Time,
    /// SHA-256 of the whole line before.
    pub prev: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The newest line of a journal: what travels with a change into the server's audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Which journal.
    pub journal: String,
    /// The line's number.
    pub n: u64,
    /// The line's SHA-256.
    pub hash: String,
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.journal, self.n, self.hash)
    }
}

impl std::str::FromStr for Head {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let (Some(journal), Some(n), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(Head { journal: journal.to_owned(), n: n.parse().map_err(|_| ())?, hash: hash.to_owned() })
    }
}

/// The journal of this machine's user.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    redactor: Redactor,
    /// Where the file ended when this process last wrote, and with what.
    tail: Mutex<Option<(u64, Head)>>,
}

impl Journal {
    /// The one in the state directory. Everything written passes the filter.
    pub fn new(places: &Places, redactor: Redactor) -> Self {
        Journal { directory: places.journal(), redactor, tail: Mutex::new(None) }
    }

    /// The folder, which also holds the files beside the journal.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Appends one event; it is durable on return.
    pub fn append(&self, at: Time, event: Event) -> anyhow::Result<Head> {
        self.append_made(at, || Ok(event))
    }

    /// As [`Journal::append`], with an event made from what the journal holds: nobody writes in between.
    pub fn append_made(&self, at: Time, make: impl FnOnce() -> anyhow::Result<Event>) -> anyhow::Result<Head> {
        let append = || {
            let mut file = self.open()?;
            file.lock()?;
            let head = self.head_of(&mut file, at)?;
            let event = make()?;
            self.write(&mut file, &head, at, event)
        };
        append().with_context(|| format!("cannot write to {}", self.path().display()))
    }

    /// All whole lines, and those that are not.
    pub fn text(&self) -> anyhow::Result<Vec<u8>> {
        match std::fs::read(self.path()) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.path().display())),
        }
    }

    fn open(&self) -> anyhow::Result<File> {
        make_directory(&self.directory)?;
        Ok(OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(self.path())?)
    }

    /// The newest whole line; a torn one after it is closed off first.
    fn head_of(&self, file: &mut File, at: Time) -> anyhow::Result<Head> {
        let length = file.metadata()?.len();
        if let Some((end, head)) = self.tail.lock().unwrap_or_else(PoisonError::into_inner).clone()
            && end == length
        {
            return Ok(head);
        }
        if length == 0 {
            let journal = uuid::Uuid::now_v7().simple().to_string();
            let nothing = Head { journal: journal.clone(), n: 0, hash: NOTHING_BEFORE.into() };
            return self.write(file, &nothing, at, Event::Begun { journal });
        }
        let journal = name(file)?;
        let (last, torn) = last_lines(file, length)?;
        let line: Line =
            serde_json::from_slice(&last).context("its last line is damaged; see `opsctl history verify`")?;
        let head = Head { journal, n: line.n, hash: hash(&last) };
        if torn.is_empty() {
            return Ok(head);
        }
        file.write_all(b"\n")?;
        let mended = Event::Mended { bytes: torn.len(), sha256: hash(&torn) };
        self.write(file, &head, at, mended)
    }

    fn write(&self, file: &mut File, head: &Head, at: Time, event: Event) -> anyhow::Result<Head> {
        let line = Line { n: head.n + 1, at, prev: head.hash.clone(), event };
        let mut text = self.redactor.redact(&serde_json::to_string(&line)?).into_owned();
        let head = Head { journal: head.journal.clone(), n: line.n, hash: hash(text.as_bytes()) };
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        let end = file.metadata()?.len();
        *self.tail.lock().unwrap_or_else(PoisonError::into_inner) = Some((end, head.clone()));
        Ok(head)
    }
}

/// SHA-256 of a line, which is UTF-8 unless it is torn.
pub(super) fn hash(line: &[u8]) -> String {
    sha256_hex(&String::from_utf8_lossy(line), 64)
}

/// The journal's name, from its first line.
fn name(file: &mut File) -> anyhow::Result<String> {
    let mut start = [0; 512];
    file.seek(SeekFrom::Start(0))?;
    let read = file.read(&mut start)?;
    let first = start[..read].split(|b| *b == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<Line>(first).map(|line| line.event) {
        Ok(Event::Begun { journal }) => Ok(journal),
        _ => anyhow::bail!("its first line is damaged; see `opsctl history verify`"),
    }
}

/// The last whole line, and what follows it.
fn last_lines(file: &mut File, length: u64) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let mut take = TAIL;
    loop {
        let start = length.saturating_sub(take);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        Read::take(&mut *file, length - start).read_to_end(&mut bytes)?;
        let mut parts = bytes.rsplitn(3, |b| *b == b'\n');
        let (torn, last, before) = (parts.next(), parts.next(), parts.next());
        if let (Some(torn), Some(last)) = (torn, last)
            && (before.is_some() || start == 0)
        {
            return Ok((last.to_vec(), torn.to_vec()));
        }
        anyhow::ensure!(start > 0, "it has no whole line; see `opsctl history verify`");
        take *= 8;
    }
}
