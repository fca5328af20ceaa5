//! Questions to the store: what waits, what ended, one action.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::actions::Options;
use super::rows::{Dead, ITEM_COLUMNS, RECORD_COLUMNS, item, json, queue_item, record, word};
use super::{StoreError, schema};
use crate::engine::queue::{Item, Seq};
use crate::wire::{
    ActionFilter, ActionPatterns, ActionRecord, ActionRequest, ActionStatus, ActionType, Platform, QueueFilter,
    QueueItem, Time, WaitingRequest,
};

/// Counts the store gives for comparison with the index in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows that wait.
    pub waiting: u64,
    /// Rows a worker has.
    pub executing: u64,
    /// Dead letters: failed and in doubt.
    pub failed: u64,
    /// Dead letters: removed.
    pub removed: u64,
}

/// Everything that waits, in the order of acceptance.
pub fn load_queue(conn: &Connection) -> Result<Vec<Item>, StoreError> {
    let mut query = conn.prepare(&format!("SELECT {ITEM_COLUMNS} FROM queue q WHERE q.state = 0 ORDER BY q.seq"))?;
    let rows = query.query_map([], item)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Callers' actions that wait and were surely not sent, as they were submitted.
pub fn requests(conn: &Connection, limit: u64) -> Result<Vec<WaitingRequest>, StoreError> {
    let mut query = conn.prepare_cached(
        "SELECT a.id, a.type, a.platform, a.priority, p.data, p.options, a.correlation_id, a.user_id, a.source, \
         a.workflow_id, a.tags, a.idempotency_key FROM queue q JOIN actions a USING (seq) JOIN payloads p USING (seq) \
         WHERE q.state = 0 AND q.role = 0 AND q.in_doubt = 0 ORDER BY q.seq LIMIT ?",
    )?;
    let rows = query.query_map([limit], |row| {
        let options: Options = json(row, 5)?.unwrap_or_default();
        let request = ActionRequest {
            id: None,
            action_type: word(row, 1)?,
            platform: word(row, 2)?,
            priority: word(row, 3)?,
            data: json(row, 4)?.unwrap_or_default(),
            correlation_id: row.get(6)?,
            user_id: row.get(7)?,
            source: row.get(8)?,
            workflow_id: row.get(9)?,
            timeout: options.timeout,
            retry_config: options.retry,
            idempotency_key: row.get(11)?,
            // What waits in the queue was approved, or never had to be.
            requires_approval: false,
            approval_timeout: None,
            tags: json(row, 10)?.unwrap_or_default(),
        };
        Ok(WaitingRequest { action_id: row.get(0)?, request })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Counts of the queue's rows.
pub fn totals(conn: &Connection) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    let mut query = conn.prepare_cached("SELECT state, count(*) FROM queue GROUP BY state")?;
    for row in query.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?)))? {
        match row? {
            (0, n) => totals.waiting = n,
            (1, n) => totals.executing = n,
            _ => {}
        }
    }
    totals.failed = dead_count(conn, Dead::Failed)?;
    totals.removed = dead_count(conn, Dead::Removed)?;
    Ok(totals)
}

/// How many dead letters of a kind there are.
pub fn dead_count(conn: &Connection, dead: Dead) -> Result<u64, StoreError> {
    let sql = format!("SELECT count(*) FROM actions a WHERE {}", dead_condition(dead));
    Ok(conn.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
}

const fn dead_condition(dead: Dead) -> &'static str {
    // The numbers are places in `ActionStatus::ALL`; written out so that the partial index is used. What belongs to a
    // workflow is its workflow's failure, not the queue's.
    match dead {
        // What a person rejected, or nobody approved in time, is not to be driven again.
        Dead::Failed => {
            "a.status >= 3 AND a.role = 0 AND a.status IN (3, 4) AND NOT EXISTS \
             (SELECT 1 FROM approvals p WHERE p.seq = a.seq AND p.status IN (2, 3))"
        }
        Dead::Removed => "a.status >= 3 AND a.role = 0 AND a.status = 5",
    }
}

