//! Taking items out of the queue: which of them may go, and how. Who may be writing is left alone, and nobody else is waited
//! for. What a closed gate holds is killed; the rest is cancelled first. Why, and what came of it: `ending`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;

use super::RestateBackend;
use super::admin::list;
use super::changes::{AT_ONCE, LOOKED_AT, NO_ID, goes_on, is_id};
use super::ending::Ending;
use super::invocation::{End, Held, Invocation};
use super::queue::actions;
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::effects::{answer, applied, belongs_to, effect, summed};
use crate::wire::{ChangeAnswer, ClearRequest, EffectKind, ErrorCode, ItemEffect, QueueFilter, QueueView, Time};

/// Where taking out looks: `sys_invocation` takes several times as long.
pub(super) const STATUS: &str = "sys_invocation_status";
/// Its columns that are needed.
pub(super) const BRIEFLY: &str = "id, target_service_name, target_handler_name, status, created_at, completion_failure, \
     invoked_by_target, journal_size, journal_commands_size";
/// No `run` has ended, and there is no cancellation.
pub(super) const UNSENT: &str = "journal_commands_size > 0 and journal_size = journal_commands_size";
/// Most ids a clear without ids takes.
const CLEAR_MAX: u64 = 10_000;

/// What is being tried, and since when.
pub(super) type Tried = BTreeMap<String, Option<Time>>;

impl RestateBackend {
    pub(super) async fn remove_item(&self, id: &str, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let _turn = self.queue_turn.lock().await;
        let row = self.find(id).await?;
        if cx.if_version.is_some_and(|seen| seen != row.version()) {
            let words = format!("action {id} moved meanwhile: it is {} now", row.status);
            return Err(Refusal::new(ErrorCode::Conflict, words));
        }
        let scheduled = row.status == "scheduled";
        let mut effects = self.take_out(vec![id.to_owned()], true).await?;
        let Some(ItemEffect { effect, detail, .. }) = effects.pop() else {
            return Err(Refusal::not_found(format!("action `{id}`")));
        };
        let detail = detail.unwrap_or_default();
        let words = match effect {
            EffectKind::Applied if scheduled => format!("action {id} is out of the queue; {detail}"),
            EffectKind::Applied => format!("action {id} is out of the queue; it can be restored"),
            EffectKind::AlreadySo => format!("action {id} is out of the queue already"),
            EffectKind::Accepted => format!("action {id}: {detail}"),
            _ => return Err(Refusal::new(ErrorCode::Conflict, format!("action {id} {detail}"))),
        };
        self.log_change(&words, cx);
        Ok(answer(effect, words, vec![]))
    }

    pub(super) async fn clear_items(&self, request: ClearRequest, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let view = if request.stuck_only { QueueView::Stuck } else { QueueView::Queued };
        let filter =
            QueueFilter { view, platform: None, since: None, older_than: request.older_than, limit: Some(CLEAR_MAX) };
        let ids = match request.ids {
            Some(ids) => ids,
            None => self.items_of(filter).await?,
        };
        let _turn = self.queue_turn.lock().await;
        let effects = self.take_out(ids, false).await?;
        let words =
            format!("{} of {} items are out of the queue; they can be restored", applied(&effects), effects.len());
        self.log_change(&words, cx);
        Ok(summed(effects, words))
    }

    async fn items_of(&self, filter: QueueFilter) -> Result<Vec<String>, Refusal> {
        use crate::server::backend::QueueOps;
        Ok(self.items(filter).await?.items.into_iter().map(|item| item.action_id).collect())
    }

    /// Takes out what waits, and looks until it is gone. `scheduled` says whether what Restate forgets is taken out too.
    async fn take_out(&self, ids: Vec<String>, scheduled: bool) -> Result<Vec<ItemEffect>, Refusal> {
        let gate = self.gate_turn.lock().await;
        let (held, tried) = (self.held().await?, self.tried().await?);
        let is_closed = held.is_closed(self.now());
        // Whoever opens a closed gate waits until this is done; whoever closes an open one does not.
        let _gate = is_closed.then_some(gate);
        let mut ending = Ending::default();
        if is_closed {
            let listed = self.listed.take(held, self.now());
            let untried = ids.iter().map(String::as_str).filter(|id| is_id(id) && !tried.contains_key(*id));
            let (seen, unseen): (Vec<_>, Vec<_>) = untried.partition(|id| listed.contains(*id));
            let waits = format!("{} and status = 'invoked' and invoked_by_target is null and {UNSENT}", actions());
            ending.held = self.parts_of_only(&waits, unseen).await?;
            ending.held.extend(seen.into_iter().map(str::to_owned));
        }
        let ids: Vec<String> = ids.into_iter().filter(|id| !ending.held.contains(id)).collect();
        let mut found = self.find_briefly(&ids, held, &tried).await?;
        self.wait_for_tries(&mut found).await?;
        let removed = found.values().filter(|row| row.end() == End::Removed).map(|row| row.id.clone());
        let again = self.restarts(&removed.collect::<Vec<_>>()).await?;
        let mut effects = Vec::with_capacity(ids.len());
        for id in ids {
            match found.get(&id).map(|row| (row, not_removable(row, scheduled))) {
                None => effects.push(effect(id, EffectKind::NotFound, None)),
                Some(_) if again.contains_key(&id) => {
                    let now = goes_on(&again[&id]);
                    effects.push(effect(id, EffectKind::Conflict, Some(now)));
                }
                Some((_, Some((kind, why)))) => effects.push(effect(id, kind, why)),
                // Held by a gate that is closed and stays so, and nothing can have been sent of it.
                Some((row, None)) if is_closed && !tried.contains_key(&id) && row.notifications() == Some(0) => {
                    ending.held.insert(id);
                }
                Some((row, None)) => {
                    if row.status == "scheduled" {
                        ending.scheduled.insert(id.clone());
                    }
                    ending.cancelled.insert(id);
                }
            }
        }
        effects.extend(self.end_all(ending).await?);
        Ok(effects)
    }

