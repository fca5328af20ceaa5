//! Whom to call: the runbook's three levels, and which of the conditions for calling them hold right now.

use std::time::Duration;

use serde::Serialize;

use crate::analysis::span;
use crate::wire::{Platform, Time};

const HOUR: Duration = Duration::from_secs(3600);

/// A level of escalation.
#[derive(Debug)]
pub struct Level {
    /// 1, 2 or 3.
    pub number: u8,
    /// Who.
    pub who: &'static str,
    /// When they can be had.
    pub hours: &'static str,
    /// How soon they answer.
    pub responds_within: Duration,
    /// What they deal with.
    pub handles: &'static str,
    /// When they are called; any one is enough.
    conditions: &'static [Condition],
}

/// A reason to call somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    OneHour,
    CodeChange,
    SeveralPlatforms,
    Corruption,
    TwoHoursDown,
    Breach,
    DataLoss,
    Regulation,
}

impl Condition {
    const fn text(self) -> &'static str {
        match self {
            Condition::OneHour => "not resolved within one hour",
            Condition::CodeChange => "code has to change",
            Condition::SeveralPlatforms => "several platforms are affected",
            Condition::Corruption => "data may be corrupted",
            Condition::TwoHoursDown => "the whole system is down for over two hours",
            Condition::Breach => "a security breach is confirmed",
            Condition::DataLoss => "over an hour of data is lost",
            Condition::Regulation => "regulators have to be told",
        }
    }
}

/// The runbook's levels.
pub const LEVELS: [Level; 3] = [
    Level {
        number: 1,
        who: "on-call engineer",
        hours: "at any time",
        responds_within: Duration::from_secs(900),
        handles: "every issue of the runbook",
        conditions: &[],
    },
    Level {
        number: 2,
        who: "engineering lead",
        hours: "business hours",
        responds_within: HOUR,
        handles: "complex issues, decisions about the architecture",
        conditions: &[Condition::OneHour, Condition::SeveralPlatforms, Condition::Corruption, Condition::CodeChange],
    },
    Level {
        number: 3,
        who: "CTO",
        hours: "emergencies only",
        responds_within: Duration::from_secs(1800),
        handles: "outages that threaten the business, security incidents",
        conditions: &[Condition::Breach, Condition::TwoHoursDown, Condition::DataLoss, Condition::Regulation],
    },
];

/// What is known for the conditions; `None` is not known.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Since when something is wrong, and what; the inner `None`: nothing is.
    pub trouble: Option<Option<(Time, String)>>,
    /// Platforms that do not work.
    pub down: Option<Vec<Platform>>,
    /// Since when nobody answers; the inner `None`: somebody does.
    pub silent: Option<Option<Time>>,
    /// Whether the service is locked down.
    pub locked_down: Option<bool>,
    /// When somebody began the procedure against corruption, if that is not finished.
    pub corruption_run: Option<Time>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does.
    Holds,
    /// It does not.
    No,
    /// It could not be looked at.
    Unknown,
    /// Only a person can say.
    Judge,
}

impl Verdict {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Holds => "HOLDS",
            Verdict::No => "no",
            Verdict::Unknown => "UNKNOWN",
            Verdict::Judge => "yours to judge",
        }
    }
}

/// A condition and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The condition.
    pub condition: &'static str,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What shows it, or how to find out.
    pub evidence: String,
}

impl Level {
    /// Its conditions against what is known.
    pub fn judge(&self, facts: &Facts, now: Time) -> Vec<Judged> {
        let judged = |condition: &Condition| {
            let (verdict, evidence) = condition.judge(facts, now);
            Judged { condition: condition.text(), verdict, evidence }
        };
        self.conditions.iter().map(judged).collect()
    }
}

