//! Lockdown, and the way back.

use crate::guard::Approval;
use crate::http::Method;
use crate::wire::{ChangeAnswer, ConfigEntry, RestoreAccess, RestoreChecks, SecurityStatus};

use super::Orchestrator;
use super::changes::NO_BODY;
use super::reads::segment;

impl Orchestrator {
    /// Whether the service is locked down.
    pub async fn security(&self) -> anyhow::Result<SecurityStatus> {
        self.get("/admin/v1/security").await
    }

    /// Shuts everybody out but break-glass.
    pub async fn lock_down(&self, approval: &Approval) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, "/admin/v1/security/lockdown", NO_BODY, None).await
    }

    /// What has to be so before a lockdown ends.
    pub async fn restore_checks(&self) -> anyhow::Result<RestoreChecks> {
        self.get("/admin/v1/security/restore").await
    }

    /// Ends a lockdown.
    pub async fn restore_access(&self, approval: &Approval) -> anyhow::Result<ChangeAnswer> {
        let request = RestoreAccess { verified: true };
        self.change(approval, Method::POST, "/admin/v1/security/restore", Some(&request), None).await
    }

    /// Makes a value that was set for a time a lasting one.
    pub async fn keep_config(&self, approval: &Approval, name: &str, version: u64) -> anyhow::Result<ConfigEntry> {
        let path = format!("/admin/v1/config/{}/keep", segment(name));
        self.change(approval, Method::POST, &path, NO_BODY, Some(version)).await
    }

    /// Takes a value that was set for a time back now.
    pub async fn take_config_back(&self, approval: &Approval, name: &str) -> anyhow::Result<ConfigEntry> {
        let path = format!("/admin/v1/config/{}/back", segment(name));
        self.change(approval, Method::POST, &path, NO_BODY, None).await
    }
}
