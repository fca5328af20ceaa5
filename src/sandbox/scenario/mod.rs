//! The runbook's issues, brought about by real faults, real traffic and the sandbox's clock. Each is done when its
//! symptom shows in the admin API, and says what is true then and what the runbook does next.

mod clear;
mod database;
mod workflows;

pub use clear::clear;

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};

use super::ground::Ground;
use super::member2::Member2;
use super::place::write_private;
use super::record::Scene;
use super::sim::{Api, Fault, FaultSpec};
use super::traffic::{self, Writer};
use crate::error::{self, Kind};
use crate::wire::{
    ActionRequest, AuthStatus, CircuitState, CircuitStatus, ErrorCode, ErrorLog, ExecutorHealth, ExecutorStatus, Pause,
    Platform, Priority, QueueItems, RateLimitStatus, Time, words,
};

/// How long a symptom may take to show: longer than the longest window of a platform's limit (Sheets: 100 s), which may
/// be used up.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Errors of a kind that have to be in the log to be noticed.
const ERRORS: u64 = 3;
/// What the correlation ids of a scenario's actions start with.
const MARK: &str = "scenario-";
/// How long an item waits before it is stuck, and a little more.
const STUCK: Duration = Duration::from_secs(11 * 60);

words! {
    /// A practice scenario.
    Scenario {
        /// Actions stuck in the queue.
        StuckQueue = "issue-1",
        /// A circuit breaker opens.
        CircuitOpen = "issue-2",
        /// Tasks are created twice.
        Duplicates = "issue-3",
        /// A rollback fails.
        RollbackFailed = "issue-4",
        /// A rate limit is exceeded.
        RateLimited = "issue-5",
        /// A key is revoked.
        KeyRevoked = "issue-6",
        /// An executor is down.
        ExecutorDown = "issue-7",
        /// The state of workflows is lost.
        StateLost = "issue-8",
        /// All actions to a platform fail.
        PlatformDown = "issue-10",
        /// Stored state and platforms disagree.
        Corruption = "procedure-2",
    }
}

