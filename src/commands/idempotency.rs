//! `opsctl idempotency`: the keys that keep work from running twice.

use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::App;
use crate::engine::idempotency::ends_in_timestamp;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, UndoAction};
use crate::output::{Page, Report, Table};
use crate::wire::{IdempotencyKey, IdempotencyKeys, IdempotencyRecord, KeyOwner, KeyState, KeyView};

use super::args::{count, outcome_of};
use super::text;

/// Why a moment at the end of a key is a mistake.
const TIMESTAMP: &str = "the key ends in a moment: it is new every time and prevents nothing; \
    end it in the business id, or leave it out and a hash of the parameters is used";

/// Idempotency keys: list, check, clear
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    List(ListArgs),
    Check(CheckArgs),
    Clear(ClearArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::List(args) => list(app, args).await,
            Self::Check(args) => check(app, args).await,
            Self::Clear(args) => clear(app, args).await,
        }
    }
}

/// List keys, the newest first
///
/// Keys of actions and of workflows. PREVENTED counts submissions that were the same again and did not run, COLLISIONS those
/// with the same key and other content, which were refused. A key marked `moment` ends in a timestamp and prevents nothing.
///
/// Example: opsctl idempotency list --limit 50
#[derive(Args, Debug)]
pub struct ListArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true, value_parser = count(1..=10_000))]
    limit: u64,

    /// Only keys that something collided with, the last collision first
    #[arg(long)]
    collisions: bool,
}

/// Explain one key
///
/// Where its work is, which action or workflow has it, what it stands for, when it is forgotten, what it prevented and what
/// collided with it. A key that nothing was submitted with ends with 5.
///
/// Example: opsctl idempotency check sig-88:create:notion:44136fa355b3678a
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
}

/// Forget one key, so that its work may run again
///
/// The next submission with it is executed, even if the work was done before: look for the object on the platform first.
/// A key whose action or workflow waits or runs stays locked; clearing it is refused with 6.
///
/// Example: opsctl idempotency clear invoice-7 --reason "the page was removed by hand"
#[derive(Args, Debug)]
pub struct ClearArgs {
    /// The key
    #[arg(value_name = "KEY")]
    key: String,

    #[command(flatten)]
    change: ChangeArgs,
}

/// `2 duplicates`, `UNKNOWN duplicates`.
fn prevented(key: &IdempotencyRecord) -> String {
    key.prevented.map_or_else(|| "UNKNOWN duplicates".into(), |n| text::counted(n, "duplicate", "duplicates"))
}

/// Keys of a listing.
#[derive(Serialize)]
#[serde(transparent)]
struct Keys {
    keys: Vec<IdempotencyRecord>,
    #[serde(skip)]
    view: KeyView,
}