/// One action, by id.
pub fn action(conn: &Connection, id: &str) -> Result<Option<ActionRecord>, StoreError> {
    let sql = format!("SELECT {RECORD_COLUMNS} FROM actions a LEFT JOIN queue q USING (seq) WHERE a.id = ?");
    Ok(conn.prepare_cached(&sql)?.query_row([id], record).optional()?)
}

/// One action as an item of the queue, with its place.
pub fn queued(conn: &Connection, id: &str) -> Result<Option<(Seq, QueueItem)>, StoreError> {
    let sql = format!("SELECT {RECORD_COLUMNS} FROM actions a LEFT JOIN queue q USING (seq) WHERE a.id = ?");
    Ok(conn.prepare_cached(&sql)?.query_row([id], queue_item).optional()?)
}

/// Several actions as items of the queue, in this order; those that went meanwhile are left out.
pub fn queued_many(conn: &Connection, seqs: &[Seq]) -> Result<Vec<(Seq, QueueItem)>, StoreError> {
    let sql = format!("SELECT {RECORD_COLUMNS} FROM actions a LEFT JOIN queue q USING (seq) WHERE a.seq = ?");
    let mut query = conn.prepare_cached(&sql)?;
    let mut items = Vec::with_capacity(seqs.len());
    for seq in seqs {
        items.extend(query.query_row([seq], queue_item).optional()?);
    }
    Ok(items)
}

/// Ids of places in the queue, in this order.
pub fn ids(conn: &Connection, seqs: &[Seq]) -> Result<Vec<(Seq, String, ActionType)>, StoreError> {
    let mut query = conn.prepare_cached("SELECT id, type FROM actions WHERE seq = ?")?;
    let mut found = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let row = query.query_row([seq], |row| Ok((row.get(0)?, word(row, 1)?))).optional()?;
        found.extend(row.map(|(id, action_type)| (*seq, id, action_type)));
    }
    Ok(found)
}

/// The workflow that an action belongs to.
pub fn owner(conn: &Connection, id: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT workflow_id FROM actions WHERE id = ? AND role > 0";
    Ok(conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?.flatten())
}

/// Places of ids.
pub fn seq_of(conn: &Connection, id: &str) -> Result<Option<(Seq, u64)>, StoreError> {
    let sql = "SELECT a.seq, max(coalesce(q.version, 0), a.version) FROM actions a LEFT JOIN queue q USING (seq) WHERE a.id = ?";
    let found = conn.prepare_cached(sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found)
}

