//! A backend in memory: enough state to see what the routes do with it, every field filled.

mod decisions;
mod workflows;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::server::backend::*;
use crate::server::config::ConfigRegistry;
use crate::server::jobs::Progress;
use crate::wire::*;

/// What the routes handed on, by name.
#[derive(Default)]
pub struct Seen {
    /// Submissions, as their ids.
    pub submitted: Vec<Option<String>>,
    /// Filters of listings.
    pub items: Vec<QueueFilter>,
    /// Filters of actions.
    pub actions: Vec<ActionFilter>,
    /// Filters of errors.
    pub errors: Vec<ErrorFilter>,
    /// Workflows submitted.
    pub workflows: Vec<WorkflowRequest>,
    /// Filters of workflows.
    pub workflow_filters: Vec<WorkflowFilter>,
    /// Filters of the execution log.
    pub events: Vec<EventFilter>,
    /// Rollbacks begun.
    pub rollbacks: Vec<RollbackMode>,
    /// Contexts of changes.
    pub contexts: Vec<ChangeContext>,
    /// Drains of restarts.
    pub drains: Vec<(Component, Option<Platform>, Duration)>,
}

/// The backend. `config` is the real registry.
pub struct Fake {
    /// What it was asked.
    pub seen: Mutex<Seen>,
    /// Settings.
    pub config: Arc<ConfigRegistry>,
    /// Whether the optional groups are absent.
    pub bare: bool,
    clock: Clock,
}

impl Fake {
    /// A backend over a registry.
    pub fn new(config: Arc<ConfigRegistry>, clock: Clock, bare: bool) -> Self {
        Fake { seen: Mutex::default(), config, bare, clock }
    }

    fn note(&self, cx: &ChangeContext) {
        self.seen.lock().unwrap().contexts.push(cx.clone());
    }

    fn now(&self) -> Time {
        self.clock.now()
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(async move { Ok(value) })
}

fn refuse<'a, T: Send + 'a>(refusal: Refusal) -> Answer<'a, T> {
    Box::pin(async move { Err(refusal) })
}

fn done(effect: EffectKind) -> ChangeAnswer {
    let items = vec![ItemEffect { id: "a-1".into(), effect, detail: Some("was queued".into()) }];
    ChangeAnswer { effect, message: "done".into(), items, audit_id: None }
}

fn action_error() -> ActionError {
    ActionError {
        code: ErrorCode::ServiceDown,
        message: "service unavailable".into(),
        http_status: Some(503),
        request_id: Some("7f3a".into()),
    }
}

fn record(id: &str, now: Time) -> ActionRecord {
    ActionRecord {
        id: id.into(),
        action_type: ActionType::Create,
        platform: Platform::Notion,
        priority: Priority::Normal,
        status: ActionStatus::Failed,
        result: Some(serde_json::json!({"pageId": "p-1"})),
        error: Some(action_error()),
        execution_time: Some(231),
        queue_time: Some(15),
        retries: 3,
        timestamp: now,
        queued_at: now,
        next_attempt_at: Some(now),
        fallback_platform: Some(Platform::Trello),
        correlation_id: Some("sig-88".into()),
        user_id: Some("user-123".into()),
        source: Some("member-2".into()),
        tags: vec!["invoice".into()],
        version: 4,
    }
}

fn item(id: &str, now: Time) -> QueueItem {
    QueueItem {
        action_id: id.into(),
        action_type: ActionType::Create,
        platform: Platform::Notion,
        priority: Priority::High,
        state: QueueView::Queued,
        queued_at: now,
        attempts: 1,
        next_attempt_at: Some(now),
        last_error: Some(action_error()),
        waiting_for: Some("circuit OPEN".into()),
        correlation_id: Some("sig-88".into()),
        removed_by: Some("tok admin".into()),
        ended_at: Some(now),
        version: 4,
    }
}

fn circuit(now: Time) -> Circuit {
    Circuit {
        status: CircuitStatus {
            platform: Platform::Notion,
            state: CircuitState::Open,
            failure_count: 7,
            last_failure: Some(now),
            opened_at: Some(now),
            will_reset_at: Some(now + Duration::from_secs(30)),
        },
        enabled: true,
        threshold: 5,
        window_ms: 60_000,
        open_ms: 30_000,
        probe_successes: 0,
        probes_needed: 2,
        version: 9,
    }
}

