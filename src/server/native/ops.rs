//! The capability groups as the routes know them.

use std::sync::Arc;
use std::time::Duration;

use super::changes::{answer, stuck_before, who};
use super::runtime::Runtime;
use super::store::{Dead, journal, query};
use crate::engine::queue::{Item, Seq};
use crate::platforms::auth_error_text;
use crate::server::backend::{
    Answer, ChangeContext, CircuitOps, LimitOps, LogOps, MetricsOps, QueueOps, Refusal, ServiceOps,
};
use crate::server::host;
use crate::wire::*;

/// Items listed by priority at most.
const LISTED: usize = 1000;
/// Items of a view unless the caller says otherwise.
const PAGE: u64 = 1000;
/// Limit for a look at who we are.
const AUTH_LIMIT: Duration = Duration::from_secs(10);
/// A call's time for estimates, before any was measured.
const GUESS_MS: u64 = 200;

impl QueueOps for Runtime {
    fn submit<'a>(&'a self, actions: Vec<ActionRequest>, _cx: &'a ChangeContext) -> Answer<'a, SubmitAnswer> {
        Box::pin(self.accept(actions))
    }

    fn actions(&self, filter: ActionFilter) -> Answer<'_, RecentActions> {
        Box::pin(async move {
            let (limit, offset) = (filter.limit, filter.offset);
            let (actions, total) = self.store.read(move |conn| query::actions(conn, &filter)).await?;
            Ok(RecentActions { actions, total, limit, offset })
        })
    }

    fn action<'a>(&'a self, id: &'a str) -> Answer<'a, ActionRecord> {
        Box::pin(async move {
            let owned = id.to_owned();
            let found = self.store.read(move |conn| query::action(conn, &owned)).await?;
            found.ok_or_else(|| Refusal::not_found(format!("action `{id}`")))
        })
    }

    fn patterns(&self, filter: ActionFilter) -> Answer<'_, ActionPatterns> {
        Box::pin(async move { Ok(self.store.read(move |conn| query::patterns(conn, &filter)).await?) })
    }

    fn status(&self) -> Answer<'_, QueueStatus> {
        Box::pin(std::future::ready(Ok(self.queue_status())))
    }

    fn listing(&self) -> Answer<'_, QueueListing> {
        Box::pin(async move {
            let status = self.queue_status();
            let (items, workers) = {
                let core = self.core();
                let mut counts = [0; Priority::ALL.len()];
                let mut items: Vec<(Item, u64)> = Vec::new();
                for item in core.queue.iter() {
                    let count = &mut counts[item.priority as usize];
                    if *count < LISTED {
                        *count += 1;
                        let mean = core.post(item.target()).executor.avg_response_ms();
                        items.push((*item, if mean == 0 { GUESS_MS } else { mean }));
                    }
                }
                // What runs first comes first in the estimate.
                items.sort_by_key(|(item, _)| (item.priority, item.seq));
                (items, core.settings.queue_workers.max(1) as u64)
            };
            let seqs: Vec<Seq> = items.iter().map(|(item, _)| item.seq).collect();
            let names = self.store.read(move |conn| query::ids(conn, &seqs)).await?;
            let mut names = names.into_iter().peekable();
            let (mut queues, mut ahead_ms, now) = (Queues::default(), 0_u64, self.now());
            for (item, mean) in items {
                // What went meanwhile has no name any more.
                let Some((_, action_id, action_type)) = names.next_if(|(seq, ..)| *seq == item.seq) else { continue };
                let due = item.due.map_or(0, |due| due.since(now).as_millis());
                let due = u64::try_from(due).unwrap_or(u64::MAX);
                let entry = QueuedAction {
                    action_id,
                    action_type,
                    platform: item.platform,
                    queued_at: item.queued_at,
                    estimated_wait: due.max(ahead_ms / workers),
                };
                ahead_ms += mean;
                match item.priority {
                    Priority::Critical => queues.critical.push(entry),
                    Priority::High => queues.high.push(entry),
                    Priority::Normal => queues.normal.push(entry),
                    Priority::Low => queues.low.push(entry),
                }
            }
            let stats = QueueStats {
                total_queued: status.total_queued,
                avg_wait_time: status.avg_wait_time,
                worker_utilization: status.worker_utilization,
            };
            Ok(QueueListing { queues, stats })
        })
    }

    fn items(&self, filter: QueueFilter) -> Answer<'_, QueueItems> {
        Box::pin(async move {
            let dead = match filter.view {
                QueueView::Failed => Some(Dead::Failed),
                QueueView::Removed => Some(Dead::Removed),
                QueueView::Queued | QueueView::Stuck | QueueView::Executing => None,
            };
            let (items, total) = match dead {
                Some(dead) => {
                    let filter = QueueFilter { limit: filter.limit.or(Some(PAGE)), ..filter };
                    self.store.read(move |conn| query::dead(conn, dead, &filter)).await?
                }
                None => self.live_items(&filter).await?,
            };
            let truncated = (items.len() as u64) < total;
            Ok(QueueItems { items, total, truncated })
        })
    }

    fn item<'a>(&'a self, id: &'a str) -> Answer<'a, QueueItem> {
        Box::pin(async move {
            let owned = id.to_owned();
            let found = self.store.read(move |conn| query::queued(conn, &owned)).await?;
            let (seq, mut item) = found.ok_or_else(|| Refusal::not_found(format!("action `{id}`")))?;
            let record = if item.state == QueueView::Failed { self.action(id).await.ok() } else { None };
            if record.is_some_and(|record| record.status == ActionStatus::Success) {
                return Err(Refusal::not_found(format!("item `{id}` in the queue: the action is done")));
            }
            self.explain(seq, &mut item);
            Ok(item)
        })
    }

    fn remove<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.remove_item(id, cx))
    }

    fn clear<'a>(&'a self, request: ClearRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.clear_items(request, cx))
    }

    fn restore<'a>(&'a self, request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.restore_items(request, cx))
    }

    fn retry<'a>(&'a self, request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.retry_items(request, cx))
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        Box::pin(std::future::ready(Ok(self.core().pauses.clone())))
    }

    fn pause<'a>(&'a self, scope: PauseScope, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.set_pause(scope, cx))
    }

    fn resume<'a>(&'a self, request: PauseRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.end_pause(request, cx))
    }
}

