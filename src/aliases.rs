//! The verbs of this build, each with its other spellings: the one table that spelling, help and suggestions use.
//!
//! Every verb runs as its canonical words with a space or a colon, and so does every other spelling listed here. Only
//! pairs in the table exist; free word order would collide (`restart executors`, `executor restart`).

use std::ffi::{OsStr, OsString};

/// What a verb does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Reads.
    R,
    /// Reads a platform.
    Rx,
    /// Changes, easily undone.
    M1,
    /// Disrupts service or state, recoverable.
    M2,
    /// Destroys, reaches people outside, or touches security.
    M3,
}

impl Class {
    /// Its word in plans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::R => "R",
            Class::Rx => "RX",
            Class::M1 => "M1",
            Class::M2 => "M2",
            Class::M3 => "M3",
        }
    }

    /// The sentence for a help page.
    pub const fn effect(self) -> &'static str {
        match self {
            Class::R => "reads only (R)",
            Class::Rx => "reads, also from the platforms (RX)",
            Class::M1 => "a change that is easily undone (M1)",
            Class::M2 => "disrupts service or state, recoverable (M2)",
            Class::M3 => "destroys, reaches people outside, or touches security (M3)",
        }
    }
}

/// One verb.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Canonical words: `queue clear`, or one word for a command without verbs.
    pub name: &'static str,
    /// Its other spellings, written with a space.
    pub also: &'static [&'static str],
    /// What it does to the world.
    pub class: Class,
}

