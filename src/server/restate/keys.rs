//! Idempotency keys: what Restate keeps per service and handler, for its retention.

use std::time::Duration;

use super::admin::{Repeat, quoted, refused};
use super::invocation::{COLUMNS, End, Invocation};
use super::queue::actions;
use super::{RestateBackend, unsupported};
use crate::engine::idempotency;
use crate::http::Method;
use crate::server::backend::{Answer, ChangeContext, IdempotencyOps, Refusal};
use crate::server::effects::answer;
use crate::wire::{
    ChangeAnswer, EffectKind, ErrorCode, IdempotencyKey, IdempotencyKeys, IdempotencyRecord, KeyCollisions, KeyOwner,
    KeyState, KeyView, Time,
};

/// Keys read at once while looking for those that are not the server's own.
const PAGE: u64 = 2000;
/// Pages read at most.
const PAGES: u64 = 25;
/// How far the time in a ULID may be from the moment its invocation was made for it to be the server's own.
const INJECTED_WITHIN: Duration = Duration::from_secs(1);
/// The digits of a ULID.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Whether the server made this key itself: it gives a ULID of that moment to everything sent without a key.
fn is_injected(key: &str, created_at: Time) -> bool {
    if key.len() != 26 {
        return false;
    }
    let digits = key.bytes().map(|byte| CROCKFORD.iter().position(|digit| *digit == byte));
    let Some(digits) = digits.collect::<Option<Vec<usize>>>() else { return false };
    let ms = digits[..10].iter().fold(0_i64, |ms, digit| (ms << 5) | *digit as i64);
    (ms - created_at.0).unsigned_abs() <= INJECTED_WITHIN.as_millis() as u64
}

/// A key's invocation as the verbs have it.
fn record(row: &Invocation, fingerprint: Option<String>, now: Time) -> Option<IdempotencyRecord> {
    let key = row.idempotency_key.clone()?;
    let action_status = row.record(None, None)?.status;
    let retained = row.completed_at.map(|at| at + row.retention());
    let state = match (row.end(), retained) {
        (End::None, _) => KeyState::InFlight,
        (_, Some(until)) if until <= now => KeyState::Expired,
        _ => KeyState::Done,
    };
    Some(IdempotencyRecord {
        state,
        owner: KeyOwner::Action {
            action_id: row.id.clone(),
            action_status,
            action_type: row.action_type()?,
            platform: row.platform()?,
            workflow_id: None,
            correlation_id: None,
        },
        fingerprint: fingerprint.unwrap_or_else(|| "not read".to_owned()),
        created_at: row.created_at,
        expires_at: retained.unwrap_or(row.created_at + row.retention()),
        prevented: None,
        last_prevented_at: None,
        collisions: None,
        last_collision_at: None,
        ends_in_timestamp: idempotency::ends_in_timestamp(&key),
        version: row.version(),
        key,
    })
}

impl RestateBackend {
    async fn list_keys(&self, view: KeyView, limit: u64) -> Result<IdempotencyKeys, Refusal> {
        if view != KeyView::All {
            return Err(unsupported("Restate does not count what a key prevented or collided with: list all keys"));
        }
        let (mut keys, now) = (Vec::new(), self.now());
        for page in 0..PAGES {
            let sql = format!(
                "select {COLUMNS} from sys_invocation where idempotency_key is not null and {} \
                 order by created_at desc limit {PAGE} offset {}",
                actions(),
                page * PAGE
            );
            let rows: Vec<Invocation> = self.rows(&sql).await?;
            let last = (rows.len() as u64) < PAGE;
            let own = rows.iter().filter(|row| !injected(row));
            keys.extend(own.filter_map(|row| record(row, None, now)));
            if keys.len() as u64 > limit || last {
                let truncated = keys.len() as u64 > limit;
                keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                return Ok(IdempotencyKeys { keys, truncated });
            }
        }
        Ok(IdempotencyKeys { keys, truncated: true })
    }

    /// The invocations that hold a key, newest first: one for each service and handler it was used with.
    async fn holders(&self, key: &str) -> Result<Vec<Invocation>, Refusal> {
        let sql = format!(
            "select {COLUMNS} from sys_invocation where idempotency_key = {} and {} order by created_at desc",
            quoted(key),
            actions()
        );
        let rows: Vec<Invocation> = self.rows(&sql).await?;
        let own: Vec<Invocation> = rows.into_iter().filter(|row| !injected(row)).collect();
        if own.is_empty() { Err(Refusal::not_found(format!("idempotency key `{key}`"))) } else { Ok(own) }
    }

