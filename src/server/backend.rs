//! The seam between the admin API's routes and whatever does the work.
//!
//! The routes in this module's siblings know only this trait. The native backend (SQLite, workers, executors) is one
//! implementation; an engine of somebody else's would be another, behind the same routes, tokens, roles and audit.
//! Groups are optional: a group that is absent is answered with `UNSUPPORTED`, never emulated silently.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::jobs::Progress;
use crate::wire::*;

/// A refusal, ready to be the documented error envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The documented code; decides the HTTP status.
    pub code: ErrorCode,
    /// For people: what was refused and why.
    pub message: String,
    /// The platform concerned.
    pub platform: Option<Platform>,
    /// Seconds to wait before trying again.
    pub retry_after: Option<u64>,
    /// Anything else worth knowing.
    pub details: Option<serde_json::Value>,
}

impl Refusal {
    /// A refusal with a code and a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), platform: None, retry_after: None, details: None }
    }

    /// The thing does not exist.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Refusal::new(ErrorCode::NotFound, format!("there is no {what}"))
    }
}

/// What a backend call gives.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Refusal>>;

/// Who asks for a change, and why.
#[derive(Clone, Debug, Default)]
pub struct ChangeContext {
    /// The credential: token id and name.
    pub actor: String,
    /// The person or job behind it, as claimed.
    pub operator: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Ticket reference.
    pub ticket: Option<String>,
    /// The newest line of the caller's journal.
    pub journal: Option<String>,
    /// The version the caller saw; refuse with `CONFLICT` when it moved.
    pub if_version: Option<u64>,
    /// Id of the request, for the logs.
    pub request_id: String,
}

/// An engine with the work on it.
pub trait Backend: Send + Sync {
    /// Engine name for `GET /admin/v1`: `native`.
    fn engine(&self) -> &'static str;
    /// Capability groups and how far each reaches.
    fn capabilities(&self) -> BTreeMap<String, Capability>;
    /// Actions and the queue.
    fn queues(&self) -> Option<&dyn QueueOps> {
        None
    }
    /// Circuit breakers.
    fn circuits(&self) -> Option<&dyn CircuitOps> {
        None
    }
    /// Rate limits.
    fn limits(&self) -> Option<&dyn LimitOps> {
        None
    }
    /// Executors, components, health, host.
    fn services(&self) -> Option<&dyn ServiceOps> {
        None
    }
    /// Metrics.
    fn metrics(&self) -> Option<&dyn MetricsOps> {
        None
    }
    /// Settings at run time.
    fn config(&self) -> Option<&dyn ConfigOps> {
        None
    }
    /// Error log.
    fn logs(&self) -> Option<&dyn LogOps> {
        None
    }
    /// Workflows and their rollbacks.
    fn workflows(&self) -> Option<&dyn WorkflowOps> {
        None
    }
    /// Idempotency keys.
    fn idempotency(&self) -> Option<&dyn IdempotencyOps> {
        None
    }
    /// Actions that wait for a person's decision.
    fn approvals(&self) -> Option<&dyn ApprovalOps> {
        None
    }
    /// Backups and restores.
    fn backups(&self) -> Option<&dyn BackupOps> {
        None
    }
}

/// Actions and the queue.
pub trait QueueOps: Send + Sync {
    /// Accepts one or several actions, all or none; returns only after they are durably stored.
    fn submit<'a>(&'a self, actions: Vec<ActionRequest>, cx: &'a ChangeContext) -> Answer<'a, SubmitAnswer>;
    /// Actions, newest first.
    fn actions(&self, filter: ActionFilter) -> Answer<'_, RecentActions>;
    /// One action in whatever state.
    fn action<'a>(&'a self, id: &'a str) -> Answer<'a, ActionRecord>;
    /// What matching actions have in common.
    fn patterns(&self, filter: ActionFilter) -> Answer<'_, ActionPatterns>;
    /// The runbook's counts; from memory, no query.
    fn status(&self) -> Answer<'_, QueueStatus>;
    /// Waiting items by priority.
    fn listing(&self) -> Answer<'_, QueueListing>;
    /// Items of a view.
    fn items(&self, filter: QueueFilter) -> Answer<'_, QueueItems>;
    /// One item.
    fn item<'a>(&'a self, id: &'a str) -> Answer<'a, QueueItem>;
    /// Waiting actions as they were submitted, the oldest first, at most `limit`; without those that belong to a workflow or
    /// may have been sent.
    fn requests(&self, limit: u64) -> Answer<'_, WaitingRequests>;
    /// Puts actions of another orchestrator in, each by itself, under its key or one made of its id: what is there already is
    /// not put in again, and what was taken out here is put back.
    fn put_in<'a>(&'a self, actions: Vec<WaitingRequest>, cx: &'a ChangeContext) -> Answer<'a, Vec<ImportedItem>>;
    /// Moves one item to the dead letters. `CONFLICT` when it is executing.
    fn remove<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Moves many items to the dead letters.
    fn clear<'a>(&'a self, request: ClearRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Puts removed items back where they were.
    fn restore<'a>(&'a self, request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Drives failed items again, paced.
    fn retry<'a>(&'a self, request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Pauses in force.
    fn pauses(&self) -> Answer<'_, Vec<Pause>>;
    /// Sets a pause.
    fn pause<'a>(&'a self, scope: PauseScope, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Ends a pause.
    fn resume<'a>(&'a self, request: PauseRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
}

