//! The lines of the runbook that this version has a verb for, in the situations it writes them for.

use serde_json::Value;

use crate::ground::Ground;

/// A situation and what the runbook types in it.
pub struct Scene {
    /// `opsctl sandbox scenario` that brings it about; `None` while all is well.
    pub scenario: Option<&'static str>,
    /// In the order in which they are run.
    pub lines: &'static [Line],
}

/// One line.
pub struct Line {
    /// As the runbook writes it after `npm run`; `<name>` is filled in from `opsctl sandbox status`.
    pub runbook: &'static str,
    /// Lines to run before it.
    pub before: &'static [&'static str],
    /// Exit codes it may end with.
    pub codes: &'static [i32],
    /// The answer as JSON.
    pub shape: Shape,
    /// What has to hold of the answer beside its shape.
    pub holds: fn(&Value) -> Result<(), String>,
    /// What it changes.
    pub effect: Effect,
    /// How it is run.
    pub kind: Kind,
}

/// How a line is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By what its verb does to the world.
    ByClass,
    /// It changes nothing as it stands there, although its verb can.
    Looks,
    /// It goes on until it is stopped: its first answer is judged.
    Endless,
}

/// Fields of an answer.
#[derive(Clone, Copy)]
pub enum Shape {
    /// An object of these fields: what the runbook prints.
    Exactly(&'static [&'static str]),
    /// So many of them.
    EachExactly(usize, &'static [&'static str]),
    /// An object with at least these fields.
    Has(&'static [&'static str]),
    /// So many of them.
    EachHas(usize, &'static [&'static str]),
    /// A list, empty or not.
    List,
}

/// How a change is read back.
#[derive(Clone, Copy)]
pub enum Effect {
    /// It only reads.
    None,
    /// What the server says is something else afterwards.
    Seen(fn(&Ground) -> Value),
}

const fn line(runbook: &'static str, shape: Shape) -> Line {
    Line { runbook, before: &[], codes: &[0], shape, holds: |_| Ok(()), effect: Effect::None, kind: Kind::ByClass }
}

impl Line {
    const fn after(mut self, before: &'static [&'static str]) -> Self {
        self.before = before;
        self
    }

    const fn code(mut self, codes: &'static [i32]) -> Self {
        self.codes = codes;
        self
    }

    const fn holds(mut self, holds: fn(&Value) -> Result<(), String>) -> Self {
        self.holds = holds;
        self
    }

    const fn looks(mut self) -> Self {
        self.kind = Kind::Looks;
        self
    }

    const fn endless(mut self) -> Self {
        self.kind = Kind::Endless;
        self
    }

    const fn seen(mut self, look: fn(&Ground) -> Value) -> Self {
        self.effect = Effect::Seen(look);
        self
    }
}

/// Lines that end every token or give them back, which no other line of this table would survive: the test of the
/// command line that runs each against a service of its own, and what is typed there.
pub const ELSEWHERE: &[(&str, &str)] =
    &[("security:lockdown", "security lockdown"), ("security:restore --verified", "security restore --verified")];

/// Verbs that are not the runbook's.
pub const OURS: &[&str] = &[
    "alerts ack",
    "alerts list",
    "alerts silence",
    "alerts unsilence",
    "api",
    "apply",
    "approvals approve",
    "approvals reject",
    "changes",
    "check alerts",
    "check jobs",
    "completions",
    "config list",
    "config set",
    "config unset",
    "context add",
    "context check",
    "context list",
    "context remove",
    "context show",
    "context use",
    "cron install",
    "cron run",
    "escalate",
    "history",
    "history resume",
    "history show",
    "history verify",
    "links",
    "maintenance done",
    "maintenance monthly",
    "maintenance quarterly",
    "maintenance status",
    "maintenance weekly",
    "man",
    "queue failed",
    "queue retry",
    "queue show",
    "restart orchestrator",
    "runbook lint",
    "runbook list",
    "runbook run",
    "runbook show",
    "runbook transcript",
    "sandbox clock",
    "sandbox down",
    "sandbox fault",
    "sandbox scenario",
    "sandbox status",
    "sandbox traffic",
    "sandbox up",
    "security lockdown",
    "security restore",
    "serve",
    "state export",
    "state import",
    "token create",
    "token list",
    "token revoke",
    "undo",
    "version",
    "wait",
    "worker",
    "worker register",
    "workflow list",
];

use Shape::{EachExactly, EachHas, Exactly, Has, List};

const INTEGRITY: &[&str] = &["workflows", "objects", "ok", "counts", "findings"];

