//! Operators' changes to the queue: taking out, putting back, driving again, pausing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bus::Event;
use super::health::STUCK_AGE;
use super::intake::stops;
use super::runtime::Runtime;
use super::store::approvals::id_of;
use super::store::dead::{self, Restored};
use super::store::{StoreError, journal, query, workflows};
use crate::engine::queue::{Item, Seq};
use crate::engine::slow_start::SlowStart;
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::effects::{answer, applied, belongs_to, effect, summed, who};
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{
    ActionStatus, ChangeAnswer, ClearRequest, EffectKind, ErrorCode, IdsRequest, ItemEffect, Pause, PauseRequest,
    PauseScope, Platform, Time,
};

/// Items changed per transaction, so that work comes between.
const CHUNK: usize = 500;
/// Between two workers joining in a slow start.
const SLOW_START_STEP: Duration = Duration::from_secs(5);

impl Runtime {
    /// Takes one item out.
    pub(super) async fn remove_item(&self, id: &str, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let named = id.to_owned();
        let (found, owner) =
            self.store.read(move |conn| Ok((query::seq_of(conn, &named)?, query::owner(conn, &named)?))).await?;
        let (seq, version) = found.ok_or_else(|| Refusal::not_found(format!("action `{id}`")))?;
        if let Some(workflow) = owner {
            return Err(Refusal::new(ErrorCode::Conflict, format!("action {id} {}", belongs_to(&workflow))));
        }
        if cx.if_version.is_some_and(|seen| seen != version) {
            return Err(Refusal::new(
                ErrorCode::Conflict,
                format!("action {id} moved meanwhile: it is at version {version}"),
            ));
        }
        let taken = {
            let mut core = self.core();
            if core.running.contains_key(&seq) {
                let hint = "wait until it ends, or pause the queue and restart the workers to have it handed back";
                return Err(Refusal::new(ErrorCode::Conflict, format!("action {id} is executing; {hint}")));
            }
            core.queue.remove(seq)
        };
        match taken {
            Some(item) => {
                self.bury(vec![item], &who(cx)).await?;
                self.log_change(format!("Removed from the queue: {id}"), cx);
                Ok(answer(EffectKind::Applied, format!("action {id} is out of the queue; it can be restored"), vec![]))
            }
            None => {
                let owned = id.to_owned();
                let record = self.store.read(move |conn| query::action(conn, &owned)).await?;
                match record.map(|record| record.status) {
                    Some(ActionStatus::Removed) => {
                        Ok(answer(EffectKind::AlreadySo, format!("action {id} is out of the queue already"), vec![]))
                    }
                    Some(ActionStatus::Pending) => {
                        let words = format!("action {id} waits for approval {}: reject that instead", id_of(id));
                        Err(Refusal::new(ErrorCode::Conflict, words))
                    }
                    Some(status) => {
                        Err(Refusal::new(ErrorCode::Conflict, format!("action {id} is {status}, it no longer waits")))
                    }
                    None => Err(Refusal::not_found(format!("action `{id}`"))),
                }
            }
        }
    }

    /// Takes many items out.
    pub(super) async fn clear_items(&self, request: ClearRequest, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let mut effects = Vec::new();
        let named: Option<HashMap<Seq, String>> = match &request.ids {
            None => None,
            Some(ids) => {
                let wanted = ids.clone();
                let found = self
                    .store
                    .read(move |conn| {
                        wanted
                            .into_iter()
                            .map(|id| Ok((query::seq_of(conn, &id)?.map(|(seq, _)| seq), id)))
                            .collect::<Result<Vec<_>, StoreError>>()
                    })
                    .await?;
                let mut named = HashMap::new();
                for (seq, id) in found {
                    match seq {
                        Some(seq) => _ = named.insert(seq, id),
                        None => effects.push(effect(id, EffectKind::NotFound, None)),
                    }
                }
                Some(named)
            }
        };
        let age = request.older_than.map_or(STUCK_AGE, Duration::from_millis);
        let before = self.now().minus(age);
        let (taken, of_workflows): (Vec<Item>, Vec<Item>) = {
            let mut core = self.core();
            let fits = |item: &&Item| {
                (!request.stuck_only || item.queued_at < before)
                    && named.as_ref().is_none_or(|named| named.contains_key(&item.seq))
            };
            let (of_workflows, free): (Vec<Item>, Vec<Item>) =
                core.queue.iter().filter(fits).copied().partition(|item| item.owned);
            (free.into_iter().filter_map(|item| core.queue.remove(item.seq)).collect(), of_workflows)
        };
        if let Some(mut left) = named {
            for item in taken.iter().chain(&of_workflows) {
                left.remove(&item.seq);
            }
            let left: Vec<String> = left.into_values().collect();
            effects.extend(self.not_taken(left).await?);
        }
        let removed = self.bury(taken, &who(cx)).await?;
        let count = removed.len();
        effects.extend(removed.into_iter().map(|id| effect(id, EffectKind::Applied, None)));
        self.log_change(format!("Queue cleared: {count} items"), cx);
        let mut message = match count {
            0 => "nothing was taken out".to_owned(),
            _ => format!("{count} items are out of the queue; they can be restored"),
        };
        if !of_workflows.is_empty() {
            let count = of_workflows.len();
            message.push_str(&format!("; {count} items of workflows were left alone, their workflows end them"));
        }
        Ok(summed(effects, message))
    }

