//! Health of the whole and of each executor.

use std::collections::BTreeMap;
use std::time::Duration;

use super::runtime::Runtime;
use crate::server::backend::Refusal;
use crate::server::telemetry::Gauges;
use crate::wire::{
    CircuitHealth, CircuitState, Component, ComponentState, ExecutorHealth, ExecutorHealthReport, ExecutorState,
    ExecutorStatus, HealthReport, LimitHealth, OverallHealth, Platform, QueueHealth, QueueStatus,
};

/// Waiting longer than this is stuck.
pub(super) const STUCK_AGE: Duration = Duration::from_secs(600);
/// The window of an executor's error rate.
const RATE_WINDOW: Duration = Duration::from_secs(3600);
/// Error rate above which an executor is degraded.
const RATE_LIMIT: f64 = 0.05;
/// Ended actions below which a rate says nothing.
const RATE_SAMPLE: u64 = 20;
/// Failed over ended actions and how many ended, by platform.
pub(super) type Rates = BTreeMap<Platform, (f64, u64)>;
/// Executors that have to be down for the whole to be critical.
const CRITICAL_DOWN: usize = 3;

impl Runtime {
    /// The last hour's error rates with their samples. Reads the disk.
    pub(super) async fn error_rates(&self) -> Result<Rates, Refusal> {
        self.blocking(|telemetry| Ok(telemetry.error_rates(RATE_WINDOW))).await
    }

    pub(super) fn health_report(&self, rates: &Rates) -> HealthReport {
        let executors: BTreeMap<_, _> =
            Platform::ALL.iter().map(|platform| (*platform, self.executor_health(*platform, rates))).collect();
        let verdicts: Vec<ExecutorHealth> = executors.values().map(|report| report.status).collect();
        let overall = overall(&verdicts, self.component(Component::Database).state == ComponentState::Down);
        let core = self.core();
        let queue = QueueHealth {
            depth: core.queue.len(),
            oldest_action: core.queue.oldest(),
            worker_utilization: Some(core.utilization()),
        };
        HealthReport { overall, executors, queue }
    }

    fn executor_health(&self, platform: Platform, rates: &Rates) -> ExecutorHealthReport {
        let now = self.now();
        let rate = rates.get(&platform).copied();
        let core = self.core();
        let post = core.post(platform);
        let (circuit, limit) = (post.circuit.status(now), post.limiter.status(now));
        let (status, reason) =
            verdict(post.executor.state(now), circuit.state, post.executor.auth.refusal.as_deref(), rate);
        ExecutorHealthReport {
            status,
            circuit_breaker: CircuitHealth {
                state: circuit.state,
                failure_count: circuit.failure_count,
                last_failure: circuit.last_failure,
            },
            rate_limit: Some(LimitHealth { current: limit.current, limit: limit.limit, reset_at: limit.reset_at }),
            last_success: post.executor.last_success,
            avg_response_time: post.executor.avg_response_ms(),
            error_rate: rate.map(|(rate, _)| rate),
            sample: rate.map_or(0, |(_, sample)| sample),
            reason,
        }
    }

    pub(super) fn executor_status(&self, platform: Platform, rates: &Rates) -> ExecutorStatus {
        let health = self.executor_health(platform, rates).status;
        let now = self.now();
        let core = self.core();
        let post = core.post(platform);
        let executor = &post.executor;
        ExecutorStatus {
            platform,
            state: executor.state(now),
            health,
            in_flight: executor.in_flight,
            started_at: executor.started_at,
            crashes: executor.crashes,
            restarts: executor.restarts,
            circuit: post.circuit.state(now),
            last_success: executor.last_success,
            last_error: executor.last_error.as_ref().map(|(_, text)| text.clone()),
            last_error_at: executor.last_error.as_ref().map(|(at, _)| *at),
            avg_response_time: executor.avg_response_ms(),
        }
    }

    /// The runbook's counts, from memory.
    pub(super) fn queue_status(&self) -> QueueStatus {
        let now = self.now();
        let core = self.core();
        QueueStatus {
            total_queued: core.queue.len(),
            by_priority: core.queue.by_priority(),
            avg_wait_time: core.queue.mean_age_ms(now),
            worker_utilization: Some(core.utilization()),
        }
    }