// The outputs that the runbook prints.
const QUEUE: &[&str] = &["totalQueued", "byPriority", "avgWaitTime", "workerUtilization"];
const OPEN: &[&str] = &["platform", "state", "failureCount", "lastFailure", "openedAt", "willResetAt"];
const LIMIT: &[&str] = &["platform", "current", "limit", "window", "percentage", "resetAt"];
const NOT_IN: &[&str] = &["platform", "authenticated", "error", "lastSuccessfulAuth"];

const ROTATED: &[&str] = &["receipt", "emergency", "credentials"];
const WORKFLOW: &[&str] = &["workflowId", "status", "completedSteps", "rolledBackSteps", "failedRollbacks", "error"];

/// The same, where nothing is wrong.
const CLOSED: &[&str] = &["platform", "state", "failureCount"];
const CLOSED_AGAIN: &[&str] = &["platform", "state", "failureCount", "lastFailure"];
const IN: &[&str] = &["platform", "authenticated", "lastSuccessfulAuth"];

// The others have at least this.
const WHOLE: &[&str] = &["overall", "executors", "queue"];
const PLATFORM: &[&str] = &["platform", "status", "circuitBreaker", "rateLimit", "avgResponseTime", "sample"];
const FEED: &[&str] = &["platform", "status", "url", "tookMs"];
const LINES: &[&str] = &["lines", "source"];
const FAILURES: &[&str] = &["since", "until", "groupBy", "total", "before", "groups", "hours", "source"];
const ERRORS: &[&str] = &["errors", "byCode", "total"];
const EXECUTOR: &[&str] = &["platform", "state", "health", "inFlight", "crashes", "restarts", "circuit"];
const SYSTEM: &[&str] = &["service", "overall", "pauses", "openCircuits", "queue", "topErrors", "components", "host"];
const CHECK: &[&str] = &["component", "ok", "checks"];
const ITEMS: &[&str] = &["items", "total", "truncated"];
const PERFORMANCE: &[&str] = &["current", "previous", "byPlatform", "keptSince"];
const RESTARTED: &[&str] = &["component", "drained", "handedBack", "tookMs", "applied", "state"];
const CHANGED: &[&str] = &["effect", "message"];
const COPIES: &[&str] = &["id", "name", "read", "sets", "surplus", "review", "keep", "notReported"];
const BULK: &[&str] = &["receipt", "title", "total", "done", "failed", "items"];
const STATE: &[&str] = &["workflowId", "status", "steps", "attempts", "transactional", "version"];
const EVENTS: &[&str] = &["events", "truncated"];
const KEY_END: &[&str] = &["platform", "state", "detail"];
const PERMISSIONS: &[&str] = &["platform", "permissions"];
const ROLLED_BACK: &[&str] = &["workflowId", "status", "steps"];

/// All of it.
pub const SCENES: &[Scene] = &[
    Scene { scenario: None, lines: QUICK_REFERENCE },
    Scene { scenario: None, lines: TOOLS },
    Scene { scenario: None, lines: CLEAN_UP },
    Scene { scenario: None, lines: OUTAGE },
    Scene { scenario: None, lines: GOING_BACK },
    Scene { scenario: Some("issue-1"), lines: STUCK },
    Scene { scenario: Some("issue-2"), lines: CIRCUIT_OPEN },
    Scene { scenario: Some("issue-3"), lines: DUPLICATES },
    Scene { scenario: Some("issue-4"), lines: ROLLBACK_FAILED },
    Scene { scenario: Some("issue-5"), lines: RATE_LIMITED },
    Scene { scenario: Some("issue-6"), lines: KEY_REVOKED },
    Scene { scenario: Some("issue-7"), lines: EXECUTOR_DOWN },
    Scene { scenario: Some("issue-8"), lines: STATE_LOST },
    Scene { scenario: Some("issue-10"), lines: PLATFORM_DOWN },
];

const QUICK_REFERENCE: &[Line] = &[
    line("check:health", Has(WHOLE)).holds(|a| is(a, "/overall", "healthy")),
    line("check:health notion", Has(PLATFORM)).holds(|a| is(a, "/status", "healthy")),
    line("check:health trello", Has(PLATFORM)),
    line("check:health slack", Has(PLATFORM)),
    line("check:health drive", Has(PLATFORM)),
    line("check:health sheets", Has(PLATFORM)),
    line("check:health [platform]", Has(PLATFORM)),
    line("queue:status", Exactly(QUEUE)).holds(priorities_add_up),
    line("circuit:status", EachExactly(5, CLOSED)),
    line("benchmark", Has(&["url", "concurrency", "probes"])).holds(|a| some(a, "/probes")),
    line("logs:errors --limit 20", Has(ERRORS)),
];

