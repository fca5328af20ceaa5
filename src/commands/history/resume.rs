//! `opsctl history resume`: finishes an interrupted change.

use crate::aliases;
use crate::app::App;
use crate::bulk::{Item, Job, Limits};
use crate::commands::security::rotate;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Receipt, ReceiptState, Record, Stage};
use crate::wire::{EffectKind, Time};

/// Finish an interrupted change
///
/// What has an outcome is not touched again. The item whose request may have left is looked up on the platform first,
/// and every other one is read again right before it is touched. Without a receipt it takes the newest interrupted
/// change of this context. What failed is tried again only with --failed.
///
///     opsctl history resume r-1017-0309 --dry-run
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct ResumeArgs {
    /// Receipt of the change: r-1017-0309
    receipt: Option<String>,

    /// Try what failed again; ask about what is in doubt
    #[arg(long, requires = "receipt")]
    failed: bool,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    change: ChangeArgs,
}

impl ResumeArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        if self.change.save_plan.is_some() {
            return Err(Fault::usage("an interrupted change is not saved as a plan")
                .because("the journal has its plan, and how far each item came")
                .into());
        }
        let Some(id) = self.receipt.clone().map_or_else(|| newest(app), |id| Ok(Some(id)))? else {
            app.note("No interrupted change.");
            return Ok(Outcome::Done);
        };
        let interrupted = app.receipts.read(&id)?;
        if interrupted.verb == rotate::VERB && interrupted.is_interrupted() {
            interrupted.ensure_of(&app.settings.context_name.value, "history resume")?;
            return rotate::resume(app, interrupted, &self.change).await;
        }
        let Record { receipt, plan, mut stages, .. } = app.receipts.record_of::<Item>(&id)?;
        receipt.ensure_of(&app.settings.context_name.value, "history resume")?;
        if self.failed {
            stages.iter_mut().for_each(|stage| reopen(stage, receipt.at));
        }
        let open = stages.iter().filter(|stage| !matches!(stage, Stage::Ended(_))).count();
        if open == 0 && receipt.state != ReceiptState::Started {
            let failed = if self.failed { ", and nothing in it failed" } else { "" };
            app.note(format!("{id} is finished already{failed}"));
            return Ok(Outcome::Done);
        }
        let in_doubt = stages.iter().filter(|stage| matches!(stage, Stage::InDoubt { .. })).count();
        let verb = aliases::find(&receipt.verb).ok_or_else(|| {
            Fault::new(Kind::Conflict, format!("this opsctl has no verb `{}`", receipt.verb))
                .because(format!("{id} was made by another version"))
                .hint("finish it with the version that began it")
        })?;
        let title = format!("finish {id} ({})", receipt.title);
        let mut job = Job::new(verb.name, title, &self.change).limits(&self.limits).items(plan);
        if in_doubt > 0 {
            let were = if in_doubt == 1 { "item may have been sent" } else { "items may have been sent" };
            job = job.note(format!("{in_doubt} {were}: the platform is asked first"));
        }
        if let Some(subject) = &receipt.subject {
            job = job.subject(subject);
        }
        job.going_on(receipt, stages).run(app).await
    }
}

/// An item that failed is one that nothing was sent for; one in doubt still is.
fn reopen(stage: &mut Stage, since: Time) {
    let Stage::Ended(fate) = stage else { return };
    match fate.item.effect {
        EffectKind::Refused | EffectKind::NotFound | EffectKind::Unsupported => *stage = Stage::Untouched,
        EffectKind::Accepted => *stage = Stage::InDoubt { since },
        EffectKind::Applied | EffectKind::AlreadySo | EffectKind::Conflict => {}
    }
}

/// The newest change of this context that stopped in the middle.
fn newest(app: &App) -> anyhow::Result<Option<String>> {
    let context = &app.settings.context_name.value;
    let of_context = |receipt: &Receipt| receipt.context == *context;
    Ok(app.receipts.interrupted()?.into_iter().find(of_context).map(|receipt| receipt.id))
}
