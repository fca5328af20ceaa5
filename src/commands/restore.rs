//! `opsctl restore`, and what `state restore` and `undo` share with it: going back to a backup.

use std::io;

use clap::{Args, Subcommand};

use super::text::counted;
use crate::app::App;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{Approval, ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::settings::Since;
use crate::wire::{Backup, BackupList, PauseRequest, PauseScope, RestorePlan, RestoreScope, Restored, Time};

/// Go back to a point in time
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Point(PointArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Point(args) => point(app, args).await,
        }
    }
}

/// Put everything back as it was at a moment
///
/// Takes the newest backup not after it: store and settings, never secrets or tokens. Everything has to be paused and
/// stays so. A backup of what is there is made first, and `opsctl undo` goes back to that one.
///
/// Example: opsctl restore point --timestamp 2h
#[derive(Args, Debug)]
pub struct PointArgs {
    /// The last moment at which all was well: a backup's id, 2026-11-23T10:15:00Z, 2h, `yesterday 22:00`
    #[arg(long, value_name = "MOMENT")]
    timestamp: String,

    #[command(flatten)]
    change: ChangeArgs,
}

async fn point(app: &App, args: PointArgs) -> anyhow::Result<Outcome> {
    let api = app.orchestrator().await?;
    let list = api.backups().await?;
    let chosen = not_after(&list, &args.timestamp, app.now())?;
    let going = Going::look(app, &chosen.id, RestoreScope::Everything).await?;
    let title = format!("go back to {}", chosen.id);
    let plan = going.plan(Plan::new("restore point", title, &args.change), app.now());
    going.ensure_decided(app, &args.change)?;
    going.run(app, &plan).await
}

/// The newest backup whose moment is not after what was typed.
fn not_after<'a>(list: &'a BackupList, typed: &str, now: Time) -> Result<&'a Backup, Fault> {
    if let Some(named) = list.backups.iter().find(|backup| backup.id == typed) {
        return Ok(named);
    }
    let moment = moment(typed, now)?;
    list.backups.iter().find(|backup| backup.created_at <= moment).ok_or_else(|| {
        let oldest = list.backups.last().map_or("there is none".to_owned(), |b| format!("the oldest is {}", b.id));
        Fault::new(Kind::NotFound, format!("there is no backup from before {moment}"))
            .because(oldest)
            .hint("list them with `opsctl state backups`")
    })
}

/// A moment as it was typed; a backup's id is one, to the end of its second.
pub(super) fn moment(typed: &str, now: Time) -> Result<Time, Fault> {
    match second_of(typed) {
        Some(second) => Ok(second + std::time::Duration::from_millis(999)),
        None => typed.parse::<Since>()?.resolve_here(now),
    }
}

/// The second that a backup's id names; `None` for anything else.
pub(super) fn second_of(typed: &str) -> Option<Time> {
    let (date, time) = typed.split_once('T').filter(|(_, time)| time.matches('-').count() == 2)?;
    format!("{date}T{}", time.replacen('-', ":", 2)).parse().ok()
}

/// A restore that was looked at: what it would do, and what has to be done around it.
pub(super) struct Going {
    seen: RestorePlan,
    /// Whether it pauses everything first.
    pauses: bool,
}

impl Going {
    /// Reads what a restore would do.
    pub(super) async fn look(app: &App, id: &str, scope: RestoreScope) -> anyhow::Result<Going> {
        let seen = app.orchestrator().await?.restore_plan(id, scope).await?;
        if let Some(why) = &seen.refused {
            return Err(Fault::new(Kind::Failed, format!("{id} cannot be restored"))
                .because(why.clone())
                .hint(format!(
                    "look at it with `opsctl backup verify {id}`, and choose another with `opsctl state backups`"
                ))
                .into());
        }
        Ok(Going { pauses: !seen.paused, seen })
    }

    /// Whoever cannot be asked has to have paused before: that everything stays paused is theirs to know.
    pub(super) fn ensure_decided(&self, app: &App, change: &ChangeArgs) -> Result<(), Fault> {
        if !self.pauses || self.resumes() || app.prompt.can_ask() || change.dry_run {
            return Ok(());
        }
        Err(Fault::new(Kind::Conflict, "everything has to be paused before it is replaced")
            .because("nobody is at a terminal to decide that")
            .hint("type `opsctl pause all`, then this command again"))
    }

    /// Whether the pause it makes ends with it.
    fn resumes(&self) -> bool {
        self.pauses && self.seen.scope == RestoreScope::Workflows
    }

