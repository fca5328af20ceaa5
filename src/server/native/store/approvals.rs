//! Actions that wait for a person's decision. Their row in the queue has the state 4: stored like any other, in no index,
//! executed by nobody until the decision puts it back to 0.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::actions::Outcome;
use super::rows::{ITEM_COLUMNS, Word, item, text, word};
use super::workflows::{self, Moment, Moved};
use crate::engine::approval;
use crate::engine::queue::{Item, Seq};
use crate::wire::{
    ActionError, ActionStatus, ActionType, ApprovalCause, ApprovalFilter, ApprovalRecord, ApprovalStatus, ErrorCode,
    Platform, Time,
};

/// What an approval's id begins with; the rest is the action's.
const PREFIX: &str = "apv-";
/// Approvals that expire in one transaction, so that work comes between.
const STEP: u64 = 500;

/// A decision to ask for when an action is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Why.
    pub causes: Vec<ApprovalCause>,
    /// When it is too late.
    pub expires_at: Time,
}

/// The id of the approval of an action.
pub fn id_of(action: &str) -> String {
    format!("{PREFIX}{action}")
}

/// Makes an action that was just stored wait for a decision.
pub fn hold(conn: &Connection, seq: Seq, ask: &Ask, now: Time) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE queue SET state = 4 WHERE seq = ?")?.execute([seq])?;
    conn.prepare_cached("INSERT INTO approvals (seq, causes, created_at, expires_at) VALUES (?, ?, ?, ?)")?
        .execute(params![seq, text(&ask.causes)?, now.0, ask.expires_at.0])?;
    Ok(())
}

const RECORDS: &str = "SELECT p.seq, p.status, p.causes, p.created_at, p.expires_at, p.decided_at, p.decided_by, p.reason, \
    a.id, a.type, a.platform, a.priority, a.workflow_id, a.correlation_id, a.user_id, a.source, d.data \
    FROM approvals p CROSS JOIN actions a ON a.seq = p.seq CROSS JOIN payloads d ON d.seq = p.seq";

fn record(row: &Row<'_>, now: Time) -> rusqlite::Result<(Seq, ApprovalRecord)> {
    let (action_id, action_type, platform): (String, ActionType, Platform) =
        (row.get(8)?, word(row, 9)?, word(row, 10)?);
    let causes: Vec<ApprovalCause> = super::rows::json(row, 2)?.unwrap_or_default();
    let data: serde_json::Value = super::rows::json(row, 16)?.unwrap_or_default();
    let (mut status, expires_at): (ApprovalStatus, Time) = (word(row, 1)?, Time(row.get(4)?));
    let mut decided_at = row.get::<_, Option<i64>>(5)?.map(Time);
    // The moment counts, not when it is written down.
    if status == ApprovalStatus::Pending && expires_at <= now {
        (status, decided_at) = (ApprovalStatus::Expired, Some(expires_at));
    }
    let pending = status == ApprovalStatus::Pending;
    let left = if pending { expires_at.since(now).as_millis() } else { 0 };
    let record = ApprovalRecord {
        id: id_of(&action_id),
        action: approval::summary(action_type, platform, &data),
        priority: word(row, 11)?,
        risk_level: approval::risk(&causes),
        created_at: Time(row.get(3)?),
        expires_at,
        time_remaining: u64::try_from(left).unwrap_or(u64::MAX),
        status,
        causes,
        action_id,
        action_type,
        platform,
        data,
        workflow_id: row.get(12)?,
        correlation_id: row.get(13)?,
        user_id: row.get(14)?,
        source: row.get(15)?,
        decided_by: row.get(6)?,
        decided_at,
        reason: row.get(7)?,
    };
    Ok((row.get(0)?, record))
}

/// One approval, by its id or its action's.
pub fn get(conn: &Connection, id: &str, now: Time) -> Result<Option<ApprovalRecord>, StoreError> {
    Ok(find(conn, id, now)?.map(|(_, record)| record))
}

