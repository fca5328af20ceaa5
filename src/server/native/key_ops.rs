//! Idempotency keys as the routes know them.

use super::runtime::Runtime;
use super::store::keys::{self, Cleared};
use crate::server::backend::{Answer, ChangeContext, IdempotencyOps, Refusal};
use crate::server::effects::{answer, who};
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{
    ChangeAnswer, EffectKind, ErrorCode, IdempotencyKey, IdempotencyKeys, IdempotencyRecord, KeyCollisions, KeyOwner,
    KeyState, KeyView, Time,
};

impl IdempotencyOps for Runtime {
    fn keys(&self, view: KeyView, limit: u64) -> Answer<'_, IdempotencyKeys> {
        Box::pin(async move {
            let now = self.now();
            let (keys, truncated) = self.store.read(move |conn| keys::list(conn, view, limit, now)).await?;
            Ok(IdempotencyKeys { keys, truncated })
        })
    }

    fn key<'a>(&'a self, key: &'a str) -> Answer<'a, IdempotencyKey> {
        Box::pin(async move {
            let (owned, now) = (key.to_owned(), self.now());
            let read = self.store.read(move |conn| Ok((keys::get(conn, &owned, now)?, keys::collided(conn, &owned)?)));
            let (found, collided) = read.await?;
            let record = found.ok_or_else(|| unknown(key))?;
            Ok(IdempotencyKey { record, collided })
        })
    }

    fn collisions(&self, since: Option<Time>, limit: u64) -> Answer<'_, KeyCollisions> {
        Box::pin(async move {
            let read = self.store.read(move |conn| keys::collisions(conn, None, since, limit));
            let (collisions, truncated) = read.await?;
            Ok(KeyCollisions { collisions, truncated })
        })
    }

    fn clear_key<'a>(&'a self, key: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(async move {
            let (owned, now, seen) = (key.to_owned(), self.now(), cx.if_version);
            match self.store.write(move |conn| keys::clear(conn, &owned, seen, now)).await? {
                Cleared::NotFound => Err(unknown(key)),
                Cleared::Refused(record) => Err(kept(&record)),
                Cleared::Cleared(record) => {
                    let line = LogLine::warn(Part::Idempotency, "Idempotency key cleared: it may be used again");
                    let line = match record.owner {
                        KeyOwner::Action { action_id, .. } => line.action(action_id),
                        KeyOwner::Workflow { workflow_id, .. } => line.field("workflowId", workflow_id),
                    };
                    let line = line.field("key", key).field("by", who(cx)).field("reason", cx.reason.clone());
                    self.telemetry.log(line.request(Some(cx.request_id.clone())));
                    let words = format!("the key `{key}` is forgotten: the next submission with it runs");
                    Ok(answer(EffectKind::Applied, words, Vec::new()))
                }
            }
        })
    }
}

fn unknown(key: &str) -> Refusal {
    Refusal::not_found(format!("idempotency key `{key}`: nothing was submitted with it, or it is forgotten"))
}

/// Why a key stays.
fn kept(record: &IdempotencyRecord) -> Refusal {
    let IdempotencyRecord { key, owner, .. } = record;
    let (kind, id, status) = (owner.kind(), owner.id(), owner.status());
    let message = match record.state {
        KeyState::InFlight => format!(
            "the key `{key}` is locked: {kind} {id} is {status}, and without the key a second submission would run \
             beside it"
        ),
        _ => format!("the key `{key}` was taken by {kind} {id} meanwhile"),
    };
    let mut refusal = Refusal::new(ErrorCode::Conflict, message);
    if let KeyOwner::Action { platform, .. } = owner {
        refusal.platform = Some(*platform);
    }
    refusal.details = serde_json::to_value(owner).ok();
    refusal
}