const TOOLS: &[Line] = &[
    line("system:status", Has(SYSTEM)).holds(|a| is(a, "/overall", "healthy")),
    line("executor:status", EachHas(5, EXECUTOR)),
    line("executor:status --all", EachHas(5, EXECUTOR)),
    line("executor:status [platform]", Has(EXECUTOR)),
    line("monitor:platform notion --interval 1m", Has(&["platform", "vendor", "health", "circuit"])).endless(),
    line("queue:stuck", Has(ITEMS)),
    line("circuit:status notion", Exactly(CLOSED)),
    line("circuit:status [platform]", Exactly(CLOSED)),
    line("circuit:status --all", EachExactly(5, CLOSED)),
    line("queue:check", Has(CHECK)).holds(|a| is(a, "/ok", true)),
    line("circuit:history", List),
    line("analyze:capacity --since 30d", Has(&["from", "to", "keptSince", "resources", "beyond"]))
        .holds(|a| some(a, "/resources")),
    line("analyze:failures", Has(FAILURES)),
    line(
        "report:monthly --month last",
        Has(&["month", "trend", "days", "platforms", "incidents", "capacity", "changes"]),
    ),
    line("issues:export --since 30d", Has(&["patterns", "errors", "resolutions", "changes", "source"])),
    line("analyze:fallbacks --since 7d", Has(&["pairs", "total", "executed", "since", "source"])),
    line("analyze:queries --platform notion", Has(&["platforms", "mostRepeated", "cacheTtlMs", "source"])),
    line("analyze:retries --since 30d", Has(&["attempts", "platforms", "maxRetries", "advice", "source"]))
        .holds(|a| some(a, "/attempts/0/succeeded")),
    line("analyze:uptime --platform notion --since 30d", Has(&["platform", "uptime", "seen", "outages", "source"]))
        .holds(|a| some(a, "/up")),
    line("analytics:duplicates --since 7d", Has(&["duplicates", "rows", "prevented", "collisions", "source"]))
        .holds(|a| some(a, "/rows")),
    line("logs:duplicates --since 24h", Has(&["duplicates", "rows", "prevented", "collisions", "source"])),
    line("logs:errors", Has(ERRORS)),
    line("logs:errors [--limit 50]", Has(ERRORS)),
    line("logs:errors --component state-manager", Has(ERRORS)),
    line("logs:actions --platform notion --since 5m --limit 100", Has(LINES)).holds(|a| some(a, "/lines")),
    line("logs:platform <platform>", Has(LINES)).holds(|a| some(a, "/lines")),
    line("logs:member2 --grep \"action:ready\"", Has(LINES)).holds(|a| some(a, "/lines")),
    line("logs:state --since 1h", Has(LINES)),
    line("idempotency:list --limit 50", List).holds(|a| some(a, "")),
    line("idempotency:check <key>", Has(&["key", "state", "fingerprint", "expiresAt"])),
    line("idempotency:clear <key>", Has(CHANGED))
        .seen(|g| g.get("/admin/v1/audit?limit=1")["records"][0]["id"].clone()),
    line("logs:idempotency --collisions", List),
    line("approvals:pending", List),
    line("approvals:overdue --threshold 1h", List),
    line("security:audit --since 7d", Has(&["since", "records", "actors", "deeds", "findings", "tokensUsed"]))
        .holds(|a| some(a, "/actors")),
    line("logs:security --suspicious", Has(&["rules", "findings", "lines", "source"])).holds(|a| some(a, "/rules")),
    line("notify:security-team --incident <details>", Has(&["dedupKey", "channels"])).seen(receipts),
    line("security:rotate-keys --all", Has(ROTATED)).holds(every_key_is_new).seen(key_prints),
    line("security:rotate-keys --all --emergency", Has(ROTATED)).holds(every_key_is_new).seen(key_prints),
    line("test:auth", EachExactly(5, IN)),
    line("test:auth [platform]", Exactly(IN)),
    line("test:auth --all", EachExactly(5, IN)),
    line("test:auth notion", Exactly(IN)),
    line("test:auth slack", Exactly(IN)),
    line("test:auth drive", Exactly(IN)),
    line("test:auth sheets", Exactly(IN)),
    line("metrics:performance", Has(PERFORMANCE)),
    line("metrics:performance --since 7d", Has(PERFORMANCE)),
    line("metrics:requests", Has(&["windowMs", "platforms"])),
    line("config:get ENABLE_IDEMPOTENCY", Has(&["name", "value", "source"])).holds(|a| is(a, "/value", "true")),
    line("config:update-fallback", EachHas(1, &["platform", "standIn", "enabled", "recommended", "why"])).looks(),
    line("dashboard:configure", Has(&["file", "panels"])).looks().holds(|a| is(a, "/panels/0/shown", true)),
    line("dashboard:refresh", Has(&["file", "panels", "checked", "leftOut"]))
        .holds(|a| is(a, "/checked", true))
        .seen(|g| Value::from(std::fs::read_to_string(g.path("data/grafana/opsctl.json")).unwrap_or_default().len())),
    // The host's disk may be full.
    line("maintenance:daily", Exactly(&["checks"])).code(&[0, 3]).holds(seven_lines),
    line("backup:create --full", Has(&["id", "bytes", "tookMs"])).seen(backups),
    line("backup:verify --last", Has(&["id", "ok", "checks"])).after(&["backup create"]).holds(|a| is(a, "/ok", true)),
    line("state:backups", Has(&["backups", "keep"])).after(&["backup create"]).holds(|a| some(a, "/backups")),
    line("dr:test --scenario database-failure", Has(&["scenario", "ok", "backup", "steps", "recoveryMs", "loss"]))
        .after(&["backup create"])
        .holds(|a| is(a, "/ok", true)),
    line("analyze:corruption --since 24h", Has(INTEGRITY)).holds(|a| is(a, "/counts", serde_json::json!({}))),
    line("verify:integrity --all", Has(INTEGRITY)).holds(|a| is(a, "/counts", serde_json::json!({}))),
    line("state:check", Has(INTEGRITY)).holds(|a| is(a, "/counts", serde_json::json!({}))),
    line("workflow:check-state", Has(INTEGRITY)).holds(|a| is(a, "/counts", serde_json::json!({}))),
    line("queue:pause", Has(CHANGED)).seen(pauses),
    line("queue:resume", Has(CHANGED)).seen(pauses),
    line("resume:processing", Has(CHANGED)).after(&["queue pause"]).seen(pauses),
];

