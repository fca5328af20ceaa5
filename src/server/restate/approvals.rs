//! Approvals: durable promises of workflows, described by the workflow's own state under the promise's name.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::actions::workflow_path;
use super::admin::{list, quoted, refused};
use super::contract::{APPROVAL, Decision, EXPIRED, State, WORKFLOW, promise_of};
use super::{RestateBackend, unsupported};
use crate::server::backend::{Answer, ApprovalOps, ChangeContext, Refusal};
use crate::server::effects::who;
use crate::server::telemetry::{LogLine, Part};
use crate::wire::*;

/// A row of `sys_promise`.
#[derive(Debug, Deserialize)]
struct Promise {
    service_key: String,
    /// Its name.
    key: String,
    completed: bool,
    #[serde(default)]
    completion_success_value_utf8: Option<String>,
    #[serde(default)]
    completion_failure: Option<String>,
    /// Nobody waits for it any more: its workflow was killed meanwhile.
    #[serde(skip)]
    is_left: bool,
}

impl Promise {
    /// The approval's id: the workflow's, with the step's behind it where there may be several.
    fn id(&self) -> String {
        format!("{}{}", self.service_key, self.key.strip_prefix(APPROVAL).unwrap_or_default())
    }

    /// Whether nobody decided in time.
    fn has_expired(&self) -> bool {
        self.completion_failure.as_deref().is_some_and(|words| words.contains(EXPIRED))
    }

    /// The decision in it, if it holds one.
    fn decision(&self) -> Option<Decision> {
        serde_json::from_str(self.completion_success_value_utf8.as_deref()?).ok()
    }
}

/// An approval, from its promise and what its workflow's state says of it. `None` when that says too little.
fn record(promise: &Promise, state: &State, now: Time) -> Option<ApprovalRecord> {
    let about = State(state.0.get(&promise.key)?.as_object()?.clone());
    let word = |name: &str| about.text(name);
    let (action_type, platform) =
        (word("type")?.parse::<ActionType>().ok()?, word("platform")?.parse::<Platform>().ok()?);
    let created_at = about.time("requestedAt")?;
    let decision = promise.decision();
    let expires_at = about.time("expiresAt");
    let status = match (&decision, promise.completed) {
        (Some(decision), _) if decision.approved => ApprovalStatus::Approved,
        (Some(_), _) => ApprovalStatus::Rejected,
        (None, true) if promise.has_expired() => ApprovalStatus::Expired,
        // Resolved by other hands than ours, with something else or a failure.
        (None, true) => ApprovalStatus::Withdrawn,
        (None, false) if promise.is_left => ApprovalStatus::Withdrawn,
        (None, false) => ApprovalStatus::Pending,
    };
    let pending = status == ApprovalStatus::Pending;
    let left =
        expires_at.filter(|_| pending).map_or(0, |at| u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX));
    let step = word("stepId").unwrap_or_default().to_owned();
    let described = || format!("{action_type} on {platform}: step {step}");
    Some(ApprovalRecord {
        id: promise.id(),
        action: word("action").map_or_else(described, str::to_owned),
        priority: Priority::Normal,
        risk_level: word("riskLevel").and_then(|word| word.parse().ok()).unwrap_or(RiskLevel::Low),
        created_at,
        // Without an end of its own it waits as long as the workflow does.
        expires_at: expires_at.unwrap_or(Time(i64::from(u32::MAX) * 1000)),
        time_remaining: left,
        status,
        causes: vec![ApprovalCause::Requested],
        action_id: step,
        action_type,
        platform,
        data: about.0.get("data").cloned().unwrap_or(Value::Null),
        workflow_id: Some(promise.service_key.clone()),
        correlation_id: None,
        user_id: None,
        source: None,
        decided_by: decision.as_ref().and_then(|decision| decision.by.clone()),
        decided_at: match status {
            ApprovalStatus::Expired => expires_at,
            _ => decision.as_ref().and_then(|decision| decision.at),
        },
        reason: decision
            .and_then(|decision| decision.reason)
            .or_else(|| promise.completion_failure.clone().filter(|_| !promise.has_expired())),
    })
}

