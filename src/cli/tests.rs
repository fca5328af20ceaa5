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
    for root in [help::root(), help::page(|_| true)] {
        assert!(root.lines().count() <= 60, "{} lines:\n{root}", root.lines().count());
        assert!(root.lines().all(|l| l.chars().count() <= 80), "{root}");
    }
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
        ("help banana", vec!["there is no command `banana`"]),
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

/// The runbook's spellings, each with the canonical words it stands for.
const RUNBOOK: &str = "
analytics:duplicates analyze duplicates|analytics:rate-limits analyze rate-limits|analyze:capacity analyze capacity
analyze:corruption analyze corruption|analyze:failures analyze failures|analyze:fallbacks analyze fallbacks
analyze:queries analyze queries|analyze:retries analyze retries|analyze:uptime analyze uptime
approvals:overdue approvals overdue|approvals:pending approvals pending|backup:create backup create
backup:verify backup verify|cache:clear cache clear|check:health check health
check:key-expiration check key-expiration|check:key-permissions check key-permissions
check:permissions check key-permissions|check:platform-status check platform-status
circuit:history circuit history|circuit:reset circuit reset|circuit:status circuit status|clear:queue queue clear
config:get config get|config:update-fallback config update-fallback|config:validate config validate
dashboard:configure dashboard configure|dashboard:refresh dashboard refresh|db:check db check
docs:generate docs generate|dr:test dr test|drive:delete drive delete|eventbus:check eventbus check
executor:restart executor restart|executor:status executor status|google:refresh-token google refresh-token
idempotency:check idempotency check|idempotency:clear idempotency clear|idempotency:list idempotency list
issues:export issues export|logs:actions logs actions|logs:duplicates logs duplicates|logs:errors logs errors
logs:executor logs platform|logs:fallback logs fallback|logs:idempotency logs idempotency
logs:member2 logs member2|logs:platform logs platform|logs:rollback logs rollback|logs:search logs search
logs:security logs security|logs:state logs state|logs:workers logs workers|logs:workflow logs workflow
maintenance:daily maintenance daily|metrics:actions metrics actions|metrics:performance metrics performance
metrics:requests metrics requests|monitor:platform monitor platform|notify:security-team notify security-team
notion:delete notion delete|notion:find-duplicates notion find-duplicates
notion:remove-duplicates notion remove-duplicates|pause:all pause all|queue:check queue check
queue:clear queue clear|queue:pause queue pause|queue:remove queue remove|queue:resume queue resume
queue:status queue status|queue:stuck queue stuck|rate-limits:status rate-limits status
report:monthly report monthly|reset:circuit circuit reset|restart:all restart all
restart:database restart database|restart:eventbus restart eventbus|restart:executors restart executors
restart:queue restart queue|restart:workers restart workers|restore:point restore point|resume:all resume all
resume:processing queue resume|rollback:force rollback force|rollback:retry rollback retry
security:audit security audit|security:lockdown security lockdown|security:restore security restore
security:rotate-keys security rotate-keys|sheets:delete-row sheets delete-row|slack:send slack send
state:backups state backups|state:check state check|state:rebuild state rebuild|state:restore state restore
system:status system status|test:auth test auth|test:connectivity test connectivity|test:sdk test sdk
trello:archive trello archive|trello:archive-duplicates trello archive-duplicates
trello:find-duplicates trello find-duplicates|validate:env validate env|verify:integrity verify integrity
workflow:check-state workflow check-state|workflow:clear-failed workflow clear-failed
workflow:compensate workflow compensate|workflow:execute workflow execute
workflow:mark-completed workflow mark-completed|workflow:mark-resolved workflow mark-resolved
workflow:rollback workflow rollback|workflow:rollback-failures workflow rollback-failures
workflow:state workflow state|workflow:status workflow status|workflow:steps workflow steps
workflows:failed workflow failed
";

#[test]
fn the_runbooks_spellings_of_every_built_verb_run() {
    let rows: Vec<&str> = RUNBOOK.split(['|', '\n']).filter(|row| !row.is_empty()).collect();
    assert_eq!(rows.len(), 116, "each verb of the runbook with a colon");
    for row in rows {
        let (typed, canonical) = row.split_once(' ').unwrap();
        if !aliases::VERBS.iter().any(|verb| verb.name == canonical) {
            continue;
        }
        let words: Vec<OsString> = ["opsctl"].into_iter().chain(canonical.split(' ')).map(Into::into).collect();
        let (noun, verb) = typed.split_once(':').unwrap();
        for line in [vec!["opsctl", typed], vec!["opsctl", noun, verb], vec!["opsctl", &canonical.replace(' ', ":")]] {
            let line: Vec<OsString> = line.into_iter().map(Into::into).collect();
            assert_eq!(aliases::rewrite(line), words, "{typed}");
        }
    }
}