impl Condition {
    fn judge(self, facts: &Facts, now: Time) -> (Verdict, String) {
        let past = |limit: Duration, since: Time| if now.since(since) > limit { Verdict::Holds } else { Verdict::No };
        match self {
            Condition::OneHour => match &facts.trouble {
                None => (Verdict::Unknown, "since when something is wrong is not known".into()),
                Some(None) => (Verdict::No, "nothing is wrong".into()),
                Some(Some((since, what))) => (past(HOUR, *since), format!("{what}, for {}", span(now.since(*since)))),
            },
            Condition::SeveralPlatforms => match &facts.down {
                None => (Verdict::Unknown, "the orchestrator does not answer".into()),
                Some(down) => {
                    let names: Vec<&str> = down.iter().map(|platform| platform.as_str()).collect();
                    let verdict = if down.len() > 1 { Verdict::Holds } else { Verdict::No };
                    let text =
                        if names.is_empty() { "none is down".into() } else { format!("down: {}", names.join(", ")) };
                    (verdict, text)
                }
            },
            Condition::Corruption => match facts.corruption_run {
                Some(at) => (Verdict::Holds, format!("`runbook run corruption` was begun at {at}")),
                None => (Verdict::Judge, "opsctl analyze corruption --since 24h".into()),
            },
            Condition::TwoHoursDown => match facts.silent {
                None => (Verdict::Unknown, "it does not answer, and since when is not known here".into()),
                Some(None) => (Verdict::No, "it answers".into()),
                Some(Some(since)) => (
                    past(2 * HOUR, since),
                    format!("it does not answer; its last sign was {} ago", span(now.since(since))),
                ),
            },
            Condition::Breach => match facts.locked_down {
                Some(true) => (Verdict::Holds, "the service is locked down".into()),
                _ => (Verdict::Judge, "opsctl logs security --suspicious".into()),
            },
            Condition::DataLoss => (Verdict::Judge, "opsctl state backups shows what a restore would lose".into()),
            Condition::CodeChange | Condition::Regulation => (Verdict::Judge, "no command can tell".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_795_000_000_000);

    fn verdict(level: usize, condition: &str, facts: &Facts) -> Verdict {
        let judged = LEVELS[level - 1].judge(facts, NOW);
        judged.iter().find(|judged| judged.condition.contains(condition)).unwrap().verdict
    }

    #[test]
    fn what_is_known_decides_and_what_is_not_known_says_so() {
        let ago = |minutes: u64| NOW.minus(Duration::from_secs(minutes * 60));
        let trouble =
            |minutes| Facts { trouble: Some(Some((ago(minutes), "circuit open".into()))), ..Facts::default() };
        assert_eq!(verdict(2, "one hour", &trouble(61)), Verdict::Holds);
        assert_eq!(verdict(2, "one hour", &trouble(59)), Verdict::No);
        assert_eq!(verdict(2, "one hour", &Facts::default()), Verdict::Unknown);
        assert_eq!(verdict(2, "one hour", &Facts { trouble: Some(None), ..Facts::default() }), Verdict::No);
        let down = |platforms: &[Platform]| Facts { down: Some(platforms.to_vec()), ..Facts::default() };
        assert_eq!(verdict(2, "several", &down(&[Platform::Notion, Platform::Slack])), Verdict::Holds);
        assert_eq!(verdict(2, "several", &down(&[Platform::Notion])), Verdict::No);
        let silent = |minutes| Facts { silent: Some(Some(ago(minutes))), ..Facts::default() };
        assert_eq!(verdict(3, "two hours", &silent(121)), Verdict::Holds);
        assert_eq!(verdict(3, "two hours", &silent(119)), Verdict::No);
        assert_eq!(verdict(3, "two hours", &Facts { silent: Some(None), ..Facts::default() }), Verdict::No);
        assert_eq!(verdict(3, "breach", &Facts { locked_down: Some(true), ..Facts::default() }), Verdict::Holds);
        assert_eq!(verdict(3, "regulators", &Facts::default()), Verdict::Judge);
        let run = Facts { corruption_run: Some(ago(1)), ..Facts::default() };
        assert_eq!(verdict(2, "corrupted", &run), Verdict::Holds);
    }
}
