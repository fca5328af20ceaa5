//! `--follow`: new lines of a log as they are written, across rotation and truncation.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::app::App;
use crate::error::Outcome;
use crate::logs::query::{Judge, Query};
use crate::logs::read::{Backward, Stretch};
use crate::logs::scan::Scan;
use crate::output::{Format, shown};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// A file that is followed, and how far it was read.
pub(super) struct Followed {
    path: PathBuf,
    /// `None` while there is no such file.
    file: Option<File>,
    inode: u64,
    at: u64,
}

impl Followed {
    /// Begins behind the last whole line of what is there.
    pub(super) fn begin(path: PathBuf) -> io::Result<Self> {
        let mut followed = Followed { path, file: None, inode: 0, at: 0 };
        followed.open()?;
        if let Some(file) = &followed.file {
            followed.at = last_line_end(file, 0, file.metadata()?.len())?;
        }
        Ok(followed)
    }

    /// Opens what has the name now, from its beginning.
    fn open(&mut self) -> io::Result<()> {
        self.file = match File::open(&self.path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.inode = self.file.as_ref().map(|file| file.metadata().map(|meta| meta.ino())).transpose()?.unwrap_or(0);
        self.at = 0;
        Ok(())
    }

    /// New whole lines that fit. A file that was rotated away is read to its end before its successor.
    pub(super) fn more(&mut self, query: &Query) -> io::Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        self.read(query, &mut found)?;
        let now = std::fs::metadata(&self.path).map(|meta| meta.ino()).ok();
        if now.is_some_and(|inode| inode != self.inode) {
            self.read(query, &mut found)?;
            self.open()?;
            self.read(query, &mut found)?;
        }
        Ok(found)
    }

    fn read(&mut self, query: &Query, found: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let length = file.metadata()?.len();
        if length < self.at {
            // Truncated: what is there now was written since.
            self.at = 0;
        }
        let end = last_line_end(file, self.at, length)?;
        if end == self.at {
            return Ok(());
        }
        let mut scan = Scan::new(Judge::new(query, &[]), query.since, query.until, &[]);
        scan.stream(Stretch { file, at: self.at, end }, &mut |line| {
            found.push(line.bytes.to_vec());
            ControlFlow::Continue(())
        })?;
        self.at = end;
        Ok(())
    }
}

/// Where the last whole line of a stretch ends; its beginning when it has none.
fn last_line_end(file: &File, from: u64, end: u64) -> io::Result<u64> {
    let Some(end_of_stretch) = Backward::new(file, from, end).next_block()?.map(|block| {
        let torn = block.bytes.iter().rev().take_while(|byte| **byte != b'\n').count();
        (block.offset + block.bytes.len() as u64 - torn as u64).max(from)
    }) else {
        return Ok(from);
    };
    Ok(end_of_stretch)
}

/// Shows new lines until Ctrl-C, or until the reader goes away. Lines that were shown before are left out.
pub(super) async fn follow(
    app: &App,
    mut followed: Vec<Followed>,
    query: &Query,
    shown_before: &[Value],
) -> anyhow::Result<Outcome> {
    let mut first = true;
    loop {
        let mut text = String::new();
        for file in &mut followed {
            for line in file.more(query)? {
                let Ok(mut line) = serde_json::from_slice::<Value>(&line) else { continue };
                super::lines::hide(&mut line);
                if !(first && shown_before.contains(&line)) {
                    text.push_str(&written(app, &line));
                    text.push('\n');
                }
            }
        }
        first = false;
        app.output.write(&text)?;
        if app.output.is_closed() {
            return Ok(Outcome::Done);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// One line: as it stands for programs, in the order of the table for people.
fn written(app: &App, line: &Value) -> String {
    if app.output.format != Format::Table {
        return line.to_string();
    }
    let row = super::lines::row(line, app.is_verbose());
    row.iter().filter(|cell| !cell.is_empty()).map(|cell| shown(cell)).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_once_across_rotation_and_truncation() {
        let path = std::env::temp_dir().join(format!("opsctl-follow-{:x}.log", fastrand::u64(..)));
        let append = |text: &str| {
            File::options().append(true).create(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        };
        let query = Query::default();
        append("{\"n\":1}\n{\"n\":");
        let mut followed = Followed::begin(path.clone()).unwrap();
        let mut more = || followed.more(&query).unwrap().concat();
        assert_eq!(more(), b"", "what is torn waits for its end");
        append("2}\n");
        assert_eq!(more(), b"{\"n\":2}");
        append("{\"n\":3}\n");
        let rotated = path.with_extension("log.1");
        std::fs::rename(&path, &rotated).unwrap();
        append("{\"n\":4}\n");
        assert_eq!(more(), b"{\"n\":3}{\"n\":4}");
        File::create(&path).unwrap();
        assert_eq!(more(), b"");
        append("{\"n\":5}\n");
        assert_eq!(more(), b"{\"n\":5}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(more(), b"");
        std::fs::remove_file(&rotated).unwrap();
    }
}
