//! One line of the service's log: what it says and which files it belongs to.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::wire::{ErrorCode, Platform, Time};

/// How much a line matters; a level shows itself and those before it. The words are winston's, as `LOG_LEVEL` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Something happened that an operator wants to know.
    Info,
    /// Each step of an action.
    Verbose,
    /// For finding out why.
    Debug,
    /// Everything.
    Silly,
}

impl Level {
    /// Every level, most important first.
    pub const ALL: [Level; 6] = [Level::Error, Level::Warn, Level::Info, Level::Verbose, Level::Debug, Level::Silly];

    /// The spelling in `LOG_LEVEL` and in the files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Verbose => "verbose",
            Level::Debug => "debug",
            Level::Silly => "silly",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Level::ALL
            .into_iter()
            .find(|l| l.as_str().eq_ignore_ascii_case(s))
            .ok_or_else(|| format!("`{s}` is not one of {}", Level::ALL.map(Level::as_str).join(", ")))
    }
}

/// The part of the service that speaks: the `component` of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The process: start, stop, restarts of parts.
    Service,
    /// Platform calls.
    Executor,
    /// The queue.
    Queue,
    /// The worker pool.
    Worker,
    /// The action store.
    Store,
    /// The admin API.
    Http,
    /// Circuit breakers.
    Circuit,
    /// Idempotency records.
    Idempotency,
    /// Fallbacks to another platform.
    Fallback,
    /// Workflow state.
    StateManager,
    /// Workflows and their steps.
    Workflow,
    /// Rollbacks.
    Rollback,
    /// Settings.
    Config,
    /// Credentials, roles, lockdown.
    Security,
    /// Metrics and these files.
    Telemetry,
}

impl Part {
    /// The spelling in the files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Part::Service => "service",
            Part::Executor => "executor",
            Part::Queue => "queue",
            Part::Worker => "worker",
            Part::Store => "store",
            Part::Http => "http",
            Part::Circuit => "circuit",
            Part::Idempotency => "idempotency",
            Part::Fallback => "fallback",
            Part::StateManager => "state-manager",
            Part::Workflow => "workflow",
            Part::Rollback => "rollback",
            Part::Config => "config",
            Part::Security => "security",
            Part::Telemetry => "telemetry",
        }
    }
}

/// A line to write: `LogLine::error(Part::Executor, "Rate limited").platform(p).action(&id).code(code).attempt(2)`.
#[derive(Clone, Debug)]
pub struct LogLine {
    pub(super) at: Option<Time>,
    pub(super) level: Level,
    pub(super) part: Part,
    pub(super) message: String,
    pub(super) platform: Option<Platform>,
    pub(super) action_id: Option<String>,
    pub(super) code: Option<ErrorCode>,
    pub(super) attempt: Option<u32>,
    pub(super) duration: Option<Duration>,
    pub(super) request_id: Option<String>,
    pub(super) fields: Map<String, Value>,
}

impl LogLine {
    /// A line of any level.
    pub fn new(level: Level, part: Part, message: impl Into<String>) -> Self {
        LogLine {
            at: None,
            level,
            part,
            message: message.into(),
            platform: None,
            action_id: None,
            code: None,
            attempt: None,
            duration: None,
            request_id: None,
            fields: Map::new(),
        }
    }

    /// Something failed.
    pub fn error(part: Part, message: impl Into<String>) -> Self {
        LogLine::new(Level::Error, part, message)
    }

    /// Something is not as it should be.
    pub fn warn(part: Part, message: impl Into<String>) -> Self {
        LogLine::new(Level::Warn, part, message)
    }

    /// Something happened that an operator wants to know.
    pub fn info(part: Part, message: impl Into<String>) -> Self {
        LogLine::new(Level::Info, part, message)
    }

    /// A step of an action.
    pub fn verbose(part: Part, message: impl Into<String>) -> Self {
        LogLine::new(Level::Verbose, part, message)
    }

    /// For finding out why.
    pub fn debug(part: Part, message: impl Into<String>) -> Self {
        LogLine::new(Level::Debug, part, message)
    }

    /// When it happened, if not now.
    pub fn at(mut self, at: Time) -> Self {
        self.at = Some(at);
        self
    }

    /// The platform concerned.
    pub fn platform(mut self, platform: impl Into<Option<Platform>>) -> Self {
        self.platform = platform.into();
        self
    }

    /// The action concerned.
    pub fn action(mut self, id: impl Into<String>) -> Self {
        self.action_id = Some(id.into());
        self
    }

    /// The documented code of the failure.
    pub fn code(mut self, code: ErrorCode) -> Self {
        self.code = Some(code);
        self
    }

    /// The try it was, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// How long it took.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Id of the request: the platform's, or the admin API's.
    pub fn request(mut self, id: impl Into<Option<String>>) -> Self {
        self.request_id = id.into();
        self
    }

    /// The chain of causes, outermost first, as the `stack` of the line.
    pub fn stack(self, error: &anyhow::Error) -> Self {
        let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
        self.field("stack", causes.join("\n  caused by: "))
    }

    /// Any other field; the names above cannot be overridden by it.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The line as one JSON object, without a line end. `at` is used when the line has no time of its own.
    pub(super) fn render(&self, at: Time) -> String {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        put("timestamp", self.at.unwrap_or(at).to_string().into());
        put("level", self.level.as_str().into());
        put("message", self.message.as_str().into());
        put("component", self.part.as_str().into());
        if let Some(platform) = self.platform {
            put("platform", platform.as_str().into());
        }
        if let Some(id) = &self.action_id {
            put("actionId", id.as_str().into());
        }
        if let Some(code) = self.code {
            put("errorCode", code.as_str().into());
        }
        if let Some(attempt) = self.attempt {
            put("attempt", attempt.into());
        }
        if let Some(duration) = self.duration {
            put("durationMs", u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into());
        }
        if let Some(id) = &self.request_id {
            put("requestId", id.as_str().into());
        }
        for (name, value) in &self.fields {
            object.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        Value::Object(object).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_documented_fields_in_order_and_none_that_are_unknown() {
        let line = LogLine::error(Part::Executor, "Rate limited\nslow down")
            .platform(Platform::Notion)
            .action("a-1")
            .code(ErrorCode::RateLimited)
            .attempt(2)
            .duration(Duration::from_millis(412))
            .request(Some("7f3a".to_owned()))
            .field("userId", "user-123")
            .field("level", "info");
        assert_eq!(
            line.render(Time(0)),
            r#"{"timestamp":"1970-01-01T00:00:00.000Z","level":"error","message":"Rate limited\nslow down","component":"executor","platform":"notion","actionId":"a-1","errorCode":"RATE_LIMITED","attempt":2,"durationMs":412,"requestId":"7f3a","userId":"user-123"}"#
        );
        assert_eq!(
            LogLine::info(Part::Queue, "empty").at(Time(5)).render(Time(0)),
            r#"{"timestamp":"1970-01-01T00:00:00.005Z","level":"info","message":"empty","component":"queue"}"#
        );
    }

    #[test]
    fn levels_are_read_whatever_their_case() {
        assert_eq!("WARN".parse(), Ok(Level::Warn));
        assert_eq!(
            "loud".parse::<Level>().unwrap_err(),
            "`loud` is not one of error, warn, info, verbose, debug, silly"
        );
        assert!(Level::Error < Level::Silly);
    }
}
