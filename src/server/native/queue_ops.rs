//! Actions and the queue as the routes know them.

use super::changes::stuck_before;
use super::runtime::Runtime;
use super::store::{Dead, query};
use crate::engine::queue::{Item, Seq};
use crate::server::backend::{Answer, ChangeContext, QueueOps, Refusal};
use crate::wire::*;

/// Items listed by priority at most.
const LISTED: usize = 1000;
/// Items of a view unless the caller says otherwise.
const PAGE: u64 = 1000;
/// A call's time for estimates, before any was measured.
const GUESS_MS: u64 = 200;

impl QueueOps for Runtime {
    fn submit<'a>(&'a self, actions: Vec<ActionRequest>, _cx: &'a ChangeContext) -> Answer<'a, SubmitAnswer> {
        Box::pin(self.accept(actions))
    }

    fn actions(&self, filter: ActionFilter) -> Answer<'_, RecentActions> {
        Box::pin(async move {
            let (limit, offset) = (filter.limit, filter.offset);
            let (actions, total) = self.store.read(move |conn| query::actions(conn, &filter)).await?;
            Ok(RecentActions { actions, total, limit, offset })
        })
    }

    fn action<'a>(&'a self, id: &'a str) -> Answer<'a, ActionRecord> {
        Box::pin(async move {
            let owned = id.to_owned();
            let found = self.store.read(move |conn| query::action(conn, &owned)).await?;
            found.ok_or_else(|| Refusal::not_found(format!("action `{id}`")))
        })
    }

    fn patterns(&self, filter: ActionFilter) -> Answer<'_, ActionPatterns> {
        Box::pin(async move { Ok(self.store.read(move |conn| query::patterns(conn, &filter)).await?) })
    }

    fn status(&self) -> Answer<'_, QueueStatus> {
        Box::pin(std::future::ready(Ok(self.queue_status())))
    }

    fn listing(&self) -> Answer<'_, QueueListing> {
        Box::pin(async move {
            let status = self.queue_status();
            let (items, workers) = {
                let core = self.core();
                let mut counts = [0; Priority::ALL.len()];
                let mut items: Vec<(Item, u64)> = Vec::new();
                for item in core.queue.iter() {
                    let count = &mut counts[item.priority as usize];
                    if *count < LISTED {
                        *count += 1;
                        let mean = core.post(item.target()).executor.avg_response_ms();
                        items.push((*item, if mean == 0 { GUESS_MS } else { mean }));
                    }
                }
                // What runs first comes first in the estimate.
                items.sort_by_key(|(item, _)| (item.priority, item.seq));
                (items, core.settings.queue_workers.max(1) as u64)
            };
            let seqs: Vec<Seq> = items.iter().map(|(item, _)| item.seq).collect();
            let names = self.store.read(move |conn| query::ids(conn, &seqs)).await?;
            let mut names = names.into_iter().peekable();
            let (mut queues, mut ahead_ms, now) = (Queues::default(), 0_u64, self.now());
            for (item, mean) in items {
                // What went meanwhile has no name any more.
                let Some((_, action_id, action_type)) = names.next_if(|(seq, ..)| *seq == item.seq) else { continue };
                let due = item.due.map_or(0, |due| due.since(now).as_millis());
                let due = u64::try_from(due).unwrap_or(u64::MAX);
                let entry = QueuedAction {
                    action_id,
                    action_type,
                    platform: item.platform,
                    queued_at: item.queued_at,
                    estimated_wait: due.max(ahead_ms / workers),
                };
                ahead_ms += mean;
                match item.priority {
                    Priority::Critical => queues.critical.push(entry),
                    Priority::High => queues.high.push(entry),
                    Priority::Normal => queues.normal.push(entry),
                    Priority::Low => queues.low.push(entry),
                }
            }
            let stats = QueueStats {
                total_queued: status.total_queued,
                avg_wait_time: status.avg_wait_time,
                worker_utilization: status.worker_utilization,
            };
            Ok(QueueListing { queues, stats })
        })
    }

    fn items(&self, filter: QueueFilter) -> Answer<'_, QueueItems> {
        Box::pin(async move {
            let dead = match filter.view {
                QueueView::Failed => Some(Dead::Failed),
                QueueView::Removed => Some(Dead::Removed),
                QueueView::Queued | QueueView::Stuck | QueueView::Executing => None,
            };
            let (items, total) = match dead {
                Some(dead) => {
                    let filter = QueueFilter { limit: filter.limit.or(Some(PAGE)), ..filter };
                    self.store.read(move |conn| query::dead(conn, dead, &filter)).await?
                }
                None => self.live_items(&filter).await?,
            };
            let truncated = (items.len() as u64) < total;
            Ok(QueueItems { items, total, truncated })
        })
    }

    fn item<'a>(&'a self, id: &'a str) -> Answer<'a, QueueItem> {
        Box::pin(async move {
            let owned = id.to_owned();
            let found = self.store.read(move |conn| query::queued(conn, &owned)).await?;
            let (seq, mut item) = found.ok_or_else(|| Refusal::not_found(format!("action `{id}`")))?;
            let record = if item.state == QueueView::Failed { self.action(id).await.ok() } else { None };
            if record.is_some_and(|record| record.status == ActionStatus::Success) {
                return Err(Refusal::not_found(format!("item `{id}` in the queue: the action is done")));
            }
            self.explain(seq, &mut item);
            Ok(item)
        })
    }

    fn requests(&self, limit: u64) -> Answer<'_, WaitingRequests> {
        Box::pin(async move {
            let requests = self.store.read(move |conn| query::requests(conn, limit)).await?;
            Ok(WaitingRequests { requests, waiting: self.core().queue.len() })
        })
    }

    fn put_in<'a>(&'a self, actions: Vec<WaitingRequest>, cx: &'a ChangeContext) -> Answer<'a, Vec<ImportedItem>> {
        Box::pin(self.take_over(actions, cx))
    }

    fn remove<'a>(&'a self, id: &'a str, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.remove_item(id, cx))
    }

    fn clear<'a>(&'a self, request: ClearRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.clear_items(request, cx))
    }

    fn restore<'a>(&'a self, request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.restore_items(request, cx))
    }

    fn retry<'a>(&'a self, request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.retry_items(request, cx))
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        Box::pin(std::future::ready(Ok(self.core().pauses.clone())))
    }

    fn pause<'a>(&'a self, scope: PauseScope, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.set_pause(scope, cx))
    }

    fn resume<'a>(&'a self, request: PauseRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.end_pause(request, cx))
    }
}

