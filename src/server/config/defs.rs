//! The one table of variables.

use std::sync::LazyLock;

use crate::aliases;
use crate::wire::{Platform, RestartPart};

use super::shape::{self, Shape};
use super::value::{Kind, Unit};

/// One variable.
#[derive(Clone, Debug)]
pub struct Def {
    /// Its name.
    pub name: String,
    /// Other names it is known by; they work and warn.
    pub aliases: &'static [&'static str],
    /// Type and range.
    pub kind: Kind,
    /// The built-in value, in its normal spelling.
    pub default: Option<String>,
    /// What has to restart before a change holds.
    pub restart: RestartPart,
    /// What it does.
    pub about: String,
}

impl Def {
    /// One line: what it does, unit and range.
    pub fn description(&self) -> String {
        format!("{}; {}", self.about, self.kind.expects())
    }

    /// Whether it can have this value only for a time: without its breaker a platform that is down takes every worker.
    pub fn needs_expiry(&self, value: &str) -> bool {
        self.name.ends_with("_CIRCUIT_BREAKER_ENABLED") && value == "false"
    }
}

/// Which platforms can stand in for which: only where the engine can express an action of one on the other.
pub const FALLBACKS: &[(Platform, &[Platform])] = &[(Platform::Notion, &[Platform::Trello])];

/// A platform's default rate (requests, window in milliseconds) and call timeout in milliseconds (FACTS sections 4, 6).
const PLATFORM_DEFAULTS: [(Platform, u64, u64, u64); 5] = [
    (Platform::Notion, 3, 1000, 10_000),
    (Platform::Trello, 100, 10_000, 8000),
    (Platform::Slack, 1, 1000, 5000),
    (Platform::Drive, 1000, 100_000, 15_000),
    (Platform::Sheets, 100, 100_000, 10_000),
];

/// Words of `APPROVAL_RULES`.
const APPROVAL_RULES: &[&str] = &["deletes", "bulk", "permissions", "external"];

/// Suffix of the variable that holds a credential's stand-in, used while `USE_BACKUP_CREDENTIALS` is true.
pub(super) const BACKUP_SUFFIX: &str = "_BACKUP";

/// The credential variables: name, aliases, shape, whether secret, and what it is.
const CREDENTIALS: [(&str, &[&str], Shape, bool, &str); 11] = [
    ("NOTION_API_KEY", &["NOTION_TOKEN"], shape::NOTION_KEY, true, "Notion key"),
    ("TRELLO_API_KEY", &[], shape::TRELLO_KEY, true, "Trello key"),
    ("TRELLO_TOKEN", &[], shape::TRELLO_TOKEN, true, "Trello token"),
    ("SLACK_BOT_TOKEN", &[], shape::SLACK_BOT, true, "Slack bot token"),
    ("GOOGLE_SERVICE_ACCOUNT_KEY", &[], shape::GOOGLE_KEY, true, "Google service account key for Drive and Sheets"),
    ("GOOGLE_SERVICE_ACCOUNT_EMAIL", &[], shape::EMAIL, false, "Google service account, with its private key"),
    ("GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY", &[], shape::PEM, true, "private key of GOOGLE_SERVICE_ACCOUNT_EMAIL"),
    ("GOOGLE_APPLICATION_CREDENTIALS", &[], shape::PATH, false, "path of a Google key file"),
    ("GOOGLE_CLIENT_ID", &[], shape::GOOGLE_CLIENT, false, "Google OAuth client, with its secret and refresh token"),
    ("GOOGLE_CLIENT_SECRET", &[], shape::ANY, true, "secret of GOOGLE_CLIENT_ID"),
    ("GOOGLE_REFRESH_TOKEN", &[], shape::ANY, true, "refresh token of GOOGLE_CLIENT_ID"),
];

/// Names of the credential variables, stand-ins left out.
pub(super) fn credential_names() -> impl Iterator<Item = &'static str> {
    CREDENTIALS.iter().map(|c| c.0)
}

/// Every variable, by name.
pub fn all() -> &'static [Def] {
    static TABLE: LazyLock<Vec<Def>> = LazyLock::new(|| {
        let mut table = service();
        table.extend(per_platform());
        table.extend(credentials());
        table.extend(places());
        table.sort_by(|a, b| a.name.cmp(&b.name));
        table
    });
    &TABLE
}