fn find(conn: &Connection, id: &str, now: Time) -> Result<Option<(Seq, ApprovalRecord)>, StoreError> {
    let mut query = conn.prepare_cached(&format!("{RECORDS} WHERE a.id = ?"))?;
    let mut by_action = |id: &str| query.query_row([id], |row| record(row, now)).optional();
    let found = match id.strip_prefix(PREFIX) {
        Some(action) => by_action(action)?,
        None => None,
    };
    Ok(match found {
        Some(found) => Some(found),
        None => by_action(id)?,
    })
}

/// Approvals of a status, and whether there are more.
pub fn list(conn: &Connection, filter: ApprovalFilter, now: Time) -> Result<(Vec<ApprovalRecord>, bool), StoreError> {
    let since = filter.since.map_or(i64::MIN, |at| at.0);
    let (condition, moment) = match filter.status {
        ApprovalStatus::Pending => ("p.created_at >= ?2 AND p.expires_at > ?3 ORDER BY p.expires_at", now.0),
        _ => ("p.status > 0 AND p.decided_at >= ?2 AND p.decided_at >= ?3 ORDER BY p.decided_at DESC", since),
    };
    // Written out, so that the partial indexes are used.
    let status = filter.status as i64;
    let sql = format!("{RECORDS} WHERE p.status = {status} AND {condition} LIMIT ?1");
    let mut query = conn.prepare_cached(&sql)?;
    let values = params![filter.limit.saturating_add(1), since, moment];
    let rows = query.query_map(values, |row| Ok(record(row, now)?.1))?;
    super::page(rows.collect::<Result<_, _>>()?, filter.limit)
}

/// A decision to write down.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The approval's id.
    pub id: String,
    /// Approved or rejected.
    pub approve: bool,
    /// Whose credential, with the person it claims to act for.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Time,
}

/// What became of a decision.
#[derive(Clone, Debug)]
pub enum Decided {
    /// It holds. An approved action waits from now on.
    Now(Box<ApprovalRecord>, Option<Item>),
    /// The same was decided by the same before.
    Already(Box<ApprovalRecord>),
    /// Something else was decided, or it is too late.
    Refused(Box<ApprovalRecord>),
    /// There is no such approval.
    NotFound,
}

/// Decides. What is too late expires here, whether or not anybody noticed before. Gives what follows for a workflow, too.
pub fn decide(conn: &Connection, decision: &Decision, moment: &Moment) -> Result<(Decided, Moved), StoreError> {
    let mut moved = Moved::default();
    let decided = decide_one(conn, decision, moment, &mut moved)?;
    Ok((decided, moved))
}

fn decide_one(
    conn: &Connection,
    decision: &Decision,
    moment: &Moment,
    moved: &mut Moved,
) -> Result<Decided, StoreError> {
    let Some((seq, found)) = find(conn, &decision.id, decision.at)? else { return Ok(Decided::NotFound) };
    let status = if decision.approve { ApprovalStatus::Approved } else { ApprovalStatus::Rejected };
    if found.status == status && found.decided_by.as_deref() == Some(&decision.by) {
        return Ok(Decided::Already(Box::new(found)));
    }
    if found.status == ApprovalStatus::Expired {
        moved.add(expire_one(conn, seq, found.expires_at, moment)?);
    }
    if found.status != ApprovalStatus::Pending {
        return Ok(Decided::Refused(Box::new(found)));
    }
    let decided = |status, by: Option<&String>| {
        let reason = by.and(decision.reason.clone());
        let decided_at = Some(decision.at);
        Box::new(ApprovalRecord { status, time_remaining: 0, decided_by: by.cloned(), decided_at, reason, ..found })
    };
    // It waits for a worker from now on; when it was accepted stays in its record.
    let item = conn
        .prepare_cached(&format!(
            "UPDATE queue AS q SET state = iif(?1, 0, 4), queued_at = iif(?1, ?2, queued_at), version = version + 1 \
             WHERE q.seq = ?3 AND q.state = 4 RETURNING {}",
            ITEM_COLUMNS.replace("q.", "")
        ))?
        .query_row(params![decision.approve, decision.at.0, seq], item)
        .optional()?;
    let Some(item) = item else {
        close(conn, seq, ApprovalStatus::Withdrawn, decision.at, None, None)?;
        return Ok(Decided::Refused(decided(ApprovalStatus::Withdrawn, None)));
    };
    close(conn, seq, status, decision.at, Some(&decision.by), decision.reason.as_deref())?;
    if decision.approve {
        return Ok(Decided::Now(decided(status, Some(&decision.by)), Some(item)));
    }
    let why = decision.reason.as_deref().unwrap_or_default();
    moved.add(end(conn, seq, format!("rejected by {}: {why}", decision.by), moment)?);
    Ok(Decided::Now(decided(status, Some(&decision.by)), None))
}

