//! The endpoints of workflows.

use crate::guard::Approval;
use crate::http::Method;
use crate::wire::*;

use super::Orchestrator;
use super::changes::NO_BODY;
use super::reads::{query, segment, word};

fn path(id: &str, rest: &str) -> String {
    format!("/admin/v1/workflows/{}{rest}", segment(id))
}

impl Orchestrator {
    /// Workflows, newest first.
    pub async fn workflows(&self, filter: &WorkflowFilter) -> anyhow::Result<WorkflowList> {
        let statuses: Vec<&str> = filter.statuses.iter().map(|s| s.as_str()).collect();
        let path = query(
            "/admin/v1/workflows",
            &[
                ("status", Some(statuses.join(",")).filter(|s| !s.is_empty())),
                ("since", word(filter.since)),
                ("hideCleared", filter.hide_cleared.then(|| "true".to_owned())),
                ("limit", Some(filter.limit.to_string())),
                ("offset", Some(filter.offset.to_string())),
            ],
        );
        self.get(&path).await
    }

    /// One workflow with all its steps.
    pub async fn workflow(&self, id: &str) -> anyhow::Result<Workflow> {
        self.get(&path(id, "")).await
    }

    /// The execution log of workflows, oldest first.
    pub async fn workflow_events(&self, filter: &EventFilter) -> anyhow::Result<WorkflowEvents> {
        let path = query(
            "/admin/v1/logs/workflows",
            &[
                ("workflowId", filter.workflow_id.clone()),
                ("rollbackOnly", filter.rollback_only.then(|| "true".to_owned())),
                ("since", word(filter.since)),
                ("limit", Some(filter.limit.to_string())),
            ],
        );
        self.get(&path).await
    }

    /// What a rollback would do.
    pub async fn rollback_plan(&self, id: &str, mode: RollbackMode) -> anyhow::Result<RollbackPlan> {
        self.get(&query(&path(id, "/rollback"), &[("mode", Some(mode.to_string()))])).await
    }

    /// What rebuilding a workflow's state would change.
    pub async fn rebuild_plan(&self, id: &str) -> anyhow::Result<RebuildPlan> {
        self.get(&path(id, "/rebuild")).await
    }

    /// Submits a workflow.
    pub async fn submit_workflow(
        &self,
        approval: &Approval,
        workflow: &WorkflowRequest,
    ) -> anyhow::Result<WorkflowAccepted> {
        self.change(approval, Method::POST, "/admin/v1/workflows", Some(workflow), None).await
    }

    /// Begins a rollback, if the workflow is still as it was seen.
    pub async fn roll_back(
        &self,
        approval: &Approval,
        id: &str,
        mode: RollbackMode,
        version: Option<u64>,
    ) -> anyhow::Result<ChangeAnswer> {
        let request = RollbackRequest { mode };
        self.change(approval, Method::POST, &path(id, "/rollback"), Some(&request), version).await
    }

    /// Starts a workflow that waits.
    pub async fn execute_workflow(&self, approval: &Approval, id: &str, version: u64) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, &path(id, "/execute"), NO_BODY, Some(version)).await
    }

    /// Makes a workflow that undoes this one's executed steps.
    pub async fn compensate_workflow(
        &self,
        approval: &Approval,
        id: &str,
        version: u64,
    ) -> anyhow::Result<WorkflowAccepted> {
        self.change(approval, Method::POST, &path(id, "/compensate"), NO_BODY, Some(version)).await
    }

    /// Says that a failed workflow was put right by hand.
    pub async fn resolve_workflow(
        &self,
        approval: &Approval,
        id: &str,
        request: &ResolveRequest,
        version: u64,
    ) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, &path(id, "/resolve"), Some(request), Some(version)).await
    }

    /// Says that a workflow is completed.
    pub async fn complete_workflow(&self, approval: &Approval, id: &str, version: u64) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, &path(id, "/complete"), NO_BODY, Some(version)).await
    }

    /// Takes a resolved workflow off the list of failures.
    pub async fn clear_failed_workflow(
        &self,
        approval: &Approval,
        id: &str,
        version: u64,
    ) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, &path(id, "/clear-failed"), NO_BODY, Some(version)).await
    }

    /// Rebuilds a workflow's state from the execution log.
    pub async fn rebuild_workflow(&self, approval: &Approval, id: &str, version: u64) -> anyhow::Result<ChangeAnswer> {
        self.change(approval, Method::POST, &path(id, "/rebuild"), NO_BODY, Some(version)).await
    }
}
