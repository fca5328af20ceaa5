//! Taking items out of the queue. Who may be writing is left alone or says what came of it; nobody else is waited for.
//!
//! What a closed gate holds is killed: until the gate opens, which waits for this, no try of it is given leave to write. The
//! rest is cancelled first. Restate answers that once it is in the journal, where each later try finds it before it gets as far
//! as a write; what is not being tried after that, and never had leave to write, is killed too. What is being tried, if only at
//! the gate, is not: its service would go on, and find the gate open a moment later. What had leave is a worker's to tell.
//!
//! What was killed is looked at once more: that shows all that came before the kill, while what was seen earlier may have
//! been a little old, from a node that just took over. Only what still shows no leave is said to be out.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;

use super::RestateBackend;
use super::admin::{Batch, Repeat, list};
use super::changes::{AT_ONCE, BATCH, LOOKED_AT, NO_ID, goes_on, is_id};
use super::invocation::{End, Held, Invocation, REMOVED};
use super::queue::actions;
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::effects::{answer, applied, belongs_to, effect, summed};
use crate::wire::{ChangeAnswer, ClearRequest, EffectKind, ErrorCode, ItemEffect, QueueFilter, QueueView, Time};

/// What the journal has once a `run` ended: by the contract, the leave that comes before the write.
const LEAVE: &str = "Notification: Run";
/// Where taking out looks: `sys_invocation` takes several times as long.
const STATUS: &str = "sys_invocation_status";
/// Its columns that are needed.
const BRIEFLY: &str = "id, target_service_name, target_handler_name, status, created_at, completion_failure, \
     invoked_by_target, journal_size, journal_commands_size";
/// No `run` has ended, and there is no cancellation.
const UNSENT: &str = "journal_commands_size > 0 and journal_size = journal_commands_size";
/// Said of what turned out to have had leave.
const HAD_LEAVE: &str = "was killed when it had leave to write already: it may have been made, look at the platform";
/// Most ids a clear without ids takes.
const CLEAR_MAX: u64 = 10_000;

/// What is being tried, and since when.
type Tried = BTreeMap<String, Option<Time>>;

