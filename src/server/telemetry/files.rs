//! The log files in the runbook's layout, written by one background thread.
//!
//! Lines come through a bounded channel; when it is full they are dropped and counted, so that a slow disk never holds
//! a worker. A disk that is full loses lines, not the service: they are counted too, and once a write works again the
//! count is a line of its own. Files turn over at 16 MiB and five of each are kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use crate::clock::Clock;
use crate::redact::Redactor;
use crate::wire::Platform;

use super::log::{Level, LogLine, Part};

/// A file that would grow beyond this turns over first, in bytes.
const MAX_SIZE: u64 = 16 * 1024 * 1024;
/// Files of each name: the current one and `.1` (newer) to `.4` (older).
const GENERATIONS: usize = 5;
/// Lines that wait for the writer at most; about 2 MiB.
pub(super) const CHANNEL: usize = 8192;
/// Lines collected before they are written.
const BATCH: usize = 1024;

/// Lines since the service started that did not make it into the files.
pub(super) type Dropped = Arc<AtomicU64>;

/// What the writer is told.
pub(super) enum Order {
    /// Write this.
    Line(Box<LogLine>),
    /// Say when everything before is written.
    Flush(SyncSender<()>),
}

/// The current file, then its predecessors, newest first.
pub(super) fn generations(path: &Path) -> impl Iterator<Item = PathBuf> {
    let path = path.to_owned();
    (0..GENERATIONS).map(move |n| if n == 0 { path.clone() } else { generation(&path, n) })
}

fn generation(path: &Path, n: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

/// Where `errors.log` is.
pub(super) fn errors_log(logs: &Path) -> PathBuf {
    logs.join("errors.log")
}

/// The files a line belongs to, relative to `logs/`. All are in the application log; those about a platform are in its
/// executor's too.
fn files_of(line: &LogLine) -> Vec<&'static str> {
    let mut files = vec!["application.log"];
    if line.level == Level::Error {
        files.push("errors.log");
    }
    if let Some(platform) = line.platform {
        files.push(match platform {
            Platform::Notion => "executors/notion.log",
            Platform::Trello => "executors/trello.log",
            Platform::Slack => "executors/slack.log",
            Platform::Drive => "executors/drive.log",
            Platform::Sheets => "executors/sheets.log",
        });
    }
    match line.part {
        Part::Workflow => files.push("workflows/executions.log"),
        Part::Rollback => files.push("rollbacks.log"),
        Part::Circuit => files.push("circuit-breakers.log"),
        Part::Security => files.push("security.log"),
        _ => {}
    }
    files
}

/// Every file of the layout, so that they can be followed before there is anything in them.
const LAYOUT: [&str; 11] = [
    "application.log",
    "errors.log",
    "executors/notion.log",
    "executors/trello.log",
    "executors/slack.log",
    "executors/drive.log",
    "executors/sheets.log",
    "workflows/executions.log",
    "rollbacks.log",
    "circuit-breakers.log",
    "security.log",
];

/// Makes the folders. Failing here is the one log error that stops the service: the data folder is not writable.
pub(super) fn create_folders(logs: &Path) -> io::Result<()> {
    fs::create_dir_all(logs.join("executors"))?;
    fs::create_dir_all(logs.join("workflows"))
}

/// The open files, and the lines that wait to be written to them.
pub(super) struct Writer {
    files: Vec<(&'static str, Rotating)>,
    redactor: Redactor,
    clock: Clock,
    dropped: Dropped,
    /// How many of `dropped` a line has told of.
    told: u64,
}

impl Writer {
    pub(super) fn new(logs: &Path, redactor: Redactor, clock: Clock, dropped: Dropped) -> Self {
        let files = LAYOUT.map(|name| (name, Rotating::new(logs.join(name), MAX_SIZE)));
        Writer { files: files.into(), redactor, clock, dropped, told: 0 }
    }

