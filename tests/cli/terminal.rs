//! What only a terminal shows: questions, redraws. Each test is a tmux session of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::orchestrator::{Orchestrator, TOKEN};
use crate::world::World;

/// Nothing is measured against this: it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

struct Terminal {
    world: World,
    orchestrator: Orchestrator,
}

impl Terminal {
    /// `opsctl LINE` in a terminal of 80 columns, or nothing where there is no tmux.
    fn start(environment: &str, line: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: no tmux\n");
            return None;
        }
        let orchestrator = Orchestrator::start(environment);
        let config = orchestrator.config(&format!("environment = \"{environment}\""));
        let terminal = Terminal { world: World::configured(&config), orchestrator };
        let binary = env!("CARGO_BIN_EXE_opsctl");
        let script = format!("\"{binary}\" {line}; echo \"ended with $?\"; sleep 60");
        let mut tmux = terminal.tmux();
        for (name, dir) in [("CONFIG", "config"), ("DATA", "data"), ("STATE", "state"), ("CACHE", "cache")] {
            tmux.env(format!("OPSCTL_{name}_DIR"), terminal.world.path(dir));
        }
        tmux.env("HERE_TOKEN", TOKEN)
            .args(["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24"])
            .arg(script);
        assert!(tmux.status().unwrap().success());
        Some(terminal)
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        tmux.env("HOME", self.world.path("")).env("TERM", "xterm-256color").env("USER", "ana");
        tmux.arg("-S").arg(self.world.path("tmux"));
        tmux
    }

    fn keys(&self, keys: &[&str]) -> &Self {
        assert!(self.tmux().arg("send-keys").args(keys).status().unwrap().success());
        self
    }

    /// Waits until the screen says this, and returns it with wrapped lines joined.
    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let output = self.tmux().args(["capture-pane", "-p", "-J"]).output().unwrap();
            let screen = String::from_utf8(output.stdout).unwrap();
            if screen.contains(text) {
                return screen;
            }
            assert!(started.elapsed() < PATIENCE, "`{text}` never came:\n{screen}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}

#[test]
fn a_yes_is_asked_for_and_taken() {
    let Some(terminal) = Terminal::start("staging", "queue remove act-1") else { return };
    terminal.wait_for("Take 1 item out of the queue in here? [y/N]");
    assert!(terminal.orchestrator.lines().is_empty(), "nothing is sent before the answer");
    terminal.keys(&["y", "Enter"]).wait_for("ended with 0");
    assert_eq!(terminal.orchestrator.state("act-1"), "removed");
}

#[test]
fn enter_end_of_input_and_ctrl_c_mean_no() {
    for (keys, code) in [("Enter", 10), ("C-d", 10), ("C-c", 130)] {
        let Some(terminal) = Terminal::start("staging", "queue remove act-1") else { return };
        terminal.wait_for("[y/N]");
        let screen = terminal.keys(&[keys]).wait_for(&format!("ended with {code}"));
        assert!(code == 130 || screen.contains("was declined"), "{keys}: {screen}");
        assert!(terminal.orchestrator.lines().is_empty(), "{keys}");
    }
}

#[test]
fn a_missing_reason_is_one_more_question() {
    let Some(terminal) = Terminal::start("production", "queue remove act-1 --yes") else { return };
    terminal.wait_for("Reason, for the audit trail:");
    terminal.keys(&["stuck", "Enter"]).wait_for("ended with 0");
    assert_eq!(terminal.orchestrator.writes()[0].headers["x-opsctl-reason"], "stuck");
}
