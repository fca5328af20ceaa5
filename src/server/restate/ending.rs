//! Ending what is taken out of the queue, and looking what became of it.
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
use super::changes::{AT_ONCE, BATCH};
use super::invocation::{End, Held, Invocation, REMOVED};
use super::removing::{BRIEFLY, STATUS, UNSENT};
use crate::server::backend::Refusal;
use crate::server::effects::effect;
use crate::wire::{EffectKind, ItemEffect};

/// What the journal has once a `run` ended: by the contract, the leave that comes before the write.
const LEAVE: &str = "Notification: Run";
/// Said of what turned out to have had leave.
const HAD_LEAVE: &str = "was killed when it had leave to write already: it may have been made, look at the platform";

/// What is being taken out.
#[derive(Default)]
pub(super) struct Ending {
    /// Killed: a closed gate holds them.
    pub held: BTreeSet<String>,
    /// Cancelled, and killed when they are not being tried.
    pub cancelled: BTreeSet<String>,
    /// Those of them that were meant for later.
    pub scheduled: BTreeSet<String>,
}

impl RestateBackend {
    /// Ends these, which wait, and looks what became of them.
    pub(super) async fn end_all(
        &self,
        Ending { held, cancelled, scheduled }: Ending,
    ) -> Result<Vec<ItemEffect>, Refusal> {
        let (mut effects, others) = try_join(self.end_held(held), self.end_others(cancelled, &scheduled)).await?;
        effects.extend(others);
        Ok(effects)
    }

    async fn end_held(&self, held: BTreeSet<String>) -> Result<Vec<ItemEffect>, Refusal> {
        let refused = self.end("kill", &held).await?;
        let out = format!("status = 'completed' and {REMOVED} and {UNSENT}");
        let out = self.parts_of_only(&out, held.iter().map(String::as_str).collect()).await?;
        let doubtful: BTreeSet<String> = held.difference(&out).cloned().collect();
        let mut effects: Vec<ItemEffect> = out.into_iter().map(|id| effect(id, EffectKind::Applied, None)).collect();
        effects.extend(self.see_ended(doubtful, refused, true, &BTreeSet::new()).await?);
        Ok(effects)
    }

    async fn end_others(
        &self,
        ids: BTreeSet<String>,
        scheduled: &BTreeSet<String>,
    ) -> Result<Vec<ItemEffect>, Refusal> {
        let refused = self.end("cancel", &ids).await?;
        self.see_ended(ids, refused, false, scheduled).await
    }

    /// Looks what becomes of these, which were killed or else cancelled, until that is known; kills what nobody tries.
    async fn see_ended(
        &self,
        mut waiting: BTreeSet<String>,
        refused: BTreeMap<String, String>,
        held: bool,
        scheduled: &BTreeSet<String>,
    ) -> Result<Vec<ItemEffect>, Refusal> {
        let mut effects = Vec::with_capacity(waiting.len());
        let mut killed = if held { waiting.clone() } else { BTreeSet::new() };
        let mut looks = self.looks();
        while !waiting.is_empty() && looks.next().await {
            let ids: Vec<String> = waiting.iter().cloned().collect();
            let now = match held {
                true => self.find_in(STATUS, BRIEFLY, &ids).await?,
                false => self.find_briefly(&ids, Held::default(), &self.tried().await?).await?,
            };
            let had_leave = self.had_leave(now.values().filter(|row| killed.contains(&row.id)), held).await?;
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

    /// Which of these, now that they were killed, had leave to write before. `held` says that they were not cancelled.
    async fn had_leave<'a>(
        &self,
        killed: impl Iterator<Item = &'a Invocation>,
        held: bool,
    ) -> Result<BTreeSet<String>, Refusal> {
        // The one notification of what was cancelled is the cancellation; what others are the journal says.
        let least = Some(u64::from(!held));
        let more = killed.filter(|row| row.end() == End::Removed && row.notifications() != least);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::invocation::tests::row;
    use super::*;

    #[test]
    fn what_a_cancelled_item_became_is_not_taken_for_its_removal() {
        let kind = |extra| became(Some(&row(extra)), false).map(|(kind, _)| kind);
        assert_eq!(kind(json!({"status": "backing-off"})), None, "it goes on");
        let cancelled = json!({"status": "completed", "completion_failure": "[409] Cancelled"});
        assert_eq!(kind(cancelled), Some(EffectKind::Applied));
        assert_eq!(kind(json!({"status": "completed"})), Some(EffectKind::Conflict));
        assert_eq!(became(None, true).map(|(kind, _)| kind), Some(EffectKind::Applied));
        assert_eq!(became(None, false).map(|(kind, _)| kind), Some(EffectKind::Conflict));
    }
}
