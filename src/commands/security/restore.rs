//! `opsctl security restore`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::text::counted;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report, Table};
use crate::wire::RestoreChecks;

/// End a lockdown, once the keys are new and every platform accepts them
///
/// Refused until every check passes: each platform's key was replaced since the lockdown, is in use, and lets us in. The
/// service makes a new admin token in its admin.token file, opens, and starts slowly; tokens that were revoked stay
/// revoked. A platform that is given up gets no key: `opsctl config unset`. --dry-run shows the checks.
///
/// Example: opsctl security restore --verified --reason "INC-311: keys replaced, audit read"
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Somebody has read the audit and the security log
    #[arg(long)]
    verified: bool,

    #[command(flatten)]
    change: ChangeArgs,
}

impl RestoreArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        if !self.verified && !self.change.dry_run {
            return Err(Fault::usage("a lockdown does not end without --verified")
                .because("somebody has to have looked at who did what before the doors open again")
                .hint(
                    "read `opsctl security audit --since 7d` and `opsctl logs security --suspicious`, then run \
                     `opsctl security restore --verified`",
                )
                .into());
        }
        let orchestrator = app.orchestrator().await?;
        let seen = orchestrator.restore_checks().await?;
        let Some(lockdown) = &seen.lockdown else {
            app.note("already open: the service is not locked down");
            return Ok(Outcome::Done);
        };
        let failed: Vec<_> = seen.checks.iter().filter(|check| !check.passed).collect();
        if let Some(first) = failed.first() {
            let hint = first.fix.clone().unwrap_or_else(|| "opsctl test auth".into());
            let message = format!("the lockdown stays: {} of {} checks do not pass", failed.len(), seen.checks.len());
            let fault = failed.iter().fold(Fault::new(Kind::Conflict, message), |fault, check| {
                fault.because(format!("{}: {}", check.name, check.detail))
            });
            if self.change.dry_run {
                app.emit(&Checks(&seen))?;
                return Ok(Outcome::Problem);
            }
            return Err(fault.hint(hint).into());
        }
        let since = lockdown.since;
        let step = Step::new("POST /admin/v1/security/restore")
            .because(format!("locked down since {since}; {} checks pass", seen.checks.len()))
            .undo(Undo::Reverse("opsctl security lockdown".into()));
        let tokens = counted(lockdown.revoked.len() as u64, "token stays", "tokens stay");
        let plan = Plan::new("security restore", "end the lockdown", &self.change)
            .step(step)
            .note(format!("{tokens} revoked; make new ones with `opsctl token create`"));
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let answer = orchestrator.restore_access(&approval).await?;
        app.emit(&answer)?;
        let undo = UndoAction::none("`opsctl security lockdown` shuts it again");
        app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..ReceiptItem::applied("service", undo) }])?;
        app.note("next: opsctl token create NAME --role ROLE, for everybody whose token was revoked");
        Ok(Outcome::Done)
    }
}

/// The checks, as the service gave them.
#[derive(Serialize)]
#[serde(transparent)]
struct Checks<'a>(&'a RestoreChecks);

impl Report for Checks<'_> {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["STATUS", "CHECK", "SEEN", "COMMAND"]);
        for check in &self.0.checks {
            let word = if check.passed { "OK" } else { "FAIL" };
            table.row([word, &check.name, &check.detail, check.fix.as_deref().unwrap_or_default()]);
        }
        page.table(&table)
    }
}
