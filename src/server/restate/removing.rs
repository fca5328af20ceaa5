//! Taking items out of the queue. Who may be writing is left alone or says what came of it; nobody else is waited for.
//!
//! Everything is cancelled first. Restate answers that once it is in the journal, where each later try finds it before it gets
//! as far as a write; what is not being tried after that, and never had leave to write, is killed. What is being tried, if
//! only at a closed gate, is not: its service would go on, and find the gate open a moment later. What had leave is a
//! worker's to tell.
//!
//! What was killed is looked at once more: that shows all that came before the kill, while what was seen earlier may have
//! been a little old, from a node that just took over. Only what still shows no leave is said to be out.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;

use super::RestateBackend;
use super::admin::{Batch, Repeat, list};
use super::changes::{AT_ONCE, BATCH, goes_on};
use super::invocation::{End, Held, Invocation};
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
/// Said of what turned out to have had leave.
const HAD_LEAVE: &str = "was killed when it had leave to write already: it may have been made, look at the platform";
/// Most ids a clear without ids takes.
const CLEAR_MAX: u64 = 10_000;

impl RestateBackend {
    pub(super) async fn remove_item(&self, id: &str, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let _turn = self.queue_turn.lock().await;
        let row = self.find(id).await?;
        if cx.if_version.is_some_and(|seen| seen != row.version()) {
            let words = format!("action {id} moved meanwhile: it is {} now", row.status);
            return Err(Refusal::new(ErrorCode::Conflict, words));
        }
        let scheduled = row.status == "scheduled";
        let mut effects = self.take_out(vec![id.to_owned()], BTreeMap::from([(row.id.clone(), row)]), true).await?;
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
        let found = self.find_briefly(&ids, self.held().await?).await?;
        let effects = self.take_out(ids, found, false).await?;
        let words =
            format!("{} of {} items are out of the queue; they can be restored", applied(&effects), effects.len());
        self.log_change(&words, cx);
        Ok(summed(effects, words))
    }

    async fn items_of(&self, filter: QueueFilter) -> Result<Vec<String>, Refusal> {
        use crate::server::backend::QueueOps;
        Ok(self.items(filter).await?.items.into_iter().map(|item| item.action_id).collect())
    }

    /// The actions among these ids, as far as taking them out needs it. What is being tried is looked at before the journals:
    /// what was not, and had no leave, has none from a try that is over either.
    async fn find_briefly(&self, ids: &[String], held: Held) -> Result<BTreeMap<String, Invocation>, Refusal> {
        #[derive(Deserialize)]
        struct Tried {
            id: String,
            #[serde(default)]
            last_start_at: Option<Time>,
        }
        let tried = "select id, last_start_at from sys_invocation_state where in_flight = true";
        let tried: BTreeMap<String, Option<Time>> =
            self.rows::<Tried>(tried).await?.into_iter().map(|row| (row.id, row.last_start_at)).collect();
        let mut found = self.find_in(STATUS, BRIEFLY, ids).await?;
        for row in found.values_mut().filter(|row| row.status == "invoked") {
            if let Some(since) = tried.get(&row.id) {
                row.status = held.trying(*since).to_owned();
            }
        }
        Ok(found)
    }

