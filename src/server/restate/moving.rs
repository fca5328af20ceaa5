//! Waiting actions as they were sent, for another orchestrator; and those of another one, sent to Restate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::RestateBackend;
use super::actions::{Letter, Sent, payload, same};
use super::admin::list;
use super::contract::service_of;
use super::invocation::Invocation;
use super::keys::injected;
use super::queue::actions;
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::moving::{AT_ONCE, keyed, put, standing_in};
use crate::wire::{
    ActionRequest, ActionStatus, EffectKind, ErrorCode, IdsRequest, ImportedItem, Put, QueueView, WaitingRequest,
    WaitingRequests,
};

/// Journals read at once.
const BATCH: usize = 500;

impl RestateBackend {
    pub(super) async fn waiting_requests(&self, limit: u64) -> Result<WaitingRequests, Refusal> {
        let held = self.held().await?;
        // What is scheduled cannot be restored, and so it is not moved.
        let sql = format!(
            "select {} from sys_invocation where {} and {} and status <> 'scheduled' and invoked_by_target is null \
             order by created_at limit {limit}",
            held.columns(),
            actions(),
            held.waiting()
        );
        let rows: Vec<Invocation> = self.rows(&sql).await?;
        let keys = self.first_keys(&rows).await?;
        let mut requests = Vec::with_capacity(rows.len());
        for rows in rows.chunks(BATCH) {
            let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
            let sent = self.may_have_been_sent(&ids).await?;
            let mut inputs = self.inputs(&ids).await?;
            requests.extend(rows.iter().filter(|row| !sent.contains(&row.id)).filter_map(|row| {
                let request = request(row, keys.get(&row.id).cloned(), inputs.remove(&row.id)?)?;
                Some(WaitingRequest { action_id: row.id.clone(), request })
            }));
        }
        Ok(WaitingRequests { requests, waiting: self.counts().await?.total })
    }

    /// The callers' keys of these. What runs again has none in Restate: the first of its line has it.
    async fn first_keys(&self, rows: &[Invocation]) -> Result<BTreeMap<String, String>, Refusal> {
        let own = |row: &Invocation| row.idempotency_key.clone().filter(|_| !injected(row));
        let mut keys: BTreeMap<String, String> =
            rows.iter().filter_map(|row| Some((row.id.clone(), own(row)?))).collect();
        let mut lines: Vec<(String, String)> =
            rows.iter().filter_map(|row| Some((row.id.clone(), row.restarted_from.clone()?))).collect();
        while !lines.is_empty() {
            let ids: BTreeSet<&String> = lines.iter().map(|(_, from)| from).collect();
            let found = self.find_all(&ids.into_iter().cloned().collect::<Vec<_>>()).await?;
            lines = lines
                .into_iter()
                .filter_map(|(id, from)| {
                    let row = found.get(&from)?;
                    if let Some(key) = own(row) {
                        keys.insert(id.clone(), key);
                    }
                    Some((id, row.restarted_from.clone()?))
                })
                .collect();
        }
        Ok(keys)
    }

    /// Sends actions of another orchestrator, side by side, and looks at what those mean that Restate had already.
    pub(super) async fn take_over(
        &self,
        actions: Vec<WaitingRequest>,
        cx: &ChangeContext,
    ) -> Result<Vec<ImportedItem>, Refusal> {
        let actions = keyed(actions, self.config.effective().enable_idempotency)?;
        self.ensure_open().await?;
        for service in actions.iter().map(|action| service_of(action.request.platform)).collect::<BTreeSet<_>>() {
            self.ensure_service(service).await?;
        }
        let lost = AtomicBool::new(false);
        let one_by_one: Vec<_> = actions.iter().map(|action| self.post(&action.request, &lost)).collect();
        let sent: Vec<Result<Sent, Refusal>> = stream::iter(one_by_one).buffered(AT_ONCE).collect().await;
        let repeated = sent.iter().flatten().filter(|sent| sent.is_repeated());
        let had = self.standing(repeated.map(|sent| sent.invocation_id.clone()).collect()).await?;
        let (mut items, mut removed) = (Vec::with_capacity(actions.len()), BTreeSet::new());
        for (action, sent) in actions.iter().zip(sent) {
            let from = action.action_id.as_str();
            items.push(match sent {
                Err(refusal) => put(from, Put::Failed, None, Some(refusal.message)),
                Ok(sent) if !sent.is_repeated() => put(from, Put::Imported, Some(&sent.invocation_id), None),
                Ok(sent) => match had.get(&sent.invocation_id) {
                    Some(had) => had.mean(action).unwrap_or_else(|| {
                        removed.insert(had.id.clone());
                        put(from, Put::Restored, Some(&had.id), None)
                    }),
                    // Its key has it, and SQL does not show it yet.
                    None => put(from, Put::AlreadyThere, Some(&sent.invocation_id), None),
                },
            });
        }
        self.put_back(removed, &mut items, cx).await?;
        let new = items.iter().filter(|item| item.put == Put::Imported).count();
        self.log_change(&format!("put into the queue: {new} of {} actions of another orchestrator", items.len()), cx);
        Ok(items)
    }

    /// Sends one. Once nobody answers, those that are not under way are not sent: each would wait for its own end.
    async fn post(&self, request: &ActionRequest, lost: &AtomicBool) -> Result<Sent, Refusal> {
        let Letter { path, body, key } = self.letter(request)?;
        if lost.load(Ordering::Relaxed) {
            return Err(Refusal::new(ErrorCode::ServiceDown, "not sent: Restate's ingress did not answer any more"));
        }
        let sent = self.send(&path, &body, key.as_deref()).await;
        if let Err(refusal) = &sent
            && matches!(refusal.code, ErrorCode::ServiceDown | ErrorCode::TimeoutError)
        {
            lost.store(true, Ordering::Relaxed);
        }
        sent
    }

