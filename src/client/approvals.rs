//! The endpoints of approvals and idempotency keys.

use crate::guard::Approval;
use crate::http::Method;
use crate::wire::*;

use super::Orchestrator;
use super::changes::NO_BODY;
use super::reads::{query, segment, word};

fn key_path(key: &str) -> String {
    format!("/admin/v1/idempotency/keys/{}", segment(key))
}

impl Orchestrator {
    /// Idempotency keys of a view, newest first.
    pub async fn idempotency_keys(&self, view: KeyView, limit: u64) -> anyhow::Result<IdempotencyKeys> {
        let pairs = [("view", Some(view.to_string())), ("limit", Some(limit.to_string()))];
        self.get(&query("/admin/v1/idempotency/keys", &pairs)).await
    }

    /// One idempotency key with what collided with it.
    pub async fn idempotency_key(&self, key: &str) -> anyhow::Result<IdempotencyKey> {
        self.get(&key_path(key)).await
    }

    /// Refused collisions, newest first.
    pub async fn key_collisions(&self, since: Option<Time>, limit: u64) -> anyhow::Result<KeyCollisions> {
        let pairs = [("since", word(since)), ("limit", Some(limit.to_string()))];
        self.get(&query("/admin/v1/idempotency/collisions", &pairs)).await
    }

    /// Forgets an idempotency key, if the action that was seen still has it.
    pub async fn clear_key(&self, approval: &Approval, key: &str, version: u64) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::DELETE, &key_path(key), NO_BODY, Some(version)).await
    }

    /// Approvals of a status.
    pub async fn approvals(&self, filter: &ApprovalFilter) -> anyhow::Result<Approvals> {
        let pairs = [
            ("status", Some(filter.status.to_string())),
            ("since", word(filter.since)),
            ("limit", Some(filter.limit.to_string())),
        ];
        self.get(&query("/admin/v1/approvals", &pairs)).await
    }

    /// One approval, by its id or its action's.
    pub async fn approval(&self, id: &str) -> anyhow::Result<ApprovalRecord> {
        self.get(&format!("/admin/v1/approvals/{}", segment(id))).await
    }

    /// Lets an action run that waits for a decision.
    pub async fn approve_action(
        &self,
        approval: &Approval,
        id: &str,
        request: &ApproveRequest,
    ) -> anyhow::Result<Approved> {
        let path = format!("/api/approvals/{}/approve", segment(id));
        self.change(approval, Method::POST, &path, Some(request), None).await
    }

    /// Ends an action that waits for a decision without running it.
    pub async fn reject_action(
        &self,
        approval: &Approval,
        id: &str,
        request: &RejectRequest,
    ) -> anyhow::Result<Rejected> {
        let path = format!("/api/approvals/{}/reject", segment(id));
        self.change(approval, Method::POST, &path, Some(request), None).await
    }
}
