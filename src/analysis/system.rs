//! What is wrong with the whole, worst first, and the next command to type.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::runbook::SectionId;
use crate::runbook::trouble::Trouble;
use crate::wire::{CircuitState, ComponentState, OverallHealth, PauseScope, Severity, SystemStatus, Time};

use super::{errors, maintenance, span};

/// How long after the last one an error that passes by itself counts as going on.
const CURRENT: Duration = Duration::from_secs(300);

/// Something an operator should know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// One line.
    pub text: String,
    /// The command that tells more or mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The runbook's section about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<SectionId>,
}

impl Finding {
    /// Names the section of the runbook that deals with it.
    fn see(&mut self, trouble: Trouble) {
        self.runbook = trouble.section();
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Worst first.
    pub findings: Vec<Finding>,
    /// The one command to type next; absent when there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Findings {
    fn add(&mut self, severity: Severity, text: impl Into<String>, next: impl Into<Option<String>>) -> &mut Finding {
        self.findings.push(Finding { severity, text: text.into(), next: next.into(), runbook: None });
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }
}

/// Everything worth saying about the whole, worst first. `now` is the server's clock.
pub fn next_command(status: &SystemStatus, now: Time) -> Findings {
    let mut found = Findings::default();
    if status.locked_down {
        found
            .add(
                Severity::Error,
                "the service is locked down: nothing is taken in",
                to("opsctl security restore --verified"),
            )
            .see(Trouble::LockedDown);
    }
    for part in status.components.iter().filter(|part| part.state == ComponentState::Down) {
        let text = format!("{} is down: {}", part.component, part.detail);
        found
            .add(Severity::Error, text, format!("opsctl restart {}", part.component))
            .see(Trouble::PartDown(part.component));
    }
    pauses(status, now, &mut found);
    circuits(status, now, &mut found);
    queue(status, now, &mut found);
    host(status, &mut found);
    for setting in &status.overrides {
        let until = match setting.expires_at {
            Some(at) => format!("for another {}", span(at.since(now))),
            None => "until somebody sets it back".to_owned(),
        };
        let name = setting.setting.split('=').next().unwrap_or_default();
        let text = format!("{} is set: {}, {until}", setting.setting, setting.meaning);
        found.add(Severity::Warning, text, format!("opsctl config unset {name}"));
    }
    for part in status.components.iter().filter(|part| part.state == ComponentState::Restarting) {
        found
            .add(Severity::Warning, format!("{} is restarting: {}", part.component, part.detail), None)
            .see(Trouble::PartDown(part.component));
    }
    for error in &status.top_errors {
        let on = error.platform.map(|p| format!(" on {p}")).unwrap_or_default();
        let age = now.since(error.last_at);
        let ago = span(age);
        let text =
            format!("{} {}{on} in the last hour, the last {ago} ago: {}", error.count, error.code, error.last_message);
        if error.code.is_retriable() && age > CURRENT {
            // It went by itself: worth knowing, nothing to do. A refused key does not.
            found.add(Severity::Info, text, None).see(Trouble::Error(error.code));
        } else {
            found
                .add(Severity::Warning, text, errors::next_command(error.code, error.platform))
                .see(Trouble::Error(error.code));
        }
    }
    // After the errors that made them fail: what is driven again before those are gone fails again.
    if status.failed > 0 {
        let text = format!("{} given up after their retries", items(status.failed));
        found.add(Severity::Warning, text, to("opsctl queue failed")).see(Trouble::GivenUp);
    }
    for setting in &status.pending_settings {
        let part = setting.rsplit_once('(').and_then(|(_, part)| part.strip_suffix(')'));
        let next = part.map(|part| format!("opsctl restart {part}"));
        found.add(Severity::Info, format!("waits for a restart: {setting}"), next);
    }
    if found.findings.is_empty() && status.overall != OverallHealth::Healthy {
        let text = format!("the service calls itself {}", status.overall);
        found.add(Severity::Warning, text, to("opsctl check health --verbose"));
    }
    // Each part above is in the order it should be dealt with; the worst go first across them.
    found.findings.sort_by_key(|finding| std::cmp::Reverse(rank(finding.severity)));
    found.next = found.findings.iter().find_map(|finding| finding.next.clone());
    found
}

fn to(command: &str) -> Option<String> {
    Some(command.to_owned())
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Error => 2,
    }
}

fn pauses(status: &SystemStatus, now: Time, found: &mut Findings) {
    for pause in &status.pauses {
        let what = match pause.scope {
            PauseScope::All => "everything is paused",
            PauseScope::Queue => "the queue is paused",
        };
        let why = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!("{what} by {} for {}{why}", pause.owner, span(now.since(pause.since)));
        let next = match pause.scope {
            PauseScope::All => "opsctl resume all --slow-start",
            PauseScope::Queue => "opsctl queue resume",
        };
        found.add(Severity::Error, text, to(next)).see(Trouble::Paused);
    }
}

