//! The lines of a block of commands.

use super::fences::Fence;
use super::{Finding, Linted};
use crate::aliases::Verb;
use crate::runbook::parse;
use crate::runbook::text::words;
use crate::server::config;
use crate::wire::RestartPart;

/// What the monitoring URLs of the runbook are as commands: the path's end, and the command.
const PATHS: [(&str, &str); 6] = [
    ("/api/rate-limits", "rate-limits status"),
    ("/health", "check health"),
    ("/metrics", "metrics performance"),
    ("/queue", "queue status"),
    ("/circuit-breakers", "circuit status"),
    ("/recent-errors", "logs errors"),
];
/// Whose status pages these hosts are.
const VENDORS: [(&str, &str); 4] =
    [("notion", "notion"), ("slack", "slack"), ("google", "drive"), ("trello", "trello")];

/// Looks at every command of a block; the verbs of this program among them.
pub(super) fn look(fence: &Fence<'_>, linted: &mut Linted) -> Vec<&'static Verb> {
    let mut verbs = Vec::new();
    for (number, line) in joined(fence) {
        let bare = without_comment(&line);
        let bare = bare.trim().trim_start_matches("$ ");
        for command in commands(bare) {
            verbs.extend(one(number, command.trim(), linted));
        }
    }
    verbs
}

/// Lines with those that a backslash carries on.
fn joined(fence: &Fence<'_>) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in &fence.lines {
        let (text, more) = match line.trim_end().strip_suffix('\\') {
            Some(text) => (text, true),
            None => (*line, false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, last)) => last.push_str(text.trim_start()),
            None => lines.push((*number, text.to_owned())),
        }
        goes_on = more;
    }
    lines
}

/// Runs of a line outside of quotes.
fn outside_quotes(line: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    line.char_indices().filter(move |(_, c)| match (quote, c) {
        (None, '"' | '\'') => {
            quote = Some(*c);
            false
        }
        (Some(q), c) if q == *c => {
            quote = None;
            false
        }
        (q, _) => q.is_none(),
    })
}

fn without_comment(line: &str) -> &str {
    let before = |at: usize| line[..at].chars().next_back().is_none_or(char::is_whitespace);
    let comment = outside_quotes(line).find(|(at, c)| *c == '#' && before(*at));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// The commands of a line: what stands between `&&`, `||`, `;` and `|`.
fn commands(line: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut from = 0;
    for (at, c) in outside_quotes(line) {
        let alone_and = c == '&' && !line[at + 1..].starts_with('&') && !line[..at].ends_with('&');
        if at >= from && matches!(c, ';' | '|' | '&') && !alone_and {
            all.push(&line[from..at]);
            from = at + 1;
        }
    }
    all.push(&line[from..]);
    all.retain(|command| !command.trim().is_empty());
    all
}

fn one(number: usize, command: &str, linted: &mut Linted) -> Option<&'static Verb> {
    if let Some(line) = own(command) {
        return own_line(number, command, &line, linted);
    }
    let words = words(command);
    let mut note = |text: String, instead: String| linted.findings.push(Finding::note(number, text, instead));
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["npm", verb @ ("audit" | "update" | "install" | "ci"), ..] => {
            note(
                format!("`npm {verb}` is about the orchestrator's packages, not about its work"),
                "the service's own build".into(),
            );
        }
        ["npm", ..] => linted.findings.push(Finding::error(number, format!("`{command}` is no script of the runbook"))),
        ["watch", rest @ ..] => return watch(number, rest, linted),
        ["export", assignments @ ..] => assignments.iter().for_each(|text| assignment(number, text, linted)),
        ["echo", variable] if variable.starts_with('$') => {
            let name = variable.trim_start_matches('$').trim_matches(['{', '}']);
            note(
                format!("`echo {variable}` would print a secret, and only your shell's"),
                format!("opsctl config get {name}"),
            );
        }
        ["curl", .., url] if !url.starts_with('-') => curl(number, url, linted),
        assignments if !assignments.is_empty() && assignments.iter().all(|word| is_assignment(word)) => {
            assignments.iter().for_each(|text| assignment(number, text, linted));
        }
        [program, ..] => note(format!("`{program}` is another program and was not looked at"), "nothing".into()),
        [] => {}
    }
    None
}

/// The line of this program in a command, if it is one.
fn own(command: &str) -> Option<String> {
    if let Some(line) = command.strip_prefix("opsctl ") {
        return Some(line.trim().to_owned());
    }
    let line = command.strip_prefix("npm run ")?.trim();
    // npm's own separator before a script's flags.
    Some(line.replacen(" -- ", " ", 1))
}

