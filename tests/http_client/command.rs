//! One run of the real binary in a home of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A run that has not ended after this long did not keep its time limit; nothing is measured against it.
const WATCHDOG: Duration = Duration::from_secs(60);

/// The credential of every run; it must appear nowhere but in the stub's requests.
pub const TOKEN: &str = "opsctl_test_4f1c0a77d2b94e6f9a3b";

/// A command line to run.
pub struct Opsctl {
    home: crate::served::TempDir,
    command: Command,
}

/// How it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Kept so that what the run left behind can be looked at.
    home: crate::served::TempDir,
}

impl Opsctl {
    /// `opsctl ARGS` against `url`, with a token and a time limit of two seconds.
    pub fn new(url: &str, args: &[&str]) -> Opsctl {
        let home = crate::served::TempDir::new("http-client");
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
        command
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(crate::served::context_at(home.path(), url))
            .env("OPSCTL_TOKEN", TOKEN)
            .env("OPSCTL_TIMEOUT", "2s")
            .args(args)
            .stdin(Stdio::null());
        Opsctl { home, command }
    }

    /// One more variable.
    pub fn env(mut self, name: &str, value: &str) -> Opsctl {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Ended {
        let (out, err) = (self.home.path().join("stdout"), self.home.path().join("stderr"));
        let file = |path: &Path| std::fs::File::create(path).expect("a file for the output");
        let mut child = self.command.stdout(file(&out)).stderr(file(&err)).spawn().expect("opsctl starts");
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                break status;
            }
            if started.elapsed() > WATCHDOG {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{:?} did not end by itself", self.command);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let read = |path: &Path| std::fs::read_to_string(path).expect("the output is text");
        Ended { code: status.code(), stdout: read(&out), stderr: read(&err), home: self.home }
    }
}

impl Ended {
    /// The whole contract of a failed call: its exit code, an error in three parts that says `why` and gives a hint,
    /// nothing on stdout, and the token in no output and no file.
    #[track_caller]
    pub fn fails(&self, code: i32, why: &str) {
        self.keeps_the_token();
        assert_eq!(self.code, Some(code), "exit code\n{}", self.stderr);
        assert_eq!(self.stdout, "", "stdout of a failed command");
        // A silent address is told of before the wait is over.
        let (notes, error) = self.stderr.split_at(self.stderr.find("error: ").unwrap_or_default());
        assert!(notes.is_empty() || (notes.starts_with("no answer from ") && notes.lines().count() == 1), "{notes}");
        assert!(error.starts_with("error: "), "{}", self.stderr);
        let causes: Vec<_> = self.stderr.lines().filter(|l| l.starts_with("  caused by: ")).collect();
        assert!(self.stderr.contains(why), "`{why}` is not in:\n{}", self.stderr);
        assert!(!causes.is_empty(), "no cause in:\n{}", self.stderr);
        assert!(self.stderr.lines().any(|l| l.starts_with("  hint: ")), "no hint in:\n{}", self.stderr);
    }

    /// The command gave its answer.
    #[track_caller]
    pub fn succeeds(&self) {
        self.keeps_the_token();
        assert_eq!(self.code, Some(0), "exit code\n{}", self.stderr);
    }

    #[track_caller]
    fn keeps_the_token(&self) {
        let mut folders = vec![self.home.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    // Output is among these files too.
                    let found = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
                    assert!(!found, "the token is in {}", path.display());
                }
            }
        }
    }
}