fn pause(now: Time) -> Pause {
    Pause { scope: PauseScope::Queue, owner: "tok admin".into(), reason: Some("incident".into()), since: now }
}

fn component(component: Component, now: Time) -> ComponentStatus {
    ComponentStatus { component, state: ComponentState::Up, started_at: now, restarts: 1, detail: "5 workers".into() }
}

fn host_status() -> HostStatus {
    HostStatus {
        hostname: "ops-1".into(),
        disk_used: Some(0.82),
        disk_free_bytes: Some(1_000_000),
        memory_used: None,
        process_rss_bytes: Some(22_000_000),
    }
}

fn queue_status() -> QueueStatus {
    let by_priority = ByPriority { critical: 0, high: 5, normal: 25, low: 15 };
    QueueStatus { total_queued: 45, by_priority, avg_wait_time: 15_000, worker_utilization: Some(0.4) }
}

impl Backend for Fake {
    fn engine(&self) -> &'static str {
        "fake"
    }
    fn capabilities(&self) -> BTreeMap<String, Capability> {
        let capability = Capability { support: Support::Emulated, caveat: Some("in memory".into()) };
        BTreeMap::from([("queues".to_owned(), capability)])
    }
    fn queues(&self) -> Option<&dyn QueueOps> {
        Some(self)
    }
    fn circuits(&self) -> Option<&dyn CircuitOps> {
        (!self.bare).then_some(self)
    }
    fn limits(&self) -> Option<&dyn LimitOps> {
        (!self.bare).then_some(self)
    }
    fn services(&self) -> Option<&dyn ServiceOps> {
        (!self.bare).then_some(self)
    }
    fn metrics(&self) -> Option<&dyn MetricsOps> {
        (!self.bare).then_some(self)
    }
    fn config(&self) -> Option<&dyn ConfigOps> {
        (!self.bare).then_some(&*self.config as &dyn ConfigOps)
    }
    fn logs(&self) -> Option<&dyn LogOps> {
        (!self.bare).then_some(self)
    }
    fn idempotency(&self) -> Option<&dyn IdempotencyOps> {
        (!self.bare).then_some(self)
    }
    fn approvals(&self) -> Option<&dyn ApprovalOps> {
        (!self.bare).then_some(self)
    }
    fn workflows(&self) -> Option<&dyn WorkflowOps> {
        (!self.bare).then_some(self)
    }
    fn backups(&self) -> Option<&dyn BackupOps> {
        (!self.bare).then_some(self)
    }
}

