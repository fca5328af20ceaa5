//! The table of alerts.

use std::time::Duration;

use serde::Serialize;

use super::super::Verdict;
use crate::runbook::SectionId;

/// How soon somebody has to be at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Within an hour.
    Medium,
    /// Within a quarter of an hour.
    High,
    /// At once.
    Critical,
}

impl Priority {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::Medium => "medium",
            Priority::High => "high",
            Priority::Critical => "critical",
        }
    }

    /// The runbook's response time.
    pub const fn response(self) -> &'static str {
        match self {
            Priority::Medium => "within 1 hour",
            Priority::High => "within 15 minutes",
            Priority::Critical => "at once",
        }
    }

    /// What it is in a check's words.
    pub const fn verdict(self) -> Verdict {
        match self {
            Priority::Medium => Verdict::Warn,
            Priority::High | Priority::Critical => Verdict::Fail,
        }
    }
}

/// How long something has to be beyond its threshold before the alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// So many looks, one after the other.
    Looks(u32),
    /// So long without a break.
    For(Duration),
}

impl Hold {
    /// At the first look.
    pub const AT_ONCE: Hold = Hold::For(Duration::ZERO);
}

/// One alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called on the command line: `queue-overload`.
    pub name: &'static str,
    /// The runbook's name.
    pub title: &'static str,
    /// How soon somebody has to be at it.
    pub priority: Priority,
    /// What it is beyond, for people.
    pub threshold: &'static str,
    /// For how long.
    pub hold: Hold,
    /// What the runbook says to do.
    pub action: &'static str,
    /// The first command; PLATFORM stands for the platform it is about.
    pub next: &'static str,
    /// The section that deals with it, where the runbook has one.
    pub section: Option<SectionId>,
}

impl Rule {
    /// The first command about this subject.
    pub fn next(&self, subject: &str) -> String {
        self.next.replace("PLATFORM", subject).trim_end().to_owned()
    }
}

const fn minutes(n: u64) -> Hold {
    Hold::For(Duration::from_secs(n * 60))
}

macro_rules! rules {
    ($($name:literal $title:literal $priority:ident, $threshold:literal $hold:expr, $action:literal, $next:literal,
       $section:expr;)+) => {
        &[$(Rule {
            name: $name,
            title: $title,
            priority: Priority::$priority,
            threshold: $threshold,
            hold: $hold,
            action: $action,
            next: $next,
            section: $section,
        }),+]
    };
}

