//! After the commit: what waits from now on is in the index, what happened is in the log files, and the clocks run.

use std::sync::atomic::Ordering;

use crate::engine::workflow::Change;
use crate::server::native::runtime::Runtime;
use crate::server::native::store::workflows::{self, Moment, Moved, Told};
use crate::server::telemetry::{Level, LogLine, Part};
use crate::wire::{Occurrence, Time};

impl Runtime {
    /// Now, and the settings in force.
    pub(in crate::server::native) fn moment(&self) -> Moment {
        Moment { now: self.now(), settings: self.config.effective() }
    }

    /// Makes known what was stored.
    pub(in crate::server::native) fn moved(&self, moved: Moved) {
        let Moved { items, held, withdrawn, told, deadline } = moved;
        for told in &told {
            self.tell(told);
        }
        if let Some(until) = held {
            self.watch_approval(until);
        }
        if let Some(deadline) = deadline {
            self.next_deadline.fetch_min(deadline.0, Ordering::Relaxed);
        }
        if items.is_empty() && withdrawn.is_empty() {
            return;
        }
        {
            let mut core = self.core();
            for seq in withdrawn {
                core.queue.remove(seq);
            }
            for item in items {
                core.queue.push(item);
            }
        }
        self.pump();
    }

    /// One entry of the execution log as a line of the log files. The executor has told of what failed already, so these
    /// are warnings: an error counts once.
    fn tell(&self, told: &Told) {
        let change = &told.event.change;
        if let Some(what) = counted(change) {
            self.telemetry.happened(what, None);
        }
        let part = if change.kind().is_rollback() { Part::Rollback } else { Part::Workflow };
        let level = match change {
            Change::StepFailed { .. } | Change::Failed { .. } | Change::UndoFailed { .. } => Level::Warn,
            Change::RollbackEnded { error: Some(_), .. } => Level::Error,
            _ => Level::Info,
        };
        if !self.telemetry.shows(level) {
            return;
        }
        let mut line = LogLine::new(level, part, change.message())
            .at(told.event.at)
            .platform(told.platform)
            .field("workflowId", told.workflow.as_str())
            .field("event", change.kind().as_str());
        if let Some(step) = &told.event.step {
            line = line.field("stepId", step.as_str());
        }
        if let Some(by) = &told.event.by {
            line = line.field("by", by.as_str());
        }
        match change {
            Change::StepStarted { action_id, .. } | Change::UndoStarted { action_id, .. } => {
                line = line.action(action_id.as_str());
            }
            // Ids and links of what was made, so that it can be found by hand.
            Change::StepCompleted { result, .. } => {
                for (name, value) in result.as_object().into_iter().flatten() {
                    if value.is_string() || value.is_number() {
                        line = line.field(name, value.clone());
                    }
                }
            }
            Change::StepFailed { error, .. } | Change::UndoFailed { error, .. } => {
                line = line.code(error.code).request(error.request_id.clone());
            }
            _ => {}
        }
        self.telemetry.log(line);
    }

    /// Ends what has run for too long. While the queue is paused no time passes for workflows.
    pub(in crate::server::native) fn end_overdue_workflows(&self, now: Time) {
        if now.0 < self.next_deadline.load(Ordering::Relaxed) || self.core().paused().is_some() {
            return;
        }
        // Until the write below says when the next one is due; what is accepted meanwhile lowers it again.
        self.next_deadline.store(i64::MAX, Ordering::Relaxed);
        let (weak, moment) = (self.weak(), self.moment());
        self.store.writer().send(
            move |conn| {
                let mut moved = workflows::overdue(conn, &moment)?;
                moved.deadline = workflows::next_deadline(conn)?;
                Ok(moved)
            },
            move |outcome| {
                let Some(this) = weak.upgrade() else { return };
                match outcome {
                    Ok(moved) => this.moved(moved),
                    Err(error) => {
                        this.telemetry.log(LogLine::error(Part::Store, format!("{error}; {}", error.advice())));
                        this.next_deadline.fetch_min(now.0, Ordering::Relaxed);
                    }
                }
            },
        );
    }
}

/// What the monthly report counts it as.
fn counted(change: &Change) -> Option<Occurrence> {
    Some(match change {
        Change::Accepted { .. } => Occurrence::WorkflowAccepted,
        Change::Completed => Occurrence::WorkflowCompleted,
        Change::Failed { .. } => Occurrence::WorkflowFailed,
        Change::RollbackEnded { error: None, .. } => Occurrence::RolledBack,
        Change::RollbackEnded { error: Some(_), .. } => Occurrence::RollbackFailed,
        _ => return None,
    })
}
