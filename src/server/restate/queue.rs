//! The queue: what the invocations of the contract's services are to the queue's verbs.

use serde::Deserialize;

use super::admin::{list, quoted};
use super::changes::{NO_ID, is_id};
use super::contract;
use super::invocation::{Held, Invocation, OF_ITEM, REMOVED};
use super::{RestateBackend, unsupported};
use crate::server::backend::{Answer, ChangeContext, QueueOps, Refusal};
use crate::wire::*;

/// Waiting longer than this is stuck, unless told otherwise.
const STUCK_MS: u64 = 600_000;
/// Items of a view unless the caller says otherwise.
const PAGE: u64 = 1000;
/// Runs again under another id, which takes its place.
const RESTARTED: &str = "id in (select restarted_from from sys_invocation where restarted_from is not null)";

/// Which invocations are actions.
pub(super) fn actions() -> String {
    let types = list(ActionType::ALL.iter().map(|kind| kind.as_str()));
    format!("target_service_name in ({}) and target_handler_name in ({types})", contract::services())
}

/// The condition for a view.
fn of_view(filter: &QueueFilter, now: Time, held: Held) -> String {
    let mut sql = actions();
    let mut and = |words: String| {
        sql.push_str(" and ");
        sql.push_str(&words);
    };
    if let Some(platform) = filter.platform {
        and(format!("target_service_name = '{}'", contract::service_of(platform)));
    }
    let mut since = "created_at";
    match filter.view {
        QueueView::Queued => and(held.waiting()),
        QueueView::Stuck => {
            let age = std::time::Duration::from_millis(filter.older_than.unwrap_or(STUCK_MS));
            and(held.waiting());
            and(format!("created_at < {}", moment(now.minus(age))));
            // What is meant for later is not stuck.
            and(format!("(status <> 'scheduled' or scheduled_start_at < {})", moment(now)));
        }
        QueueView::Executing => and(held.executing()),
        QueueView::Failed => {
            and(format!("(status = 'paused' or (completion_failure is not null and not ({REMOVED})))"));
            and(format!("not ({RESTARTED})"));
            since = "coalesce(completed_at, modified_at)";
        }
        QueueView::Removed => {
            and(REMOVED.into());
            and(format!("not ({RESTARTED})"));
            since = "completed_at";
        }
    }
    if let Some(from) = filter.since {
        and(format!("{since} >= {}", moment(from)));
    }
    sql
}

/// A moment in SQL.
pub(super) fn moment(at: Time) -> String {
    format!("to_timestamp_millis({})", at.0)
}

/// What waits, by Restate's state.
#[derive(Debug, Deserialize)]
struct Waiting {
    n: u64,
    /// Mean of when they were accepted, in seconds since the epoch.
    mean: f64,
    oldest: Time,
}

/// One of a view's items, and how many the view has.
#[derive(Debug, Deserialize)]
struct Counted {
    #[serde(default)]
    total: u64,
    #[serde(flatten)]
    row: Invocation,
}

/// The counts of what waits.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub total: u64,
    pub mean_age_ms: u64,
    pub oldest: Option<Time>,
    pub running: u64,
}

impl RestateBackend {
    /// The one query behind `queue status`.
    pub(super) async fn counts(&self) -> Result<Counts, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            status: String,
            #[serde(flatten)]
            waiting: Waiting,
        }
        // By its place: `status` in a grouping is the column's, not the expression's.
        let sql = format!(
            "select {} as status, count(*) as n, avg(to_unixtime(created_at)) as mean, min(created_at) as oldest \
             from sys_invocation where {} and status not in ('completed','paused') group by 1",
            self.held().await?.status(),
            actions()
        );
        let (mut counts, mut sum) = (Counts::default(), 0.0);
        for Row { status, waiting } in self.rows::<Row>(&sql).await? {
            if status == "running" {
                counts.running = waiting.n;
                continue;
            }
            counts.total += waiting.n;
            sum += waiting.mean * waiting.n as f64;
            counts.oldest = Some(counts.oldest.map_or(waiting.oldest, |oldest| oldest.min(waiting.oldest)));
        }
        if counts.total > 0 {
            let mean = Time((sum / counts.total as f64 * 1000.0) as i64);
            counts.mean_age_ms = u64::try_from(self.now().since(mean).as_millis()).unwrap_or(u64::MAX);
        }
        Ok(counts)
    }

    /// How many items a view has.
    pub(super) async fn count_of(&self, filter: &QueueFilter) -> Result<u64, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            n: u64,
        }
        let condition = of_view(filter, self.now(), self.held().await?);
        let sql = format!("select count(*) as n from sys_invocation where {condition}");
        Ok(self.rows::<Row>(&sql).await?.first().map_or(0, |row| row.n))
    }

    async fn page(&self, filter: QueueFilter) -> Result<QueueItems, Refusal> {
        let (now, held) = (self.now(), self.held().await?);
        let limit = filter.limit.unwrap_or(PAGE);
        // Counted on the way: a second query would take as long again.
        let sql = format!(
            "select {}, count(*) over () as total from sys_invocation where {} order by created_at limit {limit}",
            held.of(OF_ITEM),
            of_view(&filter, now, held)
        );
        let rows: Vec<Counted> = self.rows(&sql).await?;
        let total = rows.first().map_or(0, |row| row.total).max(rows.len() as u64);
        if held.is_closed(now) {
            let unsent = rows.iter().map(|row| &row.row).filter(|row| row.waits_unsent());
            self.listed.keep(held, now, unsent.map(|row| row.id.clone()).collect());
        }
        let items: Vec<QueueItem> = rows.iter().filter_map(|row| row.row.item(now)).collect();
        Ok(QueueItems { truncated: (items.len() as u64) < total, items, total })
    }

    /// The invocation of an action.
    pub(super) async fn find(&self, id: &str) -> Result<Invocation, Refusal> {
        let look = || async { Ok(self.find_all(&[id.to_owned()]).await?.remove(id)) };
        let what = format!("action `{id}`");
        match look().await? {
            Some(row) => Ok(row),
            // Another kind of invocation, or no id.
            None if !is_id(id) || self.is_shown(id).await? => Err(Refusal::not_found(what)),
            None => self.shown(&what, &format!("restate/invocation/{id}/output"), look).await,
        }
    }

    /// Whether SQL shows an invocation, of whatever kind.
    async fn is_shown(&self, id: &str) -> Result<bool, Refusal> {
        #[derive(Deserialize)]
        struct Row {}
        let sql = format!("select id from sys_invocation_status where id = {}", quoted(id));
        match self.rows::<Row>(&sql).await {
            Ok(rows) => Ok(!rows.is_empty()),
            Err(refusal) if refusal.message.contains(NO_ID) => Ok(true),
            Err(refusal) => Err(refusal),
        }
    }

    async fn one(&self, id: &str) -> Result<QueueItem, Refusal> {
        let row = self.find(id).await?;
        row.item(self.now()).ok_or_else(|| Refusal::not_found(format!("waiting item `{id}`: the action is done")))
    }
}