impl Scenario {
    /// The runbook's heading.
    pub const fn title(self) -> &'static str {
        match self {
            Scenario::StuckQueue => "Actions Stuck in Queue",
            Scenario::CircuitOpen => "Circuit Breaker Open for Platform",
            Scenario::Duplicates => "Duplicate Tasks Created",
            Scenario::RollbackFailed => "Rollback Failed",
            Scenario::RateLimited => "Rate Limit Exceeded",
            Scenario::KeyRevoked => "Authentication Failed",
            Scenario::ExecutorDown => "Platform Executor Down",
            Scenario::StateLost => "Workflow State Lost",
            Scenario::PlatformDown => "All Actions Failing to Platform",
            Scenario::Corruption => "Data Corruption Detected",
        }
    }

    /// What is done to bring it about.
    pub const fn cause(self) -> &'static str {
        match self {
            Scenario::StuckQueue => "Slack answers 429 to every message, and the clock moves 11 minutes",
            Scenario::CircuitOpen => "Notion answers 503",
            Scenario::Duplicates => "tasks come twice while idempotency is off, and with a moment in their keys",
            Scenario::RollbackFailed => "a workflow fails at its message, and Drive answers 403 to the undo",
            Scenario::RateLimited => "more for Notion than its limit lets through, and it answers 429",
            Scenario::KeyRevoked => "Notion's key is revoked",
            Scenario::ExecutorDown => "Notion's address refuses connections",
            Scenario::StateLost => "rows of workflows are taken out of the stopped orchestrator's database",
            Scenario::Corruption => "objects and stored rows of workflows are changed behind the orchestrator's back",
            Scenario::PlatformDown => "Notion answers 503 and its status feed says major outage",
        }
    }

    /// What the runbook types next.
    const fn next(self) -> &'static [&'static str] {
        match self {
            Scenario::StuckQueue => &[
                "opsctl queue status",
                "opsctl check health --verbose",
                "opsctl queue stuck",
                "opsctl clear:queue --stuck-only",
            ],
            Scenario::CircuitOpen => &[
                "opsctl circuit status notion",
                "opsctl logs errors --platform notion --limit 10",
                "opsctl check health notion --external",
                "opsctl test auth notion",
            ],
            Scenario::Duplicates => &[
                "opsctl config get ENABLE_IDEMPOTENCY",
                "opsctl workflow state <workflowId>",
                "opsctl idempotency check <key>",
                "opsctl config set ENABLE_IDEMPOTENCY=true",
                "opsctl restart all",
                "opsctl workflow mark-completed <workflowId>",
            ],
            Scenario::RollbackFailed => &[
                "opsctl workflow status <workflowId>",
                "opsctl logs rollback --workflow <workflowId>",
                "opsctl workflow rollback-failures <workflowId>",
                "opsctl sandbox fault clear drive",
                "opsctl rollback retry <workflowId>",
            ],
            Scenario::RateLimited => &[
                "opsctl rate-limits status notion",
                "opsctl metrics requests --platform notion --window 5m",
                "opsctl rate-limits status notion --reset-time",
                "opsctl queue status",
            ],
            Scenario::KeyRevoked => &[
                "opsctl test auth notion",
                "opsctl config set NOTION_API_KEY --value-file KEY_FILE",
                "opsctl restart all",
                "opsctl test auth notion",
            ],
            Scenario::ExecutorDown => &[
                "opsctl executor status notion",
                "opsctl logs errors --platform notion",
                "opsctl executor restart notion",
                "opsctl check health --all",
            ],
            Scenario::StateLost => &[
                "opsctl workflow status <workflowId>",
                "opsctl state check",
                "opsctl db check",
                "opsctl state backups",
                "opsctl state rebuild <workflowId>",
                "opsctl state restore --backup <timestamp>",
            ],
            Scenario::Corruption => &[
                "opsctl pause all",
                "opsctl analyze corruption --since 24h",
                "opsctl backup create --full",
                "opsctl restore point --timestamp <clean-timestamp>",
                "opsctl verify integrity --all",
                "opsctl resume all --slow-start",
            ],
            Scenario::PlatformDown => &[
                "opsctl check health notion --external",
                "opsctl test auth notion",
                "opsctl circuit status notion",
                "opsctl rate-limits status notion",
            ],
        }
    }
}

/// What a scenario, or its end, made true.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Which scenario; `None` after `clear`.
    pub scenario: Option<Scenario>,
    /// What is true now, seen through the admin API.
    pub facts: Vec<String>,
    /// What to type next.
    pub next: Vec<String>,
}

/// Brings a scenario about.
pub async fn bring_about(ground: &Ground, scenario: Scenario, now: Time) -> anyhow::Result<Made> {
    if let Some(other) = ground.record.scenario.as_deref() {
        return Err(error::Fault::new(Kind::Conflict, format!("the scenario {other} is on"))
            .because("two at once would hide each other's symptoms")
            .hint("end it with `opsctl sandbox scenario clear`")
            .into());
    }
    ensure_running(ground).await?;
    ground.set_scenario(Some(scenario.as_str()), Scene::default()).await?;
    let stage = Stage { ground, scenario, log: Member2::new(ground.place.member2_log()), now };
    let facts = match scenario {
        Scenario::StuckQueue => stage.stuck_queue().await,
        Scenario::CircuitOpen => stage.circuit_open().await,
        Scenario::Duplicates => stage.duplicates().await,
        Scenario::RollbackFailed => stage.rollback_failed().await,
        Scenario::RateLimited => stage.rate_limited().await,
        Scenario::KeyRevoked => stage.key_revoked().await,
        Scenario::ExecutorDown => stage.executor_down().await,
        Scenario::StateLost => stage.state_lost().await,
        Scenario::PlatformDown => stage.platform_down().await,
        Scenario::Corruption => stage.corruption().await,
    };
    let facts = facts.with_context(|| format!("{scenario} did not come about"))?;
    let key_file = ground.key_file(Platform::Notion).display().to_string();
    let scene = Ground::enter(&ground.place)?.record.scene;
    let filled = |line: &&str| {
        let line = line.replace("KEY_FILE", &key_file);
        scene.placeholders.iter().fold(line, |line, (name, value)| line.replace(&format!("<{name}>"), value))
    };
    let in_sandbox = |line: String| if line.contains(" sandbox ") { line } else { format!("{line} --context sandbox") };
    let mut next: Vec<String> = scenario.next().iter().map(filled).map(in_sandbox).collect();
    next.push("opsctl sandbox scenario clear".into());
    Ok(Made { scenario: Some(scenario), facts, next })
}

