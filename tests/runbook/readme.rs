//! README's second and third block, typed into a terminal as they stand there.
//!
//! What is different each time is compared as a pattern: an instant ("3 seconds ago", "in 28 seconds", RFC 3339) is
//! `<time>`, an id `<id>`, a receipt `<receipt>`, any other number `#`, and any run of spaces one space. In commands the
//! board's id and the receipt are those of the replay.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::ground::{Ground, has, repository};

/// Nothing is measured against this: it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_second_block_happens_as_it_is_written() {
    // Wide enough that no line of the block is wrapped.
    happens("issue-2", 25, 180, |ground| drop(ground.run("sandbox scenario issue-2").code(0)));
}

#[test]
fn the_third_block_happens_as_it_is_written() {
    happens("clean-up", 45, 80, |_| ());
}

/// Replays the block with this mark in a terminal of this width.
fn happens(mark: &str, most: usize, width: u16, prepare: impl FnOnce(&Ground)) {
    let block = block(&std::fs::read_to_string(repository("README.md")).unwrap(), mark);
    assert!(block.lines().count() <= most, "the block has more than {most} lines");
    let ground = Ground::new();
    prepare(&ground);
    if !has("tmux") {
        return;
    }
    let seen = Terminal::start(&ground, width).replay(&block);
    assert_eq!(pattern(&seen), pattern(&block), "seen:\n{seen}\nwritten:\n{block}");
}

/// The fenced block after the mark.
fn block(readme: &str, mark: &str) -> String {
    let mark = format!("<!-- replay {mark} -->");
    let after = readme.split_once(&mark).unwrap_or_else(|| panic!("README has no {mark}")).1;
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

/// A shell in tmux, at home where the sandbox runs.
struct Terminal<'a> {
    ground: &'a Ground,
}

impl<'a> Terminal<'a> {
    fn start(ground: &'a Ground, width: u16) -> Self {
        let bin = ground.path("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_opsctl"), bin.join("opsctl")).unwrap();
        // Some shells take no prompt from the environment, and another one for root.
        let start = ground.path("shell-start");
        std::fs::write(&start, "PS1='$ '\n").unwrap();
        let terminal = Terminal { ground };
        let mut tmux = terminal.tmux();
        tmux.env("ENV", start).args([
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width.to_string(),
            "-y",
            "70",
            "sh",
        ]);
        assert!(tmux.status().unwrap().success());
        terminal.wait_for("$");
        terminal
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
            self.type_in(&self.live(command));
            if let Some(answer) = answer {
                self.wait_for("[y/N]");
                self.type_in(answer);
            }
            self.wait_for("$");
        }
        let screen = self.screen();
        screen.strip_suffix("\n$").unwrap_or(&screen).to_owned()
    }

    /// A command with the ids of this replay.
    fn live(&self, command: &str) -> String {
        let words = command.split(' ').map(|word| match pattern(word).as_str() {
            "<id>" => self.ground.fill("<boardId>"),
            "<receipt>" => {
                let screen = self.screen();
                let last = screen.rsplit("receipt: ").next().unwrap_or_default();
                last.split_whitespace().next().unwrap_or_default().to_owned()
            }
            _ => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
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
    if word.strip_prefix("r-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return "<receipt>".into();
    }
    let mut out = String::new();
    let is_part = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '-');
    let mut rest = word;
    while let Some(c) = rest.chars().next() {
        let run = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        // As platforms write ids: 24 hex digits, or a UUID.
        if matches!(run, 24 | 36) {
            out.push_str("<id>");
            rest = &rest[run..];
            continue;
        }
        match c.is_ascii_digit() {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
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
        (
            "PUT /1/cards/6b08e8616999217a1e00003a (same as 6af27ee16999217a1e000018, made 17d later)",
            "PUT /#/cards/<id> (same as <id>, made #d later)",
        ),
        ("reset in sandbox http://127.0.0.1:40487", "reset in sandbox http://#.#.#.#:#"),
    ] {
        assert_eq!(pattern(text), expected);
    }
    assert_ne!(pattern("State  OPEN"), pattern("State  CLOSED"));
}
