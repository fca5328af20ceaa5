//! `opsctl undo`: takes a change back. It is itself a plan, and leaves alone what somebody touched since.

mod platforms;

use std::io;

use serde::Serialize;

use crate::aliases::Class;
use crate::app::App;
use crate::commands::restore::Going;
use crate::commands::state::moved::{self, Uses};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{Approval, ChangeArgs, Plan, Receipt, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::wire::{
    ChangeAnswer, ConfigEntry, ConfigSet, EffectKind, IdsRequest, ItemEffect, Pause, PauseRequest, PauseScope,
    QueueFilter, QueueView, RestoreScope,
};

/// Take a change back
///
/// What somebody touched since is left alone and said. Without a terminal pass --yes.
///
///     opsctl undo r-1017-0309 --dry-run
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct UndoArgs {
    /// Receipt of the change, from its last line or `opsctl history`
    receipt: String,

    /// Only this item (can be repeated)
    #[arg(long = "item", value_name = "ID")]
    items: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// Most items one question gives.
const PAGE: usize = 10_000;
/// Items put back with one request, so that each ends well within the time limit of a call.
const PART: usize = 1000;

/// What is there now, as far as the undo needs it.
#[derive(Default)]
struct Now {
    removed: std::collections::HashSet<String>,
    pauses: Vec<Pause>,
    settings: Vec<ConfigEntry>,
}

/// What is to be done, and what is left alone.
#[derive(Default)]
struct Work {
    restore: Vec<String>,
    others: Vec<(UndoAction, Option<u64>)>,
    /// Touched by somebody since.
    left: Vec<String>,
    /// Not possible from the start.
    hopeless: Vec<String>,
}

/// What became of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Undone {
    undoes: String,
    items: Vec<ReceiptItem>,
    /// Items that were left alone, with why.
    left_alone: Vec<String>,
}

impl Report for Undone {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let done = self.items.iter().filter(|i| i.effect != EffectKind::AlreadySo && is_good(i.effect)).count();
        let failed: Vec<_> = self.items.iter().filter(|i| !is_good(i.effect)).collect();
        for item in &failed {
            page.line(format_args!("FAIL  {}: {}", item.id, item.detail.as_deref().unwrap_or(item.effect.as_str())))?;
        }
        let left = self.left_alone.len();
        page.line(format_args!("{}: {done} taken back, {left} left alone, {} failed", self.undoes, failed.len()))
    }
}

fn is_good(effect: EffectKind) -> bool {
    matches!(effect, EffectKind::Applied | EffectKind::Accepted | EffectKind::AlreadySo)
}

impl UndoArgs {
    /// Whether an item is one of those that are meant.
    fn names(&self, id: &str) -> bool {
        self.items.is_empty() || self.items.iter().any(|wanted| wanted == id)
    }

    /// The receipt as if only the named items had been changed; their places stay.
    fn narrowed(&self, mut receipt: Receipt) -> Result<Receipt, Fault> {
        if let Some(unknown) = self.items.iter().find(|id| receipt.items.iter().all(|item| item.id != **id)) {
            let id = &receipt.id;
            return Err(Fault::new(Kind::NotFound, format!("{id} has no item `{unknown}`"))
                .hint(format!("list them with `opsctl history show {id}`")));
        }
        for item in receipt.items.iter_mut().filter(|item| !self.names(&item.id)) {
            item.effect = EffectKind::AlreadySo;
        }
        Ok(receipt)
    }

    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let receipt = self.narrowed(app.receipts.read(&self.receipt)?)?;
        if let Some(by) = &receipt.undone_by {
            app.note(format!("{} was already taken back by {by}", receipt.id));
            app.emit(&Undone { undoes: receipt.id, items: Vec::new(), left_alone: Vec::new() })?;
            return Ok(Outcome::Done);
        }
        ensure_undoable(app, &receipt)?;
        if receipt.planned.is_some() {
            return platforms::take_back(app, &receipt, &self).await;
        }
        if let Some((backup, scope)) = receipt.items.iter().find_map(restore_of) {
            return take_back_restore(app, &receipt, backup, scope, &self.change).await;
        }
        let now = look(app, &receipt).await?;
        let work = sort(&receipt, &now);
        for item in &work.left {
            app.note(format!("left alone: {item}"));
        }
        for item in &work.hopeless {
            app.note(format!("cannot be taken back: {item}"));
        }
        if work.restore.is_empty() && work.others.is_empty() {
            app.note("nothing is left to take back");
            app.emit(&Undone { undoes: receipt.id, items: Vec::new(), left_alone: work.left })?;
            return Ok(Outcome::Done);
        }
        let mut plan = plan(&receipt, &work, &self.change);
        if is_export(&receipt) {
            let uses = Uses::of(app, &receipt.key, receipt.at, None)?;
            uses.ensure_not_imported(&receipt)?;
            plan = doubling(plan, &receipt, &uses);
        }
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        if is_export(&receipt) {
            // Somebody may have put its file in while this was being asked.
            let uses = Uses::of(app, &receipt.key, receipt.at, Some(approval.receipt_id()))?;
            if let Err(fault) = uses.ensure_not_imported(&receipt) {
                app.receipt(&approval, Vec::new())?;
                return Err(fault.into());
            }
        }
        let items = act(app, &approval, &work).await?;
        app.receipt(&approval, items.clone())?;
        let all_good = items.iter().all(|i| is_good(i.effect));
        if all_good {
            let only = (!self.items.is_empty()).then(|| places(&receipt, &self));
            app.receipts.undone(app.now(), &receipt.id, approval.receipt_id(), only)?;
        }
        let outcome = if all_good && work.left.is_empty() { Outcome::Done } else { Outcome::SomeFailed };
        app.emit(&Undone { undoes: receipt.id, items, left_alone: work.left })?;
        Ok(outcome)
    }
}