    /// Adds its lines to a plan.
    pub(super) fn plan(&self, mut plan: Plan, now: Time) -> Plan {
        let RestorePlan { backup, scope, effects, .. } = &self.seen;
        let resume = || Undo::Reverse("opsctl resume all".into());
        if self.pauses {
            let stays = if self.resumes() { "until it is done" } else { "and stays paused" };
            let step = Step::new("POST /admin/v1/pauses").because(format!("everything stops {stays}"));
            plan = plan.step(step.undo(resume()));
        }
        let what = match scope {
            RestoreScope::Workflows => format!("{} workflows with their log", backup.workflows),
            RestoreScope::Everything => format!("{} actions, {} workflows, settings", backup.actions, backup.workflows),
        };
        let age = crate::output::relative(backup.created_at, now);
        let evidence = format!("{what}, as of {age}; a safety backup comes first");
        let step = Step::new(format!("POST /admin/v1/backups/{}/restore", backup.id)).on(*scope).because(evidence);
        plan = plan.step(step.undo(Undo::Restore));
        if self.resumes() {
            let step = Step::new("POST /admin/v1/pauses/resume").because("the work goes on");
            plan = plan.step(step.undo(Undo::Reverse("opsctl pause all".into())));
        }
        let (actions, keys) = (("action", "actions"), ("idempotency key", "idempotency keys"));
        let workflows = ("workflow", "workflows");
        let effects_on = [
            (effects.waiting_gone, actions, "accepted since, still waiting: gone afterwards, but in the safety backup"),
            (effects.ended_gone, actions, "accepted since, ended: what was done on the platforms stays"),
            (effects.keys_kept, keys, "of those kept, so that a repeat is recognised"),
            (effects.kept_as_they_are, actions, "under way then: left as now, and not run again"),
            (effects.looked_for, actions, "to be looked for on the platform before anything is sent"),
            (
                effects.workflows_gone,
                workflows,
                "accepted since: gone afterwards; what was done on the platforms stays",
            ),
            (
                effects.workflows_kept,
                workflows,
                "accepted since, done, with a key: kept, so that a repeat is recognised",
            ),
            (
                effects.workflows_lost,
                workflows,
                "of which this backup has the log alone: `opsctl state rebuild` makes the state anew",
            ),
            (effects.workflows_back, workflows, "moved since: back to where it was then"),
        ];
        for (n, (one, many), what) in effects_on.into_iter().filter(|(n, ..)| *n > 0) {
            plan = plan.note(format!("{} {what}", counted(n, one, many)));
        }
        for change in &effects.settings {
            plan = plan.note(format!("setting {change}"));
        }
        if backup.verified_at.is_none() {
            plan = plan.note("this backup was never verified; it is looked at before anything is touched");
        }
        plan
    }

    /// Asks and does it.
    pub(super) async fn run(&self, app: &App, plan: &Plan) -> anyhow::Result<Outcome> {
        let Some(approval) = app.approve(plan).await? else { return Ok(Outcome::Done) };
        let restored = self.act(app, &approval).await?;
        app.receipt(&approval, self.items(&restored))?;
        app.emit(&restored)?;
        if self.seen.scope == RestoreScope::Everything {
            app.note("everything is still paused: look with `opsctl verify integrity --all`, then `opsctl resume all --slow-start`");
        }
        Ok(Outcome::Done)
    }

    /// Does it. A pause that was made for it ends with it, whatever came of it.
    pub(super) async fn act(&self, app: &App, approval: &Approval) -> anyhow::Result<Restored> {
        let api = app.orchestrator().await?;
        if self.pauses {
            api.pause(approval, PauseScope::All).await?;
        }
        let restored = api.restore_backup(approval, &self.seen.backup.id, self.seen.scope, app.follow()).await;
        if self.resumes() {
            let resumed = api.resume(approval, &PauseRequest { scope: PauseScope::All, slow_start: false }).await;
            if let Err(error) = resumed {
                app.output.warn(&format!("everything is still paused: {error:#}; go on with `opsctl resume all`"));
            }
        }
        restored
    }

    /// For the receipt.
    pub(super) fn items(&self, restored: &Restored) -> Vec<ReceiptItem> {
        let undo = UndoAction::RestoreBackup { backup: restored.safety.id.clone(), scope: restored.scope };
        vec![ReceiptItem::applied(&restored.backup, undo)]
    }
}

impl Report for Restored {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Restored", format_args!("{} from {}", self.scope, self.backup))?;
        page.pair("Safety backup", &self.safety.id)?;
        page.pair("Items waiting", self.waiting)?;
        if !self.effects.settings.is_empty() {
            page.pair("Settings", self.effects.settings.join(", "))?;
        }
        page.pair("Took", format_args!("{}ms", self.took_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::BackupKind;

    fn list(ids: &[&str]) -> BackupList {
        let backup = |id: &&str| Backup {
            id: (*id).to_owned(),
            created_at: moment(id, Time(0)).unwrap().minus(std::time::Duration::from_millis(500)),
            kind: BackupKind::Manual,
            full: false,
            version: "0.1.0".into(),
            schema_version: 1,
            environment: "staging".into(),
            note: None,
            bytes: 0,
            workflows: 0,
            actions: 0,
            queue_items: 0,
            verified_at: None,
        };
        BackupList { backups: ids.iter().map(backup).collect(), damaged: vec![], keep: 14, folder: "/x".into() }
    }

    #[test]
    fn the_newest_backup_not_after_the_moment_is_taken() {
        let list = list(&["2026-11-23T10-15-00Z", "2026-11-23T09-00-00Z", "2026-11-22T09-00-00Z"]);
        let now = "2026-11-23T11:00:00Z".parse().unwrap();
        for (typed, id) in [
            ("2026-11-23T10-15-00Z", Some("2026-11-23T10-15-00Z")),
            ("2026-11-23T10-14-59Z", Some("2026-11-23T09-00-00Z")),
            ("2026-11-23T09:30:00Z", Some("2026-11-23T09-00-00Z")),
            ("10m", Some("2026-11-23T10-15-00Z")),
            ("3h", Some("2026-11-22T09-00-00Z")),
            ("30d", None),
        ] {
            let found = not_after(&list, typed, now);
            assert_eq!(found.as_ref().ok().map(|b| b.id.as_str()), id, "{typed}");
            if let Err(fault) = found {
                assert_eq!(fault.kind, Kind::NotFound);
            }
        }
        assert_eq!(not_after(&list, "soon", now).unwrap_err().kind, Kind::Usage);
    }
}
