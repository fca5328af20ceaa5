//! Waiting actions as they were sent, for another orchestrator.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::RestateBackend;
use super::actions::payload;
use super::admin::list;
use super::invocation::Invocation;
use super::keys::injected;
use super::queue::actions;
use crate::server::backend::Refusal;
use crate::wire::{ActionRequest, WaitingRequest, WaitingRequests};

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
        let mut requests = Vec::with_capacity(rows.len());
        for rows in rows.chunks(BATCH) {
            let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
            let sent = self.may_have_been_sent(&ids).await?;
            let inputs = self.inputs(&ids).await?;
            requests.extend(rows.iter().filter(|row| !sent.contains(&row.id)).filter_map(|row| {
                let request = request(row, inputs.get(&row.id)?.clone())?;
                Some(WaitingRequest { action_id: row.id.clone(), request })
            }));
        }
        Ok(WaitingRequests { requests, waiting: self.counts().await?.total })
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

/// An action as somebody would submit it; `None` when its input is not the contract's.
fn request(row: &Invocation, mut input: Value) -> Option<ActionRequest> {
    let body = input.as_object_mut()?;
    body.insert("type".into(), json!(row.action_type()?));
    body.insert("platform".into(), json!(row.platform()?));
    if let Some(key) = row.idempotency_key.as_ref().filter(|_| !injected(row)) {
        body.insert("idempotencyKey".into(), json!(key));
    }
    serde_json::from_value(input).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_is_submitted_again_with_its_own_key_and_not_with_the_servers() {
        let row = |key: &str| -> Invocation {
            serde_json::from_value(json!({
                "id": "inv_1", "target_service_name": "Trello", "target_handler_name": "create", "status": "backing-off",
                "created_at": "2026-11-30T01:51:57.482Z", "idempotency_key": key,
            }))
            .unwrap()
        };
        let input = json!({"data": {"name": "x"}, "correlationId": "sig-1"});
        let own = request(&row("sig-1:create:trello:0123456789abcdef"), input.clone()).unwrap();
        assert_eq!(own.idempotency_key.as_deref(), Some("sig-1:create:trello:0123456789abcdef"));
        assert_eq!((own.correlation_id.as_deref(), own.data.clone()), (Some("sig-1"), json!({"name": "x"})));
        assert_eq!(request(&row("01M8N2DN19S8J9EENND6VK4YKV"), input).unwrap().idempotency_key, None);
        assert_eq!(request(&row("k"), json!(["no action"])), None);
    }
}