impl Runtime {
    async fn live_items(&self, filter: &QueueFilter) -> Result<(Vec<QueueItem>, u64), Refusal> {
        let now = self.now();
        let limit = usize::try_from(filter.limit.unwrap_or(PAGE)).unwrap_or(usize::MAX);
        let (seqs, total) = {
            let core = self.core();
            let fits = |item: &Item| {
                filter.platform.is_none_or(|platform| item.platform == platform)
                    && filter.since.is_none_or(|since| item.queued_at >= since)
            };
            let mut seqs: Vec<Seq> = match filter.view {
                QueueView::Executing => {
                    core.running.values().map(|r| &r.item).filter(|i| fits(i)).map(|i| i.seq).collect()
                }
                QueueView::Stuck => {
                    let before = stuck_before(now, filter.older_than);
                    core.queue.accepted_before(before).filter(|item| fits(item)).map(|item| item.seq).collect()
                }
                _ => core.queue.iter().filter(|item| fits(item)).map(|item| item.seq).collect(),
            };
            seqs.sort_unstable();
            let total = seqs.len() as u64;
            seqs.truncate(limit);
            (seqs, total)
        };
        let rows = self.store.read(move |conn| query::queued_many(conn, &seqs)).await?;
        let items = rows.into_iter().map(|(seq, mut item)| {
            self.explain(seq, &mut item);
            item
        });
        Ok((items.collect(), total))
    }

    /// Adds why an item waits.
    fn explain(&self, seq: Seq, item: &mut QueueItem) {
        let (core, now) = (self.core(), self.now());
        if let Some(waiting) = core.queue.get(seq) {
            item.waiting_for = Some(core.waiting_for(waiting, now));
            item.next_attempt_at = waiting.due.filter(|due| *due > now);
        }
    }

    fn circuit_view(&self, platform: Platform) -> Circuit {
        let (core, now) = (self.core(), self.now());
        let circuit = &core.post(platform).circuit;
        let (limits, status) = (circuit.limits(), circuit.status(now));
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Circuit {
            enabled: circuit.is_enabled(),
            threshold: limits.failures,
            window_ms: ms(limits.window),
            open_ms: ms(limits.open_for),
            probe_successes: if status.state == CircuitState::HalfOpen { circuit.probe_successes() } else { 0 },
            probes_needed: limits.successes,
            version: circuit.version(),
            status,
        }
    }

    fn circuits_view(&self) -> Vec<Circuit> {
        Platform::ALL.iter().map(|platform| self.circuit_view(*platform)).collect()
    }

