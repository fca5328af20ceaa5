//! The panels: what each shows, by which question to Prometheus, and where the runbook's thresholds lie.

use std::collections::BTreeSet;

/// A row of the dashboard: a heading of the runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What the alerts look at.
    Alerts,
    /// Issue 1.
    Queue,
    /// Issues 2 and 10.
    Circuits,
    /// Issue 5.
    Limits,
    /// Issues 6 and 7.
    Failures,
    /// Weekly tasks.
    Performance,
    /// The service itself.
    Service,
}

impl Group {
    /// The runbook's order.
    pub const ALL: [Group; 7] = [
        Group::Alerts,
        Group::Queue,
        Group::Circuits,
        Group::Limits,
        Group::Failures,
        Group::Performance,
        Group::Service,
    ];

    /// The row's title.
    pub const fn title(self) -> &'static str {
        match self {
            Group::Alerts => "Monitoring and alerts",
            Group::Queue => "Issue 1: actions stuck in queue",
            Group::Circuits => "Issues 2 and 10: circuit breakers",
            Group::Limits => "Issue 5: rate limits",
            Group::Failures => "Issues 6 and 7: failures and executors",
            Group::Performance => "Performance review",
            Group::Service => "The orchestrator itself",
        }
    }
}

/// How a panel is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One large number.
    Stat,
    /// Lines over time.
    Lines,
    /// States over time.
    States,
}

/// What the numbers are, in Grafana's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count.
    Count,
    /// 0 to 1.
    Share,
    /// Seconds.
    Seconds,
    /// A second.
    PerSecond,
}

/// One panel.
#[derive(Debug)]
pub struct Panel {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its row.
    pub group: Group,
    /// Its title.
    pub title: &'static str,
    /// What to read from it.
    pub about: &'static str,
    /// How it is drawn.
    pub kind: Kind,
    /// What its numbers are.
    pub unit: Unit,
    /// Questions to Prometheus, each with the legend of its lines.
    pub queries: &'static [(&'static str, &'static str)],
    /// From where it is yellow, and from where red; falling where the second is the lower one.
    pub bad_from: Option<(f64, f64)>,
    /// Whether it is there unless somebody leaves it out.
    pub standard: bool,
}

impl Panel {
    /// The families its questions are about.
    pub fn families(&self) -> BTreeSet<&'static str> {
        let words = self.queries.iter().flat_map(|(query, _)| {
            query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("opsctl_"))
        });
        words.map(family).collect()
    }
}

