//! The runbook's weekly, monthly and quarterly tasks: what is run and judged, and what a person has to do.

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Verdict;
use super::alerts::rule;

/// How often a task is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cadence {
    /// From Monday.
    Weekly,
    /// From the first Monday of a month.
    Monthly,
    /// From the first Monday of a quarter.
    Quarterly,
}

impl Cadence {
    /// All of them.
    pub const ALL: [Cadence; 3] = [Cadence::Weekly, Cadence::Monthly, Cadence::Quarterly];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cadence::Weekly => "weekly",
            Cadence::Monthly => "monthly",
            Cadence::Quarterly => "quarterly",
        }
    }

    /// The day on which the period began that this day is in.
    pub fn began(self, day: Date) -> Date {
        let back = |months: i32| first_monday(day.first_of_month().saturating_sub(jiff::Span::new().months(months)));
        match self {
            Cadence::Weekly => {
                let days = i32::from(day.weekday().to_monday_zero_offset());
                day.saturating_sub(jiff::Span::new().days(days))
            }
            Cadence::Monthly => [back(0), back(1)].into_iter().find(|monday| *monday <= day).unwrap_or(day),
            Cadence::Quarterly => {
                let since_start = i32::from((day.month() - 1) % 3);
                let starts = [back(since_start), back(since_start + 3)];
                starts.into_iter().find(|monday| *monday <= day).unwrap_or(day)
            }
        }
    }
}

fn first_monday(first: Date) -> Date {
    first.nth_weekday_of_month(1, Weekday::Monday).unwrap_or(first)
}

/// Who does it.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// This program: a command that only looks, and how its answer is judged.
    Program(&'static str, Judge),
    /// A person, with what helps.
    Person(&'static str),
}

/// How the answer of a command is judged.
type Judge = fn(&Value) -> (Verdict, String);

/// One task.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// What it is called on the command line.
    pub name: &'static str,
    /// How often.
    pub cadence: Cadence,
    /// The runbook's words.
    pub title: &'static str,
    /// Who does it.
    pub who: Who,
}

const fn runs(name: &'static str, cadence: Cadence, title: &'static str, line: &'static str, judge: Judge) -> Task {
    Task { name, cadence, title, who: Who::Program(line, judge) }
}

const fn person(name: &'static str, cadence: Cadence, title: &'static str, how: &'static str) -> Task {
    Task { name, cadence, title, who: Who::Person(how) }
}

use Cadence::{Monthly, Quarterly, Weekly};

/// Every task, in the runbook's order.
pub const TASKS: &[Task] = &[
    runs("failed-actions", Weekly, "Review failed actions", "analyze failures --since 7d --group-by error", failures),
    runs("fallback-usage", Weekly, "Review fallback usage", "analyze fallbacks --since 7d", fallbacks),
    runs("performance", Weekly, "Performance review", "metrics performance --since 7d", judged_by_itself),
    person("dashboards", Weekly, "Update monitoring dashboards", "opsctl dashboard refresh"),
    runs("recovery-drill", Weekly, "Test disaster recovery", "dr test --scenario database-failure", steps),
    runs("month-trends", Monthly, "Analyze performance trends", "report monthly --month last", trends),
    runs("retry-policies", Monthly, "Optimize retry policies", "analyze retries --since 30d", advice),
    runs("new-issues", Monthly, "Review new issues", "issues export --since 30d", issues),
    person("runbook", Monthly, "Update the runbook", "opsctl issues export --since 30d --file issues.md"),
    person("dependencies", Monthly, "Security updates of the service", "npm audit; npm update"),
    person("rotate-keys", Monthly, "Rotate API keys", "opsctl security rotate-keys --all"),
    runs("capacity", Monthly, "Capacity planning", "analyze capacity --since 30d", capacity),
    runs("backup", Monthly, "Backup verification", "backup verify --last", lines),
    runs("audit-access", Quarterly, "Full system audit: access", "security audit --since 92d", access),
    runs("audit-settings", Quarterly, "Full system audit: settings", "config validate", findings),
    runs("audit-state", Quarterly, "Full system audit: state", "verify integrity --all", findings),
    person("system-audit", Quarterly, "Full system audit", "opsctl security audit --since 92d"),
    runs("response-times", Quarterly, "Load testing: response times", "benchmark", probes),
    person("load-test", Quarterly, "Load testing", "opsctl benchmark --context sandbox"),
    person("penetration-test", Quarterly, "Security penetration test", "opsctl runbook show security"),
    person("documentation", Quarterly, "Documentation review", "opsctl runbook list"),
    person("training", Quarterly, "Team training", "opsctl sandbox scenario list"),
];

/// The task of a name.
pub fn task(name: &str) -> Option<&'static Task> {
    TASKS.iter().find(|task| task.name == name)
}

impl Task {
    /// The command that does it, or helps.
    pub fn command(&self) -> String {
        match self.who {
            Who::Program(line, _) => format!("opsctl {line}"),
            Who::Person(how) => how.to_owned(),
        }
    }