const fn verb(name: &'static str, also: &'static [&'static str], class: Class) -> Verb {
    Verb { name, also, class }
}

/// Every verb of this build. A test compares it with the parser.
pub const VERBS: &[Verb] = &[
    verb("alerts ack", &[], Class::M1),
    verb("alerts list", &[], Class::R),
    verb("alerts silence", &[], Class::M1),
    verb("alerts unsilence", &[], Class::M1),
    verb("analyze capacity", &[], Class::R),
    verb("analyze corruption", &[], Class::Rx),
    verb("analyze duplicates", &["analytics duplicates"], Class::R),
    verb("analyze failures", &[], Class::R),
    verb("analyze fallbacks", &[], Class::R),
    verb("analyze queries", &[], Class::R),
    verb("analyze rate-limits", &["analytics rate-limits"], Class::R),
    verb("analyze retries", &[], Class::R),
    verb("analyze uptime", &[], Class::R),
    verb("api", &[], Class::M3),
    verb("apply", &[], Class::M3),
    verb("approvals approve", &[], Class::M2),
    verb("approvals overdue", &[], Class::R),
    verb("approvals pending", &[], Class::R),
    verb("approvals reject", &[], Class::M2),
    verb("backup create", &[], Class::M1),
    verb("backup verify", &[], Class::R),
    verb("benchmark", &[], Class::R),
    verb("cache clear", &[], Class::M1),
    verb("changes", &[], Class::R),
    verb("check alerts", &[], Class::Rx),
    verb("check health", &[], Class::Rx),
    verb("check jobs", &[], Class::R),
    verb("check key-expiration", &[], Class::Rx),
    verb("check key-permissions", &["check permissions"], Class::Rx),
    verb("check platform-status", &[], Class::Rx),
    verb("circuit history", &[], Class::R),
    verb("circuit reset", &["reset circuit"], Class::M2),
    verb("circuit status", &[], Class::R),
    verb("completions", &[], Class::R),
    verb("config get", &[], Class::R),
    verb("config list", &[], Class::R),
    verb("config set", &[], Class::M2),
    verb("config unset", &[], Class::M2),
    verb("config update-fallback", &[], Class::M2),
    verb("config validate", &[], Class::R),
    verb("context add", &[], Class::M1),
    verb("context check", &[], Class::R),
    verb("context list", &[], Class::R),
    verb("context remove", &[], Class::M1),
    verb("context show", &[], Class::R),
    verb("context use", &[], Class::M1),
    verb("cron install", &[], Class::M1),
    verb("cron run", &[], Class::M3),
    verb("dashboard configure", &[], Class::M1),
    verb("dashboard refresh", &[], Class::M1),
    verb("db check", &[], Class::R),
    verb("docs generate", &[], Class::R),
    verb("dr test", &[], Class::R),
    verb("drive delete", &[], Class::M3),
    verb("escalate", &[], Class::M2),
    verb("eventbus check", &[], Class::R),
    verb("executor restart", &[], Class::M2),
    verb("executor status", &[], Class::R),
    verb("google refresh-token", &[], Class::Rx),
    verb("history", &[], Class::R),
    verb("history resume", &[], Class::M3),
    verb("history show", &[], Class::R),
    verb("history verify", &[], Class::R),
    verb("idempotency check", &[], Class::R),
    verb("idempotency clear", &[], Class::M2),
    verb("idempotency list", &[], Class::R),
    verb("issues export", &[], Class::R),
    verb("links", &[], Class::R),
    verb("logs actions", &[], Class::R),
    verb("logs duplicates", &[], Class::R),
    verb("logs errors", &[], Class::R),
    verb("logs executor", &["logs platform"], Class::R),
    verb("logs fallback", &[], Class::R),
    verb("logs idempotency", &[], Class::R),
    verb("logs member2", &[], Class::R),
    verb("logs rollback", &[], Class::R),
    verb("logs search", &[], Class::R),
    verb("logs security", &[], Class::R),
    verb("logs state", &[], Class::R),
    verb("logs workers", &[], Class::R),
    verb("logs workflow", &[], Class::R),
    verb("maintenance daily", &[], Class::R),
    verb("maintenance done", &[], Class::M1),
    verb("maintenance monthly", &[], Class::Rx),
    verb("maintenance quarterly", &[], Class::Rx),
    verb("maintenance status", &[], Class::R),
    verb("maintenance weekly", &[], Class::Rx),
    verb("man", &[], Class::R),
    verb("metrics actions", &[], Class::R),
    verb("metrics performance", &[], Class::R),
    verb("metrics requests", &[], Class::R),
    verb("monitor platform", &[], Class::Rx),
    verb("notify security-team", &[], Class::M2),
    verb("notion delete", &[], Class::M3),
    verb("notion find-duplicates", &[], Class::Rx),
    verb("notion remove-duplicates", &[], Class::M3),
    verb("pause all", &[], Class::M2),
    verb("queue check", &[], Class::R),
    verb("queue clear", &["clear queue"], Class::M3),
    verb("queue failed", &[], Class::R),
    verb("queue pause", &[], Class::M2),
    verb("queue remove", &[], Class::M3),
    verb("queue resume", &["resume processing"], Class::M1),
    verb("queue retry", &[], Class::M2),
    verb("queue show", &[], Class::R),
    verb("queue status", &[], Class::R),
    verb("queue stuck", &[], Class::R),
    verb("rate-limits status", &[], Class::R),
    verb("report monthly", &[], Class::R),
    verb("restart all", &[], Class::M2),
    verb("restart database", &[], Class::M2),
    verb("restart eventbus", &[], Class::M2),
    verb("restart executors", &[], Class::M2),
    verb("restart orchestrator", &[], Class::M2),
    verb("restart queue", &[], Class::M2),
    verb("restart workers", &[], Class::M2),
    verb("restore point", &[], Class::M3),
    verb("resume all", &[], Class::M2),
    verb("rollback force", &[], Class::M3),
    verb("rollback retry", &[], Class::M3),
    verb("runbook lint", &[], Class::R),
    verb("runbook list", &[], Class::R),
    verb("runbook run", &[], Class::M3),
    verb("runbook show", &[], Class::R),
    verb("runbook transcript", &[], Class::R),
    verb("sandbox clock", &[], Class::M1),
    verb("sandbox down", &[], Class::M1),
    verb("sandbox fault", &[], Class::M1),
    verb("sandbox scenario", &[], Class::M1),
    verb("sandbox status", &[], Class::R),
    verb("sandbox traffic", &[], Class::M1),
    verb("sandbox up", &[], Class::M1),
    verb("security audit", &[], Class::R),
    verb("security lockdown", &[], Class::M3),
    verb("security restore", &[], Class::M3),
    verb("security rotate-keys", &[], Class::M3),
    verb("serve", &[], Class::M1),
    verb("sheets delete-row", &[], Class::M3),
    verb("slack send", &[], Class::M3),
    verb("state backups", &[], Class::R),
    verb("state check", &["workflow check-state"], Class::R),
    verb("state export", &[], Class::M3),
    verb("state import", &[], Class::M2),
    verb("state rebuild", &[], Class::M2),
    verb("state restore", &[], Class::M3),
    verb("system status", &[], Class::R),
    verb("test auth", &[], Class::Rx),
    verb("test connectivity", &[], Class::Rx),
    verb("test sdk", &[], Class::Rx),
    verb("token create", &[], Class::M3),
    verb("token list", &[], Class::R),
    verb("token revoke", &[], Class::M3),
    verb("trello archive", &[], Class::M2),
    verb("trello archive-duplicates", &[], Class::M3),
    verb("trello find-duplicates", &[], Class::Rx),
    verb("undo", &[], Class::M2),
    verb("validate env", &[], Class::R),
    verb("verify integrity", &[], Class::Rx),
    verb("version", &[], Class::R),
    verb("wait", &[], Class::R),
    verb("worker", &[], Class::M1),
    verb("worker register", &[], Class::M2),
    verb("workflow clear-failed", &[], Class::M2),
    verb("workflow compensate", &[], Class::M1),
    verb("workflow execute", &[], Class::M3),
    verb("workflow failed", &["workflows failed"], Class::R),
    verb("workflow list", &[], Class::R),
    verb("workflow mark-completed", &[], Class::M2),
    verb("workflow mark-resolved", &[], Class::M2),
    verb("workflow rollback", &[], Class::M3),
    verb("workflow rollback-failures", &[], Class::R),
    verb("workflow state", &[], Class::R),
    verb("workflow status", &[], Class::R),
    verb("workflow steps", &[], Class::R),
];

/// A global flag that takes a value: its letter, if it has one, and its name.
pub const VALUE_FLAGS: [(Option<char>, &str); 4] =
    [(Some('o'), "output"), (None, "context"), (None, "color"), (None, "timeout")];
/// A global flag without a value.
pub const SWITCHES: [(char, &str); 2] = [('q', "quiet"), ('v', "verbose")];

/// Finds the first word that is neither a global flag nor its value. `args` starts with the program's name.
pub fn command_position(args: &[OsString]) -> Option<usize> {
    let mut at = 1;
    while at < args.len() {
        let text = args[at].to_str()?;
        if !text.starts_with('-') || text == "-" {
            return Some(at);
        }
        at += if takes_next(text)? { 2 } else { 1 };
    }
    None
}

/// Whether a global flag's value is the next argument; `None` when it is no global flag.
fn takes_next(flag: &str) -> Option<bool> {
    if let Some(long) = flag.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
        if VALUE_FLAGS.iter().any(|(_, known)| *known == name) {
            return Some(value.is_none());
        }
        return SWITCHES.iter().any(|(_, known)| *known == name).then_some(false);
    }
    let mut letters = flag[1..].chars();
    while let Some(letter) = letters.next() {
        if VALUE_FLAGS.iter().any(|(short, _)| *short == Some(letter)) {
            return Some(letters.as_str().is_empty());
        }
        if !SWITCHES.iter().any(|(short, _)| *short == letter) {
            return None;
        }
    }
    Some(false)
}

