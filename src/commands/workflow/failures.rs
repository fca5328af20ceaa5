//! `opsctl workflow rollback-failures`: what still stands, and what to type about it.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::analysis::workflows::{Leftover, leftovers};
use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Report};
use crate::wire::WorkflowStatus;

use super::WorkflowArg;

/// Show the steps that still stand, and what to type about each
///
/// Steps whose undo failed, those it blocks, and those that only a person can undo, the first to be undone first.
///
/// Example: opsctl workflow rollback-failures invoice-001
#[derive(Args, Debug)]
pub struct FailuresArgs {
    #[command(flatten)]
    workflow: WorkflowArg,
}

/// What still stands.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failures {
    workflow_id: String,
    status: WorkflowStatus,
    failures: Vec<Leftover>,
    /// What to type once everything is put right by hand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    afterwards: Vec<String>,
}

impl Report for Failures {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for left in &self.failures {
            let status = page.state(left.status.as_str());
            page.line(format_args!("{}  {status}  {}: {}", left.step_id, left.platform, left.what))?;
            if let Some(failure) = &left.failure {
                page.pair("  failed", failure)?;
            }
            if let Some(error) = &left.error {
                page.pair("  platform", error)?;
            }
            if let Some(at) = left.at {
                let times = if left.attempts == 1 { "once".to_owned() } else { format!("{} times", left.attempts) };
                page.pair("  tried", format_args!("{times}, last {}", page.time(at)))?;
            }
            page.pair("  do", &left.advice)?;
            for command in &left.commands {
                page.pair("", command)?;
            }
            page.blank()?;
        }
        if !self.afterwards.is_empty() {
            page.line("Once it is put right by hand:")?;
            for command in &self.afterwards {
                page.line(format_args!("  {command}"))?;
            }
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.failures.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        let id = &self.workflow_id;
        self.failures.is_empty().then(|| format!("No failed rollbacks: {id} is {}.", self.status))
    }
}

pub(super) async fn run(app: &App, args: FailuresArgs) -> anyhow::Result<Outcome> {
    let workflow = app.orchestrator().await?.workflow(&args.workflow.id).await?;
    let id = &workflow.workflow_id;
    let failures = leftovers(&workflow);
    let open = workflow.status == WorkflowStatus::RollbackFailed && !failures.is_empty();
    let afterwards = if open {
        vec![
            format!("opsctl workflow mark-resolved {id} --comment \"Manual cleanup completed\""),
            format!("opsctl workflow clear-failed {id}"),
        ]
    } else {
        Vec::new()
    };
    app.emit(&Failures { workflow_id: id.clone(), status: workflow.status, failures, afterwards })?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::workflows::tests::{step, workflow};
    use crate::output::{Style, draw};
    use crate::wire::UndoStatus;

    #[test]
    fn each_failure_is_drawn_with_what_to_type() {
        let workflow = workflow(
            WorkflowStatus::RollbackFailed,
            vec![step("create_file", 10, Some(UndoStatus::Failed)), step("other", 5, Some(UndoStatus::Blocked))],
        );
        let report = Failures {
            workflow_id: "invoice-001".into(),
            status: workflow.status,
            failures: leftovers(&workflow),
            afterwards: vec!["opsctl workflow clear-failed invoice-001".into()],
        };
        let text = draw(&report, Style::plain()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "create_file  failed  drive: move file f-1 to the trash");
        assert!(text.contains("            opsctl rollback retry invoice-001\n"), "{text}");
        assert!(text.contains("other  blocked  "), "{text}");
        assert!(text.ends_with("  opsctl workflow clear-failed invoice-001\n"), "{text}");
    }
}
