//! Health and the one screen about everything, from SQL and what services keep by contract.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::admin::{Repeat, refused};
use super::contract::{self, ALL, CIRCUIT, GATE, RATE_LIMIT};
use super::invocation::{REMOVED, failure};
use super::queue::{actions, moment};
use super::{RestateBackend, unsupported};
use crate::http::Method;
use crate::server::backend::{Answer, ChangeContext, Refusal, ServiceOps};
use crate::server::host;
use crate::wire::*;

/// The window of rates and of the most frequent errors.
const WINDOW: Duration = Duration::from_secs(3600);
/// Error rate above which a platform is degraded, and how many have to have ended for it to say anything.
const RATE_LIMIT_AND_SAMPLE: (f64, u64) = (0.05, 20);
/// Platforms that have to be down for the whole to be critical.
const CRITICAL_DOWN: usize = 3;
/// Most frequent errors that are shown.
const ERRORS: usize = 3;

/// What became of a platform's actions within the window.
#[derive(Debug, Deserialize)]
struct Ended {
    target_service_name: String,
    n: u64,
    failed: u64,
    /// Mean of running, waits inside the handler included, in seconds.
    #[serde(default)]
    took: Option<f64>,
    #[serde(default)]
    last_success: Option<Time>,
}

/// Failures of one kind.
#[derive(Debug, Deserialize)]
struct Failures {
    target_service_name: String,
    words: String,
    n: u64,
    last: Time,
}

impl RestateBackend {
    async fn ended(&self) -> Result<Vec<Ended>, Refusal> {
        let since = moment(self.now().minus(WINDOW));
        let sql = format!(
            "select target_service_name, count(*) as n, count(completion_failure) as failed, \
             avg(to_unixtime(completed_at) - to_unixtime(running_at)) as took, \
             max(case when completion_failure is null then completed_at end) as last_success \
             from sys_invocation where {} and status = 'completed' and completed_at >= {since} \
             group by target_service_name",
            actions()
        );
        self.rows(&sql).await
    }

    /// Failures of the window, and of what is being tried again now, the most frequent first.
    async fn failures(&self) -> Result<Vec<ErrorCount>, Refusal> {
        let since = moment(self.now().minus(WINDOW));
        let sql = format!(
            "select target_service_name, split_part(coalesce(completion_failure, last_failure), chr(10), 1) as words, \
             count(*) as n, max(coalesce(completed_at, last_start_at, modified_at)) as last from sys_invocation \
             where {} and coalesce(completion_failure, last_failure) is not null \
             and coalesce(completed_at, last_start_at, modified_at) >= {since} \
             and not ({REMOVED}) \
             group by target_service_name, words",
            actions()
        );
        let mut counts: BTreeMap<(ErrorCode, Option<Platform>), ErrorCount> = BTreeMap::new();
        for row in self.rows::<Failures>(&sql).await? {
            let error = failure(&row.words);
            let platform = contract::platform_of(&row.target_service_name);
            let entry = counts.entry((error.code, platform)).or_insert_with(|| ErrorCount {
                code: error.code,
                platform,
                count: 0,
                last_message: String::new(),
                last_at: Time::default(),
            });
            entry.count += row.n;
            if row.last >= entry.last_at {
                (entry.last_at, entry.last_message) = (row.last, error.message);
            }
        }
        let mut counts: Vec<ErrorCount> = counts.into_values().collect();
        counts.sort_by_key(|error| std::cmp::Reverse(error.count));
        Ok(counts)
    }

    /// Circuits and limits where something keeps them.
    async fn kept(&self) -> Result<(Vec<Circuit>, Vec<RateLimitStatus>), Refusal> {
        let seen = self.known().seen;
        let circuits = if seen.has(CIRCUIT) { self.circuits_now().await? } else { Vec::new() };
        let limits = if seen.has(RATE_LIMIT) { self.limits_now().await? } else { Vec::new() };
        Ok((circuits, limits))
    }

