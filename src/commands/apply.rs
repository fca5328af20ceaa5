//! `opsctl apply`: executes a saved plan, exactly.

use std::path::PathBuf;

use crate::aliases;
use crate::app::App;
use crate::bulk::{Job, Limits, SavedPlan};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::ChangeArgs;

/// Execute a saved plan
///
/// Exactly the items in the file are changed, each read again right before it is touched: what changed since is left
/// alone and reported (exit code 8). A plan that was edited, is older than 30 minutes, or was made for another context
/// is refused before anything is sent.
///
///     opsctl apply plan.json --dry-run
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct ApplyArgs {
    /// File that --save-plan wrote
    file: PathBuf,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    change: ChangeArgs,
}

impl ApplyArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let (context, url) = app.address().await?;
        let plan = SavedPlan::read(&self.file, &context, &url, app.now())?;
        let verb = aliases::find(&plan.verb).ok_or_else(|| {
            Fault::new(Kind::Conflict, format!("this opsctl has no verb `{}`", plan.verb))
                .because("the plan was made by another version")
                .hint("make a new one by repeating the command with --save-plan")
        })?;
        let mut job = Job::new(verb.name, plan.title, &self.change).limits(&self.limits).items(plan.items);
        if let Some(subject) = plan.subject {
            job = job.subject(subject);
        }
        plan.notes.into_iter().fold(job, Job::note).run(app).await
    }
}