    /// What is said of items that do not wait.
    async fn not_taken(&self, ids: Vec<String>) -> Result<Vec<ItemEffect>, Refusal> {
        let read = self.store.read(move |conn| {
            let each = ids.into_iter().map(|id| Ok((query::action(conn, &id)?.map(|record| record.status), id)));
            each.collect::<Result<Vec<_>, StoreError>>()
        });
        let words = "it no longer waits, or not long enough";
        let of = |(status, id)| match status {
            Some(ActionStatus::Removed) => effect(id, EffectKind::AlreadySo, None),
            _ => effect(id, EffectKind::Conflict, Some(words.into())),
        };
        Ok(read.await?.into_iter().map(of).collect())
    }

    /// Moves items that were taken from the index to the dead letters; what the disk refuses waits again.
    async fn bury(&self, items: Vec<Item>, by: &str) -> Result<Vec<String>, Refusal> {
        let now = self.now();
        let mut ids = Vec::with_capacity(items.len());
        let mut chunks = items.chunks(CHUNK);
        while let Some(chunk) = chunks.next() {
            let seqs: Vec<Seq> = chunk.iter().map(|item| item.seq).collect();
            let by = by.to_owned();
            match self.store.write(move |conn| dead::remove(conn, &seqs, &by, now)).await {
                Ok(removed) => ids.extend(removed.into_iter().flatten()),
                Err(error) => {
                    let mut core = self.core();
                    chunk.iter().chain(chunks.flatten()).for_each(|item| core.queue.push(*item));
                    drop(core);
                    self.pump();
                    return Err(error.into());
                }
            }
        }
        Ok(ids)
    }

    /// Puts removed items back where they were.
    pub(super) async fn restore_items(&self, request: IdsRequest, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let now = self.now();
        let expires = now + self.config.effective().idempotency_ttl;
        let effects = self.bring_back(request.ids, move |conn, id, _| dead::restore(conn, id, expires, now)).await?;
        let count = applied(&effects);
        self.log_change(format!("Restored to the queue: {count} items"), cx);
        Ok(summed(effects, format!("{count} items wait again")))
    }

    /// Drives failed items again, paced.
    pub(super) async fn retry_items(&self, request: IdsRequest, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let now = self.now();
        let settings = self.config.effective();
        let expires = now + settings.idempotency_ttl;
        let paces: BTreeMap<Platform, Duration> = Platform::ALL
            .iter()
            .map(|platform| {
                let limit = settings.platform(*platform).rate_limit;
                let own = limit.window / limit.limit.max(1);
                (*platform, request.per_second.map_or(own, |n| Duration::from_secs(1) / n.max(1)))
            })
            .collect();
        let known = request.ids.clone();
        let platforms: HashMap<String, Platform> = self
            .store
            .read(move |conn| {
                let mut platforms = HashMap::new();
                for id in known {
                    if let Some(record) = query::action(conn, &id)? {
                        platforms.insert(id, record.platform);
                    }
                }
                Ok(platforms)
            })
            .await?;
        let (mut turns, mut dues) = (BTreeMap::new(), HashMap::new());
        for id in &request.ids {
            let Some(platform) = platforms.get(id) else { continue };
            let turn: &mut u32 =
                turns.entry(if request.per_second.is_some() { None } else { Some(*platform) }).or_default();
            if *turn > 0 {
                dues.insert(id.clone(), now + paces[platform] * *turn);
            }
            *turn += 1;
        }
        let effects = self
            .bring_back(request.ids, move |conn, id, _| dead::retry(conn, id, dues.get(id).copied(), expires, now))
            .await?;
        let count = applied(&effects);
        self.log_change(format!("Driven again: {count} failed items"), cx);
        Ok(summed(effects, format!("{count} items wait again, paced")))
    }