    /// Settings that should not last.
    fn overrides(&self) -> Vec<Override> {
        let expires: std::collections::HashMap<String, Option<Time>> =
            self.config.list().into_iter().map(|entry| (entry.name, entry.expires_at)).collect();
        let expiry = |name: &str| expires.get(name).copied().flatten();
        let settings = self.config.effective();
        let mut overrides = Vec::new();
        let mut add = |name: String, value: &str, meaning: String| {
            let expires_at = expiry(&name);
            overrides.push(Override { setting: format!("{name}={value}"), meaning, expires_at });
        };
        for platform in Platform::ALL {
            let (own, name) = (settings.platform(*platform), platform.as_str().to_ascii_uppercase());
            if !own.circuit_enabled {
                let meaning = format!("no circuit guards {platform}");
                add(format!("{name}_CIRCUIT_BREAKER_ENABLED"), "false", meaning);
            }
            if let Some(to) = own.fallback() {
                add(format!("{name}_FALLBACK_ENABLED"), "true", format!("{to} stands in when {platform} is away"));
            }
        }
        if settings.use_backup_credentials {
            add("USE_BACKUP_CREDENTIALS".into(), "true", "the backup credentials are in use".into());
        }
        if !settings.enable_idempotency {
            add("ENABLE_IDEMPOTENCY".into(), "false", "repeated actions are not recognised".into());
        }
        overrides
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&crate::server::telemetry::Telemetry) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let telemetry = Arc::clone(&self.telemetry);
        let failed = |text: String| Refusal::new(ErrorCode::Unavailable, format!("metrics cannot be read: {text}"));
        match tokio::task::spawn_blocking(move || work(&telemetry)).await {
            Ok(result) => result.map_err(|error| failed(format!("{error:#}"))),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn dead_letters(&self) -> u64 {
        self.store.read(|conn| query::dead_count(conn, Dead::Failed)).await.unwrap_or(0)
    }
}

impl CircuitOps for Runtime {
    fn list(&self) -> Answer<'_, Vec<Circuit>> {
        Box::pin(std::future::ready(Ok(self.circuits_view())))
    }

    fn history(
        &self,
        platform: Option<Platform>,
        since: Option<Time>,
        limit: u64,
    ) -> Answer<'_, Vec<CircuitTransition>> {
        Box::pin(
            async move { Ok(self.store.read(move |conn| journal::transitions(conn, platform, since, limit)).await?) },
        )
    }

    fn reset<'a>(&'a self, platform: Platform, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(async move {
            let (moved, mut all) = {
                let mut core = self.core();
                let circuit = &mut core.post_mut(platform).circuit;
                let version = circuit.version();
                if cx.if_version.is_some_and(|seen| seen != version) {
                    let message = format!("the {platform} circuit moved meanwhile: it is at version {version}");
                    return Err(Refusal::new(ErrorCode::Conflict, message));
                }
                let moved = circuit.reset(&who(cx), self.now());
                (moved, std::mem::take(&mut core.moved))
            };
            let effect = match &moved {
                Some(step) => {
                    let words = format!(
                        "the {platform} circuit was {} with {} failures and is CLOSED",
                        step.from, step.failure_count
                    );
                    answer(EffectKind::Applied, words, vec![])
                }
                None => answer(EffectKind::AlreadySo, format!("the {platform} circuit is CLOSED already"), vec![]),
            };
            all.extend(moved);
            self.note_circuits(all);
            self.pump();
            Ok(effect)
        })
    }
}

impl LimitOps for Runtime {
    fn list(&self) -> Answer<'_, Vec<RateLimitStatus>> {
        let now = self.now();
        let all = self.core().posts.iter().map(|post| post.limiter.status(now)).collect();
        Box::pin(std::future::ready(Ok(all)))
    }
}

