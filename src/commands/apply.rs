//! `opsctl apply`: executes a saved plan, exactly.

use std::path::PathBuf;

use serde::Deserialize;

use crate::app::App;
use crate::bulk::{ItemsPlan, Job, Limits};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, SavedPlan, WholePlan};
use crate::{aliases, cli};

/// Execute a saved plan
///
/// Exactly the items in the file are changed, each read again right before it is touched: what changed since is left
/// alone and reported (exit code 8). What the orchestrator does as a whole is done only while the plan is still the
/// same. A plan that was edited, is older than 30 minutes, or is for another context is refused before anything is
/// sent (6).
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

/// What a saved plan can be.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kept {
    Items(ItemsPlan),
    Whole(WholePlan),
}

impl ApplyArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        if self.change.save_plan.is_some() {
            return Err(Fault::usage("this plan is saved already")
                .hint("a plan that was made anew holds longer: repeat the command with --save-plan")
                .into());
        }
        let (context, url) = app.address().await?;
        let SavedPlan { verb, title, plan, .. } = SavedPlan::<Kept>::read(&self.file, &context, &url, app.now())?;
        let verb = aliases::find(&verb).ok_or_else(|| {
            Fault::new(Kind::Conflict, format!("this opsctl has no verb `{verb}`"))
                .because("the plan was made by another version")
                .hint("make a new one by repeating the command with --save-plan")
        })?;
        match plan {
            Kept::Items(plan) => self.items(app, verb.name, title, plan).await,
            Kept::Whole(plan) => self.whole(app, plan).await,
        }
    }

    /// Changes these items.
    async fn items(self, app: &App, verb: &'static str, title: String, plan: ItemsPlan) -> anyhow::Result<Outcome> {
        let mut job = Job::new(verb, title, &self.change).limits(&self.limits).items(plan.items);
        if let Some(subject) = plan.subject {
            job = job.subject(subject);
        }
        plan.notes.into_iter().fold(job, Job::note).run(app).await
    }

    /// Runs the command once more, which asks the orchestrator for the same steps or for nothing.
    async fn whole(self, app: &App, plan: WholePlan) -> anyhow::Result<Outcome> {
        if self.limits.is_set() {
            return Err(Fault::usage("--max-items, --max-errors and --share are for plans of many items")
                .because("the orchestrator does this one as a whole")
                .into());
        }
        let words: Vec<String> = plan.command.iter().cloned().chain(self.change.words()).collect();
        let command = cli::command_of(&words)?;
        app.agree(plan);
        Box::pin(command.run(app)).await
    }
}
