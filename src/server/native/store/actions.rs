//! What happens to an action on its way: accepted, begun, put back, ended. All of it runs on the writing thread.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::approvals::{self, Ask};
use super::keys;
use super::rows::{EXECUTING, Role, error_text, json, text, word};
use crate::engine::idempotency::{self, Known, Verdict};
use crate::engine::queue::{Item, Seq, Wait};
use crate::server::backend::Refusal;
use crate::wire::{
    ActionError, ActionRequest, ActionStatus, ActionType, ErrorCode, KeyCollision, Platform, RetryConfig, Time,
};

/// An action to accept.
#[derive(Clone, Debug)]
pub struct NewAction {
    /// The request, with its id filled in.
    pub request: ActionRequest,
    /// Its id.
    pub id: String,
    /// Whether the caller chose the id, so that it can be known already.
    pub own_id: bool,
    /// The idempotency key in force.
    pub key: Option<String>,
    /// Fingerprint of platform, type and parameters.
    pub fingerprint: String,
    /// When the key is forgotten.
    pub key_expires_at: Time,
    /// What the index will hold; `seq` is given here.
    pub item: Item,
    /// The decision it has to wait for.
    pub approval: Option<Ask>,
}

/// What became of an action to accept.
#[derive(Clone, Debug)]
pub enum Stored {
    /// It is new, and waits.
    New(Item),
    /// It is new, and waits for a decision until then.
    Held(Time),
    /// An earlier one stands in for it.
    Duplicate {
        /// The earlier one's id.
        id: String,
        /// Its status.
        status: ActionStatus,
    },
}

/// Accepts actions, all or none.
pub fn submit(conn: &Connection, actions: &[NewAction], now: Time) -> Result<Vec<Stored>, StoreError> {
    actions.iter().map(|action| submit_one(conn, action, now)).collect()
}

fn submit_one(conn: &Connection, new: &NewAction, now: Time) -> Result<Stored, StoreError> {
    if new.own_id
        && let Some(known) = known_id(conn, new)?
    {
        return Ok(known);
    }
    if let Some(key) = &new.key
        && let Some(known) = known_key(conn, key, new, now)?
    {
        return Ok(known);
    }
    insert(conn, new, Role::Plain, now)
}

/// Writes an action that waits from now on, for a worker or for a decision.
pub(super) fn insert(conn: &Connection, new: &NewAction, role: Role, now: Time) -> Result<Stored, StoreError> {
    let request = &new.request;
    let tags = if request.tags.is_empty() { None } else { Some(text(&request.tags)?) };
    conn.prepare_cached(
        "INSERT INTO actions (id, type, platform, priority, status, queued_at, correlation_id, user_id, source, workflow_id, \
         tags, idempotency_key, role) VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        new.id,
        request.action_type as i64,
        request.platform as i64,
        request.priority as i64,
        now.0,
        request.correlation_id,
        request.user_id,
        request.source,
        request.workflow_id,
        tags,
        new.key,
        role as i64,
    ])?;
    let seq: Seq = conn.last_insert_rowid();
    let options = Options { timeout: request.timeout, retry: request.retry_config };
    let options = if options.is_plain() { None } else { Some(text(&options)?) };
    conn.prepare_cached("INSERT INTO payloads (seq, data, options) VALUES (?, ?, ?)")?.execute(params![
        seq,
        text(&request.data)?,
        options
    ])?;
    let item = Item { seq, queued_at: now, ..new.item };
    insert_queue(conn, &item, request.action_type, 0, 1, role)?;
    if let Some(key) = &new.key {
        conn.prepare_cached(
            "INSERT INTO idempotency (seq, key, fingerprint, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![seq, key, new.fingerprint, now.0, new.key_expires_at.0])?;
    }
    if let Some(ask) = &new.approval {
        approvals::hold(conn, seq, ask, now)?;
        return Ok(Stored::Held(ask.expires_at));
    }
    Ok(Stored::New(item))
}

/// Writes an index item as a waiting row.
pub(super) fn insert_queue(
    conn: &Connection,
    item: &Item,
    action_type: ActionType,
    attempts: u32,
    version: u64,
    role: Role,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO queue (seq, type, platform, via, priority, queued_at, due, wait, tries, attempts, in_doubt, user, \
         workflow, batch, version, role) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        item.seq,
        action_type as i64,
        item.platform as i64,
        item.via.map(|via| via as i64),
        item.priority as i64,
        item.queued_at.0,
        item.due.map(|due| due.0),
        item.wait as i64,
        item.tries,
        attempts,
        item.in_doubt,
        item.user.cast_signed(),
        item.workflow.cast_signed(),
        item.batch.cast_signed(),
        version,
        role as i64,
    ])?;
    Ok(())
}