    /// What these are by now, and what they were sent with.
    async fn standing(&self, ids: Vec<String>) -> Result<BTreeMap<String, Standing>, Refusal> {
        let newest = self.newest(&ids).await?;
        let rows = self.find_all(&newest.values().cloned().collect::<Vec<_>>()).await?;
        let mut inputs = BTreeMap::new();
        for ids in ids.chunks(BATCH) {
            inputs.extend(self.inputs(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await?);
        }
        let standing = newest.into_iter().filter_map(|(first, id)| {
            let status = rows.get(&id)?.record(None, None)?.status;
            let input = inputs.remove(&first);
            Some((first, Standing { id, status, input }))
        });
        Ok(standing.collect())
    }

    /// Runs again what was taken out here, and says so of the items it stands for.
    async fn put_back(
        &self,
        removed: BTreeSet<String>,
        items: &mut [ImportedItem],
        cx: &ChangeContext,
    ) -> Result<(), Refusal> {
        if removed.is_empty() {
            return Ok(());
        }
        let request = IdsRequest { ids: removed.into_iter().collect(), per_second: None };
        let effects = self.run_again(request, QueueView::Removed, cx).await?.items;
        let effects: BTreeMap<_, _> = effects.into_iter().map(|effect| (effect.id.clone(), effect)).collect();
        for item in items.iter_mut().filter(|item| item.put == Put::Restored) {
            let Some(effect) = item.id.as_ref().and_then(|id| effects.get(id)) else { continue };
            item.detail.clone_from(&effect.detail);
            item.put = match effect.effect {
                EffectKind::Applied => Put::Restored,
                EffectKind::AlreadySo => Put::AlreadyThere,
                _ => Put::Failed,
            };
        }
        Ok(())
    }

    async fn inputs(&self, ids: &[&str]) -> Result<BTreeMap<String, Value>, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
            #[serde(default)]
            entry_json: Option<String>,
        }
        let wanted = list(ids.iter().copied());
        let sql =
            format!("select id, entry_json from sys_journal where id in ({wanted}) and entry_type = 'Command: Input'");
        let rows = self.rows::<Row>(&sql).await?.into_iter();
        Ok(rows
            .filter_map(|row| {
                let entry: Value = serde_json::from_str(row.entry_json.as_deref()?).ok()?;
                Some((row.id, payload(&entry["Command"]["Input"]["payload"])?))
            })
            .collect())
    }
}

/// What a key stands for.
struct Standing {
    id: String,
    status: ActionStatus,
    input: Option<Value>,
}

impl Standing {
    /// What it means for an action with its key; `None` when it was taken out.
    fn mean(&self, action: &WaitingRequest) -> Option<ImportedItem> {
        let (from, request) = (action.action_id.as_str(), &action.request);
        let key = request.idempotency_key.as_deref();
        match self.input.as_ref().map_or(Ok(()), |first| same(&self.id, first, request, key)) {
            Ok(()) => standing_in(from, &self.id, self.status),
            Err(refusal) => Some(put(from, Put::Failed, Some(&self.id), Some(refusal.message))),
        }
    }
}

/// An action as somebody would submit it; `None` when its input is not the contract's.
fn request(row: &Invocation, key: Option<String>, mut input: Value) -> Option<ActionRequest> {
    let body = input.as_object_mut()?;
    body.insert("type".into(), json!(row.action_type()?));
    body.insert("platform".into(), json!(row.platform()?));
    if let Some(key) = key {
        body.insert("idempotencyKey".into(), json!(key));
    }
    serde_json::from_value(input).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str) -> Invocation {
        serde_json::from_value(json!({
            "id": "inv_1", "target_service_name": "Trello", "target_handler_name": "create", "status": "backing-off",
            "created_at": "2026-11-30T01:51:57.482Z", "idempotency_key": key,
        }))
        .unwrap()
    }

    #[test]
    fn an_invocation_is_submitted_again_as_it_was() {
        let input = json!({"data": {"name": "x"}, "correlationId": "sig-1"});
        let own = request(&row("k"), Some("k".into()), input.clone()).unwrap();
        assert_eq!(own.idempotency_key.as_deref(), Some("k"));
        assert_eq!((own.correlation_id.as_deref(), own.data.clone()), (Some("sig-1"), json!({"name": "x"})));
        assert_eq!(request(&row("k"), None, input).unwrap().idempotency_key, None);
        assert_eq!(request(&row("k"), None, json!(["no action"])), None);
    }

    #[test]
    fn a_key_with_other_parameters_stands_for_nothing_that_is_put_in() {
        let request = json!({"type": "create", "platform": "trello", "data": {"name": "x"}, "idempotencyKey": "k"});
        let action = WaitingRequest { action_id: "a-1".into(), request: serde_json::from_value(request).unwrap() };
        let mean = |status, name: &str| {
            let input = Some(json!({"data": {"name": name}}));
            Standing { id: "inv_1".into(), status, input }.mean(&action).map(|item| item.put)
        };
        assert_eq!(mean(ActionStatus::Pending, "x"), Some(Put::AlreadyThere));
        assert_eq!(mean(ActionStatus::Pending, "y"), Some(Put::Failed));
        assert_eq!(mean(ActionStatus::Removed, "x"), None, "it is put back");
        assert_eq!(mean(ActionStatus::Removed, "y"), Some(Put::Failed));
    }
}