impl RestateBackend {
    async fn promises(&self, id: Option<&str>, completed: Option<bool>) -> Result<Vec<Promise>, Refusal> {
        self.ensure_service(WORKFLOW).await?;
        let mut sql = format!(
            "select service_key, key, completed, completion_success_value_utf8, completion_failure from sys_promise \
             where service_name = '{WORKFLOW}' and (key = '{APPROVAL}' or key like '{APPROVAL}:%')"
        );
        if let Some(id) = id {
            sql.push_str(&format!(" and ({})", named(id)));
        }
        if let Some(completed) = completed {
            sql.push_str(&format!(" and completed = {completed}"));
        }
        let mut promises: Vec<Promise> = self.rows(&sql).await?;
        let open = promises.iter().filter(|promise| !promise.completed).map(|promise| promise.service_key.as_str());
        let ended = self.ended_workflows(&open.collect::<Vec<_>>()).await?;
        for promise in &mut promises {
            promise.is_left = !promise.completed && ended.contains(&promise.service_key);
        }
        Ok(promises)
    }

    /// Which of these workflows have ended.
    async fn ended_workflows(&self, ids: &[&str]) -> Result<BTreeSet<String>, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            target_service_key: String,
        }
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let sql = format!(
            "select target_service_key from sys_invocation_status where target_service_name = '{WORKFLOW}' \
             and target_handler_name = 'run' and status = 'completed' and target_service_key in ({})",
            list(ids.iter().copied())
        );
        Ok(self.rows::<Row>(&sql).await?.into_iter().map(|row| row.target_service_key).collect())
    }

    async fn list_approvals(&self, filter: ApprovalFilter) -> Result<Approvals, Refusal> {
        let promises = self.promises(None, (filter.status == ApprovalStatus::Pending).then_some(false)).await?;
        let states = self.admin.states(WORKFLOW, None).await?;
        let (now, mut mute) = (self.now(), Vec::new());
        let mut approvals = Vec::new();
        for promise in &promises {
            let state = states.iter().find(|(key, _)| *key == promise.service_key);
            match state.and_then(|(_, state)| record(promise, state, now)) {
                Some(record) => approvals.push(record),
                None => mute.push(promise.id()),
            }
        }
        if !mute.is_empty() && filter.status == ApprovalStatus::Pending {
            // Leaving them out would hide that somebody waits.
            return Err(Refusal::new(
                ErrorCode::UnknownError,
                format!(
                    "{} of {} pending approvals say too little of themselves in their workflows' states (contract v1): {}",
                    mute.len(),
                    promises.len(),
                    mute.join(", ")
                ),
            ));
        }
        approvals.retain(|record| {
            let at =
                record.decided_at.filter(|_| filter.status != ApprovalStatus::Pending).unwrap_or(record.created_at);
            record.status == filter.status && filter.since.is_none_or(|since| at >= since)
        });
        match filter.status {
            ApprovalStatus::Pending => approvals.sort_by_key(|record| record.expires_at),
            _ => approvals.sort_by_key(|record| std::cmp::Reverse(record.decided_at)),
        }
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let truncated = approvals.len() > limit;
        approvals.truncate(limit);
        Ok(Approvals { approvals, truncated })
    }

    /// An approval, and the promise that is its.
    async fn one_approval(&self, id: &str) -> Result<(ApprovalRecord, Promise), Refusal> {
        let mut promises = self.promises(Some(id), None).await?;
        let promise = promises.pop().ok_or_else(|| Refusal::not_found(format!("approval `{id}`")))?;
        if let Some(other) = promises.pop() {
            let (one, two) = (&promise.service_key, &other.service_key);
            let words = format!("`{id}` stands for an approval of the workflow `{one}` and for one of `{two}`");
            return Err(Refusal::new(ErrorCode::Conflict, words));
        }
        let state = self.admin.state(WORKFLOW, &promise.service_key).await?;
        let record = record(&promise, &state, self.now()).ok_or_else(|| {
            let (workflow, key) = (&promise.service_key, &promise.key);
            let words = format!("the workflow `{workflow}` says too little of its approval in the state `{key}`");
            Refusal::new(ErrorCode::UnknownError, words)
        })?;
        Ok((record, promise))
    }

    /// Resolves the promise through the workflow's handler `decide`, and reads it back.
    async fn decide(
        &self,
        id: &str,
        approved: bool,
        claimed: &str,
        reason: Option<String>,
        cx: &ChangeContext,
    ) -> Result<ApprovalRecord, Refusal> {
        let (before, promise) = self.one_approval(id).await?;
        let by = format!("{claimed} ({})", who(cx));
        let same = |record: &ApprovalRecord| {
            let wanted = if approved { ApprovalStatus::Approved } else { ApprovalStatus::Rejected };
            record.status == wanted && record.decided_by.as_deref() == Some(by.as_str())
        };
        if before.status != ApprovalStatus::Pending {
            return if same(&before) { Ok(before) } else { Err(decided(&before)) };
        }
        if before.expires_at <= self.now() {
            return Err(Refusal::new(ErrorCode::Conflict, format!("approval {id} expired at {}", before.expires_at)));
        }
        if self.ingress.is_none() {
            return Err(unsupported("deciding needs the cluster's ingress: start with --restate-ingress URL"));
        }
        let mut body = json!({"approved": approved, "by": by, "reason": reason, "at": self.now()});
        if promise.key != APPROVAL {
            body["promise"] = json!(promise.key);
        }
        let reply = self.call(&workflow_path(&promise.service_key, "decide")?, &body, None).await?;
        // A promise that somebody else resolved meanwhile is a conflict; what it holds now says with what.
        if !reply.is_success() && reply.status != 409 {
            return Err(refused(&reply, &format!("the decision about {id}")));
        }
        let after = self.seen(|| async {
            let record = self.one_approval(id).await?.0;
            Ok((record.status != ApprovalStatus::Pending).then_some(record))
        });
        let after = after.await?.ok_or_else(|| {
            let words = format!("Restate took the decision about {id}, and it cannot be seen yet: look again");
            Refusal::new(ErrorCode::TimeoutError, words)
        })?;
        if !same(&after) {
            return Err(decided(&after));
        }
        let word = if approved { "approved" } else { "rejected" };
        let line = LogLine::info(Part::Workflow, format!("Approval of {id} {word}")).field("by", by);
        self.telemetry.log(line.field("reason", after.reason.clone()));
        Ok(after)
    }
}

