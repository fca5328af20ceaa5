//! Work that goes on after the orchestrator has answered: started, then asked about until it ends.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Explained, Fault, Kind};
use crate::guard::Approval;
use crate::http::Method;
use crate::wire::*;

use super::Orchestrator;
use super::reads::segment;

const NO_BODY: Option<&()> = None;
/// What to do when a job that makes or takes a backup was lost.
const LOOK_AT_BACKUPS: &str = "see what there is with `opsctl state backups`, then repeat the command";
/// Between two questions about a job: short at first, since most are.
const ASK_EVERY: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(500)];

impl Orchestrator {
    /// All backups.
    pub async fn backups(&self) -> anyhow::Result<BackupList> {
        self.get("/admin/v1/backups").await
    }

    /// Makes a backup.
    pub async fn create_backup(
        &self,
        approval: &Approval,
        request: &BackupRequest,
        told: impl FnMut(&Job),
    ) -> anyhow::Result<BackupMade> {
        let job = self.change(approval, Method::POST, "/admin/v1/backups", Some(request), None).await?;
        self.outcome(job, "/admin/v1/backups", LOOK_AT_BACKUPS, told).await
    }

    /// What a restore would do.
    pub async fn restore_plan(&self, id: &str, scope: RestoreScope) -> anyhow::Result<RestorePlan> {
        self.get(&format!("/admin/v1/backups/{}/restore?scope={scope}", segment(id))).await
    }

    /// Goes back to a backup.
    pub async fn restore_backup(
        &self,
        approval: &Approval,
        id: &str,
        scope: RestoreScope,
        told: impl FnMut(&Job),
    ) -> anyhow::Result<Restored> {
        let path = format!("/admin/v1/backups/{}/restore", segment(id));
        let job = self.change(approval, Method::POST, &path, Some(&RestoreRequest { scope }), None).await?;
        self.outcome(job, &path, LOOK_AT_BACKUPS, told).await
    }

    /// Has a backup looked at. It changes nothing but the note of when it was last found whole.
    pub async fn verify_backup(&self, id: &str, told: impl FnMut(&Job)) -> anyhow::Result<BackupVerdict> {
        self.look(&format!("/admin/v1/backups/{}/verify", segment(id)), NO_BODY, told).await
    }

    /// Has a recovery rehearsed on a scratch copy. Nothing live changes.
    pub async fn drill(&self, request: &DrillRequest, told: impl FnMut(&Job)) -> anyhow::Result<DrillReport> {
        self.look("/admin/v1/drills", Some(request), told).await
    }

    /// Has states, execution logs and the platforms' objects compared.
    pub async fn verify_integrity(
        &self,
        request: &IntegrityRequest,
        told: impl FnMut(&Job),
    ) -> anyhow::Result<IntegrityReport> {
        self.look("/admin/v1/integrity", Some(request), told).await
    }

    /// Starts a job that only looks, and waits for what it saw.
    async fn look<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
        told: impl FnMut(&Job),
    ) -> anyhow::Result<T> {
        let job = self.ask(path, body).await?;
        self.outcome(job, path, "nothing was changed by it: repeat the command", told).await
    }

    /// Waits until a job that `asked` started ends, and gives what came of it. `told` hears how far it is; `otherwise` is
    /// what to do when the job was lost.
    pub(super) async fn outcome<T: DeserializeOwned>(
        &self,
        mut job: Job,
        asked: &str,
        otherwise: &str,
        mut told: impl FnMut(&Job),
    ) -> anyhow::Result<T> {
        let path = format!("/admin/v1/jobs/{}", segment(&job.id));
        let mut pause = ASK_EVERY[0];
        while job.state == JobState::Running {
            told(&job);
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(ASK_EVERY[1]);
            job = self.get(&path).await.map_err(|error| match Explained::from_error(&error).kind {
                Kind::NotFound => interrupted(&job.what, otherwise).into(),
                _ => error,
            })?;
        }
        if let Some(error) = job.error {
            return Err(self.fault(error, asked).into());
        }
        serde_json::from_value(job.result.unwrap_or_default()).map_err(|error| {
            Fault::new(Kind::Failed, format!("what came of `{}` cannot be read", job.what))
                .because(error.to_string())
                .hint("is this the orchestrator's address? check it with `opsctl context check`")
                .into()
        })
    }
}

fn interrupted(what: &str, otherwise: &str) -> Fault {
    Fault::new(Kind::Failed, format!("`{what}` was interrupted"))
        .because("the orchestrator was started anew meanwhile")
        .hint(otherwise)
}