/// Every alert of `check alerts`: the runbook's table in its order, then what its prose asks for.
pub const RULES: &[Rule] = rules! {
    "system-down" "System Down" Critical, "health check fails 3 times" Hold::Looks(3),
        "follow Emergency Procedure 1", "opsctl runbook show outage", Some(SectionId::Outage);
    "all-platforms-failing" "All Platforms Failing" Critical, "success rate <50% for 5 min" minutes(5),
        "check the vendors' status, enable fallbacks", "opsctl check platform-status", Some(SectionId::Issue(10));
    "database-down" "Database Down" Critical, "connection fails" Hold::AT_ONCE,
        "restart the database, restore from a backup if needed", "opsctl db check", Some(SectionId::Outage);
    "security-breach" "Security Breach" Critical, "unauthorized access detected" Hold::AT_ONCE,
        "follow Emergency Procedure 3", "opsctl logs security --suspicious", Some(SectionId::Security);
    "success-rate-low" "Success Rate Low" High, "success rate <90% for 15 min" minutes(15),
        "check circuit breakers, review errors", "opsctl logs errors --since 15m", Some(SectionId::Issue(10));
    "queue-overload" "Queue Overload" High, ">100 items for 10 min" minutes(10),
        "increase workers, check executor health", "opsctl queue status", Some(SectionId::Issue(1));
    "circuit-open" "Circuit Breaker Open" High, "not CLOSED for 5 min" minutes(5),
        "investigate the platform, consider a fallback", "opsctl check health PLATFORM --external",
        Some(SectionId::Issue(2));
    "disk-space" "Disk Space" High, "disk >90% used" Hold::AT_ONCE,
        "clear logs, archive old data", "opsctl analyze capacity", None;
    "high-latency" "High Latency" Medium, "P95 >5s for 30 min" minutes(30),
        "optimise queries, check the platforms' performance", "opsctl metrics performance --since 1h", None;
    "retry-rate-high" "Retry Rate High" Medium, "retries >30% for 1 hour" minutes(60),
        "investigate the platforms, adjust the retry policy", "opsctl analyze retries --since 1h",
        Some(SectionId::Issue(10));
    "fallback-usage-high" "Fallback Usage High" Medium, "fallbacks >20% for 1 hour" minutes(60),
        "check the primary platform, consider a lasting fix", "opsctl analyze fallbacks --since 1h",
        Some(SectionId::Issue(10));
    "memory-high" "Memory High" Medium, "memory >80% for 30 min" minutes(30),
        "restart services, look for a leak", "opsctl system status", None;

    "queue-50" "Queue at 50" Medium, "50 items or more" Hold::AT_ONCE,
        "see what the queue waits for", "opsctl queue status", Some(SectionId::Issue(1));
    "queue-100" "Queue at 100" Medium, "100 items or more" Hold::AT_ONCE,
        "check circuits, limits and workers", "opsctl queue status", Some(SectionId::Issue(1));
    "queue-200" "Queue at 200" High, "200 items or more" Hold::AT_ONCE,
        "increase workers, check executor health", "opsctl queue stuck", Some(SectionId::Issue(1));
    "duplicates" "Duplicates" Medium, "done twice, or a key collision, in 1h" Hold::AT_ONCE,
        "find who submits twice, look at the keys", "opsctl logs duplicates --since 1h", Some(SectionId::Issue(3));
    "rollback-rate-low" "Rollback Rate Low" High, "<95% of rollbacks succeed in 1h" Hold::AT_ONCE,
        "retry what failed, clean up by hand", "opsctl workflow failed --since 2h", Some(SectionId::Issue(4));
    "rate-limit" "Rate Limit Near" Medium, ">=80% in a minute, or a 429, in 5 min" Hold::AT_ONCE,
        "batch, cache, spread the load", "opsctl rate-limits status PLATFORM", Some(SectionId::Issue(5));
    "auth-failing" "Authentication Failed" High, "a key refused in 5 min" Hold::AT_ONCE,
        "replace the key, test it, restart", "opsctl test auth PLATFORM", Some(SectionId::Issue(6));
    "key-expiring" "Key Expiring" Medium, "refused, or ends within 7 days" Hold::AT_ONCE,
        "make a new key before this one ends", "opsctl check key-expiration PLATFORM", Some(SectionId::Issue(6));
    "key-old" "Key Old" Medium, "in use for 90 days" Hold::AT_ONCE,
        "rotate it", "opsctl security rotate-keys PLATFORM", Some(SectionId::Issue(6));
    "week-slower" "Week Slower" Medium, "mean execution +20% in a week" Hold::AT_ONCE,
        "find what became slower", "opsctl metrics performance --since 7d", None;
    "week-latency" "Week's Latency" Medium, "P95 of the week >5s" Hold::AT_ONCE,
        "find the slow platform", "opsctl metrics performance --since 7d", None;
    "week-waiting" "Week's Queue Time" Medium, "mean wait of the week >30s" Hold::AT_ONCE,
        "add workers, spread the load", "opsctl metrics performance --since 7d", Some(SectionId::Issue(1));
};

/// The other checks that can notify: each is one alert, whatever it found.
pub const WATCHES: &[Rule] = rules! {
    "health" "Health" High, "anything asked for is not OK" Hold::AT_ONCE,
        "see what is down", "opsctl check health --verbose", Some(SectionId::Outage);
    "daily" "Daily Check" Medium, "a line beyond its threshold" Hold::AT_ONCE,
        "see which line", "opsctl maintenance daily", None;
    "weekly" "Weekly Maintenance" Medium, "a finding, or a task that is due" Hold::AT_ONCE,
        "do what is due", "opsctl maintenance weekly", None;
    "monthly" "Monthly Maintenance" Medium, "a finding, or a task that is due" Hold::AT_ONCE,
        "do what is due", "opsctl maintenance monthly", None;
    "quarterly" "Quarterly Maintenance" Medium, "a finding, or a task that is due" Hold::AT_ONCE,
        "do what is due", "opsctl maintenance quarterly", None;
    "jobs" "Scheduled Jobs" Medium, "late, failing, or without effect" Hold::AT_ONCE,
        "see which job", "opsctl check jobs", None;
};

/// The alert of a name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().chain(WATCHES).find(|rule| rule.name == name)
}

/// The names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().chain(WATCHES).map(|rule| rule.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_runbooks_twelve_come_first_and_names_are_unique() {
        let of = |priority| RULES[..12].iter().filter(|rule| rule.priority == priority).count();
        assert_eq!([of(Priority::Critical), of(Priority::High), of(Priority::Medium)], [4, 4, 4]);
        assert_eq!(names().collect::<BTreeSet<_>>().len(), RULES.len() + WATCHES.len());
        assert_eq!(rule("circuit-open").unwrap().next("notion"), "opsctl check health notion --external");
    }

    #[test]
    fn every_first_command_is_one_of_this_program() {
        for rule in RULES.iter().chain(WATCHES) {
            let line = rule.next("notion");
            let words: Vec<_> = line.split_whitespace().collect();
            let verb = words[1..3].join(" ");
            let known = crate::aliases::find(&verb).or_else(|| crate::aliases::find(words[1]));
            // Rotation lives in its own part of the program.
            assert!(known.is_some() || verb == "security rotate-keys", "{line}");
        }
    }
}
