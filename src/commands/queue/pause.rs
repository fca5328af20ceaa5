//! `opsctl queue pause|resume`, `opsctl pause all` and `opsctl resume all`: the brakes.

use clap::Args;

use crate::app::App;
use crate::commands::args::{already, outcome_of};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::wire::{ChangeAnswer, ErrorCode, Pause, PauseRequest, PauseScope, SecurityStatus};

/// Stop taking items from the queue
///
/// Actions in flight finish; new ones are still accepted. The pause stays through a restart until somebody resumes.
/// A brake asks nothing.
///
/// Example: opsctl queue pause --reason "Notion maintenance until 04:00"
#[derive(Args, Debug)]
pub struct PauseArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

/// Go on taking items from the queue
///
/// Example: opsctl queue resume
#[derive(Args, Debug)]
pub struct ResumeArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

/// Stop everything: the queue, intake, schedulers
///
/// Actions in flight finish; new ones are refused with the pause's owner and reason. A brake asks nothing.
///
/// Example: opsctl pause all --reason "INC-204"
#[derive(Args, Debug)]
pub struct PauseAllArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

/// End every pause
///
/// With --slow-start the queue starts with one worker and adds one at a time, so that a platform that just came back
/// is not flooded.
///
/// Example: opsctl resume all --slow-start
#[derive(Args, Debug)]
pub struct ResumeAllArgs {
    /// Start with one worker and add one at a time
    #[arg(long)]
    slow_start: bool,

    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn pause_queue(app: &App, args: PauseArgs) -> anyhow::Result<Outcome> {
    pause(app, "queue pause", PauseScope::Queue, &args.change).await
}

/// `pause all`.
pub async fn pause_all(app: &App, args: PauseAllArgs) -> anyhow::Result<Outcome> {
    pause(app, "pause all", PauseScope::All, &args.change).await
}

pub(super) async fn resume_queue(app: &App, args: ResumeArgs) -> anyhow::Result<Outcome> {
    resume(app, "queue resume", PauseRequest { scope: PauseScope::Queue, slow_start: false }, &args.change).await
}

/// `resume all`.
pub async fn resume_all(app: &App, args: ResumeAllArgs) -> anyhow::Result<Outcome> {
    let request = PauseRequest { scope: PauseScope::All, slow_start: args.slow_start };
    resume(app, "resume all", request, &args.change).await
}

async fn pause(app: &App, verb: &'static str, scope: PauseScope, change: &ChangeArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    let pauses = orchestrator.pauses().await?;
    if let Some(held) = pauses.iter().find(|p| p.scope == scope) {
        return already(app, format!("already paused: {}", described(held)));
    }
    let (title, effect) = match scope {
        PauseScope::All => ("pause all processing", "queue, intake and schedulers stop; in-flight actions finish"),
        PauseScope::Queue => ("pause the queue", "no item is taken from the queue; in-flight actions finish"),
    };
    let opposite = if scope == PauseScope::All { "opsctl resume all" } else { "opsctl queue resume" };
    let plan = Plan::new(verb, title, change)
        .brake()
        .step(Step::new("POST /admin/v1/pauses").because(effect).undo(Undo::Reverse(opposite.into())));
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let answer = orchestrator.pause(&approval, scope).await?;
    let item = ReceiptItem::applied(scope.as_str(), UndoAction::Resume { scope });
    app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..item }])?;
    done(app, &answer)
}

async fn resume(app: &App, verb: &'static str, request: PauseRequest, change: &ChangeArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    // Asking first would be for nothing. An orchestrator without this route is never locked down.
    if let Ok(SecurityStatus { lockdown: Some(lockdown), .. }) = orchestrator.security().await {
        let by = lockdown.operator.unwrap_or(lockdown.by);
        return Err(Fault::new(Kind::Conflict, "nothing can be resumed now")
            .because(format!("the service is locked down since {} by {by}", lockdown.since))
            .hint("only the break-glass token works until `opsctl security restore --verified` ends the lockdown")
            .code(ErrorCode::LockedDown)
            .into());
    }
    let pauses = orchestrator.pauses().await?;
    let ended: Vec<&Pause> =
        pauses.iter().filter(|p| request.scope == PauseScope::All || p.scope == request.scope).collect();
    if ended.is_empty() {
        return already(app, "already running: no pause is in force");
    }
    let title = if request.slow_start { "resume, one worker at a time" } else { "resume" };
    let mut plan = Plan::new(verb, title, change);
    for pause in &ended {
        plan = plan.step(
            Step::new("POST /admin/v1/pauses/resume")
                .because(format!("ends: {}", described(pause)))
                .undo(Undo::Reverse(format!("opsctl {}", pause_verb(pause.scope)))),
        );
    }
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let answer = orchestrator.resume(&approval, &request).await?;
    let items = ended.iter().map(|p| ReceiptItem {
        effect: answer.effect,
        ..ReceiptItem::applied(p.scope.as_str(), UndoAction::Pause { scope: p.scope })
    });
    app.receipt(&approval, items.collect())?;
    if let Some(left) = pauses.iter().find(|p| request.scope == PauseScope::Queue && p.scope == PauseScope::All) {
        app.output.warn(&format!("still paused: {}; end it with `opsctl resume all`", described(left)));
    }
    done(app, &answer)
}

fn done(app: &App, answer: &ChangeAnswer) -> anyhow::Result<Outcome> {
    app.emit(answer)?;
    Ok(outcome_of(answer))
}

const fn pause_verb(scope: PauseScope) -> &'static str {
    match scope {
        PauseScope::All => "pause all",
        PauseScope::Queue => "queue pause",
    }
}

/// A pause in words: what, who, why, since when.
fn described(pause: &Pause) -> String {
    let reason = pause.reason.as_deref().map(|r| format!(", \"{r}\"")).unwrap_or_default();
    let what = match pause.scope {
        PauseScope::All => "all processing",
        PauseScope::Queue => "the queue",
    };
    format!("{what} by {}{reason}, since {}", pause.owner, pause.since)
}
