//! The fake's idempotency keys and approvals, with every field filled.

use serde_json::json;

use super::{Fake, done, ready, refuse};
use crate::server::backend::*;
use crate::wire::*;

fn key(key: &str, now: Time) -> IdempotencyRecord {
    IdempotencyRecord {
        key: key.into(),
        state: KeyState::Done,
        owner: KeyOwner::Action {
            action_id: "a-1".into(),
            action_status: ActionStatus::Success,
            action_type: ActionType::Create,
            platform: Platform::Notion,
            workflow_id: Some("invoice-001".into()),
            correlation_id: Some("sig-88".into()),
        },
        fingerprint: "create:notion:44136fa355b3678a".into(),
        created_at: now,
        expires_at: now,
        prevented: Some(2),
        last_prevented_at: Some(now),
        collisions: Some(1),
        last_collision_at: Some(now),
        ends_in_timestamp: false,
        version: 4,
    }
}

fn collision(now: Time) -> KeyCollision {
    KeyCollision {
        at: now,
        key: "sig/1".into(),
        action_id: Some("a-1".into()),
        workflow_id: None,
        fingerprint: "create:notion:44136fa355b3678a".into(),
        offered: "create:notion:e5d1ec58a53b403e".into(),
        source: Some("member-2".into()),
        correlation_id: Some("sig-88".into()),
        user_id: Some("user-123".into()),
    }
}

impl IdempotencyOps for Fake {
    fn keys(&self, _view: KeyView, _limit: u64) -> Answer<'_, IdempotencyKeys> {
        ready(IdempotencyKeys { keys: vec![key("sig/1", self.now())], truncated: false })
    }
    fn key<'a>(&'a self, name: &'a str) -> Answer<'a, IdempotencyKey> {
        match name {
            "sig/1" => ready(IdempotencyKey { record: key(name, self.now()), collided: vec![collision(self.now())] }),
            _ => refuse(Refusal::not_found(format!("idempotency key `{name}`"))),
        }
    }
    fn collisions(&self, _since: Option<Time>, _limit: u64) -> Answer<'_, KeyCollisions> {
        ready(KeyCollisions { collisions: vec![collision(self.now())], truncated: false })
    }
    fn clear_key<'a>(&'a self, name: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        self.note(cx);
        match name {
            "sig/1" => ready(done(EffectKind::Applied)),
            "locked" => refuse(Refusal::new(ErrorCode::Conflict, "the key `locked` is locked: action a-1 is pending")),
            _ => refuse(Refusal::not_found(format!("idempotency key `{name}`"))),
        }
    }
}

fn approval(now: Time) -> ApprovalRecord {
    ApprovalRecord {
        id: "apv-a-1".into(),
        action: "delete on notion: page_id p-7".into(),
        priority: Priority::High,
        risk_level: RiskLevel::High,
        created_at: now,
        expires_at: now,
        time_remaining: 0,
        status: ApprovalStatus::Rejected,
        causes: vec![ApprovalCause::Deletes],
        action_id: "a-1".into(),
        action_type: ActionType::Delete,
        platform: Platform::Notion,
        data: json!({"page_id": "p-7"}),
        workflow_id: Some("invoice-001".into()),
        correlation_id: Some("sig-88".into()),
        user_id: Some("user-123".into()),
        source: Some("member-2".into()),
        decided_by: Some("ana (tok admin)".into()),
        decided_at: Some(now),
        reason: Some("not this one".into()),
    }
}

impl ApprovalOps for Fake {
    fn approvals(&self, _filter: ApprovalFilter) -> Answer<'_, Approvals> {
        ready(Approvals { approvals: vec![approval(self.now())], truncated: false })
    }
    fn approval<'a>(&'a self, id: &'a str) -> Answer<'a, ApprovalRecord> {
        match id {
            "apv-a-1" => ready(approval(self.now())),
            _ => refuse(Refusal::not_found(format!("approval `{id}`"))),
        }
    }
    fn approve<'a>(&'a self, id: &'a str, request: ApproveRequest, cx: &'a ChangeContext) -> Answer<'a, Approved> {
        self.note(cx);
        match id {
            "apv-a-1" => ready(Approved {
                status: ApprovalStatus::Approved,
                approval_id: id.into(),
                action_id: "a-1".into(),
                approved_by: format!("{} ({})", request.user_id, cx.actor),
                timestamp: self.now(),
            }),
            "late" => refuse(Refusal::new(ErrorCode::Conflict, "approval late is decided: rejected by ben")),
            _ => refuse(Refusal::not_found(format!("approval `{id}`"))),
        }
    }
    fn reject<'a>(&'a self, id: &'a str, request: RejectRequest, cx: &'a ChangeContext) -> Answer<'a, Rejected> {
        self.note(cx);
        ready(Rejected {
            status: ApprovalStatus::Rejected,
            approval_id: id.into(),
            action_id: "a-1".into(),
            rejected_by: format!("{} ({})", request.user_id, cx.actor),
            reason: request.reason,
            timestamp: self.now(),
        })
    }
}
