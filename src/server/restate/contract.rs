//! The state contract, version 1: what services on Restate have to keep to so that the verbs can serve them.
//! `docs/restate.md` is its text for people.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::admin::{self, Admin, Repeat, list, quoted};
use crate::http::Method;
use crate::server::backend::Refusal;
use crate::wire::{ActionError, ErrorCode, Platform, StepStatus, StepUndo, Time};

/// Virtual object that holds work: key `all`, or a platform.
pub const GATE: &str = "Gate";
/// Virtual object with a platform's circuit.
pub const CIRCUIT: &str = "Circuit";
/// Virtual object that counts a platform's calls.
pub const RATE_LIMIT: &str = "RateLimit";
/// The workflow service; a workflow's id is its key.
pub const WORKFLOW: &str = "Workflow";
/// The gate of everything.
pub const ALL: &str = "all";
/// The durable promise that a person's decision resolves, and the key of the state that says what it is about. Where a
/// workflow has several, each has the step's name behind it: [`promise_of`].
pub const APPROVAL: &str = "approval";
/// With these words a promise is failed that nobody resolved in time.
pub const EXPIRED: &str = "the approval expired undecided";
/// Where a workflow's state has more about its steps: [`StepState`] by step.
pub const STEPS: &str = "steps";
/// How long a gate was closed in all before the pause in force, in milliseconds.
pub const HELD_MS: &str = "heldMs";
/// Prefix of the journal's name of an undo.
pub const UNDO: &str = "undo:";
/// With these words a service fails a try that the gate held.
pub const HELD: &str = "held by the gate";
/// With these words a service fails a try that the circuit refused.
pub const BROKEN: &str = "circuit OPEN";
/// Metadata by which a service says that it keeps to the contract.
pub const MARK: (&str, &str) = ("opsctl.contract", "v1");

/// The service that executes a platform's actions; its handlers are the action types.
pub const fn service_of(platform: Platform) -> &'static str {
    match platform {
        Platform::Notion => "Notion",
        Platform::Trello => "Trello",
        Platform::Slack => "Slack",
        Platform::Drive => "Drive",
        Platform::Sheets => "Sheets",
    }
}

/// The platform whose actions a service executes.
pub fn platform_of(service: &str) -> Option<Platform> {
    Platform::ALL.iter().copied().find(|platform| service_of(*platform) == service)
}

/// The durable promise of one step's approval.
pub fn promise_of(step: &str) -> String {
    format!("{APPROVAL}:{step}")
}

/// Whether a promise is a person's decision.
pub fn is_approval(promise: &str) -> bool {
    promise.strip_prefix(APPROVAL).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// What a person decided: the promise of an approval is resolved with it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Decision {
    /// Whether the step may run.
    pub approved: bool,
    /// Who said so.
    #[serde(default)]
    pub by: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// When.
    #[serde(default)]
    pub at: Option<Time>,
}

/// What a workflow's state may say of one of its steps; all of it is optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepState {
    /// Where it is in its life, as far as the lists of the state do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StepStatus>,
    /// When its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// What the platform answered, reduced to ids and links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed, or was tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ActionError>,
    /// Its undo, once a rollback was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<StepUndo>,
}

/// All services that execute actions, for `in (...)`.
pub fn services() -> String {
    list(Platform::ALL.iter().map(|platform| service_of(*platform)))
}

/// One object's K/V state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State(pub Map<String, Value>);

impl State {
    /// A value as text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    /// A value as a count.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.as_u64()
    }

    /// A value as a moment.
    pub fn time(&self, key: &str) -> Option<Time> {
        self.text(key)?.parse().ok()
    }

    /// A value as a list of texts.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let values = self.0.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        values.iter().filter_map(|value| Some(value.as_str()?.to_owned())).collect()
    }

    /// A number that moves when the state does, of 53 bits because JSON's numbers have no more.
    pub fn version(&self) -> u64 {
        // FNV-1a: the same in every process and release.
        let text = serde_json::to_string(&self.0).unwrap_or_default();
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        hash & ((1 << 53) - 1)
    }
}

impl Admin {
    /// The states of a service's objects, by key. All of them when no key is named.
    pub async fn states(&self, service: &str, key: Option<&str>) -> Result<Vec<(String, State)>, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            service_key: String,
            key: String,
            #[serde(default)]
            value_utf8: Option<String>,
        }
        let mut sql =
            format!("select service_key, key, value_utf8 from state where service_name = {}", quoted(service));
        if let Some(key) = key {
            sql.push_str(&format!(" and service_key = {}", quoted(key)));
        }
        sql.push_str(" order by service_key, key");
        let mut states: Vec<(String, State)> = Vec::new();
        for row in self.query::<Row>(&sql).await? {
            let text = row.value_utf8.unwrap_or_default();
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            match states.last_mut().filter(|(key, _)| *key == row.service_key) {
                Some((_, state)) => drop(state.0.insert(row.key, value)),
                None => states.push((row.service_key, State(Map::from_iter([(row.key, value)])))),
            }
        }
        Ok(states)
    }

    /// One object's state; empty when it has none.
    pub async fn state(&self, service: &str, key: &str) -> Result<State, Refusal> {
        Ok(self.states(service, Some(key)).await?.into_iter().next().map(|(_, state)| state).unwrap_or_default())
    }

    /// Replaces an object's whole state. It is accepted, not done: the engine applies it when the object is free.
    pub async fn set_state(&self, service: &str, key: &str, state: &State) -> Result<(), Refusal> {
        let bytes = |value: &Value| Value::from(value.to_string().into_bytes());
        let new: Map<String, Value> = state.0.iter().map(|(key, value)| (key.clone(), bytes(value))).collect();
        let body = serde_json::json!({"object_key": key, "new_state": new});
        let path = format!("services/{service}/state");
        let reply = self.change(Method::POST, &path, Some(&body), Repeat::Safe).await?;
        match reply.status {
            404 => Err(Refusal::new(ErrorCode::Unsupported, absent(service))),
            _ if reply.is_success() => Ok(()),
            _ => Err(admin::refused(&reply, &format!("to set the state of {service}/{key}"))),
        }
    }
}

/// Why a verb that needs a service by contract cannot be served.
pub fn absent(service: &str) -> String {
    format!("no service `{service}` is registered with Restate; contract v1 in docs/restate.md says what it keeps")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_platform_is_its_service() {
        for platform in Platform::ALL {
            assert_eq!(platform_of(service_of(*platform)), Some(*platform));
        }
        assert_eq!(platform_of("notion"), None);
        assert_eq!(services(), "'Notion','Trello','Slack','Drive','Sheets'");
    }

    #[test]
    fn a_promise_with_a_steps_name_is_an_approval_too() {
        assert!(is_approval(APPROVAL) && is_approval(&promise_of("pay")));
        assert!(!is_approval("approvals") && !is_approval("pay:approval"));
    }

    #[test]
    fn a_version_moves_with_the_state() {
        let state = |value: Value| State(value.as_object().unwrap().clone());
        let open = state(json!({"state": "OPEN", "failureCount": 5, "openedAt": "2026-11-30T02:00:00Z"}));
        assert_ne!(open.version(), State::default().version());
        assert!(open.version() < 1 << 53);
        assert_eq!(open.count("failureCount"), Some(5));
        assert_eq!(open.time("openedAt").map(|at| at.to_string()).as_deref(), Some("2026-11-30T02:00:00.000Z"));
        assert_eq!(state(json!({"completedSteps": ["a", "b"]})).texts("completedSteps"), ["a", "b"]);
    }
}
