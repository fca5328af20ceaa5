//! systemd, through `systemctl`.

use std::collections::HashMap;
use std::time::Duration;

use super::Seen;
use super::run::run;
use crate::settings::CommandLine;

/// What tells how a unit is, and whether it was started anew since the last look.
const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,InvocationID";

fn systemctl(user: bool, words: &[&str]) -> CommandLine {
    let whose = user.then_some("--user");
    let all = ["systemctl"].into_iter().chain(whose).chain(["--no-ask-password"]).chain(words.iter().copied());
    CommandLine::Program(all.map(str::to_owned).collect())
}

/// Restarts a unit, or starts it when it does not run.
pub(super) fn restart(unit: &str, user: bool) -> CommandLine {
    systemctl(user, &["restart", unit])
}

/// How a unit is.
pub(super) async fn look(unit: &str, user: bool, limit: Duration) -> Seen {
    let line = systemctl(user, &["show", "--property", PROPERTIES, unit]);
    match run(&line, limit).await {
        Ok(ran) if ran.success => of_properties(unit, &ran.text),
        Ok(ran) => {
            Seen { is_over: true, ..Seen::unknown(format!("systemctl ended with {}{}", ran.ended, ran.last_words())) }
        }
        Err(error) => Seen { is_over: true, ..Seen::unknown(error.why(&line)) },
    }
}

fn of_properties(unit: &str, text: &str) -> Seen {
    let values: HashMap<&str, &str> = text.lines().filter_map(|line| line.trim().split_once('=')).collect();
    let value = |name: &str| values.get(name).copied().unwrap_or_default();
    if value("LoadState") == "not-found" {
        return Seen { is_over: true, ..Seen::down(format!("systemd has no unit {unit}")) };
    }
    let (active, sub) = (value("ActiveState"), value("SubState"));
    let life = Some(value("InvocationID").to_owned()).filter(|id| !id.is_empty());
    match active {
        // `reloading` serves while it reads its configuration anew.
        "active" | "reloading" => Seen { life, ..Seen::up(format!("{unit} is {active} ({sub})")) },
        "" => Seen::unknown(format!("systemctl says nothing of {unit}")),
        "failed" => {
            let result = value("Result");
            Seen { life, is_over: true, ..Seen::down(format!("{unit} is failed ({result})")) }
        }
        _ => Seen { life, ..Seen::down(format!("{unit} is {active} ({sub})")) },
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_systemd_says_of_a_unit() {
        let seen =
            of_properties("x.service", "LoadState=loaded\nActiveState=active\nSubState=running\nInvocationID=ab\n");
        assert_eq!((seen.state, seen.detail.as_str()), (State::Up, "x.service is active (running)"));
        assert_eq!(seen.life.as_deref(), Some("ab"));
        for (text, state, is_over) in [
            ("LoadState=not-found\nActiveState=inactive", State::Down, true),
            ("LoadState=loaded\nActiveState=failed\nResult=exit-code", State::Down, true),
            // systemd starts it again by itself.
            ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart", State::Down, false),
            ("", State::Unknown, false),
        ] {
            let seen = of_properties("x.service", text);
            assert_eq!((seen.state, seen.is_over), (state, is_over), "{text}");
        }
    }

    #[test]
    fn a_users_unit_is_asked_of_the_users_manager() {
        assert_eq!(restart("a.service", true).to_string(), "systemctl --user --no-ask-password restart a.service");
        assert_eq!(restart("a.service", false).to_string(), "systemctl --no-ask-password restart a.service");
    }
}
