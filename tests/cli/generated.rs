//! Checked-in files that the program generates: completions and manual pages. `OPSCTL_BLESS=1` writes them anew.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use opsctl::commands::completions::Shell;

use crate::world::{World, has, repository};

#[track_caller]
fn compare(path: &Path, text: &str) {
    if std::env::var_os("OPSCTL_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        return std::fs::write(path, text).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.file_name().unwrap().to_string_lossy();
    assert!(checked_in == text, "{name} is stale: run `OPSCTL_BLESS=1 cargo test --test cli generated`");
}

#[test]
fn the_manual_is_checked_in() {
    let pages = opsctl::commands::man::pages().unwrap();
    for (name, text) in &pages {
        compare(&repository("man").join(name), text);
    }
    let there: BTreeSet<String> = std::fs::read_dir(repository("man"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, pages.into_iter().map(|(name, _)| name).collect(), "a page without a command");
}

#[test]
fn the_completions_are_checked_in() {
    for (shell, name) in Shell::FILES {
        compare(&repository("completions").join(name), &shell.registration().unwrap());
    }
}

#[test]
fn the_manual_is_written_to_a_directory() {
    let world = World::new();
    let pages = opsctl::commands::man::pages().unwrap();
    let done = world.line("man --dir pages").run().stdout("").code(0);
    assert_eq!(done.stderr, format!("{} pages written to pages\n", pages.len()));
    assert_eq!(world.read("pages/opsctl.1"), pages[0].1);
    world.line("man banana").run().code(2);
}

/// What a shell offers after these words, by its own completion machinery.
fn offered(shell: &str, script: &str) -> String {
    let world = World::new();
    for (shell, name) in Shell::FILES {
        world.write(&format!("completions/{name}"), &shell.registration().unwrap());
    }
    let directory = Path::new(env!("CARGO_BIN_EXE_opsctl")).parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new(shell)
        .args(["-c", script])
        .env_clear()
        .env("PATH", path)
        .env("HOME", world.path("home"))
        .env("COMPLETIONS", world.path("completions"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn bash_completes_verbs_and_flags() {
    if !has("bash") {
        return;
    }
    let script = |words: &str, at: usize| {
        format!(
            "source \"$COMPLETIONS/opsctl.bash\"; COMP_WORDS=({words}); COMP_CWORD={at}; COMP_TYPE=9; \
             _clap_complete_opsctl opsctl \"${{COMP_WORDS[$COMP_CWORD]}}\" \"\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
    };
    let verbs = offered("bash", &script("opsctl context \"\"", 2));
    assert!(verbs.lines().any(|l| l.trim() == "list"), "{verbs}");
    let nouns = offered("bash", &script("opsctl cont", 1));
    assert_eq!(nouns.trim(), "context");
    let flags = offered("bash", &script("opsctl context add --tok", 3));
    assert!(flags.contains("--token-file"), "{flags}");
}

#[test]
fn fish_completes_verbs() {
    if has("fish") {
        let verbs = offered("fish", "source $COMPLETIONS/opsctl.fish; complete -C 'opsctl context '");
        assert!(verbs.lines().any(|l| l.starts_with("list")), "{verbs}");
    }
}

#[test]
fn the_long_scripts_are_whole() {
    for shell in ["bash", "zsh", "fish"] {
        let done = World::new().opsctl(["completions", shell, "--static"]).run().stderr("").code(0);
        assert!(done.stdout.contains("token-file"), "{shell}");
    }
    World::new().line("completions tcsh").run().code(2);
}

#[test]
fn the_manual_has_no_mistakes() {
    if !has("mandoc") {
        return;
    }
    let world = World::new();
    for (name, text) in opsctl::commands::man::pages().unwrap() {
        world.write(&name, &text);
        let mut mandoc = Command::new("mandoc");
        let output = mandoc.args(["-T", "lint", "-W", "error"]).arg(world.path(&name)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