/// What is being taken out.
#[derive(Default)]
struct Ending {
    /// Killed: a closed gate holds them.
    held: BTreeSet<String>,
    /// Cancelled, and killed when they are not being tried.
    cancelled: BTreeSet<String>,
    /// Those of them that were meant for later.
    scheduled: BTreeSet<String>,
}

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
        let is_closed = held.0.is_some_and(|since| since < self.now());
        // Whoever opens a closed gate waits until this is done; whoever closes an open one does not.
        let _gate = is_closed.then_some(gate);
        let mut ending = Ending::default();
        if is_closed {
            let untried = ids.iter().map(String::as_str).filter(|id| is_id(id) && !tried.contains_key(*id));
            let held = format!("{} and status = 'invoked' and invoked_by_target is null and {UNSENT}", actions());
            ending.held = self.parts_of_only(&held, untried.collect()).await?;
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

    /// Ends these, which wait, and looks what became of them.
    async fn end_all(&self, Ending { held, cancelled, scheduled }: Ending) -> Result<Vec<ItemEffect>, Refusal> {
        let (mut refused, more) = try_join(self.end("kill", &held), self.end("cancel", &cancelled)).await?;
        refused.extend(more);
        let out = format!("status = 'completed' and {REMOVED} and {UNSENT}");
        let out = self.parts_of_only(&out, held.iter().map(String::as_str).collect()).await?;
        let mut waiting: BTreeSet<String> = held.difference(&out).chain(&cancelled).cloned().collect();
        let mut effects: Vec<ItemEffect> = out.into_iter().map(|id| effect(id, EffectKind::Applied, None)).collect();
        let mut killed = held;
        let mut looks = self.looks();
        while !waiting.is_empty() && looks.next().await {
            let ids: Vec<String> = waiting.iter().cloned().collect();
            let now = match waiting.is_subset(&killed) {
                true => self.find_in(STATUS, BRIEFLY, &ids).await?,
                false => self.find_briefly(&ids, Held::default(), &self.tried().await?).await?,
            };
            let had_leave = self.had_leave(now.values().filter(|row| killed.contains(&row.id)), &cancelled).await?;
            for id in ids {
                let (kind, why) = match (became(now.get(&id), scheduled.contains(&id)), refused.get(&id)) {
                    (Some((kind, why)), _) => (kind, why.map(str::to_owned)),
                    (None, Some(why)) => (EffectKind::Conflict, Some(why.clone())),
                    (None, None) => continue,
                };
                waiting.remove(&id);
                effects.push(match kind {
                    EffectKind::Applied if had_leave.contains(&id) => {
                        effect(id, EffectKind::Conflict, Some(HAD_LEAVE.to_owned()))
                    }
                    _ => effect(id, kind, why),
                });
            }
            // The cancellation is in their journals. A worker may take it with the next try, up to half a minute from now;
            // with none up nobody would. An action has nothing to compensate.
            let idle = |id: &&String| !killed.contains(*id) && now.get(*id).is_some_and(|row| row.status != "running");
            let idle = waiting.iter().filter(idle).filter_map(|id| now.get(id));
            let kill = self.never_sent(idle.collect()).await?;
            self.end("kill", &kill).await?;
            killed.extend(kill);
        }
        let unseen = |id| effect(id, EffectKind::Accepted, Some(self.not_seen("that it is taken out")));
        effects.extend(waiting.into_iter().map(unseen));
        Ok(effects)
    }

    /// Those of these in parts of which all are so: a part is counted, which takes half as long as showing it.
    async fn parts_of_only(&self, condition: &str, ids: Vec<&str>) -> Result<BTreeSet<String>, Refusal> {
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
    async fn tried(&self) -> Result<Tried, Refusal> {
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
    async fn find_briefly(
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

    /// Which of these, now that they were killed, had leave to write before.
    async fn had_leave<'a>(
        &self,
        killed: impl Iterator<Item = &'a Invocation>,
        cancelled: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Refusal> {
        // The one notification of what was cancelled is the cancellation; what others are the journal says.
        let least = |row: &Invocation| Some(u64::from(cancelled.contains(&row.id)));
        let more = killed.filter(|row| row.end() == End::Removed && row.notifications() != least(row));
        let (kept, unkept): (Vec<_>, Vec<_>) = more.partition(|row| row.notifications().is_some());
        let mut had: BTreeSet<String> = unkept.into_iter().map(|row| row.id.clone()).collect();
        let kept: Vec<&str> = kept.into_iter().map(|row| row.id.as_str()).collect();
        had.extend(self.may_have_been_sent(&kept).await?);
        Ok(had)
    }

    /// Those of these, which are cancelled and not being tried, that never had leave to write.
    async fn never_sent(&self, rows: Vec<&Invocation>) -> Result<BTreeSet<String>, Refusal> {
        let unsure = rows.iter().filter(|row| row.notifications() != Some(1)).map(|row| row.id.as_str());
        let doubtful = self.may_have_been_sent(&unsure.collect::<Vec<_>>()).await?;
        Ok(rows.into_iter().map(|row| row.id.clone()).filter(|id| !doubtful.contains(id)).collect())
    }

    /// Which of these had leave to write and have not said what came of it: only a worker, which looks, can tell.
    pub(super) async fn may_have_been_sent(&self, ids: &[&str]) -> Result<BTreeSet<String>, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
        }
        let mut sent = BTreeSet::new();
        for ids in ids.chunks(BATCH) {
            let wanted = list(ids.iter().copied());
            let sql = format!("select distinct id from sys_journal where id in ({wanted}) and entry_type = '{LEAVE}'");
            sent.extend(self.rows::<Row>(&sql).await?.into_iter().map(|row| row.id));
        }
        Ok(sent)
    }

    /// Asks for the end of these, in batches side by side; gives why some were refused. One that was asked for twice, because
    /// the first answer was lost, may be among them: what became of it has to be looked for too.
    async fn end(&self, operation: &str, ids: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Refusal> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let parts: Vec<_> = ids.chunks(BATCH).map(|part| self.admin.batch(operation, part, Repeat::Safe)).collect();
        let batches: Vec<Batch> = stream::iter(parts).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(batches.into_iter().flat_map(|batch| batch.failed).map(|no| (no.invocation_id, no.error)).collect())
    }
}

/// What became of an invocation that was cancelled; `None` while it goes on.
fn became(now: Option<&Invocation>, was_scheduled: bool) -> Option<(EffectKind, Option<&'static str>)> {
    match now.map(Invocation::end) {
        None if was_scheduled => Some((EffectKind::Applied, Some("it was scheduled: it cannot be restored"))),
        // Completed, with no retention.
        None => Some((EffectKind::Conflict, Some("ended meanwhile, and Restate keeps nothing of it"))),
        Some(End::None) => None,
        Some(End::Removed) => Some((EffectKind::Applied, None)),
        Some(End::Success) => Some((EffectKind::Conflict, Some("was done before it could be taken out"))),
        Some(End::Failure) => Some((EffectKind::Conflict, Some("failed before it could be taken out"))),
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
    use super::*;
    use serde_json::json;

    fn row(extra: serde_json::Value) -> Invocation {
        let mut row = json!({
            "id": "inv_1", "target_service_name": "Trello", "target_handler_name": "create", "status": "backing-off",
            "created_at": "2026-11-30T01:51:57.482Z",
        });
        row.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn only_what_waits_for_itself_is_taken_out() {
        let kind = |extra, scheduled| not_removable(&row(extra), scheduled).map(|(kind, _)| kind);
        assert_eq!(kind(json!({}), false), None);
        assert_eq!(kind(json!({"status": "running"}), false), Some(EffectKind::Conflict));
        assert_eq!(kind(json!({"status": "paused"}), false), Some(EffectKind::Conflict));
        assert_eq!(kind(json!({"status": "completed"}), false), Some(EffectKind::Conflict));
        assert_eq!(kind(json!({"invoked_by_target": "Workflow/w/run"}), false), Some(EffectKind::Conflict));
        assert_eq!(kind(json!({"status": "scheduled"}), false), Some(EffectKind::Refused));
        assert_eq!(kind(json!({"status": "scheduled"}), true), None);
        let cancelled = json!({"status": "completed", "completion_failure": "[409] Cancelled"});
        assert_eq!(kind(cancelled, false), Some(EffectKind::AlreadySo));
    }

    #[test]
    fn what_a_cancelled_item_became_is_not_taken_for_its_removal() {
        let kind = |extra| became(Some(&row(extra)), false).map(|(kind, _)| kind);
        assert_eq!(kind(json!({})), None, "it goes on");
        let cancelled = json!({"status": "completed", "completion_failure": "[409] Cancelled"});
        assert_eq!(kind(cancelled), Some(EffectKind::Applied));
        assert_eq!(kind(json!({"status": "completed"})), Some(EffectKind::Conflict));
        assert_eq!(became(None, true).map(|(kind, _)| kind), Some(EffectKind::Applied));
        assert_eq!(became(None, false).map(|(kind, _)| kind), Some(EffectKind::Conflict));
    }
}
