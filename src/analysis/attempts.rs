//! Tries of actions as the logs tell of them: the service's own lines, and the application's `executions.jsonl`.

use std::borrow::Cow;
use std::time::Duration;

use super::lines::Line;
use crate::wire::{ErrorCode, Platform, Time};

/// The keys that [`attempt`] looks at, and the one that says where a circuit or a fallback moved to.
pub const KEYS: &[&str] = &[
    "platform",
    "target",
    "executorName",
    "executor",
    "message",
    "error",
    "errorCode",
    "code",
    "component",
    "level",
    "status",
    "type",
    "action",
    "actionType",
    "actionId",
    "attempt",
    "attemptNumber",
    "durationMs",
    "executionTime",
    "fingerprint",
    "to",
];

/// Conditions that let tries through and little else, for the log of everything.
pub const FILTER: &str = "actionId:/./";

/// Actions that the application's executors note inside an action of the queue, which is noted as well: `unknown`,
/// `drive-file-1760697045123`, `sheets-update-1760697045123`.
fn is_inner(action: &str) -> bool {
    let number = ["drive-file-", "sheets-update-"].iter().find_map(|prefix| action.strip_prefix(prefix));
    action == "unknown" || number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// One try that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt<'l> {
    /// When it ended.
    pub at: Time,
    /// Where.
    pub platform: Option<Platform>,
    /// What it does: `create`, `create_task`.
    pub kind: Cow<'l, str>,
    /// Which try of its action it was, from 1.
    pub number: u32,
    /// What it failed with; `None` when it succeeded.
    pub error: Option<ErrorCode>,
    /// How long it took.
    pub took: Option<Duration>,
    /// Its action.
    pub action: Cow<'l, str>,
    /// What stands for its parameters: the same again has the same.
    pub fingerprint: Option<Cow<'l, str>>,
}

/// The try that a line tells of, if it tells of one.
pub fn attempt<'l>(line: &Line<'l>) -> Option<Attempt<'l>> {
    let failed = match line.get("status").as_deref() {
        Some("success" | "completed") => false,
        Some("failed" | "failure" | "error") => true,
        // It began.
        Some("started") => return None,
        _ if line.get("component").as_deref() != Some("executor") => return None,
        _ if line.get("level").as_deref() == Some("error") => {
            // A line without a code tells of the executor, not of a try.
            line.get("errorCode")?;
            true
        }
        _ if line.get("message").as_deref() == Some("Action executed") => false,
        _ => return None,
    };
    Some(Attempt {
        at: line.at?,
        platform: line.platform(),
        kind: line.first(&["type", "actionType", "action"]).unwrap_or_default(),
        number: line.number(&["attempt", "attemptNumber"]).map_or(1, |n| n.clamp(1, 1000) as u32),
        error: failed.then(|| line.code()),
        took: line.number(&["durationMs", "executionTime"]).map(Duration::from_millis),
        action: line.get("actionId").filter(|action| !is_inner(action))?,
        fingerprint: line.get("fingerprint"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::{Question, feed};

    struct Tries(Vec<(u32, Option<ErrorCode>, Option<u64>)>);

    impl Question for Tries {
        const KEYS: &'static [&'static str] = KEYS;
        fn take(&mut self, line: &Line<'_>) {
            let short = |a: Attempt<'_>| (a.number, a.error, a.took.map(|t| t.as_millis() as u64));
            self.0.extend(attempt(line).map(short));
        }
    }

    #[test]
    fn both_layouts_tell_of_tries_and_nothing_else_does() {
        let mut tries = Tries(Vec::new());
        feed(
            &mut tries,
            r#"{"timestamp":"2025-10-17T10:30:40.232Z","actionId":"unknown","action":"create_task","target":"notion","status":"failed","error":"rate_limited","executionTime":200,"attemptNumber":1}
               {"timestamp":"2025-10-17T10:30:40.232Z","actionId":"drive-file-1760697045123","action":"upload","target":"drive","status":"success","executionTime":200,"attemptNumber":1}
               {"timestamp":"2025-10-17T10:30:40.001Z","actionId":"a","action":"create_task","target":"notion","status":"started","executionTime":0,"attemptNumber":1}
               {"timestamp":"2025-10-17T10:30:40.232Z","actionId":"a","action":"create_task","target":"notion","status":"failed","error":"rate_limited","executionTime":231,"attemptNumber":1}
               {"timestamp":"2025-10-17T10:30:41.530Z","actionId":"a","action":"create_task","target":"notion","status":"success","executionTime":287,"attemptNumber":2}
               {"timestamp":"2025-10-17T10:30:41.530Z","actionId":"b","component":"executor","level":"info","message":"Action executed","platform":"slack","attempt":1,"durationMs":36}
               {"timestamp":"2025-10-17T10:30:41.530Z","actionId":"b","component":"executor","level":"error","message":"In doubt: it may have happened","platform":"slack","attempt":1}
               {"timestamp":"2025-10-17T10:30:41.530Z","actionId":"b","component":"executor","level":"error","message":"timed out","errorCode":"TIMEOUT_ERROR","platform":"slack","attempt":3}
               {"timestamp":"2025-10-17T10:30:41.530Z","actionId":"b","component":"queue","level":"info","message":"Action enqueued"}"#,
        );
        assert_eq!(
            tries.0,
            [
                (1, Some(ErrorCode::RateLimited), Some(231)),
                (2, None, Some(287)),
                (1, None, Some(36)),
                (3, Some(ErrorCode::TimeoutError), None),
            ]
        );
    }
}