    async fn report(&self) -> Result<HealthReport, Refusal> {
        let counts = self.counts().await?;
        let ended = self.ended().await?;
        let failures = self.failures().await?;
        let (circuits, limits) = self.kept().await?;
        let gates = self.admin.states(GATE, None).await?;
        let executors: BTreeMap<Platform, ExecutorHealthReport> = self
            .known()
            .seen
            .platforms()
            .into_iter()
            .map(|platform| {
                let own = ended.iter().find(|row| row.target_service_name == contract::service_of(platform));
                let (n, failed) = own.map_or((0, 0), |row| (row.n, row.failed));
                let circuit =
                    circuits.iter().map(|circuit| &circuit.status).find(|circuit| circuit.platform == platform);
                let limit = limits.iter().find(|limit| limit.platform == platform);
                let unreachable = failures
                    .iter()
                    .find(|error| error.platform == Some(platform) && error.code == ErrorCode::NetworkError)
                    .map(|error| error.last_message.clone());
                let gate = gates.iter().find(|(key, state)| {
                    key == platform.as_str() && state.0.get("paused").and_then(serde_json::Value::as_bool) == Some(true)
                });
                let rate = (n > 0).then(|| failed as f64 / n as f64);
                let (status, reason) =
                    verdict(circuit.map(|circuit| circuit.state), unreachable, gate.is_some(), rate, n);
                let report = ExecutorHealthReport {
                    status,
                    circuit_breaker: CircuitHealth {
                        state: circuit.map_or(CircuitState::Closed, |circuit| circuit.state),
                        failure_count: circuit.map_or(0, |circuit| circuit.failure_count),
                        last_failure: circuit.and_then(|circuit| circuit.last_failure),
                    },
                    rate_limit: limit.map(|limit| LimitHealth {
                        current: limit.current,
                        limit: limit.limit,
                        reset_at: limit.reset_at,
                    }),
                    last_success: own.and_then(|row| row.last_success),
                    avg_response_time: own.and_then(|row| row.took).map_or(0, |took| (took * 1000.0) as u64),
                    error_rate: rate,
                    sample: n,
                    reason,
                };
                (platform, report)
            })
            .collect();
        let down = executors.values().filter(|report| report.status == ExecutorHealth::Down).count();
        let overall = match down {
            CRITICAL_DOWN.. => OverallHealth::Critical,
            1.. => OverallHealth::Degraded,
            // With nothing registered nothing is executed.
            0 if executors.is_empty() => OverallHealth::Degraded,
            0 => OverallHealth::Healthy,
        };
        let queue = QueueHealth { depth: counts.total, oldest_action: counts.oldest, worker_utilization: None };
        Ok(HealthReport { overall, executors, queue })
    }

    async fn screen(&self, service: ServiceInfo) -> Result<SystemStatus, Refusal> {
        let health = self.report().await?;
        let counts = self.counts().await?;
        let filter = |view| QueueFilter { view, platform: None, since: None, older_than: None, limit: None };
        let stuck = self.count_of(&filter(QueueView::Stuck)).await?;
        let failed = self.count_of(&filter(QueueView::Failed)).await?;
        let (circuits, _) = self.kept().await?;
        let mut top_errors = self.failures().await?;
        top_errors.truncate(ERRORS);
        Ok(SystemStatus {
            service,
            overall: health.overall,
            pauses: self.gate_pauses().await?,
            // The edge knows.
            locked_down: false,
            open_circuits: circuits.into_iter().filter(|c| c.status.state != CircuitState::Closed).collect(),
            overrides: Vec::new(),
            pending_settings: Vec::new(),
            queue: QueueStatus {
                total_queued: counts.total,
                by_priority: ByPriority { normal: counts.total, ..ByPriority::default() },
                avg_wait_time: counts.mean_age_ms,
                worker_utilization: None,
            },
            workers_busy: counts.running,
            workers: None,
            oldest_queued: counts.oldest,
            stuck,
            failed,
            top_errors,
            components: vec![self.store_part()],
            host: host::status(&self.data_dir),
        })
    }

    /// Restate itself, as the part that keeps the work.
    fn store_part(&self) -> ComponentStatus {
        let known = self.known();
        let (state, detail) = match &known.lost {
            None => (ComponentState::Up, format!("Restate {} at {}", known.seen.version, known.seen.address)),
            Some(refusal) => (ComponentState::Down, refusal.message.clone()),
        };
        ComponentStatus { component: Component::Database, state, started_at: self.started_at, restarts: 0, detail }
    }

    /// What `db check` looks at.
    async fn look_closely(&self) -> ComponentCheck {
        let mut checks = Vec::new();
        let mut line = |name: &str, from: Instant, seen: Result<String, Refusal>| {
            let (ok, detail) = match seen {
                Ok(detail) => (true, detail),
                Err(refusal) => (false, refusal.message),
            };
            checks.push(CheckLine { name: name.into(), ok, detail, took_ms: from.elapsed().as_secs_f64() * 1000.0 });
        };
        let from = Instant::now();
        let version = self.admin.version().await;
        line(
            "version",
            from,
            version.map(|v| format!("Restate {} at {}", v.version, super::admin::plain(self.admin.address()))),
        );
        let from = Instant::now();
        let health = self.admin.change(Method::GET, "cluster-health", None, Repeat::Safe).await;
        line(
            "cluster",
            from,
            health.and_then(|reply| match reply.is_success() {
                true => Ok("the cluster calls itself healthy".into()),
                false => Err(refused(&reply, "GET /cluster-health")),
            }),
        );
        let from = Instant::now();
        line("query", from, self.counts().await.map(|c| format!("{} wait, {} are executed", c.total, c.running)));
        let from = Instant::now();
        let gate = self.admin.state(GATE, ALL).await.map(|_| "readable without workers".into());
        line("state", from, gate);
        ComponentCheck { component: Component::Database, ok: checks.iter().all(|check| check.ok), checks }
    }
}

