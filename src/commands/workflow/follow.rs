//! Waiting until a workflow rests.

use std::time::{Duration, Instant};

use clap::Args;

use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Explained, Kind};
use crate::output::Progress;
use crate::settings::format_duration;
use crate::wire::{StepStatus, UndoStatus, Workflow};

/// Wait between two looks; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two looks.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Whether and how long a verb waits for the end.
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// Do not wait for the end
    #[arg(long)]
    pub no_wait: bool,

    /// How long to wait for the end
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::settings::parse_duration)]
    #[arg(conflicts_with = "no_wait")]
    wait: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its steps, and the undos that a failed one brings about.
    Executed,
    /// Its undos.
    RolledBack,
}

/// Looks until the workflow rests, or time is up; `false` when it still moves then. A service that restarts meanwhile
/// goes on with the work, so silence is waited out as well.
pub async fn follow(
    app: &App,
    orchestrator: &Orchestrator,
    id: &str,
    args: &WaitArgs,
    until: Until,
) -> anyhow::Result<(Workflow, bool)> {
    let end = Instant::now() + args.wait;
    let mut wait = FIRST_WAIT;
    let mut bar: Option<(Progress, usize)> = None;
    loop {
        match orchestrator.workflow(id).await {
            Ok(workflow) => {
                let rests = workflow.status.rests();
                if rests || Instant::now() >= end {
                    drop(bar);
                    if !rests {
                        let waited = format_duration(args.wait);
                        app.output.warn(&format!("{id} is still {} after {waited}", workflow.status));
                    }
                    return Ok((workflow, rests));
                }
                let (done, all) = progress(&workflow, until);
                let (bar, shown) = bar.get_or_insert_with(|| {
                    let what = if until == Until::RolledBack { "undone" } else { "steps" };
                    (app.output.progress(all as u64, what), 0)
                });
                while *shown < done {
                    bar.step();
                    *shown += 1;
                }
            }
            Err(error) if Explained::from_error(&error).kind == Kind::Unreachable && Instant::now() < end => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// How many of how many are over.
fn progress(workflow: &Workflow, until: Until) -> (usize, usize) {
    let undos = || workflow.steps.iter().filter_map(|s| s.undo.as_ref().map(|u| u.status));
    match until {
        Until::Executed => {
            let over = |status| !matches!(status, StepStatus::Pending | StepStatus::Executing);
            (workflow.steps.iter().filter(|s| over(s.status)).count(), workflow.steps.len())
        }
        Until::RolledBack => {
            let over = undos().filter(|u| !matches!(u, UndoStatus::Pending | UndoStatus::InProgress)).count();
            (over, undos().count())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::workflows::tests::{step, workflow};
    use crate::wire::WorkflowStatus;

    #[test]
    fn progress_counts_what_is_over() {
        let mut running = step("notify", 30, Some(UndoStatus::InProgress));
        running.status = StepStatus::Executing;
        let steps = vec![step("a", 1, Some(UndoStatus::Failed)), step("b", 2, None), running];
        let workflow = workflow(WorkflowStatus::RollingBack, steps);
        assert_eq!(progress(&workflow, Until::Executed), (2, 3));
        assert_eq!(progress(&workflow, Until::RolledBack), (1, 2));
    }
}
