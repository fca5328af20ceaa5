//! Actions: sent through the ingress one at a time, read back from the journal.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::admin::{Repeat, quoted, refused, words};
use super::contract::{self, service_of};
use super::invocation::{COLUMNS, End, Invocation, REMOVED};
use super::queue::{actions, moment};
use super::{RestateBackend, unsupported};
use crate::engine::idempotency;
use crate::http::{Reply, Url};
use crate::platforms::Delivery;
use crate::server::backend::Refusal;
use crate::server::native::{ask, check};
use crate::wire::*;

/// What the ingress says of something that was sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sent {
    pub invocation_id: String,
    status: String,
}

impl Sent {
    /// Whether an earlier one with the same key stands in for it.
    pub fn is_repeated(&self) -> bool {
        self.status == "PreviouslyAccepted"
    }
}

/// What is sent for an action.
pub(super) struct Letter {
    pub path: String,
    pub body: Value,
    pub key: Option<String>,
}

impl RestateBackend {
    /// Accepts one action.
    pub(super) async fn accept(&self, requests: Vec<ActionRequest>) -> Result<SubmitAnswer, Refusal> {
        let [request] = <[ActionRequest; 1]>::try_from(requests).map_err(|requests| {
            unsupported(format!(
                "Restate takes one action at a time, so a list of {} could be half accepted: submit each alone",
                requests.len()
            ))
        })?;
        let Letter { path, body, key } = self.letter(&request)?;
        self.ensure_open().await?;
        self.ensure_service(service_of(request.platform)).await?;
        let sent = self.send(&path, &body, key.as_deref()).await?;
        let duplicate = sent.is_repeated();
        let mut id = sent.invocation_id;
        let mut status = ActionStatus::Pending;
        if duplicate {
            self.ensure_same(&id, &request, key.as_deref()).await?;
            // What ran again since runs under another id.
            let newest = self.newest(std::slice::from_ref(&id)).await?.remove(&id);
            id = newest.unwrap_or(id);
            status = match self.find(&id).await {
                Ok(row) => row.record(None, None).map_or(status, |record| record.status),
                // The ingress answers before SQL shows it.
                Err(refusal) if refusal.code == ErrorCode::NotFound => status,
                Err(refusal) => return Err(refusal),
            };
        }
        Ok(SubmitAnswer {
            actions: vec![Submitted {
                id,
                status,
                duplicate,
                queue_position: None,
                idempotency_key: key,
                approval_id: None,
            }],
        })
    }

    /// What is sent for an action; refused when Restate would not do it as asked.
    pub(super) fn letter(&self, request: &ActionRequest) -> Result<Letter, Refusal> {
        check(request)?;
        self.fits(request)?;
        let settings = self.config.effective();
        let (action, target) = (request.action_type.as_str(), request.platform.as_str());
        let derived = || {
            let keyed = request.action_type != ActionType::Query;
            keyed.then(|| idempotency::derive_key(request.correlation_id.as_deref(), action, target, &request.data))
        };
        let given = request.idempotency_key.clone();
        // What the edge made of the request's own key stands for a caller's repetition.
        let of_edge = || request.id.clone();
        let key = settings.enable_idempotency.then(|| given.or_else(derived)).flatten().or_else(of_edge);
        Ok(Letter { path: format!("{}/{action}/send", service_of(request.platform)), body: input(request), key })
    }

    /// Refuses what Restate would not do as asked.
    fn fits(&self, request: &ActionRequest) -> Result<(), Refusal> {
        let settings = self.config.effective();
        if ask(request, 1, &settings, self.now())?.is_some() {
            return Err(unsupported(
                "this action needs a person's approval, which Restate has for workflows only: submit it as a step of one",
            ));
        }
        let refuse = |set: bool, words: &str| if set { Err(unsupported(words)) } else { Ok(()) };
        refuse(
            request.priority != Priority::Normal,
            "Restate has no priorities: submit it with `normal`, which is what it would get",
        )?;
        refuse(
            request.id.as_deref().is_some_and(|id| !is_of_edge(id)),
            "Restate makes the id of an action: leave `id` out, and give an `idempotencyKey`",
        )?;
        refuse(
            request.timeout.is_some() || request.retry_config.is_some(),
            "timeouts and retries are settings of the service on Restate: leave `timeout` and `retryConfig` out",
        )
    }