    /// Judges a run by its exit code, its answer and what it said of an error.
    pub fn judge(&self, code: Option<u8>, answer: Option<&Value>, error: &str) -> (Verdict, String) {
        let Who::Program(_, judge) = self.who else { return (Verdict::Unknown, String::new()) };
        let said = |otherwise: &str| if error.is_empty() { otherwise.to_owned() } else { error.to_owned() };
        match (code, answer) {
            (Some(0 | 3 | 8), Some(answer)) => {
                let (verdict, text) = judge(answer);
                // The command's own verdict holds where the judge sees nothing.
                if code != Some(0) && verdict == Verdict::Ok { (Verdict::Warn, text) } else { (verdict, text) }
            }
            // What is missing, and nobody to be asked, are different things.
            (Some(5), _) => (Verdict::Fail, said("not found")),
            (Some(code), _) => (Verdict::Unknown, said(&format!("it ended with {code}"))),
            (None, _) => (Verdict::Unknown, said("it was killed")),
        }
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn warn_if(beyond: bool, text: String) -> (Verdict, String) {
    (if beyond { Verdict::Warn } else { Verdict::Ok }, text)
}

fn failures(answer: &Value) -> (Verdict, String) {
    let Some(total) = answer["total"].as_u64() else { return unreadable() };
    let groups = list(answer, "groups");
    let new: Vec<&str> = groups.iter().filter(|g| g["new"] == true).map(|g| text(g, "key")).collect();
    let most = groups.first().map(|g| format!(", most often {}", text(g, "key"))).unwrap_or_default();
    match new.first() {
        Some(first) => (Verdict::Warn, format!("{total} failures{most}; new: {first} ({} kinds are)", new.len())),
        None => (Verdict::Ok, format!("{total} failures{most}; no new kind")),
    }
}

fn fallbacks(answer: &Value) -> (Verdict, String) {
    let Some(share) = answer["share"].as_f64() else { return unreadable() };
    let text = format!("{} of {} actions by a fallback", answer["total"], answer["executed"]);
    let hint = if share > 0.20 { ": opsctl config update-fallback" } else { "" };
    warn_if(share > 0.20, format!("{text}{hint}"))
}

/// Figures that have a verdict each.
fn rows(rows: &[Value]) -> (Verdict, String) {
    let beyond: Vec<&str> = rows
        .iter()
        .filter(|row| ["WARN", "FAIL"].contains(&text(row, "verdict")))
        .map(|row| text(row, "name"))
        .collect();
    match beyond.is_empty() {
        true => (Verdict::Ok, format!("{} figures, none beyond its limit", rows.len())),
        false => (Verdict::Warn, format!("beyond its limit: {}", beyond.join(", "))),
    }
}

fn judged_by_itself(answer: &Value) -> (Verdict, String) {
    match serde_json::from_value::<crate::wire::Performance>(answer.clone()) {
        Ok(performance) => {
            let trend = super::performance::compare(&performance);
            let named = |row: &super::performance::Comparison| row.name.clone();
            let beyond: Vec<_> = trend.rows.iter().filter(|row| row.verdict.is_beyond()).map(named).collect();
            match beyond.is_empty() {
                true => (Verdict::Ok, format!("{} actions, no degradation", performance.current.total_actions)),
                false => (Verdict::Warn, format!("beyond its limit: {}", beyond.join(", "))),
            }
        }
        Err(_) => unreadable(),
    }
}

fn trends(answer: &Value) -> (Verdict, String) {
    rows(list(&answer["trend"], "rows"))
}

fn capacity(answer: &Value) -> (Verdict, String) {
    rows(list(answer, "resources"))
}

fn advice(answer: &Value) -> (Verdict, String) {
    let advice = list(answer, "advice");
    let changes: Vec<&str> = advice.iter().filter_map(|one| one["command"].as_str()).collect();
    match (changes.first(), advice.first()) {
        (Some(command), _) => (Verdict::Warn, format!("a setting would help: {command}")),
        (None, Some(first)) => (Verdict::Ok, text(first, "text").to_owned()),
        (None, None) => (Verdict::Ok, "nothing to change".to_owned()),
    }
}

fn issues(answer: &Value) -> (Verdict, String) {
    let patterns = list(answer, "patterns");
    let new = patterns.iter().filter(|p| p["new"] == true).count();
    let resolved = list(answer, "resolutions").len();
    let text = format!("{} patterns, {new} new; {resolved} resolutions for the runbook", patterns.len());
    warn_if(new > 0, text)
}

/// Steps that have to be ok, all of them.
fn steps(answer: &Value) -> (Verdict, String) {
    all_ok(list(answer, "steps"), answer)
}

fn lines(answer: &Value) -> (Verdict, String) {
    all_ok(list(answer, "checks"), answer)
}

fn all_ok(lines: &[Value], answer: &Value) -> (Verdict, String) {
    match lines.iter().find(|line| line["ok"] == false) {
        Some(bad) => (Verdict::Fail, format!("{}: {}", text(bad, "name"), text(bad, "detail"))),
        None if answer["ok"] == true => (Verdict::Ok, format!("{} steps, all passed", lines.len())),
        None => (Verdict::Fail, "it did not pass".to_owned()),
    }
}

fn access(answer: &Value) -> (Verdict, String) {
    let Some(records) = answer["records"].as_u64() else { return unreadable() };
    let found = list(answer, "findings").len() + list(&answer["securityLog"], "findings").len();
    if let Some(unknown) = list(answer, "unknown").first() {
        return (Verdict::Unknown, unknown.as_str().unwrap_or_default().to_owned());
    }
    warn_if(found > 0, format!("{records} changes, {found} findings by the rules"))
}

fn findings(answer: &Value) -> (Verdict, String) {
    let found = list(answer, "findings");
    let looked = answer["checked"].as_u64().or_else(|| answer["objects"].as_u64()).unwrap_or(0);
    warn_if(!found.is_empty(), format!("{looked} looked at, {} findings", found.len()))
}

fn probes(answer: &Value) -> (Verdict, String) {
    let probes = list(answer, "probes");
    let failed: u64 = probes.iter().filter_map(|probe| probe["failed"].as_u64()).sum();
    if probes.is_empty() {
        return unreadable();
    }
    warn_if(failed > 0, format!("{} kinds of request, {failed} failed", probes.len()))
}

fn unreadable() -> (Verdict, String) {
    (Verdict::Unknown, "its answer cannot be read".to_owned())
}

/// The alert that a cadence's maintenance is.
pub fn watch(cadence: Cadence) -> Option<&'static super::alerts::Rule> {
    rule(cadence.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;
    use serde_json::json;

    use super::*;
    use crate::aliases::{self, Class};

    #[test]
    fn a_period_begins_on_its_monday() {
        // 2026-11-02 and 2026-12-07 are the first Mondays, 2026-10-05 that of the quarter.
        for (day, week, month, quarter) in [
            (date(2026, 11, 30), date(2026, 11, 30), date(2026, 11, 2), date(2026, 10, 5)),
            (date(2026, 12, 6), date(2026, 11, 30), date(2026, 11, 2), date(2026, 10, 5)),
            (date(2026, 12, 7), date(2026, 12, 7), date(2026, 12, 7), date(2026, 10, 5)),
            (date(2027, 1, 3), date(2026, 12, 28), date(2026, 12, 7), date(2026, 10, 5)),
            (date(2027, 1, 4), date(2027, 1, 4), date(2027, 1, 4), date(2027, 1, 4)),
        ] {
            assert_eq!(Cadence::ALL.map(|cadence| cadence.began(day)), [week, month, quarter], "{day}");
        }
        let mut day = date(2024, 1, 1);
        while day < date(2034, 1, 1) {
            for cadence in Cadence::ALL {
                let began = cadence.began(day);
                assert!(began <= day && began.weekday() == Weekday::Monday, "{day} {began}");
                assert_eq!(cadence.began(began), began);
            }
            day = day.tomorrow().unwrap();
        }
    }

    #[test]
    fn what_runs_by_itself_only_looks() {
        for task in TASKS {
            let Who::Program(line, _) = task.who else { continue };
            let words: Vec<&str> = line.split_whitespace().collect();
            let verb = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
            let verb = aliases::find(&verb).or_else(|| aliases::find(words[0])).unwrap_or_else(|| panic!("{line}"));
            assert!(matches!(verb.class, Class::R | Class::Rx), "{line}");
        }
        assert_eq!(TASKS.iter().map(|task| task.name).collect::<BTreeSet<_>>().len(), TASKS.len());
        assert!(Cadence::ALL.iter().all(|cadence| watch(*cadence).is_some()));
    }

    #[test]
    fn an_answer_is_judged_and_none_is_unknown() {
        let failures = task("failed-actions").unwrap();
        let fine = json!({"total": 3, "groups": [{"key": "NOT_FOUND", "new": false}]});
        assert_eq!(failures.judge(Some(0), Some(&fine), "").0, Verdict::Ok);
        let new = json!({"total": 3, "groups": [{"key": "NOT_FOUND", "new": true}]});
        assert_eq!(failures.judge(Some(0), Some(&new), "").0, Verdict::Warn);
        assert_eq!(failures.judge(Some(7), None, "nobody answers"), (Verdict::Unknown, "nobody answers".into()));
        assert_eq!(failures.judge(None, None, "").0, Verdict::Unknown);
        assert_eq!(failures.judge(Some(0), Some(&json!({})), "").0, Verdict::Unknown);
        let backup = task("backup").unwrap();
        assert_eq!(backup.judge(Some(5), None, "there is no backup"), (Verdict::Fail, "there is no backup".into()));
        let bad = json!({"ok": false, "checks": [{"name": "hash", "ok": false, "detail": "differs"}]});
        assert_eq!(backup.judge(Some(3), Some(&bad), ""), (Verdict::Fail, "hash: differs".into()));
        let odd = json!({"beyond": false, "resources": [{"name": "Disk", "verdict": "OK"}]});
        assert_eq!(task("capacity").unwrap().judge(Some(3), Some(&odd), "").0, Verdict::Warn, "its own verdict holds");
    }
}
