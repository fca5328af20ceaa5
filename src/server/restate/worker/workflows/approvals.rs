//! A person's word about a step: asked for in the state, given through the handler `decide`, waited for as a durable promise
//! of the step's own, so that it can be about no other.

use restate_sdk::endpoint::ContextInternal;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Run;
use crate::engine::workflow::Step;
use crate::server::native::ask;
use crate::server::restate::contract::{APPROVAL, Decision, EXPIRED, is_approval, promise_of};
use crate::server::restate::worker::deed::CANCELLED;
use crate::server::restate::worker::limit::Limit;
use crate::wire::{ActionRequest, ApprovalCause, Time};

/// What a person is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    causes: Vec<ApprovalCause>,
    at: Time,
    expires_at: Time,
}

/// A person's decision, about the step whose promise it names.
pub(in super::super) fn decide(ctx: &ContextInternal, mut decision: Value) -> Result<(), TerminalError> {
    let named = decision.as_object_mut().and_then(|decision| decision.remove("promise"));
    let promise = named.as_ref().map_or(Some(APPROVAL), Value::as_str).filter(|name| is_approval(name));
    let Some(promise) = promise else {
        return Err(TerminalError::new_with_code(400, "400 `promise` names no approval"));
    };
    ctx.resolve_promise(promise, Json(decision));
    Ok(())
}

impl Run<'_> {
    /// Waits until a person has let the step run. Gives a time that begins anew if one was asked.
    pub(super) async fn approved(&self, step: &Step, limit_ms: u64) -> Result<Option<Limit>, TerminalError> {
        let own = &step.definition;
        let data = step.sent.as_ref().unwrap_or(&own.data);
        let Some(question) = self.question(step, data).await? else { return Ok(None) };
        let promise = promise_of(&own.id);
        let about = json!({
            "stepId": own.id, "type": own.action_type, "platform": own.platform, "data": data,
            "requestedAt": question.at, "expiresAt": question.expires_at, "causes": question.causes,
        });
        self.set(&promise, about);
        let time = question.expires_at.since(question.at);
        let answer = restate_sdk::select! {
            answer = self.ctx.promise::<Json<Value>>(&promise) => answer,
            _ = self.ctx.sleep(time) => self.expired(&promise, question.expires_at).await,
            on_cancel => {
                // Nobody needs to decide any more.
                let why = TerminalError::new_with_code(CANCELLED, "the workflow was cancelled");
                self.ctx.reject_promise(&promise, why);
                Err(TerminalError::new_with_code(CANCELLED, "cancelled"))
            }
        };
        let Json(answer) = answer?;
        let decision: Decision = serde_json::from_value(answer)
            .map_err(|error| TerminalError::new_with_code(400, format!("that was no decision: {error}")))?;
        if !decision.approved {
            let by = decision.by.unwrap_or_else(|| "somebody".to_owned());
            let why = decision.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            return Err(TerminalError::new_with_code(403, format!("rejected by {by}{why}")));
        }
        let hands = self.hands.clone();
        let anew = self.ctx.run(move || async move { Ok(Json(hands.limit(limit_ms).await?)) });
        Ok(Some(anew.name(&own.id).await?.0))
    }

    /// What is to be asked, by the step's own word or a rule's.
    async fn question(&self, step: &Step, data: &Value) -> Result<Option<Question>, TerminalError> {
        let own = &step.definition;
        let action = json!({
            "type": own.action_type, "platform": own.platform, "data": data,
            "requiresApproval": own.requires_approval,
        });
        let hands = self.hands.clone();
        let question = self.ctx.run(move || async move {
            let action: ActionRequest = serde_json::from_value(action)
                .map_err(|error| TerminalError::new_with_code(400, format!("400 {error}")))?;
            let at = hands.clock.now();
            let asked = ask(&action, 1, &hands.settings, at)
                .map_err(|refusal| TerminalError::new_with_code(400, refusal.message))?;
            Ok(Json(asked.map(|asked| Question { causes: asked.causes, at, expires_at: asked.expires_at })))
        });
        Ok(question.name(&own.id).await?.0)
    }

    /// Closes what nobody decided in time; a decision that was there first counts.
    async fn expired(&self, promise: &str, at: Time) -> Result<Json<Value>, TerminalError> {
        let why = TerminalError::new_with_code(403, format!("{EXPIRED} at {at}"));
        self.ctx.reject_promise(promise, why);
        self.ctx.promise::<Json<Value>>(promise).await
    }
}