impl QueueOps for Fake {
    fn submit<'a>(&'a self, actions: Vec<ActionRequest>, cx: &'a ChangeContext) -> Answer<'a, SubmitAnswer> {
        self.note(cx);
        let mut seen = self.seen.lock().unwrap();
        seen.submitted.extend(actions.iter().map(|a| a.id.clone()));
        let actions = actions.into_iter().map(|a| match a.user_id.as_deref() {
            Some("full") => Err(Refusal::new(ErrorCode::QueueFull, "the queue holds 1000 items")),
            Some("panic") => panic!("a bug in the backend"),
            _ => Ok(Submitted {
                id: a.id.unwrap_or_else(|| "a-1".into()),
                status: ActionStatus::Pending,
                duplicate: false,
                queue_position: Some(3),
                idempotency_key: Some("no-signal:create:notion".into()),
                approval_id: Some("apv-a-1".into()),
            }),
        });
        let actions: Result<Vec<_>, _> = actions.collect();
        Box::pin(async move { actions.map(|actions| SubmitAnswer { actions }) })
    }
    fn actions(&self, filter: ActionFilter) -> Answer<'_, RecentActions> {
        let (limit, offset) = (filter.limit, filter.offset);
        self.seen.lock().unwrap().actions.push(filter);
        ready(RecentActions { actions: vec![record("a-1", self.now())], total: 1, limit, offset })
    }
    fn action<'a>(&'a self, id: &'a str) -> Answer<'a, ActionRecord> {
        match id {
            "a-1" => ready(record(id, self.now())),
            _ => refuse(Refusal::not_found(format!("action {id}"))),
        }
    }
    fn patterns(&self, _filter: ActionFilter) -> Answer<'_, ActionPatterns> {
        ready(ActionPatterns {
            most_frequent_type: Some(ActionType::Create),
            most_frequent_platform: None,
            peak_hours: vec![9, 14],
            avg_actions_per_day: 12.5,
        })
    }
    fn status(&self) -> Answer<'_, QueueStatus> {
        ready(queue_status())
    }
    fn listing(&self) -> Answer<'_, QueueListing> {
        let queued = QueuedAction {
            action_id: "a-1".into(),
            action_type: ActionType::Notify,
            platform: Platform::Slack,
            queued_at: self.now(),
            estimated_wait: 400,
        };
        ready(QueueListing {
            queues: Queues { high: vec![queued], ..Queues::default() },
            stats: QueueStats { total_queued: 1, avg_wait_time: 15, worker_utilization: Some(0.4) },
        })
    }
    fn items(&self, filter: QueueFilter) -> Answer<'_, QueueItems> {
        self.seen.lock().unwrap().items.push(filter);
        ready(QueueItems { items: vec![item("a-1", self.now())], total: 1, truncated: false })
    }
    fn item<'a>(&'a self, id: &'a str) -> Answer<'a, QueueItem> {
        match id {
            "a-1" => ready(item(id, self.now())),
            _ => refuse(Refusal::not_found(format!("item {id}"))),
        }
    }
    fn remove<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        match (id, cx.if_version) {
            ("running", _) => refuse(Refusal::new(ErrorCode::Conflict, "action running is executing")),
            ("a-1", None | Some(4)) => ready(done(EffectKind::Applied)),
            ("a-1", Some(_)) => refuse(Refusal::new(ErrorCode::Conflict, "it is at version 4")),
            _ => refuse(Refusal::not_found(format!("item {id}"))),
        }
    }
    fn requests(&self, _limit: u64) -> Answer<'_, WaitingRequests> {
        let request =
            serde_json::json!({"type": "create", "platform": "trello", "data": {"name": "x"}, "idempotencyKey": "k-1"});
        let request = serde_json::from_value(request).expect("an action");
        ready(WaitingRequests { requests: vec![WaitingRequest { action_id: "a-1".into(), request }], waiting: 1 })
    }
    fn put_in<'a>(&'a self, actions: Vec<WaitingRequest>, cx: &'a ChangeContext) -> Answer<'a, Vec<ImportedItem>> {
        self.note(cx);
        let put = |action: WaitingRequest| ImportedItem {
            id: Some(action.action_id.clone()),
            action_id: action.action_id,
            put: Put::Imported,
            detail: None,
        };
        ready(actions.into_iter().map(put).collect())
    }
    fn clear<'a>(&'a self, _request: ClearRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        ready(done(EffectKind::Applied))
    }
    fn restore<'a>(&'a self, _request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        ready(done(EffectKind::AlreadySo))
    }
    fn retry<'a>(&'a self, _request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        ready(done(EffectKind::Accepted))
    }
    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        ready(vec![pause(self.now())])
    }
    fn pause<'a>(&'a self, _scope: PauseScope, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        ready(done(EffectKind::Applied))
    }
    fn resume<'a>(&'a self, _request: PauseRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        ready(done(EffectKind::Applied))
    }
}

impl CircuitOps for Fake {
    fn list(&self) -> Answer<'_, Vec<Circuit>> {
        ready(vec![circuit(self.now())])
    }
    fn history(&self, platform: Option<Platform>, _: Option<Time>, _: u64) -> Answer<'_, Vec<CircuitTransition>> {
        ready(vec![CircuitTransition {
            at: self.now(),
            platform: platform.unwrap_or(Platform::Notion),
            from: CircuitState::Closed,
            to: CircuitState::Open,
            reason: "5 failures in 60s".into(),
            failure_count: 5,
        }])
    }
    fn reset<'a>(&'a self, _platform: Platform, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        ready(done(EffectKind::Applied))
    }
}

