//! README's second block, typed into a terminal as it stands there.
//!
//! What is different each time is compared as a pattern: an instant ("3 seconds ago", "in 28 seconds", RFC 3339) is
//! `<time>`, an id `<id>`, a receipt `<receipt>`, any other number `#`, and any run of spaces one space.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::ground::{Ground, repository};

/// What marks the block in README.
const MARK: &str = "<!-- replay -->";
/// Nothing is measured against this: it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// Wide enough that no line of the block is wrapped, and higher than the block.
const SIZE: (&str, &str) = ("180", "60");

#[test]
fn the_second_block_happens_as_it_is_written() {
    let block = block(&std::fs::read_to_string(repository("README.md")).unwrap());
    assert!(block.lines().count() <= 25, "the block has more than 25 lines");
    let ground = Ground::new();
    ground.run("sandbox scenario issue-2").code(0);
    let (written, seen) = match Terminal::start(&ground) {
        Some(terminal) => (block.clone(), terminal.replay(&block)),
        None => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: the question itself, no tmux\n");
            let asks = |line: &&str| !line.contains("[y/N]");
            (block.lines().filter(asks).collect::<Vec<_>>().join("\n"), replay_without_terminal(&ground, &block))
        }
    };
    assert_eq!(pattern(&seen), pattern(&written), "seen:\n{seen}\nwritten:\n{written}");
}

/// The fenced block after the mark.
fn block(readme: &str) -> String {
    let after = readme.split_once(MARK).unwrap_or_else(|| panic!("README has no {MARK}")).1;
    let lines = after.lines().skip_while(|line| !line.starts_with("```")).skip(1);
    lines.take_while(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n")
}

/// Commands of the block, each with the answer to its question, if it asks one.
fn commands(block: &str) -> Vec<(&str, Option<&str>)> {
    let mut commands: Vec<(&str, Option<&str>)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command, None));
        } else if let (Some((_, answer)), Some(last)) = (line.split_once("[y/N]"), commands.last_mut()) {
            last.1 = Some(answer.trim());
        }
    }
    assert!(!commands.is_empty(), "README's block has no command");
    commands
}

/// Both streams as they are written, without anybody to ask: the sandbox goes ahead then.
fn replay_without_terminal(ground: &Ground, block: &str) -> String {
    let mut seen = String::new();
    for (command, _) in commands(block) {
        let path = ground.path("seen");
        let file = std::fs::File::create(&path).unwrap();
        let mut opsctl = ground.command(command.trim_start_matches("opsctl "));
        opsctl.stdin(std::process::Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        opsctl.status().unwrap();
        seen += &format!("$ {command}\n{}", std::fs::read_to_string(path).unwrap());
    }
    seen
}

/// A shell in tmux, at home where the sandbox runs.
struct Terminal<'a> {
    ground: &'a Ground,
}

impl<'a> Terminal<'a> {
    /// `None` where there is no tmux.
    fn start(ground: &'a Ground) -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok()?;
        let bin = ground.path("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_opsctl"), bin.join("opsctl")).unwrap();
        // Some shells take no prompt from the environment, and another one for root.
        let start = ground.path("shell-start");
        std::fs::write(&start, "PS1='$ '\n").unwrap();
        let terminal = Terminal { ground };
        let mut tmux = terminal.tmux();
        tmux.env("ENV", start).args(["-f", "/dev/null", "new-session", "-d", "-x", SIZE.0, "-y", SIZE.1, "sh"]);
        assert!(tmux.status().unwrap().success());
        terminal.wait_for("$");
        Some(terminal)
    }

    fn tmux(&self) -> Command {
        let mut paths = vec![self.ground.path("bin")];
        paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        // The environment of the sandbox's commands, and what a shell needs.
        let own = self.ground.command("version");
        let mut tmux = Command::new("tmux");
        tmux.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        tmux.env("PATH", std::env::join_paths(paths).unwrap()).env("TERM", "xterm-256color");
        tmux.arg("-S").arg(self.ground.path("tmux"));
        tmux
    }

    /// Types every command and every answer, and gives the whole screen.
    fn replay(&self, block: &str) -> String {
        for (command, answer) in commands(block) {
            self.type_in(command);
            if let Some(answer) = answer {
                self.wait_for("[y/N]");
                self.type_in(answer);
            }
            self.wait_for("$");
        }
        let screen = self.screen();
        screen.strip_suffix("\n$").unwrap_or(&screen).to_owned()
    }

    fn type_in(&self, text: &str) {
        assert!(self.tmux().args(["send-keys", "-l", text]).status().unwrap().success());
        assert!(self.tmux().args(["send-keys", "Enter"]).status().unwrap().success());
    }

    fn screen(&self) -> String {
        let output = self.tmux().args(["capture-pane", "-p", "-J"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Waits until the last line ends with this.
    fn wait_for(&self, end: &str) {
        let started = Instant::now();
        while !self.screen().ends_with(end) {
            assert!(started.elapsed() < PATIENCE, "`{end}` never came:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}

/// Text with its changing parts as patterns.
fn pattern(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut out: Vec<String> = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let length = instant(&words[at..]);
            out.push(if length > 0 { "<time>".into() } else { word(words[at]) });
            at += length.max(1);
        }
        out.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// How many words an instant takes; 0 where there is none.
fn instant(words: &[&str]) -> usize {
    match words {
        [count, _, "ago", ..] | ["in", count, ..] if count.parse::<u64>().is_ok() => 3.min(words.len()),
        [stamp, ..] if stamp.len() >= 20 && stamp.parse::<jiff::Timestamp>().is_ok() => 1,
        ["now", ..] => 1,
        _ => 0,
    }
}

fn word(word: &str) -> String {
    if word.len() == 36 && word.parse::<uuid::Uuid>().is_ok() {
        return "<id>".into();
    }
    if word.strip_prefix("r-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return "<receipt>".into();
    }
    let mut out = String::new();
    for c in word.chars() {
        match c.is_ascii_digit() {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(c),
        }
    }
    out
}

#[test]
fn only_what_changes_is_a_pattern() {
    for (text, expected) in [
        ("Opened        2 seconds ago", "Opened <time>"),
        ("Tries again   in 28 seconds", "Tries again <time>"),
        ("Opened  2026-11-23T22:29:07.090Z", "Opened <time>"),
        ("receipt: r-1123-2229  undo: none", "receipt: <receipt> undo: none"),
        ("notion  01a20a86-f34d-7487-be70-46aad524f32f    1  Service", "notion <id> # Service"),
        ("reset in sandbox http://127.0.0.1:40487", "reset in sandbox http://#.#.#.#:#"),
    ] {
        assert_eq!(pattern(text), expected);
    }
    assert_ne!(pattern("State  OPEN"), pattern("State  CLOSED"));
}
