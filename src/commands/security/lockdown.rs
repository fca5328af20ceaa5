//! `opsctl security lockdown`.

use std::time::Duration;

use clap::Args;

use crate::app::App;
use crate::client::Orchestrator;
use crate::commands::text::counted;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};

/// How long the break-glass token may take to be tried: it must not hold a lockdown up.
const TRY_LIMIT: Duration = Duration::from_secs(3);

/// Shut everybody out: no intake, no work, only the break-glass token works
///
/// One request: the service takes nothing in any more, pauses, and revokes every token but break-glass. Actions in
/// flight finish. From then on opsctl uses the break-glass token and says so; keys can be changed, logs and audit read,
/// people told. With --dry-run the break-glass token is tried and nothing is shut. The way back is `opsctl security
/// restore --verified`; revoked tokens stay revoked.
///
/// Example: opsctl security lockdown --reason "INC-311: a key was seen in public"
#[derive(Args, Debug)]
pub struct LockdownArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

impl LockdownArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let orchestrator = app.orchestrator().await?;
        let status = orchestrator.security();
        let (status, way_back) = tokio::join!(status, way_back(orchestrator));
        let status = status.map_err(cannot_lock)?;
        if let Some(lockdown) = status.lockdown {
            let by = lockdown.operator.unwrap_or(lockdown.by);
            app.note(format!("already locked down, since {} by {by}", lockdown.since));
            app.note("next: opsctl security rotate-keys --all --emergency");
            return Ok(Outcome::Done);
        }
        let tokens = counted(status.live_tokens, "token is", "tokens are");
        let step = Step::new("POST /admin/v1/security/lockdown")
            .because(format!("intake and work stop, {tokens} revoked, break-glass stays"))
            .undo(Undo::Reverse("opsctl security restore --verified".into()));
        let mut plan = Plan::new("security lockdown", "lock the service down", &self.change).step(step).urgent();
        plan = match &way_back {
            Ok(from) => plan.note(format!("the break-glass token works ({from})")),
            Err(why) => plan
                .note(format!("the way back is missing: the break-glass token does not work here: {why}"))
                .note("it is in break-glass.token in the data directory of the service's machine"),
        };
        let Some(approval) = app.approve(&plan).await? else {
            // The point of the dry run is to know that there is a way back.
            return Ok(if way_back.is_ok() { Outcome::Done } else { Outcome::Problem });
        };
        let answer = orchestrator.lock_down(&approval).await.map_err(cannot_lock)?;
        app.emit(&answer)?;
        let undo = UndoAction::none("revoked tokens stay revoked; `opsctl security restore --verified` opens again");
        app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..ReceiptItem::applied("service", undo) }])?;
        app.note("next: opsctl security rotate-keys --all --emergency");
        Ok(Outcome::Done)
    }
}

/// Whether the break-glass token is one, and where it comes from.
async fn way_back(orchestrator: &Orchestrator) -> Result<String, String> {
    let tried = async {
        let with = orchestrator.with_break_glass().await?;
        with.security().await
    };
    match tokio::time::timeout(TRY_LIMIT, tried).await {
        Ok(Ok(status)) if status.break_glass => Ok(orchestrator.break_glass_source()),
        Ok(Ok(_)) => Err(format!("{} holds another token", orchestrator.break_glass_source())),
        Ok(Err(error)) => {
            let why = Explained::from_error(&error);
            Err(std::iter::once(why.message).chain(why.causes).collect::<Vec<_>>().join(": "))
        }
        Err(_) => Err(format!("no answer within {}s", TRY_LIMIT.as_secs())),
    }
}

/// What to do when the door cannot be shut from here.
fn cannot_lock(error: anyhow::Error) -> anyhow::Error {
    let why = Explained::from_error(&error);
    if why.kind != Kind::Unreachable {
        return error.context("cannot lock the service down");
    }
    let fault = Fault::new(Kind::Unreachable, "cannot lock the service down").because(why.message);
    why.causes
        .into_iter()
        .fold(fault, Fault::because)
        .hint(
            "what does not run takes nothing in: stop its process and keep it from starting, then withdraw the keys on \
             the platforms' own pages (`opsctl security rotate-keys --all --emergency --dry-run` names them)",
        )
        .into()
}