    /// Takes out what waits, and looks until it is gone. `scheduled` says whether what Restate forgets is taken out too.
    async fn take_out(
        &self,
        ids: Vec<String>,
        mut found: BTreeMap<String, Invocation>,
        scheduled: bool,
    ) -> Result<Vec<ItemEffect>, Refusal> {
        // A try that a circuit refuses ends in a moment, and then the item waits again.
        let mut looks = self.few_looks();
        while looks.next().await {
            let running = |row: &&Invocation| row.view() == Some(QueueView::Executing);
            let running: Vec<String> = found.values().filter(running).map(|row| row.id.clone()).collect();
            if running.is_empty() {
                break;
            }
            found.extend(self.find_briefly(&running, self.held().await?).await?);
        }
        let removed = found.values().filter(|row| row.end() == End::Removed).map(|row| row.id.clone());
        let again = self.restarts(&removed.collect::<Vec<_>>()).await?;
        let mut effects = Vec::with_capacity(ids.len());
        let mut sent: Vec<String> = Vec::new();
        for id in ids {
            match found.get(&id).map(|row| not_removable(row, scheduled)) {
                None => effects.push(effect(id, EffectKind::NotFound, None)),
                Some(_) if again.contains_key(&id) => {
                    let now = goes_on(&again[&id]);
                    effects.push(effect(id, EffectKind::Conflict, Some(now)));
                }
                Some(Some((kind, why))) => effects.push(effect(id, kind, why)),
                Some(None) => sent.push(id),
            }
        }
        let mut waiting: BTreeSet<String> = sent.iter().cloned().collect();
        let refused = self.end("cancel", &sent).await?;
        let mut killed: BTreeSet<String> = BTreeSet::new();
        let mut looks = self.looks();
        while !waiting.is_empty() && looks.next().await {
            let ids: Vec<String> = waiting.iter().cloned().collect();
            let now = match waiting.is_subset(&killed) {
                true => self.find_in(STATUS, BRIEFLY, &ids).await?,
                false => self.find_briefly(&ids, Held::default()).await?,
            };
            let had_leave = self.had_leave(&now, &killed).await?;
            for id in ids {
                let was_scheduled = found.get(&id).is_some_and(|row| row.status == "scheduled");
                let (kind, why) = match (became(now.get(&id), was_scheduled), refused.get(&id)) {
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
            let idle: Vec<&str> = waiting.iter().filter(idle).map(String::as_str).collect();
            let kill = self.never_sent(&idle, &now).await?;
            self.end("kill", &kill).await?;
            killed.extend(kill);
        }
        effects.extend(
            waiting.into_iter().map(|id| effect(id, EffectKind::Accepted, Some(self.not_seen("that it is taken out")))),
        );
        Ok(effects)
    }

    /// Which of these, now that they are killed, had leave to write before.
    async fn had_leave(
        &self,
        now: &BTreeMap<String, Invocation>,
        killed: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Refusal> {
        let ended = now.values().filter(|row| killed.contains(&row.id) && row.end() == End::Removed);
        let more = ended.filter(|row| !row.is_only_cancelled());
        let (kept, unkept): (Vec<_>, Vec<_>) = more.partition(|row| row.notifications().is_some());
        let mut had: BTreeSet<String> = unkept.into_iter().map(|row| row.id.clone()).collect();
        let kept: Vec<&str> = kept.into_iter().map(|row| row.id.as_str()).collect();
        for ids in kept.chunks(BATCH) {
            had.extend(self.may_have_been_sent(ids).await?);
        }
        Ok(had)
    }

    /// Those of these, which are cancelled and not being tried, that never had leave to write.
    async fn never_sent(&self, ids: &[&str], now: &BTreeMap<String, Invocation>) -> Result<Vec<String>, Refusal> {
        let only_cancelled = |id: &&str| now.get(*id).is_some_and(Invocation::is_only_cancelled);
        let (mut sure, unsure): (Vec<&str>, Vec<&str>) = ids.iter().copied().partition(only_cancelled);
        for ids in unsure.chunks(BATCH) {
            let doubtful = self.may_have_been_sent(ids).await?;
            sure.extend(ids.iter().copied().filter(|id| !doubtful.contains(*id)));
        }
        Ok(sure.into_iter().map(str::to_owned).collect())
    }

    /// Which of these had leave to write and have not said what came of it: only a worker, which looks, can tell.
    pub(super) async fn may_have_been_sent(&self, ids: &[&str]) -> Result<BTreeSet<String>, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
        }
        let wanted = list(ids.iter().copied());
        let sql = format!("select distinct id from sys_journal where id in ({wanted}) and entry_type = '{LEAVE}'");
        Ok(self.rows::<Row>(&sql).await?.into_iter().map(|row| row.id).collect())
    }

    /// Asks for the end of these, in batches side by side; gives why some were refused. One that was asked for twice, because
    /// the first answer was lost, may be among them: what became of it has to be looked for too.
    async fn end(&self, operation: &str, ids: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
        let parts: Vec<_> = ids.chunks(BATCH).map(|part| self.end_part(operation, part)).collect();
        let batches: Vec<Batch> = stream::iter(parts).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(batches.into_iter().flat_map(|batch| batch.failed).map(|no| (no.invocation_id, no.error)).collect())
    }

    async fn end_part(&self, operation: &str, ids: &[String]) -> Result<Batch, Refusal> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.admin.batch(operation, &ids, Repeat::Safe).await
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