    /// Refuses while everything is paused.
    pub(super) async fn ensure_open(&self) -> Result<(), Refusal> {
        let pauses = self.gate_pauses().await?;
        let Some(pause) = pauses.iter().find(|pause| pause.scope == PauseScope::All) else { return Ok(()) };
        let words = format!("everything is paused by {} since {}: nothing is accepted", pause.owner, pause.since);
        let mut refusal = Refusal::new(ErrorCode::Unavailable, words);
        refusal.details = serde_json::to_value(pause).ok();
        Err(refusal)
    }

    /// Refuses a key that stood for other parameters; Restate itself compares nothing.
    async fn ensure_same(&self, id: &str, request: &ActionRequest, key: Option<&str>) -> Result<(), Refusal> {
        let first = self.input_of(id).await?;
        first.map_or(Ok(()), |first| same(id, &first, request, key))
    }

    /// Sends something through the ingress. Without a key it is sent once, and a lost answer is said to be lost.
    pub(super) async fn send(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Sent, Refusal> {
        let reply = self.call(path, body, key).await?;
        match (reply.is_success(), reply.status) {
            (true, _) => serde_json::from_slice(&reply.body).map_err(|_| {
                let words = format!("Restate's ingress answered with something else: {}", reply.first_line());
                Refusal::new(ErrorCode::ServiceDown, words)
            }),
            (_, 404) => Err(unsupported(format!("Restate's ingress knows no {path}: {}", words(&reply)))),
            _ => Err(refused(&reply, &format!("POST {path}"))),
        }
    }

    /// A call through the ingress, whatever it answers.
    pub(super) async fn call(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Reply, Refusal> {
        let Some(ingress) = &self.ingress else {
            return Err(unsupported("the cluster names no ingress: start with --restate-ingress URL"));
        };
        // The same key makes it the same one, wherever it is sent a second time.
        let repeat = if key.is_some() { Repeat::Safe } else { Repeat::Never };
        let sent = ingress.post(path, Some(body), key, repeat);
        sent.await.map_err(|failure| {
            let lost = failure.delivery == Delivery::Unknown;
            let (code, after) = match (lost, key) {
                (false, _) => (ErrorCode::ServiceDown, ""),
                (true, Some(_)) => {
                    (ErrorCode::TimeoutError, "; it may have been accepted: send it again with the same key")
                }
                (true, None) => (ErrorCode::TimeoutError, "; it may have been accepted: look before sending it again"),
            };
            let at = ingress.addresses();
            Refusal::new(code, format!("Restate's ingress at {at} does not answer: {failure}{after}"))
        })
    }

    /// What an invocation was sent with; `None` when the journal is gone or holds something else.
    pub(super) async fn input_of(&self, id: &str) -> Result<Option<Value>, Refusal> {
        Ok(self.entry(id, "Command: Input").await?.and_then(|entry| payload(&entry["Command"]["Input"]["payload"])))
    }

    async fn entry(&self, id: &str, kind: &str) -> Result<Option<Value>, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            #[serde(default)]
            entry_json: Option<String>,
        }
        let sql = format!(
            "select entry_json from sys_journal where id = {} and entry_type = {} limit 1",
            quoted(id),
            quoted(kind)
        );
        let rows: Vec<Row> = self.rows(&sql).await?;
        let text = rows.into_iter().next().and_then(|row| row.entry_json);
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) async fn action_record(&self, id: &str) -> Result<ActionRecord, Refusal> {
        let row = self.find(id).await?;
        let input = self.input_of(id).await?;
        let result = match row.end() {
            End::Success => {
                let output = self.entry(id, "Command: Output").await?;
                output.and_then(|entry| payload(&entry["Command"]["Output"]["result"]["Success"]))
            }
            _ => None,
        };
        row.record(input.as_ref(), result).ok_or_else(|| Refusal::not_found(format!("action `{id}`")))
    }

    /// Actions, newest first.
    pub(super) async fn recent(&self, filter: ActionFilter) -> Result<RecentActions, Refusal> {
        if filter.user_id.is_some() || filter.source.is_some() || !filter.tags.is_empty() {
            return Err(unsupported("Restate keeps no index of users, sources and tags: ask without them"));
        }
        let mut sql = actions();
        let mut and = |words: String| {
            sql.push_str(" and ");
            sql.push_str(&words);
        };
        if let Some(platform) = filter.platform {
            and(format!("target_service_name = '{}'", service_of(platform)));
        }
        if let Some(start) = filter.start {
            and(format!("created_at >= {}", moment(start)));
        }
        if let Some(end) = filter.end {
            and(format!("created_at < {}", moment(end)));
        }
        if let Some(status) = filter.status {
            and(of_status(status));
        }
        #[derive(Deserialize)]
        struct Count {
            n: u64,
        }
        let count = format!("select count(*) as n from sys_invocation where {sql}");
        let page = format!(
            "select {COLUMNS} from sys_invocation where {sql} order by created_at desc limit {} offset {}",
            filter.limit, filter.offset
        );
        let (counted, rows) =
            futures_util::future::try_join(self.rows::<Count>(&count), self.rows::<Invocation>(&page)).await?;
        Ok(RecentActions {
            actions: rows.iter().filter_map(|row| row.record(None, None)).collect(),
            total: counted.first().map_or(0, |row| row.n),
            limit: filter.limit,
            offset: filter.offset,
        })
    }
}