fn is_export(receipt: &Receipt) -> bool {
    receipt.verb == "state export"
}

/// The plan that takes an export back. What was put in elsewhere meanwhile is executed twice, which nobody can take back.
fn doubling(plan: Plan, receipt: &Receipt, uses: &Uses) -> Plan {
    let plan = plan.class(Class::M3).irreversible().subject(moved::subject(&receipt.key));
    let plan = plan.note("what was put into another orchestrator from the export's file will be EXECUTED TWICE");
    match uses.imports.first() {
        Some(import) => {
            let words = "did not end as far as is known here: look what waits there first";
            plan.note(format!("{}, an import of it into `{}`, {words}", import.id, import.context))
        }
        None => plan.note("this machine's journal has no import of it; those from other machines are not known here"),
    }
}

/// Where the named items are in the receipt.
fn places(receipt: &Receipt, args: &UndoArgs) -> Vec<usize> {
    (0..receipt.items.len()).filter(|at| args.names(&receipt.items[*at].id)).collect()
}

/// The backup that an item goes back to.
fn restore_of(item: &ReceiptItem) -> Option<(&str, RestoreScope)> {
    match &item.undo {
        UndoAction::RestoreBackup { backup, scope } if item.can_be_undone() => Some((backup, *scope)),
        _ => None,
    }
}

/// A restore is taken back by another one, of what was there before; the plan says what came since.
async fn take_back_restore(
    app: &App,
    receipt: &Receipt,
    backup: &str,
    scope: RestoreScope,
    change: &ChangeArgs,
) -> anyhow::Result<Outcome> {
    let going = Going::look(app, backup, scope).await?;
    going.ensure_decided(app, change)?;
    let title = format!("undo {} ({}, by {})", receipt.id, receipt.title, receipt.operator);
    let plan = going.plan(Plan::new("undo", title, change), app.now());
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    let items = going.items(&going.act(app, &approval).await?);
    app.receipt(&approval, items.clone())?;
    app.receipts.undone(app.now(), &receipt.id, approval.receipt_id(), None)?;
    app.emit(&Undone { undoes: receipt.id.clone(), items, left_alone: Vec::new() })?;
    Ok(Outcome::Done)
}

fn ensure_undoable(app: &App, receipt: &Receipt) -> Result<(), Fault> {
    let id = &receipt.id;
    receipt.ensure_of(&app.settings.context_name.value, "undo")?;
    if receipt.can_be_undone() {
        return Ok(());
    }
    let mut fault = Fault::new(Kind::Conflict, format!("{id} cannot be taken back"));
    let mut reasons: Vec<&str> = Vec::new();
    for item in &receipt.items {
        if let UndoAction::None { why } = &item.undo
            && !reasons.contains(&why.as_str())
        {
            reasons.push(why);
        }
    }
    if reasons.is_empty() {
        reasons.push("it changed nothing, or its outcome is not known");
    }
    for reason in reasons {
        fault = fault.because(reason);
    }
    Err(fault.hint(format!("see what it did with `opsctl history show {id}`")))
}