/// The value of a global flag before parsing, for errors that parsing itself makes.
pub fn early_value<'a>(args: &'a [OsString], long: &str) -> Option<&'a str> {
    let short = VALUE_FLAGS.iter().find(|(_, name)| *name == long)?.0;
    let mut found = None;
    let mut at = 1;
    while at < args.len() {
        let text = args[at].to_str().unwrap_or_default();
        if text == "--" {
            break;
        }
        let next = args.get(at + 1).and_then(|v| v.to_str());
        if let Some(rest) = text.strip_prefix("--").and_then(|t| t.strip_prefix(long)) {
            if let Some(value) = rest.strip_prefix('=') {
                found = Some(value);
            } else if rest.is_empty() {
                found = next;
            }
        } else if let (Some(letter), Some(cluster)) = (short, text.strip_prefix('-'))
            && let Some((switches, value)) = cluster.split_once(letter)
            && switches.chars().all(|c| SWITCHES.iter().any(|(short, _)| *short == c))
        {
            found = if value.is_empty() { next } else { Some(value.strip_prefix('=').unwrap_or(value)) };
        }
        at += 1;
    }
    found
}

/// Rewrites another spelling to the canonical words. Nothing after the command's own words is touched.
pub fn rewrite(mut args: Vec<OsString>) -> Vec<OsString> {
    let Some(mut at) = command_position(&args) else { return args };
    if args[at] == "help" {
        at += 1;
    }
    let Some(first) = args.get(at).and_then(|a| a.to_str()).map(str::to_owned) else { return args };
    let (words, taken) = if let Some((noun, verb)) = first.split_once(':') {
        (format!("{noun} {verb}"), 1)
    } else {
        match args.get(at + 1).and_then(|a| a.to_str()) {
            Some(second) => (format!("{first} {second}"), 2),
            None => return args,
        }
    };
    if let Some(verb) = VERBS.iter().find(|v| v.name == words || v.also.contains(&words.as_str())) {
        args.splice(at..at + taken, verb.name.split(' ').map(OsString::from));
    }
    args
}

/// The canonical verb a spelling stands for.
pub fn find(words: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|v| v.name == words || v.also.contains(&words))
}

/// The words of a rewritten command line, from the command's own on.
pub fn command_words(args: &[OsString]) -> Vec<String> {
    let at = command_position(args).unwrap_or(args.len());
    args[at..].iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// A command's words without the flags of `guard::ChangeArgs`: what whoever executes the plan says anew.
pub fn without_consent(words: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.split_once('=').map_or(word.as_str(), |(flag, _)| flag) {
            "--yes" | "--confirm" | "--dry-run" => {}
            "--save-plan" | "--reason" | "--ticket" => drop((!word.contains('=')).then(|| words.next())),
            _ => kept.push(word.clone()),
        }
    }
    kept
}