/// The family of a sample: a counter's without `_total`, a histogram's without `_bucket`.
fn family(sample: &'static str) -> &'static str {
    ["_total", "_bucket", "_count", "_sum", "_info"].iter().find_map(|end| sample.strip_suffix(end)).unwrap_or(sample)
}

const fn panel(name: &'static str, group: Group, title: &'static str, about: &'static str) -> Panel {
    Panel {
        name,
        group,
        title,
        about,
        kind: Kind::Lines,
        unit: Unit::Count,
        queries: &[],
        bad_from: None,
        standard: true,
    }
}

impl Panel {
    const fn drawn(mut self, kind: Kind, unit: Unit) -> Self {
        self.kind = kind;
        self.unit = unit;
        self
    }

    const fn asks(mut self, queries: &'static [(&'static str, &'static str)]) -> Self {
        self.queries = queries;
        self
    }

    const fn bad_from(mut self, yellow: f64, red: f64) -> Self {
        self.bad_from = Some((yellow, red));
        self
    }

    const fn on_demand(mut self) -> Self {
        self.standard = false;
        self
    }
}

/// All of them, in the runbook's order. Thresholds are those of its alert tables.
pub const PANELS: &[Panel] = &[
    panel("success-rate", Group::Alerts, "Success rate", "Under 90% for 15 minutes: look at circuits and errors.")
        .drawn(Kind::Stat, Unit::Share)
        .asks(&[(
            r#"sum(rate(opsctl_actions_total{result="success"}[5m])) / sum(rate(opsctl_actions_total[5m]))"#,
            "success",
        )])
        .bad_from(0.95, 0.9),
    panel("retry-rate", Group::Alerts, "Retries for each action", "Over 30% for an hour: a platform has trouble.")
        .drawn(Kind::Stat, Unit::Share)
        .asks(&[("sum(rate(opsctl_action_retries_total[5m])) / sum(rate(opsctl_actions_total[5m]))", "retries")])
        .bad_from(0.2, 0.3),
    panel("fallback-rate", Group::Alerts, "Done by a stand-in", "Over 20% for an hour: look at the primary platform.")
        .drawn(Kind::Stat, Unit::Share)
        .asks(&[("sum(rate(opsctl_action_fallbacks_total[5m])) / sum(rate(opsctl_actions_total[5m]))", "fallbacks")])
        .bad_from(0.1, 0.2),
    panel("latency-p95", Group::Alerts, "P95 of a platform call", "Over 5 s for 30 minutes: look at the platform.")
        .drawn(Kind::Stat, Unit::Seconds)
        .asks(&[("histogram_quantile(0.95, sum by (le) (rate(opsctl_action_execution_seconds_bucket[5m])))", "P95")])
        .bad_from(2.5, 5.0),
    panel("queue-depth", Group::Queue, "Queue depth", "Over 50, 100, 200: opsctl queue status, then issue 1.")
        .asks(&[("sum by (priority) (opsctl_queue_depth)", "{{priority}}")])
        .bad_from(50.0, 100.0),
    panel("queue-age", Group::Queue, "Age of the oldest", "Over 10 minutes it is stuck: opsctl queue stuck.")
        .drawn(Kind::Lines, Unit::Seconds)
        .asks(&[("max(opsctl_queue_oldest_age_seconds)", "oldest")])
        .bad_from(300.0, 600.0),
    panel("queue-stuck", Group::Queue, "Stuck, and given up", "What was given up: opsctl queue failed.")
        .asks(&[("sum(opsctl_queue_stuck)", "stuck"), ("sum(opsctl_dead_letters)", "given up")]),
    panel("workers", Group::Queue, "Workers that are busy", "All busy and a growing queue: more QUEUE_WORKERS.")
        .drawn(Kind::Lines, Unit::Share)
        .asks(&[("sum(opsctl_workers_busy) / sum(opsctl_workers)", "busy")])
        .bad_from(0.8, 0.95),
    panel("paused", Group::Queue, "Pauses", "1 while somebody stopped the work: opsctl system status says who.")
        .drawn(Kind::States, Unit::Count)
        .asks(&[("max by (scope) (opsctl_paused)", "{{scope}}")])
        .bad_from(1.0, 1.0),
    panel("circuits", Group::Circuits, "Open circuits", "Open for 5 minutes: opsctl check health PLATFORM --external.")
        .drawn(Kind::States, Unit::Count)
        .asks(&[(r#"max by (platform) (opsctl_circuit_state{state="OPEN"})"#, "{{platform}}")])
        .bad_from(1.0, 1.0),
    panel("probing", Group::Circuits, "Circuits that probe", "On their way back; a failed probe opens them again.")
        .drawn(Kind::States, Unit::Count)
        .asks(&[(r#"max by (platform) (opsctl_circuit_state{state="HALF_OPEN"})"#, "{{platform}}")])
        .on_demand(),
    panel("rate-limits", Group::Limits, "Use of the limits", "Over 80%: opsctl rate-limits status, then issue 5.")
        .drawn(Kind::Lines, Unit::Share)
        .asks(&[(
            "max by (platform) (opsctl_rate_limit_requests) / max by (platform) (opsctl_rate_limit_capacity)",
            "{{platform}}",
        )])
        .bad_from(0.8, 1.0),
    panel("refused", Group::Limits, "Requests refused with 429", "opsctl analyze rate-limits --since 7d.")
        .drawn(Kind::Lines, Unit::PerSecond)
        .asks(&[(r#"sum by (platform) (rate(opsctl_requests_total{outcome="rate_limited"}[5m]))"#, "{{platform}}")]),
    panel("failures", Group::Failures, "Failures by cause", "AUTH_ERROR: issue 6. SERVICE_DOWN: issue 10.")
        .asks(&[("sum by (code) (increase(opsctl_action_failures_total[5m]))", "{{code}}")]),
    panel(
        "failures-by-platform",
        Group::Failures,
        "Failures by platform",
        "One platform alone: opsctl executor status.",
    )
    .asks(&[("sum by (platform) (increase(opsctl_action_failures_total[5m]))", "{{platform}}")]),
    panel("throughput", Group::Performance, "Actions", "What ended, by platform.")
        .drawn(Kind::Lines, Unit::PerSecond)
        .asks(&[("sum by (platform) (rate(opsctl_actions_total[5m]))", "{{platform}}")]),
    panel("latency", Group::Performance, "P95 by platform", "Time in the platform call that ended an action.")
        .drawn(Kind::Lines, Unit::Seconds)
        .asks(&[(
            "histogram_quantile(0.95, sum by (le, platform) (rate(opsctl_action_execution_seconds_bucket[5m])))",
            "{{platform}}",
        )])
        .bad_from(2.5, 5.0),
    panel("queue-wait", Group::Performance, "P95 of the time in the queue", "Over 30 s in the weekly review.")
        .drawn(Kind::Lines, Unit::Seconds)
        .asks(&[("histogram_quantile(0.95, sum by (le) (rate(opsctl_action_queue_seconds_bucket[5m])))", "P95")])
        .bad_from(15.0, 30.0),
    panel("by-type", Group::Performance, "Actions by type", "What kind of work ended.")
        .drawn(Kind::Lines, Unit::PerSecond)
        .asks(&[("sum by (type) (rate(opsctl_actions_total[5m]))", "{{type}}")])
        .on_demand(),
    panel("requests", Group::Performance, "Requests sent", "Retries and probes included, by outcome.")
        .drawn(Kind::Lines, Unit::PerSecond)
        .asks(&[("sum by (outcome) (rate(opsctl_requests_total[5m]))", "{{outcome}}")])
        .on_demand(),
    panel("dropped-lines", Group::Service, "Log lines that were not written", "Above zero: look at the disk.")
        .asks(&[("sum(increase(opsctl_log_lines_dropped_total[5m]))", "lines")]),
    panel("version", Group::Service, "Version", "The program that answers.")
        .drawn(Kind::Stat, Unit::Count)
        .asks(&[("sum by (version) (opsctl_build_info)", "{{version}}")])
        .on_demand(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_rows_are_in_the_runbooks_order() {
        let mut names: Vec<&str> = PANELS.iter().map(|panel| panel.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PANELS.len());
        assert!(PANELS.is_sorted_by_key(|panel| panel.group));
        assert!(Group::ALL.iter().all(|group| PANELS.iter().any(|panel| panel.group == *group)));
        for panel in PANELS {
            assert!(!panel.families().is_empty() && panel.about.ends_with('.'), "{}", panel.name);
        }
    }

    #[test]
    fn the_family_of_a_question() {
        let p95 = PANELS.iter().find(|panel| panel.name == "latency-p95").unwrap();
        assert_eq!(p95.families(), BTreeSet::from(["opsctl_action_execution_seconds"]));
        let limits = PANELS.iter().find(|panel| panel.name == "rate-limits").unwrap();
        assert_eq!(limits.families(), BTreeSet::from(["opsctl_rate_limit_capacity", "opsctl_rate_limit_requests"]));
    }
}