impl LimitOps for Fake {
    fn list(&self) -> Answer<'_, Vec<RateLimitStatus>> {
        ready(vec![RateLimitStatus {
            platform: Platform::Notion,
            current: 3,
            limit: 3,
            window: "1s".into(),
            percentage: 100,
            reset_at: self.now(),
        }])
    }
}

impl ServiceOps for Fake {
    fn health(&self) -> Answer<'_, HealthReport> {
        let report = ExecutorHealthReport {
            status: ExecutorHealth::Down,
            circuit_breaker: CircuitHealth {
                state: CircuitState::Open,
                failure_count: 7,
                last_failure: Some(self.now()),
            },
            rate_limit: Some(LimitHealth { current: 3, limit: 3, reset_at: self.now() }),
            last_success: Some(self.now()),
            avg_response_time: 231,
            error_rate: Some(0.5),
            sample: 14,
            reason: Some("circuit OPEN".into()),
        };
        ready(HealthReport {
            overall: OverallHealth::Degraded,
            executors: BTreeMap::from([(Platform::Notion, report)]),
            queue: QueueHealth { depth: 45, oldest_action: Some(self.now()), worker_utilization: Some(0.4) },
        })
    }
    fn system(&self, service: ServiceInfo) -> Answer<'_, SystemStatus> {
        let now = self.now();
        ready(SystemStatus {
            service,
            overall: OverallHealth::Degraded,
            pauses: vec![pause(now)],
            locked_down: false,
            open_circuits: vec![circuit(now)],
            overrides: vec![Override {
                setting: "NOTION_CIRCUIT_BREAKER_ENABLED=false".into(),
                meaning: "nothing stops calls".into(),
                expires_at: Some(now),
            }],
            pending_settings: self.config.pending(),
            queue: queue_status(),
            workers_busy: 2,
            workers: Some(5),
            oldest_queued: Some(now),
            stuck: 1,
            failed: 2,
            top_errors: vec![ErrorCount {
                code: ErrorCode::ServiceDown,
                platform: Some(Platform::Notion),
                count: 7,
                last_message: "service unavailable".into(),
                last_at: now,
            }],
            components: vec![component(Component::Workers, now)],
            host: host_status(),
        })
    }
    fn host(&self) -> Answer<'_, HostStatus> {
        ready(host_status())
    }
    fn executors(&self) -> Answer<'_, Vec<ExecutorStatus>> {
        ready(vec![ExecutorStatus {
            platform: Platform::Notion,
            state: ExecutorState::Running,
            health: ExecutorHealth::Down,
            in_flight: 1,
            started_at: self.now(),
            crashes: 0,
            restarts: 1,
            circuit: CircuitState::Open,
            last_success: None,
            last_error: Some("service unavailable".into()),
            last_error_at: Some(self.now()),
            avg_response_time: 231,
        }])
    }
    fn components(&self) -> Answer<'_, Vec<ComponentStatus>> {
        ready(vec![component(Component::Queue, self.now())])
    }
    fn check(&self, component: Component) -> Answer<'_, ComponentCheck> {
        let line = CheckLine { name: "round trip".into(), ok: true, detail: "0.2 ms".into(), took_ms: 0.2 };
        ready(ComponentCheck { component, ok: true, checks: vec![line] })
    }
    fn restart<'a>(
        &'a self,
        component: Component,
        platform: Option<Platform>,
        drain: Duration,
        cx: &'a ChangeContext,
    ) -> Answer<'a, RestartAnswer> {
        self.note(cx);
        self.seen.lock().unwrap().drains.push((component, platform, drain));
        let part: RestartPart = component.as_str().parse().unwrap();
        ready(RestartAnswer {
            component,
            platform,
            drained: 2,
            handed_back: 0,
            took_ms: 12,
            applied: self.config.apply(part),
            state: ComponentState::Up,
            audit_id: None,
        })
    }
    fn auth(&self, platform: Platform) -> Answer<'_, AuthStatus> {
        ready(AuthStatus {
            platform,
            authenticated: false,
            error: Some("Invalid API key".into()),
            last_successful_auth: Some(self.now()),
            identity: None,
        })
    }
    fn clear_caches<'a>(&'a self, cx: &'a ChangeContext) -> Answer<'a, CacheCleared> {
        self.note(cx);
        ready(CacheCleared { caches: BTreeMap::from([("responses".to_owned(), 3)]) })
    }
}