/// The variable with this name or alias.
pub fn find(name: &str) -> Option<&'static Def> {
    let by_name = all().iter().find(|d| d.name.eq_ignore_ascii_case(name));
    by_name.or_else(|| all().iter().find(|d| d.aliases.iter().any(|a| a.eq_ignore_ascii_case(name))))
}

/// The known name nearest to an unknown one.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    aliases::nearest(&name.to_ascii_uppercase(), all().iter().map(|d| d.name.as_str()))
}

fn def(name: &str, kind: Kind, default: Option<&str>, restart: RestartPart, about: &str) -> Def {
    let default = default.map(str::to_owned);
    Def { name: name.into(), aliases: &[], kind, default, restart, about: about.into() }
}

fn service() -> Vec<Def> {
    use RestartPart as Part;
    let ms = |min_ms, max_ms| Kind::Span { unit: Unit::Millis, min_ms, max_ms };
    let seconds = |min_ms, max_ms| Kind::Span { unit: Unit::Seconds, min_ms, max_ms };
    let levels = Kind::Word { allowed: &["error", "warn", "info", "verbose", "debug", "silly"], refused: &[] };
    let storage = Kind::Word {
        allowed: &["database"],
        refused: &[("redis", "the store is a local SQLite database that needs no other server")],
    };
    let state = Kind::AlwaysOn("state is always stored; without it a crash would lose accepted actions");
    vec![
        def("LOG_LEVEL", levels, Some("info"), Part::None, "least severe line written to the log files"),
        def("QUEUE_WORKERS", Kind::Count { min: 1, max: 256 }, Some("5"), Part::Workers, "actions executed at once"),
        def(
            "QUEUE_MAX_SIZE",
            Kind::Count { min: 1, max: 1_000_000 },
            Some("1000"),
            Part::Queue,
            "waiting actions beyond which new ones are refused",
        ),
        Def {
            aliases: &["QUEUE_RETRY_ATTEMPTS"],
            ..def(
                "MAX_RETRY_ATTEMPTS",
                Kind::Count { min: 0, max: 20 },
                Some("3"),
                Part::Workers,
                "retries after the first try",
            )
        },
        Def {
            aliases: &["QUEUE_RETRY_DELAY"],
            ..def("RETRY_INITIAL_DELAY", ms(0, 3_600_000), Some("1000"), Part::Workers, "wait before the first retry")
        },
        def(
            "RETRY_BACKOFF_MULTIPLIER",
            Kind::Factor { min: 1.0, max: 100.0 },
            Some("2"),
            Part::Workers,
            "factor between the waits before retries",
        ),
        def(
            "CIRCUIT_BREAKER_THRESHOLD",
            Kind::Count { min: 1, max: 1000 },
            Some("5"),
            Part::Executors,
            "failures within 60 seconds that open a circuit",
        ),
        def(
            "CIRCUIT_BREAKER_TIMEOUT",
            ms(1000, 3_600_000),
            Some("30000"),
            Part::Executors,
            "how long a circuit stays OPEN before a probe",
        ),
        def(
            "CIRCUIT_BREAKER_SUCCESS_THRESHOLD",
            Kind::Count { min: 1, max: 100 },
            Some("2"),
            Part::Executors,
            "successful probes that close a circuit",
        ),
        def("ENABLE_IDEMPOTENCY", Kind::Flag, Some("true"), Part::Queue, "recognise repeated actions by their key"),
        def(
            "IDEMPOTENCY_TTL",
            seconds(1000, 30 * 86_400_000),
            Some("86400"),
            Part::Queue,
            "how long a key is remembered",
        ),
        def("ENABLE_APPROVALS", Kind::Flag, Some("true"), Part::None, "let people decide about actions first"),
        def(
            "APPROVAL_RULES",
            Kind::Words(APPROVAL_RULES),
            Some("deletes,bulk,permissions,external"),
            Part::None,
            "which actions need a decision although their caller asks for none",
        ),
        def(
            "APPROVAL_TIMEOUT",
            ms(1000, 7 * 86_400_000),
            Some("3600000"),
            Part::None,
            "how long a decision may take; undecided actions never run",
        ),
        def(
            "APPROVAL_INTERNAL_DOMAINS",
            Kind::Text(shape::ANY),
            None,
            Part::None,
            "mail domains, separated by commas, that are not outside",
        ),
        def(
            "APPROVAL_EXTERNAL_CHANNELS",
            Kind::Text(shape::ANY),
            None,
            Part::None,
            "Slack channels, separated by commas, that people outside read: ids or names",
        ),
        def(
            "MAX_WORKFLOW_STEPS",
            Kind::Count { min: 1, max: 1000 },
            Some("20"),
            Part::None,
            "steps of one workflow beyond which it is refused",
        ),
        def(
            "WORKFLOW_TIMEOUT_MS",
            ms(1, 86_400_000),
            Some("300000"),
            Part::None,
            "how long a workflow may take, pauses and waiting for approval left out",
        ),
        def("ENABLE_ROLLBACK", Kind::Flag, Some("true"), Part::None, "roll back failed transactional workflows"),
        def("WORKFLOW_STATE_ENABLED", state, Some("true"), Part::None, "store every state change"),
        def("STATE_STORAGE", storage, Some("database"), Part::None, "where state is stored"),
        def(
            "ENABLE_BATCHING",
            Kind::Flag,
            Some("false"),
            Part::Executors,
            "send actions that can share a call together",
        ),
        def("BATCH_SIZE", Kind::Count { min: 1, max: 100 }, Some("10"), Part::Executors, "most actions in one call"),
        def("BATCH_WINDOW", ms(1, 60_000), Some("1000"), Part::Executors, "how long a batch waits to fill"),
        def("ENABLE_CACHING", Kind::Flag, Some("false"), Part::Executors, "answer repeated reads from memory"),
        def("CACHE_TTL", seconds(1000, 86_400_000), Some("300"), Part::Executors, "how long a cached read is used"),
        def("THROTTLE_PER_USER", Kind::PerMinute, Some("off"), Part::Queue, "actions a minute for one user"),
        def("THROTTLE_PER_WORKFLOW", Kind::PerMinute, Some("off"), Part::Queue, "actions a minute for one workflow"),
        def(
            "BACKUP_KEEP",
            Kind::Count { min: 1, max: 1000 },
            Some("14"),
            Part::None,
            "backups that are kept; the newest verified one always is",
        ),
        def(
            "USE_BACKUP_CREDENTIALS",
            Kind::Flag,
            Some("false"),
            Part::Executors,
            "use the <NAME>_BACKUP credentials where they are set",
        ),
    ]
}

