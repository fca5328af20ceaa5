//! A real `opsctl serve` as a child process, for the proofs that kill, stop and measure it.
#![allow(dead_code, reason = "each of the programs that include this file uses a part of it")]

pub mod api;
pub mod http;
pub mod port;
pub mod trello;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use opsctl::platforms::Endpoints;

/// Ends what does not end by itself; nothing is measured against it.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A folder that goes away with its value, unless the test fails: then it stays, for whoever looks why.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new empty folder whose name starts with `opsctl-` and `name`.
    pub fn new(name: &str) -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("opsctl-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            note(&format!("kept: {}", self.0.display()));
            return;
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How to start a service; the same for every start of one data folder.
#[derive(Clone, Debug)]
pub struct Launch {
    pub binary: PathBuf,
    pub data_dir: PathBuf,
    pub address: SocketAddr,
    /// Settings, as environment variables.
    pub env: Vec<(String, String)>,
    /// More of its command line.
    pub args: Vec<String>,
    endpoints: Option<PathBuf>,
}

impl Launch {
    /// A service on a loopback port that is free now.
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Launch {
        let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
        // The proofs submit in bulk, and nobody is there to decide about it.
        let env = vec![("APPROVAL_RULES".to_owned(), "none".to_owned())];
        Launch { binary: binary.into(), data_dir: data_dir.into(), address, env, args: Vec::new(), endpoints: None }
    }

    /// One more variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Launch {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// More of its command line.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Launch {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Several more.
    #[must_use]
    pub fn envs(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Launch {
        self.env.extend(variables);
        self
    }

    /// Other addresses of the platforms than the vendors'.
    #[must_use]
    pub fn endpoints(mut self, endpoints: &Endpoints) -> Launch {
        let file = self.data_dir.with_extension("endpoints.json");
        std::fs::write(&file, serde_json::to_vec(endpoints).expect("JSON")).expect("a file for the addresses");
        self.endpoints = Some(file);
        self
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The admin token, once the first start has written it.
    pub fn token(&self) -> String {
        let path = self.data_dir.join("admin.token");
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
    }

    /// The command line, ready to spawn.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .env("HOME", &self.data_dir)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .arg("serve")
            .arg("--data-dir")
            .arg(&self.data_dir)
            .arg("--listen")
            .arg(self.address.to_string())
            .args(&self.args)
            .stdin(Stdio::null());
        if let Some(endpoints) = &self.endpoints {
            command.arg("--endpoints").arg(endpoints);
        }
        command
    }

    /// Starts it and waits until it answers; gives the time that took as well.
    pub async fn start(&self) -> (Served, Duration) {
        let log = self.data_dir.with_extension("stderr");
        let sink = || std::fs::File::options().create(true).append(true).open(&log).expect("a file for its output");
        let started = Instant::now();
        let mut child = self.command().stdout(sink()).stderr(sink()).spawn().expect("opsctl serve starts");
        loop {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("opsctl serve ended with {status}\n{said}");
            }
            if let Ok((200, _)) = http::get(self.address, "/health", None).await {
                return (Served { child: Some(child) }, started.elapsed());
            }
            if started.elapsed() > WATCHDOG {
                let _ = child.kill();
                panic!("opsctl serve does not answer\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A running service; killed when dropped.
#[derive(Debug)]
pub struct Served {
    child: Option<Child>,
}

impl Served {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running service").id()
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(mut self) {
        self.end();
    }

    /// Sends a signal by its name: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name}");
    }

    /// SIGTERM, and how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.take().expect("a running service").wait().expect("its exit status")
    }

    /// Resident memory, in bytes.
    pub fn rss(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|k| k * 1024).ok_or_else(|| io::Error::other("no VmRSS line"))
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a command that has to end by itself, and gives its output.
pub fn output(command: &mut Command) -> std::process::Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("opsctl starts");
    let pid = child.id();
    let (ended, end) = std::sync::mpsc::channel();
    // It reads while the command runs: a full pipe would hold that up.
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    end.recv_timeout(WATCHDOG)
        .unwrap_or_else(|_| {
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
            panic!("{command:?} did not end by itself: {:?}", end.recv());
        })
        .expect("its output")
}

/// How many kills: `OPSCTL_KILL_ROUNDS`, or so many.
pub fn rounds(default: usize) -> usize {
    std::env::var("OPSCTL_KILL_ROUNDS").map_or(default, |n| n.parse().expect("OPSCTL_KILL_ROUNDS: a number"))
}

/// Makes a context for `url` in a folder of its own; gives the variables that choose it.
pub fn context_at(folder: &Path, url: &str) -> [(&'static str, std::ffi::OsString); 2] {
    let config = folder.join("config");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::write(config.join("config.toml"), format!("[contexts.served]\nurl = \"{url}\"\n")).expect("a context");
    [("OPSCTL_CONFIG_DIR", config.into_os_string()), ("OPSCTL_CONTEXT", "served".into())]
}

/// A line for the person who runs the tests, shown although the test passes: what was measured, or why it was skipped.
pub fn note(line: &str) {
    use io::Write;
    // Past libtest's capture, which only sees the print macros.
    let _ = writeln!(io::stderr(), "{line}");
}