/// What Issues 3 and 4 do by hand, straight on the platforms.
const CLEAN_UP: &[Line] = &[
    line("notion:find-duplicates --database <dbId>", Has(COPIES)).holds(|a| some(a, "/surplus")),
    line("notion:remove-duplicates --database <dbId> --dry-run", Has(&["verb", "items", "steps"]))
        .looks()
        .holds(|a| is(a, "/verb", "notion remove-duplicates")),
    line("notion:remove-duplicates --database <dbId> --confirm", Has(BULK))
        .holds(|a| is(a, "/failed", 0))
        .seen(|g| copies(g, "notion find-duplicates --database <dbId>")),
    line("trello:find-duplicates --board <boardId>", Has(COPIES)).holds(|a| some(a, "/surplus")),
    line("trello:archive-duplicates --board <boardId> --confirm", Has(BULK))
        .holds(|a| is(a, "/failed", 0))
        .seen(|g| copies(g, "trello find-duplicates --board <boardId>")),
    line("drive:delete <fileId>", Has(BULK)).holds(one_done).seen(|g| plan(g, "drive delete", "fileId")),
    line("sheets:delete-row <spreadsheetId> <row>", Has(BULK)).holds(one_done).seen(receipts),
    line("slack:send --channel <channel> --text \"Previous notification was in error, please disregard\"", Has(BULK))
        .holds(one_done)
        .seen(receipts),
    line("notion:delete <pageId>", Has(BULK)).holds(one_done).seen(|g| plan(g, "notion delete", "pageId")),
    line("trello:archive <cardId>", Has(BULK)).holds(one_done).seen(|g| plan(g, "trello archive", "cardId")),
];

/// Procedure 1: Complete System Outage.
const OUTAGE: &[Line] = &[
    line("check:health --all", EachHas(5, PLATFORM)),
    line("pause:all", Has(CHANGED)).seen(pauses),
    line("db:check", Has(CHECK)).holds(|a| is(a, "/ok", true)),
    line("eventbus:check", Has(CHECK)).holds(|a| is(a, "/ok", true)),
    // The pause of the line before is a finding.
    line("queue:check", Has(CHECK)).code(&[3]).holds(|a| is(a, "/ok", false)),
    line("restart:database", EachHas(1, RESTARTED)).seen(|g| restarts(g, "database")),
    line("restart:eventbus", EachHas(1, RESTARTED)).seen(|g| restarts(g, "eventbus")),
    line("restart:queue", EachHas(1, RESTARTED)).seen(|g| restarts(g, "queue")),
    line("restart:executors", EachHas(1, RESTARTED)).seen(|g| restarts(g, "executors")),
    line("restart:workers", EachHas(1, RESTARTED)).seen(|g| restarts(g, "workers")),
    line("restart:all", EachHas(5, RESTARTED)).seen(|g| restarts(g, "workers")),
    line("resume:all", Has(CHANGED)).seen(pauses),
    line("resume:all --slow-start", Has(CHANGED)).after(&["pause all"]).seen(pauses),
];

