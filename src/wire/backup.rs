//! Backups: what one holds, what became of a look at one, what a restore would do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::action::words;
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