    /// Brings items back in chunks; each is on disk and in the index before the next chunk.
    async fn bring_back(
        &self,
        ids: Vec<String>,
        op: impl Fn(&rusqlite::Connection, &str, usize) -> Result<Restored, StoreError> + Send + Sync + 'static,
    ) -> Result<Vec<ItemEffect>, Refusal> {
        let op = std::sync::Arc::new(op);
        let mut effects = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let (chunk, op) = (chunk.to_vec(), std::sync::Arc::clone(&op));
            let (done, result) = tokio::sync::oneshot::channel();
            let weak = self.weak();
            self.store.writer().send(
                move |conn| {
                    let each = chunk.into_iter().enumerate().map(|(n, id)| Ok((op(conn, &id, n)?, id)));
                    each.collect::<Result<Vec<_>, StoreError>>()
                },
                move |outcome| {
                    // In the index before anybody is told, even if the caller has gone.
                    if let (Ok(restored), Some(this)) = (&outcome, weak.upgrade()) {
                        let mut core = this.core();
                        for (restored, _) in restored {
                            if let Restored::Back(item) = restored {
                                core.queue.push(**item);
                            }
                        }
                        drop(core);
                        this.pump();
                    }
                    let _ = done.send(outcome);
                },
            );
            let restored = result.await.unwrap_or(Err(StoreError::Closed))?;
            effects.extend(restored.into_iter().map(|(restored, id)| match restored {
                Restored::Back(_) => effect(id, EffectKind::Applied, None),
                Restored::AlreadySo => effect(id, EffectKind::AlreadySo, Some("it waits or runs already".into())),
                Restored::NotFound => effect(id, EffectKind::NotFound, None),
                Restored::Conflict(why) => effect(id, EffectKind::Conflict, Some(why)),
            }));
        }
        Ok(effects)
    }

    /// Sets a pause; the first owner keeps it.
    pub(super) async fn set_pause(&self, scope: PauseScope, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let pause = Pause { scope, owner: who(cx), reason: cx.reason.clone(), since: self.now() };
        {
            let mut core = self.core();
            if let Some(held) = core.pauses.iter().find(|held| held.scope == scope) {
                let message = format!("paused already by {} since {}", held.owner, held.since);
                return Ok(answer(EffectKind::AlreadySo, message, vec![]));
            }
            // The brake holds at once; it is kept right after.
            core.pauses.push(pause.clone());
        }
        let kept = pause.clone();
        let written = self.store.write(move |conn| journal::pause(conn, &kept)).await;
        self.bus.publish(Event::Paused(pause));
        let running = self.core().running.len();
        let mut message = format!("paused: {}; {running} actions in flight finish", stops(scope));
        if let Err(error) = written {
            message = format!("{message}; it does not outlast a restart of the service: {error}");
        }
        Ok(answer(EffectKind::Applied, message, vec![]))
    }

    /// Ends pauses. Resuming `all` ends both.
    pub(super) async fn end_pause(&self, request: PauseRequest, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        let scopes: Vec<PauseScope> = match request.scope {
            PauseScope::All => PauseScope::ALL.to_vec(),
            PauseScope::Queue => vec![PauseScope::Queue],
        };
        let held: Vec<Pause> =
            self.core().pauses.iter().filter(|pause| scopes.contains(&pause.scope)).cloned().collect();
        if held.is_empty() {
            let left =
                self.core().pauses.first().map(|pause| format!("; {} is still paused by {}", pause.scope, pause.owner));
            return Ok(answer(EffectKind::AlreadySo, format!("not paused{}", left.unwrap_or_default()), vec![]));
        }
        let ended = scopes.clone();
        let clocks = self.paused_time(&held);
        self.store
            .write(move |conn| {
                if let Some((since, until)) = clocks {
                    workflows::shift_clocks(conn, since, until)?;
                }
                journal::resume(conn, &ended)
            })
            .await?;
        // Looked at again: what is due has moved.
        self.next_deadline.store(i64::MIN, Ordering::Relaxed);
        let still = {
            let mut core = self.core();
            core.pauses.retain(|pause| !scopes.contains(&pause.scope));
            if request.slow_start {
                core.slow_start = Some(SlowStart::new(self.now(), SLOW_START_STEP));
            }
            core.pauses.first().cloned()
        };
        self.bus.publish(Event::Resumed(request.scope, who(cx)));
        self.pump();
        let mut message = format!(
            "resumed: {}",
            held.iter()
                .map(|p| format!("{} (paused by {} since {})", p.scope, p.owner, p.since))
                .collect::<Vec<_>>()
                .join(", ")
        );
        if request.slow_start {
            message.push_str(&format!("; starting with one worker, one more every {}s", SLOW_START_STEP.as_secs()));
        }
        if let Some(still) = still {
            message.push_str(&format!("; still paused: {} by {}", still.scope, still.owner));
        }
        Ok(answer(EffectKind::Applied, message, vec![]))
    }

    /// The time in which these pauses alone held the queue, before they end: it does not count for workflows.
    fn paused_time(&self, ending: &[Pause]) -> Option<(Time, Time)> {
        let core = self.core();
        let still = core.pauses.iter().filter(|pause| !ending.contains(pause)).map(|pause| pause.since).min();
        let (since, until) = (ending.iter().map(|pause| pause.since).min()?, still.unwrap_or(self.now()));
        (since < until).then_some((since, until))
    }

    pub(super) fn log_change(&self, words: String, cx: &ChangeContext) {
        let line = LogLine::info(Part::Queue, words).field("by", who(cx)).field("reason", cx.reason.clone());
        self.telemetry.log(line.request(Some(cx.request_id.clone())));
    }
}

/// The moment before which a waiting item counts as stuck.
pub(super) fn stuck_before(now: Time, older_than: Option<u64>) -> Time {
    now.minus(older_than.map_or(STUCK_AGE, Duration::from_millis))
}
