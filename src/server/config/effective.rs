//! The values in force, typed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::approval::Border;
use crate::secret::Secret;
use crate::server::telemetry::Level;
use crate::wire::{ApprovalCause, Platform};

use super::defs::{BACKUP_SUFFIX, all, credential_names};
use super::value::{Kind, Unit, flag, rate, span_ms};

/// Failures older than this no longer count towards opening a circuit.
const CIRCUIT_WINDOW: Duration = Duration::from_secs(60);

/// Circuit breaker settings of all platforms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitSettings {
    /// Failures within the window that open a circuit.
    pub threshold: u32,
    /// The window.
    pub window: Duration,
    /// How long a circuit stays OPEN.
    pub open_for: Duration,
    /// Successful probes that close it.
    pub successes: u32,
}

/// Requests a window admits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Requests.
    pub limit: u32,
    /// The window.
    pub window: Duration,
}

/// Settings of one platform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlatformSettings {
    /// Whether the circuit guards its calls.
    pub circuit_enabled: bool,
    /// Its rate limit.
    pub rate_limit: RateLimit,
    /// Limit for one call.
    pub timeout: Duration,
    /// Whether its fallback is switched on.
    pub fallback_enabled: bool,
    /// The platform that can stand in for it.
    pub fallback_platform: Option<Platform>,
}

impl PlatformSettings {
    /// The platform that stands in for it now, when the fallback is on.
    pub fn fallback(&self) -> Option<Platform> {
        self.fallback_platform.filter(|_| self.fallback_enabled)
    }
}

/// Actions that share a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batching {
    /// Whether they do.
    pub enabled: bool,
    /// Most actions in one call.
    pub size: usize,
    /// How long a batch waits to fill.
    pub window: Duration,
}

/// Reads answered from memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caching {
    /// Whether they are.
    pub enabled: bool,
    /// How long an answer is used.
    pub ttl: Duration,
}

/// When a person has to decide first.
#[derive(Clone, Debug, PartialEq)]
pub struct Approving {
    /// Whether decisions can be asked for.
    pub enabled: bool,
    /// What needs one although its caller asks for none.
    pub rules: Vec<ApprovalCause>,
    /// How long a decision may take.
    pub timeout: Duration,
    /// Who is outside.
    pub border: Border,
}

/// Where actions go that name no place of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DefaultIds {
    /// `NOTION_DATABASE_ID`.
    pub notion_database: Option<String>,
    /// `TRELLO_DEFAULT_LIST_ID`.
    pub trello_list: Option<String>,
    /// `TRELLO_BOARD_ID`.
    pub trello_board: Option<String>,
    /// `SLACK_DEFAULT_CHANNEL`.
    pub slack_channel: Option<String>,
    /// `SLACK_NOTIFICATIONS_CHANNEL`, or the default channel.
    pub slack_notifications: Option<String>,
    /// `SHEETS_LOG_SPREADSHEET_ID`.
    pub sheets_spreadsheet: Option<String>,
    /// `SHEETS_LOG_SHEET`.
    pub sheets_tab: Option<String>,
    /// `GOOGLE_DRIVE_ROOT_FOLDER_ID`.
    pub drive_folder: Option<String>,
}

/// The values in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// Moves with every change of any value in force.
    pub generation: u64,
    /// Least severe line that is logged.
    pub log_level: Level,
    /// Actions executed at once, 1 to 256.
    pub queue_workers: usize,
    /// Waiting actions beyond which new ones are refused, 1 to 1000000.
    pub queue_max_size: usize,
    /// Retries after the first try.
    pub max_retry_attempts: u32,
    /// Wait before the first retry.
    pub retry_initial_delay: Duration,
    /// Factor between waits.
    pub retry_backoff_multiplier: f64,
    /// Circuit breakers.
    pub circuit: CircuitSettings,
    /// By platform; [`Effective::platform`] reads it.
    pub platforms: BTreeMap<Platform, PlatformSettings>,
    /// Whether repeated actions are recognised.
    pub enable_idempotency: bool,
    /// How long a key is remembered.
    pub idempotency_ttl: Duration,
    /// Approvals.
    pub approvals: Approving,
    /// Steps of one workflow at most.
    pub max_workflow_steps: usize,
    /// How long a workflow may take that does not say.
    pub workflow_timeout: Duration,
    /// Whether a failed transactional workflow is rolled back by itself.
    pub enable_rollback: bool,
    /// Batching.
    pub batching: Batching,
    /// Caching of reads.
    pub caching: Caching,
    /// Actions a minute for one user; `None` is no limit.
    pub throttle_per_user: Option<u32>,
    /// Actions a minute for one workflow; `None` is no limit.
    pub throttle_per_workflow: Option<u32>,
    /// Backups that are kept, 1 to 1000.
    pub backup_keep: usize,
    /// Whether `<NAME>_BACKUP` credentials are used where they are set.
    pub use_backup_credentials: bool,
    /// Credentials that are set, by variable name; backups already stand in when they are to be used.
    pub credentials: BTreeMap<String, Secret>,
    /// Where actions go that name no place.
    pub ids: DefaultIds,
}