    /// Writes until nobody can send any more.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        self.write_out();
        while let Ok(first) = orders.recv() {
            let mut waiting = Vec::new();
            for order in std::iter::once(first).chain(orders.try_iter().take(BATCH)) {
                match order {
                    Order::Line(line) => self.collect(&line),
                    Order::Flush(done) => waiting.push(done),
                }
            }
            self.write_out();
            self.tell_dropped();
            for done in waiting {
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
    }

    fn collect(&mut self, line: &LogLine) {
        let rendered = line.render(self.clock.now());
        let text = self.redactor.redact(&rendered);
        for name in files_of(line) {
            if let Some((_, file)) = self.files.iter_mut().find(|(known, _)| *known == name) {
                file.collect(&text);
            }
        }
    }

    fn write_out(&mut self) -> bool {
        let lost: u64 = self.files.iter_mut().map(|(_, file)| file.write_out()).sum();
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        lost == 0
    }

    /// Says how many lines are missing, once there is somewhere to say it.
    fn tell_dropped(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let missing = dropped - self.told;
        if missing == 0 {
            return;
        }
        let text = format!("{missing} log lines were dropped: the disk is full or slower than the service");
        self.collect(&LogLine::warn(Part::Telemetry, text).field("dropped", missing));
        if self.write_out() {
            self.told = dropped;
        } else {
            // The notice itself is not a line that anybody misses.
            self.dropped.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One file that turns over. It opens again after a failure, or when somebody took it away.
struct Rotating {
    path: PathBuf,
    max_size: u64,
    open: Option<(File, u64)>,
    buffer: Vec<u8>,
    lines: u64,
}

impl Rotating {
    fn new(path: PathBuf, max_size: u64) -> Self {
        Rotating { path, max_size, open: None, buffer: Vec::new(), lines: 0 }
    }

    fn collect(&mut self, line: &str) {
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        self.lines += 1;
    }

    /// Writes what was collected and gives how many lines were lost. With nothing collected it only makes the file.
    fn write_out(&mut self) -> u64 {
        let lines = std::mem::take(&mut self.lines);
        if lines == 0 && self.open.is_some() {
            return 0;
        }
        let written = self.try_write();
        self.buffer.clear();
        if written.is_ok() {
            return 0;
        }
        // Half a line may have been written; opening again looks for that.
        self.open = None;
        lines
    }

    fn try_write(&mut self) -> io::Result<()> {
        if self.open.is_some() && !self.path.exists() {
            self.open = None;
        }
        let length = self.buffer.len() as u64;
        if self.open.is_none() {
            self.open = Some(open_whole(&self.path)?);
        }
        if self.open.as_ref().is_some_and(|(_, size)| *size > 0 && size + length > self.max_size) {
            self.open = None;
            turn_over(&self.path)?;
            self.open = Some(open_whole(&self.path)?);
        }
        if let Some((file, size)) = &mut self.open {
            file.write_all(&self.buffer)?;
            *size += length;
        }
        Ok(())
    }
}

/// Opens for appending, after the end of a line: a kill or a full disk may have left half of one.
fn open_whole(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}

fn turn_over(path: &Path) -> io::Result<()> {
    for n in (1..GENERATIONS).rev() {
        let from = if n == 1 { path.to_owned() } else { generation(path, n - 1) };
        match fs::rename(from, generation(path, n)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("opsctl-{name}-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_file_turns_over_and_five_are_kept() {
        let dir = folder("rotate");
        let path = dir.join("a.log");
        let mut file = Rotating::new(path.clone(), 10);
        for n in 1..=7 {
            file.collect(&format!("line {n}"));
            assert_eq!(file.write_out(), 0);
        }
        let texts: Vec<_> = generations(&path).map(|p| fs::read_to_string(p).unwrap()).collect();
        assert_eq!(texts, ["line 7\n", "line 6\n", "line 5\n", "line 4\n", "line 3\n"]);
        assert!(!generation(&path, 5).exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn half_a_line_is_ended_before_the_next() {
        let dir = folder("torn");
        let path = dir.join("a.log");
        fs::write(&path, "whole\nhal").unwrap();
        let mut file = Rotating::new(path.clone(), 1000);
        file.collect("next");
        assert_eq!(file.write_out(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\nhal\nnext\n");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_when_it_can_again() {
        let dir = folder("lost");
        let logs = dir.join("logs");
        create_folders(&logs).unwrap();
        // A folder in a file's place refuses writes as a full disk does, whoever runs the test.
        fs::create_dir(logs.join("application.log")).unwrap();
        let dropped = Dropped::default();
        let mut writer = Writer::new(&logs, Redactor::default(), Clock::system(), dropped.clone());
        for _ in 0..3 {
            writer.collect(&LogLine::info(Part::Queue, "lost"));
            writer.write_out();
            writer.tell_dropped();
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        fs::remove_dir(logs.join("application.log")).unwrap();
        writer.collect(&LogLine::info(Part::Queue, "kept"));
        writer.write_out();
        writer.tell_dropped();
        let text = fs::read_to_string(logs.join("application.log")).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].contains(r#""message":"kept""#) && lines[1].contains(r#""dropped":3"#), "{text}");
        writer.tell_dropped();
        assert_eq!(fs::read_to_string(logs.join("application.log")).unwrap(), text, "told once");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn lines_go_to_the_files_of_the_runbook() {
        assert_eq!(files_of(&LogLine::info(Part::Queue, "")), ["application.log"]);
        assert_eq!(
            files_of(&LogLine::error(Part::Executor, "").platform(Platform::Slack)),
            ["application.log", "errors.log", "executors/slack.log"]
        );
        assert_eq!(
            files_of(&LogLine::warn(Part::Circuit, "").platform(Platform::Drive)),
            ["application.log", "executors/drive.log", "circuit-breakers.log"]
        );
        for platform in Platform::ALL {
            for part in [Part::Workflow, Part::Rollback, Part::Circuit, Part::Security] {
                let files = files_of(&LogLine::error(part, "").platform(*platform));
                assert!(files.iter().all(|file| LAYOUT.contains(file)), "{files:?}");
            }
        }
    }
}