/// Circuit breakers.
pub trait CircuitOps: Send + Sync {
    /// All of them.
    fn list(&self) -> Answer<'_, Vec<Circuit>>;
    /// Transitions, newest first, at most `limit`.
    fn history(
        &self,
        platform: Option<Platform>,
        since: Option<Time>,
        limit: u64,
    ) -> Answer<'_, Vec<CircuitTransition>>;
    /// Closes one.
    fn reset<'a>(&'a self, platform: Platform, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
}

/// Rate limits.
pub trait LimitOps: Send + Sync {
    /// All of them.
    fn list(&self) -> Answer<'_, Vec<RateLimitStatus>>;
}

/// Executors, components, health, host.
pub trait ServiceOps: Send + Sync {
    /// Health of the whole.
    fn health(&self) -> Answer<'_, HealthReport>;
    /// One screen about everything; the routes fill in `service`.
    fn system(&self, service: ServiceInfo) -> Answer<'_, SystemStatus>;
    /// The host.
    fn host(&self) -> Answer<'_, HostStatus>;
    /// All executors.
    fn executors(&self) -> Answer<'_, Vec<ExecutorStatus>>;
    /// The parts.
    fn components(&self) -> Answer<'_, Vec<ComponentStatus>>;
    /// Looks at one part closely: a real write and read, a real round trip, real counts.
    fn check(&self, component: Component) -> Answer<'_, ComponentCheck>;
    /// Restarts one part (or one platform's executor) after a drain.
    fn restart<'a>(
        &'a self,
        component: Component,
        platform: Option<Platform>,
        drain: Duration,
        cx: &'a ChangeContext,
    ) -> Answer<'a, RestartAnswer>;
    /// Asks a platform who we are, with the service's credential.
    fn auth(&self, platform: Platform) -> Answer<'_, AuthStatus>;
    /// Empties the response caches (never idempotency records).
    fn clear_caches<'a>(&'a self, cx: &'a ChangeContext) -> Answer<'a, CacheCleared>;
}

/// Metrics.
pub trait MetricsOps: Send + Sync {
    /// The documented metrics: window `1h`, `6h`, `24h` or `7d`.
    fn actions(&self, window: &str, platform: Option<Platform>) -> Answer<'_, ActionMetrics>;
    /// A window beside the one before it.
    fn performance(&self, window: Duration, platform: Option<Platform>) -> Answer<'_, Performance>;
    /// Requests really sent.
    fn requests(&self, window: Duration, platform: Option<Platform>) -> Answer<'_, RequestMetrics>;
    /// Actions by platform and type.
    fn breakdown(&self, window: Duration, platform: Option<Platform>) -> Answer<'_, ActionBreakdown>;
    /// What was recorded between two moments, by hour or by day.
    fn history(&self, from: Time, to: Time, bucket: Bucket) -> Answer<'_, MetricHistory>;
    /// The OpenMetrics text, ending with `# EOF`.
    fn open_metrics(&self) -> Answer<'_, String>;
}

/// Settings at run time.
pub trait ConfigOps: Send + Sync {
    /// All settings, by name.
    fn list(&self) -> Answer<'_, Vec<ConfigEntry>>;
    /// One setting.
    fn get<'a>(&'a self, name: &'a str) -> Answer<'a, ConfigEntry>;
    /// Sets one.
    fn set<'a>(&'a self, name: &'a str, set: ConfigSet, cx: &'a ChangeContext) -> Answer<'a, ConfigEntry>;
    /// Back to the environment's value or the default.
    fn unset<'a>(&'a self, name: &'a str, cx: &'a ChangeContext) -> Answer<'a, ConfigEntry>;
    /// Makes a value that was set for a time a lasting one.
    fn keep<'a>(&'a self, name: &'a str, cx: &'a ChangeContext) -> Answer<'a, ConfigEntry>;
    /// Takes a value that was set for a time back before its time.
    fn back<'a>(&'a self, name: &'a str, cx: &'a ChangeContext) -> Answer<'a, ConfigEntry>;
    /// Looks at all of them.
    fn validate(&self) -> Answer<'_, ConfigReport>;
}

/// [`LogRecord`]s, one a line, in pieces of whole lines.
pub type LogStream = tokio::sync::mpsc::Receiver<Vec<u8>>;

/// Error log.
pub trait LogOps: Send + Sync {
    /// Errors, newest first.
    fn errors(&self, filter: ErrorFilter) -> Answer<'_, ErrorLog>;
    /// Lines of a log, the newest ones, oldest of them first.
    fn lines(&self, log: LogName, filter: LineFilter) -> Answer<'_, LogPage>;
    /// All lines of a log that fit, oldest first, as [`LogRecord`]s; `filter.limit` does not count.
    fn stream(&self, log: LogName, filter: LineFilter) -> Answer<'_, LogStream>;
}

