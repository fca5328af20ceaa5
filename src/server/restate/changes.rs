//! Operators' changes to the queue: taking out, putting back, driving again. Each is sent in batches, then looked for until
//! it is seen; what is not seen in time is reported as accepted, never as done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::admin::{Repeat, list, quoted};
use super::invocation::{End, Invocation};
use super::queue::actions;
use super::{RestateBackend, unsupported};
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::effects::{answer, applied, belongs_to, effect, summed, who};
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{ChangeAnswer, ClearRequest, EffectKind, ErrorCode, IdsRequest, ItemEffect, QueueFilter, QueueView};

/// Most ids of one batch request; Restate refuses more.
const BATCH: usize = 1000;
/// What the journal has once a `run` ended: by the contract, the leave that comes before the write.
const LEAVE: &str = "Notification: Run";
/// What Restate says of a text that cannot be an id.
const NO_ID: &str = "non valid invocation id";
/// Most ids a clear without ids takes.
const CLEAR_MAX: u64 = 10_000;
/// Longest time a paced retry may take: its caller waits for it.
const PACED_MAX: Duration = Duration::from_secs(20);

impl RestateBackend {
    /// The actions among these ids.
    pub(super) async fn find_all(&self, ids: &[String]) -> Result<BTreeMap<String, Invocation>, Refusal> {
        let mut found = BTreeMap::new();
        let ids: Vec<&str> = ids.iter().map(String::as_str).filter(|id| is_id(id)).collect();
        let mut parts: Vec<&[&str]> = ids.chunks(BATCH).collect();
        let columns = if ids.is_empty() { String::new() } else { self.held().await?.columns() };
        while let Some(part) = parts.pop() {
            let wanted = list(part.iter().copied());
            let sql = format!("select {columns} from sys_invocation where id in ({wanted}) and {}", actions());
            match self.rows::<Invocation>(&sql).await {
                Ok(rows) => found.extend(rows.into_iter().map(|row| (row.id.clone(), row))),
                // One that only looks like an id spoils the whole query: it is alone in the end, and then it is nobody's.
                Err(refusal) if refusal.message.contains(NO_ID) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([left, right].into_iter().filter(|half| !half.is_empty() && part.len() > 1));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(found)
    }

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
        let found = self.find_all(&ids).await?;
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

    /// Cancels what waits, and looks until it is gone. `scheduled` says whether what Restate forgets is taken out too.
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
            found.extend(self.find_all(&running).await?);
        }
        let removed = found.values().filter(|row| row.end() == End::Removed).map(|row| row.id.clone());
        let again = self.restarts(&removed.collect::<Vec<_>>()).await?;
        let mut effects = Vec::with_capacity(ids.len());
        let mut sent: Vec<String> = Vec::new();
        for id in ids {
            let verdict = match found.get(&id) {
                None => Some((EffectKind::NotFound, None)),
                Some(_) if again.contains_key(&id) => Some((EffectKind::Conflict, Some(goes_on(&again[&id])))),
                Some(row) => not_removable(row, scheduled),
            };
            match verdict {
                Some((kind, why)) => effects.push(effect(id, kind, why)),
                None => sent.push(id),
            }
        }
        let mut waiting = self.cancel(&sent, &mut effects).await?;
        let (mut looks, mut cancelling) = (self.looks(), self.few_looks());
        while !waiting.is_empty() && looks.next().await {
            let ids: Vec<String> = waiting.iter().cloned().collect();
            let now = self.find_all(&ids).await?;
            for id in ids {
                let was_scheduled = found.get(&id).is_some_and(|row| row.status == "scheduled");
                if let Some((kind, why)) = became(now.get(&id), was_scheduled) {
                    waiting.remove(&id);
                    effects.push(effect(id, kind, why.map(str::to_owned)));
                }
            }
            // A worker takes a cancellation; with none up nobody would. An action has nothing to compensate.
            if cancelling.is_over() {
                cancelling = self.looks();
                let idle = |id: &&String| now.get(*id).is_some_and(|row| row.status != "running");
                let idle: Vec<&str> = waiting.iter().filter(idle).map(String::as_str).collect();
                for ids in idle.chunks(BATCH) {
                    let doubtful = self.may_have_been_sent(ids).await?;
                    let sure: Vec<&str> = ids.iter().copied().filter(|id| !doubtful.contains(*id)).collect();
                    self.admin.batch("kill", &sure, Repeat::Safe).await?;
                }
            }
        }
        effects.extend(
            waiting.into_iter().map(|id| effect(id, EffectKind::Accepted, Some(self.not_seen("that it is taken out")))),
        );
        Ok(effects)
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

    /// Asks for the end of these; gives those that will have to be looked for.
    async fn cancel(&self, ids: &[String], effects: &mut Vec<ItemEffect>) -> Result<BTreeSet<String>, Refusal> {
        let mut waiting: BTreeSet<String> = BTreeSet::new();
        for ids in ids.chunks(BATCH) {
            let names: Vec<&str> = ids.iter().map(String::as_str).collect();
            // Cancelling twice is cancelling once.
            let batch = self.admin.batch("cancel", &names, Repeat::Safe).await?;
            let refused: BTreeMap<String, String> =
                batch.failed.into_iter().map(|failed| (failed.invocation_id, failed.error)).collect();
            for id in ids {
                match refused.get(id) {
                    Some(why) => effects.push(effect(id.clone(), EffectKind::Conflict, Some(why.clone()))),
                    None => drop(waiting.insert(id.clone())),
                }
            }
        }
        Ok(waiting)
    }

    /// Runs removed items again, or failed ones: what Restate paused goes on, what ended starts as a new invocation.
    pub(super) async fn run_again(
        &self,
        request: IdsRequest,
        from: QueueView,
        cx: &ChangeContext,
    ) -> Result<ChangeAnswer, Refusal> {
        let IdsRequest { ids, per_second } = request;
        let pace = per_second.map_or(BATCH, |n| n as usize).min(BATCH);
        if per_second.is_some() && ids.len() / pace >= PACED_MAX.as_secs() as usize {
            return Err(unsupported(format!(
                "{} items at {pace} a second take longer than {} s, and Restate has no pace of its own: name fewer",
                ids.len(),
                PACED_MAX.as_secs()
            )));
        }
        let found = self.find_all(&ids).await?;
        let mut effects = Vec::with_capacity(ids.len());
        let (mut resumed, mut ended) = (Vec::new(), Vec::new());
        let already = self.restarts(&ids).await?;
        for id in ids {
            match found.get(&id) {
                None => effects.push(effect(id, EffectKind::NotFound, None)),
                Some(_) if already.contains_key(&id) => {
                    effects.push(effect(id.clone(), EffectKind::AlreadySo, Some(goes_on(&already[&id]))));
                }
                Some(row) if row.view() == Some(from) && row.status == "paused" => resumed.push(id),
                Some(row) if row.view() == Some(from) => ended.push(id),
                Some(row) => {
                    let is = row.view().map_or("done".to_owned(), |view| view.to_string());
                    effects.push(effect(id, EffectKind::Conflict, Some(format!("it is {is}, not {from}"))));
                }
            }
        }
        let mut first = true;
        for (operation, ids) in [("resume", resumed), ("restart-as-new", ended)] {
            for ids in ids.chunks(pace) {
                if !std::mem::take(&mut first) && per_second.is_some() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                effects.extend(self.drive(operation, ids).await?);
            }
        }
        let (done, all) = (applied(&effects), effects.len());
        let words = match from {
            QueueView::Removed => format!("{done} of {all} items wait again, under new ids"),
            _ => format!("{done} of {all} items were driven again"),
        };
        self.log_change(&words, cx);
        Ok(summed(effects, words))
    }

    /// One batch that is driven again, and looked for.
    async fn drive(&self, operation: &str, ids: &[String]) -> Result<Vec<ItemEffect>, Refusal> {
        let (mut before, mut _turn) = (BTreeMap::new(), None);
        if operation != "resume" {
            _turn = Some(self.queue_turn.lock().await);
            before = self.restarts(ids).await?;
        }
        let names: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !before.contains_key(*id)).collect();
        let repeat = if operation == "resume" { Repeat::Safe } else { Repeat::Never };
        let batch = self.admin.batch(operation, &names, repeat).await?;
        let refused: BTreeMap<String, String> =
            batch.failed.into_iter().map(|failed| (failed.invocation_id, failed.error)).collect();
        let sent: Vec<String> = ids.iter().filter(|id| !refused.contains_key(*id)).cloned().collect();
        let moved = self
            .seen(|| async {
                let moved: BTreeMap<String, Option<String>> = match operation {
                    "resume" => {
                        let now = self.find_all(&sent).await?;
                        let goes_on = |row: &Invocation| row.status != "paused";
                        now.into_iter().filter(|(_, row)| goes_on(row)).map(|(id, _)| (id, None)).collect()
                    }
                    _ => self.restarts(&sent).await?.into_iter().map(|(old, new)| (old, Some(new))).collect(),
                };
                Ok((moved.len() == sent.len()).then_some(moved))
            })
            .await?
            .unwrap_or_default();
        let of = |id: &String| match (refused.get(id), moved.get(id)) {
            // Somebody else was faster.
            _ if before.contains_key(id) => effect(id.clone(), EffectKind::AlreadySo, Some(goes_on(&before[id]))),
            (Some(why), _) => effect(id.clone(), EffectKind::Conflict, Some(why.clone())),
            (_, Some(new)) => effect(id.clone(), EffectKind::Applied, new.as_ref().map(goes_on)),
            _ => effect(id.clone(), EffectKind::Accepted, Some("Restate accepted it; not yet seen".into())),
        };
        Ok(ids.iter().map(of).collect())
    }

