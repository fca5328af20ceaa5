//! Running a configured command: with a limit, in a process group of its own, its last words kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::redact::masked;
use crate::settings::{CommandLine, format_duration};

/// How much of what a command says is read, in bytes from its end.
const READ: u64 = 4096;
/// How many of its last lines are kept.
const KEPT: usize = 3;
/// How long a command that took too long may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(1);

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    /// Whether it ended with 0.
    pub success: bool,
    /// How it ended: `exit status: 1`.
    pub ended: String,
    /// The end of what it said, as it is.
    pub(super) text: String,
}

impl Ran {
    /// Its last lines; what looks like a password is hidden.
    pub fn said(&self) -> Vec<String> {
        let lines: Vec<&str> = self.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(KEPT)..].iter().map(|line| masked(line).into_owned()).collect()
    }

    /// `: its last line`, or nothing.
    pub fn last_words(&self) -> String {
        self.said().last().map(|line| format!(": {line}")).unwrap_or_default()
    }
}

/// Why there is no answer from a command.
#[derive(Debug)]
pub enum NotRun {
    /// It cannot be started.
    NotStarted(io::Error),
    /// It was ended after this long.
    TookTooLong(Duration),
}

impl NotRun {
    /// For people.
    pub fn why(&self, line: &CommandLine) -> String {
        match self {
            NotRun::NotStarted(error) if error.kind() == io::ErrorKind::NotFound => {
                format!("there is no command `{}` here", line.program())
            }
            NotRun::NotStarted(error) => format!("`{}` cannot be started: {error}", line.program()),
            NotRun::TookTooLong(limit) => format!("`{line}` did not end within {}", format_duration(*limit)),
        }
    }
}

/// Its group, ended when the command is given up: by a time limit or Ctrl-C.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It may be gone already, which is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}

/// Runs a command to its end, or ends it and what it started when it takes longer than `limit`. What a command that
/// ended leaves running is left alone.
pub async fn run(line: &CommandLine, limit: Duration) -> Result<Ran, NotRun> {
    let said = unnamed().ok();
    let stream = || said.as_ref().and_then(|file| file.try_clone().ok()).map_or_else(Stdio::null, Stdio::from);
    let mut command = line.to_command();
    command.stdout(stream()).stderr(stream()).process_group(0);
    let mut child = command.spawn().map_err(NotRun::NotStarted)?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(Ok(status)) => {
            group.0 = None;
            let text = said.map(|file| end_of(&file)).unwrap_or_default();
            Ok(Ran { success: status.success(), ended: status.to_string(), text })
        }
        Ok(Err(error)) => Err(NotRun::NotStarted(error)),
        Err(_) => {
            group.signal(Signal::TERM);
            if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                group.signal(Signal::KILL);
            }
            Err(NotRun::TookTooLong(limit))
        }
    }
}

/// A file without a name, for what a command says. A pipe would stay open for as long as something that it started, and
/// would end that when it is closed.
fn unnamed() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!(".opsctl-said-{}", uuid::Uuid::now_v7().simple()));
    let file = File::options().read(true).append(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn end_of(file: &File) -> String {
    let length = file.metadata().map_or(0, |m| m.len());
    let mut bytes = vec![0; usize::try_from(length.min(READ)).unwrap_or(0)];
    match file.read_exact_at(&mut bytes, length.saturating_sub(READ)) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(line: &str) -> CommandLine {
        CommandLine::Shell(line.to_owned())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_command_says_how_it_ended_and_its_last_words() {
        let ran = run(&shell("echo one; echo two >&2; echo three; echo pg://ana:hunter22@db; exit 4"), LONG).await;
        let ran = ran.unwrap();
        assert!(!ran.success && ran.ended.contains('4'), "{ran:?}");
        assert_eq!(ran.said(), ["two", "three", "pg://ana:(hidden)@db"]);
        assert!(run(&shell("true"), LONG).await.unwrap().success);
    }

    #[tokio::test]
    async fn a_missing_command_is_named() {
        let line = CommandLine::Program(vec!["no-such-manager".into(), "restart".into()]);
        let error = run(&line, LONG).await.unwrap_err();
        assert_eq!(error.why(&line), "there is no command `no-such-manager` here");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_ended_with_what_it_started() {
        let dir = crate::server::testing::scratch("run");
        let pid = dir.path().join("pid");
        let line = shell(&format!("sleep 600 & echo $! > {}; wait", pid.display()));
        let error = run(&line, Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, NotRun::TookTooLong(_)), "{error:?}");
        let child = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + LONG;
        while crate::sandbox::process::Process::of(child).is_some() {
            assert!(Instant::now() < deadline, "what it started lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn what_it_leaves_running_holds_nobody_up() {
        let dir = crate::server::testing::scratch("run");
        let pid = dir.path().join("pid");
        let line = shell(&format!("sleep 600 & echo $! > {}", pid.display()));
        assert!(run(&line, LONG).await.unwrap().success);
        let child = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        let process = crate::sandbox::process::Process::of(child).expect("it lives on");
        process.end(LONG).await;
    }
}