fn per_platform() -> Vec<Def> {
    let mut defs = Vec::new();
    for (platform, rate, window_ms, timeout) in PLATFORM_DEFAULTS {
        let prefix = platform.as_str().to_ascii_uppercase();
        let mut add = |suffix: &str, kind, default: &str, restart, about: String| {
            defs.push(def(&format!("{prefix}_{suffix}"), kind, Some(default), restart, &about));
        };
        let holds = RestartPart::None;
        let about = format!("guard {platform} calls with the circuit; false needs an expiry");
        add("CIRCUIT_BREAKER_ENABLED", Kind::Flag, "true", holds, about);
        let about = format!("requests sent to {platform}");
        add("RATE_LIMIT", Kind::Rate { window_ms }, &rate.to_string(), RestartPart::Executors, about);
        let about = format!("limit for one {platform} call");
        let span = Kind::Span { unit: Unit::Millis, min_ms: 100, max_ms: 600_000 };
        add("TIMEOUT", span, &timeout.to_string(), RestartPart::Executors, about);
        if let Some((_, targets)) = FALLBACKS.iter().find(|(p, _)| *p == platform) {
            let about = format!("send {platform} actions to its fallback platform when {platform} is down");
            add("FALLBACK_ENABLED", Kind::Flag, "false", holds, about);
            let about = format!("stands in for {platform}");
            add("FALLBACK_PLATFORM", Kind::Fallback(targets), targets[0].as_str(), holds, about);
        }
    }
    defs
}

