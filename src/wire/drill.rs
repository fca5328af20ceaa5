//! Recovery drills: what is rehearsed, and what came of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use super::{CheckLine, Time};

words! {
    /// What a drill pretends has happened.
    DrillScenario {
        /// The store is gone: a backup takes its place.
        DatabaseFailure = "database-failure",
        /// The store is damaged: that has to be noticed, then a backup takes its place.
        DatabaseCorruption = "database-corruption",
        /// The service ended in the middle of its work, with its store intact.
        ServiceCrash = "service-crash",
    }
}

/// A drill to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrillRequest {
    /// What it pretends has happened.
    pub scenario: DrillScenario,
    /// Id of the backup to recover from; the newest unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
}

/// What came of a drill. The running service took no part in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// What it pretended.
    pub scenario: DrillScenario,
    /// Whether the service could be recovered.
    pub ok: bool,
    /// Id of the backup it recovered from, if it needed one and there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// What was done and seen, in order; each line with the time it took.
    pub steps: Vec<CheckLine>,
    /// From the failure until a second service had read its queue and written to its store, in milliseconds. Absent
    /// when it never came that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_ms: Option<u64>,
    /// What would have been lost. Absent when nothing could be recovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<DataLoss>,
}

/// What a recovery would lose, had the failure been real.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataLoss {
    /// The moment whose state comes back.
    pub back_to: Time,
    /// How long ago that was, in milliseconds.
    pub window_ms: u64,
    /// Actions accepted since that have not ended.
    pub waiting: u64,
    /// Actions accepted since that have ended: only their records are lost.
    pub ended: u64,
    /// Workflows accepted since.
    pub workflows: u64,
}