/// While processing is paused nothing fails and nothing recovers.
async fn ensure_running(ground: &Ground) -> anyhow::Result<()> {
    let pauses: Vec<Pause> = ground.admin.get("/admin/v1/pauses").await?;
    if pauses.is_empty() {
        return Ok(());
    }
    Err(error::Fault::new(Kind::Conflict, "the sandbox's orchestrator is paused")
        .because("nothing is executed, so nothing can be seen to fail or to recover")
        .hint("end the pause with `opsctl resume all --context sandbox`, then repeat the command")
        .into())
}

/// What a scenario works with.
struct Stage<'a> {
    ground: &'a Ground,
    scenario: Scenario,
    log: Member2,
    now: Time,
}

impl Stage<'_> {
    async fn stuck_queue(&self) -> anyhow::Result<Vec<String>> {
        const ITEMS: usize = 60;
        let spec = FaultSpec::from(Fault::RateLimited { retry_after_secs: 5 }).only("write");
        self.ground.fault(Api::Slack, &spec).await?;
        self.send(Platform::Slack, None, ITEMS).await?;
        let ahead = self.ground.advance(STUCK).await?;
        let stuck = until("no item is stuck", || async {
            let items: QueueItems = self.ground.admin.get("/admin/v1/queue/items?view=stuck&platform=slack").await?;
            Ok((items.total > 0).then_some(items.total))
        })
        .await?;
        Ok(vec![
            format!("{} wait for more than 10 minutes", count(stuck, "item")),
            "Slack answers 429 to every message".into(),
            format!("the sandbox's clock is {} minutes ahead", ahead / 60_000),
        ])
    }

    async fn circuit_open(&self) -> anyhow::Result<Vec<String>> {
        self.ground.fault(Api::Notion, &Fault::ServerError { status: 503 }.into()).await?;
        let open = self.open_circuit().await?;
        Ok(vec!["Notion answers 503 to everything".into(), open])
    }

    async fn rate_limited(&self) -> anyhow::Result<Vec<String>> {
        const ITEMS: usize = 150;
        let spec = FaultSpec::from(Fault::RateLimited { retry_after_secs: 1 }).only("write");
        self.ground.fault(Api::Notion, &spec).await?;
        self.send(Platform::Notion, None, ITEMS).await?;
        let limit = until("the limit is not reached", || async {
            let limits: Vec<RateLimitStatus> = self.ground.admin.get("/api/rate-limits").await?;
            Ok(limits.into_iter().find(|l| l.platform == Platform::Notion && l.percentage >= 100))
        })
        .await?;
        let refused = self.errors_of(ErrorCode::RateLimited).await?;
        Ok(vec![
            format!(
                "Notion's limit is at {}%: {} of {} in {}",
                limit.percentage, limit.current, limit.limit, limit.window
            ),
            refused,
        ])
    }

    async fn key_revoked(&self) -> anyhow::Result<Vec<String>> {
        let revoked = self.ground.revoke(Api::Notion).await?;
        let key = self.ground.mint(Api::Notion).await?;
        let file = self.ground.key_file(Platform::Notion);
        write_private(&file, key.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
        self.send(Platform::Notion, Some(Priority::Critical), 3).await?;
        let refused = self.errors_of(ErrorCode::AuthError).await?;
        let auth = until("the key is still accepted", || async {
            let auth: AuthStatus = self.ground.admin.get("/admin/v1/platforms/notion/auth").await?;
            Ok((!auth.authenticated).then_some(auth))
        })
        .await?;
        let why = auth.error.unwrap_or_else(|| "no reason given".into());
        Ok(vec![
            format!("{} of Notion revoked; it answers: {why}", count(revoked, "key")),
            refused,
            format!("a new key is in {}", file.display()),
        ])
    }

    async fn executor_down(&self) -> anyhow::Result<Vec<String>> {
        self.ground.fault(Api::Notion, &Fault::Down.into()).await?;
        let open = self.open_circuit().await?;
        let executor = until("the executor is not down", || async {
            let all: Vec<ExecutorStatus> = self.ground.admin.get("/admin/v1/executors").await?;
            Ok(all.into_iter().find(|e| e.platform == Platform::Notion && e.health == ExecutorHealth::Down))
        })
        .await?;
        let last = executor.last_error.unwrap_or_else(|| "no error kept".into());
        Ok(vec![format!("Notion's executor is down: {last}"), open])
    }

    async fn platform_down(&self) -> anyhow::Result<Vec<String>> {
        let _: Value = self.ground.control.post("/feeds/notion", &json!({"indicator": "critical"})).await?;
        self.ground.fault(Api::Notion, &Fault::ServerError { status: 503 }.into()).await?;
        let open = self.open_circuit().await?;
        Ok(vec![
            "Notion answers 503 to everything".into(),
            "Notion's status feed says: Major Service Outage".into(),
            open,
        ])
    }

    /// Sends until Notion's circuit opens.
    async fn open_circuit(&self) -> anyhow::Result<String> {
        self.send(Platform::Notion, Some(Priority::Critical), 8).await?;
        let circuit = until("Notion's circuit does not open", || async {
            let all: Vec<CircuitStatus> = self.ground.admin.get("/circuit-breakers").await?;
            Ok(all.into_iter().find(|c| c.platform == Platform::Notion && c.state == CircuitState::Open))
        })
        .await?;
        let until = circuit.will_reset_at.map(|t| format!(", the next try is at {t}")).unwrap_or_default();
        Ok(format!("Notion's circuit is OPEN after {} failures{until}", circuit.failure_count))
    }

    async fn errors_of(&self, code: ErrorCode) -> anyhow::Result<String> {
        let since = self.now;
        until("no such error is logged", || async {
            let path = format!("/admin/v1/logs/errors?limit=1000&platform=notion&since={since}");
            let log: ErrorLog = self.ground.admin.get(&path).await?;
            let found = log.by_code.iter().find(|(found, errors)| **found == code && **errors >= ERRORS);
            Ok(found.map(|(code, errors)| {
                let word = serde_json::to_value(code).ok().and_then(|v| v.as_str().map(str::to_owned));
                format!("{} {} in the log", count(*errors, "error"), word.unwrap_or_default())
            }))
        })
        .await
    }

    async fn send(&self, platform: Platform, priority: Option<Priority>, count: usize) -> anyhow::Result<()> {
        submit(self.ground, &self.log, self.scenario.as_str(), self.now, platform, priority, count).await
    }
}

async fn submit(
    ground: &Ground,
    log: &Member2,
    name: &str,
    now: Time,
    platform: Platform,
    priority: Option<Priority>,
    count: usize,
) -> anyhow::Result<()> {
    let writer = Writer::default();
    let actions = (0..count).map(|_| {
        let action = writer.action(platform);
        let id = action.correlation_id.unwrap_or_default();
        ActionRequest {
            priority: priority.unwrap_or(action.priority),
            correlation_id: Some(format!("{MARK}{name}-{id}")),
            ..action
        }
    });
    traffic::submit(&ground.admin, log, now, actions.collect()).await.map(|_| ())
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Looks until there is something to see.
async fn until<T, F>(what_not: &str, mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(error::Fault::new(Kind::Failed, format!("{what_not} within {}s", LIMIT.as_secs()))
                .hint("see `opsctl sandbox status`; `opsctl sandbox scenario clear` mends everything")
                .into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