fn credentials() -> Vec<Def> {
    let mut defs = Vec::new();
    for (name, aliases, shape, secret, about) in CREDENTIALS {
        let kind = if secret { Kind::Secret(shape) } else { Kind::Text(shape) };
        defs.push(Def { aliases, ..def(name, kind, None, RestartPart::Executors, about) });
        let backup = format!("{name}{BACKUP_SUFFIX}");
        defs.push(def(&backup, kind, None, RestartPart::Executors, &format!("stand-in for {name}")));
    }
    defs
}

fn places() -> Vec<Def> {
    let place = |name, shape, default, about| def(name, Kind::Text(shape), default, RestartPart::None, about);
    vec![
        place("NOTION_DATABASE_ID", shape::NOTION_ID, None, "database of Notion pages that name none"),
        place("TRELLO_DEFAULT_LIST_ID", shape::TRELLO_ID, None, "list of Trello cards that name none"),
        place("TRELLO_BOARD_ID", shape::TRELLO_ID, None, "board of Trello queries that name none"),
        place("SLACK_DEFAULT_CHANNEL", shape::SLACK_CHANNEL, Some("#general"), "channel of messages that name none"),
        Def {
            aliases: &["SLACK_NOTIFICATION_CHANNEL"],
            ..place(
                "SLACK_NOTIFICATIONS_CHANNEL",
                shape::SLACK_CHANNEL,
                None,
                "channel of notifications that name none, before SLACK_DEFAULT_CHANNEL",
            )
        },
        Def {
            aliases: &["SHEETS_SPREADSHEET_ID"],
            ..place("SHEETS_LOG_SPREADSHEET_ID", shape::GOOGLE_ID, None, "spreadsheet of rows that name none")
        },
        place("SHEETS_LOG_SHEET", shape::ANY, Some("Actions"), "tab of rows that name no range"),
        Def {
            aliases: &["DRIVE_FOLDER_ID", "DRIVE_DEFAULT_FOLDER_ID"],
            ..place("GOOGLE_DRIVE_ROOT_FOLDER_ID", shape::GOOGLE_ID, Some("root"), "folder of files that name none")
        },
    ]
}

/// Why a variable that documents name is not a setting here.
pub fn not_ours(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_uppercase();
    let exact = NOT_OURS.iter().find(|(n, _)| *n == name);
    let family = || NOT_OUR_FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix));
    exact.or_else(family).map(|(_, why)| *why)
}

const NOT_OURS: &[(&str, &str)] = &[
    ("NODE_ENV", "the environment word is given at start: `opsctl serve --environment production`"),
    ("PORT", "the address is given at start: `opsctl serve --listen 127.0.0.1:3000`"),
    ("API_PORT", "the address is given at start: `opsctl serve --listen 127.0.0.1:3000`"),
    ("CIRCUIT_BREAKER_RESET_TIMEOUT", "CIRCUIT_BREAKER_TIMEOUT alone says how long a circuit stays OPEN"),
    ("ENABLE_FALLBACKS", "fallbacks are switched by platform: NOTION_FALLBACK_ENABLED"),
    ("ENABLE_METRICS", "metrics are always kept"),
    ("METRICS_ENABLED", "metrics are always kept"),
    ("METRICS_DIR", "metrics are kept in the data directory: `opsctl serve --data-dir`"),
    ("HEALTH_CHECKS_ENABLED", "health comes from real calls and is always kept"),
    ("TRELLO_FALLBACK_ENABLED", "no other platform can hold a Trello card's list and labels"),
    ("TRELLO_FALLBACK_PLATFORM", "no other platform can hold a Trello card's list and labels"),
    ("SLACK_FALLBACK_ENABLED", "no other platform can carry a Slack message"),
    ("SLACK_FALLBACK_PLATFORM", "no other platform can carry a Slack message"),
    ("DRIVE_FALLBACK_ENABLED", "no other platform can hold a Drive file"),
    ("DRIVE_FALLBACK_PLATFORM", "no other platform can hold a Drive file"),
    ("SHEETS_FALLBACK_ENABLED", "no other platform can hold a Sheets row"),
    ("SHEETS_FALLBACK_PLATFORM", "no other platform can hold a Sheets row"),
    ("GOOGLE_DRIVE_API_KEY", "an API key cannot write; set GOOGLE_SERVICE_ACCOUNT_KEY"),
    ("GOOGLE_SHEETS_API_KEY", "an API key cannot write; set GOOGLE_SERVICE_ACCOUNT_KEY"),
    ("SLACK_APP_TOKEN", "events from Slack are not received here; sending needs SLACK_BOT_TOKEN"),
    ("SLACK_SIGNING_SECRET", "events from Slack are not received here; sending needs SLACK_BOT_TOKEN"),
    ("SLACK_WEBHOOK_URL", "messages are sent with SLACK_BOT_TOKEN"),
    ("SLACK_SIMULATED_MODE", "nothing is simulated outside `opsctl sandbox`"),
    ("DRIVE_SHARE_WITH", "name the people in the action's `permissions`"),
];