impl MetricsOps for Fake {
    fn actions(&self, window: &str, _platform: Option<Platform>) -> Answer<'_, ActionMetrics> {
        let totals = MetricTotals {
            total_actions: 100,
            success_rate: 0.973,
            avg_execution_time: 231.5,
            avg_queue_time: 15.0,
            retry_rate: 0.1,
            fallback_rate: 0.0,
        };
        let platform = PlatformMetrics { total: 100, success_rate: 0.973, avg_execution_time: 231.5 };
        ready(ActionMetrics {
            time_window: window.into(),
            metrics: totals,
            by_platform: BTreeMap::from([(Platform::Notion, platform)]),
            timeline: vec![TimelinePoint { timestamp: self.now(), actions_per_minute: 1.5, success_rate: 1.0 }],
        })
    }
    fn performance(&self, window: Duration, _platform: Option<Platform>) -> Answer<'_, Performance> {
        let now = self.now();
        let current = PerformanceWindow { from: now.minus(window), to: now, p95: Some(400.0), ..Default::default() };
        ready(Performance {
            current: current.clone(),
            previous: PerformanceWindow::default(),
            by_platform: BTreeMap::from([(Platform::Notion, current)]),
            kept_since: now,
        })
    }
    fn requests(&self, window: Duration, _platform: Option<Platform>) -> Answer<'_, RequestMetrics> {
        ready(RequestMetrics {
            window_ms: window.as_millis() as u64,
            platforms: vec![PlatformRequests {
                platform: Platform::Notion,
                requests: 15,
                per_minute: 3.0,
                peak_per_minute: 5,
                rate_limited: 1,
                failed: 2,
                per_minute_series: vec![3, 2, 5, 3, 2],
            }],
        })
    }
    fn breakdown(&self, window: Duration, _platform: Option<Platform>) -> Answer<'_, ActionBreakdown> {
        let row = ActionBreakdownRow {
            platform: Platform::Notion,
            action_type: ActionType::Create,
            total: 10,
            succeeded: 8,
            failed: 2,
            retries: 3,
            avg_execution_time: 231.0,
            by_error: BTreeMap::from([(ErrorCode::ServiceDown, 2)]),
        };
        ready(ActionBreakdown { from: self.now().minus(window), to: self.now(), rows: vec![row] })
    }
    fn history(&self, from: Time, to: Time, bucket: Bucket) -> Answer<'_, MetricHistory> {
        let sample = SamplePoint { at: from, measure: Measure::QueueDepth, samples: 360, mean: 4.5, peak: 45.0 };
        let opened = OccurrencePoint {
            at: from,
            occurrence: Occurrence::CircuitOpened,
            platform: Some(Platform::Notion),
            count: 1,
        };
        ready(MetricHistory {
            from,
            to,
            kept_since: from,
            bucket,
            total: PerformanceWindow::default(),
            platforms: BTreeMap::new(),
            rows: Vec::new(),
            actions: Vec::new(),
            requests: Vec::new(),
            samples: vec![sample],
            occurrences: vec![opened],
        })
    }
    fn open_metrics(&self) -> Answer<'_, String> {
        ready("# TYPE opsctl_queue_depth gauge\nopsctl_queue_depth 45\n# EOF\n".into())
    }
}

