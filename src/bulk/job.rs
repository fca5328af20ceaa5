//! From a list of items to its summary: plan, question, journal, run, receipt. One path for a verb's first run, a saved
//! plan, an interrupted run and an undo.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::item::{Deed, Item, Limits};
use super::platforms::AtPlatforms;
use super::run::{Run, Tally};
use super::share;
use super::summary::Summary;
use crate::app::App;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::journal::Fate;
use crate::guard::{Approval, ChangeArgs, Entry, KeptPlan, Plan, Receipt, SavedPlan, Stage};
use crate::settings::format_duration;
use crate::wire::EffectKind;

/// Up to this many items nobody needs to be told how long it takes.
const FEW: u64 = 20;

/// What a saved plan of a job executes: exactly these items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemsPlan {
    /// What is changed, for the lease.
    pub subject: Option<String>,
    /// What to know before answering.
    pub notes: Vec<String>,
    /// The items, in the order in which they are done.
    pub items: Vec<Item>,
}

/// A change of many items straight on the platforms.
#[derive(Clone, Debug)]
pub struct Job {
    verb: &'static str,
    title: String,
    subject: Option<String>,
    items: Vec<Item>,
    notes: Vec<String>,
    change: ChangeArgs,
    limits: Limits,
    /// The receipt that it goes on with, and how far each item had come.
    interrupted: Option<(Receipt, Vec<Stage>)>,
}

impl Job {
    /// A job of a verb in the table, with the flags it was called with.
    pub fn new(verb: &'static str, title: impl Into<String>, change: &ChangeArgs) -> Self {
        Job {
            verb,
            title: title.into(),
            subject: None,
            items: Vec::new(),
            notes: Vec::new(),
            change: change.clone(),
            limits: Limits::default(),
            interrupted: None,
        }
    }

    /// What is changed, for the lease: `notion database 1f0c`.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The items, in the order in which they are done.
    #[must_use]
    pub fn items(mut self, items: Vec<Item>) -> Self {
        self.items = items;
        self
    }

    /// Adds what to know before answering.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The flags that bound it.
    #[must_use]
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = limits.clone();
        self
    }

    /// Goes on with an interrupted receipt.
    #[must_use]
    pub fn going_on(mut self, receipt: Receipt, stages: Vec<Stage>) -> Self {
        self.interrupted = Some((receipt, stages));
        self
    }

    /// Shows the plan, asks, does it, and reports. After `--dry-run` nothing was sent.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        self.ensure_within()?;
        let Some(platform) = self.items.first().map(|item| item.deed.platform()) else {
            app.note(format!("nothing to do: {}", self.title));
            return Ok(Outcome::Done);
        };
        let work = AtPlatforms::new(app.paced().await?, platform);
        share::begin(app, work.clients(), platform, self.limits.share.share).await;
        let plan = self.plan(&work);
        if let Some(file) = &self.change.save_plan {
            return self.save(app, plan, file).await;
        }
        let approval = match &self.interrupted {
            Some((receipt, _)) => app.approve_as(&plan, Entry::Again(receipt)).await?,
            None => {
                let kept = KeptPlan::new(&self.items, &app.output.redactor)?;
                app.approve_as(&plan, Entry::Items(&kept)).await?
            }
        };
        let Some(approval) = approval else { return Ok(Outcome::Done) };
        let acting = self.act(app, &approval, &work);
        let fates = share::within(app, work.clients(), platform, self.limits.share.share, acting).await?;
        self.note_undone(app, approval.receipt_id(), &fates)?;
        let summary = Summary::new(approval.receipt_id(), &self.title, &self.items, &fates);
        app.emit(&summary)?;
        if summary.is_complete() {
            app.receipt(&approval, fates.into_iter().flatten().map(|fate| fate.item).collect())?;
        } else {
            app.leave_open(&approval);
        }
        Ok(summary.outcome())
    }

    fn ensure_within(&self) -> Result<(), Fault> {
        let (count, Some(max)) = (self.items.len(), self.limits.max_items) else { return Ok(()) };
        if count as u64 <= max {
            return Ok(());
        }
        Err(Fault::new(Kind::Conflict, format!("the plan has {count} items, more than --max-items {max}"))
            .because("nothing was sent")
            .hint("look at them with --dry-run --all; raise --max-items if they are right"))
    }

    /// Keeps the plan instead of executing it.
    async fn save(&self, app: &App, plan: Plan, file: &Path) -> anyhow::Result<Outcome> {
        let (context, url) = app.address().await?;
        let now = app.now();
        let saved = SavedPlan {
            verb: self.verb.to_owned(),
            title: self.title.clone(),
            context,
            url,
            created_at: now,
            expires_at: SavedPlan::<ItemsPlan>::expiry(now),
            plan: ItemsPlan { subject: self.subject.clone(), notes: self.notes.clone(), items: self.items.clone() },
        };
        app.approve(&plan.dry()).await?;
        app.keep_plan(&saved, file)?;
        Ok(Outcome::Done)
    }

    fn plan(&self, work: &AtPlatforms) -> Plan {
        let is_open = |at: &usize| match &self.interrupted {
            Some((_, stages)) => !matches!(stages.get(*at), Some(Stage::Ended(_))),
            None => true,
        };
        let open = (0..self.items.len()).filter(is_open).map(|at| self.items[at].step());
        let mut plan = Plan::new(self.verb, &self.title, &self.change).direct().steps(open);
        if let Some(subject) = &self.subject {
            plan = plan.subject(subject);
        }
        let count = plan.count();
        if let Some(pace) = work.pace().filter(|_| count > FEW) {
            let standing = pace.standing();
            let seconds = (count as f64 / standing.rate).ceil();
            let time = format_duration(Duration::from_secs(seconds as u64));
            plan = plan.note(format!("{count} items take about {time} at {}", standing.limit));
        }
        self.notes.iter().fold(plan, Plan::note)
    }

    async fn act(&self, app: &App, approval: &Approval, work: &AtPlatforms) -> anyhow::Result<Vec<Option<Fate>>> {
        let bar = app.output.progress(self.items.len() as u64, "start");
        let progress = |tally: &Tally| {
            let limit = work.pace().map(|pace| pace.standing().limit).unwrap_or_default();
            let what = format!("{} failed, {limit}", tally.failed);
            bar.at(&what, tally.ended() as u64, tally.total as u64);
            approval.at(&format!("{} of {} done", tally.ended(), tally.total));
        };
        let run = Run {
            work,
            receipts: &app.receipts,
            id: approval.receipt_id(),
            key: approval.key(),
            clock: &app.clock,
            max_errors: self.limits.max_errors,
            progress: &progress,
        };
        let stages = self.interrupted.as_ref().map_or(&[][..], |(_, stages)| stages);
        run.run(&self.items, stages).await
    }

    /// Writes down at the receipts that were taken back which of their items were.
    fn note_undone(&self, app: &App, by: &str, fates: &[Option<Fate>]) -> anyhow::Result<()> {
        let mut taken: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
        for (item, fate) in self.items.iter().zip(fates) {
            let effect = fate.as_ref().map(|fate| fate.item.effect);
            if let Deed::TakeBack { receipt, item, .. } = &item.deed
                && matches!(effect, Some(EffectKind::Applied | EffectKind::AlreadySo))
            {
                taken.entry(receipt).or_default().push(*item);
            }
        }
        for (receipt, items) in taken {
            app.receipts.undone(app.now(), receipt, by, Some(items))?;
        }
        Ok(())
    }
}