/// Of Issue 8 and Procedure 2, while nothing is lost.
const GOING_BACK: &[Line] = &[
    line("state:restore --backup <timestamp>", Has(&["backup", "safety", "effects"]))
        .after(&["backup create"])
        .seen(backups),
    line("restore:point --timestamp <clean-timestamp>", Has(&["backup", "safety", "effects"]))
        .after(&["backup create", "pause all"])
        .seen(backups),
    line("resume:all --slow-start", Has(CHANGED)).seen(pauses),
];

/// Issue 1: Actions Stuck in Queue.
const STUCK: &[Line] = &[
    line("queue:status", Exactly(QUEUE)).holds(priorities_add_up),
    line("check:health --verbose", Has(WHOLE)).code(&[0, 3]),
    line("rate-limits:status", EachExactly(5, LIMIT)),
    line("circuit:status", EachHas(5, CLOSED)),
    line("queue:stuck", Has(ITEMS)).holds(|a| some(a, "/total")),
    // While it is paused, nothing that is listed begins to run meanwhile.
    line("queue:remove <actionId>", Has(CHANGED))
        .after(&["queue pause"])
        .seen(|g| g.get(&format!("/admin/v1/queue/items/{}", g.id("actionId")))["state"].clone()),
    line("clear:queue --stuck-only", Has(CHANGED)).holds(|a| some(a, "/items")).seen(removed),
    line("queue:clear", Has(CHANGED)).after(WAITING).seen(removed),
    line("clear:queue", Has(CHANGED)).after(WAITING).seen(removed),
    line("resume:processing", Has(CHANGED)).seen(pauses),
];

/// More that wait, after a clear-up.
const WAITING: &[&str] = &["queue resume", "sandbox scenario clear", "sandbox scenario issue-1", "queue pause"];

/// Issue 2: Circuit Breaker Open for Platform.
const CIRCUIT_OPEN: &[Line] = &[
    line("circuit:status notion", Exactly(OPEN)).holds(opened_for_thirty_seconds),
    line("circuit:status", EachHas(5, CLOSED)),
    line("circuit:status --all", EachHas(5, CLOSED)).code(&[3]),
    line("check:health notion", Has(PLATFORM)).code(&[3]).holds(|a| is(a, "/circuitBreaker/state", "OPEN")),
    // The vendor says that all is well.
    line("check:health notion --external", Has(FEED)).holds(|a| is(a, "/status", "OK")),
    line("test:auth notion", Exactly(NOT_IN)).code(&[3]),
    line("logs:errors --platform notion --limit 10", Has(ERRORS)).holds(|a| some(a, "/byCode/SERVICE_DOWN")),
    line("logs:errors --platform notion --since 1h", Has(ERRORS)).holds(|a| some(a, "/byCode/SERVICE_DOWN")),
    line("analyze:failures --since 7d --group-by error", Has(FAILURES)).holds(|a| some(a, "/groups")),
    line("maintenance:daily", Exactly(&["checks"])).code(&[3]).holds(seven_lines),
    line("reset:circuit notion", EachHas(1, CLOSED)).after(&["sandbox fault clear notion"]).seen(notion_circuit),
    line("circuit:status notion", Exactly(CLOSED_AGAIN)).holds(|a| is(a, "/state", "CLOSED")),
    line("circuit:history", List).holds(|a| is(a, "/0/to", "OPEN")),
    line("reset:circuit <platform>", EachHas(1, CLOSED)).after(OPEN_AGAIN).seen(notion_circuit),
    line("circuit:reset [platform]", EachHas(1, CLOSED)).after(OPEN_AGAIN).seen(notion_circuit),
    line("circuit:reset", EachHas(1, CLOSED)).after(OPEN_AGAIN).seen(notion_circuit),
];

const OPEN_AGAIN: &[&str] = &["sandbox scenario clear", "sandbox scenario issue-2", "sandbox fault clear notion"];

/// Issue 3: Duplicate Tasks Created.
const DUPLICATES: &[Line] = &[
    line("config:get ENABLE_IDEMPOTENCY", Has(&["name", "value"])).holds(|a| is(a, "/value", "false")),
    line("workflow:state <workflowId>", Has(STATE)).holds(|a| is(a, "/status", "executing")),
    line("workflow:state <id>", Has(STATE)).holds(|a| is(a, "/status", "executing")),
    line("logs:workflow <workflowId>", Has(EVENTS)).holds(|a| some(a, "/events")),
    line("workflow:mark-completed <workflowId>", Has(CHANGED)).seen(workflow_status),
    line("workflow:rollback <id>", Has(ROLLED_BACK)).holds(|a| is(a, "/status", "rolled_back")).seen(workflow_status),
];

