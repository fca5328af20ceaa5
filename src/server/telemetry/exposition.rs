//! The OpenMetrics text for scrapers: counters since the service started, and what the backend knows right now.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::wire::{ActionType, CircuitState, ErrorCode, PauseScope, Platform};

use super::records::{CallRecord, EndRecord, Gauges};

/// Upper ends of the buckets of platform calls, in seconds: a try may last from milliseconds to minutes.
const EXECUTION_BOUNDS: [f64; 11] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Upper ends of the buckets of the time in the queue, in seconds; they hold the priorities' targets and the stuck age.
const QUEUE_BOUNDS: [f64; 11] = [0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0];

/// Counters that only grow, since the service started.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    actions: BTreeMap<(Platform, ActionType), ActionTotals>,
    failures: BTreeMap<(Platform, ActionType, ErrorCode), u64>,
    requests: BTreeMap<(Platform, &'static str), u64>,
    execution: BTreeMap<Platform, Buckets>,
    queued: BTreeMap<Platform, Buckets>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ActionTotals {
    succeeded: u64,
    failed: u64,
    retries: u64,
    fell_back: u64,
}

/// A histogram of eleven bounds and what is beyond them.
#[derive(Clone, Copy, Debug, Default)]
struct Buckets {
    counts: [u64; 12],
    seconds: f64,
}

impl Buckets {
    fn add(&mut self, bounds: &[f64; 11], duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.counts[bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len())] += 1;
        self.seconds += seconds;
    }
}

impl Totals {
    pub(super) fn end(&mut self, record: &EndRecord) {
        let totals = self.actions.entry((record.platform, record.action_type)).or_default();
        totals.retries += u64::from(record.retries);
        totals.fell_back += u64::from(record.fell_back);
        match record.error {
            None => totals.succeeded += 1,
            Some(code) => {
                totals.failed += 1;
                *self.failures.entry((record.platform, record.action_type, code)).or_default() += 1;
            }
        }
        if let Some(execution) = record.execution {
            self.execution.entry(record.platform).or_default().add(&EXECUTION_BOUNDS, execution);
        }
        self.queued.entry(record.platform).or_default().add(&QUEUE_BOUNDS, record.queued);
    }

    pub(super) fn call(&mut self, record: &CallRecord) {
        let outcome = match record.error {
            None => "ok",
            Some(ErrorCode::RateLimited) => "rate_limited",
            Some(_) => "failed",
        };
        *self.requests.entry((record.platform, outcome)).or_default() += 1;
    }