/// Reads what is there now, and only what this receipt is about.
async fn look(app: &App, receipt: &Receipt) -> anyhow::Result<Now> {
    let api = app.orchestrator().await?;
    let mut now = Now::default();
    let actions = || receipt.items.iter().filter(|i| i.can_be_undone()).map(|i| &i.undo);
    if actions().any(|a| matches!(a, UndoAction::RestoreItem { .. })) {
        let filter = QueueFilter {
            view: QueueView::Removed,
            platform: None,
            // What this receipt removed was removed after it was opened; a minute for clocks that differ.
            since: Some(receipt.at.minus(std::time::Duration::from_secs(60))),
            older_than: None,
            limit: Some(PAGE as u64),
        };
        now.removed = api.queue_items(&filter).await?.items.into_iter().map(|i| i.action_id).collect();
    }
    if actions().any(|a| matches!(a, UndoAction::Pause { .. } | UndoAction::Resume { .. })) {
        now.pauses = api.pauses().await?;
    }
    for action in actions() {
        if let UndoAction::SetConfig { name, .. } = action {
            now.settings.push(api.config_entry(name).await?);
        }
    }
    Ok(now)
}

/// Sorts the items into what can be taken back and what somebody touched since.
fn sort(receipt: &Receipt, now: &Now) -> Work {
    let mut work = Work::default();
    for item in &receipt.items {
        if !item.can_be_undone() {
            if let UndoAction::None { why } = &item.undo {
                work.hopeless.push(format!("{}: {why}", item.id));
            }
            continue;
        }
        let is_paused = |scope: &PauseScope| now.pauses.iter().any(|p| p.scope == *scope);
        match &item.undo {
            UndoAction::RestoreItem { id } if now.removed.contains(id) => work.restore.push(id.clone()),
            UndoAction::RestoreItem { id } => work.left.push(format!("{id}: it is no longer among the removed items")),
            UndoAction::Pause { scope } if is_paused(scope) => work.left.push(format!("{scope}: paused again already")),
            UndoAction::Resume { scope } if !is_paused(scope) => work.left.push(format!("{scope}: resumed already")),
            UndoAction::SetConfig { name, set, .. } => match now.settings.iter().find(|s| s.name == *name) {
                Some(entry) if entry.pending.as_ref().or(entry.value.as_ref()) == set.as_ref() => {
                    work.others.push((item.undo.clone(), Some(entry.version)));
                }
                _ => work.left.push(format!("{name}: it was set to something else since")),
            },
            UndoAction::Pause { .. } | UndoAction::Resume { .. } | UndoAction::RevokeToken { .. } => {
                work.others.push((item.undo.clone(), None))
            }
            UndoAction::RestoreBackup { .. } | UndoAction::AtPlatform { .. } | UndoAction::None { .. } => {}
        }
    }
    work
}

fn plan(receipt: &Receipt, work: &Work, change: &ChangeArgs) -> Plan {
    let title = format!("undo {} ({}, by {})", receipt.id, receipt.title, receipt.operator);
    let restored = work.restore.iter().map(|id| {
        Step::new("POST /admin/v1/queue/restore")
            .on(id)
            .because("goes back into the queue")
            .undo(Undo::Reverse(format!("opsctl queue remove {id}")))
    });
    let others = work.others.iter().map(|(action, _)| match action {
        UndoAction::Pause { scope } => {
            Step::new("POST /admin/v1/pauses").on(scope).undo(Undo::Reverse(command_of("resume", *scope)))
        }
        UndoAction::Resume { scope } => {
            Step::new("POST /admin/v1/pauses/resume").on(scope).undo(Undo::Reverse(command_of("pause", *scope)))
        }
        UndoAction::SetConfig { name, value, set } => {
            let old = set.as_deref().unwrap_or("unset");
            let (method, new) = value.as_deref().map_or(("DELETE", "unset"), |new| ("PUT", new));
            Step::new(format!("{method} /admin/v1/config/{name}"))
                .because(format!("{old} -> {new}"))
                .undo(Undo::Rewrite)
        }
        UndoAction::RevokeToken { id } => {
            Step::new(format!("DELETE /admin/v1/tokens/{id}")).because("it stops working for good")
        }
        UndoAction::RestoreItem { .. }
        | UndoAction::RestoreBackup { .. }
        | UndoAction::AtPlatform { .. }
        | UndoAction::None { .. } => Step::new("nothing"),
    });
    Plan::new("undo", title, change).steps(restored).steps(others)
}

/// The command that pauses or resumes a scope.
fn command_of(verb: &str, scope: PauseScope) -> String {
    match scope {
        PauseScope::All => format!("opsctl {verb} all"),
        PauseScope::Queue => format!("opsctl queue {verb}"),
    }
}