/// Issue 4: Rollback Failed.
const ROLLBACK_FAILED: &[Line] = &[
    line("workflow:status <workflowId>", Exactly(WORKFLOW)).holds(one_of_two_undone),
    line("workflow:status <id>", Exactly(WORKFLOW)).holds(one_of_two_undone),
    line("logs:rollback --workflow <workflowId>", Has(EVENTS)).holds(|a| some(a, "/events")),
    line("workflow:rollback-failures <workflowId>", Has(&["workflowId", "status", "failures"]))
        .holds(|a| is(a, "/failures/0/stepId", "create_file")),
    line("workflow:steps <workflowId>", EachHas(3, &["stepId", "status", "platform", "type"]))
        .holds(|a| is(a, "/2/error/code", "NOT_FOUND")),
    line("logs:workflow <id>", Has(EVENTS)).holds(|a| some(a, "/events")),
    line("logs:workflow <workflowId> --grep \"create_file\"", Has(EVENTS)).holds(|a| some(a, "/events")),
    line("logs:workflow <workflowId> --grep \"update_sheet\"", Has(EVENTS)).holds(|a| some(a, "/events")),
    // This workflow has no page and no card.
    line("logs:workflow <workflowId> --grep \"create_task\"", Has(EVENTS)).holds(|a| none(a, "/events")),
    line("logs:workflow <workflowId> --grep \"create_card\"", Has(EVENTS)).holds(|a| none(a, "/events")),
    line("workflows:failed --since 7d --group-by reason", List).holds(|a| some(a, "/0/count")),
    line("rollback:retry <workflowId>", Has(ROLLED_BACK))
        .after(&["sandbox fault clear drive"])
        .holds(|a| is(a, "/status", "rolled_back"))
        .seen(workflow_status),
    line("rollback:force <workflowId>", Has(ROLLED_BACK))
        .after(FAILED_AGAIN)
        // Drive still refuses.
        .code(&[8])
        .holds(|a| is(a, "/gaveUpOn/0", "create_file"))
        .seen(|g| g.get(&format!("/admin/v1/workflows/{}", g.id("workflowId")))["version"].clone()),
    line("workflow:mark-resolved <workflowId> --comment \"Manual cleanup completed\"", Has(CHANGED))
        .seen(workflow_status),
    line("workflow:clear-failed <workflowId>", Has(CHANGED))
        .seen(|g| g.get(&format!("/admin/v1/workflows/{}", g.id("workflowId")))["cleared"].clone()),
    line("workflow:mark-resolved <id>", Has(CHANGED)).after(FAILED_AGAIN).seen(workflow_status),
    line("workflow:compensate <workflowId>", Has(&["workflowId", "status"]))
        .after(FAILED_AGAIN)
        .holds(|a| is(a, "/status", "pending"))
        .seen(|g| g.get("/admin/v1/workflows?status=pending")["total"].clone()),
    line("workflow:execute <compensatingWorkflowId>", Has(&["workflowId", "status", "steps"]))
        .after(&["sandbox fault clear drive"])
        .holds(|a| is(a, "/status", "completed"))
        .seen(|g| g.get(&format!("/admin/v1/workflows/{}", g.id("compensatingWorkflowId")))["status"].clone()),
    line("docs:generate --rollback-limitations", List).holds(|a| is(a, "/0/platform", "notion")),
];

const FAILED_AGAIN: &[&str] = &["sandbox scenario clear", "sandbox scenario issue-4"];

/// Issue 8: Workflow State Lost.
const STATE_LOST: &[Line] = &[
    line("workflow:status <workflowId>", Has(&["workflowId", "status"]))
        .code(&[3])
        .holds(|a| is(a, "/status", "unknown")),
    line("workflow:state <workflowId>", Has(STATE)).code(&[3]).holds(|a| is(a, "/status", "unknown")),
    line("state:rebuild <workflowId>", Has(CHANGED)).seen(workflow_status),
];

/// Issue 5: Rate Limit Exceeded.
const RATE_LIMITED: &[Line] = &[
    line("rate-limits:status", EachExactly(5, LIMIT)),
    line("rate-limits:status notion", Exactly(LIMIT)).holds(|a| is(a, "/window", "1s")),
    line("rate-limits:status notion --reset-time", Exactly(&["platform", "resetAt"])),
    line("metrics:requests --platform notion --window 5m", Has(&["windowMs", "platforms"]))
        .holds(|a| some(a, "/platforms/0/rateLimited")),
    line("metrics:actions --platform notion --breakdown", Has(&["from", "to", "rows"])),
    line("analytics:rate-limits --since 7d", Has(&["platforms", "hours", "since", "source"]))
        .holds(|a| some(a, "/platforms/0/limited")),
    line("queue:status", Exactly(QUEUE)).holds(|a| some(a, "/totalQueued")),
];

