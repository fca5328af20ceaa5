//! The last errors by the lines of the error log: when the orchestrator does not answer, and for what only lines tell.

use std::collections::{BTreeMap, VecDeque};

use super::place::{self, Place};
use crate::analysis::lines::{Line, Question};
use crate::app::App;
use crate::wire::{ErrorCode, ErrorEntry, ErrorLog, LineFilter, LogName, LogSource};

/// Keeps the newest errors and counts all.
struct Gather {
    limit: usize,
    newest: VecDeque<ErrorEntry>,
    by_code: BTreeMap<ErrorCode, u64>,
    total: u64,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = &[
        "platform",
        "target",
        "executorName",
        "executor",
        "message",
        "error",
        "errorCode",
        "code",
        "level",
        "component",
        "actionId",
        "attempt",
        "attemptNumber",
        "requestId",
    ];

    fn take(&mut self, line: &Line<'_>) {
        let Some(timestamp) = line.at else { return };
        let code = line.code();
        *self.by_code.entry(code).or_default() += 1;
        self.total += 1;
        if self.newest.len() == self.limit {
            self.newest.pop_front();
        }
        let own = |key: &str| line.get(key).map(|value| value.into_owned());
        self.newest.push_back(ErrorEntry {
            timestamp,
            level: "error".into(),
            message: line.error_text(),
            platform: line.platform(),
            component: own("component"),
            error_code: Some(code),
            action_id: own("actionId"),
            attempt: line.number(&["attempt", "attemptNumber"]).and_then(|n| u32::try_from(n).ok()),
            request_id: own("requestId"),
        });
    }
}

/// What the lines say, in the shape of the API's answer.
pub(in crate::commands) async fn errors(
    app: &App,
    place: &Place,
    lines: &LineFilter,
) -> anyhow::Result<(ErrorLog, LogSource)> {
    let limit = usize::try_from(lines.limit).unwrap_or(usize::MAX);
    let gather = Gather { limit, newest: VecDeque::new(), by_code: BTreeMap::new(), total: 0 };
    let (gather, source) = place::ask_all(app, place, LogName::Errors, lines, gather).await?;
    let Gather { newest, by_code, total, .. } = gather;
    let errors = newest.into_iter().rev().collect();
    Ok((ErrorLog { errors, by_code, total, oldest: source.oldest }, source))
}