async fn act(app: &App, approval: &Approval, work: &Work) -> anyhow::Result<Vec<ReceiptItem>> {
    let api = app.orchestrator().await?;
    let mut items = Vec::new();
    for (place, ids) in work.restore.chunks(PART).enumerate() {
        let request = IdsRequest { ids: ids.to_vec(), per_second: None };
        let answer = api.restore_items(approval, &place.to_string(), &request).await?;
        let again = |id: &str| UndoAction::none(format!("take it out again with `opsctl queue remove {id}`"));
        items.extend(effects(&answer, ids).iter().map(|i| ReceiptItem::from_effect(i, again(&i.id))));
    }
    for (action, version) in &work.others {
        items.push(match action {
            UndoAction::Pause { scope } => {
                of_answer(scope.as_str(), &api.pause(approval, *scope).await?, UndoAction::Resume { scope: *scope })
            }
            UndoAction::Resume { scope } => {
                let request = PauseRequest { scope: *scope, slow_start: false };
                of_answer(scope.as_str(), &api.resume(approval, &request).await?, UndoAction::Pause { scope: *scope })
            }
            UndoAction::SetConfig { name, value, set } => {
                match value {
                    Some(value) => {
                        let request = ConfigSet { value: value.clone(), expires_in: None };
                        api.set_config(approval, name, &request, *version).await?
                    }
                    None => api.unset_config(approval, name, *version).await?,
                };
                let again = UndoAction::SetConfig { name: name.clone(), value: set.clone(), set: value.clone() };
                ReceiptItem::applied(name, again)
            }
            UndoAction::RevokeToken { id } => {
                of_answer(id, &api.revoke_token(approval, id).await?, UndoAction::none("a revoked token stays revoked"))
            }
            UndoAction::RestoreItem { .. }
            | UndoAction::RestoreBackup { .. }
            | UndoAction::AtPlatform { .. }
            | UndoAction::None { .. } => continue,
        });
    }
    Ok(items)
}

/// The effect on each id; a server that answers for the whole only means all of them.
fn effects(answer: &ChangeAnswer, ids: &[String]) -> Vec<ItemEffect> {
    if !answer.items.is_empty() {
        return answer.items.clone();
    }
    let whole =
        |id: &String| ItemEffect { id: id.clone(), effect: answer.effect, detail: Some(answer.message.clone()) };
    ids.iter().map(whole).collect()
}

fn of_answer(id: &str, answer: &ChangeAnswer, undo: UndoAction) -> ReceiptItem {
    ReceiptItem { effect: answer.effect, detail: Some(answer.message.clone()), ..ReceiptItem::applied(id, undo) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::ReceiptState;
    use crate::wire::{ConfigSource, RestartPart};

    fn receipt(undos: Vec<UndoAction>) -> Receipt {
        let items =
            undos.into_iter().enumerate().map(|(n, undo)| ReceiptItem::applied(format!("i{n}"), undo)).collect();
        Receipt { id: "r-1".into(), state: ReceiptState::Done, ..Receipt::for_tests(items) }
    }

    fn setting(value: &str, pending: Option<&str>) -> ConfigEntry {
        ConfigEntry {
            name: "QUEUE_WORKERS".into(),
            value: Some(value.into()),
            pending: pending.map(str::to_owned),
            source: ConfigSource::Set,
            restart: RestartPart::Workers,
            secret: false,
            fingerprint: None,
            pending_fingerprint: None,
            description: String::new(),
            expires_at: None,
            version: 7,
        }
    }

    #[test]
    fn what_somebody_touched_since_is_left_alone() {
        let restore = |id: &str| UndoAction::RestoreItem { id: id.into() };
        let receipt = receipt(vec![restore("a"), restore("b"), UndoAction::Resume { scope: PauseScope::All }]);
        let now = Now { removed: ["a".to_owned()].into(), ..Now::default() };
        let work = sort(&receipt, &now);
        assert_eq!(work.restore, ["a"]);
        assert!(work.others.is_empty());
        assert_eq!(work.left.len(), 2);
    }

    #[test]
    fn a_setting_goes_back_only_from_the_value_that_was_set() {
        let undo =
            UndoAction::SetConfig { name: "QUEUE_WORKERS".into(), value: Some("5".into()), set: Some("10".into()) };
        let with = |entry| sort(&receipt(vec![undo.clone()]), &Now { settings: vec![entry], ..Now::default() });
        assert_eq!(with(setting("5", Some("10"))).others, [(undo.clone(), Some(7))]);
        assert_eq!(with(setting("10", None)).others.len(), 1);
        assert_eq!(with(setting("5", Some("12"))).left.len(), 1);
    }
}
