//! A procedure walked at a terminal: stopped, killed in the middle, gone on with, and told of afterwards.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Sandbox, kill};

/// Nothing is measured against this: it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal in which one command runs at a time.
struct Terminal<'a> {
    sandbox: &'a Sandbox,
    /// The screen as the last answer found it: what is waited for comes after it.
    answered: RefCell<String>,
}

impl<'a> Terminal<'a> {
    /// `None` where there is no tmux.
    fn start(sandbox: &'a Sandbox) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: no tmux\n");
            return None;
        }
        let terminal = Terminal { sandbox, answered: RefCell::default() };
        let own = sandbox.world.line("version").command();
        let mut tmux = terminal.tmux();
        tmux.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        tmux.env("OPSCTL_CONTEXT", "sandbox").env("OPSCTL_SANDBOX_IDLE", sandbox.idle);
        tmux.args(["-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "50", "sh"]);
        assert!(tmux.status().unwrap().success());
        Some(terminal)
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "xterm-256color");
        tmux.env("HOME", self.sandbox.world.path("")).arg("-S").arg(self.sandbox.world.path("tmux"));
        tmux
    }

    /// Types a line on an empty screen.
    fn run(&self, line: &str) -> &Self {
        let binary = env!("CARGO_BIN_EXE_opsctl");
        self.answer(&format!("clear; '{binary}' {line}; echo \"ended with $?\""))
    }

    fn answer(&self, text: &str) -> &Self {
        *self.answered.borrow_mut() = self.screen();
        assert!(self.tmux().args(["send-keys", "-l", text]).status().unwrap().success());
        assert!(self.tmux().args(["send-keys", "Enter"]).status().unwrap().success());
        self
    }

    /// The command that runs: the shell's only child.
    fn running(&self) -> u64 {
        let output = self.tmux().args(["display-message", "-p", "#{pane_pid}"]).output().unwrap();
        let shell = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.trim().parse().unwrap()
    }

    fn screen(&self) -> String {
        let output = self.tmux().args(["capture-pane", "-p", "-J", "-S", "-500"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Waits until this is the last thing on the screen, with wrapped lines joined.
    #[track_caller]
    fn until(&self, end: &str) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            let shown = screen.strip_suffix(['$', '#']).map_or(screen.as_str(), str::trim_end);
            if shown.ends_with(end) && screen != *self.answered.borrow() {
                return screen;
            }
            assert!(started.elapsed() < PATIENCE, "`{end}` never came:\n{screen}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}

/// The one recorded run.
fn record(sandbox: &Sandbox) -> (std::path::PathBuf, Value) {
    let folder = std::fs::read_dir(sandbox.world.path("state/runbook")).unwrap();
    let mut files =
        folder.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let path = files.next().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    (path, serde_json::from_str(&text).unwrap())
}

const RUN: &str = "y run it, s skip, w why, a abort:";

#[test]
fn an_outage_is_walked_stopped_killed_and_gone_on_with() {
    let sandbox = Sandbox::up();
    let Some(terminal) = Terminal::start(&sandbox) else { return };
    terminal.run("runbook run outage").until(RUN);
    let screen = terminal.answer("w").until(RUN);
    assert!(screen.contains("opsctl system status: reads only (R)"), "{screen}");
    terminal.answer("y").until(RUN);
    let screen = terminal.answer("y").until(RUN);
    assert!(screen.contains("$ opsctl pause all") && screen.contains("step 3 of 6"), "{screen}");
    let screen = terminal.answer("a").until("ended with 10");
    assert!(screen.contains("runbook run outage --resume goes on with outage-"), "{screen}");
    let (path, run) = record(&sandbox);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let states = |run: &Value| -> Vec<String> {
        run["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(&run), ["done", "done", "waiting", "waiting", "waiting", "waiting"]);
    assert_eq!(run["state"], "stopped");
    assert_eq!(sandbox.json("--context sandbox api GET /admin/v1/pauses")[0]["scope"], "all");

    let other = sandbox.run("--context local runbook run outage --resume").code(6);
    assert!(other.stderr.contains("it was begun in `sandbox`, and `local` is in use"), "{other:?}");

    // Killed while a restart asks: whether it was restarted is not recorded.
    let screen = terminal.run("runbook run outage --resume").until(RUN);
    assert!(screen.contains("goes on: 2 of 6 steps are over"), "{screen}");
    terminal.answer("y").until(RUN);
    terminal.answer("y").until("[y/N]");
    let me = sandbox.run("--context sandbox runbook run outage --resume").code(10);
    assert!(me.stderr.contains("needs somebody to answer"), "{me:?}");
    kill(terminal.running());
    terminal.until("ended with 137");
    let screen = terminal.run("runbook run outage --resume").until("v look (opsctl queue check), a abort:");
    assert!(screen.contains("`opsctl restart database` has no recorded end"), "{screen}");
    terminal.answer("v").until("v look (opsctl queue check), a abort:");
    terminal.answer("y");
    for _ in 0..5 {
        terminal.until("[y/N]");
        terminal.answer("y");
    }
    let screen = terminal.until(RUN);
    assert!(screen.contains("$ opsctl restart workers") && screen.contains("step 5 of 6"), "{screen}");
    terminal.answer("y").until("[y/N]");
    terminal.answer("y").until(RUN);
    let screen = terminal.answer("y").until("ended with 0");
    assert!(screen.contains("Transcript"), "{screen}");

    let (path, run) = record(&sandbox);
    assert_eq!((states(&run), &run["state"]), (vec!["done".to_owned(); 6], &"finished".into()));
    assert_eq!(sandbox.json("--context sandbox api GET /admin/v1/pauses"), serde_json::json!([]));
    let page = std::fs::read_to_string(path.with_extension("md")).unwrap();
    for part in
        ["# Procedure 1: ", "- State: finished, 6 of 6 steps over", "`opsctl restart database` at ", "no end recorded"]
    {
        assert!(page.contains(part), "no `{part}` in\n{page}");
    }
    let printed = sandbox.run("--context sandbox runbook transcript").code(0);
    assert_eq!(printed.stdout, page.replace(sandbox.world.path("").to_str().unwrap().trim_end_matches('/'), "~"));
    sandbox.run("--context sandbox runbook run outage --resume").code(5);
}
