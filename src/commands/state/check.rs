//! `opsctl state check`.

use clap::Args;

use crate::app::App;
use crate::commands::verify;
use crate::error::Outcome;
use crate::wire::IntegrityRequest;

/// Compare stored workflow state with the execution log
///
/// All workflows unless one is named; no platform is asked. Nothing is put right: each finding names what to type. Ends
/// with 3 when anything was found.
///
/// Example: opsctl state check invoice-001
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Only this workflow
    #[arg(value_name = "WORKFLOW")]
    workflow: Option<String>,
}

pub(super) async fn run(app: &App, args: CheckArgs) -> anyhow::Result<Outcome> {
    let request = IntegrityRequest { workflow_id: args.workflow, states_only: true, ..IntegrityRequest::default() };
    verify::compare(app, request).await
}