impl Runtime {
    async fn live_items(&self, filter: &QueueFilter) -> Result<(Vec<QueueItem>, u64), Refusal> {
        let now = self.now();
        let limit = usize::try_from(filter.limit.unwrap_or(PAGE)).unwrap_or(usize::MAX);
        let (seqs, total) = {
            let core = self.core();
            let fits = |item: &Item| {
                filter.platform.is_none_or(|platform| item.platform == platform)
                    && filter.since.is_none_or(|since| item.queued_at >= since)
            };
            let mut seqs: Vec<Seq> = match filter.view {
                QueueView::Executing => {
                    core.running.values().map(|r| &r.item).filter(|i| fits(i)).map(|i| i.seq).collect()
                }
                QueueView::Stuck => {
                    let before = stuck_before(now, filter.older_than);
                    core.queue.waiting_since_before(before).filter(|item| fits(item)).map(|item| item.seq).collect()
                }
                _ => core.queue.iter().filter(|item| fits(item)).map(|item| item.seq).collect(),
            };
            seqs.sort_unstable();
            let total = seqs.len() as u64;
            seqs.truncate(limit);
            (seqs, total)
        };
        let rows = self.store.read(move |conn| query::queued_many(conn, &seqs)).await?;
        let items = rows.into_iter().map(|(seq, mut item)| {
            self.explain(seq, &mut item);
            item
        });
        Ok((items.collect(), total))
    }

    /// Adds why an item waits.
    fn explain(&self, seq: Seq, item: &mut QueueItem) {
        let (core, now) = (self.core(), self.now());
        if let Some(waiting) = core.queue.get(seq) {
            item.waiting_for = Some(core.waiting_for(waiting, now));
            item.next_attempt_at = waiting.due.filter(|due| *due > now);
        }
    }
}