/// Issue 6: Authentication Failed.
const KEY_REVOKED: &[Line] = &[
    line("test:auth notion", Exactly(NOT_IN)).code(&[3]).holds(|a| is(a, "/error", "Invalid API key")),
    line("validate:env", Has(&["variables"])).holds(|a| some(a, "/variables")),
    line("check:key-expiration notion", Has(KEY_END)).code(&[3]).holds(|a| is(a, "/state", "FAIL")),
    line("test:auth --all", EachHas(5, &["platform", "authenticated"])).code(&[3]),
    line("check:health notion", Has(PLATFORM)).code(&[3]),
    line("restart:all", EachHas(5, RESTARTED))
        .after(&["config set NOTION_API_KEY --value-file <newKeyFile>"])
        .seen(|g| g.get("/admin/v1/platforms/notion/auth")["authenticated"].clone()),
    line("test:auth notion", Exactly(IN)),
    // Notion's API does not tell, and nobody wrote it down.
    line("check:key-expiration notion", Has(KEY_END)).code(&[3]).holds(|a| is(a, "/state", "UNKNOWN")),
    line("check:key-permissions notion", Has(PERMISSIONS)).holds(|a| is(a, "/permissions/0/state", "OK")),
    line("check:permissions notion", Has(PERMISSIONS)),
    line("google:refresh-token", Has(&["account", "expiresAt", "scopes"])).holds(|a| some(a, "/scopes")),
];

/// Issue 7: Platform Executor Down.
const EXECUTOR_DOWN: &[Line] = &[
    line("executor:status notion", Has(EXECUTOR)).holds(|a| is(a, "/health", "down")),
    line("executor:status --all", EachHas(5, EXECUTOR)).code(&[3]),
    line("logs:errors --executor notion", Has(ERRORS)).holds(|a| some(a, "/byCode/NETWORK_ERROR")),
    line("logs:executor notion --since 10m", Has(LINES)).holds(|a| is(a, "/lines/0/platform", "notion")),
    line("logs:executor notion --verbose", Has(LINES)).holds(|a| some(a, "/lines")),
    line("logs:workers --since 10m", Has(LINES)).holds(labelled),
    line("logs:fallback --since 5m", Has(LINES)),
    // By now there are some of this user's.
    line("logs:search --filter \"userId:user-123\" --since 24h", Has(LINES)).holds(|a| some(a, "/lines")),
    line("check:health --all", EachHas(5, PLATFORM)).code(&[3]),
    line("config:validate", Has(&["checked", "findings"])),
    line("test:sdk notion", Has(&["platform", "state", "apiVersion", "requests"])).code(&[3]),
    line("test:connectivity notion", Has(&["platform", "url", "steps"]))
        .code(&[3])
        .holds(|a| is(a, "/steps/0/state", "OK")),
    line("executor:restart notion", EachHas(1, RESTARTED))
        .seen(|g| g.find("/admin/v1/executors", "platform", "notion")["restarts"].clone()),
    line("cache:clear", Has(&["caches"])).seen(|g| g.get("/admin/v1/audit?limit=1")["records"][0]["id"].clone()),
];

/// Issue 10: All Actions Failing to Platform.
const PLATFORM_DOWN: &[Line] = &[
    line("check:health notion --external", Has(FEED)).code(&[3]).holds(|a| is(a, "/status", "DOWN")),
    line("check:platform-status notion", Has(FEED)).code(&[3]).holds(|a| is(a, "/status", "DOWN")),
    line("test:auth notion", Exactly(NOT_IN)).code(&[3]),
    line("circuit:status notion", Exactly(OPEN)).holds(opened_for_thirty_seconds),
    line("rate-limits:status notion", Exactly(LIMIT)),
];

fn pauses(ground: &Ground) -> Value {
    ground.get("/admin/v1/pauses")
}

fn backups(ground: &Ground) -> Value {
    ground.get("/admin/v1/backups")["backups"].clone()
}

fn restarts(ground: &Ground, component: &str) -> Value {
    ground.find("/admin/v1/components", "component", component)["restarts"].clone()
}

fn notion_circuit(ground: &Ground) -> Value {
    ground.find("/circuit-breakers", "platform", "notion")["state"].clone()
}

/// How many copies may go.
fn copies(ground: &Ground, line: &str) -> Value {
    ground.run(&format!("{} -o json", ground.fill(line))).code(0).json()["surplus"].clone()
}

/// What would be done to the object of the line, or that it was done.
fn plan(ground: &Ground, verb: &str, placeholder: &str) -> Value {
    Value::from(ground.run(&format!("{verb} {} --dry-run -o json", ground.id(placeholder))).code(0).stdout)
}