/// The condition for a status; `pending` includes `executing`.
fn of_status(status: ActionStatus) -> String {
    match status {
        ActionStatus::Pending => "status not in ('completed','paused')".to_owned(),
        ActionStatus::Executing => "status = 'running'".to_owned(),
        ActionStatus::Success => "status = 'completed' and completion_failure is null".to_owned(),
        ActionStatus::Failed => {
            format!("(status = 'paused' or (completion_failure is not null and not ({REMOVED})))")
        }
        // Restate's journal decides; there is no such state.
        ActionStatus::InDoubt => "false".to_owned(),
        ActionStatus::Removed => REMOVED.to_owned(),
    }
}

/// Refuses a key that stands for an action with other parameters.
pub(super) fn same(id: &str, first: &Value, request: &ActionRequest, key: Option<&str>) -> Result<(), Refusal> {
    let data = first.get("data").cloned().unwrap_or_default();
    let (action, target) = (request.action_type.as_str(), request.platform.as_str());
    let of = |data: &Value| idempotency::action_fingerprint(action, target, data);
    if of(&data) == of(&request.data) {
        return Ok(());
    }
    let words = format!("the key `{}` stands for action {id} with other parameters", key.unwrap_or_default());
    let mut refusal = Refusal::new(ErrorCode::DuplicateError, words);
    refusal.platform = Some(request.platform);
    refusal.details = Some(json!({"key": key, "actionId": id, "fingerprint": of(&data), "offered": of(&request.data)}));
    Err(refusal)
}

/// Whether an id is not the caller's, but made of the request's key by the routes.
fn is_of_edge(id: &str) -> bool {
    let digits = id.strip_prefix("key-").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a service is sent: an action without what its address says already.
fn input(request: &ActionRequest) -> Value {
    let mut body = Map::from_iter([("data".to_owned(), request.data.clone())]);
    let texts = [
        ("correlationId", &request.correlation_id),
        ("userId", &request.user_id),
        ("source", &request.source),
        ("workflowId", &request.workflow_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            body.insert(name.to_owned(), json!(text));
        }
    }
    if !request.tags.is_empty() {
        body.insert("tags".to_owned(), json!(request.tags));
    }
    Value::Object(body)
}

/// A payload in Restate's journal: JSON as a list of bytes.
pub(super) fn payload(bytes: &Value) -> Option<Value> {
    let bytes: Vec<u8> = serde_json::from_value(bytes.clone()).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// An address of the ingress below which a workflow's handler is.
pub(super) fn workflow_path(id: &str, handler: &str) -> Result<String, Refusal> {
    let mut url = Url::parse("http://h/").map_err(|e| unsupported(e.to_string()))?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().push(contract::WORKFLOW).push(id);
    }
    Ok(format!("{}/{handler}", url.path().trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_piece_of_the_path() {
        assert_eq!(workflow_path("invoice 1/2", "run/send").unwrap(), "Workflow/invoice%201%2F2/run/send");
    }

    #[test]
    fn the_edges_ids_are_told_from_callers() {
        assert!(is_of_edge("key-0123456789abcdef0123456789abcdef"));
        for id in ["invoice-1", "key-1", "", "key-0123456789abcdef0123456789abcdeg"] {
            assert!(!is_of_edge(id), "{id}");
        }
    }

    #[test]
    fn payloads_are_lists_of_bytes() {
        assert_eq!(payload(&json!([123, 125])), Some(json!({})));
        assert_eq!(payload(&json!([0])), None);
        assert_eq!(payload(&Value::Null), None);
    }

    #[test]
    fn a_service_is_sent_the_data_and_whose_it_is() {
        let request = json!({
            "type": "create", "platform": "notion", "data": {"title": "x"}, "correlationId": "sig-1", "tags": ["a"],
        });
        let request: ActionRequest = serde_json::from_value(request).unwrap();
        assert_eq!(input(&request), json!({"data": {"title": "x"}, "correlationId": "sig-1", "tags": ["a"]}));
    }
}
