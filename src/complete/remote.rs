//! Asking the orchestrator, within the time that is left.

use std::sync::Arc;
use std::time::Duration;

use super::{MOST, Offer, Values, first_line};
use crate::client::{BreakGlass, Orchestrator, OrchestratorOptions};
use crate::clock::Clock;
use crate::output::{Format, Output, Style};
use crate::sandbox::{Place, Record};
use crate::secret::Secret;
use crate::settings::{ContextKind, CredentialSource, Settings, parse_url, read_secret_file};
use crate::wire::{
    ApprovalFilter, ApprovalStatus, CircuitState, KeyState, KeyView, QueueFilter, QueueView, WorkflowFilter,
    WorkflowStatus,
};

/// What it says; `None` when it is not there, not in time, or only with somebody's help.
pub(super) fn ask(values: Values, settings: &Settings, limit: Duration) -> Option<Vec<Offer>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asked = async {
        let orchestrator = orchestrator(settings, limit).await?;
        offered(values, &orchestrator).await.ok()
    };
    let answer = runtime.block_on(async { tokio::time::timeout(limit, asked).await.ok().flatten() });
    runtime.shutdown_background();
    answer
}

/// The context's orchestrator, as far as it can be reached without anybody's help.
async fn orchestrator(settings: &Settings, timeout: Duration) -> Option<Orchestrator> {
    let context = settings.context().ok()?;
    let (url, token) = match context.kind {
        ContextKind::Sandbox => {
            let record = Record::read(&Place::of(&settings.places)).ok()??;
            if !record.serve_runs() {
                return None;
            }
            (parse_url(&record.url).ok()?, Some(read_secret_file(&record.token_file).ok()?))
        }
        _ => (context.url.clone()?, token(&context.credential, settings).await?),
    };
    let output = Arc::new(Output::new(Format::Table, true, Style::plain(), Style::plain()));
    Some(Orchestrator::new(OrchestratorOptions {
        url,
        token,
        context: context.name.clone(),
        timeout,
        clock: Clock::system(),
        start_hint: String::new(),
        break_glass: BreakGlass::new(CredentialSource::default(), settings.env.clone(), output),
    }))
}

/// The token, unless a command would have to be run for it: that may ask for a password.
async fn token(source: &CredentialSource, settings: &Settings) -> Option<Option<Secret>> {
    match source.command {
        Some(_) => None,
        None => source.resolve(&settings.env).await.ok(),
    }
}

async fn offered(values: Values, orchestrator: &Orchestrator) -> anyhow::Result<Vec<Offer>> {
    let offer = |value: String, help: String| Offer { value, help: first_line(&help) };
    Ok(match values {
        Values::Platforms => {
            let circuits = orchestrator.circuit_statuses().await?;
            let help = |state: CircuitState, failures: u64| match (state, failures) {
                (CircuitState::Closed, 0) => "circuit CLOSED".to_owned(),
                (state, failures) => format!("circuit {state}, {failures} failures"),
            };
            circuits.into_iter().map(|c| offer(c.platform.to_string(), help(c.state, c.failure_count))).collect()
        }
        Values::QueueItems | Values::GivenUp => {
            let view = if values == Values::GivenUp { QueueView::Failed } else { QueueView::Queued };
            let filter = QueueFilter { view, platform: None, since: None, older_than: None, limit: Some(MOST) };
            let items = orchestrator.queue_items(&filter).await?.items;
            items
                .into_iter()
                .map(|item| {
                    let help = format!("{} {} {}, {}", item.action_type, item.platform, item.priority, item.state);
                    offer(item.action_id, help)
                })
                .collect()
        }
        Values::Workflows | Values::ReadyWorkflows => {
            let ready = values == Values::ReadyWorkflows;
            let filter = WorkflowFilter {
                statuses: if ready { vec![WorkflowStatus::Pending] } else { Vec::new() },
                since: None,
                hide_cleared: false,
                limit: MOST,
                offset: 0,
            };
            let workflows = orchestrator.workflows(&filter).await?.workflows;
            workflows.into_iter().map(|w| offer(w.workflow_id, format!("{}, {}", w.status, w.name))).collect()
        }
        Values::Approvals => {
            let filter = ApprovalFilter { status: ApprovalStatus::Pending, since: None, limit: MOST };
            let pending = orchestrator.approvals(&filter).await?.approvals;
            pending.into_iter().map(|a| offer(a.id, format!("{} risk, {}", a.risk_level, a.action))).collect()
        }
        Values::Keys => {
            let keys = orchestrator.idempotency_keys(KeyView::All, MOST).await?.keys;
            let words = |state: KeyState, prevented: Option<u64>| match prevented {
                Some(prevented) => format!("{state}, {prevented} prevented"),
                None => format!("{state}"),
            };
            keys.into_iter().map(|key| offer(key.key, words(key.state, key.prevented))).collect()
        }
        Values::Backups => {
            let backups = orchestrator.backups().await?.backups;
            let help = |verified: bool| if verified { "verified" } else { "not verified" };
            backups
                .into_iter()
                .take(MOST as usize)
                .map(|b| {
                    offer(b.id, format!("{}, {} workflows, {}", b.kind, b.workflows, help(b.verified_at.is_some())))
                })
                .collect()
        }
        Values::Tokens => {
            let tokens = orchestrator.tokens().await?.tokens.into_iter().filter(|token| token.revoked_at.is_none());
            tokens.map(|token| offer(token.id, format!("{} {}", token.role, token.name))).collect()
        }
        _ => Vec::new(),
    })
}
