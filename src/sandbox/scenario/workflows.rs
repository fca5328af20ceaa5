//! The issues in which data is inconsistent: duplicates, a failed rollback, lost state, corruption.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::database::damage;
use super::{MARK, Stage, count, until};
use crate::http::Method;
use crate::sandbox::ground::Ground;
use crate::sandbox::record::Scene;
use crate::sandbox::sim::{Api, Fault, FaultSpec};
use crate::sandbox::traffic::{self, Invoice};
use crate::wire::{
    ActionRecord, ActionRequest, ActionStatus, ActionType, ApprovalRecord, ApproveRequest, Backup, BackupRequest,
    ConfigEntry, ConfigSet, Job, JobState, KeyCollisions, Platform, Priority, RebuildPlan, RestartRequest,
    RollbackMode, RollbackRequest, StepStatus, Workflow, WorkflowStatus,
};

/// A channel that no workspace of the sandbox has: a message to it fails for good.
const NO_CHANNEL: &str = "C0CLOSED0001";
/// The switch that issue 3 is about.
const IDEMPOTENCY: &str = "/admin/v1/config/ENABLE_IDEMPOTENCY";

impl Stage<'_> {
    /// Issue 3: repeats are executed, because their keys end in a moment, and because nobody looks at keys any more.
    pub(super) async fn duplicates(&self) -> anyhow::Result<Vec<String>> {
        let number = fastrand::u32(1000..10_000);
        let key = format!("task-{number}");
        let both = [Platform::Notion, Platform::Trello];
        // One key for two things: the second is refused and noted.
        for title in [format!("Call about invoice {number}"), format!("Write about invoice {number}")] {
            let _ = self.accepted(&[self.task(Platform::Notion, &title, &key)]).await;
        }
        let noted: KeyCollisions = self.ground.admin.get("/admin/v1/idempotency/collisions?limit=1000").await?;
        let collided = noted.collisions.iter().filter(|c| c.key == key).count() as u64;
        // A moment in each key, as it was advised once, makes every repeat a new one.
        let stamped = |platform: Platform, n: i64| format!("{key}-{platform}-{}", self.now.0 + n);
        let title = format!("Pay invoice {number}");
        let repeats = (0..2).flat_map(|n| both.map(|p| self.task(p, &title, &stamped(p, n))));
        let mut ids = self.accepted(&repeats.collect::<Vec<_>>()).await?;
        set_idempotency(self.ground, Some("false")).await?;
        let title = format!("Review invoice {number}");
        let repeats = (0..2).flat_map(|_| both.map(|p| self.task(p, &title, &format!("{key}-{p}"))));
        ids.extend(self.accepted(&repeats.collect::<Vec<_>>()).await?);
        self.executed(&ids).await?;
        // Its last step waits for a person: without a word from one it would be executed on.
        let invoice = Invoice { approval: true, ..self.invoice().await? };
        let waits = |w: &Workflow| w.steps.iter().filter(|s| s.status == StepStatus::Completed).count() == 2;
        let workflow = self.execute(&invoice, "half executed", waits).await?;
        self.note(&[("workflowId", &workflow), ("key", &stamped(Platform::Notion, 0))], &[&workflow]).await?;
        Ok(vec![
            format!("the tasks to pay and to review invoice {number} are in Notion and on the Trello board twice"),
            format!("idempotency is off; before that, {} of the key {key} noted", count(collided, "collision")),
            format!("a caller ends its keys in a moment: {}", stamped(Platform::Notion, 0)),
            format!("{workflow} is half executed, its last step waits for approval"),
        ])
    }

    /// Issue 4: the notice cannot be sent, and Drive refuses to take the file back.
    pub(super) async fn rollback_failed(&self) -> anyhow::Result<Vec<String>> {
        let spec = FaultSpec::from(Fault::Forbidden).only("files.trash");
        self.ground.fault(Api::Drive, &spec).await?;
        let invoice = Invoice { channel: Some(NO_CHANNEL.into()), ..self.invoice().await? };
        let is_so = |w: &Workflow| w.status == WorkflowStatus::RollbackFailed;
        let id = self.execute(&invoice, "rollback_failed", is_so).await?;
        let workflow: Workflow = self.ground.admin.get(&format!("/admin/v1/workflows/{id}")).await?;
        self.note(&[("workflowId", &id)], &[&id]).await?;
        let mut facts = vec![
            format!("{id} is rollback_failed: its row is undone, its file still stands"),
            "Drive answers 403 to whoever moves a file to the trash".into(),
        ];
        facts.extend(workflow.error);
        Ok(facts)
    }

    /// Issue 8: rows of workflows are gone, or cannot be read.
    pub(super) async fn state_lost(&self) -> anyhow::Result<Vec<String>> {
        let gone = self.completed().await?;
        let garbled = self.completed().await?;
        let backup = self.backup().await?;
        let after = damage(self.ground, |conn| {
            delete(conn, &gone)?;
            conn.execute("UPDATE workflows SET body = substr(body, 1, 40) WHERE id = ?", [&garbled]).map(|_| ())
        })
        .await?;
        for id in [&gone, &garbled] {
            let workflow: Workflow = after.admin.get(&format!("/admin/v1/workflows/{id}")).await?;
            anyhow::ensure!(workflow.status == WorkflowStatus::Unknown, "the state of {id} is still there");
        }
        let places = [("workflowId", &gone), ("timestamp", &backup), ("clean-timestamp", &backup)];
        self.note(&places, &[&gone, &garbled]).await?;
        Ok(vec![
            format!("the rows of {gone} are gone from the database, that of {garbled} is cut off"),
            format!("the status of both is unknown; a backup from before is {backup}"),
        ])
    }

    /// Procedure 2: neither the stored state nor the platforms' objects are what the workflows left.
    pub(super) async fn corruption(&self) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(self.completed().await?);
        }
        let backup = self.backup().await?;
        let file = self.result(&ids[0], "create_file", "fileId").await?;
        let (sheet, range) = (
            self.result(&ids[1], "update_sheet", "spreadsheetId").await?,
            self.result(&ids[1], "update_sheet", "updatedRange").await?,
        );
        // Somebody who works past the orchestrator's workflows.
        let by_hand = [
            self.action(Platform::Drive, ActionType::Delete, json!({"fileId": file})),
            self.action(
                Platform::Sheets,
                ActionType::Update,
                json!({"spreadsheetId": sheet, "range": range, "values": [["0", "overwritten", "0"]]}),
            ),
        ];
        let by_hand = self.accepted(&by_hand).await?;
        // Who deletes is asked first.
        self.approve(&by_hand[0]).await?;
        self.executed(&by_hand).await?;
        damage(self.ground, |conn| {
            // Completed, as the log knows, becomes failed; a step that is done becomes one that waits.
            let failed = WorkflowStatus::Failed as i64;
            conn.execute("UPDATE workflows SET status = ? WHERE id = ?", (failed, &ids[2]))?;
            conn.execute(
                "UPDATE workflow_steps SET status = 0 WHERE id = 'create_file' \
                 AND workflow = (SELECT seq FROM workflows WHERE id = ?)",
                [&ids[1]],
            )
            .map(|_| ())
        })
        .await?;
        let places = [("workflowId", &ids[2]), ("timestamp", &backup), ("clean-timestamp", &backup)];
        self.note(&places, &ids.iter().collect::<Vec<_>>()).await?;
        Ok(vec![
            format!("the file of {} is in the trash, the row of {} is overwritten", ids[0], ids[1]),
            format!("the stored state of {} and {} is not what their log says", ids[1], ids[2]),
            format!("a clean backup from before is {backup}"),
        ])
    }

    /// An invoice that nobody has yet.
    async fn invoice(&self) -> anyhow::Result<Invoice> {
        for number in 1..1000 {
            let correlation_id = format!("{MARK}{}-{number}", self.scenario);
            let invoice = Invoice { number, correlation_id, channel: None, approval: false };
            let path = format!("/admin/v1/logs/workflows?workflowId={}&limit=1", invoice.id());
            // A workflow that the log does not know is not found.
            if self.ground.admin.get::<Value>(&path).await.is_err() {
                return Ok(invoice);
            }
        }
        anyhow::bail!("every invoice from 001 to 999 was executed; start anew with `opsctl sandbox down`")
    }

    /// Executes an invoice's workflow until it is as expected; gives its id.
    async fn execute(
        &self,
        invoice: &Invoice,
        expected: &str,
        is_so: impl Fn(&Workflow) -> bool,
    ) -> anyhow::Result<String> {
        let workflow = traffic::workflow(invoice);
        let id = traffic::submit_workflow(&self.ground.admin, &self.log, self.now, &workflow).await?.workflow_id;
        until(&format!("{id} is not {expected}"), || async {
            let workflow: Workflow = self.ground.admin.get(&format!("/admin/v1/workflows/{id}")).await?;
            Ok(is_so(&workflow).then_some(()))
        })
        .await?;
        Ok(id)
    }

    /// Executes one more invoice's workflow to its end; gives its id.
    async fn completed(&self) -> anyhow::Result<String> {
        let is_so = |w: &Workflow| w.status == WorkflowStatus::Completed;
        self.execute(&self.invoice().await?, "completed", is_so).await
    }

    /// A field of the result of a workflow's step.
    async fn result(&self, id: &str, step: &str, field: &str) -> anyhow::Result<String> {
        let workflow: Workflow = self.ground.admin.get(&format!("/admin/v1/workflows/{id}")).await?;
        let step = workflow.steps.into_iter().find(|s| s.step_id == step).and_then(|s| s.result);
        let value = step.and_then(|result| result[field].as_str().map(str::to_owned));
        value.ok_or_else(|| anyhow::anyhow!("{id} has no {field}"))
    }

    /// Makes a backup; gives its id.
    async fn backup(&self) -> anyhow::Result<String> {
        let admin = &self.ground.admin;
        let job: Job = admin.post("/admin/v1/backups", &BackupRequest { full: false }).await?;
        let job = until("the backup is not done", || async {
            let job: Job = admin.get(&format!("/admin/v1/jobs/{}", job.id)).await?;
            Ok((job.state != JobState::Running).then_some(job))
        })
        .await?;
        if let Some(error) = job.error {
            anyhow::bail!("the backup failed: {}", error.message);
        }
        let made: Backup = serde_json::from_value(job.result.unwrap_or_default())?;
        Ok(made.id)
    }

    /// A task for a person.
    fn task(&self, platform: Platform, title: &str, key: &str) -> ActionRequest {
        let name = if platform == Platform::Trello { "name" } else { "title" };
        let action = self.action(platform, ActionType::Create, json!({ name: title }));
        ActionRequest { idempotency_key: Some(key.to_owned()), ..action }
    }

    fn action(&self, platform: Platform, action_type: ActionType, data: Value) -> ActionRequest {
        ActionRequest {
            id: None,
            action_type,
            platform,
            priority: Priority::Critical,
            data,
            correlation_id: Some(format!("{MARK}{}", self.scenario)),
            user_id: Some("user-140".into()),
            source: Some("email".into()),
            workflow_id: None,
            timeout: None,
            retry_config: None,
            idempotency_key: None,
            requires_approval: false,
            approval_timeout: None,
            tags: vec!["sandbox".into()],
        }
    }

    /// Submits actions one by one, as a caller who repeats itself does; gives their ids.
    async fn accepted(&self, actions: &[ActionRequest]) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for action in actions {
            let answer = traffic::submit(&self.ground.admin, &self.log, self.now, vec![action.clone()]).await?;
            ids.extend(answer.actions.into_iter().map(|a| a.id));
        }
        Ok(ids)
    }

    /// Decides that an action may be executed.
    async fn approve(&self, action: &str) -> anyhow::Result<()> {
        let admin = &self.ground.admin;
        let approval: ApprovalRecord = admin.get(&format!("/admin/v1/approvals/{action}")).await?;
        let request = ApproveRequest { user_id: "user-140".into(), reason: Some("not needed any more".into()) };
        let _: Value = admin.post(&format!("/api/approvals/{}/approve", approval.id), &request).await?;
        Ok(())
    }

    /// Waits until these actions are done.
    async fn executed(&self, ids: &[String]) -> anyhow::Result<()> {
        until("not everything is executed", || async {
            for id in ids {
                let action: ActionRecord = self.ground.admin.get(&format!("/admin/v1/actions/{id}")).await?;
                if action.status != ActionStatus::Success {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Notes what the runbook's placeholders stand for now, and which workflows the scenario is about.
    async fn note(&self, places: &[(&str, &String)], workflows: &[&String]) -> anyhow::Result<()> {
        let placeholders = places.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone()));
        let scene = Scene {
            placeholders: placeholders.collect::<BTreeMap<_, _>>(),
            workflows: workflows.iter().map(|id| (*id).clone()).collect(),
        };
        self.ground.set_scenario(Some(self.scenario.as_str()), scene).await
    }
}

/// Takes a workflow's rows out of the database; its log stays.
fn delete(conn: &Connection, id: &str) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM workflow_steps WHERE workflow = (SELECT seq FROM workflows WHERE id = ?)", [id])?;
    conn.execute("DELETE FROM workflows WHERE id = ?", [id]).map(|_| ())
}

/// Puts right what a scenario left of its workflows: what stands is undone, what is lost is rebuilt from the log, what
/// waits for a person is ended.
pub(super) async fn mend(ground: &Ground) -> anyhow::Result<Vec<String>> {
    let mut facts = Vec::new();
    let entry: ConfigEntry = ground.admin.get(IDEMPOTENCY).await?;
    if entry.pending.or(entry.value).as_deref() == Some("false") {
        set_idempotency(ground, None).await?;
        facts.push("idempotency is on".into());
    }
    for id in &ground.record.scene.workflows {
        let path = format!("/admin/v1/workflows/{id}");
        // One that a restore took away is nothing to mend.
        let Ok(workflow) = ground.admin.get::<Workflow>(&path).await else { continue };
        let waits = workflow.steps.iter().any(|s| s.status == StepStatus::Executing);
        match workflow.status {
            WorkflowStatus::RollbackFailed => {
                let request = RollbackRequest { mode: RollbackMode::Retry };
                let _: Value = ground.admin.post(&format!("{path}/rollback"), &request).await?;
                let ended = until(&format!("{id} is not rolled back"), || async {
                    let workflow: Workflow = ground.admin.get(&path).await?;
                    Ok((workflow.status != WorkflowStatus::RollingBack).then_some(workflow))
                })
                .await?;
                if ended.status == WorkflowStatus::RolledBack {
                    facts.push(format!("{id} is rolled back"));
                } else {
                    let why = ended.error.unwrap_or_else(|| ended.status.to_string());
                    let _: Value = ground.admin.post(&format!("{path}/resolve"), &json!({ "comment": why })).await?;
                    facts.push(format!("{id} is marked as resolved, it cannot be rolled back: {why}"));
                }
            }
            WorkflowStatus::Executing if waits => {
                let _: Value = ground.admin.post(&format!("{path}/complete"), &json!({})).await?;
                facts.push(format!("{id} is marked as completed"));
            }
            _ => {
                let plan: RebuildPlan = ground.admin.get(&format!("{path}/rebuild")).await?;
                if !plan.differences.is_empty() {
                    let _: Value = ground.admin.post(&format!("{path}/rebuild"), &json!({})).await?;
                    facts.push(format!("the state of {id} is rebuilt from its log"));
                }
            }
        }
    }
    Ok(facts)
}

/// Whether keys are looked at; `None` for the orchestrator's own default.
pub(super) async fn set_idempotency(ground: &Ground, value: Option<&str>) -> anyhow::Result<()> {
    let _: Value = match value {
        Some(value) => {
            let set = ConfigSet { value: value.into(), expires_in: None };
            ground.admin.send(Method::PUT, IDEMPOTENCY, Some(&set)).await?
        }
        None => ground.admin.send(Method::DELETE, IDEMPOTENCY, None::<&()>).await?,
    };
    let restart = RestartRequest { drain_timeout: Some(5000) };
    let _: Value = ground.admin.post("/admin/v1/components/queue/restart", &restart).await?;
    Ok(())
}