fn circuits(status: &SystemStatus, now: Time, found: &mut Findings) {
    for circuit in status.open_circuits.iter().map(|circuit| &circuit.status) {
        let platform = circuit.platform;
        match circuit.state {
            CircuitState::Closed => {}
            CircuitState::HalfOpen => {
                let text = format!("the {platform} circuit is HALF_OPEN and probes");
                found.add(Severity::Warning, text, format!("opsctl circuit status {platform}")).see(Trouble::Circuit);
            }
            CircuitState::Open => {
                let probe = match circuit.will_reset_at {
                    Some(at) if at > now => format!(", next probe in {}", span(at.since(now))),
                    _ => String::new(),
                };
                let text = format!("the {platform} circuit is OPEN after {} failures{probe}", circuit.failure_count);
                // The platform's errors say whether to wait for it or to mend a key.
                let code = status.top_errors.iter().find(|error| error.platform == Some(platform)).map(|e| e.code);
                let next = code.and_then(|code| errors::next_command(code, Some(platform)));
                let next = next.unwrap_or_else(|| format!("opsctl check health {platform} --external"));
                found.add(Severity::Error, text, next).see(Trouble::Circuit);
            }
        }
    }
}

fn queue(status: &SystemStatus, now: Time, found: &mut Findings) {
    let oldest = status.oldest_queued.map(|at| format!(", the oldest for {}", span(now.since(at)))).unwrap_or_default();
    if status.stuck > 0 {
        let text = format!("{} stuck in the queue{oldest}", items(status.stuck));
        found.add(Severity::Warning, text, to("opsctl queue stuck")).see(Trouble::Waiting);
    } else if status.queue.total_queued >= maintenance::QUEUE_TARGET {
        let text = format!("{} waiting{oldest}", items(status.queue.total_queued));
        found.add(Severity::Warning, text, to("opsctl queue status")).see(Trouble::Waiting);
    }
}

fn host(status: &SystemStatus, found: &mut Findings) {
    let host = &status.host;
    if let Some(used) = host.disk_used.filter(|used| *used > maintenance::DISK_WARNING) {
        let severity = if used > maintenance::DISK_FAILURE { Severity::Error } else { Severity::Warning };
        let text = format!("the disk of {} is {} full", host.hostname, super::percent(used, maintenance::DISK_WARNING));
        found.add(severity, text, None);
    }
    if let Some(used) = host.memory_used.filter(|used| *used > maintenance::MEMORY_WARNING) {
        let used = super::percent(used, maintenance::MEMORY_WARNING);
        found.add(Severity::Warning, format!("the memory of {} is {used} full", host.hostname), None);
    }
}

