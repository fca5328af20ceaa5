//! Circuits, limits, services, metrics and logs as the routes know them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::runtime::Runtime;
use super::store::{Dead, journal, query};
use crate::logs::layout::{self, Log};
use crate::logs::page;
use crate::logs::query::Query;
use crate::platforms::auth_error_text;
use crate::server::backend::{
    Answer, ChangeContext, CircuitOps, LimitOps, LogOps, LogStream, MetricsOps, Refusal, ServiceOps,
};
use crate::server::effects::{answer, who};
use crate::server::host;
use crate::wire::*;

/// Limit for a look at who we are.
const AUTH_LIMIT: Duration = Duration::from_secs(10);

impl Runtime {
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
                workers: Some(gauges.workers),
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
                        let text = self.hide(&auth_error_text(error));
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

    fn history(&self, from: Time, to: Time, bucket: Bucket) -> Answer<'_, MetricHistory> {
        Box::pin(self.blocking(move |telemetry| telemetry.history(from, to, bucket)))
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

    fn lines(&self, log: LogName, filter: LineFilter) -> Answer<'_, LogPage> {
        Box::pin(async move {
            let (query, folder) = (readable(&filter)?, self.data_dir.join("logs"));
            let Some(log) = self.kept_log(log).await? else { return Ok(LogPage::default()) };
            self.blocking(move |_| {
                let mut page = page::page(&log, &query, filter.limit);
                page.source.files = page.source.files.into_iter().map(|path| below(&folder, path)).collect();
                Ok(page)
            })
            .await
        })
    }

    fn stream(&self, log: LogName, filter: LineFilter) -> Answer<'_, LogStream> {
        Box::pin(async move {
            let (query, folder) = (readable(&filter)?, self.data_dir.join("logs"));
            let log = self.kept_log(log).await?;
            let (send, pieces) = tokio::sync::mpsc::channel(4);
            // It goes on by itself until the reader has all or goes away.
            tokio::task::spawn_blocking(move || {
                let name = |path| below(&folder, path);
                page::records(log.as_ref(), &query, name, &mut |piece| send.blocking_send(piece).is_ok());
            });
            Ok(pieces)
        })
    }
}

impl Runtime {
    /// A log's files with all that was told so far; before its first line it has none.
    async fn kept_log(&self, name: LogName) -> Result<Option<Log>, Refusal> {
        let folder = self.data_dir.join("logs");
        self.blocking(move |telemetry| {
            telemetry.flush()?;
            Ok(layout::log(&folder, name)?)
        })
        .await
    }
}

fn readable(filter: &LineFilter) -> Result<Query, Refusal> {
    let unreadable = |bad| Refusal::new(ErrorCode::ValidationError, format!("a filter cannot be read: {bad}"));
    Query::try_from(filter).map_err(unreadable)
}

/// A file's name below the log folder.
fn below(folder: &Path, path: String) -> String {
    path.strip_prefix(&format!("{}/", folder.display())).map_or(path.clone(), str::to_owned)
}