impl LogOps for Fake {
    fn lines(&self, _log: LogName, filter: LineFilter) -> Answer<'_, LogPage> {
        let line = serde_json::json!({"timestamp": self.now(), "level": "info", "message": filter.grep});
        ready(LogPage {
            lines: vec![line],
            source: LogSource { files: vec!["application.log".into()], ..LogSource::default() },
        })
    }

    fn stream(&self, log: LogName, filter: LineFilter) -> Answer<'_, LogStream> {
        Box::pin(async move {
            let LogPage { lines, source } = self.lines(log, filter).await?;
            let (send, pieces) = tokio::sync::mpsc::channel(1);
            let lines = lines.into_iter().map(|line| LogRecord::Line { line });
            let records = lines.chain([LogRecord::End { source }]).map(|record| serde_json::json!(record).to_string());
            send.try_send(records.map(|record| record + "\n").collect::<String>().into_bytes()).unwrap();
            Ok(pieces)
        })
    }

    fn errors(&self, filter: ErrorFilter) -> Answer<'_, ErrorLog> {
        self.seen.lock().unwrap().errors.push(filter);
        ready(ErrorLog {
            errors: vec![ErrorEntry {
                timestamp: self.now(),
                level: "error".into(),
                message: "service unavailable".into(),
                platform: Some(Platform::Notion),
                component: Some("executor".into()),
                error_code: Some(ErrorCode::ServiceDown),
                action_id: Some("a-1".into()),
                attempt: Some(2),
                request_id: Some("7f3a".into()),
            }],
            by_code: BTreeMap::from([(ErrorCode::ServiceDown, 1)]),
            total: 1,
            oldest: Some(self.now()),
        })
    }
}

fn backup(now: Time) -> Backup {
    Backup {
        id: "2026-11-23T10-15-00Z".into(),
        created_at: now,
        kind: BackupKind::Safety,
        full: true,
        version: "0.1.0".into(),
        schema_version: 1,
        environment: "sandbox".into(),
        note: Some("before a restore".into()),
        bytes: 4096,
        workflows: 3,
        actions: 9,
        queue_items: 2,
        verified_at: Some(now),
    }
}

impl BackupOps for Fake {
    fn list(&self) -> Answer<'_, BackupList> {
        ready(BackupList {
            backups: vec![backup(self.now())],
            damaged: vec!["2026-11-22T10-15-00Z: its manifest cannot be read".into()],
            keep: 14,
            folder: "/srv/opsctl/backups".into(),
        })
    }
    fn create<'a>(
        &'a self,
        request: BackupRequest,
        cx: &'a ChangeContext,
        _progress: &'a Progress,
    ) -> Answer<'a, BackupMade> {
        self.note(cx);
        let backup = Backup { full: request.full, ..backup(self.now()) };
        ready(BackupMade { backup, took_ms: 12, removed: vec!["2026-11-01T10-15-00Z".into()] })
    }
    fn restore_plan<'a>(&'a self, _id: &'a str, scope: RestoreScope) -> Answer<'a, RestorePlan> {
        let effects = RestoreEffects { settings: vec!["QUEUE_WORKERS 10 -> 5".into()], ..RestoreEffects::default() };
        let refused = Some("it is damaged".into());
        ready(RestorePlan { backup: backup(self.now()), scope, refused, paused: true, effects })
    }
    fn restore<'a>(
        &'a self,
        id: &'a str,
        scope: RestoreScope,
        cx: &'a ChangeContext,
        _progress: &'a Progress,
    ) -> Answer<'a, Restored> {
        self.note(cx);
        let (safety, effects) = (backup(self.now()), RestoreEffects::default());
        ready(Restored { backup: id.into(), scope, safety, effects, waiting: 2, took_ms: 12 })
    }
    fn verify<'a>(&'a self, id: &'a str, _progress: &'a Progress) -> Answer<'a, BackupVerdict> {
        let line = CheckLine { name: "files".into(), ok: true, detail: "1 file".into(), took_ms: 0.2 };
        ready(BackupVerdict { id: id.into(), ok: true, checks: vec![line] })
    }
    fn drill<'a>(
        &'a self,
        request: DrillRequest,
        cx: &'a ChangeContext,
        _progress: &'a Progress,
    ) -> Answer<'a, DrillReport> {
        self.note(cx);
        let line = CheckLine { name: "files".into(), ok: true, detail: "1 file".into(), took_ms: 0.2 };
        let loss = DataLoss { back_to: self.now(), window_ms: 1000, waiting: 1, ended: 2, workflows: 0 };
        ready(DrillReport {
            scenario: request.scenario,
            ok: true,
            backup: request.backup,
            steps: vec![line],
            recovery_ms: Some(12),
            loss: Some(loss),
        })
    }
}
