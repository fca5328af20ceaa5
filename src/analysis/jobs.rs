//! Scheduled jobs that are late, fail, or succeed and change nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Verdict, span};
use crate::wire::Time;

/// Runs in a row without effect from which a job that should change something is a finding.
pub const IDLE_RUNS: usize = 7;

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// When it began.
    pub at: Time,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Its exit code; absent when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// Whether it was ended at its limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// Things it changed.
    pub effects: u64,
}

impl Run {
    /// Whether it did what it is for: a check that found something did.
    fn is_good(&self) -> bool {
        !self.timed_out && matches!(self.code, Some(0 | 3))
    }
}

/// What is known of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// What it runs.
    pub line: String,
    /// The longest from one start to the next, in milliseconds, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// Since when it is expected.
    #[serde(default)]
    pub since: Time,
    /// Whether it should change something.
    #[serde(default)]
    pub changes: bool,
    /// Its last runs, oldest first.
    #[serde(default)]
    pub runs: Vec<Run>,
}

impl Job {
    /// What there is to say of it, the worst first.
    pub fn judge(&self, now: Time) -> (Verdict, String) {
        let last = self.runs.last();
        let begun = last.map_or(self.since, |run| run.at);
        // A start may be held up by a busy machine and by the run before it.
        let allowed = self.every_ms.map(|ms| Duration::from_millis(ms.saturating_add((ms / 10).max(60_000))));
        let late = allowed.and_then(|allowed| now.since(begun).checked_sub(allowed)).filter(|late| !late.is_zero());
        if let (Some(late), Some(ms)) = (late, self.every_ms) {
            let every = span(Duration::from_millis(ms));
            let what = if last.is_some() { "its last run was" } else { "it has never run; it was installed" };
            let ago = span(now.since(begun));
            return (Verdict::Fail, format!("late by {}: every {every}, {what} {ago} ago", span(late)));
        }
        let Some(last) = last else { return (Verdict::Ok, "it has not been due yet".into()) };
        if last.timed_out {
            return (Verdict::Fail, format!("ended at its limit after {}", span(Duration::from_millis(last.took_ms))));
        }
        if !last.is_good() {
            let failed = self.runs.iter().rev().take_while(|run| !run.is_good()).count();
            let code = last.code.map_or("a signal".to_owned(), |code| format!("{code}"));
            return (Verdict::Fail, format!("it ended with {code}, {failed} times in a row"));
        }
        let idle = self.runs.iter().rev().take_while(|run| run.is_good() && run.effects == 0).count();
        if self.changes && idle >= IDLE_RUNS {
            return (Verdict::Warn, format!("it succeeded {idle} times and changed nothing"));
        }
        let effects = if self.changes { format!(", {} changed", last.effects) } else { String::new() };
        (Verdict::Ok, format!("ran {} ago{effects}", span(now.since(last.at))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn run(minute: i64, code: u8, effects: u64) -> Run {
        Run { at: Time(minute * MINUTE), took_ms: 100, code: Some(code), timed_out: false, effects }
    }

    fn job(runs: Vec<Run>) -> Job {
        Job { line: "x".into(), every_ms: Some(5 * 60_000), since: Time(0), changes: false, runs }
    }

    #[test]
    fn late_is_more_than_one_interval_and_a_bit() {
        let job = job(vec![run(0, 0, 0)]);
        assert_eq!(job.judge(Time(6 * MINUTE)).0, Verdict::Ok);
        let (verdict, text) = job.judge(Time(9 * MINUTE));
        assert_eq!(verdict, Verdict::Fail);
        assert_eq!(text, "late by 3m: every 5m, its last run was 9m ago");
        let never = Job { runs: Vec::new(), ..job.clone() };
        assert_eq!(never.judge(Time(5 * MINUTE)).0, Verdict::Ok);
        assert!(never.judge(Time(60 * MINUTE)).1.contains("never run"));
        let unknown = Job { every_ms: None, ..job };
        assert_eq!(unknown.judge(Time(1_000 * MINUTE)).0, Verdict::Ok);
    }

    #[test]
    fn a_finding_is_no_failure_and_seven_times_nothing_is_one() {
        let now = Time(8 * MINUTE);
        assert_eq!(job(vec![run(7, 3, 0)]).judge(now).0, Verdict::Ok);
        let failing = job(vec![run(6, 7, 0), run(7, 7, 0)]);
        assert_eq!(failing.judge(now), (Verdict::Fail, "it ended with 7, 2 times in a row".into()));
        let hung = Run { timed_out: true, code: None, ..run(7, 0, 0) };
        assert!(job(vec![hung]).judge(now).1.starts_with("ended at its limit"));

        let idle: Vec<Run> = (1..8).map(|minute| run(minute, 0, 0)).collect();
        assert_eq!(job(idle.clone()).judge(now).0, Verdict::Ok, "a check changes nothing");
        let changing = |runs: Vec<Run>| Job { changes: true, ..job(runs) };
        assert_eq!(changing(idle.clone()).judge(now).0, Verdict::Warn);
        assert_eq!(changing(idle[1..].to_vec()).judge(now).0, Verdict::Ok);
        let done = idle.into_iter().chain([run(8, 0, 3)]).collect();
        assert_eq!(changing(done).judge(now).0, Verdict::Ok);
    }
}
