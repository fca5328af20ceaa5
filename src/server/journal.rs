//! Append-only files of one JSON record a line. One thread writes; records that arrive together share one sync.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use anyhow::Context;
use tokio::sync::oneshot;

/// Most records that share one sync.
const GROUP: usize = 256;

struct Entry {
    line: String,
    done: oneshot::Sender<io::Result<()>>,
}

/// A file that only grows.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    sender: mpsc::Sender<Entry>,
}

impl Journal {
    /// Opens or makes the file, mode 0600. A line torn by a crash is closed off, so that the next one is whole.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Self::open_at(path).with_context(|| format!("cannot open {}", path.display()))
    }

    fn open_at(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        let (sender, receiver) = mpsc::channel();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("journal").to_owned();
        std::thread::Builder::new().name(name).spawn(move || write_groups(file, &receiver))?;
        Ok(Journal { path: path.to_owned(), sender })
    }

    /// Appends one record; returns when it is durable.
    pub async fn append(&self, record: &impl serde::Serialize) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        let line = serde_json::to_string(record)? + "\n";
        let gone = || io::Error::other("the writer has ended");
        self.sender.send(Entry { line, done }).map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn write_groups(mut file: File, receiver: &mpsc::Receiver<Entry>) {
    while let Ok(first) = receiver.recv() {
        let mut group = vec![first];
        group.extend(receiver.try_iter().take(GROUP - 1));
        let text: String = group.iter().map(|e| e.line.as_str()).collect();
        let result = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        for entry in group {
            let answer = result.as_ref().copied().map_err(|e| io::Error::new(e.kind(), e.to_string()));
            // Nobody waits any more when the request was given up.
            let _ = entry.done.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::scratch;

    #[tokio::test]
    async fn records_are_appended_and_a_torn_line_spoils_no_other() {
        let dir = scratch("journal");
        let path = dir.path().join("j.jsonl");
        std::fs::write(&path, "{\"a\":1}\n{\"torn").unwrap();
        let journal = Journal::open(&path).unwrap();
        journal.append(&serde_json::json!({"b": 2})).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"torn\n{\"b\":2}\n");
    }
}
