//! What every route is handed.

use std::sync::Arc;

use super::audit::Audit;
use super::backend::{
    ApprovalOps, Backend, BackupOps, CircuitOps, ConfigOps, IdempotencyOps, LimitOps, LogOps, MetricsOps, QueueOps,
    Refusal, ServiceOps, WorkflowOps,
};
use super::jobs::Jobs;
use super::lockdown::Lockdowns;
use super::refuse::unsupported;
use super::replay::Replays;
use super::telemetry::LogLine;
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::redact::Redactor;
use crate::wire::{API_VERSIONS, Role, ServiceInfo, Time};

/// Writes a line to the service's log files.
pub type Log = Arc<dyn Fn(LogLine) + Send + Sync>;

/// What the routes of a service share.
#[derive(Clone)]
pub struct ServerState {
    /// The engine with the work on it.
    pub backend: Arc<dyn Backend>,
    /// Who may ask.
    pub tokens: Arc<Tokens>,
    /// Whether everything is shut.
    pub lockdown: Arc<Lockdowns>,
    /// What was asked.
    pub audit: Arc<Audit>,
    /// First answers by `Idempotency-Key`.
    pub replays: Arc<Replays>,
    /// Work that takes longer than an answer may.
    pub jobs: Jobs,
    /// The service's clock.
    pub clock: Clock,
    /// The environment word: `production`, `staging`, `sandbox`.
    pub environment: String,
    /// When the service started.
    pub started_at: Time,
    /// Whether this is the practice ground, whose clock may be moved.
    pub sandbox: bool,
    /// Host names, besides addresses and `localhost`, that requests may name.
    pub hosts: Vec<String>,
    /// Whether the documented HTTP rate limits hold; off on loopback unless told.
    pub http_limits: Option<bool>,
    /// The service's log.
    pub log: Log,
    /// Takes the loaded secrets out of what callers say, before it is kept.
    pub redactor: Redactor,
}

macro_rules! groups {
    ($($(#[$meta:meta])* $name:ident: $ops:ident, $what:literal;)+) => {
        impl ServerState {
            $($(#[$meta])* pub fn $name(&self) -> Result<&dyn $ops, Refusal> {
                self.backend.$name().ok_or_else(|| unsupported($what))
            })+
        }
    };
}

groups! {
    /// Actions and the queue.
    queues: QueueOps, "actions and the queue";
    /// Circuit breakers.
    circuits: CircuitOps, "circuit breakers";
    /// Rate limits.
    limits: LimitOps, "rate limits";
    /// Executors, components, health, host.
    services: ServiceOps, "executors and components";
    /// Metrics.
    metrics: MetricsOps, "metrics";
    /// Settings.
    config: ConfigOps, "settings";
    /// Error log.
    logs: LogOps, "the error log";
    /// Workflows and their rollbacks.
    workflows: WorkflowOps, "workflows";
    /// Idempotency keys.
    idempotency: IdempotencyOps, "idempotency keys";
    /// Actions that wait for a decision.
    approvals: ApprovalOps, "approvals";
    /// Backups and restores.
    backups: BackupOps, "backups";
}

impl ServerState {
    /// What this service is, for a caller with `role`.
    pub fn info(&self, role: Option<Role>) -> ServiceInfo {
        ServiceInfo {
            name: "opsctl serve".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            api_min: API_VERSIONS.0,
            api_max: API_VERSIONS.1,
            environment: self.environment.clone(),
            engine: self.backend.engine().into(),
            capabilities: self.backend.capabilities(),
            now: self.clock.now(),
            started_at: self.started_at,
            role,
        }
    }
}