/// Which keys the service works with, by their fingerprints.
fn key_prints(ground: &Ground) -> Value {
    let names = ["NOTION_API_KEY", "TRELLO_TOKEN", "SLACK_BOT_TOKEN", "GOOGLE_SERVICE_ACCOUNT_KEY"];
    names.iter().map(|name| ground.get(&format!("/admin/v1/config/{name}"))["fingerprint"].clone()).collect()
}

fn every_key_is_new(answer: &Value) -> Result<(), String> {
    let lines = answer["credentials"].as_array().into_iter().flatten();
    let states: Vec<&str> = lines.filter_map(|line| line["state"].as_str()).collect();
    if states == ["ROTATED"; 4] { Ok(()) } else { Err(format!("states {states:?}")) }
}

/// The newest receipt.
fn receipts(ground: &Ground) -> Value {
    ground.run("history -o json").code(0).json()[0]["id"].clone()
}

fn one_done(answer: &Value) -> Result<(), String> {
    is(answer, "/done", 1)
}

fn workflow_status(ground: &Ground) -> Value {
    ground.get(&format!("/admin/v1/workflows/{}", ground.id("workflowId")))["status"].clone()
}

fn removed(ground: &Ground) -> Value {
    ground.get("/admin/v1/queue/items?view=removed&limit=1")["total"].clone()
}

fn is(answer: &Value, pointer: &str, wanted: impl Into<Value>) -> Result<(), String> {
    let (found, wanted) = (answer.pointer(pointer), wanted.into());
    if found == Some(&wanted) { Ok(()) } else { Err(format!("{pointer} is {found:?}, not {wanted}")) }
}

/// The lines of scenes before may be in it too.
fn labelled(answer: &Value) -> Result<(), String> {
    let lines = answer["lines"].as_array().into_iter().flatten();
    let network = lines.filter(|line| line["label"] == "network").count();
    if network > 0 { Ok(()) } else { Err("no line is labelled network".into()) }
}

/// A number above zero, or a list that is not empty.
fn some(answer: &Value, pointer: &str) -> Result<(), String> {
    let found = answer.pointer(pointer);
    match found {
        Some(Value::Number(number)) if number.as_u64() > Some(0) => Ok(()),
        Some(Value::Array(list)) if !list.is_empty() => Ok(()),
        _ => Err(format!("{pointer} is {found:?}")),
    }
}

/// A list with nothing in it.
fn none(answer: &Value, pointer: &str) -> Result<(), String> {
    is(answer, pointer, Value::Array(Vec::new()))
}

/// The runbook's picture of a failed rollback.
fn one_of_two_undone(answer: &Value) -> Result<(), String> {
    is(answer, "/status", "rollback_failed")?;
    is(answer, "/completedSteps", Value::from(vec!["create_file", "update_sheet"]))?;
    is(answer, "/rolledBackSteps", Value::from(vec!["update_sheet"]))?;
    is(answer, "/failedRollbacks", Value::from(vec!["create_file"]))?;
    is(answer, "/error", "File deletion failed: permission denied")
}

fn priorities_add_up(answer: &Value) -> Result<(), String> {
    let by = answer["byPriority"].as_object().ok_or("no byPriority")?;
    let names: Vec<&str> = by.keys().map(String::as_str).collect();
    let sum: u64 = by.values().filter_map(Value::as_u64).sum();
    match (names[..] == ["critical", "high", "normal", "low"], answer["totalQueued"] == sum) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("priorities {names:?}")),
        (_, false) => Err(format!("the priorities add up to {sum}")),
    }
}

fn opened_for_thirty_seconds(answer: &Value) -> Result<(), String> {
    is(answer, "/state", "OPEN")?;
    if answer["failureCount"].as_u64() < Some(5) {
        return Err("opened before the fifth failure".into());
    }
    let at = |name: &str| answer[name].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let (Some(opened), Some(resets)) = (at("openedAt"), at("willResetAt")) else {
        return Err("no time that can be read".into());
    };
    let open_ms = resets.as_millisecond() - opened.as_millisecond();
    if open_ms == 30_000 { Ok(()) } else { Err(format!("open for {open_ms}ms")) }
}

fn seven_lines(answer: &Value) -> Result<(), String> {
    const NAMES: [&str; 7] = [
        "System Health",
        "Success Rate",
        "Queue Depth",
        "Circuit Breakers",
        "Error Rate",
        "Disk Space",
        "Memory Usage",
    ];
    let lines = answer["checks"].as_array().ok_or("no checks")?;
    let names: Vec<&str> = lines.iter().filter_map(|line| line["name"].as_str()).collect();
    if names == NAMES { Ok(()) } else { Err(format!("lines {names:?}")) }
}