impl ServiceOps for Runtime {
    fn health(&self) -> Answer<'_, HealthReport> {
        Box::pin(async move { Ok(self.health_report(&self.error_rates().await?)) })
    }

    fn system(&self, service: ServiceInfo) -> Answer<'_, SystemStatus> {
        Box::pin(async move {
            let failed = self.dead_letters().await;
            let top_errors = self.blocking(|t| Ok(t.top_errors(3, Duration::from_secs(3600)))).await?;
            let (host, rates) = (self.host().await?, self.error_rates().await?);
            let gauges = self.gauges(failed);
            let (pauses, oldest_queued) = {
                let core = self.core();
                (core.pauses.clone(), core.queue.oldest())
            };
            Ok(SystemStatus {
                service,
                overall: self.health_report(&rates).overall,
                pauses,
                locked_down: false,
                open_circuits: self
                    .circuits_view()
                    .into_iter()
                    .filter(|circuit| circuit.status.state != CircuitState::Closed)
                    .collect(),
                overrides: self.overrides(),
                pending_settings: self.config.pending(),
                queue: self.queue_status(),
                workers_busy: gauges.workers_busy,
                workers: gauges.workers,
                oldest_queued,
                stuck: gauges.stuck,
                failed,
                top_errors,
                components: Component::ALL.iter().map(|part| self.component(*part)).collect(),
                host,
            })
        })
    }

    fn host(&self) -> Answer<'_, HostStatus> {
        Box::pin(async move {
            let dir = self.data_dir.clone();
            let looked = tokio::task::spawn_blocking(move || host::status(&dir)).await;
            looked.map_err(|error| Refusal::new(ErrorCode::UnknownError, error.to_string()))
        })
    }

    fn executors(&self) -> Answer<'_, Vec<ExecutorStatus>> {
        Box::pin(async move {
            let rates = self.error_rates().await?;
            Ok(Platform::ALL.iter().map(|platform| self.executor_status(*platform, &rates)).collect())
        })
    }

    fn components(&self) -> Answer<'_, Vec<ComponentStatus>> {
        let all = Component::ALL.iter().map(|part| self.component(*part)).collect();
        Box::pin(std::future::ready(Ok(all)))
    }

    fn check(&self, component: Component) -> Answer<'_, ComponentCheck> {
        Box::pin(self.check_part(component))
    }

    fn restart<'a>(
        &'a self,
        component: Component,
        platform: Option<Platform>,
        drain: Duration,
        cx: &'a ChangeContext,
    ) -> Answer<'a, RestartAnswer> {
        Box::pin(async move { self.restart_part(component, platform, drain, &who(cx)).await })
    }

    fn auth(&self, platform: Platform) -> Answer<'_, AuthStatus> {
        Box::pin(async move {
            let looked = self.calls.who_am_i(platform, AUTH_LIMIT).await;
            let now = self.now();
            let (auth, error) = {
                let mut core = self.core();
                let auth = &mut core.post_mut(platform).executor.auth;
                let error = match &looked {
                    Ok(identity) => {
                        (auth.last_success, auth.identity, auth.refusal) = (Some(now), Some(identity.clone()), None);
                        None
                    }
                    Err(error) => {
                        let text = auth_error_text(error);
                        if error.code == ErrorCode::AuthError {
                            auth.refusal = Some(text.clone());
                        }
                        Some(text)
                    }
                };
                (auth.clone(), error)
            };
            let kept = auth.clone();
            self.later(move |conn| journal::save_auth(conn, platform, &kept));
            Ok(AuthStatus {
                platform,
                authenticated: error.is_none(),
                identity: looked.ok(),
                last_successful_auth: auth.last_success,
                error,
            })
        })
    }

    fn clear_caches<'a>(&'a self, cx: &'a ChangeContext) -> Answer<'a, CacheCleared> {
        let mut caches = self.calls.clear_caches();
        caches.insert("responses".into(), self.cache.clear());
        self.log_change("Caches emptied".into(), cx);
        Box::pin(std::future::ready(Ok(CacheCleared { caches })))
    }
}

impl MetricsOps for Runtime {
    fn actions(&self, window: &str, platform: Option<Platform>) -> Answer<'_, ActionMetrics> {
        let window = window.to_owned();
        Box::pin(self.blocking(move |telemetry| telemetry.action_metrics(&window, platform)))
    }

    fn performance(&self, window: Duration, platform: Option<Platform>) -> Answer<'_, Performance> {
        Box::pin(self.blocking(move |telemetry| telemetry.performance(window, platform)))
    }

    fn requests(&self, window: Duration, platform: Option<Platform>) -> Answer<'_, RequestMetrics> {
        Box::pin(self.blocking(move |telemetry| telemetry.requests(window, platform)))
    }

    fn breakdown(&self, window: Duration, platform: Option<Platform>) -> Answer<'_, ActionBreakdown> {
        Box::pin(self.blocking(move |telemetry| telemetry.breakdown(window, platform)))
    }

    fn open_metrics(&self) -> Answer<'_, String> {
        Box::pin(async move {
            let gauges = self.gauges(self.dead_letters().await);
            self.blocking(move |telemetry| Ok(telemetry.open_metrics(&gauges))).await
        })
    }
}

impl LogOps for Runtime {
    fn errors(&self, filter: ErrorFilter) -> Answer<'_, ErrorLog> {
        Box::pin(self.blocking(move |telemetry| Ok(telemetry.errors(&filter))))
    }
}