fn close(
    conn: &Connection,
    seq: Seq,
    status: ApprovalStatus,
    at: Time,
    by: Option<&str>,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE approvals SET status = ?, decided_at = ?, decided_by = ?, reason = ? WHERE seq = ?")?
        .execute(params![status as i64, at.0, by, reason, seq])?;
    Ok(())
}

/// Ends the action without it ever having been sent.
fn end(conn: &Connection, seq: Seq, why: String, moment: &Moment) -> Result<Moved, StoreError> {
    let error = ActionError { code: ErrorCode::PermissionDenied, message: why, http_status: None, request_id: None };
    let outcome = Outcome {
        seq,
        status: ActionStatus::Failed,
        at: moment.now,
        result: None,
        error: Some(error),
        execution_ms: 0,
        queue_ms: 0,
        fallback: None,
    };
    workflows::finish(conn, &outcome, moment)
}

fn expire_one(conn: &Connection, seq: Seq, expires_at: Time, moment: &Moment) -> Result<Moved, StoreError> {
    close(conn, seq, ApprovalStatus::Expired, expires_at, None, None)?;
    end(conn, seq, format!("the approval expired undecided at {expires_at}"), moment)
}

/// Ends what nobody decided in time. Gives the actions' ids, when the next approval expires, and what follows for workflows.
pub fn expire(conn: &Connection, moment: &Moment) -> Result<(Vec<String>, Option<Time>, Moved), StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT p.seq, p.expires_at, a.id FROM approvals p CROSS JOIN actions a ON a.seq = p.seq \
         WHERE p.status = 0 AND p.expires_at <= ? ORDER BY p.expires_at LIMIT ?",
    )?;
    let due: Vec<(Seq, i64, String)> = query
        .query_map(params![moment.now.0, STEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut ids = Vec::with_capacity(due.len());
    let mut moved = Moved::default();
    for (seq, expires_at, id) in due {
        moved.add(expire_one(conn, seq, Time(expires_at), moment)?);
        ids.push(id);
    }
    Ok((ids, next_expiry(conn)?, moved))
}

/// When the next approval expires.
pub fn next_expiry(conn: &Connection) -> Result<Option<Time>, StoreError> {
    let next: Option<i64> = conn
        .prepare_cached("SELECT min(expires_at) FROM approvals WHERE status = 0")?
        .query_row([], |row| row.get(0))?;
    Ok(next.map(Time))
}

/// Closes the approval of an action that is no longer needed, if one is pending.
pub fn withdraw(conn: &Connection, seq: Seq, now: Time) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE approvals SET status = ?, decided_at = ? WHERE seq = ? AND status = 0")?
        .execute(params![ApprovalStatus::Withdrawn as i64, now.0, seq])?;
    Ok(())
}

/// Why an action must not be driven again: it was rejected, or nobody decided in time.
pub fn forbids(conn: &Connection, seq: Seq) -> Result<Option<String>, StoreError> {
    let closed = conn
        .prepare_cached("SELECT status, decided_by FROM approvals WHERE seq = ? AND status IN (2, 3)")?
        .query_row([seq], |row| Ok((word::<ApprovalStatus>(row, 0)?, row.get::<_, Option<String>>(1)?)))
        .optional()?;
    Ok(closed.map(|(status, by)| match by {
        Some(by) => format!("it was {status} by {by}; submit it anew to ask again"),
        None => format!("its approval {status} undecided; submit it anew to ask again"),
    }))
}

impl Word for ApprovalStatus {
    const WORDS: &'static [Self] = Self::ALL;
}