/// An id that is known: the same again, or a refusal.
fn known_id(conn: &Connection, new: &NewAction) -> Result<Option<Stored>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT a.type, a.platform, a.status, p.data, q.state FROM actions a LEFT JOIN payloads p USING (seq) \
             LEFT JOIN queue q USING (seq) WHERE a.id = ?",
        )?
        .query_row([&new.id], |row| {
            let (action_type, platform): (ActionType, Platform) = (word(row, 0)?, word(row, 1)?);
            Ok((action_type, platform, status(row, 2, 4)?, row.get::<_, Option<String>>(3)?))
        })
        .optional()?;
    let Some((action_type, platform, status, data)) = found else { return Ok(None) };
    let same_data = data.and_then(|text| serde_json::from_str(&text).ok()).is_some_and(|data: serde_json::Value| {
        idempotency::fingerprint(&data) == idempotency::fingerprint(&new.request.data)
    });
    if same_data && (action_type, platform) == (new.request.action_type, new.request.platform) {
        return Ok(Some(Stored::Duplicate { id: new.id.clone(), status }));
    }
    Err(collision(format!("the id `{}` belongs to another action, with other content", new.id), new, None))
}

/// A key that is known: a prevented duplicate, a refusal, or one that may be used anew.
fn known_key(conn: &Connection, key: &str, new: &NewAction, now: Time) -> Result<Option<Stored>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT i.seq, i.fingerprint, i.expires_at, a.id, a.status, q.state FROM idempotency i \
             LEFT JOIN actions a USING (seq) LEFT JOIN queue q USING (seq) WHERE i.key = ?",
        )?
        .query_row([key], |row| {
            let owner: Option<String> = row.get(3)?;
            let status = if owner.is_some() { status(row, 4, 5)? } else { ActionStatus::Success };
            Ok((row.get::<_, Seq>(0)?, row.get::<_, String>(1)?, Time(row.get(2)?), owner, status))
        })
        .optional()?;
    let Some((seq, fingerprint, expires_at, owner, status)) = found else { return of_no_workflow(conn, key, new, now) };
    let in_flight = matches!(status, ActionStatus::Pending | ActionStatus::Executing);
    let known = Known { fingerprint: &fingerprint, expires_at, in_flight };
    match (idempotency::judge(Some(known), &new.fingerprint, now), owner) {
        (Verdict::Duplicate, Some(id)) => {
            conn.prepare_cached(
                "UPDATE idempotency SET prevented = prevented + 1, last_prevented_at = ? WHERE seq = ?",
            )?
            .execute(params![now.0, seq])?;
            Ok(Some(Stored::Duplicate { id, status }))
        }
        (Verdict::Collision, Some(id)) => {
            let message = format!("the idempotency key `{key}` was used for action {id} with other parameters");
            let collided = KeyCollision { action_id: Some(id), ..collided(key, fingerprint, new, now) };
            Err(collision(message, new, Some(&collided)))
        }
        // Forgotten, or its action is: the key is free.
        _ => {
            conn.prepare_cached("DELETE FROM idempotency WHERE seq = ?")?.execute([seq])?;
            Ok(None)
        }
    }
}

/// A key that no action has may be a workflow's. Only one that the caller chose can be: those that are made have a hash.
fn of_no_workflow(conn: &Connection, key: &str, new: &NewAction, now: Time) -> Result<Option<Stored>, StoreError> {
    if new.request.idempotency_key.is_none() {
        return Ok(None);
    }
    match keys::get_of_workflow(conn, key, now)? {
        Some(record) if record.state.holds() => {
            let id = record.owner.id().to_owned();
            let message = format!("the idempotency key `{key}` was used for workflow {id}");
            let collided = KeyCollision { workflow_id: Some(id), ..collided(key, record.fingerprint, new, now) };
            Err(collision(message, new, Some(&collided)))
        }
        Some(_) => keys::forget(conn, key).map(|()| None),
        None => Ok(None),
    }
}

/// What is kept of a collision, without what has the key.
fn collided(key: &str, fingerprint: String, new: &NewAction, now: Time) -> KeyCollision {
    KeyCollision {
        at: now,
        key: key.to_owned(),
        action_id: None,
        workflow_id: None,
        fingerprint,
        offered: new.fingerprint.clone(),
        source: new.request.source.clone(),
        correlation_id: new.request.correlation_id.clone(),
        user_id: new.request.user_id.clone(),
    }
}

