//! Integrity: stored state, execution log and the platforms' objects, compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Platform, Time, words};

words! {
    /// What does not agree.
    IntegrityKind {
        /// The execution log knows the workflow, its state is lost.
        Lost = "lost",
        /// The stored state is not what the execution log says.
        StateDiffers = "state_differs",
        /// The execution log is not there or cannot be replayed.
        LogUnreadable = "log_unreadable",
        /// A step's object should be there and is not.
        Missing = "missing",
        /// A step's object is there, and not as the step left it.
        Altered = "altered",
        /// A step was undone, and its effect is there again.
        Orphaned = "orphaned",
        /// Something in the store belongs to a thing that is not there.
        Stranded = "stranded",
        /// It could not be looked at; it may be all right or not.
        Unknown = "unknown",
    }
}

/// What to compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntegrityRequest {
    /// Only this workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// Only workflows that moved since; all unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Whether the platforms are left alone: states and execution logs only.
    #[serde(default)]
    pub states_only: bool,
    /// At most this many workflows, those accepted last; all unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub limit: Option<u64>,
}

/// One thing that does not agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrityFinding {
    /// In one word.
    pub kind: IntegrityKind,
    /// The workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// The step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
    /// Where the step's object is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// For people: what was expected and what was seen.
    pub what: String,
    /// What shows it, line by line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to type next.
    pub next: String,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrityReport {
    /// Workflows whose state and log were compared.
    pub workflows: u64,
    /// Workflows that were left out because of the limit.
    pub left_out: u64,
    /// Objects that were looked for on the platforms, each once.
    pub objects: u64,
    /// Objects that are as they should be.
    pub ok: u64,
    /// How many of each kind were found, `unknown` too.
    pub counts: BTreeMap<String, u64>,
    /// What was found; the first 1000.
    pub findings: Vec<IntegrityFinding>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl IntegrityReport {
    /// Whether everything was looked at and agrees.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }
}
