//! The command line as a whole.

use super::*;
use clap::builder::StyledStr;

fn leaves(command: &clap::Command, words: &str, out: &mut Vec<(String, clap::Command)>) {
    let children: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set()).collect();
    if children.is_empty() || (!words.is_empty() && !command.is_subcommand_required_set()) {
        out.push((words.to_owned(), command.clone()));
    }
    for child in children {
        let words = format!("{words} {}", child.get_name());
        leaves(child, words.trim_start(), out);
    }
}

fn all() -> Vec<(String, clap::Command)> {
    let mut root = command();
    root.build();
    let mut found = Vec::new();
    leaves(&root, "", &mut found);
    found
}

#[test]
fn the_parser_is_sound() {
    let mut root = command();
    root.build();
    root.debug_assert();
}

#[test]
fn the_table_of_verbs_and_the_parser_agree() {
    let mut parsed: Vec<String> = all().into_iter().map(|(words, _)| words).collect();
    parsed.sort();
    let mut table: Vec<&str> = aliases::VERBS.iter().map(|v| v.name).collect();
    assert!(table.is_sorted(), "aliases::VERBS is in alphabetical order");
    table.sort_unstable();
    assert_eq!(parsed, table);
}

#[test]
fn every_noun_has_a_line_in_the_root_help() {
    for verb in aliases::VERBS {
        let noun = verb.name.split(' ').next().unwrap();
        assert!(help::about(noun).is_some(), "{noun} is missing in cli::help");
    }
}

fn lines_of(text: &StyledStr) -> Vec<String> {
    text.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn help_fits_the_screen() {
    let root = help::root();
    assert!(root.lines().count() <= 60, "{} lines", root.lines().count());
    assert!(root.lines().all(|l| l.chars().count() <= 80), "{root}");
    for (words, mut verb) in all() {
        let lines = lines_of(&verb.render_help());
        assert!(lines.len() <= 24, "{words} -h has {} lines:\n{}", lines.len(), lines.join("\n"));
        let wide = lines.iter().find(|l| l.chars().count() > 80);
        assert!(wide.is_none(), "{words} -h is too wide: {wide:?}");
    }
}

#[test]
fn help_is_written_in_one_way() {
    for (words, verb) in all() {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.ends_with('.'), "{words}: `{about}`");
        for arg in verb.get_arguments().filter(|a| !a.is_global_set() && a.get_id() != "help") {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty() && !help.ends_with('.'), "{words} {}: `{help}`", arg.get_id());
        }
    }
}

#[test]
fn the_flags_that_are_skipped_before_a_command_are_the_parsers() {
    let root = Globals::augment_args(clap::Command::new("x"));
    for arg in root.get_arguments() {
        let long = arg.get_long().unwrap();
        let takes_value = arg.get_action().takes_values();
        let known = if takes_value {
            aliases::VALUE_FLAGS.contains(&(arg.get_short(), long))
        } else {
            arg.get_short().is_some_and(|short| aliases::SWITCHES.contains(&(short, long)))
        };
        assert!(known, "{long} is missing in aliases");
    }
    assert_eq!(root.get_arguments().count(), aliases::VALUE_FLAGS.len() + aliases::SWITCHES.len());
}

fn refused(line: &str) -> Explained {
    let typed: Vec<OsString> = std::iter::once("opsctl").chain(line.split_whitespace()).map(Into::into).collect();
    let args = aliases::rewrite(typed.clone());
    let fault = match usage::optional_value_followed_by_word(&args) {
        Err(usage::Wrong::Usage(fault)) => *fault,
        _ => fault_of(&command().try_get_matches_from(&args).unwrap_err(), &typed, &args),
    };
    Explained::from_error(&fault.into())
}

#[test]
fn a_wrong_command_line_is_explained() {
    for (line, parts) in [
        ("", vec!["a command is missing", "opsctl --help"]),
        ("banana", vec!["there is no command `banana`", "opsctl --help"]),
        ("contxt list", vec!["there is no command `contxt`", "did you mean `opsctl context list`"]),
        ("contxt:list", vec!["there is no command `contxt:list`", "did you mean `opsctl context list`"]),
        ("context lsit", vec!["there is no command `context lsit`", "did you mean `opsctl context list`"]),
        ("context", vec!["`context` needs a verb", "list, remove"]),
        ("context add", vec!["is missing", "opsctl context add --help"]),
        ("context list extra", vec!["there is no `extra` here", "takes no more arguments"]),
        ("context list --jsn", vec!["there is no `--jsn` here", "opsctl context list --help"]),
        ("context list --outptu json", vec!["did you mean `--output`"]),
        ("context list -o xml", vec!["`xml` does not fit", "table, json, jsonl, csv"]),
        ("context list -o", vec!["needs a value"]),
        ("--timeout 10 version", vec!["`10` does not fit", "no unit", "500ms"]),
        (
            "context add x --url http://x --token s3cret",
            vec!["there is no `--token` here", "could be read by everybody"],
        ),
        ("context list --watch notion", vec!["`notion` right after `--watch`", "--watch=5s"]),
    ] {
        let explained = refused(line);
        let text = explained.to_text();
        assert_eq!(explained.kind, Kind::Usage, "{line}");
        assert!(explained.hint.is_some(), "{line}: {text}");
        for part in parts {
            assert!(text.contains(part), "{line}: `{part}` is not in\n{text}");
        }
        assert!(!text.contains("s3cret"), "{text}");
    }
}
