//! This program run by itself: unattended, with a limit, and gone with everything it started.
//!
//! What it runs has no terminal, no pager and no colour, is the head of a process group of its own, and is ended as a
//! group: at the limit, and when whoever waits for it is ended.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Longest answer that is kept, in bytes; the end of it is dropped.
const ANSWER: usize = 16 * 1024 * 1024;
/// How long what is asked to end may take before it is made to.
const GRACE: Duration = Duration::from_secs(3);
/// How long is read on after it ended: what it started may hold its streams open, and is ended then.
const DREGS: Duration = Duration::from_secs(1);

/// Variables that would bring a person's terminal in.
const NOT_HERS: [&str; 6] = ["PAGER", "MANPAGER", "GIT_PAGER", "CLICOLOR_FORCE", "FORCE_COLOR", "OPSCTL_COLOR"];

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<u8>,
    /// Whether it was ended at the limit.
    pub timed_out: bool,
    /// What it answered.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

/// Ends the group unless it is disarmed.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // It may be gone already, which is what was wanted.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs this program with these words, in this process's environment and some more variables.
pub async fn run(words: &[OsString], more: &[(&str, OsString)], limit: Duration) -> io::Result<Ended> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    for name in NOT_HERS {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1").envs(more.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn()?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let group = Group(pid);
    let answer = tokio::spawn(all_of(child.stdout.take()));
    let said = tokio::spawn(all_of(child.stderr.take()));
    // Whoever ends this process means what it runs: a signal to one does not reach the other.
    let mut told_to_end = signal(SignalKind::terminate())?;
    let (by_itself, timed_out) = tokio::select! {
        status = child.wait() => (Some(status?), false),
        () = tokio::time::sleep(limit) => (None, true),
        _ = told_to_end.recv() => (None, false),
    };
    let status = match by_itself {
        Some(status) => status,
        None => {
            group.signal(Signal::TERM);
            match tokio::time::timeout(GRACE, child.wait()).await {
                Ok(status) => status?,
                Err(_) => {
                    group.signal(Signal::KILL);
                    child.wait().await?
                }
            }
        }
    };
    let both = async { (answer.await.unwrap_or_default(), said.await.unwrap_or_default()) };
    let mut both = std::pin::pin!(both);
    let (stdout, stderr) = match tokio::time::timeout(DREGS, both.as_mut()).await {
        Ok(both) => both,
        Err(_) => {
            drop(group);
            both.await
        }
    };
    Ok(Ended { code: status.code().and_then(|code| u8::try_from(code).ok()), timed_out, stdout, stderr })
}

async fn all_of<R: AsyncRead + Unpin>(stream: Option<R>) -> String {
    let mut kept = Vec::new();
    let mut block = vec![0; 64 * 1024];
    let Some(mut stream) = stream else { return String::new() };
    while let Ok(count @ 1..) = stream.read(&mut block).await {
        let room = ANSWER.saturating_sub(kept.len());
        kept.extend_from_slice(&block[..count.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
