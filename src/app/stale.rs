//! `--accept-stale`, for every verb that has something to say while the orchestrator is silent.

use crate::error::Outcome;

/// `--accept-stale`.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct StaleArgs {
    /// End as usual when the orchestrator is silent
    #[arg(long)]
    pub accept_stale: bool,
}

impl StaleArgs {
    /// How an answer ends that is not the orchestrator's own: with 7, or as it would have ended.
    pub fn ends(self, otherwise: Outcome) -> Outcome {
        if self.accept_stale { otherwise } else { Outcome::Unreachable }
    }
}