/// The promises that an approval's id can stand for, as SQL.
fn named(id: &str) -> String {
    let whole = format!("service_key = {} and key = '{APPROVAL}'", quoted(id));
    match id.rsplit_once(':') {
        Some((workflow, step)) => {
            format!("({whole}) or (service_key = {} and key = {})", quoted(workflow), quoted(&promise_of(step)))
        }
        None => whole,
    }
}

/// It was decided otherwise, or by somebody else.
fn decided(record: &ApprovalRecord) -> Refusal {
    let by = record.decided_by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
    Refusal::new(ErrorCode::Conflict, format!("approval {} is {} already{by}", record.id, record.status))
}

impl ApprovalOps for RestateBackend {
    fn approvals(&self, filter: ApprovalFilter) -> Answer<'_, Approvals> {
        Box::pin(self.list_approvals(filter))
    }

    fn approval<'a>(&'a self, id: &'a str) -> Answer<'a, ApprovalRecord> {
        Box::pin(async move { Ok(self.one_approval(id).await?.0) })
    }

    fn approve<'a>(&'a self, id: &'a str, request: ApproveRequest, cx: &'a ChangeContext) -> Answer<'a, Approved> {
        Box::pin(async move {
            let record = self.decide(id, true, &request.user_id, request.reason, cx).await?;
            Ok(record.into())
        })
    }

    fn reject<'a>(&'a self, id: &'a str, request: RejectRequest, cx: &'a ChangeContext) -> Answer<'a, Rejected> {
        Box::pin(async move {
            let record = self.decide(id, false, &request.user_id, Some(request.reason), cx).await?;
            Ok(record.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(value: Option<&str>) -> Promise {
        Promise {
            service_key: "wf-2".into(),
            key: APPROVAL.into(),
            completed: value.is_some(),
            completion_success_value_utf8: value.map(str::to_owned),
            completion_failure: None,
            is_left: false,
        }
    }

    #[test]
    fn a_promise_and_the_workflows_state_make_an_approval() {
        let about = json!({
            "stepId": "pay", "type": "delete", "platform": "notion", "requestedAt": "1970-01-01T00:00:01Z",
            "expiresAt": "1970-01-01T01:00:00Z", "riskLevel": "high", "data": {"page_id": "p-7"},
        });
        let state = State(serde_json::Map::from_iter([(APPROVAL.to_owned(), about)]));
        let pending = record(&promise(None), &state, Time(600_000)).unwrap();
        assert_eq!((pending.status, pending.time_remaining), (ApprovalStatus::Pending, 3_000_000));
        assert_eq!(pending.action, "delete on notion: step pay");
        let rejected =
            record(&promise(Some(r#"{"approved":false,"by":"ada","reason":"no"}"#)), &state, Time(0)).unwrap();
        assert_eq!((rejected.status, rejected.reason.as_deref()), (ApprovalStatus::Rejected, Some("no")));
        let other = record(&promise(Some("true")), &state, Time(0)).unwrap();
        assert_eq!(other.status, ApprovalStatus::Withdrawn, "resolved with something else");
        let left = Promise { is_left: true, ..promise(None) };
        assert_eq!(record(&left, &state, Time(0)).unwrap().status, ApprovalStatus::Withdrawn, "nobody waits");
        assert_eq!(record(&promise(None), &State::default(), Time(0)), None);
    }

    #[test]
    fn each_step_that_asks_has_an_approval_of_its_own() {
        let about = |step: &str| {
            json!({
                "stepId": step, "type": "delete", "platform": "notion", "requestedAt": "1970-01-01T00:00:01Z",
                "expiresAt": "1970-01-01T01:00:00Z", "data": {},
            })
        };
        let of = |step: &str| (promise_of(step), about(step));
        let state = State(serde_json::Map::from_iter([of("pay"), of("tell")]));
        let of = |step: &str| Promise { key: promise_of(step), ..promise(None) };
        let pay = Promise {
            completed: true,
            completion_failure: Some(format!("[403] {EXPIRED} at 1970-01-01T01:00:00.000Z")),
            ..of("pay")
        };
        let pay = record(&pay, &state, Time(4_000_000)).unwrap();
        assert_eq!((pay.id.as_str(), pay.action_id.as_str()), ("wf-2:pay", "pay"));
        assert_eq!((pay.status, pay.decided_at), (ApprovalStatus::Expired, Some(Time(3_600_000))));
        assert_eq!(pay.reason, None, "its status says it");
        let tell = record(&of("tell"), &state, Time(0)).unwrap();
        assert_eq!((tell.id.as_str(), tell.status), ("wf-2:tell", ApprovalStatus::Pending));
        assert_eq!(tell.workflow_id.as_deref(), Some("wf-2"));
    }

    #[test]
    fn an_id_is_a_workflows_or_a_steps() {
        assert_eq!(named("wf-2"), "service_key = 'wf-2' and key = 'approval'");
        assert_eq!(
            named("a:b:pay"),
            "(service_key = 'a:b:pay' and key = 'approval') or (service_key = 'a:b' and key = 'approval:pay')"
        );
    }
}