    /// What a scrape wants to know of this moment.
    pub(super) fn gauges(&self, dead_letters: u64) -> Gauges {
        let now = self.now();
        let core = self.core();
        Gauges {
            queue: core.queue.by_priority(),
            oldest_age: core.queue.oldest().map(|at| now.since(at)),
            stuck: core.queue.waiting_since_before(now.minus(STUCK_AGE)).count() as u64,
            dead_letters,
            workers: core.settings.queue_workers as u64,
            workers_busy: core.busy as u64,
            circuits: Platform::ALL.iter().map(|p| (*p, core.post(*p).circuit.state(now))).collect(),
            pauses: core.pauses.iter().map(|pause| pause.scope).collect(),
            limits: core.posts.iter().map(|post| post.limiter.status(now)).collect(),
        }
    }
}

/// An executor's verdict and why it is not healthy.
fn verdict(
    state: ExecutorState,
    circuit: CircuitState,
    auth: Option<&str>,
    rate: Option<(f64, u64)>,
) -> (ExecutorHealth, Option<String>) {
    let down = match (state, circuit, auth) {
        (ExecutorState::Restarting, ..) => Some("it crashed and restarts".to_owned()),
        (_, CircuitState::Open, _) => Some("its circuit is OPEN".to_owned()),
        (ExecutorState::Unconfigured, ..) => None,
        (.., Some(refusal)) => Some(format!("authentication failed: {refusal}")),
        _ => None,
    };
    if down.is_some() {
        return (ExecutorHealth::Down, down);
    }
    // A team may not use all five platforms.
    if state == ExecutorState::Unconfigured {
        return (ExecutorHealth::Degraded, Some("no credential is configured: its actions wait".into()));
    }
    if circuit == CircuitState::HalfOpen {
        return (ExecutorHealth::Degraded, Some("its circuit is HALF_OPEN".into()));
    }
    match rate {
        Some((rate, sample)) if rate > RATE_LIMIT && sample >= RATE_SAMPLE => {
            let words = format!("{:.1}% of {sample} actions failed in the last hour", rate * 100.0);
            (ExecutorHealth::Degraded, Some(words))
        }
        _ => (ExecutorHealth::Healthy, None),
    }
}

fn overall(executors: &[ExecutorHealth], database_down: bool) -> OverallHealth {
    let down = executors.iter().filter(|health| **health == ExecutorHealth::Down).count();
    match down {
        _ if database_down => OverallHealth::Critical,
        CRITICAL_DOWN.. => OverallHealth::Critical,
        1.. => OverallHealth::Degraded,
        0 => OverallHealth::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExecutorHealth::{Degraded, Down, Healthy};

    #[test]
    fn three_down_or_no_store_is_critical() {
        assert_eq!(overall(&[Healthy; 5], false), OverallHealth::Healthy);
        assert_eq!(overall(&[Degraded, Healthy, Healthy, Healthy, Healthy], false), OverallHealth::Healthy);
        assert_eq!(overall(&[Down, Down, Healthy, Healthy, Healthy], false), OverallHealth::Degraded);
        assert_eq!(overall(&[Down, Down, Down, Healthy, Healthy], false), OverallHealth::Critical);
        assert_eq!(overall(&[Healthy; 5], true), OverallHealth::Critical);
    }

    #[test]
    fn a_rate_needs_a_sample() {
        let health = |rate| verdict(ExecutorState::Running, CircuitState::Closed, None, rate).0;
        assert_eq!(health(Some((0.5, 19))), Healthy);
        assert_eq!(health(Some((0.06, 20))), Degraded);
        assert_eq!(health(Some((0.05, 100))), Healthy);
        assert_eq!(verdict(ExecutorState::Running, CircuitState::HalfOpen, None, None).0, Degraded);
        assert_eq!(verdict(ExecutorState::Running, CircuitState::Open, None, None).0, Down);
        let unused =
            verdict(ExecutorState::Unconfigured, CircuitState::Closed, Some("NOTION_API_KEY is not set"), None);
        assert_eq!(unused.0, Degraded);
        let refused = verdict(ExecutorState::Running, CircuitState::Closed, Some("Invalid API key"), None);
        assert_eq!(refused, (Down, Some("authentication failed: Invalid API key".into())));
    }
}
