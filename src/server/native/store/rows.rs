//! Rows and what they are in the program.

use rusqlite::Row;

use super::StoreError;
use crate::engine::queue::{Item, Seq, Wait};
use crate::wire::{
    ActionError, ActionRecord, ActionStatus, ActionType, Platform, Priority, QueueItem, QueueView, StepStatus, Time,
    WorkflowEventKind, WorkflowStatus,
};

/// `queue.state`: 0 waits, 1 a worker has it, 2 an operator took it out, 3 in doubt, for a person to look at, 4 waits for an
/// approval.
pub(super) const EXECUTING: i64 = 1;
/// The state of what waits for an approval.
const HELD: i64 = 4;

/// Whose a queue item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// A caller's action.
    #[default]
    Plain,
    /// A step of a workflow.
    Step,
    /// The undo of a step.
    Undo,
}

impl Word for Role {
    const WORDS: &'static [Self] = &[Role::Plain, Role::Step, Role::Undo];
}

/// A dead letter's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// Given up, or in doubt.
    Failed,
    /// Taken out by an operator.
    Removed,
}

/// The columns [`item`] reads.
pub(super) const ITEM_COLUMNS: &str = "q.seq, q.type, q.platform, q.via, q.priority, q.queued_at, q.due, q.wait, q.tries, q.in_doubt, q.user, q.workflow, q.batch, q.role";

/// Reads [`ITEM_COLUMNS`].
pub(super) fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let platform = word(row, 2)?;
    let action_type: ActionType = word(row, 1)?;
    let role: Role = word(row, 13)?;
    Ok(Item {
        seq: row.get(0)?,
        platform,
        via: optional_word(row, 3)?,
        priority: word(row, 4)?,
        substitutable: role != Role::Undo && substitutable(platform, action_type),
        queued_at: Time(row.get(5)?),
        due: row.get::<_, Option<i64>>(6)?.map(Time),
        wait: wait(row.get(7)?),
        tries: row.get(8)?,
        in_doubt: row.get(9)?,
        user: row.get::<_, i64>(10)?.cast_unsigned(),
        workflow: row.get::<_, i64>(11)?.cast_unsigned(),
        batch: row.get::<_, i64>(12)?.cast_unsigned(),
        owned: role != Role::Plain,
    })
}

/// Whether some platform could stand in for an action of this kind.
pub fn substitutable(platform: Platform, action_type: ActionType) -> bool {
    Platform::ALL.iter().any(|to| crate::engine::fallback::is_substitutable(platform, action_type, *to))
}

const WAITS: [Wait; 5] = [Wait::No, Wait::Retry, Wait::Throttle, Wait::Batch, Wait::Pace];

fn wait(number: i64) -> Wait {
    usize::try_from(number).ok().and_then(|n| WAITS.get(n)).copied().unwrap_or_default()
}

/// The columns [`record`] reads, from `actions a LEFT JOIN queue q USING (seq)`.
pub(super) const RECORD_COLUMNS: &str = "a.id, a.type, a.platform, a.priority, a.status, a.result, \
    iif(a.status = 0, coalesce(q.error, a.error), a.error), a.execution_ms, a.queue_ms, max(coalesce(q.attempts, 0), a.attempts), a.queued_at, a.ended_at, \
    q.due, coalesce(q.via, a.fallback), a.correlation_id, a.user_id, a.source, a.tags, max(coalesce(q.version, 0), a.version), \
    q.state, a.removed_by, a.seq";

/// Reads [`RECORD_COLUMNS`].
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<ActionRecord> {
    let (stored, executing) = (word(row, 4)?, row.get::<_, Option<i64>>(19)? == Some(EXECUTING));
    let status = if executing && stored == ActionStatus::Pending { ActionStatus::Executing } else { stored };
    let (queued_at, ended_at) = (Time(row.get(10)?), row.get::<_, Option<i64>>(11)?.map(Time));
    let attempts: u32 = row.get(9)?;
    Ok(ActionRecord {
        id: row.get(0)?,
        action_type: word(row, 1)?,
        platform: word(row, 2)?,
        priority: word(row, 3)?,
        status,
        result: json(row, 5)?,
        error: if status == ActionStatus::Success { None } else { json(row, 6)? },
        execution_time: row.get(7)?,
        queue_time: row.get(8)?,
        retries: attempts.saturating_sub(1),
        timestamp: ended_at.unwrap_or(queued_at),
        queued_at,
        next_attempt_at: row.get::<_, Option<i64>>(12)?.map(Time).filter(|_| status == ActionStatus::Pending),
        fallback_platform: optional_word(row, 13)?,
        correlation_id: row.get(14)?,
        user_id: row.get(15)?,
        source: row.get(16)?,
        tags: json(row, 17)?.unwrap_or_default(),
        version: row.get(18)?,
    })
}

/// The same row as an item of the queue.
pub(super) fn queue_item(row: &Row<'_>) -> rusqlite::Result<(Seq, QueueItem)> {
    let record = record(row)?;
    let state = match record.status {
        ActionStatus::Pending => QueueView::Queued,
        ActionStatus::Executing => QueueView::Executing,
        ActionStatus::Removed => QueueView::Removed,
        // An item in doubt is listed with the failed ones: both wait for a person.
        ActionStatus::Failed | ActionStatus::InDoubt | ActionStatus::Success => QueueView::Failed,
    };
    let attempts: u32 = row.get(9)?;
    let item = QueueItem {
        action_id: record.id,
        action_type: record.action_type,
        platform: record.platform,
        priority: record.priority,
        state,
        queued_at: record.queued_at,
        attempts,
        next_attempt_at: record.next_attempt_at,
        last_error: record.error,
        waiting_for: match record.status {
            ActionStatus::InDoubt => Some("in doubt: the platform cannot tell whether it happened".to_owned()),
            ActionStatus::Pending if row.get::<_, Option<i64>>(19)? == Some(HELD) => Some("approval".to_owned()),
            _ => None,
        },
        correlation_id: record.correlation_id,
        removed_by: row.get(20)?,
        ended_at: row.get::<_, Option<i64>>(11)?.map(Time),
        version: record.version,
    };
    Ok((row.get(21)?, item))
}

/// A closed set of words is stored as the place in its list.
pub(super) trait Word: Copy + 'static {
    const WORDS: &'static [Self];
}

macro_rules! word_lists {
    ($($name:ident),+) => { $(impl Word for $name { const WORDS: &'static [Self] = $name::ALL; })+ };
}
word_lists!(Platform, ActionType, ActionStatus, Priority, WorkflowStatus, StepStatus, WorkflowEventKind);

impl Word for crate::wire::CircuitState {
    const WORDS: &'static [Self] = Self::ALL;
}

impl Word for crate::wire::PauseScope {
    const WORDS: &'static [Self] = Self::ALL;
}

pub(super) fn word<T: Word>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let number: i64 = row.get(column)?;
    let known = usize::try_from(number).ok().and_then(|n| T::WORDS.get(n)).copied();
    known.ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(super) fn optional_word<T: Word>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get::<_, Option<i64>>(column)? {
        Some(_) => word(row, column).map(Some),
        None => Ok(None),
    }
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    let parsed = text.map(|text| serde_json::from_str(&text)).transpose();
    parsed.map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e)))
}

/// JSON text for a column.
pub(super) fn text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Other(format!("cannot write a value as JSON: {e}")))
}

/// An error for a column.
pub(super) fn error_text(error: Option<&ActionError>) -> Result<Option<String>, StoreError> {
    error.map(text).transpose()
}