/// The refusal of a collision; its details are enough to keep it.
fn collision(message: String, new: &NewAction, collided: Option<&KeyCollision>) -> StoreError {
    let mut refusal = Refusal::new(ErrorCode::DuplicateError, message);
    refusal.platform = Some(new.request.platform);
    let mut details = serde_json::to_value(collided).unwrap_or_default();
    if !details.is_object() {
        details = serde_json::json!({});
    }
    details["collision"] = true.into();
    details["idempotencyKey"] = new.key.clone().into();
    refusal.details = Some(details);
    StoreError::Refused(Box::new(refusal))
}

/// Reads a stored status, with `executing` taken from the queue's row.
pub(super) fn status(row: &rusqlite::Row<'_>, status: usize, state: usize) -> rusqlite::Result<ActionStatus> {
    let executing = row.get::<_, Option<i64>>(state)? == Some(EXECUTING);
    Ok(if executing { ActionStatus::Executing } else { word(row, status)? })
}

/// Settings of one action that differ from the service's.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Options {
    /// Limit for one try, in milliseconds.
    pub timeout: Option<u64>,
    /// How it is retried.
    pub retry: Option<RetryConfig>,
}

impl Options {
    fn is_plain(&self) -> bool {
        *self == Options::default()
    }
}

/// What a worker needs to run an action, read in the operation that records the intent.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The action's id.
    pub id: String,
    /// What it does.
    pub action_type: ActionType,
    /// The parameters.
    pub data: serde_json::Value,
    /// Settings of its own.
    pub options: Options,
    /// Moment of the first intent whose outcome is not known.
    pub intent_at: Time,
    /// Tries really begun, this one included.
    pub attempts: u32,
    /// When its first try began.
    pub first_at: Time,
    /// What was prepared for a write that may have been sent.
    pub prepared: Option<serde_json::Value>,
    /// The last failure.
    pub error: Option<ActionError>,
    /// The signal or workflow it belongs to.
    pub correlation_id: Option<String>,
    /// On whose behalf.
    pub user_id: Option<String>,
    /// Moves with every change.
    pub version: u64,
    /// Whose it is.
    pub role: Role,
}

/// The intent to run an action.
#[derive(Clone, Copy, Debug)]
pub struct Intent {
    /// Which.
    pub seq: Seq,
    /// On which platform, when that is not its own.
    pub via: Option<Platform>,
    /// When.
    pub at: Time,
}

/// Records that an action is about to be sent. `None` when it is no longer there to run.
pub fn begin(conn: &Connection, intent: &Intent) -> Result<Option<Prepared>, StoreError> {
    let begun = conn
        .prepare_cached(
            "UPDATE queue SET state = 1, attempts = attempts + 1, due = NULL, wait = 0, via = ?1, \
             intent_at = coalesce(intent_at, ?2), first_at = coalesce(first_at, ?2), version = version + 1 \
             WHERE seq = ?3 AND state = 0 RETURNING type, intent_at, attempts, first_at, version, prepared, error, role",
        )?
        .query_row(params![intent.via.map(|via| via as i64), intent.at.0, intent.seq], |row| {
            Ok(Prepared {
                id: String::new(),
                action_type: word(row, 0)?,
                data: serde_json::Value::Null,
                options: Options::default(),
                intent_at: Time(row.get(1)?),
                attempts: row.get(2)?,
                first_at: Time(row.get(3)?),
                version: row.get(4)?,
                prepared: json(row, 5)?,
                error: json(row, 6)?,
                correlation_id: None,
                user_id: None,
                role: word(row, 7)?,
            })
        })
        .optional()?;
    let Some(mut begun) = begun else { return Ok(None) };
    let (data, options): (String, Option<String>) = conn
        .prepare_cached(
            "SELECT a.id, a.correlation_id, a.user_id, p.data, p.options FROM actions a JOIN payloads p USING (seq) \
             WHERE a.seq = ?",
        )?
        .query_row([intent.seq], |row| {
            (begun.id, begun.correlation_id, begun.user_id) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((row.get(3)?, row.get(4)?))
        })?;
    let unreadable = |e: serde_json::Error| StoreError::Corrupt(format!("the parameters of an action: {e}"));
    begun.data = serde_json::from_str(&data).map_err(unreadable)?;
    if let Some(options) = options {
        begun.options = serde_json::from_str(&options).map_err(unreadable)?;
    }
    Ok(Some(begun))
}

/// Keeps what has to be known to recognise a write, before it is sent.
pub fn keep_prepared(conn: &Connection, seq: Seq, prepared: &serde_json::Value) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE queue SET prepared = ? WHERE seq = ?")?.execute(params![text(prepared)?, seq])?;
    Ok(())
}

/// What was being executed when the service ended waits again; a write among it is looked for before it is sent again.
pub fn recover(conn: &Connection) -> Result<u64, StoreError> {
    let moved = conn.execute(
        "UPDATE queue SET in_doubt = in_doubt OR type <> ?, state = 0, version = version + 1 WHERE state = 1",
        [ActionType::Query as i64],
    )?;
    Ok(moved as u64)
}