impl QueueOps for RestateBackend {
    fn submit<'a>(&'a self, actions: Vec<ActionRequest>, _cx: &'a ChangeContext) -> Answer<'a, SubmitAnswer> {
        Box::pin(self.accept(actions))
    }

    fn actions(&self, filter: ActionFilter) -> Answer<'_, RecentActions> {
        Box::pin(self.recent(filter))
    }

    fn action<'a>(&'a self, id: &'a str) -> Answer<'a, ActionRecord> {
        Box::pin(self.action_record(id))
    }

    fn patterns(&self, _filter: ActionFilter) -> Answer<'_, ActionPatterns> {
        Box::pin(std::future::ready(Err(unsupported(
            "Restate keeps no index of users and tags, so it cannot say what actions have in common",
        ))))
    }

    fn status(&self) -> Answer<'_, QueueStatus> {
        Box::pin(async move {
            let counts = self.counts().await?;
            Ok(QueueStatus {
                total_queued: counts.total,
                // Restate has no priorities, and nothing else than normal is accepted.
                by_priority: ByPriority { normal: counts.total, ..ByPriority::default() },
                avg_wait_time: counts.mean_age_ms,
                worker_utilization: None,
            })
        })
    }

    fn listing(&self) -> Answer<'_, QueueListing> {
        Box::pin(std::future::ready(Err(unsupported(
            "Restate does not say how long an item will wait; ask for the items of a view instead",
        ))))
    }

    fn items(&self, filter: QueueFilter) -> Answer<'_, QueueItems> {
        Box::pin(self.page(filter))
    }

    fn item<'a>(&'a self, id: &'a str) -> Answer<'a, QueueItem> {
        Box::pin(self.one(id))
    }

    fn requests(&self, limit: u64) -> Answer<'_, WaitingRequests> {
        Box::pin(self.waiting_requests(limit))
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
        Box::pin(self.run_again(request, QueueView::Removed, cx))
    }

    fn retry<'a>(&'a self, request: IdsRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.run_again(request, QueueView::Failed, cx))
    }

    fn pauses(&self) -> Answer<'_, Vec<Pause>> {
        Box::pin(self.gate_pauses())
    }

    fn pause<'a>(&'a self, scope: PauseScope, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.close_gate(scope, cx))
    }

    fn resume<'a>(&'a self, request: PauseRequest, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.open_gate(request, cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(view: QueueView) -> QueueFilter {
        QueueFilter { view, platform: None, since: None, older_than: None, limit: None }
    }

    #[test]
    fn stuck_is_old_and_due() {
        let sql = of_view(&filter(QueueView::Stuck), Time(1_000_000), Held::default());
        assert!(sql.contains("created_at < to_timestamp_millis(400000)"), "{sql}");
        assert!(sql.contains("status <> 'scheduled' or scheduled_start_at < to_timestamp_millis(1000000)"), "{sql}");
    }

    #[test]
    fn what_runs_again_is_neither_failed_nor_removed() {
        for view in [QueueView::Failed, QueueView::Removed] {
            assert!(
                of_view(&filter(view), Time(0), Held::default()).contains("not (id in (select restarted_from"),
                "{view}"
            );
        }
        let narrowed = QueueFilter { platform: Some(Platform::Slack), ..filter(QueueView::Queued) };
        assert!(of_view(&narrowed, Time(0), Held::default()).contains("target_service_name = 'Slack'"));
    }
}
