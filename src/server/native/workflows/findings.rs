//! What a comparison found, in words: what it is, what shows it, and what to type next.

use super::super::store::workflows::integrity::{Replayed, Stranded, Writer};
use crate::engine::workflow::{self, State, Step};
use crate::platforms::undo::{self, Done};
use crate::wire::{IntegrityFinding, IntegrityKind, IntegrityReport, WorkflowStatus};

/// Differences of one state that are named.
const DIFFERENCES: usize = 5;

/// Findings, as they come.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The report so far.
    pub report: IntegrityReport,
}

impl Findings {
    /// How many are named; all are counted.
    pub const NAMED: u64 = 1000;

    fn add(&mut self, finding: IntegrityFinding) {
        *self.report.counts.entry(finding.kind.to_string()).or_default() += 1;
        if (self.report.findings.len() as u64) < Self::NAMED {
            self.report.findings.push(finding);
        }
    }

    /// Rows of the store that belong to nothing.
    pub fn stranded(&mut self, rows: Vec<Stranded>) {
        for row in rows {
            let (what, next, workflow) = match row {
                Stranded::Item(action, workflow) => (
                    format!("the queue item of action {action} belongs to a workflow that is not stored"),
                    format!("opsctl state rebuild {workflow} --dry-run"),
                    Some(workflow),
                ),
                Stranded::Key(key) => {
                    (format!("the idempotency key {key} belongs to no action"), "opsctl db check".to_owned(), None)
                }
                Stranded::Place(seq) => {
                    (format!("the queue item {seq} belongs to no action"), "opsctl queue check".to_owned(), None)
                }
            };
            let finding = finding(IntegrityKind::Stranded, what, next);
            self.add(IntegrityFinding { workflow_id: workflow, ..finding });
        }
    }

    /// What is wrong between a stored state and its log.
    pub fn state(&mut self, id: &str, stored: Option<&State>, log: &Replayed) {
        let rebuild = || format!("opsctl state rebuild {id} --dry-run");
        let mut evidence = Vec::new();
        let (kind, what, next) = match (stored, log) {
            (_, Err(why)) => (IntegrityKind::LogUnreadable, why.clone(), format!("opsctl logs workflow {id}")),
            (_, Ok(None)) => (
                IntegrityKind::LogUnreadable,
                "there is a state and no execution log".to_owned(),
                format!("opsctl workflow state {id}"),
            ),
            (None, Ok(Some(replayed))) => {
                evidence.push(format!("status: stored nothing that can be read; the log says {}", replayed.status));
                (IntegrityKind::Lost, "its stored state is lost; the execution log has it".to_owned(), rebuild())
            }
            (Some(stored), Ok(Some(replayed))) => {
                let differences = workflow::differences(Some(stored), replayed);
                if differences.is_empty() {
                    return;
                }
                let side = |value: &Option<String>| value.as_deref().map_or("nothing".to_owned(), short);
                evidence.extend(
                    differences
                        .iter()
                        .take(DIFFERENCES)
                        .map(|d| format!("{}: stored {}; the log says {}", d.field, side(&d.stored), side(&d.rebuilt))),
                );
                if differences.len() > DIFFERENCES {
                    evidence.push(format!("and {} more", differences.len() - DIFFERENCES));
                }
                (IntegrityKind::StateDiffers, "its stored state is not what the execution log says".into(), rebuild())
            }
        };
        let finding = finding(kind, what, next);
        self.add(IntegrityFinding { workflow_id: Some(id.to_owned()), evidence, ..finding });
    }

    /// An object that is not as it should be, and who wrote to it last, if that is known.
    pub fn object(&mut self, left: &Left<'_>, kind: IntegrityKind, what: String, writer: Option<Writer>) {
        let id = &left.state.id;
        let steps = || format!("opsctl workflow steps {id}");
        let next = match (kind, left.state.status) {
            (IntegrityKind::Unknown, _) => steps(),
            // It was undone before: what is left to do, a person does.
            (IntegrityKind::Orphaned, _) => {
                undo::by_hand(left.done).into_iter().find(|line| line.starts_with("opsctl ")).unwrap_or_else(steps)
            }
            (_, WorkflowStatus::RollbackFailed) => format!("opsctl rollback retry {id} --dry-run"),
            (_, WorkflowStatus::Completed | WorkflowStatus::Failed) => {
                format!("opsctl workflow rollback {id} --dry-run")
            }
            _ => steps(),
        };
        let since = writer.map(|Writer { action, action_type, at, .. }| {
            format!("since then action {action} ({action_type}) wrote to it, at {at}")
        });
        self.of_step(left, since, finding(kind, what, next));
    }

    /// An object that could not be looked at.
    pub fn unseen(&mut self, left: &Left<'_>, why: String) {
        let next = format!("opsctl check health {}", left.done.platform);
        self.of_step(left, None, finding(IntegrityKind::Unknown, why, next));
    }

    /// An object of a workflow that went on while it was looked at.
    pub fn moved(&mut self, left: &Left<'_>) {
        let what = "its workflow moved while it was looked at".to_owned();
        let next = format!("opsctl verify integrity {}", left.state.id);
        self.of_step(left, None, finding(IntegrityKind::Unknown, what, next));
    }

    fn of_step(&mut self, left: &Left<'_>, since: Option<String>, finding: IntegrityFinding) {
        let Left { state, step, done } = left;
        let action = step.action_id.as_deref().unwrap_or("an unknown action");
        let object = match done.object() {
            ids if ids.is_empty() => String::new(),
            ids => format!(" left {}", ids.join(" in ")),
        };
        let first = format!("action {action} ({}){object}, at {}", done.action_type, done.at);
        self.add(IntegrityFinding {
            workflow_id: Some(state.id.clone()),
            step_id: Some(step.definition.id.clone()),
            platform: Some(done.platform),
            evidence: std::iter::once(first).chain(since).collect(),
            ..finding
        });
    }
}

/// What a step left.
pub(super) struct Left<'a> {
    /// The workflow.
    pub state: &'a State,
    /// The step.
    pub step: &'a Step,
    /// What it did.
    pub done: &'a Done,
}

fn finding(kind: IntegrityKind, what: String, next: String) -> IntegrityFinding {
    IntegrityFinding { kind, workflow_id: None, step_id: None, platform: None, what, evidence: Vec::new(), next }
}

/// A value, cut where a line has to end.
fn short(value: &str) -> String {
    const MAX: usize = 60;
    match value.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}
