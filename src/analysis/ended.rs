//! Actions that ended, as the application's own `metrics.jsonl` tells of them: one line each, its retries counted.

use std::time::Duration;

use super::errors::code_of;
use super::lines::Line;
use crate::wire::{ActionType, ErrorCode, Platform, Time};

/// The keys that [`ended`] looks at.
pub const KEYS: &[&str] = &["platform", "actionType", "status", "duration", "retryCount", "metadata"];

/// One action that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// When.
    pub at: Time,
    /// Where.
    pub platform: Platform,
    /// What it did.
    pub action_type: ActionType,
    /// What it failed with; `None` when it succeeded.
    pub error: Option<ErrorCode>,
    /// Retries it needed.
    pub retries: u32,
    /// Whether another platform did it.
    pub fell_back: bool,
    /// How long its last call took.
    pub took: Option<Duration>,
}

/// What a line of the file is.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// An action that ended.
    Ended(Ended),
    /// Something on the way: a try, a question for approval.
    OnTheWay,
    /// An end on a platform, of a type or with a status that is none of ours.
    Foreign,
}

/// What a line tells.
pub fn told(line: &Line<'_>) -> Told {
    let error = match line.get("status").as_deref() {
        Some("success") => None,
        Some("failure" | "failed" | "error") => Some(cause(line)),
        Some("timeout") => Some(ErrorCode::TimeoutError),
        Some("circuit_open") => Some(ErrorCode::CircuitOpen),
        Some("retry" | "approval_required" | "approved") => return Told::OnTheWay,
        _ => return Told::Foreign,
    };
    let platform = line.get("platform").and_then(|name| name.parse().ok());
    let action_type = line.get("actionType").and_then(|name| type_of(&name));
    let (Some(at), Some(platform), Some(action_type)) = (line.at, platform, action_type) else { return Told::Foreign };
    Told::Ended(Ended {
        at,
        platform,
        action_type,
        error,
        retries: line.number(&["retryCount"]).map_or(0, |n| n.min(1000) as u32),
        fell_back: metadata(line).is_some_and(|data| data["fallbackUsed"] == true),
        took: line.number(&["duration"]).map(Duration::from_millis),
    })
}

/// The documented type behind a name of the application's: `create_task`, `upload`, `search`.
fn type_of(name: &str) -> Option<ActionType> {
    Some(match name.split(['_', '-', '.']).next().unwrap_or_default() {
        "create" => ActionType::Create,
        "update" | "move" => ActionType::Update,
        "delete" | "archive" => ActionType::Delete,
        "notify" | "send" | "post" => ActionType::Notify,
        "file" | "upload" => ActionType::File,
        "log" | "append" => ActionType::Log,
        "query" | "search" | "get" | "list" => ActionType::Query,
        _ => return None,
    })
}

fn cause(line: &Line<'_>) -> ErrorCode {
    let data = metadata(line);
    data.and_then(|data| Some(code_of(data.get("error")?.as_str()?))).unwrap_or(ErrorCode::UnknownError)
}

fn metadata(line: &Line<'_>) -> Option<serde_json::Value> {
    serde_json::from_str(&line.get("metadata")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::{Question, feed};

    struct All(Vec<Told>);

    impl Question for All {
        const KEYS: &'static [&'static str] = KEYS;
        fn take(&mut self, line: &Line<'_>) {
            self.0.push(told(line));
        }
    }

    #[test]
    fn ends_are_told_from_what_is_on_the_way_and_from_what_is_foreign() {
        let mut all = All(Vec::new());
        feed(
            &mut all,
            r#"{"timestamp":"2025-10-17T10:30:45.123Z","actionType":"create_task","platform":"notion","status":"failure","duration":231,"retryCount":2,"retryReason":"rate_limit","queueDepth":45,"metadata":{"error":"rate_limited","retryCount":2}}
               {"timestamp":"2025-10-17T10:30:46.000Z","actionType":"upload","platform":"drive","status":"success","duration":40,"metadata":{"fallbackUsed":true}}
               {"timestamp":"2025-10-17T10:30:46.000Z","actionType":"notify","platform":"slack","status":"retry","duration":40}
               {"timestamp":"2025-10-17T10:30:46.000Z","actionType":"send","platform":"gmail","status":"success","duration":40}
               {"timestamp":"2025-10-17T10:30:46.000Z","actionType":"dance","platform":"slack","status":"success","duration":40}"#,
        );
        let failed = Ended {
            at: Time(1_760_697_045_123),
            platform: Platform::Notion,
            action_type: ActionType::Create,
            error: Some(ErrorCode::RateLimited),
            retries: 2,
            fell_back: false,
            took: Some(Duration::from_millis(231)),
        };
        assert_eq!(all.0[0], Told::Ended(failed));
        let Told::Ended(stored) = &all.0[1] else { panic!("{:?}", all.0) };
        assert_eq!((stored.action_type, stored.error, stored.fell_back), (ActionType::File, None, true));
        assert_eq!(all.0[2..], [Told::OnTheWay, Told::Foreign, Told::Foreign]);
    }
}
