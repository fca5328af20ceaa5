//! The endpoints that change something. Each takes an approval.

use std::time::Duration;

use crate::guard::Approval;
use crate::http::Method;
use crate::wire::*;

use super::Orchestrator;
use super::reads::segment;

pub(super) const NO_BODY: Option<&()> = None;

impl Orchestrator {
    /// Submits actions, all or none.
    pub async fn submit(&self, approval: &Approval, actions: &[ActionRequest]) -> anyhow::Result<SubmitAnswer> {
        self.change(approval, Method::POST, "/admin/v1/actions", Some(&actions), None).await
    }

    /// Puts actions of another orchestrator in; `part` tells these from the others of the same approval.
    pub async fn put_in_queue(
        &self,
        approval: &Approval,
        part: &str,
        request: &ImportRequest,
    ) -> anyhow::Result<ImportAnswer> {
        self.change_one((approval, part), Method::POST, "/admin/v1/queue/requests", Some(request)).await
    }

    /// Moves one item to the dead letters, if it is still as it was seen.
    pub async fn remove_item(&self, approval: &Approval, id: &str, version: u64) -> anyhow::Result<ChangeAnswer> {
        let path = format!("/admin/v1/queue/items/{}", segment(id));
        self.change(approval, Method::DELETE, &path, NO_BODY, Some(version)).await
    }

    /// Moves many items to the dead letters.
    pub async fn clear_queue(&self, approval: &Approval, request: &ClearRequest) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, "/admin/v1/queue/clear", Some(request), None).await
    }

    /// Moves some of many items to the dead letters; `part` tells these from the others of the same approval.
    pub async fn clear_part(
        &self,
        approval: &Approval,
        part: &str,
        request: &ClearRequest,
    ) -> anyhow::Result<ChangeAnswer> {
        self.change_one((approval, part), Method::POST, "/admin/v1/queue/clear", Some(request)).await
    }

    /// Puts removed items back; `part` tells these from the others of the same approval.
    pub async fn restore_items(
        &self,
        approval: &Approval,
        part: &str,
        request: &IdsRequest,
    ) -> anyhow::Result<ChangeAnswer> {
        self.change_one((approval, part), Method::POST, "/admin/v1/queue/restore", Some(request)).await
    }

    /// Drives failed items again.
    pub async fn retry_items(&self, approval: &Approval, request: &IdsRequest) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, "/admin/v1/queue/retry", Some(request), None).await
    }

    /// Sets a pause.
    pub async fn pause(&self, approval: &Approval, scope: PauseScope) -> anyhow::Result<ChangeAnswer> {
        let request = PauseRequest { scope, slow_start: false };
        self.change(approval, Method::POST, "/admin/v1/pauses", Some(&request), None).await
    }

    /// Ends a pause.
    pub async fn resume(&self, approval: &Approval, request: &PauseRequest) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, "/admin/v1/pauses/resume", Some(request), None).await
    }

    /// Closes a circuit, if it is still as it was seen.
    pub async fn reset_circuit(
        &self,
        approval: &Approval,
        platform: Platform,
        version: u64,
    ) -> anyhow::Result<ChangeAnswer> {
        let path = format!("/admin/v1/circuits/{platform}/reset");
        self.change(approval, Method::POST, &path, NO_BODY, Some(version)).await
    }

    /// Restarts one part after a drain.
    pub async fn restart_component(
        &self,
        approval: &Approval,
        component: Component,
        drain: Duration,
    ) -> anyhow::Result<RestartAnswer> {
        let path = format!("/admin/v1/components/{component}/restart");
        self.change(approval, Method::POST, &path, Some(&drain_of(drain)), None).await
    }

    /// Restarts one platform's executor after a drain.
    pub async fn restart_executor(
        &self,
        approval: &Approval,
        platform: Platform,
        drain: Duration,
    ) -> anyhow::Result<RestartAnswer> {
        let path = format!("/admin/v1/executors/{platform}/restart");
        self.change(approval, Method::POST, &path, Some(&drain_of(drain)), None).await
    }

    /// Empties the response caches.
    pub async fn clear_caches(&self, approval: &Approval) -> anyhow::Result<CacheCleared> {
        self.change(approval, Method::POST, "/admin/v1/caches/clear", NO_BODY, None).await
    }

    /// Sets a setting.
    pub async fn set_config(
        &self,
        approval: &Approval,
        name: &str,
        set: &ConfigSet,
        version: Option<u64>,
    ) -> anyhow::Result<ConfigEntry> {
        let path = format!("/admin/v1/config/{}", segment(name));
        self.change(approval, Method::PUT, &path, Some(set), version).await
    }

    /// Takes a setting back to the environment's value or the default.
    pub async fn unset_config(
        &self,
        approval: &Approval,
        name: &str,
        version: Option<u64>,
    ) -> anyhow::Result<ConfigEntry> {
        let path = format!("/admin/v1/config/{}", segment(name));
        self.change(approval, Method::DELETE, &path, NO_BODY, version).await
    }

    /// Makes a token; its value is in the answer this once.
    pub async fn create_token(&self, approval: &Approval, request: &TokenRequest) -> anyhow::Result<TokenCreated> {
        self.change(approval, Method::POST, "/admin/v1/tokens", Some(request), None).await
    }

    /// Ends a token.
    pub async fn revoke_token(&self, approval: &Approval, id: &str) -> anyhow::Result<ChangeAnswer> {
        let path = format!("/admin/v1/tokens/{}", segment(id));
        self.change(approval, Method::DELETE, &path, NO_BODY, None).await
    }
}

fn drain_of(drain: Duration) -> RestartRequest {
    RestartRequest { drain_timeout: Some(u64::try_from(drain.as_millis()).unwrap_or(u64::MAX)) }
}
