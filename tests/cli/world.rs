//! A place of its own for each test: home, clean environment, the real binary.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A home nobody else uses; it goes away with the value.
pub struct World {
    root: PathBuf,
}

impl World {
    pub fn new() -> Self {
        let root = std::env::temp_dir().join(format!("opsctl-world-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&root).unwrap();
        World { root }
    }

    /// A world with this `config.toml`.
    pub fn configured(config: &str) -> Self {
        let world = World::new();
        world.write("config/config.toml", config);
        world
    }

    /// A path in this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The binary with these arguments, ready to run in a clean environment, nobody at a terminal.
    pub fn opsctl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
        command.args(args).env_clear().current_dir(&self.root);
        command.env("HOME", &self.root).env("USER", "ana").env("TZ", "UTC");
        for (name, dir) in [("CONFIG", "config"), ("DATA", "data"), ("STATE", "state"), ("CACHE", "cache")] {
            command.env(format!("OPSCTL_{name}_DIR"), self.path(dir));
        }
        Run { command, home: self.root.clone() }
    }

    /// The same, written as one line.
    pub fn line(&self, line: &str) -> Run {
        self.opsctl(line.split_whitespace())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Whether a program is there; a test that needs it says so and passes without it.
pub fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: no {program}\n").as_bytes());
    }
    found
}

/// A command to run.
pub struct Run {
    command: Command,
    home: PathBuf,
}

impl Run {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Everything prepared, for what `run` cannot do.
    pub fn command(self) -> Command {
        self.command
    }

    pub fn run(mut self) -> Done {
        let output = self.command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(self.home.to_str().unwrap(), "~");
        Done { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
    }
}

/// What a command did. The world's directory is shown as `~`.
#[derive(Debug)]
pub struct Done {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Done {
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    pub fn stdout(self, text: &str) -> Self {
        assert_eq!(self.stdout, text, "{self:#?}");
        self
    }

    #[track_caller]
    pub fn stderr(self, text: &str) -> Self {
        assert_eq!(self.stderr, text, "{self:#?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// The one JSON object on standard error.
    #[track_caller]
    pub fn error_json(&self) -> serde_json::Value {
        assert_eq!(self.stderr.lines().count(), 1, "{self:#?}");
        serde_json::from_str(&self.stderr).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