const NOT_OUR_FAMILIES: &[(&str, &str)] = &[
    ("SLACK_APPROVAL", "decisions are made with `opsctl approvals` or the API, not in Slack"),
    ("GMAIL_", "Gmail is not one of the five platforms"),
    ("EMAIL_", "e-mail is not one of the five platforms"),
    ("COMPOSIO_", "platforms are called directly"),
    ("LLM_", "it belongs to the reasoning engine, not to the orchestrator"),
    ("GROQ_", "it belongs to the reasoning engine, not to the orchestrator"),
    ("OPENAI_", "it belongs to the reasoning engine, not to the orchestrator"),
    ("OPENROUTER_", "it belongs to the reasoning engine, not to the orchestrator"),
    ("TOGETHER_", "it belongs to the reasoning engine, not to the orchestrator"),
    ("FALLBACK_", "a fallback is one of the five platforms: NOTION_FALLBACK_PLATFORM"),
    ("VITE_", "it belongs to the web front end"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every variable the runbook exports or lists in its appendix, `NODE_ENV` apart, which is given at start.
    const RUNBOOK: [&str; 25] = [
        "LOG_LEVEL",
        "QUEUE_WORKERS",
        "QUEUE_MAX_SIZE",
        "CIRCUIT_BREAKER_THRESHOLD",
        "CIRCUIT_BREAKER_TIMEOUT",
        "MAX_RETRY_ATTEMPTS",
        "RETRY_INITIAL_DELAY",
        "RETRY_BACKOFF_MULTIPLIER",
        "ENABLE_IDEMPOTENCY",
        "IDEMPOTENCY_TTL",
        "WORKFLOW_STATE_ENABLED",
        "STATE_STORAGE",
        "NOTION_API_KEY",
        "SLACK_BOT_TOKEN",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "NOTION_FALLBACK_ENABLED",
        "NOTION_FALLBACK_PLATFORM",
        "NOTION_CIRCUIT_BREAKER_ENABLED",
        "NOTION_RATE_LIMIT",
        "ENABLE_BATCHING",
        "BATCH_WINDOW",
        "ENABLE_CACHING",
        "THROTTLE_PER_USER",
        "THROTTLE_PER_WORKFLOW",
        "USE_BACKUP_CREDENTIALS",
    ];

    #[test]
    fn the_runbooks_variables_exist_and_names_are_unique() {
        for name in RUNBOOK {
            assert!(find(name).is_some(), "{name}");
        }
        let mut seen = HashSet::new();
        for def in all() {
            assert!(seen.insert(def.name.as_str()), "{} twice", def.name);
            assert!(def.aliases.iter().all(|a| seen.insert(a)), "alias of {} twice", def.name);
            assert_eq!(not_ours(&def.name), None, "{} is both ours and refused", def.name);
        }
    }

    #[test]
    fn defaults_are_in_their_normal_spelling() {
        for def in all() {
            if let Some(default) = &def.default {
                assert_eq!(def.kind.normalise(default).as_ref(), Ok(default), "{}", def.name);
            }
        }
    }

    #[test]
    fn aliases_refusals_and_near_misses() {
        assert_eq!(find("queue_retry_delay").unwrap().name, "RETRY_INITIAL_DELAY");
        assert!(not_ours("GROQ_API_KEY").unwrap().contains("reasoning"));
        assert_eq!(nearest("QUEUE_WORKER"), Some("QUEUE_WORKERS"));
    }
}
