//! What the orchestrator knows for the runbook's text: a value for each placeholder, and what is wrong right now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::analysis::system::{Finding, next_command};
use crate::app::App;
use crate::error::{Fault, Kind};
use crate::sandbox::ground::Ground;
use crate::sandbox::{Place, placeholders};
use crate::settings::ContextKind;
use crate::wire::{CircuitState, QueueFilter, QueueView, SystemStatus, WorkflowFilter, WorkflowStatus};

/// How long the text waits for it: it is shown without, if need be.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What is so right now.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Values by placeholder, without brackets.
    pub values: BTreeMap<String, String>,
    /// What `system status` finds, worst first.
    pub findings: Vec<Finding>,
}

impl Live {
    /// Asks the context's orchestrator, and the sandbox for its examples. A sandbox that does not run is not started.
    pub async fn look(app: &App) -> anyhow::Result<Live> {
        let silent = || Fault::new(Kind::Unreachable, "the orchestrator did not answer in time");
        tokio::time::timeout(PATIENCE, ask(app)).await.map_err(|_| silent())?
    }

    /// A line with the values that are known.
    pub fn fill(&self, line: &str) -> String {
        fill(line, &self.values)
    }
}

/// A line with these values; other placeholders stay.
pub fn fill(line: &str, values: &BTreeMap<String, String>) -> String {
    values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(&format!("<{name}>"), &quoted(value)))
}

/// A value as one word of a shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    if value.contains('\'') { format!("\"{}\"", value.replace('"', "'")) } else { format!("'{value}'") }
}

async fn ask(app: &App) -> anyhow::Result<Live> {
    let sandbox = app.settings.context()?.kind == ContextKind::Sandbox;
    let ground = sandbox.then(|| Ground::enter(&Place::of(&app.settings.places))).transpose()?;
    let orchestrator = app.orchestrator().await?;
    let status = orchestrator.system().await?;
    let values = match &ground {
        Some(ground) => placeholders::live(ground).await,
        None => {
            let failed = WorkflowFilter {
                statuses: vec![WorkflowStatus::RollbackFailed],
                since: None,
                hide_cleared: true,
                limit: 1,
                offset: 0,
            };
            let stuck =
                QueueFilter { view: QueueView::Stuck, platform: None, since: None, older_than: None, limit: Some(1) };
            // An orchestrator that cannot tell leaves the placeholder as it is.
            let (workflows, stuck) = tokio::join!(orchestrator.workflows(&failed), orchestrator.queue_items(&stuck));
            let workflow = workflows.ok().and_then(|list| list.workflows.into_iter().next()).map(|w| w.workflow_id);
            let action = stuck.ok().and_then(|list| list.items.into_iter().next()).map(|item| item.action_id);
            let pairs = [("platform", open_platform(&status)), ("workflowId", workflow), ("actionId", action)];
            pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
        }
    };
    let findings = next_command(&status, status.service.now).findings;
    Ok(Live { values, findings })
}

/// The first platform whose circuit is OPEN, else one that probes.
fn open_platform(status: &SystemStatus) -> Option<String> {
    let circuits = || status.open_circuits.iter().map(|circuit| &circuit.status);
    let open = circuits().find(|circuit| circuit.state == CircuitState::Open);
    open.or_else(|| circuits().next()).map(|circuit| circuit.platform.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_filled_in_as_one_word() {
        let values = BTreeMap::from([
            ("platform".to_owned(), "notion".to_owned()),
            ("details".to_owned(), "key was posted, see INC-7".to_owned()),
        ]);
        let live = Live { values, findings: Vec::new() };
        assert_eq!(live.fill("circuit reset <platform>"), "circuit reset notion");
        assert_eq!(live.fill("notify x --incident <details>"), "notify x --incident 'key was posted, see INC-7'");
        assert_eq!(live.fill("queue remove <actionId>"), "queue remove <actionId>");
        assert_eq!(quoted("it's \"bad\""), "\"it's 'bad'\"");
    }
}