impl Effective {
    /// One platform's settings.
    pub fn platform(&self, platform: Platform) -> &PlatformSettings {
        &self.platforms[&platform]
    }

    /// A credential that is set.
    pub fn credential(&self, name: &str) -> Option<&Secret> {
        self.credentials.get(name)
    }

    /// Whether a platform has the credentials it needs.
    pub fn has_credentials(&self, platform: Platform) -> bool {
        let has = |names: &[&str]| names.iter().all(|n| self.credentials.contains_key(*n));
        match platform {
            Platform::Notion => has(&["NOTION_API_KEY"]),
            Platform::Trello => has(&["TRELLO_API_KEY", "TRELLO_TOKEN"]),
            Platform::Slack => has(&["SLACK_BOT_TOKEN"]),
            Platform::Drive | Platform::Sheets => {
                has(&["GOOGLE_SERVICE_ACCOUNT_KEY"])
                    || has(&["GOOGLE_SERVICE_ACCOUNT_EMAIL", "GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY"])
                    || has(&["GOOGLE_APPLICATION_CREDENTIALS"])
                    || has(&["GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GOOGLE_REFRESH_TOKEN"])
            }
        }
    }

    /// Reads the normal spellings; `value` gives the one in force of a variable that has one.
    pub(super) fn read(generation: u64, value: impl Fn(&str) -> Option<String>) -> Effective {
        let values = Values { value: &value };
        let use_backup_credentials = values.flag("USE_BACKUP_CREDENTIALS");
        let credentials = credential_names().filter_map(|name| {
            let backup = use_backup_credentials.then(|| value(&format!("{name}{BACKUP_SUFFIX}"))).flatten();
            Some((name.to_owned(), Secret::new(backup.or_else(|| value(name))?)))
        });
        Effective {
            generation,
            log_level: values.text("LOG_LEVEL").parse().unwrap_or(Level::Info),
            queue_workers: values.size("QUEUE_WORKERS"),
            queue_max_size: values.size("QUEUE_MAX_SIZE"),
            max_retry_attempts: values.count("MAX_RETRY_ATTEMPTS"),
            retry_initial_delay: values.span("RETRY_INITIAL_DELAY"),
            retry_backoff_multiplier: value("RETRY_BACKOFF_MULTIPLIER").and_then(|v| v.parse().ok()).unwrap_or(2.0),
            circuit: CircuitSettings {
                threshold: values.count("CIRCUIT_BREAKER_THRESHOLD"),
                window: CIRCUIT_WINDOW,
                open_for: values.span("CIRCUIT_BREAKER_TIMEOUT"),
                successes: values.count("CIRCUIT_BREAKER_SUCCESS_THRESHOLD"),
            },
            platforms: Platform::ALL.iter().map(|p| (*p, values.platform(*p))).collect(),
            enable_idempotency: values.flag("ENABLE_IDEMPOTENCY"),
            idempotency_ttl: values.span("IDEMPOTENCY_TTL"),
            approvals: Approving {
                enabled: values.flag("ENABLE_APPROVALS"),
                rules: values.list("APPROVAL_RULES").iter().filter_map(|rule| rule.parse().ok()).collect(),
                timeout: values.span("APPROVAL_TIMEOUT"),
                border: Border {
                    own_domains: values.list("APPROVAL_INTERNAL_DOMAINS"),
                    outside_channels: values.list("APPROVAL_EXTERNAL_CHANNELS"),
                },
            },
            max_workflow_steps: values.size("MAX_WORKFLOW_STEPS"),
            workflow_timeout: values.span("WORKFLOW_TIMEOUT_MS"),
            enable_rollback: values.flag("ENABLE_ROLLBACK"),
            batching: Batching {
                enabled: values.flag("ENABLE_BATCHING"),
                size: values.size("BATCH_SIZE"),
                window: values.span("BATCH_WINDOW"),
            },
            caching: Caching { enabled: values.flag("ENABLE_CACHING"), ttl: values.span("CACHE_TTL") },
            throttle_per_user: value("THROTTLE_PER_USER").and_then(|v| v.parse().ok()),
            throttle_per_workflow: value("THROTTLE_PER_WORKFLOW").and_then(|v| v.parse().ok()),
            backup_keep: values.size("BACKUP_KEEP"),
            use_backup_credentials,
            credentials: credentials.collect(),
            ids: DefaultIds {
                notion_database: value("NOTION_DATABASE_ID"),
                trello_list: value("TRELLO_DEFAULT_LIST_ID"),
                trello_board: value("TRELLO_BOARD_ID"),
                slack_channel: value("SLACK_DEFAULT_CHANNEL"),
                slack_notifications: value("SLACK_NOTIFICATIONS_CHANNEL").or_else(|| value("SLACK_DEFAULT_CHANNEL")),
                sheets_spreadsheet: value("SHEETS_LOG_SPREADSHEET_ID"),
                sheets_tab: value("SHEETS_LOG_SHEET"),
                drive_folder: value("GOOGLE_DRIVE_ROOT_FOLDER_ID"),
            },
        }
    }
}