    async fn one_key(&self, key: &str) -> Result<IdempotencyKey, Refusal> {
        let holders = self.holders(key).await?;
        let newest = &holders[0];
        let data = self.input_of(&newest.id).await?.and_then(|input| input.get("data").cloned());
        let fingerprint = data.zip(newest.platform()).map(|(data, platform)| {
            idempotency::action_fingerprint(&newest.target_handler_name, platform.as_str(), &data)
        });
        let record = record(newest, fingerprint, self.now());
        let record = record.ok_or_else(|| Refusal::not_found(format!("idempotency key `{key}`")))?;
        Ok(IdempotencyKey { record, collided: Vec::new() })
    }

    async fn forget(&self, key: &str, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let holders = self.holders(key).await?;
        if cx.if_version.is_some_and(|seen| seen != holders[0].version()) {
            return Err(Refusal::new(ErrorCode::Conflict, format!("the key `{key}` moved meanwhile")));
        }
        if let Some(row) = holders.iter().find(|row| row.end() == End::None) {
            let words = format!("the key `{key}` holds action {}, which is in flight", row.id);
            return Err(Refusal::new(ErrorCode::Conflict, words));
        }
        for row in &holders {
            let path = format!("invocations/{}/purge", row.id);
            let reply = self.admin.change(Method::PATCH, &path, None, Repeat::Safe).await?;
            // Gone already is what was wanted.
            if !reply.is_success() && reply.status != 404 {
                return Err(refused(&reply, &format!("to forget action {}", row.id)));
            }
        }
        let gone = self.seen(|| async {
            match self.holders(key).await {
                Err(refusal) if refusal.code == ErrorCode::NotFound => Ok(Some(())),
                Err(refusal) => Err(refusal),
                Ok(_) => Ok(None),
            }
        });
        let Some(()) = gone.await? else {
            return Ok(answer(EffectKind::Accepted, self.not_seen(&format!("to forget the key `{key}`")), vec![]));
        };
        let ids: Vec<&str> = holders.iter().map(|row| row.id.as_str()).collect();
        let words = format!("the key `{key}` is forgotten, and with it Restate's record of {}", ids.join(", "));
        self.log_change(&words, cx);
        Ok(answer(EffectKind::Applied, words, vec![]))
    }
}

/// Whether an invocation's key is the server's own.
pub(super) fn injected(row: &Invocation) -> bool {
    row.idempotency_key.as_deref().is_some_and(|key| is_injected(key, row.created_at))
}

impl IdempotencyOps for RestateBackend {
    fn keys(&self, view: KeyView, limit: u64) -> Answer<'_, IdempotencyKeys> {
        Box::pin(self.list_keys(view, limit))
    }

    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, IdempotencyKey> {
        Box::pin(self.one_key(key))
    }

    fn collisions(&self, _since: Option<Time>, _limit: u64) -> Answer<'_, KeyCollisions> {
        let why = "collisions are refused when an action is submitted here, and Restate keeps none of them";
        Box::pin(std::future::ready(Err(unsupported(why))))
    }

    fn clear_key<'a>(&'a self, key: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.forget(key, cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ActionStatus;

    #[test]
    fn the_servers_own_keys_are_told_from_callers() {
        // As seen: the key and the moment of one invocation.
        let created = "2026-11-30T01:51:57.482Z".parse().unwrap();
        assert!(is_injected("01M8N2DN19S8J9EENND6VK4YKV", created));
        assert!(!is_injected("01M8N2DN19S8J9EENND6VK4YKV", created + Duration::from_secs(3)));
        assert!(!is_injected("k1", created));
        assert!(!is_injected("sig-1:create:notion:0123456789abcdef", created));
        assert!(!is_injected("01M8N2DN19S8J9EENND6VK4YKU", created), "U is no digit");
    }

    #[test]
    fn a_key_holds_while_its_action_does_and_for_the_retention_after() {
        let row = |extra: &str| -> Invocation {
            serde_json::from_str(&format!(
                r#"{{"id":"inv_1","target_service_name":"Notion","target_handler_name":"create","idempotency_key":"k1",
                "created_at":"1970-01-01T00:00:00Z","completion_retention":"PT60S",{extra}}}"#
            ))
            .unwrap()
        };
        let state = |row: &Invocation, now| record(row, None, Time(now)).unwrap().state;
        assert_eq!(state(&row(r#""status":"backing-off""#), 99_000), KeyState::InFlight);
        let done = row(r#""status":"completed","completed_at":"1970-01-01T00:00:10Z""#);
        assert_eq!(record(&done, None, Time(0)).unwrap().owner.status(), ActionStatus::Success.as_str());
        assert_eq!((state(&done, 69_999), state(&done, 70_000)), (KeyState::Done, KeyState::Expired));
    }
}
