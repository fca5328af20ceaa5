//! What a security log shows that somebody should look at, by rules that are named with the answer.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::lines::{Line, Question};
use crate::wire::Time;

/// Actors that are told apart for each rule; of more, the findings are counted together.
const ACTORS_MAX: usize = 1000;

/// Lines of one actor within a rule's time that are remembered.
const RECENT_MAX: usize = 1000;

/// What makes lines suspicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// A credential that is not valid.
    Credential,
    /// A role that is not enough.
    Role,
    /// A name of another service in the Host header.
    Host,
    /// The break-glass token.
    BreakGlass,
    /// An approval that was not given.
    Approval,
}

/// A rule: so many lines of a kind by one actor within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What it looks for.
    pub describes: &'static str,
    #[serde(skip)]
    about: About,
    /// Lines by one actor within `window_ms` from which it is a finding.
    pub at_least: usize,
    /// Milliseconds.
    pub window_ms: i64,
    /// The next command.
    pub next: &'static str,
}

/// Every rule that is applied.
pub const RULES: &[Rule] = &[
    Rule {
        id: "refused-credentials",
        describes: "5 or more refused credentials within 10 minutes",
        about: About::Credential,
        at_least: 5,
        window_ms: 600_000,
        next: "opsctl token list",
    },
    Rule {
        id: "role-refused",
        describes: "a token used for what its role does not allow",
        about: About::Role,
        at_least: 1,
        window_ms: 0,
        next: "opsctl token list",
    },
    Rule {
        id: "foreign-host",
        describes: "a request that names another service: a browser may have been led here",
        about: About::Host,
        at_least: 1,
        window_ms: 0,
        next: "opsctl logs security --grep \"this service is not\"",
    },
    Rule {
        id: "break-glass",
        describes: "the break-glass token refused, or used",
        about: About::BreakGlass,
        at_least: 1,
        window_ms: 0,
        next: "opsctl token list",
    },
    Rule {
        id: "approvals-refused",
        describes: "3 or more approvals rejected or left to expire within an hour",
        about: About::Approval,
        at_least: 3,
        window_ms: 3_600_000,
        next: "opsctl logs security --grep Approval",
    },
];

/// What a rule found by one actor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// Who, as the log names them; `anonymous` without a valid token.
    pub actor: String,
    /// Lines that the rule is about, all in the window.
    pub count: u64,
    /// The most of them within the rule's time.
    pub most: u64,
    /// The first.
    pub first_at: Time,
    /// The last.
    pub last_at: Time,
    /// The last one's text, and what was asked for.
    pub example: String,
    /// The next command.
    pub next: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspicious {
    /// Every rule that was applied.
    pub rules: Vec<Rule>,
    /// What they found, the latest first.
    pub findings: Vec<Finding>,
    /// Lines that were looked at.
    pub lines: u64,
}

struct Seen {
    count: u64,
    most: usize,
    first_at: Time,
    last_at: Time,
    example: String,
    /// Times within the rule's window of the last one.
    recent: VecDeque<Time>,
}

/// Gathers findings.
#[derive(Default)]
pub struct Gather {
    seen: BTreeMap<(usize, String), Seen>,
    lines: u64,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = &["message", "errorCode", "actor", "action", "by", "status"];

    fn take(&mut self, line: &Line<'_>) {
        self.lines += 1;
        let Some(at) = line.at else { return };
        let actor = line.first(&["actor", "by"]).unwrap_or_else(|| "nobody named".into());
        for (number, rule) in RULES.iter().enumerate().filter(|(_, rule)| is_about(rule.about, line, &actor)) {
            let mut key = (number, actor.clone().into_owned());
            if !self.seen.contains_key(&key) && self.seen.len() >= ACTORS_MAX {
                key.1 = "others".into();
            }
            let asked = line.get("action").map(|action| format!(" ({action})")).unwrap_or_default();
            let example = || format!("{}{asked}", line.get("message").unwrap_or_default());
            let seen = self.seen.entry(key).or_insert_with(|| Seen {
                count: 0,
                most: 0,
                first_at: at,
                last_at: at,
                example: String::new(),
                recent: VecDeque::new(),
            });
            seen.count += 1;
            seen.first_at = seen.first_at.min(at);
            if at >= seen.last_at {
                (seen.last_at, seen.example) = (at, example());
            }
            seen.recent.push_back(at);
            while seen.recent.front().is_some_and(|first| (at.0 - first.0).abs() > rule.window_ms) {
                seen.recent.pop_front();
            }
            seen.most = seen.most.max(seen.recent.len());
            // A flood need not be remembered one by one.
            while seen.recent.len() > RECENT_MAX {
                seen.recent.pop_front();
            }
        }
    }
}

fn is_about(about: About, line: &Line<'_>, actor: &str) -> bool {
    let message = line.get("message").unwrap_or_default();
    let code = line.get("errorCode").unwrap_or_default();
    match about {
        About::Credential => code == "AUTH_ERROR",
        About::Role => code == "PERMISSION_DENIED" && message.contains("needs the role"),
        About::Host => code == "PERMISSION_DENIED" && message.contains("this service is not"),
        About::BreakGlass => actor.contains("break-glass") || message.to_lowercase().contains("break-glass"),
        About::Approval => message == "Approval rejected" || message == "Approval expired",
    }
}

impl Gather {
    /// The answer.
    pub fn finish(self) -> Suspicious {
        let found = self.seen.into_iter().filter(|((number, _), seen)| seen.most >= RULES[*number].at_least);
        let mut findings: Vec<Finding> = found
            .map(|((number, actor), seen)| Finding {
                rule: RULES[number].id.to_owned(),
                actor,
                count: seen.count,
                most: seen.most as u64,
                first_at: seen.first_at,
                last_at: seen.last_at,
                example: seen.example,
                next: RULES[number].next.to_owned(),
            })
            .collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.last_at));
        Suspicious { rules: RULES.to_vec(), findings, lines: self.lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::take_json;
    use serde_json::json;

    fn found(lines: &[(i64, &str, &str, &str)]) -> Vec<(String, String, u64)> {
        let mut gather = Gather::default();
        for (second, code, actor, message) in lines {
            let line = json!({"timestamp": Time(second * 1000).to_string(), "message": message, "errorCode": code,
                "actor": actor, "action": "GET /queue"});
            take_json(&mut gather, &line);
        }
        gather.finish().findings.into_iter().map(|f| (f.rule, f.actor, f.count)).collect()
    }

    #[test]
    fn a_few_refused_credentials_are_a_typing_error_and_many_at_once_are_not() {
        let refused =
            |seconds: [i64; 5]| seconds.map(|s| (s, "AUTH_ERROR", "anonymous", "Refused: the token is not valid"));
        assert_eq!(found(&refused([0, 60, 120, 180, 240])), [("refused-credentials".into(), "anonymous".into(), 5)]);
        assert_eq!(found(&refused([0, 400, 800, 1200, 1600])), []);
    }

    #[test]
    fn what_is_never_an_accident_is_found_at_once() {
        let lines = [
            (1, "PERMISSION_DENIED", "t1 ci", "Refused: this needs the role admin; token t1 ci is viewer"),
            (2, "PERMISSION_DENIED", "anonymous", "Refused: this service is not `evil.example`; allow the name"),
            (3, "PERMISSION_DENIED", "t9 break-glass", "Refused: something else"),
        ];
        let rules: Vec<_> = found(&lines).into_iter().map(|(rule, ..)| rule).collect();
        assert_eq!(rules, ["break-glass", "foreign-host", "role-refused"]);
    }
}
