//! Exit codes, errors, spellings, formats, colour, streams.

use std::io::Read;
use std::process::Stdio;

use serde_json::json;

use crate::world::World;

#[test]
fn the_version_is_printed_alone() {
    let version = concat!("opsctl ", env!("CARGO_PKG_VERSION"), "\n");
    World::new().line("--version").run().stdout(version).stderr("").code(0);
    World::new().line("-V").run().stdout(version).code(0);
}

#[test]
fn help_is_an_answer() {
    let root = World::new().line("--help").run().stderr("").code(0);
    assert!(root.stdout.contains("Usage: opsctl"));
    let verb = World::new().line("context use --help").run().stderr("").code(0);
    assert!(verb.stdout.contains("Usage: opsctl context use") && verb.stdout.contains("Effect: "));
    let other_spelling = World::new().line("help context:use").run().stderr("").code(0);
    assert!(other_spelling.stdout.starts_with("Make a context the default"), "{other_spelling:?}");
}

#[test]
fn a_verb_runs_with_a_space_and_with_a_colon() {
    let world = World::new();
    let plain = world.line("context list").run().code(0);
    for line in ["context:list", "-q context:list", "context:list -q", "--color never context:list"] {
        world.line(line).run().stdout(&plain.stdout).stderr("").code(0);
    }
}

#[test]
fn an_unknown_command_is_a_usage_error_with_a_suggestion() {
    World::new()
        .line("contxt:list")
        .run()
        .stdout("")
        .stderr(
            "error: there is no command `contxt:list`\n  hint: did you mean `opsctl context list`? see `opsctl --help`\n",
        )
        .code(2);
}

#[test]
fn with_json_an_error_is_one_object_wherever_the_flag_stands() {
    for line in ["-o json contxt:list", "contxt:list -o json", "contxt:list --output=jsonl", "-qojson contxt:list"] {
        let done = World::new().line(line).run().stdout("").code(2);
        assert_eq!(
            done.error_json(),
            json!({
                "error": "there is no command `contxt:list`",
                "kind": "usage",
                "exit": 2,
                "code": null,
                "retryable": false,
                "causes": [],
                "hint": "did you mean `opsctl context list`? see `opsctl --help`",
            }),
            "{line}"
        );
    }
    let done = World::new().line("nonsense").env("OPSCTL_OUTPUT", "json").run().code(2);
    assert_eq!(done.error_json()["kind"], "usage");
}

#[test]
fn one_answer_in_four_formats() {
    let world = World::new();
    let json = world.line("context list -o json").run().code(0).json();
    assert_eq!(json[0]["name"], "local");
    let lines = world.line("context list -o jsonl").run().code(0);
    let first: serde_json::Value = serde_json::from_str(lines.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first, json[0]);
    let csv = world.line("context list -o csv").run().code(0);
    assert_eq!(csv.stdout.lines().next(), Some("name,current,url,environment,protection,builtin"));
    assert_eq!(csv.stdout.lines().nth(1), Some("local,true,http://localhost:3000,,confirm,true"));
}

#[test]
fn colour_follows_the_flag_then_the_environment() {
    let world = World::new();
    let coloured = |run: crate::world::Run| {
        let done = run.run().code(2);
        done.stderr.contains('\u{1b}')
    };
    assert!(!coloured(world.line("nonsense")));
    assert!(coloured(world.line("nonsense --color always")));
    assert!(coloured(world.line("nonsense --color=always").env("NO_COLOR", "1")));
    assert!(coloured(world.line("nonsense").env("CLICOLOR_FORCE", "1")));
    assert!(!coloured(world.line("nonsense").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")));
    assert!(!coloured(world.line("nonsense --color never").env("CLICOLOR_FORCE", "1")));
    let help = world.line("context --help --color always").run();
    assert!(help.stdout.contains('\u{1b}'), "{help:?}");
}

#[test]
fn words_are_the_same_with_and_without_colour() {
    let world = World::new();
    let plain = world.line("context list").run().stdout;
    let coloured = world.line("context list --color always").run().stdout;
    let mut stripped = String::new();
    let mut escape = false;
    for c in coloured.chars() {
        match c {
            '\u{1b}' => escape = true,
            'm' if escape => escape = false,
            c if !escape => stripped.push(c),
            _ => {}
        }
    }
    assert_ne!(coloured, plain);
    assert_eq!(stripped, plain);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    let mut command = world.line("man").command();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let world = World::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = world.line("context list").command().stdin(Stdio::null()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: cannot write to standard output\n"));
}

#[test]
fn wrong_settings_are_named_with_their_source() {
    let world = World::configured("# mine\n\n[contexts.eu]\nurl = \"https://ops.example\"\nenviroment = \"x\"\n");
    let done = world.line("context list").run().code(2);
    assert!(done.stderr.contains("~/config/config.toml"), "{done:?}");
    assert!(done.stderr.contains("line 5: unknown field `enviroment`"), "{done:?}");
    assert!(done.stderr.contains("hint: "), "{done:?}");
    // What helps to repair it works without it.
    world.line("version").run().stderr("").code(0);
    let done = World::new().line("context list").env("OPSCTL_TIMEOUT", "10").run().code(2);
    assert!(done.stderr.contains("OPSCTL_TIMEOUT"), "{done:?}");
}

#[test]
fn an_optional_value_takes_an_equals_sign() {
    let done = World::new().line("context list --watch notion").run().code(2);
    assert!(done.stderr.contains("--watch=5s"), "{done:?}");
}
