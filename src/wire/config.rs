//! Settings of the running service.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;
use super::words;

words! {
    /// Where a value comes from.
    ConfigSource {
        /// Built in.
        Default = "default",
        /// The service's environment when it started.
        Environment = "environment",
        /// Set at run time and kept.
        Set = "set",
    }
}

words! {
    /// The part that has to restart before a pending value holds.
    RestartPart {
        /// It holds at once.
        None = "none",
        /// The worker pool.
        Workers = "workers",
        /// The queue.
        Queue = "queue",
        /// The executors.
        Executors = "executors",
        /// The event bus.
        Eventbus = "eventbus",
        /// The store's connection.
        Database = "database",
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigEntry {
    /// The variable's name: `QUEUE_WORKERS`.
    pub name: String,
    /// The value in force; absent when unset; for a secret its shape (`set, ends in 3f9a, sha256:1b2c3d4e`).
    pub value: Option<String>,
    /// The value that will hold after a restart of `restart`, when that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// Where the value in force comes from.
    pub source: ConfigSource,
    /// What has to restart for a change to hold.
    pub restart: RestartPart,
    /// Whether it is a secret.
    pub secret: bool,
    /// For a secret that is set: first 12 hex digits of its SHA-256, to compare without showing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The same of the value that waits for a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_fingerprint: Option<String>,
    /// One line: what it does, unit and range.
    pub description: String,
    /// When it goes back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Moves with every change; send it back in `If-Match`.
    pub version: u64,
}

/// All settings, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigList {
    /// By name.
    pub settings: Vec<ConfigEntry>,
}

/// A value to set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigSet {
    /// The new value, as the variable would be written.
    #[schema(max_length = 65_536)]
    pub value: String,
    /// Milliseconds after which it goes back by itself. Required for `<P>_CIRCUIT_BREAKER_ENABLED=false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000)]
    pub expires_in: Option<u64>,
}

words! {
    /// How bad a finding is.
    Severity {
        /// Worth knowing.
        Info = "info",
        /// Works, but not as it should.
        Warning = "warning",
        /// Does not work.
        Error = "error",
    }
}

/// One finding of `config validate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigFinding {
    /// The variable.
    pub name: String,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// `config validate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigReport {
    /// How many settings were looked at.
    pub checked: u64,
    /// Worst first.
    pub findings: Vec<ConfigFinding>,
}