    /// The whole text.
    pub(super) fn expose(&self, gauges: &Gauges, dropped_lines: u64) -> String {
        let mut page = Page::default();
        page.family("opsctl_build", "info", None, "The program that answers.");
        page.sample("opsctl_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
        self.expose_actions(&mut page);
        page.histogram("opsctl_action_execution_seconds", "Time in the platform call that ended an action.", |page| {
            self.execution
                .iter()
                .for_each(|(p, b)| page.buckets("opsctl_action_execution_seconds", *p, &EXECUTION_BOUNDS, b));
        });
        page.histogram("opsctl_action_queue_seconds", "Time an ended action spent in the queue.", |page| {
            self.queued.iter().for_each(|(p, b)| page.buckets("opsctl_action_queue_seconds", *p, &QUEUE_BOUNDS, b));
        });
        page.family("opsctl_log_lines_dropped", "counter", None, "Log lines that could not be written.");
        page.sample("opsctl_log_lines_dropped_total", &[], dropped_lines);
        expose_gauges(&mut page, gauges);
        page.text.push_str("# EOF\n");
        page.text
    }

    fn expose_actions(&self, page: &mut Page) {
        page.family("opsctl_actions", "counter", None, "Actions that ended, by result.");
        for ((platform, kind), totals) in &self.actions {
            for (result, count) in [("success", totals.succeeded), ("failed", totals.failed)] {
                let labels: [(&str, &dyn fmt::Display); 3] =
                    [("platform", platform), ("type", kind), ("result", &result)];
                page.sample("opsctl_actions_total", &labels, count);
            }
        }
        page.family("opsctl_action_failures", "counter", None, "Actions that were given up, by error code.");
        for ((platform, kind, code), count) in &self.failures {
            let labels: [(&str, &dyn fmt::Display); 3] = [("platform", platform), ("type", kind), ("code", code)];
            page.sample("opsctl_action_failures_total", &labels, *count);
        }
        page.family("opsctl_action_retries", "counter", None, "Retries that ended actions needed.");
        for ((platform, kind), totals) in &self.actions {
            page.sample("opsctl_action_retries_total", &[("platform", platform), ("type", kind)], totals.retries);
        }
        page.family("opsctl_action_fallbacks", "counter", None, "Actions done by another platform than they were for.");
        for ((platform, kind), totals) in &self.actions {
            page.sample("opsctl_action_fallbacks_total", &[("platform", platform), ("type", kind)], totals.fell_back);
        }
        page.family("opsctl_requests", "counter", None, "Requests really sent to a platform, by outcome.");
        for ((platform, outcome), count) in &self.requests {
            page.sample("opsctl_requests_total", &[("platform", platform), ("outcome", outcome)], *count);
        }
    }
}

fn expose_gauges(page: &mut Page, gauges: &Gauges) {
    page.family("opsctl_queue_depth", "gauge", None, "Actions waiting, by priority.");
    let queue = &gauges.queue;
    for (priority, depth) in
        [("critical", queue.critical), ("high", queue.high), ("normal", queue.normal), ("low", queue.low)]
    {
        page.sample("opsctl_queue_depth", &[("priority", &priority)], depth);
    }
    page.family(
        "opsctl_queue_oldest_age_seconds",
        "gauge",
        Some("seconds"),
        "Age of the oldest waiting action; 0 without one.",
    );
    page.sample("opsctl_queue_oldest_age_seconds", &[], gauges.oldest_age.unwrap_or_default().as_secs_f64());
    for (name, value, help) in [
        ("opsctl_queue_stuck", gauges.stuck, "Actions waiting longer than the stuck age."),
        ("opsctl_dead_letters", gauges.dead_letters, "Actions whose retries are exhausted."),
        ("opsctl_workers", gauges.workers, "Workers."),
        ("opsctl_workers_busy", gauges.workers_busy, "Workers that execute an action."),
    ] {
        page.family(name, "gauge", None, help);
        page.sample(name, &[], value);
    }
    page.family("opsctl_circuit_state", "gauge", None, "1 for the state each circuit is in.");
    for (platform, now) in &gauges.circuits {
        for state in CircuitState::ALL {
            let labels: [(&str, &dyn fmt::Display); 2] = [("platform", platform), ("state", state)];
            page.sample("opsctl_circuit_state", &labels, u64::from(state == now));
        }
    }
    page.family("opsctl_paused", "gauge", None, "1 while a pause of this scope is in force.");
    for scope in PauseScope::ALL {
        page.sample("opsctl_paused", &[("scope", scope)], u64::from(gauges.pauses.contains(scope)));
    }
    page.family("opsctl_rate_limit_requests", "gauge", None, "Requests in the current window of a limit.");
    for limit in &gauges.limits {
        page.sample("opsctl_rate_limit_requests", &[("platform", &limit.platform)], limit.current);
    }
    page.family("opsctl_rate_limit_capacity", "gauge", None, "Requests the window of a limit admits.");
    for limit in &gauges.limits {
        page.sample("opsctl_rate_limit_capacity", &[("platform", &limit.platform)], limit.limit);
    }
}

/// The text so far. Label values are words of ours or of the wire, none of which needs escaping.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, unit: Option<&str>, help: &str) {
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        if let Some(unit) = unit {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn fmt::Display)], value: impl fmt::Display) {
        self.text.push_str(name);
        for (i, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{value}\"", if i == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, name: &str, help: &str, samples: impl FnOnce(&mut Page)) {
        self.family(name, "histogram", Some("seconds"), help);
        samples(self);
    }

    fn buckets(&mut self, name: &str, platform: Platform, bounds: &[f64; 11], buckets: &Buckets) {
        let mut so_far = 0;
        for (i, count) in buckets.counts.iter().enumerate() {
            so_far += count;
            let end = bounds.get(i).map_or("+Inf".to_owned(), |bound| format!("{bound:?}"));
            self.sample(&format!("{name}_bucket"), &[("platform", &platform), ("le", &end)], so_far);
        }
        self.sample(&format!("{name}_count"), &[("platform", &platform)], so_far);
        self.sample(&format!("{name}_sum"), &[("platform", &platform)], buckets.seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ByPriority, Time};

    #[test]
    fn the_text_has_counters_histograms_and_an_end() {
        let mut totals = Totals::default();
        let mut record = EndRecord {
            at: Time(0),
            platform: Platform::Notion,
            action_type: ActionType::Create,
            error: None,
            retries: 2,
            fell_back: true,
            execution: Some(Duration::from_millis(250)),
            queued: Duration::from_secs(4000),
        };
        totals.end(&record);
        record.error = Some(ErrorCode::ServiceDown);
        record.execution = None;
        totals.end(&record);
        totals.call(&CallRecord { at: Time(0), platform: Platform::Slack, error: Some(ErrorCode::RateLimited) });
        let gauges = Gauges {
            queue: ByPriority { critical: 1, ..ByPriority::default() },
            circuits: vec![(Platform::Notion, CircuitState::HalfOpen)],
            pauses: vec![PauseScope::Queue],
            ..Gauges::default()
        };
        let text = totals.expose(&gauges, 3);
        for line in [
            r#"opsctl_actions_total{platform="notion",type="create",result="success"} 1"#,
            r#"opsctl_action_failures_total{platform="notion",type="create",code="SERVICE_DOWN"} 1"#,
            r#"opsctl_action_retries_total{platform="notion",type="create"} 4"#,
            r#"opsctl_requests_total{platform="slack",outcome="rate_limited"} 1"#,
            "# UNIT opsctl_action_execution_seconds seconds",
            r#"opsctl_action_execution_seconds_bucket{platform="notion",le="0.1"} 0"#,
            r#"opsctl_action_execution_seconds_bucket{platform="notion",le="0.25"} 1"#,
            r#"opsctl_action_execution_seconds_bucket{platform="notion",le="1.0"} 1"#,
            r#"opsctl_action_execution_seconds_count{platform="notion"} 1"#,
            r#"opsctl_action_execution_seconds_sum{platform="notion"} 0.25"#,
            r#"opsctl_action_queue_seconds_bucket{platform="notion",le="3600.0"} 0"#,
            r#"opsctl_action_queue_seconds_bucket{platform="notion",le="+Inf"} 2"#,
            "opsctl_log_lines_dropped_total 3",
            r#"opsctl_queue_depth{priority="critical"} 1"#,
            r#"opsctl_circuit_state{platform="notion",state="HALF_OPEN"} 1"#,
            r#"opsctl_circuit_state{platform="notion",state="OPEN"} 0"#,
            r#"opsctl_paused{scope="queue"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn every_sample_follows_the_type_of_its_family_and_no_family_comes_twice() {
        let text = Totals::default().expose(&Gauges::default(), 0);
        let mut families = Vec::new();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                families.push(family.split(' ').next().unwrap());
            } else if !line.starts_with('#') {
                assert!(line.starts_with(families.last().unwrap()), "{line}");
            }
        }
        let mut unique = families.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), families.len());
    }
}