/// Dead letters, oldest end first, and how many match in all.
pub fn dead(conn: &Connection, dead: Dead, filter: &QueueFilter) -> Result<(Vec<QueueItem>, u64), StoreError> {
    let condition =
        format!("{} AND (?1 IS NULL OR a.platform = ?1) AND (?2 IS NULL OR a.ended_at >= ?2)", dead_condition(dead));
    let values = [number(filter.platform.map(|p| p as i64)), number(filter.since.map(|at| at.0))];
    let total = conn
        .prepare_cached(&format!("SELECT count(*) FROM actions a WHERE {condition}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let limit = filter.limit.unwrap_or(1000);
    let sql = format!(
        "SELECT {RECORD_COLUMNS} FROM actions a LEFT JOIN queue q USING (seq) WHERE {condition} \
         ORDER BY a.ended_at, a.seq LIMIT {limit}"
    );
    let mut query = conn.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(&values), queue_item)?;
    let items: Result<Vec<_>, _> = rows.map(|row| row.map(|(_, item)| item)).collect();
    Ok((items?, total))
}

/// Actions of a filter, newest first, and how many match in all.
pub fn actions(conn: &Connection, filter: &ActionFilter) -> Result<(Vec<ActionRecord>, u64), StoreError> {
    let (condition, values) = conditions(filter);
    let total = conn
        .prepare_cached(&format!("SELECT count(*) FROM actions a {condition}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let sql = format!(
        "SELECT {RECORD_COLUMNS} FROM actions a LEFT JOIN queue q USING (seq) {condition} \
         ORDER BY a.seq DESC LIMIT {} OFFSET {}",
        filter.limit.min(1000),
        i64::try_from(filter.offset).unwrap_or(i64::MAX),
    );
    let mut query = conn.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(&values), record)?;
    Ok((rows.collect::<Result<_, _>>()?, total))
}

/// What the actions of a filter have in common.
pub fn patterns(conn: &Connection, filter: &ActionFilter) -> Result<ActionPatterns, StoreError> {
    let (condition, values) = conditions(filter);
    let most = |column: &str| -> Result<Option<i64>, StoreError> {
        let sql = format!("SELECT a.{column} FROM actions a {condition} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1");
        Ok(conn.prepare_cached(&sql)?.query_row(params_from_iter(&values), |row| row.get(0)).optional()?)
    };
    let place = |n: Option<i64>| n.and_then(|n| usize::try_from(n).ok());
    let hours = format!(
        "SELECT (a.queued_at / 3600000) % 24 FROM actions a {condition} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 3"
    );
    let mut query = conn.prepare_cached(&hours)?;
    let peak_hours = query.query_map(params_from_iter(&values), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let days = format!("SELECT count(*), count(DISTINCT a.queued_at / 86400000) FROM actions a {condition}");
    let (count, days): (u32, u32) =
        conn.prepare_cached(&days)?.query_row(params_from_iter(&values), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(ActionPatterns {
        most_frequent_type: place(most("type")?).and_then(|n| ActionType::ALL.get(n)).copied(),
        most_frequent_platform: place(most("platform")?).and_then(|n| Platform::ALL.get(n)).copied(),
        peak_hours,
        avg_actions_per_day: if days == 0 { 0.0 } else { f64::from(count) / f64::from(days) },
    })
}

fn number(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::Integer)
}

fn conditions(filter: &ActionFilter) -> (String, Vec<Value>) {
    let mut parts: Vec<String> = Vec::new();
    let mut values = Vec::new();
    let mut add = |part: &str, value: Value| {
        parts.push(part.to_owned());
        values.push(value);
    };
    if let Some(platform) = filter.platform {
        add("a.platform = ?", Value::Integer(platform as i64));
    }
    match filter.status {
        // A row that runs is stored as pending.
        Some(ActionStatus::Pending | ActionStatus::Executing) => add("a.status = ?", Value::Integer(0)),
        Some(status) => add("a.status = ?", Value::Integer(status as i64)),
        None => {}
    }
    if filter.status == Some(ActionStatus::Executing) {
        add("EXISTS (SELECT 1 FROM queue x WHERE x.seq = a.seq AND x.state = ?)", Value::Integer(1));
    }
    let moment = |at: Option<Time>| at.map(|at| Value::Integer(at.0));
    if let Some(start) = moment(filter.start) {
        add("coalesce(a.ended_at, a.queued_at) >= ?", start);
    }
    if let Some(end) = moment(filter.end) {
        add("coalesce(a.ended_at, a.queued_at) < ?", end);
    }
    if let Some(user) = &filter.user_id {
        add("a.user_id = ?", Value::Text(user.clone()));
    }
    if let Some(source) = &filter.source {
        add("a.source = ?", Value::Text(source.clone()));
    }
    for tag in &filter.tags {
        add("EXISTS (SELECT 1 FROM json_each(a.tags) t WHERE t.value = ?)", Value::Text(tag.clone()));
    }
    if parts.is_empty() {
        return (String::new(), values);
    }
    (format!("WHERE {}", parts.join(" AND ")), values)
}

/// What `db check` looks at beside the probe: schema version, size in bytes, pages that are free.
pub fn shape(conn: &Connection) -> Result<(i64, u64, u64), StoreError> {
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let pages: u64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let size: u64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let free: u64 = conn.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    Ok((version, pages * size, free * size))
}

/// The version this program writes.
pub const fn schema_version() -> i64 {
    schema::VERSION
}

/// SQLite's own look at the file: `ok`, or what is wrong.
pub fn quick_check(conn: &Connection) -> Result<String, StoreError> {
    let mut query = conn.prepare("PRAGMA quick_check(5)")?;
    let lines: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines.join("; "))
}