fn items(count: u64) -> String {
    if count == 1 { "1 item is".to_owned() } else { format!("{count} items are") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::wire::{
        ByPriority, Circuit, CircuitStatus, Component, ComponentStatus, ErrorCode, ErrorCount, HostStatus, Override,
        Pause, Platform, QueueStatus, ServiceInfo,
    };

    const NOW: Time = Time(10_000_000);

    fn well() -> SystemStatus {
        SystemStatus {
            service: ServiceInfo {
                name: "opsctl serve".into(),
                version: "0".into(),
                api_min: 1,
                api_max: 1,
                environment: "sandbox".into(),
                engine: "native".into(),
                capabilities: BTreeMap::new(),
                now: NOW,
                started_at: Time(0),
                role: None,
            },
            overall: OverallHealth::Healthy,
            pauses: Vec::new(),
            locked_down: false,
            open_circuits: Vec::new(),
            overrides: Vec::new(),
            pending_settings: Vec::new(),
            queue: QueueStatus {
                total_queued: 3,
                by_priority: ByPriority::default(),
                avg_wait_time: 0,
                worker_utilization: Some(0.0),
            },
            workers_busy: 0,
            workers: Some(5),
            oldest_queued: None,
            stuck: 0,
            failed: 0,
            top_errors: Vec::new(),
            components: vec![component(Component::Queue, ComponentState::Up)],
            host: HostStatus { hostname: "ops-1".into(), disk_used: Some(0.5), ..HostStatus::default() },
        }
    }

    fn component(component: Component, state: ComponentState) -> ComponentStatus {
        ComponentStatus { component, state, started_at: Time(0), restarts: 0, detail: "as seen".into() }
    }

    fn open(platform: Platform) -> Circuit {
        Circuit {
            status: CircuitStatus {
                platform,
                state: CircuitState::Open,
                failure_count: 7,
                last_failure: Some(NOW),
                opened_at: Some(NOW),
                will_reset_at: Some(Time(NOW.0 + 30_000)),
            },
            enabled: true,
            threshold: 5,
            window_ms: 60_000,
            open_ms: 30_000,
            probe_successes: 0,
            probes_needed: 2,
            version: 1,
        }
    }

    fn error(code: ErrorCode, platform: Platform) -> ErrorCount {
        ErrorCount { code, platform: Some(platform), count: 12, last_message: "no".into(), last_at: Time(NOW.0 - 4000) }
    }

    #[test]
    fn nothing_wrong_is_nothing_to_do() {
        assert_eq!(next_command(&well(), NOW), Findings::default());
        let found = next_command(&SystemStatus { overall: OverallHealth::Degraded, ..well() }, NOW);
        assert_eq!(found.next.as_deref(), Some("opsctl check health --verbose"), "never silent about a bad verdict");
    }

    #[test]
    fn the_worst_comes_first_and_gives_the_command() {
        let mut status = well();
        status.pending_settings = vec!["QUEUE_WORKERS 5 -> 10 (workers)".into()];
        status.failed = 1;
        let found = next_command(&status, NOW);
        let texts: Vec<_> = found.findings.iter().map(|f| f.text.as_str()).collect();
        assert_eq!(
            texts,
            ["1 item is given up after their retries", "waits for a restart: QUEUE_WORKERS 5 -> 10 (workers)"]
        );
        assert_eq!(found.findings[1].next.as_deref(), Some("opsctl restart workers"));

        status.open_circuits = vec![open(Platform::Notion)];
        assert_eq!(next_command(&status, NOW).next.as_deref(), Some("opsctl check health notion --external"));
        status.top_errors = vec![error(ErrorCode::AuthError, Platform::Notion)];
        let found = next_command(&status, NOW);
        assert_eq!(found.next.as_deref(), Some("opsctl test auth notion"), "a key is mended, not waited for");
        assert_eq!(found.findings[0].text, "the notion circuit is OPEN after 7 failures, next probe in 30s");
        assert_eq!(found.findings[1].text, "12 AUTH_ERROR on notion in the last hour, the last 4s ago: no");

        status.components = vec![component(Component::Database, ComponentState::Down)];
        assert_eq!(next_command(&status, NOW).next.as_deref(), Some("opsctl restart database"));
        status.locked_down = true;
        assert_eq!(next_command(&status, NOW).next.as_deref(), Some("opsctl security restore --verified"));
    }

    #[test]
    fn what_passed_by_itself_is_nothing_to_do() {
        let old = |code| ErrorCount { last_at: Time(NOW.0 - 301_000), ..error(code, Platform::Notion) };
        let status = SystemStatus { top_errors: vec![old(ErrorCode::ServiceDown)], ..well() };
        assert_eq!(next_command(&status, NOW).next, None);
        let status = SystemStatus { top_errors: vec![old(ErrorCode::AuthError)], ..well() };
        assert_eq!(next_command(&status, NOW).next.as_deref(), Some("opsctl test auth notion"));
    }

    #[test]
    fn a_pause_has_its_owner_and_an_override_its_end() {
        let mut status = well();
        status.pauses = vec![Pause {
            scope: PauseScope::Queue,
            owner: "ana@bastion".into(),
            reason: Some("cleaning up".into()),
            since: Time(NOW.0 - 5_400_000),
        }];
        let expires_at = Some(Time(NOW.0 + 600_000));
        let (setting, meaning) = ("NOTION_CIRCUIT_BREAKER_ENABLED=false".into(), "no breaker".into());
        status.overrides = vec![Override { setting, meaning, expires_at }];
        let found = next_command(&status, NOW);
        assert_eq!(found.findings[0].text, "the queue is paused by ana@bastion for 1h 30m: cleaning up");
        assert_eq!(found.next.as_deref(), Some("opsctl queue resume"));
        assert_eq!(found.findings[1].text, "NOTION_CIRCUIT_BREAKER_ENABLED=false is set: no breaker, for another 10m");
        assert_eq!(found.findings[1].next.as_deref(), Some("opsctl config unset NOTION_CIRCUIT_BREAKER_ENABLED"));
    }

    #[test]
    fn a_full_disk_is_worse_than_a_long_queue() {
        let mut status = well();
        status.stuck = 4;
        status.oldest_queued = Some(Time(NOW.0 - 900_000));
        status.host.disk_used = Some(0.93);
        let found = next_command(&status, NOW);
        let texts: Vec<_> = found.findings.iter().map(|f| f.text.as_str()).collect();
        assert_eq!(texts, ["the disk of ops-1 is 93.0% full", "4 items are stuck in the queue, the oldest for 15m"]);
        assert_eq!(found.next.as_deref(), Some("opsctl queue stuck"));
    }
}