impl Report for Keys {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let mut table =
            Table::new(&["KEY", "STATE", "HELD BY", "DOES", "CREATED", "EXPIRES", ">PREVENTED", ">COLLISIONS", "FLAG"]);
        for key in &self.keys {
            table.row([
                key.key.clone(),
                key.state.to_string(),
                key.owner.id().to_owned(),
                does(&key.owner),
                page.time(key.created_at),
                page.time(key.expires_at),
                key.prevented.map_or("UNKNOWN".to_owned(), text::count),
                key.collisions.map_or("UNKNOWN".to_owned(), text::count),
                if key.ends_in_timestamp { "moment" } else { "" }.to_owned(),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        let words = if self.view == KeyView::Collisions { "No key collided." } else { "No idempotency keys." };
        self.keys.is_empty().then(|| words.to_owned())
    }
}

async fn list(app: &App, args: ListArgs) -> anyhow::Result<Outcome> {
    let view = if args.collisions { KeyView::Collisions } else { KeyView::All };
    let IdempotencyKeys { keys, truncated } = app.orchestrator().await?.idempotency_keys(view, args.limit).await?;
    app.emit(&Keys { keys, view })?;
    if truncated {
        app.note("There are more; raise --limit to see them.");
    }
    Ok(Outcome::Done)
}

impl Report for IdempotencyKey {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let key = &self.record;
        page.pair("Key", &key.key)?;
        page.pair("State", key.state)?;
        let label = if matches!(key.owner, KeyOwner::Action { .. }) { "Action" } else { "Workflow" };
        page.pair(label, format_args!("{} ({})", key.owner.id(), key.owner.status()))?;
        page.pair("Does", does(&key.owner))?;
        if let KeyOwner::Action { workflow_id, correlation_id, .. } = &key.owner {
            if let Some(id) = workflow_id {
                page.pair("Workflow", id)?;
            }
            if let Some(id) = correlation_id {
                page.pair("Belongs to", id)?;
            }
        }
        page.pair("Stands for", &key.fingerprint)?;
        page.pair_time("Created", key.created_at)?;
        page.pair_time("Expires", key.expires_at)?;
        page.pair("Prevented", counted(key.prevented, key.last_prevented_at.map(|at| page.time(at))))?;
        page.pair("Collisions", counted(key.collisions, key.last_collision_at.map(|at| page.time(at))))?;
        page.line(format_args!("A second submission {}.", meaning(key)))?;
        if key.ends_in_timestamp {
            page.line(format_args!("Warning: {TIMESTAMP}."))?;
        }
        if self.collided.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["COLLIDED", "OFFERED", "SOURCE", "BELONGS TO"]);
        for collision in &self.collided {
            table.row([
                page.time(collision.at),
                collision.offered.clone(),
                collision.source.clone().unwrap_or_default(),
                collision.correlation_id.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table)
    }
}

fn counted(times: Option<u64>, last: Option<String>) -> String {
    let Some(times) = times else { return "UNKNOWN".into() };
    match last {
        Some(last) => format!("{}, last {last}", text::count(times)),
        None => text::count(times),
    }
}

/// What the work of a key is.
fn does(owner: &KeyOwner) -> String {
    match owner {
        KeyOwner::Action { action_type, platform, .. } => format!("{action_type} on {platform}"),
        KeyOwner::Workflow { name, steps, .. } => format!("{name}, {}", text::counted(*steps, "step", "steps")),
    }
}

/// What happens to a second submission with this key.
fn meaning(key: &IdempotencyRecord) -> String {
    let (id, status) = (key.owner.id(), key.owner.status());
    match (key.state, &key.owner) {
        (KeyState::InFlight, _) => format!("is told about {id}, which is {status}, and does not run"),
        (KeyState::Done, _) => format!("gets the id of {id}, which is done, and does not run"),
        (KeyState::InDoubt, KeyOwner::Action { .. }) => {
            format!("does not run: nobody knows whether {id} happened")
        }
        (KeyState::InDoubt, KeyOwner::Workflow { .. }) => {
            format!("does not run: {id} is {status}, and some of it stands")
        }
        (KeyState::Released, _) => format!("runs: {id} is {status}"),
        (KeyState::Expired, _) => "runs: the key's time is over".to_owned(),
    }
}

async fn check(app: &App, args: CheckArgs) -> anyhow::Result<Outcome> {
    let key = find(app, &args.key).await?;
    app.emit(&key)?;
    Ok(Outcome::Done)
}

/// Reads a key; one that is not there is explained too.
async fn find(app: &App, key: &str) -> anyhow::Result<IdempotencyKey> {
    app.orchestrator().await?.idempotency_key(key).await.map_err(|error| match error.downcast::<Fault>() {
        Ok(fault) if fault.kind == Kind::NotFound && ends_in_timestamp(key) => {
            fault.because(TIMESTAMP).hint("see the keys in use with `opsctl idempotency list`").into()
        }
        Ok(fault) if fault.kind == Kind::NotFound => fault
            .because("a submission with it would run now")
            .hint("see the keys in use with `opsctl idempotency list`")
            .into(),
        Ok(fault) => fault.into(),
        Err(error) => error,
    })
}

async fn clear(app: &App, args: ClearArgs) -> anyhow::Result<Outcome> {
    let key = find(app, &args.key).await?.record;
    let (kind, id, status) = (key.owner.kind(), key.owner.id(), key.owner.status());
    let look = match key.owner {
        KeyOwner::Action { .. } => format!("opsctl queue show {id}"),
        KeyOwner::Workflow { .. } => format!("opsctl workflow steps {id}"),
    };
    if key.state == KeyState::InFlight {
        return Err(Fault::new(Kind::Conflict, format!("cannot clear the key `{}`", args.key))
            .because(format!("it is locked: {kind} {id} is {status}"))
            .because("without the key a second submission would run beside it")
            .hint(format!("see how it ends with `{look}`"))
            .into());
    }
    let prevented = prevented(&key);
    let evidence = format!("{} by {kind} {id}, {status}, prevented {prevented}", does(&key.owner));
    let allows = match (key.state.holds(), &key.owner) {
        (false, _) => "nothing is prevented by it any more".to_owned(),
        (true, KeyOwner::Action { platform, .. }) => {
            format!("the next submission with it runs on {platform} again; look for what {id} made first")
        }
        (true, KeyOwner::Workflow { .. }) => {
            format!("the next submission with it runs all steps again; look for what {id} made first: `{look}`")
        }
    };
    let plan = Plan::new("idempotency clear", "forget 1 idempotency key", &args.change)
        .step(Step::new("DELETE /admin/v1/idempotency/keys/KEY").on(&key.key).because(evidence))
        .note(allows);
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let answer = app.orchestrator().await?.clear_key(&approval, &key.key, key.version).await?;
    let undo = UndoAction::none("a forgotten key is known again when its work is submitted again");
    let item = ReceiptItem::applied(key.key, undo);
    app.receipt(&approval, vec![ReceiptItem { effect: answer.effect, ..item }])?;
    app.emit(&answer)?;
    Ok(outcome_of(&answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Style, draw};
    use crate::wire::{ActionStatus, ActionType, KeyCollision, Platform, Time, WorkflowStatus};

    fn record(state: KeyState) -> IdempotencyRecord {
        IdempotencyRecord {
            key: "invoice-1760697045123".into(),
            state,
            owner: KeyOwner::Action {
                action_id: "act-1".into(),
                action_status: ActionStatus::Executing,
                action_type: ActionType::Create,
                platform: Platform::Notion,
                workflow_id: None,
                correlation_id: None,
            },
            fingerprint: "create:notion:44136fa355b3678a".into(),
            created_at: Time(0),
            expires_at: Time(86_400_000),
            prevented: Some(2),
            last_prevented_at: Some(Time(1000)),
            collisions: Some(1),
            last_collision_at: Some(Time(2000)),
            ends_in_timestamp: true,
            version: 1,
        }
    }

    #[test]
    fn a_key_is_explained_in_words() {
        let collided = vec![KeyCollision {
            at: Time(2000),
            key: "invoice-1760697045123".into(),
            action_id: Some("act-1".into()),
            workflow_id: None,
            fingerprint: "create:notion:44136fa355b3678a".into(),
            offered: "create:notion:e5d1ec58a53b403e".into(),
            source: Some("member-2".into()),
            correlation_id: None,
            user_id: None,
        }];
        let text = draw(&IdempotencyKey { record: record(KeyState::InFlight), collided }, Style::plain()).unwrap();
        for part in [
            "A second submission is told about act-1, which is executing, and does not run.",
            "2, last 1970-01-01T00:00:01.000Z",
            "Warning: the key ends in a moment",
            "create:notion:e5d1ec58a53b403e",
            "member-2",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(meaning(&record(KeyState::Expired)), "runs: the key's time is over");
    }

    #[test]
    fn a_workflows_key_is_explained_as_one() {
        let of = |workflow_status, state| IdempotencyRecord {
            owner: KeyOwner::Workflow { workflow_id: "w-7".into(), workflow_status, name: "invoice".into(), steps: 3 },
            ..record(state)
        };
        let done = of(WorkflowStatus::Completed, KeyState::Done);
        let text = draw(&IdempotencyKey { record: done, collided: Vec::new() }, Style::plain()).unwrap();
        for part in ["Workflow    w-7 (completed)", "invoice, 3 steps", "gets the id of w-7, which is done"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let stands = of(WorkflowStatus::RollbackFailed, KeyState::InDoubt);
        assert_eq!(meaning(&stands), "does not run: w-7 is rollback_failed, and some of it stands");
        assert_eq!(meaning(&of(WorkflowStatus::RolledBack, KeyState::Released)), "runs: w-7 is rolled_back");
    }
}