/// A platform's verdict and why it is not healthy.
fn verdict(
    circuit: Option<CircuitState>,
    unreachable: Option<String>,
    held: bool,
    rate: Option<f64>,
    sample: u64,
) -> (ExecutorHealth, Option<String>) {
    if let Some(words) = unreachable {
        return (ExecutorHealth::Down, Some(format!("its service cannot be reached: {words}")));
    }
    match (circuit, rate) {
        (Some(CircuitState::Open), _) => (ExecutorHealth::Down, Some("its circuit is OPEN".into())),
        (Some(CircuitState::HalfOpen), _) => (ExecutorHealth::Degraded, Some("its circuit is HALF_OPEN".into())),
        _ if held => (ExecutorHealth::Degraded, Some("its gate is closed".into())),
        (_, Some(rate)) if rate > RATE_LIMIT_AND_SAMPLE.0 && sample >= RATE_LIMIT_AND_SAMPLE.1 => {
            let words = format!("{:.1}% of {sample} actions failed in the last hour", rate * 100.0);
            (ExecutorHealth::Degraded, Some(words))
        }
        (None, _) => (ExecutorHealth::Healthy, Some("nothing keeps its circuit".into())),
        _ => (ExecutorHealth::Healthy, None),
    }
}

fn cannot<'a, T: Send + 'a>(why: &str) -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(unsupported(why))))
}

impl ServiceOps for RestateBackend {
    fn health(&self) -> Answer<'_, HealthReport> {
        Box::pin(self.report())
    }

    fn system(&self, service: ServiceInfo) -> Answer<'_, SystemStatus> {
        Box::pin(self.screen(service))
    }

    fn host(&self) -> Answer<'_, HostStatus> {
        Box::pin(std::future::ready(Ok(host::status(&self.data_dir))))
    }

    fn executors(&self) -> Answer<'_, Vec<ExecutorStatus>> {
        cannot("executors on Restate are the cluster's deployments: `restate deployments list` shows them")
    }

    fn components(&self) -> Answer<'_, Vec<ComponentStatus>> {
        Box::pin(std::future::ready(Ok(vec![self.store_part()])))
    }

    fn check(&self, component: Component) -> Answer<'_, ComponentCheck> {
        match component {
            Component::Database => Box::pin(async move { Ok(self.look_closely().await) }),
            _ => cannot("on Restate only `database` can be looked at: the rest is inside the cluster and its services"),
        }
    }

    fn restart<'a>(
        &'a self,
        _component: Component,
        _platform: Option<Platform>,
        _drain: Duration,
        _cx: &'a ChangeContext,
    ) -> Answer<'a, RestartAnswer> {
        cannot("nothing of a Restate cluster is restarted from here: restart its nodes and services where they run")
    }

    fn auth(&self, _platform: Platform) -> Answer<'_, AuthStatus> {
        cannot("the platforms' credentials are the services' on Restate: test them there")
    }

    fn clear_caches<'a>(&'a self, _cx: &'a ChangeContext) -> Answer<'a, CacheCleared> {
        cannot("services on Restate keep their own caches")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_why() {
        let of = |circuit, unreachable: Option<&str>, rate, sample| {
            verdict(circuit, unreachable.map(str::to_owned), false, rate, sample)
        };
        assert_eq!(of(Some(CircuitState::Closed), None, Some(0.01), 100), (ExecutorHealth::Healthy, None));
        assert_eq!(of(Some(CircuitState::Open), None, None, 0).0, ExecutorHealth::Down);
        assert_eq!(of(Some(CircuitState::Closed), Some("Connection refused"), None, 0).0, ExecutorHealth::Down);
        assert_eq!(of(Some(CircuitState::Closed), None, Some(0.5), 19).0, ExecutorHealth::Healthy);
        assert_eq!(of(Some(CircuitState::Closed), None, Some(0.5), 20).0, ExecutorHealth::Degraded);
        assert!(of(None, None, None, 0).1.is_some(), "what is not watched is said");
    }
}