/// An action that waits again.
#[derive(Clone, Debug)]
pub struct Requeue {
    /// As the index will hold it.
    pub item: Item,
    /// Whether a worker really had begun a try, so that the earlier intent stands until it is known to be void.
    pub keep_intent: bool,
    /// The last failure.
    pub error: Option<ActionError>,
}

/// Puts an action back.
pub fn requeue(conn: &Connection, back: &Requeue) -> Result<(), StoreError> {
    let item = &back.item;
    conn.prepare_cached(
        "UPDATE queue SET state = 0, via = ?1, due = ?2, wait = ?3, tries = ?4, in_doubt = ?5, \
         intent_at = iif(?6, intent_at, NULL), prepared = iif(?6, prepared, NULL), \
         error = coalesce(?7, error), batch = ?8, version = version + 1 WHERE seq = ?9",
    )?
    .execute(params![
        item.via.map(|via| via as i64),
        item.due.map(|due| due.0),
        if item.wait == Wait::Throttle { Wait::No as i64 } else { item.wait as i64 },
        item.tries,
        item.in_doubt,
        back.keep_intent,
        error_text(back.error.as_ref())?,
        item.batch.cast_signed(),
        item.seq,
    ])?;
    Ok(())
}

/// How an action ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub seq: Seq,
    /// `success`, `failed` or `in_doubt`.
    pub status: ActionStatus,
    /// When.
    pub at: Time,
    /// What the platform answered.
    pub result: Option<serde_json::Value>,
    /// Why it failed.
    pub error: Option<ActionError>,
    /// Time of the call that ended it, in milliseconds.
    pub execution_ms: u64,
    /// Time in the queue, in milliseconds.
    pub queue_ms: u64,
    /// The platform that stood in.
    pub fallback: Option<Platform>,
}

/// What an ended action of a workflow leaves, for its workflow.
#[derive(Clone, Debug)]
pub struct Ended {
    /// A step's or an undo's.
    pub role: Role,
    /// The action's id.
    pub id: String,
    /// Its workflow.
    pub workflow: String,
    /// What was kept before it was sent.
    pub prepared: Option<serde_json::Value>,
    /// Tries really begun.
    pub attempts: u32,
}

/// Records how an action ended. A failed one frees its idempotency key, so that it can be submitted again. One in doubt
/// stays for a person to decide, unless it belongs to a workflow: that decides. Gives what a workflow has to know.
pub fn finish(conn: &Connection, end: &Outcome) -> Result<Option<Ended>, StoreError> {
    let keep = end.status == ActionStatus::InDoubt
        && conn
            .prepare_cached(
                "UPDATE queue SET state = 3, due = NULL, wait = 0, in_doubt = 1, version = version + 1 \
                 WHERE seq = ? AND role = 0",
            )?
            .execute([end.seq])?
            > 0;
    const COLUMNS: &str = "attempts, version, role, prepared";
    let left = match keep {
        true => format!("SELECT {COLUMNS} FROM queue WHERE seq = ?"),
        false => format!("DELETE FROM queue WHERE seq = ? RETURNING {COLUMNS}"),
    };
    let ended: Option<(u32, u64, Role, Option<serde_json::Value>)> = conn
        .prepare_cached(&left)?
        .query_row([end.seq], |row| Ok((row.get(0)?, row.get(1)?, word(row, 2)?, json(row, 3)?)))
        .optional()?;
    // Written before: an end that was sent twice changes nothing the second time.
    let Some((attempts, version, role, prepared)) = ended else { return Ok(None) };
    if end.status == ActionStatus::Failed {
        conn.prepare_cached("DELETE FROM idempotency WHERE seq = ?")?.execute([end.seq])?;
    }
    conn.prepare_cached(
        "UPDATE actions SET status = ?, ended_at = ?, attempts = ?, execution_ms = ?, queue_ms = ?, fallback = ?, \
         result = ?, error = ?, version = ? WHERE seq = ?",
    )?
    .execute(params![
        end.status as i64,
        end.at.0,
        attempts,
        end.execution_ms,
        end.queue_ms,
        end.fallback.map(|platform| platform as i64),
        end.result.as_ref().map(text).transpose()?,
        error_text(end.error.as_ref())?,
        version + u64::from(!keep),
        end.seq,
    ])?;
    if role == Role::Plain {
        return Ok(None);
    }
    let (id, workflow): (String, Option<String>) = conn
        .prepare_cached("SELECT id, workflow_id FROM actions WHERE seq = ?")?
        .query_row([end.seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Some(Ended { role, id, workflow: workflow.unwrap_or_default(), prepared, attempts }))
}
