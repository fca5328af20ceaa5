//! Processes by number and birth, so that a number that was given to another program is not mistaken.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::error::Fault;

pub use rustix::process::Signal;

/// How often a process that is to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Size at which a log starts anew, in bytes.
const LOG_MAX: u64 = 1024 * 1024;

/// A process that was running once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in the kernel's ticks since the machine did; 0 where the system does not say.
    pub born: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn of(pid: u32) -> Option<Self> {
        match look(pid) {
            Looked::Alive { born } => Some(Process { pid, born }),
            Looked::Gone => None,
        }
    }

    /// Whether it still runs. One that ended and whose parent has not noticed does not.
    pub fn is_alive(&self) -> bool {
        Process::of(self.pid) == Some(*self)
    }

    /// Sends it a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            // It may end in this very moment, which is what was wanted.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Waits until it is gone, and tells whether it is.
    pub async fn gone(&self, limit: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        while self.is_alive() {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Asks it to end, and makes it end when it does not.
    pub async fn end(&self, limit: Duration) {
        self.signal(Signal::TERM);
        if !self.gone(limit).await {
            self.signal(Signal::KILL);
            self.gone(limit).await;
        }
    }
}

enum Looked {
    Alive { born: u64 },
    Gone,
}

fn look(pid: u32) -> Looked {
    if let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        return match state_and_birth(&text) {
            Some(('Z' | 'X', _)) | None => Looked::Gone,
            Some((_, born)) => Looked::Alive { born },
        };
    }
    if Path::new("/proc/self/stat").exists() {
        return Looked::Gone;
    }
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    match raw.map(rustix::process::test_kill_process) {
        Some(Ok(())) => Looked::Alive { born: 0 },
        _ => Looked::Gone,
    }
}

/// Fields 3 and 22 of `/proc/PID/stat`. The name before them is in brackets and may hold anything.
fn state_and_birth(stat: &str) -> Option<(char, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

/// A command that inherits nothing: no descriptor, no variable but where things are, output into `log`.
pub(super) fn detached(program: &Path, log: &Path) -> anyhow::Result<Command> {
    if length(log) > LOG_MAX {
        let _ = std::fs::remove_file(log);
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    let file = file.with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    for name in ["PATH", "HOME", "TMPDIR", "TZ"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    Ok(command)
}

/// Closes what this process was handed at its start beside the three standard streams: a lock or a pipe of whoever
/// started it would stay open for as long as it runs. What the program opens itself is marked to end with an exec, and
/// so is told apart.
pub(super) fn close_inherited() {
    const CLOSES_ON_EXEC: u32 = 0o2_000_000;
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        if flags.and_then(|f| u32::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & CLOSES_ON_EXEC == 0) {
            // It may be gone already, which is what was wanted.
            let _ = nix::unistd::close(number);
        }
    }
}

/// How long a log is, to tell later what was added to it.
pub(super) fn length(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |m| m.len())
}

/// A fault with what the last error in a log says: its message and causes, and its hint if it has one. What was there
/// before the first `skip` bytes ended is of other times.
pub(super) fn explained_by(log: &Path, skip: u64, fault: Fault) -> Fault {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let text = usize::try_from(skip).ok().and_then(|skip| text.get(skip..)).unwrap_or(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let see = format!("see {}", log.display());
    let Some(at) = lines.iter().rposition(|line| line.starts_with("error: ")) else { return fault.hint(see) };
    let causes = lines[at + 1..].iter().map_while(|line| line.strip_prefix("caused by: "));
    let causes: Vec<&str> = lines[at].strip_prefix("error: ").into_iter().chain(causes).collect();
    let hint = lines.get(at + causes.len()).and_then(|line| line.strip_prefix("hint: "));
    let hint = hint.map_or(see, str::to_owned);
    causes.into_iter().fold(fault, |fault, cause| fault.because(cause)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 777 1 2 3";
        assert_eq!(state_and_birth(stat), Some(('S', 777)));
        assert_eq!(state_and_birth("garbage"), None);
    }

    #[test]
    fn the_last_error_explains() {
        let log = std::env::temp_dir().join(format!("opsctl-log-{:032x}", fastrand::u128(..)));
        let text = "error: old\n  hint: old\nup\nerror: a\n  caused by: b\n  caused by: c\n  hint: d\n";
        std::fs::write(&log, text).unwrap();
        let fault = explained_by(&log, 0, Fault::new(crate::error::Kind::Failed, "x"));
        let quiet = explained_by(&log, text.len() as u64, Fault::new(crate::error::Kind::Failed, "x"));
        assert!(quiet.causes.is_empty());
        std::fs::remove_file(&log).unwrap();
        assert_eq!((fault.causes, fault.hint.as_deref()), (vec!["a".into(), "b".into(), "c".into()], Some("d")));
        let fault = explained_by(&log, 0, Fault::new(crate::error::Kind::Failed, "x"));
        assert!(fault.causes.is_empty() && fault.hint.unwrap().contains("opsctl-log-"));
    }

    #[test]
    fn a_recycled_number_is_another_process() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(!Process { born: me.born + 1, ..me }.is_alive());
    }
}