    /// What these ids run again as.
    async fn restarts(&self, ids: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
            restarted_from: String,
        }
        let mut found = BTreeMap::new();
        for ids in ids.chunks(BATCH) {
            let wanted = list(ids.iter().map(String::as_str));
            // Of several the one that counts comes last: it goes on, or it is the newest.
            let sql = format!(
                "select id, restarted_from from sys_invocation where restarted_from in ({wanted}) \
                 order by status <> 'completed', created_at"
            );
            found.extend(self.rows::<Row>(&sql).await?.into_iter().map(|row| (row.restarted_from, row.id)));
        }
        Ok(found)
    }

    /// What these ids are by now: themselves, or what they were last run again as.
    pub(super) async fn newest(&self, ids: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
        let mut newest: BTreeMap<String, String> = ids.iter().map(|id| (id.clone(), id.clone())).collect();
        let mut open = ids.to_vec();
        while !open.is_empty() {
            let again = self.restarts(&open).await?;
            for last in newest.values_mut() {
                if let Some(next) = again.get(last) {
                    last.clone_from(next);
                }
            }
            open = again.into_values().collect();
        }
        Ok(newest)
    }

    /// Makes what backs off with these words in its last failure be tried at once.
    pub(super) async fn nudge(&self, words: &str, whose: &str) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
        }
        let pattern = quoted(&format!("%{words}%"));
        let sql = format!(
            "select id from sys_invocation where status = 'backing-off' and last_failure like {pattern} and {whose}"
        );
        let held: Vec<Row> = self.rows(&sql).await?;
        for ids in held.chunks(BATCH) {
            let ids: Vec<&str> = ids.iter().map(|row| row.id.as_str()).collect();
            // One that went on by itself meanwhile is refused, and that is fine.
            self.admin.batch("resume", &ids, Repeat::Safe).await?;
        }
        Ok(())
    }

    pub(super) fn log_change(&self, words: &str, cx: &ChangeContext) {
        let line = LogLine::info(Part::Queue, words).field("by", who(cx)).field("reason", cx.reason.clone());
        self.telemetry.log(line.request(Some(cx.request_id.clone())));
    }
}

fn goes_on(new: impl std::fmt::Display) -> String {
    format!("goes on as {new}")
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

/// Whether a text has the shape of an invocation's id; Restate refuses a query that names another.
fn is_id(text: &str) -> bool {
    let rest = text.strip_prefix("inv_1");
    rest.is_some_and(|rest| rest.len() == 33 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
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

    #[test]
    fn ids_are_told_from_other_texts() {
        assert!(is_id("inv_1bTz3BmNHTvS1Nn1TlhLcbNBt1xA63sGqT"));
        for text in
            ["inv_1nobody", "", "inv_1bTz3BmNHTvS1Nn1TlhLcbNBt1xA63sGq'", "0198f2a1-7c1e-7a52-9b1f-5a579d0e3f6a"]
        {
            assert!(!is_id(text), "{text}");
        }
    }
}
