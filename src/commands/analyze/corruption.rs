//! `opsctl analyze corruption`.

use clap::Args;

use crate::app::App;
use crate::commands::verify::{self, WindowArgs};
use crate::error::Outcome;
use crate::wire::IntegrityRequest;

/// Find workflows whose state, log and objects do not agree
///
/// The same comparison as `opsctl verify integrity`, over what moved in the window. Nothing is put right: each finding
/// names what to type. Ends with 3 when anything was found or is unknown.
///
/// Example: opsctl analyze corruption --since 24h
#[derive(Args, Debug)]
pub struct CorruptionArgs {
    #[command(flatten)]
    window: WindowArgs,
}

pub(super) async fn corruption(app: &App, args: CorruptionArgs) -> anyhow::Result<Outcome> {
    verify::compare_window(app, args.window, IntegrityRequest::default()).await
}