/// Workflows and their rollbacks.
pub trait WorkflowOps: Send + Sync {
    /// Accepts a workflow and starts it; returns only after it is durably stored.
    fn submit<'a>(&'a self, workflow: WorkflowRequest, cx: &'a ChangeContext) -> Answer<'a, WorkflowAccepted>;
    /// Workflows, newest first.
    fn list(&self, filter: WorkflowFilter) -> Answer<'_, WorkflowList>;
    /// One workflow with all its steps; status `unknown` when only the execution log knows it.
    fn get<'a>(&'a self, id: &'a str) -> Answer<'a, Workflow>;
    /// Entries of the execution log. `NOT_FOUND` when a workflow is named that it does not know.
    fn events(&self, filter: EventFilter) -> Answer<'_, WorkflowEvents>;
    /// What a rollback would do; reads alone.
    fn rollback_plan<'a>(&'a self, id: &'a str, mode: RollbackMode) -> Answer<'a, RollbackPlan>;
    /// Begins a rollback and takes the workflow's lease. `CONFLICT` with the lease in its details while somebody else
    /// is at work on it; `already_so` when it is rolled back already.
    fn rollback<'a>(&'a self, id: &'a str, mode: RollbackMode, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Starts a stored workflow that waits, such as a compensating one.
    fn execute<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Makes a workflow that undoes this one's executed steps, without running it.
    fn compensate<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, WorkflowAccepted>;
    /// Takes a person's word that a failed workflow was put right.
    fn resolve<'a>(&'a self, id: &'a str, request: ResolveRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Takes a person's word that a workflow is completed: what has not run will not.
    fn complete<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Takes a resolved workflow off the list of failures.
    fn clear<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// What rebuilding its state from the execution log would change; reads alone.
    fn rebuild_plan<'a>(&'a self, id: &'a str) -> Answer<'a, RebuildPlan>;
    /// Rebuilds its state from the execution log.
    fn rebuild<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
    /// Compares states, execution logs and the platforms' objects. Takes its time and changes nothing; routes run it as
    /// a job.
    fn integrity<'a>(&'a self, request: IntegrityRequest, progress: &'a Progress) -> Answer<'a, IntegrityReport>;
}

/// Idempotency keys.
pub trait IdempotencyOps: Send + Sync {
    /// Keys of a view, newest first, at most `limit`.
    fn keys(&self, view: KeyView, limit: u64) -> Answer<'_, IdempotencyKeys>;
    /// One key with what collided with it.
    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, IdempotencyKey>;
    /// Refused collisions, newest first, at most `limit`.
    fn collisions(&self, since: Option<Time>, limit: u64) -> Answer<'_, KeyCollisions>;
    /// Forgets a key: the next submission with it runs. `CONFLICT` while its action is in flight.
    fn clear_key<'a>(&'a self, key: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer>;
}

/// Actions that wait for a person's decision.
pub trait ApprovalOps: Send + Sync {
    /// Approvals of a status.
    fn approvals(&self, filter: ApprovalFilter) -> Answer<'_, Approvals>;
    /// One approval, by its id or its action's.
    fn approval<'a>(&'a self, id: &'a str) -> Answer<'a, ApprovalRecord>;
    /// Lets the action run. `CONFLICT` when it was decided otherwise or by somebody else, or is too late.
    fn approve<'a>(&'a self, id: &'a str, request: ApproveRequest, cx: &'a ChangeContext) -> Answer<'a, Approved>;
    /// Ends the action without running it. `CONFLICT` as for an approval.
    fn reject<'a>(&'a self, id: &'a str, request: RejectRequest, cx: &'a ChangeContext) -> Answer<'a, Rejected>;
}

/// Backups and restores. All but the listing take their time: routes run them as jobs.
pub trait BackupOps: Send + Sync {
    /// All backups, newest first.
    fn list(&self) -> Answer<'_, BackupList>;
    /// Makes one while the work goes on; it is there only once all of it is on the disk.
    fn create<'a>(
        &'a self,
        request: BackupRequest,
        cx: &'a ChangeContext,
        progress: &'a Progress,
    ) -> Answer<'a, BackupMade>;
    /// Compares one with its manifest and restores it into a scratch folder. What is wrong with it is in the verdict.
    fn verify<'a>(&'a self, id: &'a str, progress: &'a Progress) -> Answer<'a, BackupVerdict>;
    /// Plays a failure through on a scratch copy, up to a second service that reads and writes. The live store is only
    /// read; what went wrong is in the report.
    fn drill<'a>(
        &'a self,
        request: DrillRequest,
        cx: &'a ChangeContext,
        progress: &'a Progress,
    ) -> Answer<'a, DrillReport>;
    /// What a restore would do; reads alone.
    fn restore_plan<'a>(&'a self, id: &'a str, scope: RestoreScope) -> Answer<'a, RestorePlan>;
    /// Looks at a backup closely, makes one of what is there, and puts it in place. `CONFLICT` unless everything is paused.
    fn restore<'a>(
        &'a self,
        id: &'a str,
        scope: RestoreScope,
        cx: &'a ChangeContext,
        progress: &'a Progress,
    ) -> Answer<'a, Restored>;
}