fn own_line(number: usize, command: &str, line: &str, linted: &mut Linted) -> Option<&'static Verb> {
    linted.commands += 1;
    let line = with_placeholders(line);
    if command.starts_with("npm run ") && line.contains(" --") && !command.contains(" -- ") {
        let text = "npm keeps a script's flags for itself: called so, the script gets none of them";
        linted.findings.push(Finding::note(number, text, "opsctl in the place of `npm run`"));
    }
    match parse::line(&line) {
        Ok(verb) => Some(verb),
        Err(why) => {
            linted.findings.push(Finding::error(number, format!("`{command}`: {why}")));
            None
        }
    }
}

/// `[platform]` may be left out and is a placeholder like `<platform>`; `[--limit 50]` is a flag.
fn with_placeholders(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((inner, behind)) = after.split_once(']') else { break };
        out.push_str(before);
        match inner.starts_with('-') {
            true => out.push_str(inner),
            false => out.push_str(&format!("<{inner}>")),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// `watch -n 5 "npm run circuit:status notion"`.
fn watch(number: usize, rest: &[&str], linted: &mut Linted) -> Option<&'static Verb> {
    let (interval, inner) = match rest {
        ["-n", seconds, inner @ ..] => (*seconds, inner),
        [flag, inner @ ..] if flag.starts_with("-n") => (&flag[2..], inner),
        inner => ("2", inner),
    };
    let inner = inner.join(" ");
    let Some(line) = own(&inner) else {
        linted.findings.push(Finding::note(number, "`watch` of another program was not looked at", "nothing"));
        return None;
    };
    let watched = format!("{line} --watch={interval}s");
    match parse::line(&with_placeholders(&watched)) {
        Ok(_) => {
            let text = "`watch` starts a program each time; the command follows by itself";
            linted.findings.push(Finding::note(number, text, format!("opsctl {watched}")));
            own_line(number, &inner, &line, linted)
        }
        Err(why) => {
            linted.commands += 1;
            linted.findings.push(Finding::error(number, format!("`{inner}` cannot be followed: {why}")));
            None
        }
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// A variable: what it is on the service, and whether it can have that value there.
fn assignment(number: usize, text: &str, linted: &mut Linted) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if let Some(why) = config::not_ours(name) {
        return linted.findings.push(Finding::note(number, format!("{name} is no setting here"), why));
    }
    let Some(def) = config::find(name) else {
        let text = format!("{name} is no setting of the orchestrator and was not looked at");
        return linted.findings.push(Finding::note(number, text, "opsctl config list"));
    };
    if def.kind.is_secret() {
        let text = format!("{name} set in a shell reaches no running service, and stays in the history");
        return linted.findings.push(Finding::note(number, text, format!("opsctl config set {name}")));
    }
    if let Err(why) = def.kind.normalise(value) {
        return linted.findings.push(Finding::error(number, format!("{name}={value}: it {why}")));
    }
    let expires = if def.needs_expiry(value) { " --expires 30m" } else { "" };
    let restart = match def.restart {
        RestartPart::None => String::new(),
        part => format!(", then opsctl restart {part}"),
    };
    let text = "a variable in a shell reaches no running service";
    linted.findings.push(Finding::note(number, text, format!("opsctl config set {name}={value}{expires}{restart}")));
}

fn curl(number: usize, url: &str, linted: &mut Linted) {
    let path = url.split('?').next().unwrap_or(url).trim_end_matches('/');
    let host = path.split("://").nth(1).unwrap_or(path).split('/').next().unwrap_or_default();
    let vendor = VENDORS.iter().find(|(word, _)| host.contains(word) && host.contains("status"));
    let instead = match (vendor, PATHS.iter().find(|(end, _)| path.ends_with(end))) {
        (Some((_, platform)), _) => format!("opsctl check platform-status {platform}"),
        (None, Some((_, command))) => format!("opsctl {command}"),
        (None, None) => "opsctl api GET PATH".to_owned(),
    };
    let text = match vendor {
        Some(_) => format!("`curl {url}` asks an address that may have moved"),
        None => format!("`curl {url}` works on the orchestrator's own host"),
    };
    linted.findings.push(Finding::note(number, text, instead));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_as_a_shell_does() {
        assert_eq!(without_comment(r#"a "b # c" d#e # f"#), r#"a "b # c" d#e "#);
        assert_eq!(
            commands(r#"export A=1; npm run x && npm run "y; z" | jq ."#),
            ["export A=1", " npm run x ", " npm run \"y; z\" ", " jq ."]
        );
        assert_eq!(with_placeholders("logs errors [--limit 50] [platform]"), "logs errors --limit 50 <platform>");
        assert!(is_assignment("QUEUE_WORKERS=10") && !is_assignment("a=b") && !is_assignment("npm"));
    }
}