    /// Gives those that are being tried a moment: a try that a circuit refuses ends soon, and then the item waits again.
    async fn wait_for_tries(&self, found: &mut BTreeMap<String, Invocation>) -> Result<(), Refusal> {
        let mut looks = self.few_looks();
        while looks.next().await {
            let running = |row: &&Invocation| row.view() == Some(QueueView::Executing);
            let running: Vec<String> = found.values().filter(running).map(|row| row.id.clone()).collect();
            if running.is_empty() {
                break;
            }
            found.extend(self.find_briefly(&running, self.held().await?, &self.tried().await?).await?);
        }
        Ok(())
    }

    /// Those of these in parts of which all are so: a part is counted, which takes half as long as showing it.
    pub(super) async fn parts_of_only(&self, condition: &str, ids: Vec<&str>) -> Result<BTreeSet<String>, Refusal> {
        let parts: Vec<_> = ids.chunks(LOOKED_AT).map(|part| self.part_of_only(condition, part)).collect();
        let all: Vec<&[&str]> = stream::iter(parts).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(all.into_iter().flatten().map(|id| (*id).to_owned()).collect())
    }

    async fn part_of_only<'a>(&self, condition: &str, part: &'a [&'a str]) -> Result<&'a [&'a str], Refusal> {
        #[derive(Deserialize)]
        struct Row {
            n: usize,
        }
        let wanted = list(part.iter().copied());
        let sql = format!("select count(*) as n from {STATUS} where id in ({wanted}) and {condition}");
        match self.rows::<Row>(&sql).await {
            Ok(rows) => Ok(if rows.first().is_some_and(|row| row.n == part.len()) { part } else { &[] }),
            // One only looks like an id.
            Err(refusal) if refusal.message.contains(NO_ID) => Ok(&[]),
            Err(refusal) => Err(refusal),
        }
    }

    /// What is being tried now.
    pub(super) async fn tried(&self) -> Result<Tried, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
            #[serde(default)]
            last_start_at: Option<Time>,
        }
        let sql = "select id, last_start_at from sys_invocation_state where in_flight = true";
        Ok(self.rows::<Row>(sql).await?.into_iter().map(|row| (row.id, row.last_start_at)).collect())
    }

    /// The actions among these ids, as far as taking them out needs it.
    pub(super) async fn find_briefly(
        &self,
        ids: &[String],
        held: Held,
        tried: &Tried,
    ) -> Result<BTreeMap<String, Invocation>, Refusal> {
        let mut found = self.find_in(STATUS, BRIEFLY, ids).await?;
        for row in found.values_mut().filter(|row| row.status == "invoked") {
            if let Some(since) = tried.get(&row.id) {
                row.status = held.trying(*since).to_owned();
            }
        }
        Ok(found)
    }
}

/// Why an invocation is not taken out, if so.
fn not_removable(row: &Invocation, scheduled: bool) -> Option<(EffectKind, Option<String>)> {
    let owner = row.invoked_by_target.as_deref().and_then(super::invocation::workflow_of);
    match row.view() {
        Some(QueueView::Removed) => return Some((EffectKind::AlreadySo, None)),
        Some(QueueView::Executing) => return Some((EffectKind::Conflict, Some("is being executed".into()))),
        Some(QueueView::Failed) => return Some((EffectKind::Conflict, Some("failed, and does not wait".into()))),
        None => return Some((EffectKind::Conflict, Some("is done".into()))),
        Some(_) => {}
    }
    if let Some(workflow) = owner {
        return Some((EffectKind::Conflict, Some(belongs_to(workflow))));
    }
    if row.status == "scheduled" && !scheduled {
        let why = "is scheduled: Restate would keep nothing of it to restore; take it out alone, with `queue remove`";
        return Some((EffectKind::Refused, Some(why.into())));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::invocation::tests::row;
    use super::*;

    #[test]
    fn only_what_waits_for_itself_is_taken_out() {
        let kind = |extra, scheduled| not_removable(&row(extra), scheduled).map(|(kind, _)| kind);
        assert_eq!(kind(json!({"status": "backing-off"}), false), None);
        assert_eq!(kind(json!({"status": "running"}), false), Some(EffectKind::Conflict));
        assert_eq!(kind(json!({"status": "paused"}), false), Some(EffectKind::Conflict));
        assert_eq!(kind(json!({"status": "completed"}), false), Some(EffectKind::Conflict));
        assert_eq!(
            kind(json!({"status": "backing-off", "invoked_by_target": "Workflow/w/run"}), false),
            Some(EffectKind::Conflict)
        );
        assert_eq!(kind(json!({"status": "scheduled"}), false), Some(EffectKind::Refused));
        assert_eq!(kind(json!({"status": "scheduled"}), true), None);
        let cancelled = json!({"status": "completed", "completion_failure": "[409] Cancelled"});
        assert_eq!(kind(cancelled, false), Some(EffectKind::AlreadySo));
    }
}
