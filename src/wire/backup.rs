//! Backups: what one holds, what became of a look at one, what a restore would do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{CheckLine, Time};

words! {
    /// Why a backup was made.
    BackupKind {
        /// Somebody asked for it.
        Manual = "manual",
        /// A restore made it of what it was about to replace.
        Safety = "safety",
    }
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupFile {
    /// Its path in the backup's folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// What a backup says of itself, in `manifest.json` beside its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupManifest {
    /// Its id, which is its moment in UTC: `2026-11-23T10-15-00Z`.
    pub id: String,
    /// The moment whose state it holds.
    pub created_at: Time,
    /// Why it was made.
    pub kind: BackupKind,
    /// Whether metrics, logs and the audit trail are in it.
    pub full: bool,
    /// The program that made it.
    pub version: String,
    /// The store's schema version.
    pub schema_version: i64,
    /// The environment word of the service it was made of.
    pub environment: String,
    /// For people: what it was made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The files, without this one.
    pub files: Vec<BackupFile>,
    /// Rows of each table of the store; a table that cannot be counted is absent.
    pub rows: BTreeMap<String, u64>,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Its id; also a moment that `--backup` and `--timestamp` take.
    pub id: String,
    /// The moment whose state it holds.
    pub created_at: Time,
    /// Why it was made.
    pub kind: BackupKind,
    /// Whether metrics, logs and the audit trail are in it.
    pub full: bool,
    /// The program that made it.
    pub version: String,
    /// The store's schema version.
    pub schema_version: i64,
    /// The environment word of the service it was made of.
    pub environment: String,
    /// For people: what it was made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// All files together.
    pub bytes: u64,
    /// Workflows in it.
    pub workflows: u64,
    /// Actions in it, ended ones included.
    pub actions: u64,
    /// Items of the queue in it: waiting, executing, in doubt.
    pub queue_items: u64,
    /// When it was last restored into a scratch folder and found whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Time>,
}

/// All backups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupList {
    /// Newest first.
    pub backups: Vec<Backup>,
    /// Folders that are no backup any more, and why.
    pub damaged: Vec<String>,
    /// How many are kept.
    pub keep: u64,
    /// Where they are, on the service's host.
    pub folder: String,
}

/// A backup to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupRequest {
    /// Whether metrics, logs and the audit trail go into it too.
    #[serde(default)]
    pub full: bool,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupMade {
    /// It.
    #[serde(flatten)]
    pub backup: Backup,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Ids of older ones that went, because only so many are kept.
    pub removed: Vec<String>,
}

/// What became of a look at a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupVerdict {
    /// Which.
    pub id: String,
    /// Whether all lines are as they should be.
    pub ok: bool,
    /// What was looked at.
    pub checks: Vec<CheckLine>,
}

words! {
    /// How much a restore replaces.
    RestoreScope {
        /// Workflows, their steps and their execution log; everything else stays.
        Workflows = "workflows",
        /// The whole store and the settings made at run time; never secrets or tokens.
        Everything = "everything",
    }
}

/// A restore to make.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreRequest {
    /// How much it replaces.
    pub scope: RestoreScope,
}

/// What a restore changes, beside going back to the moment of the backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreEffects {
    /// Actions accepted since that wait: they go, and can be submitted again.
    pub waiting_gone: u64,
    /// Actions accepted since that ended: their record goes, what they did on the platforms stays.
    pub ended_gone: u64,
    /// Of those, the ones whose idempotency key stays known, so that a repeat is still recognised.
    pub keys_kept: u64,
    /// Actions that waited then and have moved since: they are taken as they are now, and do not run again.
    pub kept_as_they_are: u64,
    /// Actions that waited then and of which nothing is known now: looked for on their platform before they are sent.
    pub looked_for: u64,
    /// Workflows accepted since: they go.
    pub workflows_gone: u64,
    /// Workflows accepted since that have a key and did their work: they stay, so that a repeat is still recognised.
    #[serde(default)]
    pub workflows_kept: u64,
    /// Workflows whose state the backup does not have, only their log: they can be rebuilt from it.
    #[serde(default)]
    pub workflows_lost: u64,
    /// Workflows that moved since: they go back to where they were.
    pub workflows_back: u64,
    /// Settings that go back: `QUEUE_WORKERS 10 -> 5`.
    pub settings: Vec<String>,
}

/// What a restore would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestorePlan {
    /// The backup.
    pub backup: Backup,
    /// How much it replaces.
    pub scope: RestoreScope,
    /// Why it cannot be done, if so; the pause that it needs is not among the reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether everything is paused, as a restore needs it.
    pub paused: bool,
    /// What it changes, as far as that can be told before the backup is looked at closely.
    pub effects: RestoreEffects,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The backup's id.
    pub backup: String,
    /// How much was replaced.
    pub scope: RestoreScope,
    /// The backup of what was there before.
    pub safety: Backup,
    /// What it changed.
    pub effects: RestoreEffects,
    /// Items that wait now.
    pub waiting: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}