/// What the command of a rewritten command line does to the world.
pub fn class_of(args: &[OsString]) -> Option<Class> {
    let at = command_position(args)?;
    let first = args[at].to_str()?;
    // Global flags may stand between the two words as well.
    let rest = &args[at..];
    let second = command_position(rest).and_then(|at| rest[at].to_str());
    let verb = second.and_then(|second| find(&format!("{first} {second}"))).or_else(|| find(first))?;
    Some(verb.class)
}

/// What somebody who typed this most likely meant: the canonical words of the nearest spelling.
pub fn suggest(first: &OsStr, second: Option<&OsStr>) -> Option<&'static str> {
    let first = first.to_str()?.replace(':', " ").to_lowercase();
    let typed = match second.and_then(OsStr::to_str) {
        Some(second) if !first.contains(' ') && !second.starts_with('-') => format!("{first} {second}"),
        _ => first.clone(),
    };
    let mut best: Option<(f64, &'static str)> = None;
    for verb in VERBS {
        for spelling in std::iter::once(&verb.name).chain(verb.also) {
            let whole = strsim::jaro_winkler(&typed, spelling);
            // One word alone is compared with one-word commands only: what follows may be its argument.
            let alone = if spelling.contains(' ') { 0.0 } else { strsim::jaro_winkler(&first, spelling) };
            let score = whole.max(alone);
            if score > best.map_or(NEAR, |(s, _)| s) {
                best = Some((score, verb.name));
            }
        }
    }
    best.map(|(_, name)| name)
}

/// How alike two words have to be (Jaro-Winkler, 0 to 1) to be suggested.
const NEAR: f64 = 0.84;

/// The known word that is most like this one, if one is alike enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(word, k), k))
        .filter(|(score, _)| *score > NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_command_has_no_consent_in_it() {
        let words = "queue clear --stuck-only --yes --save-plan f --reason=x --ticket T --confirm=here".split(' ');
        let words: Vec<String> = words.map(str::to_owned).collect();
        assert_eq!(without_consent(&words), ["queue", "clear", "--stuck-only"]);
    }

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("opsctl").chain(line.split(' ')).map(OsString::from).collect()
    }

    #[test]
    fn only_the_command_is_rewritten() {
        for (typed, becomes) in [
            ("context:list", "context list"),
            ("-o json context:list", "-o json context list"),
            ("--output json -qv --color=never context:list", "--output json -qv --color=never context list"),
            ("-qo json context:list", "-qo json context list"),
            ("help context:list", "help context list"),
            ("context show context:list", "context show context:list"),
            ("logs errors --grep context:list", "logs errors --grep context:list"),
            ("nonsense:list", "nonsense:list"),
            ("--unknown context:list", "--unknown context:list"),
            ("-- context:list", "-- context:list"),
        ] {
            assert_eq!(rewrite(words(typed)), words(becomes), "{typed}");
        }
    }

    #[test]
    fn values_are_found_before_parsing() {
        for line in ["x -o json", "-ojson x", "-qvojson x", "-qo json", "x --output=json y", "-o json", "-o=json"] {
            assert_eq!(early_value(&words(line), "output"), Some("json"), "{line}");
        }
        assert_eq!(early_value(&words("x -- -o json"), "output"), None);
        assert_eq!(early_value(&words("x --context eu"), "context"), Some("eu"));
    }

    #[test]
    fn no_spelling_means_two_verbs() {
        let mut seen = std::collections::HashSet::new();
        for spelling in VERBS.iter().flat_map(|v| std::iter::once(&v.name).chain(v.also)) {
            assert!(seen.insert(*spelling), "{spelling} is there twice");
            assert!(spelling.split(' ').count() <= 2, "{spelling}");
        }
    }

    #[test]
    fn the_class_of_a_command_line() {
        assert_eq!(class_of(&words("-o json queue status --watch")), Some(Class::R));
        assert_eq!(class_of(&words("queue clear --dry-run")), Some(Class::M3));
        assert_eq!(class_of(&words("queue --context sandbox status")), Some(Class::R));
        assert_eq!(class_of(&words("version now")), Some(Class::R));
        assert_eq!(class_of(&words("banana")), None);
    }

    #[test]
    fn suggestions() {
        let ask = |line: &str| {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            suggest(&words[0], words.get(1).map(OsString::as_os_str))
        };
        assert_eq!(ask("context lst"), Some("context list"));
        assert_eq!(ask("contxt:list"), Some("context list"));
        assert_eq!(ask("versoin"), Some("version"));
        assert_eq!(ask("versoin now"), Some("version"));
        assert_eq!(ask("banana"), None);
    }
}