/// Typed reading of values that are in their normal spelling already.
struct Values<'a> {
    value: &'a dyn Fn(&str) -> Option<String>,
}

impl Values<'_> {
    fn text(&self, name: &str) -> String {
        (self.value)(name).unwrap_or_default()
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.text(name).split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn flag(&self, name: &str) -> bool {
        flag(&self.text(name)).unwrap_or(false)
    }

    fn count(&self, name: &str) -> u32 {
        self.text(name).parse().unwrap_or(0)
    }

    fn size(&self, name: &str) -> usize {
        self.text(name).parse().unwrap_or(0)
    }

    fn span(&self, name: &str) -> Duration {
        let unit = match kind(name) {
            Some(Kind::Span { unit, .. }) => unit,
            _ => Unit::Millis,
        };
        Duration::from_millis(span_ms(&self.text(name), unit).unwrap_or(0))
    }

    fn platform(&self, platform: Platform) -> PlatformSettings {
        let name = |suffix: &str| format!("{}_{suffix}", platform.as_str().to_ascii_uppercase());
        let rate_name = name("RATE_LIMIT");
        let window_ms = match kind(&rate_name) {
            Some(Kind::Rate { window_ms }) => window_ms,
            _ => 1000,
        };
        let (limit, window) = rate(&self.text(&rate_name), window_ms).unwrap_or((1, window_ms));
        PlatformSettings {
            circuit_enabled: self.flag(&name("CIRCUIT_BREAKER_ENABLED")),
            rate_limit: RateLimit {
                limit: u32::try_from(limit).unwrap_or(u32::MAX),
                window: Duration::from_millis(window),
            },
            timeout: self.span(&name("TIMEOUT")),
            fallback_enabled: self.flag(&name("FALLBACK_ENABLED")),
            fallback_platform: self.text(&name("FALLBACK_PLATFORM")).parse().ok(),
        }
    }
}

fn kind(name: &str) -> Option<Kind> {
    all().iter().find(|d| d.name == name).map(|d| d.kind)
}

impl Default for Effective {
    /// The built-in values.
    fn default() -> Self {
        Effective::read(0, |name| all().iter().find(|d| d.name == name).and_then(|d| d.default.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_runbooks() {
        let e = Effective::default();
        assert_eq!((e.queue_workers, e.queue_max_size, e.max_retry_attempts), (5, 1000, 3));
        assert_eq!((e.circuit.threshold, e.circuit.open_for, e.circuit.successes), (5, Duration::from_secs(30), 2));
        assert_eq!(e.idempotency_ttl, Duration::from_secs(86_400));
        assert_eq!(e.caching, Caching { enabled: false, ttl: Duration::from_secs(300) });
        assert_eq!(e.batching, Batching { enabled: false, size: 10, window: Duration::from_secs(1) });
        assert_eq!(
            (e.approvals.timeout, &e.approvals.rules[..]),
            (Duration::from_secs(3600), &ApprovalCause::ALL[1..])
        );
        let notion = e.platform(Platform::Notion);
        assert_eq!(notion.rate_limit, RateLimit { limit: 3, window: Duration::from_secs(1) });
        assert_eq!((notion.fallback(), notion.fallback_platform), (None, Some(Platform::Trello)));
        assert_eq!(e.platform(Platform::Drive).rate_limit.window, Duration::from_secs(100));
        assert_eq!((e.throttle_per_user, e.ids.slack_notifications.as_deref()), (None, Some("#general")));
        assert!(!e.has_credentials(Platform::Notion));
    }

    #[test]
    fn backup_credentials_stand_in_only_when_asked() {
        let read = |on: &'static str| {
            Effective::read(1, move |name| match name {
                "USE_BACKUP_CREDENTIALS" => Some(on.into()),
                "NOTION_API_KEY" => Some("first".into()),
                "NOTION_API_KEY_BACKUP" => Some("second".into()),
                "SLACK_BOT_TOKEN" => Some("only".into()),
                _ => None,
            })
        };
        let key = |e: &Effective, name: &str| e.credential(name).unwrap().expose().to_owned();
        assert_eq!(key(&read("false"), "NOTION_API_KEY"), "first");
        assert_eq!(key(&read("true"), "NOTION_API_KEY"), "second");
        assert_eq!(key(&read("true"), "SLACK_BOT_TOKEN"), "only");
    }
}
